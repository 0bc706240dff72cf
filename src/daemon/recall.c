/*
 * recall.c - see recall.h.
 */
#include "daemon/recall.h"

#include "base/file.h"
#include "daemon/config_int.h"

#include <sys/stat.h>

/* Names of databases relative to the directory. */
struct names {
    struct name {
        const char *rel;
        bool tame;
    } * list;
    size_t n, cap;
};

struct recall {
    struct wr_arena *arena;
    const struct wr_config_dir *dir;
    struct names names;
    const char **paths, **places; /* of entries of their own, sorted */
    size_t npaths, nplaces;
    bool overwrite;
    bool nomem;
};

static int no_memory(weir_error *reterr)
{
    reterr->code = WEIR_NOMEM;
    (void)snprintf(reterr->message, sizeof(reterr->message), "%s", weir_strerror(WEIR_NOMEM));
    return WEIR_NOMEM;
}

static int add_name(void *arg, const char *name, int tame)
{
    struct recall *r = arg;
    struct names *s = &r->names;
    const char *rel = wr_arena_str(r->arena, wr_str(name)).p;

    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 64;
        struct name *bigger = wr_arena_array(r->arena, cap, sizeof(*bigger));

        if (bigger && s->n > 0)
            memcpy(bigger, s->list, s->n * sizeof(*bigger));
        s->list = bigger ? bigger : s->list;
        s->cap = bigger ? cap : s->cap;
    }
    r->nomem = !rel || s->n == s->cap;
    if (r->nomem)
        return 1;
    s->list[s->n++] = (struct name){.rel = rel, .tame = tame != 0};
    return 0;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int by_rel(const void *a, const void *b)
{
    return strcmp(((const struct name *)a)->rel, ((const struct name *)b)->rel);
}

static bool has(const char **sorted, size_t n, const char *text)
{
    return n > 0 && bsearch(&text, sorted, n, sizeof(*sorted), by_text);
}

/* What the configuration says of its own. */
static int list_own(struct recall *r, const struct wr_config *own, weir_error *reterr)
{
    size_t max = 0;

    for (size_t i = 0; i < own->nown; i++)
        max += own->dbs[i].nreplicas;
    r->paths = wr_arena_array(r->arena, own->nown, sizeof(*r->paths));
    r->places = wr_arena_array(r->arena, max, sizeof(*r->places));
    if (!r->paths || !r->places)
        return no_memory(reterr);
    for (size_t i = 0; i < own->nown; i++) {
        const struct wr_config_db *db = &own->dbs[i];

        r->paths[r->npaths++] = db->path;
        for (size_t j = 0; j < db->nreplicas; j++) {
            struct wr_str place;
            struct wr_err e = {0};

            if (wr_config_place(r->arena, &db->replicas[j], &place, &e) == WR_OK)
                r->places[r->nplaces++] = place.p;
        }
    }
    if (r->npaths > 1)
        qsort(r->paths, r->npaths, sizeof(*r->paths), by_text);
    if (r->nplaces > 1)
        qsort(r->places, r->nplaces, sizeof(*r->places), by_text);
    return WEIR_OK;
}

/* Whether it is no database of the directory, but one of its own that happens to be stored there,
 * or here. */
static bool is_own(const struct recall *r, const struct wr_config_db *db)
{
    if (has(r->paths, r->npaths, db->path))
        return true;
    for (size_t i = 0; i < db->nreplicas; i++) {
        struct wr_str place;
        struct wr_err e = {0};

        if (r->nplaces > 0 && wr_config_place(r->arena, &db->replicas[i], &place, &e) == WR_OK &&
            has(r->places, r->nplaces, place.p))
            return true;
    }
    return false;
}

/* The first link on the way from the directory to the database, or itself if it would be written
 * through; NULL: none, or what there is cannot be looked at, and nothing can be made there. */
static const char *link_to(const struct recall *r, const char *rel)
{
    const struct wr_config_dir *dir = r->dir;
    const struct wr_fs *fs = wr_fs_posix();
    const char *slash = rel, *root = strcmp(dir->path, "/") ? dir->path : "";

    while (slash) {
        struct wr_file_info info;
        size_t n;
        struct wr_str path;

        slash = strchr(slash, '/');
        n = slash ? (size_t)(slash - rel) : strlen(rel);
        path = wr_arena_fmt(r->arena, "%s/%.*s", root, (int)n, rel);
        if (!path.p)
            return rel;
        if (fs->lstat(fs, path.p, &info, NULL) != WR_OK)
            return NULL;
        if (S_ISLNK((mode_t)info.mode) &&
            (slash || r->overwrite || fs->stat(fs, path.p, &info, NULL) == WR_NOTFOUND))
            return path.p;
        slash = slash ? slash + 1 : NULL;
    }
    return NULL;
}

