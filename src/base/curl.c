/*
 * curl.c - see curl.h.
 */
#include "base/curl.h"

#include "base/library.h"

static struct wr_curl functions;

static const char *const sonames[] = {WR_CURL_SONAMES, NULL};

#define NAME(name) "curl_" #name,
static const char *const names[] = {WR_CURL_FUNCTIONS(NAME) NULL};
#undef NAME

_Static_assert(sizeof(functions) == (wr_countof(names) - 1) * sizeof(void *), "one for each name");

#define VERSION_MIN 0x075500 /* of CURLOPT_PROTOCOLS_STR */

/* global_init: not thread-safe in each of them, and never in a child that was forked in the middle
 * of it. */
static enum wr_status begin(struct wr_err *e)
{
    const curl_version_info_data *v = functions.version_info(CURLVERSION_NOW);
    CURLcode code;

    if (v->version_num < VERSION_MIN)
        return wr_fail(e, WR_IO, "libcurl %s is too old: %d.%d.%d or later is needed", v->version,
            VERSION_MIN >> 16, VERSION_MIN >> 8 & 255, VERSION_MIN & 255);
    code = functions.global_init(CURL_GLOBAL_DEFAULT);
    if (code == CURLE_OUT_OF_MEMORY)
        return wr_fail(e, WR_NOMEM, "libcurl: out of memory");
    return code == CURLE_OK ? WR_OK
                            : wr_fail(e, WR_INTERNAL, "libcurl: %s", functions.easy_strerror(code));
}

static struct wr_library library = {.name = "libcurl",
    .sonames = sonames,
    .package = "libcurl4",
    .functions = names,
    .table = &functions,
    .begin = begin};

enum wr_status wr_curl_load(struct wr_err *e)
{
    return wr_library_load(&library, e);
}

const struct wr_curl *wr_curl(void)
{
    assert(functions.easy_init);
    return &functions;
}

enum wr_status wr_curl_refused(struct wr_err *e, CURLcode code, const char *what)
{
    if (code == CURLE_OUT_OF_MEMORY)
        return wr_fail(e, WR_NOMEM, "%s: out of memory", what);
    return wr_fail(e, WR_IO, "%s: libcurl %s refused an option: %s", what,
        functions.version_info(CURLVERSION_NOW)->version, functions.easy_strerror(code));
}
