// SPDX-License-Identifier: GPL-2.0-or-later
// What a daemon answered, read: whatever the bytes are, what is given out is what daemon-results.h promises.
#pragma once

#include "grpc-call.h"
#include "streamfx/v1/portrait.pb-c.h"
#include "streamfx/v1/session.pb-c.h"

#define SFX_MOST_LISTED 200         // sessions or devices of a list, and portraits of a page
#define SFX_ROOM (32 * 1024 * 1024) // bytes that all messages of one request may take, unpacked

// Make a failure of an answer.
void sfx_fail(struct sfx_answer *answer, enum sfx_code code, const char *why);

// The message of an answer, its texts printable; to be released. NULL if the call failed, or the answer then,
// since it is no such message or takes more memory than there is room left for.
void *sfx_unpack(struct sfx_answer *answer, const ProtobufCMessageDescriptor *descriptor, size_t *room);

// NULL is none.
void sfx_release(void *message);

// Whether a session holds what sfx_result promises of it.
bool sfx_is_session(const Streamfx__V1__Session *session);

// Likewise a portrait.
bool sfx_is_portrait(const Streamfx__V1__Portrait *portrait);
