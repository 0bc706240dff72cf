/*
 * test_resume_fail.c - restores that fail: what is kept and what is not, when the replica, the disk
 * or memory is at fault, and what a restore that goes on says of itself.
 */
#include "engine/resume.h"
#include "engine/source.h"
#include "unit/engine/resume_world.h"

#include <limits.h>

/* ---- failed, not killed ---- */

struct ending {
    enum wr_status with, want;
    bool kept;
};

static void fail_third(struct world *w, uint64_t nth)
{
    if (nth == 3)
        w->fail_from = w->requests + 1;
}

static void test_a_failed_restore_is_kept_if_that_can_help(void **state)
{
    static const struct ending endings[] = {
        {WR_IO, WR_IO, true},
        {WR_AUTH, WR_AUTH, true},
        {WR_NOTFOUND, WR_BUSY, true}, /* a file has vanished */
        {WR_OK, WR_CANCELED, true},
        {WR_CORRUPT, WR_CORRUPT, false},
        {WR_LIMIT, WR_LIMIT, false},
    };

    (void)state;
    for (size_t i = 0; i < wr_countof(endings); i++) {
        struct wr_restore_opts o;
        struct wr_restore_result r = {0};
        struct wr_cancel cancel;
        struct wr_call *c = t_call();
        struct wr_err e = {0};
        struct rig g;

        rig_init(&g, true, PAGE, PAGES);
        wr_cancel_init(&cancel);
        o = rig_opts(&g, 1);
        o.resume_min = (uint64_t)3 << 20;
        world_fail(&g.w, UINT64_MAX, UINT64_MAX, endings[i].with);
        g.w.in_piece = fail_third;
        if (endings[i].with == WR_OK)
            c->cancel = g.w.cancel = &cancel;
        T_IS(endings[i].want, wr_restore(g.w.storage, c, &o, &r, &e));
        T(t_names_in(g.dir) == (endings[i].kept ? 2 : 0));
        T(!strstr(e.text, "goes on from there") == !endings[i].kept);
        T(!strstr(e.text, g.dir) == false);
        g.w.in_piece = NULL;
        c->cancel = g.w.cancel = NULL;
        T((rig_restored(&g, 1).bytes_resumed > 0) == endings[i].kept);
        wr_cancel_release(&cancel);
        rig_release(&g);
    }
}

/* What went on with an earlier run keeps that, however little it came to by itself. */
static void test_a_failure_before_the_first_page_keeps_what_there_was(void **state)
{
    struct rig g;
    bool done = false;

    (void)state;
    rig_init(&g, true, PAGE, PAGES);
    rig_killed(&g, 5);
    for (uint64_t nth = 1; !done; nth++) {
        const struct wr_restore_opts o = rig_opts(&g, 2);
        struct wr_restore_result r = {0};
        struct wr_err e = {0};

        world_fail(&g.w, nth, UINT64_MAX, WR_IO);
        done = wr_restore(g.w.storage, t_call(), &o, &r, &e) == WR_OK;
        T(t_names_in(g.dir) == (done ? 1 : 2));
        T(!done || r.bytes_resumed > (uint64_t)8 << 20);
    }
    rig_check(&g);
    rig_release(&g);
}

static void cancel_placing(void *arg, const struct wr_restore_progress *p)
{
    if (p->phase == WR_RESTORE_PLACING)
        wr_cancel_now(arg);
}

static void cancel_checking(void *arg, const struct wr_restore_progress *p)
{
    if (p->phase == WR_RESTORE_CHECKING)
        wr_cancel_now(arg);
}

