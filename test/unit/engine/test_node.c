/*
 * test_node.c - the number that tells our own files: when it stays, and when it must not.
 */
#include "engine/node.h"

#include "harness/machine.h"
#include "harness/t.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

static uint64_t node_of(const char *dir, const char *db_path)
{
    struct wr_node node = {0};
    struct wr_err e = {0};

    T_OK(wr_node_keep(t_machine_fs(), dir, db_path, &node, &e));
    T(node.number != 0);
    return node.number;
}

static enum wr_node_was found_in(const char *dir, const char *db_path)
{
    struct wr_node node = {0};
    struct wr_err e = {0};

    T_OK(wr_node_find(t_machine_fs(), dir, db_path, &node, &e));
    T(node.number != 0);
    return node.was;
}

static const char *copied(const char *dir)
{
    const char *to = t_tmpdir();
    struct wr_bytes b = t_slurp(t_path(dir, "node"));

    t_spew(t_path(to, "node"), b.p, b.n);
    return to;
}

static void test_it_stays(void **state)
{
    const char *dir = t_tmpdir();
    uint64_t id;

    (void)state;
    T(found_in(dir, "/srv/a.db") == WR_NODE_NONE && access(t_path(dir, "node"), F_OK) != 0);
    id = node_of(dir, "/srv/a.db");
    T(found_in(dir, "/srv/a.db") == WR_NODE_KEPT);
    for (int i = 0; i < 3; i++)
        T(node_of(dir, "/srv/a.db") == id);
    T(node_of(copied(dir), "/srv/a.db") == id); /* kept elsewhere: meta-path has changed */
}

/* The copy of a directory had the number of the original, whose files were then its own. */
static void test_a_copy_has_a_number_of_its_own(void **state)
{
    const char *dir = t_tmpdir(), *copy;
    uint64_t id = node_of(dir, "/srv/a/app.db"), other;

    (void)state;
    copy = copied(dir);
    T(found_in(copy, "/srv/a/app.db") == WR_NODE_KEPT);
    T(found_in(copy, "/srv/b/app.db") == WR_NODE_ELSEWHERE);
    other = node_of(copy, "/srv/b/app.db");
    T(other != id);
    T(node_of(copy, "/srv/b/app.db") == other);
    T(node_of(dir, "/srv/a/app.db") == id);
}

/* They do not say where they were made. */
static void test_a_file_of_an_older_version_is_taken_over(void **state)
{
    static const char old[] = "00000000000000ab\n";
    const char *dir = t_tmpdir();

    (void)state;
    t_spew(t_path(dir, "node"), old, strlen(old));
    T(node_of(dir, "/srv/a.db") == 0xab);
    T(node_of(copied(dir), "/srv/a.db") == 0xab);
    T(node_of(copied(dir), "/srv/b.db") != 0xab); /* once */
}

/* The place, and no check. */
static void test_a_file_without_a_check_is_taken_over(void **state)
{
    const char *dir = t_tmpdir(), *moved = t_tmpdir();
    char text[34];
    struct wr_bytes b;

    (void)state;
    (void)node_of(dir, "/srv/a.db");
    b = t_slurp(t_path(dir, "node"));
    T(b.n == 51);
    memcpy(text, "00000000000000ab", 16);
    memcpy(text + 16, b.p + 16, 17);
    text[33] = '\n';
    t_spew(t_path(dir, "node"), text, sizeof(text));
    t_spew(t_path(moved, "node"), text, sizeof(text));
    for (int i = 0; i < 2; i++) {
        T(node_of(dir, "/srv/a.db") == 0xab);
        T(t_slurp(t_path(dir, "node")).n == 51);
    }
    T(node_of(moved, "/srv/b.db") != 0xab);
}

/* By one digit, each of which the check is about. */
static void test_another_number_is_not_taken_for_ours(void **state)
{
    const char *dir = t_tmpdir();
    uint64_t id = node_of(dir, "/srv/a.db");
    struct wr_bytes b = t_slurp(t_path(dir, "node"));
    uint8_t text[51];

    (void)state;
    T(b.n == sizeof(text));
    for (size_t i = 17; i < sizeof(text) - 1; i++) {
        if (i == 33)
            continue;
        memcpy(text, b.p, sizeof(text));
        text[i] = text[i] == '0' ? '1' : '0';
        t_spew(t_path(dir, "node"), text, sizeof(text));
        T(node_of(dir, "/srv/a.db") == id);
        T(memcmp(t_slurp(t_path(dir, "node")).p, b.p, b.n) == 0); /* and mended */
    }
}

static void test_a_damaged_file_is_made_anew(void **state)
{
    const char *dir = t_tmpdir();
    struct wr_bytes good;
    uint8_t text[64];
    size_t n;

    (void)state;
    (void)node_of(dir, "/srv/a.db");
    good = t_slurp(t_path(dir, "node"));
    n = good.n;
    T(n < sizeof(text));
    memcpy(text, good.p, n);
    for (size_t cut = 0; cut <= n; cut++) {
        uint64_t id;

        t_spew(t_path(dir, "node"), text, cut);
        T(cut == n || cut == 0 || found_in(dir, "/srv/a.db") == WR_NODE_DAMAGED);
        id = node_of(dir, "/srv/a.db");
        T(node_of(dir, "/srv/a.db") == id);
        T(t_slurp(t_path(dir, "node")).n == n);
    }
    for (size_t i = 0; i < n; i++) {
        uint8_t was = text[i];

        text[i] = 'x';
        t_spew(t_path(dir, "node"), text, n);
        (void)node_of(dir, "/srv/a.db");
        T(memchr(t_slurp(t_path(dir, "node")).p, 'x', n) == NULL);
        text[i] = was;
    }
}

