/*
 * test_place.c - names beside a database: what may be replaced, what is left, what is not touched.
 */
/* For S_IFREG, which is XSI and not plain POSIX. */
#define _XOPEN_SOURCE 700 /* NOLINT(bugprone-reserved-identifier) */

#include "engine/place.h"

#include "base/log.h"
#include "base/mem.h"
#include "harness/t.h"
#include "unit/engine/restore_world.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct wr_place *start(const char *path, bool overwrite)
{
    struct wr_place *p = NULL;
    struct wr_err e = {0};

    T_OK(wr_place_open(wr_fs_posix(), path, overwrite ? WR_PLACE_OVERWRITE : 0, &p, &e));
    T_OK(wr_file_pwrite(wr_place_file(p), "new", 3, 0, &e));
    return p;
}

static void check_content(const char *path, const char *want)
{
    struct wr_bytes got = t_slurp(path);

    T(got.n == strlen(want) && memcmp(got.p, want, got.n) == 0);
}

static enum wr_status real_open(const struct wr_fs *fs, const char *path, unsigned flags,
    uint32_t mode, struct wr_file **ret, struct wr_err *e)
{
    (void)fs;
    return wr_file_open(wr_fs_posix(), path, flags, mode, ret, e);
}

static void test_new_database(void **state)
{
    const char *dir = t_tmpdir();
    const char *path = t_path(dir, "a/b/db");
    struct wr_place *p = start(path, false);
    struct wr_file_info info;
    struct stat st;
    struct wr_err e = {0};

    (void)state;
    T(!file_exists(path) && t_names_in(t_path(dir, "a/b")) == 2);
    check_content(wr_place_name(p), "new");
    T_OK(wr_place_commit(p, NULL, &e));
    wr_place_close(p);
    check_content(path, "new");
    T(t_names_in(t_path(dir, "a/b")) == 1);
    T_OK(wr_fs_posix()->stat(wr_fs_posix(), path, &info, &e));
    T((info.mode & 0777) == 0600);
    T(stat(t_path(dir, "a"), &st) == 0 && (st.st_mode & 0777) == 0700);
    wr_place_close(NULL);
}

static void test_abandoned(void **state)
{
    const char *dir = t_tmpdir();
    const char *path = t_path(dir, "db");
    struct wr_place *p;
    struct wr_file *spool = NULL;
    struct wr_err e = {0};

    (void)state;
    t_spew(path, "old", 3);
    p = start(path, true);
    T_OK(wr_place_spool(p, &spool, &e));
    T(t_names_in(dir) == 4);
    wr_place_close(p);
    T(t_names_in(dir) == 1);
    check_content(path, "old");
}

static void test_refusals(void **state)
{
    const struct wr_fs *fs = wr_fs_posix();
    const char *dir = t_tmpdir();
    const char *path = t_path(dir, "db");
    static const char *const sidecars[] = {"db-wal", "db-shm", "db-journal"};
    struct wr_place *p = NULL;
    struct wr_err e = {0};

    (void)state;
    T_IS(WR_MISUSE, wr_place_check(fs, NULL, true, &e));
    T_IS(WR_MISUSE, wr_place_check(fs, "", true, &e));
    T_IS(WR_MISUSE, wr_place_open(fs, NULL, WR_PLACE_OVERWRITE, &p, &e));
    T_IS(WR_MISUSE, wr_place_check(fs, dir, true, &e));
    T(strstr(e.text, "cannot restore, output path is a directory: "));
    T_IS(WR_MISUSE, wr_place_check(fs, "/dev/null", true, &e));
    T_OK(wr_place_check(fs, path, false, &e));
    for (size_t i = 0; i < wr_countof(sidecars); i++) {
        const char *side = t_path(dir, sidecars[i]);

        t_spew(side, "x", 1);
        T_IS(WR_CONFLICT, wr_place_check(fs, path, false, &e));
        T(strstr(e.text, "cannot restore, SQLite sidecar path already exists: "));
        T(strstr(e.text, side) && strstr(e.text, ". Use -force to overwrite"));
        T_OK(wr_place_check(fs, path, true, &e));
        T(remove(side) == 0);
    }
    t_spew(path, "", 0);
    T_OK(wr_place_check(fs, path, false, &e));
    t_spew(t_path(dir, "db-journal"), "", 0); /* as beside a copy that was followed, and deleted */
    T_OK(wr_place_check(fs, path, false, &e));
    T(remove(t_path(dir, "db-journal")) == 0);
    t_spew(path, "x", 1);
    T_IS(WR_CONFLICT, wr_place_check(fs, path, false, &e));
    T(strstr(e.text, "cannot restore, output path already exists and is not empty: "));
    T(strstr(e.text, "db. Use -force to overwrite"));
    T_IS(WR_CONFLICT, wr_place_open(fs, path, 0, &p, &e));
    T(!p && t_names_in(dir) == 1);
}

