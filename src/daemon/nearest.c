/*
 * nearest.c - edit distance over short words.
 *
 * Insertions, deletions, substitutions and swaps of neighbours count one each ("optimal string
 * alignment"), case does not count. It knows nothing of flags or configuration keys.
 */
#include "daemon/nearest.h"

#define WORD_MAX 40

static int lower(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

static size_t distance(struct wr_str a, struct wr_str b)
{
    size_t row[3][WORD_MAX + 1]; /* of the previous but one, the previous and this letter of `a` */

    assert(a.n <= WORD_MAX && b.n <= WORD_MAX);
    for (size_t j = 0; j <= b.n; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t *now = row[i % 3];
        const size_t *before = row[(i + 2) % 3];

        now[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t swap = lower(a.p[i - 1]) == lower(b.p[j - 1]) ? 0 : 1;

            now[j] = wr_min(before[j - 1] + swap, wr_min(before[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && lower(a.p[i - 1]) == lower(b.p[j - 2]) &&
                lower(a.p[i - 2]) == lower(b.p[j - 1]))
                now[j] = wr_min(now[j], row[(i + 1) % 3][j - 2] + 1);
        }
    }
    return row[a.n % 3][b.n];
}

void wr_nearest_init(struct wr_nearest *s, struct wr_str word)
{
    *s = (struct wr_nearest){.word = word, .distance = SIZE_MAX};
}

void wr_nearest_offer(struct wr_nearest *s, const char *known)
{
    struct wr_str k = wr_str(known);
    size_t d;

    if (k.n > WORD_MAX || s->word.n > WORD_MAX)
        return;
    d = distance(s->word, k);
    if (d < s->distance) {
        s->distance = d;
        s->best = known;
    }
}

const char *wr_nearest_get(const struct wr_nearest *s)
{
    return s->best && s->distance <= (s->word.n + 2) / 3 ? s->best : NULL;
}
