/*
 * serve.c - the life of `replicate`.
 *
 *   1  restore the databases that are missing, where that is wanted
 *   2  take charge of every database and its replicas; before a child that we stand for, wait until
 *      they are attached
 *   3  one of: sync everything once; run the child to its end; wait for a signal
 *   4  close: one last sync of all databases within the time allowed, unless 3 was just that
 *
 * Whatever goes wrong in 1 or 2 ends it before anything was promised. After a child or a signal the
 * last sync is made in every case, also when the child failed, and its result is ours.
 */
#include "daemon/serve.h"
#include "base/log.h"
#include "daemon/barrier.h"
#include "daemon/changing.h"
#include "daemon/child.h"
#include "daemon/doors.h"
#include "daemon/fleet.h"
#include "daemon/missing.h"
#include "daemon/once.h"
#include "daemon/registry.h"
#include "daemon/reloading.h"
#include "daemon/service.h"
#include "daemon/signals.h"

#include <signal.h>

#include <weir.h>

#define FIRST_SLICE_MS    2000 /* how often a first sync looks up */
#define FIRST_BUSY_SLICES 4    /* patience with another process that has the database */

struct server {
    const struct wr_config *config;
    const struct wr_serve_options *options;
    struct wr_logger *log;
    struct wr_arena *arena;
    struct wr_signals signals;
    struct wr_service service;
    weir_cancel *cancel;
    char *const *argv; /* of the child; NULL without one */
    bool begun;        /* it was started */
    weir *w;
    struct wr_fleet *fleet;       /* NULL before it is wanted */
    struct wr_registry *registry; /* NULL: none is kept */
    struct wr_doors doors;
    struct wr_changing changing;
    struct wr_reloading reloading;
    const struct wr_config_replica **restored_from; /* as many; NULL: that one was not restored */
    struct wr_served *ret;
};

static bool failed(
    struct server *s, enum wr_serve_step step, int code, const char *what, const char *message)
{
    if (s->ret->code == WEIR_OK) {
        s->ret->code = code;
        s->ret->step = step;
        if (strstr(message, what)) /* it says so itself */
            what = "";
        /* A cut path is better than a cut reason. */
        (void)snprintf(s->ret->message, sizeof(s->ret->message), "%.400s%s%s", what,
            what[0] ? ": " : "", message);
    }
    return false;
}

static bool out_of_memory(struct server *s)
{
    return failed(s, WR_SERVE_START, WEIR_NOMEM, "", weir_strerror(WEIR_NOMEM));
}

static bool restore_one(
    struct server *s, const struct wr_config_db *db, const struct wr_config_replica **ret)
{
    weir_error err = {0};
    int rc = wr_restore_missing(s->w, db, s->log, s->arena, s->cancel, ret, &err);

    if (rc == WEIR_BUSY) /* the store is: there is no database that another process could have */
        rc = WEIR_IO;
    return rc == WEIR_OK || failed(s, WR_SERVE_START, rc, "restore failed", err.message);
}

/* The databases of a directory that is lost become databases of the configuration. */
static bool list_missing(struct server *s)
{
    weir_error err = {0};
    int rc;

    if (!s->options->restore_if_missing)
        return true;
    rc = wr_missing_dirs(s->w, s->config, s->log, s->arena, s->cancel, &s->config, &err);
    if (rc == WEIR_BUSY) /* the store is */
        rc = WEIR_IO;
    return rc == WEIR_OK || failed(s, WR_SERVE_START, rc, "restore failed", err.message);
}

static bool restore_missing(struct server *s)
{
    if (!list_missing(s))
        return false;
    s->restored_from = wr_arena_array(s->arena, s->config->ndbs, sizeof(*s->restored_from));
    if (!s->restored_from)
        return out_of_memory(s);
    for (size_t i = 0; i < s->config->ndbs; i++) {
        const struct wr_config_db *db = &s->config->dbs[i];

        if ((s->options->restore_if_missing || db->restore_if_missing) &&
            !restore_one(s, db, &s->restored_from[i]))
            return false;
        if (wr_signals_asked(&s->signals))
            return failed(
                s, WR_SERVE_START, WEIR_CANCELED, "restore failed", weir_strerror(WEIR_CANCELED));
    }
    return true;
}

