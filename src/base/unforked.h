/*
 * unforked.h - descriptors that a child of fork() does not get: they are closed there, before
 * anything else runs in it.
 *
 * A lock of an open file description lasts until the last descriptor of it is closed, in whatever
 * process; FD_CLOEXEC closes those of a child that becomes another program, and of no other.
 *
 * locked; known to the process through a global, as fork() is the process's.
 */
#ifndef WR_BASE_UNFORKED_H
#define WR_BASE_UNFORKED_H

#include "base/base.h"

struct wr_unforked {
    int *fd; /* set to -1 in a child */
    struct wr_unforked *next;
};

/* `u` stays where it is, and *fd what it is, until wr_unforked_close. */
void wr_unforked_add(struct wr_unforked *u, int *fd);
void wr_unforked_close(struct wr_unforked *u); /* in this process; nothing in a child */

#endif
