/*
 * doc.h - a YAML document as a tree one can ask questions, with places for error messages.
 *
 * owned. It knows YAML, not what the keys mean. Nodes live as long as the document.
 */
#ifndef WR_DAEMON_DOC_H
#define WR_DAEMON_DOC_H

#include "base/arena.h"
#include "base/base.h"
#include "base/status.h"
#include "base/str.h"

#include <yaml.h>

/* A sentence for the user that stops nothing. */
struct wr_warning {
    struct wr_warning *next;
    const char *text;
};

/* Warnings in the order they were found, in an arena; what comes after WR_WARNINGS_MAX is dropped.
 */
#define WR_WARNINGS_MAX 100
struct wr_warnings {
    struct wr_arena *arena;
    struct wr_warning *first, **last; /* last: where the next one is linked */
    size_t n;
    bool nomem; /* one could not be kept */
};
void wr_warnings_init(struct wr_warnings *w, struct wr_arena *a);
void wr_warnings_add(struct wr_warnings *w, const char *fmt, ...) WR_PRINTF(2, 3);

/* Where a variable without a value stood, in lines and characters of the text that was parsed. */
struct wr_doc_gap {
    size_t line, column; /* from 0 */
    struct wr_str name;  /* of the variable */
};

struct wr_doc {
    const char *name; /* of the file, for messages */
    struct wr_arena *arena;
    struct wr_warnings *warnings;
    const struct wr_doc_gap *gaps; /* in the order of the text */
    size_t ngaps;
    yaml_document_t yaml;
};

/* Parse the document in `text`. MISUSE "name:line:column: ..." for what is not YAML, or more than
 * one document. On success wr_doc_close is due; the gaps may be set then. */
enum wr_status wr_doc_open(struct wr_doc *d, struct wr_arena *a, struct wr_warnings *warnings,
    const char *name, struct wr_str text, struct wr_err *e) WR_MUST_CHECK;
void wr_doc_close(struct wr_doc *d);

/* The top node; NULL for an empty document. */
const yaml_node_t *wr_doc_root(struct wr_doc *d);

/* The mapping and all that is merged into it by `<<`, in the order in which they are asked for a
 * key. MISUSE for a merge of something else, or of too many. `map` may be NULL or no mapping. */
#define WR_DOC_MAPS_MAX 32
struct wr_doc_maps {
    const yaml_node_t *at[WR_DOC_MAPS_MAX];
    size_t n;
};
enum wr_status wr_doc_merged(struct wr_doc *d, const yaml_node_t *map, struct wr_doc_maps *ret,
    struct wr_err *e) WR_MUST_CHECK;

/* Whether a key of a document is `key`, of which the dashes may be written as underscores. */
bool wr_doc_key_is(const yaml_node_t *written, const char *key);
bool wr_doc_is_merge(const yaml_node_t *key); /* `<<` */

/* The value of `key`: of several the last, else through merges. NULL when there is none or it is
 * empty: no value, `null`, `~`, or "" (an unset variable, usually). `map` may be NULL. */
const yaml_node_t *wr_doc_get(struct wr_doc *d, const yaml_node_t *map, const char *key);
/* The same, empty or not. */
const yaml_node_t *wr_doc_find(struct wr_doc *d, const yaml_node_t *map, const char *key);

/* Whether a variable without a value was part of this scalar. */
bool wr_doc_has_gap(const struct wr_doc *d, const yaml_node_t *node);
/* Whether the node, or one below it, is used elsewhere in the document by an alias. */
bool wr_doc_is_shared(struct wr_doc *d, const yaml_node_t *node);

/* The i-th key and value of a mapping, as written; false past the end. */
bool wr_doc_pair(struct wr_doc *d, const yaml_node_t *map, size_t i, const yaml_node_t **ret_key,
    const yaml_node_t **ret_value);

/* The i-th element of a sequence; NULL past the end. */
const yaml_node_t *wr_doc_item(struct wr_doc *d, const yaml_node_t *list, size_t i);

/* The text of a scalar, empty for anything else. Lives as long as the document. */
struct wr_str wr_doc_text(const yaml_node_t *node);

/* Fail unless `node` is of the kind, and a scalar fit to be a C string; `what` names it
 * ("dbs[0].path"). */
enum wr_status wr_doc_is(struct wr_doc *d, const yaml_node_t *node, yaml_node_type_t type,
    const char *what, struct wr_err *e) WR_MUST_CHECK;

/* MISUSE with "name:line:column: " of `node` in front, and behind it the variable without a value
 * that was part of it. */
enum wr_status wr_doc_fail(struct wr_doc *d, const yaml_node_t *node, struct wr_err *e,
    const char *fmt, ...) WR_PRINTF(4, 5);
void wr_doc_warn(struct wr_doc *d, const yaml_node_t *node, const char *fmt, ...) WR_PRINTF(3, 4);

#endif
