/*
 * nearest.c - edit distance over short words.
 *
 * Insertions, deletions, substitutions and swaps of neighbours count one each ("optimal string
 * alignment"), case does not count. It knows nothing of flags or configuration keys.
 */
#include "base/nearest.h"

#define WORD_MAX 40

static void lower(char out[WORD_MAX], struct wr_str s)
{
    for (size_t i = 0; i < s.n; i++)
        out[i] = (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] - 'A' + 'a' : s.p[i]);
}

/* SIZE_MAX: more than `max`, mostly long before all of it was compared. */
static size_t distance(struct wr_str a, struct wr_str b, size_t max)
{
    size_t row[3][WORD_MAX + 1]; /* of the previous but one, the previous and this letter of `a` */
    size_t least_before = 0;
    char x[WORD_MAX], y[WORD_MAX];

    assert(a.n <= WORD_MAX && b.n <= WORD_MAX);
    lower(x, a);
    lower(y, b);
    for (size_t j = 0; j <= b.n; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t *now = row[i % 3];
        const size_t *before = row[(i + 2) % 3];
        size_t least = i;

        now[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t swap = x[i - 1] == y[j - 1] ? 0 : 1;

            now[j] = wr_min(before[j - 1] + swap, wr_min(before[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && x[i - 1] == y[j - 2] && x[i - 2] == y[j - 1])
                now[j] = wr_min(now[j], row[(i + 1) % 3][j - 2] + 1);
            least = wr_min(least, now[j]);
        }
        if (wr_min(least, least_before) > max) /* all that follows comes from these two rows */
            return SIZE_MAX;
        least_before = least;
    }
    return row[a.n % 3][b.n];
}

void wr_nearest_init(struct wr_nearest *s, struct wr_str word)
{
    *s = (struct wr_nearest){.word = word, .distance = SIZE_MAX};
}

/* Edits that a close word takes, at most. */
static size_t close_max(const struct wr_nearest *s)
{
    return (s->word.n + 2) / 3;
}

void wr_nearest_offer(struct wr_nearest *s, const char *known)
{
    struct wr_str k = wr_str(known);
    size_t d = wr_max(k.n, s->word.n) - wr_min(k.n, s->word.n); /* at least */

    if (k.n > WORD_MAX || s->word.n > WORD_MAX || d > close_max(s))
        return;
    d = distance(s->word, k, close_max(s));
    if (d < s->distance) {
        s->distance = d;
        s->best = known;
    }
}

const char *wr_nearest_get(const struct wr_nearest *s)
{
    return s->best && s->distance <= close_max(s) ? s->best : NULL;
}
