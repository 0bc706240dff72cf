/*
 * fuzz_yaml.c - any text as the configuration file, environment variables in it first.
 *
 * Beyond not crashing: what is accepted has for each database an absolute path and a replica with a
 * URL; a refusal says why; and what is accepted, written out as plain YAML, with a value of its own
 * for all that was a default, a merge or an alias, is read again as the same configuration.
 */
#include "base/buf.h"
#include "base/url.h"
#include "daemon/config_int.h"
#include "daemon/expand.h"
#include "fuzz/fuzz.h"

#define TEXT_MAX ((size_t)1 << 20)

/* A double-quoted scalar. All that is not plain ASCII goes by number: YAML refuses some of it raw.
 */
static void put_quoted(struct wr_buf *out, const char *z)
{
    const unsigned char *p = (const unsigned char *)z;

    wr_buf_byte(out, '"');
    while (*p) {
        size_t n = *p < 0x80 ? 1 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;
        uint32_t c = n == 1 ? *p : *p & (0x7fu >> n);

        for (size_t i = 1; i < n; i++) {
            HOLDS((p[i] & 0xc0) == 0x80); /* what libyaml has read is UTF-8 */
            c = c << 6 | (p[i] & 0x3f);
        }
        if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
            wr_buf_fmt(out, "\\U%08x", (unsigned)c);
        else
            wr_buf_byte(out, (uint8_t)c);
        p += n;
    }
    wr_buf_byte(out, '"');
}

static void put_key(struct wr_buf *out, const char *indent, const char *key, const char *value)
{
    wr_buf_fmt(out, "%s%s: ", indent, key);
    put_quoted(out, value);
    wr_buf_byte(out, '\n');
}

static void put_settings(struct wr_buf *out, const char *indent, const char *const *kv)
{
    for (; kv[0]; kv += 2) {
        HOLDS(kv[1]);
        put_key(out, indent, kv[0], kv[1]);
    }
}

static const char *setting(const char *const *kv, const char *key)
{
    for (; kv[0]; kv += 2)
        if (strcmp(kv[0], key) == 0)
            return kv[1];
    return NULL;
}

/* The settings that begin with `prefix`, as a mapping of that name. */
static void put_group(
    struct wr_buf *out, const char *indent, const char *prefix, const char *const *kv)
{
    size_t n = strlen(prefix);
    bool any = false;

    for (; kv[0]; kv += 2) {
        if (strncmp(kv[0], prefix, n) != 0 || kv[0][n] != '.')
            continue;
        if (!any)
            wr_buf_fmt(out, "%s%s:\n", indent, prefix);
        any = true;
        wr_buf_z(out, "  ");
        put_key(out, indent, kv[0] + n + 1, kv[1]);
    }
}

/* What all databases have in common, and only the top of a file can say. */
static void put_common(struct wr_buf *out, const char *const *kv)
{
    const char *levels = setting(kv, "levels"), *l0 = setting(kv, "l0-retention");
    struct wr_str rest = wr_str(levels), one;

    put_group(out, "", "retention", kv);
    if (l0)
        put_key(out, "", "l0-retention", l0);
    if (levels)
        wr_buf_z(out, rest.n ? "levels:\n" : "levels: []\n");
    while (rest.n) {
        (void)wr_str_cut(rest, ',', &one, &rest);
        wr_buf_fmt(out, "  - interval: " WR_FMT "\n", WR_ARG(one));
    }
}

static void put_entry(struct wr_buf *out, const struct wr_config_db *db)
{
    static const char *const own[] = {"meta-path", "adopt-replica", "min-checkpoint-page-count"};
    const char *validation = setting(db->settings, "validation.interval");

    HOLDS(db->nreplicas >= 1);
    for (size_t i = 0; i < wr_countof(own); i++)
        if (setting(db->settings, own[i]))
            put_key(out, "    ", own[i], setting(db->settings, own[i]));
    put_group(out, "    ", "snapshot", db->settings);
    wr_buf_z(out, "    replicas:\n");
    for (size_t i = 0; i < db->nreplicas; i++) {
        const struct wr_config_replica *r = &db->replicas[i];

        HOLDS(r->type && wr_url_is(wr_str(r->url)));
        put_key(out, "      - ", "url", r->url);
        if (validation)
            put_key(out, "        ", "validation-interval", validation);
        put_settings(out, "        ", r->settings);
    }
}

