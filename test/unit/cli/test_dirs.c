/*
 * Directories of databases: which files are taken for databases, what each entry says, and that
 * none is opened that this process has a lock on.
 */
#include "base/mem.h"
#include "daemon/config.h"
#include "daemon/dirs.h"
#include "daemon/doc.h"
#include "harness/t.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[512], file[1024]; /* a directory of its own for each test; its configuration */

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(top, sizeof(top), "%s", t_tmpdir());
    (void)snprintf(file, sizeof(file), "%s", t_path(t_tmpdir(), "c.yml"));
    return 0;
}

static const char *at(const char *name)
{
    return t_path(top, name);
}

static void make_dir(const char *name)
{
    T(mkdir(at(name), 0755) == 0);
}

/* A file that begins as a database does; more is not looked at. */
static void make_db(const char *name)
{
    t_spew(at(name), "SQLite format 3\0rest", 20);
}

static enum wr_status load(
    struct wr_arena *a, const char *text, struct wr_config **ret, struct wr_err *e)
{
    char full[4096], *out = full;

    for (; *text; text++) { /* @ is the directory */
        int n = snprintf(out, (size_t)(full + sizeof(full) - out), "%.*s", *text == '@' ? 500 : 1,
            *text == '@' ? top : text);

        out += n;
        T(n > 0 && out < full + sizeof(full));
    }
    t_spew(file, full, (size_t)(out - full));
    return wr_config_load(a, file, true, ret, e);
}

static struct wr_config *good(const char *text)
{
    struct wr_config *c = NULL;
    struct wr_err e = {0};

    T_OK(load(t_call()->scratch, text, &c, &e));
    return c;
}

static void bad(const char *text, const char *want)
{
    struct wr_config *c = NULL;
    struct wr_err e = {0};

    T_IS(WR_MISUSE, load(t_call()->scratch, text, &c, &e));
    if (!strstr(e.text, want))
        fail_msg("\"%s\" is not in \"%s\"", want, e.text);
}

/* One directory: `more` are its other keys. */
static struct wr_config *one_dir(const char *more)
{
    char text[1000];

    (void)snprintf(text, sizeof(text), "dbs: [{dir: '@/d', replica: {url: 's3://b/t'}, %s}]", more);
    return good(text);
}

static bool scan_open; /* headers are read by another process */

static struct wr_dirs_found scan(const struct wr_config *c, wr_dirs_known_fn *known, void *arg)
{
    struct wr_dirs_found found = {0};
    struct wr_err e = {0};

    T_OK(wr_dirs_scan(t_call()->scratch, &c->dirs[0], scan_open, known, arg, &found, &e));
    return found;
}

/* `want` are relative paths, in order, with a space behind each. */
static void expect_found(const struct wr_dirs_found *f, const char *want)
{
    char got[4096] = "";
    size_t n = strlen(at("d")) + 1;

    for (size_t i = 0; i < f->n; i++)
        (void)snprintf(
            got + strlen(got), sizeof(got) - strlen(got), "%s ", f->items[i].db.path + n);
    assert_string_equal(got, want);
}

static void expect_refused(const struct wr_dirs_found *f, const char *path, const char *why)
{
    T(f->nrefused == 1);
    assert_string_equal(f->refused[0].path, at(path));
    if (!strstr(f->refused[0].why, why))
        fail_msg("\"%s\" is not in \"%s\"", why, f->refused[0].why);
}

static const char *setting(const char *const *kv, const char *key)
{
    for (; kv[0]; kv += 2)
        if (strcmp(kv[0], key) == 0)
            return kv[1];
    return NULL;
}

static void test_what_is_a_database(void **state)
{
    struct wr_dirs_found f;

    (void)state;
    make_dir("d");
    make_dir("d/sub.db");
    make_db("d/b.db");
    make_db("d/a.db");
    make_db("d/.hidden.db");
    make_db("d/other.sqlite");
    make_db("d/sub.db/c.db");
    t_spew(at("d/empty.db"), "", 0);
    t_spew(at("d/short.db"), "SQLite format 3", 15);
    t_spew(at("d/text.db"), "SQLite format 4\0rest", 20);
    T(mkfifo(at("d/pipe.db"), 0600) == 0); /* opened, it would wait for ever */
    f = scan(one_dir("pattern: '*.db'"), NULL, NULL);
    expect_found(&f, ".hidden.db a.db b.db ");
    T(f.nrefused == 0);
    f = scan(one_dir("pattern: '*.db', recursive: true"), NULL, NULL);
    expect_found(&f, ".hidden.db a.db b.db sub.db/c.db ");
}