static void refuse(struct recall *r, struct wr_recalled *ret, const char *path, struct wr_str why)
{
    r->nomem = r->nomem || !path || !why.p;
    ret->refused[ret->nrefused++] = (struct wr_dirs_refused){.path = path, .why = why.p};
}

/* Control characters would be the terminal's. */
static const char *printable(struct wr_arena *a, const char *name)
{
    char *copy = wr_arena_alloc(a, strlen(name) + 1);

    for (size_t i = 0; copy && name[i]; i++)
        copy[i] = (unsigned char)name[i] < ' ' || (unsigned char)name[i] >= 0x7f ? '?' : name[i];
    return copy;
}

static void take(struct recall *r, const struct name *name, struct wr_recalled *ret)
{
    struct wr_config_db *db = &ret->dbs[ret->n];
    struct wr_err e = {0};
    const char *link;

    if (!name->tame) {
        struct wr_str shown = wr_arena_fmt(r->arena, "%s/%s", r->dir->path, name->rel);

        refuse(r, ret, shown.p ? printable(r->arena, shown.p) : NULL,
            wr_arena_fmt(
                r->arena, "this name in the replica is none of a file below the directory"));
        return;
    }
    if (!wr_config_dir_takes(r->dir, name->rel))
        return;
    if (wr_config_dir_entry(r->arena, r->dir, name->rel, db, &e) != WR_OK) {
        refuse(r, ret, wr_arena_fmt(r->arena, "%s/%s", r->dir->path, name->rel).p,
            wr_arena_fmt(r->arena, "%s", e.text));
        return;
    }
    if (is_own(r, db))
        return;
    link = link_to(r, name->rel);
    if (link)
        refuse(r, ret, db->path,
            wr_arena_fmt(
                r->arena, "%s is a symbolic link, and would lead out of the directory", link));
    else
        ret->n++;
}

/* Ask all replicas. */
static int list_all(
    struct recall *r, weir *w, weir_cancel *cancel, struct wr_recalled *ret, weir_error *reterr)
{
    size_t listed = 0;
    int rc = WEIR_OK;

    for (size_t i = 0; i < r->dir->each.nreplicas; i++) {
        const struct wr_config_replica *from = &r->dir->each.replicas[i];
        weir_error err = {0};

        rc = weir_stored(w, from->url, from->settings, cancel, add_name, r, &err);
        if (r->nomem)
            return no_memory(reterr);
        listed += rc == WEIR_OK;
        if (rc == WEIR_OK)
            continue;
        *reterr = err;
        ret->unseen = from;
        ret->unseen_err = err;
        if (rc == WEIR_CANCELED)
            return rc;
    }
    return listed > 0 ? WEIR_OK : ret->unseen_err.code;
}

int wr_recall(weir *w, struct wr_arena *a, const struct wr_config_dir *dir,
    const struct wr_config *own, bool overwrite, weir_cancel *cancel, struct wr_recalled *ret,
    weir_error *reterr)
{
    struct recall r = {.arena = a, .dir = dir, .overwrite = overwrite};
    struct names *s = &r.names;
    int rc = own ? list_own(&r, own, reterr) : WEIR_OK;

    *ret = (struct wr_recalled){0};
    if (rc == WEIR_OK)
        rc = list_all(&r, w, cancel, ret, reterr);
    if (rc != WEIR_OK)
        return rc;
    if (s->n > 1)
        qsort(s->list, s->n, sizeof(*s->list), by_rel);
    ret->dbs = wr_arena_array(a, s->n, sizeof(*ret->dbs));
    ret->refused = wr_arena_array(a, s->n, sizeof(*ret->refused));
    if (!ret->dbs || !ret->refused)
        return no_memory(reterr);
    for (size_t i = 0; i < s->n; i++)
        if (i == 0 || strcmp(s->list[i].rel, s->list[i - 1].rel) != 0)
            take(&r, &s->list[i], ret);
    return r.nomem ? no_memory(reterr) : WEIR_OK;
}
