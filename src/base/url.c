/*
 * url.c - reading and writing replica URLs. Splits text; refuses to know what a scheme, an option
 * or a bucket means.
 *
 * The format (RFC 3986, with the liberties that replica URLs take):
 *
 *   scheme "://" [ user [ ":" password ] "@" ] host [ ":" port ] [ "/" path ] [ "?" query ]
 *
 * The authority ends at the first '/' or '?'. userinfo ends at its last '@'. A host that starts
 * with "arn:" contains colons and has no port. '#' is refused wherever it stands: as a fragment it
 * would silently be dropped, and two databases would share one replica.
 */
#include "base/url.h"

#define PORT_DIGITS_MAX 5

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The value of a hex digit, or -1. */
static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Bytes before "://", 0 when `s` is no URL. */
static size_t scheme_size(struct wr_str s)
{
    size_t n = 0;

    while (n < s.n && (is_alnum(s.p[n]) || s.p[n] == '_'))
        n++;
    return n > 0 && wr_str_starts(wr_str_skip(s, n), WR_STR("://")) ? n : 0;
}

bool wr_url_is(struct wr_str s)
{
    return scheme_size(s) > 0;
}

/* Index of the first byte of `s` that is in `set`, or s.n. */
static size_t find_any(struct wr_str s, const char *set)
{
    size_t i = 0;

    while (i < s.n && (s.p[i] == '\0' || strchr(set, s.p[i]) == NULL))
        i++;
    return i;
}

static bool is_arn(struct wr_str host)
{
    return host.n >= 4 && wr_str_eq_nocase((struct wr_str){host.p, 4}, WR_STR("arn:"));
}

static bool is_port(struct wr_str s)
{
    uint64_t number;

    for (size_t i = 0; i < s.n; i++) {
        if (!is_digit(s.p[i]))
            return false;
    }
    return s.n <= PORT_DIGITS_MAX && (s.n == 0 || (wr_parse_u64(s, &number) && number <= 65535));
}

/* Split host and port; what is wrong with them, or NULL. */
static const char *split_port(struct wr_str s, struct wr_str *ret_host, struct wr_str *ret_port)
{
    struct wr_str host = s;
    struct wr_str port = {0};

    if (s.n > 0 && s.p[0] == '[') {
        size_t close = find_any(s, "]");
        struct wr_str rest = wr_str_skip(s, close);

        if (rest.n == 0)
            return "'[' without ']' in the host";
        if (rest.n > 1 && rest.p[1] != ':')
            return "text between ']' and the port";
        host = (struct wr_str){s.p, close + 1};
        port = wr_str_skip(rest, wr_min(rest.n, (size_t)2));
    } else if (!is_arn(s)) {
        (void)wr_str_cut_last(s, ':', &host, &port); /* without a ':' all of it is the host */
        if (find_any(host, ":") < host.n)
            return "more than one ':' in the host; an IPv6 address needs brackets";
    }
    if (!is_port(port))
        return "the port is not a number up to 65535; in a password write %2F for '/', %3F for '?'";
    *ret_host = host;
    *ret_port = port;
    return NULL;
}

static char to_lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static bool is_file(struct wr_str scheme)
{
    return wr_str_eq_nocase(scheme, WR_STR("file"));
}

/* What makes any text unfit for a URL, or NULL. In a file URL, which has no escapes, '#' is part of
 * a name. */
static const char *check_bytes(struct wr_str s, bool of_file)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return "control character in it";
        if (s.p[i] == '#' && !of_file)
            return "'#' in it; write %23";
    }
    return NULL;
}

/* Whatever is wrong, the text names the scheme at most: a mistyped URL may show a password
 * anywhere. */
enum wr_status wr_url_parse(
    struct wr_arena *a, struct wr_str s, struct wr_url *ret, struct wr_err *e)
{
    struct wr_url u = {0};
    size_t scheme_n = scheme_size(s);

    if (scheme_n == 0)
        return wr_fail(e, WR_MISUSE, "not a URL: it must start with a scheme and \"://\"");

    const char *wrong = check_bytes(s, is_file((struct wr_str){s.p, scheme_n}));
    struct wr_str rest = wr_str_skip(s, scheme_n + 3);
    size_t authority_n = find_any(rest, "/?");
    struct wr_str authority = {rest.p, authority_n};
    struct wr_str userinfo = {0};
    struct wr_str hostport = authority;

    if (find_any(authority, "@") < authority.n)
        (void)wr_str_cut_last(authority, '@', &userinfo, &hostport);
    if (wrong == NULL)
        wrong = split_port(hostport, &u.host, &u.port);
    if (wrong != NULL)
        return wr_fail(e, WR_MISUSE, WR_FMT " URL: %s", (int)scheme_n, s.p, wrong);

    struct wr_str user;
    struct wr_str password;
    (void)wr_str_cut(userinfo, ':', &user, &password);
    (void)wr_str_cut(wr_str_skip(rest, authority_n), '?', &u.path, &u.query);

