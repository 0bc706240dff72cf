/*
 * What writers leave in the wal-index and the WAL that is not as it should be: one that was killed
 * while it reset the WAL, and versions of SQLite that commit frames without checksums.
 */
#include "harness/engine_world.h"

#include "base/bytes.h"
#include "sqlite/wal.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND ((int64_t)1000000000)

/* Offsets in the wal-index: https://sqlite.org/walformat.html */
#define SHM_SIZE     136u
#define SHM_MX_FRAME 16u
#define SHM_SALT     32u
#define SHM_CKSUM    40u
#define SHM_BACKFILL 96u

static uint32_t host32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

/* Run `edit` on the beginning of a file in another process: here, closing it would drop locks. */
static void edit_file(
    const char *path, size_t n, void (*edit)(uint8_t *p, const void *arg), const void *arg)
{
    int status = 0;
    pid_t pid = fork();

    T(pid >= 0);
    if (pid == 0) {
        int fd = open(path, O_RDWR);
        void *p = fd < 0 ? MAP_FAILED : mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        if (p == MAP_FAILED)
            _exit(1);
        edit(p, arg);
        _exit(0);
    }
    T(waitpid(pid, &status, 0) == pid && status == 0);
}

/* ---- killed while it reset the WAL ---- */

/* walRestartHdr in sqlite3 src/wal.c first publishes the new header, and then sets nBackfill to 0.
 * This is what a SIGKILL in between leaves. */
static void reset_half(uint8_t *p, const void *arg)
{
    uint32_t zero = 0, sum[2] = {0, 0};

    (void)arg;
    memcpy(p + SHM_MX_FRAME, &zero, 4);
    wr_put_be32(p + SHM_SALT, wr_be32(p + SHM_SALT) + 1);
    p[SHM_SALT + 7] ^= 0x55;
    wr_wal_checksum(true, p, SHM_CKSUM, sum);
    memcpy(p + SHM_CKSUM, sum, sizeof(sum));
    memcpy(p + 48, p, 48);
}

static uint32_t shm_now(struct world *w, size_t at)
{
    const volatile uint8_t *shm;
    sqlite3_file *f = NULL;
    volatile void *map = NULL;
    uint8_t copy[4];

    T(sqlite3_file_control(w->app, "main", SQLITE_FCNTL_FILE_POINTER, &f) == SQLITE_OK);
    T(f->pMethods->xShmMap(f, 0, 32768, 0, &map) == SQLITE_OK);
    shm = map;
    for (size_t i = 0; i < sizeof(copy); i++)
        copy[i] = shm[at + i];
    return host32(copy);
}

/* Everything checkpointed, then a writer that dies in the middle of the reset. */
static void half_reset_world(struct world *w, bool attached)
{
    world_open(w, 1);
    w->opts.checkpoint_frames = attached ? 50 : 5000;
    world_app(w);
    world_sql(w, "PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
    for (int i = 1; i <= 100; i++)
        world_sql(w, "INSERT INTO t(b) VALUES(randomblob(900))");
    if (attached) {
        world_start(w);
        (void)world_sync(w);
        world_run(w, 100 * SECOND);
    } else {
        world_sql(w, "PRAGMA wal_checkpoint");
    }
    T(shm_now(w, SHM_BACKFILL) > 50 && shm_now(w, SHM_BACKFILL) == shm_now(w, SHM_MX_FRAME));
    edit_file(t_path(w->dir, "app.db-shm"), SHM_SIZE, reset_half, NULL);
    T(shm_now(w, SHM_BACKFILL) > 50 && shm_now(w, SHM_MX_FRAME) == 0);
}

/* The frames that were new were taken for copied, and so for old: commits were never replicated. */
static void test_a_stale_backfill_count_is_not_believed_at_attach(void **state)
{
    struct world w;

    (void)state;
    for (int commits = 0; commits < 12; commits += 3) {
        half_reset_world(&w, false);
        for (int i = 0; i < commits; i++)
            world_sql(&w, "UPDATE t SET b=randomblob(900) WHERE a%19=7");
        world_start(&w);
        (void)world_sync(&w);
        world_check(&w, 0);
        world_sql(&w, "UPDATE t SET b=randomblob(900)");
        world_run(&w, SECOND);
        (void)world_sync(&w);
        world_check(&w, 0);
        world_close(&w);
    }
}

static void test_a_stale_backfill_count_is_not_believed_while_attached(void **state)
{
    struct wr_db_status s;
    struct world w;

    (void)state;
    half_reset_world(&w, true);
    for (int i = 0; i < 40; i++) {
        world_sql(&w, "UPDATE t SET b=randomblob(900) WHERE a%19=7");
        world_run(&w, SECOND / 10);
        if (i % 8 == 0) {
            (void)world_sync(&w);
            world_check(&w, 0);
        }
    }
    world_run(&w, 100 * SECOND);
    (void)world_sync(&w);
    world_check(&w, 0);
    wr_db_status(w.db, &s);
    T(s.resets > 2 && s.error == WR_OK);
    assert_int_equal(shm_now(&w, SHM_BACKFILL), shm_now(&w, SHM_MX_FRAME));
    world_close(&w);
}

T_MAIN(T_TEST(test_a_stale_backfill_count_is_not_believed_at_attach),
    T_TEST(test_a_stale_backfill_count_is_not_believed_while_attached))
