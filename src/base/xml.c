/*
 * xml.c - flattens a service reply into (path, text) pairs. expat reads the XML; this file keeps
 * the path, the text and the bounds. Refuses to know any element by name, and refuses documents
 * with a DOCTYPE, so that no entity of their own can ever grow or read a file.
 *
 * Text works as a stack in one run of bytes: an element remembers where its own starts, its
 * children push theirs on top and take them away when they end, and the element goes on where it
 * was.
 */
#include "base/xml.h"

#include "base/mem.h"

#include <expat.h>
#include <limits.h>

#define TEXT_MIN 256 /* bytes of the first run; it doubles */

struct run {
    char *p;
    size_t n, cap;
};

struct reader {
    struct wr_arena *arena;
    XML_Parser parser;
    wr_xml_fn *fn;
    void *arg;
    struct wr_err *e;
    enum wr_status st;

    unsigned depth;
    struct run path;                  /* local names joined by '/' */
    struct run text;                  /* the open elements' own text, outermost first */
    size_t path_at[WR_XML_DEPTH_MAX]; /* path.n before the element began */
    size_t text_at[WR_XML_DEPTH_MAX]; /* where its text starts */
};

/* Ends the parse; expat may still deliver an event or two, which the handlers ignore by st. */
static void stop(struct reader *r, enum wr_status st)
{
    r->st = st;
    (void)XML_StopParser(r->parser, XML_FALSE); /* fails only when it has already stopped */
}

static bool run_append(struct reader *r, struct run *to, const char *p, size_t n)
{
    if (n > to->cap - to->n) {
        size_t cap = wr_max(to->cap * 2, (size_t)TEXT_MIN);

        while (cap - to->n < n)
            cap *= 2; /* expat's pieces are int-sized, so this cannot overflow */

        char *grown = wr_arena_alloc(r->arena, cap);
        if (grown == NULL) {
            bool full = cap > r->arena->max - r->arena->used;

            stop(r, wr_fail(r->e, full ? WR_LIMIT : WR_NOMEM, "xml: %s",
                        full ? "reply too large" : "out of memory"));
            return false;
        }
        if (to->n > 0)
            memcpy(grown, to->p, to->n);
        to->p = grown;
        to->cap = cap;
    }
    if (n > 0)
        memcpy(to->p + to->n, p, n);
    to->n += n;
    return true;
}

static void on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
    struct reader *r = arg;
    const char *colon = strrchr(name, ':');

    (void)attributes;
    if (r->st != WR_OK)
        return;
    if (r->depth == WR_XML_DEPTH_MAX) {
        stop(r, wr_fail(r->e, WR_CORRUPT, "xml: nested deeper than %d", WR_XML_DEPTH_MAX));
        return;
    }
    if (colon != NULL)
        name = colon + 1;
    r->path_at[r->depth] = r->path.n;
    r->text_at[r->depth] = r->text.n;
    r->depth++;
    if (r->depth == 1 || run_append(r, &r->path, "/", 1))
        (void)run_append(r, &r->path, name, strlen(name)); /* a failure has stopped the parse */
}

static void on_end(void *arg, const XML_Char *name)
{
    struct reader *r = arg;

    (void)name;
    if (r->st != WR_OK)
        return;
    assert(r->depth > 0);
    r->depth--;

    size_t at = r->text_at[r->depth];
    struct wr_str path = {r->path.p, r->path.n};
    struct wr_str text = {r->text.n > at ? r->text.p + at : "", r->text.n - at};
    enum wr_status st = r->fn(r->arg, path, text, r->e);

    if (st != WR_OK)
        stop(r, st);
    r->path.n = r->path_at[r->depth];
    r->text.n = at;
}

static void on_text(void *arg, const XML_Char *s, int n)
{
    struct reader *r = arg;

    if (r->st == WR_OK)
        (void)run_append(r, &r->text, s, (size_t)n); /* a failure has stopped the parse */
}

static void on_doctype(void *arg, const XML_Char *name, const XML_Char *system_id,
    const XML_Char *public_id, int has_internal_subset)
{
    struct reader *r = arg;

    (void)name;
    (void)system_id;
    (void)public_id;
    (void)has_internal_subset;
    if (r->st == WR_OK)
        stop(r, wr_fail(r->e, WR_CORRUPT, "xml: DOCTYPE refused"));
}

static void *resize(void *p, size_t size)
{
    return wr_resize(p, size, 1);
}

/* What expat's verdict means, when no handler has given one. */
static enum wr_status parse_status(struct reader *r)
{
    enum XML_Error error = XML_GetErrorCode(r->parser);

    if (error == XML_ERROR_NO_MEMORY)
        return wr_fail(r->e, WR_NOMEM, "xml: out of memory");
    return wr_fail(r->e, WR_CORRUPT, "xml: line %lu: %s",
        (unsigned long)XML_GetCurrentLineNumber(r->parser), XML_ErrorString(error));
}

enum wr_status wr_xml_parse(
    struct wr_arena *a, struct wr_bytes doc, wr_xml_fn *fn, void *arg, struct wr_err *e)
{
    static const XML_Memory_Handling_Suite heap = {wr_alloc, resize, wr_free};
    struct reader r = {.arena = a, .fn = fn, .arg = arg, .e = e, .st = WR_OK};

    if (doc.n > INT_MAX)
        return wr_fail(e, WR_LIMIT, "xml: reply too large");
    r.parser = XML_ParserCreate_MM(NULL, &heap, NULL);
    if (r.parser == NULL)
        return wr_fail(e, WR_NOMEM, "xml: out of memory");
    XML_SetUserData(r.parser, &r);
    XML_SetElementHandler(r.parser, on_start, on_end);
    XML_SetCharacterDataHandler(r.parser, on_text);
    XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
    if (XML_Parse(r.parser, doc.p != NULL ? (const char *)doc.p : "", (int)doc.n, XML_TRUE) !=
            XML_STATUS_OK &&
        r.st == WR_OK)
        r.st = parse_status(&r);
    XML_ParserFree(r.parser);
    return r.st;
}
