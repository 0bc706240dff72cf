/*
 * registry.c - see registry.h. What is in memory is what the file has; a change goes to the file
 * first. One change at a time, and the lock is not held over it.
 */
#include "daemon/registry.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/sync.h"

#include <jansson.h>

#define VERSION  1
#define FILE_MAX ((size_t)64 << 20) /* bytes */
#define MODE     0600

struct wr_registry {
    char *path;
    struct wr_logger *log;
    char *bad; /* what is wrong with the file; NULL: nothing. Frozen after wr_registry_new */

    struct wr_mutex mutex;
    struct wr_cond idle;
    bool changing; /* somebody has `list` for himself */
    bool begun;    /* of the one thread that begins */
    json_t *list;  /* the array of the file */
};

static const char *text_of(const json_t *entry, const char *key)
{
    return json_string_value(json_object_get(entry, key));
}

/* Where the entry of a path is; the size of the list: nowhere. */
static size_t find(const json_t *list, const char *path)
{
    size_t i = 0;

    while (i < json_array_size(list) &&
           !wr_str_eq(wr_str(text_of(json_array_get(list, i), "path")), wr_str(path)))
        i++;
    return i;
}

/* ---- reading ---- */

static int by_path(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum wr_status check_twice(struct wr_arena *a, const json_t *list, struct wr_err *e)
{
    size_t n = json_array_size(list);
    const char **paths = wr_arena_array(a, n, sizeof(*paths));

    if (!paths)
        return wr_fail(e, WR_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++)
        paths[i] = text_of(json_array_get(list, i), "path");
    if (n > 1)
        qsort(paths, n, sizeof(*paths), by_path);
    for (size_t i = 1; i < n; i++)
        if (strcmp(paths[i], paths[i - 1]) == 0)
            return wr_fail(e, WR_MISUSE, "%s is in it twice", paths[i]);
    return WR_OK;
}

static enum wr_status check_entry(const json_t *entry, size_t i, struct wr_err *e)
{
    const char *path = text_of(entry, "path"), *url = text_of(entry, "replica_url");

    if (!json_is_object(entry) || json_object_size(entry) != 2 || !path || !url)
        return wr_fail(
            e, WR_MISUSE, "databases[%zu] is not {\"path\": \"...\", \"replica_url\": \"...\"}", i);
    if (path[0] != '/')
        return wr_fail(e, WR_MISUSE, "databases[%zu].path is not absolute", i);
    return url[0] ? WR_OK : wr_fail(e, WR_MISUSE, "databases[%zu].replica_url is empty", i);
}

/* *ret is a reference of its own. */
static enum wr_status check(json_t *root, json_t **ret, struct wr_err *e)
{
    json_t *list = json_object_get(root, "databases");
    const json_t *version = json_object_get(root, "version");
    struct wr_arena a;
    enum wr_status st = WR_OK;

    if (!json_is_integer(version) || json_integer_value(version) != VERSION)
        return wr_fail(
            e, WR_MISUSE, "\"version\" is not %d: is it of another version of weir?", VERSION);
    if (!json_is_array(list) || json_object_size(root) != 2)
        return wr_fail(e, WR_MISUSE, "there must be \"version\" and a list \"databases\", no more");
    if (json_array_size(list) > WR_REGISTRY_MAX)
        return wr_fail(e, WR_MISUSE, "it has more than %d databases", WR_REGISTRY_MAX);
    for (size_t i = 0; st == WR_OK && i < json_array_size(list); i++)
        st = check_entry(json_array_get(list, i), i, e);
    wr_arena_init(&a, WR_ARENA_MAX);
    if (st == WR_OK)
        st = check_twice(&a, list, e);
    wr_arena_release(&a);
    if (st == WR_OK)
        *ret = json_incref(list);
    return st;
}

/* The bytes of the file; NOTFOUND: there is none. */
static enum wr_status slurp(const char *path, char **ret, size_t *ret_n, struct wr_err *e)
{
    const struct wr_fs *fs = wr_fs_posix();
    struct wr_file_info info = {0};
    struct wr_file *f = NULL;
    char *p = NULL;
    enum wr_status st = wr_file_open_temp(fs, path, WR_FILE_READ, &f, e); /* waits for no pipe */

    if (st == WR_OK)
        st = wr_file_info(f, &info, e);
    if (st == WR_OK && info.size > FILE_MAX)
        st = wr_fail(e, WR_MISUSE, "it has more than %zu bytes", FILE_MAX);
    if (st == WR_OK && !(p = wr_alloc((size_t)info.size + 1)))
        st = wr_fail(e, WR_NOMEM, "out of memory");
    if (st == WR_OK)
        st = wr_file_pread_all(f, p, (size_t)info.size, 0, path, e);
    if (f)
        wr_file_close(f);
    if (st != WR_OK) {
        wr_free(p);
        return st;
    }
    *ret = p;
    *ret_n = (size_t)info.size;
    return WR_OK;
}

static enum wr_status load(const char *path, json_t **ret, struct wr_err *e)
{
    json_error_t where;
    json_t *root;
    char *p = NULL;
    size_t n = 0;
    enum wr_status st = slurp(path, &p, &n, e);

    if (st != WR_OK)
        return st;
    root = json_loadb(p, n, JSON_REJECT_DUPLICATES, &where);
    wr_free(p);
    if (!root) { /* what it quotes behind " near " may be a URL, with its credentials */
        const char *quoted = strstr(where.text, " near ");

        return wr_fail(e, WR_MISUSE, "line %d, column %d: %.*s", where.line, where.column,
            quoted ? (int)(quoted - where.text) : (int)sizeof(where.text), where.text);
    }
    st = check(root, ret, e);
    json_decref(root);
    return st;
}

static enum wr_status begin_with(struct wr_registry *r, struct wr_err *e)
{
    struct wr_err why = {0};
    enum wr_status st = load(r->path, &r->list, &why);
    struct wr_buf text;

    if (st == WR_NOTFOUND)
        st = (r->list = json_array()) ? WR_OK : wr_fail(&why, WR_NOMEM, "out of memory");
    if (st == WR_OK || st == WR_NOMEM)
        return st == WR_OK ? WR_OK : wr_fail(e, st, "%s", why.text);
    wr_buf_init(&text, 4096);
    wr_buf_fmt(&text,
        "the file of registered databases, %s, is not as weir writes it: %s; repair it, or move it "
        "away and register its databases again, then restart",
        r->path, why.text);
    if (wr_buf_status(&text) == WR_OK)
        r->bad = wr_strndup((const char *)text.p, text.n);
    wr_buf_release(&text);
    if (!r->bad)
        return wr_fail(e, WR_NOMEM, "out of memory");
    wr_say(r->log, WEIR_LOG_ERROR, "registered databases are not replicated, all others are",
        WR_F_Z("error", r->bad));
    return WR_OK;
}

enum wr_status wr_registry_new(
    const char *path, struct wr_logger *log, struct wr_registry **ret, struct wr_err *e)
{
    struct wr_registry *r = wr_alloc(sizeof(*r));
    enum wr_status st;

    if (!r || !(r->path = wr_strndup(path, strlen(path)))) {
        wr_free(r);
        return wr_fail(e, WR_NOMEM, "out of memory");
    }
    r->log = log;
    wr_mutex_init(&r->mutex);
    wr_cond_init(&r->idle);
    st = begin_with(r, e);
    if (st == WR_OK)
        *ret = r;
    else
        wr_registry_free(r);
    return st;
}

void wr_registry_free(struct wr_registry *r)
{
    if (!r)
        return;
    json_decref(r->list);
    wr_cond_release(&r->idle);
    wr_mutex_release(&r->mutex);
    wr_free(r->bad);
    wr_free(r->path);
    wr_free(r);
}

static void begin_one(struct wr_registry *r, struct wr_fleet *f, const json_t *entry)
{
    const char *path = text_of(entry, "path"), *url = text_of(entry, "replica_url");
    struct wr_config *config = NULL;
    struct wr_arena a;
    struct wr_err e = {0};
    weir_error err = {0};

    if (wr_fleet_has(f, path)) {
        if (!r->begun)
            wr_say(r->log, WEIR_LOG_INFO,
                "a registered database is in the configuration, which counts",
                WR_F_Z("path", path));
        return;
    }
    wr_arena_init(&a, WR_ARENA_MAX);
    if (wr_config_adhoc(&a, path, &url, 1, NULL, &config, &e) != WR_OK)
        (void)snprintf(err.message, sizeof(err.message), "%.500s", e.text);
    else if (wr_fleet_add(f, &config->dbs[0], NULL, &err) == WEIR_OK)
        err.message[0] = '\0';
    if (err.message[0]) {
        if (err.code != WEIR_CANCELED && /* all is about to end */
            wr_absent_put(wr_fleet_absent(f), WR_ABSENT_REGISTRY, path, err.message))
            wr_say(r->log, WEIR_LOG_ERROR,
                "a registered database is not replicated, the others are", WR_F_Z("path", path),
                WR_F_Z("error", err.message));
    } else if (r->begun) {
        wr_say(r->log, WEIR_LOG_INFO,
            "a database that could not be begun with is replicated from now on",
            WR_F_Z("path", path));
    }
    wr_arena_release(&a);
}

static void claim(struct wr_registry *r)
{
    wr_mutex_lock(&r->mutex);
    while (r->changing)
        wr_cond_wait(&r->idle, &r->mutex);
    r->changing = true;
    wr_mutex_unlock(&r->mutex);
}

static void unclaim(struct wr_registry *r)
{
    wr_mutex_lock(&r->mutex);
    r->changing = false;
    wr_cond_signal(&r->idle);
    wr_mutex_unlock(&r->mutex);
}

static int append(const char *text, size_t n, void *arg)
{
    wr_buf_put(arg, text, n);
    return 0;
}

/* One at a time, so that who forgets one does not find it begun with after that, and nobody waits
 * for long. */
void wr_registry_begin(struct wr_registry *r, struct wr_fleet *f)
{
    json_t *list, *entry;
    size_t at;

    wr_absent_begin(wr_fleet_absent(f), WR_ABSENT_REGISTRY);
    if (r->bad)
        (void)wr_absent_put(wr_fleet_absent(f), WR_ABSENT_REGISTRY, r->path, r->bad);
    claim(r);
    list = json_incref(r->list); /* whoever changes it makes another one */
    unclaim(r);
    for (size_t i = 0; i < json_array_size(list); i++) {
        entry = json_array_get(list, i);
        claim(r);
        at = list == r->list ? i : find(r->list, text_of(entry, "path"));
        entry = json_array_get(r->list, at);
        if (entry)
            begin_one(r, f, entry);
        unclaim(r);
    }
    json_decref(list);
    wr_absent_end(wr_fleet_absent(f), WR_ABSENT_REGISTRY);
    r->begun = true;
}

/* Make `list` what is in the file, and then in memory. Takes the reference; NULL: out of memory. */
static enum wr_status store(struct wr_registry *r, json_t *list, struct wr_err *e)
{
    const struct wr_fs *fs = wr_fs_posix();
    json_t *root = json_pack("{s:i, s:O?}", "version", VERSION, "databases", list);
    struct wr_str dir = wr_path_dir(r->path);
    char *parent = wr_strndup(dir.p, dir.n);
    struct wr_buf text;
    enum wr_status st = WR_OK;

    wr_buf_init(&text, FILE_MAX);
    if (!list || !root || !parent || json_dump_callback(root, append, &text, JSON_INDENT(1)) != 0)
        st = wr_fail(e, WR_NOMEM, "out of memory");
    wr_buf_byte(&text, '\n');
    if (st == WR_OK && wr_buf_status(&text) != WR_OK)
        st = wr_fail(e, wr_buf_status(&text), "%s: %s", r->path,
            wr_buf_status(&text) == WR_LIMIT ? "it would be too large" : "out of memory");
    if (st == WR_OK)
        st = wr_mkdirs(fs, parent, 0700, e);
    if (st == WR_OK)
        st = wr_file_put(fs, r->path, MODE, text.p, text.n, e);
    if (st == WR_OK) {
        json_decref(r->list);
        r->list = json_incref(list);
    }
    wr_buf_release(&text);
    wr_free(parent);
    json_decref(root);
    json_decref(list);
    return st;
}

static enum wr_status refuse(const struct wr_registry *r, struct wr_err *e)
{
    return wr_fail(e, WR_MISUSE, "%s", r->bad);
}

enum wr_status wr_registry_put(
    struct wr_registry *r, const char *path, const char *url, struct wr_err *e)
{
    json_t *entry, *list;
    enum wr_status st = WR_OK;
    const char *has;
    size_t at;

    if (r->bad)
        return refuse(r, e);
    claim(r);
    at = find(r->list, path);
    has = text_of(json_array_get(r->list, at), "replica_url");
    if (has && wr_str_eq(wr_str(has), wr_str(url)))
        goto out;
    if (!has && at == WR_REGISTRY_MAX) {
        st = wr_fail(e, WR_LIMIT, "%s has %d databases already", r->path, WR_REGISTRY_MAX);
        goto out;
    }
    entry = json_pack("{s:s, s:s}", "path", path, "replica_url", url);
    list = json_copy(r->list);
    if (!entry) { /* they came as JSON: what is no UTF-8 cannot be here */
        st = wr_fail(e, WR_NOMEM, "out of memory");
        json_decref(list);
        goto out;
    }
    if (!list || (has ? json_array_set_new(list, at, entry) : json_array_append_new(list, entry))) {
        st = wr_fail(e, WR_NOMEM, "out of memory");
        json_decref(list);
        goto out;
    }
    st = store(r, list, e);
out:
    unclaim(r);
    return st;
}

enum wr_status wr_registry_forget(struct wr_registry *r, const char *path, struct wr_err *e)
{
    enum wr_status st = WR_OK;
    size_t at;

    if (r->bad)
        return refuse(r, e);
    claim(r);
    at = find(r->list, path);
    if (at < json_array_size(r->list)) {
        json_t *list = json_copy(r->list);

        if (list)
            (void)json_array_remove(list, at); /* it is there */
        st = store(r, list, e);
    }
    unclaim(r);
    return st;
}
