/*
 * difference.h - which keys of a database differ between two readings of a configuration. Pure.
 */
#ifndef WR_DAEMON_DIFFERENCE_H
#define WR_DAEMON_DIFFERENCE_H

#include "base/base.h"
#include "daemon/config.h"

#define WR_DIFFERENCE_MAX 256

/* Whether it would be replicated otherwise. Into `ret`, which may be NULL, the names of the keys,
 * as "snapshot.interval, replica.url": values may be secrets. More than fit end with "...". */
bool wr_difference(
    const struct wr_config_db *a, const struct wr_config_db *b, char ret[WR_DIFFERENCE_MAX]);

#endif
