/*
 * restore_many.c - all databases of a configuration, a directory or a prefix, several at once.
 *
 *   1  list them: the configuration's own, and of each directory those that its replicas hold, as
 *      the files that would tell are gone
 *   2  restore those whose file is missing; each goes its own way, and none stops the others
 *   3  say what became of each
 *
 * The list may be long, and has an arena of its own; what a restore needs is freed behind it.
 */
#include "base/file.h"
#include "base/mem.h"
#include "base/sync.h"
#include "cli/restore_int.h"
#include "daemon/expand.h"
#include "daemon/recall.h"

#define AT_ONCE     4
#define AT_ONCE_MAX 64
#define STACK_BYTES ((size_t)2 << 20)
#define LIST_MAX    ((size_t)1 << 30)
#define ONE_MAX     ((size_t)256 << 20)

struct many {
    struct wr_cli *cli;
    const struct wr_restore_flags *flags;
    const weir_restore_options *opt;
    const struct wr_config *config; /* NULL: a URL's */
    const struct wr_config_dir *dirs;
    size_t ndirs;
    bool own; /* entries of the configuration that are no directories, too */
    struct wr_arena arena;
    weir *w;
    weir_cancel *cancel;

    struct wr_many_item *items;
    size_t n, cap;

    struct wr_mutex mutex; /* while there are workers: `arena`, `next`, one report at a time */
    size_t next;
};

/* ---- 1: the list ---- */

static struct wr_many_item *add(struct many *m, const char *path)
{
    struct wr_many_item *all = wr_room(m->items, m->n, &m->cap, 64, sizeof(*all));

    if (!all)
        return NULL;
    m->items = all;
    m->items[m->n] = (struct wr_many_item){.path = path, .why = "canceled"};
    return &m->items[m->n++];
}

static bool add_failed(struct many *m, const char *path, int code, const char *why)
{
    struct wr_many_item *item = add(m, path);
    const char *copy = wr_arena_str(&m->arena, wr_str(why)).p;

    if (!item || !copy)
        return false;
    item->word = WR_MANY_FAILED;
    item->code = code;
    item->why = copy;
    return true;
}

static bool add_db(struct many *m, const struct wr_config_db *db)
{
    struct wr_many_item *item = add(m, db->path);

    if (item)
        item->target = (struct wr_target){.db_path = db->path,
            .settings = db->settings,
            .replicas = db->replicas,
            .n = db->nreplicas};
    return item;
}

/* False: out of memory. */
static bool add_dir(struct many *m, const struct wr_config_dir *dir)
{
    struct wr_recalled found;
    weir_error err = {0};
    int rc =
        wr_recall(m->w, &m->arena, dir, m->config, m->opt->overwrite != 0, m->cancel, &found, &err);

    if (rc == WEIR_NOMEM)
        return false;
    if (rc != WEIR_OK)
        return add_failed(m, dir->path, rc, err.message);
    if (found.unseen)
        (void)fprintf(stderr, "Warning: %s: %s; it may have databases that are not restored\n",
            wr_cli_url(m->cli, found.unseen->url), found.unseen_err.message);
    for (size_t i = 0; i < found.n; i++)
        if (!add_db(m, &found.dbs[i]))
            return false;
    for (size_t i = 0; i < found.nrefused; i++)
        if (!add_failed(m, found.refused[i].path, WEIR_MISUSE, found.refused[i].why))
            return false;
    return true;
}

static int by_path(const void *a, const void *b)
{
    const struct wr_many_item *x = *(struct wr_many_item *const *)a,
                              *y = *(struct wr_many_item *const *)b;
    int c = strcmp(x->path, y->path);

    return c ? c : (x > y) - (x < y);
}

/* Two directories of a configuration may overlap: what both have would be written twice. */
static bool refuse_twins(struct many *m)
{
    struct wr_many_item **sorted = wr_arena_array(&m->arena, m->n, sizeof(struct wr_many_item *));

    if (!sorted)
        return false;
    for (size_t i = 0; i < m->n; i++)
        sorted[i] = &m->items[i];
    if (m->n > 1)
        qsort(sorted, m->n, sizeof(struct wr_many_item *), by_path);
    for (size_t i = 1; i < m->n; i++)
        if (strcmp(sorted[i]->path, sorted[i - 1]->path) == 0 &&
            sorted[i]->word == WR_MANY_CANCELED) {
            sorted[i]->word = WR_MANY_FAILED;
            sorted[i]->code = WEIR_MISUSE;
            sorted[i]->why = "it is in two directories of the configuration";
        }
    return true;
}

