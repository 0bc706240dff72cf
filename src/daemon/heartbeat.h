/*
 * heartbeat.h - a sign of life to a dead man's switch: a GET each interval while all is well, and
 * none while it is not, so that whoever misses it raises the alarm, whatever has happened to us.
 *
 * locked.
 */
#ifndef WR_DAEMON_HEARTBEAT_H
#define WR_DAEMON_HEARTBEAT_H

#include "base/base.h"
#include "base/status.h"
#include "daemon/logfmt.h"

struct wr_heartbeat;

struct wr_heartbeat_opts {
    const char *url; /* http or https; copied */
    int64_t interval_ms;
    int64_t check_ms;   /* how often it is looked whether all is well, once it is time; 0: 15 s */
    int64_t timeout_ms; /* of one request, with its redirects; 0: 30 s */
    bool (*well)(void *arg); /* wr_all_well; must not take long */
    void *arg;
    struct wr_logger *log; /* both outlive it */
};

/* Begin, from a thread of its own. A 2xx answer is success, redirects are followed, certificates
 * are checked (against SSL_CERT_FILE or SSL_CERT_DIR where they are set). After a failure, which is
 * an error in the log, the next attempt is an interval later. */
enum wr_status wr_heartbeat_new(
    const struct wr_heartbeat_opts *o, struct wr_heartbeat **ret, struct wr_err *e) WR_MUST_CHECK;
/* End it at once, in the middle of a request as well. NULL-safe. */
void wr_heartbeat_free(struct wr_heartbeat *h);

#endif
