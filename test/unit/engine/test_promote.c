/*
 * test_promote.c - a followed copy becomes the primary: with the old one dead, alive, behind, ahead
 * and racing. What was acknowledged is in it, and of the two one writes.
 */
#include "engine/promote.h"

#include "base/mem.h"
#include "engine/fence.h"
#include "engine/follow.h"
#include "engine/node.h"
#include "engine/onward.h"
#include "engine/remote.h"
#include "engine/verify.h"
#include "harness/engine_world.h"
#include "harness/machine.h"
#include "unit/engine/spy_store.h"
#include "unit/engine/world_bucket.h"

#include <sys/stat.h>
#include <unistd.h>

#define SECOND ((int64_t)1000000000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)

struct pair {
    struct world a, b; /* the old primary, and the copy */
    struct spy spy;    /* how the promotion sees the bucket */
    struct wr_storage_ops ops;
    struct wr_storage *s;
    struct wr_promote_opts o;
    struct wr_promoted done;
    unsigned acked; /* rows */
    unsigned races; /* for in_put */
    unsigned raced; /* and acknowledged */
};

static unsigned rows(sqlite3 *db)
{
    sqlite3_stmt *q = NULL;
    unsigned n;

    T(sqlite3_prepare_v2(db, "SELECT count(*) FROM t", -1, &q, NULL) == SQLITE_OK);
    T(sqlite3_step(q) == SQLITE_ROW);
    n = (unsigned)sqlite3_column_int(q, 0);
    T(sqlite3_finalize(q) == SQLITE_OK);
    return n;
}

static void insert(struct world *w)
{
    world_sql(w, "INSERT INTO t(b) VALUES(randomblob(300))");
}

/* A commit that somebody was told is safe. */
static void ack(struct pair *p)
{
    insert(&p->a);
    (void)world_sync(&p->a);
    p->acked = rows(p->a.app);
}

/* The same, of one that may have been told to stop. */
static bool try_ack(struct pair *p)
{
    struct wr_err e = {0};
    uint64_t ticket, txid;
    enum wr_status st = WR_BUSY;

    insert(&p->a);
    wr_db_sync_begin(p->a.db, &ticket);
    for (int i = 0; i < 100 && st == WR_BUSY; i++) {
        world_run(&p->a, SECOND / 10);
        st = wr_db_sync_poll(p->a.db, ticket, true, &txid, &e);
    }
    if (st == WR_OK)
        p->acked = rows(p->a.app);
    return st == WR_OK;
}

static void follow_to(struct pair *p, const char *path)
{
    const struct wr_follow_opts fo = {.restore = {.path = path, .parallel = 1}};
    struct wr_restore_result r = {0};
    struct wr_follow *f = NULL;
    struct wr_follow_report now;
    int64_t wait_ms = 0;
    struct wr_err e = {0};

    T_OK(wr_follow_open(p->s, t_call(), &fo, &f, &r, &e));
    do {
        T_OK(wr_follow_step(f, t_call(), &wait_ms, &e));
        wr_follow_look(f, &now);
        T(now.phase != WR_FOLLOW_FAILING);
    } while (wait_ms == 0 || now.phase != WR_FOLLOW_CURRENT);
    wr_follow_close(f);
}

static void share(struct world *to, struct world *from)
{
    world_open(to, 0);
    to->opts.fs = t_machine_fs();
    to->n_buckets = 1;
    to->bucket[0] = wr_storage_mem_ref(from->bucket[0]);
    to->interval_ns = SECOND;
}

static void spy_on(struct pair *p)
{
    struct wr_err e = {0};

    p->spy = (struct spy){0};
    p->ops = spy_ops_proto;
    p->ops.caps = wr_storage_mem.caps;
    p->spy.inner = wr_storage_mem_ref(p->a.bucket[0]);
    T_OK(wr_storage_wrap(&p->ops, &p->spy, WR_STR(""), &p->s, &e));
    wr_storage_set_retry(p->s, 1, 0);
}

/* A primary that runs, and a copy of what it has sent. */
static void begin(struct pair *p)
{
    *p = (struct pair){0};
    world_open(&p->a, 1);
    p->a.opts.fs = t_machine_fs();
    p->a.interval_ns = SECOND;
    world_app(&p->a);
    world_sql(&p->a,
        "CREATE TABLE t(a INTEGER PRIMARY KEY, b); WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL "
        "SELECT x+1 FROM c WHERE x<60) INSERT INTO t SELECT x, randomblob(3000) FROM c");
    world_start(&p->a);
    (void)world_sync(&p->a);
    ack(p);
    share(&p->b, &p->a);
    spy_on(p);
    p->o = (struct wr_promote_opts){
        .fs = t_machine_fs(), .path = p->b.path, .parallel = 1, .patience_ms = 5000};
    follow_to(p, p->b.path);
}

static void end(struct pair *p)
{
    wr_storage_close(p->s);
    world_close(&p->b);
    world_close(&p->a);
}

static enum wr_status try_promote(struct pair *p, struct wr_err *e)
{
    return wr_promote(p->s, t_call(), &p->o, &p->done, e);
}

static void promote(struct pair *p)
{
    struct wr_err e = {0};

    T_OK(try_promote(p, &e));
}

static bool lease_is(struct pair *p, uint64_t epoch)
{
    struct wr_lease l = {0};
    struct wr_err e = {0};
    enum wr_status st = wr_lease_read(p->s, t_call(), &l, &e);

    return epoch == 0 ? st == WR_NOTFOUND : st == WR_OK && l.epoch == epoch;
}

static bool has(const char *path, const char *suffix)
{
    char name[600];

    (void)snprintf(name, sizeof(name), "%s%s", path, suffix);
    return access(name, F_OK) == 0;
}

/* The new primary has all that was acknowledged, and sends what changes, not all of it. */
static void goes_on(struct pair *p)
{
    struct wr_ltx_files files;
    struct wr_db_status now;
    unsigned before;

    T(!has(p->b.path, "-follow") && !has(p->b.path, "-txid"));
    world_app(&p->b);
    before = rows(p->b.app);
    T(before >= p->acked);
    insert(&p->b); /* before anybody replicates it */
    world_start(&p->b);
    for (int i = 0; i < 3; i++) {
        insert(&p->b);
        (void)world_sync(&p->b);
    }
    wr_db_status(p->b.db, &now);
    T(now.full_sends == 0 && p->b.errors == 0);
    world_check(&p->b, 0);
    T(rows(p->b.app) == before + 4);
    files = bucket_list(&p->b);
    for (size_t i = 0; i < files.n; i++)
        T(files.p[i].max <= p->done.next || files.p[i].size < 20000);
    wr_ltx_files_release(&files);
}

static uint64_t newest_node(struct pair *p)
{
    struct wr_storage *s = world_storage(&p->b, 0);
    struct wr_remote_seen seen = {0};
    struct wr_remote_pos pos;
    struct wr_err e = {0};

    T_OK(wr_remote_find(s, t_call(), &seen, NULL, &pos, &e));
    wr_storage_close(s);
    return pos.node_id;
}

static bool is_stopped(struct world *w, const char *text)
{
    struct wr_replica_account is;
    struct wr_replica_status r;
    struct wr_str name;

    wr_db_replica_status(w->db, 0, &r, &name);
    wr_db_replica_account(w->db, 0, &is);
    return r.state == WR_REPLICA_STOPPED && r.error == WR_CONFLICT && strstr(is.error.text, text);
}

/* It is told where the other one is; whoever waits for it is told, too; and it sends nothing more.
 */
static void stops(struct world *w, const char *promoted)
{
    struct wr_err e = {0};
    uint64_t ticket, txid = 0;
    enum wr_status st = WR_BUSY;
    size_t files;

    wr_db_sync_begin(w->db, &ticket);
    for (int i = 0; i < 6000 && st == WR_BUSY; i++) {
        world_run(w, SECOND / 100);
        st = wr_db_sync_poll(w->db, ticket, true, &txid, &e);
    }
    T_IS(WR_CONFLICT, st);
    T(strstr(e.text, "promoted elsewhere") && strstr(e.text, promoted));
    T(is_stopped(w, "promoted elsewhere"));
    files = bucket_count(w);
    for (int i = 0; i < 5; i++) {
        insert(w);
        world_run(w, HOUR);
    }
    T(bucket_count(w) == files);
    T(is_stopped(w, "promoted elsewhere"));
}

static void old_one_stops(struct pair *p)
{
    stops(&p->a, p->b.path);
}

/* It commits once more, and is told; and the one that was promoted goes on. */
static void end_of_both(struct pair *p)
{
    insert(&p->a);
    old_one_stops(p);
    goes_on(p);
    end(p);
}

/* ---- dead ---- */

