/*
 * curl.c - see curl.h.
 */
#include "base/curl.h"

#include "base/library.h"

#include <pthread.h>

static struct wr_curl functions;

static const char *const sonames[] = {WR_CURL_SONAMES, NULL};

#define NAME(name) "curl_" #name,
static const char *const names[] = {WR_CURL_FUNCTIONS(NAME) NULL};
#undef NAME

_Static_assert(sizeof(functions) == (wr_countof(names) - 1) * sizeof(void *), "one for each name");

static struct wr_library library = {.name = "libcurl",
    .sonames = sonames,
    .package = "libcurl4",
    .functions = names,
    .table = &functions};

static CURLcode ready;

static void start(void)
{
    ready = functions.global_init(CURL_GLOBAL_DEFAULT);
}

enum wr_status wr_curl_load(struct wr_err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    enum wr_status st = wr_library_load(&library, e);

    if (st != WR_OK)
        return st;
    (void)pthread_once(&once, start); /* fails only for a bad once control */
    if (ready != CURLE_OK)
        return wr_fail(e, WR_INTERNAL, "libcurl: %s", functions.easy_strerror(ready));
    return WR_OK;
}

const struct wr_curl *wr_curl(void)
{
    assert(functions.easy_init);
    return &functions;
}
