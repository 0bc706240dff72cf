/*
 * fuzz_awsanswer.c - any bytes as what the services of AWS answer, and what a credential_process
 * prints: the metadata service, the agent of a container and a program in JSON, STS in XML, to each
 * of two actions.
 *
 * The first byte chooses the format, the second the status. Flag MADE: the rest is the keys, from
 * which an answer is made here, each character that is no letter by its number.
 *
 * Beyond not crashing: keys that are taken are whole, fit, and have nothing that could end a
 * header; what was made is read as it was meant; no text shows a secret key; twice the same gives
 * the same.
 */
#include "base/buf.h"
#include "fuzz/fuzz.h"
#include "net/awsanswer.h"

enum {
    XML = 1,
    MADE = 2,
    REFUSED = 4, /* of what is made */
    LONG = 8,    /* its token is repeated, so that it may be too long */
    OTHER = 16   /* a program's, not a service's; AssumeRole, not with a web identity */
};

#define MADE_MAX ((size_t)256 << 10)

static const int statuses[] = {200, 400, 403, 429, 500, 503};

static const char *action(unsigned flags)
{
    return flags & OTHER ? "AssumeRole" : "AssumeRoleWithWebIdentity";
}

static enum wr_status take(
    unsigned flags, struct wr_str text, int status, struct wr_aws_role *ret, struct wr_err *e)
{
    *ret = (struct wr_aws_role){.expires_ms = 77};
    *e = (struct wr_err){.code = WR_OK};
    if (flags & XML)
        return wr_aws_take_xml(fuzz_call(), text, action(flags), status, ret, e);
    return flags & OTHER ? wr_aws_take_process(text, "the program", ret, e)
                         : wr_aws_take_json(text, "the role", ret, e);
}

static bool is_plain(const struct wr_aws_role *r, struct wr_str s)
{
    HOLDS(s.n == 0 || (s.p >= r->text && s.p + s.n <= r->text + sizeof(r->text)));
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '!' || s.p[i] > '~')
            return false;
    }
    return true;
}

static enum wr_status read_one(
    unsigned flags, struct wr_str text, int status, struct wr_aws_role *ret, struct wr_err *e)
{
    static struct wr_aws_role again;
    struct wr_err same;
    const bool xml = flags & XML;
    enum wr_status st = take(flags, text, status, ret, e);

    HOLDS(take(flags, text, status, &again, &same) == st && strcmp(e->text, same.text) == 0);
    HOLDS(st == WR_OK || st == WR_CORRUPT || st == WR_AUTH || st == WR_BUSY || st == WR_LIMIT);
    HOLDS(!xml || status == 200 || st == WR_AUTH || st == WR_BUSY);
    HOLDS(xml || st != WR_BUSY);
    HOLDS(xml || !(flags & OTHER) || st != WR_AUTH);
    if (st == WR_OK) {
        HOLDS(ret->creds.access_key.n > 0 && ret->creds.secret_key.n > 0);
        HOLDS(is_plain(ret, ret->creds.access_key) && is_plain(ret, ret->creds.secret_key) &&
              is_plain(ret, ret->creds.token));
        HOLDS(wr_str_eq(again.creds.access_key, ret->creds.access_key) &&
              wr_str_eq(again.creds.secret_key, ret->creds.secret_key) &&
              wr_str_eq(again.creds.token, ret->creds.token));
        HOLDS(again.expires_ms == ret->expires_ms && ret->expires_ms != 77);
    }
    return st;
}

/* ---- what is made ---- */

struct made {
    char key[3][600]; /* access, secret, token */
    size_t n[3];
    size_t times; /* the token stands there */
};

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static void put_text(struct wr_buf *out, bool xml, const char *p, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t *to = wr_buf_grow(out, 6 * n);

    HOLDS(to);
    for (size_t i = 0; i < n; i++) {
        uint8_t *hex = to + (xml ? 3 : 4);

        if (is_letter(p[i])) {
            *to++ = (uint8_t)p[i];
            continue;
        }
        memcpy(to, xml ? "&#x..;" : "\\u00..", 6);
        hex[0] = (uint8_t)digits[(unsigned char)p[i] >> 4];
        hex[1] = (uint8_t)digits[p[i] & 15];
        to += 6;
    }
    out->n = (size_t)(to - out->p);
}

