/*
 * check_procs.c - see check_procs.h.
 *
 *   /proc/PID/fd/N     readlink(2) tells the name; where it is that of a database, stat(2) follows
 *                      it to the file and opens nothing. Others are left alone: one on a network
 *                      that hangs would have us hang
 *   /proc/PID/maps     the libraries it runs; below /proc/PID/root, if it has another root than we
 *   /proc/PID/exe      the program, where SQLite may be a part of it
 */
#include "cli/check_procs.h"

#include "base/file.h"
#include "base/mem.h"
#include "cli/check_version.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE    ((size_t)256 << 10)
#define CODE_MAX ((uint64_t)256 << 20) /* bytes of a program or library that are looked through */
#define CODES    64                    /* different ones that are remembered */

struct file_id {
    uint64_t dev, ino;
    size_t db;
};

/* A program or library that was looked through. */
struct code {
    uint64_t dev, ino;
    int version;
};

struct search {
    struct wr_procs *out;
    struct file_id *ids; /* sorted */
    const char **names;  /* of these files, without directories; sorted */
    size_t n;
    uint64_t exe_dev, exe_ino; /* of this program */
    struct code codes[CODES];
    size_t ncodes;
    uint8_t *piece;
};

static int compare_ids(const void *a, const void *b)
{
    const struct file_id *x = a, *y = b;

    if (x->dev != y->dev)
        return x->dev < y->dev ? -1 : 1;
    return x->ino == y->ino ? 0 : x->ino < y->ino ? -1 : 1;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int compare_procs(const void *a, const void *b)
{
    const struct wr_proc *x = a, *y = b;

    if (x->db != y->db)
        return x->db < y->db ? -1 : 1;
    return x->pid == y->pid ? 0 : x->pid < y->pid ? -1 : 1;
}

/* ---- which SQLite ---- */

static int scan_file(struct search *s, int fd)
{
    struct wr_version_scan scan = {0};
    uint64_t off = 0;
    ssize_t got;

    while (off < CODE_MAX && (got = pread(fd, s->piece, PIECE, (off_t)off)) > 0) {
        wr_version_scan(&scan, s->piece, (size_t)got);
        if ((size_t)got < PIECE)
            break;
        off += PIECE - WR_VERSION_OVERLAP;
    }
    return wr_version_found(&scan);
}

/* 0: there is no SQLite in it that can be told. */
static int version_in(struct search *s, const char *path)
{
    struct stat st;
    int version = 0, fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0)
        return 0;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        (void)close(fd);
        return 0;
    }
    for (size_t i = 0; i < s->ncodes; i++)
        if (s->codes[i].dev == (uint64_t)st.st_dev && s->codes[i].ino == (uint64_t)st.st_ino) {
            (void)close(fd);
            return s->codes[i].version;
        }
    version = scan_file(s, fd);
    (void)close(fd); /* opened for reading: nothing to lose */
    if (s->ncodes < CODES)
        s->codes[s->ncodes++] = (struct code){(uint64_t)st.st_dev, (uint64_t)st.st_ino, version};
    return version;
}

/* The file behind a line of maps that is run and has "sqlite" in its name; else NULL. */
static const char *library_of(char *line)
{
    char *path = strchr(line, '/'), *name;

    line[strcspn(line, "\n")] = '\0';
    if (!path || !(name = strrchr(path, '/')) || !strstr(name, "sqlite"))
        return NULL;
    name = strchr(line, ' '); /* in front of "r-xp" */
    return name && name[3] == 'x' ? path : NULL;
}

static int version_of(struct search *s, uint64_t pid)
{
    char path[PATH_MAX + 64], line[PATH_MAX + 128];
    int version = 0;
    FILE *f;

    (void)snprintf(path, sizeof(path), "/proc/%llu/maps", (unsigned long long)pid);
    f = fopen(path, "re");
    while (f && version == 0 && fgets(line, sizeof(line), f)) {
        const char *library = library_of(line);

        if (!library)
            continue;
        (void)snprintf(path, sizeof(path), "/proc/%llu/root%s", (unsigned long long)pid, library);
        version = version_in(s, path);
    }
    if (f)
        (void)fclose(f);
    (void)snprintf(path, sizeof(path), "/proc/%llu/exe", (unsigned long long)pid);
    return version ? version : version_in(s, path);
}

/* ---- who ---- */

static void name_of(uint64_t pid, char *out, size_t n)
{
    char path[64];
    FILE *f;

    (void)snprintf(path, sizeof(path), "/proc/%llu/comm", (unsigned long long)pid);
    (void)snprintf(out, n, "?");
    f = fopen(path, "re");
    if (f && fgets(out, (int)n, f))
        out[strcspn(out, "\n")] = '\0';
    if (f)
        (void)fclose(f);
}

