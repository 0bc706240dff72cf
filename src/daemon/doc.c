/*
 * doc.c - libyaml's document tree, looked up by key, with "file:line:column" for every complaint.
 *
 * Anchors and aliases are libyaml's business: an alias is the same node again. Nothing here follows
 * children without a bound, so a document that contains itself does no harm.
 */
#include "daemon/doc.h"

#include <stdarg.h>

#define MESSAGE_MAX 400

void wr_warnings_init(struct wr_warnings *w, struct wr_arena *a)
{
    *w = (struct wr_warnings){.arena = a};
    w->last = &w->first;
}

static void add_text(struct wr_warnings *w, const char *text)
{
    struct wr_warning *x;
    struct wr_str copy;

    if (w->n == WR_WARNINGS_MAX)
        return;
    for (x = w->first; x; x = x->next) /* what an anchor shares is still one mistake */
        if (wr_str_eq(wr_str(x->text), wr_str(text)))
            return;
    x = wr_arena_alloc(w->arena, sizeof(*x));
    copy = wr_arena_str(w->arena, wr_str(text));
    if (!x || !copy.p) {
        w->nomem = true;
        return;
    }
    x->text = copy.p;
    *w->last = x;
    w->last = &x->next;
    w->n++;
}

void wr_warnings_add(struct wr_warnings *w, const char *fmt, ...)
{
    char text[MESSAGE_MAX];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap); /* a cut sentence is better than none */
    va_end(ap);
    add_text(w, text);
}

/* MISUSE when something follows the document: nobody would read it. A last "---" is nothing. */
static enum wr_status only_one(yaml_parser_t *parser, const char *name, struct wr_err *e)
{
    yaml_document_t next;
    enum wr_status st = WR_OK;

    if (!yaml_parser_load(parser, &next)) {
        return parser->error == YAML_MEMORY_ERROR
                   ? wr_fail(e, WR_NOMEM, "out of memory")
                   : wr_fail(e, WR_MISUSE, "%s:%zu:%zu: not YAML, behind the first document", name,
                         parser->problem_mark.line + 1, parser->problem_mark.column + 1);
    }
    const yaml_node_t *root = yaml_document_get_root_node(&next);
    if (root && (root->type != YAML_SCALAR_NODE || root->data.scalar.length > 0)) {
        st = wr_fail(e, WR_MISUSE, "%s:%zu:%zu: a second document: only one is read", name,
            next.start_mark.line + 1, next.start_mark.column + 1);
    }
    yaml_document_delete(&next);
    return st;
}

enum wr_status wr_doc_open(struct wr_doc *d, struct wr_arena *a, struct wr_warnings *warnings,
    const char *name, struct wr_str text, struct wr_err *e)
{
    enum wr_status st = WR_OK;
    yaml_parser_t parser;

    *d = (struct wr_doc){.name = name, .arena = a, .warnings = warnings};
    if (!yaml_parser_initialize(&parser))
        return wr_fail(e, WR_NOMEM, "out of memory");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.p, text.n);
    if (!yaml_parser_load(&parser, &d->yaml)) {
        if (parser.error == YAML_MEMORY_ERROR)
            st = wr_fail(e, WR_NOMEM, "out of memory");
        else if (parser.error == YAML_READER_ERROR)
            st = wr_fail(
                e, WR_MISUSE, "%s: %s at byte %zu", name, parser.problem, parser.problem_offset);
        else
            st = wr_fail(e, WR_MISUSE, "%s:%zu:%zu: %s%s%s", name, parser.problem_mark.line + 1,
                parser.problem_mark.column + 1, parser.context ? parser.context : "",
                parser.context ? ": " : "", parser.problem ? parser.problem : "not YAML");
    } else {
        st = only_one(&parser, name, e);
        if (st != WR_OK)
            yaml_document_delete(&d->yaml);
    }
    yaml_parser_delete(&parser);
    return st;
}

void wr_doc_close(struct wr_doc *d)
{
    yaml_document_delete(&d->yaml);
}

const yaml_node_t *wr_doc_root(struct wr_doc *d)
{
    return yaml_document_get_root_node(&d->yaml);
}

struct wr_str wr_doc_text(const yaml_node_t *node)
{
    if (!node || node->type != YAML_SCALAR_NODE)
        return WR_STR("");
    return (struct wr_str){(const char *)node->data.scalar.value, node->data.scalar.length};
}