/* ^C had no effect until SQLite had read all of it. */
static void test_canceled_while_sqlite_checks(void **state)
{
    struct wr_restore_opts o;
    struct wr_restore_result r = {0};
    struct wr_cancel cancel;
    struct wr_call *c = t_call();
    struct wr_err e = {0};
    struct rig g;

    (void)state;
    rig_init(&g, true, PAGE, PAGES);
    wr_cancel_init(&cancel);
    c->cancel = &cancel;
    o = rig_opts(&g, 2);
    o.check = WR_RESTORE_CHECK_FULL;
    o.progress = cancel_checking;
    o.progress_arg = &cancel;
    T_IS(WR_CANCELED, wr_restore(g.w.storage, c, &o, &r, &e)); /* before it is no database */
    T(t_names_in(g.dir) == 2 && strstr(e.text, "goes on from there"));
    T(rig_restored(&g, 2).bytes_read == 0);
    c->cancel = NULL;
    wr_cancel_release(&cancel);
    rig_release(&g);
}

/* All was fetched and proven: the next run only has to look at it. */
static void test_canceled_at_the_last_moment(void **state)
{
    struct wr_restore_opts o;
    struct wr_restore_result r = {0};
    struct wr_cancel cancel;
    struct wr_call *c = t_call();
    struct wr_err e = {0};
    struct rig g;

    (void)state;
    rig_init(&g, true, PAGE, PAGES);
    wr_cancel_init(&cancel);
    c->cancel = &cancel;
    o = rig_opts(&g, 2);
    o.progress = cancel_placing;
    o.progress_arg = &cancel;
    T_IS(WR_CANCELED, wr_restore(g.w.storage, c, &o, &r, &e));
    T(t_names_in(g.dir) == 2 && strstr(e.text, "goes on from there"));
    T(rig_restored(&g, 2).bytes_read == 0);
    c->cancel = NULL;
    wr_cancel_release(&cancel);
    rig_release(&g);
}

static void test_little_is_not_kept(void **state)
{
    struct rig g;
    struct wr_restore_opts o;
    struct wr_restore_result r = {0};
    struct wr_err e = {0};

    (void)state;
    rig_init(&g, true, PAGE, PAGES);
    o = rig_opts(&g, 1);
    for (int i = 0; i < 2; i++) {
        o.resume_min = i ? 0 : (uint64_t)9 << 20; /* two pieces are less; all there is, is less */
        world_fail(&g.w, UINT64_MAX, UINT64_MAX, WR_IO);
        g.w.in_piece = fail_third;
        T_IS(WR_IO, wr_restore(g.w.storage, t_call(), &o, &r, &e));
        T(t_names_in(g.dir) == 0 && !strstr(e.text, "goes on from there"));
    }
    rig_release(&g);
}

/* ---- the local disk ---- */

static struct tight {
    struct wr_fs fs;
    bool map_only;
    enum wr_status with; /* what the others fail with */
    atomic_int room;     /* writes that still succeed */
} tight;                 /* a vtable is const, what it speaks of is not */

struct tight_file {
    struct wr_file file, *real;
    bool map;
};

static struct tight_file *tight_of(struct wr_file *f)
{
    return wr_container_of(f, struct tight_file, file);
}

static enum wr_status tight_open(const struct wr_fs *fs, const char *path, unsigned flags,
    uint32_t mode, struct wr_file **ret, struct wr_err *e)
{
    struct tight_file *f = wr_alloc(sizeof(*f));
    enum wr_status st;

    if (!f)
        return wr_fail(e, WR_NOMEM, "open");
    f->file.fs = fs;
    f->map = wr_str_ends(wr_str(path), WR_STR("-map"));
    st = wr_file_open(wr_fs_posix(), path, flags, mode, &f->real, e);
    if (st == WR_OK)
        *ret = &f->file;
    else
        wr_free(f);
    return st;
}

static void tight_close(struct wr_file *f)
{
    wr_file_close(tight_of(f)->real);
    wr_free(tight_of(f));
}

static enum wr_status tight_pread(
    struct wr_file *f, void *buf, size_t n, uint64_t off, size_t *got, struct wr_err *e)
{
    return wr_file_pread(tight_of(f)->real, buf, n, off, got, e);
}

