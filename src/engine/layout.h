/*
 * layout.h - what LTX files of a replica are called; nothing else builds or reads such keys.
 *
 * Two trees are in use, and a replica has one of them:
 *
 *   <prefix>ltx/<level>/<min>-<max>.ltx    most storage; the level in decimal, not padded
 *   <prefix><%04x level>/<min>-<max>.ltx   where caps has WR_STORAGE_HEX_LEVELS
 *
 * <min> and <max> are transaction ids (TXIDs) as 16 lower-case hex digits. The name, not the header
 * inside, says what a file covers. Anything else in a level's directory is ignored.
 */
#ifndef WR_ENGINE_LAYOUT_H
#define WR_ENGINE_LAYOUT_H

#include "base/arena.h"
#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "base/str.h"

#define WR_LEVEL_SNAPSHOT 9 /* files that begin at TXID 1 */
#define WR_LEVEL_MAX      9 /* 0: as captured; 1 to 8: compacted */

struct wr_storage;

/* One LTX file of a listing. */
struct wr_ltx_file {
    uint64_t min, max; /* TXIDs, 1 <= min <= max */
    uint64_t size;     /* bytes */
    int64_t time_ms;   /* Unix ms, as the storage reports it */
    int64_t stored_ms; /* of a listing: since when it is there, or later (storage.h); 0: unknown */
    uint64_t tag;      /* of a listing: tells its object from another one there; 0: unknown */
    unsigned level;    /* 0 to WR_LEVEL_MAX */
    bool in_parts;     /* of a listing: stored_ms is an upper bound (storage.h) */
};

/* Kept as a snapshot, and none: nothing can begin or go on with it. */
static inline bool wr_ltx_file_odd(const struct wr_ltx_file *f)
{
    return f->level == WR_LEVEL_SNAPSHOT && f->min != 1;
}

/* A growing array. owned. = {0} is empty. */
struct wr_ltx_files {
    struct wr_ltx_file *p;
    size_t n, cap;
};
#define WR_LTX_FILES_MAX ((size_t)1 << 24) /* entries; LIMIT above */

enum wr_status wr_ltx_files_add(
    struct wr_ltx_files *a, const struct wr_ltx_file *f, struct wr_err *e) WR_MUST_CHECK;
void wr_ltx_files_release(struct wr_ltx_files *a); /* NULL-safe; empty again */

/* By level, then min, then max: the order plan.h wants and a listing of level after level has. */
int wr_ltx_file_cmp(const struct wr_ltx_file *a, const struct wr_ltx_file *b);
void wr_ltx_files_sort(struct wr_ltx_files *a); /* into that order */
/* The file of `a`, which is in that order, with the level, min and max of `f`; NULL: none has. */
const struct wr_ltx_file *wr_ltx_files_find(
    const struct wr_ltx_files *a, const struct wr_ltx_file *f);

/* The directory of a level, with its final '/', and the key of a file; in the arena,
 * NUL-terminated. {NULL, 0} when out of memory. */
struct wr_str wr_layout_ltx_dir(
    struct wr_arena *a, const struct wr_storage *s, unsigned level) WR_MUST_CHECK;
struct wr_str wr_layout_ltx_key(struct wr_arena *a, const struct wr_storage *s, unsigned level,
    uint64_t min, uint64_t max) WR_MUST_CHECK;

/* The newest TXID that any of them reaches; 0: there are none. */
uint64_t wr_ltx_files_newest(const struct wr_ltx_files *a);
/* Take out of `a` what `others`, which is in the order of wr_ltx_file_cmp, has by name. */
void wr_ltx_files_drop(struct wr_ltx_files *a, const struct wr_ltx_files *others);

/* The file's name without its directory. */
#define WR_LAYOUT_NAME_MAX 38 /* bytes, with the NUL */
void wr_layout_name(char out[WR_LAYOUT_NAME_MAX], const struct wr_ltx_file *f);

/* The level and range that `key` names; false for any key that the functions above would not build.
 * Sets level, min and max of *ret, nothing else. */
bool wr_layout_ltx_parse(const struct wr_storage *s, struct wr_str key, struct wr_ltx_file *ret);
/* What comes before level and file in a key of whatever replica in the storage, its prefix, as a
 * view of `key`; false where that is no key of an LTX file. */
bool wr_layout_ltx_owner(const struct wr_storage *s, struct wr_str key, struct wr_str *ret);

/* Append the files of one level with min >= `min_from` (0: all), ascending by (min, max). Times are
 * the listing's: see wr_layout_times. On failure files already appended stay.
 *
 * A deadline is for the next key, as a large replica has many pages of them: each key that comes
 * moves c->deadline_ms, so that as much time is left as there was at first. LIMIT when there are
 * more than WR_LTX_FILES_MAX keys, whatever they are. */
enum wr_status wr_layout_list(struct wr_storage *s, struct wr_call *c, unsigned level,
    uint64_t min_from, struct wr_ltx_files *out, struct wr_err *e) WR_MUST_CHECK;
/* All levels, of each the files with min >= min_from[level], in the order of wr_ltx_file_cmp.
 * Levels are neighbours in a bucket, so that this takes as many requests as there are pages: one,
 * where all is in a thousand keys. A level is seen only when all below it were, and so is at least
 * once what moves up meanwhile. */
enum wr_status wr_layout_list_since(struct wr_storage *s, struct wr_call *c,
    const uint64_t min_from[WR_LEVEL_MAX + 1], struct wr_ltx_files *out,
    struct wr_err *e) WR_MUST_CHECK;
/* Each from its beginning. */
enum wr_status wr_layout_list_all(struct wr_storage *s, struct wr_call *c, struct wr_ltx_files *out,
    struct wr_err *e) WR_MUST_CHECK;

/* The file of that name, with its size and its own time. NOTFOUND: there is none. */
enum wr_status wr_layout_find(struct wr_storage *s, struct wr_call *c, unsigned level, uint64_t min,
    uint64_t max, struct wr_ltx_file *ret, struct wr_err *e) WR_MUST_CHECK;

/* Where listings do not carry the time a file was made (no WR_STORAGE_LIST_TIME), ask for that of
 * files[which[0..n)], a request each, on up to `threads` threads, the caller's included. `which`
 * may be NULL: files[0..n). What a decision by time needs to know, and it need not be all, is
 * times.h's business. A file that is gone meanwhile keeps the listing's time. */
enum wr_status wr_layout_times(struct wr_storage *s, struct wr_call *c, struct wr_ltx_file *files,
    const size_t *which, size_t n, unsigned threads, struct wr_err *e) WR_MUST_CHECK;

#endif
