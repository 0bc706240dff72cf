/*
 * test_s3_xml.c - the documents of S3: listings against a model, errors, and damage.
 */
#include "base/mem.h"
#include "base/rand.h"
#include "base/url.h"
#include "base/xml.h"
#include "harness/t.h"
#include "storage/s3_int.h"

static struct wr_bytes bytes(const char *z)
{
    return (struct wr_bytes){(const uint8_t *)z, strlen(z)};
}

static const char listing[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name>"
    "<Prefix>p/</Prefix><MaxKeys>1000</MaxKeys><IsTruncated>true</IsTruncated>"
    "<Contents><Key>p/a &amp; &lt;b&gt; </Key><LastModified>2026-11-22T18:54:31.428Z</LastModified>"
    "<ETag>&quot;abc&quot;</ETag><Size>18446744073709551615</Size><Owner><ID>x</ID></Owner>"
    "<StorageClass>STANDARD</StorageClass></Contents>"
    "<Contents><Size>0</Size><Key>p/\xc3\xa9</Key><LastModified>2026-11-22T18:54:31Z</LastModified>"
    "</Contents><Contents><Size>9</Size><Key>p/z</Key><LastModified>2026-11-22T18:54:31Z"
    "</LastModified><ETag>\"abc-12\"</ETag></Contents><CommonPrefixes><Prefix>q/</Prefix></"
    "CommonPrefixes>"
    "<NextContinuationToken>1/+=</NextContinuationToken></ListBucketResult>";

static void pages(void **state)
{
    struct wr_s3_page page;
    struct wr_err e = {0};
    (void)state;
    T_OK(wr_s3_parse_page(t_call()->scratch, bytes(listing), &page, &e));
    T(page.n == 3 && page.truncated && wr_str_eq(page.token, WR_STR("1/+=")));
    T(wr_str_eq(page.objects[0].key, WR_STR("p/a & <b> "))); /* not trimmed */
    T(page.objects[0].size == UINT64_MAX && page.objects[0].time_ms == 1795373671428);
    T(wr_str_eq(page.objects[0].version, WR_STR("\"abc\"")));
    T(wr_str_eq(page.objects[1].key, WR_STR("p/\xc3\xa9")));
    T(page.objects[1].size == 0 && page.objects[1].version.n == 0);
    T(page.objects[0].stored_ms == page.objects[0].time_ms && !page.objects[0].in_parts);
    T(page.objects[1].stored_ms == page.objects[1].time_ms);
    /* of one that came in parts only the beginning is known */
    T(page.objects[2].stored_ms == page.objects[2].time_ms + WR_STORAGE_UPLOAD_MS);
    T(page.objects[2].in_parts);
}

static void a_page_is_bounded(void **state)
{
    struct wr_buf b;
    struct wr_s3_page page;
    struct wr_err e = {0};
    (void)state;
    wr_buf_init(&b, (size_t)1 << 20);
    wr_buf_z(&b, "<ListBucketResult>");
    for (int i = 0; i < WR_S3_BATCH; i++)
        wr_buf_fmt(&b,
            "<Contents><Key>%d</Key><Size>1</Size>"
            "<LastModified>2026-11-22T18:54:31Z</LastModified></Contents>",
            i);
    size_t n = b.n;
    wr_buf_z(&b, "</ListBucketResult>");
    T_OK(wr_s3_parse_page(t_call()->scratch, wr_buf_bytes(&b), &page, &e));
    T(page.n == WR_S3_BATCH);
    b.n = n;
    wr_buf_z(&b, "<Contents><Key>x</Key><Size>1</Size>"
                 "<LastModified>2026-11-22T18:54:31Z</LastModified></Contents></ListBucketResult>");
    T_IS(WR_CORRUPT, wr_s3_parse_page(t_call()->scratch, wr_buf_bytes(&b), &page, &e));
    wr_buf_release(&b);
}

static void upload_ids(void **state)
{
    struct wr_str id;
    struct wr_err e = {0};
    struct wr_arena *a = t_call()->scratch;
    (void)state;
    T_OK(wr_s3_parse_upload_id(a,
        bytes("<InitiateMultipartUploadResult><Bucket>b</Bucket><UploadId>a/b+c==</UploadId>"
              "</InitiateMultipartUploadResult>"),
        &id, &e));
    assert_string_equal(id.p, "a/b+c==");
    T_IS(WR_CORRUPT, wr_s3_parse_upload_id(a, bytes("<InitiateMultipartUploadResult/>"), &id, &e));
    T_IS(WR_CORRUPT, wr_s3_parse_upload_id(a, bytes("<X><UploadId>a</UploadId></X>"), &id, &e));
}

static void completions(void **state)
{
    struct wr_str tag;
    struct wr_s3_error error;
    struct wr_err e = {0};
    struct wr_arena *a = t_call()->scratch;
    (void)state;
    T_OK(wr_s3_parse_complete(a,
        bytes("  \n<CompleteMultipartUploadResult><ETag>\"x-2\"</ETag>"
              "</CompleteMultipartUploadResult>"),
        &tag, &error, &e));
    T(wr_str_eq(tag, WR_STR("\"x-2\"")) && error.code.n == 0);
    T_OK(wr_s3_parse_complete(a,
        bytes("<CompleteMultipartUploadResult><ETag></ETag></CompleteMultipartUploadResult>"), &tag,
        &error, &e));
    T(tag.n == 0 && error.code.n == 0);
    T_OK(wr_s3_parse_complete(a,
        bytes("<Error><Code>InternalError</Code><Message>m</Message></Error>"), &tag, &error, &e));
    assert_string_equal(error.code.p, "InternalError");
    T_IS(WR_CORRUPT, wr_s3_parse_complete(a, bytes("<x/>"), &tag, &error, &e));
    T_IS(WR_CORRUPT, wr_s3_parse_complete(a, bytes(""), &tag, &error, &e));
}

static void deletions(void **state)
{
    struct wr_s3_error error;
    struct wr_err e = {0};
    struct wr_arena *a = t_call()->scratch;
    (void)state;
    T_OK(wr_s3_parse_deleted(a, bytes("<DeleteResult xmlns=\"x\"/>"), &error, &e));
    T(error.code.n == 0);
    T_OK(wr_s3_parse_deleted(a,
        bytes("<DeleteResult><Deleted><Key>z</Key></Deleted>"
              "<Error><Key>gone</Key><Code>NoSuchKey</Code></Error>"
              "<Error><Key>a</Key><Code>AccessDenied</Code><Message>m</Message></Error>"
              "<Error><Key>b</Key><Code>SlowDown</Code></Error></DeleteResult>"),
        &error, &e));
    assert_string_equal(error.key.p, "a");
    assert_string_equal(error.code.p, "AccessDenied");
    T_OK(wr_s3_parse_deleted(
        a, bytes("<DeleteResult><Error><Key>a</Key></Error></DeleteResult>"), &error, &e));
    T(error.code.n > 0); /* an error without a code is one all the same */
    T_IS(WR_CORRUPT, wr_s3_parse_deleted(a, bytes("<html/>"), &error, &e));
}

static void errors(void **state)
{
    struct wr_s3_error error;
    struct wr_arena *a = t_call()->scratch;
    (void)state;
    wr_s3_parse_error(a,
        bytes("<?xml version=\"1.0\"?>\n<Error><Code> PermanentRedirect\n</Code>"
              "<Message>go &amp; see</Message><Region>eu-west-1</Region></Error>"),
        &error);
    assert_string_equal(error.code.p, "PermanentRedirect");
    assert_string_equal(error.message.p, "go & see");
    assert_string_equal(error.region.p, "eu-west-1");
    static const char *const none[] = {"", "nginx: 502", "<html><Code>x</Code></html>",
        "<Error><Code>Cut", "<!DOCTYPE x><Error><Code>x</Code></Error>"};
    for (size_t i = 0; i < wr_countof(none); i++) {
        wr_s3_parse_error(a, bytes(none[i]), &error);
        T(error.code.n == 0 && error.message.n == 0 && error.region.n == 0);
    }
}

struct collected {
    struct wr_arena *a;
    struct wr_str texts[64];
    const char *path;
    size_t n;
};

static enum wr_status collect(void *arg, struct wr_str path, struct wr_str text, struct wr_err *e)
{
    struct collected *c = arg;
    (void)e;
    if (wr_str_eq(path, wr_str(c->path)))
        c->texts[c->n++] = wr_arena_str(c->a, text);
    return WR_OK;
}

/* Keys of any characters that XML can hold come out of a delete request as they went in. */
static void random_keys_survive(void **state)
{
    struct wr_rand r;
    (void)state;
    wr_rand_init(&r, t_seed());
    for (int round = 0; round < 500; round++) {
        struct wr_arena a;
        struct wr_buf b;
        struct wr_err e = {0};
        struct wr_str keys[40] = {{NULL, 0}};
        char text[40][12];
        size_t n = 1 + wr_rand_below(&r, 40);
        wr_arena_init(&a, WR_ARENA_MAX);
        wr_buf_init(&b, (size_t)1 << 20);
        for (size_t i = 0; i < n; i++) {
            keys[i] = (struct wr_str){text[i], 1 + wr_rand_below(&r, 12)};
            for (size_t j = 0; j < keys[i].n; j++)
                text[i][j] = "ab/&<>\"';]\t\n\r %+"[wr_rand_below(&r, 16)];
        }
        wr_s3_put_delete(&b, keys, n);
        struct collected c = {.a = &a, .path = "Delete/Object/Key"};
        T_OK(wr_xml_parse(&a, wr_buf_bytes(&b), collect, &c, &e));
        T(c.n == n);
        for (size_t i = 0; i < n; i++)
            T(wr_str_eq(c.texts[i], keys[i]));
        wr_buf_clear(&b);
        wr_buf_z(&b, "<C>");
        for (size_t i = 0; i < n; i++)
            wr_s3_put_part(&b, (unsigned)i + 1, keys[i]);
        wr_buf_z(&b, "</C>");
        c = (struct collected){.a = &a, .path = "C/Part/ETag"};
        T_OK(wr_xml_parse(&a, wr_buf_bytes(&b), collect, &c, &e));
        T(c.n == n && wr_str_eq(c.texts[n - 1], keys[n - 1]));
        wr_buf_release(&b);
        wr_arena_release(&a);
    }
}

/* A listing with any bytes changed or cut is refused or read; nothing else. */
static void damaged_listings(void **state)
{
    struct wr_rand r;
    char text[sizeof(listing)];
    (void)state;
    wr_rand_init(&r, t_seed());
    for (int round = 0; round < 3000; round++) {
        struct wr_arena a;
        struct wr_s3_page page;
        memcpy(text, listing, sizeof(listing));
        size_t n = sizeof(listing) - 1;
        for (uint64_t k = wr_rand_below(&r, 4); k > 0; k--)
            text[wr_rand_below(&r, n)] = (char)wr_rand_below(&r, 256);
        if (wr_rand_below(&r, 2))
            n = wr_rand_below(&r, n);
        wr_arena_init(&a, WR_ARENA_MAX);
        enum wr_status st =
            wr_s3_parse_page(&a, (struct wr_bytes){(const uint8_t *)text, n}, &page, NULL);
        T(st == WR_OK || st == WR_CORRUPT);
        for (size_t i = 0; st == WR_OK && i < page.n; i++)
            T(page.objects[i].key.n > 0);
        wr_arena_release(&a);
    }
}

static enum wr_status sweep_body(void *arg)
{
    struct wr_arena a;
    struct wr_s3_page page;
    (void)arg;
    wr_arena_init(&a, WR_ARENA_MAX);
    enum wr_status st = wr_s3_parse_page(&a, bytes(listing), &page, NULL);
    wr_arena_release(&a);
    return st;
}

static void out_of_memory(void **state)
{
    (void)state;
    t_sweep_nomem(sweep_body, NULL);
}

T_MAIN(T_TEST(pages), T_TEST(a_page_is_bounded), T_TEST(upload_ids), T_TEST(completions),
    T_TEST(deletions), T_TEST(errors), T_TEST(random_keys_survive), T_TEST(damaged_listings),
    T_TEST(out_of_memory))
