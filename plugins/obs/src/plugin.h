// SPDX-License-Identifier: GPL-2.0-or-later

#pragma once

#include <util/base.h>

#define plugin_log(level, format, ...) blog(level, "[streamfx] " format, ##__VA_ARGS__)
