/*
 * promote.c - the command that makes a followed copy the primary, and goes on as replicate does.
 */
#include "base/call.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/url.h"
#include "cli/check_procs.h"
#include "cli/served.h"
#include "cli/table.h"
#include "daemon/expand.h"

#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

#define FOLLOWER_MS 30000 /* for the process that follows to end */
#define PAUSE_MS    100

struct options {
    const char *config, *output, *log_level;
    bool no_expand_env, force, json, no_replicate;
};

static const struct wr_flag flags[] = {
    {"config", WR_FLAG_TEXT, offsetof(struct options, config), "PATH",
        "configuration file (default $WEIR_CONFIG, /etc/weir.yml or /etc/litestream.yml)"},
    {"no-expand-env", WR_FLAG_BOOL, offsetof(struct options, no_expand_env), NULL,
        "leave $VARIABLES in the configuration alone"},
    {"o", WR_FLAG_TEXT, offsetof(struct options, output), "PATH",
        "the copy, if it is not where the database is in the configuration"},
    {"force", WR_FLAG_BOOL, offsetof(struct options, force), NULL,
        "also if the store cannot keep the old primary out: see to it that it does not run"},
    {"no-replicate", WR_FLAG_BOOL, offsetof(struct options, no_replicate), NULL,
        "end when it is done, and leave replicating to a daemon"},
    {"json", WR_FLAG_BOOL, offsetof(struct options, json), NULL, "print the result as JSON"},
    {"log-level", WR_FLAG_TEXT, offsetof(struct options, log_level), "LEVEL",
        "debug, info (the default), warn or error"},
    {0},
};

struct promoting {
    struct wr_cli *cli;
    const struct options *o;
    struct wr_config *config; /* of the one database, with the copy's path, and its one replica */
    const char *path, *url;
    weir_promote_result r;
};

/* ---- which copy, and whose ---- */

/* Where local state of another path is, is not where that of this one will be. */
static const char *const *without_state(struct wr_cli *cli, const char *const *settings)
{
    const char **out;
    size_t n = 0, at = 0;

    while (settings[n])
        n += 2;
    out = wr_arena_array(cli->arena, n + 1, sizeof(*out));
    for (size_t i = 0; out && i < n; i += 2) {
        if (wr_str_eq(wr_str(settings[i]), WR_STR("meta-path")))
            continue;
        out[at++] = settings[i];
        out[at++] = settings[i + 1];
    }
    return out;
}

/* The configuration, of this database alone. False after "Error: ...". */
static bool narrow(struct promoting *p, const char *db_path)
{
    const struct wr_config_db *db = NULL;
    struct wr_config_db *one = wr_arena_alloc(p->cli->arena, sizeof(*one));
    char message[400];
    struct wr_err e = {0};
    enum wr_status st = one ? wr_config_find(p->cli->arena, p->config, db_path, &db, &e)
                            : wr_fail(&e, WR_NOMEM, "out of memory");

    if (st == WR_OK && db->nreplicas != 1) {
        (void)snprintf(message, sizeof(message),
            "%.200s has %zu replicas: name the one that the copy has followed", db->path,
            db->nreplicas);
        (void)wr_cli_fail(message, "weir promote /path/to/copy s3://bucket/prefix");
        return false;
    }
    if (st == WR_OK) {
        *one = *db;
        if (p->o->output) {
            st = wr_expand_path(p->cli->arena, wr_str(p->o->output), &one->path, &e);
            one->settings = without_state(p->cli, db->settings);
            one->from = NULL;
        }
    }
    if (st == WR_OK && !one->settings)
        st = wr_fail(&e, WR_NOMEM, "out of memory");
    if (st != WR_OK) {
        (void)wr_cli_fail(e.text, NULL);
        return false;
    }
    p->config->dbs = one;
    p->config->ndbs = p->config->nown = 1;
    p->config->ndirs = 0;
    return true;
}

static bool configure(struct promoting *p, const struct wr_args *args)
{
    const char *path = p->o->output ? p->o->output : args->n == 2 ? args->positional[0] : NULL;
    const char *from = args->n > 0 ? args->positional[args->n - 1] : NULL;

    if (!from || args->n > (p->o->output ? 1u : 2u)) {
        (void)wr_cli_fail(from ? "too many arguments" : "path of the copy required",
            "weir promote /path/to/copy s3://bucket/prefix");
        return false;
    }
    if (path && (args->n == 2 || wr_url_is(wr_str(from)))) {
        if (p->o->config) {
            (void)wr_cli_fail("cannot specify a replica URL and the -config flag", NULL);
            return false;
        }
        p->config = wr_cli_adhoc(p->cli, path, &from, 1, NULL);
    } else {
        p->config = wr_cli_config(p->cli, p->o->config, !p->o->no_expand_env, WR_CLI_DIRS_UNSEEN);
        if (p->config && !narrow(p, from))
            return false;
    }
    if (!p->config)
        return false;
    p->path = p->config->dbs[0].path;
    p->url = wr_cli_url(p->cli, p->config->dbs[0].replicas[0].url);
    return true;
}

/* ---- the process that follows ---- */

/* SIGTERM to each that has our record of the copy open, and is weir; how many these are. */
static unsigned end_followers(struct promoting *p)
{
    struct wr_config_db record = {0};
    const struct wr_config_db *const records[] = {&record};
    struct wr_procs found;
    char *real = NULL;
    unsigned n = 0;

    if (wr_fs_posix()->resolve(wr_fs_posix(), p->path, &real, NULL) != WR_OK)
        return 0;
    record.path = wr_arena_fmt(p->cli->arena, "%s-follow", real).p;
    wr_free(real);
    if (!record.path)
        return 0;
    wr_procs_find(p->cli->arena, records, 1, &found);
    for (size_t i = 0; i < found.n; i++) {
        const struct wr_proc *x = &found.list[i];

        if (!x->ours && !wr_str_starts(wr_str(x->name), WR_STR("weir")))
            continue;
        n += kill((pid_t)x->pid, SIGTERM) == 0;
    }
    return n;
}

