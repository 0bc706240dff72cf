/*
 * status.c - composes error text: context in front, the root cause at the end, never an allocation.
 *
 * Knows nothing of who reads the text or what is done about a code.
 */
#include "base/status.h"

#include <errno.h>
#include <stdarg.h>

/* Room to format one level's text before it is cut to size: a path (4096 bytes on Linux) and words
 * around it. Text beyond it is lost at its end, which no sane message reaches. */
#define LEVEL_MAX 5120

/* Store prefix and cause so that the end survives: what does not fit is cut in front and replaced
 * by
 * "...". The cut does not leave half a UTF-8 character. */
static void store(struct wr_err *e, const char *all, size_t n)
{
    static const char dots[] = "...";
    const size_t room = WR_ERR_MAX - 1;
    size_t skip = 0;
    size_t lead = 0;

    if (n > room) {
        lead = sizeof(dots) - 1;
        skip = n - (room - lead);
        while (skip < n && ((unsigned char)all[skip] & 0xc0) == 0x80)
            skip++;
        memcpy(e->text, dots, lead);
    }
    memcpy(e->text + lead, all + skip, n - skip);
    e->text[lead + n - skip] = '\0';
}

/* "<formatted>" or, with a cause, "<formatted>: <cause>". Everything is copied before e->text is
 * written: arguments and cause may point into it. */
static WR_PRINTF(3, 0) void compose(
    struct wr_err *e, enum wr_status code, const char *fmt, va_list ap, const char *cause)
{
    char all[LEVEL_MAX + 2 + WR_ERR_MAX];
    int formatted = vsnprintf(all, LEVEL_MAX, fmt, ap);
    size_t n = formatted < 0 ? 0 : wr_min((size_t)formatted, (size_t)LEVEL_MAX - 1);

    if (cause) {
        size_t cause_n = strnlen(cause, WR_ERR_MAX - 1);

        all[n++] = ':';
        all[n++] = ' ';
        memcpy(all + n, cause, cause_n);
        n += cause_n;
    }
    store(e, all, n);
    e->code = code;
}

enum wr_status wr_fail(struct wr_err *e, enum wr_status code, const char *fmt, ...)
{
    va_list ap;

    assert(code != WR_OK);
    if (e) {
        va_start(ap, fmt);
        compose(e, code, fmt, ap, NULL);
        va_end(ap);
    }
    return code;
}

static enum wr_status status_of_errno(int errnum)
{
    switch (errnum) {
    case ENOENT:
        return WR_NOTFOUND;
    case EEXIST:
        return WR_CONFLICT;
    case ENOMEM:
        return WR_NOMEM;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return WR_LIMIT;
    case EAGAIN:
    case EINTR:
        return WR_BUSY;
    default:
        return WR_IO;
    }
}

enum wr_status wr_fail_errno(struct wr_err *e, int errnum, const char *fmt, ...)
{
    enum wr_status code = status_of_errno(errnum);
    char cause[128];
    va_list ap;

    if (e) {
        if (strerror_r(errnum, cause, sizeof(cause)) != 0)
            (void)snprintf(cause, sizeof(cause), "error number %d", errnum);
        va_start(ap, fmt);
        compose(e, code, fmt, ap, cause);
        va_end(ap);
    }
    return code;
}

enum wr_status wr_wrap(struct wr_err *e, enum wr_status code, const char *fmt, ...)
{
    va_list ap;

    assert(code != WR_OK);
    if (e) {
        /* A callee may fail without text: absence is often an answer, and NOMEM has nothing to say.
         */
        const char *cause = e->text[0] ? e->text : wr_status_text(code);

        va_start(ap, fmt);
        compose(e, code, fmt, ap, cause);
        va_end(ap);
    }
    return code;
}

const char *wr_status_text(enum wr_status code)
{
#define WR_STATUS_TEXT(name, value, text) [value] = (text),
    static const char *const texts[] = {WR_STATUS_MAP(WR_STATUS_TEXT)};
#undef WR_STATUS_TEXT

    if ((size_t)code >= wr_countof(texts))
        return "unknown status";
    return texts[code];
}

static const char *past_request(const char *text)
{
    const char *end = NULL;

    if (strncmp(text, WR_REQUEST_MARK, sizeof(WR_REQUEST_MARK) - 1) == 0)
        end = strchr(text, ']');
    return end ? end + 1 : text;
}

bool wr_same_failure(const char *a, const char *b)
{
    for (;; a++, b++) {
        a = past_request(a);
        b = past_request(b);
        if (*a != *b || *a == '\0')
            return *a == *b;
    }
}

bool wr_status_transient(enum wr_status code)
{
    return code == WR_BUSY || code == WR_TIMEOUT;
}

bool wr_status_passing(enum wr_status code)
{
    return wr_status_transient(code) || code == WR_CANCELED || code == WR_NOMEM;
}
