/*
 * old_curl.c - a libcurl from before what weir needs: it has all the functions, and says what it
 * is.
 */
#include "base/curl.h"

#include <stdlib.h>

#define EXPORT __attribute__((visibility("default")))

/* Under libcurl's names, which have other types in its header. */
#define NAMED(name)                                       \
    EXPORT void *old_##name(void) __asm__("curl_" #name); \
    void *old_##name(void)                                \
    {                                                     \
        return answer(#name);                             \
    }

/* Only its version is asked for: what else would be, an old one can do only in part. */
static void *answer(const char *name)
{
    static curl_version_info_data data = {.version = "7.74.0", .version_num = 0x074a00};

    if (strcmp(name, "version_info") != 0)
        abort();
    return &data;
}

WR_CURL_FUNCTIONS(NAMED)
