/*
 * fuzz_json.c - any bytes as the fields of a log record, written as JSON and as text. (JSON is only
 * written here; the program reads none.)
 *
 * The input is the kinds and values of the fields, and the message.
 *
 * Beyond not crashing: another JSON library reads each line, and finds in it what was logged, but
 * for what was no UTF-8; no secret is in a line; a line of any format is one line, without a byte
 * that a terminal obeys, and valid UTF-8.
 */
#include "base/buf.h"
#include "daemon/logfmt.h"
#include "fuzz/fuzz.h"

#include <jansson.h>

#define FIELDS_MAX 8
#define SECRET     "s3cr3t-k3y"

struct record {
    struct wr_log_field fields[FIELDS_MAX];
    size_t n;
};

static void take(struct fuzz_in *in, struct record *r)
{
    static const char *const keys[FIELDS_MAX] = {"a", "b", "c", "db", "txid", "took", "error", "x"};
    size_t n = fuzz_u8(in) % (FIELDS_MAX + 1);

    for (r->n = 0; r->n < n; r->n++) {
        struct wr_log_field *f = &r->fields[r->n];

        *f = (struct wr_log_field){.key = keys[r->n]};
        f->kind = (enum wr_log_kind)(fuzz_u8(in) % (WR_LOG_SECRET + 1));
        if (f->kind == WR_LOG_SECRET)
            f->v.s = WR_STR(SECRET);
        else if (f->kind == WR_LOG_STR)
            f->v.s = fuzz_text(in, fuzz_u8(in));
        else
            f->v.u = fuzz_u64(in);
    }
}

/* The string is what was logged, or that was no UTF-8. */
static void same(const json_t *is, struct wr_str want)
{
    json_t *valid = json_stringn(want.p ? want.p : "", want.n); /* NULL unless UTF-8 */

    HOLDS(json_is_string(is));
    HOLDS(!valid || json_equal(valid, is));
    json_decref(valid);
}

static void compare(const json_t *line, const struct record *r)
{
    for (size_t i = 0; i < r->n; i++) {
        const struct wr_log_field *f = &r->fields[i];
        const json_t *v = json_object_get(line, f->key);
        char hex[17];

        HOLDS(v);
        switch (f->kind) {
        case WR_LOG_U64:
            HOLDS(json_is_number(v));
            HOLDS(f->v.u > INT64_MAX || (uint64_t)json_integer_value(v) == f->v.u);
            break;
        case WR_LOG_I64:
        case WR_LOG_MS:
            HOLDS(json_is_integer(v) && json_integer_value(v) == f->v.i);
            break;
        case WR_LOG_TXID:
            (void)snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)f->v.u);
            same(v, wr_str(hex));
            break;
        case WR_LOG_STR:
            same(v, f->v.s);
            break;
        case WR_LOG_SECRET:
            same(v, WR_STR("***"));
            break;
        }
    }
}

/* One line that no terminal minds. */
static void plain(struct wr_str line)
{
    json_t *utf8 = json_stringn(line.p, line.n);

    HOLDS(line.n > 0 && line.p[line.n - 1] == '\n' && utf8);
    for (size_t i = 0; i + 1 < line.n; i++) {
        unsigned char c = (unsigned char)line.p[i];

        HOLDS(c >= 0x20 && c != 0x7f);
        HOLDS(c != 0xc2 || (unsigned char)line.p[i + 1] >= 0xa0);
    }
    HOLDS(!fuzz_contains(line, WR_STR(SECRET)));
    json_decref(utf8);
}

/* As wr_logger_log puts it together. */
static void one(const struct record *r, const char *message, int64_t wall_ms)
{
    struct wr_buf fields, text, out;
    struct wr_log_line line = {.message = message, .wall_ms = wall_ms};

    wr_buf_init(&fields, (size_t)1 << 20);
    wr_buf_init(&text, (size_t)1 << 20);
    wr_buf_init(&out, (size_t)1 << 20);
    wr_log_json(&fields, r->fields, r->n);
    wr_log_text(&text, r->fields, r->n);
    wr_buf_byte(&fields, 0);
    wr_buf_byte(&text, 0);
    HOLDS(wr_buf_status(&fields) == WR_OK && wr_buf_status(&text) == WR_OK);
    line.json_fields = (const char *)fields.p;
    line.text_fields = (const char *)text.p;

    wr_logfmt(&out, WR_LOG_FORMAT_JSON, &line);
    plain(wr_buf_view(&out));
    json_t *doc =
        json_loadb((const char *)out.p, out.n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    /* Numbers over INT64_MAX are right, but more than this library keeps. */
    if (!doc)
        doc =
            json_loadb((const char *)out.p, out.n, JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, NULL);
    else
        compare(doc, r);
    HOLDS(doc);
    same(json_object_get(doc, "msg"), wr_str(message));
    json_decref(doc);

    wr_buf_clear(&out);
    wr_logfmt(&out, WR_LOG_FORMAT_TEXT, &line);
    plain(wr_buf_view(&out));
    wr_buf_release(&out);
    wr_buf_release(&text);
    wr_buf_release(&fields);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    struct record r = {.n = 0};
    char message[64];
    int64_t wall_ms = (int64_t)fuzz_u64(&in);
    struct wr_str text;

    if (fuzz_contains((struct wr_str){(const char *)data, size}, WR_STR(SECRET)))
        return 0; /* a mutator learns it, and then it is no secret */
    take(&in, &r);
    text = fuzz_text(&in, sizeof(message) - 1);
    if (text.n > 0)
        memcpy(message, text.p, text.n);
    message[text.n] = '\0';
    one(&r, message, wall_ms % INT64_C(253402300800000));
    return 0;
}
