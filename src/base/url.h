/*
 * url.h - RFC 3986 URLs as replica addresses use them:
 * scheme://[user[:password]@]host[:port]/path?query
 */
#ifndef WR_BASE_URL_H
#define WR_BASE_URL_H

#include "base/arena.h"
#include "base/base.h"
#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"

struct wr_url {
    struct wr_str scheme;         /* lower-cased; in the arena */
    struct wr_str user, password; /* percent-decoded; empty when absent */
    struct wr_str host;  /* as written, IPv6 in its brackets; has ':' only in S3 ARNs ("arn:...") */
    struct wr_str port;  /* digits or empty */
    struct wr_str path;  /* as written, undecoded, with its leading '/' if any */
    struct wr_str query; /* as written, without '?' */
};

/* Whether `s` begins with letters, digits or '_' and "://" - what makes an argument a URL. */
bool wr_url_is(struct wr_str s);

/* Views live in `a` or in `s`. MISUSE with a text that never shows user, password or query. Control
 * characters are refused, and '#', but in a file URL, which has neither escapes nor a fragment. */
enum wr_status wr_url_parse(
    struct wr_arena *a, struct wr_str s, struct wr_url *ret, struct wr_err *e) WR_MUST_CHECK;

/* The next `key=value` of *query, decoded into the arena ('+' is a space); false at the end. Bad
 * escapes are kept as they are. *query advances, except when out of memory: false with *query not
 * empty. */
bool wr_url_query_next(
    struct wr_arena *a, struct wr_str *query, struct wr_str *ret_key, struct wr_str *ret_value);

/* The host of "host[:port]", an IPv6 address in its brackets. */
struct wr_str wr_url_host(struct wr_str authority);

/* Whether it is an IPv4 address, all four numbers of it in decimal, as no name can be. */
bool wr_url_ipv4(struct wr_str host, uint8_t ret[4]);

/* Whether a host is this machine, whoever is asked for it: "localhost", 127.x.y.z or [::1]. It is
 * not for being like one ("127.example.org"), nor for being below localhost, which some name
 * servers are asked for. Secrets and databases go there in clear, and on the word of this alone. */
bool wr_url_host_is_here(struct wr_str host);

/* Whether a key of a query is this hyphenated name, or the same in camelCase. */
bool wr_url_key_is(struct wr_str key, const char *name);

/* Percent-decode; an incomplete escape stays as written. {NULL,0} when out of memory. */
struct wr_str wr_url_decode(struct wr_arena *a, struct wr_str s);

/* Percent-encode all but A-Z a-z 0-9 - . _ ~ (and '/' when `keep_slash`), as AWS defines UriEncode.
 */
void wr_url_encode(struct wr_buf *out, struct wr_str s, bool keep_slash);

/* The URL with three stars for password and query values, safe for logs; nothing but scheme and
 * stars when it looks as if a secret stood in the wrong place. Anything else is returned as it is.
 * {NULL,0} when out of memory. */
struct wr_str wr_url_redact(struct wr_arena *a, struct wr_str url);

/* path.Clean of a slash path: "a//b/../c" is "a/c", "" is ".". In the arena; {NULL,0} when out of
 * memory. */
struct wr_str wr_path_clean(struct wr_arena *a, struct wr_str path);

#endif
