/*
 * config_load.c - where a configuration comes from: a file, or the arguments of a command.
 */
#include "base/buf.h"
#include "base/file.h"
#include "base/nearest.h"
#include "base/url.h"
#include "daemon/config_int.h"
#include "daemon/expand.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <weir.h>

#define FILE_MAX   ((size_t)4 << 20) /* bytes, before and after expansion */
#define GAPS_MAX   1000              /* variables without a value */
#define OWN_PATH   "/etc/weir.yml"
#define USUAL_PATH "/etc/litestream.yml"

const char *wr_config_default_path(void)
{
    static const char *const variables[] = {"WEIR_CONFIG", "LITESTREAM_CONFIG"};
    struct stat s;

    for (size_t i = 0; i < wr_countof(variables); i++) {
        const char *path = getenv(variables[i]);

        if (path && path[0])
            return path;
    }
    return stat(OWN_PATH, &s) == 0 ? OWN_PATH : USUAL_PATH;
}

/* To the end, or to one byte more than may be there. From the start, and not at offsets: a pipe, as
 * a shell makes of <(...), has neither size nor offset. */
static enum wr_status read_all(int fd, const char *path, struct wr_buf *out, struct wr_err *e)
{
    char piece[8192];
    ssize_t n;

    for (;;) {
        n = read(fd, piece, sizeof(piece));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return wr_fail_errno(e, errno, "read %s", path);
        if (n == 0)
            return wr_buf_status(out) == WR_OK ? WR_OK : wr_fail(e, WR_NOMEM, "out of memory");
        if (out->n + (size_t)n > FILE_MAX)
            return wr_fail(e, WR_MISUSE, "%s: too large", path);
        wr_buf_put(out, piece, (size_t)n);
    }
}

static enum wr_status read_file(const char *path, struct wr_buf *out, struct wr_err *e)
{
    struct stat s;
    enum wr_status st = WR_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0 && errno == ENOENT)
        return wr_fail(e, WR_NOTFOUND, "config file not found: %s", path);
    if (fd < 0)
        return wr_fail_errno(e, errno, "open %s", path);
    if (fstat(fd, &s) == 0 && S_ISDIR(s.st_mode))
        st = wr_fail(e, WR_MISUSE, "%s: is a directory", path);
    if (st == WR_OK)
        st = read_all(fd, path, out, e);
    (void)close(fd); /* opened for reading: nothing to lose */
    return st;
}

/* Variables without a value, where they stood, and where they are missed. */
struct unset {
    struct wr_warnings *warnings;
    const char *file;
    struct wr_str text;
    size_t at[GAPS_MAX]; /* in the expanded text, ascending */
    struct wr_str names[GAPS_MAX];
    size_t n;
};

/* Examples in comments are no mistakes, so a line that begins with '#' is passed over. */
static void note_unset(void *arg, struct wr_str name, bool is_set, size_t off, size_t out_off)
{
    struct unset *u = arg;
    size_t line = 1, start = 0, first;

    for (size_t i = 0; i < off; i++)
        if (u->text.p[i] == '\n') {
            line++;
            start = i + 1;
        }
    first = start;
    while (first < off && (u->text.p[first] == ' ' || u->text.p[first] == '\t'))
        first++;
    if (u->text.p[first] == '#' || u->n == GAPS_MAX)
        return;
    u->at[u->n] = out_off;
    u->names[u->n++] = name; /* a view of the text */
    wr_warnings_add(u->warnings, "%s:%zu:%zu: environment variable \"" WR_FMT "\" is %s", u->file,
        line, off - start + 1, WR_ARG(name), is_set ? "empty" : "not set");
}

/* As libyaml counts: characters, not bytes. */
static enum wr_status place_gaps(
    const struct unset *u, struct wr_str text, struct wr_doc *d, struct wr_err *e)
{
    struct wr_doc_gap *gaps = wr_arena_array(d->arena, u->n, sizeof(*gaps)), here = {0};
    size_t n = 0;

    if (!gaps)
        return wr_fail(e, WR_NOMEM, "out of memory");
    for (size_t i = 0; n < u->n; i++) {
        while (n < u->n && u->at[n] == i) {
            here.name = u->names[n];
            gaps[n++] = here;
        }
        if (i == text.n)
            break;
        if (text.p[i] == '\n')
            here = (struct wr_doc_gap){.line = here.line + 1};
        else
            here.column += ((unsigned char)text.p[i] & 0xc0) != 0x80;
    }
    d->gaps = gaps;
    d->ngaps = n;
    return WR_OK;
}

enum wr_status wr_config_load(
    struct wr_arena *a, const char *path, bool expand_env, struct wr_config **ret, struct wr_err *e)
{
    struct wr_config *c = wr_arena_alloc(a, sizeof(*c));
    struct unset *u = wr_arena_alloc(a, sizeof(*u));
    struct wr_warnings warnings;
    struct wr_str text = {0};
    struct wr_buf file, buf;
    struct wr_doc doc;
    enum wr_status st;

    if (!c || !u)
        return wr_fail(e, WR_NOMEM, "out of memory");
    if (!path)
        path = wr_config_default_path();
    wr_warnings_init(&warnings, a);
    wr_buf_init(&file, FILE_MAX);
    wr_buf_init(&buf, FILE_MAX);

