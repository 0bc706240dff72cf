/*
 * The probe of a bucket: over stores that are good, over stores that lie, and over faults; nothing
 * may be left where deletes work.
 */
#include "fake/s3d.h"
#include "harness/t.h"
#include "storage/drivers.h"
#include "storage/probe.h"
#include "storage/settings.h"

#define STEP_MS 10000

/* What a probe said: "put get list create upload remove", or "put!busy". */
static char said[512], last_text[1024];

static void hear(
    void *arg, enum wr_probe_step step, enum wr_status st, int64_t ns, const char *text)
{
    static const char *const names[] = {"put", "get", "list", "create", "upload", "remove"};
    size_t n = strlen(said);

    (void)arg;
    T(ns >= 0 && (st == WR_OK) == (text[0] == '\0'));
    (void)snprintf(
        said + n, sizeof(said) - n, "%s%s%s", n ? " " : "", names[step], st != WR_OK ? "!" : "");
    if (st != WR_OK)
        (void)snprintf(last_text, sizeof(last_text), "%s", text);
}

static unsigned left;
static enum wr_status probe(struct wr_storage *s, struct wr_err *e)
{
    said[0] = last_text[0] = '\0';
    return wr_storage_probe(s, t_call(), STEP_MS, hear, NULL, &left, e);
}

static struct wr_storage *open_url(const char *url, const char *const *settings)
{
    struct wr_storage *s = NULL;
    struct wr_err e = {0};

    T_OK(wr_storage_open(wr_str(url), settings, &s, &e));
    return s;
}

static bool count(void *arg, const struct wr_object *obj)
{
    (void)obj;
    ++*(size_t *)arg;
    return true;
}

static size_t objects(struct wr_storage *s)
{
    struct wr_err e = {0};
    size_t n = 0;

    T_OK(wr_storage_list(s, t_call(), WR_STR(""), WR_STR(""), count, &n, &e));
    return n;
}

static void a_directory_is_good(void **state)
{
    struct wr_err e = {0};
    char url[1100];
    struct wr_storage *s;

    (void)state;
    (void)snprintf(url, sizeof(url), "file://%s", t_path(t_tmpdir(), "r"));
    s = open_url(url, NULL);
    T_OK(probe(s, &e));
    assert_string_equal("put get list create upload remove", said);
    T(left == 0 && objects(s) == 0);
    wr_storage_close(s);
}

/* ---- S3 ---- */

static struct wr_storage *open_s3(struct s3d *d, const char *secret)
{
    const char *const settings[] = {
        "access-key-id", S3D_ACCESS, "secret-access-key", secret, "force-path-style", "true", NULL};

    T(setenv("NO_PROXY", "*", 1) == 0);
    return open_url(s3d_url(d, "/p/q"), settings);
}

static void a_bucket_is_good(void **state)
{
    struct s3d *d = s3d_start();
    struct wr_storage *s = open_s3(d, S3D_SECRET);
    struct wr_storage_learnt learnt;
    struct wr_err e = {0};

    (void)state;
    wr_storage_learnt(s, &learnt);
    T(!learnt.dated);
    s3d_opts(d)->clock_ahead_s = 100;
    T_OK(probe(s, &e));
    assert_string_equal("put get list create upload remove", said);
    T(left == 0 && s3d_objects(d) == 0 && s3d_uploads(d) == 0);
    wr_storage_learnt(s, &learnt);
    T(learnt.dated && learnt.skew_ms > 95000 && learnt.skew_ms < 105000 && !learnt.no_condition);
    wr_storage_close(s);
    s3d_stop(d);
}

static void wrong_keys_stop_it(void **state)
{
    struct s3d *d = s3d_start();
    struct wr_storage *s = open_s3(d, "geheim");
    struct wr_err e = {0};

    (void)state;
    T_IS(WR_AUTH, probe(s, &e));
    assert_string_equal("put! list!", said);
    T(left == 0 && strstr(e.text, "SignatureDoesNotMatch") && !strstr(e.text, "geheim"));
    wr_storage_close(s);
    s3d_stop(d);
}

