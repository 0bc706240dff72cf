/*
 * absent.c - see absent.h. The list is sorted by path.
 */
#include "daemon/absent.h"

#include "base/mem.h"
#include "base/sorted.h"
#include "base/sync.h"

#define WHY_MAX 640

struct entry {
    char *path, *why; /* owned */
    enum wr_absent_by by;
    bool old; /* of an attempt before the one that goes on */
};

struct wr_absent {
    struct wr_mutex mutex;
    struct entry *all;
    size_t n, cap;
    size_t more[WR_ABSENT_BYS]; /* that could not be noted */
};

struct wr_absent *wr_absent_new(void)
{
    struct wr_absent *a = wr_alloc(sizeof(*a));

    if (a)
        wr_mutex_init(&a->mutex);
    return a;
}

static void entry_release(struct entry *e)
{
    wr_free(e->path);
    wr_free(e->why);
}

void wr_absent_free(struct wr_absent *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->n; i++)
        entry_release(&a->all[i]);
    wr_free(a->all);
    wr_mutex_release(&a->mutex);
    wr_free(a);
}

static int by_path(const void *items, size_t i, const void *path)
{
    return strcmp(((const struct entry *)items)[i].path, path);
}

/* Where the path is, or would be. */
static bool find(const struct wr_absent *a, const char *path, size_t *ret)
{
    assert(wr_mutex_mine(&a->mutex));
    return wr_sorted_find(a->all, a->n, by_path, path, ret);
}

static void remove_at(struct wr_absent *a, size_t at)
{
    entry_release(&a->all[at]);
    a->n--;
    memmove(a->all + at, a->all + at + 1, (a->n - at) * sizeof(*a->all));
}

static bool make_room(struct wr_absent *a)
{
    struct entry *all;

    if (a->n == WR_ABSENT_MAX)
        return false;
    all = wr_room(a->all, a->n, &a->cap, 16, sizeof(*all));
    if (all)
        a->all = all;
    return all != NULL;
}

void wr_absent_begin(struct wr_absent *a, enum wr_absent_by by)
{
    wr_mutex_lock(&a->mutex);
    a->more[by] = 0;
    for (size_t i = 0; i < a->n; i++)
        if (a->all[i].by == by)
            a->all[i].old = true;
    wr_mutex_unlock(&a->mutex);
}

/* A line is a line, whatever a path in it holds. */
static char *line_of(const char *why)
{
    char *copy = wr_strndup(why, wr_min(strlen(why), (size_t)WHY_MAX));

    for (char *p = copy; p && *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
    return copy;
}

bool wr_absent_put(struct wr_absent *a, enum wr_absent_by by, const char *path, const char *why)
{
    struct entry e = {.path = wr_strndup(path, strlen(path)), .why = line_of(why), .by = by};
    bool news = true;
    size_t at;

    wr_mutex_lock(&a->mutex);
    if (!e.path || !e.why) {
        a->more[by]++;
    } else if (find(a, path, &at)) {
        news = !wr_same_failure(a->all[at].why, e.why);
        entry_release(&a->all[at]);
        a->all[at] = e;
        e = (struct entry){.path = NULL};
    } else if (make_room(a)) {
        memmove(a->all + at + 1, a->all + at, (a->n - at) * sizeof(*a->all));
        a->all[at] = e;
        a->n++;
        e = (struct entry){.path = NULL};
    } else {
        a->more[by]++;
    }
    wr_mutex_unlock(&a->mutex);
    entry_release(&e);
    return news;
}

void wr_absent_end(struct wr_absent *a, enum wr_absent_by by)
{
    size_t kept = 0;

    wr_mutex_lock(&a->mutex);
    for (size_t i = 0; i < a->n; i++) {
        if (a->all[i].by == by && a->all[i].old)
            entry_release(&a->all[i]);
        else
            a->all[kept++] = a->all[i];
    }
    a->n = kept;
    wr_mutex_unlock(&a->mutex);
}

void wr_absent_drop(struct wr_absent *a, const char *path)
{
    size_t at;

    wr_mutex_lock(&a->mutex);
    if (find(a, path, &at))
        remove_at(a, at);
    wr_mutex_unlock(&a->mutex);
}

static size_t count(const struct wr_absent *a)
{
    size_t n = a->n;

    for (size_t i = 0; i < WR_ABSENT_BYS; i++)
        n += a->more[i];
    return n;
}

size_t wr_absent_count(struct wr_absent *a)
{
    size_t n;

    wr_mutex_lock(&a->mutex);
    n = count(a);
    wr_mutex_unlock(&a->mutex);
    return n;
}

size_t wr_absent_count_by(struct wr_absent *a, enum wr_absent_by by)
{
    size_t n;

    wr_mutex_lock(&a->mutex);
    n = a->more[by];
    for (size_t i = 0; i < a->n; i++)
        n += a->all[i].by == by;
    wr_mutex_unlock(&a->mutex);
    return n;
}

bool wr_absent_is(struct wr_absent *a, enum wr_absent_by by, const char *path)
{
    size_t at;
    bool is;

    wr_mutex_lock(&a->mutex);
    is = find(a, path, &at) && a->all[at].by == by;
    wr_mutex_unlock(&a->mutex);
    return is;
}

size_t wr_absent_list(
    struct wr_absent *a, struct wr_arena *arena, size_t max, struct wr_absentee **ret)
{
    size_t n = 0;

    wr_mutex_lock(&a->mutex);
    *ret = wr_arena_array(arena, wr_min(a->n, max), sizeof(**ret));
    while (*ret && n < wr_min(a->n, max)) {
        struct wr_absentee x = {.path = wr_arena_str(arena, wr_str(a->all[n].path)).p,
            .why = wr_arena_str(arena, wr_str(a->all[n].why)).p};

        if (!x.path || !x.why)
            break;
        (*ret)[n++] = x;
    }
    wr_mutex_unlock(&a->mutex);
    return n;
}
