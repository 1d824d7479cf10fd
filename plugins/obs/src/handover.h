// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where the daemon hands its ring over: a UNIX socket `<runtime folder>/<session>.ring` for each session. Who
// connects receives one packet, "SFXRING 2", with the descriptor of the memory.

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

enum { HANDOVER_PATH_ROOM = sizeof(((struct sockaddr_un *)0)->sun_path) };

/// What came of asking for a ring.
enum handover_status {
    HANDOVER_GIVEN,
    HANDOVER_NO_SESSION,    ///< there is no such socket, or none at all
    HANDOVER_NOBODY,        ///< nobody listens at it: the daemon died
    HANDOVER_OTHER_VERSION, ///< `handover.version` says which
    HANDOVER_STRANGE,       ///< what came is no ring's handover, or nothing came in time
    HANDOVER_PATH_TOO_LONG,
};

/// A ring handed over.
struct handover {
    int descriptor; ///< the caller's to close; -1 if none was given
    int connection; ///< likewise; while it is open the daemon knows that somebody looks. Its end: the
                    ///< daemon's
    uint32_t version;
};

/// The folder of the daemon's sockets: $XDG_RUNTIME_DIR/streamfx, else `run` in its cache folder. The caller
/// frees it; NULL if the account has no home.
char *handover_folder(void);

/// Called for each session that has a socket, in no order.
typedef void handover_visitor(void *data, const char *session);

/// Name the sessions that have a socket in a folder.
void handover_sessions(const char *folder, handover_visitor *visit, void *data);

/// Connect and receive; half a second at most, less when `stop` becomes readable.
/// `session`: empty for the first by name that there is.
enum handover_status handover_receive(
    const char *folder, const char *session, int stop, struct handover *handover);

/// Close what was given, but for what the caller kept and set to -1.
void handover_close(struct handover *handover);
