/*
 * config_int.h - what the files of the configuration reader share.
 */
#ifndef WR_DAEMON_CONFIG_INT_H
#define WR_DAEMON_CONFIG_INT_H

#include "daemon/config.h"
#include "daemon/doc.h"

/* What becomes of a key: read here, handed on as a setting where the backend has a use for it, or
 * known, but without effect, which is said once. */
enum wr_key_use {
    WR_KEY_FOR_S3 = 1,
    WR_KEY_FOR_OSS = 2,
    WR_KEY_FOR_ABS = 4,
    WR_KEY_FOR_SFTP = 8,
    WR_KEY_FOR_NATS = 16,
    WR_KEY_FOR_WEBDAV = 32,
    WR_KEY_FOR_FILE = 64,
    WR_KEY_FOR_GS = 128,
    WR_KEY_FOR_ALL = 255, /* also of a database */
    WR_KEY_READ = 256,
    WR_KEY_IDLE = 512,
    WR_KEY_OWN = 1024, /* of a replica, and no default for all */
};

/* What the value of a key that is handed on must be. */
enum wr_key_kind {
    WR_KEY_TEXT,
    WR_KEY_BOOL,
    WR_KEY_NUMBER,
    WR_KEY_DURATION,
    WR_KEY_SIZE,
};

struct wr_key {
    const char *name; /* NULL ends a table */
    unsigned use;
    enum wr_key_kind kind;
    const char *why; /* of an idle one: why it has no effect */
};

/* key, value, ..., NULL under construction, in the arena. */
#define WR_PAIRS_MAX 64
struct wr_pairs {
    const char *kv[2 * WR_PAIRS_MAX + 1];
    size_t n; /* strings, an even number */
    struct wr_config_from from[WR_PAIRS_MAX];
};
enum wr_status wr_pairs_add(struct wr_pairs *p, struct wr_arena *a, const char *key,
    struct wr_str value, struct wr_err *e) WR_MUST_CHECK;
/* The same for a value that was checked. */
enum wr_status wr_pairs_add_value(struct wr_pairs *p, struct wr_arena *a, const struct wr_key *key,
    struct wr_str value, struct wr_err *e) WR_MUST_CHECK;
/* That the pair which was added last stands at `v`; NULL: nowhere. */
void wr_pairs_said(struct wr_pairs *p, const yaml_node_t *v, bool at_top);
/* *ret_from (may be NULL) has an entry for each pair. */
enum wr_status wr_pairs_copy(const struct wr_pairs *p, struct wr_arena *a, const char *const **ret,
    const struct wr_config_from **ret_from, struct wr_err *e) WR_MUST_CHECK;

/* Of a node, from 1. */
uint32_t wr_config_line(const yaml_node_t *node);

/* Check every key of `map`, and of what is merged into it, against the tables (`more` may be NULL).
 * MISUSE for what must be a mistake: a key that is a slip away from a known one, or belongs
 * elsewhere. One warning for each that is foreign or has no effect. */
enum wr_status wr_config_check_keys(struct wr_doc *d, const yaml_node_t *map,
    const struct wr_key *keys, const struct wr_key *more, struct wr_err *e) WR_MUST_CHECK;

/* The keys of the top level, of an entry of `dbs`, and of a replica; the latter may also stand at
 * the top as defaults for all. */
extern const struct wr_key wr_config_top_keys[], wr_config_db_keys[], wr_config_replica_keys[];

/* As YAML 1.1 has it. */
bool wr_config_parse_bool(struct wr_str s, bool *ret);

/* Values. Each leaves *ret as it is where there is none, and fails with MISUSE for one that cannot
 * be meant. `what` is where the mapping stands ("dbs[0].replica"); NULL: at the top. */
enum wr_status wr_config_text(struct wr_doc *d, const yaml_node_t *map, const char *what,
    const char *key, const char **ret, struct wr_err *e) WR_MUST_CHECK; /* in the arena */
enum wr_status wr_config_bool(struct wr_doc *d, const yaml_node_t *map, const char *what,
    const char *key, bool *ret, struct wr_err *e) WR_MUST_CHECK;
/* Check a value of that kind; `name` is all of its name. */
enum wr_status wr_config_check_value(struct wr_doc *d, const yaml_node_t *v, enum wr_key_kind kind,
    const char *name, struct wr_err *e) WR_MUST_CHECK;
/* `v` as nanoseconds; `example` is one to show to who gives no unit ("24h"). */
enum wr_status wr_config_duration(struct wr_doc *d, const yaml_node_t *v, const char *name,
    const char *example, int64_t *ret_ns, struct wr_err *e) WR_MUST_CHECK;
