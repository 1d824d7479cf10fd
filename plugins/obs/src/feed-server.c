// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef _GNU_SOURCE
#define _GNU_SOURCE // accept4, SO_PEERCRED
#endif

#include "feed-server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static const char PACKET[] = "SFXRING 2", SUFFIX[] = ".feed";
enum { BACKLOG = 8, PRIVATE_FOLDER = 0700, PRIVATE_SOCKET = 0600, OTHERS_WRITE = 022 };

/// Make the folders above a file, for this user alone; those that are there stay as they are.
static void make_folders(const char *file)
{
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    snprintf(path, sizeof(path), "%s", file);
    for (char *end = strchr(path + 1, '/'); end; end = strchr(end + 1, '/')) {
        *end = '\0';
        mkdir(path, PRIVATE_FOLDER); // what hinders it is found when the folder is looked at
        *end = '/';
    }
}

/// Whether only this user can put anything into it.
static bool is_ours(const char *folder)
{
    const int opened = open(folder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (opened < 0)
        return false;
    struct stat about;
    const bool ours =
        fstat(opened, &about) == 0 && about.st_uid == geteuid() && !(about.st_mode & OTHERS_WRITE);
    close(opened);
    return ours;
}

static bool write_address(struct sockaddr_un *address, const char *folder, const char *name)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (folder[0] != '/' || !name[0] || name[0] == '.' || strchr(name, '/'))
        return false;
    const int length =
        snprintf(address->sun_path, sizeof(address->sun_path), "%s/%s%s", folder, name, SUFFIX);
    return length > 0 && (size_t)length < sizeof(address->sun_path);
}

static int new_socket(void)
{
    return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/// Whether what is at the address is a socket at which nobody listens any more.
static bool is_stale(const struct sockaddr_un *address)
{
    struct stat about;
    if (lstat(address->sun_path, &about) != 0 || !S_ISSOCK(about.st_mode))
        return false;
    const int caller = new_socket();
    if (caller < 0)
        return false;
    const bool refused =
        connect(caller, (const struct sockaddr *)address, sizeof(*address)) != 0 && errno == ECONNREFUSED;
    close(caller);
    return refused;
}

static enum feed_server_status listen_at(struct feed_server *server)
{
    const struct sockaddr *address = (const struct sockaddr *)&server->address;
    // Before it has a name, so that there is no moment in which it can be connected to by others; umask,
    // which would do the same, is of the whole process.
    if (fchmod(server->listener, PRIVATE_SOCKET) != 0)
        return FEED_SERVER_REFUSED;
    if (bind(server->listener, address, sizeof(server->address)) != 0) {
        if (errno != EADDRINUSE)
            return FEED_SERVER_REFUSED;
        if (!is_stale(&server->address))
            return FEED_SERVER_TAKEN;
        unlink(server->address.sun_path);
        if (bind(server->listener, address, sizeof(server->address)) != 0)
            return errno == EADDRINUSE ? FEED_SERVER_TAKEN : FEED_SERVER_REFUSED;
    }
    struct stat about;
    if (lstat(server->address.sun_path, &about) != 0)
        return FEED_SERVER_REFUSED;
    server->device = about.st_dev;
    server->inode = about.st_ino;
    return listen(server->listener, BACKLOG) == 0 ? FEED_SERVER_LISTENING : FEED_SERVER_REFUSED;
}

enum feed_server_status feed_server_open(struct feed_server *server, const char *folder, const char *name)
{
    *server = (struct feed_server){.listener = -1};
    struct sockaddr_un address;
    if (!write_address(&address, folder, name))
        return FEED_SERVER_BAD_NAME;
    make_folders(address.sun_path);
    if (!is_ours(folder))
        return FEED_SERVER_BAD_FOLDER;
    server->address = address;
    server->listener = new_socket();
    if (server->listener < 0)
        return FEED_SERVER_REFUSED;
    const enum feed_server_status status = listen_at(server);
    if (status != FEED_SERVER_LISTENING)
        feed_server_close(server);
    return status;
}

/// Whether who connected is this user.
static bool is_known(int connection)
{
    struct ucred who = {0};
    socklen_t length = sizeof(who);
    return getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &who, &length) == 0 && who.uid == geteuid();
}

static bool hand_over(int connection, int ring)
{
    union {
        struct cmsghdr header; // for its alignment
        char room[CMSG_SPACE(sizeof(int))];
    } control = {.room = {0}};
    char packet[sizeof(PACKET)];
    memcpy(packet, PACKET, sizeof(packet));
    struct iovec data = {.iov_base = packet, .iov_len = sizeof(PACKET) - 1};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control.room)};
    struct cmsghdr *part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(part), &ring, sizeof(int));
    return sendmsg(connection, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)data.iov_len;
}

bool feed_server_serve(struct feed_server *server, int ring)
{
    for (int i = 0; i < BACKLOG; i++) { // and no more at once, however many come
        const int connection = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (connection < 0)
            return errno == EAGAIN || errno == ECONNABORTED || errno == EINTR;
        const bool room = server->reader_count < FEED_READERS;
        if (room && ring >= 0 && is_known(connection) && hand_over(connection, ring))
            server->readers[server->reader_count++] = connection;
        else
            close(connection);
    }
    return true;
}

size_t feed_server_readers(struct feed_server *server)
{
    for (size_t i = server->reader_count; i-- > 0;) {
        struct pollfd reader = {
            .fd = server->readers[i], .events = POLLIN}; // it has nothing to say but its end
        if (poll(&reader, 1, 0) == 0)
            continue;
        close(server->readers[i]);
        server->readers[i] = server->readers[--server->reader_count];
    }
    return server->reader_count;
}

void feed_server_hang_up(struct feed_server *server)
{
    while (server->reader_count > 0)
        close(server->readers[--server->reader_count]);
}

void feed_server_close(struct feed_server *server)
{
    feed_server_hang_up(server);
    if (server->listener < 0)
        return;
    struct stat about;
    if (server->inode && lstat(server->address.sun_path, &about) == 0 && about.st_dev == server->device &&
        about.st_ino == server->inode)
        unlink(server->address.sun_path);
    close(server->listener);
    server->listener = -1;
}