/* They may have the header, and must never be replicated. */
static void test_what_lies_beside_a_database(void **state)
{
    static const char *const beside[] = {"d/a.db-wal", "d/a.db-shm", "d/a.db-journal",
        "d/a.db-txid", "d/a.db.tmp-0123456789abcdef", "d/a.db.old-0123456789abcdef"};
    static const char *const own[] = {"d/a.tmp-1", "d/a.old-0123456789abcdeg", "d/wal", "d/x.db"};
    struct wr_dirs_found f;

    (void)state;
    make_dir("d");
    make_dir("d/.x.db-weir");
    make_dir("d/.x.db-litestream");
    make_dir("d/y-weir");
    make_db("d/.x.db-weir/ledger");
    make_db("d/.x.db-litestream/1");
    make_db("d/y-weir/1");
    for (size_t i = 0; i < wr_countof(beside); i++)
        make_db(beside[i]);
    for (size_t i = 0; i < wr_countof(own); i++)
        make_db(own[i]);
    f = scan(one_dir("pattern: '*', recursive: true"), NULL, NULL);
    expect_found(&f, "a.old-0123456789abcdeg a.tmp-1 wal x.db y-weir/1 ");
    T(f.nrefused == 0);
}

static void test_patterns(void **state)
{
    static const char all[] = "a.db ab.db b*.db b.db ";
    static const struct {
        const char *pattern, *want;
    } cases[] = {
        {"*", all},
        {"?.db", "a.db b.db "},
        {"[ab].db", "a.db b.db "},
        {"[^a]*.db", "b*.db b.db "},
        {"[a-a]*", "a.db ab.db "},
        {"b\\\\*.db", "b*.db "},
        {"a.db", "a.db "},
        {"A.db", ""},
    };
    char text[100];

    (void)state;
    make_dir("d");
    make_db("d/a.db");
    make_db("d/b.db");
    make_db("d/ab.db");
    make_db("d/b*.db");
    for (size_t i = 0; i < wr_countof(cases); i++) {
        struct wr_dirs_found f;

        (void)snprintf(text, sizeof(text), "pattern: \"%s\"", cases[i].pattern);
        f = scan(one_dir(text), NULL, NULL);
        expect_found(&f, cases[i].want);
    }
}

static void test_links(void **state)
{
    struct wr_config *c = NULL;
    struct wr_dirs_found f;

    (void)state;
    make_dir("real");
    make_dir("real/sub");
    make_dir("else");
    make_db("real/a.db");
    make_db("else/b.db");
    T(symlink("real", at("d")) == 0); /* the directory itself may be a link */
    T(symlink("sub", at("d/link")) == 0 && symlink("..", at("d/up")) == 0);
    make_db("d/sub/c.db");
    c = one_dir("pattern: '*.db', recursive: true");
    f = scan(c, NULL, NULL);
    expect_found(&f, "a.db sub/c.db ");
    T(symlink("../else/b.db", at("d/b.db")) == 0 && symlink("nowhere", at("d/n.db")) == 0);
    f = scan(c, NULL, NULL);
    expect_found(&f, "a.db b.db sub/c.db ");
    T(f.nrefused == 0);
    T(symlink("a.db", at("d/z.db")) == 0);
    f = scan(c, NULL, NULL);
    expect_found(&f, "a.db b.db sub/c.db ");
    expect_refused(&f, "d/z.db", "it is the same file as ");
    T(unlink(at("d/z.db")) == 0 && link(at("d/sub/c.db"), at("d/0.db")) == 0);
    f = scan(c, NULL, NULL);
    expect_found(&f, "0.db a.db b.db ");
    expect_refused(&f, "d/sub/c.db", "it is the same file as ");
}

/* One database that this process has. */
struct known {
    const char *path;
    uint64_t dev, ino;
};

static const char *known(void *arg, const char *path, uint64_t dev, uint64_t ino)
{
    const struct known *k = arg;

    return strcmp(path, k->path) == 0 || (dev == k->dev && ino == k->ino) ? k->path : NULL;
}

