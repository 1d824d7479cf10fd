// SPDX-License-Identifier: GPL-2.0-or-later

#pragma once

#include <util/base.h>

/// By which scenes name the source.
#define PORTRAIT_SOURCE_ID "streamfx_portrait_source"

#define plugin_log(level, format, ...) blog(level, "[streamfx-portrait] " format, ##__VA_ARGS__)
