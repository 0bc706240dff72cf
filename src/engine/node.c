/*
 * node.c - see node.h. The file holds three numbers, each of 16 hex digits, blanks between, a
 * newline behind:
 *
 *   the number
 *   the place    where it was made: a SHA-256 of machine id and path, as the number is where the
 *                machine has an id
 *   the check    a CRC of the other two, machine id and path
 *
 * While the check fits, nothing is hashed: that would be all that a replica in a directory needs
 * libcrypto for, which is 3 MB of memory and two milliseconds of each start. A file of older
 * versions lacks the check, and one of still older ones the place, and is taken over.
 */
#include "engine/node.h"

#include "base/buf.h"
#include "base/bytes.h"
#include "base/crc64.h"
#include "base/crypto.h"

#include <sys/stat.h>

#define MACHINE_ID     "/etc/machine-id"
#define MACHINE_ID_MIN 16u /* bytes; less is an empty file, as images have it */
#define DIGITS         17u /* of one number, with what is behind it */

struct numbers {
    uint64_t number;
    uint64_t place; /* 0: not known */
    uint64_t check;
};

/* What tells a place from others. */
struct where {
    struct wr_buf bytes; /* machine id and path of the database */
    bool has_id;         /* the machine has one */
};

/* 0 bytes of a file that is not there; any other failure is one, for what is made of "there is
 * none" is another number. */
static enum wr_status read_head(
    const struct wr_fs *fs, const char *path, void *to, size_t size, size_t *n, struct wr_err *e)
{
    enum wr_status st;

    *n = 0;
    st = wr_file_head(fs, path, to, size, n, e);
    return st == WR_NOTFOUND ? WR_OK : st;
}

static enum wr_status find_where(
    const struct wr_fs *fs, const char *db_path, struct where *ret, struct wr_err *e)
{
    uint8_t id[64];
    struct wr_file_info info;
    size_t n = 0;
    enum wr_status st = WR_OK;

    /* One that is a directory, as a mount of nothing makes it, or that not everybody may read, is
     * none, today as tomorrow. */
    if (fs->stat(fs, MACHINE_ID, &info, NULL) == WR_OK && !info.is_dir && (info.mode & S_IROTH))
        st = read_head(fs, MACHINE_ID, id, sizeof(id), &n, e);
    wr_buf_init(&ret->bytes, 8192);
    if (st != WR_OK)
        return st;
    ret->has_id = n >= MACHINE_ID_MIN;
    wr_buf_put(&ret->bytes, id, ret->has_id ? n : 0);
    wr_buf_z(&ret->bytes, db_path);
    st = wr_buf_status(&ret->bytes);
    return st == WR_OK ? WR_OK : wr_fail(e, st, "path of the database");
}

static uint64_t check_of(const struct where *here, const struct numbers *node)
{
    uint8_t numbers[16];

    wr_put_be64(numbers, node->number);
    wr_put_be64(numbers + 8, node->place);
    return wr_crc64(wr_crc64(0, numbers, sizeof(numbers)), here->bytes.p, here->bytes.n);
}

/* What is to be kept here, if nothing is yet. */
static enum wr_status make(const struct where *here, struct numbers *ret, struct wr_err *e)
{
    uint8_t sum[WR_SHA256_SIZE];
    enum wr_status st = wr_sha256(wr_buf_bytes(&here->bytes), sum, e);

    if (st != WR_OK)
        return st;
    ret->place = ret->number = wr_be64(sum) | 1;
    if (!here->has_id) {
        st = wr_random(&ret->number, sizeof(ret->number), e);
        ret->number |= 1;
    }
    return st;
}

/* `n` numbers, and nothing else. */
static bool parse(struct wr_str s, size_t n, uint64_t *ret)
{
    if (s.n != n * DIGITS || s.p[s.n - 1] != '\n')
        return false;
    for (size_t i = 0; i < n; i++) {
        const char *p = s.p + i * DIGITS;

        if ((i + 1 < n && p[DIGITS - 1] != ' ') ||
            !wr_parse_hex64((struct wr_str){p, DIGITS - 1}, &ret[i]))
            return false;
    }
    return true;
}

static enum wr_status kept(const struct wr_fs *fs, const char *path, enum wr_node_was *was,
    struct numbers *ret, struct wr_err *e)
{
    char text[3 * DIGITS + 1];
    uint64_t numbers[3] = {0};
    size_t n;
    enum wr_status st = read_head(fs, path, text, sizeof(text), &n, e);

