// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon-answers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST_ID 40
#define MOST_PORTRAITS 9 // of a session
#define OVERHEAD 16      // bytes of an allocation besides what was asked for

void sfx_fail(struct sfx_answer *answer, enum sfx_code code, const char *why)
{
    sfx_answer_release(answer);
    answer->code = code;
    snprintf(answer->message, sizeof answer->message, "%s", why);
}

// Make every text in a message printable: the daemon's is, but what answers may be something else.
static void tidy(const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *descriptor = message->descriptor;
    const char *base = (const char *)message;
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        bool text = field->type == PROTOBUF_C_TYPE_STRING;
        if (!text && field->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        bool oneof = field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF;
        if (oneof && *(const uint32_t *)(const void *)(base + field->quantifier_offset) != field->id)
            continue;
        bool many = field->label == PROTOBUF_C_LABEL_REPEATED;
        void *const *one = (void *const *)(const void *)(base + field->offset);
        size_t count = many ? *(const size_t *)(const void *)(base + field->quantifier_offset) : 1;
        for (void *const *each = many ? *one : one; count > 0; count--, each++) {
            if (text && *each && *each != field->default_value && **(char *const *)each)
                sfx_make_printable(*each);
            else if (!text && *each)
                tidy(*each);
        }
    }
}

// A megabyte of nothing but empty messages would take a hundred of them unpacked.
static void *take_room(void *data, size_t size)
{
    size_t *room = data;
    if (size > *room || *room - size < OVERHEAD)
        return NULL;
    void *taken = malloc(size);
    if (taken)
        *room -= size + OVERHEAD;
    return taken;
}

static void give_back(void *data, void *taken)
{
    (void)data;
    free(taken);
}

void *sfx_unpack(struct sfx_answer *answer, const ProtobufCMessageDescriptor *descriptor, size_t *room)
{
    ProtobufCAllocator limited = {.alloc = take_room, .free = give_back, .allocator_data = room};
    if (answer->code != SFX_OK)
        return NULL;
    ProtobufCMessage *message = protobuf_c_message_unpack(descriptor, &limited, answer->size, answer->data);
    if (message)
        tidy(message);
    else
        sfx_fail(answer, SFX_INTERNAL, "The daemon's answer cannot be read: it may be of another version");
    return message;
}

void sfx_release(void *message)
{
    protobuf_c_message_free_unpacked(message, NULL);
}

// 1 to 40 of a-z, 0-9 and "-": whatever names files, keys or rich text may be made of it.
static bool is_id(const char *text)
{
    const size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return length > 0 && length <= LONGEST_ID && !text[length];
}

static bool is_id_or_none(const char *text)
{
    return !text || !*text || is_id(text);
}

bool sfx_is_session(const Streamfx__V1__Session *session)
{
    const Streamfx__V1__SessionSettings *settings = session ? session->settings : NULL;
    const Streamfx__V1__SessionStatus *status = session ? session->status : NULL;
    if (!settings || !settings->output || !settings->gains || !settings->background || !status ||
        !status->source || !status->camera || settings->n_portraits > MOST_PORTRAITS)
        return false;
    bool named =
        is_id(session->id) && is_id_or_none(settings->selected) && is_id_or_none(status->portrait_id);
    for (size_t i = 0; i < settings->n_portraits; i++)
        named = named && is_id(settings->portraits[i]);
    return named;
}

bool sfx_is_portrait(const Streamfx__V1__Portrait *portrait)
{
    return portrait && is_id(portrait->id);
}
