/*
 * progress.c - a bar, lines, or JSON for the progress of a restore or a verification.
 *
 *     bar    restoring [==========>         ]  52%  104 MB of 200 MB, 38 MB/s, 3s left
 *     line   restoring: 52%, 104 MB of 200 MB, 38 MB/s, 3s left
 *     json   {"phase":"fetch","bytes":104000000,"bytes_total":200000000,"bytes_resumed":0,
 *            "files":3,"files_total":9} on one line
 *     first, if so, of bar and line   resuming: 84 MB of 200 MB already here
 *
 * It does not print: who owns the terminal does.
 */
#include "cli/progress.h"

#define BAR_WIDTH         20
#define BAR_INTERVAL_MS   100
#define LINES_INTERVAL_MS 5000
#define JSON_INTERVAL_MS  1000
#define RATE_MIN_MS       500 /* before, a rate would be noise */

static const char *phase_text(int32_t phase)
{
    switch (phase) {
    case WEIR_PHASE_PLAN:
        return "planning";
    case WEIR_PHASE_SYNC:
        return "writing";
    case WEIR_PHASE_CHECK:
        return "checking";
    case WEIR_PHASE_VERIFY:
        return "verifying";
    default:
        return "restoring";
    }
}

static const char *phase_key(int32_t phase)
{
    switch (phase) {
    case WEIR_PHASE_PLAN:
        return "plan";
    case WEIR_PHASE_SYNC:
        return "sync";
    case WEIR_PHASE_CHECK:
        return "check";
    case WEIR_PHASE_VERIFY:
        return "verify";
    default:
        return "fetch";
    }
}

void wr_size_text(char out[WR_SIZE_TEXT_MAX], uint64_t bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    uint64_t whole = bytes, tenths = 0;
    size_t u = 0;

    while (whole >= 1000 && u + 1 < wr_countof(units)) {
        tenths = whole % 1000 / 100;
        whole /= 1000;
        u++;
    }
    if (whole < 10 && u > 0)
        (void)snprintf(
            out, WR_SIZE_TEXT_MAX, "%u.%u %s", (unsigned)whole, (unsigned)tenths, units[u]);
    else
        (void)snprintf(out, WR_SIZE_TEXT_MAX, "%u %s", (unsigned)whole, units[u]);
}

static unsigned percent(const weir_progress *x)
{
    if (x->bytes_total == 0)
        return 0;
    if (x->bytes_done >= x->bytes_total)
        return 100;
    /* In floating point, because hundred times the bytes may not fit. */
    return (unsigned)((double)x->bytes_done * 100 / (double)x->bytes_total);
}

static void put_amounts(
    const struct wr_progress *p, const weir_progress *x, int64_t now_ms, struct wr_buf *out)
{
    char done[WR_SIZE_TEXT_MAX], total[WR_SIZE_TEXT_MAX], rate_text[WR_SIZE_TEXT_MAX];
    int64_t took_ms = now_ms - p->start_ms;
    uint64_t fetched = x->bytes_done - wr_min(x->bytes_done, x->bytes_resumed);
    double rate;

    wr_size_text(done, x->bytes_done);
    wr_size_text(total, x->bytes_total);
    wr_buf_fmt(out, "%s of %s", done, total);
    if (took_ms < RATE_MIN_MS || fetched == 0 || x->bytes_done > x->bytes_total)
        return;
    rate = (double)fetched * 1000 / (double)took_ms; /* bytes a second */
    if (rate < 1)
        return;
    wr_size_text(rate_text, (uint64_t)rate);
    wr_buf_fmt(
        out, ", %s/s, %.0fs left", rate_text, (double)(x->bytes_total - x->bytes_done) / rate);
}

static bool has_amounts(const weir_progress *x)
{
    return (x->phase == WEIR_PHASE_FETCH || x->phase == WEIR_PHASE_VERIFY) && x->bytes_total > 0;
}

