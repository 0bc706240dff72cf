/*
 * verify.c - prove that what is in a replica can be restored.
 *
 * Each replica is judged by itself, one after the other. As text, findings come as they are made,
 * then what there is, and what to do; as JSON, one object a replica in a list.
 */
#include "cli/command.h"
#include "cli/display.h"
#include "cli/table.h"

struct options {
    const char *config;
    uint32_t parallel;
    bool no_expand_env, json, deep;
    int64_t deep_wait_ms;
};

static const struct wr_flag flags[] = {
    {"config", WR_FLAG_TEXT, offsetof(struct options, config), "PATH",
        "configuration file (default $WEIR_CONFIG, /etc/weir.yml or /etc/litestream.yml)"},
    {"deep", WR_FLAG_BOOL, offsetof(struct options, deep), NULL,
        "compare the newest state with the database itself, too"},
    {"deep-wait", WR_FLAG_DURATION, offsetof(struct options, deep_wait_ms), "DURATION",
        "how long to wait for what the database has and the replica not yet (default 1m)"},
    {"no-expand-env", WR_FLAG_BOOL, offsetof(struct options, no_expand_env), NULL,
        "leave $VARIABLES in the configuration alone"},
    {"json", WR_FLAG_BOOL, offsetof(struct options, json), NULL, "print JSON"},
    {"parallelism", WR_FLAG_COUNT, offsetof(struct options, parallel), "N",
        "files to read at once (default 4)"},
    {0},
};

#define SHOWN 100 /* findings of a replica; one cause may have thousands */

/* One replica. */
struct report {
    struct wr_cli *cli;
    const char *type, *url;
    struct wr_display display;
    weir_verify_result r;
    int64_t took_ms;
    uint64_t findings, live_findings;
    weir_txid newest_lost;
    json_t *list; /* of findings; NULL unless JSON is wanted */
    bool lost;    /* one could not be added */
};

#define TXID_TEXT_MAX 24
static const char *txid_text(char out[TXID_TEXT_MAX], weir_txid txid)
{
    out[0] = '\0';
    if (txid)
        (void)snprintf(out, TXID_TEXT_MAX, "%016llx", (unsigned long long)txid); /* it fits */
    return out;
}

static const char *time_text(char out[WR_TIME_TEXT_MAX], int64_t ms)
{
    out[0] = '\0';
    if (ms)
        wr_format_time_seconds(out, ms);
    return out;
}

static json_t *finding_json(const weir_finding *f)
{
    char min[TXID_TEXT_MAX], max[TXID_TEXT_MAX];

    if (f->kind == WEIR_FINDING_FILE)
        return json_pack("{s:s, s:s, s:i, s:s, s:s, s:s}", "kind", "file", "key", f->key, "level",
            (int)f->level, "min_txid", txid_text(min, f->min_txid), "max_txid",
            txid_text(max, f->max_txid), "text", f->text);
    if (f->kind == WEIR_FINDING_LIVE)
        return json_pack("{s:s, s:s, s:s}", "kind", "live", "txid", txid_text(max, f->max_txid),
            "text", f->text);
    return json_pack("{s:s, s:I, s:s, s:s, s:s}", "kind", "lost", "points", (json_int_t)f->points,
        "first_txid", txid_text(min, f->min_txid), "last_txid", txid_text(max, f->max_txid), "text",
        f->text);
}

static void print_finding(const struct report *x, const weir_finding *f)
{
    char min[TXID_TEXT_MAX], max[TXID_TEXT_MAX];

    (void)printf("%s: ", x->url);
    if (f->kind == WEIR_FINDING_FILE)
        (void)printf("%s: %s\n", f->key, f->text);
    else if (f->kind == WEIR_FINDING_LIVE)
        (void)printf("%s\n", f->text);
    else if (f->points == 1)
        (void)printf("txid %s %s\n", txid_text(min, f->min_txid), f->text);
    else
        (void)printf("%llu points from txid %s to %s %s\n", (unsigned long long)f->points,
            txid_text(min, f->min_txid), txid_text(max, f->max_txid), f->text);
}

static void add_finding(void *arg, const weir_finding *f)
{
    struct report *x = arg;

    x->findings++;
    x->live_findings += f->kind == WEIR_FINDING_LIVE;
    if (f->kind == WEIR_FINDING_LOST)
        x->newest_lost = wr_max(x->newest_lost, f->max_txid);
    if (x->list) {
        x->lost = json_array_append_new(x->list, finding_json(f)) != 0 || x->lost;
    } else if (x->findings <= SHOWN) {
        wr_display_clear(&x->display);
        print_finding(x, f);
    }
}

static const char *what_to_do(const struct report *x)
{
    if (x->r.points_lost == 0)
        return "nothing is lost: other files lead to the same transactions; but see to what did "
               "this, as the next time there may be no others";
    if (x->newest_lost < x->r.last_txid)
        return "the newest state can be restored; what is lost of the past stays lost";
    return "the newest state cannot be restored: change something in the database and have a "
           "snapshot of that sent, by weir sync -snapshot where it is being replicated, else by "
           "weir replicate -once -force-snapshot; where that, or the log, asks to remove a file, "
           "as nothing can be told from it, do so first; or replicate it to another URL, to which "
           "all is sent anew, and keep this one for its past";
}

