// SPDX-License-Identifier: GPL-2.0-or-later
// Files of this user, opened here and handed to the daemon of this machine, which opens none that it is told
// by name (docs/live.md).
#pragma once

#include <stddef.h>
#include <stdint.h>

// A connection by which files are offered: they stand for as long as it is open. -1 where the daemon at this
// control socket takes none, or is another user's.
int sfx_files_connect(const char *control_socket);

// Offer an ordinary file. What stands for it in a call, to be freed; NULL where it is none or is not taken:
// the daemon then judges its path.
char *sfx_files_offer(int connection, const char *path);

// The bytes of a photo, at most 20 MB, to be freed. NULL: `why` tells what is wrong, in one line.
uint8_t *sfx_files_read_photo(const char *path, size_t *size, char *why, size_t room);
