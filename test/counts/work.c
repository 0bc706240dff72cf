/*
 * work.c - fixed pieces of what the program is there for, to have their instructions counted.
 *
 *     work encode | decode | merge | restore | capture | idle | lone DIR
 *
 * What is counted is what happens inside of counted(), which callgrind and strace look for; what
 * comes before makes the input. Everything is drawn from one seed, time stands still or moves when
 * told, one thread does it all: a run repeats exactly, but for `lone`, which is about threads that
 * wake each other. Prints how many units of work were done.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "engine/primary.h"
#include "engine/restore.h"
#include "ltx/dec.h"
#include "ltx/enc.h"
#include "ltx/merge.h"
#include "run/sched.h"
#include "run/watch.h"
#include "storage/drivers.h"
#include "storage/storage.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define PAGE_SIZE 4096u
#define PAGES     3000u
#define FILES     12u  /* merged, each with ... */
#define FEW       250u /* ... so many pages */
#define COMMITS   300u
#define LOOKS     2000u /* of a database that nobody writes to */
#define LONE      100u  /* commits, each after a pause */
#define SECOND    INT64_C(1000000000)
#define MINUTE    (60 * SECOND)

static struct wr_rand rng;
static struct wr_arena scratch;
static struct wr_err err;

static void must(enum wr_status st)
{
    if (st == WR_OK)
        return;
    (void)fprintf(stderr, "work: %s\n", err.text);
    exit(1);
}

/* Callgrind counts in here and below; between the two calls that fail, strace does. */
void counted(void (*run)(void *arg), void *arg);
void __attribute__((noinline)) counted(void (*run)(void *arg), void *arg)
{
    (void)!write(-1, "begin", 5);
    run(arg);
    (void)!write(-1, "end", 3);
}

/* ---- files ---- */

struct file {
    struct wr_buf bytes;
    struct wr_bytes rest; /* not read yet */
};

static uint8_t *images; /* of PAGES pages, half of each random */
static uint64_t sums[PAGES + 1];

static void make_images(void)
{
    images = wr_array(PAGES, PAGE_SIZE);
    if (!images)
        abort();
    for (size_t i = 0; i < (size_t)PAGES * PAGE_SIZE; i++)
        images[i] =
            i % PAGE_SIZE < PAGE_SIZE / 2 ? (uint8_t)wr_rand_below(&rng, 256) : (uint8_t)(i / 64);
    for (uint32_t pgno = 1; pgno <= PAGES; pgno++)
        sums[pgno] = wr_ltx_page_checksum(pgno, images + (size_t)(pgno - 1) * PAGE_SIZE, PAGE_SIZE);
}

static enum wr_status keep(void *arg, struct wr_bytes p, struct wr_err *e)
{
    struct wr_buf *b = arg;

    wr_buf_put(b, p.p, p.n);
    return wr_buf_status(b) == WR_OK ? WR_OK : wr_fail(e, WR_NOMEM, "out of memory");
}

static enum wr_status drop(void *arg, struct wr_bytes p, struct wr_err *e)
{
    (void)arg;
    (void)p;
    (void)e;
    return WR_OK;
}

/* Every `step`th page from `first` on. */
static void encode(uint64_t txid, uint32_t first, uint32_t step, wr_ltx_sink_fn *sink, void *arg)
{
    struct wr_ltx_header h = {.page_size = PAGE_SIZE,
        .commit = PAGES,
        .min_txid = txid,
        .max_txid = txid,
        .time_ms = 1,
        .has_rolling = true,
        .rolling_pre = txid == 1 ? WR_LTX_CHECKSUM_EMPTY : 0,
        .rolling_post = WR_LTX_CHECKSUM_EMPTY};
    struct wr_ltx_trailer trailer;
    struct wr_ltx_enc *enc = NULL;
    uint64_t size;

    for (uint32_t pgno = 1; pgno <= PAGES; pgno++)
        h.rolling_post = wr_ltx_rolling(h.rolling_post, 0, sums[pgno]);
    if (txid > 1) /* nothing changes, so that a chain of them fits */
        h.rolling_pre = h.rolling_post;
    must(wr_ltx_enc_new(&h, WR_LTX_LOCK_OFFSET, sink, arg, &enc, &err));
    for (uint32_t pgno = first; pgno <= PAGES; pgno += step)
        must(wr_ltx_enc_page(enc, pgno, images + (size_t)(pgno - 1) * PAGE_SIZE, &err));
    must(wr_ltx_enc_finish(enc, &trailer, &size, &err));
    wr_ltx_enc_free(enc);
}

