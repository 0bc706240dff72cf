/*
 * library.h - shared libraries that are loaded when they are first needed.
 *
 * What is linked is loaded before main, and most runs do not use it: a replica in a directory needs
 * no HTTP, and libcurl alone brings thirty libraries. They stay loaded.
 *
 * locked; known to the process through globals, as what is loaded is the process's.
 */
#ifndef WR_BASE_LIBRARY_H
#define WR_BASE_LIBRARY_H

#include "base/base.h"
#include "base/status.h"

#include <stdatomic.h>

/* Static: one for each library, beside the table of its functions. */
struct wr_library {
    const char *name; /* frozen; "libcurl" */
    const char *const
        *sonames;        /* frozen; the first one that there is counts; NULL behind the last */
    const char *package; /* frozen; of Debian, for who has none of them */
    bool if_present;     /* frozen; do not load it, only find it where others have */

    /* frozen: its functions, NULL behind the last, and where their addresses go in this order: a
     * struct of pointers to functions, which nobody reads before wr_library_load said OK. */
    const char *const *functions;
    void *table;

    /* frozen: what comes before the use of any of them, under the lock, until it has said OK once;
     * it may use the table. NULL: nothing does. */
    enum wr_status (*begin)(struct wr_err *e);

    atomic_bool loaded; /* of all that is in the table; read without the lock, by which it is set */
};

/* The table of a library and the names of what is in it, both static: LIST(X) is X(one) X(two) ...
 * of functions that headers declare. */
#define WR_LIBRARY_MEMBER_(name) __typeof__(name) *name; /* as in base/curl.h */
#define WR_LIBRARY_NAME_(name)   #name,
#define WR_LIBRARY_TABLE(table, names, LIST)                          \
    static struct {                                                   \
        LIST(WR_LIBRARY_MEMBER_)                                      \
    } table;                                                          \
    static const char *const names[] = {LIST(WR_LIBRARY_NAME_) NULL}; \
    _Static_assert(sizeof(table) == (wr_countof(names) - 1) * sizeof(void *), "one for each name")

/* A number that a header defines, as text. */
#define WR_LIBRARY_TEXT_(x) #x
#define WR_LIBRARY_TEXT(x)  WR_LIBRARY_TEXT_(x)

/* Load it, if that has not been done. IO when it is not there, or lacks a function; or what `begin`
 * says. The text says what the loader says, and where to get one that is not there; the next call
 * tries again. Any thread; a child of fork() may go on with what its parent was loading. */
enum wr_status wr_library_load(struct wr_library *l, struct wr_err *e) WR_MUST_CHECK;

#endif