static bool list(struct many *m)
{
    for (size_t i = 0; m->own && i < m->config->nown; i++)
        if (!add_db(m, &m->config->dbs[i]))
            return false;
    for (size_t i = 0; i < m->ndirs; i++)
        if (!add_dir(m, &m->dirs[i]))
            return false;
    return refuse_twins(m);
}

/* ---- 2: one of them ---- */

/* NULL: out of memory. */
static const char *keep(struct many *m, const char *text)
{
    const char *copy;

    wr_mutex_lock(&m->mutex);
    copy = wr_arena_str(&m->arena, wr_str(text)).p;
    wr_mutex_unlock(&m->mutex);
    return copy;
}

/* Whether there is something to do. */
static bool is_missing(struct many *m, struct wr_many_item *item)
{
    struct wr_file_info info;
    struct wr_err e = {0};
    enum wr_status st = wr_fs_posix()->stat(wr_fs_posix(), item->path, &info, &e);

    if (st == WR_NOTFOUND)
        return true;
    if (st != WR_OK) { /* unreadable is not absent */
        item->word = WR_MANY_FAILED;
        item->code = WEIR_IO;
        item->why = keep(m, e.text);
        return false;
    }
    if (m->opt->overwrite || info.is_dir) /* a directory is for the restore to refuse */
        return true;
    item->word = WR_MANY_PRESENT;
    return false;
}

static void restore_one(struct many *m, struct wr_many_item *item, struct wr_restore *r)
{
    weir_error err = {0};
    int rc;

    r->target = item->target;
    r->path = item->path;
    r->opt = *m->opt;
    r->opt.cancel = m->cancel;
    rc = wr_restore_search(r, m->w, &err);
    json_decref(r->files); /* of a dry run: one by one they would be too many */
    r->files = NULL;
    item->url = keep(m, wr_cli_url(r->cli, r->replica->url));
    item->code = rc;
    item->why = keep(m, err.message);
    item->took_ms = r->took_ms;
    if (rc == WEIR_OK) {
        item->word = WR_MANY_RESTORED;
        item->txid = m->flags->dry_run ? r->max_txid : r->result.txid;
        item->bytes = m->flags->dry_run ? r->plan_bytes : r->result.bytes;
        item->time_ms = r->result.time_ms;
    } else if (rc != WEIR_CANCELED) {
        item->word = rc == WEIR_NOTFOUND ? WR_MANY_NO_BACKUP : WR_MANY_FAILED;
    }
    if (rc != WEIR_OK || m->flags->dry_run || m->flags->json)
        return;
    wr_mutex_lock(&m->mutex);
    (void)wr_restore_print(r); /* several pieces, which are one line */
    wr_mutex_unlock(&m->mutex);
}

static struct wr_many_item *take(struct many *m)
{
    struct wr_many_item *item = NULL;

    wr_mutex_lock(&m->mutex);
    while (!item && m->next < m->n) {
        item = &m->items[m->next++];
        if (item->word != WR_MANY_CANCELED) /* refused */
            item = NULL;
    }
    wr_mutex_unlock(&m->mutex);
    return item;
}

static void work(void *arg)
{
    struct many *m = arg;
    struct wr_many_item *item;
    struct wr_arena arena;

    wr_arena_init(&arena, ONE_MAX);
    while ((item = take(m))) {
        /* Its log is asked for its level, and no more. */
        struct wr_cli mine = {
            .arena = &arena, .program = m->cli->program, .log = {.level = m->cli->log.level}};
        struct wr_restore r = {.cli = &mine, .flags = m->flags, .among_others = true};

        if (is_missing(m, item))
            restore_one(m, item, &r);
        wr_arena_reset(&arena);
    }
    wr_arena_release(&arena);
}

/* With what threads there are; without any, on this one. */
static void restore_all(struct many *m)
{
    size_t want = m->flags->parallel_dbs ? m->flags->parallel_dbs : AT_ONCE, n = 0;
    struct wr_thread threads[AT_ONCE_MAX];
    struct wr_err e = {0};

    want = wr_min(wr_min(want, (size_t)AT_ONCE_MAX), wr_max(m->n, (size_t)1));
    while (
        n + 1 < want && wr_thread_start(&threads[n], "restore", STACK_BYTES, work, m, &e) == WR_OK)
        n++;
    work(m);
    for (size_t i = 0; i < n; i++)
        wr_thread_join(&threads[i]);
}

