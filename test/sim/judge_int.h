/*
 * judge_int.h - what the files of the judge share.
 */
#ifndef SIM_JUDGE_INT_H
#define SIM_JUDGE_INT_H

#include "sim/judge.h"

/* Every checksum has this bit set; alone, that of a database without pages. */
#define JUDGE_SUM_TOP ((uint64_t)1 << 63)

/* CRC-64/GO-ISO of `p` after bytes whose CRC is `crc`; 0 at first. */
uint64_t judge_crc(uint64_t crc, const uint8_t *p, size_t n);
/* The checksum of a page as rolling checksums are made of. */
uint64_t judge_page_sum(uint32_t pgno, const uint8_t *p, size_t n);

uint32_t judge_lock_page(uint32_t page_size, uint32_t lock_offset);

#define JUDGE_SNAPSHOTS 9 /* the level whose files are all snapshots */

/* A file that is or was there. */
struct judge_known {
    struct judge_file f;
    unsigned level;
    bool gone;
    bool stray; /* its client was dead by then */
    bool apart; /* and nothing goes on from it: no image is made of it */
};

/* A page of the head. */
struct judge_cell {
    uint64_t hash; /* 0: no such page */
    uint64_t sum;
};

struct judge {
    uint32_t lock_offset;
    bool dead;                  /* who puts what comes next */
    struct judge_known **files; /* in the order that judge_chain.c speaks of */
    size_t n, cap;
    struct judge_image *images; /* ascending */
    size_t n_images, images_cap;
    struct judge_image head;  /* txid 0: nothing yet */
    uint64_t head_sum;        /* exclusive or of its pages' checksums */
    bool head_rolling;        /* the file that made it says the same */
    struct judge_cell *cells; /* of its pages; cells[0] is page 1 */
    size_t cells_cap;
};

/* False, with `k` and `what` as the text. */
bool judge_bad_file(char why[JUDGE_TEXT], const struct judge_known *k, const char *what);

/* Room for `n` elements of `size` bytes, those behind the first *cap zeroed. */
void *judge_room(void *p, size_t *cap, size_t n, size_t size);

/* Where files that end at `max` or later begin. */
size_t judge_first_ending(const struct judge *j, uint64_t max);

/* The `i`-th file is new: does it agree with all others? */
bool judge_take_in(struct judge *j, size_t i, char why[JUDGE_TEXT]);

#endif
