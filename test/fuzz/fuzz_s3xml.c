/*
 * fuzz_s3xml.c - any bytes as an answer of S3: a listing, the parts of an upload, deletions, an
 * error. The first byte chooses which; the rest is the document.
 *
 * Beyond not crashing: memory in proportion to the answer; a listing that is accepted has at most
 * WR_S3_BATCH keys, none empty, and says where it goes on if it does; its keys come back the same
 * from a request that names them; codes have a meaning; paths are bounded.
 */
#include "base/xml.h"
#include "fuzz/fuzz.h"
#include "storage/s3_int.h"

/* An element's path and text are copied when they grow, and expat keeps its own memory. */
#define MEMORY(doc) ((doc).n * 64 + ((size_t)1 << 20))

static enum wr_status on_any(void *arg, struct wr_str path, struct wr_str text, struct wr_err *e)
{
    size_t *n = arg, slashes = 0;

    (void)e;
    for (size_t i = 0; i < path.n; i++)
        slashes += path.p[i] == '/';
    HOLDS(slashes < WR_XML_DEPTH_MAX && text.p);
    ++*n;
    return WR_OK;
}

static void any(struct wr_arena *a, struct wr_bytes doc)
{
    size_t n = 0;
    enum wr_status st = wr_xml_parse(a, doc, on_any, &n, NULL);

    HOLDS(st == WR_OK || st == WR_CORRUPT);
    HOLDS(st != WR_OK || n > 0);
    HOLDS(n <= doc.n);
}

struct keys {
    const struct wr_s3_page *page;
    size_t n;
};

static enum wr_status on_key(void *arg, struct wr_str path, struct wr_str text, struct wr_err *e)
{
    struct keys *k = arg;

    (void)e;
    if (!wr_str_eq(path, WR_STR("Delete/Object/Key")))
        return WR_OK;
    HOLDS(k->n < k->page->n && wr_str_eq(text, k->page->objects[k->n].key));
    k->n++;
    return WR_OK;
}

/* Name the keys of a listing in a request, and read the request. */
static void name_again(const struct wr_s3_page *page, struct wr_bytes doc)
{
    struct wr_str keys[WR_S3_BATCH];
    struct keys k = {.page = page};
    struct wr_arena a;
    struct wr_buf out;

    for (size_t i = 0; i < page->n; i++)
        keys[i] = page->objects[i].key;
    wr_arena_init(&a, WR_ARENA_MAX);
    wr_buf_init(&out, WR_ARENA_MAX);
    wr_s3_put_delete(&out, keys, page->n);
    HOLDS(wr_buf_status(&out) == WR_OK && out.n <= doc.n * 8 + 64 * (page->n + 1));
    HOLDS(wr_xml_parse(&a, wr_buf_bytes(&out), on_key, &k, NULL) == WR_OK && k.n == page->n);
    wr_buf_release(&out);
    wr_arena_release(&a);
}

static void listing(struct wr_arena *a, struct wr_bytes doc)
{
    struct wr_s3_page page = {0};
    enum wr_status st = wr_s3_parse_page(a, doc, &page, NULL);

    HOLDS(st == WR_OK || st == WR_CORRUPT);
    if (st != WR_OK)
        return;
    HOLDS(page.n <= WR_S3_BATCH && (!page.truncated || page.token.n > 0));
    for (size_t i = 0; i < page.n; i++) {
        HOLDS(page.objects[i].key.n > 0);
        HOLDS(!memchr(page.objects[i].key.p, 0, page.objects[i].key.n));
    }
    name_again(&page, doc);
}

static void error(struct wr_s3_error x)
{
    const char *advice = NULL;
    struct wr_buf out;

    HOLDS(wr_status_text(wr_s3_classify(x.code, 0, &advice)) && (!advice || advice[0]));
    HOLDS(wr_s3_classify(x.code, 500, &advice) != WR_OK);
    wr_buf_init(&out, WR_ARENA_MAX);
    wr_s3_put_part(&out, 1, x.message);
    HOLDS(wr_buf_status(&out) == WR_OK);
    wr_buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    uint8_t kind = fuzz_u8(&in) % 6;
    struct wr_bytes doc = {in.p, in.n};
    struct wr_s3_error x = {.code = {NULL, 0}};
    struct wr_str text = {NULL, 0};
    struct wr_arena *a = fuzz_call()->scratch;
    enum wr_status st = WR_OK;

    if (kind == 0)
        listing(a, doc);
    else if (kind == 1)
        st = wr_s3_parse_upload_id(a, doc, &text, NULL);
    else if (kind == 2)
        st = wr_s3_parse_complete(a, doc, &text, &x, NULL);
    else if (kind == 3)
        st = wr_s3_parse_deleted(a, doc, &x, NULL);
    else if (kind == 4)
        wr_s3_parse_error(a, doc, &x);
    else
        any(a, doc);
    HOLDS(st == WR_OK || st == WR_CORRUPT);
    HOLDS(kind != 1 || st != WR_OK || text.n > 0);
    if (st == WR_OK)
        error(x);
    HOLDS(a->used <= MEMORY(doc));
    return 0;
}
