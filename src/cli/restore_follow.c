/*
 * restore_follow.c - restore -f: say when the copy is there; then the log tells, until a signal.
 */
#include "cli/display.h"
#include "cli/restore_int.h"

struct following {
    struct wr_restore *r;
    struct wr_display display;
    int log_level;
    int64_t start_ms;
};

/* The restore is over, if there was one. */
static void begin(struct following *x)
{
    if (x->r->following)
        return;
    x->r->following = true;
    x->r->cli->log.level = x->log_level;
    wr_display_end(&x->display);
}

static void show(void *arg, const weir_follow_status *status)
{
    (void)status; /* what is new in it is in the log */
    begin(arg);
}

int wr_restore_follow(struct wr_restore *r, weir *w, weir_error *err)
{
    enum wr_progress_mode mode =
        r->flags->quiet ? WR_PROGRESS_SILENT : wr_display_mode(r->flags->json);
    struct following x = {
        .r = r, .log_level = r->cli->log.level, .start_ms = wr_mono_ms(wr_clock_system())};
    const weir_follow_options opt = {.struct_size = sizeof(opt),
        .interval_ms = r->flags->interval_ms,
        .parallel = r->opt.parallel,
        .check = r->opt.check,
        .overwrite = r->opt.overwrite,
        .delta = r->opt.delta,
        .settings = r->opt.settings,
        .cancel = r->opt.cancel,
        .progress = wr_display_show,
        .progress_arg = &x.display,
        .fn = show,
        .arg = &x};
    int rc;

    wr_display_start(&x.display, mode, x.start_ms);
    r->result = (weir_restore_result){.struct_size = sizeof(r->result)};
    if (mode == WR_PROGRESS_BAR) /* what the bar shows need not be logged across it */
        r->cli->log.level = wr_max(x.log_level, WEIR_LOG_WARN);
    rc = weir_follow(w, r->replica->url, r->path, &opt, &r->result, err);
    if (!r->following) {
        r->cli->log.level = x.log_level;
        wr_display_end(&x.display);
    }
    r->took_ms = wr_mono_ms(wr_clock_system()) - x.start_ms;
    return rc;
}
