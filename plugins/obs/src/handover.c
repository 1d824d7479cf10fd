// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef _GNU_SOURCE
#define _GNU_SOURCE // MSG_CMSG_CLOEXEC
#endif

#include "handover.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ring.h"

static const char GREETING[] = "SFXRING ";
static const char SUFFIX[] = ".ring";
enum { PATIENCE_MS = 500, PACKET_ROOM = 64, MOST_DESCRIPTORS = 8 };

/// "a/b", allocated.
static char *joined(const char *folder, const char *name)
{
    const size_t room = strlen(folder) + strlen(name) + 2;
    char *path = malloc(room);
    if (path)
        snprintf(path, room, "%s/%s", folder, name);
    return path;
}

char *handover_folder(void)
{
    // A relative path is invalid and must be ignored, says the specification of these variables.
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    if (runtime && runtime[0] == '/')
        return joined(runtime, "streamfx");
    const char *cache = getenv("XDG_CACHE_HOME");
    if (cache && cache[0] == '/')
        return joined(cache, "streamfx/run");
    const char *home = getenv("HOME");
    return home && home[0] == '/' ? joined(home, ".cache/streamfx/run") : NULL;
}

void handover_sessions(const char *folder, handover_visitor *visit, void *data)
{
    DIR *entries = opendir(folder);
    if (!entries)
        return;
    for (struct dirent *entry = readdir(entries); entry; entry = readdir(entries)) {
        char *name = entry->d_name;
        const size_t length = strlen(name), suffix = sizeof(SUFFIX) - 1;
        if (length <= suffix || strcmp(name + length - suffix, SUFFIX) != 0)
            continue;
        name[length - suffix] = '\0';
        visit(data, name);
    }
    closedir(entries);
}

/// The session that comes first by name.
struct first {
    char name[256]; // NAME_MAX and the end
};

static void choose(void *data, const char *session)
{
    struct first *first = data;
    if (!first->name[0] || strcmp(session, first->name) < 0)
        snprintf(first->name, sizeof(first->name), "%s", session);
}

/// Wait for the socket; false when nothing came in time or `stop` became readable.
static bool comes(int socket, int stop)
{
    struct pollfd awaited[2] = {{.fd = socket, .events = POLLIN}, {.fd = stop, .events = POLLIN}};
    return poll(awaited, 2, PATIENCE_MS) > 0 && !(awaited[1].revents & POLLIN);
}

/// Take the first descriptor of a message and close every other: they are ours whether we asked or not.
static int descriptor_of(struct msghdr *message)
{
    int taken = -1;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int descriptor;
            memcpy(&descriptor, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
            if (taken < 0)
                taken = descriptor;
            else
                close(descriptor);
        }
    }
    return taken;
}

/// Judge the packet: a greeting with our version, in digits and nothing else, and a descriptor.
static enum handover_status judge(const char *packet, size_t length, struct handover *handover)
{
    const size_t greeting = sizeof(GREETING) - 1;
    if (strncmp(packet, GREETING, greeting) != 0)
        return HANDOVER_STRANGE;
    const size_t digits = strspn(packet + greeting, "0123456789");
    const unsigned long version = strtoul(packet + greeting, NULL, 10);
    if (!digits || greeting + digits != length || version > UINT32_MAX)
        return HANDOVER_STRANGE;
    handover->version = (uint32_t)version;
    if (version != RING_VERSION)
        return HANDOVER_OTHER_VERSION;
    return handover->descriptor >= 0 ? HANDOVER_GIVEN : HANDOVER_STRANGE;
}

static enum handover_status receive(int socket, int stop, struct handover *handover)
{
    if (!comes(socket, stop))
        return HANDOVER_STRANGE;
    char packet[PACKET_ROOM + 1] = {0};
    union {
        struct cmsghdr header; // for its alignment
        char room[CMSG_SPACE(MOST_DESCRIPTORS * sizeof(int))];
    } control;
    struct iovec data = {.iov_base = packet, .iov_len = PACKET_ROOM};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    const ssize_t length = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (length < 0)
        return HANDOVER_NOBODY;
    handover->descriptor = descriptor_of(&message);
    const bool cut = message.msg_flags & (MSG_TRUNC | MSG_CTRUNC);
    const enum handover_status status = cut ? HANDOVER_STRANGE : judge(packet, (size_t)length, handover);
    if (status != HANDOVER_GIVEN && handover->descriptor >= 0) {
        close(handover->descriptor);
        handover->descriptor = -1;
    }
    return status;
}

enum handover_status handover_receive(
    const char *folder, const char *session, int stop, struct handover *handover)
{
    *handover = (struct handover){.descriptor = -1, .connection = -1};
    struct first first = {{0}};
    if (!session[0]) {
        handover_sessions(folder, choose, &first);
        session = first.name;
    }
    if (!session[0] || strchr(session, '/'))
        return HANDOVER_NO_SESSION;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int length =
        snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s%s", folder, session, SUFFIX);
    if (length < 0 || (size_t)length >= sizeof(address.sun_path))
        return HANDOVER_PATH_TOO_LONG;
    // Non-blocking: a daemon that hangs with a full queue must not hold up the end of the source.
    const int socket_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (socket_ < 0)
        return HANDOVER_NOBODY;
    enum handover_status status;
    if (connect(socket_, (const struct sockaddr *)&address, sizeof(address)) == 0)
        status = receive(socket_, stop, handover);
    else
        status = errno == ENOENT ? HANDOVER_NO_SESSION : HANDOVER_NOBODY;
    if (status == HANDOVER_GIVEN)
        handover->connection = socket_;
    else
        close(socket_);
    return status;
}

void handover_close(struct handover *handover)
{
    if (handover->descriptor >= 0)
        close(handover->descriptor);
    if (handover->connection >= 0)
        close(handover->connection);
    *handover = (struct handover){.descriptor = -1, .connection = -1};
}