static void test_empty_file_is_no_database(void **state)
{
    const char *dir = t_tmpdir();
    const char *path = t_path(dir, "db");
    struct wr_place *p;
    struct wr_err e = {0};

    (void)state;
    t_spew(path, "", 0);
    p = start(path, false);
    T_OK(wr_place_commit(p, NULL, &e));
    wr_place_close(p);
    check_content(path, "new");
    T(t_names_in(dir) == 1);
}

static void test_appeared_meanwhile(void **state)
{
    static const char *const names[] = {"db", "db-wal"};

    (void)state;
    for (size_t i = 0; i < wr_countof(names); i++) {
        const char *dir = t_tmpdir();
        struct wr_place *p = start(t_path(dir, "db"), false);
        struct wr_err e = {0};

        t_spew(t_path(dir, names[i]), "theirs", 6);
        T_IS(WR_CONFLICT, wr_place_commit(p, NULL, &e));
        wr_place_close(p);
        T(t_names_in(dir) == 1);
        check_content(t_path(dir, names[i]), "theirs");
    }
}

static struct late {
    const char *path, *writes_to;
} late; /* an application that begins to write when all has been looked at */

static enum wr_status late_rename_new(
    const struct wr_fs *fs, const char *from, const char *to, struct wr_err *e)
{
    (void)fs;
    if (late.writes_to && strcmp(from, late.path) == 0) {
        t_spew(late.writes_to, "theirs", 6);
        late.writes_to = NULL;
    }
    return wr_fs_posix()->rename_new(wr_fs_posix(), from, to, e);
}

/* What came between the look at an empty file and its removal was removed with it. */
static void test_what_was_written_to_an_empty_file_was_removed(void **state)
{
    static const char *const names[] = {"db", "db-journal", "db-wal"};

    (void)state;
    for (size_t i = 0; i < wr_countof(names); i++) {
        const char *dir = t_tmpdir(), *path = t_path(dir, "db"), *name = t_path(dir, names[i]);
        struct wr_fs fs = *wr_fs_posix();
        struct wr_place *p = NULL;
        struct wr_err e = {0};

        fs.open = real_open;
        fs.rename_new = late_rename_new;
        t_spew(path, "", 0);
        T_OK(wr_place_open(&fs, path, 0, &p, &e));
        late = (struct late){.path = path, .writes_to = name};
        T_IS(WR_CONFLICT, wr_place_commit(p, NULL, &e));
        T(!late.writes_to);
        wr_place_close(p);
        check_content(name, "theirs");
        T(file_exists(path) && t_names_in(dir) == (i ? 2 : 1));
    }
}

static void test_replace(void **state)
{
    const char *dir = t_tmpdir();
    const char *path = t_path(dir, "db");
    struct wr_place *p;
    struct wr_file_info info;
    struct wr_err e = {0};

    (void)state;
    t_spew(path, "old", 3);
    T(chmod(path, 0640) == 0);
    p = start(path, true);
    check_content(path, "old");
    T_OK(wr_place_commit(p, NULL, &e));
    wr_place_close(p);
    check_content(path, "new");
    T_OK(wr_fs_posix()->stat(wr_fs_posix(), path, &info, &e));
    T((info.mode & 0707) == 0600);

    t_spew(t_path(dir, "db-wal"), "w", 1);
    t_spew(t_path(dir, "db-shm"), "s", 1);
    t_spew(t_path(dir, "db-journal"), "j", 1);
    p = start(path, true);
    T_OK(wr_place_commit(p, NULL, &e));
    wr_place_close(p);
    T(t_names_in(dir) == 1);
    check_content(path, "new");
}

/* A database that root restores is still its user's; an empty file is nobody's database. */
static void test_owner_is_kept(void **state)
{
    const char *path = t_path(t_tmpdir(), "db");
    struct stat before, after;

    (void)state;
    for (int overwrite = 0; overwrite < 2; overwrite++) {
        struct wr_place *p;
        struct wr_err e = {0};

        t_spew(path, "old", overwrite ? 3 : 0);
        if (geteuid() == 0)
            T(chown(path, 12345, 23456) == 0);
        T(stat(path, &before) == 0);
        p = start(path, overwrite);
        T_OK(wr_place_seal(p, &e)); /* as for a check by SQLite */
        T_OK(wr_place_commit(p, NULL, &e));
        wr_place_close(p);
        T(stat(path, &after) == 0 && after.st_ino != before.st_ino);
        T(after.st_uid == (overwrite ? before.st_uid : geteuid()));
        T(after.st_gid == (overwrite ? before.st_gid : getegid()));
    }
}

/* An application could not open what root had restored into its directory. */
static void test_a_new_database_was_roots_in_another_users_directory(void **state)
{
    (void)state;
    for (int there = 0; there < 2; there++) { /* nothing, or an empty file of root's */
        const char *dir = t_tmpdir(), *path = t_path(dir, "db");
        struct stat is, want;
        struct wr_place *p;
        struct wr_err e = {0};

        if (there)
            t_spew(path, "", 0);
        if (geteuid() == 0)
            T(chown(dir, 12345, 23456) == 0);
        T(stat(dir, &want) == 0);
        p = start(path, false);
        T(stat(wr_place_name(p), &is) == 0 && is.st_uid == geteuid()); /* while it is written */
        T_OK(wr_place_commit(p, NULL, &e));
        wr_place_close(p);
        T(stat(path, &is) == 0 && is.st_uid == want.st_uid && is.st_gid == want.st_gid);
        T(there || (is.st_mode & 0777) == 0600);
    }
}

