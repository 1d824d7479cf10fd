// SPDX-License-Identifier: GPL-2.0-or-later
//
// How long something takes, time after time: for what is done in OBS's own threads.

#pragma once

#include <stdint.h>

enum { STOPWATCH_STEPS = 500 };

/// All zero at first. The first call counts apart: in it the card's driver makes ready what is used for the
/// first time.
struct stopwatch {
    uint64_t calls;
    uint64_t first_ns;
    uint64_t longest_ns;
    uint32_t counts[STOPWATCH_STEPS]; ///< calls by how long they took, in steps of 10 microseconds
};

/// Count a call that ends now.
void stopwatch_add(struct stopwatch *stopwatch, uint64_t began_ns);

/// Log what was counted.
void stopwatch_log(const struct stopwatch *stopwatch, const char *whose, const char *what);
