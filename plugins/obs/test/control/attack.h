// SPDX-License-Identifier: GPL-2.0-or-later
// What attacks of a hostile daemon have in common: the recorded answers, how they are changed, and how what
// the plugin makes of them is judged.
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <pthread.h>

#include "reply.h"

// What the plugin calls.
enum method {
    CHECK,
    LIST_PORTRAITS,
    CREATE_PORTRAIT,
    GET_THUMBNAIL,
    LIST_DEVICES,
    LIST_SESSIONS,
    GET_SESSION,
    CREATE_SESSION,
    UPDATE_SESSION,
    SELECT_PORTRAIT,
    CALIBRATE,
    METHODS,
};

const char *method_name(enum method method);

// End the program, and tell of which case, if it does not hold.
void must(bool holds, const char *what);

// Printable UTF-8, of one line.
void examine_text(const char *text);
// All texts of a message, and of those within it.
void examine(const ProtobufCMessage *message);
bool is_identifier(const char *text);

// Bytes allocated, as a sanitizer counts them; 0 without one.
size_t memory_held(void);
int lowest_free_descriptor(void);

// Read the recorded answers; of changes there are as many series as seeds.
void attack_begin(const char *answers, uint64_t seed);
void attack_end(void);

// From now on every answer of this method is changed, and those of others are such that it is called.
void aim_at(enum method method, uint64_t number);
// Whether it was answered since as a daemon does, for certain. The first ones of a method are.
bool is_untouched(void);
// From now on half of all answers are changed.
void aim_at_all(void);
// Answers of a method so far that were changed.
uint64_t changed_of(enum method method);

// The daemon's sockets: of calls (hostile-server.c; none where libcurl is played) and of files, which are
// answered by chance. Makes the picture, too.
struct playing;
struct playing *play_at(const char *socket, const char *picture);
void play_no_more(struct playing *playing);

// Of play_at: listen for calls at a socket in a thread of its own; -1 where calls need none.
int listen_for_calls(const char *socket, pthread_t *thread);