/* And so was one in a directory that was made for it, which nobody but root could enter. */
static void test_a_directory_that_was_made_was_roots(void **state)
{
    const char *above = t_tmpdir(), *dir = t_path(above, "new/data"), *path = t_path(dir, "db");
    struct stat is, want;
    struct wr_place *p;
    struct wr_err e = {0};

    (void)state;
    if (geteuid() == 0)
        T(chown(above, 12345, 23456) == 0);
    T(stat(above, &want) == 0);
    p = start(path, false);
    T_OK(wr_place_commit(p, NULL, &e));
    wr_place_close(p);
    T(stat(dir, &is) == 0 && is.st_uid == want.st_uid && is.st_gid == want.st_gid);
    T(stat(path, &is) == 0 && is.st_uid == want.st_uid && is.st_gid == want.st_gid);
}

/* It was open to everybody, though it had become ours. */
static void test_the_mode_of_somebody_elses_empty_file_was_taken(void **state)
{
    for (int theirs = 0; theirs < 2; theirs++) {
        const char *path = t_path(t_tmpdir(), "db");
        struct wr_place *p;
        struct stat now;
        struct wr_err e = {0};

        t_spew(path, "", 0);
        T(chmod(path, 0666) == 0);
        if (theirs && (geteuid() != 0 || chown(path, 12345, 23456) != 0))
            break;
        p = start(path, false);
        T_OK(wr_place_commit(p, NULL, &e));
        wr_place_close(p);
        T(stat(path, &now) == 0 && (now.st_mode & 0777) == (theirs ? 0600 : 0666));
    }
    (void)state;
}

struct warnings {
    int n;
    char was[64], is[64];
};

static void note_warning(void *arg, enum wr_log_level level, const char *msg,
    const struct wr_log_field *fields, size_t n)
{
    struct warnings *w = arg;

    T(level == WR_WARN && strstr(msg, "another owner") && n == 3);
    w->n++;
    (void)snprintf(w->was, sizeof(w->was), "%.*s", (int)fields[1].v.s.n, fields[1].v.s.p);
    (void)snprintf(w->is, sizeof(w->is), "%.*s", (int)fields[2].v.s.n, fields[2].v.s.p);
}

static enum wr_status no_owner(struct wr_file *f, uint32_t uid, uint32_t gid, struct wr_err *e)
{
    (void)f;
    (void)uid;
    (void)gid;
    return wr_fail(e, WR_IO, "not permitted");
}

static enum wr_status other_owner(
    const struct wr_fs *fs, const char *path, struct wr_file_info *ret, struct wr_err *e)
{
    enum wr_status st = wr_fs_posix()->lstat(wr_fs_posix(), path, ret, e);

    (void)fs;
    if (st == WR_OK)
        ret->uid = 4000000000u;
    return st;
}

/* The application could not open it any more, and nothing had told why. */
static void test_a_lost_owner_was_not_told(void **state)
{
    const char *dir = t_tmpdir(), *path = t_path(dir, "db");

    (void)state;
    for (int how = 0; how < 3; how++) { /* the owner is lost; no database is replaced; it is kept */
        struct warnings w = {0};
        const struct wr_log log = {.sink = note_warning, .arg = &w};
        struct wr_fs fs = *wr_fs_posix();
        struct wr_place *p = NULL;
        char was[64], is[64];
        struct wr_err e = {0};

        if (how != 2) {
            fs.set_owner = no_owner;
            fs.lstat = other_owner;
        }
        fs.open = real_open;
        t_spew(path, "", 0);
        T_OK(wr_place_open(&fs, path, how != 1 ? WR_PLACE_OVERWRITE : 0, &p, &e));
        T_OK(wr_place_commit(p, &log, &e));
        wr_place_close(p);
        T(w.n == (how == 0));
        (void)snprintf(was, sizeof(was), "4000000000:%u", (unsigned)getegid());
        (void)snprintf(is, sizeof(is), "%u:%u", (unsigned)geteuid(), (unsigned)getegid());
        if (how == 0)
            T(strcmp(w.was, was) == 0 && strcmp(w.is, is) == 0);
    }
}

static enum wr_status replace_body(const char *path)
{
    struct wr_place *p = NULL;
    struct wr_err e = {0};
    enum wr_status st = wr_place_open(wr_fs_posix(), path, WR_PLACE_OVERWRITE, &p, &e);
    struct stat now;