static void print_range(const weir_verify_result *r)
{
    char txid[TXID_TEXT_MAX], time[WR_TIME_TEXT_MAX];

    if (r->points > 1)
        (void)printf("%llu points can be restored, from txid %s (%s) to ",
            (unsigned long long)r->points, txid_text(txid, r->first_txid),
            time_text(time, r->first_ms));
    else
        (void)printf("1 point can be restored, txid ");
    (void)printf("%s (%s)", txid_text(txid, r->last_txid), time_text(time, r->last_ms));
}

static void print_points(const struct report *x)
{
    const weir_verify_result *r = &x->r;
    char first[TXID_TEXT_MAX], last[TXID_TEXT_MAX], size[WR_SIZE_TEXT_MAX];

    (void)printf("%s: ", x->url);
    if (r->points == 0)
        (void)printf("no point can be restored");
    else
        print_range(r);
    if (r->points_structure > 0)
        (void)printf(": %llu proven, %llu whole by their files, which record no checksum of the "
                     "database (txid %s to %s)",
            (unsigned long long)r->points_proven, (unsigned long long)r->points_structure,
            txid_text(first, r->structure_first), txid_text(last, r->structure_last));
    else if (r->points > 0)
        (void)printf(": all proven");
    if (r->points_lost > 0)
        (void)printf("; %llu cannot", (unsigned long long)r->points_lost);
    wr_size_text(size, r->bytes_read);
    (void)printf("; %llu files, %s read in %.1fs", (unsigned long long)r->files_read, size,
        (double)x->took_ms / 1000);
    if (r->files_old > 0)
        (void)printf("; of no use any more: %llu, as retention leaves some",
            (unsigned long long)r->files_old);
    (void)printf("\n");
}

/* The database as it was read, which -deep was to find. */
static void print_live(const struct report *x)
{
    const weir_verify_result *r = &x->r;
    char txid[TXID_TEXT_MAX];

    if (r->live_txid == 0)
        return;
    (void)printf("%s: the database itself is that of txid %s: %lu pages are the same", x->url,
        txid_text(txid, r->live_txid), (unsigned long)r->live_pages);
    if (r->live_changing > 0)
        (void)printf("; %lu %s being written, and not compared", (unsigned long)r->live_changing,
            r->live_changing == 1 ? "was" : "were");
    (void)printf("\n");
}

/* What of the findings -deep has made says what to do itself. */
static const char *advice(const struct report *x, int rc)
{
    bool of_files = x->findings > x->live_findings;

    return (rc == WEIR_OK || rc == WEIR_CORRUPT) && of_files ? what_to_do(x) : "";
}

static void print_text(const struct report *x, int rc, const weir_error *err)
{
    /* A database that cannot be read takes nothing from what was proven of the replica. */
    if (rc == WEIR_UNSUPPORTED && x->r.points > 0)
        print_points(x);
    if (rc != WEIR_OK && rc != WEIR_CORRUPT) {
        (void)fflush(stdout); /* what was found before comes first */
        (void)fprintf(stderr, "Error: %s: %s\n", x->url, err->message);
        return;
    }
    if (x->findings > SHOWN)
        (void)printf("%s: and %llu more\n", x->url, (unsigned long long)(x->findings - SHOWN));
    print_points(x);
    print_live(x);
    if (*advice(x, rc))
        (void)printf("%s: %s\n", x->url, advice(x, rc));
}

static json_t *report_json(const struct report *x, int rc, const weir_error *err)
{
    const weir_verify_result *r = &x->r;
    char first[TXID_TEXT_MAX], last[TXID_TEXT_MAX], proven[TXID_TEXT_MAX], live[TXID_TEXT_MAX];
    char plain_first[TXID_TEXT_MAX], plain_last[TXID_TEXT_MAX];
    char from[WR_TIME_TEXT_MAX], to[WR_TIME_TEXT_MAX], until[WR_TIME_TEXT_MAX];
    const char *status = rc == WEIR_OK         ? "ok"
                         : rc == WEIR_CORRUPT  ? "damaged"
                         : rc == WEIR_NOTFOUND ? "no backup"
                                               : "failed";

    return json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:s, s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:s, "
        "s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:I, s:I, s:O, s:s}",
        "replica", x->type, "url", x->url, "status", status, "error",
        rc == WEIR_OK ? "" : err->message, "points", (json_int_t)r->points, "points_proven",
        (json_int_t)r->points_proven, "points_structure", (json_int_t)r->points_structure,
        "structure_first_txid", txid_text(plain_first, r->structure_first), "structure_last_txid",
        txid_text(plain_last, r->structure_last), "points_lost", (json_int_t)r->points_lost,
        "first_txid", txid_text(first, r->first_txid), "first_time", time_text(from, r->first_ms),
        "last_txid", txid_text(last, r->last_txid), "last_time", time_text(to, r->last_ms),
        "proven_txid", txid_text(proven, r->proven_txid), "proven_time",
        time_text(until, r->proven_ms), "files", (json_int_t)r->files, "files_read",
        (json_int_t)r->files_read, "files_old", (json_int_t)r->files_old, "files_gone",
        (json_int_t)r->files_gone, "bytes_read", (json_int_t)r->bytes_read, "duration_ms",
        (json_int_t)x->took_ms, "live_txid", txid_text(live, r->live_txid), "live_pages",
        (json_int_t)r->live_pages, "live_changing", (json_int_t)r->live_changing, "findings",
        x->list, "advice", advice(x, rc));
}

