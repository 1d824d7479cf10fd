// SPDX-License-Identifier: GPL-2.0-or-later
// The daemon, steered from a thread of its own: every request returns at once, and its result comes by
// callback.
#pragma once

#include "grpc-call.h"
#include "streamfx/v1/device_service.pb-c.h"
#include "streamfx/v1/portrait_service.pb-c.h"
#include "streamfx/v1/session_service.pb-c.h"

// What a result is of.
enum sfx_kind {
    SFX_PRESENCE,      // code SFX_OK: a daemon serves; anything else: why none does
    SFX_STARTED,       // of sfx_control_start: code and message alone
    SFX_PORTRAITS,     // portraits
    SFX_PORTRAIT,      // subject: the portrait that was made of a photo; empty if none was
    SFX_THUMBNAIL,     // subject: the portrait; jpeg
    SFX_SESSIONS,      // sessions: the first 200
    SFX_SESSION,       // session: asked for, begun, changed, or with another portrait
    SFX_SESSION_ENDED, // subject: the session
    SFX_CALIBRATED,    // subject: the session
    SFX_DEVICES,       // devices
};

// What came of a request. Valid during the callback alone.
struct sfx_result {
    uint64_t ticket; // of the request; 0: a change of presence that was noticed between requests
    enum sfx_kind kind;
    enum sfx_code code;
    const char *message; // why it failed, one line; empty else
    const char *subject; // identifier of the portrait or session that was named; else empty
    // Only with SFX_OK, according to the kind; else NULL or 0. Of a session, `settings` with `output`,
    // `gains` and `background`, and `status` with `source` and `camera`, are never NULL; `status->latency`,
    // `settings->framing` and texts of settings that were not told may be. Identifiers are 1 to 40 of a-z,
    // 0-9 and "-" (that of a portrait that is shown or selected may be empty). All text is printable UTF-8,
    // and may be long; numbers are what came.
    size_t count;
    Streamfx__V1__Portrait *const *portraits;
    Streamfx__V1__Session *const *sessions;
    Streamfx__V1__Device *const *devices;
    const Streamfx__V1__Session *session;
    bool begun; // whether the session was begun by this request; else another program's, or begun before
    const uint8_t *jpeg;
    size_t jpeg_size;
};

struct sfx_control_options {
    struct sfx_endpoint endpoint;
    const char *program; // for sfx_control_start; NULL: `streamfx`, found in PATH or ~/.local/bin
    unsigned timeout_ms; // of a call; 0: 5000
    unsigned watch_ms;   // how often to look, when idle, whether the daemon is there; 0: never
    // Called on the worker thread, one result at a time, with no lock held: it may make requests, but must
    // not destroy the control. While it runs, nothing else of the control does.
    void (*on_result)(void *param, const struct sfx_result *result);
    void *param;
};

struct sfx_control;

// NULL when memory or threads are out, or the endpoint is none. Everything is copied; no daemon need run.
struct sfx_control *sfx_control_create(const struct sfx_control_options *options);

// Waits for the worker: a call under way is cancelled, what is queued is dropped. No callback comes
// afterwards.
void sfx_control_destroy(struct sfx_control *control);

// Every request returns its ticket, under which its result will come, or 0 when the queue (64) is full,
// memory is out or an argument is NULL that must not be. A request for what is being waited for already
// changes nothing, and a setting replaces the waiting one of the same name: either shares its ticket, and one
// result comes for both.

uint64_t sfx_control_ask_presence(struct sfx_control *control);
// Start the daemon of this machine, if none runs; see daemon-start.h.
uint64_t sfx_control_start(struct sfx_control *control);
uint64_t sfx_control_list_portraits(struct sfx_control *control);
// Make a portrait of a photo, a file of at most 20 MB; it is named after it. Takes a few seconds.
uint64_t sfx_control_add_portrait(struct sfx_control *control, const char *path);
uint64_t sfx_control_get_thumbnail(struct sfx_control *control, const char *portrait);
uint64_t sfx_control_list_devices(struct sfx_control *control);
uint64_t sfx_control_list_sessions(struct sfx_control *control);
uint64_t sfx_control_get_session(struct sfx_control *control, const char *session);
// The named session, begun with these settings if there is none of that name; `session` NULL: the first
// session there is, begun (as "obs") if there is none. `settings` NULL: all defaults.
uint64_t sfx_control_ensure_session(
    struct sfx_control *control, const char *session, const Streamfx__V1__SessionSettings *settings);
uint64_t sfx_control_end_session(struct sfx_control *control, const char *session);
uint64_t sfx_control_calibrate(struct sfx_control *control, const char *session);

// Change the settings that the paths name ("gains.head", "background"); named and unset, one returns to its
// default.
uint64_t sfx_control_update(struct sfx_control *control, const char *session,
    const Streamfx__V1__SessionSettings *settings, const char *const *paths, size_t count);

enum sfx_gain { SFX_GAIN_HEAD, SFX_GAIN_EXPRESSION, SFX_GAIN_GAZE };
enum sfx_flag {
    SFX_FLAG_MIRROR,
    SFX_FLAG_MIRROR_PREVIEW,
    SFX_FLAG_HIDDEN,
    SFX_FLAG_PAUSED,
    SFX_FLAG_ON_DEMAND
};
enum sfx_word { SFX_WORD_SOURCE, SFX_WORD_REFINE, SFX_WORD_MOUTH, SFX_WORD_DEVICE, SFX_WORD_BADGE };

/// How much of the photo is shown, and where, as the API has it.
struct sfx_framing {
    Streamfx__V1__FramingKind kind;
    double zoom, x, y;
};

uint64_t sfx_control_set_framing(
    struct sfx_control *control, const char *session, const struct sfx_framing *framing);
uint64_t sfx_control_set_gain(
    struct sfx_control *control, const char *session, enum sfx_gain gain, double value);
uint64_t sfx_control_set_flag(
    struct sfx_control *control, const char *session, enum sfx_flag flag, bool value);
uint64_t sfx_control_set_word(
    struct sfx_control *control, const char *session, enum sfx_word word, const char *value);
// `colour` as "#rrggbb" and `image`, a path: NULL where the kind needs none. Files that settings name are
// handed over to a daemon of this machine.
uint64_t sfx_control_set_background(struct sfx_control *control, const char *session,
    Streamfx__V1__BackgroundKind kind, const char *colour, const char *image);
// The portraits in the order of next and previous, at most 9, and the one that is shown; NULL: the first.
uint64_t sfx_control_set_portraits(struct sfx_control *control, const char *session,
    const char *const *portraits, size_t count, const char *selected);

// Of the session's portraits: by its identifier, its place from 1, or a step (1: the next, -1: the one
// before).
uint64_t sfx_control_select(struct sfx_control *control, const char *session, const char *portrait);
uint64_t sfx_control_select_place(struct sfx_control *control, const char *session, int place);
uint64_t sfx_control_select_step(struct sfx_control *control, const char *session, int step);
