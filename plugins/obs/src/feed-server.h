// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where a feed's ring is handed over: a UNIX socket `<folder>/<name>.feed`. Who connects, being the same
// user, receives one packet, "SFXRING 2", with the descriptor of the memory, opened for reading only; or
// nothing but the end of the connection, while there are no pictures. Never waits for anybody. Nothing of OBS
// is used here: it is tried by itself.

#pragma once

#include <stdbool.h>
#include <sys/types.h>
#include <sys/un.h>

/// What came of beginning to listen.
enum feed_server_status {
    FEED_SERVER_LISTENING,
    FEED_SERVER_BAD_NAME,   ///< of the feed: empty, or no name of a file; or too long, with the folder's
    FEED_SERVER_BAD_FOLDER, ///< cannot be made, is a link, another user's, or others may write into it
    FEED_SERVER_TAKEN,      ///< somebody listens there already
    FEED_SERVER_REFUSED,    ///< by the system
};

enum { FEED_READERS = 8 };

/// One thread at a time.
struct feed_server {
    int listener;              ///< readable when somebody connects; -1 while nobody is listened to
    int readers[FEED_READERS]; ///< who was handed the ring and stays connected: for as long as it reads
    size_t reader_count;
    struct sockaddr_un address;
    dev_t device; ///< with `inode`: of our socket's file; another at that path is not ours to remove
    ino_t inode;
};

/// Begin to listen; makes the folder, for this user alone, if it is not there. The socket of a process that
/// died is replaced. `listener` is -1 if this fails.
enum feed_server_status feed_server_open(struct feed_server *server, const char *folder, const char *name);

/// Hand a ring to everybody who waits; who receives it stays connected. `ring`: as `ring_writer_read_only`
/// gives it, the caller's; -1: there is none. False if nobody can connect any more.
bool feed_server_serve(struct feed_server *server, int ring);

/// How many are connected still.
size_t feed_server_readers(struct feed_server *server);

/// Part with all of them: the ring is no more.
void feed_server_hang_up(struct feed_server *server);

/// Listen no more. May be called twice.
void feed_server_close(struct feed_server *server);