/* A mapping with known keys, or NULL where there is none. */
enum wr_status wr_config_map(struct wr_doc *d, const yaml_node_t *from, const char *key,
    const struct wr_key *keys, const yaml_node_t **ret, struct wr_err *e) WR_MUST_CHECK;

/* The absolute path that `key` says; NULL without one. MISUSE also where a variable in it has no
 * value: it would be another path. */
enum wr_status wr_config_place_path(struct wr_doc *d, const yaml_node_t *node, const char *what,
    const char *key, const char **ret, struct wr_err *e) WR_MUST_CHECK;

/* The keys of an entry that only a directory has, but its path; `index` from 0. */
enum wr_status wr_config_dir_keys(struct wr_doc *d, const yaml_node_t *node, size_t index,
    struct wr_config_dir *ret, struct wr_err *e) WR_MUST_CHECK;
/* That an entry for one database has none of them. */
enum wr_status wr_config_no_dir_keys(
    struct wr_doc *d, const yaml_node_t *node, size_t index, struct wr_err *e) WR_MUST_CHECK;

/* The entries of `dbs`, and where each stands. */
struct wr_config_entries {
    struct wr_config_db *dbs;
    struct wr_config_dir *dirs;
    const yaml_node_t **db_nodes, **dir_nodes;
    size_t ndbs, ndirs;
};
/* MISUSE: two have one path, or one replica. A warning: a replica lies in another one. */
enum wr_status wr_config_distinct(
    struct wr_doc *d, const struct wr_config_entries *all, struct wr_err *e) WR_MUST_CHECK;

/* Where a replica is, however it is written: equal for what is the same place. In the arena. */
enum wr_status wr_config_place(struct wr_arena *a, const struct wr_config_replica *r,
    struct wr_str *ret, struct wr_err *e) WR_MUST_CHECK;

/* Read what is neither of databases nor of replicas: addr, socket, heartbeat, logging, exec. */
enum wr_status wr_config_process(
    struct wr_doc *d, const yaml_node_t *top, struct wr_config *c, struct wr_err *e) WR_MUST_CHECK;

/* `serve`, and whether this is the address of something that listens. */
enum wr_status wr_config_serving(struct wr_doc *d, const yaml_node_t *top,
    struct wr_config_serve *ret, struct wr_err *e) WR_MUST_CHECK;
bool wr_config_is_address(struct wr_str s);

/* Behind "scheme://bucket/", what makes `path` the beginning of the keys, as it is: slashes that
 * would be cleaned away are written %2F. `a` is for scratch. */
#define WR_CONFIG_URL_MAX 65536 /* bytes of a URL that is made, with escapes */
struct wr_buf;
void wr_config_put_path(struct wr_arena *a, struct wr_buf *out, struct wr_str path);

/* Take out of the replica's URL, which stands at `url` (NULL: it was built), what keys of the file
 * say.
 */
enum wr_status wr_config_query(struct wr_doc *d, const yaml_node_t *url,
    struct wr_config_replica *r, struct wr_err *e) WR_MUST_CHECK;

/* The replica of a directory that has no `url`: its path is joined with names, and then cleaned. */
enum wr_status wr_config_dir_base(
    struct wr_arena *a, struct wr_config_replica *r, struct wr_err *e) WR_MUST_CHECK;

/* Read one replica. `defaults` is the top of the file; `what` names the place ("dbs[0].replica").
 */
enum wr_status wr_config_replica(struct wr_doc *d, const yaml_node_t *node,
    const yaml_node_t *defaults, const char *what, struct wr_config_replica *ret,
    struct wr_err *e) WR_MUST_CHECK;

/* What is kept of a database's past, as settings for weir_db_add; and a look, once, at what the top
 * of the file says of it. */
#define WR_CONFIG_LEVELS_MAX 8
enum wr_status wr_config_history(struct wr_doc *d, const yaml_node_t *top, const yaml_node_t *db,
    struct wr_pairs *out, struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_config_history_top(
    struct wr_doc *d, const yaml_node_t *top, struct wr_err *e) WR_MUST_CHECK;

/* A warning for each key that is good and that nothing takes, of what was read into *c. */
void wr_config_unused(struct wr_doc *d, const yaml_node_t *top, const struct wr_config *c);

/* What a file without any key says. */
void wr_config_defaults(struct wr_config *c);

/* Read a whole document; everything of *c but its warnings. */
enum wr_status wr_config_read(
    struct wr_doc *d, struct wr_config *c, struct wr_err *e) WR_MUST_CHECK;

/* A replica with this URL and these settings; no document needed. `sync_interval` may be NULL. */
enum wr_status wr_config_replica_url(struct wr_arena *a, const char *url, const char *sync_interval,
    struct wr_config_replica *ret, struct wr_err *e) WR_MUST_CHECK;

#endif
