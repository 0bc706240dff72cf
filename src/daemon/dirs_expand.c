/*
 * dirs_expand.c - the databases of all directories as entries of the configuration, at the
 * start and at each reload. Two that would get into each other's way are found before any of them
 * begins.
 */
#include "base/file.h"
#include "base/url.h"
#include "daemon/config_int.h"
#include "daemon/dirs.h"

/* A database of the configuration, to be compared by one thing at a time. */
struct entry {
    const struct wr_config_db *db;
    const char *key;   /* path, place of a replica, or local state */
    uint64_t dev, ino; /* 0, 0: there is no file */
};

struct entries {
    struct entry *list;
    size_t n;
};

static int by_key(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int c = strcmp(x->key, y->key);

    return c ? c : strcmp(x->db->path, y->db->path);
}

static int by_file(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->dev != y->dev)
        return x->dev < y->dev ? -1 : 1;
    return (x->ino > y->ino) - (x->ino < y->ino);
}

static void sort(struct entries *s, int (*compare)(const void *, const void *))
{
    if (s->n > 1)
        qsort(s->list, s->n, sizeof(*s->list), compare);
}

/* What the configuration had before the walk: by path, and by file. */
struct own {
    struct entries by_path, by_file;
};

/* wr_dirs_known_fn: what has an entry of its own. */
static const char *known(void *arg, const char *path, uint64_t dev, uint64_t ino)
{
    const struct own *own = arg;
    const struct wr_config_db db = {.path = path};
    const struct entry want = {.db = &db, .key = path, .dev = dev, .ino = ino};
    const struct entry *found = NULL;

    if (own->by_path.n)
        found = bsearch(&want, own->by_path.list, own->by_path.n, sizeof(want), by_key);
    if (!found && own->by_file.n)
        found = bsearch(&want, own->by_file.list, own->by_file.n, sizeof(want), by_file);
    return found ? found->db->path : NULL;
}

static enum wr_status no_memory(struct wr_err *e)
{
    return wr_fail(e, WR_NOMEM, "out of memory");
}

static enum wr_status list_own(
    struct wr_arena *a, const struct wr_config *c, struct own *ret, struct wr_err *e)
{
    const struct wr_fs *fs = wr_fs_posix();

    *ret = (struct own){0};
    if (c->ndirs == 0) /* who would ask */
        return WR_OK;
    ret->by_path = (struct entries){.list = wr_arena_array(a, c->ndbs, sizeof(struct entry))};
    ret->by_file = (struct entries){.list = wr_arena_array(a, c->ndbs, sizeof(struct entry))};
    if (!ret->by_path.list || !ret->by_file.list)
        return no_memory(e);
    for (size_t i = 0; i < c->ndbs; i++) {
        struct entry x = {.db = &c->dbs[i], .key = c->dbs[i].path};
        struct wr_file_info info;

        ret->by_path.list[ret->by_path.n++] = x;
        if (fs->stat(fs, x.key, &info, NULL) != WR_OK)
            continue;
        x.dev = info.dev;
        x.ino = info.ino;
        ret->by_file.list[ret->by_file.n++] = x;
    }
    sort(&ret->by_path, by_key);
    sort(&ret->by_file, by_file);
    return WR_OK;
}

/* All that was found, of all directories. */
struct all {
    struct wr_dirs_found *found; /* as many as directories */
    struct wr_warnings warnings;
    size_t n;
    /* What is in none of them: directories that cannot be read, and what is sifted. */
    struct wr_dirs_refused *unread, *sifted;
    size_t nunread, nsifted;
};