static void a_bucket_without_conditions(void **state)
{
    struct s3d *d = s3d_start();
    struct wr_storage *s = open_s3(d, S3D_SECRET);
    struct wr_err e = {0};

    (void)state;
    s3d_opts(d)->no_condition = true;
    T_IS(WR_UNSUPPORTED, probe(s, &e));
    assert_string_equal("put get list create! upload remove", said);
    T(strstr(e.text, "the store has no conditional writes") && s3d_objects(d) == 0);
    wr_storage_close(s);
    s3d_stop(d);
}

/* ---- stores that lie: the one in memory, with calls that are replaced ---- */

static struct wr_storage_ops lying;
static unsigned nth; /* of the calls of the replaced slot */

static struct wr_storage *lie_with(void)
{
    void *self = NULL;
    struct wr_storage *s = NULL;
    struct wr_err e = {0};

    T_OK(wr_storage_mem.open(NULL, &self, &e));
    T_OK(wr_storage_wrap(&lying, self, WR_STR("p/"), &s, &e));
    wr_storage_set_retry(s, 1, 0);
    nth = 0;
    return s;
}

static enum wr_status put_anyway(void *self, struct wr_call *c, struct wr_str key,
    struct wr_bytes body, const struct wr_put_opts *o, struct wr_object *out, struct wr_err *e)
{
    const struct wr_put_opts none = {.time_ms = o->time_ms};

    return wr_storage_mem.put(self, c, key, body, &none, out, e);
}

static enum wr_status put_never_new(void *self, struct wr_call *c, struct wr_str key,
    struct wr_bytes body, const struct wr_put_opts *o, struct wr_object *out, struct wr_err *e)
{
    if (o->if_absent)
        return wr_fail(e, WR_CONFLICT, "exists");
    return wr_storage_mem.put(self, c, key, body, o, out, e);
}

static enum wr_status put_second_fails(void *self, struct wr_call *c, struct wr_str key,
    struct wr_bytes body, const struct wr_put_opts *o, struct wr_object *out, struct wr_err *e)
{
    if (o->if_absent && ++nth == 2)
        return wr_fail(e, WR_IO, "broken");
    return wr_storage_mem.put(self, c, key, body, o, out, e);
}

static enum wr_status put_lost(void *self, struct wr_call *c, struct wr_str key,
    struct wr_bytes body, const struct wr_put_opts *o, struct wr_object *out, struct wr_err *e)
{
    enum wr_status st = wr_storage_mem.put(self, c, key, body, o, out, e);

    return st == WR_OK ? wr_fail(e, WR_TIMEOUT, "no answer") : st;
}

static enum wr_status get_whole(void *self, struct wr_call *c, struct wr_str key, uint64_t off,
    void *buf, size_t n, size_t *got, struct wr_str *version, struct wr_err *e)
{
    (void)off;
    return wr_storage_mem.get(self, c, key, 0, buf, n, got, version, e);
}

static enum wr_status list_nothing(void *self, struct wr_call *c, struct wr_str prefix,
    struct wr_str after, wr_list_fn *fn, void *arg, struct wr_err *e)
{
    (void)self;
    (void)c;
    (void)prefix;
    (void)after;
    (void)fn;
    (void)arg;
    (void)e;
    return WR_OK;
}

static bool list_wrong(void *arg, const struct wr_object *obj)
{
    void **pair = arg;
    struct wr_object o = *obj;
    wr_list_fn *fn = *(wr_list_fn **)pair[0];

    o.size++;
    return fn(pair[1], &o);
}

static enum wr_status list_sizes(void *self, struct wr_call *c, struct wr_str prefix,
    struct wr_str after, wr_list_fn *fn, void *arg, struct wr_err *e)
{
    void *pair[] = {&fn, arg};

    return wr_storage_mem.list(self, c, prefix, after, list_wrong, pair, e);
}

static enum wr_status remove_nothing(
    void *self, struct wr_call *c, const struct wr_str *keys, size_t n, struct wr_err *e)
{
    (void)self;
    (void)c;
    (void)keys;
    (void)n;
    (void)e;
    return WR_OK;
}

