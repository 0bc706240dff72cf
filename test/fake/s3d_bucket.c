/*
 * s3d_bucket.c - see s3d_bucket.h. Knows lists and tags; refuses to know requests and conditions.
 */
#define WR_MEM_IMPLEMENTATION
/* First: OpenSSL names parameters after functions that base.h forbids. */
#include <openssl/evp.h>

#include "fake/s3d_bucket.h"

static void make_tag(const uint8_t *p, size_t n, char tag[S3D_TAG_MAX], unsigned parts)
{
    uint8_t md[16];
    if (EVP_Digest(p != NULL ? p : (const uint8_t *)"", n, md, NULL, EVP_md5(), NULL) != 1)
        abort();
    tag[0] = '"';
    for (size_t i = 0; i < 16; i++)
        (void)snprintf(tag + 1 + 2 * i, 3, "%02x", (unsigned)md[i]);
    if (parts > 0)
        (void)snprintf(tag + 33, 15, "-%u\"", parts);
    else
        (void)snprintf(tag + 33, 15, "\"");
}

static uint8_t *copy(const uint8_t *p, size_t n)
{
    uint8_t *out = s3d_must(malloc(n + 1));
    if (n > 0)
        memcpy(out, p, n);
    return out;
}

/* Where an object of that key is, or would be. */
static struct s3d_object **place(struct s3d_bucket *b, const char *key)
{
    struct s3d_object **at = &b->objects;
    while (*at != NULL && strcmp((*at)->key, key) < 0)
        at = &(*at)->next;
    return at;
}

/* Takes over `p`. */
static struct s3d_object *add(struct s3d_bucket *b, const char *key, uint8_t *p, size_t n,
    const char *time_text, time_t mtime)
{
    s3d_remove(b, key);
    struct s3d_object **at = place(b, key);
    struct s3d_object *o = s3d_must(calloc(1, sizeof(*o)));
    o->key = s3d_must(strdup(key));
    o->p = p;
    o->n = n;
    o->mtime = mtime;
    (void)snprintf(o->time_text, sizeof(o->time_text), "%s", time_text != NULL ? time_text : "");
    make_tag(p, n, o->tag, 0);
    o->next = *at;
    *at = o;
    return o;
}

void s3d_bucket_clear(struct s3d_bucket *b)
{
    while (b->objects != NULL)
        s3d_remove(b, b->objects->key);
    while (b->uploads != NULL)
        s3d_upload_drop(b, b->uploads);
}

void *s3d_must(void *p)
{
    if (p == NULL)
        abort();
    return p;
}

struct s3d_object *s3d_find(const struct s3d_bucket *b, const char *key)
{
    for (struct s3d_object *o = b->objects; o != NULL; o = o->next)
        if (strcmp(o->key, key) == 0)
            return o;
    return NULL;
}

struct s3d_object *s3d_store(struct s3d_bucket *b, const char *key, const uint8_t *p, size_t n,
    const char *time_text, time_t mtime)
{
    return add(b, key, copy(p, n), n, time_text, mtime);
}

void s3d_remove(struct s3d_bucket *b, const char *key)
{
    struct s3d_object **at = place(b, key), *o = *at;
    if (o == NULL || strcmp(o->key, key) != 0)
        return;
    *at = o->next;
    free(o->key);
    free(o->p);
    free(o);
}

struct s3d_upload *s3d_upload_new(struct s3d_bucket *b, const char *key, const char *time_text)
{
    struct s3d_upload *u = s3d_must(calloc(1, sizeof(*u)));
    (void)snprintf(u->id, sizeof(u->id), "up/lo+ad=%u", ++b->ids);
    (void)snprintf(u->time_text, sizeof(u->time_text), "%s", time_text != NULL ? time_text : "");
    u->key = s3d_must(strdup(key));
    u->next = b->uploads;
    b->uploads = u;
    return u;
}

struct s3d_upload *s3d_upload_find(const struct s3d_bucket *b, const char *id, const char *key)
{
    struct s3d_upload *u = b->uploads;
    while (u != NULL && (strcmp(u->id, id) != 0 || strcmp(u->key, key) != 0))
        u = u->next;
    return u;
}

struct s3d_part *s3d_upload_put(struct s3d_upload *u, unsigned number, const uint8_t *p, size_t n)
{
    struct s3d_part **at = &u->parts;
    while (*at != NULL && (*at)->number < number)
        at = &(*at)->next;
    if (*at == NULL || (*at)->number != number) {
        struct s3d_part *part = s3d_must(calloc(1, sizeof(*part)));
        part->number = number;
        part->next = *at;
        *at = part;
    }
    struct s3d_part *part = *at;
    free(part->p);
    part->p = copy(p, n);
    part->n = n;
    make_tag(part->p, n, part->tag, 0);
    return part;
}

struct s3d_object *s3d_upload_join(struct s3d_bucket *b, struct s3d_upload *u, time_t mtime)
{
    size_t size = 0;
    unsigned parts = 0;
    for (const struct s3d_part *p = u->parts; p != NULL; p = p->next, parts++)
        size += p->n;
    uint8_t *all = s3d_must(malloc(size + 1));
    size = 0;
    for (const struct s3d_part *p = u->parts; p != NULL; p = p->next) {
        memcpy(all + size, p->p, p->n);
        size += p->n;
    }
    struct s3d_object *o = add(b, u->key, all, size, u->time_text, mtime);
    make_tag(o->p, o->n, o->tag, parts);
    s3d_upload_drop(b, u);
    return o;
}

void s3d_upload_drop(struct s3d_bucket *b, struct s3d_upload *u)
{
    struct s3d_upload **at = &b->uploads;
    while (*at != u)
        at = &(*at)->next;
    *at = u->next;
    while (u->parts != NULL) {
        struct s3d_part *p = u->parts;
        u->parts = p->next;
        free(p->p);
        free(p);
    }
    free(u->key);
    free(u);
}
