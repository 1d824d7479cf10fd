// SPDX-License-Identifier: GPL-2.0-or-later
#include "reply.h"

#include <stdio.h>
#include <string.h>

static struct line *add(struct line *lines, size_t *count, const char *name, const char *value)
{
    struct line *line = &lines[*count < MOST_LINES ? (*count)++ : MOST_LINES - 1];
    free_bytes(&line->value);
    line->name = name;
    put_text(&line->value, value);
    return line;
}

static void begin(struct reply *reply)
{
    *reply = (struct reply){.http = 200, .piece = 16384};
    add(reply->head, &reply->heads, "content-type", "application/grpc");
}

static void put_message(struct bytes *body, const struct bytes *message)
{
    put_byte(body, 0);
    for (int shift = 24; shift >= 0; shift -= 8)
        put_byte(body, message->size >> shift);
    put_bytes(body, message->data, message->size);
}

void reply_with(struct reply *reply, const struct bytes *message)
{
    begin(reply);
    put_message(&reply->body, message);
    add(reply->tail, &reply->tails, "grpc-status", "0");
    add(reply->tail, &reply->tails, "grpc-message", "");
}

void reply_status(struct reply *reply, int status, const char *words)
{
    char number[12];
    begin(reply);
    snprintf(number, sizeof number, "%d", status);
    add(reply->tail, &reply->tails, "grpc-status", number);
    add(reply->tail, &reply->tails, "grpc-message", words);
}

static void change_message(struct chance *chance, struct reply *reply)
{
    static const uint8_t zeros[4096];
    struct bytes *body = &reply->body;
    if (body->size < 5)
        return;
    switch (below(chance, 6)) {
    case 0: // compressed, it says
        body->data[0] = (uint8_t)(1 + below(chance, 255));
        break;
    case 1: // of another length
        body->data[1 + below(chance, 4)] ^= (uint8_t)(1 << below(chance, 8));
        break;
    case 2: // several
        put_message(body, &(struct bytes){.data = NULL});
        break;
    case 3: // none
        body->size = 0;
        break;
    case 4:
        body->size = below(chance, body->size);
        break;
    default: // more than there is room for
        for (const size_t size = one_in(chance, 5) ? 1200000 : 60000; body->size < size;)
            put_bytes(body, zeros, sizeof zeros);
    }
}

static void change_status(struct chance *chance, struct reply *reply)
{
    static const char *const statuses[] = {"0", "1", "2", "5", "6", "6", "14", "16", "17", "-1", "", " 0",
        "0x0", "00", "99999999999999999999", "fine"};
    static const char *const words[] = {
        "%", "%f", "%zz", "%00", "%0A%0D", "%FF%FE", "%C3", "%C3%BC", "%25n%25n"};
    struct line *said = NULL;
    add(reply->tail, &reply->tails, "grpc-status",
        statuses[below(chance, sizeof statuses / sizeof *statuses)]);
    switch (below(chance, 3)) {
    case 0:
        said = add(reply->tail, &reply->tails, "grpc-message", "");
        put_strange_text(chance, &said->value);
        break;
    case 1:
        said = add(reply->tail, &reply->tails, "grpc-message", "");
        for (uint64_t times = 1 + below(chance, 300); times > 0; times--)
            put_text(&said->value, words[below(chance, sizeof words / sizeof *words)]);
        break;
    default:
        break;
    }
}

void reply_mutate(struct chance *chance, struct reply *reply)
{
    static const int https[] = {0, 100, 204, 301, 400, 401, 403, 404, 429, 500, 503, 999};
    static const char *const contents[] = {
        "", "application/grpc+json", "application/grp", "text/html", "APPLICATION/GRPC"};
    reply->strange = true;
    switch (below(chance, 8)) {
    case 0:
    case 1:
        change_message(chance, reply);
        break;
    case 2:
    case 3:
        change_status(chance, reply);
        break;
    case 4:
        reply->http = https[below(chance, sizeof https / sizeof *https)];
        break;
    case 5:
        add(reply->head, &reply->heads, "content-type",
            contents[below(chance, sizeof contents / sizeof *contents)]);
        reply->tails = one_in(chance, 3) ? 0 : reply->tails;
        break;
    case 6:
        reply->flood = one_in(chance, 2) ? 70 : below(chance, 70);
        reply->piece = 1 + below(chance, 100);
        break;
    default:
        reply->end = (enum reply_end)below(chance, REPLY_NOBODY + 1);
    }
}

void reply_free(struct reply *reply)
{
    for (size_t i = 0; i < MOST_LINES; i++) {
        free_bytes(&reply->head[i].value);
        free_bytes(&reply->tail[i].value);
    }
    free_bytes(&reply->body);
}
