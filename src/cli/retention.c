/*
 * retention.c - what retention would delete of a replica, and what it keeps for which reason.
 */
#include "base/str.h"
#include "cli/command.h"
#include "cli/progress.h"
#include "cli/table.h"

struct options {
    const char *config;
    bool no_expand_env, json, all;
    /* as the settings of a database; NULL: not given */
    const char *retention, *l0_retention, *keep, *hourly, *daily, *weekly, *monthly, *yearly;
};

static const struct wr_flag flags[] = {
    {"config", WR_FLAG_TEXT, offsetof(struct options, config), "PATH",
        "configuration file (default $WEIR_CONFIG, /etc/weir.yml or /etc/litestream.yml)"},
    {"no-expand-env", WR_FLAG_BOOL, offsetof(struct options, no_expand_env), NULL,
        "leave $VARIABLES in the configuration alone"},
    {"all", WR_FLAG_BOOL, offsetof(struct options, all), NULL,
        "list the files that stay, too, and why they do"},
    {"json", WR_FLAG_BOOL, offsetof(struct options, json), NULL, "print JSON"},
    {"retention", WR_FLAG_TEXT, offsetof(struct options, retention), "DURATION",
        "as if snapshot.retention were this"},
    {"l0-retention", WR_FLAG_TEXT, offsetof(struct options, l0_retention), "DURATION",
        "as if l0-retention were this"},
    {"keep", WR_FLAG_TEXT, offsetof(struct options, keep), "N", "as if snapshot.keep were this"},
    {"keep-hourly", WR_FLAG_TEXT, offsetof(struct options, hourly), "N",
        "as if snapshot.keep-hourly were this; likewise:"},
    {"keep-daily", WR_FLAG_TEXT, offsetof(struct options, daily), "N", "of days"},
    {"keep-weekly", WR_FLAG_TEXT, offsetof(struct options, weekly), "N", "of weeks"},
    {"keep-monthly", WR_FLAG_TEXT, offsetof(struct options, monthly), "N", "of months"},
    {"keep-yearly", WR_FLAG_TEXT, offsetof(struct options, yearly), "N", "of years"},
    {0},
};

/* Those of the database, and then those of the flags, which win. NULL: out of memory. */
static const char *const *settings_of(
    struct wr_cli *cli, const struct options *o, const struct wr_target *target)
{
    const char *const given[][2] = {
        {"snapshot.retention", o->retention},
        {"l0-retention", o->l0_retention},
        {"snapshot.keep", o->keep},
        {"snapshot.keep-hourly", o->hourly},
        {"snapshot.keep-daily", o->daily},
        {"snapshot.keep-weekly", o->weekly},
        {"snapshot.keep-monthly", o->monthly},
        {"snapshot.keep-yearly", o->yearly},
    };
    size_t n = 0;
    const char **r;

    while (target->settings[n])
        n += 2;
    r = wr_arena_array(cli->arena, n + 2 * wr_countof(given) + 1, sizeof(*r));
    if (!r)
        return NULL;
    for (size_t i = 0; i < n; i++)
        r[i] = target->settings[i];
    for (size_t i = 0; i < wr_countof(given); i++) {
        if (!given[i][1])
            continue;
        r[n++] = given[i][0];
        r[n++] = given[i][1];
    }
    r[n] = NULL;
    return r;
}

/* What is said of one replica. */
struct verdict {
    const struct options *o;
    struct wr_table table;
    json_t *files;
    uint64_t n, n_gone, bytes, bytes_gone;
    bool lost; /* a file could not be added */
};

static int add_file(void *arg, const weir_file *f)
{
    struct verdict *v = arg;
    char level[16], min[24], max[24], size[24], created[WR_TIME_TEXT_MAX];
    const char *const cells[] = {level, min, max, size, created, f->kept ? f->kept : "-"};

    v->n++;
    v->bytes += f->size;
    if (!f->kept) {
        v->n_gone++;
        v->bytes_gone += f->size;
    } else if (!v->o->all) {
        return 0;
    }
    (void)snprintf(level, sizeof(level), "%d", (int)f->level); /* these all fit */
    (void)snprintf(min, sizeof(min), "%016llx", (unsigned long long)f->min_txid);
    (void)snprintf(max, sizeof(max), "%016llx", (unsigned long long)f->max_txid);
    (void)snprintf(size, sizeof(size), "%llu", (unsigned long long)f->size);
    wr_format_time_seconds(created, f->time_ms);
    if (!v->o->json)
        wr_table_add(&v->table, cells);
    else if (json_array_append_new(
                 v->files, json_pack("{s:i, s:s, s:s, s:I, s:s, s:s?}", "level", (int)f->level,
                               "min_txid", min, "max_txid", max, "size", (json_int_t)f->size,
                               "timestamp", created, "kept", f->kept)) != 0)
        v->lost = true;
    return 0;
}

