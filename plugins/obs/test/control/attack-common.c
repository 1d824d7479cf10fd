// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include "attack.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <uchar.h>
#include <unistd.h>

#include "health.pb-c.h"
#include "streamfx/v1/device_service.pb-c.h"
#include "streamfx/v1/portrait_service.pb-c.h"
#include "streamfx/v1/session_service.pb-c.h"

#define MOST_RECORDED 4
#define UNTOUCHED 4 // of a method's answers

static const struct {
    const char *service, *name;
    const ProtobufCMessageDescriptor *request;
} methods[METHODS] = {
    [CHECK] = {"grpc.health.v1.Health", "Check", &grpc__health__v1__health_check_request__descriptor},
    [LIST_PORTRAITS] = {"streamfx.v1.PortraitService", "ListPortraits",
        &streamfx__v1__list_portraits_request__descriptor},
    [CREATE_PORTRAIT] = {"streamfx.v1.PortraitService", "CreatePortrait",
        &streamfx__v1__create_portrait_request__descriptor},
    [GET_THUMBNAIL] = {"streamfx.v1.PortraitService", "GetPortraitThumbnail",
        &streamfx__v1__get_portrait_thumbnail_request__descriptor},
    [LIST_DEVICES] = {"streamfx.v1.DeviceService", "ListDevices",
        &streamfx__v1__list_devices_request__descriptor},
    [LIST_SESSIONS] = {"streamfx.v1.SessionService", "ListSessions",
        &streamfx__v1__list_sessions_request__descriptor},
    [GET_SESSION] = {"streamfx.v1.SessionService", "GetSession",
        &streamfx__v1__get_session_request__descriptor},
    [CREATE_SESSION] = {"streamfx.v1.SessionService", "CreateSession",
        &streamfx__v1__create_session_request__descriptor},
    [UPDATE_SESSION] = {"streamfx.v1.SessionService", "UpdateSession",
        &streamfx__v1__update_session_request__descriptor},
    [SELECT_PORTRAIT] = {"streamfx.v1.SessionService", "SelectPortrait",
        &streamfx__v1__select_portrait_request__descriptor},
    [CALIBRATE] = {"streamfx.v1.SessionService", "CalibrateSession",
        &streamfx__v1__calibrate_session_request__descriptor},
};

static struct bytes recorded[METHODS][MOST_RECORDED];
static size_t recorded_count[METHODS];
static uint64_t seed_;

// What is under way; of any thread.
static struct {
    atomic_int method; // METHODS: all
    atomic_uint_fast64_t number, calls;
    atomic_bool touched;
    atomic_uint_fast64_t changed[METHODS];
} now = {.method = METHODS};

const char *method_name(enum method method)
{
    return methods[method].name;
}

uint64_t changed_of(enum method method)
{
    return atomic_load(&now.changed[method]);
}

// --- judging

static void tell_case(void)
{
    const int method = atomic_load(&now.method);
    fprintf(stderr, "attack: seed %" PRIu64 ", %s, answer %" PRIu64 ", call %" PRIu64 "\n", seed_,
        method < METHODS ? methods[method].name : "all methods", atomic_load(&now.number),
        atomic_load(&now.calls));
}

void must(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "attack: not so: %s\n", what);
    tell_case();
    abort();
}

void examine_text(const char *text)
{
    mbstate_t state = {0};
    for (size_t left = strlen(text), length; left > 0; left -= length, text += length) {
        char32_t letter;
        length = mbrtoc32(&letter, text, left, &state);
        must(length > 0 && length <= left, "a text is UTF-8");
        must(letter >= 0x20 && letter != 0x7f && !(letter >= 0x80 && letter < 0xa0), "a text is printable");
    }
}

void examine(const ProtobufCMessage *message)
{
    const char *base = (const char *)message;
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        const bool many = field->label == PROTOBUF_C_LABEL_REPEATED;
        const bool text = field->type == PROTOBUF_C_TYPE_STRING,
                   inner = field->type == PROTOBUF_C_TYPE_MESSAGE;
        const char *quantifier = base + field->quantifier_offset, *place = base + field->offset;
        if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
            *(const uint32_t *)(const void *)quantifier != field->id)
            continue;
        if (!text && !inner)
            continue;
        const size_t count = many ? *(const size_t *)(const void *)quantifier : 1;
        void *const *each =
            many ? *(void *const *const *)(const void *)place : (void *const *)(const void *)place;
        for (size_t n = 0; n < count; n++) {
            must(!many || each[n], "a list has no holes");
            if (each[n] && text)
                examine_text(each[n]);
            else if (each[n])
                examine(each[n]);
        }
    }
}

