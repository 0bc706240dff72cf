/*
 * restore_run.c - run a restore or its dry run, show how far it is, print what came of it.
 */
#include "base/file.h"
#include "cli/display.h"
#include "cli/restore_int.h"
#include "daemon/expand.h"

static int json_failed(void)
{
    return wr_cli_fail("cannot print as JSON: is the path not UTF-8?", NULL);
}

/* Each of its changes is one of SQLite, which has a -journal while it lasts. */
static bool check_followed_name(const struct wr_restore *r)
{
    const size_t room = 255 - strlen("-journal"), n = wr_path_base(r->path).n;
    char message[200];

    if (!r->flags->follow || n <= room)
        return true;
    (void)snprintf(message, sizeof(message),
        "cannot follow, the name is too long: it has %zu bytes, and %zu leave room for SQLite's "
        "-journal beside it",
        n, room);
    return wr_cli_fail(message, "weir restore -f -o /path/to/a/shorter/name s3://bucket/prefix") ==
           WR_EXIT_OK;
}

bool wr_restore_expand(struct wr_restore *r)
{
    struct wr_err e = {0};
    json_t *path;

    if (wr_expand_path(r->cli->arena, wr_str(r->path), &r->path, &e) != WR_OK) {
        (void)wr_cli_fail(e.text, NULL);
        return false;
    }
    if (!check_followed_name(r))
        return false;
    if (!r->flags->json)
        return true;
    path = json_string(r->path);
    if (!path) /* now: when the database is in place, an error would be a lie */
        (void)json_failed();
    json_decref(path);
    return path;
}

/* Where the configuration has the local state of the database that is to be replaced; NULL: at its
 * usual place, or it is another file's. */
static const char *meta_of(const struct wr_restore *r)
{
    const char *const *settings = r->target.settings;

    if (!r->target.db_path || !settings || !wr_str_eq(wr_str(r->target.db_path), wr_str(r->path)))
        return NULL;
    return wr_config_setting(settings, "meta-path");
}

int wr_restore_run(struct wr_restore *r, weir *w, weir_error *err)
{
    struct wr_display d;
    int64_t start_ms = wr_mono_ms(wr_clock_system());
    enum wr_progress_mode mode =
        r->flags->quiet || r->among_others ? WR_PROGRESS_SILENT : wr_display_mode(r->flags->json);
    int log_level = r->cli->log.level, rc;

    wr_display_start(&d, mode, start_ms);
    r->opt.progress = wr_display_show;
    r->opt.progress_arg = &d;
    r->opt.meta_dir = meta_of(r);
    r->result = (weir_restore_result){.struct_size = sizeof(r->result)};
    if (mode == WR_PROGRESS_BAR) /* what the bar shows need not be logged across it */
        r->cli->log.level = wr_max(log_level, WEIR_LOG_WARN);
    rc = weir_restore(w, r->replica->url, r->path, &r->opt, &r->result, err);
    r->cli->log.level = log_level;
    wr_display_end(&d);
    r->took_ms = wr_mono_ms(wr_clock_system()) - start_ms;
    return rc;
}

#define TXID_TEXT_MAX 24
static void txid_text(char out[TXID_TEXT_MAX], weir_txid txid)
{
    (void)snprintf(out, TXID_TEXT_MAX, "%016llx", (unsigned long long)txid); /* it fits */
}

static int add_file(void *arg, const weir_file *f)
{
    struct wr_restore *r = arg;
    char level[16], min[TXID_TEXT_MAX], max[TXID_TEXT_MAX], size[24], time[WR_TIME_TEXT_MAX];
    const char *const cells[] = {level, f->name, min, max, size, time};

    (void)snprintf(level, sizeof(level), "%d", (int)f->level); /* these all fit */
    (void)snprintf(size, sizeof(size), "%llu", (unsigned long long)f->size);
    txid_text(min, f->min_txid);
    txid_text(max, f->max_txid);
    wr_format_time_seconds(time, f->time_ms);
    r->min_txid = r->min_txid ? wr_min(r->min_txid, f->min_txid) : f->min_txid;
    r->max_txid = wr_max(r->max_txid, f->max_txid);
    r->plan_bytes += f->size;
    if (!r->files)
        wr_table_add(&r->table, cells);
    else if (json_array_append_new(
                 r->files, json_pack("{s:i, s:s, s:s, s:s, s:I, s:s}", "level", (int)f->level,
                               "name", f->name, "min_txid", min, "max_txid", max, "size",
                               (json_int_t)f->size, "timestamp", time)) != 0)
        r->lost = true;
    return 0;
}

