/*
 * check.c - the command that says what a configuration will really do, before anybody trusts it.
 *
 * It changes nothing here and, in the stores, nothing for longer than a probe takes.
 */
#include "cli/check_int.h"
#include "cli/check_policy.h"
#include "cli/check_procs.h"
#include "cli/table.h"
#include "daemon/certificate.h"
#include "daemon/dirs.h"
#include "daemon/doc.h"

#define REPLICAS_MAX 8 /* of one database, as the configuration has it */
#define ENDS_SOON_S  ((int64_t)7 * 86400)

struct options {
    const char *config;
    bool no_expand_env, json, no_probe, policy;
    int64_t timeout_ms;
};

static const struct wr_flag flags[] = {
    {"config", WR_FLAG_TEXT, offsetof(struct options, config), "PATH",
        "configuration file (default $WEIR_CONFIG, /etc/weir.yml or /etc/litestream.yml)"},
    {"no-expand-env", WR_FLAG_BOOL, offsetof(struct options, no_expand_env), NULL,
        "leave $VARIABLES in the configuration alone"},
    {"no-probe", WR_FLAG_BOOL, offsetof(struct options, no_probe), NULL,
        "send nothing to the stores"},
    {"timeout", WR_FLAG_SECONDS, offsetof(struct options, timeout_ms), "DURATION",
        "for each step of a probe (default 10s)"},
    {"policy", WR_FLAG_BOOL, offsetof(struct options, policy), NULL,
        "print the least AWS policy for the replicas in S3, and nothing else"},
    {"json", WR_FLAG_BOOL, offsetof(struct options, json), NULL, "print JSON"},
    {0},
};

/* One call of the command. */
struct task {
    struct wr_check k;
    const struct options *o;
    const struct wr_config_db **dbs; /* that are to be checked */
    size_t ndbs;
    struct wr_procs procs;
    struct wr_dirs_seen seen;
    const char *const *probed[REPLICAS_MAX]; /* settings of the last store that was tried */
    weir *w;
    weir_cancel *cancel;
};

/* A database on its way through the replicas. */
struct subject {
    const struct wr_config_db *db;
    struct wr_check_history history;
    uint64_t bytes;
};

/* The databases of a directory share their settings and the place: one of them is tried for all. */
static void probe(
    struct task *t, const struct subject *s, size_t i, const struct wr_check_store *store)
{
    const struct wr_config_replica *r = &s->db->replicas[i];

    if (i < REPLICAS_MAX && t->probed[i] == r->settings) {
        wr_check_line(&t->k, "probe", "as of the database before, of the same directory");
        return;
    }
    if (i < REPLICAS_MAX)
        t->probed[i] = r->settings;
    wr_check_probe(&t->k, t->w, t->cancel, r, store, s->history.retains, t->o->timeout_ms);
}

static void check_replica(struct task *t, const struct subject *s, size_t i)
{
    struct wr_check *k = &t->k;
    const struct wr_config_replica *r = &s->db->replicas[i];
    struct wr_check_store store = {0};

    wr_check_text(k, "url", wr_cli_url(k->cli, r->url));
    wr_check_text(k, "type", r->type);
    wr_check_line(k, "replica", "%s", wr_cli_url(k->cli, r->url));
    if (!wr_check_replica_values(k, r, &store))
        return;
    wr_check_tell_cost(k, &s->history, &store, s->bytes);
    if (!t->o->no_probe)
        probe(t, s, i, &store);
}

static void check_replicas(struct task *t, const struct subject *s)
{
    const struct wr_config_db *db = s->db;
    json_t *outer = t->k.at, *list = json_array();

    wr_check_set(&t->k, "replicas", list);
    for (size_t i = 0; i < db->nreplicas; i++) {
        json_t *one = json_object();

        if (json_array_append_new(list, one) != 0) {
            t->k.lost = true;
            return;
        }
        t->k.at = one;
        check_replica(t, s, i);
    }
    t->k.at = outer;
}

