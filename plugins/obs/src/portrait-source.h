// SPDX-License-Identifier: GPL-2.0-or-later
//
// The source "Animated Portrait".

#pragma once

/// Tell OBS of it.
void portrait_source_register(void);