static void put_dir(struct wr_buf *out, const struct wr_config_dir *dir)
{
    HOLDS(dir->path[0] == '/' && dir->pattern[0] && !dir->each.path);
    HOLDS(!dir->meta_path || !dir->meta_dir);
    put_key(out, "  - ", "dir", dir->path);
    put_key(out, "    ", "pattern", dir->pattern);
    put_key(out, "    ", "recursive", dir->recursive ? "true" : "false");
    put_key(out, "    ", "watch", dir->watch ? "true" : "false");
    if (dir->meta_path)
        put_key(out, "    ", "meta-path", dir->meta_path);
    if (dir->meta_dir)
        put_key(out, "    ", "meta-dir", dir->meta_dir);
    put_entry(out, &dir->each);
}

static void put_process(struct wr_buf *out, const struct wr_config *c)
{
    static const char *const formats[] = {"text", "json", "pretty"};

    if (c->exec)
        put_key(out, "", "exec", c->exec);
    if (c->addr)
        put_key(out, "", "addr", c->addr);
    if (c->heartbeat_url)
        put_key(out, "", "heartbeat-url", c->heartbeat_url);
    HOLDS(c->open_max == 0 || c->open_max >= WR_OPEN_MAX_LEAST);
    wr_buf_fmt(out, "open-max: %u\n", c->open_max);
    HOLDS(c->socket.permissions <= 0777 && c->heartbeat_interval_ms >= 60000);
    wr_buf_fmt(out, "heartbeat-interval: %lldms\nsocket:\n  permissions: 0%03o\n",
        (long long)c->heartbeat_interval_ms, (unsigned)c->socket.permissions);
    put_key(out, "  ", "enabled", c->socket.enabled ? "true" : "false");
    put_key(out, "  ", "path", c->socket.path);
    wr_buf_fmt(
        out, "shutdown-sync-timeout: %lldms\nlogging:\n", (long long)c->shutdown_sync_timeout_ms);
    put_key(out, "  ", "type", formats[c->logging.format]);
    put_key(out, "  ", "stderr", c->logging.to_stderr ? "true" : "false");
    if (c->logging.level)
        put_key(out, "  ", "level", c->logging.level);
}

static void put_config(struct wr_buf *out, const struct wr_config *c)
{
    put_process(out, c);
    if (c->ndbs > 0)
        put_common(out, c->dbs[0].settings);
    else if (c->ndirs > 0)
        put_common(out, c->dirs[0].each.settings);
    if (c->ndbs + c->ndirs > 0)
        wr_buf_z(out, "dbs:\n");
    for (size_t i = 0; i < c->ndbs; i++) {
        HOLDS(c->dbs[i].path && c->dbs[i].path[0] == '/');
        put_key(out, "  - ", "path", c->dbs[i].path);
        put_key(out, "    ", "restore-if-db-not-exists",
            c->dbs[i].restore_if_missing ? "true" : "false");
        put_entry(out, &c->dbs[i]);
    }
    for (size_t i = 0; i < c->ndirs; i++)
        put_dir(out, &c->dirs[i]);
}

/* Read a text; if that went well, what it says is in `out`. */
static enum wr_status read_text(struct wr_arena *a, struct wr_str text, struct wr_buf *out)
{
    struct wr_config c = {0};
    struct wr_warnings warnings;
    struct wr_err e = {0};
    struct wr_doc doc;
    enum wr_status st;

    wr_warnings_init(&warnings, a);
    st = wr_doc_open(&doc, a, &warnings, "f", text, &e);
    HOLDS(st == WR_OK || (st == WR_MISUSE && e.text[0]));
    if (st != WR_OK)
        return st;
    st = wr_config_read(&doc, &c, &e);
    wr_doc_close(&doc);
    HOLDS(st == WR_OK || (st == WR_MISUSE && e.text[0]));
    HOLDS(!warnings.nomem && warnings.n <= WR_WARNINGS_MAX);
    if (st == WR_OK)
        put_config(out, &c);
    HOLDS(wr_buf_status(out) == WR_OK);
    return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wr_arena *a = fuzz_call()->scratch;
    struct wr_buf text, first, second;

    HOLDS(setenv("WEIR_FUZZ", "v: 1", 1) == 0);
    wr_buf_init(&text, TEXT_MAX);
    wr_buf_init(&first, 16 * TEXT_MAX);
    wr_buf_init(&second, 16 * TEXT_MAX);
    wr_expand_env(&text, (struct wr_str){(const char *)data, size}, NULL, NULL);
    HOLDS(wr_buf_status(&text) == WR_OK);
    if (read_text(a, wr_buf_view(&text), &first) == WR_OK) {
        HOLDS(read_text(a, wr_buf_view(&first), &second) == WR_OK);
        HOLDS(wr_str_eq(wr_buf_view(&first), wr_buf_view(&second)));
    }
    wr_buf_release(&text);
    wr_buf_release(&first);
    wr_buf_release(&second);
    return 0;
}
