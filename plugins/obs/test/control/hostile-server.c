// SPDX-License-Identifier: GPL-2.0-or-later
// A server of HTTP/2 (RFC 9113) at a UNIX socket that answers each call with what `reply_to` gives it, and
// breaks the protocol besides: frames changed, cut, out of order, slow, without an end.
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "attack.h"

enum kind { DATA, HEADERS, PRIORITY, RESET, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION };
enum { END_STREAM = 1, END_HEADERS = 4, FRAME = 9, LARGEST = 16384, PREFACE = 24 };

static void put_frame(
    struct bytes *to, unsigned kind, unsigned flags, uint32_t stream, const void *data, size_t size)
{
    const uint8_t head[FRAME] = {(uint8_t)(size >> 16), (uint8_t)(size >> 8), (uint8_t)size, (uint8_t)kind,
        (uint8_t)flags, (uint8_t)(stream >> 24), (uint8_t)(stream >> 16), (uint8_t)(stream >> 8),
        (uint8_t)stream};
    put_bytes(to, head, FRAME);
    put_bytes(to, data, size);
}

// --- headers (RFC 7541, 6.2.2: literal, without indexing, without Huffman)

static void put_string(struct bytes *to, const void *data, size_t size)
{
    put_byte(to, size < 127 ? size : 127);
    for (size_t left = size - 127; size >= 127; left >>= 7) {
        put_byte(to, left < 128 ? left : (left & 127) | 128);
        if (left < 128)
            break;
    }
    put_bytes(to, data, size);
}

static void put_header(struct bytes *to, const char *name, const void *value, size_t size)
{
    put_byte(to, 0);
    put_string(to, name, strlen(name));
    put_string(to, value, size);
}

static void put_headers(struct bytes *to, const struct bytes *block, unsigned flags)
{
    size_t at = block->size < LARGEST ? block->size : LARGEST;
    put_frame(to, HEADERS, flags | (at == block->size ? END_HEADERS : 0), 1, block->data, at);
    for (size_t length; at < block->size; at += length) {
        length = block->size - at < LARGEST ? block->size - at : LARGEST;
        put_frame(
            to, CONTINUATION, at + length == block->size ? END_HEADERS : 0, 1, block->data + at, length);
    }
}

static void put_lines(struct bytes *to, const struct line *lines, size_t count)
{
    for (size_t i = 0; i < count; i++)
        put_header(to, lines[i].name, lines[i].value.data, lines[i].value.size);
}

static void put_reply(struct bytes *to, const struct reply *reply)
{
    static const char flood[1000] = "flood";
    struct bytes head = {0}, tail = {0};
    const char status[3] = {
        (char)('0' + reply->http / 100), (char)('0' + reply->http / 10 % 10), (char)('0' + reply->http % 10)};
    put_header(&head, ":status", status, sizeof status);
    put_lines(&head, reply->head, reply->heads);
    for (size_t i = 0; i < reply->flood; i++)
        put_header(&head, "x-flood", flood, sizeof flood / 2);
    put_lines(&tail, reply->tail, reply->tails);
    put_headers(to, &head, 0);
    const size_t least = reply->body.size / 1000 + 1, piece = reply->piece > least ? reply->piece : least;
    for (size_t at = 0; at < reply->body.size; at += piece)
        put_frame(to, DATA, 0, 1, reply->body.data + at,
            reply->body.size - at < piece ? reply->body.size - at : piece);
    if (tail.size)
        put_headers(to, &tail, END_STREAM);
    free_bytes(&head);
    free_bytes(&tail);
}

// --- what breaks the protocol

static void put_strange_frame(struct chance *chance, struct bytes *to)
{
    static const uint8_t zeros[64];
    static const uint32_t streams[] = {0, 1, 2, 3, 5, 0x7fffffff, 0xffffffff};
    uint8_t data[64];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)below(chance, 256);
    const uint32_t stream = streams[below(chance, sizeof streams / sizeof *streams)];
    put_frame(to, (unsigned)below(chance, 12), (unsigned)below(chance, 256), stream,
        one_in(chance, 2) ? data : zeros, below(chance, sizeof data));
}

