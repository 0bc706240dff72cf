/*
 * commits.h - what the application has committed, seen from outside of everything that is tested.
 *
 * Whenever the writer lock of the database has been let go, the new frames of the WAL are read from
 * the simulated disk and applied to an image of our own: each commit gets a number, and a hash of
 * the whole database as of it. After a power cut, or when the database was exchanged, the image is
 * learned anew from the disk: that state is the next commit, and those that were lost keep theirs.
 *
 * Knows SQLite's file formats (https://sqlite.org/walformat.html) and judge.h's hash; shares no
 * code with the product.
 */
#ifndef SIM_COMMITS_H
#define SIM_COMMITS_H

#include "base/base.h"

struct commit {
    uint64_t hash;      /* judge_hash_database of the image */
    uint32_t pages;     /* of the database, the lock page included */
    uint32_t page_size; /* bytes */
    uint32_t db;        /* whose it is: 0 for the first that was told of, 1 for the second, ... */
};

/* `path` and the byte that SQLite's lock page begins at; the disk and the VFS are there. Of another
 * one, a second or third time, the commits are counted along. Whose they are (struct commit). */
uint32_t commits_init(const char *path, uint32_t lock_offset);
/* Read what is there now. Else it is read whenever a writer lets go. */
void commits_look(void);
/* The disk has changed behind SQLite's back: forget the image, not the commits. */
void commits_forget(void);

/* The commits that SQLite has counted, iChange of the stable wal-index; false: there is none now.
 */
bool commits_counted(const char *path, uint32_t *ret);

size_t commits_n(void);
/* The same, counted up to the last one of the database at `path`. */
size_t commits_n_of(const char *path);
const struct commit *commits_at(size_t i); /* i < commits_n() */
/* The first commit from `from` on with this image; SIZE_MAX: none. */
size_t commits_find(size_t from, uint64_t hash, uint32_t pages, uint32_t page_size);
/* Whether one of that database has it. */
bool commits_has(uint32_t db, uint64_t hash, uint32_t pages, uint32_t page_size);

#endif