static void test_the_old_one_is_dead(void **state)
{
    struct pair p;

    (void)state;
    begin(&p);
    ack(&p);
    world_stop(&p.a);
    promote(&p);
    T(p.done.lease.epoch == 1 && !p.done.before && p.done.next > p.done.txid + (1u << 20));
    T(lease_is(&p, 1) && strstr(p.done.lease.owner, p.b.path));
    goes_on(&p);
    end(&p);
}

/* With commits that it had not sent, and that nobody was told are safe; and without. */
static void test_the_old_one_comes_back(void **state)
{
    (void)state;
    for (int unsent = 0; unsent < 4; unsent++) {
        struct pair p;

        begin(&p);
        ack(&p);
        world_stop(&p.a);
        for (int i = 0; i < unsent; i++)
            insert(&p.a);
        promote(&p);
        if (unsent != 2)
            goes_on(&p);
        world_start(&p.a);
        old_one_stops(&p);
        T(rows(p.a.app) == p.acked + (unsigned)unsent + 5);
        if (unsent == 2)
            goes_on(&p);
        world_check(&p.b, 0);
        end(&p);
    }
}

/* Whoever says that the replica is this database's does not say that nobody was promoted. */
static void test_adopting_does_not_override_it(void **state)
{
    struct pair p;

    (void)state;
    begin(&p);
    world_stop(&p.a);
    promote(&p);
    p.a.opts.adopt = true;
    world_start(&p.a);
    old_one_stops(&p);
    goes_on(&p);
    end(&p);
}

/* Without local state nothing tells it what it has sent. */
static void test_the_old_one_comes_back_without_local_state(void **state)
{
    struct pair p;

    (void)state;
    begin(&p);
    ack(&p);
    world_stop(&p.a);
    promote(&p);
    goes_on(&p);
    T(unlink(t_path(p.a.dir, ".app.db-weir/ledger")) == 0);
    T(unlink(t_path(p.a.dir, ".app.db-weir/node")) == 0);
    world_start(&p.a);
    old_one_stops(&p);
    end(&p);
}

/* ---- alive ---- */

static void test_the_old_one_is_alive(void **state)
{
    (void)state;
    for (int quiet = 0; quiet < 2; quiet++) {
        struct pair p;

        begin(&p);
        ack(&p);
        promote(&p);
        if (quiet)
            world_run(&p.a, HOUR);
        end_of_both(&p);
    }
}

/* Each time that the fence is about to be put, the old one has been faster. */
static void one_more(void *arg, struct wr_call *c, struct wr_str key)
{
    struct pair *p = arg;

    (void)c;
    if (p->races == 0 || !strstr(key.p, "ltx/0/"))
        return;
    p->races--;
    if (try_ack(p))
        p->raced++;
}

static void test_the_old_one_is_faster(void **state)
{
    (void)state;
    for (unsigned races = 1; races <= 5; races++) {
        struct pair p;

        begin(&p);
        p.races = races;
        p.spy.in_put = one_more;
        p.spy.arg = &p;
        promote(&p);
        T(p.races == 0);
        end_of_both(&p);
    }
}

static void test_the_old_one_is_always_faster(void **state)
{
    struct pair p;
    struct wr_err e = {0};

    (void)state;
    begin(&p);
    p.races = 1000000;
    p.spy.in_put = one_more;
    p.spy.arg = &p;
    p.o.patience_ms = 1;
    T_IS(WR_BUSY, try_promote(&p, &e));
    T(strstr(e.text, "stop it"));
    ack(&p); /* nothing keeps it from that */
    p.races = 0;
    p.o.patience_ms = 5000;
    promote(&p);
    T(p.done.lease.epoch == 2); /* a second run */
    goes_on(&p);
    end(&p);
}

static void test_one_that_sends_without_a_pause_is_overtaken(void **state)
{
    struct pair p;

    (void)state;
    begin(&p);
    p.races = 1000000;
    p.spy.in_put = one_more;
    p.spy.arg = &p;
    p.o.patience_ms = 60000;
    promote(&p);
    T(p.raced > 100 && p.raced <= 256);
    p.races = 0;
    old_one_stops(&p);
    goes_on(&p);
    end(&p);
}

/* What it sends while the copy is brought up to date is merged, and deleted from level 0. */
static void send_and_merge(void *arg)
{
    struct pair *p = arg;
    unsigned n = p->races;

    if (!lease_is(p, 1)) /* the first time, which is before it is taken */
        return;
    p->races = 0;
    for (; n > 0; n--) {
        uint64_t txid;
        struct object o;

        ack(p);
        txid = world_sync(&p->a);
        o = bucket_under_way(&p->a, txid);
        o.is.level = 1;
        bucket_put(&p->a, &o);
    }
}

static void test_the_fence_had_a_name_that_was_merged_and_deleted(void **state)
{
    (void)state;
    for (unsigned files = 1; files <= 3; files++) {
        struct pair p;

        begin(&p);
        p.races = files;
        p.spy.after_list = send_and_merge;
        p.spy.arg = &p;
        promote(&p);
        T(p.races == 0);
        end_of_both(&p);
    }
}

/* The same, merged into one file. */
static void send_and_merge_all(void *arg)
{
    struct pair *p = arg;
    struct wr_ltx_files files;
    struct wr_ltx_file all = {0};

    if (p->races == 0 || !lease_is(p, 1))
        return;
    for (; p->races > 0; p->races--)
        ack(p);
    world_run(&p->a, MINUTE);
    T(bucket_count_level(&p->a, 1, &all) > 0 && all.max > all.min + 2);
    files = bucket_list(&p->a);
    for (size_t i = 0; i < files.n; i++) {
        if (files.p[i].level == 0 && files.p[i].max < all.max)
            bucket_remove(&p->a, &files.p[i]);
    }
    wr_ltx_files_release(&files);
}

/* Who asked for that TXID was given the state before it. */
static void test_a_fence_was_left_within_a_merged_file(void **state)
{
    struct pair p;
    struct wr_ltx_file f = {0};

    (void)state;
    begin(&p);
    world_stop(&p.a);
    p.a.opts.cadence = (struct wr_cadence){.levels = 1, .level_ms = {30000}};
    world_start(&p.a);
    (void)world_sync(&p.a);
    p.races = 5;
    p.spy.after_list = send_and_merge_all;
    p.spy.arg = &p;
    promote(&p);
    T(p.races == 0);
    T(bucket_count_level(&p.a, 0, &f) == 3); /* the newest of the old one, the fence, and away */
    end_of_both(&p);
}

/* While the copy applies what a list had, it sends more than can be applied at once. */
static void many_more(void *arg)
{
    struct pair *p = arg;

    T(p->races-- > 0); /* else it never ends */
    for (unsigned i = 0; i < WR_ONWARD_FILES_MAX + 8 && try_ack(p); i++)
        ;
}

static void no_more(void *arg, struct wr_call *c, struct wr_str key)
{
    struct pair *p = arg;

    (void)c;
    if (strstr(key.p, "ltx/0/"))
        p->spy.after_list = NULL;
}

static void test_a_primary_that_is_faster_than_the_copy_was_followed_for_ever(void **state)
{
    struct pair p;

    (void)state;
    begin(&p);
    p.races = 12;
    p.spy.after_list = many_more;
    p.spy.in_put = no_more;
    p.spy.arg = &p;
    promote(&p);
    T(p.races < 12 && !p.spy.after_list);
    end_of_both(&p);
}

/* ---- files of other names than the next ---- */

static void no_faults_yet(struct world *w, struct faultstore *f)
{
    (void)w;
    (void)f;
}

/* It has closed transactions that it could not send, and was killed: what it sends next spans them.
 * Its restart, in the middle of the promotion. */
static void restart_it(void *arg, struct wr_call *c, struct wr_str key)
{
    struct pair *p = arg;

    (void)c;
    if (p->races == 0 || !strstr(key.p, "ltx/0/"))
        return;
    p->races = 0;
    world_start(&p->a);
    world_run(&p->a, MINUTE);
}

static void close_unsent(struct pair *p, int n)
{
    p->a.arm = no_faults_yet;
    world_stop(&p->a);
    world_start(&p->a);
    ack(p);
    faultstore_arm(p->a.fault[0], FAULT_BEFORE, FAULT_ON_PUT, 1000, UINT64_MAX);
    for (int i = 0; i < n; i++) {
        insert(&p->a);
        world_run(&p->a, 5 * SECOND);
    }
    world_stop(&p->a);
    p->a.arm = NULL;
}

/* The lease is taken, and the fence not yet there: what it sends has another name than that. Nobody
 * was told that it is safe; but it is there when the promotion looks again, and taken over. */
