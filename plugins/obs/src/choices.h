// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a user chooses for a portrait: kept in OBS's settings of the source, and by the daemon in those of the
// session.

#pragma once

#include <obs-module.h>
#include <stdbool.h>
#include <stdint.h>

#include "session-settings.h"

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

/// Set OBS's defaults.
void choices_default(obs_data_t *settings);

/// Read OBS's settings. `feed`: the driver that stands for DRIVER_OBS ("feed:NAME").
void choices_read(struct sfx_settings *choices, obs_data_t *settings, const char *feed);

/// Write those of OBS's settings that differ: as the user's what they chose, else as defaults, which OBS does
/// not keep. True if any did.
bool choices_write(const struct sfx_settings *choices, obs_data_t *settings, const char *feed);

/// Read a session of the daemon; everything in it counts as given.
void choices_of_session(struct sfx_settings *choices, const Streamfx__V1__Session *session);

/// In which of `among` two differ.
unsigned choices_compare(const struct sfx_settings *one, const struct sfx_settings *other, unsigned among);

/// Take `which` of them over.
void choices_take(struct sfx_settings *choices, const struct sfx_settings *from, unsigned which);
