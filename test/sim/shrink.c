/*
 * shrink.c - see shrink.h.
 */
#include "sim/shrink.h"

#include "base/mem.h"
#include "base/mutant.h"
#include "sim/mutants.h"
#include "sim/tape.h"

struct shrinking {
    uint32_t *best, *next; /* `next` is the one to be tried */
    size_t n, n_next;
    struct run_result want;
    time_t until;
    void (*say)(size_t n);
};

static bool out_of_time(const struct shrinking *s)
{
    return time(NULL) >= s->until;
}

static bool well_without_mutant(const struct run *r)
{
    struct run_result got;

    if (wr_mutant_now == WR_MUTANT_NONE)
        return true;
    mutant_leave_out(r, &got);
    return got.end == RUN_WELL;
}

/* Whether `next` fails alike; then it is the best from now on, cut to what was really decided. */
static bool accept(struct shrinking *s)
{
    const struct run r = {.tape = s->next, .n_tape = s->n_next};
    struct run_result got;
    size_t used;

    if (out_of_time(s))
        return false;
    run_one(&r, &got);
    (void)tape_recorded(&used);
    if (!run_alike(&s->want, &got) || !well_without_mutant(&r))
        return false;
    s->n = wr_min(s->n_next, used);
    while (s->n > 0 && s->next[s->n - 1] == 0) /* dull ends come by themselves */
        s->n--;
    memcpy(s->best, s->next, s->n * sizeof(*s->best));
    if (s->say)
        s->say(s->n);
    return true;
}

static void begin_next(struct shrinking *s)
{
    memcpy(s->next, s->best, s->n * sizeof(*s->next));
    s->n_next = s->n;
}

static bool try_without(struct shrinking *s, size_t at, size_t k)
{
    begin_next(s);
    memmove(s->next + at, s->next + at + k, (s->n - at - k) * sizeof(*s->next));
    s->n_next -= k;
    return accept(s);
}

static bool try_zeros(struct shrinking *s, size_t at, size_t k)
{
    bool dull = true;

    for (size_t i = at; i < at + k; i++)
        dull = dull && s->best[i] == 0;
    if (dull)
        return false;
    begin_next(s);
    memset(s->next + at, 0, k * sizeof(*s->next));
    return accept(s);
}

static bool try_smaller(struct shrinking *s, size_t at)
{
    if (s->best[at] < 2)
        return false;
    begin_next(s);
    s->next[at] /= 2;
    return accept(s);
}

typedef bool piece_fn(struct shrinking *s, size_t at, size_t k);

/* From the end on: what comes last matters least to what follows. */
static bool all_pieces(struct shrinking *s, size_t k, piece_fn *try)
{
    bool any = false;

    for (size_t at = s->n; at >= k && !out_of_time(s);) {
        at -= k;
        if (at + k <= s->n)
            any = try(s, at, k) || any;
        if (at < k)
            break;
    }
    return any;
}

size_t shrink(uint32_t *tape, size_t n, unsigned seconds, void (*say)(size_t n))
{
    struct shrinking s = {.best = tape,
        .next = wr_array(n ? n : 1, sizeof(*tape)),
        .n = n,
        .until = time(NULL) + (time_t)seconds,
        .say = say};

    if (!s.next)
        abort();
    run_one(&(struct run){.tape = tape, .n_tape = n}, &s.want);
    for (bool any = s.want.end != RUN_WELL; any && !out_of_time(&s);) {
        any = false;
        for (size_t k = s.n / 2; k >= 1; k /= 2) {
            any = all_pieces(&s, k, try_without) || any;
            any = all_pieces(&s, k, try_zeros) || any;
        }
        for (size_t at = s.n; at-- > 0 && !out_of_time(&s);) {
            while (at < s.n && try_smaller(&s, at))
                any = true;
        }
    }
    wr_free(s.next);
    return s.n;
}