static void test_a_file_that_spans_several_does_not_pass_it(void **state)
{
    struct pair p;
    struct wr_ltx_files files;
    size_t wide = 0;

    (void)state;
    begin(&p);
    close_unsent(&p, 4);
    p.races = 1;
    p.spy.in_put = restart_it;
    p.spy.arg = &p;
    promote(&p);
    T(p.races == 0 && is_stopped(&p.a, "promoted elsewhere"));
    files = bucket_list(&p.a);
    for (size_t i = 0; i < files.n; i++)
        wide += files.p[i].level == 0 && files.p[i].min < files.p[i].max &&
                files.p[i].max < p.done.next;
    wr_ltx_files_release(&files);
    T(wide == 1); /* else this was no test */
    old_one_stops(&p);
    (void)world_restore(&p.b, 0, 0);
    T(sqlite3_open(t_path(p.b.dir, "restored.db"), &p.b.app) == SQLITE_OK);
    T(rows(p.b.app) == p.acked + 4);
    world_app_close(&p.b);
    world_app(&p.b);
    T(rows(p.b.app) == p.acked + 4);
    world_start(&p.b);
    insert(&p.b);
    (void)world_sync(&p.b);
    world_check(&p.b, 0);
    world_run(&p.b, 8 * HOUR);
    insert(&p.b);
    (void)world_sync(&p.b);
    T(!is_stopped(&p.b, ""));
    world_check(&p.b, 0);
    end(&p);
}

/* The same, before anybody thinks of a promotion: then it counts. */
static void test_a_file_that_spans_several_was_before_it(void **state)
{
    struct pair p;

    (void)state;
    begin(&p);
    close_unsent(&p, 4);
    world_start(&p.a);
    ack(&p);
    promote(&p);
    end_of_both(&p);
}

/* Right before the lease is taken; and the first listing behind that is refused, once. */
static void restart_it_early(void *arg, struct wr_call *c, struct wr_str key)
{
    struct pair *p = arg;

    (void)c;
    if (p->races == 0 || !strstr(key.p, "lease.json"))
        return;
    p->races = 0;
    world_start(&p->a);
    (void)world_sync(&p->a);
    p->acked = rows(p->a.app);
    p->spy.fail_list = WR_BUSY;
    p->spy.fail_lists = 1;
}

/* A listing that failed was one with nothing new, and what was acknowledged was lost. */
static void test_a_store_that_is_busy_once_hid_a_file(void **state)
{
    struct pair p;
    unsigned before;

    (void)state;
    begin(&p);
    close_unsent(&p, 4);
    before = p.acked;
    p.races = 1;
    p.spy.in_put = restart_it_early;
    p.spy.arg = &p;
    promote(&p);
    T(p.races == 0 && p.acked > before && p.spy.fail_list == WR_OK);
    p.spy.in_put = NULL;
    goes_on(&p);
    end(&p);
}

/* It had been sent, and whether it counts was not known when its sender was killed: the next start
 * finds it, as its own. */
static void test_a_file_that_was_sent_and_not_confirmed(void **state)
{
    struct pair p;
    struct wr_lease_seen none = {0};
    struct wr_lease l;
    struct wr_err e = {0};

    (void)state;
    begin(&p);
    close_unsent(&p, 4);
    p.a.arm = no_faults_yet;
    world_start(&p.a);
    for (int i = 0; i < 10000 && bucket_count_level(&p.a, 0, NULL) < 3; i++)
        (void)world_pass(&p.a, SECOND, 1);
    world_stop(&p.a);
    p.a.arm = NULL;
    T_OK(wr_lease_take(p.s, t_call(), &none, 7, "elsewhere:/x", &l, &e));
    world_start(&p.a);
    world_run(&p.a, MINUTE);
    T(is_stopped(&p.a, "elsewhere:/x"));
    end(&p);
}

/* The first file of an empty replica was not asked about: nobody could have a copy of nothing. But
 * a dead process of the same database may have sent the first one, too, and it arrives late. */
static void test_a_first_snapshot_beside_a_late_one_went_on_behind_a_fence(void **state)
{
    struct pair p;
    struct object late[8];
    struct wr_ltx_files files;
    size_t n;

    (void)state;
    begin(&p);
    world_stop(&p.a);
    files = bucket_list(&p.a);
    n = files.n;
    T(n > 0 && n <= wr_countof(late));
    for (size_t i = 0; i < n; i++)
        late[i] = bucket_get(&p.a, &files.p[i]);
    wr_ltx_files_release(&files);
    bucket_remove_all(&p.a);

    p.a.arm = no_faults_yet;
    insert(&p.a);
    world_start(&p.a);
    faultstore_arm(p.a.fault[0], FAULT_BEFORE, FAULT_ON_PUT, 10000, UINT64_MAX);
    world_run(&p.a, MINUTE); /* it has seen that there is nothing, and that this stays so */
    for (size_t i = 0; i < n; i++)
        bucket_put(&p.a, &late[i]);
    promote(&p);
    faultstore_calm(p.a.fault[0]);
    p.a.arm = NULL;
    old_one_stops(&p);
    T(bucket_count_level(&p.a, WR_LEVEL_SNAPSHOT, NULL) == 2); /* else this was no test */
    world_app(&p.b);
    T(rows(p.b.app) == p.acked);
    world_start(&p.b);
    insert(&p.b);
    (void)world_sync(&p.b);
    world_check(&p.b, 0);
    end(&p);
}

/* Whoever empties a replica may leave the lease of its past behind. The first file counted, and
 * with the next one that the lease is read for it was all over. */
static void test_who_writes_first_to_an_emptied_replica_goes_on(void **state)
{
    struct pair p;

    (void)state;
    begin(&p);
    world_stop(&p.a);
    promote(&p);
    bucket_remove_all(&p.a);
    T(lease_is(&p, 1));
    insert(&p.a);
    world_start(&p.a);
    ack(&p);
    T(lease_is(&p, 2));
    close_unsent(&p, 4);
    world_start(&p.a);
    ack(&p);
    T(bucket_count_level(&p.a, WR_LEVEL_SNAPSHOT, NULL) == 1 && lease_is(&p, 2));
    world_check(&p.a, 0);
    end(&p);
}

/* ---- what is in the way ---- */

static void check_untouched(struct pair *p)
{
    T(lease_is(p, 0) && has(p->b.path, "-follow"));
    ack(p);
}

static void test_what_is_no_copy_is_left_alone(void **state)
{
    struct pair p;
    struct wr_err e = {0};

    (void)state;
    begin(&p);
    p.o.path = t_path(p.b.dir, "none.db");
    T_IS(WR_NOTFOUND, try_promote(&p, &e));
    p.o.path = p.a.path;
    T_IS(WR_CONFLICT, try_promote(&p, &e));
    T(strstr(e.text, "weir restore -f"));
    check_untouched(&p);
    end(&p);
}

/* The record is beside the file that the link leads to. */
static void test_a_copy_behind_a_link_was_no_copy(void **state)
{
    struct pair p;
    const char *link;

    (void)state;
    begin(&p);
    link = t_path(p.b.dir, "link.db");
    T(symlink(p.b.path, link) == 0);
    p.o.path = link;
    p.o.meta_dir = t_path(p.b.dir, ".app.db-weir");
    promote(&p);
    T(p.done.lease.epoch == 1 && !p.done.before);
    end(&p);
}

static void test_another_follower_is_busy(void **state)
{
    struct pair p;
    struct wr_follow_opts fo = {0};
    struct wr_restore_result r = {0};
    struct wr_follow *f = NULL;
    struct wr_err e = {0};

    (void)state;
    begin(&p);
    fo.restore.path = p.b.path;
    T_OK(wr_follow_open(p.s, t_call(), &fo, &f, &r, &e));
    T_IS(WR_BUSY, try_promote(&p, &e));
    wr_follow_close(f);
    check_untouched(&p);
    promote(&p);
    end(&p);
}

static void test_a_damaged_copy_is_not_promoted(void **state)
{
    struct pair p;
    struct wr_err e = {0};
    FILE *f;

    (void)state;
    begin(&p);
    f = fopen(p.b.path, "r+");
    T(f && fseek(f, 4096 * 20 + 77, SEEK_SET) == 0 && fputc('x', f) == 'x' && fclose(f) == 0);
    T_IS(WR_CORRUPT, try_promote(&p, &e));
    T(strstr(e.text, "into a new file"));
    check_untouched(&p);
    end(&p);
}

static void test_a_copy_that_was_written_to_is_not_promoted(void **state)
{
    struct pair p;
    struct wr_err e = {0};

    (void)state;
    begin(&p);
    T(sqlite3_open(p.b.path, &p.b.app) == SQLITE_OK);
    insert(&p.b);
    world_app_close(&p.b);
    T_IS(WR_CONFLICT, try_promote(&p, &e));
    T(lease_is(&p, 0));
    end(&p);
}

