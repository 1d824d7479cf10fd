// SPDX-License-Identifier: GPL-2.0-or-later
// The daemon, steered from a thread of its own: every request (daemon-requests.h) returns at once, and its
// result comes by callback.
#pragma once

#include "daemon-results.h"

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

// Where requests wait.
struct sfx_queue *sfx_control_queue(struct sfx_control *control);
