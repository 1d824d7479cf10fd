// SPDX-License-Identifier: GPL-2.0-or-later
// Unary gRPC calls over libcurl: bytes in, bytes and a status out.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// gRPC's status codes.
enum sfx_code {
    SFX_OK = 0,
    SFX_CANCELLED = 1,
    SFX_UNKNOWN = 2,
    SFX_INVALID_ARGUMENT = 3,
    SFX_DEADLINE_EXCEEDED = 4,
    SFX_NOT_FOUND = 5,
    SFX_ALREADY_EXISTS = 6,
    SFX_PERMISSION_DENIED = 7,
    SFX_RESOURCE_EXHAUSTED = 8,
    SFX_FAILED_PRECONDITION = 9,
    SFX_ABORTED = 10,
    SFX_OUT_OF_RANGE = 11,
    SFX_UNIMPLEMENTED = 12,
    SFX_INTERNAL = 13,
    SFX_UNAVAILABLE = 14,
    SFX_DATA_LOSS = 15,
    SFX_UNAUTHENTICATED = 16,
};

// Where a daemon is. What is not needed is NULL.
struct sfx_endpoint {
    const char *socket;     // path of its UNIX socket; NULL with an address, else the default one
    const char *address;    // HOST:PORT instead, by TLS
    const char *token_file; // of the token it wants there, read anew for each call; mode 0600
    const char *authority;  // PEM of who signed its certificate; NULL: the system's authorities
};

#define SFX_LONGEST_MESSAGE 511

// What came of a call.
struct sfx_answer {
    enum sfx_code code;
    char message[SFX_LONGEST_MESSAGE + 1]; // one line, printable UTF-8; empty where all is well
    uint8_t *data;                         // the response; NULL if it is empty or the call failed
    size_t size;
};

// Calls one daemon, one call at a time.
struct sfx_grpc;

// NULL when memory is out or the endpoint has neither form. The strings are copied.
struct sfx_grpc *sfx_grpc_create(const struct sfx_endpoint *endpoint);

// No call may be under way.
void sfx_grpc_destroy(struct sfx_grpc *grpc);

// Call a method ("/package.Service/Method") and wait for its end: at most `timeout_ms`, or until it is
// cancelled. A response of more than `most` bytes is refused. Release the answer with sfx_answer_release.
void sfx_grpc_call(struct sfx_grpc *grpc, const char *method, const uint8_t *request, size_t size,
    unsigned timeout_ms, size_t most, struct sfx_answer *answer);

// From any thread: end the call under way, and every later one at once.
void sfx_grpc_cancel(struct sfx_grpc *grpc);

void sfx_answer_release(struct sfx_answer *answer);

// The path of the daemon's default socket. False if it does not fit, or no folder is known.
bool sfx_default_socket(char *path, size_t size);

// Make text of any bytes one line of printable UTF-8, in place.
void sfx_make_printable(char *text);

// How many bytes of UTF-8 text are whole characters, of the first `most`.
size_t sfx_text_within(const char *text, size_t most);

// Copy text, NULL for none, as far as whole characters of it fit.
void sfx_copy_text(char *to, size_t room, const char *from);
