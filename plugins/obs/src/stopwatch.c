// SPDX-License-Identifier: GPL-2.0-or-later

#include "stopwatch.h"

#include <inttypes.h>
#include <util/platform.h>

#include "plugin.h"

static const uint64_t STEP_NS = 10000;

void stopwatch_add(struct stopwatch *stopwatch, uint64_t began_ns)
{
    const uint64_t took_ns = os_gettime_ns() - began_ns, step = took_ns / STEP_NS;
    if (stopwatch->calls++ == 0) {
        stopwatch->first_ns = took_ns;
        return;
    }
    if (took_ns > stopwatch->longest_ns)
        stopwatch->longest_ns = took_ns;
    stopwatch->counts[step < STOPWATCH_STEPS ? step : STOPWATCH_STEPS - 1]++;
}

/// So many of a hundred calls took no longer, in ms; the first is left out. The longest, if it is off the
/// scale.
static double percentile_ms(const struct stopwatch *stopwatch, uint64_t percent)
{
    const uint64_t calls = stopwatch->calls ? stopwatch->calls - 1 : 0;
    uint64_t so_far = 0, step = 0;
    while (step < STOPWATCH_STEPS - 1 && 100 * (so_far + stopwatch->counts[step]) < percent * calls)
        so_far += stopwatch->counts[step++];
    const uint64_t ns = step < STOPWATCH_STEPS - 1 ? (step + 1) * STEP_NS : stopwatch->longest_ns;
    return calls ? (double)ns / 1e6 : 0.0;
}

void stopwatch_log(const struct stopwatch *stopwatch, const char *whose, const char *what)
{
    plugin_log(LOG_INFO,
        "%s: %" PRIu64 " calls of %s, first %.3f ms, longest after it %.3f ms, half within %.2f ms, "
        "99 of 100 within %.2f ms",
        whose, stopwatch->calls, what, (double)stopwatch->first_ns / 1e6, (double)stopwatch->longest_ns / 1e6,
        percentile_ms(stopwatch, 50), percentile_ms(stopwatch, 99));
}
