/*
 * process.h - the figures of a process that every Prometheus client library has.
 */
#ifndef WR_DAEMON_PROCESS_H
#define WR_DAEMON_PROCESS_H

#include "base/buf.h"

/* Append process_* (exposition.h); what this system does not tell is left out. */
void wr_process_metrics(struct wr_buf *out);

#endif
