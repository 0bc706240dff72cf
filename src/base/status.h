/*
 * status.h - outcome codes and error text, passed by value up the call chain.
 */
#ifndef WR_BASE_STATUS_H
#define WR_BASE_STATUS_H

#include "base/base.h"

/* One code per thing a caller can DO about it, not per thing that can go wrong. The values are the
 * public WEIR_* codes of weir.h. */
#define WR_STATUS_MAP(X)                                                                     \
    X(OK, 0, "ok")                                                                           \
    X(NOTFOUND, 1, "not found")           /* absence is an answer: never retried */          \
    X(CONFLICT, 2, "precondition failed") /* someone else won: re-read, decide again */      \
    X(BUSY, 3, "busy, try again")         /* transient: retry with backoff */                \
    X(TIMEOUT, 4, "deadline exceeded")    /* transient: retry with backoff */                \
    X(CANCELED, 5, "canceled")            /* the caller asked us to stop */                  \
    X(AUTH, 6, "authentication failed")   /* an operator must act */                         \
    X(LIMIT, 7, "limit exceeded")         /* input or quota over a stated bound */           \
    X(CORRUPT, 8, "corrupt data")         /* checksum or format violation: stop, snapshot */ \
    X(IO, 9, "input/output error")                                                           \
    X(NOMEM, 10, "out of memory")                                                            \
    X(MISUSE, 11, "interface misuse") /* the caller broke the contract */                    \
    X(UNSUPPORTED, 12, "not supported here")                                                 \
    X(INTERNAL, 13, "internal error")

#define WR_STATUS_ENUM(name, value, text) WR_##name = (value),
enum wr_status {
    WR_STATUS_MAP(WR_STATUS_ENUM)
};
#undef WR_STATUS_ENUM

#define WR_ERR_MAX 512

/* Error text. Zero-initialise; written only when a function fails; never allocated. Every function
 * that takes one accepts NULL from a caller that wants only the code. */
struct wr_err {
    enum wr_status code;
    char text[WR_ERR_MAX]; /* outermost context first, NUL-terminated, truncated at the front */
};

/* Record a new failure and return `code`, so that `return wr_fail(e, ...)` reads as one act. */
enum wr_status wr_fail(struct wr_err *e, enum wr_status code, const char *fmt, ...) WR_PRINTF(3, 4);

/* As wr_fail, with ": strerror" appended and the code taken from errno: ENOENT is NOTFOUND, EEXIST
 * CONFLICT, ENOMEM NOMEM, ENOSPC, EDQUOT and EFBIG LIMIT, EAGAIN and EINTR BUSY, all else IO. */
enum wr_status wr_fail_errno(struct wr_err *e, int errnum, const char *fmt, ...) WR_PRINTF(3, 4);

/* Prefix context to a failure on its way up: "open ltx 0042: <what the callee said>". Returns
 * `code`. When the text would overflow, context is cut, never the root cause at the end. */
enum wr_status wr_wrap(struct wr_err *e, enum wr_status code, const char *fmt, ...) WR_PRINTF(3, 4);

/* Begins what an error says of the one request that met it, "[request 4442587FB7D0A2F9]", for who
 * asks the provider. It is another one each time. */
#define WR_REQUEST_MARK "[request "
/* Whether two texts tell of the same failure, whatever requests met it. */
bool wr_same_failure(const char *a, const char *b);

/* Static text for a code ("busy, try again"); "unknown status" for a number that is none. */
const char *wr_status_text(enum wr_status code);

/* Whether trying the same again later may succeed: BUSY and TIMEOUT. */
bool wr_status_transient(enum wr_status code);

/* Whether it says nothing of what was asked for, only of this attempt: transient, CANCELED, NOMEM.
 */
bool wr_status_passing(enum wr_status code);

#endif
