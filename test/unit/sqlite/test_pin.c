/*
 * test_pin.c - the checkpoint lock, kept: what other processes may still do, what we may, and what
 * is left when we die.
 */
#include "sqlite/pin.h"

#include "base/rand.h"
#include "unit/sqlite/other_process.h"

static void sql(sqlite3 *db, const char *text)
{
    char *msg = NULL;

    if (sqlite3_exec(db, text, NULL, NULL, &msg) != SQLITE_OK)
        fail_msg("%s: %s", text, msg);
}

/* A connection through the shim, whose wal-index is mapped. */
static sqlite3 *open_pinnable(const char *path, sqlite3_file **ret)
{
    sqlite3 *db = NULL;
    struct wr_err e = {0};

    T_OK(wr_pin_register(&e));
    T(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, WR_PIN_VFS) ==
        SQLITE_OK);
    sql(db, "PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=0; SELECT 1 FROM sqlite_schema");
    T(sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, ret) == SQLITE_OK);
    return db;
}

static const volatile uint8_t *map_of(sqlite3_file *f)
{
    volatile void *p = NULL;

    T(f->pMethods->xShmMap(f, 0, 32768, 0, &p) == SQLITE_OK && p);
    return p;
}

static uint32_t backfilled(sqlite3_file *f)
{
    return *(const volatile uint32_t *)(const volatile void *)(map_of(f) + 96);
}

static uint64_t size_of(const char *path)
{
    struct stat st;

    T(stat(path, &st) == 0);
    return (uint64_t)st.st_size;
}

static void test_only_we_can_checkpoint(void **state)
{
    static const char *const modes[] = {"PASSIVE", "FULL", "RESTART", "TRUNCATE"};
    const char *path = t_path(t_tmpdir(), "a");
    struct other app = other_start();
    sqlite3_file *f = NULL;
    sqlite3 *db = open_pinnable(path, &f);
    struct wr_err e = {0};
    char text[64];
    int log = 0, done = 0;

    (void)state;
    assert_string_equal(other_ask(&app, 'o', path), "0");
    other_expect(&app, "PRAGMA wal_autocheckpoint=1; CREATE TABLE t(a); SELECT 7", "0 7");
    other_expect(&app, "PRAGMA wal_checkpoint", "0 0");
    T(!wr_pin_has(f, WR_SLOT_CKPT));
    T_OK(wr_pin_take(f, WR_SLOT_CKPT, &e));
    T(wr_pin_has(f, WR_SLOT_CKPT) && !wr_pin_has(f, WR_SLOT_WRITE));

    other_expect(&app, "INSERT INTO t VALUES(1)", "0 "); /* resets the WAL */
    T(backfilled(f) == 0);
    for (int i = 0; i < 20; i++)
        other_expect(&app, "INSERT INTO t VALUES(randomblob(2000))", "0 ");
    for (size_t i = 0; i < wr_countof(modes); i++) {
        (void)snprintf(text, sizeof(text), "PRAGMA wal_checkpoint(%s)", modes[i]);
        other_expect(&app, text, "0 1");
    }
    T(backfilled(f) == 0); /* automatic ones did nothing either, and are no errors */

    T(sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_PASSIVE, &log, &done) == SQLITE_OK);
    T(log > 0 && done == log && backfilled(f) == (uint32_t)done);
    T(wr_pin_has(f, WR_SLOT_CKPT)); /* SQLite has let go of it, we have not */
    other_expect(&app, "PRAGMA wal_checkpoint", "0 1");

    wr_pin_give(f, WR_SLOT_CKPT);
    wr_pin_give(f, WR_SLOT_CKPT);
    T(!wr_pin_has(f, WR_SLOT_CKPT));
    other_expect(&app, "PRAGMA wal_checkpoint", "0 0");
    T(sqlite3_close(db) == SQLITE_OK);
    other_end(&app);
}

