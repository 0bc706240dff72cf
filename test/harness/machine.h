/*
 * machine.h - a machine that has an id, whatever the one has on which the tests run: in containers
 * and roots that were just made there is none.
 */
#ifndef WR_HARNESS_MACHINE_H
#define WR_HARNESS_MACHINE_H

#include "base/file.h"

/* The real files, but for /etc/machine-id: it is there, or it is not. Not to be freed. */
const struct wr_fs *t_machine_fs(void);
const struct wr_fs *t_nameless_fs(void);

#endif
