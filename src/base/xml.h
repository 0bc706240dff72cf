/*
 * xml.h - a small reader over expat for service replies: elements and text, nothing else.
 *
 * A document with a DOCTYPE is refused; depth and size are bounded.
 */
#ifndef WR_BASE_XML_H
#define WR_BASE_XML_H

#include "base/arena.h"
#include "base/base.h"
#include "base/status.h"
#include "base/str.h"

#define WR_XML_DEPTH_MAX 32

/* Called at the end of each element, in document order. `path` is the local names from the root,
 * joined by '/', namespaces dropped ("ListBucketResult/Contents/Key"); `text` is the element's own
 * character data. Both die with the call. Return anything but OK to stop with it. */
typedef enum wr_status wr_xml_fn(
    void *arg, struct wr_str path, struct wr_str text, struct wr_err *e);

/* CORRUPT for what is not well-formed, has a DOCTYPE or is too deep; LIMIT over arena bounds. */
enum wr_status wr_xml_parse(struct wr_arena *a, struct wr_bytes doc, wr_xml_fn *fn, void *arg,
    struct wr_err *e) WR_MUST_CHECK;

#endif
