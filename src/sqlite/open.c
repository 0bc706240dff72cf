/*
 * open.c - see open.h.
 */
#include "sqlite/open.h"

#include "base/buf.h"
#include "base/url.h"

#define URI_MAX ((size_t)16384)

int wr_sqlite_open(const char *path, int flags, const char *query, sqlite3 **ret)
{
    struct wr_buf uri;
    int rc = SQLITE_NOMEM;

    wr_buf_init(&uri, URI_MAX);
    wr_buf_z(&uri, "file:");
    wr_url_encode(&uri, wr_str(path), true);
    if (query) {
        wr_buf_z(&uri, "?");
        wr_buf_z(&uri, query);
    }
    if (wr_buf_status(&uri) == WR_OK)
        rc = sqlite3_open_v2(
            (const char *)uri.p, ret, flags | SQLITE_OPEN_URI | SQLITE_OPEN_FULLMUTEX, NULL);
    wr_buf_release(&uri);
    return rc;
}