    st = read_file(path, &file, e);
    if (st != WR_OK)
        goto out;
    text = wr_buf_view(&file);
    *u = (struct unset){.warnings = &warnings, .file = path, .text = text};
    if (expand_env) {
        wr_expand_env(&buf, text, note_unset, u);
        text = wr_buf_view(&buf);
        st = wr_buf_status(&buf);
        if (st != WR_OK) {
            st = wr_fail(e, st, "expand %s: %s", path, wr_status_text(st));
            goto out;
        }
    }
    st = wr_doc_open(&doc, a, &warnings, path, text, e);
    if (st != WR_OK)
        goto out;
    st = place_gaps(u, text, &doc, e);
    if (st == WR_OK)
        st = wr_config_read(&doc, c, e);
    wr_doc_close(&doc);
    if (st == WR_OK && warnings.nomem)
        st = wr_fail(e, WR_NOMEM, "out of memory");
    c->warnings = warnings.first;
    c->file = wr_arena_str(a, wr_str(path)).p;
    if (st == WR_OK)
        *ret = c;
out:
    wr_buf_release(&file);
    wr_buf_release(&buf);
    return st;
}

enum wr_status wr_config_adhoc(struct wr_arena *a, const char *path, const char *const *urls,
    size_t nurls, const char *sync_interval, struct wr_config **ret, struct wr_err *e)
{
    static const char *const no_settings[] = {NULL};
    struct wr_config *c = wr_arena_alloc(a, sizeof(*c));
    struct wr_config_db *db = wr_arena_alloc(a, sizeof(*db));
    struct wr_config_replica *r = wr_arena_array(a, nurls, sizeof(*r));
    enum wr_status st;

    if (!c || !db || !r)
        return wr_fail(e, WR_NOMEM, "out of memory");
    *db = (struct wr_config_db){.settings = no_settings, .replicas = r, .nreplicas = nurls};
    st = wr_expand_path(a, wr_str(path), &db->path, e);
    for (size_t i = 0; st == WR_OK && i < nurls; i++)
        st = wr_config_replica_url(a, urls[i], sync_interval, &r[i], e);
    if (st != WR_OK)
        return st;
    wr_config_defaults(c);
    c->dbs = db;
    c->ndbs = c->nown = 1;
    *ret = c;
    return WR_OK;
}

/* A database that a directory may have, as restored it will. *ret stays when there is none. */
static enum wr_status find_in_dirs(struct wr_arena *a, const struct wr_config *c, const char *full,
    const struct wr_config_db **ret, struct wr_err *e)
{
    for (size_t i = 0; i < c->ndirs; i++) {
        const struct wr_config_dir *dir = &c->dirs[i];
        const char *rel = wr_config_dir_rel(dir, full);
        struct wr_config_db *db;

        if (!rel)
            continue;
        db = wr_arena_alloc(a, sizeof(*db));
        if (!db)
            return wr_fail(e, WR_NOMEM, "out of memory");
        *ret = db;
        return wr_config_dir_entry(a, dir, rel, db, e);
    }
    return WR_OK;
}

enum wr_status wr_config_find(struct wr_arena *a, const struct wr_config *c, const char *path,
    const struct wr_config_db **ret, struct wr_err *e)
{
    const struct wr_config_db *found = NULL;
    struct wr_nearest near;
    const char *full, *best;
    enum wr_status st = wr_expand_path(a, wr_str(path), &full, e);

    if (st != WR_OK)
        return st;
    wr_nearest_init(&near, wr_str(full));
    for (size_t i = 0; i < c->ndbs && !found; i++) {
        if (wr_str_eq(wr_str(c->dbs[i].path), wr_str(full)))
            found = &c->dbs[i];
        wr_nearest_offer(&near, c->dbs[i].path);
    }
    if (!found)
        st = find_in_dirs(a, c, full, &found, e);
    if (st != WR_OK)
        return st;
    if (found) {
        *ret = found;
        return WR_OK;
    }
    best = wr_nearest_get(&near);
    if (best)
        return wr_fail(
            e, WR_MISUSE, "database not found in config: %s (did you mean %s?)", full, best);
    return wr_fail(e, WR_MISUSE, "database not found in config: %s", full);
}

int wr_config_log_level(const char *name)
{
    static const struct {
        const char *name;
        int level;
    } levels[] = {
        {"trace", WEIR_LOG_DEBUG},
        {"debug", WEIR_LOG_DEBUG},
        {"info", WEIR_LOG_INFO},
        {"warn", WEIR_LOG_WARN},
        {"warning", WEIR_LOG_WARN},
        {"error", WEIR_LOG_ERROR},
    };

    for (size_t i = 0; i < wr_countof(levels); i++)
        if (wr_str_eq_nocase(wr_str(name), wr_str(levels[i].name)))
            return levels[i].level;
    return WEIR_LOG_INFO;
}

const char *wr_config_setting(const char *const *settings, const char *key)
{
    for (; settings && *settings; settings += 2) {
        if (strcmp(settings[0], key) == 0)
            return settings[1];
    }
    return NULL;
}

const char *wr_config_state_dir(struct wr_arena *a, const struct wr_config_db *db)
{
    const struct wr_str dir = wr_path_dir(db->path), name = wr_path_base(db->path);
    const char *given = wr_config_setting(db->settings, "meta-path");

    if (given) {
        struct wr_str meta = wr_path_clean(a, wr_str(given));

        return meta.p ? wr_arena_str(a, meta).p : NULL;
    }
    return wr_arena_fmt(
        a, WR_FMT "%s." WR_FMT "-weir", WR_ARG(dir), dir.n > 1 ? "/" : "", WR_ARG(name))
        .p;
}
