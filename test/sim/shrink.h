/*
 * shrink.h - make a tape that fails shorter and duller, while it fails in the same way.
 *
 * As Hypothesis does it: cut pieces out, from halves down to single decisions; make pieces 0, then
 * single decisions smaller. See https://hypothesis.works/articles/compositional-shrinking/.
 */
#ifndef SIM_SHRINK_H
#define SIM_SHRINK_H

#include "base/base.h"

/* Shrinks `tape` in place, for at most `seconds` of real time; its new length. If there is a mutant
 * it fails with that alone. `say` is told of each progress; NULL: nobody is. */
size_t shrink(uint32_t *tape, size_t n, unsigned seconds, void (*say)(size_t n));

#endif