static int lock(const char *path)
{
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    int fd = open(path, O_RDWR);

    T(fd >= 0 && fcntl(fd, F_SETLK, &l) == 0 && t_locked_for_others(path));
    return fd;
}

/* Opening and closing a file drops the locks of this process, and another one may then restart the
 * WAL under a database that is being replicated. */
static void test_locks_stay(void **state)
{
    struct wr_config *c;
    struct wr_dirs_found f;
    struct known k = {.path = NULL};
    struct stat s;
    int fd;

    (void)state;
    make_dir("d");
    make_db("d/a.db");
    make_db("d/b.db");
    c = one_dir("pattern: '*.db'");
    T(stat(at("d/a.db"), &s) == 0);
    k = (struct known){.path = at("d/a.db"), .dev = s.st_dev, .ino = s.st_ino};
    fd = lock(k.path);
    scan_open = true;
    f = scan(c, known, &k);
    expect_found(&f, "a.db b.db ");
    T(f.items[0].ino == s.st_ino && f.items[0].dev == s.st_dev);
    T(t_locked_for_others(k.path));

    T(rename(k.path, at("d/c.db")) == 0); /* while it is replicated as a.db */
    f = scan(c, known, &k);
    expect_found(&f, "b.db ");
    expect_refused(&f, "d/c.db", "it is the same file as ");
    T(t_locked_for_others(at("d/c.db")));

    make_db("d/0.db");
    T(rename(at("d/c.db"), k.path) == 0 && link(k.path, at("d/1.db")) == 0);
    f = scan(c, known, &k); /* the known name stays, though another one is first */
    expect_found(&f, "0.db a.db b.db ");
    expect_refused(&f, "d/1.db", "it is the same file as ");
    T(t_locked_for_others(k.path));

    f = scan(c, NULL, NULL); /* under a name that nobody knows */
    expect_found(&f, "0.db 1.db b.db ");
    T(t_locked_for_others(k.path));
    scan_open = false;
    f = scan(c, NULL, NULL); /* the test can tell */
    T(!t_locked_for_others(k.path));
    T(close(fd) == 0);
}

/* A known database is one by its path, though a reader might find no header in it now. */
static void test_known_is_not_read(void **state)
{
    struct wr_dirs_found f;
    struct known k = {.path = NULL};

    (void)state;
    make_dir("d");
    t_spew(at("d/a.db"), "", 0);
    k.path = at("d/a.db");
    f = scan(one_dir("pattern: '*.db'"), known, &k);
    expect_found(&f, "a.db ");
}

static void test_entries(void **state)
{
    static const char text[] = "region: r\n"
                               "dbs:\n"
                               "- dir: '@/d'\n"
                               "  pattern: '*.db'\n"
                               "  recursive: true\n"
                               "  min-checkpoint-page-count: 7\n"
                               "%s\n"
                               "  snapshot: {retention: 48h}\n"
                               "  replicas:\n"
                               "  - {url: 's3://b/t/?storage-class=X', sync-interval: 2s}\n"
                               "  - {path: '/r'}\n"
                               "  - {type: s3, bucket: c}\n";
    const struct wr_config_db *db;
    struct wr_dirs_found f;
    char full[1000];

    (void)state;
    make_dir("d");
    make_dir("d/a");
    make_db("d/a/x 1.db");
    (void)snprintf(full, sizeof(full), text, "");
    f = scan(good(full), NULL, NULL);
    expect_found(&f, "a/x 1.db ");
    db = &f.items[0].db;
    T(db->nreplicas == 3 && !db->restore_if_missing);
    assert_string_equal(db->path, at("d/a/x 1.db"));
    assert_string_equal(db->replicas[0].url, "s3://b/t/a/x%201.db?storage-class=X");
    assert_string_equal(db->replicas[1].url, "file:///r/a/x 1.db");
    assert_string_equal(db->replicas[2].url, "s3://c/a/x%201.db");
    assert_string_equal(db->replicas[0].type, "s3");
    assert_string_equal(setting(db->replicas[0].settings, "sync-interval"), "2s");
    assert_string_equal(setting(db->replicas[2].settings, "region"), "r");
    assert_string_equal(setting(db->settings, "min-checkpoint-page-count"), "7");
    assert_string_equal(setting(db->settings, "snapshot.retention"), "48h");
    T(!setting(db->settings, "meta-path"));

    (void)snprintf(full, sizeof(full), text, "  meta-path: /m/./\n");
    f = scan(good(full), NULL, NULL);
    db = &f.items[0].db;
    assert_string_equal(setting(db->settings, "meta-path"), "/m/a/.x 1.db-weir");
    assert_string_equal(setting(db->settings, "snapshot.retention"), "48h");
    (void)snprintf(full, sizeof(full), text, "  meta-dir: /m\n");
    f = scan(good(full), NULL, NULL);
    assert_string_equal(setting(f.items[0].db.settings, "meta-path"), "/m/a/x 1.db-weir");
}

