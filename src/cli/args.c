/*
 * args.c - flags out of an argument vector.
 *
 * It knows the forms of flags and of their values, not what any flag is for. Unlike the original,
 * flags after the first positional are flags too: there nothing good came of ignoring them.
 */
#include "cli/args.h"

#include "base/nearest.h"

#include <weir.h>

static const struct wr_flag *find_flag(const struct wr_flag *flags, struct wr_str name)
{
    for (; flags->name; flags++)
        if (wr_str_eq(wr_str(flags->name), name))
            return flags;
    return NULL;
}

/* RFC 3339, in which 't', 'z' and a blank instead of the T are right, too. */
static bool parse_date(struct wr_str s, int64_t *ret_ms)
{
    const size_t day = strlen("2006-01-02");
    char text[64];

    if (s.n <= day || s.n >= sizeof(text))
        return false;
    memcpy(text, s.p, s.n);
    if (text[day] == 't' || text[day] == ' ')
        text[day] = 'T';
    if (text[s.n - 1] == 'z')
        text[s.n - 1] = 'Z';
    return wr_parse_time((struct wr_str){text, s.n}, ret_ms);
}

/* "2006-01-02T15:04:05Z", "-2h", "2h ago", "90m ago". */
static bool parse_time(struct wr_str s, int64_t now_ms, int64_t *ret_ms)
{
    int64_t ns;

    if (parse_date(s, ret_ms))
        return true;
    if (wr_str_ends(s, WR_STR(" ago")))
        s.n -= 4;
    else if (wr_str_starts(s, WR_STR("-")))
        s = wr_str_skip(s, 1);
    else
        return false; /* "2h" alone might as well mean the future */
    if (!wr_parse_duration(wr_str_trim(s), &ns) || ns < 0)
        return false;
    *ret_ms = now_ms - ns / 1000000;
    return true;
}

static enum wr_status bad_value(
    const struct wr_flag *f, struct wr_str value, const char *why, struct wr_err *e)
{
    return wr_fail(
        e, WR_MISUSE, "invalid value \"" WR_FMT "\" for flag -%s: %s", WR_ARG(value), f->name, why);
}

static enum wr_status set_time(
    const struct wr_flag *f, struct wr_str value, int64_t now_ms, int64_t *dest, struct wr_err *e)
{
    if (parse_time(value, now_ms, dest) && *dest > 0)
        return WR_OK;
    return wr_fail(e, WR_MISUSE,
        "invalid -%s, must specify in ISO 8601 format (e.g. 2000-01-01T00:00:00Z) or as an age "
        "(e.g. -2h)",
        f->name);
}

static enum wr_status set_level(
    const struct wr_flag *f, struct wr_str value, int32_t *dest, struct wr_err *e)
{
    uint64_t u;

    if (wr_str_eq(value, WR_STR("all"))) {
        *dest = WEIR_LEVEL_ALL;
        return WR_OK;
    }
    if (!wr_parse_u64(value, &u))
        return bad_value(f, value, "invalid level: must be 0-9 or \"all\"", e);
    if (u > WEIR_LEVEL_SNAPSHOT)
        return bad_value(f, value, "level must be between 0 and 9", e);
    *dest = (int32_t)u;
    return WR_OK;
}

/* Of so many seconds as fit, a sign included: what a command makes of it is its own matter. */
static bool parse_seconds(struct wr_str s, int64_t *ret_ms)
{
    int64_t n;

    if (wr_parse_i64(s, &n)) {
        if (n > INT64_MAX / 1000000000 || n < -(INT64_MAX / 1000000000))
            return false;
        *ret_ms = n * 1000;
        return true;
    }
    if (!wr_parse_duration(s, &n))
        return false;
    *ret_ms = n / 1000000;
    return true;
}

/* Listings have hex digits, always 16; what a daemon answers are numbers. */
static bool parse_txnum(struct wr_str s, uint64_t *ret)
{
    uint64_t u;
    bool ok = s.n == 16 ? wr_parse_hex64(s, &u) : wr_parse_u64(s, &u);

    if (!ok || u == 0 || u > INT64_MAX)
        return false;
    *ret = u;
    return true;
}

static enum wr_status add_text(
    const struct wr_flag *f, const char *text, struct wr_texts *dest, struct wr_err *e)
{
    if (dest->n == WR_TEXTS_MAX)
        return wr_fail(e, WR_MISUSE, "flag -%s is there more than %d times", f->name, WR_TEXTS_MAX);
    dest->p[dest->n++] = text;
    return WR_OK;
}

