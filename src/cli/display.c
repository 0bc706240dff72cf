/*
 * display.c - see display.h.
 */
#include "cli/display.h"
#include "base/clock.h"
#include "base/str.h"

#include <unistd.h>

static void flush(struct wr_display *d)
{
    struct wr_str s = wr_buf_view(&d->buf);

    if (s.n)
        (void)fwrite(s.p, 1, s.n, stderr); /* a lost bar is no failure */
    wr_buf_clear(&d->buf);
}

enum wr_progress_mode wr_display_mode(bool json)
{
    const char *term = getenv("TERM");

    if (json)
        return WR_PROGRESS_JSON;
    if (isatty(STDERR_FILENO) && term && !wr_str_eq(wr_str(term), WR_STR("dumb")))
        return WR_PROGRESS_BAR;
    return WR_PROGRESS_LINES;
}

void wr_display_start(struct wr_display *d, enum wr_progress_mode mode, int64_t now_ms)
{
    wr_buf_init(&d->buf, 4096);
    wr_progress_init(&d->progress, mode, now_ms);
}

void wr_display_show(void *arg, const weir_progress *p)
{
    struct wr_display *d = arg;

    wr_progress_put(&d->progress, p, wr_mono_ms(wr_clock_system()), &d->buf);
    flush(d);
}

void wr_display_clear(struct wr_display *d)
{
    wr_progress_end(&d->progress, &d->buf);
    flush(d);
}

void wr_display_end(struct wr_display *d)
{
    wr_display_clear(d);
    wr_buf_release(&d->buf);
}