static void put_bar(
    struct wr_progress *p, const weir_progress *x, int64_t now_ms, struct wr_buf *out)
{
    unsigned full = percent(x) * BAR_WIDTH / 100;

    /* To the first column and erase: a shorter line must not leave the end of a longer one. */
    wr_buf_fmt(out, "\r\033[K%s ", phase_text(x->phase));
    if (has_amounts(x)) {
        wr_buf_byte(out, '[');
        for (unsigned i = 0; i < BAR_WIDTH; i++)
            wr_buf_byte(out, i < full ? '=' : i == full ? '>' : ' ');
        wr_buf_fmt(out, "] %3u%%  ", percent(x));
        put_amounts(p, x, now_ms, out);
    } else {
        wr_buf_z(out, "...");
    }
    p->drawn = true;
}

static void put_line(
    const struct wr_progress *p, const weir_progress *x, int64_t now_ms, struct wr_buf *out)
{
    wr_buf_z(out, phase_text(x->phase));
    if (has_amounts(x)) {
        wr_buf_fmt(out, ": %u%%, ", percent(x));
        put_amounts(p, x, now_ms, out);
    }
    wr_buf_byte(out, '\n');
}

static void put_json(const weir_progress *x, struct wr_buf *out)
{
    wr_buf_fmt(out,
        "{\"phase\":\"%s\",\"bytes\":%llu,\"bytes_total\":%llu,\"bytes_resumed\":%llu,"
        "\"files\":%u,\"files_total\":%u}\n",
        phase_key(x->phase), (unsigned long long)x->bytes_done, (unsigned long long)x->bytes_total,
        (unsigned long long)x->bytes_resumed, x->files_done, x->files_total);
}

/* Not at intervals: what is resumed may be over sooner. */
static void put_resuming(struct wr_progress *p, const weir_progress *x, struct wr_buf *out)
{
    char here[WR_SIZE_TEXT_MAX], total[WR_SIZE_TEXT_MAX];

    if (p->resuming || x->bytes_resumed == 0 ||
        (p->mode != WR_PROGRESS_BAR && p->mode != WR_PROGRESS_LINES))
        return;
    wr_size_text(here, x->bytes_resumed);
    wr_size_text(total, x->bytes_total);
    wr_progress_end(p, out);
    wr_buf_fmt(out, "resuming: %s of %s already here\n", here, total);
    p->resuming = true;
}

void wr_progress_init(struct wr_progress *p, enum wr_progress_mode mode, int64_t now_ms)
{
    *p = (struct wr_progress){.mode = mode, .start_ms = now_ms, .last_ms = now_ms, .phase = -1};
}

void wr_progress_put(
    struct wr_progress *p, const weir_progress *x, int64_t now_ms, struct wr_buf *out)
{
    static const int64_t interval_ms[] = {
        [WR_PROGRESS_SILENT] = 0,
        [WR_PROGRESS_BAR] = BAR_INTERVAL_MS,
        [WR_PROGRESS_LINES] = LINES_INTERVAL_MS,
        [WR_PROGRESS_JSON] = JSON_INTERVAL_MS,
    };
    bool another =
        p->phase >= 0 && x->phase != p->phase && (p->said || x->phase == WEIR_PHASE_CHECK);

    p->phase = x->phase;
    put_resuming(p, x, out);
    if (!another && now_ms - p->last_ms < interval_ms[p->mode])
        return;
    p->last_ms = now_ms;
    p->said = true;
    switch (p->mode) {
    case WR_PROGRESS_SILENT:
        break;
    case WR_PROGRESS_BAR:
        put_bar(p, x, now_ms, out);
        break;
    case WR_PROGRESS_LINES:
        put_line(p, x, now_ms, out);
        break;
    case WR_PROGRESS_JSON:
        put_json(x, out);
        break;
    }
}

void wr_progress_end(struct wr_progress *p, struct wr_buf *out)
{
    if (p->drawn)
        wr_buf_z(out, "\r\033[K");
    p->drawn = false;
}
