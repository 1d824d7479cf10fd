// SPDX-License-Identifier: GPL-2.0-or-later
//
// A font that needs no font to be installed: the source's messages must be readable on every machine.

#pragma once

#include <stdint.h>

enum { FONT_WIDTH = 10, FONT_HEIGHT = 20 };

/// The rows of a glyph, FONT_HEIGHT of them; its leftmost pixel is bit FONT_WIDTH - 1. Latin-1; else a "?".
const uint16_t *font_glyph(uint32_t code);
