// SPDX-License-Identifier: GPL-2.0-or-later
//
// The ring of pictures that the daemon publishes, version 2: shared memory, one writer, any number of
// readers, no locks. Little-endian; all offsets in bytes:
//
//     0    magic "SFXRING\0"      8 bytes
//     8    version                u32  = 2
//     12   header                 u32  offset of the first slot, 4096
//     16   slots                  u32  2 to 16
//     20   stride                 u32  from slot to slot, a multiple of 64
//     24   width, height          u32  px, 1 to 8192
//     32   row                    u32  from pixel row to pixel row, 3 * width
//     36   format                 u32  1 = R8 G8 B8, then a plane of alpha
//     40   rate                   u32  frames per 1,000 seconds; 0 as they come
//     64   beat                   u64  grows while the writer is alive and making progress
//     72   written                u64  pictures so far; the newest lies in slot (written - 1) % slots
//
//     slot:
//     0    lock                   u64  odd while the slot is being written (seqlock)
//     8    seq                    u64  of the picture
//     16   captured_ns            u64  CLOCK_MONOTONIC: when what it shows was captured
//     24   rendered_ns            u64  CLOCK_MONOTONIC: when it was finished
//     32   quality                u32
//     36   alpha                  u32  1: the plane of alpha holds coverage, colours are premultiplied; 0:
//     opaque 64   pixels                 height rows of `row` bytes
//          alpha                  height rows of `width` bytes
//
// Whatever the memory holds, and however it changes while it is read, nothing outside of it is touched.
// Nothing of OBS is used here: it is fuzzed by itself.

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RING_VERSION = 2 };

/// What was found when a ring was opened.
enum ring_status {
    RING_OPEN,
    RING_UNSEALED,      ///< its writer could shrink it: reading would be death by SIGBUS
    RING_TOO_SMALL,     ///< the memory is smaller than its header, or than its header says
    RING_NO_RING,       ///< the magic is not there
    RING_OTHER_VERSION, ///< `ring_form.version` says which
    RING_CONTRADICTORY, ///< a figure is out of its range or does not fit the others
    RING_UNMAPPABLE,    ///< the system refuses to map it
};

/// The header's fields, copied once and checked; the memory's own are not looked at again.
struct ring_form {
    uint32_t version;
    uint32_t slots;
    uint32_t stride;
    uint32_t width;
    uint32_t height;
    uint32_t rate;
};

/// A ring, mapped for reading. One thread at a time.
struct ring {
    const uint8_t *memory; ///< NULL while it is not open
    size_t size;
    struct ring_form form;
    uint64_t seen;  ///< `written` of the picture taken last
    uint64_t inode; ///< of the memory: tells whether another descriptor is of the same
};

/// Map it; the descriptor stays the caller's. Whatever is returned, `form.version` is told if it was found.
enum ring_status ring_open(struct ring *ring, int descriptor);

/// Unmap it. May be called twice.
void ring_close(struct ring *ring);

/// Grows while the writer makes progress.
uint64_t ring_progress(const struct ring *ring);

/// Copy the newest picture, if it was not taken yet, as premultiplied B8 G8 R8 A8, width * height pixels.
/// False if there is none, or none that was not being overwritten meanwhile; `bgra` may then hold anything.
bool ring_newest(struct ring *ring, uint8_t *bgra);
