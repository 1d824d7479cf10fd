// SPDX-License-Identifier: GPL-2.0-or-later
//
// Writes a ring of pictures, in the layout of ring.h: opaque pictures of one size, for readers that were
// given the memory's descriptor. No reader can hold the writer up. Nothing of OBS is used here: it is tried
// by itself.

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// A ring of our own, mapped for writing. One thread at a time.
struct ring_writer {
    uint8_t *memory; ///< NULL while there is none
    size_t size;
    uint32_t width, height; ///< px
    uint32_t stride;        ///< bytes from slot to slot
    int descriptor;         ///< writable: not for others; see `ring_writer_read_only`
};

/// Pixels of a picture of the ring's size: B8 G8 R8 and a byte that is not looked at.
struct ring_pixels {
    const uint8_t *bgrx;
    size_t pitch; ///< bytes from row to row
};

/// Make an empty ring. `rate`: pictures per 1,000 seconds, at most. False if the size is out of range, or
/// there is no memory; the writer is then closed.
bool ring_writer_open(struct ring_writer *writer, uint32_t width, uint32_t height, uint32_t rate);

/// The memory, opened for reading only, for somebody else; the caller's to close. -1 if that is impossible.
int ring_writer_read_only(const struct ring_writer *writer);

/// Add a picture, and beat; the oldest is lost. `captured_ns`, of CLOCK_MONOTONIC: when what it shows was
/// seen.
void ring_writer_add(struct ring_writer *writer, const struct ring_pixels *pixels, uint64_t captured_ns);

/// Whether the newest picture is the same, to the last pixel. Quick where it is not.
bool ring_writer_has(const struct ring_writer *writer, const struct ring_pixels *pixels);

/// Show readers that the writer is alive.
void ring_writer_beat(struct ring_writer *writer);

/// Wipe the pictures from the memory, which readers may have for longer, and let it go: they find nothing in
/// it any more, and it does not beat. May be called twice, and for a writer that is all zero.
void ring_writer_close(struct ring_writer *writer);
