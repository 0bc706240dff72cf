/*
 * s3d_bucket.h - what the fake S3 keeps: objects by key, and uploads with their parts. Out of
 * memory, it aborts.
 */
#ifndef WR_TEST_S3D_BUCKET_H
#define WR_TEST_S3D_BUCKET_H

#include "base/base.h"

#include <time.h>

#define S3D_TAG_MAX 48

struct s3d_object {
    char *key;
    uint8_t *p;
    size_t n;
    char tag[S3D_TAG_MAX]; /* with quotes */
    char time_text[64];    /* the user's metadata, or empty */
    char class_text[32];
    time_t mtime;
    struct s3d_object *next;
};

struct s3d_part {
    unsigned number;
    uint8_t *p;
    size_t n;
    char tag[S3D_TAG_MAX];
    struct s3d_part *next;
};

struct s3d_upload {
    char id[32];
    char *key;
    char time_text[64];
    struct s3d_part *parts; /* ascending */
    struct s3d_upload *next;
};

struct s3d_bucket {
    struct s3d_object *objects; /* ascending by key */
    struct s3d_upload *uploads;
    unsigned ids;
};

void s3d_bucket_clear(struct s3d_bucket *b);
void *s3d_must(void *p); /* `p`, which is not NULL: there is memory */

/* Bytes and texts are copied; `time_text` may be NULL. */
struct s3d_object *s3d_find(const struct s3d_bucket *b, const char *key); /* NULL: not there */
struct s3d_object *s3d_store(struct s3d_bucket *b, const char *key, const uint8_t *p, size_t n,
    const char *time_text, time_t mtime);
void s3d_remove(struct s3d_bucket *b, const char *key); /* if it is there */

struct s3d_upload *s3d_upload_new(struct s3d_bucket *b, const char *key, const char *time_text);
struct s3d_upload *s3d_upload_find(const struct s3d_bucket *b, const char *id, const char *key);
/* A part of that number is replaced. */
struct s3d_part *s3d_upload_put(struct s3d_upload *u, unsigned number, const uint8_t *p, size_t n);
/* Make the object of all its parts, and drop it. */
struct s3d_object *s3d_upload_join(struct s3d_bucket *b, struct s3d_upload *u, time_t mtime);
void s3d_upload_drop(struct s3d_bucket *b, struct s3d_upload *u);

#endif
