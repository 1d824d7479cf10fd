// SPDX-License-Identifier: GPL-2.0-or-later
// The part of libcurl that grpc-call.c uses, which plays answers to it as libcurl would: line by line, piece
// by piece, and how it ended. Thousands a second, without sockets.
#include <curl/curl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "attack.h"

#undef curl_easy_setopt
#undef curl_easy_getinfo

typedef size_t taker(char *, size_t, size_t, void *);

struct played {
    taker *take_header, *take_body;
    void *header_data, *body_data;
    char path[256];
    const uint8_t *request;
    curl_off_t size;
    long http;
};

struct player {
    struct played *playing;
    CURLMsg said;
    bool over;
};

CURLcode curl_global_init(long flags)
{
    (void)flags;
    return CURLE_OK;
}

CURL *curl_easy_init(void)
{
    return calloc(1, sizeof(struct played));
}

void curl_easy_cleanup(CURL *easy)
{
    free(easy);
}

static void take_path(struct played *played, const char *url)
{
    const char *host = strstr(url, "://"), *path = host ? strchr(host + 3, '/') : NULL;
    snprintf(played->path, sizeof played->path, "%s", path ? path : "");
}

CURLcode curl_easy_setopt(CURL *easy, CURLoption option, ...)
{
    struct played *played = easy;
    va_list rest;
    va_start(rest, option);
    if (option == CURLOPT_URL)
        take_path(played, va_arg(rest, const char *));
    else if (option == CURLOPT_HEADERFUNCTION)
        played->take_header = va_arg(rest, taker *);
    else if (option == CURLOPT_WRITEFUNCTION)
        played->take_body = va_arg(rest, taker *);
    else if (option == CURLOPT_HEADERDATA)
        played->header_data = va_arg(rest, void *);
    else if (option == CURLOPT_WRITEDATA)
        played->body_data = va_arg(rest, void *);
    else if (option == CURLOPT_POSTFIELDS)
        played->request = va_arg(rest, const uint8_t *);
    else if (option == CURLOPT_POSTFIELDSIZE_LARGE)
        played->size = va_arg(rest, curl_off_t);
    va_end(rest);
    return CURLE_OK;
}

CURLcode curl_easy_getinfo(CURL *easy, CURLINFO info, ...)
{
    const struct played *played = easy;
    va_list rest;
    va_start(rest, info);
    if (info == CURLINFO_RESPONSE_CODE)
        *va_arg(rest, long *) = played->http;
    else if (info == CURLINFO_SIZE_UPLOAD_T)
        *va_arg(rest, curl_off_t *) = played->size;
    va_end(rest);
    return CURLE_OK;
}

const char *curl_easy_strerror(CURLcode code)
{
    return code == CURLE_OK ? "No error" : "It failed";
}

struct curl_slist *curl_slist_append(struct curl_slist *list, const char *text)
{
    struct curl_slist *added = calloc(1, sizeof *added), **end = &list;
    added->data = strdup(text);
    while (*end)
        end = &(*end)->next;
    *end = added;
    return list;
}

void curl_slist_free_all(struct curl_slist *list)
{
    while (list) {
        struct curl_slist *next = list->next;
        free(list->data);
        free(list);
        list = next;
    }
}

// --- the play

// Memory of exactly the line's size, as what reads beyond its end is to be seen.
static bool play_line(const struct played *played, const char *name, const void *value, size_t size)
{
    const size_t start = strlen(name), whole = start + size + 4;
    char *line = malloc(whole);
    memcpy(line, name, start);
    memcpy(line + start, ": ", 2);
    if (size)
        memcpy(line + start + 2, value, size);
    memcpy(line + start + 2 + size, "\r\n", 2);
    const bool taken = played->take_header(line, 1, whole, played->header_data) == whole;
    free(line);
    return taken;
}

static bool play_lines(const struct played *played, const struct line *lines, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!play_line(played, lines[i].name, lines[i].value.data, lines[i].value.size))
            return false;
    return true;
}

static bool play_body(const struct played *played, const struct reply *reply, size_t size)
{
    // At most a thousand pieces: a megabyte byte by byte would be played for long.
    const size_t least = size / 1000 + 1, piece = reply->piece > least ? reply->piece : least;
    for (size_t at = 0; at < size; at += piece) {
        const size_t length = size - at < piece ? size - at : piece;
        char *data = malloc(length);
        memcpy(data, reply->body.data + at, length);
        const bool taken = played->take_body(data, 1, length, played->body_data) == length;
        free(data);
        if (!taken)
            return false;
    }
    return true;
}

static CURLcode play(struct played *played, const struct reply *reply)
{
    static const char long_value[1000] = {0};
    if (reply->end == REPLY_NOBODY)
        return CURLE_COULDNT_CONNECT;
    if (reply->end == REPLY_NO_MEMORY)
        return CURLE_OUT_OF_MEMORY;
    played->http = reply->http;
    if (!play_lines(played, reply->head, reply->heads))
        return CURLE_WRITE_ERROR;
    for (size_t i = 0; i < reply->flood; i++)
        if (!play_line(played, "x-flood", long_value, sizeof long_value))
            return CURLE_WRITE_ERROR;
    const bool whole = reply->end == REPLY_WHOLE;
    if (!play_body(played, reply, whole ? reply->body.size : reply->body.size / 2))
        return CURLE_WRITE_ERROR;
    if (reply->end == REPLY_RESET)
        played->size = 0; // before the request was sent
    if (!whole)
        return reply->end == REPLY_SLOW    ? CURLE_OPERATION_TIMEDOUT
               : reply->end == REPLY_RESET ? CURLE_HTTP2_STREAM
                                           : CURLE_PARTIAL_FILE;
    return play_lines(played, reply->tail, reply->tails) ? CURLE_OK : CURLE_WRITE_ERROR;
}

CURLM *curl_multi_init(void)
{
    return calloc(1, sizeof(struct player));
}

CURLMcode curl_multi_cleanup(CURLM *multi)
{
    free(multi);
    return CURLM_OK;
}

CURLMcode curl_multi_add_handle(CURLM *multi, CURL *easy)
{
    struct player *player = multi;
    player->playing = easy;
    player->over = false;
    return CURLM_OK;
}

CURLMcode curl_multi_remove_handle(CURLM *multi, CURL *easy)
{
    (void)multi;
    (void)easy;
    return CURLM_OK;
}

CURLMcode curl_multi_perform(CURLM *multi, int *running)
{
    struct player *player = multi;
    struct reply reply;
    const struct played *asked = player->playing;
    reply_to(asked->path, asked->request, (size_t)asked->size, &reply);
    player->said = (CURLMsg){.msg = CURLMSG_DONE, .easy_handle = player->playing};
    player->said.data.result = play(player->playing, &reply);
    player->over = true;
    reply_free(&reply);
    *running = 0;
    return CURLM_OK;
}

CURLMcode curl_multi_poll(
    CURLM *multi, struct curl_waitfd *others, unsigned count, int timeout_ms, int *ready)
{
    (void)multi, (void)others, (void)count, (void)timeout_ms, (void)ready;
    return CURLM_OK;
}

CURLMcode curl_multi_wakeup(CURLM *multi)
{
    (void)multi;
    return CURLM_OK;
}

CURLMsg *curl_multi_info_read(CURLM *multi, int *waiting)
{
    struct player *player = multi;
    const bool over = player->over;
    *waiting = 0;
    player->over = false;
    return over ? &player->said : NULL;
}

// --- the attack's part of it

int listen_for_calls(const char *socket, pthread_t *thread)
{
    (void)socket, (void)thread;
    return -1;
}
