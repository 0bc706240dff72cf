/*
 * test_http_share.c - net/http_share.h: who gets which client, and what becomes of a bad one.
 */
#include "net/http_share.h"

#include "harness/t.h"

static void the_same_options_have_one_client(void **state)
{
    const struct wr_http_opts plain = {0};
    const struct wr_http_opts others[] = {{.skip_verify = true}, {.ca_file = "/dev/null"},
        {.connect_ms = 1}, {.stall_ms = 1}, {.idle_max = 1}};
    struct wr_http_share *x = wr_http_share_new();
    struct wr_http *first = NULL, *again = NULL, *other = NULL;
    struct wr_err e = {0};
    char file[] = "/dev/null"; /* equal text elsewhere */

    (void)state;
    T(x != NULL);
    T_OK(wr_http_share_get(x, &plain, &first, &e));
    T_OK(wr_http_share_get(x, &plain, &again, &e));
    T(first == again);
    for (size_t i = 0; i < wr_countof(others); i++) {
        T_OK(wr_http_share_get(x, &others[i], &other, &e));
        T(other != first);
    }
    T_OK(wr_http_share_get(x, &others[1], &first, &e));
    T_OK(wr_http_share_get(x, &(const struct wr_http_opts){.ca_file = file}, &again, &e));
    T(first == again);
    wr_http_share_free(x);
    wr_http_share_free(NULL);
}

static void a_client_that_cannot_be_made_is_not_kept(void **state)
{
    const struct wr_http_opts bad = {.ca_file = "/nonexistent.pem"};
    struct wr_http_share *x = wr_http_share_new();
    struct wr_http *h = NULL;
    struct wr_err e = {0};

    (void)state;
    T(x != NULL);
    T_IS(WR_MISUSE, wr_http_share_get(x, &bad, &h, &e));
    T_IS(WR_MISUSE, wr_http_share_get(x, &bad, &h, &e));
    T(h == NULL);
    wr_http_share_free(x);
}

static enum wr_status sweep_body(void *arg)
{
    struct wr_http_share *x = wr_http_share_new();
    struct wr_http *h;
    enum wr_status st;

    (void)arg;
    if (!x)
        return WR_NOMEM;
    st = wr_http_share_get(x, &(const struct wr_http_opts){0}, &h, NULL);
    wr_http_share_free(x);
    return st;
}

static void out_of_memory(void **state)
{
    (void)state;
    t_sweep_nomem(sweep_body, NULL);
}

T_MAIN(T_TEST(the_same_options_have_one_client), T_TEST(a_client_that_cannot_be_made_is_not_kept),
    T_TEST(out_of_memory))