static void test_a_store_without_conditions_is_refused(void **state)
{
    struct pair p;
    struct wr_err e = {0};

    (void)state;
    begin(&p);
    p.ops.caps = wr_storage_mem.caps & ~(unsigned)WR_STORAGE_COND_PUT;
    T_IS(WR_UNSUPPORTED, try_promote(&p, &e));
    T(strstr(e.text, "-force"));
    check_untouched(&p);
    world_stop(&p.a);
    p.o.force = true;
    promote(&p);
    goes_on(&p);
    end(&p);
}

static void test_a_damaged_lease(void **state)
{
    struct pair p;
    struct wr_err e = {0};

    (void)state;
    begin(&p);
    T_OK(wr_storage_put(
        p.s, t_call(), WR_STR("lease.json"), (struct wr_bytes){(const uint8_t *)"{", 1}, NULL, &e));
    T_IS(WR_CORRUPT, try_promote(&p, &e));
    p.o.force = true;
    promote(&p);
    T(lease_is(&p, 1));
    goes_on(&p);
    end(&p);
}

/* Somebody reads the copy for longer than anybody has patience, and there is something to apply. */
static void test_a_reader_is_in_the_way(void **state)
{
    struct pair p;
    struct wr_err e = {0};

    (void)state;
    begin(&p);
    ack(&p);
    T(sqlite3_open(p.b.path, &p.b.app) == SQLITE_OK);
    world_sql(&p.b, "BEGIN; SELECT count(*) FROM t");
    p.o.patience_ms = 10;
    T_IS(WR_BUSY, try_promote(&p, &e));
    T(strstr(e.text, "newest state") && lease_is(&p, 0));
    world_sql(&p.b, "COMMIT");
    world_app_close(&p.b);
    p.o.patience_ms = 5000;
    promote(&p);
    goes_on(&p);
    end(&p);
}

/* Nothing is to be applied, as far as is known before the lease is taken: what cannot be done was
 * found out behind it, with an old primary that stops at it and no new one. */
static void test_the_lease_was_taken_by_one_that_cannot_apply(void **state)
{
    struct pair p;
    struct wr_err e = {0};

    (void)state;
    begin(&p);
    T(sqlite3_open(p.b.path, &p.b.app) == SQLITE_OK);
    world_sql(&p.b, "BEGIN; SELECT count(*) FROM t");
    p.o.patience_ms = 10;
    T_IS(WR_BUSY, try_promote(&p, &e));
    T(strstr(e.text, "nothing was changed"));
    check_untouched(&p);
    world_sql(&p.b, "COMMIT");
    world_app_close(&p.b);
    T(!has(p.b.path, "-journal"));
    p.o.patience_ms = 5000;
    promote(&p);
    goes_on(&p);
    end(&p);
}

static void test_the_lease_was_taken_by_one_that_cannot_go_on(void **state)
{
    struct pair p;
    struct wr_err e = {0};
    const char *meta, *ledger;

    (void)state;
    begin(&p);
    meta = t_path(p.b.dir, ".app.db-weir");
    ledger = t_path(meta, "ledger");
    T(mkdir(meta, 0700) == 0 && mkdir(ledger, 0700) == 0);
    T(try_promote(&p, &e) != WR_OK);
    T(strstr(e.text, "ledger") && lease_is(&p, 0));
    T(rmdir(ledger) == 0);
    promote(&p);
    T(p.done.lease.epoch == 1);
    goes_on(&p);
    end(&p);
}

static void test_it_is_canceled(void **state)
{
    struct wr_cancel cancel;
    struct wr_call c = *t_call();
    struct pair p;
    struct wr_err e = {0};

    (void)state;
    begin(&p);
    wr_cancel_init(&cancel);
    wr_cancel_now(&cancel);
    c.cancel = &cancel;
    T_IS(WR_CANCELED, wr_promote(p.s, &c, &p.o, &p.done, &e));
    p.o.force = true; /* nothing is tried */
    T_IS(WR_CANCELED, wr_promote(p.s, &c, &p.o, &p.done, &e));
    wr_cancel_release(&cancel);
    check_untouched(&p);
    end(&p);
}

/* ---- others ---- */

static void take_as(struct pair *p, uint64_t node, const char *owner)
{
    struct wr_storage *s = world_storage(&p->a, 0);
    struct wr_lease_seen seen = {0};
    struct wr_lease l;
    struct wr_err e = {0};

    T_OK(wr_lease_look(s, t_call(), &seen, &e));
    T_OK(wr_lease_take(s, t_call(), &seen, node, owner, &l, &e));
    wr_storage_close(s);
}

static void take_it(struct pair *p, uint64_t node)
{
    take_as(p, node, "rival:/r");
}

static void rival_first(void *arg, struct wr_call *c, struct wr_str key)
{
    struct pair *p = arg;

    (void)c;
    if (p->races == 1 && strstr(key.p, "lease.json")) {
        p->races = 0;
        take_it(p, 99);
    } else if (p->races == 2 && strstr(key.p, "ltx/0/")) {
        p->races = 0;
        take_it(p, 99);
    }
}

/* Of two promotions the one that took the lease last has it; the other one ends, and its copy can
 * still be followed. */
static void test_another_promotion_is_faster(void **state)
{
    (void)state;
    for (unsigned when = 1; when <= 2; when++) {
        struct pair p;
        struct wr_err e = {0};

        begin(&p);
        ack(&p);
        p.races = when;
        p.spy.in_put = rival_first;
        p.spy.arg = &p;
        T_IS(WR_CONFLICT, try_promote(&p, &e));
        T(strstr(e.text, "rival:/r") && lease_is(&p, when) && has(p.b.path, "-follow"));
        follow_to(&p, p.b.path);
        promote(&p); /* and the operator may have his way */
        T(lease_is(&p, when + 1));
        end_of_both(&p);
    }
}

/* As `node` puts it; the caller frees the page. *ret_txid: which state it is. */
static struct wr_fence newest_state(struct pair *p, uint64_t node, uint64_t *ret_txid)
{
    char name[32];
    const char *third;
    struct wr_storage *s = world_storage(&p->b, 0);
    struct wr_remote_seen seen = {0};
    struct wr_remote_pos pos;
    struct wr_fence f;
    struct wr_err e = {0};
    FILE *in;

    T_OK(wr_remote_find(s, t_call(), &seen, NULL, &pos, &e));
    wr_storage_close(s);
    (void)snprintf(name, sizeof(name), "third-%u", p->races++);
    third = t_path(p->b.dir, name);
    follow_to(p, third);
    f = (struct wr_fence){.node = node,
        .rolling = pos.rolling,
        .page_size = pos.page_size,
        .commit = pos.commit,
        .pgno = 2,
        .lock_offset = WR_LTX_LOCK_OFFSET,
        .time_ms = pos.time_ms,
        .page = wr_alloc(pos.page_size)};
    in = fopen(third, "rb");
    T(in && f.page && fseek(in, (long)f.page_size, SEEK_SET) == 0);
    T(fread(f.page, f.page_size, 1, in) == 1 && fclose(in) == 0);
    *ret_txid = pos.txid;
    return f;
}

/* What a promotion that has lost puts in the way when it is stopped between its look at the lease
 * and its file: of the state that both know. */
static void put_stray(struct pair *p, uint64_t node, uint64_t span)
{
    uint64_t txid;
    struct wr_fence f = newest_state(p, node, &txid);
    struct wr_storage *s = world_storage(&p->b, 0);
    struct wr_err e = {0};

    T_OK(wr_fence_put(s, t_call(), &f, txid + 1, txid + span, &e));
    wr_free(f.page);
    wr_storage_close(s);
}

/* The one that has the lease stopped at it, as if two lived, and so did the one that had lost it.
 */
static void test_what_a_loser_left_stopped_the_winner(void **state)
{
    (void)state;
    for (uint64_t span = 1; span <= WR_PROMOTE_AWAY; span += WR_PROMOTE_AWAY - 1) {
        struct pair p;

        begin(&p);
        promote(&p);
        goes_on(&p);
        for (uint64_t loser = 98; loser <= 99; loser++) { /* a name each for fence and distance */
            put_stray(&p, loser, span);
            insert(&p.b);
            (void)world_sync(&p.b);
        }
        world_run(&p.b, HOUR); /* it has looked at all there is */
        insert(&p.b);
        (void)world_sync(&p.b);
        world_check(&p.b, 0);
        end(&p);
    }
}

/* The promotion that the lease was taken from had looked at it a moment before, and what it left
 * hid all that came for half an hour. */
