/*
 * s3d.h - a strict S3 in memory on loopback. It verifies every signature with code of its own.
 */
#ifndef WR_TEST_S3D_H
#define WR_TEST_S3D_H

#include "fake/httpd.h"

#define S3D_ACCESS "AKIDEXAMPLE"
#define S3D_SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define S3D_BUCKET "test-bucket"

/* Read by the server with each request; change it between requests only. */
struct s3d_opts {
    const char *region;    /* NULL: us-east-1 */
    const char *token;     /* demand this session token; NULL: none */
    const char *secret;    /* NULL: S3D_SECRET */
    long clock_ahead_s;    /* the server's clock */
    unsigned page_max;     /* keys a page; 0: 1000 */
    size_t part_min;       /* bytes; 0: 5 MiB */
    bool no_condition;     /* 501 for If-None-Match and If-Match */
    bool no_match;         /* 501 for If-Match */
    bool no_batch;         /* 501 for DeleteObjects */
    bool bare_tags;        /* If-Match is compared with the tag without quotes, as Ceph does */
    bool ignore_start;     /* start-after is ignored */
    bool commit_ignores;   /* a commit's condition is ignored, as many stores do */
    bool undated;          /* HEAD does not tell user metadata */
    const char *stuck;     /* this key cannot be deleted: AccessDenied in DeleteObjects */
    const char *must_have; /* a header line part that every request must contain, else 400 */
};

struct s3d;
struct s3d *s3d_start(void);
void s3d_stop(struct s3d *s);
struct s3d_opts *s3d_opts(struct s3d *s);
struct httpd *s3d_httpd(struct s3d *s);
void s3d_empty(struct s3d *s); /* objects and uploads; options back to the default */
size_t s3d_uploads(struct s3d *s);
size_t s3d_objects(struct s3d *s);
/* "s3://test-bucket/<path>?endpoint=http://127.0.0.1:port", in memory of the server. */
const char *s3d_url(struct s3d *s, const char *path);

/* s3d_auth.c: NULL when the signature is right, else what is wrong: an S3 error code. `ret_text` is
 * a detail for debugging. */
const char *s3d_verify(
    const struct httpd_request *r, const struct s3d_opts *o, char *ret_text, size_t text_size);
/* Percent-decoded copy from the C library's heap. */
char *s3d_decode(const char *p, size_t n);

#endif