static void check_db(struct task *t, json_t *list, size_t i)
{
    struct wr_check *k = &t->k;
    const struct wr_config_db *db = t->dbs[i];
    struct subject s = {.db = db};
    json_t *outer = k->at, *one = json_object();

    if (json_array_append_new(list, one) != 0) {
        k->lost = true;
        return;
    }
    k->at = one;
    if (!k->json)
        (void)printf("%s\n", db->path);
    wr_check_text(k, "path", db->path);
    wr_check_files(k, db, &s.bytes);
    wr_check_tell_procs(k, &t->procs, i);
    if (wr_check_db_values(k, db, &s.history)) {
        wr_check_tell_history(k, &s.history);
        check_replicas(t, &s);
    }
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

static void tell_certificate(struct wr_check *k, const struct wr_config_serve *s)
{
    struct wr_certificate c = {0};
    struct wr_err e = {0};

    if (wr_certificate_read(s->cert_file, s->key_file, &c, &e) != WR_OK) {
        wr_check_find(k, WR_CHECK_ERROR, "serve: followers are not served: %s", e.text);
        return;
    }
    if (c.exposed)
        wr_check_find(k, WR_CHECK_WARNING,
            "serve: all users of this machine can read the private key in %s: chmod o-r",
            s->key_file);
    if (c.left_s < 0)
        wr_check_find(k, WR_CHECK_WARNING,
            "serve: the certificate in %s has expired, followers refuse it", s->cert_file);
    else if (c.left_s < ENDS_SOON_S)
        wr_check_find(k, WR_CHECK_WARNING, "serve: the certificate in %s expires within a week",
            s->cert_file);
    wr_certificate_release(&c);
}

/* Who follows, and what goes over the network for that. */
static void tell_serving(struct wr_check *k)
{
    const struct wr_config_serve *s = &k->config->serve;

    if (!s->addr)
        return;
    wr_check_text(k, "serve", s->addr);
    if (s->cert_file)
        tell_certificate(k, s);
    else if (!wr_config_is_loopback(s->addr))
        wr_check_find(k, WR_CHECK_WARNING,
            "serve: the token and all data go over the network in clear at %s: give cert-file and "
            "key-file, or have a proxy with TLS in front of it, and addr: localhost",
            s->addr);
    if (wr_config_is_loopback(s->addr) && !s->token)
        wr_check_find(k, WR_CHECK_WARNING,
            "serve: without a token every process of this machine can read the databases at %s",
            s->addr);
}

static void tell_watches(struct task *t)
{
    struct wr_check *k = &t->k;
    struct wr_check_watches w = {0};

    wr_check_watch_limits(&w);
    if (wr_check_watch_needs(k->cli->arena, k->config, t->dbs, t->ndbs, &t->seen, &w))
        wr_check_tell_watches(k, &w);
    else
        k->lost = true;
}

static int finish(struct task *t)
{
    struct wr_check *k = &t->k;
    unsigned errors = k->counts[WR_CHECK_ERROR], warnings = k->counts[WR_CHECK_WARNING];

    wr_check_number(k, "errors", errors);
    wr_check_number(k, "warnings", warnings);
    if (k->lost)
        return wr_cli_fail("cannot print all: out of memory", NULL);
    if (!k->json)
        (void)printf("\n%u error%s, %u warning%s\n", errors, errors == 1 ? "" : "s", warnings,
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
    struct wr_check_limits limits;
    json_t *list = json_array();

    t->w = w;
    t->cancel = cancel;
    wr_procs_find(k->cli->arena, t->dbs, t->ndbs, &t->procs);
    wr_check_text(k, "config", c->file);
    wr_check_set(k, "databases", list);
    for (size_t i = 0; i < t->ndbs; i++)
        check_db(t, list, i);
    if (!k->json)
        (void)printf("%s\n", c->file ? c->file : "all");
    wr_check_limits(&limits);
    wr_check_tell_limits(k, &t->procs, &limits, t->ndbs, c->open_max);
    tell_watches(t);
    tell_serving(k);
    tell_warnings(k);
    if (t->ndbs == 0)
        wr_check_find(k, WR_CHECK_ERROR, "the configuration has no database");
    wr_check_flush(k);
    return finish(t);
}

/* NULL: all of them. False: no memory. */
static bool choose(struct task *t, const struct wr_config_db *only)
{
    const struct wr_config *c = t->k.config;

    t->ndbs = only ? 1 : c->ndbs;
    t->dbs = wr_arena_array(t->k.cli->arena, t->ndbs + 1, sizeof(*t->dbs));
    for (size_t i = 0; t->dbs && i < t->ndbs; i++)
        t->dbs[i] = only ? only : &c->dbs[i];
    return t->dbs != NULL;
}

static bool load(struct task *t, struct wr_cli *cli, const struct wr_args *args)
{
    const struct options *o = t->o;
    const struct wr_config_db *only = NULL;
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
            st = wr_dirs_expand(cli->arena, c, false, WR_DIRS_LENIENT, &t->seen, &e);
        if (st == WR_OK && args->n == 1)
            st = wr_config_find(cli->arena, c, args->positional[0], &only, &e);
    }
    t->k.config = c;
    if (st == WR_OK && !choose(t, only))
        st = wr_fail(&e, WR_NOMEM, "out of memory");
    if (st != WR_OK)
        (void)wr_cli_fail(e.text, NULL);
    return st == WR_OK;
}

/* Of all replicas in S3; what is wrong with others does not matter. */
static int print_policy(struct task *t)
{
    struct wr_check *k = &t->k;
    struct wr_policy p;
    size_t n = 0;

    k->json = true; /* no lines */
    wr_policy_begin(&p);
    for (size_t i = 0; i < t->ndbs; i++) {
        const struct wr_config_db *db = t->dbs[i];
        bool deletes = wr_config_retains(db->settings);

        for (size_t j = 0; j < db->nreplicas; j++) {
            struct wr_check_store store = {0};

            if (!wr_check_replica_values(k, &db->replicas[j], &store) || !store.bucket)
                continue;
            wr_policy_add(&p, store.bucket, store.prefix ? store.prefix : "", deletes, store.region,
                store.kms_key);
            n++;
        }
    }
    for (const struct wr_check_finding *f = k->first; f; f = f->next)
        if (f->weight == WR_CHECK_ERROR)
            return wr_policy_drop(&p), wr_cli_fail(f->text, NULL);
    if (n == 0)
        return wr_policy_drop(&p), wr_cli_fail("there is no replica in S3", NULL);
    return wr_json_print(wr_policy_end(&p)) ? WR_EXIT_OK
                                            : wr_cli_fail("cannot print as JSON", NULL);
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
    code = WR_EXIT_FAILED;
    if (load(&t, cli, &args))
        code = o.policy ? print_policy(&t) : wr_cli_run(cli, work, &t);
    json_decref(t.k.at);
    return code;
}

static const char *const synopsis[] = {"[flags] [DB_PATH]", "[flags] DB_PATH REPLICA_URL...", NULL};
static const char *const examples[] = {
    "-config /etc/litestream.yml", "/var/lib/app.db s3://bucket/app", NULL};

const struct wr_command wr_command_check = {
    .name = "check",
    .summary = "say what a configuration will really do, and what is wrong with it",
    .about =
        "Say for each database and replica which settings count and who gave them, what may be "
        "lost\nand restored, and what it costs; try each store with small objects that are "
        "deleted again;\n"
        "and say what is wrong. Exit code: 0 if all is well, 2 if there are "
        "warnings, 1 if there\n"
        "are errors.",
    .synopsis = synopsis,
    .examples = examples,
    .flags = flags,
    .run = run,
};