static enum wr_status scan_one(struct wr_arena *a, const struct wr_config_dir *dir, struct own *own,
    bool open, enum wr_dirs_how how, struct wr_dirs_found *ret, struct all *all, struct wr_err *e)
{
    struct wr_err why = {0};
    enum wr_status st = wr_dirs_scan(a, dir, open, known, own, ret, &why);

    if (st == WR_OK && ret->n == 0 && !dir->watch && how != WR_DIRS_SIFTED)
        st = wr_fail(&why, WR_MISUSE, "no SQLite databases found in directory %s with pattern %s",
            dir->path, dir->pattern);
    for (size_t i = 0; i < ret->nrefused; i++)
        wr_warnings_add(
            &all->warnings, "%s is not replicated: %s", ret->refused[i].path, ret->refused[i].why);
    if (st == WR_NOMEM || (st != WR_OK && how == WR_DIRS_STRICT))
        return wr_fail(e, st, "%s", why.text);
    if (st != WR_OK)
        wr_warnings_add(&all->warnings, "%s", why.text);
    if (st != WR_OK && st != WR_NOTFOUND) { /* what is gone has no databases */
        const char *text = wr_arena_str(a, wr_str(why.text)).p;

        if (!text)
            return no_memory(e);
        all->unread[all->nunread++] = (struct wr_dirs_refused){.path = dir->path, .why = text};
    }
    all->n += ret->n;
    return WR_OK;
}

/* The entries that were there, and those that were found and had none. */
static enum wr_status merge(struct wr_arena *a, struct wr_config *c, struct own *own,
    const struct all *all, struct entries *files, struct wr_err *e)
{
    struct wr_config_db *dbs;
    size_t n = 0;

    if (all->n == 0)
        return WR_OK;
    dbs = wr_arena_array(a, c->ndbs + all->n, sizeof(*dbs));
    files->list = wr_arena_array(a, all->n, sizeof(*files->list));
    if (!dbs || !files->list)
        return no_memory(e);
    for (size_t i = 0; i < c->ndbs; i++)
        dbs[n++] = c->dbs[i];
    for (size_t i = 0; i < c->ndirs; i++)
        for (size_t j = 0; j < all->found[i].n; j++) {
            const struct wr_dirs_item *item = &all->found[i].items[j];

            if (known(own, item->db.path, 0, 0))
                continue;
            dbs[n] = item->db;
            files->list[files->n++] = (struct entry){
                .db = &dbs[n], .key = item->db.path, .dev = item->dev, .ino = item->ino};
            n++;
        }
    c->dbs = dbs;
    c->ndbs = n;
    return WR_OK;
}

static enum wr_status check_files(struct entries *files, struct wr_err *e)
{
    sort(files, by_file);
    for (size_t i = 1; i < files->n; i++) {
        const struct entry *x = &files->list[i - 1], *y = &files->list[i];

        if (by_file(x, y) != 0)
            continue;
        if (strcmp(x->key, y->key) == 0)
            return wr_fail(e, WR_MISUSE, "%s is in two directories of the configuration", x->key);
        return wr_fail(e, WR_MISUSE,
            "%s and %s are one file: the directories of the configuration overlap", x->key, y->key);
    }
    return WR_OK;
}

static enum wr_status list_replicas(
    struct wr_arena *a, const struct wr_config *c, struct entries *ret, struct wr_err *e)
{
    size_t max = 0;

    for (size_t i = 0; i < c->ndbs; i++)
        max += c->dbs[i].nreplicas;
    *ret = (struct entries){.list = wr_arena_array(a, max, sizeof(*ret->list))};
    if (!ret->list)
        return no_memory(e);
    for (size_t i = 0; i < c->ndbs; i++)
        for (size_t j = 0; j < c->dbs[i].nreplicas; j++) {
            struct wr_str place;
            enum wr_status st = wr_config_place(a, &c->dbs[i].replicas[j], &place, e);

            if (st != WR_OK)
                return st;
            ret->list[ret->n++] = (struct entry){.db = &c->dbs[i], .key = place.p};
        }
    return WR_OK;
}