static bool is_empty(const yaml_node_t *node)
{
    struct wr_str s = wr_doc_text(node);

    if (node->type != YAML_SCALAR_NODE)
        return false;
    if (s.n == 0)
        return true;
    return node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (wr_str_eq(s, WR_STR("~")) || wr_str_eq_nocase(s, WR_STR("null")));
}

bool wr_doc_pair(struct wr_doc *d, const yaml_node_t *map, size_t i, const yaml_node_t **ret_key,
    const yaml_node_t **ret_value)
{
    const yaml_node_pair_t *p;

    if (!map || map->type != YAML_MAPPING_NODE)
        return false;
    p = map->data.mapping.pairs.start;
    if (i >= (size_t)(map->data.mapping.pairs.top - p))
        return false;
    *ret_key = yaml_document_get_node(&d->yaml, p[i].key);
    *ret_value = yaml_document_get_node(&d->yaml, p[i].value);
    return *ret_key && *ret_value;
}

const yaml_node_t *wr_doc_item(struct wr_doc *d, const yaml_node_t *list, size_t i)
{
    const yaml_node_item_t *p;

    if (!list || list->type != YAML_SEQUENCE_NODE)
        return NULL;
    p = list->data.sequence.items.start;
    if (i >= (size_t)(list->data.sequence.items.top - p))
        return NULL;
    return yaml_document_get_node(&d->yaml, p[i]);
}

bool wr_doc_key_is(const yaml_node_t *written, const char *key)
{
    struct wr_str s = wr_doc_text(written);

    if (s.n != strlen(key))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != key[i] && (s.p[i] != '_' || key[i] != '-'))
            return false;
    return true;
}

bool wr_doc_is_merge(const yaml_node_t *key)
{
    return wr_str_eq(wr_doc_text(key), WR_STR("<<"));
}

static enum wr_status insert(struct wr_doc *d, const yaml_node_t *item, struct wr_doc_maps *list,
    size_t *at, struct wr_err *e)
{
    if (item->type != YAML_MAPPING_NODE)
        return wr_doc_fail(
            d, item, e, "a merge (<<) takes a mapping, or a list of them, not something else");
    if (list->n == WR_DOC_MAPS_MAX)
        return wr_doc_fail(d, item, e,
            "more than %d mappings are merged here, is this one merged into itself?",
            WR_DOC_MAPS_MAX);
    memmove(&list->at[*at + 1], &list->at[*at], (list->n - *at) * sizeof(list->at[0]));
    list->at[(*at)++] = item;
    list->n++;
    return WR_OK;
}

/* Merges nest: the mapping behind a `<<` may have some of its own, which count right behind it. So
 * each is put where it counts, and is looked at when it is its turn. */
static enum wr_status merged(
    struct wr_doc *d, const yaml_node_t *map, struct wr_doc_maps *ret, struct wr_err *e)
{
    const yaml_node_t *k, *v, *item;
    enum wr_status st = WR_OK;

    ret->n = 0;
    if (map && map->type == YAML_MAPPING_NODE)
        ret->at[ret->n++] = map;
    for (size_t i = 0; i < ret->n; i++) {
        size_t at = i + 1;

        for (size_t j = 0; st == WR_OK && wr_doc_pair(d, ret->at[i], j, &k, &v); j++) {
            if (!wr_doc_is_merge(k))
                continue;
            if (v->type != YAML_SEQUENCE_NODE)
                st = insert(d, v, ret, &at, e);
            for (size_t m = 0; st == WR_OK && (item = wr_doc_item(d, v, m)) != NULL; m++)
                st = insert(d, item, ret, &at, e);
        }
    }
    return st;
}

enum wr_status wr_doc_merged(
    struct wr_doc *d, const yaml_node_t *map, struct wr_doc_maps *ret, struct wr_err *e)
{
    return merged(d, map, ret, e);
}

const yaml_node_t *wr_doc_find(struct wr_doc *d, const yaml_node_t *map, const char *key)
{
    const yaml_node_t *k, *v, *found = NULL;
    struct wr_doc_maps maps;

    (void)merged(d, map, &maps, NULL); /* who checks the keys says what is wrong */
    for (size_t i = 0; i < maps.n && !found; i++)
        for (size_t j = 0; wr_doc_pair(d, maps.at[i], j, &k, &v); j++)
            if (wr_doc_key_is(k, key))
                found = v;
    return found;
}

const yaml_node_t *wr_doc_get(struct wr_doc *d, const yaml_node_t *map, const char *key)
{
    const yaml_node_t *v = wr_doc_find(d, map, key);

    return v && !is_empty(v) ? v : NULL;
}