/* ---- all ---- */

static int nothing(const struct many *m)
{
    if (m->flags->if_replica_exists)
        return wr_restore_print_many(m->cli, m->flags, NULL, 0);
    if (m->own)
        (void)wr_cli_fail(
            "no databases in the configuration, or in the replicas of its directories", NULL);
    else if (m->config)
        (void)wr_cli_fail("no databases are in the replica of this directory", NULL);
    else
        (void)wr_cli_fail("no databases are below this URL: one replica is restored with -o", NULL);
    return m->own && m->ndirs == 0 ? WR_EXIT_FAILED : WR_EXIT_NO_BACKUP;
}

static int run_many(void *arg, weir *w, weir_cancel *cancel)
{
    struct many *m = arg;

    m->w = w;
    m->cancel = cancel;
    if (!list(m))
        return wr_cli_fail("out of memory", NULL);
    if (m->n == 0)
        return nothing(m);
    restore_all(m);
    return wr_restore_print_many(m->cli, m->flags, m->items, m->n);
}

/* The directory entries that -dir means. False after "Error: ...". */
static bool choose_dirs(struct many *m, const char *path)
{
    struct wr_config_dir *chosen = wr_arena_array(&m->arena, m->config->ndirs, sizeof(*chosen));
    char message[1200];

    if (!chosen) {
        (void)wr_cli_fail("out of memory", NULL);
        return false;
    }
    for (size_t i = 0; i < m->config->ndirs; i++)
        if (wr_str_eq(wr_str(m->config->dirs[i].path), wr_str(path)))
            chosen[m->ndirs++] = m->config->dirs[i];
    m->dirs = chosen;
    (void)snprintf(message, sizeof(message), "no dir: %.1000s in the configuration", path);
    if (m->ndirs == 0)
        (void)wr_cli_fail(message, "weir restore -dir PATH s3://bucket/prefix");
    return m->ndirs > 0;
}

/* All that is below a URL, as a directory of the configuration would have it. */
static bool dir_of_url(struct many *m, const char *path, const char *url, struct wr_config_dir *ret)
{
    struct wr_target t;

    if (!wr_cli_target(m->cli, url, m->flags->config, false, &t))
        return false;
    if (t.db_path) {
        (void)wr_cli_fail(
            "with -dir the argument is a replica URL", "weir restore -dir PATH s3://bucket/prefix");
        return false;
    }
    *ret = (struct wr_config_dir){.path = path,
        .pattern = "*",
        .recursive = true,
        .each = {.settings = t.settings, .replicas = t.replicas, .nreplicas = t.n}};
    return true;
}

/* What it is about. False after "Error: ...". */
static bool choose(struct many *m, const char *url, struct wr_config_dir *of_url)
{
    const char *path = NULL;
    struct wr_err e = {0};

    if (m->flags->dir && wr_expand_path(&m->arena, wr_str(m->flags->dir), &path, &e) != WR_OK) {
        (void)wr_cli_fail(e.text, NULL);
        return false;
    }
    if (url) {
        m->dirs = of_url;
        m->ndirs = 1;
        return dir_of_url(m, path, url, of_url);
    }
    m->config =
        wr_cli_config(m->cli, m->flags->config, !m->flags->no_expand_env, WR_CLI_DIRS_UNSEEN);
    if (!m->config)
        return false;
    if (path)
        return choose_dirs(m, path);
    m->own = true;
    m->dirs = m->config->dirs;
    m->ndirs = m->config->ndirs;
    return true;
}

int wr_restore_many(struct wr_cli *cli, const struct wr_restore_flags *flags,
    const weir_restore_options *opt, const char *url)
{
    struct many m = {.cli = cli, .flags = flags, .opt = opt};
    struct wr_config_dir of_url;
    int code = WR_EXIT_FAILED;

    wr_arena_init(&m.arena, LIST_MAX);
    wr_mutex_init(&m.mutex);
    if (choose(&m, url, &of_url))
        code = wr_cli_run(cli, run_many, &m);
    wr_mutex_release(&m.mutex);
    wr_arena_release(&m.arena);
    wr_free(m.items);
    return code;
}
