/*
 * restore_follow.c - restore -f: say when the copy is there; then the log tells, until a signal.
 * With -json a line on standard error has where it stands, when that is of another kind, and each
 * ten seconds:
 *
 *     {"phase":"behind","txid":"...","newest":"...","timestamp":"2026-05-01T10:00:00Z",
 *      "lag_ms":1200,"unseen_ms":0,"applied":3,"errors":0,"reason":""}
 */
#include "base/file.h"
#include "cli/display.h"
#include "cli/restore_int.h"
#include "daemon/standby.h"

#define TOKEN_MAX      4000  /* bytes of the file with it */
#define TELL_MS        10000 /* between lines about where it stands */
#define LINE_MAX_BYTES ((size_t)16 << 10)

/* Who gives one means TLS. */
static bool suits_ca_file(const struct wr_restore *r)
{
    return !r->flags->ca_file || wr_str_starts(wr_str(r->primary), WR_STR("https://")) ||
           wr_cli_fail("-ca-file is for a primary with TLS, whose URL begins with https://",
               "weir restore -f -o /var/lib/standby.db -ca-file ca.pem "
               "https://primary:9999/app.db") == WR_EXIT_OK;
}

/* Never an argument, which all users of a machine can read. */
static bool find_token(struct wr_restore *r)
{
    const char *path = r->flags->token_file, *env = getenv("WEIR_TOKEN");
    struct wr_str line = wr_str(env ? env : ""), rest;
    char room[TOKEN_MAX];
    struct wr_err e = {0};
    size_t got = 0;
    enum wr_status st = WR_OK;

    if (path) {
        st = wr_file_head(wr_fs_posix(), path, room, sizeof(room), &got, &e);
        (void)wr_str_cut((struct wr_str){room, got}, '\n', &line, &rest);
        line = wr_str_trim(line);
        if (st == WR_OK && line.n == 0)
            st = wr_fail(&e, WR_MISUSE, "%s has no token in its first line", path);
    }
    if (st == WR_OK && line.n > 0 && !(r->token = wr_arena_str(r->cli->arena, line).p))
        st = wr_fail(&e, WR_NOMEM, "out of memory");
    return st == WR_OK || wr_cli_fail(e.text, NULL) == WR_EXIT_OK;
}

bool wr_restore_from_primary(struct wr_restore *r, const char *arg)
{
    struct wr_config_replica *one = wr_arena_alloc(r->cli->arena, sizeof(*one));
    static const char *const no_settings[] = {NULL};

    if (!r->flags->follow) {
        (void)wr_cli_fail("a primary can be followed, and not be restored from: use -f, or the URL "
                          "of its replica",
            "weir restore -f -o /var/lib/standby.db http://primary:9999/app.db");
        return false;
    }
    if (!one) {
        (void)wr_cli_fail("out of memory", NULL);
        return false;
    }
    if (r->flags->config) {
        (void)wr_cli_fail("cannot specify the URL of a primary and the -config flag", NULL);
        return false;
    }
    *one = (struct wr_config_replica){.url = r->flags->replica ? r->flags->replica : arg,
        .type = "http",
        .settings = no_settings};
    r->primary = arg;
    r->bucket = r->flags->replica;
    r->target = (struct wr_target){.replicas = one, .n = 1};
    return suits_ca_file(r) && find_token(r);
}

bool wr_restore_from_source(struct wr_restore *r)
{
    r->primary = r->target.source;
    r->bucket = r->target.replicas[0].url;
    r->opt.settings = r->target.replicas[0].settings;
    return suits_ca_file(r) && find_token(r);
}

struct following {
    struct wr_restore *r;
    struct wr_display display;
    int log_level;
    int64_t start_ms;
    int32_t phase; /* as told; -1: nothing was */
    int64_t told_ms;
};

/* The restore is over, if there was one. */
static void begin(struct following *x)
{
    if (x->r->following)
        return;
    x->r->following = true;
    x->r->cli->log.level = x->log_level;
    wr_display_end(&x->display);
}