bool is_identifier(const char *text)
{
    size_t length = 0;
    for (; text[length]; length++)
        if (!strchr("-0123456789abcdefghijklmnopqrstuvwxyz", text[length]))
            return false;
    return length >= 1 && length <= 40;
}

extern size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));
extern void __sanitizer_set_death_callback(void (*)(void)) __attribute__((weak));

size_t memory_held(void)
{
    return __sanitizer_get_current_allocated_bytes ? __sanitizer_get_current_allocated_bytes() : 0;
}

int lowest_free_descriptor(void)
{
    const int found = dup(0);
    close(found);
    return found;
}

// --- answering

static int method_at(const char *path)
{
    for (int method = 0; method < METHODS; method++) {
        const size_t length = strlen(methods[method].service);
        if (path[0] == '/' && strncmp(path + 1, methods[method].service, length) == 0 &&
            path[1 + length] == '/' && strcmp(path + 2 + length, methods[method].name) == 0)
            return method;
    }
    must(false, "a method is called that is none");
    return METHODS;
}

// Whatever was answered before, what is asked is well formed.
static void judge_request(int method, const uint8_t *request, size_t size)
{
    must(size >= 5 && request[0] == 0, "a request is a message");
    const size_t length =
        (size_t)request[1] << 24 | (size_t)request[2] << 16 | (size_t)request[3] << 8 | request[4];
    must(length == size - 5, "a request is one message");
    ProtobufCMessage *message = protobuf_c_message_unpack(methods[method].request, NULL, length, request + 5);
    must(message, "a request can be read");
    examine(message);
    protobuf_c_message_free_unpacked(message, NULL);
}

static const struct bytes *one_recorded(struct chance *chance, int method)
{
    return &recorded[method][below(chance, recorded_count[method])];
}

static void change(struct chance *chance, int method, struct reply *reply)
{
    struct bytes message = {0};
    const struct bytes *from = one_recorded(chance, method);
    put_bytes(&message, from->data, from->size);
    if (below(chance, 5))
        mutate(chance, &message, one_recorded(chance, (int)below(chance, METHODS)));
    reply_with(reply, &message);
    if (one_in(chance, 4))
        reply_mutate(chance, reply);
    free_bytes(&message);
    reply->strange = true;
    atomic_fetch_add(&now.changed[method], 1);
}

// What leads to the call of `aimed`, or is as usual.
static void answer_well(struct chance *chance, int method, int aimed, struct reply *reply)
{
    if (aimed == CREATE_SESSION && method == GET_SESSION)
        reply_status(reply, 5, "There is no session obs. List them.");
    else if (aimed == CREATE_SESSION && method == LIST_SESSIONS)
        reply_with(reply, &recorded[LIST_SESSIONS][0]); // none
    else
        reply_with(reply, one_recorded(chance, method));
}

void reply_to(const char *path, const uint8_t *request, size_t size, struct reply *reply)
{
    const int aimed = atomic_load(&now.method);
    const uint64_t number = atomic_load(&now.number), call = atomic_fetch_add(&now.calls, 1);
    const bool looks = aimed == CREATE_SESSION && call == 0;
    const int method = path ? method_at(path) : looks ? GET_SESSION : aimed;
    struct chance chance = chance_of(seed_, (uint64_t)aimed << 16 | (call & 0xffff), number);
    if (request)
        judge_request(method, request, size);
    if (aimed == METHODS) {
        chance = chance_of(seed_, METHODS, call);
        if (one_in(&chance, 2))
            change(&chance, method, reply);
        else
            answer_well(&chance, method, aimed, reply);
        return;
    }
    if (!path) // by a socket: it may come too late, or be the answer to another method
        atomic_store(&now.touched, true);
    if (method != aimed || number < UNTOUCHED) {
        answer_well(&chance, method, aimed, reply);
    } else {
        atomic_store(&now.touched, true);
        change(&chance, method, reply);
    }
}

void aim_at(enum method method, uint64_t number)
{
    atomic_store(&now.method, method);
    atomic_store(&now.number, number);
    atomic_store(&now.calls, 0);
    atomic_store(&now.touched, false);
}