/* Once, as it is a key of the whole file. */
static void say_what_nobody_deletes(struct server *s)
{
    for (size_t i = 0; i < s->config->ndbs; i++) {
        if (wr_config_retains(s->config->dbs[i].settings))
            continue;
        wr_say(s->log, WEIR_LOG_WARN,
            "retention disabled; cloud provider lifecycle policies must handle retention",
            WR_F_Z("hint", "nothing is deleted from replicas; a rule of the bucket that does it "
                           "must leave the newest snapshot and what came after it"));
        return;
    }
}

/* Once, at the start: later on each that appears is told. */
static void say_found(struct server *s)
{
    for (size_t i = 0; i < s->config->ndirs; i++) {
        const struct wr_config_dir *dir = &s->config->dirs[i];
        size_t n = 0;

        for (size_t k = 0; k < s->config->ndbs; k++)
            n += wr_config_dir_rel(dir, s->config->dbs[k].path) != NULL;
        wr_say(s->log, WEIR_LOG_INFO, "found databases in directory", WR_F_Z("dir", dir->path),
            WR_F_U64("count", n), WR_F_Z("watch", dir->watch ? "true" : "false"));
    }
}

/* "weir.yml:7: " of what an entry says and the library does not take; "" where it is not that. */
static const char *entry_of(struct server *s, const struct wr_config_db *db, int rc)
{
    uint32_t line = db->nreplicas == 1 ? db->replicas[0].line : db->line;
    struct wr_str text = {0};

    if (s->config->file && line && (rc == WEIR_MISUSE || rc == WEIR_UNSUPPORTED))
        text = wr_arena_fmt(s->arena, "%.300s:%lu: ", s->config->file, (unsigned long)line);
    return text.p ? text.p : "";
}

static bool add_all(struct server *s)
{
    s->fleet = wr_fleet_new(s->w, s->log);
    if (!s->fleet)
        return out_of_memory(s);
    wr_fleet_ends_with(s->fleet, s->cancel);
    for (size_t i = 0; i < s->config->ndbs; i++) {
        /* What is restored here continues its replica, whatever is done to it before we attach. */
        const struct wr_fleet_start how = {.adopt = s->options->adopt,
            .restored_from = s->restored_from[i],
            .keep_all = s->options->once && !s->options->enforce_retention};
        weir_error err = {0};
        char text[sizeof(err.message) + 400];
        int rc = wr_fleet_add(s->fleet, &s->config->dbs[i], &how, &err);

        if (rc == WEIR_OK)
            continue;
        (void)snprintf(
            text, sizeof(text), "%s%s", entry_of(s, &s->config->dbs[i], rc), err.message);
        return failed(s, WR_SERVE_START, rc, "", text);
    }
    return true;
}

static bool sync_once(struct server *s, size_t i)
{
    const struct wr_once_options o = {.force_snapshot = s->options->force_snapshot,
        .enforce_retention = s->options->enforce_retention};
    const char *path = s->config->dbs[i].path;
    enum wr_serve_step step = WR_SERVE_ONCE;
    struct wr_fleet_hold hold;
    weir_error err = {0};
    int rc;

    wr_say(s->log, WEIR_LOG_INFO, "syncing database", WR_F_Z("path", path));
    rc = wr_fleet_hold(s->fleet, path, &hold, &err);
    if (rc == WEIR_OK) {
        rc = wr_sync_once(hold.db, s->cancel, &err);
        if (rc == WEIR_OK) {
            step = WR_SERVE_HISTORY;
            rc = wr_history_once(hold.db, path, &o, s->log, s->cancel, &err);
        }
        wr_fleet_let_go(s->fleet, &hold);
    }
    return rc == WEIR_OK || failed(s, step, rc, path, err.message);
}

static void run_once(struct server *s)
{
    bool ok = true;

    /* One broken database must not keep the others from their backup. */
    for (size_t i = 0; i < s->config->ndbs; i++)
        if (!wr_signals_asked(&s->signals))
            ok = sync_once(s, i) && ok;
    if (wr_signals_asked(&s->signals))
        (void)failed(s, WR_SERVE_ONCE, WEIR_CANCELED, "", "interrupted");
    else if (ok)
        wr_say(s->log, WEIR_LOG_INFO, "one-shot replication complete",
            WR_F_U64("dbs", s->config->ndbs));
}