static enum wr_status remove_refused(
    void *self, struct wr_call *c, const struct wr_str *keys, size_t n, struct wr_err *e)
{
    (void)self;
    (void)c;
    (void)keys;
    (void)n;
    return wr_fail(e, WR_AUTH, "denied");
}

static enum wr_status begin_refused(void *self, struct wr_call *c, struct wr_str key,
    const struct wr_put_opts *o, struct wr_upload **out, struct wr_err *e)
{
    (void)self;
    (void)c;
    (void)key;
    (void)o;
    (void)out;
    return wr_fail(e, WR_UNSUPPORTED, "no parts here");
}

static enum wr_status part_refused(
    struct wr_upload *u, struct wr_call *c, struct wr_bytes part, struct wr_err *e)
{
    (void)u;
    (void)c;
    (void)part;
    return wr_fail(e, WR_LIMIT, "no room");
}

/* Probe a store that lies in one way. */
#define LIE(slot, how, status, want, hint, remain)                 \
    do {                                                           \
        struct wr_err e = {0};                                     \
        struct wr_storage *s;                                      \
        lying = wr_storage_mem;                                    \
        lying.slot = how;                                          \
        s = lie_with();                                            \
        T_IS(status, probe(s, &e));                                \
        assert_string_equal(want, said);                           \
        if (!strstr(last_text, hint) || strcmp(e.text, last_text)) \
            fail_msg("%s, %s", e.text, last_text);                 \
        lying.list = wr_storage_mem.list;                          \
        if (left != (remain) || objects(s) != (remain))            \
            fail_msg("%u left, %zu there", left, objects(s));      \
        wr_storage_close(s);                                       \
    } while (0)

static void lies_are_found(void **state)
{
    (void)state;
    LIE(put, put_anyway, WR_UNSUPPORTED, "put get list create! upload remove",
        "the store ignores the condition", 0);
    LIE(put, put_never_new, WR_UNSUPPORTED, "put get list create! upload remove",
        "a new object is said to exist", 0);
    LIE(put, put_second_fails, WR_IO, "put get list create! upload remove", "broken", 0);
    LIE(put, put_lost, WR_TIMEOUT, "put! remove", "no answer", 0);
    LIE(get, get_whole, WR_UNSUPPORTED, "put get! list create upload remove",
        "bytes 300 to 499 of an object were asked for", 0);
    LIE(list, list_nothing, WR_UNSUPPORTED, "put get list! create upload remove",
        "missing from the listing", 0);
    LIE(list, list_sizes, WR_UNSUPPORTED, "put get list! create upload remove",
        "the listing has 1001 bytes for an object of 1000", 0);
    LIE(upload_begin, begin_refused, WR_UNSUPPORTED, "put get list create upload! remove",
        "no parts here", 0);
    LIE(upload_part, part_refused, WR_LIMIT, "put get list create upload! remove", "no room", 0);
    LIE(remove, remove_nothing, WR_UNSUPPORTED, "put get list create upload remove!",
        "it is still there", 3);
    LIE(remove, remove_refused, WR_AUTH, "put get list create upload remove!", "denied", 3);
}

static void less_is_asked_of_less(void **state)
{
    struct wr_err e = {0};
    struct wr_storage *s;

    (void)state;
    lying = wr_storage_mem;
    lying.caps &= ~(unsigned)WR_STORAGE_COND_PUT;
    lying.part_min = 0;
    s = lie_with();
    T_OK(probe(s, &e));
    assert_string_equal("put get list remove", said);
    wr_storage_close(s);
}

/* ---- a cancel ---- */

static struct wr_cancel token;

static enum wr_status get_canceled(void *self, struct wr_call *c, struct wr_str key, uint64_t off,
    void *buf, size_t n, size_t *got, struct wr_str *version, struct wr_err *e)
{
    wr_cancel_now(&token);
    return wr_storage_mem.get(self, c, key, off, buf, n, got, version, e);
}