static enum wr_status tight_pwrite(
    struct wr_file *f, const void *buf, size_t n, uint64_t off, struct wr_err *e)
{
    if (tight.map_only == tight_of(f)->map && atomic_fetch_sub(&tight.room, 1) <= 0)
        return wr_fail(e, tight.with, "bad disk on purpose");
    return wr_file_pwrite(tight_of(f)->real, buf, n, off, e);
}

static enum wr_status tight_sync(struct wr_file *f, struct wr_err *e)
{
    return wr_file_sync(tight_of(f)->real, e);
}

static enum wr_status tight_truncate(struct wr_file *f, uint64_t size, struct wr_err *e)
{
    return wr_file_truncate(tight_of(f)->real, size, e);
}

static enum wr_status tight_info(struct wr_file *f, struct wr_file_info *ret, struct wr_err *e)
{
    return wr_file_info(tight_of(f)->real, ret, e);
}

static void tight_flush_hint(struct wr_file *f, uint64_t off, uint64_t n)
{
    wr_fs_posix()->flush_hint(tight_of(f)->real, off, n);
}

static enum wr_status tight_lock(struct wr_file *f, struct wr_err *e)
{
    return wr_fs_posix()->lock(tight_of(f)->real, e);
}

static enum wr_status tight_set_owner(
    struct wr_file *f, uint32_t uid, uint32_t gid, struct wr_err *e)
{
    return wr_fs_posix()->set_owner(tight_of(f)->real, uid, gid, e);
}

static enum wr_status tight_set_mode(struct wr_file *f, uint32_t mode, struct wr_err *e)
{
    return wr_fs_posix()->set_mode(tight_of(f)->real, mode, e);
}

static const struct wr_fs *tight_disk(bool map_only, int room)
{
    tight.fs = *wr_fs_posix();
    tight.fs.open = tight_open;
    tight.fs.close = tight_close;
    tight.fs.pread = tight_pread;
    tight.fs.pwrite = tight_pwrite;
    tight.fs.sync = tight_sync;
    tight.fs.truncate = tight_truncate;
    tight.fs.info = tight_info;
    tight.fs.flush_hint = tight_flush_hint;
    tight.fs.lock = tight_lock;
    tight.fs.set_owner = tight_set_owner;
    tight.fs.set_mode = tight_set_mode;
    tight.map_only = map_only;
    tight.with = WR_LIMIT;
    atomic_store(&tight.room, room);
    return &tight.fs;
}

static void test_a_full_disk_costs_the_map_alone(void **state)
{
    uint64_t resumed = 0;

    (void)state;
    for (int room = 0; room < 24; room++) {
        struct rig g;

        rig_init(&g, room % 2, PAGE, 2000);
        g.fs = tight_disk(true, room);
        (void)rig_restored(&g, 2);
        atomic_store(&tight.room, room);
        rig_killed(&g, 2);
        atomic_store(&tight.room, room);
        resumed = rig_restored(&g, 2).bytes_resumed;
        T(room > 1 || resumed == 0); /* the header, and not one entry */
        rig_release(&g);
    }
    T(resumed > (uint64_t)1 << 20);
}

/* A disk that is full for the pages themselves: all is given up, an earlier run's as well. */
static void test_a_full_disk_leaves_nothing(void **state)
{
    struct wr_restore_opts o;
    struct wr_restore_result r = {0};
    struct wr_err e = {0};
    struct rig g;

    (void)state;
    rig_init(&g, true, PAGE, PAGES);
    for (int room = 0; room < 20; room++) {
        g.fs = NULL;
        if (room % 2)
            rig_killed(&g, 4);
        g.fs = tight_disk(false, room);
        o = rig_opts(&g, 2);
        T_IS(WR_LIMIT, wr_restore(g.w.storage, t_call(), &o, &r, &e));
        T(t_names_in(g.dir) == 0);
    }
    rig_release(&g);
}