static void test_who_had_taken_a_lease_did_not_look_behind_it(void **state)
{
    struct pair p;

    (void)state;
    begin(&p);
    world_stop(&p.a);
    promote(&p);
    bucket_remove_all(&p.a);
    world_lose_state(&p.a);
    insert(&p.a); /* its snapshot is of one TXID: another one makes it look soon anyway */
    world_start(&p.a);
    ack(&p);
    T(lease_is(&p, 2));
    put_stray(&p, 98, WR_PROMOTE_AWAY);
    for (int i = 0; i < 2; i++) {
        world_run(&p.a, MINUTE);
        ack(&p);
    }
    world_check(&p.a, 0);
    end(&p);
}

static bool verifies(struct pair *p)
{
    struct wr_verify_result r = {0};
    struct wr_err e = {0};

    T_OK(wr_verify(p->s, t_call(), &(struct wr_verify_opts){.parallel = 1}, &r, &e));
    return r.lost == 0;
}

/* Of the old primary's machine, its clocks included, nothing moves for days. */
static void days_pass(struct pair *p)
{
    p->b.opts.retention = (struct wr_retention){.keep_ms = 24 * 3600000, .l0_ms = 300000};
    p->b.opts.cadence = (struct wr_cadence){
        .levels = 3, .level_ms = {30000, 300000, 3600000}, .snapshot_ms = 24 * 3600000};
    goes_on(p);
    for (int i = 0; i < 5 * 24; i++) {
        insert(&p->b);
        world_run(&p->b, HOUR);
    }
    T(verifies(p));
}

static enum wr_status promote_by_its_clock(struct pair *p, struct wr_err *e)
{
    struct wr_call c = *t_call();

    c.clock = &p->b.clock.clock;
    return wr_promote(p->s, &c, &p->o, &p->done, e);
}

static void old_one_stops_after_days(struct pair *p)
{
    days_pass(p);
    insert(&p->a);
    old_one_stops(p);
    end(p);
}

/* Then its next name was free, as retention had deleted the fence, and it told somebody that a
 * commit is safe. */
static void test_an_old_one_that_slept_for_days_found_its_name_free(void **state)
{
    struct wr_err e = {0};
    struct pair p;

    (void)state;
    begin(&p);
    ack(&p);
    T_OK(promote_by_its_clock(&p, &e));
    old_one_stops_after_days(&p);
}

/* ---- what no name keeps out ---- */

/* How many files of levels end where only the old primary ends one. */
static size_t of_levels(struct pair *p, uint64_t txid)
{
    struct wr_ltx_files files = bucket_list(&p->b);
    size_t n = 0;

    for (size_t i = 0; i < files.n; i++)
        n += files.p[i].level > 0 && files.p[i].max == txid;
    wr_ltx_files_release(&files);
    return n;
}

static bool nothing_is_found(struct pair *p)
{
    struct wr_verify_result r = {0};
    struct wr_err e = {0};

    T_OK(wr_verify(p->s, t_call(), &(struct wr_verify_opts){.parallel = 1}, &r, &e));
    return r.findings == 0;
}

/* It sleeps with a file of level 1 that is due, and sent that days later, when what led to it may
 * be deleted, and it would be told as missing; and one of each other level, and a snapshot. Nobody
 * writes to it, so that no name stops it. */
static void test_an_old_one_that_slept_for_days_went_on_with_its_levels(void **state)
{
    const struct wr_cadence cadence = {
        .levels = 3, .level_ms = {30000, 300000, 3600000}, .snapshot_ms = 24 * 3600000};
    struct pair p;
    struct wr_db_status was;
    struct wr_err e = {0};

    (void)state;
    begin(&p);
    world_stop(&p.a);
    p.a.opts.cadence = cadence;
    p.a.opts.retention = (struct wr_retention){.keep_ms = 24 * 3600000, .l0_ms = 300000};
    world_start(&p.a);
    for (int i = 0; i < 600; i++) {
        ack(&p);
        world_run(&p.a, SECOND);
    }
    wr_db_status(p.a.db, &was);
    T(of_levels(&p, was.txid) == 0);
    T_OK(promote_by_its_clock(&p, &e));
    days_pass(&p);
    T(nothing_is_found(&p));
    wr_clock_manual_advance(&p.a.clock, 5 * 24 * HOUR);
    world_run(&p.a, 10 * MINUTE);
    T(of_levels(&p, was.txid) == 0);
    T(nothing_is_found(&p));
    T(is_stopped(&p.a, "promoted elsewhere") && p.a.errors == 1 && p.a.warnings == 0);
    end(&p);
}

/* The second file of level 0 is the one behind the fence. */
static void die_behind_the_fence(void *arg, struct wr_call *c, struct wr_str key)
{
    struct pair *p = arg;

    (void)c;
    if (strstr(key.p, "ltx/0/") && ++p->races == 2)
        p->spy.fail_put = WR_IO;
}

/* So had it when the promotion was killed behind its fence, and run again: it put another one
 * behind that, and only of this one it was known that it is a fence. */
static void test_the_fence_of_a_promotion_that_was_killed_was_deleted(void **state)
{
    struct wr_err e = {0};
    struct pair p;

    (void)state;
    begin(&p);
    ack(&p);
    p.spy.in_put = die_behind_the_fence;
    p.spy.arg = &p;
    T_IS(WR_IO, promote_by_its_clock(&p, &e));
    p.spy.in_put = NULL;
    p.spy.fail_put = WR_OK;
    T_OK(promote_by_its_clock(&p, &e));
    old_one_stops_after_days(&p);
}

/* Nor was it known for one where another copy was promoted instead, which puts its own behind it.
 */
static void test_the_fence_of_another_copy_that_was_killed_was_deleted(void **state)
{
    const char *copy;
    struct wr_err e = {0};
    struct world c;
    struct pair p;

    (void)state;
    begin(&p);
    ack(&p);
    share(&c, &p.a);
    follow_to(&p, c.path);
    copy = p.o.path;
    p.o.path = c.path;
    p.spy.in_put = die_behind_the_fence;
    p.spy.arg = &p;
    T_IS(WR_IO, promote_by_its_clock(&p, &e));
    p.spy.in_put = NULL;
    p.spy.fail_put = WR_OK;
    p.o.path = copy;
    T_OK(promote_by_its_clock(&p, &e));
    world_close(&c);
    old_one_stops_after_days(&p);
}

/* The file that spans what could not be sent. */
static struct wr_ltx_file widest(struct pair *p)
{
    struct wr_ltx_files files = bucket_list(&p->a);
    struct wr_ltx_file is = {0};

    for (size_t i = 0; i < files.n; i++) {
        if (files.p[i].level == 0 && files.p[i].max - files.p[i].min > is.max - is.min)
            is = files.p[i];
    }
    wr_ltx_files_release(&files);
    return is;
}

/* A process that was killed had something of the first of those TXIDs under way, which arrived
 * late; a promotion put its fence behind that, where the other file ends, and died. */
static void put_another_way(struct pair *p, struct wr_fence *f, const struct wr_ltx_file *beside)
{
    struct wr_storage *s = world_storage(&p->b, 0);
    struct wr_err e = {0};

    T(beside->max > beside->min); /* else this was no test */
    T_OK(wr_fence_put(s, t_call(), f, beside->min, beside->max - 1, &e));
    T_OK(wr_fence_put(s, t_call(), f, beside->max, beside->max, &e));
    wr_storage_close(s);
}

/* The copy has what reached further, which did not count: nothing is lost if it goes on from that,
 * and that state is what is restored. */
static void test_another_went_on_beside_the_fence_of_one_that_died(void **state)
{
    struct wr_ltx_file wide;
    struct wr_fence f;
    struct wr_err e = {0};
    struct pair p;
    uint64_t before;
    unsigned all;

    (void)state;
    begin(&p);
    close_unsent(&p, 3);
    f = newest_state(&p, 99, &before);
    take_it(&p, 99);
    world_start(&p.a);
    world_run(&p.a, MINUTE);
    T(is_stopped(&p.a, "promoted elsewhere"));
    all = rows(p.a.app);
    follow_to(&p, p.b.path);
    wide = widest(&p);
    T(wide.min == before + 1);
    put_another_way(&p, &f, &wide);
    wr_free(f.page);
    T_OK(promote_by_its_clock(&p, &e));
    T(p.done.txid == wide.max + 1 && all == p.acked + 3);
    p.acked = all; /* nobody was told so; it is there all the same */
    days_pass(&p);
    stops(&p.a, "rival:/r");
    end(&p);
}

/* Whether local state of the copy survives a power cut; one promotion at a time. */
static struct {
    struct wr_fs fs;
    char parent[600], meta_dir[1300];
    bool has_meta, has_name;
} cut;