static void break_frames(struct chance *chance, struct bytes *said)
{
    switch (below(chance, 6)) {
    case 0:
        for (uint64_t times = 1 + below(chance, 6); times > 0; times--)
            said->data[below(chance, said->size)] = (uint8_t)below(chance, 256);
        break;
    case 1:
        said->data[below(chance, said->size)] ^= (uint8_t)(1 << below(chance, 8));
        break;
    case 2:
        said->size = below(chance, said->size);
        break;
    case 3: { // a strange frame first
        struct bytes frames = {0};
        for (uint64_t times = 1 + below(chance, 20); times > 0; times--)
            put_strange_frame(chance, &frames);
        put_bytes(&frames, said->data, said->size);
        free_bytes(said);
        *said = frames;
        break;
    }
    case 4:
        put_strange_frame(chance, said);
        break;
    default: // anything
        for (size_t i = 0; i < said->size && i < 400; i++)
            said->data[i] = (uint8_t)below(chance, 256);
    }
}

static void put_end(struct chance *chance, struct bytes *said, enum reply_end end)
{
    const uint8_t code[4] = {0, 0, 0, (uint8_t)below(chance, 16)}, gone[8] = {0};
    if (end == REPLY_WHOLE || end == REPLY_NO_MEMORY)
        return;
    said->size = below(chance, said->size); // within a frame, mostly
    if (end == REPLY_RESET && one_in(chance, 2))
        put_frame(said, GOAWAY, 0, 0, gone, sizeof gone);
    else if (end == REPLY_RESET)
        said->size = 0, put_frame(said, SETTINGS, 0, 0, NULL, 0),
        put_frame(said, RESET, 0, 1, code, sizeof code);
}

// --- the connections

// Until the request has ended; false if the other side did.
static bool read_request(int connection)
{
    struct bytes got = {0};
    uint8_t piece[65536];
    size_t at = PREFACE;
    bool over = false;
    for (ssize_t length; !over && (length = recv(connection, piece, sizeof piece, 0)) > 0;) {
        put_bytes(&got, piece, (size_t)length);
        while (!over && at + FRAME <= got.size) {
            const uint8_t *head = got.data + at;
            at += FRAME + ((size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2]);
            over = head[3] == DATA && (head[4] & END_STREAM) && at <= got.size;
        }
    }
    free_bytes(&got);
    return over;
}

static void say(struct chance *chance, int connection, const struct bytes *said)
{
    const bool slow = one_in(chance, 30);
    const size_t piece = slow ? said->size / 20 + 1 : said->size;
    for (size_t at = 0; at < said->size; at += piece) {
        const size_t length = said->size - at < piece ? said->size - at : piece;
        if (send(connection, said->data + at, length, MSG_NOSIGNAL) < 0)
            return;
        if (slow)
            nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
    }
}

static void wait_for_end(int connection)
{
    char piece[4096];
    while (recv(connection, piece, sizeof piece, 0) > 0)
        ;
}

static void answer(struct chance *chance, int connection)
{
    struct reply reply;
    struct bytes said = {0};
    const bool heard = read_request(connection);
    reply_to(NULL, NULL, 0, &reply);
    if (heard && reply.end != REPLY_NOBODY) {
        put_frame(&said, SETTINGS, 0, 0, NULL, 0);
        put_reply(&said, &reply);
        put_end(chance, &said, reply.end);
        if (reply.strange && said.size && one_in(chance, 3))
            break_frames(chance, &said);
        say(chance, connection, &said);
        // Of what is strange one in eight stays open: each may cost all of the caller's patience.
        if (reply.end != REPLY_CUT && !(reply.strange && below(chance, 8)))
            wait_for_end(connection);
        else
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    free_bytes(&said);
    reply_free(&reply);
}

static void *serve(void *data)
{
    const int listener = (int)(intptr_t)data;
    const struct timeval patience = {.tv_sec = 2};
    struct chance chance = chance_of(1, METHODS + 2, 0);
    for (int connection; (connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0; close(connection)) {
        setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        answer(&chance, connection);
    }
    return NULL;
}

int listen_for_calls(const char *path, pthread_t *thread)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    must(strlen(path) < sizeof address.sun_path, "the folder's path is short");
    memcpy(address.sun_path, path, strlen(path) + 1);
    unlink(path);
    const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(bind(listener, (const struct sockaddr *)&address, sizeof address) == 0 &&
             listen(listener, 64) == 0 &&
             pthread_create(thread, NULL, serve, (void *)(intptr_t)listener) == 0,
        "calls can be listened for");
    return listener;
}
