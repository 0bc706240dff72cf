/*
 * status.c - each database of the configuration: what is of it on this machine, and how far its
 * replicas are, if a daemon answers.
 *
 * Databases are looked at by stat(2) alone: to open one, and close it again, is for SQLite. How far
 * it was captured the daemon knows best; without it "ok" means that there is local state, which
 * tells the newest TXID.
 */
#include "cli/client.h"
#include "cli/command.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "cli/talk.h"

#include <errno.h>
#include <sys/stat.h>

#define DAEMON_MS 5000 /* for its answer */

struct options {
    const char *config, *socket;
    bool no_expand_env, json;
};

static const struct wr_flag flags[] = {
    {"config", WR_FLAG_TEXT, offsetof(struct options, config), "PATH",
        "configuration file (default $WEIR_CONFIG, /etc/weir.yml or /etc/litestream.yml)"},
    {"no-expand-env", WR_FLAG_BOOL, offsetof(struct options, no_expand_env), NULL,
        "leave $VARIABLES in the configuration alone"},
    {"socket", WR_FLAG_TEXT, offsetof(struct options, socket), "PATH",
        "control socket of the daemon (default: of the configuration)"},
    {"json", WR_FLAG_BOOL, offsetof(struct options, json), NULL, "print JSON"},
    {0},
};

/* One database. */
struct standing {
    const struct wr_config_db *db;
    const char *word;
    int64_t wal_bytes;   /* -1: no WAL */
    const json_t *entry; /* what the daemon says of it; NULL: nothing */
    char txid[24], wal_size[WR_SIZE_TEXT_MAX];
};

struct report {
    struct wr_cli *cli;
    const json_t *daemon; /* its databases; NULL: none answers */
    struct wr_table table;
    json_t *json; /* NULL: a table is wanted */
    bool lost;    /* something could not be added */
};

/* Whether there is a file that is not empty; errno is 0 or says why it cannot be told. */
static bool has_content(const char *path, int64_t *ret_bytes)
{
    struct stat s;
    bool there;

    errno = 0;
    there = stat(path, &s) == 0;
    if (!there && (errno == ENOENT || errno == ENOTDIR))
        errno = 0;
    *ret_bytes = there ? (int64_t)s.st_size : -1;
    return there && s.st_size > 0;
}

static void put_txid(struct standing *s, weir_txid txid)
{
    if (txid > 0)
        (void)snprintf(s->txid, sizeof(s->txid), "%016llx", (unsigned long long)txid); /* it fits */
}

/* By the files alone. False: out of memory. */
static bool look_at_files(struct wr_arena *a, struct standing *s)
{
    const char *state = wr_config_state_dir(a, s->db);
    struct wr_str ledger = wr_arena_fmt(a, "%s/ledger", state ? state : "");
    struct wr_str wal = wr_arena_fmt(a, "%s-wal", s->db->path);
    int64_t db_bytes, ledger_bytes;

    if (!state || !ledger.p || !wal.p)
        return false;
    (void)has_content(wal.p, &s->wal_bytes);
    (void)has_content(s->db->path, &db_bytes);
    if (errno)
        s->word = "error";
    else if (db_bytes < 0)
        s->word = "no database";
    else if (!has_content(ledger.p, &ledger_bytes))
        s->word = errno ? "error" : "not initialized";
    else
        put_txid(s, weir_state_txid(state));
    return true;
}

/* The daemon knows better, where it knows. */
static void look_at_entry(struct standing *s)
{
    json_int_t txid = json_integer_value(json_object_get(s->entry, "txid"));
    const char *status = json_string_value(json_object_get(s->entry, "status"));

    put_txid(s, (weir_txid)wr_max(txid, (json_int_t)0));
    if (json_object_get(s->entry, "error"))
        s->word = "error";
    else if (status && wr_str_eq(wr_str(status), WR_STR("stopped")))
        s->word = "stopped";
    else if (txid > 0)
        s->word = "ok";
}

static const json_t *find_entry(const json_t *daemon, const char *path)
{
    for (size_t i = 0; i < json_array_size(daemon); i++) {
        const json_t *entry = json_array_get(daemon, i);
        const char *its = json_string_value(json_object_get(entry, "path"));

        if (its && wr_str_eq(wr_str(its), wr_str(path)))
            return entry;
    }
    return NULL;
}

static void add_rows(struct report *r, const struct standing *s)
{
    const json_t *replicas = json_object_get(s->entry, "replicas");
    size_t n = json_array_size(replicas);

    for (size_t i = 0; i < wr_max(n, (size_t)1); i++) {
        const json_t *replica = json_array_get(replicas, i);
        const char *url = json_string_value(json_object_get(replica, "url"));
        char span[WR_SPAN_TEXT_MAX], lag[WR_SPAN_TEXT_MAX + 16] = "-";
        const char *const cells[] = {
            s->db->path, s->word, s->txid, s->wal_size, url ? url : "-", lag};

        wr_span_text(span, json_number_value(json_object_get(replica, "lag_seconds")));
        if (replica)
            (void)snprintf(lag, sizeof(lag), "%s%s", span,
                json_object_get(replica, "error") ? ", failing" : "");
        wr_table_add(&r->table, cells);
    }
}

