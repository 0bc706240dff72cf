/*
 * s3_int.h - what the files of the S3 driver share, and nobody else sees.
 */
#ifndef WR_STORAGE_S3_INT_H
#define WR_STORAGE_S3_INT_H

#include "base/arena.h"
#include "base/base.h"
#include "base/buf.h"
#include "base/call.h"
#include "base/str.h"
#include "base/sync.h"
#include "net/awscreds.h"
#include "net/http.h"
#include "net/http_share.h"
#include "net/sigv4.h"
#include "storage/settings.h"
#include "storage/storage.h"

#include <stdatomic.h>

#define WR_S3_PART_MIN    ((size_t)5 << 20) /* bytes; of every part but the last */
#define WR_S3_PARTS_MAX   10000
#define WR_S3_BATCH       1000 /* keys of one listing page or one delete request */
#define WR_S3_PARAMS_MAX  8
#define WR_S3_TEXT_MAX    ((size_t)64 << 10) /* bytes of an answer that is no listing */
#define WR_S3_TIME_HEADER "x-amz-meta-litestream-timestamp"
#define WR_S3_HEADERS_MAX 16 /* of one request, beside those that signing adds */

/* ---- s3_profile.c: where a bucket is and how its provider wants to be spoken to ---- */

struct wr_s3_config {
    struct wr_str bucket; /* name, or access point ARN */
    struct wr_str region; /* where to begin; AWS may teach us another */
    bool bucket_set;      /* by the option, not by the URL */
    bool endpoint_set;    /* by the option */
    bool region_set;      /* by the option; else: */
    enum wr_setting_source region_source;
    const char *region_env;   /* with BY_ENV */
    const char *endpoint_env; /* NULL: it is not from there; else: */
    struct wr_str endpoint;   /* as it is there */
    struct wr_str scheme;     /* "http" or "https" */
    struct wr_str authority;  /* host[:port] of an endpoint without the bucket; empty: AWS */
    struct wr_str base_path;  /* of the endpoint: "" or "/storage/v1/s3" */
    bool path_style;          /* bucket in the path, not in the host name */
    bool consistent;          /* ask Tigris for reads that see all writes */
    bool sign_payload, content_md5, skip_verify;
    unsigned concurrency; /* parts in flight */
    struct wr_str storage_class, kms_key_id, ca_file;
    struct wr_str ssec_key, ssec_md5; /* base64; empty: objects are not encrypted by our key */
};

/* Judge settings and URL; the views live in `set` or `a`. MISUSE for what cannot work. */
enum wr_status wr_s3_profile(const struct wr_settings *set, struct wr_arena *a,
    struct wr_s3_config *ret, struct wr_err *e) WR_MUST_CHECK;

/* Host and path (encoded, with base path and bucket) of `key` in `region`; an empty key is the
 * bucket itself. Both in `a`; NOMEM only. */
enum wr_status wr_s3_address(struct wr_arena *a, const struct wr_s3_config *cfg,
    struct wr_str region, struct wr_str key, struct wr_str *ret_host, struct wr_str *ret_path,
    struct wr_err *e) WR_MUST_CHECK;

/* ---- s3_xml.c: documents ---- */

struct wr_s3_page {
    struct wr_object *objects; /* at most WR_S3_BATCH */
    size_t n;
    bool truncated;
    struct wr_str token; /* of the next page */
};

struct wr_s3_error {
    struct wr_str code, message, region, key, request;
};

