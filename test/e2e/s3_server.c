/*
 * s3_server.c - the S3 driver against a real server, which is in WEIR_TEST_S3_ENDPOINT, _ACCESS and
 * _SECRET: the contract of all storage, and what only a real server can be asked.
 */
#include "base/mem.h"
#include "base/rand.h"
#include "base/sync.h"
#include "contract/storage_contract.h"
#include "net/http.h"
#include "net/sigv4.h"
#include "storage/writer.h"

#define BUCKET "weir-contract"
#define RACERS 16

struct server {
    const char *endpoint, *access, *secret;
    unsigned n;
    char path[32];
};

static enum wr_status open_as(const struct server *s, const char *bucket, const char *path,
    const char *secret, struct wr_storage **ret, struct wr_err *e)
{
    const char *const settings[] = {
        "endpoint", s->endpoint, "access-key-id", s->access, "secret-access-key", secret, NULL};
    char url[256];
    (void)snprintf(url, sizeof(url), "s3://%s%s", bucket, path);
    return wr_storage_open(wr_str(url), settings, ret, e);
}

static enum wr_status again(void *arg, struct wr_storage **ret, struct wr_err *e)
{
    const struct server *s = arg;
    return open_as(s, BUCKET, s->path, s->secret, ret, e);
}

static enum wr_status open_fresh(void *arg, struct wr_storage **ret, struct wr_err *e)
{
    struct server *s = arg;
    (void)snprintf(s->path, sizeof(s->path), "/%u", ++s->n);
    return again(arg, ret, e);
}

/* Our driver does not create buckets, so this signs a request by hand. */
static enum wr_status create_bucket(const struct server *s, struct wr_call *c, struct wr_err *e)
{
    struct wr_http *http = NULL;
    struct wr_http_resp resp = {.status = 0};
    char hash[2 * WR_SHA256_SIZE + 1], date[WR_SIGV4_DATE_MAX];
    struct wr_str authorization;
    const char *host = strstr(s->endpoint, "://") + 3;
    struct wr_http_header headers[4];
    struct wr_sigv4 in = {.method = "PUT",
        .path = WR_STR("/" BUCKET),
        .headers = headers,
        .n_headers = 3,
        .access_key = wr_str(s->access),
        .secret_key = wr_str(s->secret),
        .region = WR_STR("us-east-1"),
        .service = WR_STR("s3"),
        .time_ms = wr_wall_ms(c->clock)};
    enum wr_status st = wr_sigv4_hash((struct wr_bytes){(const uint8_t *)"", 0}, hash, e);
    if (st != WR_OK)
        return st;
    wr_sigv4_date(date, in.time_ms);
    headers[0] = (struct wr_http_header){WR_STR("host"), wr_str(host)};
    headers[1] = (struct wr_http_header){WR_STR("x-amz-content-sha256"), wr_str(hash)};
    headers[2] = (struct wr_http_header){WR_STR("x-amz-date"), wr_str(date)};
    in.payload_hash = wr_str(hash);
    st = wr_sigv4_sign(c->scratch, &in, &authorization, e);
    if (st != WR_OK)
        return st;
    headers[3] = (struct wr_http_header){WR_STR("authorization"), authorization};
    struct wr_str url = wr_arena_fmt(c->scratch, "%s/" BUCKET, s->endpoint);
    const struct wr_http_req req = {
        .method = "PUT", .url = url.p, .headers = headers, .n_headers = 4, .has_body = true};
    st = wr_http_new(NULL, &http, e);
    if (st == WR_OK)
        st = wr_http_do(http, c, &req, &resp, e);
    wr_http_free(http);
    if (st == WR_OK && resp.status != 200)
        st = wr_fail(e, WR_IO, "create bucket: %d", resp.status);
    return st;
}

static void wrong_secret_is_auth(void **state)
{
    const struct server *s = *state;
    struct wr_storage *storage = NULL;
    struct wr_err e = {0};
    struct wr_object o;
    T_OK(open_as(s, BUCKET, "/auth", "not the secret", &storage, &e));
    T_IS(WR_AUTH, wr_storage_put(storage, t_call(), WR_STR("auth/a"),
                      (struct wr_bytes){(const uint8_t *)"x", 1}, NULL, &e));
    T(strstr(e.text, "SignatureDoesNotMatch") != NULL);
    T(strstr(e.text, "secret-access-key") != NULL);
    T(strstr(e.text, WR_REQUEST_MARK "tx") != NULL); /* as Ceph calls them */
    T(strstr(e.text, "not the secret") == NULL);
    T_IS(WR_AUTH, wr_storage_stat(storage, t_call(), WR_STR("auth/a"), &o, &e));
    wr_storage_close(storage);
}

static bool count_one(void *arg, const struct wr_object *obj)
{
    (void)obj;
    ++*(size_t *)arg;
    return true;
}

static void missing_bucket_is_misuse(void **state)
{
    const struct server *s = *state;
    struct wr_storage *storage = NULL;
    struct wr_err e = {0};
    struct wr_object o;
    size_t n = 0;
    T_OK(open_as(s, "no-such-bucket", "/x", s->secret, &storage, &e));
    T_IS(WR_MISUSE, wr_storage_stat(storage, t_call(), WR_STR("x/a"), &o, &e));
    T(strstr(e.text, "bucket no-such-bucket does not exist") != NULL);
    T_IS(
        WR_MISUSE, wr_storage_list(storage, t_call(), WR_STR("x/"), WR_STR(""), count_one, &n, &e));
    T(n == 0);
    wr_storage_close(storage);
}