    if (st == WR_OK && (stat(wr_place_name(p), &now) != 0 || (now.st_mode & 0777) != 0600))
        st = WR_INTERNAL;
    if (st == WR_OK)
        st = wr_place_seal(p, &e); /* as for a check by SQLite */
    if (st == WR_OK)
        st = wr_place_commit(p, NULL, &e);
    wr_place_close(p);
    return st;
}

/* It was made with the mode that it was to have in the end, and could not be opened again. */
static void test_a_read_only_database_could_not_be_replaced_after_its_check(void **state)
{
    static const mode_t modes[] = {0400, 0440, 0444, 0640};
    const char *dir = t_tmpdir(), *path = "db"; /* what is above `dir` need not let others in */
    int status = 0;
    pid_t child;

    (void)state;
    T(chdir(dir) == 0 && chmod(dir, 0777) == 0);
    for (size_t i = 0; i < wr_countof(modes); i++) {
        struct stat st;

        t_spew(path, "old", 3);
        T(chmod(path, modes[i]) == 0);
        if (geteuid() == 0)
            T(chown(path, 12345, 12345) == 0);
        child = fork();
        T(child >= 0);
        if (child == 0) /* root may open anything */
            _exit(geteuid() != 0 || setuid(12345) == 0 ? (int)replace_body(path) : 99);
        T(waitpid(child, &status, 0) == child);
        T(WIFEXITED(status) && WEXITSTATUS(status) == WR_OK);
        T(stat(path, &st) == 0 && (st.st_mode & 0777) == modes[i] && st.st_size == 0);
        T(remove(path) == 0);
    }
    T(chdir("/") == 0);
}

/* Opened by others than the one that restores: its group reads it. */
static void test_mode_is_kept_when_an_earlier_draft_is_gone_on_with(void **state)
{
    const char *path = t_path(t_tmpdir(), "db");
    struct wr_place *p = NULL;
    struct wr_err e = {0};
    struct stat st;

    (void)state;
    T_OK(wr_place_open(wr_fs_posix(), path, WR_PLACE_RESUMABLE, &p, &e));
    T_OK(wr_file_pwrite(wr_place_map(p), "m", 1, 0, &e));
    wr_place_keep(p);
    wr_place_close(p);
    t_spew(path, "old", 3);
    T(chmod(path, 0664) == 0);
    T_OK(wr_place_open(wr_fs_posix(), path, WR_PLACE_RESUMABLE | WR_PLACE_OVERWRITE, &p, &e));
    T(wr_place_adopted(p));
    T_OK(wr_place_commit(p, NULL, &e));
    wr_place_close(p);
    T(stat(path, &st) == 0 && (st.st_mode & 0777) == 0664);
}

/* While SQLite checks the sealed file, its name is all that leads to it. Whoever may change names
 * in the directory must not be given the old database's owner for a file of theirs. */
static void test_a_sealed_file_is_not_exchanged(void **state)
{
    const char *dir = t_tmpdir();
    const char *path = t_path(dir, "db"), *theirs = t_path(t_tmpdir(), "theirs");

    (void)state;
    for (int how = 0; how < 3; how++) {
        struct wr_place *p;
        struct wr_err e = {0};
        const char *name;

        t_spew(path, "old", 3);
        t_spew(theirs, "theirs", 6);
        T(chmod(theirs, 0604) == 0);
        p = start(path, true);
        name = wr_place_name(p);
        T_OK(wr_place_seal(p, &e));
        if (how == 0)
            T(rename(theirs, name) == 0);
        else
            T(remove(name) == 0 && (how == 1 ? symlink(theirs, name) : link(theirs, name)) == 0);
        T_IS(WR_CONFLICT, wr_place_commit(p, NULL, &e));
        wr_place_close(p);
        check_content(path, "old");
        if (how > 0) {
            struct stat st;

            check_content(theirs, "theirs");
            T(stat(theirs, &st) == 0 && (st.st_mode & 0777) == 0604);
        }
        T(t_names_in(dir) == 1);
        T(remove(path) == 0);
    }
}

static bool is_link(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
}

/* The link was replaced, and the file that it led to was left as it was. */
static void test_a_link_to_a_database_was_replaced(void **state)
{
    const char *dir = t_tmpdir(), *vol = t_tmpdir();
    const char *path = t_path(dir, "db"), *real = t_path(vol, "real");
    struct wr_place *p = NULL;
    struct wr_err e = {0};
    struct stat st;

    (void)state;
    T(symlink(real, path) == 0);
    t_spew(real, "old", 3);
    T(chmod(real, 0640) == 0);
    t_spew(t_path(vol, "real-wal"), "w", 1);
    t_spew(t_path(dir, "db-wal"), "other", 5); /* nobody's, as SQLite sees it */
    T_IS(WR_CONFLICT, wr_place_check(wr_fs_posix(), path, false, &e));
    p = start(path, true);
    T(strncmp(wr_place_name(p), vol, strlen(vol)) == 0 && t_names_in(dir) == 2);
    T_OK(wr_place_commit(p, NULL, &e));
    wr_place_close(p);
    T(is_link(path) && t_names_in(dir) == 2 && t_names_in(vol) == 1);
    check_content(real, "new");
    T(stat(real, &st) == 0 && (st.st_mode & 0777) == 0640);

    t_spew(real, "", 0); /* no database: nothing is replaced */
    t_spew(t_path(vol, "real-wal"), "w", 1);
    T_IS(WR_CONFLICT, wr_place_open(wr_fs_posix(), path, 0, &p, &e));
    T(remove(t_path(vol, "real-wal")) == 0);
    p = start(path, false);
    T_OK(wr_place_commit(p, NULL, &e));
    wr_place_close(p);
    check_content(real, "new");
    T(is_link(path) && t_names_in(vol) == 1);
    T(remove(real) == 0 && mkdir(real, 0700) == 0);
    T_IS(WR_MISUSE, wr_place_check(wr_fs_posix(), path, true, &e));
}