static enum wr_status note_sync(const struct wr_fs *fs, const char *path, struct wr_err *e)
{
    (void)fs;
    cut.has_meta = cut.has_meta || strcmp(path, cut.meta_dir) == 0;
    cut.has_name = cut.has_name || (cut.has_meta && strcmp(path, cut.parent) == 0);
    return wr_fs_posix()->sync_dir(wr_fs_posix(), path, e);
}

static enum wr_status open_as_is(const struct wr_fs *fs, const char *path, unsigned flags,
    uint32_t mode, struct wr_file **ret, struct wr_err *e)
{
    (void)fs;
    return t_machine_fs()->open(t_machine_fs(), path, flags, mode, ret, e);
}

static void expect_durable(void *arg, struct wr_call *c, struct wr_str key)
{
    struct pair *p = arg;

    (void)c;
    if (strstr(key.p, WR_LEASE_NAME)) {
        p->races++;
        T(cut.has_meta && cut.has_name);
    }
}

/* So the lease and the fence were somebody else's when it was run again: another fence was put
 * behind that one, and retention deleted it. */
static void test_a_power_cut_took_the_number_in_the_lease(void **state)
{
    const char *base;
    struct pair p;

    (void)state;
    begin(&p);
    base = strrchr(p.b.path, '/');
    memset(&cut, 0, sizeof(cut));
    cut.fs = *t_machine_fs();
    cut.fs.open = open_as_is;
    cut.fs.sync_dir = note_sync;
    (void)snprintf(cut.parent, sizeof(cut.parent), "%.*s", (int)(base - p.b.path), p.b.path);
    (void)snprintf(cut.meta_dir, sizeof(cut.meta_dir), "%s/.%s-weir", cut.parent, base + 1);
    p.o.fs = &cut.fs;
    p.spy.in_put = expect_durable;
    p.spy.arg = &p;
    promote(&p);
    T(p.races == 1);
    p.spy.in_put = NULL;
    end_of_both(&p);
}

/* In parts, whose condition many stores ignore: it was put over the fence, and counted. */
static void test_a_large_file_of_the_next_name_passed_the_fence(void **state)
{
    struct pair p;

    (void)state;
    begin(&p);
    ack(&p); /* small: nobody is asked */
    take_it(&p, 99);
    world_sql(&p.a, "INSERT INTO t(b) VALUES(randomblob(6000000))");
    stops(&p.a, "rival:/r");
    end(&p);
}

/* The answer was lost, and so what a restart finds by listing is that same file. */
static void test_a_large_file_of_the_next_name_counted_after_a_restart(void **state)
{
    struct pair p;

    (void)state;
    begin(&p);
    ack(&p);
    world_sql(&p.a, "INSERT INTO t(b) VALUES(randomblob(6000000))");
    (void)world_sync(&p.a);
    world_stop(&p.a);
    take_it(&p, 99);
    world_start(&p.a);
    insert(&p.a);
    stops(&p.a, "rival:/r");
    end(&p);
}

/* But one that goes on and on, as a program that knows of no lease, is no stray. */
static void test_one_that_knows_of_no_lease_goes_on(void **state)
{
    struct pair p;

    (void)state;
    begin(&p);
    promote(&p);
    goes_on(&p);
    for (uint64_t i = 0; i < 20 && !is_stopped(&p.b, "another process writes"); i++) {
        put_stray(&p, 98 + i % 2, 1);
        insert(&p.b);
        world_run(&p.b, 10 * MINUTE);
    }
    T(is_stopped(&p.b, "another process writes"));
    end(&p);
}

/* What a machine that was made from the same image has for the same path. */
static uint64_t number_of_b(struct pair *p)
{
    struct wr_node node = {0};
    struct wr_err e = {0};
    char *real = NULL;

    T_OK(wr_fs_posix()->resolve(wr_fs_posix(), p->b.path, &real, &e));
    T_OK(wr_node_find(t_machine_fs(), t_path(p->b.dir, "scratch"), real, &node, &e));
    wr_free(real);
    return node.number;
}

static void die_at_away(void *arg, struct wr_call *c, struct wr_str key)
{
    struct pair *p = arg;

    (void)c;
    if (strstr(key.p, "ltx/0/") && p->races++ == 1) /* behind the fence */
        p->spy.fail_put = WR_IO;
}

static void late_away(void *arg, struct wr_call *c, struct wr_str key)
{
    struct pair *p = arg;

    (void)c;
    if (!strstr(key.p, "ltx/0/"))
        return;
    p->spy.in_put = NULL;
    put_stray(p, p->done.lease.node, WR_PROMOTE_AWAY);
}

/* What an earlier run had under way when it was killed was created behind its fence just before
 * this one's: the error was that of the store, and no word of what to do. */
static void test_the_file_behind_the_fence_came_late(void **state)
{
    struct pair p;
    struct wr_lease l = {0};
    struct wr_err e = {0};

    (void)state;
    begin(&p);
    ack(&p);
    p.spy.arg = &p;
    p.spy.in_put = die_at_away;
    T_IS(WR_IO, try_promote(&p, &e));
    T(lease_is(&p, 1) && p.races == 2);
    p.spy.fail_put = WR_OK;
    T_OK(wr_lease_read(p.s, t_call(), &l, &e));
    p.done.lease = l;
    p.spy.in_put = late_away;
    T_IS(WR_BUSY, try_promote(&p, &e));
    T(strstr(e.text, "run this again"));
    promote(&p);
    T(lease_is(&p, 3));
    end_of_both(&p);
}

static void promoted_beside(struct pair *p, uint64_t node)
{
    take_it(p, node);
    promote(p);
    T(p->done.lease.epoch == 2 && p->done.lease.node != node);
    goes_on(p);
    T(newest_node(p) == p->done.lease.node);
}

static void test_a_machine_with_the_number_of_another(void **state)
{
    struct pair p;

    (void)state;
    begin(&p);
    promoted_beside(&p, number_of_b(&p));
    end(&p);
}

/* Whatever was in it, the number that is made then is not one that was kept. */
static void test_an_empty_file_was_a_number_of_our_own(void **state)
{
    const char *meta_dir;
    struct pair p;
    struct wr_err e = {0};

    (void)state;
    begin(&p);
    meta_dir = t_path(p.b.dir, ".app.db-weir");
    T_OK(wr_mkdirs(wr_fs_posix(), meta_dir, 0700, &e));
    t_spew(t_path(meta_dir, "node"), "", 0);
    promoted_beside(&p, number_of_b(&p));
    end(&p);
}

/* Its own one, as an earlier run had it. */
static void own_lease(struct pair *p, uint64_t node)
{
    char owner[WR_LEASE_OWNER] = "";

    T(gethostname(owner, 64) == 0);
    (void)snprintf(owner + strlen(owner), sizeof(owner) - strlen(owner), ":%s", p->b.path);
    take_as(p, node, owner);
}

static void same_number_first(void *arg, struct wr_call *c, struct wr_str key)
{
    struct pair *p = arg;

    (void)c;
    if (!strstr(key.p, "lease.json"))
        return;
    p->spy.in_put = NULL;
    take_it(p, number_of_b(p));
    p->spy.fail_in = "lease.json";
    p->spy.fail_get = p->races == 1 ? WR_IO : WR_OK;
}

static void die_at_lease(void *arg, struct wr_call *c, struct wr_str key)
{
    struct pair *p = arg;

    (void)c;
    if (strstr(key.p, "lease.json"))
        p->spy.fail_put = WR_IO;
}

/* When the lease, or the fence, is about to be put. */
static void own_first(void *arg, struct wr_call *c, struct wr_str key)
{
    struct pair *p = arg;

    (void)c;
    if (!strstr(key.p, p->races == 1 ? "lease.json" : "ltx/0/"))
        return;
    p->spy.in_put = NULL;
    own_lease(p, number_of_b(p));
}

/* The run before was killed when it had just sent it. The one that came after was told that
 * somebody else was promoted, by its own name. */
static void test_a_lease_that_an_earlier_run_had_sent_came_late(void **state)
{
    struct pair p;
    struct wr_err e = {0};

    (void)state;
    begin(&p);
    p.spy.arg = &p;
    p.spy.in_put = die_at_lease;
    T_IS(WR_IO, try_promote(&p, &e));
    p.spy.fail_put = WR_OK;
    p.races = 1;
    p.spy.in_put = own_first;
    promote(&p);
    T(p.done.lease.epoch == 2 && lease_is(&p, 2)); /* it has taken it from there */
    end_of_both(&p);
}

