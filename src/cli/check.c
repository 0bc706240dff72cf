/*
 * check.c - the command that says what a configuration will really do, before anybody trusts it.
 *
 * It changes nothing here and, in the stores, nothing for longer than a probe takes.
 */
#include "cli/check_int.h"
#include "cli/table.h"
#include "daemon/dirs.h"
#include "daemon/doc.h"

struct options {
    const char *config;
    bool no_expand_env, json, no_probe;
};

static const struct wr_flag flags[] = {
    {"config", WR_FLAG_TEXT, offsetof(struct options, config), "PATH",
        "configuration file (default $WEIR_CONFIG, /etc/weir.yml or /etc/litestream.yml)"},
    {"no-expand-env", WR_FLAG_BOOL, offsetof(struct options, no_expand_env), NULL,
        "leave $VARIABLES in the configuration alone"},
    {"no-probe", WR_FLAG_BOOL, offsetof(struct options, no_probe), NULL,
        "send nothing to the stores"},
    {"json", WR_FLAG_BOOL, offsetof(struct options, json), NULL, "print JSON"},
    {0},
};

/* One call of the command. */
struct task {
    struct wr_check k;
    const struct options *o;
    const struct wr_config_db *only; /* NULL: all of the configuration */
};

static void check_replica(struct task *t, const struct wr_config_replica *r)
{
    struct wr_check *k = &t->k;
    struct wr_check_store store = {0};

    wr_check_text(k, "url", wr_cli_url(k->cli, r->url));
    wr_check_text(k, "type", r->type);
    wr_check_line(k, "replica", "%s", wr_cli_url(k->cli, r->url));
    if (!wr_check_replica_values(k, r, &store))
        return;
}

static void check_replicas(struct task *t, const struct wr_config_db *db)
{
    json_t *outer = t->k.at, *list = json_array();

    wr_check_set(&t->k, "replicas", list);
    for (size_t i = 0; i < db->nreplicas; i++) {
        json_t *one = json_object();

        if (json_array_append_new(list, one) != 0) {
            t->k.lost = true;
            return;
        }
        t->k.at = one;
        check_replica(t, &db->replicas[i]);
    }
    t->k.at = outer;
}

static void check_db(struct task *t, json_t *list, const struct wr_config_db *db)
{
    struct wr_check *k = &t->k;
    struct wr_check_history history = {0};
    json_t *outer = k->at, *one = json_object();
    uint64_t bytes;

    if (json_array_append_new(list, one) != 0) {
        k->lost = true;
        return;
    }
    k->at = one;
    if (!k->json)
        (void)printf("%s\n", db->path);
    wr_check_text(k, "path", db->path);
    wr_check_files(k, db, &bytes);
    if (wr_check_db_values(k, db, &history))
        check_replicas(t, db);
    wr_check_flush(k);
    if (!k->json)
        (void)putchar('\n');
    k->at = outer;
}

/* What whoever read the file has to say. */
static void tell_warnings(struct wr_check *k)
{
    for (const struct wr_warning *w = k->config->warnings; w; w = w->next)
        wr_check_find(k, WR_CHECK_WARNING, "%s", w->text);
}

static int finish(struct task *t)
{
    struct wr_check *k = &t->k;
    unsigned errors = k->counts[WR_CHECK_ERROR], warnings = k->counts[WR_CHECK_WARNING];

    wr_check_number(k, "errors", errors);
    wr_check_number(k, "warnings", warnings);
    if (k->lost)
        return wr_cli_fail("cannot print all: is a path not UTF-8?", NULL);
    if (!k->json)
        (void)printf("%u error%s, %u warning%s\n", errors, errors == 1 ? "" : "s", warnings,
            warnings == 1 ? "" : "s");
    else if (!wr_json_print(json_incref(k->at)))
        return wr_cli_fail("cannot print as JSON", NULL);
    return errors ? WR_EXIT_FAILED : warnings ? WR_EXIT_WARNINGS : WR_EXIT_OK;
}

static int work(void *arg, weir *w, weir_cancel *cancel)
{
    struct task *t = arg;
    struct wr_check *k = &t->k;
    const struct wr_config *c = k->config;
    json_t *list = json_array();

    (void)w;
    (void)cancel;
    wr_check_text(k, "config", c->file);
    wr_check_set(k, "databases", list);
    if (t->only)
        check_db(t, list, t->only);
    for (size_t i = 0; !t->only && i < c->ndbs; i++)
        check_db(t, list, &c->dbs[i]);
    tell_warnings(k);
    if (!t->only && c->ndbs == 0)
        wr_check_find(k, WR_CHECK_ERROR, "the configuration has no database");
    if (k->first && !k->json)
        (void)printf("%s\n", c->file ? c->file : "all");
    wr_check_flush(k);
    return finish(t);
}

static bool load(struct task *t, struct wr_cli *cli, const struct wr_args *args)
{
    const struct options *o = t->o;
    struct wr_config *c = NULL;
    struct wr_err e = {0};
    enum wr_status st;

    if (args->n > 1) {
        st = o->config ? wr_fail(&e, WR_MISUSE, "cannot specify a replica URL and the -config flag")
                       : wr_config_adhoc(cli->arena, args->positional[0], args->positional + 1,
                             args->n - 1, NULL, &c, &e);
    } else {
        st = wr_config_load(cli->arena, o->config, !o->no_expand_env, &c, &e);
        if (st == WR_OK && args->n == 0)
            st = wr_dirs_expand(cli->arena, c, false, true, NULL, &e);
        if (st == WR_OK && args->n == 1)
            st = wr_config_find(cli->arena, c, args->positional[0], &t->only, &e);
    }
    t->k.config = c;
    if (st != WR_OK)
        (void)wr_cli_fail(e.text, NULL);
    return st == WR_OK;
}

static int run(struct wr_cli *cli, size_t argc, char *const *argv)
{
    struct options o = {0};
    struct task t = {.o = &o};
    struct wr_args args;
    int code;

    if (!wr_cli_parse(cli, &wr_command_check, argc, argv, &o, &args, &code))
        return code;
    wr_check_init(&t.k, cli, o.json);
    code = load(&t, cli, &args) ? wr_cli_run(cli, work, &t) : WR_EXIT_FAILED;
    json_decref(t.k.at);
    return code;
}

static const char *const synopsis[] = {"[flags] [DB_PATH]", "[flags] DB_PATH REPLICA_URL...", NULL};
static const char *const examples[] = {
    "-config /etc/litestream.yml", "/var/lib/app.db s3://bucket/app", NULL};

const struct wr_command wr_command_check = {
    .name = "check",
    .summary = "say what a configuration will really do, and what is wrong with it",
    .about = "Say for each database and replica which settings count and who gave them, and what "
             "is wrong\n"
             "with files, rights and the like. Exit code: 0 if all is well, 2 if there are "
             "warnings, 1 if there\n"
             "are errors.",
    .synopsis = synopsis,
    .examples = examples,
    .flags = flags,
    .run = run,
};
