/*
 * mark.c - see mark.h.
 */
#define _GNU_SOURCE 1 /* for MADV_WIPEONFORK; NOLINT(bugprone-reserved-identifier) */

#include "vfs/mark.h"

#include <sys/mman.h>

static size_t size_of_page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

void wr_mark_init(struct wr_mark *m)
{
    *m = (struct wr_mark){.pid = getpid()};
#ifdef MADV_WIPEONFORK
    void *page =
        mmap(NULL, size_of_page(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return;
    if (madvise(page, size_of_page(), MADV_WIPEONFORK) != 0) {
        (void)munmap(page, size_of_page());
        return;
    }
    m->word = page;
    atomic_store(m->word, 1);
#endif
}

void wr_mark_release(struct wr_mark *m)
{
    if (m->word)
        (void)munmap(m->word, size_of_page());
    m->word = NULL;
}
