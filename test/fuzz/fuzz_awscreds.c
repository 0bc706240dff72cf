/*
 * fuzz_awscreds.c - any bytes as the shared credentials file of AWS, or the configuration file.
 *
 * The first byte chooses the profile that is asked for, and the kind of file; the rest is the file.
 * It is read from memory, and also as a file, through all of the chain, if its bytes add up to a
 * multiple of 32: a mutator that could ask for that would do so most of the time, which is slow.
 *
 * Beyond not crashing: what a profile says is what an obvious reader finds, which first notes all
 * that is said of it, and then goes over that once for each key; values are of a line, trimmed and
 * without a comment, so nothing in them can end a header; a file without keys is AUTH, or LIMIT
 * when they are too long, and no message shows a value. What leads to a program or a service is
 * only read.
 */
#include "fuzz/fuzz.h"
#include "net/awscreds.h"
#include "net/awsfile.h"

#include <stdlib.h>

#include <unistd.h>

static const char *const profiles[] = {"default", "backup", "a b", "x"};

enum {
    CONFIG = 4 /* of the first byte */
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

/* Up to the first blank before a '#' or a ';'. */
static struct wr_str without_comment(struct wr_str s)
{
    for (size_t i = 1; i < s.n; i++) {
        if (strchr("#;", s.p[i]) && s.p[i] && strchr(" \t", s.p[i - 1]) && s.p[i - 1])
            return wr_str_trim((struct wr_str){s.p, i - 1});
    }
    return wr_str_trim(s);
}

/* What is said in the sections called `profile`, line by line. */
struct said {
    struct {
        struct wr_str key, value;
    } lines[1 << 14];
    size_t n;
};

static void note(struct wr_str text, bool is_config, struct wr_str profile, struct said *ret)
{
    bool inside = false;
    size_t at = 0;

    ret->n = 0;
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

            HOLDS(ret->n < wr_countof(ret->lines));
            ret->lines[ret->n].key = wr_str_trim((struct wr_str){line.p, key_n});
            ret->lines[ret->n++].value = wr_str_skip(line, key_n + 1);
        }
    }
}

/* The last value of `name`. */
static struct wr_str value_of(const struct said *said, const char *name)
{
    for (size_t i = said->n; i > 0; i--) {
        if (wr_str_eq_nocase(said->lines[i - 1].key, wr_str(name)))
            return without_comment(said->lines[i - 1].value);
    }
    return (struct wr_str){NULL, 0};
}

static void find(const struct said *said, struct wr_str ret[3])
{
    ret[0] = value_of(said, "aws_access_key_id");
    ret[1] = value_of(said, "aws_secret_access_key");
    ret[2] = value_of(said, "aws_session_token");
}

/* From memory. True: it leads elsewhere. */
static bool read_text(struct wr_str text, bool is_config, struct wr_str profile)
{
    static struct said said;
    struct wr_aws_profile is;
    bool found = wr_aws_file_profile(text, is_config, profile, &is), both, leads = false;
    const struct {
        const char *name;
        struct wr_str value;
    } more[] = {
        {"role_arn", is.role_arn},
        {"source_profile", is.source_profile},
        {"credential_source", is.credential_source},
        {"web_identity_token_file", is.web_identity_token_file},
        {"credential_process", is.credential_process},
        {"sso_session", is.sso_session},
        {"sso_start_url", is.sso_start_url},
        {"external_id", is.external_id},
        {"role_session_name", is.role_session_name},
        {"duration_seconds", is.duration_seconds},
        {"mfa_serial", is.mfa_serial},
        {"region", is.region},
    };
    const size_t n_ways = 7; /* of them */
    struct wr_str want[3];

    note(text, is_config, profile, &said);
    find(&said, want);
    both = want[0].n > 0 && want[1].n > 0;
    HOLDS((is.creds.access_key.n > 0) == both && (is.creds.secret_key.n > 0) == both);
    HOLDS(!both ||
          (wr_str_eq(is.creds.access_key, want[0]) && wr_str_eq(is.creds.secret_key, want[1]) &&
              wr_str_eq(is.creds.token, want[2])));
    for (size_t i = 0; i < 3; i++)
        HOLDS(want[i].n == 0 || !memchr(want[i].p, '\n', want[i].n));
    for (size_t i = 0; i < wr_countof(more); i++) {
        HOLDS(wr_str_eq(more[i].value, value_of(&said, more[i].name)));
        HOLDS(found || more[i].value.n == 0);
        leads = leads || (i < n_ways && more[i].value.n > 0);
    }
    HOLDS(found || !both);
    return leads;
}

static bool is_for_all(struct wr_str text)
{
    unsigned sum = 0;

    for (size_t i = 0; i < text.n; i++)
        sum += (unsigned char)text.p[i];
    return sum % 32 == 0;
}

/* From the file, through the chain of places. */
static void ask(struct wr_str text, const char *profile)
{
    static struct said said;
    const struct wr_awscreds_opts o = {.profile = wr_str(profile)};
    struct wr_str want[3];
    struct wr_awscreds *p = NULL;
    struct wr_aws_creds is = {.token = {NULL, 0}};
    char keys[WR_AWS_CREDS_MAX];
    struct wr_err e = {0};
    enum wr_status st;

    note(text, false, wr_str(profile), &said);
    find(&said, want);
    HOLDS(wr_awscreds_new(&o, &p, NULL) == WR_OK);
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

    (void)read_text(text, select & CONFIG, wr_str(profile));
    if (!is_for_all(text) || read_text(text, false, wr_str(profile)))
        return 0; /* nothing is run here */
    if (file < 0)
        start();
    HOLDS(ftruncate(file, 0) == 0);
    HOLDS(in.n == 0 || pwrite(file, in.p, in.n, 0) == (ssize_t)in.n);
    ask(text, profile);
    return 0;
}
