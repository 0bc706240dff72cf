/*
 * asked.c - see asked.h.
 */
#include "vfs/asked.h"

#include "base/clock.h"
#include "base/str.h"
#include "vfs/file.h"
#include "vfs/pagemap.h"

#define VALUE_MAX WR_ERR_MAX

/* ---- times, as people write them ---- */

/* "5 minutes ago" */
static bool parse_ago(struct wr_str s, int64_t now_ms, int64_t *ret)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {{"second", 1000}, {"minute", 60000}, {"hour", 3600000}, {"day", 86400000},
        {"week", 604800000}};
    struct wr_str number, unit, rest;
    uint64_t n;

    if (!wr_str_cut(s, ' ', &number, &rest) || !wr_str_cut(rest, ' ', &unit, &rest) ||
        !wr_str_eq_nocase(wr_str_trim(rest), WR_STR("ago")) || !wr_parse_u64(number, &n))
        return false;
    if (unit.n > 1 && unit.p[unit.n - 1] == 's')
        unit.n--;
    for (size_t i = 0; i < wr_countof(units); i++) {
        if (!wr_str_eq_nocase(unit, wr_str(units[i].name)))
            continue;
        if (n > (uint64_t)(now_ms / units[i].ms))
            return false;
        *ret = now_ms - (int64_t)n * units[i].ms;
        return true;
    }
    return false;
}

/* "2006-01-02 15:04:05", in UTC, as SQLite's datetime() gives it. */
static bool parse_datetime(struct wr_str s, int64_t *ret)
{
    char text[WR_TIME_TEXT_MAX];

    if (s.n < 19 || s.n + 2 > sizeof(text) || s.p[10] != ' ')
        return false;
    memcpy(text, s.p, s.n);
    text[10] = 'T';
    text[s.n] = 'Z';
    return wr_parse_time((struct wr_str){text, s.n + 1}, ret);
}

enum wr_status wr_asked_time(const char *text, int64_t now_ms, int64_t *ret_ms, struct wr_err *e)
{
    struct wr_str s = wr_str_trim(wr_str(text));

    if (s.n == 0)
        return wr_fail(e, WR_MISUSE, "timestamp required");
    *ret_ms = 0;
    if (wr_str_eq_nocase(s, WR_STR("latest")))
        return WR_OK;
    if ((wr_parse_time(s, ret_ms) || parse_datetime(s, ret_ms) || parse_ago(s, now_ms, ret_ms)) &&
        *ret_ms > 0)
        return WR_OK;
    return wr_fail(e, WR_MISUSE,
        "invalid timestamp (expected RFC3339 or relative time like '5 minutes ago'): %.100s", text);
}

/* ---- values ---- */

struct answer {
    char text[VALUE_MAX];
    int64_t number;
    bool is_number;
};

typedef void get_fn(struct wr_vfs_file *f, const struct wr_pagemap_about *about,
    const struct wr_origin_look *look, struct answer *ret);
typedef enum wr_status set_fn(struct wr_vfs_file *f, const char *value, struct wr_err *e);

static void number(struct answer *ret, int64_t value)
{
    ret->is_number = true;
    ret->number = value;
    (void)snprintf(ret->text, sizeof(ret->text), "%lld", (long long)value);
}

static void hex(struct answer *ret, uint64_t txid)
{
    (void)snprintf(ret->text, sizeof(ret->text), "%016llx", (unsigned long long)txid);
}

static void get_txid(struct wr_vfs_file *f, const struct wr_pagemap_about *about,
    const struct wr_origin_look *look, struct answer *ret)
{
    (void)f, (void)look;
    hex(ret, about->txid);
}

static void get_head(struct wr_vfs_file *f, const struct wr_pagemap_about *about,
    const struct wr_origin_look *look, struct answer *ret)
{
    (void)f, (void)about;
    hex(ret, look->newest);
}

static void get_time(struct wr_vfs_file *f, const struct wr_pagemap_about *about,
    const struct wr_origin_look *look, struct answer *ret)
{
    char text[WR_TIME_TEXT_MAX];

    (void)f, (void)look;
    wr_format_time(text, about->time_ms);
    (void)snprintf(ret->text, sizeof(ret->text), "%s", text);
}

static void get_lag(struct wr_vfs_file *f, const struct wr_pagemap_about *about,
    const struct wr_origin_look *look, struct answer *ret)
{
    (void)f, (void)about;
    number(ret, look->lag_ms / 1000);
}