/* A volume that is not mounted: the link was removed, and the database put where it had been. */
static void test_a_link_that_leads_nowhere_was_removed(void **state)
{
    const char *dir = t_tmpdir(), *path = t_path(dir, "db");
    struct wr_place *p = NULL;

    (void)state;
    T(symlink(t_path(dir, "vol/db"), path) == 0);
    for (unsigned flags = 0; flags <= WR_PLACE_OVERWRITE; flags++) {
        struct wr_err e = {0};

        T_IS(WR_CONFLICT, wr_place_check(wr_fs_posix(), path, flags, &e));
        T(strstr(e.text, "symbolic link that leads nowhere: ") && strstr(e.text, path));
        T_IS(WR_CONFLICT, wr_place_open(wr_fs_posix(), path, flags, &p, &e));
        T(!p && is_link(path) && t_names_in(dir) == 1);
    }
    T(remove(path) == 0 && symlink("db", path) == 0); /* to itself */
    {
        struct wr_err e = {0};

        T_IS(WR_IO, wr_place_check(wr_fs_posix(), path, true, &e));
    }
}

static unsigned lock_calls, lock_busy; /* how many there were, and which of them fail: bits */

static enum wr_status busy_lock(struct wr_file *f, struct wr_err *e)
{
    (void)f;
    return lock_busy >> lock_calls++ & 1 ? wr_fail(e, WR_BUSY, "held by another process") : WR_OK;
}

/* It was gone on with without a lock, and removed at some later moment. */
static void test_a_file_that_another_restore_took_is_given_up(void **state)
{
    static const unsigned busy[] = {1, 3, 2, 1 + 4, ~0u}; /* the file, or the map behind it */
    static const unsigned calls[] = {3, 4, 4, 5};

    (void)state;
    for (size_t i = 0; i < wr_countof(busy); i++) {
        const char *dir = t_tmpdir();
        struct wr_fs fs = *wr_fs_posix();
        struct wr_place *p = NULL;
        struct wr_err e = {0};

        fs.open = real_open;
        fs.lock = busy_lock;
        lock_calls = 0;
        lock_busy = busy[i];
        if (i == wr_countof(calls)) {
            T_IS(WR_BUSY, wr_place_open(&fs, t_path(dir, "db"), 0, &p, &e));
        } else {
            T_OK(wr_place_open(&fs, t_path(dir, "db"), 0, &p, &e));
            T(lock_calls == calls[i] && t_names_in(dir) == 2);
            wr_place_close(p);
        }
        T(t_names_in(dir) == 0);
    }
}

/* What is too small to be resumed had no map, and so no lock while SQLite checked it. */
static void test_a_small_file_was_swept_during_its_check(void **state)
{
    const char *dir = t_tmpdir(), *path = t_path(dir, "db");

    (void)state;
    for (unsigned flags = 0; flags <= WR_PLACE_RESUMABLE; flags += WR_PLACE_RESUMABLE) {
        struct wr_place *checked = start(path, true), *other = NULL;
        struct wr_err e = {0};

        T(!wr_place_map(checked));
        T_OK(wr_place_seal(checked, &e));
        T_OK(wr_place_open(wr_fs_posix(), path, WR_PLACE_OVERWRITE | flags, &other, &e));
        T(!wr_place_adopted(other));
        wr_place_close(other);
        T_OK(wr_place_commit(checked, NULL, &e));
        wr_place_close(checked);
        check_content(path, "new");
        T(t_names_in(dir) == 1);
    }
}

/* Killed: it has no map in which there is anything. */
static void test_a_small_leftover_is_not_gone_on_with(void **state)
{
    const char *dir = t_tmpdir(), *path = t_path(dir, "db");
    struct wr_place *p = NULL;
    struct wr_err e = {0};

    (void)state;
    t_spew(t_path(dir, "db.tmp-0123456789abcdef"), "half", 4);
    t_spew(t_path(dir, "db.tmp-0123456789abcdef-map"), "", 0);
    T(chmod(t_path(dir, "db.tmp-0123456789abcdef"), 0600) == 0);
    T(chmod(t_path(dir, "db.tmp-0123456789abcdef-map"), 0600) == 0);
    T_OK(wr_place_open(wr_fs_posix(), path, WR_PLACE_RESUMABLE, &p, &e));
    T(!wr_place_adopted(p) && t_names_in(dir) == 2);
    wr_place_close(p);
    T(t_names_in(dir) == 0);
}

