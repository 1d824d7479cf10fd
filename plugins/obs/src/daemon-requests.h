// SPDX-License-Identifier: GPL-2.0-or-later
// What can be asked of the daemon.
#pragma once

#include "daemon-control.h"
#include "session-settings.h"

// Every request returns its ticket, under which its result will come, or 0 when the queue (64) is full,
// memory is out or an argument is NULL that must not be. A request for what is being waited for already
// changes nothing, and an update replaces the waiting one of the same fields: either shares its ticket, and
// one result comes for both.

uint64_t sfx_control_ask_presence(struct sfx_control *control);
// Start the daemon of this machine, if none runs; see daemon-start.h.
uint64_t sfx_control_start(struct sfx_control *control);
uint64_t sfx_control_list_portraits(struct sfx_control *control);
// Make a portrait of a photo, a file of at most 20 MB; it is named after it. Takes a few seconds.
uint64_t sfx_control_add_portrait(struct sfx_control *control, const char *path);
uint64_t sfx_control_get_thumbnail(struct sfx_control *control, const char *portrait);
uint64_t sfx_control_list_devices(struct sfx_control *control);
uint64_t sfx_control_get_session(struct sfx_control *control, const char *session);
// The named session, begun with these settings if there is none of that name; `session` NULL: the first
// session there is, begun (as "obs") if there is none. `settings` NULL: all defaults.
uint64_t sfx_control_ensure_session(
    struct sfx_control *control, const char *session, const Streamfx__V1__SessionSettings *settings);
uint64_t sfx_control_calibrate(struct sfx_control *control, const char *session);

// Change the fields (of enum sfx_field) of a session to these values: all of them, or none where the daemon
// refuses one. Files that settings name are handed over to a daemon of this machine.
uint64_t sfx_control_update(
    struct sfx_control *control, const char *session, const struct sfx_settings *values, unsigned fields);

// Show one of the session's portraits.
uint64_t sfx_control_select(struct sfx_control *control, const char *session, const char *portrait);
