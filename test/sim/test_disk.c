/*
 * test_disk.c - the system calls of the simulated disk answer as POSIX ones do.
 */
#include "sim/disk_int.h"

#include "harness/t.h"
#include "sim/disk_kit.h"
#include "sim/tape.h"

#define SEEDS 100

/* ---- the system calls ---- */

static bool count_names(void *arg, const char *name)
{
    CHECK(strcmp(name, "a") == 0 || strcmp(name, "d") == 0);
    ++*(int *)arg;
    return true;
}

static void answer(void *arg)
{
    const struct wr_fs *fs = disk_fs();
    const unsigned rw = WR_FILE_READ | WR_FILE_WRITE;
    struct wr_file_info info;
    struct wr_file *f;
    struct stat s;
    char p[16];
    size_t got;
    int names = 0;

    (void)arg;
    disk_init();
    CHECK(wr_file_open(fs, "/a", rw, 0, &f, &kit_err) == WR_NOTFOUND);
    CHECK(strcmp(kit_err.text, "open /a: No such file or directory") == 0);
    CHECK(wr_file_open(fs, "/x/a", rw | WR_FILE_CREATE, 0600, &f, &kit_err) == WR_NOTFOUND);
    kit_put("/a", 'x', 10, false);
    CHECK(wr_file_open(fs, "/a", rw | WR_FILE_CREATE | WR_FILE_EXCL, 0600, &f, &kit_err) ==
          WR_CONFLICT);
    f = kit_open("/a");
    CHECK(wr_file_pread(f, p, 16, 4, &got, &kit_err) == WR_OK && got == 6 && p[5] == 'x');
    CHECK(wr_file_pwrite(f, "end", 3, 20, &kit_err) == WR_OK);
    CHECK(wr_file_pread(f, p, 16, 9, &got, &kit_err) == WR_OK && got == 14 && p[1] == 0);
    CHECK(wr_file_truncate(f, 5, &kit_err) == WR_OK && wr_file_truncate(f, 8, &kit_err) == WR_OK);
    CHECK(wr_file_pread(f, p, 16, 0, &got, &kit_err) == WR_OK && got == 8 && p[4] == 'x' &&
          p[5] == 0);
    CHECK(wr_file_info(f, &info, &kit_err) == WR_OK && info.size == 8 && info.links == 1);
    CHECK(fs->set_mtime(f, 1234, &kit_err) == WR_OK && fs->set_mode(f, 0600, &kit_err) == WR_OK);
    CHECK(fs->set_owner(f, 7, 8, &kit_err) == WR_OK);
    CHECK(disk_stat("/a", &s) == 0 && s.st_mtim.tv_sec == 1 && S_ISREG(s.st_mode) &&
          (s.st_mode & 0777) == 0600);
    CHECK(s.st_uid == 7 && s.st_gid == 8 && s.st_ino == info.ino);

    CHECK(fs->mkdir(fs, "/d", 0755, &kit_err) == WR_OK);
    CHECK(fs->mkdir(fs, "/d", 0755, &kit_err) == WR_CONFLICT);
    CHECK(fs->list(fs, "/", count_names, &names, &kit_err) == WR_OK && names == 2);
    CHECK(fs->rename(fs, "/a", "/d", &kit_err) == WR_IO);
    CHECK(fs->rename_new(fs, "/a", "/d/b", &kit_err) == WR_OK);
    kit_put("/a", 'y', 1, false);
    CHECK(fs->rename_new(fs, "/a", "/d/b", &kit_err) == WR_CONFLICT);
    CHECK(fs->remove(fs, "/d", &kit_err) == WR_IO); /* not empty */
    CHECK(fs->rename(fs, "/a", "/d/b", &kit_err) == WR_OK);
    CHECK(wr_file_info(f, &info, &kit_err) == WR_OK && info.size == 8 && info.links == 0);
    CHECK(fs->rename(fs, "/d", "/e", &kit_err) == WR_OK && kit_full_of("/e/b", 1) == 'y');
    CHECK(fs->rename(fs, "/e", "/e/f", &kit_err) == WR_IO);
    CHECK(fs->remove(fs, "/e/b", &kit_err) == WR_OK && fs->remove(fs, "/e", &kit_err) == WR_OK);
    CHECK(fs->remove(fs, "/e", &kit_err) == WR_NOTFOUND && disk_stat("/e/b", &s) < 0);
    wr_file_close(f);
}

static void slots_answer_as_posix_does(void **state)
{
    (void)state;
    child_run(t_seed(), answer, NULL);
}

struct map_ways {
    uint64_t synced, lost, kept, mixed;
};