static void put_answer(struct wr_buf *out, unsigned flags, const struct made *m)
{
    const bool xml = flags & XML, refused = flags & REFUSED, other = flags & OTHER;
    const char *const json[] = {"\"AccessKeyId\":\"", "\",\"SecretAccessKey\":\"",
        other ? "\",\"SessionToken\":\"" : "\",\"Token\":\"",
        "\",\"Expiration\":\"2026-05-01T16:00:00Z\"}"};
    static const char *const elements[] = {"<AccessKeyId>", "</AccessKeyId><SecretAccessKey>",
        "</SecretAccessKey><SessionToken>",
        "</SessionToken><Expiration>2026-05-01T16:00:00Z</Expiration></Credentials>"};

    if (xml)
        wr_buf_fmt(out, "<%sResponse><%sResult><Credentials>", action(flags), action(flags));
    else if (other)
        wr_buf_z(out, refused ? "{\"Version\":2," : "{\"Version\":1,");
    else
        wr_buf_z(out, refused ? "{\"Code\":\"No\",\"Message\":\"why\"," : "{\"Code\":\"Success\",");
    for (size_t i = 0; i < 3; i++) {
        wr_buf_z(out, xml ? elements[i] : json[i]);
        for (size_t k = 0; k < (i == 2 ? m->times : 1); k++)
            put_text(out, xml, m->key[i], m->n[i]);
    }
    wr_buf_z(out, xml ? elements[3] : json[3]);
    if (xml)
        wr_buf_fmt(out, "</%sResult></%sResponse>", action(flags), action(flags));
}

static void make(struct fuzz_in *in, unsigned flags, int status)
{
    static struct wr_aws_role role;
    const bool xml = flags & XML;
    struct made m = {.times = flags & LONG ? 9 : 1};
    struct wr_buf text;
    struct wr_err e;
    enum wr_status st, want = WR_OK;

    for (size_t i = 0; i < 3; i++) {
        struct wr_bytes b = fuzz_piece(in, fuzz_u8(in) * 2);

        m.n[i] = b.n;
        for (size_t k = 0; k < b.n; k++)
            m.key[i][k] = (char)('!' + b.p[k] % ('~' - '!' + 1));
    }
    if (m.n[0] == 0 || m.n[1] == 0)
        want = WR_CORRUPT;
    else if (m.n[0] + m.n[1] + m.times * m.n[2] > WR_AWS_CREDS_MAX)
        want = WR_LIMIT;
    if (!xml && (flags & REFUSED))
        want = flags & OTHER ? WR_CORRUPT : WR_AUTH;
    if (xml && status != 200)
        want = status == 400 || status == 403 ? WR_AUTH : WR_BUSY;
    wr_buf_init(&text, MADE_MAX);
    put_answer(&text, flags, &m);
    HOLDS(wr_buf_status(&text) == WR_OK);
    st = read_one(flags, wr_buf_view(&text), status, &role, &e);
    HOLDS(st == want);
    if (st == WR_OK) {
        HOLDS(wr_str_eq(role.creds.access_key, (struct wr_str){m.key[0], m.n[0]}));
        HOLDS(wr_str_eq(role.creds.secret_key, (struct wr_str){m.key[1], m.n[1]}));
        HOLDS(role.creds.token.n == m.times * m.n[2]);
        HOLDS(m.n[2] == 0 || memcmp(role.creds.token.p, m.key[2], m.n[2]) == 0);
        HOLDS(role.expires_ms == INT64_C(1777651200000));
    }
    /* With a '+', which no message has, so that it cannot stand there by chance. */
    if (fuzz_contains((struct wr_str){m.key[1], m.n[1]}, WR_STR("+")))
        HOLDS(!fuzz_contains(wr_str(e.text), (struct wr_str){m.key[1], m.n[1]}));
    wr_buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct wr_aws_role role;
    struct fuzz_in in = {data, size};
    struct wr_err e;
    unsigned flags = fuzz_u8(&in);
    int status = statuses[fuzz_u8(&in) % wr_countof(statuses)];

    if (flags & MADE)
        make(&in, flags, status);
    else
        (void)read_one(flags, (struct wr_str){(const char *)in.p, in.n}, status, &role, &e);
    return 0;
}