/* As the original joins the two: all is cleaned, and a slash in front stays. */
static void test_below_a_path_beside_a_bucket(void **state)
{
    static const struct {
        const char *replica, *base, *url;
    } cases[] = {
        {"type: s3, bucket: c", "s3://c/", "s3://c/x.db"},
        {"type: s3, bucket: c, path: t/x/", "s3://c/t/x", "s3://c/t/x/x.db"},
        {"type: s3, bucket: c, path: /t/x/", "s3://c/%2Ft/x", "s3://c/%2Ft/x/x.db"},
        {"type: s3, bucket: c, path: /", "s3://c/%2F", "s3://c/%2Fx.db"},
        {"type: s3, bucket: c, path: ./t//x", "s3://c/t/x", "s3://c/t/x/x.db"},
        {"type: s3, bucket: c, path: ../t", "s3://c/..%2Ft", "s3://c/..%2Ft%2Fx.db"},
        {"type: s3, bucket: c, path: 'a b%'", "s3://c/a%20b%25", "s3://c/a%20b%25/x.db"},
        {"path: '/r//s'", "file:///r/s", "file:///r/s/x.db"},
        {"url: 's3://c/t//x/?region=r'", "s3://c/t//x/?region=r", "s3://c/t/x/x.db?region=r"},
        {"url: 's3://c'", "s3://c", "s3://c/x.db"},
        {"url: 'sftp://h:22/t/'", "sftp://h:22/t/", "sftp://h:22/t/x.db"},
        {"url: 's3://arn:aws:s3:r:1:accesspoint/p/t'", "s3://arn:aws:s3:r:1:accesspoint/p/t",
            "s3://arn:aws:s3:r:1:accesspoint/p/t/x.db"},
    };

    (void)state;
    make_dir("d");
    make_db("d/x.db");
    for (size_t i = 0; i < wr_countof(cases); i++) {
        char text[300];
        const struct wr_config *c;
        struct wr_dirs_found f;

        (void)snprintf(text, sizeof(text), "dbs: [{dir: '@/d', pattern: '*.db', replica: {%s}}]",
            cases[i].replica);
        c = good(text);
        assert_string_equal(
            c->dirs[0].each.replicas[0].url, cases[i].base); /* restore -all lists it */
        f = scan(c, NULL, NULL);
        T(f.n == 1);
        assert_string_equal(f.items[0].db.replicas[0].url, cases[i].url);
    }
}

static void test_names_that_do_not_fit(void **state)
{
    struct wr_dirs_found f;

    (void)state;
    make_dir("d");
    make_db("d/a?b.db");
    make_db("d/b#%.db");
    f = scan(good("dbs: [{dir: '@/d', pattern: 'a*', replica: {path: '/r'}}]"), NULL, NULL);
    T(f.n == 0);
    expect_refused(&f, "d/a?b.db", "has no file:// URL, rename it");
    f = scan(good("dbs: [{dir: '@/d', pattern: 'b*', replica: {path: '/r#'}}]"), NULL, NULL);
    T(f.n == 1 && f.nrefused == 0);
    assert_string_equal(f.items[0].db.replicas[0].url, "file:///r#/b#%.db");
    f = scan(one_dir("pattern: '*.db'"), NULL, NULL); /* elsewhere there are escapes */
    T(f.n == 2 && f.nrefused == 0);
    assert_string_equal(f.items[0].db.replicas[0].url, "s3://b/t/a%3Fb.db");
    assert_string_equal(f.items[1].db.replicas[0].url, "s3://b/t/b%23%25.db");
}