static bool not_maps(void *arg, const char *name)
{
    size_t *n = arg;

    *n += !wr_str_ends(wr_str(name), WR_STR("-map"));
    return true;
}

struct names_seen {
    wr_dir_fn *fn;
    void *arg;
};

static bool pass_on_but_maps(void *arg, const char *name)
{
    const struct names_seen *x = arg;

    return wr_str_ends(wr_str(name), WR_STR("-map")) || x->fn(x->arg, name);
}

static enum wr_status list_without_maps(
    const struct wr_fs *fs, const char *path, wr_dir_fn *fn, void *arg, struct wr_err *e)
{
    struct names_seen x = {.fn = fn, .arg = arg};

    (void)fs;
    return wr_fs_posix()->list(wr_fs_posix(), path, pass_on_but_maps, &x, e);
}

/* The file was there when the names were listed, its map was not yet; by now SQLite checks it, and
 * its map alone is locked. */
static void test_a_map_that_came_after_the_listing_protects_its_file(void **state)
{
    const char *dir = t_tmpdir(), *path = t_path(dir, "db");
    struct wr_fs fs = *wr_fs_posix();
    struct wr_place *checked = NULL, *other = NULL;
    struct wr_err e = {0};
    size_t n = 0;

    (void)state;
    fs.open = real_open;
    fs.list = list_without_maps;
    T_OK(wr_place_open(wr_fs_posix(), path, WR_PLACE_RESUMABLE, &checked, &e));
    T_OK(wr_place_seal(checked, &e));
    T_OK(wr_place_open(&fs, path, WR_PLACE_RESUMABLE, &other, &e));
    T_OK(wr_fs_posix()->list(wr_fs_posix(), dir, not_maps, &n, &e));
    T(n == 2 && !wr_place_adopted(other));
    wr_place_close(other);
    T_OK(wr_place_commit(checked, NULL, &e));
    wr_place_close(checked);
    T(t_names_in(dir) == 1);
}

/* What a kill between link and unlink leaves: closing it would drop the locks of whoever uses the
 * database that it has become. */
static void test_a_second_name_of_a_live_database_is_not_opened(void **state)
{
    const char *dir = t_tmpdir();
    const char *path = t_path(dir, "db"), *second = t_path(dir, "db.tmp-0123456789abcdef");
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 120, .l_len = 1};
    int fd;

    (void)state;
    t_spew(path, "live", 4);
    fd = open(path, O_RDWR);
    T(fd >= 0 && fcntl(fd, F_SETLK, &lock) == 0);
    T(link(path, second) == 0);
    wr_place_close(start(path, true));
    T(t_locked_for_others(path));
    T(!file_exists(second));
    T(close(fd) == 0);
}

/* What a killed run left is removed, what a living one works on is not, nor what only looks like
 * it. */
static void test_leftovers(void **state)
{
    const char *dir = t_tmpdir();
    const char *path = t_path(dir, "db");
    static const char *const stale[] = {"db.tmp-0123456789abcdef", "db.tmp-0123456789abcdef-spool",
        "db.tmp-0123456789abcdef-map", "db.old-0123456789abcdef", "db.old-0123456789abcdef-wal"};
    static const char *const others[] = {"db.tmp", "db.tmp-0123456789abcde",
        "db.tmp-0123456789abcdeF", "db.tmp-0123456789abcdefg", "db2.tmp-0123456789abcdef",
        "db.tmp-0123456789abcdef-w"};
    struct wr_place *living, *p;
    struct wr_err e = {0};

    (void)state;
    for (size_t i = 0; i < wr_countof(stale); i++)
        t_spew(t_path(dir, stale[i]), "x", 1);
    for (size_t i = 0; i < wr_countof(others); i++)
        t_spew(t_path(dir, others[i]), "x", 1);
    living = start(path, true);
    for (size_t i = 0; i < 3; i++)
        T(!file_exists(t_path(dir, stale[i])));
    T(file_exists(t_path(dir, stale[3]))); /* may be all that is left of a database */
    p = start(path, true);
    T_OK(wr_place_commit(p, NULL, &e));
    wr_place_close(p);
    T(!file_exists(t_path(dir, stale[3])) && !file_exists(t_path(dir, stale[4])));
    T_OK(wr_place_commit(living, NULL, &e));
    wr_place_close(living);
    T(t_names_in(dir) == 1 + wr_countof(others));
}

/* A name of `n` bytes, the last of which is `end`, and what is behind it. */
static const char *long_name(const char *dir, size_t n, char end, const char *suffix)
{
    char name[300];

    memset(name, 'x', n);
    name[n - 1] = end;
    (void)snprintf(name + n, sizeof(name) - n, "%s", suffix);
    return t_path(dir, name);
}