int wr_cli_restore_plan(struct wr_restore *r, weir *w, weir_error *err)
{
    static const char *const header[] = {
        "level", "file", "min_txid", "max_txid", "size", "timestamp"};
    int rc;

    wr_table_init(&r->table, r->cli->arena, wr_countof(header));
    wr_table_add(&r->table, header);
    r->files = r->flags->json ? json_array() : NULL;
    r->min_txid = r->max_txid = 0;
    r->plan_bytes = 0;
    rc = weir_plan(w, r->replica->url, &r->opt, add_file, r, err);
    if (rc != WEIR_OK) {
        json_decref(r->files);
        r->files = NULL;
    }
    return rc;
}

static int print_plan(struct wr_restore *r)
{
    const char *source = wr_cli_url(r->cli, r->replica->url);
    char min[TXID_TEXT_MAX], max[TXID_TEXT_MAX];

    txid_text(min, r->min_txid);
    txid_text(max, r->max_txid);
    if (r->files)
        return wr_json_print(json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "source", source,
                   "target_path", r->path, "replica", r->replica->type, "min_txid", min, "max_txid",
                   max, "files", r->files)) &&
                       !r->lost
                   ? WR_EXIT_OK
                   : json_failed();
    (void)printf("Restore plan:\n  source: %s\n  target: %s\n  replica: %s\n  txid range: %s - %s\n"
                 "\nFiles to fetch:\n",
        source, r->path, r->replica->type, min, max);
    return wr_table_print(&r->table) ? WR_EXIT_OK : wr_cli_fail("out of memory", NULL);
}

static const char *check_text(int32_t check)
{
    return check == WEIR_CHECK_FULL ? "full" : check == WEIR_CHECK_QUICK ? "quick" : "none";
}

static int print_result_json(struct wr_restore *r)
{
    char txid[TXID_TEXT_MAX] = "", time[WR_TIME_TEXT_MAX] = "";

    if (r->result.txid)
        txid_text(txid, r->result.txid);
    if (r->result.time_ms)
        wr_format_time(time, r->result.time_ms);
    return wr_json_print(json_pack("{s:s, s:s, s:s, s:I, s:s, s:I, s:I, s:I, s:I, s:i, s:s, s:s}",
               "db_path", r->path, "replica", r->replica->type, "txid", txid, "duration_ms",
               (json_int_t)r->took_ms, "integrity_check", check_text(r->result.verified), "size",
               (json_int_t)r->result.bytes, "bytes_read", (json_int_t)r->result.bytes_read,
               "bytes_resumed", (json_int_t)r->result.bytes_resumed, "bytes_kept",
               (json_int_t)r->result.bytes_kept, "files", (int)r->result.files, "timestamp", time,
               "format", r->result.format == WEIR_FORMAT_LEGACY ? "v0.3" : "ltx"))
               ? WR_EXIT_OK
               : json_failed();
}

static const char *text(const char *s)
{
    return s ? s : "?";
}

static void print_result(struct wr_restore *r)
{
    char size[WR_SIZE_TEXT_MAX], txid[TXID_TEXT_MAX], time[WR_TIME_TEXT_MAX] = "";
    char resumed[WR_SIZE_TEXT_MAX], kept[WR_SIZE_TEXT_MAX];

    wr_size_text(size, r->result.bytes);
    wr_size_text(resumed, r->result.bytes_resumed);
    wr_size_text(kept, r->result.bytes_kept);
    txid_text(txid, r->result.txid);
    if (r->result.time_ms)
        wr_format_time_seconds(time, r->result.time_ms);
    (void)fprintf(stderr, "restored %s from %s: ", text(wr_cli_shown(r->cli->arena, r->path)),
        text(wr_cli_shown(r->cli->arena, wr_cli_url(r->cli, r->replica->url))));
    if (r->result.txid)
        (void)fprintf(stderr, "txid %s, ", txid);
    if (time[0])
        (void)fprintf(stderr, "as of %s, ", time);
    (void)fprintf(stderr, "%s in %.1fs", size, (double)r->took_ms / 1000);
    if (r->result.bytes_resumed)
        (void)fprintf(stderr, " (%s fetched by an earlier run)", resumed);
    if (r->result.bytes_kept)
        (void)fprintf(stderr, " (%s kept of what was there)", kept);
    (void)fprintf(stderr, "%s%s\n", r->result.verified ? ", passed integrity check: " : "",
        r->result.verified ? check_text(r->result.verified) : "");
}

int wr_restore_print(struct wr_restore *r)
{
    if (r->flags->dry_run)
        return print_plan(r);
    if (r->flags->json)
        return print_result_json(r);
    if (!r->flags->quiet && !r->flags->follow)
        print_result(r);
    return WR_EXIT_OK;
}

int wr_restore_print_skipped(const struct wr_restore *r, const char *why)
{
    if (!r->flags->json)
        return WR_EXIT_OK;
    return wr_json_print(json_pack("{s:s, s:s}", "db_path", r->path, "skipped", why))
               ? WR_EXIT_OK
               : json_failed();
}