static bool is_ours(const struct search *s, uint64_t pid)
{
    char path[64];
    struct stat st;

    (void)snprintf(path, sizeof(path), "/proc/%llu/exe", (unsigned long long)pid);
    return stat(path, &st) == 0 && (uint64_t)st.st_dev == s->exe_dev &&
           (uint64_t)st.st_ino == s->exe_ino;
}

static bool noted(const struct wr_procs *p, uint64_t pid, size_t db)
{
    for (size_t i = p->n; i-- > 0 && p->list[i].pid == pid;)
        if (p->list[i].db == db)
            return true;
    return false;
}

static void note(struct search *s, uint64_t pid, size_t db)
{
    struct wr_procs *out = s->out;
    struct wr_proc *p;

    if (out->n == WR_PROCS_MAX || noted(out, pid, db))
        return;
    p = &out->list[out->n];
    *p = (struct wr_proc){.db = db, .pid = pid};
    name_of(pid, p->name, sizeof(p->name));
    p->ours = is_ours(s, pid);
    p->version = out->n > 0 && p[-1].pid == pid ? p[-1].version : version_of(s, pid);
    out->n++;
}

static void look_at_file(struct search *s, uint64_t pid, const char *path)
{
    struct file_id want, *found;
    char target[PATH_MAX];
    const char *name;
    struct stat st;
    ssize_t n = readlink(path, target, sizeof(target) - 1);

    if (n <= 0)
        return;
    target[n] = '\0';
    name = strrchr(target, '/');
    name = name ? name + 1 : target;
    if (!bsearch(&name, s->names, s->n, sizeof(*s->names), compare_names))
        return;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return;
    want = (struct file_id){.dev = (uint64_t)st.st_dev, .ino = (uint64_t)st.st_ino};
    found = bsearch(&want, s->ids, s->n, sizeof(*s->ids), compare_ids);
    if (found)
        note(s, pid, found->db);
}

static void look_at_process(struct search *s, uint64_t pid)
{
    char path[PATH_MAX];
    const struct dirent *d;
    DIR *dir;

    (void)snprintf(path, sizeof(path), "/proc/%llu/fd", (unsigned long long)pid);
    dir = opendir(path);
    if (!dir) {
        s->out->unread += errno == EACCES || errno == EPERM;
        return;
    }
    while ((d = readdir(dir)) != NULL) {
        (void)snprintf(
            path, sizeof(path), "/proc/%llu/fd/%.32s", (unsigned long long)pid, d->d_name);
        look_at_file(s, pid, path);
    }
    (void)closedir(dir);
}

static void look_at_all(struct search *s)
{
    const struct dirent *d;
    uint64_t pid;
    DIR *dir = opendir("/proc");

    s->out->unknown = !dir;
    while (dir && (d = readdir(dir)) != NULL)
        if (wr_parse_u64(wr_str(d->d_name), &pid) && pid != (uint64_t)getpid())
            look_at_process(s, pid);
    if (dir)
        (void)closedir(dir);
}

/* One that is not there is open nowhere. */
static void add_db(struct search *s, struct wr_arena *a, const char *path, size_t i)
{
    const struct wr_fs *fs = wr_fs_posix();
    char *real = NULL;
    struct stat st;
    struct wr_str name;

    if (stat(path, &st) != 0 || fs->resolve(fs, path, &real, NULL) != WR_OK)
        return;
    name = wr_arena_str(a, wr_path_base(real));
    wr_free(real);
    if (!name.p)
        return;
    s->names[s->n] = name.p;
    s->ids[s->n++] = (struct file_id){(uint64_t)st.st_dev, (uint64_t)st.st_ino, i};
}

void wr_procs_find(
    struct wr_arena *a, const struct wr_config_db *const *dbs, size_t n, struct wr_procs *ret)
{
    struct search *s = wr_arena_alloc(a, sizeof(*s));
    struct stat exe;

    *ret = (struct wr_procs){.list = wr_arena_array(a, WR_PROCS_MAX, sizeof(*ret->list))};
    if (s) {
        s->out = ret;
        s->ids = wr_arena_array(a, n + 1, sizeof(*s->ids));
        s->names = wr_arena_array(a, n + 1, sizeof(*s->names));
        s->piece = wr_arena_alloc(a, PIECE);
    }
    if (!s || !s->ids || !s->names || !s->piece || !ret->list) {
        ret->unknown = true;
        return;
    }
    for (size_t i = 0; i < n; i++)
        add_db(s, a, dbs[i]->path, i);
    qsort(s->ids, s->n, sizeof(*s->ids), compare_ids);
    qsort(s->names, s->n, sizeof(*s->names), compare_names);
    if (stat("/proc/self/exe", &exe) == 0) {
        s->exe_dev = (uint64_t)exe.st_dev;
        s->exe_ino = (uint64_t)exe.st_ino;
    }
    look_at_all(s);
    qsort(ret->list, ret->n, sizeof(*ret->list), compare_procs);
}
