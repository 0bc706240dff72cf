/*
 * test_follow_state.c - the record beside a followed copy: what was written last, whatever a crash
 * left of what came after.
 */
#include "engine/follow_state.h"

#include "base/bytes.h"
#include "base/file.h"
#include "harness/t.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct wr_follow_pos pos_of(uint64_t txid)
{
    struct wr_follow_pos p = {.txid = txid,
        .time_ms = -(int64_t)txid,
        .rolling = txid << 40 | 1,
        .page_size = 65536,
        .pages = (uint32_t)txid + 7,
        .counter = 0xfffffff0u + (uint32_t)txid};

    memset(p.header, (int)txid, sizeof(p.header));
    return p;
}

static bool same(const struct wr_follow_pos *a, const struct wr_follow_pos *b)
{
    return a->txid == b->txid && a->time_ms == b->time_ms && a->rolling == b->rolling &&
           a->page_size == b->page_size && a->pages == b->pages && a->counter == b->counter &&
           memcmp(a->header, b->header, sizeof(a->header)) == 0;
}

static void test_what_was_written_last(void **state)
{
    const char *dir = t_tmpdir(), *path = t_path(dir, "db"), *name = t_path(dir, "db-follow");
    struct wr_follow_state s = {0};
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_follow_state_open(wr_fs_posix(), path, &s, &e));
    T(s.number == 0);
    for (uint64_t i = 1; i < 6; i++) {
        const struct wr_follow_pos was = pos_of(i), now = pos_of(i + 1);
        struct wr_bytes b;
        uint8_t *p;

        T_OK(wr_follow_state_put(&s, i == 1 ? &was : &s.now, &now, &e)); /* its own is fine */
        wr_follow_state_close(&s);
        T_OK(wr_follow_state_open(wr_fs_posix(), path, &s, &e));
        T(s.number == i && same(&s.was, &was) && same(&s.now, &now));
        wr_follow_state_close(&s);

        /* Of a write that was cut off the one before counts, whichever byte is wrong. */
        b = t_slurp(name);
        p = wr_arena_alloc(t_call()->scratch, b.n);
        for (size_t k = 0; i > 1 && k < 320; k++) {
            memcpy(p, b.p, b.n);
            p[(i & 1) * 512 + k] ^= 1;
            t_spew(name, p, b.n);
            T_OK(wr_follow_state_open(wr_fs_posix(), path, &s, &e));
            T(s.number == i - 1 && same(&s.now, &was));
            wr_follow_state_close(&s);
        }
        t_spew(name, b.p, b.n);
        T_OK(wr_follow_state_open(wr_fs_posix(), path, &s, &e));
    }
    wr_follow_state_close(&s);
}

static void test_one_process(void **state)
{
    const char *path = t_path(t_tmpdir(), "db");
    struct wr_follow_state s = {0}, t = {0};
    struct wr_err e = {0};
    int status = 0;
    pid_t child;

    (void)state;
    T_OK(wr_follow_state_open(wr_fs_posix(), path, &s, &e));
    child = fork();
    if (child == 0)
        _exit(wr_follow_state_open(wr_fs_posix(), path, &t, &e) == WR_BUSY ? 0 : 1);
    T(waitpid(child, &status, 0) == child && status == 0);
    wr_follow_state_close(&s);
    T_OK(wr_follow_state_open(wr_fs_posix(), path, &s, &e));
    wr_follow_state_close(&s);
    T_IS(WR_NOTFOUND, wr_follow_state_open(wr_fs_posix(), t_path(t_tmpdir(), "no/db"), &s, &e));
}

static void test_txid(void **state)
{
    static const char *const wrong[] = {"", "123\n", "000000000000000g\n", "0000000000000001\n\n"};
    const char *dir = t_tmpdir(), *path = t_path(dir, "db"), *name = t_path(dir, "db-txid");
    struct wr_err e = {0};
    uint64_t txid = 1;
    struct wr_bytes b;

    (void)state;
    T_OK(wr_follow_txid_get(wr_fs_posix(), path, &txid, &e));
    T(txid == 0);
    T_OK(wr_follow_txid_put(wr_fs_posix(), path, 0xabc, &e));
    b = t_slurp(name);
    T(b.n == 17 && memcmp(b.p, "0000000000000abc\n", 17) == 0);
    T_OK(wr_follow_txid_get(wr_fs_posix(), path, &txid, &e));
    T(txid == 0xabc);
    for (size_t i = 0; i < wr_countof(wrong); i++) {
        t_spew(name, wrong[i], strlen(wrong[i]));
        T_IS(WR_CORRUPT, wr_follow_txid_get(wr_fs_posix(), path, &txid, &e));
    }
}

/* Who may read the copy may read what it is. */
static void test_txid_is_the_owners(void **state)
{
    const char *dir = t_tmpdir(), *path = t_path(dir, "db"), *name = t_path(dir, "db-txid");
    struct wr_err e = {0};
    struct stat copy, is;

    (void)state;
    t_spew(path, "copy", 4);
    T(chmod(path, 0640) == 0);
    if (geteuid() == 0)
        T(chown(path, 12345, 23456) == 0);
    T_OK(wr_follow_txid_put(wr_fs_posix(), path, 7, &e));
    T(stat(path, &copy) == 0 && stat(name, &is) == 0);
    T(is.st_uid == copy.st_uid && is.st_gid == copy.st_gid);
    T((is.st_mode & 0777 & ~0640u) == 0 && is.st_mode & 0400);
}

static void test_dress(void **state)
{
    uint8_t h[WR_DB_HEADER], was[WR_DB_HEADER];
    struct wr_err e = {0};
    uint32_t next = 0;

    (void)state;
    memset(h, 0xee, sizeof(h));
    memcpy(was, h, sizeof(h));
    wr_follow_dress(h, 12, 34, 56);
    T(h[18] == 1 && h[19] == 1 && wr_follow_counter(h) == 34 && wr_follow_cookie(h) == 56);
    T(wr_be32(h + 28) == 12 && wr_be32(h + 92) == 34);
    wr_follow_dress(was, 12, 34, 56);
    T(memcmp(h, was, sizeof(h)) == 0);
    for (uint32_t i = 0; i < 1000; i++) { /* never the one that a writer's next commit makes */
        T_OK(wr_follow_next_counter(i * 0x1000193u, &next, &e));
        T(next - i * 0x1000193u >= 2 && next - i * 0x1000193u <= 0x10001);
    }
}

static enum wr_status open_and_put(void *arg)
{
    const char *path = arg;
    const struct wr_follow_pos a = pos_of(1), b = pos_of(2);
    struct wr_follow_state s = {0};
    struct wr_err e = {0};
    uint64_t txid;
    enum wr_status st = wr_follow_state_open(wr_fs_posix(), path, &s, &e);

    if (st == WR_OK)
        st = wr_follow_state_put(&s, &a, &b, &e);
    if (st == WR_OK)
        st = wr_follow_txid_put(wr_fs_posix(), path, 2, &e);
    if (st == WR_OK)
        st = wr_follow_txid_get(wr_fs_posix(), path, &txid, &e);
    wr_follow_state_close(&s);
    return st;
}

static void test_nomem(void **state)
{
    static char path[1024];

    (void)state;
    (void)snprintf(path, sizeof(path), "%s", t_path(t_tmpdir(), "db"));
    t_sweep_nomem(open_and_put, path);
}

T_MAIN(T_TEST(test_what_was_written_last), T_TEST(test_one_process), T_TEST(test_txid),
    T_TEST(test_txid_is_the_owners), T_TEST(test_dress), T_TEST(test_nomem))