static void what_was_written_goes_after_a_cancel(void **state)
{
    struct wr_err e = {0};
    struct wr_call c = *t_call();
    struct wr_storage *s;

    (void)state;
    wr_cancel_init(&token);
    c.cancel = &token;
    lying = wr_storage_mem;
    lying.get = get_canceled;
    s = lie_with();
    said[0] = '\0';
    T_IS(WR_CANCELED, wr_storage_probe(s, &c, STEP_MS, hear, NULL, &left, &e));
    assert_string_equal("put get! list! create! upload! remove", said);
    T(left == 0 && objects(s) == 0);
    wr_storage_close(s);
    wr_cancel_release(&token);
}

/* ---- what settings come to ---- */

static void note_setting(void *arg, const struct wr_setting *x)
{
    size_t n = strlen(said);

    (void)arg;
    (void)snprintf(said + n, sizeof(said) - n, "%s=" WR_FMT "/%d%s%s ", x->name,
        WR_ARG(x->value.p ? x->value : WR_STR("***")), (int)x->source, x->env ? "/" : "",
        x->env ? x->env : "");
}

static void settings_are_told(void **state)
{
    const char *const given[] = {
        "access-key-id", "A", "secret-access-key", "geheim", "region", "r", NULL};
    struct wr_storage *s;

    (void)state;
    T(unsetenv("AWS_CA_BUNDLE") == 0 && unsetenv("AWS_REGION") == 0);
    T(setenv("AWS_DEFAULT_REGION", "d", 1) == 0 && setenv("HOME", t_tmpdir(), 1) == 0);
    said[0] = '\0';
    s = open_url("s3://b/x?part-size=6MiB", given);
    wr_storage_tell(s, note_setting, NULL);
    assert_string_equal("region=r/1 access-key-id=A/1 secret-access-key=***/1 skip-verify=false/4 "
                        "sign-payload=true/4 part-size=6MiB/0 bucket=b/0 prefix=x//0 ",
        said);
    wr_storage_close(s);

    said[0] = '\0';
    T(setenv("LITESTREAM_ACCESS_KEY_ID", "A", 1) == 0);
    T(setenv("LITESTREAM_SECRET_ACCESS_KEY", "geheim", 1) == 0);
    T(setenv("LITESTREAM_S3_ENDPOINT", "http://minio:9", 1) == 0);
    s = open_url("s3://b/x", NULL);
    wr_storage_tell(s, note_setting, NULL);
    assert_string_equal(
        "skip-verify=false/4 sign-payload=true/4 part-size=5MiB/4 "
        "region=d/2/AWS_DEFAULT_REGION endpoint=http://minio:9/2/LITESTREAM_S3_ENDPOINT "
        "bucket=b/0 credentials=***/2/LITESTREAM_ACCESS_KEY_ID prefix=x//0 ",
        said);
    wr_storage_close(s);
    T(unsetenv("LITESTREAM_ACCESS_KEY_ID") == 0 && unsetenv("LITESTREAM_S3_ENDPOINT") == 0);
    T(unsetenv("LITESTREAM_SECRET_ACCESS_KEY") == 0 && unsetenv("AWS_DEFAULT_REGION") == 0);
}

/* ---- memory ---- */

static enum wr_status probe_once(void *arg)
{
    struct wr_storage *s = NULL;
    void *self = NULL;
    enum wr_status st = wr_storage_mem.open(NULL, &self, NULL);

    (void)arg;
    said[0] = '\0';
    if (st == WR_OK)
        st = wr_storage_wrap(&wr_storage_mem, self, WR_STR("p/"), &s, NULL);
    if (st != WR_OK && self)
        wr_storage_mem.close(self);
    if (st == WR_OK)
        st = wr_storage_probe(s, t_call(), STEP_MS, hear, NULL, &left, NULL);
    wr_storage_close(s);
    return st;
}

static void without_memory(void **state)
{
    (void)state;
    t_sweep_nomem(probe_once, NULL);
}

T_MAIN(T_TEST(a_directory_is_good), T_TEST(a_bucket_is_good), T_TEST(wrong_keys_stop_it),
    T_TEST(a_bucket_without_conditions), T_TEST(lies_are_found), T_TEST(less_is_asked_of_less),
    T_TEST(what_was_written_goes_after_a_cancel), T_TEST(settings_are_told), T_TEST(without_memory))
