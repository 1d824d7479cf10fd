// SPDX-License-Identifier: GPL-2.0-or-later
//
// The window of a source's properties.

#pragma once

#include <obs-module.h>

struct session_sync;

// Keys in OBS's settings that choose the daemon; those of the portrait are in choices.h.
#define SET_SESSION "session"
#define SET_FOLDER "runtime_folder"
#define SET_PROGRAM "program"
#define SET_START "start_daemon"

/// The properties as things stand.
obs_properties_t *properties_of(obs_source_t *source, struct session_sync *sync);
