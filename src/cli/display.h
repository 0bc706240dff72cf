/*
 * display.h - the progress of a command on standard error, where the log goes as well.
 *
 * owned: callbacks come from any thread, one at a time.
 */
#ifndef WR_CLI_DISPLAY_H
#define WR_CLI_DISPLAY_H

#include "cli/progress.h"

struct wr_display {
    struct wr_progress progress;
    struct wr_buf buf;
};

/* What suits standard error: JSON if that is wanted, a bar on a terminal, else lines. */
enum wr_progress_mode wr_display_mode(bool json);

void wr_display_start(struct wr_display *d, enum wr_progress_mode mode, int64_t now_ms);
void wr_display_show(void *arg, const weir_progress *p); /* a weir_progress_fn; arg: the display */
void wr_display_clear(struct wr_display *d); /* so that other text can follow; it may go on */
void wr_display_end(struct wr_display *d);

#endif
