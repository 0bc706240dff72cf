/*
 * levels.c - see levels.h.
 */
#include "vfs/levels.h"

#include "engine/crew.h"

#define LEVELS (WR_LEVEL_MAX + 1u)

struct levels {
    struct wr_storage *storage;
    struct wr_ltx_files of[LEVELS]; /* each is one worker's at a time */
};

static enum wr_status list_one(void *arg, unsigned w, size_t i, struct wr_call *c, struct wr_err *e)
{
    struct levels *x = arg;

    (void)w;
    return wr_layout_list(x->storage, c, (unsigned)i, 0, &x->of[i], e);
}

enum wr_status wr_levels_list(
    struct wr_storage *s, struct wr_call *c, struct wr_ltx_files *out, struct wr_err *e)
{
    struct levels x = {.storage = s};
    enum wr_status st = wr_crew_run(c, LEVELS, LEVELS, "list the replica", list_one, &x, e);

    for (unsigned level = 0; level < LEVELS; level++) {
        for (size_t i = 0; st == WR_OK && i < x.of[level].n; i++)
            st = wr_ltx_files_add(out, &x.of[level].p[i], e);
        wr_ltx_files_release(&x.of[level]);
    }
    return st;
}
