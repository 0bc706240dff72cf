/*
 * fuzz_awscreds.c - any bytes as the shared credentials file of AWS, or the configuration file.
 *
 * The first byte chooses the profile that is asked for, and the kind of file; the rest is the file.
 * It is read from memory, and for one first byte of thirty-two as a file, through all of the chain.
 *
 * Beyond not crashing: the keys are those that an obvious reader finds, which goes over the file
 * once for each; they are lines' trimmed remainders, so nothing in them can end a header; a file
 * without them is AUTH, or LIMIT when they are too long, and no message shows a value.
 */
#include "fuzz/fuzz.h"
#include "net/awscreds.h"
#include "net/awsfile.h"

#include <stdlib.h>

#include <unistd.h>

static const char *const profiles[] = {"default", "backup", "a b", "x"};

enum {
    CONFIG = 4, /* of the first byte */
    WHOLE = 0xf8
};

/* A file without a name, which the library opens by a name all the same. */
static int file = -1;

/* In memory, where there is such a place. */
static int nameless(void)
{
    char name[] = "/dev/shm/weir-fuzz-XXXXXX";
    FILE *elsewhere;
    int fd = mkstemp(name);

    if (fd >= 0) {
        HOLDS(unlink(name) == 0);
        return fd;
    }
    elsewhere = tmpfile();
    HOLDS(elsewhere);
    return fileno(elsewhere);
}

static void start(void)
{
    static const char *const unset[] = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
        "LITESTREAM_ACCESS_KEY_ID", "LITESTREAM_SECRET_ACCESS_KEY"};
    char path[40];

    file = nameless();
    (void)snprintf(path, sizeof(path), "/dev/fd/%d", file);
    HOLDS(setenv("AWS_SHARED_CREDENTIALS_FILE", path, 1) == 0);
    HOLDS(setenv("AWS_CONFIG_FILE", "/nonexistent", 1) == 0);
    HOLDS(setenv("AWS_EC2_METADATA_DISABLED", "true", 1) == 0);
    for (size_t i = 0; i < wr_countof(unset); i++)
        HOLDS(unsetenv(unset[i]) == 0);
}

/* In a configuration all but the default one are called [profile NAME]. */
static bool is_section(struct wr_str line, bool is_config, struct wr_str profile)
{
    const char *end = memchr(line.p, ']', line.n);
    size_t n = end ? (size_t)(end - line.p) : line.n;
    struct wr_str name = wr_str_trim((struct wr_str){line.p + 1, n - 1});

    if (!is_config || wr_str_eq(profile, WR_STR("default")))
        return wr_str_eq(name, profile);
    return name.n > 8 && memcmp(name.p, "profile ", 8) == 0 &&
           wr_str_eq(wr_str_trim((struct wr_str){name.p + 8, name.n - 8}), profile);
}

/* The last value of `name` in the sections called `profile`. */
static struct wr_str value_of(
    struct wr_str text, bool is_config, struct wr_str profile, const char *name)
{
    struct wr_str found = {NULL, 0};
    bool inside = false;
    size_t at = 0;

    while (at < text.n) {
        const char *end = memchr(text.p + at, '\n', text.n - at);
        size_t n = end ? (size_t)(end - (text.p + at)) : text.n - at;
        struct wr_str line = wr_str_trim((struct wr_str){text.p + at, n});
        const char *equals = line.n > 0 ? memchr(line.p, '=', line.n) : NULL;

        at += n + 1;
        if (line.n == 0 || line.p[0] == '#' || line.p[0] == ';')
            continue;
        if (line.p[0] == '[') {
            inside = is_section(line, is_config, profile);
        } else if (inside && equals) {
            size_t key_n = (size_t)(equals - line.p);

            if (wr_str_eq_nocase(wr_str_trim((struct wr_str){line.p, key_n}), wr_str(name)))
                found = wr_str_trim(wr_str_skip(line, key_n + 1));
        }
    }
    return found;
}

static void find(struct wr_str text, bool is_config, struct wr_str profile, struct wr_str ret[3])
{
    ret[0] = value_of(text, is_config, profile, "aws_access_key_id");
    ret[1] = value_of(text, is_config, profile, "aws_secret_access_key");
    ret[2] = value_of(text, is_config, profile, "aws_session_token");
}

/* From memory. */
static void read_text(struct wr_str text, bool is_config, struct wr_str profile)
{
    struct wr_aws_creds is = {.token = {NULL, 0}};
    bool found = wr_aws_file_keys(text, is_config, profile, &is);
    struct wr_str want[3];

    find(text, is_config, profile, want);
    HOLDS(found == (want[0].n > 0 && want[1].n > 0));
    HOLDS(wr_str_eq(is.access_key, want[0]) && wr_str_eq(is.secret_key, want[1]) &&
          wr_str_eq(is.token, want[2]));
    for (size_t i = 0; i < 3; i++)
        HOLDS(want[i].n == 0 || !memchr(want[i].p, '\n', want[i].n));
}

/* From the file, through the chain of places. */
static void ask(struct wr_str text, const char *profile)
{
    static const struct wr_aws_creds none;
    struct wr_str want[3];
    struct wr_awscreds *p = NULL;
    struct wr_aws_creds is = none;
    char keys[WR_AWS_CREDS_MAX];
    struct wr_err e = {0};
    enum wr_status st;

    find(text, false, wr_str(profile), want);
    HOLDS(wr_awscreds_new(&none, wr_str(profile), &p, NULL) == WR_OK);
    st = wr_awscreds_get(p, fuzz_call(), keys, &is, &e);
    if (want[0].n == 0 || want[1].n == 0) {
        HOLDS(st == WR_AUTH);
    } else if (want[0].n + want[1].n + want[2].n > WR_AWS_CREDS_MAX) {
        HOLDS(st == WR_LIMIT);
    } else {
        HOLDS(st == WR_OK && wr_str_eq(is.access_key, want[0]) &&
              wr_str_eq(is.secret_key, want[1]) && wr_str_eq(is.token, want[2]));
        HOLDS(!memchr(keys, '\n', want[0].n + want[1].n + want[2].n));
    }
    /* With a '+', which no message has, so that it cannot stand there by chance. */
    if (st != WR_OK && fuzz_contains(want[1], WR_STR("+")))
        HOLDS(!fuzz_contains(wr_str(e.text), want[1]));
    HOLDS(wr_awscreds_forget(p, want[0]));
    wr_awscreds_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    unsigned select = fuzz_u8(&in);
    const char *profile = profiles[select % wr_countof(profiles)];
    struct wr_str text = {(const char *)in.p, in.n};

    read_text(text, select & CONFIG, wr_str(profile));
    if ((select & WHOLE) != WHOLE)
        return 0;
    if (file < 0)
        start();
    HOLDS(ftruncate(file, 0) == 0);
    HOLDS(in.n == 0 || pwrite(file, in.p, in.n, 0) == (ssize_t)in.n);
    ask(text, profile);
    return 0;
}