static void make_file(struct file *f, uint64_t txid, uint32_t first, uint32_t step)
{
    wr_buf_init(&f->bytes, (size_t)64 << 20);
    encode(txid, first, step, keep, &f->bytes);
    f->rest = wr_buf_bytes(&f->bytes);
}

static void encode_all(void *arg)
{
    (void)arg;
    encode(1, 1, 1, drop, NULL);
}

static void decode_all(void *arg)
{
    struct file *f = arg;
    struct wr_ltx_header h;
    struct wr_ltx_dec *dec = NULL;
    static uint8_t page[PAGE_SIZE];
    uint32_t pgno;

    must(wr_ltx_dec_new(wr_ltx_read_memory, &f->rest, f->rest.n, WR_LTX_LOCK_OFFSET, &dec, &err));
    must(wr_ltx_dec_header(dec, &h, &err));
    for (uint32_t i = 0; i < PAGES; i++)
        must(wr_ltx_dec_page(dec, &pgno, page, &err));
    if (wr_ltx_dec_page(dec, &pgno, page, &err) != WR_NOTFOUND)
        abort();
    wr_ltx_dec_free(dec);
}

static void merge_all(void *arg)
{
    struct file *files = arg;
    struct wr_ltx_dec *in[FILES];
    struct wr_ltx_merge *m = NULL;
    struct wr_ltx_trailer trailer;
    uint64_t size;

    for (size_t i = 0; i < FILES; i++)
        must(wr_ltx_dec_new(
            wr_ltx_read_memory, &files[i].rest, files[i].rest.n, WR_LTX_LOCK_OFFSET, &in[i], &err));
    must(wr_ltx_merge_new(in, FILES, WR_LTX_LOCK_OFFSET, &m, &err));
    must(wr_ltx_merge_write(m, drop, NULL, &trailer, &size, &err));
    wr_ltx_merge_free(m);
    for (size_t i = 0; i < FILES; i++)
        wr_ltx_dec_free(in[i]);
}

/* ---- restore ---- */

struct restoring {
    struct wr_storage *s;
    struct wr_call c;
    struct wr_restore_opts o;
};

static void put(struct restoring *x, const struct file *f, unsigned level, unsigned txid)
{
    const struct wr_put_opts o = {.time_ms = txid};
    char key[64];

    (void)snprintf(key, sizeof(key), "ltx/%u/%016x-%016x.ltx", level, txid, txid);
    must(wr_storage_put(x->s, &x->c, wr_str(key), wr_buf_bytes(&f->bytes), &o, &err));
}

static void restore_all(void *arg)
{
    struct restoring *x = arg;
    struct wr_restore_result r;

    must(wr_restore(x->s, &x->c, &x->o, &r, &err));
}

static struct wr_call call_of(const struct wr_clock *clock)
{
    return (struct wr_call){.scratch = &scratch, .clock = clock, .deadline_ms = WR_NEVER};
}

static struct wr_storage *bucket(void)
{
    struct wr_storage *s = NULL;
    void *self = NULL;

    must(wr_storage_mem.open(NULL, &self, &err));
    must(wr_storage_wrap(&wr_storage_mem, self, WR_STR(""), &s, &err));
    return s;
}

