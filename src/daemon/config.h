/*
 * config.h - the configuration file, checked, as databases, replica URLs and settings.
 *
 * frozen once loaded; everything lives in the arena it was loaded into. It knows what the keys
 * mean to the program, not what they mean to a backend: those go on as settings.
 */
#ifndef WR_DAEMON_CONFIG_H
#define WR_DAEMON_CONFIG_H

#include "base/arena.h"
#include "base/base.h"
#include "base/status.h"
#include "base/str.h"

struct wr_warning;

#define WR_SYNC_INTERVAL_DEFAULT "1s"
#define WR_SHUTDOWN_TIMEOUT_MS   30000
#define WR_SOCKET_PATH_DEFAULT   "/var/run/litestream.sock"
#define WR_HEARTBEAT_DEFAULT_MS  300000
#define WR_OPEN_MAX_LEAST        4
#define WR_FOLLOWERS_DEFAULT     128

/* Where a setting was said: in the entry itself, or at the top of the file for all. */
struct wr_config_from {
    uint32_t line; /* from 1; 0: nowhere, it is built in */
    bool at_top;
};

struct wr_config_replica {
    const char *url;                   /* as given, or built from type, bucket and path */
    const char *type;                  /* "s3", "file", ...: the scheme of the URL */
    const char *sync_interval;         /* as text, for the log */
    const char *const *settings;       /* key, value, ..., NULL, for weir_db_add_replica */
    const struct wr_config_from *from; /* of each pair of the settings; NULL: not out of a file */
    uint32_t line;                     /* of the entry; 0: not out of a file */
};

struct wr_config_db {
    const char *path; /* absolute */
    bool restore_if_missing;
    const char *source;          /* of a primary's stream, for who follows it; NULL: none */
    const char *const *settings; /* key, value, ..., NULL, for weir_db_add */
    const struct wr_config_replica *replicas;
    size_t nreplicas;                  /* at least 1 */
    const struct wr_config_from *from; /* as of a replica */
    uint32_t line;
};

/* A directory of databases: each file with an SQLite header of which the name matches. */
struct wr_config_dir {
    const char *path;      /* absolute */
    const char *pattern;   /* of the last name, as fnmatch has it without flags */
    bool recursive;        /* also below its directories */
    bool watch;            /* also those that appear later; there may be none at first */
    const char *meta_path; /* local state is kept below it; NULL: beside each database */
    const char *meta_dir;  /* likewise, with other names; at most one of the two */
    /* What each has: the path is NULL, the URLs are those of the directory. */
    struct wr_config_db each;
};

enum wr_log_format {
    WR_LOG_FORMAT_TEXT,
    WR_LOG_FORMAT_JSON,
    WR_LOG_FORMAT_PRETTY,
};

struct wr_config_logging {
    enum wr_log_format format;
    bool to_stderr;
    const char *level; /* NULL: not set */
};

/* The control socket. */
struct wr_config_socket {
    bool enabled;
    const char *path;
    uint32_t permissions; /* of the file, as chmod has them */
    const char *registry; /* absolute: of registered databases that stay; NULL: none can */
};

/* Where followers get what was just captured. */
struct wr_config_serve {
    const char *addr;  /* host:port; NULL: nowhere */
    const char *token; /* a secret; NULL: none, which is for loopback addresses alone */
    const char *cert_file, *key_file; /* PEM, absolute; both or NULL: no TLS */
    uint32_t max_followers;
};
/* Whether this is the URL of such a stream. */
bool wr_config_is_source(const char *url);
/* Whether only processes of this machine reach an address that the configuration may have. */
bool wr_config_is_loopback(const char *addr);

struct wr_config {
    const char *file; /* that it was read from; NULL: it is of arguments */
    const struct wr_config_db *dbs;
    size_t ndbs;
    size_t nown; /* of them, first: with entries of their own; the others were found in `dirs` */
    const struct wr_config_dir *dirs;
    size_t ndirs;
    const char *exec; /* NULL: none */
    const char *addr; /* host:port of the metrics listener; NULL: none */
    struct wr_config_socket socket;
    struct wr_config_serve serve;
    const char *heartbeat_url; /* NULL: none */
    int64_t heartbeat_interval_ms;
    struct wr_config_logging logging;
    int64_t shutdown_sync_timeout_ms;
    uint32_t
        open_max; /* databases that are held open at once, WR_OPEN_MAX_LEAST at least; 0: all */
    const struct wr_warning *warnings; /* doc.h; one for each key that does nothing */
};

/* $WEIR_CONFIG, else $LITESTREAM_CONFIG, else /etc/weir.yml if it exists, else
 * /etc/litestream.yml. */
const char *wr_config_default_path(void);

/* Read `path` (NULL: the default). MISUSE with "file:line:column: ..." for what cannot be meant,
 * NOTFOUND "config file not found: ...". */
enum wr_status wr_config_load(struct wr_arena *a, const char *path, bool expand_env,
    struct wr_config **ret, struct wr_err *e) WR_MUST_CHECK;

/* What a file with one database and these replica URLs would say. `sync_interval` may be NULL. */
enum wr_status wr_config_adhoc(struct wr_arena *a, const char *path, const char *const *urls,
    size_t nurls, const char *sync_interval, struct wr_config **ret,
    struct wr_err *e) WR_MUST_CHECK;

/* The database with this path, after the expansion that wr_expand_path makes; also one that may be
 * in a directory, whether it is there or not. MISUSE "database not found in config: ...", with the
 * nearest one when there is one. */
enum wr_status wr_config_find(struct wr_arena *a, const struct wr_config *c, const char *path,
    const struct wr_config_db **ret, struct wr_err *e) WR_MUST_CHECK;

/* Whether a file of this name is never a database of its own: SQLite's files beside one, and those
 * of a restore, which are databases by their header, but not complete, or not for long. */
bool wr_config_beside(struct wr_str name);
/* Whether this is the name of a directory of local state, Litestream's or ours: many files, none of
 * which is a database. */
bool wr_config_is_state(struct wr_str name);
/* Whether a file with this path relative to the directory may be one of its databases, by its name:
 * never one of those that SQLite or we keep beside a database, nor within local state. */
bool wr_config_dir_takes(const struct wr_config_dir *dir, const char *rel);
/* The end of the absolute `path` that is its path in `dir`; NULL: that does not take it. */
const char *wr_config_dir_rel(const struct wr_config_dir *dir, const char *path);
/* The entry of the database with this path relative to the directory: replicas and local state have
 * it in their names. MISUSE: the name does not fit into a URL. */
enum wr_status wr_config_dir_entry(struct wr_arena *a, const struct wr_config_dir *dir,
    const char *rel, struct wr_config_db *ret, struct wr_err *e) WR_MUST_CHECK;

/* The directory for the local state of a database: meta-path, else ".NAME-weir" beside it. In the
 * arena; NULL: out of memory. */
const char *wr_config_state_dir(struct wr_arena *a, const struct wr_config_db *db);

/* What a key has in settings of a database or a replica, which have it once, and may be NULL. NULL:
 * they do not have it. */
const char *wr_config_setting(const char *const *settings, const char *key);
/* Whether files of a database with these settings are ever deleted: retention.enabled. */
bool wr_config_retains(const char *const *settings);

/* Level names as in the file, any case, "trace" being debug: WEIR_LOG_*, or INFO when unknown. */
int wr_config_log_level(const char *name);

#endif