static void test_depth(void **state)
{
    struct wr_dirs_found f;
    char path[600] = "d";

    (void)state;
    make_dir(path);
    for (int i = 0; i < 66; i++) {
        (void)snprintf(path + strlen(path), sizeof(path) - strlen(path), "/s");
        make_dir(path);
        if (i == 63 || i == 64) {
            size_t n = strlen(path);

            (void)snprintf(path + n, sizeof(path) - n, "/x.db");
            make_db(path);
            path[n] = '\0';
        }
    }
    f = scan(one_dir("pattern: '*.db', recursive: true"), NULL, NULL);
    T(f.n == 1 && f.nrefused == 1);
    assert_string_equal(f.refused[0].why, "its directories are too deep");
    T(strlen(f.refused[0].path) == strlen(at("d")) + (size_t)65 * 2);
}

static void test_no_directory(void **state)
{
    struct wr_dirs_found found;
    struct wr_err e = {0};
    char want[1100];

    (void)state;
    T_IS(WR_NOTFOUND, wr_dirs_scan(t_call()->scratch, &one_dir("pattern: '*'")->dirs[0], false,
                          NULL, NULL, &found, &e));
    (void)snprintf(want, sizeof(want), "failed to scan directory %s: ", at("d"));
    T(strncmp(e.text, want, strlen(want)) == 0 && strstr(e.text, "No such file"));
}

static enum wr_status expand(struct wr_config *c, bool lenient, struct wr_err *e)
{
    return wr_dirs_expand(
        t_call()->scratch, c, scan_open, lenient ? WR_DIRS_LENIENT : WR_DIRS_STRICT, NULL, e);
}

static void expand_fails(const char *text, const char *want)
{
    struct wr_config *c = good(text);
    struct wr_err e = {0};

    T_IS(WR_MISUSE, expand(c, false, &e));
    if (!strstr(e.text, want))
        fail_msg("\"%s\" is not in \"%s\"", want, e.text);
}

static void test_expand(void **state)
{
    struct wr_err e = {0};
    struct wr_config *c;

    (void)state;
    make_dir("d");
    make_dir("e");
    make_db("d/a.db");
    make_db("d/b.db");
    make_db("e/c.db");
    T(link(at("d/a.db"), at("e/z.db")) == 0);
    c = good("zzz: 1\n"
             "dbs:\n"
             "- {dir: '@/d', pattern: '*.db', replica: {url: 's3://b/d'}}\n"
             "- {path: '@/d/a.db', replica: {url: 's3://b/own'}}\n"
             "- {path: '@/missing.db', replica: {url: 's3://b/missing'}}\n"
             "- {dir: '@/e', pattern: '*.db', replica: {url: 's3://b/e'}}\n");
    T(c->ndbs == 2 && c->ndirs == 2);
    T_OK(expand(c, false, &e));
    T(c->ndbs == 4);
    assert_string_equal(c->dbs[0].path, at("d/a.db")); /* has an entry of its own */
    assert_string_equal(c->dbs[0].replicas[0].url, "s3://b/own");
    assert_string_equal(c->dbs[1].path, at("missing.db"));
    assert_string_equal(c->dbs[2].path, at("d/b.db"));
    assert_string_equal(c->dbs[3].replicas[0].url, "s3://b/e/c.db");
    T(strstr(c->warnings->text, "unknown key") && !c->warnings->next->next);
    T(strstr(c->warnings->next->text, "/e/z.db is not replicated: it is the same file as "));
}

