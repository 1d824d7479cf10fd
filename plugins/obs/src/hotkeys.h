// SPDX-License-Identifier: GPL-2.0-or-later
//
// The keys of a source, which the user assigns in OBS's settings.

#pragma once

#include <obs-module.h>

struct session_sync;

/// OBS forgets them with the source.
void hotkeys_register(obs_source_t *source, struct session_sync *sync);