static void map_it(void *arg)
{
    struct map_ways *ways = arg;
    struct wr_file *f, *other;
    bool synced = tape_chance(300);
    uint8_t *map;
    uint8_t byte;
    void *p;
    size_t got;

    disk_init();
    kit_put("/m", 'a', 10000, true);
    CHECK(disk_fs()->sync_dir(disk_fs(), "/", &kit_err) == WR_OK);
    f = kit_open("/m");
    other = kit_open("/m");
    CHECK(f->fs->map(f, 10000, &p, &kit_err) == WR_OK);
    map = p;
    memset(map, 'b', 10000);
    CHECK(wr_file_pread(other, &byte, 1, 9999, &got, &kit_err) == WR_OK && byte == 'b');
    CHECK(wr_file_pwrite(other, "c", 1, 5000, &kit_err) == WR_OK && map[5000] == 'c');
    map[5000] = 'b';
    CHECK(wr_file_truncate(f, 2000000, &kit_err) == WR_OK); /* it can grow and stays where it is */
    CHECK(wr_file_truncate(f, 10000, &kit_err) == WR_OK && map[1] == 'b');
    if (synced)
        CHECK(wr_file_sync(f, &kit_err) == WR_OK);
    f->fs->unmap(f, map, 10000);
    wr_file_close(other);
    wr_file_close(f);
    disk_power_cut();
    byte = (uint8_t)kit_full_of("/m", 10000);
    CHECK(byte == 'b' || !synced);
    ways->synced += synced;
    ways->lost += byte == 'a';
    ways->kept += byte == 'b' && !synced;
    ways->mixed += byte != 'a' && byte != 'b';
}

static void a_map_is_the_file(void **state)
{
    struct map_ways *ways = child_shared(sizeof(*ways));

    (void)state;
    for (uint64_t i = 0; i < SEEDS; i++)
        child_run(t_seed() + i, map_it, ways);
    T(ways->synced && ways->lost && ways->kept && ways->mixed);
}

static void lock_and_sleep(void *arg)
{
    struct wr_file *f = kit_open("/l");

    CHECK(disk_fs()->lock(f, &kit_err) == WR_OK);
    CHECK(disk_fs()->lock(f, &kit_err) == WR_OK); /* its own */
    *(bool *)arg = true;
    sim_sleep(INT64_C(1000000000));
}

static void lock_it(void *arg)
{
    struct sim_proc *p = sim_proc_new("p");
    bool locked = false;
    struct wr_file *f;

    (void)arg;
    disk_init();
    f = kit_open("/l");
    (void)sim_spawn(p, "locker", lock_and_sleep, &locked);
    sim_sleep(INT64_C(100000000));
    CHECK(locked && disk_fs()->lock(f, &kit_err) == WR_BUSY);
    sim_kill(p);
    CHECK(disk_fs()->lock(f, &kit_err) == WR_OK);
    wr_file_close(f);
    CHECK(!disk_fs_any_open());
}

static void an_advisory_lock_goes_with_its_process(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 10; i++)
        child_run(t_seed() + i, lock_it, NULL);
}

struct reuse {
    uint64_t same, other;
};

static void make_again(void *arg)
{
    const struct wr_fs *fs = disk_fs();
    struct reuse *reuse = arg;
    struct wr_file *f;
    struct stat old, now;

    disk_init();
    f = kit_open("/f");
    CHECK(disk_stat("/f", &old) == 0 && fs->remove(fs, "/f", &kit_err) == WR_OK);
    kit_put("/f", 'x', 1, false);
    CHECK(disk_stat("/f", &now) == 0 && now.st_ino != old.st_ino); /* the old one is open */
    wr_file_close(f);
    CHECK(fs->sync_dir(fs, "/", &kit_err) == WR_OK); /* now nothing can bring it back */
    kit_put("/g", 'x', 1, false);
    CHECK(disk_stat("/g", &now) == 0);
    reuse->same += now.st_ino == old.st_ino;
    reuse->other += now.st_ino != old.st_ino;
}

static void inode_numbers_are_reused_or_not(void **state)
{
    struct reuse *reuse = child_shared(sizeof(*reuse));

    (void)state;
    for (uint64_t i = 0; i < 50; i++)
        child_run(t_seed() + i, make_again, reuse);
    T(reuse->same && reuse->other);
}

/* ---- faults ---- */