static int verify_one(struct report *x, weir *w, const struct options *o,
    const struct wr_config_replica *replica, const char *db_path, weir_cancel *cancel, json_t *out)
{
    int64_t start_ms = wr_mono_ms(wr_clock_system());
    const weir_verify_options opt = {.struct_size = sizeof(opt),
        .parallel = o->parallel,
        .settings = replica->settings,
        .cancel = cancel,
        .db_path = db_path,
        .db_wait_ms = o->deep_wait_ms,
        .progress = wr_display_show,
        .progress_arg = &x->display};
    weir_error err = {0};
    int rc;

    x->type = replica->type;
    x->url = wr_cli_url(x->cli, replica->url);
    x->r.struct_size = sizeof(x->r);
    x->list = o->json ? json_array() : NULL;
    wr_display_start(&x->display, wr_display_mode(o->json), start_ms);
    rc = weir_verify(w, replica->url, &opt, add_finding, x, &x->r, &err);
    wr_display_end(&x->display);
    x->took_ms = wr_mono_ms(wr_clock_system()) - start_ms;
    if (!o->json)
        print_text(x, rc, &err);
    else if (json_array_append_new(out, report_json(x, rc, &err)) != 0)
        x->lost = true;
    json_decref(x->list);
    return rc;
}

/* Of several replicas the worst: damage before whatever kept one from being judged. */
static int worse(int a, int b)
{
    static const int order[] = {
        WR_EXIT_OK, WR_EXIT_NO_BACKUP, WR_EXIT_FAILED, WR_EXIT_AUTH, WR_EXIT_CORRUPT};
    size_t i = 0, k = 0;

    while (order[i] != a)
        i++;
    while (order[k] != b)
        k++;
    return i > k ? a : b;
}

static int verify_all(struct wr_cli *cli, weir *w, const struct options *o,
    const struct wr_target *target, weir_cancel *cancel)
{
    json_t *out = o->json ? json_array() : NULL;
    int code = WR_EXIT_OK, rc = WEIR_OK;
    bool lost = false;

    for (size_t i = 0; i < target->n && rc != WEIR_CANCELED; i++) {
        struct report x = {.cli = cli};

        rc = verify_one(
            &x, w, o, &target->replicas[i], o->deep ? target->db_path : NULL, cancel, out);
        code = worse(code, rc == WEIR_NOTFOUND ? WR_EXIT_NO_BACKUP : wr_cli_exit_code(rc));
        lost = lost || x.lost;
    }
    if (o->json && (!wr_json_print(out) || lost))
        return wr_cli_fail("cannot print as JSON", NULL);
    return code;
}

struct work {
    struct wr_cli *cli;
    const struct options *o;
    const struct wr_target *target;
};

static int verify(void *arg, weir *w, weir_cancel *cancel)
{
    const struct work *x = arg;

    return verify_all(x->cli, w, x->o, x->target, cancel);
}

static int run(struct wr_cli *cli, size_t argc, char *const *argv)
{
    struct options o = {0};
    struct wr_target target;
    struct wr_args args;
    int code;

    if (!wr_cli_parse(cli, &wr_command_verify, argc, argv, &o, &args, &code))
        return code;
    if (!wr_cli_one(&wr_command_verify, &args))
        return WR_EXIT_FAILED;
    if (!wr_cli_target(cli, args.positional[0], o.config, !o.no_expand_env, &target))
        return WR_EXIT_FAILED;
    if (o.deep_wait_ms && !o.deep)
        return wr_cli_fail("-deep-wait is for -deep", NULL);
    if (o.deep && !target.db_path)
        return wr_cli_fail("-deep needs the path of a database of the configuration", NULL);
    return wr_cli_run(cli, verify, &(struct work){.cli = cli, .o = &o, .target = &target});
}

static const char *const synopsis[] = {"[flags] DB_PATH", "[flags] REPLICA_URL", NULL};
static const char *const examples[] = {
    "/var/lib/app.db", "-deep /var/lib/app.db", "-json s3://bucket/app", NULL};

const struct wr_command wr_command_verify = {
    .name = "verify",
    .summary = "prove that what a replica holds can be restored",
    .about =
        "Read a replica in full, and prove that every transaction that it holds can be restored.\n"
        "A database of the configuration file stands for all of its replicas. Nothing is written.\n"
        "With -deep the database itself is read as well, and must be the newest of them.",
    .synopsis = synopsis,
    .examples = examples,
    .flags = flags,
    .run = run,
};