/* All results live in `a`. CORRUPT for what is not the document asked for. */
enum wr_status wr_s3_parse_page(struct wr_arena *a, struct wr_bytes doc, struct wr_s3_page *ret,
    struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_s3_parse_upload_id(
    struct wr_arena *a, struct wr_bytes doc, struct wr_str *ret, struct wr_err *e) WR_MUST_CHECK;
/* The entity tag of a finished upload (Ceph leaves it empty); or, as S3 sends errors under status
 * 200 when finishing took long, the error in *ret_error, whose code is empty otherwise. */
enum wr_status wr_s3_parse_complete(struct wr_arena *a, struct wr_bytes doc, struct wr_str *ret_tag,
    struct wr_s3_error *ret_error, struct wr_err *e) WR_MUST_CHECK;
/* The first key of a delete request that is still there; an empty code when all are gone. */
enum wr_status wr_s3_parse_deleted(struct wr_arena *a, struct wr_bytes doc, struct wr_s3_error *ret,
    struct wr_err *e) WR_MUST_CHECK;
/* An error document; all empty when it is none (a proxy's page). */
void wr_s3_parse_error(struct wr_arena *a, struct wr_bytes doc, struct wr_s3_error *ret);

void wr_s3_put_delete(struct wr_buf *out, const struct wr_str *keys, size_t n);
void wr_s3_put_part(struct wr_buf *out, unsigned number, struct wr_str tag);

/* ---- s3_error.c: what an answer means ---- */

/* The status for an error code, else for the HTTP status. *ret_advice is what an operator can do,
 * or NULL. */
enum wr_status wr_s3_classify(struct wr_str code, int http_status, const char **ret_advice);

/* ---- s3_request.c: one signed request ---- */

/* locked: any thread. */
struct wr_s3 {
    char *strings;           /* cfg's, one behind the other; frozen after open */
    struct wr_s3_config cfg; /* frozen */
    bool http_shared;        /* it is not ours; frozen before the first request */
    struct wr_awscreds *creds;
    struct wr_mutex mutex;
    struct wr_http *http; /* guarded by mutex until there is one; NULL before the first request */
    char region[64];      /* guarded by mutex */
    _Atomic int64_t skew_ms;   /* server's clock minus ours, where that has to be corrected */
    _Atomic int64_t seen_ms;   /* the same by the last answer with a date */
    _Atomic bool dated;        /* there was one */
    _Atomic bool bucket_seen;  /* some answer proved that the bucket exists */
    _Atomic bool no_condition; /* the store has no conditional writes, ... */
    _Atomic bool no_match;     /* ... or none on what is there: AWS itself had not, for a time */
    _Atomic bool no_commit;    /* or none of uploads in parts */
    _Atomic bool no_batch;     /* the store deletes one key at a time */
    _Atomic uint64_t calls;    /* sets the seeds of concurrent retries apart */
};

/* One operation's memory: requests inside it must not pile up in the caller's scratch, which may
 * live for thousands of them. */
struct wr_s3_talk {
    struct wr_arena arena;
    struct wr_call call; /* the caller's, with `arena` as scratch */
    struct wr_buf text;  /* body of the last answer, unless it went into a request's buffer */
    struct wr_http_resp resp;
    struct wr_s3_error error; /* of the last answer, when it was one */
    struct wr_str access_key; /* that the last request was signed with */
    bool temporary;           /* with a session token */
};
void wr_s3_talk_init(struct wr_s3_talk *t, const struct wr_call *c, size_t text_max);
void wr_s3_talk_release(struct wr_s3_talk *t);

struct wr_s3_request {
    const char *method;
    struct wr_str key; /* empty: the bucket */
    struct wr_sigv4_param params[WR_S3_PARAMS_MAX];
    size_t n_params;
    struct wr_http_header headers[WR_S3_HEADERS_MAX];
    size_t n_headers;
    struct wr_bytes body;
    bool has_body;
    int64_t stall_ms;
    void *into; /* as wr_http_req */
    size_t into_size;
};
void wr_s3_param(struct wr_s3_request *r, struct wr_str name, struct wr_str value);
void wr_s3_header(struct wr_s3_request *r, struct wr_str name, struct wr_str value);
/* The headers that make S3 use our key, on every request that carries or returns an object. */
void wr_s3_header_ssec(const struct wr_s3 *s, struct wr_s3_request *r);

/* Sign, send, judge. OK for 2xx. Another region, a clock that is off and renewed credentials are
 * learnt from the answer, and the request is sent once more. t->resp.status tells which answer a
 * failure came from (0: none). */
enum wr_status wr_s3_do(struct wr_s3 *s, struct wr_s3_talk *t, const struct wr_s3_request *r,
    struct wr_err *e) WR_MUST_CHECK;

/* The text and status of an error that arrived in a document, with the answer that had it. */
enum wr_status wr_s3_fail(const struct wr_s3 *s, const char *method,
    const struct wr_http_resp *resp, const struct wr_s3_error *error, struct wr_err *e);

/* ---- s3.c ---- */

/* The client: the one that is shared, or its own, which is made for the first request. NOMEM,
 * MISUSE as wr_http_new. */
enum wr_status wr_s3_http(struct wr_s3 *s, struct wr_http **ret, struct wr_err *e) WR_MUST_CHECK;

enum wr_status wr_s3_stat(void *self, struct wr_call *c, struct wr_str key, struct wr_object *out,
    struct wr_err *e) WR_MUST_CHECK;
/* Key and version of an object, copied into the call's scratch. */
enum wr_status wr_s3_describe(const struct wr_call *c, struct wr_str key, struct wr_str tag,
    struct wr_object *out, struct wr_err *e) WR_MUST_CHECK;

/* ---- s3_put.c ---- */

/* Add what every new object gets: type, time, class, encryption. Strings in the talk's arena. */
enum wr_status wr_s3_put_headers(const struct wr_s3 *s, struct wr_s3_talk *t,
    struct wr_s3_request *r, const struct wr_put_opts *o, struct wr_err *e) WR_MUST_CHECK;
/* CONFLICT when the condition of a put is not met now; nothing keeps it so afterwards. */
enum wr_status wr_s3_check_condition(struct wr_s3 *s, const struct wr_call *c, struct wr_str key,
    const struct wr_put_opts *o, struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_s3_put(void *self, struct wr_call *c, struct wr_str key, struct wr_bytes body,
    const struct wr_put_opts *o, struct wr_object *out, struct wr_err *e) WR_MUST_CHECK;

/* ---- s3_upload.c: the upload slots of the ops table ---- */

enum wr_status wr_s3_upload_begin(void *self, struct wr_call *c, struct wr_str key,
    const struct wr_put_opts *o, struct wr_upload **out, struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_s3_upload_part(
    struct wr_upload *u, struct wr_call *c, struct wr_bytes part, struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_s3_upload_commit(
    struct wr_upload *u, struct wr_call *c, struct wr_object *out, struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_s3_upload_give(
    struct wr_upload *u, struct wr_call *c, struct wr_buf *part, struct wr_err *e) WR_MUST_CHECK;
void wr_s3_upload_abort(struct wr_upload *u, struct wr_call *c);

#endif
