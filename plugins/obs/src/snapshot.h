// SPDX-License-Identifier: GPL-2.0-or-later
//
// Pictures of an OBS source, small, from the card to memory, without waiting for the card: what is taken in
// one frame is collected in the next. Of OBS's drawing thread alone, inside its graphics context.

#pragma once

#include <obs.h>

#include "triple-buffer.h"

/// All zero at first.
struct snapshot {
    uint32_t width, height; ///< of the pictures, px; 0 while there is nothing on the card
    gs_texrender_t *small;
    gs_texrender_t *whole; ///< NULL unless the source is reduced by much
    gs_stagesurf_t *surfaces[2];
    int newest;           ///< of the surfaces
    uint64_t captured_ns; ///< of what was drawn last; 0: nothing that was not collected
    bool copied;          ///< whether that is on the newest surface
    int waits;            ///< for the card, one after the other
    bool late;            ///< to be copied in the next frame only
};

/// How large pictures of a source are: as it is, but within 640 x 480, and of even numbers. False while it
/// has no size.
bool snapshot_size(obs_source_t *source, uint32_t *width, uint32_t *height);

/// Draw a source as it looks now, and have the card copy it. False if the card refuses.
bool snapshot_take(struct snapshot *snapshot, obs_source_t *source, uint32_t width, uint32_t height);

/// Copy what was taken in a frame before; false if there is nothing.
bool snapshot_collect(struct snapshot *snapshot, struct picture *picture);

/// Leave nothing on the card. May be called twice.
void snapshot_free(struct snapshot *snapshot);