/* "signal received, weir shutting down": under the name of litestream these are its very words. */
static const char *named(struct server *s, const char *what, const char *does)
{
    struct wr_str text = wr_arena_fmt(s->arena, "%s%s %s", what, s->options->program, does);

    return text.p ? text.p : does;
}

static void say_stopping(struct server *s, int sig)
{
    wr_say(s->log, WEIR_LOG_INFO, named(s, "signal received, ", "shutting down"),
        WR_F_Z("signal", wr_signal_text(sig)));
}

/* Whether a replica has no quarrel with another writer or database. */
static bool any_goes_on(weir_db *db)
{
    weir_replica_info r = {.struct_size = sizeof(r)};

    for (uint32_t i = 0; weir_replica_status(db, i, &r, NULL) == WEIR_OK; i++)
        if (r.error_code != WEIR_CONFLICT)
            return true;
    return false;
}

/* One attempt at the first sync, of a database that is there to be stopped in between. */
static int try_first_sync(struct server *s, bool *ret_goes_on, weir_error *reterr)
{
    struct wr_fleet_hold hold;
    int rc = wr_fleet_hold(s->fleet, s->config->dbs[0].path, &hold, reterr);

    if (rc != WEIR_OK) /* stopped meanwhile */
        return WEIR_OK;
    rc = weir_db_sync(hold.db, WEIR_SYNC_REMOTE, FIRST_SLICE_MS, s->cancel, NULL, reterr);
    *ret_goes_on = rc == WEIR_CONFLICT && any_goes_on(hold.db);
    wr_fleet_let_go(s->fleet, &hold);
    return rc;
}

/* Wait until the first sync is through, until it is clear that it never will be, or until told to
 * stop or to reload. */
static int wait_for_first_sync(struct server *s, weir_error *reterr)
{
    int busy = 0, rc = WEIR_TIMEOUT;
    bool goes_on = false;

    while (!wr_signals_asked(&s->signals) && !wr_signals_reload_asked(&s->signals)) {
        rc = try_first_sync(s, &goes_on, reterr);
        if (rc == WEIR_BUSY && ++busy <= FIRST_BUSY_SLICES)
            wr_signals_wait_ms(&s->signals, FIRST_SLICE_MS); /* a predecessor is leaving */
        else if (rc != WEIR_TIMEOUT)
            break;
    }
    /* What was in the way may be gone: the last sync tells, or the log. */
    if (wr_signals_asked(&s->signals) || wr_signals_reload_asked(&s->signals))
        return WEIR_OK;
    return goes_on ? WEIR_OK : rc;
}

/*
 * With a single database there is nobody else to serve: what can never be replicated ends the
 * program, with a reason. What may pass (an unreachable store, a missing file) is waited for
 * elsewhere. With several databases, or some that came meanwhile, the log tells, and the others go
 * on; so it is with several replicas, of which one belongs to somebody else.
 */
static bool first_sync(struct server *s)
{
    weir_error err = {0};
    int rc;

    if (s->config->ndbs != 1)
        return true;
    rc = wait_for_first_sync(s, &err);
    if (wr_fleet_count(s->fleet) != 1)
        return true;
    switch (rc) {
    case WEIR_BUSY:
    case WEIR_CONFLICT:
    case WEIR_UNSUPPORTED:
        return failed(s, WR_SERVE_START, rc, s->config->dbs[0].path, err.message);
    default:
        return true;
    }
}

/* SIGHUP, or the control socket. What it was asked for in the moment is what it gets, so once for
 * any number of them. */
static void reload(struct server *s)
{
    struct wr_outcome *outcome = wr_outcome_new();

    wr_signals_take_reload(&s->signals);
    wr_reloading_begin(&s->reloading);
    wr_changing_reload(&s->changing, outcome);
    if (!outcome || !outcome->refused)
        wr_doors_reload(&s->doors, s->changing.config, s->log, outcome);
    wr_reloading_end(&s->reloading, outcome);
}

static void ask_reload(void *arg)
{
    wr_signals_ask_reload(arg);
}

