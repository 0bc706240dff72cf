/*
 * s3_xml.c - the XML documents of S3, read and written.
 *
 *   <ListBucketResult>             <IsTruncated> <NextContinuationToken>
 *                                  <Contents> <Key> <LastModified> <ETag> <Size> </Contents> ...
 *   <InitiateMultipartUploadResult>  <UploadId>
 *   <CompleteMultipartUpload>      <Part> <PartNumber> <ETag> </Part> ...             (we send it)
 *   <CompleteMultipartUploadResult>  <ETag>
 *   <Delete>                       <Quiet> <Object> <Key> </Object> ...               (we send it)
 *   <DeleteResult>                 <Error> <Key> <Code> <Message> </Error> ...
 *   <Error>                        <Code> <Message> <Region>
 *
 * Source: Amazon S3 API Reference. Elements that are not named here are skipped. Knows no request.
 */
#include "storage/s3_int.h"

#include "base/xml.h"

/* The root element of a path, and what follows it. */
static struct wr_str below(struct wr_str path, const char *root)
{
    struct wr_str head, tail;
    (void)wr_str_cut(path, '/', &head, &tail);
    return wr_str_eq(head, wr_str(root)) ? tail : (struct wr_str){NULL, 0};
}

static bool is(struct wr_str path, const char *name)
{
    return wr_str_eq(path, wr_str(name));
}

static enum wr_status keep(
    struct wr_arena *a, struct wr_str text, struct wr_str *ret, struct wr_err *e)
{
    *ret = wr_arena_str(a, text);
    return ret->p != NULL ? WR_OK : wr_fail(e, WR_NOMEM, "out of memory for an answer");
}

/* Take down an element of an error, if `name` is one. */
static enum wr_status keep_error(struct wr_arena *a, struct wr_str name, struct wr_str text,
    struct wr_s3_error *error, struct wr_err *e)
{
    if (is(name, "Code"))
        return keep(a, wr_str_trim(text), &error->code, e);
    if (is(name, "Message"))
        return keep(a, wr_str_trim(text), &error->message, e);
    if (is(name, "Region"))
        return keep(a, wr_str_trim(text), &error->region, e);
    if (is(name, "Key"))
        return keep(a, text, &error->key, e);
    if (is(name, "RequestId"))
        return keep(a, wr_str_trim(text), &error->request, e);
    return WR_OK;
}

/* ---- listing ---- */

struct page_reader {
    struct wr_arena *a;
    struct wr_s3_page *page;
    struct wr_object object; /* the <Contents> being read */
    bool has_size, has_time, ended;
};

/* S3 dates an object that came in parts by the beginning of its upload, and shows it at the end.
 * Its tag has the number of parts behind a dash. */
static void set_stored(struct wr_object *o)
{
    o->in_parts = memchr(o->version.p ? o->version.p : "", '-', o->version.n) != NULL;
    o->stored_ms = o->in_parts ? o->time_ms + WR_STORAGE_UPLOAD_MS : o->time_ms;
}

static enum wr_status end_object(struct page_reader *r, struct wr_err *e)
{
    if (r->object.key.n == 0 || !r->has_size || !r->has_time)
        return wr_fail(e, WR_CORRUPT, "listing has an entry without key, size or time");
    if (r->page->n == WR_S3_BATCH)
        return wr_fail(e, WR_CORRUPT, "listing has more entries than were asked for");
    set_stored(&r->object);
    r->page->objects[r->page->n++] = r->object;
    r->object = (struct wr_object){.size = 0};
    r->has_size = false;
    r->has_time = false;
    return WR_OK;
}

static enum wr_status on_page(void *arg, struct wr_str path, struct wr_str text, struct wr_err *e)
{
    struct page_reader *r = arg;
    if (is(path, "ListBucketResult"))
        r->ended = true;
    struct wr_str name = below(path, "ListBucketResult");
    if (is(name, "Contents"))
        return end_object(r, e);
    if (is(name, "Contents/Key"))
        return keep(r->a, text, &r->object.key, e);
    if (is(name, "Contents/ETag"))
        return keep(r->a, wr_str_trim(text), &r->object.version, e);
    if (is(name, "NextContinuationToken"))
        return keep(r->a, wr_str_trim(text), &r->page->token, e);
    bool ok = true;
    if (is(name, "Contents/Size"))
        ok = r->has_size = wr_parse_u64(wr_str_trim(text), &r->object.size);
    else if (is(name, "Contents/LastModified"))
        ok = r->has_time = wr_parse_time(wr_str_trim(text), &r->object.time_ms);
    else if (is(name, "IsTruncated"))
        ok = wr_parse_bool(wr_str_trim(text), &r->page->truncated);
    return ok ? WR_OK : wr_fail(e, WR_CORRUPT, "listing has a bad " WR_FMT, WR_ARG(name));
}

enum wr_status wr_s3_parse_page(
    struct wr_arena *a, struct wr_bytes doc, struct wr_s3_page *ret, struct wr_err *e)
{
    *ret = (struct wr_s3_page){.objects = wr_arena_array(a, WR_S3_BATCH, sizeof(*ret->objects))};
    if (ret->objects == NULL)
        return wr_fail(e, WR_NOMEM, "out of memory for a listing");
    struct page_reader r = {.a = a, .page = ret};
    enum wr_status st = wr_xml_parse(a, doc, on_page, &r, e);
    if (st == WR_OK && !r.ended)
        st = wr_fail(e, WR_CORRUPT, "the answer is no listing; check the endpoint");
    if (st == WR_OK && ret->truncated && ret->token.n == 0)
        st = wr_fail(e, WR_CORRUPT, "listing is cut but does not say where it goes on");
    return st;
}

