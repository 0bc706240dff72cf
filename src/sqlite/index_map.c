/*
 * index_map.c - see index_map.h. Knows how the kernel maps pages; refuses to know what is in them.
 */
#ifdef __linux__
/* mremap and MADV_DONTNEED as they are here are Linux's own. */
#define _GNU_SOURCE 1 /* NOLINT(bugprone-reserved-identifier) */
#endif

#include "sqlite/index_map.h"

#include <sys/mman.h>
#include <unistd.h>

#ifdef __linux__
static size_t page_bytes(void)
{
    long n = sysconf(_SC_PAGESIZE);

    return n > 0 ? (size_t)n : SIZE_MAX;
}

static void *plain(volatile uint8_t *p)
{
    return (void *)(uintptr_t)p;
}

volatile uint8_t *wr_index_map(volatile uint8_t *part, size_t bytes)
{
    size_t page = page_bytes();
    void *head;

    if (page >= bytes || (uintptr_t)part % page != 0)
        return part;
    /* An old size of nothing asks for a second mapping of the same pages. Of private memory, the
     * heap's, there is none (EINVAL); Linux before 4.14 gave pages of zeros for it, which an index
     * that is in use never begins with. */
    head = mremap(plain(part), 0, page, MREMAP_MAYMOVE);
    if (head == MAP_FAILED)
        return part;
    if (*(volatile uint32_t *)head == 0) {
        (void)munmap(head, page);
        return part;
    }
    return head;
}

void wr_index_unmap(volatile uint8_t *head, volatile uint8_t *part)
{
    if (head != part)
        (void)munmap(plain(head), page_bytes()); /* fails for arguments only */
}

void wr_index_rest(volatile uint8_t *head, volatile uint8_t *part, size_t bytes)
{
    if (head != part) /* a hint */
        (void)madvise(plain(part), bytes, MADV_DONTNEED);
}
#else
volatile uint8_t *wr_index_map(volatile uint8_t *part, size_t bytes)
{
    (void)bytes;
    return part;
}

void wr_index_unmap(volatile uint8_t *head, volatile uint8_t *part)
{
    (void)head;
    (void)part;
}

void wr_index_rest(volatile uint8_t *head, volatile uint8_t *part, size_t bytes)
{
    (void)head;
    (void)part;
    (void)bytes;
}
#endif