static void get_lag_ms(struct wr_vfs_file *f, const struct wr_pagemap_about *about,
    const struct wr_origin_look *look, struct answer *ret)
{
    (void)f, (void)about;
    number(ret, look->lag_ms);
}

static void get_epoch(struct wr_vfs_file *f, const struct wr_pagemap_about *about,
    const struct wr_origin_look *look, struct answer *ret)
{
    (void)f, (void)look;
    number(ret, (int64_t)about->epoch);
}

static void get_error(struct wr_vfs_file *f, const struct wr_pagemap_about *about,
    const struct wr_origin_look *look, struct answer *ret)
{
    (void)about;
    (void)snprintf(
        ret->text, sizeof(ret->text), "%s", f->why.code != WR_OK ? f->why.text : look->error);
}

static void get_progress(struct wr_vfs_file *f, const struct wr_pagemap_about *about,
    const struct wr_origin_look *look, struct answer *ret)
{
    (void)f, (void)about;
    if (look->copies)
        (void)snprintf(ret->text, sizeof(ret->text), "%u.%u", look->copied / 10, look->copied % 10);
    else
        (void)snprintf(ret->text, sizeof(ret->text), "0");
}

static void get_copy(struct wr_vfs_file *f, const struct wr_pagemap_about *about,
    const struct wr_origin_look *look, struct answer *ret)
{
    (void)f, (void)about;
    (void)snprintf(ret->text, sizeof(ret->text), "%s", look->copy_path);
}

static void get_write(struct wr_vfs_file *f, const struct wr_pagemap_about *about,
    const struct wr_origin_look *look, struct answer *ret)
{
    (void)f, (void)about, (void)look;
    number(ret, 0);
}

/* Programs turn it off to have all sent. */
static enum wr_status set_write(struct wr_vfs_file *f, const char *value, struct wr_err *e)
{
    bool on = false;

    (void)f;
    if (!wr_parse_bool(wr_str(value), &on))
        return wr_fail(e, WR_MISUSE, "write_enabled: \"%.100s\" is not true or false", value);
    return on ? wr_fail(e, WR_MISUSE, "write_enabled: replicas are read-only here") : WR_OK;
}

static enum wr_status set_time(struct wr_vfs_file *f, const char *value, struct wr_err *e)
{
    int64_t ms = 0;
    enum wr_status st = wr_asked_time(value, wr_wall_ms(wr_clock_system()), &ms, e);

    return st == WR_OK ? wr_vfs_file_go(f, 0, ms, e) : st;
}

static enum wr_status set_txid(struct wr_vfs_file *f, const char *value, struct wr_err *e)
{
    struct wr_str s = wr_str_trim(wr_str(value));
    uint64_t txid = 0;

    if (wr_str_eq_nocase(s, WR_STR("latest")))
        return wr_vfs_file_go(f, 0, 0, e);
    if (!wr_parse_hex64(s, &txid) || txid == 0)
        return wr_fail(e, WR_MISUSE, "invalid transaction (expected hex digits): %.100s", value);
    return wr_vfs_file_go(f, txid, 0, e);
}

static const struct asked {
    const char *name;
    get_fn *get;
    set_fn *set;
    const char *function, *setter; /* under Litestream's prefix and ours; NULL: none */
} table[] = {
    {"txid", get_txid, set_txid, "txid", "set_txid"},
    {"head_txid", get_head, NULL, "head_txid", NULL},
    {"time", get_time, set_time, "time", "set_time"},
    {"lag", get_lag, NULL, "lag", NULL},
    {"lag_ms", get_lag_ms, NULL, "lag_ms", NULL},
    {"epoch", get_epoch, NULL, "epoch", NULL},
    {"error", get_error, NULL, "error", NULL},
    {"hydration_progress", get_progress, NULL, "hydration_progress", NULL},
    {"hydration_file", get_copy, NULL, "hydration_file", NULL},
    {"write_enabled", get_write, set_write, NULL, NULL},
};

static const char *const prefixes[] = {"weir_", "litestream_"};

static enum wr_status answer(
    struct wr_vfs_file *f, const struct asked *a, struct answer *ret, struct wr_err *e)
{
    struct wr_pagemap *m = wr_vfs_file_state(f);
    struct wr_origin_look look;

    if (!m)
        return wr_fail(e, WR_MISUSE, "the database was opened before fork()");
    wr_origin_look(f->origin, &look);
    *ret = (struct answer){.number = 0};
    a->get(f, wr_pagemap_about(m), &look, ret);
    wr_pagemap_drop(m);
    return WR_OK;
}