static void overwritten_by_a_late_one(
    unsigned caps, void (*learnt)(void *self, struct wr_storage_learnt *ret))
{
    struct pair p;
    struct wr_err e = {0};

    begin(&p);
    wr_storage_close(p.s);
    p.ops.caps = caps;
    p.ops.learnt = learnt;
    p.spy.inner = wr_storage_mem_ref(p.a.bucket[0]);
    T_OK(wr_storage_wrap(&p.ops, &p.spy, WR_STR(""), &p.s, &e));
    wr_storage_set_retry(p.s, 1, 0);
    p.o.force = true;
    p.spy.arg = &p;
    p.spy.in_put = die_at_lease;
    T_IS(WR_IO, try_promote(&p, &e));
    p.spy.fail_put = WR_OK;
    p.races = 2;
    p.spy.in_put = own_first;
    world_stop(&p.a);
    promote(&p);
    T(p.done.lease.epoch == 3 && lease_is(&p, 3)); /* and is taken back */
    goes_on(&p);
    end(&p);
}

/* Where a store has no conditions, over the one that this run had taken. */
static void test_a_late_lease_overwrote_the_own_one(void **state)
{
    (void)state;
    overwritten_by_a_late_one(wr_storage_mem.caps & ~(unsigned)WR_STORAGE_COND_PUT, NULL);
}

static void no_condition(void *self, struct wr_storage_learnt *ret)
{
    (void)self;
    ret->no_condition = true;
}

static void no_match(void *self, struct wr_storage_learnt *ret)
{
    (void)self;
    ret->no_match = true;
}

/* The same, where only its answers tell that it has none. */
static void test_a_store_that_was_found_to_have_no_conditions_was_believed_to(void **state)
{
    (void)state;
    overwritten_by_a_late_one(wr_storage_mem.caps, no_condition);
    overwritten_by_a_late_one(wr_storage_mem.caps, no_match);
}

/* It was promoted at the very same time, and the run after took its lease for the own one: both
 * had the same epoch. */
static void test_the_number_of_another_was_ours_when_it_was_faster(void **state)
{
    struct pair p;
    struct wr_err e = {0};
    uint64_t node;

    (void)state;
    begin(&p);
    node = number_of_b(&p);
    p.spy.arg = &p;
    p.spy.in_put = same_number_first;
    T_IS(WR_CONFLICT, try_promote(&p, &e));
    T(strstr(e.text, "rival:/r") && lease_is(&p, 1));
    promote(&p);
    T(p.done.lease.epoch == 2 && p.done.lease.node != node);
    end_of_both(&p);
}

/* The same, and who has it was not to be read. */
static void test_the_number_of_another_was_ours_when_its_lease_was_not_to_be_read(void **state)
{
    struct pair p;
    struct wr_err e = {0};
    uint64_t node;

    (void)state;
    begin(&p);
    node = number_of_b(&p);
    p.spy.arg = &p;
    p.spy.in_put = same_number_first;
    p.races = 1;
    T_IS(WR_CONFLICT, try_promote(&p, &e));
    p.spy.fail_get = WR_OK;
    promote(&p);
    T(p.done.lease.epoch == 2 && p.done.lease.node != node);
    end_of_both(&p);
}

/* An attempt that failed, as each does while somebody follows, left the number behind, and at the
 * next one that was "ours". */
static void test_the_number_of_another_was_ours_at_the_second_try(void **state)
{
    const struct wr_follow_opts fo = {.restore = {.lock_offset = WR_LTX_LOCK_OFFSET}};
    struct wr_follow_opts o = fo;
    struct wr_restore_result none;
    struct wr_follow *f = NULL;
    struct pair p;
    struct wr_err e = {0};
    uint64_t node;

    (void)state;
    begin(&p);
    o.restore.path = p.b.path;
    node = number_of_b(&p);
    take_it(&p, node);
    T_OK(wr_follow_open(p.s, t_call(), &o, &f, &none, &e));
    T_IS(WR_BUSY, wr_promote(p.s, t_call(), &p.o, &p.done, &e));
    wr_follow_close(f);
    promote(&p);
    T(p.done.lease.epoch == 2 && p.done.lease.node != node);
    end(&p);
}

/* As on a machine that was made from an image with it: in a file that does not say where it was
 * made, as here all have one machine id and paths of their own. */
static void keep_node(struct pair *p, uint64_t node)
{
    const char *meta_dir = t_path(p->b.dir, ".app.db-weir");
    struct wr_err e = {0};
    char text[18];

    T_OK(wr_mkdirs(wr_fs_posix(), meta_dir, 0700, &e));
    (void)snprintf(text, sizeof(text), "%016llx\n", (unsigned long long)node);
    t_spew(t_path(meta_dir, "node"), text, 17);
}

static void clone(struct pair *clone, struct pair *of, uint64_t node)
{
    memset(clone, 0, sizeof(*clone));
    share(&clone->b, &of->a);
    clone->s = of->s;
    clone->o = of->o;
    clone->o.path = clone->b.path;
    follow_to(clone, clone->b.path);
    keep_node(clone, node);
}

/* Nor did any of them notice: the number in the lease was their own. */
static void test_a_standby_made_from_an_image_of_the_primary_had_its_number(void **state)
{
    struct pair p, q;

    (void)state;
    begin(&p);
    ack(&p);
    clone(&q, &p, newest_node(&p));
    promote(&q);
    q.acked = p.acked;
    insert(&p.a);
    stops(&p.a, q.b.path);
    goes_on(&q);
    world_close(&q.b);
    end(&p);
}

/* The second one took the lease of the first for one that a run of its own had sent. */
static void test_of_two_machines_of_one_image_both_were_promoted(void **state)
{
    struct pair p, q, r;

    (void)state;
    begin(&p);
    clone(&q, &p, 77);
    clone(&r, &p, 77);
    ack(&p);
    world_stop(&p.a);
    promote(&q);
    promote(&r);
    T(r.done.lease.epoch == 2 && r.done.lease.node != q.done.lease.node);
    goes_on(&r);
    world_app(&q.b);
    insert(&q.b);
    world_start(&q.b);
    stops(&q.b, r.b.path);
    world_close(&r.b);
    world_close(&q.b);
    end(&p);
}

static void twin_first(void *arg, struct wr_call *c, struct wr_str key)
{
    struct pair *p = arg;

    (void)c;
    if (!strstr(key.p, "lease.json"))
        return;
    p->spy.in_put = NULL;
    own_lease(p, 77);
}

/* In the same seconds, with the same name and path: it was told that it is the other one, by its
 * epoch. */
static void test_the_lease_of_a_machine_of_the_same_image_was_the_own_one(void **state)
{
    struct pair p;

    (void)state;
    begin(&p);
    keep_node(&p, 77);
    ack(&p);
    world_stop(&p.a);
    p.spy.arg = &p;
    p.spy.in_put = twin_first;
    promote(&p);
    T(p.done.lease.epoch == 2 && p.done.lease.node != 77 && lease_is(&p, 2));
    goes_on(&p);
    end(&p);
}

/* Two were promoted, and then one whose image is that of the first: that one, which had slept all
 * the while, had the lease, by its number. */
static void test_a_number_came_back_after_another_promotion(void **state)
{
    struct pair p, q, r;
    uint64_t first;

    (void)state;
    begin(&p);
    ack(&p);
    first = newest_node(&p);
    clone(&q, &p, 78);
    promote(&q);
    q.acked = p.acked;
    goes_on(&q);
    world_stop(&q.b);
    clone(&r, &p, first);
    promote(&r);
    r.acked = p.acked;
    insert(&p.a);
    stops(&p.a, r.b.path);
    goes_on(&r);
    world_close(&r.b);
    world_close(&q.b);
    end(&p);
}

/* The database was lost, and a copy promoted in its place, while the daemon that had been its
 * primary ran: that knew the number of before, and was told of a promotion elsewhere, by its own
 * name. */
static void test_a_daemon_went_on_with_the_number_before_the_promotion(void **state)
{
    struct pair p;

    (void)state;
    begin(&p);
    ack(&p);
    world_app_close(&p.a);
    (void)unlink(t_path(p.a.dir, "app.db-wal"));
    (void)unlink(t_path(p.a.dir, "app.db-shm"));
    T(unlink(p.a.path) == 0);
    world_run(&p.a, HOUR); /* it has let go */
    p.o.path = p.a.path;
    follow_to(&p, p.a.path);
    world_run(&p.a, HOUR);
    promote(&p);
    world_app(&p.a);
    T(rows(p.a.app) == p.acked);
    insert(&p.a);
    world_run(&p.a, HOUR);
    (void)world_sync(&p.a);
    world_check(&p.a, 0);
    T(newest_node(&p) == p.done.lease.node);
    end(&p);
}