static enum wr_status set_value(
    const struct wr_flag *f, const char *text, int64_t now_ms, void *options, struct wr_err *e)
{
    void *dest = (char *)options + f->offset;
    struct wr_str value = wr_str(text);
    uint64_t u;
    int64_t ns;

    switch (f->kind) {
    case WR_FLAG_TEXT:
        *(const char **)dest = text;
        return WR_OK;
    case WR_FLAG_TEXTS:
        return add_text(f, text, dest, e);
    case WR_FLAG_BOOL:
        if (!wr_parse_bool(value, dest))
            return wr_fail(e, WR_MISUSE,
                "invalid boolean value \"%s\" for -%s: must be true or false", text, f->name);
        return WR_OK;
    case WR_FLAG_COUNT:
        if (!wr_parse_u64(value, &u) || u == 0 || u > UINT32_MAX)
            return bad_value(f, value, "must be a number from 1", e);
        *(uint32_t *)dest = (uint32_t)u;
        return WR_OK;
    case WR_FLAG_DURATION:
        if (!wr_parse_duration(value, &ns) || ns < 0)
            return bad_value(f, value, "must be a duration such as 30s or 1m30s", e);
        *(int64_t *)dest = ns / 1000000;
        return WR_OK;
    case WR_FLAG_SECONDS:
        if (!parse_seconds(value, dest))
            return bad_value(
                f, value, "must be a number of seconds, or a duration such as 1m30s", e);
        return WR_OK;
    case WR_FLAG_TXID:
        if (value.n != 16 || !wr_parse_hex64(value, &u) || u == 0)
            return bad_value(f, value, "a TXID is 16 hex digits, not all 0", e);
        *(uint64_t *)dest = u;
        return WR_OK;
    case WR_FLAG_TXNUM:
        if (!parse_txnum(value, dest))
            return bad_value(f, value, "a TXID is a number from 1, or 16 hex digits", e);
        return WR_OK;
    case WR_FLAG_TIME:
        return set_time(f, value, now_ms, dest, e);
    case WR_FLAG_LEVEL:
        return set_level(f, value, dest, e);
    }
    return WR_OK;
}

static enum wr_status unknown_flag(
    const struct wr_flag *flags, struct wr_str name, struct wr_err *e)
{
    struct wr_nearest near;
    const char *best;

    wr_nearest_init(&near, name);
    for (; flags->name; flags++)
        wr_nearest_offer(&near, flags->name);
    best = wr_nearest_get(&near);
    if (best)
        return wr_fail(e, WR_MISUSE,
            "flag provided but not defined: -" WR_FMT " (did you mean -%s?)", WR_ARG(name), best);
    return wr_fail(e, WR_MISUSE, "flag provided but not defined: -" WR_FMT, WR_ARG(name));
}

static bool is_help(struct wr_str name)
{
    return wr_str_eq(name, WR_STR("h")) || wr_str_eq(name, WR_STR("help"));
}

/* One flag, argv[*i] and perhaps the argument after it. */
static enum wr_status parse_flag(const struct wr_flag *flags, size_t argc, char *const *argv,
    size_t *i, int64_t now_ms, void *options, struct wr_args *args, struct wr_err *e)
{
    struct wr_str text = wr_str(argv[*i]), name, rest;
    const struct wr_flag *f;
    bool has_value;

    text = wr_str_skip(text, wr_str_starts(text, WR_STR("--")) ? 2 : 1);
    has_value = wr_str_cut(text, '=', &name, &rest);
    if (name.n == 0 || name.p[0] == '-')
        return wr_fail(e, WR_MISUSE, "bad flag syntax: %s", argv[*i]);
    f = find_flag(flags, name);
    if (!f && is_help(name)) {
        args->help = true;
        return WR_OK;
    }
    if (!f)
        return unknown_flag(flags, name, e);
    if (has_value)
        return set_value(f, rest.p, now_ms, options, e);
    if (f->kind == WR_FLAG_BOOL)
        return set_value(f, "true", now_ms, options, e);
    if (*i + 1 == argc)
        return wr_fail(e, WR_MISUSE, "flag needs an argument: -%s", f->name);
    return set_value(f, argv[++*i], now_ms, options, e);
}

enum wr_status wr_args_parse(const struct wr_flag *flags, size_t argc, char *const *argv,
    int64_t now_ms, void *options, struct wr_args *ret, struct wr_err *e)
{
    bool flags_end = false;

    ret->n = 0;
    ret->help = false;
    for (size_t i = 0; i < argc && !ret->help; i++) {
        enum wr_status st = WR_OK;

        if (!flags_end && wr_str_eq(wr_str(argv[i]), WR_STR("--")))
            flags_end = true;
        else if (flags_end || argv[i][0] != '-' || argv[i][1] == 0)
            ret->positional[ret->n++] = argv[i];
        else
            st = parse_flag(flags, argc, argv, &i, now_ms, options, ret, e);
        if (st != WR_OK)
            return st;
    }
    return WR_OK;
}
