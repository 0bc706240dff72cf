/*
 * judge.h - the simulation's own opinion of a replica: what its LTX files say, and whether they
 * agree with each other.
 *
 * Written from docs/ltx.md alone. It shares no code with src/ltx, so that one mistake does not hide
 * another: its checksums, integers and order of checks are its own; only LZ4 is the library's.
 *
 * A database is known here by its image: for each page 64 bits of hash, for the whole of it their
 * exclusive or. So one more transaction costs no more than its own pages.
 */
#ifndef SIM_JUDGE_H
#define SIM_JUDGE_H

#include "base/base.h"

#define JUDGE_TEXT 200 /* bytes of an explanation, with the NUL */

/* ---- hashes of plain bytes, to compare databases with ---- */

/* Of one page; never 0. `n` is the page size. */
uint64_t judge_hash_page(uint32_t pgno, const uint8_t *p, size_t n);
/* Of a database file of whole pages, the page that holds byte `lock_offset` left out. */
uint64_t judge_hash_database(const uint8_t *p, size_t n, uint32_t page_size, uint32_t lock_offset);

/* ---- one file ---- */

struct judge_page {
    uint32_t pgno;
    uint64_t hash; /* judge_hash_page */
    uint64_t sum;  /* the format's page checksum */
};

struct judge_file {
    uint64_t min, max; /* TXIDs */
    uint32_t page_size, commit;
    int64_t time_ms;
    bool has_wal;     /* WAL fields or node id are in use, as a merged file's never are */
    bool has_rolling; /* the two below are there */
    uint64_t pre, post;
    size_t n;
    struct judge_page *pages; /* ascending; the file's */
};

/* Read a whole file. False when it breaks any rule of docs/ltx.md, `why` then says which. `ret` is
 * to be released in either case. */
bool judge_decode(
    const uint8_t *p, size_t n, uint32_t lock_offset, struct judge_file *ret, char why[JUDGE_TEXT]);
void judge_file_release(struct judge_file *f);

/* ---- a replica ---- */

/* A database as of a TXID. */
struct judge_image {
    uint64_t txid;
    uint64_t hash; /* as of judge_hash_database */
    uint64_t sum;  /* the format's, as of rolling checksums */
    uint32_t page_size, commit;
};

/* What a key says: ".../ltx/<level>/<min>-<max>.ltx", or "ltx/..." from the start. False: it is no
 * file's. */
bool judge_key(const char *key, unsigned *ret_level, uint64_t *ret_min, uint64_t *ret_max);
/* A number of 16 hexadecimal digits, in small letters. */
bool judge_hex16(const char *z, uint64_t *ret);

struct judge; /* all files that one replica ever had */

struct judge *judge_new(uint32_t lock_offset);
void judge_free(struct judge *j); /* NULL-safe */

/* An object appeared, or was written again; or is gone. A key with "ltx/<level>/" and a file's name
 * at its end is one of the replica, any other is ignored. False when, together with all that was
 * seen before, removed or not, something cannot be right; `why` says what. The laws:
 *
 *   - the file is whole (judge_decode), and its range is that of its name;
 *   - pages that it makes the database grow by are all in it;
 *   - a TXID has one image, whichever files it is made from;
 *   - a file of level 1 or above that is no snapshot has exactly the newest version of each page of
 *     the lower files that it covers, as far as those are known and cover it without a gap;
 *   - its rolling checksums are those of the pages after it, and, if the file that it follows has
 *     them too, before it;
 *   - what was written again means the same.
 *
 * In any order; in that of TXIDs it costs only the file's own pages. */
bool judge_put(struct judge *j, const char *key, const uint8_t *p, size_t n, char why[JUDGE_TEXT]);
void judge_remove(struct judge *j, const char *key);
/* Whether who sent what is put from now on is dead by then. Not so at first. */
void judge_dead(struct judge *j, bool is);

/* The image of `txid`, if files that were ever there make it. */
bool judge_find(const struct judge *j, uint64_t txid, struct judge_image *ret);

/* Whether what was put there last is such a one. */
bool judge_is_stray(const struct judge *j, const char *key);

/* Whether the only file there is now that ends at `txid` is such a one, and lies within another. */
bool judge_is_beneath(const struct judge *j, uint64_t txid);

/* The images that the files there are now make, by ascending TXID. Return false to stop. */
typedef bool judge_each_fn(void *arg, const struct judge_image *image);
void judge_each(const struct judge *j, judge_each_fn *fn, void *arg);

/* When the files there now that end at `txid` were made, as they say themselves: the first and the
 * last of these times. False: there is none. */
bool judge_times(const struct judge *j, uint64_t txid, int64_t *ret_first, int64_t *ret_last);
/* The last TXID that those of them make which are from before `time_ms`; 0: none. */
uint64_t judge_before(const struct judge *j, int64_t time_ms);

/* The laws of a bucket at rest, on the files there are now: in each level from 1 on but that of
 * snapshots ranges are disjoint, and from the newest snapshot on there is no gap that no file
 * spans. A file that its client had given up may arrive after a longer one in its place, which
 * begins where it does; and one whose client has died, after the next one has looked where the
 * level ends. Such a one may overlap others. So may any if there were `old_lists`: a start reads
 * where a level ends from what is listed. */
bool judge_at_rest(const struct judge *j, bool old_lists, char why[JUDGE_TEXT]);

#endif