    if (st != WR_OK)
        return st;
    *was = n > 0 ? WR_NODE_DAMAGED : WR_NODE_NONE;
    if (n > 0 && parse((struct wr_str){text, n}, n / DIGITS, numbers) && numbers[0] != 0) {
        *was = WR_NODE_KEPT;
        *ret = (struct numbers){numbers[0], numbers[1], numbers[2]};
    }
    return WR_OK;
}

static enum wr_status path_of(struct wr_buf *path, const char *dir, struct wr_err *e)
{
    enum wr_status st;

    wr_buf_init(path, 8192);
    wr_buf_fmt(path, "%s/node", dir);
    st = wr_buf_status(path);
    return st == WR_OK ? WR_OK : wr_fail(e, st, "path of the local state");
}

/* One that could not be made once more is there before and after, whatever happens: without the
 * number that a promotion has put into the lease, its own database would be told that another one
 * was promoted. */
static enum wr_status keep(const struct wr_fs *fs, const char *path, const struct where *here,
    const struct numbers *node, struct wr_err *e)
{
    char text[3 * DIGITS + 1];
    struct wr_file *f = NULL;
    enum wr_status st;

    (void)snprintf(text, sizeof(text), "%016llx %016llx %016llx\n",
        (unsigned long long)node->number, (unsigned long long)node->place,
        (unsigned long long)check_of(here, node));
    if (node->number != node->place)
        return wr_file_put(fs, path, 0600, text, 3 * DIGITS, e);
    st = wr_file_open(fs, path, WR_FILE_WRITE | WR_FILE_CREATE | WR_FILE_TRUNC, 0600, &f, e);
    if (st == WR_OK)
        st = wr_file_pwrite(f, text, 3 * DIGITS, 0, e);
    wr_file_close(f);
    return st;
}

/* What is to be kept in `path`, and whether the file there is as it has to be. */
static enum wr_status find(const struct wr_fs *fs, const char *path, const struct where *here,
    struct numbers *ret, enum wr_node_was *was, bool *done, struct wr_err *e)
{
    struct numbers old = {0};
    enum wr_status st = kept(fs, path, was, &old, e);

    *done = *was == WR_NODE_KEPT && old.place != 0 && old.check == check_of(here, &old);
    if (st == WR_OK && !*done)
        st = make(here, ret, e);
    if (st != WR_OK)
        return st;
    if (*was == WR_NODE_KEPT && (old.place == 0 || *done || old.place == ret->place))
        ret->number = old.number;
    else if (*was == WR_NODE_KEPT)
        *was = WR_NODE_ELSEWHERE;
    return WR_OK;
}

static enum wr_status node(const struct wr_fs *fs, const char *dir, const char *db_path, bool write,
    struct wr_node *ret, struct wr_err *e)
{
    struct numbers numbers = {0};
    struct where here;
    struct wr_buf path;
    enum wr_node_was was = WR_NODE_NONE;
    bool done = false;
    enum wr_status st = find_where(fs, db_path, &here, e), named = path_of(&path, dir, e);

    if (st == WR_OK)
        st = named;
    if (st == WR_OK)
        st = find(fs, (const char *)path.p, &here, &numbers, &was, &done, e);
    if (st == WR_OK && write && !done)
        st = keep(fs, (const char *)path.p, &here, &numbers, e);
    wr_buf_release(&path);
    wr_buf_release(&here.bytes);
    if (st == WR_OK)
        *ret = (struct wr_node){numbers.number, was};
    return st;
}

enum wr_status wr_node_keep(const struct wr_fs *fs, const char *dir, const char *db_path,
    struct wr_node *ret, struct wr_err *e)
{
    return node(fs, dir, db_path, true, ret, e);
}

enum wr_status wr_node_find(const struct wr_fs *fs, const char *dir, const char *db_path,
    struct wr_node *ret, struct wr_err *e)
{
    return node(fs, dir, db_path, false, ret, e);
}

enum wr_status wr_node_renew(
    const struct wr_fs *fs, const char *dir, const char *db_path, uint64_t *ret, struct wr_err *e)
{
    struct numbers node = {0};
    struct where here;
    struct wr_buf path;
    enum wr_status st = find_where(fs, db_path, &here, e), named = path_of(&path, dir, e);

    if (st == WR_OK)
        st = named;
    if (st == WR_OK)
        st = make(&here, &node, e);
    if (st == WR_OK)
        st = wr_random(&node.number, sizeof(node.number), e);
    node.number |= 1;
    if (st == WR_OK)
        st = keep(fs, (const char *)path.p, &here, &node, e);
    wr_buf_release(&path);
    wr_buf_release(&here.bytes);
    if (st == WR_OK)
        *ret = node.number;
    return st;
}