static unsigned restore(const char *dir)
{
    char path[4096];
    struct restoring x = {
        .s = bucket(), .c = call_of(wr_clock_system()), .o = {.path = path, .parallel = 1}};
    struct file f;

    (void)snprintf(path, sizeof(path), "%s/restored.db", dir);
    make_images();
    for (unsigned i = 0; i < 1 + FILES; i++) {
        make_file(&f, 1 + i, i ? i : 1, i ? FILES : 1);
        put(&x, &f, i ? 0 : 9, 1 + i);
        wr_buf_release(&f.bytes);
    }
    counted(restore_all, &x);
    wr_storage_close(x.s);
    return PAGES;
}

/* ---- the daemon's side ---- */

struct primary {
    struct wr_clock_manual clock;
    struct wr_sched *sched;
    struct wr_db *db;
    sqlite3 *app;
};

static void sql(sqlite3 *db, const char *text)
{
    if (sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK)
        return;
    (void)fprintf(stderr, "work: %s\n", sqlite3_errmsg(db));
    exit(1);
}

static void make_table(sqlite3 *app)
{
    sql(app,
        "PRAGMA journal_mode=wal; CREATE TABLE t(a INTEGER PRIMARY KEY, b); WITH RECURSIVE c(x) AS "
        "(SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x<1000) INSERT INTO t SELECT x, zeroblob(500) "
        "FROM c");
}

/* What is due within a second, at once. */
static void pump(void *arg)
{
    struct primary *p = arg;
    int64_t end = p->clock.mono_now_ns + SECOND, next;

    while ((next = wr_sched_pump(p->sched, 1000)) <= end) {
        if (next > p->clock.mono_now_ns)
            wr_clock_manual_advance(&p->clock, next - p->clock.mono_now_ns);
    }
}

static void primary_open(struct primary *p, const char *dir)
{
    const struct wr_sched_opts so = {.clock = &p->clock.clock, .manual = true};
    char path[4096];
    struct wr_db_opts o = {.path = path, .scan_ns = MINUTE, .seed = 1};

    *p = (struct primary){0};
    (void)snprintf(path, sizeof(path), "%s/app.db", dir);
    if (sqlite3_open(path, &p->app) != SQLITE_OK)
        abort();
    make_table(p->app);
    wr_clock_manual_init(&p->clock, INT64_C(1795373351761));
    must(wr_sched_new(&so, &p->sched, &err));
    must(wr_db_new(p->sched, &o, &p->db, &err));
    must(wr_db_add_replica(p->db, bucket(), 1, &err));
    wr_db_start(p->db);
    pump(p);
}

static void primary_close(struct primary *p)
{
    struct wr_db_status is;

    wr_db_status(p->db, &is);
    if (is.error != WR_OK || is.changes != is.commits)
        abort();
    wr_db_free(p->db);
    wr_sched_free(p->sched);
    (void)sqlite3_close(p->app);
}

static void wake_and_pump(void *arg)
{
    struct primary *p = arg;

    wr_db_wake(p->db);
    pump(p);
}

/* From a commit to its file, and what belongs to that now and then. */
static unsigned capture(const char *dir)
{
    struct primary p;

    primary_open(&p, dir);
    for (unsigned i = 0; i < COMMITS; i++) {
        char text[100];

        (void)snprintf(
            text, sizeof(text), "UPDATE t SET b=zeroblob(499) WHERE a=%u", 1 + i * 7 % 1000);
        sql(p.app, text);
        counted(wake_and_pump, &p);
    }
    primary_close(&p);
    return COMMITS;
}

static unsigned idle(const char *dir)
{
    struct primary p;

    primary_open(&p, dir);
    for (unsigned i = 0; i < 10; i++) { /* until it has come to rest */
        wr_clock_manual_advance(&p.clock, MINUTE);
        pump(&p);
    }
    for (unsigned i = 0; i < LOOKS; i++) {
        wr_clock_manual_advance(&p.clock, MINUTE);
        counted(pump, &p);
    }
    primary_close(&p);
    return LOOKS;
}