/* A disk that fails by itself is no place to wait for a better network. */
static void test_a_bad_disk_leaves_nothing(void **state)
{
    struct wr_restore_opts o;
    struct wr_restore_result r = {0};
    struct wr_err e = {0};
    struct rig g;

    (void)state;
    rig_init(&g, true, PAGE, PAGES);
    g.fs = tight_disk(false, 10);
    tight.with = WR_IO;
    o = rig_opts(&g, 2);
    T_IS(WR_IO, wr_restore(g.w.storage, t_call(), &o, &r, &e));
    T(t_names_in(g.dir) == 0 && !strstr(e.text, "goes on from there"));
    rig_release(&g);
}

/* What has no whole map is not worth its space. */
static void test_a_failure_without_a_map_leaves_nothing(void **state)
{
    struct wr_restore_opts o;
    struct wr_restore_result r = {0};
    struct wr_err e = {0};
    struct rig g;

    (void)state;
    rig_init(&g, true, PAGE, PAGES);
    g.fs = tight_disk(true, 3);
    o = rig_opts(&g, 1);
    world_fail(&g.w, UINT64_MAX, UINT64_MAX, WR_IO);
    g.w.in_piece = fail_third;
    T_IS(WR_IO, wr_restore(g.w.storage, t_call(), &o, &r, &e));
    T(t_names_in(g.dir) == 0 && !strstr(e.text, "goes on from there"));
    rig_release(&g);
}

static enum wr_status no_lock(struct wr_file *f, struct wr_err *e)
{
    (void)f;
    return wr_fail(e, WR_IO, "no locks here");
}

/* Nobody could tell such a file from one in use, and it would lie there for ever. */
static void test_without_locks_nothing_is_kept(void **state)
{
    struct wr_restore_opts o;
    struct wr_restore_result r = {0};
    struct wr_err e = {0};
    struct rig g;

    (void)state;
    rig_init(&g, true, PAGE, PAGES);
    g.fs = tight_disk(false, INT_MAX);
    tight.fs.lock = no_lock;
    o = rig_opts(&g, 1);
    world_fail(&g.w, UINT64_MAX, UINT64_MAX, WR_IO);
    g.w.in_piece = fail_third;
    T_IS(WR_IO, wr_restore(g.w.storage, t_call(), &o, &r, &e));
    T(t_names_in(g.dir) == 0 && !strstr(e.text, "goes on from there"));
    rig_release(&g);
}

/* ---- memory ---- */

struct sweep {
    struct rig *g;
    const struct left *l;
};

static enum wr_status resume_body(void *arg)
{
    struct sweep *x = arg;
    const struct wr_restore_opts o = rig_opts(x->g, 1);
    struct wr_restore_result r = {0};
    struct wr_err e = {0};
    enum wr_status st;

    left_again(x->l, x->g->dir);
    st = wr_restore(x->g->w.storage, t_call(), &o, &r, &e);

    /* Where the leftover cannot even be opened, it is passed by. */
    T(st != WR_OK || r.bytes_resumed > 0 || wr_mem_fault_fired());
    /* Complete, and yet without its name: that is the end of it. */
    T(st == WR_OK || file_exists(t_path(x->g->dir, x->l->file_name)) || strstr(e.text, "replace "));
    return st;
}

/* Out of memory is no reason to give up what is here. */
static void test_nomem(void **state)
{
    (void)state;
    for (int rolling = 0; rolling < 2; rolling++) {
        struct rig g;
        struct left l = small_leftover(&g, rolling);
        struct sweep x = {.g = &g, .l = &l};

        t_sweep_nomem(resume_body, &x);
        rig_check(&g);
        left_release(&l);
        rig_release(&g);
    }
}

struct choice {
    struct rig *g;
    struct wr_source source;
    const char *map_name;
};

/* Another plan, or the one that was given, and never none. */
static enum wr_status choose_body(void *arg)
{
    const struct choice *x = arg;
    const struct wr_restore_opts o = rig_opts(x->g, 1);
    struct wr_ltx_files plan = {0};
    struct wr_file *map = NULL;
    struct wr_err e = {0};
    enum wr_status st = WR_OK;