static void run_until_signal(struct server *s)
{
    int sig;

    while ((sig = wr_signals_wait(&s->signals, false)) == 0) {
        wr_child_reap_others(0);
        if (wr_signals_reload_asked(&s->signals))
            reload(s);
    }
    say_stopping(s, sig);
}

/* Pass the first signal on to the child, and wait for its end. */
static void see_child_through(struct server *s, pid_t pid)
{
    bool passed_on = false;

    for (;;) {
        int sig;

        wr_child_reap_others(pid);
        if (wr_child_is_over(pid))
            return;
        sig = wr_signals_wait(&s->signals, passed_on || s->options->argv);
        if (sig == 0 && !passed_on && wr_signals_reload_asked(&s->signals))
            reload(s);
        if (sig == 0)
            continue;
        say_stopping(s, sig);
        /* Ctrl-C in a terminal has reached the child already; twice might mean something else. */
        if (!s->signals.from_terminal)
            (void)kill(pid, sig); /* it may be gone already */
        passed_on = true;
    }
}

static void run_child(struct server *s)
{
    struct wr_err e = {0};
    pid_t pid = 0, target = 0;
    enum wr_status st;
    int sig;

    wr_signals_hold(&s->signals);
    st = wr_child_start(s->argv, s->options->argv ? WR_CHILD_WITHIN : WR_CHILD_BESIDE,
        s->options->child_descriptors, &pid, &target, &e);
    sig = wr_signals_let_go(&s->signals, target); /* 0 if it has not begun */
    if (st != WR_OK) {
        s->ret->child_trouble = st == WR_NOTFOUND ? WR_CHILD_MISSING : WR_CHILD_UNUSABLE;
        (void)failed(s, WR_SERVE_START, (int)st, "", e.text);
        return;
    }
    s->begun = true;
    if (s->options->argv && sig) /* it came just before */
        (void)kill(target, sig); /* it may be gone already */
    see_child_through(s, pid);
    wr_signals_hold(&s->signals);                   /* its number may be another's next */
    (void)wr_child_ended(pid, &s->ret->child_exit); /* it has */
    (void)wr_signals_let_go(&s->signals, 0);        /* the child knows of what came */
    wr_say(s->log, WEIR_LOG_INFO, named(s, "subprocess exited, ", "shutting down"),
        WR_F_I64("exit_code", s->ret->child_exit));
}

static int64_t held_ms(void *arg)
{
    return weir_held_ms(arg);
}

/* A service manager that cannot be told anything is no reason to leave data unprotected. */
static void tell(struct server *s, enum wr_status st, const struct wr_err *e)
{
    if (st != WR_OK)
        wr_say(s->log, WEIR_LOG_WARN, "cannot keep the service manager informed",
            WR_F_Z("error", e->text));
}

static void close_doors(struct server *s)
{
    if (s->fleet)
        wr_fleet_cancel(s->fleet);
    wr_reloading_over(&s->reloading);
    wr_doors_close(&s->doors);
    wr_changing_end(&s->changing);
}

/* What was registered to stay. */
static bool open_registry(struct server *s)
{
    struct wr_err e = {0};

    if (s->options->once || !s->config->socket.registry)
        return true;
    return wr_registry_new(s->config->socket.registry, s->log, &s->registry, &e) == WR_OK ||
           out_of_memory(s);
}

/* Whether the child that we stand for may begin. */
static bool may_begin(struct server *s)
{
    weir_error err = {0};
    int rc = wr_barrier_wait(s->fleet, &s->signals, s->log, s->options->ready_timeout_ms, &err);

    return rc == WEIR_OK || failed(s, WR_SERVE_START, rc, "", err.message);
}