/* After the list. False: a part of it was lost. */
static bool print_text(const char *url, struct verdict *v)
{
    char gone[WR_SIZE_TEXT_MAX], all[WR_SIZE_TEXT_MAX];
    bool printed = v->n == 0 || (v->n_gone == 0 && !v->o->all) || wr_table_print(&v->table);

    wr_size_text(gone, v->bytes_gone);
    wr_size_text(all, v->bytes);
    (void)printf("%s: %llu of %llu files would be deleted, %s of %s\n", url,
        (unsigned long long)v->n_gone, (unsigned long long)v->n, gone, all);
    return printed;
}

static bool add_json(const char *url, const struct verdict *v, json_t *list)
{
    json_t *one = json_pack("{s:s, s:I, s:I, s:I, s:I, s:O}", "replica", url, "file_count",
        (json_int_t)v->n, "delete_count", (json_int_t)v->n_gone, "bytes", (json_int_t)v->bytes,
        "delete_bytes", (json_int_t)v->bytes_gone, "files", v->files);

    return json_array_append_new(list, one) == 0;
}

/* One replica: printed, or added to `list`. Returns the exit code. */
static int look(struct wr_cli *cli, weir *w, const struct options *o, const char *const *settings,
    const struct wr_config_replica *r, json_t *list)
{
    static const char *const header[] = {
        "level", "min_txid", "max_txid", "size", "created", "kept"};
    struct verdict v = {.o = o, .files = o->json ? json_array() : NULL};
    const char *url = wr_cli_url(cli, r->url);
    weir_error err = {0};
    bool told;
    int rc;

    wr_table_init(&v.table, cli->arena, wr_countof(header) - (o->all ? 0 : 1));
    wr_table_add(&v.table, header);
    rc = weir_retention(w, r->url, settings, r->settings, NULL, add_file, &v, &err);
    if (rc != WEIR_OK) {
        json_decref(v.files);
        (void)fprintf(stderr, "Error: %s: %s\n", url, err.message);
        return wr_cli_exit_code(rc);
    }
    told = o->json ? add_json(url, &v, list) : print_text(url, &v);
    json_decref(v.files);
    return told && !v.lost ? WR_EXIT_OK : wr_cli_fail("out of memory", NULL);
}

/* All replicas, whatever one of them says. Returns the exit code of the first that failed. */
static int look_at_all(struct wr_cli *cli, const struct options *o, const struct wr_target *target)
{
    const char *const *settings = settings_of(cli, o, target);
    json_t *list = o->json ? json_array() : NULL;
    weir *w = settings ? wr_cli_open(cli) : NULL;
    int code = settings ? WR_EXIT_OK : wr_cli_fail("out of memory", NULL);

    if (!w) {
        json_decref(list);
        return WR_EXIT_FAILED;
    }
    for (size_t i = 0; i < target->n; i++) {
        int one = look(cli, w, o, settings, &target->replicas[i], list);

        code = code != WR_EXIT_OK ? code : one;
    }
    (void)weir_close(w, 0, NULL); /* nothing is being replicated */
    if (o->json && !wr_json_print(list))
        return wr_cli_fail("out of memory", NULL);
    return code;
}

static int run(struct wr_cli *cli, size_t argc, char *const *argv)
{
    struct options o = {0};
    struct wr_target target;
    struct wr_args args;
    int code;

    if (!wr_cli_parse(cli, &wr_command_retention, argc, argv, &o, &args, &code))
        return code;
    if (!wr_cli_one(&wr_command_retention, &args))
        return WR_EXIT_FAILED;
    if (!wr_cli_target(cli, args.positional[0], o.config, !o.no_expand_env, &target))
        return WR_EXIT_FAILED;
    if (!wr_config_retains(target.settings))
        (void)fprintf(stderr, "Warning: retention.enabled is false: nothing is ever deleted\n");
    return look_at_all(cli, &o, &target);
}

static const char *const synopsis[] = {"[flags] DB_PATH", "[flags] REPLICA_URL", NULL};
static const char *const examples[] = {
    "/var/lib/app.db", "-all -keep-daily 7 -keep-monthly 12 s3://bucket/app", NULL};

const struct wr_command wr_command_retention = {
    .name = "retention",
    .summary = "list the files that retention would delete, and delete none",
    .about = "List the files of each replica that retention would delete now, by the rules of the\n"
             "configuration file, or the defaults and what the flags say. Nothing is deleted.",
    .synopsis = synopsis,
    .examples = examples,
    .flags = flags,
    .run = run,
};