static int put(const char *p, size_t n, void *arg)
{
    wr_buf_put(arg, p, n);
    return 0;
}

/* In one piece, as the log goes there, too. */
static void put_line(const json_t *o)
{
    struct wr_buf line;

    wr_buf_init(&line, LINE_MAX_BYTES);
    if (o && json_dump_callback(o, put, &line, JSON_COMPACT) == 0)
        wr_buf_byte(&line, '\n');
    if (wr_buf_status(&line) == WR_OK && line.n > 0) /* else the next one has it all */
        (void)fwrite(line.p, 1, line.n, stderr);
    wr_buf_release(&line);
}

static void tell(const weir_follow_status *s)
{
    static const char *const phases[] = {
        [WEIR_FOLLOW_CURRENT] = "current",
        [WEIR_FOLLOW_BEHIND] = "behind",
        [WEIR_FOLLOW_WAITING] = "waiting",
        [WEIR_FOLLOW_FAILING] = "failing",
    };
    char txid[24], newest[24], time[WR_TIME_TEXT_MAX];
    json_t *reason = json_string(s->text ? s->text : ""), *o;

    (void)snprintf(txid, sizeof(txid), "%016llx", (unsigned long long)s->txid); /* these fit */
    (void)snprintf(newest, sizeof(newest), "%016llx", (unsigned long long)s->newest);
    wr_format_time_seconds(time, s->time_ms);
    if (!reason) /* an error that quotes what is no text */
        reason = json_string("?");
    o = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:i, s:o}", "phase", phases[s->phase],
        "txid", txid, "newest", newest, "timestamp", time, "lag_ms", (json_int_t)s->lag_ms,
        "unseen_ms", (json_int_t)s->unseen_ms, "applied", (json_int_t)s->applied, "errors",
        (int)s->errors, "reason", reason);
    put_line(o);
    json_decref(o);
}

static void show(void *arg, const weir_follow_status *status)
{
    struct following *x = arg;
    int64_t now_ms = wr_mono_ms(wr_clock_system());

    begin(x);
    wr_standby_note(x->r->standby, status);
    if (!x->r->flags->json || x->r->flags->quiet ||
        (status->phase == x->phase && now_ms - x->told_ms < TELL_MS))
        return; /* what is new in it is in the log */
    x->phase = status->phase;
    x->told_ms = now_ms;
    tell(status);
}

int wr_restore_follow(struct wr_restore *r, weir *w, weir_error *err)
{
    enum wr_progress_mode mode =
        r->flags->quiet ? WR_PROGRESS_SILENT : wr_display_mode(r->flags->json);
    struct following x = {.r = r,
        .log_level = r->cli->log.level,
        .start_ms = wr_mono_ms(wr_clock_system()),
        .phase = -1};
    const weir_follow_options opt = {.struct_size = sizeof(opt),
        .interval_ms = r->flags->interval_ms,
        .parallel = r->opt.parallel,
        .check = r->opt.check,
        .overwrite = r->opt.overwrite,
        .delta = r->opt.delta,
        .settings = r->opt.settings,
        .cancel = r->opt.cancel,
        .progress = wr_display_show,
        .progress_arg = &x.display,
        .fn = show,
        .arg = &x,
        .primary = r->primary,
        .token = r->token,
        .primary_ca_file = r->flags->ca_file};
    int rc;

    wr_display_start(&x.display, mode, x.start_ms);
    r->result = (weir_restore_result){.struct_size = sizeof(r->result)};
    if (mode == WR_PROGRESS_BAR) /* what the bar shows need not be logged across it */
        r->cli->log.level = wr_max(x.log_level, WEIR_LOG_WARN);
    rc = weir_follow(w, r->primary ? r->bucket : r->replica->url, r->path, &opt, &r->result, err);
    if (!r->following) {
        r->cli->log.level = x.log_level;
        wr_display_end(&x.display);
    }
    r->took_ms = wr_mono_ms(wr_clock_system()) - x.start_ms;
    return rc;
}
