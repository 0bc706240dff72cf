/*
 * text.h - a text that is there only sometimes, as that of an error: a pointer while it is not.
 *
 * owned.
 */
#ifndef WR_BASE_TEXT_H
#define WR_BASE_TEXT_H

#include "base/base.h"

/* = {0}: empty. */
struct wr_text {
    char *z;   /* NULL: empty, or lost */
    bool lost; /* there was no memory for it */
};

/* It becomes a copy of `z`; without memory for that, the words for NOMEM. */
void wr_text_set(struct wr_text *t, const char *z);
const char *wr_text(
    const struct wr_text *t);            /* NUL-terminated, never NULL; until it is set again */
void wr_text_release(struct wr_text *t); /* empty again */

#endif
