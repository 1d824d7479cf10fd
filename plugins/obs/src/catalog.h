// SPDX-License-Identifier: GPL-2.0-or-later
//
// What there is to choose from: the daemon's portraits and cameras.

#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "session-settings.h"
#include "streamfx/v1/device.pb-c.h"
#include "streamfx/v1/portrait.pb-c.h"

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

struct catalog {
    struct portrait *portraits;
    size_t portrait_count;
    struct camera *cameras;
    size_t camera_count;
};

void catalog_free(struct catalog *catalog);

/// Take a list of portraits over; thumbnails that are here stay. True if it is another list.
bool catalog_set_portraits(struct catalog *catalog, Streamfx__V1__Portrait *const *portraits, size_t count);

/// Take the cameras that can drive over. True if it is another list.
bool catalog_set_cameras(struct catalog *catalog, Streamfx__V1__Device *const *devices, size_t count);

/// True if there is such a portrait.
bool catalog_set_thumbnail(struct catalog *catalog, const char *portrait, const uint8_t *jpeg, size_t size);

/// NULL if there is none.
const struct portrait *catalog_find(const struct catalog *catalog, const char *portrait);
