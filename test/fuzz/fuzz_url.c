/*
 * fuzz_url.c - any text as a replica's URL: taken apart, cleaned for a log, and opened as far as
 * that goes without a network or a disk.
 *
 * A byte 1 of the input stands for SECRET. Beyond not crashing: no message about a URL that is
 * refused shows the secret; where the password is the only place that has it, nor does the text for
 * logs, nor any message of a storage; escapes and their reverse agree; a cleaned path stays so.
 */
#include "base/buf.h"
#include "base/url.h"
#include "fuzz/fuzz.h"
#include "storage/storage.h"

#define SECRET      "p-4ssw0rd"
#define SIZE_MAX_IN 4096

static bool has_secret(struct wr_str s)
{
    return fuzz_contains(s, WR_STR(SECRET));
}

/* The pairs of a query. Their keys are no secret. */
static bool query(struct wr_arena *a, struct wr_str q)
{
    struct wr_str key, value;
    bool secret = false;

    while (wr_url_query_next(a, &q, &key, &value)) {
        HOLDS(key.p && value.p);
        secret = secret || has_secret(key) || has_secret(value);
    }
    HOLDS(q.n == 0);
    return secret;
}

static void escapes(struct wr_arena *a, struct wr_str s)
{
    struct wr_buf out;

    wr_buf_init(&out, 3 * s.n);
    wr_url_encode(&out, s, false);
    HOLDS(wr_buf_status(&out) == WR_OK);

    struct wr_str back = wr_url_decode(a, wr_buf_view(&out));
    HOLDS(back.p && wr_str_eq(back, s));
    back = wr_url_decode(a, s);
    HOLDS(back.p && back.n <= s.n);
    wr_buf_release(&out);
}

static void paths(struct wr_arena *a, struct wr_str s)
{
    struct wr_str once = wr_path_clean(a, s), twice;

    HOLDS(once.p && once.n > 0 && once.n <= wr_max(s.n, (size_t)1));
    HOLDS((once.p[0] == '/') == wr_str_starts(s, WR_STR("/")));
    HOLDS(!fuzz_contains(once, WR_STR("//")) && !fuzz_contains(once, WR_STR("/./")));
    HOLDS(once.p[0] != '/' || !fuzz_contains(once, WR_STR("/../")));
    HOLDS(once.n == 1 || !wr_str_ends(once, WR_STR("/")));
    twice = wr_path_clean(a, once);
    HOLDS(wr_str_eq(once, twice));
}

/* A file's URL is not opened: its driver may look at the disk. */
static void storage(struct wr_str url, struct wr_str scheme, bool quiet)
{
    struct wr_storage *s = NULL;
    struct wr_err e = {0};
    enum wr_status st;

    if (wr_str_eq(scheme, WR_STR("file")))
        return;
    st = wr_storage_open(url, NULL, &s, &e);
    HOLDS(st == WR_OK || st == WR_MISUSE || st == WR_UNSUPPORTED || st == WR_LIMIT);
    if (st != WR_OK) {
        HOLDS(e.text[0] && memchr(e.text, 0, sizeof(e.text)));
        HOLDS(!quiet || !has_secret(wr_str(e.text)));
        return;
    }
    struct wr_str prefix = wr_storage_prefix(s);
    HOLDS(prefix.n == 0 || wr_str_ends(prefix, WR_STR("/")));
    HOLDS(!quiet || (!has_secret(wr_storage_name(s)) && !has_secret(prefix)));
    wr_storage_close(s);
}

static void one(struct wr_arena *a, struct wr_str s)
{
    struct wr_url u = {0};
    struct wr_err e = {0};
    enum wr_status st = wr_url_parse(a, s, &u, &e);
    struct wr_str log = wr_url_redact(a, s);

    HOLDS(log.p);
    escapes(a, s);
    paths(a, s);
    HOLDS(st == WR_OK || st == WR_MISUSE);
    if (st != WR_OK) {
        HOLDS(!has_secret(wr_str(e.text)));
        HOLDS(!wr_url_is(s) || !has_secret(log) || !fuzz_contains(s, WR_STR("@")));
        storage(s, WR_STR(""), !wr_url_is(s) && !has_secret(log));
        return;
    }
    HOLDS(wr_url_is(s) && u.scheme.n > 0 && u.port.n <= 5);
    HOLDS(!fuzz_contains(u.host, WR_STR("/")) && !fuzz_contains(u.host, WR_STR("@")));
    HOLDS(u.path.n == 0 || u.path.p[0] == '/');
    HOLDS(u.scheme.n + u.host.n + u.port.n + u.path.n + u.query.n + 3 <= s.n);
    bool in_query = query(a, u.query);
    bool only_password = !in_query && has_secret(u.password) && !has_secret(u.user) &&
                         !has_secret(u.host) && !has_secret(u.path) && !has_secret(u.query);
    HOLDS(!only_password || !has_secret(log));
    storage(s, u.scheme, only_password);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wr_call *c = fuzz_call();
    struct wr_buf text;

    if (size > SIZE_MAX_IN)
        return 0;
    wr_buf_init(&text, SIZE_MAX_IN * sizeof(SECRET));
    for (size_t i = 0; i < size; i++) {
        if (data[i] == 1)
            wr_buf_z(&text, SECRET);
        else
            wr_buf_byte(&text, data[i]);
    }
    HOLDS(wr_buf_status(&text) == WR_OK);
    one(c->scratch, wr_buf_view(&text));
    wr_buf_release(&text);
    return 0;
}
