/*
 * memfs.h - a disk of a few files in memory, small, and full at a limit.
 *
 * Files are created by being opened. Each is one allocation of exactly its size, which is also what
 * a mapping of it points to: a sanitizer sees every byte read past the end. owned: by one thread.
 */
#ifndef WR_TEST_MEMFS_H
#define WR_TEST_MEMFS_H

#include "base/file.h"

#define MEMFS_FILES 4

struct memfs {
    struct wr_fs fs; /* first */
    struct memfs *self;
    size_t size_max; /* bytes of each file; LIMIT above */
    struct memfs_file {
        struct wr_file file;
        struct memfs *owner;
        char name[64];
        uint8_t *p;
        size_t n;
        bool used;
    } files[MEMFS_FILES];
};

void memfs_init(struct memfs *m, size_t size_max);
void memfs_release(struct memfs *m);

/* The file of this name, made with these contents if there is none. Never fails. */
struct memfs_file *memfs_add(struct memfs *m, const char *name, struct wr_bytes contents);

#endif
