/*
 * config_copy.h - an entry of a configuration that outlives it.
 */
#ifndef WR_DAEMON_CONFIG_COPY_H
#define WR_DAEMON_CONFIG_COPY_H

#include "daemon/config.h"

/* All of it in one block, for wr_free. NULL: out of memory. */
struct wr_config_db *wr_config_db_copy(const struct wr_config_db *db);

#endif
