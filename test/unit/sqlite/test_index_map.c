/*
 * test_index_map.c - the second mapping of a wal-index: what is stored through one is seen through
 * the other, what is given back is not lost, and memory that is not shared is left alone.
 */
#include "sqlite/index_map.h"

#include "harness/t.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE ((size_t)sysconf(_SC_PAGESIZE))
#define PART (8 * PAGE) /* as most often */

static uint8_t *map_file(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    void *p;

    T(fd >= 0 && ftruncate(fd, (off_t)PART) == 0);
    p = mmap(NULL, PART, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    T(p != MAP_FAILED && close(fd) == 0);
    return p;
}

static void test_both_are_one(void **state)
{
    const char *path = t_path(t_tmpdir(), "a");
    volatile uint8_t *part = map_file(path), *head;

    (void)state;
    for (size_t i = 0; i < PART; i++)
        part[i] = (uint8_t)(i % 251 + 1);
    head = wr_index_map(part, PART);
    T(head != part);
    head[96] = 7;
    T(part[96] == 7);
    part[97] = 8;
    T(head[97] == 8);
    T(t_resident_kib(path) >= PART / 1024);
    wr_index_rest(head, part, PART);
    T(head[97] == 8);
    assert_int_equal(t_resident_kib(path), PAGE / 1024);
    for (size_t i = 98; i < PART; i++)
        T(part[i] == i % 251 + 1);
    wr_index_rest(head, part, PART);
    wr_index_unmap(head, part);
    T(part[96] == 7 && part[PART - 1] == (PART - 1) % 251 + 1);
    T(munmap((void *)(uintptr_t)part, PART) == 0);
}

/* What a VFS keeps on its heap would be gone. */
static void test_private_memory_stays(void **state)
{
    int fd = open("/dev/zero", O_RDWR);
    uint8_t *heap = mmap(NULL, PART, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    uint8_t *part;

    (void)state;
    T(heap != MAP_FAILED && close(fd) == 0);
    memset(heap, 'x', PART);
    for (size_t i = 0; i < 2; i++) { /* at a page's start, and not */
        volatile uint8_t *head;

        part = heap + 64 * i;
        head = wr_index_map(part, PART / 2);
        T(head == part);
        wr_index_rest(head, part, PART / 2);
        wr_index_unmap(head, part);
    }
    for (size_t i = 0; i < PART; i++)
        T(heap[i] == 'x');
    T(munmap(heap, PART) == 0);
}

/* A part that is one page has nothing to give back, and one that begins with zeros is none that
 * SQLite uses. */
static void test_where_there_is_nothing_to_gain(void **state)
{
    uint8_t *part = map_file(t_path(t_tmpdir(), "a"));

    (void)state;
    T(wr_index_map(part, PART) == part);
    part[0] = 1;
    T(wr_index_map(part, PAGE) == part);
    T(munmap(part, PART) == 0);
}

T_MAIN(T_TEST(test_both_are_one), T_TEST(test_private_memory_stays),
    T_TEST(test_where_there_is_nothing_to_gain))
