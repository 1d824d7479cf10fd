// SPDX-License-Identifier: GPL-2.0-or-later
//
// Pictures from the thread that reads to the thread that draws: three buffers, of which each thread has one
// to itself; the third holds the newest picture.

#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// A picture: premultiplied B8 G8 R8 A8, without padding.
struct picture {
    uint8_t *bgra;
    size_t room; ///< bytes that `bgra` has
    uint32_t width;
    uint32_t height;
    uint32_t serial;      ///< of what it belongs to, where the writer says so
    uint64_t captured_ns; ///< of CLOCK_MONOTONIC, where the writer says so
};

/// Give a picture a size; what it holds afterwards is undefined.
void picture_resize(struct picture *picture, uint32_t width, uint32_t height);

/// Leave nothing of a picture in memory.
void picture_wipe(struct picture *picture);

struct triple_buffer {
    /// Guards `middle` and `fresh`; held to swap two pointers; see `triple_buffer_clear`.
    pthread_mutex_t mutex;
    struct picture pictures[3];
    struct picture *back;   ///< the writer's alone
    struct picture *middle; ///< the newest; may be anybody's next
    struct picture *front;  ///< the reader's alone
    bool fresh;             ///< whether `middle` was not taken yet
};

void triple_buffer_init(struct triple_buffer *buffer);
void triple_buffer_free(struct triple_buffer *buffer);

/// Of the thread that reads the ring: what `back` holds is the newest now, and `back` another picture.
void triple_buffer_publish(struct triple_buffer *buffer);

/// The same for a writer that must not wait. False if it would have to: `back` is as it was.
bool triple_buffer_try_publish(struct triple_buffer *buffer);

/// Of the thread that takes: whether `front` is a newer picture now. Never waits.
bool triple_buffer_take(struct triple_buffer *buffer);

/// Of the thread that takes: wipe all that was given, taken or not. The writer's `back` is the writer's to
/// wipe.
void triple_buffer_clear(struct triple_buffer *buffer);