static void test_recovery_under_the_pin(void **state)
{
    const char *path = t_path(t_tmpdir(), "a");
    struct other app = other_start(), victim = other_start();
    sqlite3_file *f = NULL;
    sqlite3 *db = open_pinnable(path, &f);
    struct wr_err e = {0};
    const volatile uint8_t *map = map_of(f);
    char shm[512];

    (void)state;
    sql(db, "CREATE TABLE t(a); INSERT INTO t VALUES(1), (2), (3)");
    T_OK(wr_pin_take(f, WR_SLOT_CKPT, &e));
    (void)snprintf(shm, sizeof(shm), "%s-shm", path);
    for (int i = 0; i < 5; i++) {
        assert_string_equal(other_ask(&victim, 't', shm), "1");
        T(map[16] != map[48 + 16]);
        sql(db, "SELECT count(*) FROM t"); /* locks the pinned slot and its neighbour in one call */
        for (int k = 0; k < 48; k++)
            T(map[k] == map[48 + k]);
        T(wr_pin_has(f, WR_SLOT_CKPT));
    }
    assert_string_equal(other_ask(&app, 'o', path), "0");
    other_expect(&app, "SELECT count(*) FROM t", "0 3");
    other_expect(&app, "INSERT INTO t VALUES(4)", "0 ");
    other_expect(&app, "PRAGMA wal_checkpoint", "0 1");
    T(sqlite3_close(db) == SQLITE_OK);
    other_kill(&victim);
    other_end(&app);
}

static void test_truncate_under_the_writer_lock(void **state)
{
    const char *dir = t_tmpdir(), *path = t_path(dir, "a");
    struct other app = other_start();
    sqlite3_file *f = NULL;
    sqlite3 *db = open_pinnable(path, &f);
    struct wr_err e = {0};

    (void)state;
    assert_string_equal(other_ask(&app, 'o', path), "0");
    other_expect(&app, "CREATE TABLE t(a); INSERT INTO t VALUES(1)", "0 ");
    T_OK(wr_pin_take(f, WR_SLOT_CKPT, &e));
    T_OK(wr_pin_take(f, WR_SLOT_WRITE, &e));
    other_expect(&app, "INSERT INTO t VALUES(2)", "5 ");
    other_expect(&app, "SELECT count(*) FROM t", "0 1"); /* readers do not notice */
    T(size_of(t_path(dir, "a-wal")) > 0);
    T(sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) == SQLITE_OK);
    T(size_of(t_path(dir, "a-wal")) == 0);
    other_expect(&app, "INSERT INTO t VALUES(2)", "5 ");
    wr_pin_give(f, WR_SLOT_WRITE);
    T(wr_pin_has(f, WR_SLOT_CKPT));
    other_expect(&app, "INSERT INTO t VALUES(2); SELECT count(*) FROM t", "0 2");
    other_expect(&app, "PRAGMA wal_checkpoint", "0 1");

    /* The other way round: a writer has it. */
    other_expect(&app, "BEGIN IMMEDIATE", "0 ");
    T_IS(WR_BUSY, wr_pin_take(f, WR_SLOT_WRITE, &e));
    T(!wr_pin_has(f, WR_SLOT_WRITE) && e.text[0] == '\0');
    other_expect(&app, "COMMIT", "0 ");
    T_OK(wr_pin_take(f, WR_SLOT_WRITE, &e));
    wr_pin_give(f, WR_SLOT_WRITE);
    T(sqlite3_close(db) == SQLITE_OK);
    other_end(&app);
}

static void test_second_pin_is_busy_until_the_first_dies(void **state)
{
    const char *path = t_path(t_tmpdir(), "a");
    struct other first = other_start();
    sqlite3_file *f = NULL, *g = NULL;
    sqlite3 *db = open_pinnable(path, &f), *same;
    struct wr_err e = {0};

    (void)state;
    sql(db, "CREATE TABLE t(a)");
    assert_string_equal(other_ask(&first, 'w', path), "0 ");
    assert_string_equal(other_ask(&first, 'p', ""), "0 ");
    T_IS(WR_BUSY, wr_pin_take(f, WR_SLOT_CKPT, &e));
    T(e.text[0] == '\0' && !wr_pin_has(f, WR_SLOT_CKPT));
    sql(db, "INSERT INTO t VALUES(1)");
    other_kill(&first);
    T_OK(wr_pin_take(f, WR_SLOT_CKPT, &e));

    /* Another connection of this process, through the shim or not, is another holder. */
    same = open_pinnable(path, &g);
    T_IS(WR_BUSY, wr_pin_take(g, WR_SLOT_CKPT, &e));
    wr_pin_give(g, WR_SLOT_CKPT);
    T_IS(WR_BUSY, wr_pin_take(g, WR_SLOT_CKPT, &e));
    wr_pin_give(f, WR_SLOT_CKPT);
    T_OK(wr_pin_take(g, WR_SLOT_CKPT, &e));
    T(sqlite3_close(same) == SQLITE_OK);
    T(sqlite3_close(db) == SQLITE_OK);
}

/* ---- any range, any pins, any slots held by somebody else ---- */

#define SLOTS 8

static int lock(sqlite3_file *f, int first, int n)
{
    return f->pMethods->xShmLock(f, first, n, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE);
}

