// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE // struct ucred
#include "daemon-files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define LONGEST 4096 // of a packet
#define PATIENCE_S 2
#define MOST_PHOTO_BYTES 20000000

#define TOKEN 22 // characters

static const char OFFER[] = "SFXFILE 1 offer ", TAKEN[] = "handed:";

static int is_own_user(int connection)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    return getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
}

int sfx_files_connect(const char *control_socket)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    const int length = snprintf(address.sun_path, sizeof address.sun_path, "%s.files", control_socket);
    if (length < 0 || (size_t)length >= sizeof address.sun_path)
        return -1;
    const int connection = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (connection < 0)
        return -1;
    setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(connection, (const struct sockaddr *)&address, sizeof address) == 0 &&
        is_own_user(connection))
        return connection;
    close(connection);
    return -1;
}

// A descriptor of an ordinary file. It is looked at before it is opened: opening alone can light a camera's
// lamp.
static int open_file(const char *path)
{
    struct stat facts;
    if (stat(path, &facts) != 0 || !S_ISREG(facts.st_mode))
        return -1;
    const int file = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (file >= 0 && fstat(file, &facts) == 0 && S_ISREG(facts.st_mode))
        return file;
    if (file >= 0)
        close(file);
    return -1;
}

static int send_file(int connection, const char *path, int file)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr aligned;
    } control;
    struct iovec parts[] = {
        {.iov_base = (char *)OFFER, .iov_len = sizeof OFFER - 1},
        {.iov_base = (char *)path, .iov_len = strlen(path)},
    };
    struct msghdr message = {.msg_iov = parts,
        .msg_iovlen = 2,
        .msg_control = control.bytes,
        .msg_controllen = sizeof control.bytes};
    memset(&control, 0, sizeof control);
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof file);
    memcpy(CMSG_DATA(rights), &file, sizeof file);
    return sendmsg(connection, &message, MSG_NOSIGNAL) >= 0;
}

// Whether an answer stands for the file that was offered: "handed:", a token, and the path as it was named.
static int is_taken(const char *answer, const char *path)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    const size_t start = sizeof TAKEN - 1;
    return strncmp(answer, TAKEN, start) == 0 && strspn(answer + start, letters) == TOKEN &&
           strcmp(answer + start + TOKEN, path) == 0;
}

char *sfx_files_offer(int connection, const char *path)
{
    char answer[LONGEST + 1];
    const int file = open_file(path);
    if (file < 0)
        return NULL;
    const int sent = send_file(connection, path, file);
    close(file);
    const ssize_t length = sent ? recv(connection, answer, LONGEST, 0) : -1;
    answer[length > 0 ? length : 0] = 0;
    return is_taken(answer, path) ? strdup(answer) : NULL;
}

// All of a file, to be freed, but not more than one byte beyond what a photo may have; NULL and errno when
// the system cannot go on. `expected`: its size, which may change, and which some files do not tell.
static uint8_t *read_all(int file, size_t expected, size_t *size)
{
    size_t room = (expected < MOST_PHOTO_BYTES ? expected : MOST_PHOTO_BYTES) + 1;
    uint8_t *bytes = malloc(room);
    *size = 0;
    while (bytes) {
        if (*size == room && room <= MOST_PHOTO_BYTES) {
            room = MOST_PHOTO_BYTES + 1;
            uint8_t *grown = realloc(bytes, room);
            if (!grown)
                break;
            bytes = grown;
        }
        const ssize_t got = read(file, bytes + *size, room - *size);
        if (got == 0)
            return bytes;
        if (got < 0 && errno != EINTR)
            break;
        *size += got > 0 ? (size_t)got : 0;
    }
    const int failed = errno;
    free(bytes);
    errno = failed;
    return NULL;
}

uint8_t *sfx_files_read_photo(const char *path, size_t *size, char *why, size_t room)
{
    struct stat facts;
    uint8_t *bytes = NULL;
    const char *failure = NULL;
    const int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    const bool found = file >= 0 && fstat(file, &facts) == 0;
    if (found && !S_ISREG(facts.st_mode))
        failure = "it is not an ordinary file";
    else if (!found || !(bytes = read_all(file, (size_t)facts.st_size, size)))
        failure = strerror(errno);
    if (failure)
        snprintf(why, room, "The photo cannot be read: %s", failure);
    if (file >= 0)
        close(file);
    if (bytes && *size > MOST_PHOTO_BYTES) {
        snprintf(why, room, "The photo has more than 20 MB: make it smaller");
        free(bytes);
        bytes = NULL;
    }
    return bytes;
}