static enum wr_status list_state(
    struct wr_arena *a, const struct wr_config *c, struct entries *ret, struct wr_err *e)
{
    *ret = (struct entries){.list = wr_arena_array(a, c->ndbs, sizeof(*ret->list))};
    if (!ret->list)
        return no_memory(e);
    for (size_t i = 0; i < c->ndbs; i++) {
        const char *key = wr_config_state_dir(a, &c->dbs[i]);

        if (!key)
            return no_memory(e);
        ret->list[ret->n++] = (struct entry){.db = &c->dbs[i], .key = key};
    }
    return WR_OK;
}

/* Two ways to get into each other's way. */
enum clash {
    SAME_REPLICA,
    SAME_STATE,
    CLASHES
};

static enum wr_status list_by(enum clash what, struct wr_arena *a, const struct wr_config *c,
    struct entries *ret, struct wr_err *e)
{
    return what == SAME_REPLICA ? list_replicas(a, c, ret, e) : list_state(a, c, ret, e);
}

static struct wr_str clash_text(
    struct wr_arena *a, enum clash what, const struct entry *x, const struct entry *y)
{
    if (what == SAME_REPLICA)
        return wr_arena_fmt(a,
            "%s and %s would have the same replica, and destroy each other's backup: give each "
            "directory a path of its own",
            x->db->path, y->db->path);
    return wr_arena_fmt(a,
        "meta-path collision: databases %s and %s would share meta-path %s, causing replication "
        "state corruption",
        x->db->path, y->db->path, x->key);
}

/* The first two that clash are an error. */
static enum wr_status check(
    enum clash what, struct wr_arena *a, const struct wr_config *c, struct wr_err *e)
{
    struct entries all;
    enum wr_status st = list_by(what, a, c, &all, e);

    if (st != WR_OK)
        return st;
    sort(&all, by_key);
    for (size_t i = 1; i < all.n; i++)
        if (strcmp(all.list[i - 1].key, all.list[i].key) == 0) {
            struct wr_str text = clash_text(a, what, &all.list[i - 1], &all.list[i]);

            return text.p ? wr_fail(e, WR_MISUSE, "%s", text.p) : no_memory(e);
        }
    return WR_OK;
}

/* Those of one key by their place in the configuration: first who was there before. */
static int by_key_and_place(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int c = strcmp(x->key, y->key);

    return c ? c : (x->db > y->db) - (x->db < y->db);
}

/* Note which of those behind the first `old` clash with one before them, in `why`. */
static enum wr_status sift_by(enum clash what, struct wr_arena *a, const struct wr_config *c,
    size_t old, const char **why, struct wr_err *e)
{
    struct entries all;
    enum wr_status st = list_by(what, a, c, &all, e);

    if (st != WR_OK)
        return st;
    sort(&all, by_key_and_place);
    for (size_t i = 1, first = 0; i < all.n; i++) {
        size_t at = (size_t)(all.list[i].db - c->dbs);

        if (strcmp(all.list[first].key, all.list[i].key) != 0)
            first = i;
        else if (at >= old && all.list[first].db != all.list[i].db && !why[at] &&
                 !(why[at] = clash_text(a, what, &all.list[first], &all.list[i]).p))
            return no_memory(e);
    }
    return WR_OK;
}

/* Leave out what clashes; `c->dbs` behind the first `old` is ours. */
static enum wr_status sift(
    struct wr_arena *a, struct wr_config *c, size_t old, struct all *all, struct wr_err *e)
{
    struct wr_config_db *dbs = wr_arena_array(a, c->ndbs, sizeof(*dbs));
    const char **why = wr_arena_array(a, c->ndbs, sizeof(*why));
    enum wr_status st = WR_OK;
    size_t n = 0;