/* Who has begun keeps what he has: a clash refuses the new one, and no other. */
static void test_expand_sifted(void **state)
{
    static const char text[] = "dbs:\n"
                               "- {path: '@/own.db', replica: {url: 's3://b/d/own.db'}}\n"
                               "- {dir: '@/d', pattern: '*.db', replica: {url: 's3://b/d'}}\n"
                               "- {dir: '@/e', pattern: '*.db', meta-dir: '@/m', replica: {url: "
                               "'s3://b/e'}}\n"
                               "- {dir: '@/f', pattern: '*.db', meta-dir: '@/m', replica: {url: "
                               "'s3://b/f'}}\n"
                               "- {dir: '@/g', pattern: '*.db', replica: {url: 's3://b/e'}}\n";
    struct wr_dirs_seen seen = {0};
    struct wr_err e = {0};
    struct wr_config *c;
    size_t told = 0;

    (void)state;
    make_dir("d");
    make_dir("e");
    make_dir("f");
    make_dir("g");
    make_dir("h");
    make_db("own.db");
    make_db("d/own.db"); /* the replica of another entry */
    make_db("d/fine.db");
    make_db("e/x.db");
    make_db("f/x.db"); /* local state of e/x.db */
    make_db("g/x.db"); /* the replica of e/x.db */
    make_db("g/y.db");
    expand_fails(text, "would have the same replica");
    c = good(text);
    T_OK(wr_dirs_expand(t_call()->scratch, c, scan_open, WR_DIRS_SIFTED, &seen, &e));
    T(c->ndbs == 4 && seen.nrefused == 3);
    assert_string_equal(c->dbs[0].path, at("own.db"));
    assert_string_equal(c->dbs[1].path, at("d/fine.db"));
    assert_string_equal(c->dbs[2].path, at("e/x.db"));
    assert_string_equal(c->dbs[3].path, at("g/y.db"));
    assert_string_equal(seen.refused[0].path, at("d/own.db"));
    T(strstr(seen.refused[0].why, "own.db would have the same replica"));
    assert_string_equal(seen.refused[1].path, at("f/x.db"));
    T(strstr(seen.refused[1].why, "meta-path collision"));
    assert_string_equal(seen.refused[2].path, at("g/x.db"));
    for (const struct wr_warning *w = c->warnings; w; w = w->next)
        told += strstr(w->text, ".db is not replicated: ") != NULL;
    T(told == 3 && !seen.refused[0].twin);

    /* None of its own: no error for who has begun, and one that is gone is none to tell of. */
    c = good("dbs: [{dir: '@/h', pattern: '*.db', replica: {url: 's3://b/h'}}]\n");
    T_OK(wr_dirs_expand(t_call()->scratch, c, scan_open, WR_DIRS_SIFTED, &seen, &e));
    T(c->ndbs == 0 && seen.nrefused == 0);
    T(rmdir(at("h")) == 0);
    T_OK(wr_dirs_expand(t_call()->scratch, c, scan_open, WR_DIRS_SIFTED, &seen, &e));
    T(seen.nrefused == 0);
    t_spew(at("h"), "x", 1); /* but one that cannot be looked into hides some */
    T_OK(wr_dirs_expand(t_call()->scratch, c, scan_open, WR_DIRS_SIFTED, &seen, &e));
    T(seen.nrefused == 1 && strcmp(seen.refused[0].path, at("h")) == 0);
}

static void test_expand_without_databases(void **state)
{
    struct wr_err e = {0};
    struct wr_config *c;

    (void)state;
    make_dir("d");
    expand_fails("dbs: [{dir: '@/d', pattern: '*.db', replica: {path: '/r'}}]",
        "no SQLite databases found in directory ");
    c = one_dir("pattern: '*.db'");
    T_OK(expand(c, true, &e));
    T(c->ndbs == 0 && strstr(c->warnings->text, "/d with pattern *.db"));
    c = one_dir("pattern: '*.db', watch: true");
    T_OK(expand(c, false, &e));
    T(c->ndbs == 0);
    c = good("dbs: [{dir: '@/none', pattern: '*.db', watch: true, replica: {path: '/r'}}]");
    T_IS(WR_NOTFOUND, expand(c, false, &e));
    T_OK(expand(c, true, &e));
    c = good("");
    T_OK(expand(c, false, &e));
    T(c->ndbs == 0 && !c->warnings);
}

static void test_collisions(void **state)
{
    (void)state;
    make_dir("d");
    make_dir("d/s");
    make_dir("e");
    make_db("d/s/a.db");
    make_db("e/a.db");
    T(symlink("d", at("l")) == 0);
    expand_fails("dbs:\n"
                 "- {dir: '@/d', pattern: '*', recursive: true, replica: {url: 's3://b/1'}}\n"
                 "- {dir: '@/d/s', pattern: '*', replica: {url: 's3://b/2'}}\n",
        "/d/s/a.db is in two directories of the configuration");
    expand_fails("dbs:\n"
                 "- {dir: '@/d', pattern: '*', recursive: true, replica: {url: 's3://b/1'}}\n"
                 "- {dir: '@/l', pattern: '*', recursive: true, replica: {url: 's3://b/2'}}\n",
        " are one file: the directories of the configuration overlap");
    expand_fails("dbs:\n"
                 "- {dir: '@/d/s', pattern: '*', replica: {url: 's3://b/1'}}\n"
                 "- {dir: '@/e', pattern: '*', replica: {url: 's3://b/1//?region=x'}}\n",
        "/e/a.db would have the same replica, and destroy each other's backup");
    expand_fails("dbs:\n"
                 "- {dir: '@/d/s', pattern: '*', meta-path: /m, replica: {url: 's3://b/1'}}\n"
                 "- {dir: '@/e', pattern: '*', meta-path: /m/, replica: {url: 's3://b/2'}}\n",
        "/e/a.db would share meta-path /m/.a.db-weir, causing replication state corruption");
    expand_fails("dbs:\n"
                 "- {dir: '@/e', pattern: '*', replica: {url: 's3://b/1'}}\n"
                 "- {path: /x.db, meta-path: '@/e/.a.db-weir', replica: {url: 's3://b/2'}}\n",
        " and /x.db would share meta-path ");
}