/* A database's name may have 251 bytes, so that there is room for "-wal"; ours had 27 more. */
static void test_a_long_name_left_no_room_for_those_beside_it(void **state)
{
    static const size_t lengths[] = {113, 114, 115, 226, 234, 235, 247, 248, 251};
    struct wr_err e = {0};

    (void)state;
    for (size_t i = 0; i < wr_countof(lengths); i++) {
        const char *dir = t_tmpdir(), *path = long_name(dir, lengths[i], 'y', "");
        const char *other = long_name(dir, lengths[i], 'z', "");
        const char *wal = long_name(dir, lengths[i], 'y', "-wal");
        struct wr_file *spool = NULL;
        struct wr_place *p, *q;

        T_OK(wr_place_check(wr_fs_posix(), path, false, &e));
        T_OK(wr_place_open(wr_fs_posix(), path, WR_PLACE_RESUMABLE, &p, &e));
        T_OK(wr_place_spool(p, &spool, &e));
        T_OK(wr_file_pwrite(wr_place_file(p), "new", 3, 0, &e));
        T_OK(wr_file_pwrite(wr_place_map(p), "map", 3, 0, &e));
        wr_place_keep(p);
        wr_place_close(p);
        T_OK(wr_place_open(wr_fs_posix(), other, WR_PLACE_RESUMABLE, &q, &e));
        T(!wr_place_adopted(q)); /* that one is of another database */
        wr_place_close(q);
        T_OK(wr_place_open(wr_fs_posix(), path, WR_PLACE_RESUMABLE, &p, &e));
        T(wr_place_adopted(p));
        T_OK(wr_place_commit(p, NULL, &e));
        wr_place_close(p);
        check_content(path, "new");
        t_spew(wal, "old", 3);
        p = start(path, true);
        T_OK(wr_place_commit(p, NULL, &e));
        wr_place_close(p);
        T(!file_exists(wal) && t_names_in(dir) == 1);
    }
}

static void test_a_name_without_room_for_a_wal_is_refused_at_once(void **state)
{
    const char *dir = t_tmpdir();
    struct wr_place *p = NULL;

    (void)state;
    for (size_t n = 252; n <= 257; n++) {
        struct wr_err e = {0};

        T(wr_place_check(wr_fs_posix(), long_name(dir, n, 'y', ""), n % 2, &e) == WR_MISUSE);
        T(strstr(e.text, "-wal") && strstr(e.text, "251"));
        T(wr_place_open(wr_fs_posix(), long_name(dir, n, 'y', ""), n % 2, &p, &e) == WR_MISUSE);
    }
    T(t_names_in(dir) == 0);
}

/* Somebody makes a database while the old one is aside. */
static enum wr_status rival_rename_new(
    const struct wr_fs *fs, const char *from, const char *to, struct wr_err *e)
{
    (void)fs;
    if (late.writes_to && strcmp(to, late.path) == 0) {
        t_spew(late.path, "theirs", 6);
        late.writes_to = NULL;
    }
    return wr_fs_posix()->rename_new(wr_fs_posix(), from, to, e);
}

static bool note_old(void *arg, const char *name)
{
    const char **ret = arg;

    if (strstr(name, ".old-") && !strchr(strstr(name, ".old-") + strlen(".old-"), '-'))
        *ret = t_path(*ret, name);
    return true;
}

static const char *old_in(const char *dir)
{
    const char *name = dir;
    struct wr_err e = {0};

    T_OK(wr_fs_posix()->list(wr_fs_posix(), dir, note_old, &name, &e));
    T(name != dir);
    return name;
}

/* SQLite applied it to that database, and the old one had lost its last transactions. */
static void test_the_old_wal_was_laid_beside_somebody_elses_database(void **state)
{
    const char *dir = t_tmpdir(), *path = t_path(dir, "db"), *wal = t_path(dir, "db-wal"), *old;
    struct wr_fs fs = *wr_fs_posix();
    struct wr_place *p = NULL;
    struct wr_err e = {0};
    char name[512];

    (void)state;
    fs.open = real_open;
    fs.rename_new = rival_rename_new;
    t_spew(path, "old", 3);
    t_spew(wal, "its", 3);
    T_OK(wr_place_open(&fs, path, WR_PLACE_OVERWRITE, &p, &e));
    late = (struct late){.path = path, .writes_to = path};
    T_IS(WR_CONFLICT, wr_place_commit(p, NULL, &e));
    wr_place_close(p);
    check_content(path, "theirs");
    T(!file_exists(wal));
    old = old_in(dir);
    T(strstr(e.text, old) && strstr(e.text, "is left as"));
    check_content(old, "old");
    (void)snprintf(name, sizeof(name), "%s-wal", old);
    check_content(name, "its");
    T(t_names_in(dir) == 3);
}

