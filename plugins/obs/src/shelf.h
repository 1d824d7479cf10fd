// SPDX-License-Identifier: GPL-2.0-or-later
//
// What there is to choose from: the daemon's portraits and cameras.

#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "choices.h"

/// A portrait of the daemon.
struct portrait {
    char id[ID_ROOM];
    char *name;
    char *findings;  ///< what about its photo will show, a line each; empty: nothing
    char *thumbnail; ///< "data:image/jpeg;base64,..."; NULL: not here yet
};

/// A camera that can drive.
struct camera {
    char *spec;
    char *name;
};

struct shelf {
    struct portrait *portraits;
    size_t portrait_count;
    struct camera *cameras;
    size_t camera_count;
};

void shelf_free(struct shelf *shelf);

/// Take a list of portraits over; thumbnails that are here stay. True if it is another list.
bool shelf_set_portraits(struct shelf *shelf, Streamfx__V1__Portrait *const *portraits, size_t count);

/// Take the cameras that can drive over. True if it is another list.
bool shelf_set_cameras(struct shelf *shelf, Streamfx__V1__Device *const *devices, size_t count);

/// True if there is such a portrait.
bool shelf_set_thumbnail(struct shelf *shelf, const char *portrait, const uint8_t *jpeg, size_t size);

/// NULL if there is none.
const struct portrait *shelf_find(const struct shelf *shelf, const char *portrait);
