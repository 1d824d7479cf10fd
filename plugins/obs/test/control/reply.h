// SPDX-License-Identifier: GPL-2.0-or-later
// What a call is answered with: a gRPC response, before it is played to the plugin (played-curl.c) or sent to
// it (hostile-server.c).
#pragma once

#include "mutate.h"

#define MOST_LINES 6

// A header.
struct line {
    const char *name;
    struct bytes value;
};

enum reply_end {
    REPLY_WHOLE,
    REPLY_CUT,       // the connection ends within the body, or before the trailers
    REPLY_RESET,     // the stream does
    REPLY_SLOW,      // it does not end before the caller gives up
    REPLY_NO_MEMORY, // for it
    REPLY_NOBODY,    // listens
};

struct reply {
    int http; // its status
    struct line head[MOST_LINES], tail[MOST_LINES];
    size_t heads, tails;
    size_t flood; // headers of 1,000 bytes besides
    struct bytes body;
    size_t piece; // bytes of the body that come at a time
    enum reply_end end;
    bool strange; // anything of it is not as a daemon says it
};

// A daemon's answer: this message, or a status and its words.
void reply_with(struct reply *reply, const struct bytes *message);
void reply_status(struct reply *reply, int status, const char *words);

// Change what is around the message.
void reply_mutate(struct chance *chance, struct reply *reply);

void reply_free(struct reply *reply);

// Asked for each call by who plays the daemon. `path` and the request's bytes are NULL where they are not
// known.
void reply_to(const char *path, const uint8_t *request, size_t size, struct reply *reply);