    struct wr_str scheme = wr_arena_str(a, (struct wr_str){s.p, scheme_n});
    u.user = wr_url_decode(a, user);
    u.password = wr_url_decode(a, password);
    if (scheme.p == NULL || u.user.p == NULL || u.password.p == NULL)
        return wr_fail(e, WR_NOMEM, "parse URL: out of memory");

    char *lower = wr_arena_alloc(a, scheme_n + 1);
    if (lower == NULL)
        return wr_fail(e, WR_NOMEM, "parse URL: out of memory");
    for (size_t i = 0; i < scheme_n; i++)
        lower[i] = to_lower(s.p[i]);
    u.scheme = (struct wr_str){lower, scheme_n};
    *ret = u;
    return WR_OK;
}

/* Percent-decode; in queries '+' is a space as well, as HTML forms have it. */
static struct wr_str decode(struct wr_arena *a, struct wr_str s, bool plus)
{
    char *out = wr_arena_alloc(a, s.n + 1);
    size_t n = 0;

    if (out == NULL)
        return (struct wr_str){0};
    for (size_t i = 0; i < s.n; i++) {
        int high = s.p[i] == '%' && s.n - i > 2 ? hex_value(s.p[i + 1]) : -1;
        int low = high >= 0 ? hex_value(s.p[i + 2]) : -1;

        if (low >= 0) {
            out[n++] = (char)(high << 4 | low);
            i += 2;
        } else {
            out[n++] = (char)(plus && s.p[i] == '+' ? ' ' : s.p[i]);
        }
    }
    return (struct wr_str){out, n};
}

bool wr_url_query_next(
    struct wr_arena *a, struct wr_str *query, struct wr_str *ret_key, struct wr_str *ret_value)
{
    struct wr_str pair = {0};
    struct wr_str rest = *query;
    struct wr_str key;
    struct wr_str value;

    while (pair.n == 0) { /* "a=1&&b=2" has two */
        if (rest.n == 0) {
            *query = rest;
            return false;
        }
        (void)wr_str_cut(rest, '&', &pair, &rest);
    }
    (void)wr_str_cut(pair, '=', &key, &value);
    key = decode(a, key, true);
    value = decode(a, value, true);
    if (key.p == NULL || value.p == NULL)
        return false;
    *query = rest;
    *ret_key = key;
    *ret_value = value;
    return true;
}

/* Whether `key` is the camelCase spelling of the hyphenated `name`. Inside a word case does not
 * matter, because people write both MD5 and Md5. */
static bool camel_eq(struct wr_str key, const char *name)
{
    size_t i = 0;
    bool word = false; /* at the first letter of a later word */

    for (const char *p = name; *p; p++) {
        if (*p == '-') {
            word = true;
            continue;
        }
        if (i == key.n || to_lower(key.p[i]) != *p)
            return false;
        bool upper = key.p[i] != to_lower(key.p[i]);
        bool letter = *p >= 'a' && *p <= 'z';
        if (letter && ((word && !upper) || (i == 0 && upper)))
            return false;
        word = false;
        i++;
    }
    return i == key.n;
}

bool wr_url_key_is(struct wr_str key, const char *name)
{
    return wr_str_eq(key, wr_str(name)) || camel_eq(key, name);
}

struct wr_str wr_url_decode(struct wr_arena *a, struct wr_str s)
{
    return decode(a, s, false);
}

static bool is_unreserved(char c)
{
    return is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

void wr_url_encode(struct wr_buf *out, struct wr_str s, bool keep_slash)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (is_unreserved(s.p[i]) || (keep_slash && c == '/')) {
            wr_buf_byte(out, c);
            continue;
        }
        wr_buf_byte(out, '%');
        wr_buf_byte(out, (uint8_t)digits[c >> 4]);
        wr_buf_byte(out, (uint8_t)digits[c & 15]);
    }
}

/* Whether a password may stand where no password belongs: one with an unescaped '/' or '?' looks
 * like a port or a host, and what follows it, up to the real '@', like a path or a query. */
static bool is_suspicious(struct wr_str rest, struct wr_str authority, bool of_file)
{
    struct wr_str behind = wr_str_skip(rest, authority.n);
    struct wr_str userinfo = {0};
    struct wr_str hostport = authority;
    struct wr_str host;
    struct wr_str port;

    if (find_any(authority, "@") < authority.n)
        (void)wr_str_cut_last(authority, '@', &userinfo, &hostport);
    return check_bytes(rest, of_file) != NULL || split_port(hostport, &host, &port) != NULL ||
           (find_any(behind, "@") < behind.n && find_any(authority, "@:") < authority.n);
}