/* And is kept from then on. */
static void test_another_number_is_made_at_will(void **state)
{
    const char *dir = t_tmpdir();
    uint64_t id = node_of(dir, "/srv/a.db"), other = 0;
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_node_renew(t_machine_fs(), dir, "/srv/a.db", &other, &e));
    T(other != 0 && other != id && node_of(dir, "/srv/a.db") == other);
    T(node_of(dir, "/srv/b.db") != other);
    T_IS(WR_NOTFOUND, wr_node_renew(t_machine_fs(), t_path(dir, "none"), "/srv/a.db", &other, &e));
}

static enum wr_status posix_open(const struct wr_fs *fs, const char *path, unsigned flags,
    uint32_t mode, struct wr_file **ret, struct wr_err *e)
{
    (void)fs;
    return wr_file_open(wr_fs_posix(), path, flags, mode, ret, e);
}

static enum wr_status no_sync(const struct wr_fs *fs, const char *path, struct wr_err *e)
{
    (void)fs;
    return wr_fail(e, WR_IO, "%s: no sync", path);
}

/* A power cut took it away from a promoted database, which was told then that another one was. */
static void test_a_number_at_random_is_kept_for_good(void **state)
{
    struct wr_fs fs = *wr_fs_posix();
    const char *dir = t_tmpdir();
    uint64_t id;
    struct wr_err e = {0};

    (void)state;
    fs.open = posix_open;
    fs.sync_dir = no_sync;
    T_IS(WR_IO, wr_node_renew(&fs, dir, "/srv/a.db", &id, &e));
}

/* A full disk at the first start of a version that has a check: the file was cut off before. */
static void test_a_number_was_lost_where_its_file_could_not_be_rewritten(void **state)
{
    const char *dir = t_tmpdir();
    struct rlimit limit, none;
    uint64_t number;
    struct wr_node node;
    struct wr_bytes b;
    char text[34];
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_node_renew(t_machine_fs(), dir, "/srv/a.db", &number, &e));
    b = t_slurp(t_path(dir, "node"));
    memcpy(text, b.p, sizeof(text));
    text[33] = '\n'; /* without a check */
    t_spew(t_path(dir, "node"), text, sizeof(text));
    T(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = limit.rlim_max};
    T(signal(SIGXFSZ, SIG_IGN) != SIG_ERR && setrlimit(RLIMIT_FSIZE, &none) == 0);
    T(wr_node_keep(t_machine_fs(), dir, "/srv/a.db", &node, &e) != WR_OK);
    T(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    T(node_of(dir, "/srv/a.db") == number);
}

static enum wr_status no_more_files(const struct wr_fs *fs, const char *path, unsigned flags,
    uint32_t mode, struct wr_file **ret, struct wr_err *e)
{
    if (flags & WR_FILE_WRITE)
        return posix_open(fs, path, flags, mode, ret, e);
    return wr_fail(e, WR_IO, "open %s: too many open files", path);
}

/* A process at its limit of descriptors took its number for none, and wrote another one over it. */
static void test_a_number_that_could_not_be_read_was_replaced(void **state)
{
    struct wr_fs fs = *wr_fs_posix();
    const char *dir = t_tmpdir();
    struct wr_node node;
    uint64_t number;
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_node_renew(t_machine_fs(), dir, "/srv/a.db", &number, &e));
    fs.open = no_more_files;
    T_IS(WR_IO, wr_node_find(&fs, dir, "/srv/a.db", &node, &e));
    T_IS(WR_IO, wr_node_keep(&fs, dir, "/srv/a.db", &node, &e));
    T(node_of(dir, "/srv/a.db") == number);
}

/* In containers many databases have the same path. */
static void test_a_machine_without_an_id(void **state)
{
    const char *dir = t_tmpdir();
    struct wr_node first, again, other;
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_node_find(t_nameless_fs(), dir, "/srv/a.db", &first, &e));
    T_OK(wr_node_find(t_nameless_fs(), dir, "/srv/a.db", &again, &e));
    T(first.number != again.number && first.was == WR_NODE_NONE);
    T_OK(wr_node_keep(t_nameless_fs(), dir, "/srv/a.db", &first, &e));
    T_OK(wr_node_keep(t_nameless_fs(), dir, "/srv/a.db", &again, &e));
    T(first.number == again.number && again.was == WR_NODE_KEPT);
    T_OK(wr_node_keep(t_nameless_fs(), t_tmpdir(), "/srv/a.db", &other, &e));
    T(other.number != first.number);
    T_OK(wr_node_keep(t_nameless_fs(), copied(dir), "/srv/b.db", &other, &e));
    T(other.number != first.number && other.was == WR_NODE_ELSEWHERE);
}

T_MAIN(T_TEST(test_a_machine_without_an_id),
    T_TEST(test_a_number_that_could_not_be_read_was_replaced),
    T_TEST(test_a_number_at_random_is_kept_for_good),
    T_TEST(test_a_number_was_lost_where_its_file_could_not_be_rewritten),
    T_TEST(test_another_number_is_made_at_will), T_TEST(test_it_stays),
    T_TEST(test_a_copy_has_a_number_of_its_own),
    T_TEST(test_a_file_of_an_older_version_is_taken_over),
    T_TEST(test_a_file_without_a_check_is_taken_over),
    T_TEST(test_another_number_is_not_taken_for_ours), T_TEST(test_a_damaged_file_is_made_anew))
