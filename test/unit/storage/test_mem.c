/*
 * test_mem.c - the memory driver: the storage contract, sharing, its bound, sweeps without memory.
 */
#include "contract/storage_contract.h"
#include "storage/drivers.h"
#include "storage/writer.h"

struct place {
    void *bucket; /* a reference of ours to what open opened last */
};

static enum wr_status open_again(void *arg, struct wr_storage **ret, struct wr_err *e)
{
    struct place *p = arg;

    return wr_storage_wrap(&wr_storage_mem, wr_storage_mem_ref(p->bucket), WR_STR(""), ret, e);
}

static enum wr_status open_fresh(void *arg, struct wr_storage **ret, struct wr_err *e)
{
    struct place *p = arg;

    wr_storage_mem.close(p->bucket);
    p->bucket = NULL;
    enum wr_status st = wr_storage_mem.open(NULL, &p->bucket, e);
    return st == WR_OK ? open_again(arg, ret, e) : st;
}

/* ---- beyond the contract ---- */

static struct wr_bytes text(const char *z)
{
    return (struct wr_bytes){(const uint8_t *)z, strlen(z)};
}

static void references_share_the_bucket(void **state)
{
    struct wr_err e = {0};
    struct wr_storage *s = NULL;
    struct wr_object about = {0};
    void *self = NULL;

    (void)state;
    T_OK(wr_storage_mem.open(NULL, &self, &e));
    T_OK(wr_storage_wrap(&wr_storage_mem, wr_storage_mem_ref(self), WR_STR(""), &s, &e));
    T_OK(wr_storage_put(s, t_call(), WR_STR("k"), text("v"), NULL, &e));
    wr_storage_close(s);
    T_OK(wr_storage_mem.stat(self, t_call(), WR_STR("k"), &about, &e));
    T(about.size == 1);
    wr_storage_mem.close(self);
    wr_storage_mem.close(NULL);
}

/* Each name of "mem" is a bucket of its own: nothing global remembers it. */
static void opening_by_url_is_private(void **state)
{
    struct wr_err e = {0};
    struct wr_storage *a = NULL, *b = NULL;
    struct wr_object about;

    (void)state;
    T_OK(wr_storage_open(WR_STR("mem://x"), NULL, &a, &e));
    T_OK(wr_storage_open(WR_STR("mem://x"), NULL, &b, &e));
    T_OK(wr_storage_put(a, t_call(), WR_STR("k"), text("v"), NULL, &e));
    T_IS(WR_NOTFOUND, wr_storage_stat(b, t_call(), WR_STR("k"), &about, &e));
    wr_storage_close(a);
    wr_storage_close(b);
}

static void size_max_bounds_all_bodies(void **state)
{
    struct wr_err e = {0};
    struct wr_storage *s = NULL;
    struct wr_writer *w = NULL;
    struct wr_str key = WR_STR("a");
    static const uint8_t body[20000];

    (void)state;
    T_OK(wr_storage_open(WR_STR("mem://x?size-max=10000&part-size=4KiB"), NULL, &s, &e));
    T_OK(wr_storage_put(s, t_call(), key, (struct wr_bytes){body, 6000}, NULL, &e));
    T_IS(WR_LIMIT,
        wr_storage_put(s, t_call(), WR_STR("b"), (struct wr_bytes){body, 4001}, NULL, &e));
    T_OK(wr_storage_put(s, t_call(), WR_STR("b"), (struct wr_bytes){body, 4000}, NULL, &e));
    /* An overwrite counts the difference only. */
    T_OK(wr_storage_put(s, t_call(), key, (struct wr_bytes){body, 5999}, NULL, &e));
    T_OK(wr_storage_remove(s, t_call(), &key, 1, &e));
    T_OK(wr_storage_put(s, t_call(), WR_STR("c"), (struct wr_bytes){body, 6000}, NULL, &e));
    T_OK(wr_writer_open(s, t_call(), WR_STR("d"), NULL, 0, &w, &e));
    T_IS(WR_LIMIT, wr_writer_write(w, t_call(), (struct wr_bytes){body, 20000}, &e));
    wr_writer_abort(w, t_call());
    wr_storage_close(s);
}

static void uploads_are_counted(void **state)
{
    struct wr_err e = {0};
    struct wr_upload *u = NULL;
    struct wr_put_opts o = {0};
    void *self = NULL;

    (void)state;
    T_OK(wr_storage_mem.open(NULL, &self, &e));
    T_OK(wr_storage_mem.upload_begin(self, t_call(), WR_STR("k"), &o, &u, &e));
    T(wr_storage_mem_uploads(self) == 1);
    wr_storage_mem.upload_abort(u, t_call());
    T(wr_storage_mem_uploads(self) == 0);
    T_OK(wr_storage_mem.upload_begin(self, t_call(), WR_STR("k"), &o, &u, &e));
    T_OK(wr_storage_mem.upload_commit(u, t_call(), NULL, &e));
    T(wr_storage_mem_uploads(self) == 0);
    wr_storage_mem.close(self);
}

static bool ignore(void *arg, const struct wr_object *obj)
{
    (void)arg;
    (void)obj;
    return true;
}

/* The life of a bucket, from open to close. */
static enum wr_status sweep(void *arg)
{
    struct wr_call *c = arg;
    struct wr_put_opts o = {0};
    struct wr_object out;
    struct wr_upload *u = NULL;
    struct wr_str key = WR_STR("b");
    void *self = NULL;
    enum wr_status st = wr_storage_mem.open(NULL, &self, NULL);

    if (st == WR_OK)
        st = wr_storage_mem.put(self, c, key, text("v"), &o, &out, NULL);
    if (st == WR_OK)
        st = wr_storage_mem.stat(self, c, key, &out, NULL);
    if (st == WR_OK)
        st = wr_storage_mem.list(self, c, WR_STR(""), WR_STR(""), ignore, NULL, NULL);
    if (st == WR_OK)
        st = wr_storage_mem.upload_begin(self, c, WR_STR("a"), &o, &u, NULL);
    if (st == WR_OK)
        st = wr_storage_mem.upload_part(u, c, text("v"), NULL);
    if (st == WR_OK)
        st = wr_storage_mem.upload_commit(u, c, &out, NULL);
    else if (u)
        wr_storage_mem.upload_abort(u, c);
    if (st == WR_OK)
        st = wr_storage_mem.remove(self, c, &key, 1, NULL);
    wr_storage_mem.close(self);
    return st;
}

static void survives_no_memory(void **state)
{
    (void)state;
    t_sweep_nomem(sweep, t_call());
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest own[] = {T_TEST(references_share_the_bucket),
        T_TEST(opening_by_url_is_private), T_TEST(size_max_bounds_all_bodies),
        T_TEST(uploads_are_counted), T_TEST(survives_no_memory)};
    static struct place place;
    static struct contract_factory factory = {
        .open = open_fresh, .again = open_again, .arg = &place, .part = 4096};
    struct CMUnitTest tests[CONTRACT_CHECKS_MAX + wr_countof(own)];
    size_t n = storage_contract(&factory, tests, CONTRACT_CHECKS_MAX);

    memcpy(tests + n, own, sizeof(own));
    int rc = t_main(argc, argv, tests, n + wr_countof(own));
    wr_storage_mem.close(place.bucket);
    return rc;
}