/* "key=***" for each pair; a text without '=', or with a key that no option has, is all secret. */
static void redact_query(struct wr_buf *out, struct wr_str query)
{
    const char *sep = "?";

    while (query.n > 0) {
        struct wr_str pair;
        struct wr_str key;
        struct wr_str value;

        (void)wr_str_cut(query, '&', &pair, &query);
        wr_buf_z(out, sep);
        sep = "&";
        if (wr_str_cut(pair, '=', &key, &value)) {
            size_t n = 0;

            while (n < key.n && is_unreserved(key.p[n]))
                n++;
            if (n == key.n) {
                wr_buf_str(out, key);
                wr_buf_byte(out, '=');
            }
        }
        wr_buf_z(out, "***");
    }
}

static void redact(struct wr_buf *out, struct wr_str url)
{
    size_t scheme_n = scheme_size(url);
    struct wr_str rest = wr_str_skip(url, scheme_n > 0 ? scheme_n + 3 : 0);
    struct wr_str authority = {rest.p, find_any(rest, "/?")};
    struct wr_str userinfo = {0};
    struct wr_str host = authority;
    struct wr_str user;
    struct wr_str password;
    struct wr_str path;
    struct wr_str query;

    if (scheme_n == 0) { /* a path, or a URL with a typing error in front */
        bool secret = find_any(url, "?") < url.n ||
                      (find_any(url, ":") < url.n && find_any(url, "@") < url.n);

        wr_buf_str(out, secret ? WR_STR("***") : url);
        return;
    }
    wr_buf_str(out, (struct wr_str){url.p, scheme_n + 3});
    if (is_suspicious(rest, authority, is_file((struct wr_str){url.p, scheme_n}))) {
        wr_buf_z(out, "***");
        return;
    }
    if (find_any(authority, "@") < authority.n) {
        (void)wr_str_cut_last(authority, '@', &userinfo, &host);
        bool has_password = wr_str_cut(userinfo, ':', &user, &password);

        wr_buf_str(out, user);
        wr_buf_z(out, has_password ? ":***@" : "@");
    }
    wr_buf_str(out, host);
    (void)wr_str_cut(wr_str_skip(rest, authority.n), '?', &path, &query);
    wr_buf_str(out, path);
    redact_query(out, query);
}

struct wr_str wr_url_redact(struct wr_arena *a, struct wr_str url)
{
    struct wr_str ret = {0};
    struct wr_buf out;

    wr_buf_init(&out, 8 * url.n + 64); /* "&" can become "&***" */
    redact(&out, url);
    if (wr_buf_status(&out) == WR_OK)
        ret = wr_arena_str(a, wr_buf_view(&out));
    wr_buf_release(&out);
    return ret;
}

struct wr_str wr_url_host(struct wr_str authority)
{
    struct wr_str host, port;

    if (wr_str_starts(authority, WR_STR("["))) {
        (void)wr_str_cut(authority, ']', &host, &port);
        return (struct wr_str){authority.p, wr_min(authority.n, host.n + 1)};
    }
    (void)wr_str_cut(authority, ':', &host, &port);
    return host;
}

bool wr_url_ipv4(struct wr_str host, uint8_t ret[4])
{
    for (size_t i = 0; i < 4; i++) {
        struct wr_str label;
        uint64_t n;
        bool more = wr_str_cut(host, '.', &label, &host);

        /* With a zero in front it is octal to some. */
        if (more != (i < 3) || label.n > 3 || (label.n > 1 && label.p[0] == '0') ||
            !wr_parse_u64(label, &n) || n > UINT8_MAX)
            return false;
        ret[i] = (uint8_t)n;
    }
    return true;
}

bool wr_url_host_is_here(struct wr_str host)
{
    uint8_t address[4];

    if (wr_url_ipv4(host, address))
        return address[0] == 127;
    return wr_str_eq_nocase(host, WR_STR("localhost")) || wr_str_eq(host, WR_STR("[::1]"));
}

struct wr_str wr_path_clean(struct wr_arena *a, struct wr_str path)
{
    size_t root = path.n > 0 && path.p[0] == '/' ? 1 : 0;
    size_t named = 0; /* names in `out` that a ".." may take away */
    size_t n = root;
    char *out = wr_arena_alloc(a, path.n + 2);

    if (out == NULL)
        return (struct wr_str){0};
    if (root)
        out[0] = '/';
    while (path.n > 0) {
        struct wr_str name;

        (void)wr_str_cut(path, '/', &name, &path);
        bool up = wr_str_eq(name, WR_STR(".."));
        if (name.n == 0 || wr_str_eq(name, WR_STR(".")) || (up && root && named == 0))
            continue;
        if (up && named > 0) {
            while (n > root && out[n - 1] != '/')
                n--;
            n -= n > root; /* and the slash before the name */
            named--;
            continue;
        }
        if (n > root)
            out[n++] = '/';
        memcpy(out + n, name.p, name.n);
        n += name.n;
        named += !up;
    }
    if (n == 0)
        out[n++] = '.';
    return (struct wr_str){out, n};
}
