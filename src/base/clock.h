/*
 * clock.h - monotonic and wall time, swappable so that tests and simulations own time.
 *
 * frozen: a clock is shared freely. Monotonic values order events and set deadlines; wall values
 * are only ever stored or shown. The two never mix.
 */
#ifndef WR_BASE_CLOCK_H
#define WR_BASE_CLOCK_H

#include "base/base.h"

struct wr_clock {
    int64_t (*mono_ns)(const struct wr_clock *c); /* since some start; never goes back */
    int64_t (*wall_ms)(const struct wr_clock *c); /* Unix milliseconds; may jump */
};

const struct wr_clock *wr_clock_system(void);

int64_t wr_mono_ns(const struct wr_clock *c);
int64_t wr_mono_ms(const struct wr_clock *c);
int64_t wr_wall_ms(const struct wr_clock *c);

#define WR_NEVER INT64_MAX /* a monotonic time that does not come */

/* A clock that moves only when told. For tests and the simulator. */
struct wr_clock_manual {
    struct wr_clock clock;
    int64_t mono_now_ns;
    int64_t wall_now_ms;
};
void wr_clock_manual_init(struct wr_clock_manual *m, int64_t wall_ms);
void wr_clock_manual_advance(struct wr_clock_manual *m, int64_t ns); /* both times */

#endif