static const struct wr_doc_gap *find_gap(const struct wr_doc *d, const yaml_node_t *node)
{
    /* Nothing at all, as is left of `key: $UNSET`, has its place right behind the colon. */
    bool nothing = wr_doc_text(node).n == 0;
    const yaml_mark_t *start = &node->start_mark, *end = &node->end_mark;

    if (node->type != YAML_SCALAR_NODE)
        return NULL;
    for (size_t i = 0; i < d->ngaps; i++) {
        const struct wr_doc_gap *g = &d->gaps[i];
        bool behind_start =
            g->line > start->line || (g->line == start->line && g->column >= start->column);
        bool before_end = g->line < end->line || (g->line == end->line && g->column <= end->column);

        if (behind_start && (before_end || (nothing && g->line == start->line)))
            return g;
    }
    return NULL;
}

bool wr_doc_has_gap(const struct wr_doc *d, const yaml_node_t *node)
{
    return find_gap(d, node) != NULL;
}

/* libyaml numbers nodes in the order of the text: those below a node follow it, and an alias is one
 * of a lower number. So what is shared is named twice, the second time from behind. */
bool wr_doc_is_shared(struct wr_doc *d, const yaml_node_t *node)
{
    int first = (int)(node - d->yaml.nodes.start) + 1; /* as libyaml counts */
    int end = first;

    for (const yaml_node_t *n = node; n < d->yaml.nodes.top; n++) {
        int id = (int)(n - d->yaml.nodes.start) + 1;
        bool below = id <= end;

        if (n->type == YAML_MAPPING_NODE) {
            for (const yaml_node_pair_t *p = n->data.mapping.pairs.start;
                 p < n->data.mapping.pairs.top; p++) {
                if (!below &&
                    ((p->key >= first && p->key <= end) || (p->value >= first && p->value <= end)))
                    return true;
                end = below ? wr_max(end, wr_max(p->key, p->value)) : end;
            }
        } else if (n->type == YAML_SEQUENCE_NODE) {
            for (const yaml_node_item_t *p = n->data.sequence.items.start;
                 p < n->data.sequence.items.top; p++) {
                if (!below && *p >= first && *p <= end)
                    return true;
                end = below ? wr_max(end, *p) : end;
            }
        }
    }
    return false;
}

static const char *type_text(yaml_node_type_t type)
{
    switch (type) {
    case YAML_SCALAR_NODE:
        return "a single value";
    case YAML_SEQUENCE_NODE:
        return "a list";
    case YAML_MAPPING_NODE:
        return "a mapping";
    case YAML_NO_NODE:
        break;
    }
    return "nothing";
}

enum wr_status wr_doc_is(struct wr_doc *d, const yaml_node_t *node, yaml_node_type_t type,
    const char *what, struct wr_err *e)
{
    struct wr_str s = wr_doc_text(node);

    if (node->type == type && (s.n == 0 || !memchr(s.p, 0, s.n)))
        return WR_OK;
    if (node->type == type) /* it would end there, and mean something else */
        return wr_doc_fail(d, node, e, "%s has a NUL in it", what);
    return wr_doc_fail(
        d, node, e, "%s must be %s, not %s", what, type_text(type), type_text(node->type));
}

enum wr_status wr_doc_fail(
    struct wr_doc *d, const yaml_node_t *node, struct wr_err *e, const char *fmt, ...)
{
    const struct wr_doc_gap *gap = find_gap(d, node);
    char text[MESSAGE_MAX];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap); /* a cut sentence is better than none */
    va_end(ap);
    if (gap)
        return wr_fail(e, WR_MISUSE, "%s:%zu:%zu: %s: $" WR_FMT " in it has no value", d->name,
            node->start_mark.line + 1, node->start_mark.column + 1, text, WR_ARG(gap->name));
    return wr_fail(e, WR_MISUSE, "%s:%zu:%zu: %s", d->name, node->start_mark.line + 1,
        node->start_mark.column + 1, text);
}

void wr_doc_warn(struct wr_doc *d, const yaml_node_t *node, const char *fmt, ...)
{
    char text[MESSAGE_MAX];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap); /* a cut sentence is better than none */
    va_end(ap);
    wr_warnings_add(d->warnings, "%s:%zu:%zu: %s", d->name, node->start_mark.line + 1,
        node->start_mark.column + 1, text);
}