/* Another restore had been told that it is there, or was about to put it back. */
static void test_a_database_that_another_restore_set_aside_meanwhile_was_removed(void **state)
{
    const char *dir = t_tmpdir(), *path = t_path(dir, "db");
    const char *theirs = t_path(dir, "db.old-0123456789abcdef");
    struct wr_place *p;
    struct wr_err e = {0};

    (void)state;
    t_spew(path, "old", 3);
    p = start(path, true);
    t_spew(theirs, "theirs", 6);
    T_OK(wr_place_commit(p, NULL, &e));
    wr_place_close(p);
    check_content(theirs, "theirs");
    wr_place_close(start(path, true)); /* which came to nothing */
    check_content(theirs, "theirs");
}

static struct {
    const char *dir;
    int renames, busy;
} turns;

static enum wr_status lock_of_dir(void)
{
    struct wr_file *f = NULL;
    struct wr_err e = {0};
    enum wr_status st;

    T_OK(wr_file_open(wr_fs_posix(), turns.dir, WR_FILE_READ, 0, &f, &e));
    st = f->fs->lock(f, NULL);
    wr_file_close(f);
    return st;
}

static enum wr_status watched_rename_new(
    const struct wr_fs *fs, const char *from, const char *to, struct wr_err *e)
{
    (void)fs;
    turns.renames++;
    turns.busy += lock_of_dir() == WR_BUSY;
    return wr_fs_posix()->rename_new(wr_fs_posix(), from, to, e);
}

/* Each found the other's files under the names that it had just made free. */
static void test_two_restores_changed_names_at_once(void **state)
{
    const char *dir = t_tmpdir(), *path = t_path(dir, "db");
    struct wr_fs fs = *wr_fs_posix();
    struct wr_err e = {0};

    (void)state;
    fs.open = real_open;
    fs.rename_new = watched_rename_new;
    for (int overwrite = 0; overwrite < 2; overwrite++) {
        struct wr_place *p = NULL;

        turns.dir = dir;
        turns.renames = turns.busy = 0;
        T_OK(wr_place_open(&fs, path, overwrite ? WR_PLACE_OVERWRITE : 0, &p, &e));
        if (overwrite)
            t_spew(t_path(dir, "db-wal"), "w", 1);
        T_IS(WR_OK, lock_of_dir()); /* only then */
        T_OK(wr_place_commit(p, NULL, &e));
        wr_place_close(p);
        T(turns.renames >= 1 + overwrite && turns.busy == turns.renames);
        T_IS(WR_OK, lock_of_dir());
        T(t_names_in(dir) == 1);
    }
}

static enum wr_status place_body(void *arg)
{
    const char *path = arg;
    struct wr_place *p = NULL;
    struct wr_file *spool = NULL;
    struct wr_err e = {0};
    enum wr_status st = wr_place_open(wr_fs_posix(), path, WR_PLACE_OVERWRITE, &p, &e);

    if (st == WR_OK)
        st = wr_place_spool(p, &spool, &e);
    if (st == WR_OK)
        st = wr_place_commit(p, NULL, &e);
    wr_place_close(p);
    return st;
}

static void test_nomem(void **state)
{
    const char *dir = t_tmpdir();
    char path[512];

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/db", dir);
    t_spew(path, "old", 3);
    t_spew(t_path(dir, "db-wal"), "w", 1);
    t_sweep_nomem(place_body, path);
    T(t_names_in(dir) == 1);
}

T_MAIN(T_TEST(test_new_database), T_TEST(test_abandoned), T_TEST(test_refusals),
    T_TEST(test_empty_file_is_no_database), T_TEST(test_appeared_meanwhile),
    T_TEST(test_what_was_written_to_an_empty_file_was_removed), T_TEST(test_replace),
    T_TEST(test_owner_is_kept), T_TEST(test_a_new_database_was_roots_in_another_users_directory),
    T_TEST(test_a_directory_that_was_made_was_roots), T_TEST(test_a_lost_owner_was_not_told),
    T_TEST(test_a_read_only_database_could_not_be_replaced_after_its_check),
    T_TEST(test_mode_is_kept_when_an_earlier_draft_is_gone_on_with),
    T_TEST(test_a_sealed_file_is_not_exchanged), T_TEST(test_a_link_to_a_database_was_replaced),
    T_TEST(test_a_link_that_leads_nowhere_was_removed),
    T_TEST(test_a_file_that_another_restore_took_is_given_up),
    T_TEST(test_a_small_file_was_swept_during_its_check),
    T_TEST(test_a_small_leftover_is_not_gone_on_with),
    T_TEST(test_a_map_that_came_after_the_listing_protects_its_file),
    T_TEST(test_a_second_name_of_a_live_database_is_not_opened), T_TEST(test_leftovers),
    T_TEST(test_a_long_name_left_no_room_for_those_beside_it),
    T_TEST(test_a_name_without_room_for_a_wal_is_refused_at_once),
    T_TEST(test_the_old_wal_was_laid_beside_somebody_elses_database),
    T_TEST(test_a_database_that_another_restore_set_aside_meanwhile_was_removed),
    T_TEST(test_two_restores_changed_names_at_once),
    T_TEST(test_the_mode_of_somebody_elses_empty_file_was_taken), T_TEST(test_nomem))