    all->sifted = wr_arena_array(a, c->ndbs, sizeof(*all->sifted));
    if (!dbs || !why || !all->sifted)
        return no_memory(e);
    for (enum clash what = SAME_REPLICA; st == WR_OK && what < CLASHES; what++)
        st = sift_by(what, a, c, old, why, e);
    for (size_t i = 0; st == WR_OK && i < c->ndbs; i++) {
        if (!why[i]) {
            dbs[n++] = c->dbs[i];
            continue;
        }
        all->sifted[all->nsifted++] =
            (struct wr_dirs_refused){.path = c->dbs[i].path, .why = why[i]};
        wr_warnings_add(&all->warnings, "%s is not replicated: %s", c->dbs[i].path, why[i]);
    }
    c->dbs = dbs;
    c->ndbs = n;
    return st;
}

static void add_refused(struct wr_dirs_seen *ret, const struct wr_dirs_refused *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ret->refused[ret->nrefused++] = from[i];
}

/* In one list. */
static enum wr_status tell_seen(struct wr_arena *a, const struct all *all, size_t ndirs,
    struct wr_dirs_seen *ret, struct wr_err *e)
{
    size_t n = 0, nrefused = all->nunread + all->nsifted;

    *ret = (struct wr_dirs_seen){0};
    for (size_t i = 0; i < ndirs; i++) {
        n += all->found[i].ndirs;
        nrefused += all->found[i].nrefused;
    }
    ret->dirs = wr_arena_array(a, n, sizeof(*ret->dirs));
    ret->refused = wr_arena_array(a, nrefused, sizeof(*ret->refused));
    if (!ret->dirs || !ret->refused)
        return no_memory(e);
    add_refused(ret, all->unread, all->nunread);
    add_refused(ret, all->sifted, all->nsifted);
    for (size_t i = 0; i < ndirs; i++) {
        add_refused(ret, all->found[i].refused, all->found[i].nrefused);
        ret->nheadless += all->found[i].nheadless;
        for (size_t j = 0; j < all->found[i].ndirs; j++)
            ret->dirs[ret->ndirs++] = all->found[i].dirs[j];
    }
    return WR_OK;
}

/* No two of them may get into each other's way. */
static enum wr_status check_clashes(struct wr_arena *a, struct wr_config *c, size_t old,
    enum wr_dirs_how how, struct all *all, struct wr_err *e)
{
    struct wr_arena scratch;
    enum wr_status st = WR_OK;

    if (how == WR_DIRS_SIFTED)
        return sift(a, c, old, all, e);
    wr_arena_init(&scratch, WR_ARENA_MAX);
    for (enum clash what = SAME_REPLICA; st == WR_OK && what < CLASHES; what++) {
        st = check(what, &scratch, c, e);
        wr_arena_reset(&scratch);
    }
    wr_arena_release(&scratch);
    return st;
}

enum wr_status wr_dirs_expand(struct wr_arena *a, struct wr_config *c, bool open,
    enum wr_dirs_how how, struct wr_dirs_seen *ret, struct wr_err *e)
{
    struct all all = {.found = wr_arena_array(a, c->ndirs, sizeof(*all.found)),
        .unread = wr_arena_array(a, c->ndirs, sizeof(*all.unread))};
    struct entries files = {0};
    struct own own;
    size_t old = c->ndbs;
    enum wr_status st = list_own(a, c, &own, e);

    if (st == WR_OK && (!all.found || !all.unread))
        st = no_memory(e);
    wr_warnings_init(&all.warnings, a);
    for (const struct wr_warning *w = c->warnings; w; w = w->next)
        wr_warnings_add(&all.warnings, "%s", w->text);
    for (size_t i = 0; st == WR_OK && i < c->ndirs; i++)
        st = scan_one(a, &c->dirs[i], &own, open, how, &all.found[i], &all, e);
    if (st == WR_OK)
        st = merge(a, c, &own, &all, &files, e);
    if (st == WR_OK)
        st = check_files(&files, e);
    if (st == WR_OK)
        st = check_clashes(a, c, old, how, &all, e);
    if (st == WR_OK && all.warnings.nomem)
        st = no_memory(e);
    if (st == WR_OK && ret)
        st = tell_seen(a, &all, c->ndirs, ret, e);
    c->warnings = all.warnings.first;
    return st;
}
