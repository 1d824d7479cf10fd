// SPDX-License-Identifier: GPL-2.0-or-later
// Requests are made of the daemon here, and what comes of them is told.
#pragma once

#include <stdatomic.h>

#include "daemon-queue.h"
#include "grpc-call.h"
#include "streamfx/v1/device.pb-c.h"
#include "streamfx/v1/portrait.pb-c.h"
#include "streamfx/v1/session.pb-c.h"

#define SFX_PORTRAIT_SERVICE "/streamfx.v1.PortraitService/"
#define SFX_SESSION_SERVICE "/streamfx.v1.SessionService/"
#define SFX_DEVICE_SERVICE "/streamfx.v1.DeviceService/"
#define SFX_HEALTH_CHECK "/grpc.health.v1.Health/Check"
#define SFX_CHECKED_SERVICE "streamfx.v1.SessionService" // of this version of the API

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
    Streamfx__V1__Device *const *devices;
    const Streamfx__V1__Session *session;
    bool begun; // whether the session was begun by this request; else another program's, or begun before
    const uint8_t *jpeg;
    size_t jpeg_size;
};

// The daemon, and who is told. Of the thread that makes requests, but for `grpc`, which others cancel, and
// `stop`.
struct sfx_daemon {
    struct sfx_grpc *grpc;
    char *socket;        // NULL: the default one
    char *program;       // that is started; NULL: `streamfx`
    bool remote;         // of another machine: files are not handed over, nothing is started
    unsigned timeout_ms; // of a call
    atomic_bool stop;    // nothing is told any more
    void (*on_result)(void *param, const struct sfx_result *result);
    void *param;
    bool seen, present; // whether presence is known, and what was told last
};

// Do what is asked, and tell what came of it.
void sfx_perform(struct sfx_daemon *daemon, struct sfx_request *request);

// Look whether a daemon is there; only a change is told.
void sfx_look(struct sfx_daemon *daemon);
