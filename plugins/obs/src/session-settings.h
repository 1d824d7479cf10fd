// SPDX-License-Identifier: GPL-2.0-or-later
//
// What can be set of a session: one struct, and a mask that says of which of its fields one speaks.

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "streamfx/v1/session.pb-c.h"

enum {
    ID_ROOM = 41,
    TEXT_ROOM = 4 * 1024 + 1, // a path has 1024 characters
    WORD_ROOM = 24,
    SESSION_PORTRAITS = 9,
};

enum sfx_gain { SFX_GAIN_HEAD, SFX_GAIN_EXPRESSION, SFX_GAIN_GAZE, GAINS };

/// In the order in which they are asked for: to be hidden comes first.
enum sfx_field {
    SFX_FIELD_HIDDEN = 1 << 0,
    SFX_FIELD_PORTRAIT = 1 << 1,
    SFX_FIELD_SOURCE = 1 << 2,
    SFX_FIELD_BACKGROUND = 1 << 3, ///< with its colour and image
    SFX_FIELD_FRAMING = 1 << 4,
    SFX_FIELD_MIRROR = 1 << 5,
    SFX_FIELD_GAIN_HEAD = 1 << 6,
    SFX_FIELD_GAIN_EXPRESSION = 1 << 7,
    SFX_FIELD_GAIN_GAZE = 1 << 8,
    SFX_FIELD_REFINE = 1 << 9,
    SFX_FIELD_MOUTH = 1 << 10,
    SFX_FIELD_CHOICES = (1 << 11) - 1, ///< all above: what a user chooses
    SFX_FIELD_PORTRAITS = 1 << 11,     ///< which portraits there are to choose from
};

/// How much of the photo is shown, and where, as the API has it.
struct sfx_framing {
    Streamfx__V1__FramingKind kind;
    double zoom, x, y;
};

struct sfx_settings {
    unsigned fields; ///< of enum sfx_field: those that somebody set; the others hold defaults
    bool hidden;
    char portrait[ID_ROOM]; ///< that is shown; empty: the first
    char source[TEXT_ROOM]; ///< what drives
    Streamfx__V1__BackgroundKind background;
    uint32_t colour;       ///< 0xRRGGBB
    char image[TEXT_ROOM]; ///< a path
    struct sfx_framing framing;
    bool mirror;
    double gains[GAINS]; ///< by enum sfx_gain
    char refine[WORD_ROOM];
    char mouth[WORD_ROOM];
    char portraits[SESSION_PORTRAITS][ID_ROOM]; ///< in the order of next and previous
    size_t portrait_count;
};

static inline enum sfx_field sfx_field_of_gain(enum sfx_gain gain)
{
    return (enum sfx_field)(SFX_FIELD_GAIN_HEAD << gain);
}
