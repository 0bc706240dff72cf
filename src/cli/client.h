/*
 * client.h - one question to a running daemon, over its control socket (daemon/control.h).
 */
#ifndef WR_CLI_CLIENT_H
#define WR_CLI_CLIENT_H

#include "base/base.h"
#include "base/status.h"

#include <jansson.h>

#define WR_CLIENT_ANSWER_MAX ((size_t)4 << 20) /* bytes */

struct wr_client_request {
    const char *socket; /* path of the file */
    const char *target; /* "/sync" */
    const char *verb;   /* what did not work when the daemon says no: "sync" */
    json_t *body;       /* an object to POST, which stays the caller's; NULL: a GET */
    int64_t timeout_ms; /* for all of it; 0: none */
};

/* Ask, and wait for the answer: an object, which the caller releases.
 *
 * NOTFOUND: nobody listens there. TIMEOUT: no answer in time, or the daemon says that its own time
 * ran out. IO: the daemon says no, the connection broke, or libcurl is not there. LIMIT: the answer
 * is too large. CORRUPT: it is not what a daemon says. AUTH: this user may not open the socket.
 * MISUSE: its path is too long. The text says what to do. */
enum wr_status wr_client_ask(
    const struct wr_client_request *q, json_t **ret, struct wr_err *e) WR_MUST_CHECK;

#endif