static void fail_io(void *arg)
{
    struct sim_proc *other = sim_proc_new("other");
    struct wr_file *f;
    struct wr_file_info info;
    char p[100] = "";
    size_t got;

    (void)arg;
    disk_init();
    f = kit_open("/f");
    disk_arm(DISK_FULL, sim_proc_current(), 1000);
    CHECK(wr_file_pwrite(f, p, 100, 0, &kit_err) == WR_LIMIT);
    CHECK(strcmp(kit_err.text, "write /f at 0: No space left on device") == 0);
    CHECK(wr_file_info(f, &info, &kit_err) == WR_OK && info.size < 100);
    disk_arm(DISK_FULL, sim_proc_current(), 0);
    disk_arm(DISK_FULL, other, 1000); /* somebody else's */
    CHECK(wr_file_pwrite(f, p, 100, 0, &kit_err) == WR_OK);
    disk_arm(DISK_EIO_WRITE, sim_proc_current(), 1000);
    CHECK(wr_file_pwrite(f, p, 100, 100, &kit_err) == WR_IO);
    CHECK(wr_file_info(f, &info, &kit_err) == WR_OK && info.size == 100);
    disk_arm(DISK_EIO_READ, sim_proc_current(), 1000);
    CHECK(wr_file_pread(f, p, 100, 0, &got, &kit_err) == WR_IO);
    disk_arm(DISK_EIO_READ, sim_proc_current(), 0);
    CHECK(wr_file_pread(f, p, 100, 0, &got, &kit_err) == WR_OK && got == 100);
    CHECK(disk_counts.full == 1 && disk_counts.io_errors == 2);
    wr_file_close(f);
}

static void faults_strike_their_victim(void **state)
{
    (void)state;
    child_run(t_seed(), fail_io, NULL);
}

static void fill_a_part(void *arg)
{
    const struct wr_fs *fs = disk_fs();
    struct wr_file *f, *g;
    struct wr_file_info info;
    char p[100] = "";

    (void)arg;
    disk_init();
    CHECK(fs->mkdir(fs, "/small", 0700, &kit_err) == WR_OK);
    disk_mount_small("/small");
    CHECK(fs->mkdir(fs, "/small/below", 0700, &kit_err) == WR_OK);
    f = kit_open("/small/below/f");
    g = kit_open("/g");
    CHECK(wr_file_pwrite(f, p, 50, 0, &kit_err) == WR_OK);
    disk_fill_small(true);
    CHECK(wr_file_pwrite(f, p, 50, 0, &kit_err) == WR_OK); /* it needs no room */
    CHECK(wr_file_pwrite(f, p, 100, 0, &kit_err) == WR_LIMIT);
    CHECK(wr_file_info(f, &info, &kit_err) == WR_OK && info.size >= 50 && info.size < 100);
    CHECK(wr_file_pwrite(g, p, 100, 0, &kit_err) == WR_OK); /* another file system */
    disk_fill_small(false);
    CHECK(wr_file_pwrite(f, p, 100, 0, &kit_err) == WR_OK);
    CHECK(disk_counts.full == 1);
    wr_file_close(f);
    wr_file_close(g);
}

static void a_small_file_system_is_full_for_who_needs_room_there(void **state)
{
    (void)state;
    child_run(t_seed(), fill_a_part, NULL);
}

static void rot_below(void *arg)
{
    struct wr_file *f, *g;
    char p[100] = "", q[100];
    size_t got, wrong = 0;

    (void)arg;
    disk_init();
    CHECK(disk_fs()->mkdir(disk_fs(), "/a", 0700, &kit_err) == WR_OK);
    f = kit_open("/a/f");
    g = kit_open("/ab");
    CHECK(wr_file_pwrite(f, p, 100, 0, &kit_err) == WR_OK);
    CHECK(wr_file_pwrite(g, p, 100, 0, &kit_err) == WR_OK);
    disk_rot("/a", 3);
    for (int i = 0; i < 6; i++) {
        CHECK(wr_file_pread(g, q, 100, 0, &got, &kit_err) == WR_OK && memcmp(p, q, 100) == 0);
        CHECK(wr_file_pread(f, q, 100, 0, &got, &kit_err) == WR_OK && got == 100);
        wrong += memcmp(p, q, 100) != 0;
    }
    CHECK(wrong == 2 && disk_counts.rotten == 2);
    disk_rot("/a", 0);
    for (int i = 0; i < 6; i++)
        CHECK(wr_file_pread(f, q, 100, 0, &got, &kit_err) == WR_OK && memcmp(p, q, 100) == 0);
    wr_file_close(f);
    wr_file_close(g);
}

static void what_rots_is_below_its_directory(void **state)
{
    (void)state;
    child_run(t_seed(), rot_below, NULL);
}

T_MAIN(T_TEST(slots_answer_as_posix_does), T_TEST(a_map_is_the_file),
    T_TEST(an_advisory_lock_goes_with_its_process), T_TEST(inode_numbers_are_reused_or_not),
    T_TEST(faults_strike_their_victim),
    T_TEST(a_small_file_system_is_full_for_who_needs_room_there),
    T_TEST(what_rots_is_below_its_directory))
