// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a user chooses for a portrait: kept in OBS's settings of the source, and by the daemon in those of the
// session.

#pragma once

#include <obs-module.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon-control.h"

// Keys in OBS's settings.
#define SET_PORTRAIT "portrait"
#define SET_PHOTO "add_photo" // a file of which a portrait is to be made; empty again when it was
#define SET_DRIVER "driver"
#define SET_DRIVER_SOURCE "driver_source"
#define SET_BACKGROUND "background"
#define SET_COLOUR "background_colour"
#define SET_IMAGE "background_image"
#define SET_FRAMING "framing"
#define SET_FRAMING_ZOOM "framing_zoom"
#define SET_FRAMING_X "framing_x"
#define SET_FRAMING_Y "framing_y"
#define SET_MIRROR "mirror"
#define SET_HIDDEN "hidden"
#define SET_GAIN_HEAD "gain_head"
#define SET_GAIN_EXPRESSION "gain_expression"
#define SET_GAIN_GAZE "gain_gaze"
#define SET_REFINE "refine"
#define SET_MOUTH "mouth"

/// The driver that is an OBS source, which SET_DRIVER_SOURCE names.
#define DRIVER_OBS "obs"

enum choice {
    CHOICE_PORTRAIT = 1 << 0,
    CHOICE_DRIVER = 1 << 1,
    CHOICE_BACKGROUND = 1 << 2,
    CHOICE_MIRROR = 1 << 3,
    CHOICE_HIDDEN = 1 << 4,
    CHOICE_GAIN_HEAD = 1 << 5,
    CHOICE_GAIN_EXPRESSION = 1 << 6,
    CHOICE_GAIN_GAZE = 1 << 7,
    CHOICE_REFINE = 1 << 8,
    CHOICE_MOUTH = 1 << 9,
    CHOICE_FRAMING = 1 << 10,
    CHOICE_ALL = (1 << 11) - 1,
};

enum { ID_ROOM = 41, TEXT_ROOM = 4 * 1024 + 1, WORD_ROOM = 24, GAINS = 3 }; // a path has 1024 characters

struct choices {
    unsigned given;         ///< of enum choice: those that somebody made; the others hold defaults
    char portrait[ID_ROOM]; ///< identifier; empty: whichever there is
    char driver[TEXT_ROOM]; ///< the session's `source`
    Streamfx__V1__BackgroundKind background;
    uint32_t colour;       ///< 0xRRGGBB
    char image[TEXT_ROOM]; ///< a path
    struct sfx_framing framing;
    bool mirror;
    bool hidden;
    double gains[GAINS]; ///< by enum sfx_gain
    char refine[WORD_ROOM];
    char mouth[WORD_ROOM];
};

/// Set OBS's defaults.
void choices_default(obs_data_t *settings);

/// Read OBS's settings. `feed`: the driver that stands for DRIVER_OBS ("feed:NAME").
void choices_read(struct choices *choices, obs_data_t *settings, const char *feed);

/// Write those of OBS's settings that differ: as the user's what they chose, else as defaults, which OBS does
/// not keep. True if any did.
bool choices_write(const struct choices *choices, obs_data_t *settings, const char *feed);

/// Read a session of the daemon; everything in it counts as given.
void choices_of_session(struct choices *choices, const Streamfx__V1__Session *session);

/// In which of `among` two differ.
unsigned choices_compare(const struct choices *one, const struct choices *other, unsigned among);

/// Take `which` of them over.
void choices_take(struct choices *choices, const struct choices *from, unsigned which);

enum choice choice_of_gain(enum sfx_gain gain);

/// "#rrggbb" of 0xRRGGBB.
void choices_colour(uint32_t colour, char text[8]);