bool is_untouched(void)
{
    return atomic_load(&now.calls) && !atomic_load(&now.touched);
}

void aim_at_all(void)
{
    aim_at(METHODS, 0);
}

// --- beginning and end

static void read_answers(const char *folder)
{
    for (int method = 0; method < METHODS; method++) {
        for (int number = 0; number < MOST_RECORDED; number++) {
            char path[4096], piece[4096];
            snprintf(path, sizeof path, "%s/%s.%s.%d", folder, methods[method].service, methods[method].name,
                number);
            FILE *file = fopen(path, "rb");
            if (!file)
                break;
            for (size_t got; (got = fread(piece, 1, sizeof piece, file)) > 0;)
                put_bytes(&recorded[method][number], piece, got);
            fclose(file);
            recorded_count[method]++;
        }
        must(recorded_count[method], "there are answers of every method (scripts/gen-obs-answers)");
    }
}

void attack_begin(const char *answers, uint64_t seed)
{
    seed_ = seed;
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(tell_case);
    read_answers(answers);
}

void attack_end(void)
{
    for (int method = 0; method < METHODS; method++)
        for (int number = 0; number < MOST_RECORDED; number++)
            free_bytes(&recorded[method][number]);
}

// --- the socket of files

struct playing {
    int calls, files; // listeners; -1: none
    pthread_t calls_thread, files_thread;
    char picture[4096], place[108];
};

// What is answered to an offer: mostly what a daemon says, changed.
static void answer_offer(struct chance *chance, const char *picture, struct bytes *answer)
{
    put_text(answer, "handed:0123456789_-ABCDEFabcd");
    put_text(answer, picture);
    switch (below(chance, 5)) {
    case 0:
        break;
    case 1:
        answer->size = below(chance, answer->size);
        break;
    case 2:
        answer->data[below(chance, answer->size)] ^= (uint8_t)(1 << below(chance, 8));
        break;
    case 3:
        put_strange_text(chance, answer);
        break;
    default:
        answer->size = one_in(chance, 2) ? 7 : 0;
        put_strange_text(chance, answer);
    }
    if (answer->size > 8000)
        answer->size = 8000;
}

static void *answer_offers(void *data)
{
    const struct playing *playing = data;
    struct chance chance = chance_of(seed_, METHODS + 1, 0);
    for (int offering; (offering = accept4(playing->files, NULL, NULL, SOCK_CLOEXEC)) >= 0; close(offering)) {
        // Not taken out of what comes: descriptors are closed with the packet that holds them.
        char packet[8];
        struct bytes answer = {0};
        while (recv(offering, packet, sizeof packet, 0) > 0) {
            answer.size = 0;
            answer_offer(&chance, playing->picture, &answer);
            if (one_in(&chance, 10) || send(offering, answer.data, answer.size, MSG_NOSIGNAL) < 0)
                break;
        }
        free_bytes(&answer);
    }
    return NULL;
}

static void make_file(const char *path)
{
    FILE *file = fopen(path, "wb");
    must(file, "a file can be made");
    fputs("no picture", file);
    fclose(file);
}

struct playing *play_at(const char *socket_path, const char *picture)
{
    struct playing *playing = calloc(1, sizeof *playing);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    must(playing, "there is memory");
    make_file(picture);
    snprintf(playing->picture, sizeof playing->picture, "%s", picture);
    must((size_t)snprintf(address.sun_path, sizeof address.sun_path, "%s.files", socket_path) <
             sizeof address.sun_path,
        "the folder's path is short");
    memcpy(playing->place, address.sun_path, sizeof playing->place);
    unlink(address.sun_path);
    playing->files = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    must(bind(playing->files, (const struct sockaddr *)&address, sizeof address) == 0 &&
             listen(playing->files, 8) == 0 &&
             pthread_create(&playing->files_thread, NULL, answer_offers, playing) == 0,
        "files can be offered");
    playing->calls = listen_for_calls(socket_path, &playing->calls_thread);
    return playing;
}

void play_no_more(struct playing *playing)
{
    shutdown(playing->files, SHUT_RDWR);
    pthread_join(playing->files_thread, NULL);
    close(playing->files);
    unlink(playing->place);
    unlink(playing->picture);
    if (playing->calls >= 0) {
        shutdown(playing->calls, SHUT_RDWR);
        pthread_join(playing->calls_thread, NULL);
        close(playing->calls);
    }
    free(playing);
}
