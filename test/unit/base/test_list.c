/*
 * test_list.c - the linked list against an array.
 */
#include "base/list.h"

#include "base/rand.h"
#include "harness/t.h"

#define ITEMS 20

struct item {
    int id;
    struct wr_link link;
};

static void check(const struct wr_list *l, struct item *const *model, size_t n)
{
    struct wr_link *x = wr_list_first(l);

    T(wr_list_empty(l) == (n == 0));
    for (size_t i = 0; i < n; i++) {
        T(x == &model[i]->link);
        T(wr_container_of(x, struct item, link)->id == model[i]->id);
        x = wr_list_next(l, x);
    }
    T(x == NULL);
}

static void test_against_model(void **state)
{
    struct item items[ITEMS] = {0};
    struct item *model[ITEMS];
    size_t n = 0;
    struct wr_list l;
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    wr_list_init(&l);
    for (int i = 0; i < ITEMS; i++)
        items[i].id = i;
    check(&l, model, n);
    for (int op = 0; op < 20000; op++) {
        struct item *x = &items[wr_rand_below(&r, ITEMS)];

        if (!x->link.next) {
            wr_list_push(&l, &x->link);
            model[n++] = x;
        } else {
            size_t at = 0;

            while (model[at] != x)
                at++;
            wr_list_remove(&x->link);
            T(!x->link.next && !x->link.prev);
            for (n--; at < n; at++)
                model[at] = model[at + 1];
        }
        check(&l, model, n);
    }
}

T_MAIN(T_TEST(test_against_model))
