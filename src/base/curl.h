/*
 * curl.h - libcurl, loaded at first use (library.h).
 *
 * Instead of curl_easy_init() write wr_curl()->easy_init(): by their full names some are macros,
 * which is why WR_LIBRARY_TABLE does not make this table. Each pointer has the type that libcurl's
 * header gives the function, so that a call which would not compile with the one does not with the
 * other; only __typeof__ can say that, which is no C11, and known to all compilers that we know.
 */
#ifndef WR_BASE_CURL_H
#define WR_BASE_CURL_H

#include "base/base.h"
#include "base/status.h"

#include <curl/curl.h>

#define WR_CURL_SONAMES "libcurl.so.4", "libcurl-gnutls.so.4" /* the same, over another TLS */

#define WR_CURL_FUNCTIONS(X) \
    X(easy_cleanup)          \
    X(easy_getinfo)          \
    X(easy_init)             \
    X(easy_perform)          \
    X(easy_reset)            \
    X(easy_setopt)           \
    X(easy_strerror)         \
    X(getdate)               \
    X(global_init)           \
    X(multi_add_handle)      \
    X(multi_cleanup)         \
    X(multi_info_read)       \
    X(multi_init)            \
    X(multi_perform)         \
    X(multi_poll)            \
    X(multi_remove_handle)   \
    X(multi_setopt)          \
    X(multi_wakeup)          \
    X(slist_append)          \
    X(slist_free_all)        \
    X(version_info)

#define WR_CURL_MEMBER(name) __typeof__(curl_##name) *name;
struct wr_curl {
    WR_CURL_FUNCTIONS(WR_CURL_MEMBER)
};
#undef WR_CURL_MEMBER

/* Before the first use, in this process, of anything below; costs nothing when it has been done.
 * IO as wr_library_load, and when it is too old; NOMEM or INTERNAL when libcurl cannot begin: the
 * next call tries again. Any thread. */
enum wr_status wr_curl_load(struct wr_err *e) WR_MUST_CHECK;

/* Its functions. wr_curl_load has said OK. */
const struct wr_curl *wr_curl(void);

/* Whether a value is what its option's number says, for a variadic function believes it: numbers
 * are long, those of options from 30000 on curl_off_t, and all others pointers. libcurl's own
 * macros ask that, and more, but only of a call by the function's name. */
#define WR_CURL_LONG(value)   _Generic((value), long : 1, default : 0)
#define WR_CURL_LARGE(value)  _Generic((value), curl_off_t : 1, default : 0)
#define WR_CURL_NUMBER(value) _Generic((value), int : 1, long : 1, default : 0)
#define WR_CURL_FITS(option, value)         \
    ((option) < 10000 ? WR_CURL_LONG(value) \
                      : ((option) / 10000 == 3 ? WR_CURL_LARGE(value) : !WR_CURL_NUMBER(value)))

/* curl_easy_setopt, which does not compile if the value does not fit. */
#define WR_CURL_SET(easy, option, value)                           \
    ((void)sizeof(char[WR_CURL_FITS((option), (value)) ? 1 : -1]), \
        wr_curl()->easy_setopt((easy), (option), (value)))

/* As WR_CURL_SET, unless an option before it was refused: `code`, OK at first, is what was said
 * then.
 */
#define WR_CURL_TRY(code, easy, option, value) \
    ((code) = (code) != CURLE_OK ? (code) : WR_CURL_SET((easy), option, (value)))

/* CURLOPT_QUICK_EXIT, from 7.87 on: the end of a transfer does not wait for a name server. An older
 * libcurl refuses it, and does all else. */
#define WR_CURL_QUICK_EXIT ((CURLoption)(CURLOPTTYPE_LONG + 322))

/* What a transfer ends with when libcurl refuses an option that it cannot do without: NOMEM where
 * that is the reason, else IO. `what` comes first in the text. */
enum wr_status wr_curl_refused(struct wr_err *e, CURLcode code, const char *what);

#endif