    for (size_t i = 0; i < x->source.plan.n && st == WR_OK; i++)
        st = wr_ltx_files_add(&plan, &x->source.plan.p[i], &e);
    if (st == WR_OK)
        st = wr_file_open(wr_fs_posix(), x->map_name, WR_FILE_READ, 0, &map, &e);
    if (st == WR_OK)
        st = wr_resume_plan(x->g->w.storage, t_call(), &o, &x->source.all, map, &plan, &e);
    if (map)
        T(plan.n == 3 ? plan.p[0].max == 1 : plan.n == 1 && wr_mem_fault_fired());
    wr_file_close(map);
    wr_ltx_files_release(&plan);
    return st;
}

/* Which plan to go on with is no reason to fail, nor to have none. */
static void test_nomem_while_a_plan_is_chosen(void **state)
{
    struct choice x = {0};
    struct wr_restore_opts o;
    struct wr_err e = {0};
    struct left l;
    struct rig g;

    (void)state;
    rig_init(&g, true, PAGE, PAGES);
    rig_killed(&g, 6);
    l = left_in(g.dir);
    rig_commit(&g, PAGES, 5);
    rig_commit(&g, PAGES, 5);
    story_put(&g.s, &g.w, 9, 1, g.s.n);
    o = rig_opts(&g, 1);
    T_OK(wr_source_find(g.w.storage, t_call(), &o, &x.source, &e));
    T(x.source.plan.n == 1);
    x.g = &g;
    x.map_name = t_path(g.dir, l.map_name);
    t_sweep_nomem(choose_body, &x);
    wr_source_release(&x.source);
    left_release(&l);
    rig_release(&g);
}

/* ---- what is told ---- */

struct told {
    struct wr_restore_progress first, last; /* of the fetching */
};

static void note_progress(void *arg, const struct wr_restore_progress *p)
{
    struct told *t = arg;

    if (p->phase != WR_RESTORE_FETCHING)
        return;
    if (t->first.bytes_total == 0)
        t->first = *p;
    T(p->bytes_done >= t->last.bytes_done && p->bytes_resumed == t->first.bytes_resumed);
    t->last = *p;
}

static void test_progress_says_what_was_here(void **state)
{
    struct told told = {.first = {.bytes_total = 0}};
    struct wr_restore_opts o;
    struct wr_restore_result r = {0};
    struct wr_err e = {0};
    struct rig g;

    (void)state;
    rig_init(&g, true, PAGE, PAGES);
    rig_killed(&g, 5);
    o = rig_opts(&g, 3);
    o.progress = note_progress;
    o.progress_arg = &told;
    T_OK(wr_restore(g.w.storage, t_call(), &o, &r, &e));
    T(told.first.bytes_resumed == r.bytes_resumed && told.first.bytes_done == 0);
    T(told.last.bytes_done == told.last.bytes_total && told.last.pages == PAGES - 1);
    T(told.last.bytes_total == r.bytes_read + r.bytes_resumed);
    rig_release(&g);
}

T_MAIN(T_TEST(test_a_failed_restore_is_kept_if_that_can_help),
    T_TEST(test_a_failure_before_the_first_page_keeps_what_there_was),
    T_TEST(test_canceled_at_the_last_moment), T_TEST(test_canceled_while_sqlite_checks),
    T_TEST(test_little_is_not_kept), T_TEST(test_a_full_disk_costs_the_map_alone),
    T_TEST(test_a_full_disk_leaves_nothing), T_TEST(test_a_bad_disk_leaves_nothing),
    T_TEST(test_a_failure_without_a_map_leaves_nothing), T_TEST(test_without_locks_nothing_is_kept),
    T_TEST(test_nomem), T_TEST(test_nomem_while_a_plan_is_chosen),
    T_TEST(test_progress_says_what_was_here))
