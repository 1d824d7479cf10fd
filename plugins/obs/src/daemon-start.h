// SPDX-License-Identifier: GPL-2.0-or-later
// Starts the daemon of this machine.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum sfx_start {
    SFX_START_UP,      // it listens; it ran already, or does now
    SFX_START_COMING,  // it runs, but does not listen yet
    SFX_START_FAILED,  // it ended, or could not be run
    SFX_START_STOPPED, // waiting for it was given up
};

// Run `program serve` (NULL: `streamfx`, found in PATH or ~/.local/bin) unless something listens at the
// socket (NULL: the default one), and wait at most `wait_ms` until it does. The daemon outlives this process
// and holds none of its files; what it says goes to obs-daemon.log beside its socket. Two at once do no harm:
// its own lock lets one live. `text` tells what went wrong, one line. Blocks: for a worker thread. `stop`, if
// not NULL, ends the waiting.
enum sfx_start sfx_daemon_start(const char *program, const char *socket, unsigned wait_ms,
    const atomic_bool *stop, char *text, size_t size);