struct racer {
    struct wr_storage *storage;
    struct wr_thread thread;
    struct wr_arena scratch;
    enum wr_status st;
    uint8_t byte;
};

static void race(void *arg)
{
    struct racer *r = arg;
    struct wr_call c = {
        .scratch = &r->scratch, .clock = wr_clock_system(), .deadline_ms = WR_NEVER};
    const struct wr_put_opts o = {.if_absent = true};
    r->st = wr_storage_put(
        r->storage, &c, WR_STR("race/winner"), (struct wr_bytes){&r->byte, 1}, &o, NULL);
}

static void one_of_sixteen_creates(void **state)
{
    struct wr_storage *storage = NULL;
    struct wr_err e = {0};
    struct racer racers[RACERS];
    T_OK(open_as(*state, BUCKET, "/race", ((const struct server *)*state)->secret, &storage, &e));
    for (unsigned i = 0; i < RACERS; i++) {
        racers[i] = (struct racer){.storage = storage, .byte = (uint8_t)i};
        wr_arena_init(&racers[i].scratch, WR_ARENA_MAX);
        T_OK(wr_thread_start(&racers[i].thread, "racer", 0, race, &racers[i], &e));
    }
    unsigned won = 0;
    uint8_t winner = 0;
    for (unsigned i = 0; i < RACERS; i++) {
        wr_thread_join(&racers[i].thread);
        wr_arena_release(&racers[i].scratch);
        T(racers[i].st == WR_OK || racers[i].st == WR_CONFLICT);
        won += racers[i].st == WR_OK;
        if (racers[i].st == WR_OK)
            winner = racers[i].byte;
    }
    T(won == 1);
    uint8_t got = 99;
    size_t n = 0;
    T_OK(wr_storage_get(storage, t_call(), WR_STR("race/winner"), 0, &got, 1, &n, &e));
    T(n == 1 && got == winner);
    wr_storage_close(storage);
}

/* Four parts of 5 MiB in flight and a short one. */
static void large_upload(void **state)
{
    struct wr_storage *storage = NULL;
    struct wr_writer *w = NULL;
    struct wr_err e = {0};
    struct wr_call *c = t_call();
    struct wr_rand r;
    size_t size = ((size_t)20 << 20) + 12345, got = 0;
    uint8_t *p = wr_alloc(size), *back = wr_alloc(size);
    T(p != NULL && back != NULL);
    wr_rand_init(&r, t_seed());
    wr_rand_fill(&r, p, size);
    const struct wr_put_opts o = {.time_ms = 1790000000428};
    T_OK(open_as(*state, BUCKET, "/large", ((const struct server *)*state)->secret, &storage, &e));
    T_OK(wr_writer_open(storage, c, WR_STR("large/20"), &o, 0, &w, &e));
    T_OK(wr_writer_write(w, c, (struct wr_bytes){p, size}, &e));
    T_OK(wr_writer_commit(w, c, &e));
    T_OK(wr_storage_get(storage, c, WR_STR("large/20"), 0, back, size, &got, &e));
    T(got == size && memcmp(p, back, size) == 0);
    struct wr_object about = {0};
    T_OK(wr_storage_stat(storage, c, WR_STR("large/20"), &about, &e));
    T(about.size == size && about.time_ms == o.time_ms);
    wr_free(p);
    wr_free(back);
    wr_storage_close(storage);
}

int main(int argc, char **argv)
{
    struct server s = {.endpoint = getenv("WEIR_TEST_S3_ENDPOINT"),
        .access = getenv("WEIR_TEST_S3_ACCESS"),
        .secret = getenv("WEIR_TEST_S3_SECRET")};
    if (s.endpoint == NULL || s.access == NULL || s.secret == NULL) {
        (void)fprintf(stderr, "WEIR_TEST_S3_ENDPOINT, _ACCESS and _SECRET must be set\n");
        return EXIT_FAILURE;
    }
    struct wr_err e = {0};
    struct wr_call *c = t_call();
    if (create_bucket(&s, c, &e) != WR_OK) {
        (void)fprintf(stderr, "%s\n", e.text);
        return EXIT_FAILURE;
    }
    struct CMUnitTest tests[CONTRACT_CHECKS_MAX + 4] = {
        cmocka_unit_test_prestate(wrong_secret_is_auth, &s),
        cmocka_unit_test_prestate(missing_bucket_is_misuse, &s),
        cmocka_unit_test_prestate(one_of_sixteen_creates, &s),
        cmocka_unit_test_prestate(large_upload, &s),
    };
    struct contract_factory f = {.open = open_fresh,
        .again = again,
        .arg = &s,
        .part = (size_t)5 << 20,
        .many = 1100,
        .slow = true};
    size_t n = storage_contract(&f, tests + 4, CONTRACT_CHECKS_MAX);
    return t_main(argc, argv, tests, n + 4);
}