/* ---- everything else ---- */

struct reader {
    struct wr_arena *a;
    const char *root;
    struct wr_str *text; /* of the element `name` below root; NULL: none wanted */
    const char *name;
    struct wr_s3_error *error; /* NULL: not wanted */
    bool ended;
};

/* An element of <root>, or an <Error> that came instead of it. */
static enum wr_status on_element(
    void *arg, struct wr_str path, struct wr_str text, struct wr_err *e)
{
    struct reader *r = arg;
    if (is(path, r->root))
        r->ended = true;
    if (r->text != NULL && is(below(path, r->root), r->name))
        return keep(r->a, wr_str_trim(text), r->text, e);
    if (r->error != NULL)
        return keep_error(r->a, below(path, "Error"), text, r->error, e);
    return WR_OK;
}

enum wr_status wr_s3_parse_upload_id(
    struct wr_arena *a, struct wr_bytes doc, struct wr_str *ret, struct wr_err *e)
{
    *ret = (struct wr_str){NULL, 0};
    struct reader r = {
        .a = a, .root = "InitiateMultipartUploadResult", .text = ret, .name = "UploadId"};
    enum wr_status st = wr_xml_parse(a, doc, on_element, &r, e);
    if (st == WR_OK && ret->n == 0)
        st = wr_fail(e, WR_CORRUPT, "the answer has no UploadId");
    return st;
}

enum wr_status wr_s3_parse_complete(struct wr_arena *a, struct wr_bytes doc, struct wr_str *ret_tag,
    struct wr_s3_error *ret_error, struct wr_err *e)
{
    *ret_tag = (struct wr_str){NULL, 0};
    *ret_error = (struct wr_s3_error){.code = {NULL, 0}};
    struct reader r = {.a = a,
        .root = "CompleteMultipartUploadResult",
        .text = ret_tag,
        .name = "ETag",
        .error = ret_error};
    enum wr_status st = wr_xml_parse(a, doc, on_element, &r, e);
    if (st == WR_OK && !r.ended && ret_error->code.n == 0)
        st = wr_fail(e, WR_CORRUPT, "the answer has neither result nor error");
    return st;
}

void wr_s3_parse_error(struct wr_arena *a, struct wr_bytes doc, struct wr_s3_error *ret)
{
    *ret = (struct wr_s3_error){.code = {NULL, 0}};
    struct reader r = {.a = a, .root = "Error", .error = ret};
    if (doc.n == 0 || wr_xml_parse(a, doc, on_element, &r, NULL) != WR_OK)
        *ret = (struct wr_s3_error){.code = {NULL, 0}};
}

struct deleted_reader {
    struct wr_arena *a;
    struct wr_s3_error now, *first;
    bool ended;
};

static enum wr_status on_deleted(
    void *arg, struct wr_str path, struct wr_str text, struct wr_err *e)
{
    struct deleted_reader *r = arg;
    if (is(path, "DeleteResult"))
        r->ended = true;
    struct wr_str name = below(path, "DeleteResult"), head, tail;
    if (is(name, "Error")) {
        /* Some stores report a key that was gone already; that is what we wanted. */
        if (r->first->code.n == 0 && !is(r->now.code, "NoSuchKey"))
            *r->first = r->now;
        if (r->first->code.n == 0 && r->now.code.n == 0)
            r->first->code = WR_STR("unknown");
        r->now = (struct wr_s3_error){.code = {NULL, 0}};
        return WR_OK;
    }
    if (wr_str_cut(name, '/', &head, &tail) && is(head, "Error"))
        return keep_error(r->a, tail, text, &r->now, e);
    return WR_OK;
}

enum wr_status wr_s3_parse_deleted(
    struct wr_arena *a, struct wr_bytes doc, struct wr_s3_error *ret, struct wr_err *e)
{
    *ret = (struct wr_s3_error){.code = {NULL, 0}};
    struct deleted_reader r = {.a = a, .first = ret};
    enum wr_status st = wr_xml_parse(a, doc, on_deleted, &r, e);
    if (st == WR_OK && !r.ended)
        st = wr_fail(e, WR_CORRUPT, "the answer does not say what was deleted");
    return st;
}

/* Text in an element. A carriage return would be read as a line feed if it were sent as it is. */
static void put_text(struct wr_buf *out, struct wr_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char ch = (unsigned char)s.p[i];
        if (ch == '&')
            wr_buf_z(out, "&amp;");
        else if (ch == '<')
            wr_buf_z(out, "&lt;");
        else if (ch == '>')
            wr_buf_z(out, "&gt;");
        else if (ch < 0x20)
            wr_buf_fmt(out, "&#%u;", (unsigned)ch);
        else
            wr_buf_byte(out, ch);
    }
}

void wr_s3_put_delete(struct wr_buf *out, const struct wr_str *keys, size_t n)
{
    wr_buf_z(out, "<Delete><Quiet>true</Quiet>");
    for (size_t i = 0; i < n; i++) {
        wr_buf_z(out, "<Object><Key>");
        put_text(out, keys[i]);
        wr_buf_z(out, "</Key></Object>");
    }
    wr_buf_z(out, "</Delete>");
}

void wr_s3_put_part(struct wr_buf *out, unsigned number, struct wr_str tag)
{
    wr_buf_fmt(out, "<Part><PartNumber>%u</PartNumber><ETag>", number);
    put_text(out, tag);
    wr_buf_z(out, "</ETag></Part>");
}