/* ---- a daemon with its threads, beside an application ---- */

static void nap(long ms)
{
    const struct timespec t = {.tv_nsec = ms * 1000000};

    (void)nanosleep(&t, NULL); /* no signal comes that would end it early */
}

static uint64_t arrived(struct primary *p)
{
    struct wr_replica_status is;
    struct wr_str name;

    wr_db_replica_status(p->db, 0, &is, &name);
    return is.pos.txid;
}

/* Each is in the replica, and all is quiet again, before the next one. This is the application's
 * thread: what it calls is not counted. */
static void commit_alone(void *arg)
{
    struct primary *p = arg;

    for (unsigned i = 0; i < LONE; i++) {
        uint64_t before = arrived(p);
        char text[100];

        (void)snprintf(
            text, sizeof(text), "UPDATE t SET b=zeroblob(499) WHERE a=%u", 1 + i * 7 % 1000);
        sql(p->app, text);
        while (arrived(p) == before)
            nap(1);
        nap(30);
    }
}

static unsigned lone(const char *dir)
{
    const struct wr_sched_opts so = {0};
    struct primary p = {0};
    struct wr_storage *s = NULL;
    struct wr_watch *watch = NULL;
    char path[4096], replica[4096];
    void *self = NULL;

    (void)snprintf(path, sizeof(path), "%s/app.db", dir);
    (void)snprintf(replica, sizeof(replica), "%s/replica", dir);
    if (sqlite3_open(path, &p.app) != SQLITE_OK)
        abort();
    make_table(p.app);
    must(wr_sched_new(&so, &p.sched, &err));
    must(wr_watch_new(false, &watch, &err));
    must(wr_storage_file_new(wr_fs_posix(), wr_str(replica), &self, &err));
    must(wr_storage_wrap(&wr_storage_file, self, WR_STR(""), &s, &err));
    must(wr_db_new(
        p.sched, &(struct wr_db_opts){.path = path, .watch = watch, .seed = 1}, &p.db, &err));
    must(wr_db_add_replica(p.db, s, 1, &err));
    wr_db_start(p.db);
    while (arrived(&p) == 0)
        nap(1);
    nap(300);
    counted(commit_alone, &p);
    primary_close(&p);
    wr_watch_free(watch);
    return LONE;
}

int main(int argc, char **argv)
{
    const char *what = argc == 3 ? argv[1] : "";
    struct file files[FILES];
    unsigned units = 0;

    wr_rand_init(&rng, 1);
    wr_arena_init(&scratch, WR_ARENA_MAX);
    if (strcmp(what, "encode") == 0) {
        make_images();
        counted(encode_all, NULL);
        units = PAGES;
    } else if (strcmp(what, "decode") == 0) {
        make_images();
        make_file(&files[0], 1, 1, 1);
        counted(decode_all, &files[0]);
        units = PAGES;
    } else if (strcmp(what, "merge") == 0) {
        make_images();
        for (size_t i = 0; i < FILES; i++)
            make_file(&files[i], 2 + i, 1 + (uint32_t)i, PAGES / FEW);
        counted(merge_all, files);
        units = FILES * FEW;
    } else if (strcmp(what, "restore") == 0) {
        units = restore(argv[2]);
    } else if (strcmp(what, "capture") == 0) {
        units = capture(argv[2]);
    } else if (strcmp(what, "idle") == 0) {
        units = idle(argv[2]);
    } else if (strcmp(what, "lone") == 0) {
        units = lone(argv[2]);
    }
    if (units == 0) {
        (void)fprintf(stderr, "usage: work encode|decode|merge|restore|capture|idle|lone DIR\n");
        return 2;
    }
    (void)printf("%u\n", units);
    return 0;
}
