// SPDX-License-Identifier: GPL-2.0-or-later
//
// The thread of a source: it finds the daemon, reads its ring, and finds it again when it was replaced. All
// that may wait is done here, nothing of it in OBS's threads.

#pragma once

#include "triple-buffer.h"

struct reader;

/// Begin to read. Pictures, and messages where there are none, come through the reader's buffer.
/// `folder`, `session`: see `reader_aim`.
struct reader *reader_start(const char *folder, const char *session);

/// Read another session from now on, or in another folder. Empty: the first session, the daemon's own folder.
void reader_aim(struct reader *reader, const char *folder, const char *session);

/// Whether anybody sees the source. While somebody does, the daemon knows, and keeps the webcam open on
/// demand.
void reader_watch(struct reader *reader, bool watched);

/// Where the pictures come from; its `front` is the caller's.
struct triple_buffer *reader_buffer(struct reader *reader);

/// End the thread and free everything; takes no longer than the thread needs for a picture.
void reader_stop(struct reader *reader);
