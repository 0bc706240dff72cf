/*
 * config_int.h - what the files of the configuration reader share.
 */
#ifndef WR_DAEMON_CONFIG_INT_H
#define WR_DAEMON_CONFIG_INT_H

#include "daemon/config.h"
#include "daemon/doc.h"

/* What becomes of a key: read here, handed on as a setting where the backend has a use for it, or
 * recognised only to say that this version has none. */
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
    WR_KEY_LATER = 512,
};

struct wr_key {
    const char *name; /* NULL ends a table */
    unsigned use;
};

/* key, value, ..., NULL under construction, in the arena. */
#define WR_PAIRS_MAX 64
struct wr_pairs {
    const char *kv[2 * WR_PAIRS_MAX + 1];
    size_t n; /* strings, an even number */
};
enum wr_status wr_pairs_add(struct wr_pairs *p, struct wr_arena *a, const char *key,
    struct wr_str value, struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_pairs_copy(const struct wr_pairs *p, struct wr_arena *a, const char *const **ret,
    struct wr_err *e) WR_MUST_CHECK;

/* One warning for every key of `map` that is in neither table (`more` may be NULL), or is LATER. */
void wr_config_check_keys(
    struct wr_doc *d, const yaml_node_t *map, const struct wr_key *keys, const struct wr_key *more);

/* The keys that a replica may have, and that the top level may have as defaults for all. */
extern const struct wr_key wr_config_replica_keys[];

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

/* What a file without any key says. */
void wr_config_defaults(struct wr_config *c);

/* Read a whole document; everything of *c but its warnings. */
enum wr_status wr_config_read(
    struct wr_doc *d, struct wr_config *c, struct wr_err *e) WR_MUST_CHECK;

/* A replica with this URL and these settings; no document needed. `sync_interval` may be NULL. */
enum wr_status wr_config_replica_url(struct wr_arena *a, const char *url, const char *sync_interval,
    struct wr_config_replica *ret, struct wr_err *e) WR_MUST_CHECK;

#endif