/* ---- the result ---- */

static bool print_json(const struct promoting *p)
{
    char txid[24], next[24], time[WR_TIME_TEXT_MAX], since[WR_TIME_TEXT_MAX];

    (void)snprintf(txid, sizeof(txid), "%016llx", (unsigned long long)p->r.txid);
    (void)snprintf(next, sizeof(next), "%016llx", (unsigned long long)p->r.next);
    wr_format_time(time, p->r.time_ms);
    wr_format_time(since, p->r.since_ms);
    if (p->r.before)
        return wr_json_print(
            json_pack("{s:s, s:s, s:I, s:s, s:s, s:b}", "path", p->path, "replica", p->url, "epoch",
                (json_int_t)p->r.epoch, "owner", p->r.owner, "since", since, "before", 1));
    return wr_json_print(json_pack("{s:s, s:s, s:I, s:s, s:s, s:b, s:s, s:s, s:s}", "path", p->path,
        "replica", p->url, "epoch", (json_int_t)p->r.epoch, "owner", p->r.owner, "since", since,
        "before", 0, "txid", txid, "timestamp", time, "next_txid", next));
}

static void print_text(const struct promoting *p)
{
    char time[WR_TIME_TEXT_MAX];

    wr_format_time_seconds(time, p->r.before ? p->r.since_ms : p->r.time_ms);
    if (p->r.before)
        (void)printf("%s was promoted before: epoch %llu, since %s\n", p->path,
            (unsigned long long)p->r.epoch, time);
    else
        (void)printf("Promoted %s: it writes to %s, as epoch %llu\n"
                     "It has txid %016llx, captured at %s; its own begin behind %016llx\n",
            p->path, p->url, (unsigned long long)p->r.epoch, (unsigned long long)p->r.txid, time,
            (unsigned long long)p->r.next);
}

static int exit_code(int rc)
{
    switch (rc) {
    case WEIR_BUSY:
        return WR_EXIT_BUSY;
    case WEIR_CONFLICT:
        return WR_EXIT_CONFLICT;
    case WEIR_NOTFOUND:
        return WR_EXIT_NO_BACKUP;
    default:
        return wr_cli_exit_code(rc);
    }
}

/* ---- all of it ---- */

static int promote(void *arg, weir *w, weir_cancel *cancel)
{
    struct promoting *p = arg;
    const struct wr_config_db *db = &p->config->dbs[0];
    const weir_promote_options opt = {.struct_size = sizeof(opt),
        .force = p->o->force,
        .settings = db->replicas[0].settings,
        .db_settings = db->settings,
        .cancel = cancel};
    int64_t end_ms = wr_mono_ms(wr_clock_system()) + FOLLOWER_MS;
    struct wr_call wait = {.clock = wr_clock_system(), .deadline_ms = end_ms};
    weir_error err = {0};
    int rc;

    do {
        p->r = (weir_promote_result){.struct_size = sizeof(p->r)};
        rc = weir_promote(w, db->replicas[0].url, p->path, &opt, &p->r, &err);
    } while (
        rc == WEIR_BUSY && end_followers(p) > 0 && wr_call_sleep(&wait, PAUSE_MS, NULL) == WR_OK);
    if (rc != WEIR_OK) {
        (void)wr_cli_fail(err.message, NULL);
        return exit_code(rc);
    }
    if (!p->o->json)
        print_text(p);
    else if (!print_json(p))
        return wr_cli_fail("out of memory", NULL);
    (void)fflush(stdout);
    return WR_EXIT_OK;
}

static int run(struct wr_cli *cli, size_t argc, char *const *argv)
{
    struct options o = {0};
    struct promoting p = {.cli = cli, .o = &o};
    struct wr_args args;
    int code;

    if (!wr_cli_parse(cli, &wr_command_promote, argc, argv, &o, &args, &code))
        return code;
    if (!configure(&p, &args))
        return WR_EXIT_FAILED;
    if (!wr_cli_log_to(cli, STDERR_FILENO, p.config, o.log_level))
        return WR_EXIT_FAILED;
    code = wr_cli_run(cli, promote, &p);
    if (code != WR_EXIT_OK || o.no_replicate)
        return code;
    return wr_cli_serve(cli, p.config,
        &(struct wr_serve_options){
            .program = cli->program,
            .shutdown_sync_timeout_ms = p.config->shutdown_sync_timeout_ms,
            .second_exit = WR_EXIT_NOT_SYNCED,
        });
}

static const char *const synopsis[] = {
    "[flags] COPY_PATH REPLICA_URL", "[flags] [-o COPY_PATH] DB_PATH", NULL};
static const char *const examples[] = {
    "/var/lib/standby.db s3://bucket/app",
    "-config /etc/weir.yml -no-replicate /var/lib/app.db",
    NULL,
};

const struct wr_command wr_command_promote = {
    .name = "promote",
    .summary = "make a copy that follows a replica the primary",
    .about =
        "Make a copy that restore -f has kept the database that writes to the replica: end the\n"
        "process that follows, apply what is newest, shut out the old primary, and replicate.\n"
        "No transaction that was acknowledged is lost. The old primary stops, and says why.",
    .synopsis = synopsis,
    .examples = examples,
    .flags = flags,
    .run = run,
};
