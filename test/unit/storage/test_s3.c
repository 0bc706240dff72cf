/*
 * test_s3.c - the S3 driver against a strict fake server: the contract of all storage.
 */
#include "contract/storage_contract.h"
#include "fake/s3d.h"

struct bucket {
    struct s3d *server;
    unsigned n;
    char url[512];
};

static const char *const keys[] = {
    "access-key-id", S3D_ACCESS, "secret-access-key", S3D_SECRET, NULL};

static enum wr_status again(void *arg, struct wr_storage **ret, struct wr_err *e)
{
    struct bucket *b = arg;
    enum wr_status st = wr_storage_open(wr_str(b->url), keys, ret, e);
    if (st == WR_OK)
        wr_storage_set_retry(*ret, 2, 0);
    return st;
}

static enum wr_status open_fresh(void *arg, struct wr_storage **ret, struct wr_err *e)
{
    struct bucket *b = arg;
    char path[32];
    s3d_empty(b->server);
    s3d_opts(b->server)->page_max = 100;
    (void)snprintf(path, sizeof(path), "/p%u", b->n++);
    (void)snprintf(b->url, sizeof(b->url), "%s", s3d_url(b->server, path));
    return again(b, ret, e);
}

int main(int argc, char **argv)
{
    struct bucket b = {.server = s3d_start()};
    struct contract_factory f = {
        .open = open_fresh, .again = again, .arg = &b, .part = (size_t)5 << 20, .many = 550};
    int rc = storage_contract_main(argc, argv, &f);
    s3d_stop(b.server);
    return rc;
}