static void unlock(sqlite3_file *f, int first, int n)
{
    T(f->pMethods->xShmLock(f, first, n, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE) == SQLITE_OK);
}

/* Slots that `f` cannot have, beyond `own`. */
static unsigned taken(sqlite3_file *f, unsigned own)
{
    unsigned set = 0;

    for (int i = 0; i < SLOTS; i++) {
        if (own & 1u << i)
            continue;
        if (lock(f, i, 1) == SQLITE_OK)
            unlock(f, i, 1);
        else
            set |= 1u << i;
    }
    return set;
}

static void test_ranges_against_a_model(void **state)
{
    const char *path = t_path(t_tmpdir(), "a");
    sqlite3_file *f = NULL, *g = NULL;
    sqlite3 *db = open_pinnable(path, &f), *rival = NULL;
    struct wr_err e = {0};
    struct wr_rand r;

    (void)state;
    sql(db, "CREATE TABLE t(a)");
    T(sqlite3_open(path, &rival) == SQLITE_OK);
    sql(rival, "SELECT 1 FROM t");
    T(sqlite3_file_control(rival, "main", SQLITE_FCNTL_FILE_POINTER, &g) == SQLITE_OK);
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 5000; i++) {
        unsigned pins = (unsigned)wr_rand_below(&r, 4), held = 0, range;
        int first = (int)wr_rand_below(&r, SLOTS), n = 1 + (int)wr_rand_below(&r, 4), rc;

        n = wr_min(n, SLOTS - first);
        range = ((1u << n) - 1) << first;
        for (int k = 0; k < 2; k++) {
            if (pins & 1u << k)
                T_OK(wr_pin_take(f, (enum wr_pin_slot)k, &e));
        }
        for (int k = 0; k < SLOTS; k++) {
            if (!(pins & 1u << k) && wr_rand_below(&r, 5) == 0) {
                T(lock(g, k, 1) == SQLITE_OK);
                held |= 1u << k;
            }
        }
        rc = lock(f, first, n);
        T(rc == ((range & held) ? SQLITE_BUSY : SQLITE_OK));
        /* All of it, or nothing of it; what is pinned stays. */
        T(taken(g, held) == (pins | (rc == SQLITE_OK ? range : 0)));
        if (rc == SQLITE_OK)
            unlock(f, first, n);
        T(taken(g, held) == pins);
        for (int k = 0; k < SLOTS; k++) {
            if (held & 1u << k)
                unlock(g, k, 1);
        }
        wr_pin_give(f, WR_SLOT_WRITE);
        wr_pin_give(f, WR_SLOT_CKPT);
        T(taken(g, 0) == 0);
    }
    T(sqlite3_close(rival) == SQLITE_OK);
    T(sqlite3_close(db) == SQLITE_OK);
}

static void test_register_once(void **state)
{
    struct wr_err e = {0};
    sqlite3_vfs *vfs;

    (void)state;
    T_OK(wr_pin_register(&e));
    vfs = sqlite3_vfs_find(WR_PIN_VFS);
    T(vfs && vfs != sqlite3_vfs_find(NULL)); /* not the default one */
    T_OK(wr_pin_register(&e));
    T(sqlite3_vfs_find(WR_PIN_VFS) == vfs);
}

/* The first test: registering is done once. In a copy of the process, which has no other VFS then.
 */
static void test_no_vfs_at_all(void **state)
{
    int status = 0;
    pid_t pid;

    (void)state;
    (void)fflush(NULL);
    pid = fork();
    T(pid >= 0);
    if (pid == 0) {
        struct wr_err e = {0};
        sqlite3_vfs *vfs;

        (void)sqlite3_initialize();
        while ((vfs = sqlite3_vfs_find(NULL)))
            (void)sqlite3_vfs_unregister(vfs);
        if (wr_pin_register(&e) != WR_INTERNAL || !strstr(e.text, "SQLite has no usable VFS"))
            _exit(1);
        _exit(wr_pin_register(&e) == WR_INTERNAL ? 0 : 2); /* and it stays so */
    }
    T(waitpid(pid, &status, 0) == pid);
    T(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

T_MAIN(T_TEST(test_no_vfs_at_all), T_TEST(test_only_we_can_checkpoint),
    T_TEST(test_recovery_under_the_pin), T_TEST(test_truncate_under_the_writer_lock),
    T_TEST(test_second_pin_is_busy_until_the_first_dies), T_TEST(test_ranges_against_a_model),
    T_TEST(test_register_once))
