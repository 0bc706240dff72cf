/*
 * test_holders.c - who holds a lock, by name. Where the system does not tell, silence.
 */
#include "sqlite/holders.h"

#include "unit/sqlite/other_process.h"

static bool system_tells(void)
{
    return access("/proc/locks", R_OK) == 0;
}

static void check_named(const char *path, int slot, pid_t pid)
{
    char who[64], want[32];

    wr_holder_of_slot(path, slot, who, sizeof(who));
    (void)snprintf(want, sizeof(want), "pid %d (", (int)pid);
    if (!system_tells())
        want[0] = '\0';
    if (strncmp(who, want, strlen(want)) != 0)
        fail_msg("\"%s\" does not begin with \"%s\"", who, want);
    T(!system_tells() || who[strlen(who) - 1] == ')');
}

static void check_nobody(const char *path, int slot)
{
    char who[64] = "x";

    wr_holder_of_slot(path, slot, who, sizeof(who));
    assert_string_equal(who, "");
}

static void test_names_the_holder(void **state)
{
    const char *path = t_path(t_tmpdir(), "a");
    struct other app = other_start(), rival = other_start();
    char tiny[6] = "";

    (void)state;
    check_nobody(path, WR_SHM_SLOT_CKPT); /* no such database */
    assert_string_equal(other_ask(&app, 'o', path), "0");
    other_expect(&app, "PRAGMA journal_mode=wal; CREATE TABLE t(a)", "0 ");
    assert_string_equal(other_ask(&rival, 'w', path), "0 ");
    check_nobody(path, WR_SHM_SLOT_CKPT);
    assert_string_equal(other_ask(&rival, 'p', ""), "0 ");
    check_named(path, WR_SHM_SLOT_CKPT, rival.pid);
    check_nobody(path, WR_SHM_SLOT_WRITE);
    other_expect(&app, "BEGIN IMMEDIATE", "0 ");
    check_named(path, WR_SHM_SLOT_WRITE, app.pid);
    check_named(path, WR_SHM_SLOT_CKPT, rival.pid);
    other_expect(&app, "ROLLBACK", "0 ");
    check_nobody(path, WR_SHM_SLOT_WRITE);

    wr_holder_of_slot(
        path, WR_SHM_SLOT_CKPT, tiny, sizeof(tiny)); /* as much as there is room for */
    T(strncmp(tiny, "pid ", 4) == 0 || !system_tells());
    other_kill(&rival);
    check_nobody(path, WR_SHM_SLOT_CKPT);
    other_end(&app);
}

static void test_reader_is_found_by_its_mark(void **state)
{
    const char *path = t_path(t_tmpdir(), "a");
    struct other app = other_start();
    int seen = 0;

    (void)state;
    assert_string_equal(other_ask(&app, 'o', path), "0");
    other_expect(&app, "PRAGMA journal_mode=wal; CREATE TABLE t(a); BEGIN; SELECT 1 FROM t", "0 ");
    for (int slot = WR_SHM_SLOT_READ0; slot < WR_SHM_SLOT_READ0 + WR_READ_MARKS; slot++) {
        char who[64];

        wr_holder_of_slot(path, slot, who, sizeof(who));
        seen += who[0] != '\0';
    }
    T(seen == (system_tells() ? 1 : 0));
    other_expect(&app, "COMMIT", "0 ");
    other_end(&app);
}

static void test_we_are_not_named(void **state)
{
    const char *path = t_path(t_tmpdir(), "a");
    struct other app = other_start();
    struct wr_conn *c = NULL;
    struct wr_conn_info info;
    struct wr_err e = {0};

    (void)state;
    assert_string_equal(other_ask(&app, 'o', path), "0");
    other_expect(&app, "PRAGMA journal_mode=wal; CREATE TABLE t(a)", "0 ");
    T_OK(wr_conn_open(path, &c, &info, &e));
    T_OK(wr_conn_pin(c, &e));
    check_nobody(path, WR_SHM_SLOT_CKPT);
    wr_conn_close(c);
    other_end(&app);
}

#define INODE 524301
#define BYTE  121

/* The pid that a line names for the lock on BYTE; 0: none. */
static uint64_t pid_in(const char *line)
{
    uint64_t pid = 0;

    return wr_holder_in_line(wr_str(line), INODE, BYTE, &pid) ? pid : 0;
}

static void test_lines_of_the_kernel(void **state)
{
    char own[128];

    (void)state;
    T(pid_in("1: POSIX  ADVISORY  WRITE 4711 fd:01:524301 121 121\n") == 4711);
    T(pid_in("12: OFDLCK ADVISORY  READ  4711 fd:01:524301 120 122\n") == 4711);
    T(pid_in("1: POSIX  ADVISORY  WRITE 4711 fd:01:524301 0 EOF\n") == 4711);
    T(pid_in("1: POSIX  ADVISORY  WRITE 4711 fd:01:524301 122 EOF\n") == 0);
    T(pid_in("1: POSIX  ADVISORY  WRITE 4711 fd:01:524301 110 120\n") == 0);
    T(pid_in("1: POSIX  ADVISORY  WRITE 4711 fd:01:524302 121 121\n") == 0);
    T(pid_in("1: FLOCK  ADVISORY  WRITE 4711 fd:01:524301 0 EOF\n") == 0);
    T(pid_in("1: -> POSIX  ADVISORY  WRITE 4711 fd:01:524301 121 121\n") == 0); /* waits for it */
    T(pid_in("1: OFDLCK ADVISORY  WRITE -1 fd:01:524301 121 121\n") == 0);
    (void)snprintf(
        own, sizeof(own), "1: POSIX ADVISORY WRITE %d fd:01:524301 121 121", (int)getpid());
    T(pid_in(own) == 0);
}

/* A kernel that writes them in another way is not believed. */
static void test_lines_of_no_kernel(void **state)
{
    (void)state;
    T(pid_in("") == 0);
    T(pid_in("1: POSIX  ADVISORY  WRITE\n") == 0);
    T(pid_in("1: POSIX  ADVISORY  WRITE 4711 524301 121 121\n") == 0);
    T(pid_in("1: POSIX  ADVISORY  WRITE 4711 fd:01:x 121 121\n") == 0);
    T(pid_in("1: POSIX  ADVISORY  WRITE 4711 fd:01:524301\n") == 0);
    T(pid_in("1: POSIX  ADVISORY  WRITE 4711 fd:01:524301 all\n") == 0);
}

T_MAIN(T_TEST(test_lines_of_the_kernel), T_TEST(test_lines_of_no_kernel),
    T_TEST(test_names_the_holder), T_TEST(test_reader_is_found_by_its_mark),
    T_TEST(test_we_are_not_named))