/* Steps 1 to 3. Whether a last sync makes sense. */
static bool run(struct server *s)
{
    struct wr_err e = {0};

    if (s->options->reloads) /* one that comes meanwhile waits */
        wr_signals_let_reload(&s->signals);
    say_what_nobody_deletes(s);
    if (!open_registry(s) || !restore_missing(s))
        return false;
    say_found(s);
    if (!add_all(s))
        return false;
    if (s->registry)
        wr_registry_begin(s->registry, s->fleet);
    if (!s->options->once)
        wr_doors_open(&s->doors, s->config,
            &(struct wr_doors_for){.w = s->w,
                .fleet = s->fleet,
                .registry = s->registry,
                .reloading = &s->reloading,
                .service = &s->service,
                .log = s->log});
    s->changing = (struct wr_changing){.w = s->w,
        .fleet = s->fleet,
        .registry = s->registry,
        .log = s->log,
        .cancel = s->cancel,
        .options = s->options,
        .config = s->config};
    wr_changing_begin(&s->changing);
    if (s->options->argv && !may_begin(s))
        return false;
    tell(s, wr_service_ready(&s->service, held_ms, s->w, &e), &e);
    if (s->options->once) {
        run_once(s);
        return false; /* what was asked for is done, or failed for a reason that is still there */
    }
    if (s->options->argv && wr_signals_asked(&s->signals))
        say_stopping(s, wr_signals_asked(&s->signals)); /* without it having begun */
    else if (s->argv)
        run_child(s);
    else if (first_sync(s))
        run_until_signal(s);
    else
        return false;
    return true;
}

static void serve(struct server *s)
{
    const weir_options opt = {
        .struct_size = sizeof(opt),
        .log_level = s->log->level,
        .log = wr_logger_write,
        .log_arg = s->log,
        .open_max = s->config->open_max,
    };
    weir_error err = {0};
    struct wr_err e = {0};
    int rc = weir_open(&opt, &s->w, &err);
    bool last_sync;

    if (rc != WEIR_OK) {
        (void)failed(s, WR_SERVE_START, rc, "", err.message);
        return;
    }
    tell(s, wr_service_begin(&s->service, &e), &e);
    wr_reloading_init(&s->reloading, s->options->reloads ? ask_reload : NULL, &s->signals);
    last_sync = run(s);
    close_doors(s); /* the watcher speaks to the service manager */
    wr_service_end(&s->service);
    rc = weir_close(s->w, last_sync ? s->options->shutdown_sync_timeout_ms : 0, &err);
    wr_fleet_free(s->fleet);
    wr_registry_free(s->registry);
    wr_changing_release(&s->changing);
    wr_reloading_release(&s->reloading);
    if (last_sync && rc != WEIR_OK)
        (void)failed(s, WR_SERVE_LAST_SYNC, rc, "last sync failed", err.message);
    if (s->ret->code == WEIR_OK)
        wr_say(s->log, WEIR_LOG_INFO, named(s, "", "shut down"), WR_F_U64("dbs", s->config->ndbs));
    else
        wr_say(s->log, WEIR_LOG_ERROR,
            named(s, s->ret->step == WR_SERVE_LAST_SYNC ? "shutdown sync failed, " : "",
                "shut down after a failure"),
            WR_F_Z("error", s->ret->message));
}

void wr_serve(const struct wr_config *c, const struct wr_serve_options *o, struct wr_logger *log,
    struct wr_arena *a, struct wr_served *ret)
{
    struct server s = {.config = c, .options = o, .log = log, .arena = a, .ret = ret};
    struct wr_err e = {0};
    enum wr_status st;

    *ret = (struct wr_served){0};
    s.argv = o->argv;
    if (o->exec) { /* before anything is promised that a bad command would break */
        char **words = NULL;

        st = wr_child_split(a, wr_str(o->exec), &words, &e);
        if (st != WR_OK) {
            (void)failed(&s, WR_SERVE_START, (int)st, "", e.text);
            return;
        }
        s.argv = words;
    }
    s.cancel = weir_cancel_new();
    if (!s.cancel) {
        (void)out_of_memory(&s);
        return;
    }
    st = o->argv ? wr_signals_start_for_child(&s.signals, s.cancel, o->second_exit, &e)
                 : wr_signals_start(&s.signals, s.cancel, o->second_exit, &e);
    if (st == WR_OK) {
        serve(&s);
        if (o->argv && !s.begun && wr_signals_asked(&s.signals))
            ret->child_exit = 128 + wr_signals_asked(&s.signals); /* as if it had ended by that */
        wr_signals_stop(&s.signals);
    } else {
        (void)failed(&s, WR_SERVE_START, (int)st, "", e.text);
    }
    weir_cancel_free(s.cancel);
}
