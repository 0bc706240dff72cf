/*
 * contract_int.h - what the files of the storage contract share: short ways to say what they do.
 */
#ifndef WR_TEST_CONTRACT_INT_H
#define WR_TEST_CONTRACT_INT_H

#include "contract/storage_contract.h"

/* One check at work. */
struct bench {
    struct contract_factory *f;
    struct wr_storage *s;
    struct wr_call *c;
};

/* A fresh bucket for the check whose cmocka state is given; put_away closes it. */
struct bench take_out(void **state);
void put_away(struct bench *b);

/* The bucket's prefix and `name`, in the call's scratch. */
struct wr_str key_at(const struct bench *b, const char *name);
struct wr_bytes text_of(const char *z);
/* `n` bytes that follow from `seed`, in the call's scratch. */
struct wr_bytes noise(const struct bench *b, size_t n, uint64_t seed);

void put_text(const struct bench *b, const char *name, const char *text);
/* The object is there and has exactly these bytes, read in one get with room to spare. */
void expect_bytes(const struct bench *b, struct wr_str key, struct wr_bytes want);
void expect_text(const struct bench *b, const char *name, const char *want);
void expect_absent(const struct bench *b, const char *name);

/* The listing of `prefix` after `after` is exactly these names, in this order; NULL ends them. The
 * bucket's prefix is added to all of them. */
void expect_list(
    const struct bench *b, const char *prefix, const char *after, const char *const *names);

struct check {
    const char *name;
    CMUnitTestFunction run;
};
/* Each ends with a NULL name. */
extern const struct check contract_object_checks[], contract_list_checks[], contract_write_checks[];

#endif
