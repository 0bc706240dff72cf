/*
 * mem_table.h - the objects of a bucket in memory: an array sorted by key, with conditions and
 * versions.
 */
#ifndef WR_STORAGE_MEM_TABLE_H
#define WR_STORAGE_MEM_TABLE_H

#include "base/base.h"
#include "base/status.h"
#include "base/str.h"

#define WR_MEM_VERSION_MAX 21 /* bytes of a version, with the NUL */

/* An object; frozen once it is in a table. */
struct wr_mem_item {
    char *key;
    size_t key_size;
    uint8_t *body;
    size_t size;
    int64_t time_ms, stored_ms;
    char version[WR_MEM_VERSION_MAX];
};

/* owned. */
struct wr_mem_table {
    struct wr_mem_item **items; /* by ascending key */
    size_t n, cap;
    uint64_t size, size_max; /* bytes of all bodies */
    uint64_t versions;       /* given out so far */
};

void wr_mem_table_init(struct wr_mem_table *t, uint64_t size_max);
void wr_mem_table_release(struct wr_mem_table *t);

/* Copies of `key` and `body`, in no table yet, of no time; NULL when out of memory. */
struct wr_mem_item *wr_mem_item_new(struct wr_str key, struct wr_bytes body);
void wr_mem_item_free(struct wr_mem_item *it); /* NULL-safe */
struct wr_str wr_mem_item_key(const struct wr_mem_item *it);

/* Index of the first object whose key is `key` or greater. */
size_t wr_mem_table_find(const struct wr_mem_table *t, struct wr_str key, bool *ret_exact);
/* Make `*it` the object of its key, with a new version, if the one that is there allows it: none
 * for `if_absent`, else that version unless `if_match` is empty. Then `*it` is the table's, and
 * what it replaced (or NULL) is in its place. CONFLICT; LIMIT over size_max. */
enum wr_status wr_mem_table_put(struct wr_mem_table *t, struct wr_mem_item **it, bool if_absent,
    struct wr_str if_match, struct wr_err *e) WR_MUST_CHECK;
/* Take the i-th object out; it is the caller's. */
struct wr_mem_item *wr_mem_table_take(struct wr_mem_table *t, size_t i);

#endif
