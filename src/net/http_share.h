/*
 * http_share.h - HTTP clients that many use together: one for each way of connecting.
 *
 * Thousands of databases in one bucket then make as many connections, and handshakes, as there are
 * threads that ask at once, and not as there are databases; and they read its certificates once.
 * A ca_file that is replaced is not read again until there is a new share.
 *
 * locked: any thread.
 */
#ifndef WR_NET_HTTP_SHARE_H
#define WR_NET_HTTP_SHARE_H

#include "base/base.h"
#include "base/status.h"
#include "net/http.h"

struct wr_http_share;

struct wr_http_share *wr_http_share_new(void);    /* NULL: out of memory */
void wr_http_share_free(struct wr_http_share *x); /* nobody uses its clients any more; NULL-safe */

/* The client for these options, as wr_http_new would make it. It stays the share's. */
enum wr_status wr_http_share_get(struct wr_http_share *x, const struct wr_http_opts *o,
    struct wr_http **ret, struct wr_err *e) WR_MUST_CHECK;

#endif
