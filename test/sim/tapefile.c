/*
 * tapefile.c - see tapefile.h.
 */
#include "sim/tapefile.h"

#include "base/mem.h"
#include "base/str.h"
#include "sim/tape.h"

#include <ctype.h>

#define LINE   96 /* characters */
#define WORD   32 /* one number, or a row of zeros */
#define SEED   "seed"
#define REMARK '#'

/* `word`, in the next line if there is no room in this one. */
static void put_word(FILE *f, const char *word, size_t *column)
{
    size_t n = strlen(word);

    if (*column > 0 && *column + 1 + n > LINE) {
        (void)fputc('\n', f);
        *column = 0;
    }
    *column += (size_t)fprintf(f, "%s%s", *column > 0 ? " " : "", word);
}

static size_t zeros_at(const uint32_t *p, size_t n, size_t i)
{
    size_t k = 0;

    while (i + k < n && p[i + k] == 0)
        k++;
    return k;
}

bool tape_save(const char *path, const uint32_t *p, size_t n, const char *remark)
{
    FILE *f = fopen(path, "w");
    size_t column = 0;
    char word[WORD];

    if (!f)
        return false;
    (void)fprintf(f, "%c %s\n", REMARK, remark);
    while (n > 0 && p[n - 1] == 0)
        n--;
    for (size_t i = 0; i < n;) {
        size_t zeros = zeros_at(p, n, i);

        if (zeros > 2)
            (void)snprintf(word, sizeof(word), "0*%zu", zeros);
        else
            (void)snprintf(word, sizeof(word), "%u", p[i]);
        put_word(f, word, &column);
        i += zeros > 2 ? zeros : 1;
    }
    (void)fputc('\n', f);
    return fclose(f) == 0;
}

bool tape_save_seed(const char *path, uint64_t seed, const char *remark)
{
    FILE *f = fopen(path, "w");

    if (!f)
        return false;
    (void)fprintf(f, "%c %s\n%s %llu\n", REMARK, remark, SEED, (unsigned long long)seed);
    return fclose(f) == 0;
}

/* The next word, of a line that is no remark. False: there is none. */
static bool next_word(FILE *f, char *word)
{
    size_t n = 0;
    int c;

    while ((c = fgetc(f)) != EOF && (n == 0 || !isspace(c))) {
        if (c == REMARK && n == 0) {
            while (c != '\n' && c != EOF)
                c = fgetc(f);
        } else if (!isspace(c) && n + 1 < WORD) {
            word[n++] = (char)c;
        }
    }
    word[n] = '\0';
    return n > 0;
}

/* Its decisions, all alike, at `p`; their number, 0: it is no such word, or there is no room. */
static size_t take_word(const char *word, uint32_t *p, size_t room)
{
    struct wr_str what, times;
    uint64_t x = 0, n = 1;
    bool row = wr_str_cut(wr_str(word), '*', &what, &times);

    if (!wr_parse_u64(row ? what : wr_str(word), &x) || x > UINT32_MAX)
        return 0;
    if ((row && !wr_parse_u64(times, &n)) || n > room)
        return 0;
    for (uint64_t i = 0; i < n; i++)
        p[i] = (uint32_t)x;
    return (size_t)n;
}

static bool take_seed(FILE *f, uint64_t *ret)
{
    char word[WORD];

    return next_word(f, word) && wr_parse_u64(wr_str(word), ret) && !next_word(f, word);
}

uint32_t *tape_load(const char *path, size_t *ret_n, bool *ret_seeded, uint64_t *ret_seed)
{
    FILE *f = fopen(path, "r");
    uint32_t *p = f ? wr_array(TAPE_MAX, sizeof(*p)) : NULL;
    size_t n = 0;
    char word[WORD];

    *ret_seeded = false;
    while (p && !*ret_seeded && next_word(f, word)) {
        size_t k = 0;

        if (n == 0 && strcmp(word, SEED) == 0)
            *ret_seeded = take_seed(f, ret_seed);
        else
            k = take_word(word, p + n, TAPE_MAX - n);
        if (k == 0 && !*ret_seeded) {
            wr_free(p);
            p = NULL;
        }
        n += k;
    }
    if (f)
        (void)fclose(f);
    *ret_n = n;
    return p;
}
