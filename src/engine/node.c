/*
 * node.c - see node.h. The file holds the number, and where it was made: each 16 hex digits, a
 * blank between, a newline behind. One of older versions holds the number alone, which is taken
 * over.
 */
#include "engine/node.h"

#include "base/buf.h"
#include "base/bytes.h"
#include "base/crypto.h"

#define MACHINE_ID_MIN 16u /* bytes; less is an empty file, as images have it */
#define TEXT_SIZE      34u
#define NUMBER_SIZE    17u /* of a file that says no place */

struct node {
    uint64_t number;
    uint64_t place; /* of machine id, if there is one, and path; 0: not known */
};

/* 0 bytes: the machine has none. */
static size_t machine_id(uint8_t id[64])
{
    struct wr_file *f = NULL;
    size_t n = 0;

    if (wr_file_open(wr_fs_posix(), "/etc/machine-id", WR_FILE_READ, 0, &f, NULL) != WR_OK)
        return 0;
    if (wr_file_pread(f, id, 64, 0, &n, NULL) != WR_OK)
        n = 0;
    wr_file_close(f);
    return n >= MACHINE_ID_MIN ? n : 0;
}

/* What is to be kept here, if nothing is yet. */
static enum wr_status make(const char *db_path, struct node *ret, struct wr_err *e)
{
    uint8_t id[64], sum[WR_SHA256_SIZE];
    size_t n = machine_id(id);
    struct wr_buf b;
    enum wr_status st;

    wr_buf_init(&b, 8192);
    wr_buf_put(&b, id, n);
    wr_buf_z(&b, db_path);
    st = wr_buf_status(&b) == WR_OK ? wr_sha256(wr_buf_bytes(&b), sum, e)
                                    : wr_fail(e, wr_buf_status(&b), "path of the database");
    wr_buf_release(&b);
    if (st != WR_OK)
        return st;
    ret->place = ret->number = wr_be64(sum) | 1;
    if (n == 0) {
        st = wr_random(&ret->number, sizeof(ret->number), e);
        ret->number |= 1;
    }
    return st;
}

static bool kept(const struct wr_fs *fs, const char *path, struct node *ret)
{
    char text[TEXT_SIZE + 1];
    struct wr_file *f = NULL;
    size_t n = 0;

    if (wr_file_open(fs, path, WR_FILE_READ, 0, &f, NULL) != WR_OK)
        return false;
    if (wr_file_pread(f, text, sizeof(text), 0, &n, NULL) != WR_OK)
        n = 0;
    wr_file_close(f);
    if (n != TEXT_SIZE && n != NUMBER_SIZE)
        return false;
    ret->place = 0;
    return text[n - 1] == '\n' && (n == NUMBER_SIZE || text[16] == ' ') &&
           wr_parse_hex64((struct wr_str){text, 16}, &ret->number) && ret->number != 0 &&
           (n == NUMBER_SIZE || wr_parse_hex64((struct wr_str){text + 17, 16}, &ret->place));
}

static enum wr_status path_of(struct wr_buf *path, const char *dir, struct wr_err *e)
{
    enum wr_status st;

    wr_buf_init(path, 8192);
    wr_buf_fmt(path, "%s/node", dir);
    st = wr_buf_status(path);
    return st == WR_OK ? WR_OK : wr_fail(e, st, "path of the local state");
}

/* Synced if it could not be made once more: without the number that a promotion has put into the
 * lease, its own database would be told that another one was promoted. */
static enum wr_status keep(const struct wr_fs *fs, const char *dir, const char *path,
    const struct node *node, struct wr_err *e)
{
    bool once = node->number != node->place;
    char text[TEXT_SIZE + 1];
    struct wr_file *f = NULL;
    enum wr_status st =
        wr_file_open(fs, path, WR_FILE_WRITE | WR_FILE_CREATE | WR_FILE_TRUNC, 0600, &f, e);

    (void)snprintf(text, sizeof(text), "%016llx %016llx\n", (unsigned long long)node->number,
        (unsigned long long)node->place);
    if (st == WR_OK)
        st = wr_file_pwrite(f, text, TEXT_SIZE, 0, e);
    if (st == WR_OK && once)
        st = wr_file_sync(f, e);
    wr_file_close(f);
    return st == WR_OK && once ? fs->sync_dir(fs, dir, e) : st;
}

enum wr_status wr_node_id(
    const struct wr_fs *fs, const char *dir, const char *db_path, uint64_t *ret, struct wr_err *e)
{
    struct node here = {0}, was = {0};
    struct wr_buf path;
    enum wr_status st = make(db_path, &here, e);

    if (st != WR_OK)
        return st;
    st = path_of(&path, dir, e);
    if (st != WR_OK) {
        wr_buf_release(&path);
        return st;
    }
    if (kept(fs, (const char *)path.p, &was) && (was.place == 0 || was.place == here.place))
        here.number = was.number;
    if (here.number != was.number || here.place != was.place)
        st = keep(fs, dir, (const char *)path.p, &here, e);
    wr_buf_release(&path);
    if (st == WR_OK)
        *ret = here.number;
    return st;
}

enum wr_status wr_node_derive(const char *db_path, uint64_t *ret, struct wr_err *e)
{
    struct node here = {0};
    enum wr_status st = make(db_path, &here, e);

    if (st == WR_OK)
        *ret = here.number;
    return st;
}

enum wr_status wr_node_renew(
    const struct wr_fs *fs, const char *dir, const char *db_path, uint64_t *ret, struct wr_err *e)
{
    struct node here = {0};
    struct wr_buf path;
    enum wr_status st = make(db_path, &here, e);

    if (st == WR_OK)
        st = wr_random(&here.number, sizeof(here.number), e);
    here.number |= 1;
    if (st != WR_OK)
        return st;
    st = path_of(&path, dir, e);
    if (st == WR_OK)
        st = keep(fs, dir, (const char *)path.p, &here, e);
    wr_buf_release(&path);
    if (st == WR_OK)
        *ret = here.number;
    return st;
}
