// SPDX-License-Identifier: GPL-2.0-or-later
//
// A source of OBS as the camera that drives the portrait: its pictures go into a ring (ring.h), which whoever
// asks at `<folder>/<name>.feed` is handed (feed-server.h).
//
//   - A ring is of one source at one size. When either changes, or the source goes, the ring is wiped and
//   beats
//     no more: its readers ask for another. There is none while the source has no size, as a camera before
//     its first picture; who asks then is sent away, and may ask again.
//   - Nothing is drawn, copied or kept but while somebody who was handed the ring is connected still. With
//   the last of them the ring goes, and there is another one for who comes next.
//   - While the source is there and OBS draws, the ring beats every 50 ms. A source that stands still beats,
//   but
//     the same picture is not written again, except twice a second. There are never more than 30 a second.
//   - While it is aimed at, the source is told that it is being shown: cameras run in no scene, too.

#pragma once

#include <obs.h>

struct feed;

/// A feed that is aimed at nothing: no thread, no socket, no pictures. `folder`: NULL or empty for the
/// daemon's own (handover.h).
struct feed *feed_create(const char *folder, const char *name);

/// Take pictures of this source from now on: its name, or its uuid where OBS has them. It need not exist yet;
/// it is followed when it gets another name, and found again by its last one when it goes and comes back.
/// NULL or empty: of none; then socket and pictures are gone a moment later. To aim anew at the same changes
/// nothing. Never waits for long. False if it is a portrait of ours, which must not drive itself: the same as
/// none. A scene with one in it is taken.
bool feed_aim(struct feed *feed, const char *source);

/// The name that the source has now, or had last; the caller's, to be freed by `bfree`. NULL if there is
/// none, or it was not found yet. For settings, so that it is found after OBS's next start.
char *feed_target(struct feed *feed);

/// Once a frame, in OBS's drawing thread, inside its graphics context: from a callback of
/// `obs_add_main_render_callback`, which comes whether or not anything is shown, and after all sources of
/// this frame were updated. More often is harmless.
void feed_render(struct feed *feed);

/// End it all. `feed_render` is not called any more: its callback was removed. Not inside the graphics
/// context.
void feed_destroy(struct feed *feed);

/// `uuid` is NULL where OBS has none.
typedef void feed_visitor(void *data, const char *name, const char *uuid);

/// Name all inputs with pictures that a feed can be aimed at, in no order; none of our own.
void feed_list_sources(feed_visitor *visit, void *data);