/* To bring back what is gone: the directory need not be there. */
static void test_find(void **state)
{
    const struct wr_config_db *db = NULL;
    struct wr_arena *a = t_call()->scratch;
    struct wr_err e = {0};
    struct wr_config *c = good("dbs:\n"
                               "- {dir: /none, pattern: '*.db', replica: {url: 's3://b/1'}}\n"
                               "- {dir: /none, pattern: '*.x', recursive: true,\n"
                               "   replica: {url: 's3://b/2'}}\n"
                               "- {dir: /, pattern: 'root', replica: {url: 's3://b/3'}}\n"
                               "- {path: /none/own.db, replica: {url: 's3://b/4'}}\n");

    (void)state;
    T_OK(wr_config_find(a, c, "/none/../none/a.db", &db, &e));
    assert_string_equal(db->path, "/none/a.db");
    assert_string_equal(db->replicas[0].url, "s3://b/1/a.db");
    T_OK(wr_config_find(a, c, "sqlite:///none/s/t/a.x", &db, &e));
    assert_string_equal(db->replicas[0].url, "s3://b/2/s/t/a.x");
    T_OK(wr_config_find(a, c, "/root", &db, &e));
    assert_string_equal(db->path, "/root");
    assert_string_equal(db->replicas[0].url, "s3://b/3/root");
    T_OK(wr_config_find(a, c, "/none/own.db", &db, &e));
    assert_string_equal(db->replicas[0].url, "s3://b/4");
    T_IS(WR_MISUSE, wr_config_find(a, c, "/none/s/a.db", &db, &e));
    T_IS(WR_MISUSE, wr_config_find(a, c, "/none/a.db-wal", &db, &e));
    T_IS(WR_MISUSE, wr_config_find(a, c, "/nonesuch/a.db", &db, &e));
    T_IS(WR_MISUSE, wr_config_find(a, c, "/none", &db, &e));
    assert_string_equal(e.text, "database not found in config: /none");
}

static void test_bad_keys(void **state)
{
    static const char r[] = "replica: {url: 's3://b/1'}";
    static const struct {
        const char *entry, *want;
    } cases[] = {
        {"path: /a, dir: /d", "1:7: database config #1: cannot specify both 'path' and 'dir'"},
        {"dir: /d", "1:7: database config #1: 'pattern' is required when using 'dir'"},
        {"path: /a, watch: true",
            "1:7: database config #1: 'watch' can only be enabled with a directory"},
        {"path: /a, meta-dir: /m",
            "1:7: database config #1: 'meta-dir' can only be used with a directory"},
        {"dir: /d, pattern: x, meta-dir: /m, meta-path: /m",
            "1:7: database config #1: cannot specify both 'meta-path' and 'meta-dir'"},
        {"dir: /d, pattern: x, source: 'http://p/x'",
            "1:7: database config #1: 'source' is of one database, and not of a directory"},
        {"dir: /d, pattern: x, recursive: 2",
            "1:40: dbs[0].recursive must be true or false (got 2)"},
        {"dir: /d, pattern: 'a/*'", "1:26: pattern \"a/*\" is of the file name only"},
        {"dir: /d, pattern: '[a'", "1:26: pattern \"[a\" has a [ without ]"},
        {"dir: /d, pattern: '[]a'", "1:26: pattern \"[]a\" has an empty [] in it"},
        {"dir: /d, pattern: 'a\\'", "1:26: pattern \"a\\\" ends with a backslash"},
        {"path: '/d/*.db'",
            "1:14: path is one file and no pattern: for several write dir: /d and pattern: "
            "\"*.db\""},
    };
    char text[500];
    struct wr_config *c;

    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++) {
        (void)snprintf(text, sizeof(text), "dbs: [{%s, %s}]", cases[i].entry, r);
        bad(text, cases[i].want);
    }
    bad("dbs: [{dir: /d, pattern: x, replica: {url: 'nats://h/b'}}]",
        "a directory cannot go to NATS");
    c = good("dbs: [{path: /a, watch: false, pattern: x, recursive: no, replica: {path: /r}}]");
    T(strstr(c->warnings->text, "1:41: \"pattern\" has no effect without \"dir\""));
    T(strstr(c->warnings->next->text, "\"recursive\" has no effect without \"dir\""));
}

