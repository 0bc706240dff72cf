/*
 * changing.c - see changing.h.
 */
#include "daemon/changing.h"

#include "base/clock.h"
#include "base/mem.h"
#include "daemon/dirs.h"
#include "daemon/doc.h"
#include "daemon/reload.h"

/* What counted goes on, and everybody who asks is told. */
static void refuse_reload(struct wr_changing *x, const char *why)
{
    wr_say(x->log, WEIR_LOG_ERROR, "reload failed, nothing has changed", WR_F_Z("error", why));
    wr_refused_put(wr_fleet_refused(x->fleet), why, wr_wall_ms(wr_clock_system()));
    wr_outcome_refuse(x->outcome, why);
}

/* A file that cannot be read or is not meant changes nothing. */
static struct wr_config *load_again(struct wr_changing *x, struct wr_arena *a)
{
    struct wr_config *c = NULL;
    struct wr_err e = {0};
    enum wr_status st = wr_config_load(a, x->options->config_path, x->options->expand_env, &c, &e);

    if (st == WR_OK)
        st = wr_dirs_expand(a, c, true, WR_DIRS_STRICT, NULL, &e);
    if (st != WR_OK) {
        refuse_reload(x, e.text);
        return NULL;
    }
    for (const struct wr_warning *w = c->warnings; w; w = w->next) {
        wr_say(x->log, WEIR_LOG_WARN, "configuration", WR_F_Z("warning", w->text));
        wr_outcome_put(x->outcome, WR_OUTCOME_WARNING, w->text, "");
    }
    return c;
}

/* Databases that come and go by themselves. Without that the others are replicated all the same. */
static void watch_dirs(struct wr_changing *x)
{
    struct wr_err e = {0};

    if (!x->options->once && wr_watchdir_new(x->config, x->fleet, x->log,
                                 x->options->shutdown_sync_timeout_ms, &x->watchdir, &e) != WR_OK)
        wr_say(x->log, WEIR_LOG_ERROR,
            "directories are not watched, new databases in them need a reload",
            WR_F_Z("error", e.text));
}

static void unwatch_dirs(struct wr_changing *x)
{
    wr_watchdir_stop(x->watchdir);
    wr_watchdir_free(x->watchdir);
    x->watchdir = NULL;
}

static struct wr_reload changes(struct wr_changing *x)
{
    return (struct wr_reload){.w = x->w,
        .fleet = x->fleet,
        .log = x->log,
        .cancel = x->cancel,
        .last_sync_ms = x->options->shutdown_sync_timeout_ms,
        .outcome = x->outcome};
}

/* Without that it takes a reload, or a restart. */
static void try_again(struct wr_changing *x)
{
    const struct wr_again_opts o = {
        .reload = changes(x), .config = x->config, .registry = x->registry};
    struct wr_err e = {0};

    if (!x->options->once && wr_again_new(&o, &x->again, &e) != WR_OK)
        wr_say(x->log, WEIR_LOG_ERROR,
            "what could not be begun with is not tried again before the next reload",
            WR_F_Z("error", e.text));
}

static void leave_it(struct wr_changing *x)
{
    wr_again_free(x->again);
    x->again = NULL;
}

/* What is replicated now becomes what `c` says. False: out of memory, and nothing has changed. */
static bool change_to(struct wr_changing *x, const struct wr_config *c)
{
    const struct wr_reload r = changes(x);
    struct wr_config now = *x->config;
    struct wr_arena arena;
    bool ok;

    wr_arena_init(&arena, WR_ARENA_MAX);
    leave_it(x);
    wr_watchdir_stop(x->watchdir);
    ok = !x->watchdir || wr_watchdir_config(x->watchdir, &arena, &now) == WR_OK;
    if (ok)
        wr_reload_apply(&r, &now, c);
    wr_arena_release(&arena);
    if (!ok) { /* it has ended, and must not stay so */
        refuse_reload(x, wr_status_text(WR_NOMEM));
        x->outcome = NULL;
        unwatch_dirs(x);
        watch_dirs(x);
        try_again(x);
    }
    return ok;
}

void wr_changing_begin(struct wr_changing *x)
{
    watch_dirs(x);
    try_again(x);
}

static void reload(struct wr_changing *x)
{
    struct wr_arena *arena = wr_alloc(sizeof(*arena));
    struct wr_config *c;

    if (!arena) {
        refuse_reload(x, wr_status_text(WR_NOMEM));
        return;
    }
    wr_arena_init(arena, WR_ARENA_MAX);
    c = load_again(x, arena);
    if (!c || !change_to(x, c)) {
        wr_again_now(x->again);
        wr_arena_release(arena);
        wr_free(arena);
        return;
    }
    unwatch_dirs(x);
    wr_changing_release(x);
    x->config = c;
    x->reloaded = arena;
    if (x->registry)
        wr_registry_begin(x->registry, x->fleet);
    watch_dirs(x);
    x->outcome = NULL; /* from here on changes are of their own */
    try_again(x);
    wr_refused_clear(wr_fleet_refused(x->fleet), wr_wall_ms(wr_clock_system()));
    wr_say(x->log, WEIR_LOG_INFO, "reloaded", WR_F_U64("dbs", wr_fleet_count(x->fleet)));
}

void wr_changing_reload(struct wr_changing *x, struct wr_outcome *outcome)
{
    x->outcome = outcome;
    reload(x);
    x->outcome = NULL;
    if (outcome)
        outcome->dbs = wr_fleet_count(x->fleet);
}

void wr_changing_end(struct wr_changing *x)
{
    unwatch_dirs(x);
    leave_it(x);
}

void wr_changing_release(struct wr_changing *x)
{
    if (x->reloaded)
        wr_arena_release(x->reloaded);
    wr_free(x->reloaded);
    x->reloaded = NULL;
}