/* NULL: out of memory. */
static json_t *object(const struct report *r, const struct standing *s)
{
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:s}", "database", wr_cli_shown(r->cli->arena, s->db->path),
            "status", s->word, "local_txid", s->txid, "wal_size", s->wal_size);
    json_t *replicas = json_object_get(s->entry, "replicas");
    json_t *error = json_object_get(s->entry, "error");
    bool ok = o != NULL;

    if (s->wal_bytes >= 0)
        ok = ok && json_object_set_new(o, "wal_bytes", json_integer(s->wal_bytes)) == 0;
    if (error)
        ok = ok && json_object_set(o, "error", error) == 0;
    if (r->daemon)
        ok = ok && (replicas ? json_object_set(o, "replicas", replicas)
                             : json_object_set_new(o, "replicas", json_array())) == 0;
    if (ok)
        return o;
    json_decref(o);
    return NULL;
}

static void add_db(struct report *r, const struct wr_config_db *db)
{
    struct standing s = {.db = db, .word = "ok", .txid = "-", .wal_size = "-"};

    if (!look_at_files(r->cli->arena, &s)) {
        r->lost = true;
        return;
    }
    if (s.wal_bytes >= 0)
        wr_size_text(s.wal_size, (uint64_t)s.wal_bytes);
    s.entry = find_entry(r->daemon, db->path);
    if (s.entry)
        look_at_entry(&s);
    if (!r->json)
        add_rows(r, &s);
    else if (json_array_append_new(r->json, object(r, &s)) != 0)
        r->lost = true;
}

/* What a daemon answers; NULL: none does, which is no error. The caller releases it. */
static json_t *ask(const char *socket)
{
    const struct wr_client_request q = {
        .socket = socket, .target = "/list", .verb = "list", .timeout_ms = DAEMON_MS};
    struct wr_err e = {0};
    json_t *answer;
    enum wr_status st = wr_client_ask(&q, &answer, &e);

    if (st == WR_OK && json_is_array(json_object_get(answer, "databases")))
        return answer;
    if (st == WR_OK)
        json_decref(answer);
    /* Somebody may be there: then what is missing below is not missing because nobody is. */
    if (st != WR_NOTFOUND)
        (void)fprintf(stderr, "Warning: without what the daemon knows: %s\n",
            st == WR_OK ? "its answer has no list of databases" : e.text);
    return NULL;
}

static int report(struct wr_cli *cli, const struct options *o, const struct wr_config *c,
    const struct wr_config_db *only)
{
    static const char *const header[] = {
        "database", "status", "local txid", "wal size", "replica", "lag"};
    json_t *answer = ask(o->socket ? o->socket : c->socket.path);
    struct report r = {.cli = cli,
        .daemon = json_object_get(answer, "databases"),
        .json = o->json ? json_array() : NULL};
    bool printed;

    wr_talk_warn_refused(answer);
    wr_table_init(&r.table, cli->arena, r.daemon ? 6 : 4);
    wr_table_add(&r.table, header);
    if (only)
        add_db(&r, only);
    for (size_t i = 0; !only && i < c->ndbs; i++)
        add_db(&r, &c->dbs[i]);
    printed = o->json ? wr_json_print(r.json) : wr_table_print(&r.table);
    json_decref(answer);
    if (printed && !r.lost)
        return WR_EXIT_OK;
    return wr_cli_fail("cannot print all: out of memory", NULL);
}

static int run(struct wr_cli *cli, size_t argc, char *const *argv)
{
    const struct wr_config_db *only = NULL;
    struct options o = {0};
    struct wr_err e = {0};
    struct wr_config *c;
    struct wr_args args;
    int code;

    if (!wr_cli_parse(cli, &wr_command_status, argc, argv, &o, &args, &code))
        return code;
    if (args.n > 1)
        return wr_cli_fail("too many arguments", NULL);
    c = wr_cli_config(
        cli, o.config, !o.no_expand_env, args.n == 1 ? WR_CLI_DIRS_UNSEEN : WR_CLI_DIRS_SHOWN);
    if (!c)
        return WR_EXIT_FAILED;
    if (args.n == 1 && wr_config_find(cli->arena, c, args.positional[0], &only, &e) != WR_OK)
        return wr_cli_fail(e.text, NULL);
    return report(cli, &o, c, only);
}

static const char *const synopsis[] = {"[flags] [DB_PATH]", NULL};
static const char *const examples[] = {
    "-config /etc/litestream.yml", "-json /var/lib/app.db", NULL};

const struct wr_command wr_command_status = {
    .name = "status",
    .summary = "show what is of each database here, and how far its replicas are",
    .about = "Show the databases of the configuration file. How far they are captured and "
             "replicated is\n"
             "what a running daemon says; where none answers, \"ok\" only means that the files are "
             "there\n"
             "which replication leaves on this machine.",
    .synopsis = synopsis,
    .examples = examples,
    .flags = flags,
    .run = run,
};
