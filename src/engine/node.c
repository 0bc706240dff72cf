/*
 * node.c - see node.h. The file holds 16 hex digits and a newline.
 */
#include "engine/node.h"

#include "base/buf.h"
#include "base/bytes.h"
#include "base/crypto.h"

#define MACHINE_ID_MIN 16u /* bytes; less is an empty file, as images have it */

/* False: the machine has no id. */
static bool from_machine(const char *db_path, uint64_t *ret)
{
    uint8_t id[64], sum[WR_SHA256_SIZE];
    struct wr_file *f = NULL;
    size_t n = 0;
    struct wr_buf b;
    bool ok = false;

    if (wr_file_open(wr_fs_posix(), "/etc/machine-id", WR_FILE_READ, 0, &f, NULL) != WR_OK)
        return false;
    if (wr_file_pread(f, id, sizeof(id), 0, &n, NULL) != WR_OK)
        n = 0;
    wr_file_close(f);
    wr_buf_init(&b, 8192);
    wr_buf_put(&b, id, n);
    wr_buf_z(&b, db_path);
    if (n >= MACHINE_ID_MIN && wr_buf_status(&b) == WR_OK)
        ok = wr_sha256(wr_buf_bytes(&b), sum, NULL) == WR_OK;
    wr_buf_release(&b);
    if (ok)
        *ret = wr_be64(sum) | 1;
    return ok;
}

static bool kept(const struct wr_fs *fs, const char *path, uint64_t *ret)
{
    char text[17];
    struct wr_file *f = NULL;
    size_t n = 0;

    if (wr_file_open(fs, path, WR_FILE_READ, 0, &f, NULL) != WR_OK)
        return false;
    if (wr_file_pread(f, text, sizeof(text), 0, &n, NULL) != WR_OK)
        n = 0;
    wr_file_close(f);
    return n == sizeof(text) && text[16] == '\n' &&
           wr_parse_hex64((struct wr_str){text, 16}, ret) && *ret != 0;
}

/* Not synced, like all local state: a torn one is made anew. */
static enum wr_status keep(
    const struct wr_fs *fs, const char *path, const char text[18], struct wr_err *e)
{
    struct wr_file *f = NULL;
    enum wr_status st =
        wr_file_open(fs, path, WR_FILE_WRITE | WR_FILE_CREATE | WR_FILE_TRUNC, 0600, &f, e);

    if (st == WR_OK)
        st = wr_file_pwrite(f, text, 17, 0, e);
    wr_file_close(f);
    return st;
}

enum wr_status wr_node_id(
    const struct wr_fs *fs, const char *dir, const char *db_path, uint64_t *ret, struct wr_err *e)
{
    char text[18];
    uint64_t id = 0;
    struct wr_buf path;
    enum wr_status st;

    wr_buf_init(&path, 8192);
    wr_buf_fmt(&path, "%s/node", dir);
    st = wr_buf_status(&path);
    if (st != WR_OK) {
        wr_buf_release(&path);
        return wr_fail(e, st, "path of the local state");
    }
    if (!kept(fs, (const char *)path.p, &id)) {
        if (!from_machine(db_path, &id)) {
            st = wr_random(&id, sizeof(id), e);
            id |= 1;
        }
        (void)snprintf(text, sizeof(text), "%016llx\n", (unsigned long long)id);
        if (st == WR_OK)
            st = keep(fs, (const char *)path.p, text, e);
    }
    wr_buf_release(&path);
    if (st == WR_OK)
        *ret = id;
    return st;
}
