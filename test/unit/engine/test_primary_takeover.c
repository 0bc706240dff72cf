/*
 * test_primary_takeover.c - a replica whose files record no checksum of the database, as
 * Litestream's: what it has is not sent once more.
 */
#include "harness/engine_world.h"
#include "harness/ltx_util.h"

#include "engine/restore.h"
#include "storage/drivers.h"
#include "unit/engine/world_bucket.h"

#define SECOND ((int64_t)1000000000)
#define MINUTE (60 * SECOND)

static struct wr_db_status status(struct world *w)
{
    struct wr_db_status s;

    wr_db_status(w->db, &s);
    return s;
}

/* All files of the bucket as Litestream would have written them. */
static void make_litestreams(struct world *w)
{
    struct wr_ltx_files files = bucket_list(w);

    for (size_t i = 0; i < files.n; i++) {
        struct object o = bucket_get(w, &files.p[i]);
        struct wr_err e = {0};
        struct t_ltx_out out;
        struct t_ltx m = {0};

        T_OK(t_ltx_read(
            (struct wr_bytes){o.body, (size_t)o.is.size}, true, WR_LTX_LOCK_OFFSET, &m, &e));
        m.rolling = false;
        m.node = m.pre = m.post = 0;
        t_ltx_out_init(&out);
        T_OK(t_ltx_write(&m, WR_LTX_LOCK_OFFSET, &out, &e));
        t_ltx_release(&m);
        wr_free(o.body);
        o.is.size = out.buf.n;
        o.body = wr_alloc(out.buf.n);
        T(o.body != NULL);
        memcpy(o.body, out.buf.p, out.buf.n);
        bucket_remove(w, &files.p[i]);
        bucket_put(w, &o);
        wr_buf_release(&out.buf);
    }
    wr_ltx_files_release(&files);
}

/* One of its states, which nothing but its files proves. */
static struct wr_bytes restore(struct world *w, uint64_t txid)
{
    struct wr_storage *s = world_storage(w, 0);
    const char *out = t_path(w->dir, "restored.db");
    const struct wr_restore_opts o = {.path = out, .txid = txid, .overwrite = true, .parallel = 1};
    struct wr_restore_result r;
    struct wr_err e = {0};

    T_OK(wr_restore(s, t_call(), &o, &r, &e));
    T(!r.verified);
    wr_storage_close(s);
    return t_slurp(out);
}

static void change(struct world *w)
{
    world_sql(w, "UPDATE t SET b=randomblob(3000) WHERE a=7");
}

/* A database of some 60 pages, replicated `changes` times by Litestream, as a copy that has no
 * state of ours. */
static void taken_over(struct world *b, struct world *a, int changes)
{
    world_open(a, 1);
    a->interval_ns = SECOND;
    world_app(a);
    world_sql(a, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); WITH RECURSIVE c(x) AS (SELECT 1 "
                 "UNION ALL SELECT x+1 FROM c WHERE x<60) INSERT INTO t SELECT x, "
                 "randomblob(3000) FROM c");
    world_start(a);
    (void)world_sync(a);
    for (int i = 0; i < changes; i++) {
        change(a);
        (void)world_sync(a);
    }
    world_stop(a);
    make_litestreams(a);
    T(world_image(a).n > 0);
    world_open(b, 0);
    b->n_buckets = 1;
    b->bucket[0] = wr_storage_mem_ref(a->bucket[0]);
    b->interval_ns = SECOND;
    world_copy(t_path(a->dir, "image.db"), b->path);
    world_app(b);
}

static void end(struct world *a, struct world *b)
{
    world_close(b);
    world_close(a);
}

/* The size of the one file that came. */
static uint64_t came(struct world *b, unsigned level)
{
    struct wr_ltx_file last = {0};

    (void)bucket_count_level(b, level, &last);
    T(last.max == status(b).txid && last.max > 1u << 20);
    return last.size;
}

