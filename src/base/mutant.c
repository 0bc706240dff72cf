/*
 * mutant.c - which of the bugs is there; nothing where they are not built in.
 */
#include "base/mutant.h"

#ifdef WR_MUTANTS
enum wr_mutant wr_mutant_now;

bool wr_mutant_choose(const char *name)
{
    static const char *const names[] = {
#define NAME(name, text) [WR_MUTANT_##name] = #name,
        WR_MUTANT_LIST(NAME)
#undef NAME
    };

    for (size_t i = 1; i < WR_MUTANT_COUNT; i++) {
        if (strcmp(names[i], name) != 0)
            continue;
        wr_mutant_now = (enum wr_mutant)i;
        return true;
    }
    return false;
}
#endif
