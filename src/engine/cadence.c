/*
 * cadence.c - see cadence.h.
 */
#include "engine/cadence.h"

#define YEAR_1_MS (INT64_C(62135596800) * 1000) /* to 1970 */

int64_t wr_cadence_end(int64_t ms, int64_t interval_ms)
{
    uint64_t since = (uint64_t)ms + (uint64_t)YEAR_1_MS;

    return ms + interval_ms - (int64_t)(since % (uint64_t)interval_ms);
}
