/*
 * expand.c - environment variables in text, home directories and relative paths.
 *
 * The rules for '$' are those users of the original's configuration files rely on: the whole text
 * is expanded, comments included, before anybody parses it, and there is no escape.
 *
 *     $NAME     letters, digits and '_'
 *     ${NAME}   everything up to '}'
 *     ${NAME:-x}  x where it has no value; the original has nothing then
 *     $c ${c}   c is one of * # $ @ ! ? - 0-9: a name of one character
 *     ${} ${    swallowed
 *     $         before anything else: itself
 */
#include "daemon/expand.h"
#include "base/mem.h"
#include "base/url.h"

#include <unistd.h>

#define CWD_MAX 65536

static bool is_special(char c)
{
    return (c >= '0' && c <= '9') || (c && strchr("*#$@!?-", c));
}

static bool is_name(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* The name that follows a '$', and how many bytes of `s` it takes. */
static size_t take_name(struct wr_str s, struct wr_str *ret_name)
{
    size_t n = 0;
    const char *end;

    *ret_name = WR_STR("");
    if (s.n == 0)
        return 0;
    if (s.p[0] == '{') {
        end = memchr(s.p, '}', s.n);
        if (!end)
            return 1;
        *ret_name = (struct wr_str){s.p + 1, (size_t)(end - s.p) - 1};
        return ret_name->n + 2;
    }
    if (is_special(s.p[0]))
        n = 1;
    else
        while (n < s.n && is_name(s.p[n]))
            n++;
    *ret_name = (struct wr_str){s.p, n};
    return n;
}

static void put_variable(
    struct wr_buf *out, struct wr_str text, wr_unset_fn *unset, void *arg, size_t off)
{
    const char *value = NULL;
    struct wr_str name = text, fallback = {0};
    bool has_fallback = false;
    char *z;

    if (wr_str_eq(name, WR_STR("PID"))) {
        wr_buf_fmt(out, "%lld", (long long)getpid());
        return;
    }
    if (wr_str_cut(text, ':', &name, &fallback) && wr_str_starts(fallback, WR_STR("-"))) {
        has_fallback = true;
        fallback = wr_str_skip(fallback, 1);
    } else {
        name = text;
    }
    z = wr_strndup(name.p, name.n);
    if (!z) {
        out->failed = WR_NOMEM;
        return;
    }
    value = getenv(z);
    if (value && value[0])
        wr_buf_z(out, value);
    else if (has_fallback)
        wr_buf_str(out, fallback);
    else if (unset)
        unset(arg, name, value != NULL, off, out->n);
    wr_free(z);
}

void wr_expand_env(struct wr_buf *out, struct wr_str text, wr_unset_fn *unset, void *arg)
{
    size_t start = 0;

    for (size_t i = 0; i < text.n;) {
        struct wr_str name;
        size_t taken;

        if (text.p[i] != '$') {
            i++;
            continue;
        }
        taken = take_name(wr_str_skip(text, i + 1), &name);
        if (taken == 0) {
            i++;
            continue;
        }
        wr_buf_put(out, text.p + start, i - start);
        if (name.n)
            put_variable(out, name, unset, arg, i);
        i += 1 + taken;
        start = i;
    }
    wr_buf_put(out, text.p + start, text.n - start);
}

static enum wr_status working_dir(struct wr_arena *a, const char **ret, struct wr_err *e)
{
    for (size_t n = 256; n <= CWD_MAX; n *= 2) {
        char *p = wr_arena_alloc(a, n);

        if (!p)
            return wr_fail(e, WR_NOMEM, "out of memory");
        if (getcwd(p, n)) {
            *ret = p;
            return WR_OK;
        }
    }
    return wr_fail(e, WR_IO, "cannot tell the working directory");
}

enum wr_status wr_expand_path(
    struct wr_arena *a, struct wr_str path, const char **ret, struct wr_err *e)
{
    struct wr_str full;
    const char *base = NULL;

    if (wr_str_starts(path, WR_STR("sqlite3://")))
        path = wr_str_skip(path, 10);
    else if (wr_str_starts(path, WR_STR("sqlite://")))
        path = wr_str_skip(path, 9);
    if (path.n == 0)
        return wr_fail(e, WR_MISUSE, "empty path");

    if (wr_str_eq(path, WR_STR("~")) || wr_str_starts(path, WR_STR("~/"))) {
        base = getenv("HOME");
        if (!base || base[0] != '/')
            return wr_fail(e, WR_MISUSE, "cannot expand " WR_FMT ": HOME is not set", WR_ARG(path));
        full = wr_arena_fmt(a, "%s/" WR_FMT, base, WR_ARG(wr_str_skip(path, 1)));
    } else if (path.p[0] == '/') {
        full = path;
    } else {
        enum wr_status st = working_dir(a, &base, e);

        if (st != WR_OK)
            return st;
        full = wr_arena_fmt(a, "%s/" WR_FMT, base, WR_ARG(path));
    }
    if (full.p)
        full = wr_path_clean(a, full);
    if (full.p)
        full = wr_arena_str(a, full); /* cleaning may return a view without a final NUL */
    if (!full.p)
        return wr_fail(e, WR_NOMEM, "out of memory");
    *ret = full.p;
    return WR_OK;
}
