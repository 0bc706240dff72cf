/*
 * plain_httpd.c - a libmicrohttpd that was built without TLS: it has all the functions, and says
 * what it cannot do.
 */
#include "base/base.h"

#include <stdlib.h>

#define EXPORT __attribute__((visibility("default")))

/* Under libmicrohttpd's names, which have other types in its header. */
#define NAMED(name)                                      \
    EXPORT int plain_##name(void) __asm__("MHD_" #name); \
    int plain_##name(void)                               \
    {                                                    \
        return answer(#name);                            \
    }

/* Whoever needs TLS has to ask, and to leave it at that. */
static int answer(const char *name)
{
    if (strcmp(name, "is_feature_supported") != 0)
        abort();
    return 0;
}

NAMED(add_response_header)
NAMED(create_response_from_buffer)
NAMED(create_response_from_buffer_with_free_callback)
NAMED(create_response_from_callback)
NAMED(destroy_response)
NAMED(get_connection_info)
NAMED(is_feature_supported)
NAMED(lookup_connection_value)
NAMED(queue_response)
NAMED(start_daemon)
NAMED(stop_daemon)
