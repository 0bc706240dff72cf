/*
 * args.h - command-line flags, from a table into a struct of options.
 *
 * Flags are long, with one dash or two: -x v, -x=v, --x v. Booleans are -b or -b=true. Flags may
 * stand before, between and after the positionals; `--` ends them.
 */
#ifndef WR_CLI_ARGS_H
#define WR_CLI_ARGS_H

#include "base/base.h"
#include "base/status.h"
#include "base/str.h"

enum wr_flag_kind {
    WR_FLAG_TEXT,     /* const char * */
    WR_FLAG_TEXTS,    /* struct wr_texts: one more each time */
    WR_FLAG_BOOL,     /* bool */
    WR_FLAG_COUNT,    /* uint32_t, at least 1 */
    WR_FLAG_DURATION, /* int64_t, milliseconds, not negative */
    WR_FLAG_SECONDS,  /* int64_t, milliseconds: a duration, or a whole number of seconds */
    WR_FLAG_TXID,     /* uint64_t, 16 hex digits */
    WR_FLAG_TXNUM,    /* uint64_t, 16 hex digits, or a decimal number of fewer */
    WR_FLAG_TIME,     /* int64_t, Unix milliseconds: RFC 3339, or an age: -2h, "2h ago" */
    WR_FLAG_LEVEL,    /* int32_t: 0 to 9, or "all" as -1 */
};

#define WR_TEXTS_MAX 16
struct wr_texts {
    const char *p[WR_TEXTS_MAX];
    size_t n;
};

struct wr_flag {
    const char *name; /* without dashes; NULL ends a table */
    enum wr_flag_kind kind;
    size_t offset;     /* of the value in the struct of options */
    const char *value; /* what the value is called in the help; NULL for BOOL */
    const char *help;  /* one line */
};

struct wr_args {
    const char **positional; /* in order; room for all of argv, from the caller */
    size_t n;
    bool help; /* -h, -help or --help was given; the rest was not read */
};

/* Read argv[0..argc) into the struct at `options`, which holds the defaults. Texts point into argv.
 * `now_ms` is the Unix time that ages count from. MISUSE with the message for the user. */
enum wr_status wr_args_parse(const struct wr_flag *flags, size_t argc, char *const *argv,
    int64_t now_ms, void *options, struct wr_args *ret, struct wr_err *e) WR_MUST_CHECK;

#endif
