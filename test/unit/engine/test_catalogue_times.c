/*
 * test_catalogue_times.c - a copy of a replica whose files have the time of the copy: all snapshots
 * of a year were of one day, and all but one were deleted.
 */
#include "engine/catalogue.h"

#include "unit/engine/verify_world.h"

#define DAY_MS ((int64_t)24 * 3600 * 1000)

static void put_at(const struct story *s, struct world *w, uint64_t txid, int64_t ms)
{
    struct wr_buf b;

    wr_buf_init(&b, (size_t)1 << 24);
    story_file(s, 1, txid, &b); /* which says that it was made at txid seconds */
    world_store(
        w, wr_layout_ltx_key(t_call()->scratch, w->storage, 9, 1, txid), wr_buf_bytes(&b), ms);
    wr_buf_release(&b);
}

static enum wr_status times_of(struct world *w, struct wr_err *e)
{
    struct wr_catalogue k = {0};
    enum wr_status st = wr_catalogue_fill(&k, w->storage, t_call(), e);

    if (st == WR_OK)
        st = wr_catalogue_times(&k, w->storage, t_call(), 2, e);
    T(st == WR_OK || !k.known);
    wr_catalogue_release(&k);
    return st;
}

static void test_a_copy_has_other_times(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (unsigned caps = 0; caps <= WR_STORAGE_LIST_TIME; caps += WR_STORAGE_LIST_TIME) {
        struct wr_err e = {0};
        struct story s;
        struct world w;

        world_init(&w, caps, "a/");
        replica_story(&s, &r, 512, 4, true);
        put_at(&s, &w, 2, 2000);
        put_at(&s, &w, 4, 4000 + 60000); /* a store's own clock */
        T_OK(times_of(&w, &e));
        put_at(&s, &w, 1, DAY_MS);
        T_IS(WR_CONFLICT, times_of(&w, &e));
        T(strstr(e.text, "0000000000000001 has another time") && strstr(e.text, "copy"));
        story_release(&s);
        world_release(&w);
    }
}

T_MAIN(T_TEST(test_a_copy_has_other_times))
