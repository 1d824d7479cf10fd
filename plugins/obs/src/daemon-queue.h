// SPDX-License-Identifier: GPL-2.0-or-later
// Requests that wait for the thread that makes them.
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SFX_LONGEST_KEY 256
#define SFX_LONGEST_ID 40
#define SFX_QUEUE 64

// What a request asks for, and its result is of.
enum sfx_kind {
    SFX_PRESENCE,   // code SFX_OK: a daemon serves; anything else: why none does
    SFX_STARTED,    // of sfx_control_start: code and message alone
    SFX_PORTRAITS,  // portraits
    SFX_PORTRAIT,   // subject: the portrait that was made of a photo; empty if none was
    SFX_THUMBNAIL,  // subject: the portrait; jpeg
    SFX_SESSION,    // session: asked for, begun, changed, or with another portrait
    SFX_CALIBRATED, // subject: the session
    SFX_DEVICES,    // devices
};

// Its message is packed when it is made, so that it holds nothing of its caller's.
struct sfx_request {
    uint64_t ticket;
    const char *method; // NULL for SFX_STARTED
    enum sfx_kind kind;
    char key[SFX_LONGEST_KEY]; // requests of the same key stand for each other; empty: for none
    char subject[SFX_LONGEST_ID + 1];
    uint8_t *data;
    size_t size;
};

struct sfx_queue {
    // Guards all; held for moments.
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct sfx_request requests[SFX_QUEUE];
    size_t waiting;
    uint64_t last_ticket;
    bool closed;
};

void sfx_queue_init(struct sfx_queue *queue);
// Drop what waits. Nobody may use it any more.
void sfx_queue_free(struct sfx_queue *queue);

// Take a request over, and return its ticket; 0 when the queue is full. Where one of its key waits, both
// share a ticket: the newer goes to the end in place of the older with `replace`, else it is dropped.
uint64_t sfx_queue_add(struct sfx_queue *queue, struct sfx_request *request, bool replace);

// Wait for the next request, at most `most_ms` (0: for as long as it takes). What is given back when none
// came has ticket 0. False once the queue is closed. The request's data are the caller's, to be freed.
bool sfx_queue_take(struct sfx_queue *queue, unsigned most_ms, struct sfx_request *request);

// Wake who waits: `sfx_queue_take` gives out nothing any more.
void sfx_queue_close(struct sfx_queue *queue);
