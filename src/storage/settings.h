/*
 * settings.h - option tables: URL query + caller's settings + environment -> checked values.
 *
 * frozen once parsed. Secrets are wiped on release and never appear in errors.
 */
#ifndef WR_STORAGE_SETTINGS_H
#define WR_STORAGE_SETTINGS_H

#include "base/base.h"
#include "base/status.h"
#include "base/str.h"

enum wr_option_kind {
    WR_OPT_STR,
    WR_OPT_SECRET,
    WR_OPT_BOOL,
    WR_OPT_U64,
    WR_OPT_SIZE,     /* bytes */
    WR_OPT_DURATION, /* nanoseconds */
};

struct wr_option {
    const char *name; /* hyphenated; the camelCase spelling is accepted too */
    enum wr_option_kind kind;
    const char *env;  /* environment variable, or NULL */
    const char *init; /* default as text, or NULL: unset */
    const char *help; /* one line; NULL ends the table */
};

struct wr_settings;

/* Where a value came from, strongest first. */
enum wr_setting_source {
    WR_SET_BY_URL, /* its query, or another part of it */
    WR_SET_BY_PAIRS,
    WR_SET_BY_ENV,
    WR_SET_BY_FILE, /* of the driver: of credentials */
    WR_SET_BY_INIT,
    WR_SET_BY_NOBODY,
};

/* One value that counts. Views of the settings, or of literals. */
struct wr_setting {
    const char *name;
    struct wr_str value; /* {NULL, 0}: a secret, which is there and not told */
    enum wr_setting_source source;
    const char *env; /* with BY_ENV: the variable */
};
typedef void wr_setting_fn(void *arg, const struct wr_setting *setting);

/* Values by falling precedence: `query` (of the URL, without '?'), `pairs` (NULL-terminated key,
 * value, ...; may be NULL), environment, default. `url_host` etc. are kept for the driver. */
struct wr_url;
enum wr_status wr_settings_parse(const struct wr_option *table, const struct wr_url *url,
    const char *const *pairs, struct wr_settings **ret, struct wr_err *e) WR_MUST_CHECK;
void wr_settings_free(struct wr_settings *s); /* NULL-safe; wipes secrets */

/* Each that has a value, in the order of the table. */
void wr_settings_each(const struct wr_settings *s, wr_setting_fn *fn, void *arg);

bool wr_settings_has(const struct wr_settings *s, const char *name); /* set by anything but init */
struct wr_str wr_settings_str(const struct wr_settings *s, const char *name); /* "" when unset */
bool wr_settings_bool(const struct wr_settings *s, const char *name);
uint64_t wr_settings_u64(const struct wr_settings *s, const char *name); /* also SIZE */
int64_t wr_settings_ns(const struct wr_settings *s, const char *name);   /* DURATION */

/* Parts of the URL, copied: scheme, user, password, host, port, path as url.h describes them. */
const struct wr_url *wr_settings_url(const struct wr_settings *s);

#endif