static void test_the_same_state(void **state)
{
    struct world a, b;
    struct wr_bytes before, after;

    (void)state;
    taken_over(&b, &a, 3);
    before = restore(&b, 3);
    world_start(&b);
    (void)world_sync(&b);
    T(came(&b, 0) < 4096 && status(&b).full_sends == 0 && b.warnings == 0);
    world_check(&b, 0);
    after = restore(&b, 3); /* its past */
    T(after.n == before.n && memcmp(after.p, before.p, before.n) == 0);
    change(&b);
    (void)world_sync(&b);
    world_check(&b, 0);
    world_stop(&b);
    world_start(&b); /* and now it is ours */
    (void)world_sync(&b);
    T(status(&b).full_sends == 0);
    end(&a, &b);
}

/* Written to between the end of one and the start of the other, and meanwhile. */
static void test_a_few_pages_differ(void **state)
{
    struct world a, b;

    (void)state;
    taken_over(&b, &a, 3);
    change(&b);
    world_sql(&b, "DELETE FROM t WHERE a=50; INSERT INTO t VALUES(99, randomblob(20000))");
    world_start(&b);
    (void)world_sync(&b);
    T(came(&b, 0) < 40000 && status(&b).full_sends == 0);
    world_check(&b, 0);
    end(&a, &b);
}

static void test_it_has_shrunk(void **state)
{
    struct world a, b;

    (void)state;
    taken_over(&b, &a, 1);
    world_sql(&b, "DELETE FROM t WHERE a>40; VACUUM");
    world_start(&b);
    (void)world_sync(&b);
    T(status(&b).full_sends == 0);
    world_check(&b, 0);
    end(&a, &b);
}

/* To read them would take longer than to send all pages; and what was not read may be damaged. */
static void test_its_files_are_large(void **state)
{
    struct world a, b;

    (void)state;
    taken_over(&b, &a, 120);
    world_start(&b);
    (void)world_sync(&b);
    T(came(&b, 9) > 100000 && status(&b).full_sends == 1);
    world_check(&b, 0);
    end(&a, &b);
}

/* What is built on it would be lost, too. */
static void test_it_is_damaged(void **state)
{
    struct wr_ltx_files files;
    struct world a, b;
    struct object o;

    (void)state;
    taken_over(&b, &a, 1);
    files = bucket_list(&b);
    o = bucket_get(&b, &files.p[files.n - 1]);
    o.body[o.is.size - 1] ^= 1; /* of its checksum: no sample needs that */
    bucket_put(&b, &o);
    wr_ltx_files_release(&files);
    world_start(&b);
    (void)world_sync(&b);
    T(came(&b, 9) > 100000 && status(&b).full_sends == 1);
    world_check(&b, 0);
    end(&a, &b);
}

static void no_faults_yet(struct world *w, struct faultstore *f)
{
    (void)w;
    (void)f;
}

static bool is_sampled(struct world *w)
{
    struct wr_replica_status r;
    struct wr_str name;

    wr_db_replica_status(w->db, 0, &r, &name);
    return r.sampled;
}

/* It begins anew, wherever it broke off. */
static void test_the_store_fails_while_it_is_read(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct world a, b;

        taken_over(&b, &a, 2);
        b.arm = no_faults_yet;
        b.arm_seed = t_seed() + seed;
        world_start(&b);
        for (int i = 0; i < 10000 && !is_sampled(&b); i++)
            (void)world_pass(&b, SECOND, 1);
        T(is_sampled(&b));
        faultstore_arm(b.fault[0], FAULT_BEFORE, FAULT_ON_GET, 50, 6);
        (void)world_sync(&b);
        T(came(&b, 0) < 4096 && status(&b).full_sends == 0);
        world_check(&b, 0);
        end(&a, &b);
    }
}

T_MAIN(T_TEST(test_the_same_state), T_TEST(test_a_few_pages_differ), T_TEST(test_it_has_shrunk),
    T_TEST(test_its_files_are_large), T_TEST(test_it_is_damaged),
    T_TEST(test_the_store_fails_while_it_is_read))