/* Back to where it was: each has its epoch, and only the last one writes. */
static void test_there_and_back(void **state)
{
    struct pair p, q = {0};

    (void)state;
    begin(&p);
    ack(&p);
    promote(&p);
    goes_on(&p);
    share(&q.b, &p.b); /* a third copy, of the second primary */
    q.s = p.s;
    q.o = p.o;
    q.o.path = q.b.path;
    q.acked = rows(p.b.app);
    follow_to(&q, q.b.path);
    promote(&q);
    T(q.done.lease.epoch == 2);
    goes_on(&q);
    insert(&p.b);
    stops(&p.b, q.b.path);
    insert(&p.a); /* and the one before it, which comes late */
    stops(&p.a, q.b.path);
    insert(&q.b);
    (void)world_sync(&q.b);
    world_check(&q.b, 0);
    world_close(&q.b);
    end(&p);
}

/* Somebody else follows what was promoted: through the fence, and on. */
static void test_other_followers_go_on(void **state)
{
    const struct wr_follow_opts opts = {.restore = {.parallel = 1}};
    struct wr_follow_opts fo = opts;
    struct wr_restore_result r = {0};
    struct wr_follow *f = NULL;
    struct wr_follow_report now = {0};
    struct wr_clock_manual clock;
    struct wr_call c = *t_call();
    struct pair p;
    int64_t wait_ms = 0;
    uint64_t txid;
    struct wr_err e = {0};

    (void)state;
    wr_clock_manual_init(&clock, INT64_C(1795373351761));
    c.clock = &clock.clock;
    begin(&p);
    fo.restore.path = t_path(p.b.dir, "other.db");
    T_OK(wr_follow_open(p.s, &c, &fo, &f, &r, &e));
    ack(&p);
    promote(&p);
    goes_on(&p);
    insert(&p.b);
    txid = world_sync(&p.b);
    for (int i = 0; i < 100 && now.txid < txid; i++) {
        T_OK(wr_follow_step(f, &c, &wait_ms, &e));
        wr_follow_look(f, &now);
        T(now.phase <= WR_FOLLOW_BEHIND);
        wr_clock_manual_advance(&clock, 20 * SECOND); /* it lists now and then */
    }
    T(now.txid == txid);
    wr_follow_close(f);
    end(&p);
}

/* What is left over the leak checker tells: the bucket is memory of this process as well. */
static void test_no_memory(void **state)
{
    struct pair p;
    bool fired = true;

    (void)state;
    begin(&p);
    ack(&p);
    world_stop(&p.a);
    p.o.force = true; /* what tries the store has a test of its own */
    for (int64_t nth = 0; fired; nth++) {
        struct wr_err e = {0};
        enum wr_status st;

        wr_mem_fail_after(nth);
        st = try_promote(&p, &e);
        fired = wr_mem_fault_fired();
        wr_mem_fail_after(-1);
        T(nth < 10000 && (st == WR_OK || (fired && st == WR_NOMEM)));
    }
    p.done.next = WR_PROMOTE_AWAY * 1000;
    goes_on(&p);
    end(&p);
}

/* ---- again ---- */

static void test_once_more_changes_nothing(void **state)
{
    struct pair p;
    size_t files;

    (void)state;
    begin(&p);
    world_stop(&p.a);
    promote(&p);
    files = bucket_count(&p.a);
    promote(&p);
    T(p.done.before && p.done.lease.epoch == 1 && bucket_count(&p.a) == files);
    p.done.next = WR_PROMOTE_AWAY * 2;
    goes_on(&p);
    end(&p);
}

/* Whatever request fails, the next run finishes, and nobody has lost anything. */
static void test_any_request_may_fail(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 12; n++) {
        struct pair p;
        struct wr_err e = {0};
        struct faultstore *f;
        struct wr_storage *s = NULL;

        begin(&p);
        f = faultstore_new(&wr_storage_mem, wr_storage_mem_ref(p.a.bucket[0]), n, NULL);
        T_OK(wr_storage_wrap(faultstore_ops(f), f, WR_STR(""), &s, &e));
        wr_storage_set_retry(s, 1, 0);
        p.o.patience_ms = 1;
        faultstore_arm(f, FAULT_BROKEN, FAULT_ON_ALL & ~(unsigned)FAULT_ON_REMOVE, 150, 2);
        if (wr_promote(s, t_call(), &p.o, &p.done, &e) != WR_OK) {
            T(has(p.b.path, ""));
            if (n % 2)
                insert(&p.a);
            else
                world_stop(&p.a);
        }
        wr_storage_close(s);
        p.o.patience_ms = 5000;
        promote(&p);
        if (p.a.db) {
            insert(&p.a);
            old_one_stops(&p);
        }
        p.done.next = wr_max(p.done.next, WR_PROMOTE_AWAY * 4);
        goes_on(&p);
        end(&p);
    }
}

T_MAIN(T_TEST(test_the_old_one_is_dead), T_TEST(test_the_old_one_comes_back),
    T_TEST(test_adopting_does_not_override_it),
    T_TEST(test_the_old_one_comes_back_without_local_state), T_TEST(test_the_old_one_is_alive),
    T_TEST(test_the_fence_had_a_name_that_was_merged_and_deleted),
    T_TEST(test_a_fence_was_left_within_a_merged_file),
    T_TEST(test_a_primary_that_is_faster_than_the_copy_was_followed_for_ever),
    T_TEST(test_one_that_sends_without_a_pause_is_overtaken), T_TEST(test_the_old_one_is_faster),
    T_TEST(test_the_old_one_is_always_faster),
    T_TEST(test_a_file_that_spans_several_does_not_pass_it),
    T_TEST(test_a_file_that_spans_several_was_before_it),
    T_TEST(test_a_first_snapshot_beside_a_late_one_went_on_behind_a_fence),
    T_TEST(test_who_writes_first_to_an_emptied_replica_goes_on),
    T_TEST(test_who_had_taken_a_lease_did_not_look_behind_it),
    T_TEST(test_a_store_that_is_busy_once_hid_a_file),
    T_TEST(test_a_file_that_was_sent_and_not_confirmed), T_TEST(test_what_is_no_copy_is_left_alone),
    T_TEST(test_a_copy_behind_a_link_was_no_copy), T_TEST(test_another_follower_is_busy),
    T_TEST(test_a_damaged_copy_is_not_promoted),
    T_TEST(test_a_copy_that_was_written_to_is_not_promoted),
    T_TEST(test_a_store_without_conditions_is_refused), T_TEST(test_a_damaged_lease),
    T_TEST(test_a_reader_is_in_the_way), T_TEST(test_the_lease_was_taken_by_one_that_cannot_apply),
    T_TEST(test_the_lease_was_taken_by_one_that_cannot_go_on), T_TEST(test_it_is_canceled),
    T_TEST(test_another_promotion_is_faster),
    T_TEST(test_a_large_file_of_the_next_name_passed_the_fence),
    T_TEST(test_a_large_file_of_the_next_name_counted_after_a_restart),
    T_TEST(test_what_a_loser_left_stopped_the_winner),
    T_TEST(test_an_old_one_that_slept_for_days_found_its_name_free),
    T_TEST(test_an_old_one_that_slept_for_days_went_on_with_its_levels),
    T_TEST(test_the_fence_of_a_promotion_that_was_killed_was_deleted),
    T_TEST(test_the_fence_of_another_copy_that_was_killed_was_deleted),
    T_TEST(test_another_went_on_beside_the_fence_of_one_that_died),
    T_TEST(test_a_power_cut_took_the_number_in_the_lease),
    T_TEST(test_one_that_knows_of_no_lease_goes_on),
    T_TEST(test_the_file_behind_the_fence_came_late),
    T_TEST(test_a_machine_with_the_number_of_another),
    T_TEST(test_an_empty_file_was_a_number_of_our_own),
    T_TEST(test_a_lease_that_an_earlier_run_had_sent_came_late),
    T_TEST(test_a_late_lease_overwrote_the_own_one),
    T_TEST(test_a_store_that_was_found_to_have_no_conditions_was_believed_to),
    T_TEST(test_the_number_of_another_was_ours_when_it_was_faster),
    T_TEST(test_the_number_of_another_was_ours_when_its_lease_was_not_to_be_read),
    T_TEST(test_the_number_of_another_was_ours_at_the_second_try),
    T_TEST(test_a_standby_made_from_an_image_of_the_primary_had_its_number),
    T_TEST(test_of_two_machines_of_one_image_both_were_promoted),
    T_TEST(test_the_lease_of_a_machine_of_the_same_image_was_the_own_one),
    T_TEST(test_a_number_came_back_after_another_promotion),
    T_TEST(test_a_daemon_went_on_with_the_number_before_the_promotion), T_TEST(test_there_and_back),
    T_TEST(test_other_followers_go_on), T_TEST(test_no_memory),
    T_TEST(test_once_more_changes_nothing), T_TEST(test_any_request_may_fail))