/* What a glob of a shell might mean, and this one does not. */
static void test_pattern_warning(void **state)
{
    (void)state;
    T(strstr(one_dir("pattern: '*.{db,sqlite}'")->warnings->text, "{ stands for itself"));
    T(strstr(one_dir("pattern: '**.db'")->warnings->text, "** is the same as *"));
    T(strstr(one_dir("pattern: '*.db', restore-if-db-not-exists: true")->warnings->text,
        "\"restore-if-db-not-exists\" has no effect for a directory"));
    T(!one_dir("pattern: '*.db', restore-if-db-not-exists: false")->warnings);
}

static enum wr_status sweep(void *arg)
{
    struct wr_config *c = NULL;
    struct wr_arena a;
    enum wr_status st;

    (void)arg;
    wr_arena_init(&a, WR_ARENA_MAX);
    st = wr_config_load(&a, file, true, &c, NULL);
    if (st == WR_OK)
        st = wr_dirs_expand(&a, c, false, WR_DIRS_STRICT, NULL, NULL);
    if (st == WR_OK)
        T(c->ndbs == 3 && c->warnings);
    wr_arena_release(&a);
    return st;
}

/* By another process, as by this one. */
static void test_headers_of_many(void **state)
{
    struct wr_config *c;
    struct wr_dirs_found f;
    char name[32];

    (void)state;
    make_dir("d");
    make_dir("d/sub");
    for (int i = 0; i < 1100; i++) {
        (void)snprintf(name, sizeof(name), "d/%04d.db", i);
        if (i % 2)
            make_db(name);
        else
            t_spew(at(name), "SQLite format 2", (size_t)(i % 3 ? 16 : 5));
    }
    T(mkfifo(at("d/fifo.db"), 0600) == 0);
    c = one_dir("pattern: '*.db', recursive: true");
    for (int open = 0; open < 2; open++) {
        scan_open = open;
        f = scan(c, NULL, NULL);
        T(f.n == 550 && f.nheadless == 550 && f.nrefused == 0);
        T(f.ndirs == 2);
        for (size_t i = 0; i < f.n; i++)
            T(strstr(f.items[i].db.path, ".db") - f.items[i].db.path > 0);
    }
    scan_open = false;
}

static void test_nomem(void **state)
{
    (void)state;
    make_dir("d");
    make_dir("d/s");
    make_db("d/a.db");
    make_db("d/s/b.db");
    make_db("d/?.db");
    T(link(at("d/a.db"), at("d/l.db")) == 0);
    (void)good("dbs:\n"
               "- {dir: '@/d', pattern: '*.db', recursive: true, meta-path: /m,\n"
               "   replica: {path: '/r'}}\n"
               "- {path: /x.db, replica: {path: '/s'}}\n");
    t_sweep_nomem(sweep, NULL);
}

#define DIR_TEST(f) cmocka_unit_test_setup(f, set_up)
T_MAIN(DIR_TEST(test_what_is_a_database), DIR_TEST(test_what_lies_beside_a_database),
    DIR_TEST(test_patterns), DIR_TEST(test_links), DIR_TEST(test_locks_stay),
    DIR_TEST(test_known_is_not_read), DIR_TEST(test_entries),
    DIR_TEST(test_below_a_path_beside_a_bucket), DIR_TEST(test_names_that_do_not_fit),
    DIR_TEST(test_depth), DIR_TEST(test_no_directory), DIR_TEST(test_expand),
    DIR_TEST(test_expand_sifted), DIR_TEST(test_expand_without_databases),
    DIR_TEST(test_collisions), DIR_TEST(test_find), DIR_TEST(test_bad_keys),
    DIR_TEST(test_pattern_warning), DIR_TEST(test_headers_of_many), DIR_TEST(test_nomem))
