/*
 * mark.h - how a process is told from the one that it was forked from, by a look at memory.
 *
 * getpid() is a call of the kernel, and this is asked several times for each query. Linux can be
 * told to hand a page to a child empty, however the child was made; elsewhere, and on kernels
 * before 4.14, it is getpid() that is asked.
 *
 * frozen once made; any thread may ask.
 */
#ifndef WR_VFS_MARK_H
#define WR_VFS_MARK_H

#include "base/base.h"

#include <stdatomic.h>
#include <sys/types.h>
#include <unistd.h>

struct wr_mark {
    pid_t pid;
    _Atomic uint32_t *word; /* 1, and 0 in a child; NULL: there is no such page */
};

void wr_mark_init(struct wr_mark *m); /* of this process */
void wr_mark_release(struct wr_mark *m);

/* Whether this is the process that made the mark, and no child of it. */
static inline bool wr_mark_mine(const struct wr_mark *m)
{
    return m->word ? atomic_load_explicit(m->word, memory_order_relaxed) != 0 : m->pid == getpid();
}

#endif
