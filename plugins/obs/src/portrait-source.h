// SPDX-License-Identifier: GPL-2.0-or-later
//
// The source "StreamFX Portrait".

#pragma once

#include <obs-module.h>

struct steering;

/// Tell OBS of it.
void portrait_source_register(void);

/// Of a source of this kind, which the caller holds; NULL while it is being made.
struct steering *portrait_source_steering(obs_source_t *source);