/* ---- pragmas ---- */

static const struct asked *find(const char *pragma)
{
    for (size_t p = 0; p < wr_countof(prefixes); p++) {
        size_t n = strlen(prefixes[p]);

        if (sqlite3_strnicmp(pragma, prefixes[p], (int)n) != 0)
            continue;
        for (size_t i = 0; i < wr_countof(table); i++) {
            if (sqlite3_stricmp(pragma + n, table[i].name) == 0)
                return &table[i];
        }
    }
    return NULL;
}

int wr_asked_pragma(struct wr_vfs_file *f, char **arg)
{
    const struct asked *a = find(arg[1]);
    struct wr_err e = {0};
    struct answer is;
    enum wr_status st = WR_OK;

    if (!a)
        return SQLITE_NOTFOUND;
    if (arg[2])
        st = a->set ? a->set(f, arg[2], &e) : wr_fail(&e, WR_MISUSE, "%s is read-only", arg[1]);
    if (st == WR_OK) /* the new value, too: SQLite names the column after what comes back */
        st = answer(f, a, &is, &e);
    arg[0] = sqlite3_mprintf("%s", st == WR_OK ? is.text : e.text);
    return st == WR_OK ? SQLITE_OK : SQLITE_ERROR;
}

/* ---- functions ---- */

static struct wr_vfs_file *replica_of(sqlite3_context *context, const char *schema)
{
    sqlite3_file *f = NULL;

    if (sqlite3_file_control(sqlite3_context_db_handle(context), schema, SQLITE_FCNTL_FILE_POINTER,
            &f) == SQLITE_OK &&
        f && f->pMethods == &wr_vfs_file_methods)
        return wr_container_of(f, struct wr_vfs_file, base);
    return NULL;
}

static void fail(sqlite3_context *context, const char *text)
{
    sqlite3_result_error(context, text, -1);
}

static struct wr_vfs_file *replica_or_fail(
    sqlite3_context *context, int n, sqlite3_value **v, int at)
{
    const char *schema = n > at ? (const char *)sqlite3_value_text(v[at]) : "main";
    struct wr_vfs_file *f = replica_of(context, schema ? schema : "main");

    if (!f)
        fail(context, "connection not registered: the schema is no replica that weir reads");
    return f;
}

static void run_get(sqlite3_context *context, int n, sqlite3_value **v)
{
    const struct asked *a = sqlite3_user_data(context);
    struct wr_vfs_file *f = replica_or_fail(context, n, v, 0);
    struct answer is;
    struct wr_err e = {0};

    if (!f)
        return;
    if (answer(f, a, &is, &e) != WR_OK)
        fail(context, e.text);
    else if (is.is_number)
        sqlite3_result_int64(context, is.number);
    else
        sqlite3_result_text(context, is.text, -1, SQLITE_TRANSIENT);
}

static void run_set(sqlite3_context *context, int n, sqlite3_value **v)
{
    const struct asked *a = sqlite3_user_data(context);
    struct wr_vfs_file *f = replica_or_fail(context, n, v, 1);
    const char *value = (const char *)sqlite3_value_text(v[0]);
    struct wr_err e = {0};

    if (f && a->set(f, value ? value : "", &e) != WR_OK)
        fail(context, e.text);
}

static int add(sqlite3 *db, const char *prefix, const char *name, int args, int flags,
    const struct asked *a, void (*run)(sqlite3_context *, int, sqlite3_value **))
{
    char full[64];

    (void)snprintf(full, sizeof(full), "%s%s", prefix, name);
    return sqlite3_create_function_v2(
        db, full, args, SQLITE_UTF8 | flags, (void *)(uintptr_t)a, run, NULL, NULL, NULL);
}

int wr_asked_register(sqlite3 *db)
{
    int rc = SQLITE_OK;

    for (size_t i = 0; i < wr_countof(table); i++) {
        for (size_t p = 0; table[i].function && p < wr_countof(prefixes); p++) {
            for (int args = 0; rc == SQLITE_OK && args < 2; args++) {
                rc = add(db, prefixes[p], table[i].function, args, 0, &table[i], run_get);
                if (rc == SQLITE_OK && table[i].setter)
                    rc = add(db, prefixes[p], table[i].setter, args + 1, SQLITE_DIRECTONLY,
                        &table[i], run_set);
            }
        }
    }
    return rc;
}
