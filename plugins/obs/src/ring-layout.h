// SPDX-License-Identifier: GPL-2.0-or-later
//
// The ring's layout as numbers, for who reads it and who writes it; ring.h explains it.

#pragma once

#include <stdatomic.h>
#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "The ring is little-endian, and so must be the processor"
#endif
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "the counters of the ring are read without locks");

static const char MAGIC[8] = "SFXRING";

enum {
    HEADER = 4096,
    BEAT = 64,
    WRITTEN = 72,
    PIXELS = 64,
    ALIGNMENT = 64,
    CHANNELS = 3,
    FORMAT_RGB_ALPHA = 1,
    FEWEST_SLOTS = 2,
    MOST_SLOTS = 16,
    LARGEST_SIDE = 8192,
};

/// The header as it lies in memory.
struct header {
    char magic[8];
    uint32_t version, header, slots, stride, width, height, row, format, rate;
};
_Static_assert(sizeof(struct header) == 44, "the header has no holes");

/// The start of a slot as it lies in memory.
struct slot {
    _Atomic uint64_t lock;
    uint64_t seq, captured_ns, rendered_ns;
    uint32_t quality, alpha;
};
_Static_assert(sizeof(struct slot) == 40, "a slot has no holes");
