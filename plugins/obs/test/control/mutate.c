// SPDX-License-Identifier: GPL-2.0-or-later
#include "mutate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_FIELDS 64
#define LARGE (1024 * 1024 + 64 * 1024) // more than the plugin takes

enum wire { VARINT, FIXED64, LENGTH, GROUP, END_GROUP, FIXED32 };

// --- chance and bytes

struct chance chance_of(uint64_t seed, uint64_t one, uint64_t other)
{
    struct chance chance = {seed * 0x9E3779B97F4A7C15ULL ^ one << 40 ^ other << 8 ^ 0x5851F42D4C957F2DULL};
    for (int i = 0; i < 8; i++)
        below(&chance, 2);
    return chance;
}

uint64_t below(struct chance *chance, uint64_t limit)
{
    chance->state ^= chance->state >> 12;
    chance->state ^= chance->state << 25;
    chance->state ^= chance->state >> 27;
    return ((chance->state * 0x2545F4914F6CDD1DULL) >> 11) % limit;
}

void put_bytes(struct bytes *to, const void *data, size_t size)
{
    if (to->size + size > to->room) {
        to->room = 2 * (to->size + size);
        to->data = realloc(to->data, to->room);
        if (!to->data)
            abort();
    }
    if (size)
        memcpy(to->data + to->size, data, size);
    to->size += size;
}

void put_byte(struct bytes *to, uint64_t byte)
{
    const uint8_t one = (uint8_t)byte;
    put_bytes(to, &one, 1);
}

void put_text(struct bytes *to, const char *text)
{
    put_bytes(to, text, strlen(text));
}

void free_bytes(struct bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct bytes){0};
}

static void put_varint(struct bytes *to, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        put_byte(to, value | 0x80);
    put_byte(to, value);
}

static void put_many(struct bytes *to, const void *data, size_t size, size_t times)
{
    for (; times > 0 && size && to->size + size <= LARGE; times--)
        put_bytes(to, data, size);
}

// --- what is strange

void put_strange_text(struct chance *chance, struct bytes *to)
{
    static const char *const texts[] = {"", " ", "/", "../../etc/passwd", "a/b", "%s%n%s%n", "%", "#zzzzzz",
        "#12345678901234567890", "feed:obs-", "handed:AAAAAAAAAAAAAAAAAAAAAA/etc/passwd",
        "<img src=\"file:///etc/passwd\">", "&lt;&amp;", "\"\\\"", "a\nb\r\n\tc", "\x1b[2J\x7f", "\xc2\x85",
        "\xff\xfe", "\xc0\xaf", "\xe2\x82", "\xf0\x9f\x99", "\xed\xa0\x80", "\xf4\x90\x80\x80",
        "\x80\x80\x80", "\xe2\x80\xae\xd7\x90", "\xef\xbb\xbf"};
    static const char *const letters[] = {"A", "\xc3\xbc", "\xe2\x82\xac", "\xf0\x9f\x99\x82", "\xff", "%"};
    static const size_t lengths[] = {23, 24, 40, 41, 60, 255, 256, 320, 511, 512, 1023, 1024, 1099, 1100,
        4095, 4096, 4097, 65536, 1000000};
    const char *letter = letters[below(chance, sizeof letters / sizeof *letters)];
    const size_t length =
        lengths[below(chance, sizeof lengths / sizeof *lengths - (one_in(chance, 24) ? 0 : 2))];
    const char *text = texts[below(chance, sizeof texts / sizeof *texts)];
    switch (below(chance, 4)) {
    case 0:
        put_text(to, text);
        break;
    case 1: // so that its cut falls within a letter, or beside one
        put_many(to, "x", 1, below(chance, 4));
        put_many(to, letter, strlen(letter), length / strlen(letter));
        break;
    case 2:
        put_text(to, text);
        put_byte(to, 0);
        put_text(to, letter);
        break;
    default:
        for (uint64_t left = 1 + below(chance, 60); left > 0; left--)
            put_byte(to, below(chance, 256));
    }
}

static uint64_t strange_number(struct chance *chance)
{
    static const uint64_t numbers[] = {0, 1, 2, 5, 6, 7, 127, 128, 255, 256, 0x7fff, 0xffff, 0x7fffffff,
        0x80000000, 0xffffffff, 0x100000000, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff,
        0xffffffff80000000};
    if (one_in(chance, 4))
        return below(chance, UINT64_MAX >> 11) << below(chance, 12);
    return numbers[below(chance, sizeof numbers / sizeof *numbers)];
}

static void put_strange_double(struct chance *chance, struct bytes *to)
{
    const double numbers[] = {NAN, -NAN, INFINITY, -INFINITY, 1e308, -1e308, 1e-310, -0.0, 1e9, -1.0,
        1.5000001, 3.0000001, 0.4999999, 4294967296.0};
    put_bytes(to, &numbers[below(chance, sizeof numbers / sizeof *numbers)], sizeof *numbers);
}

// --- a message as fields

// Where a field of a message is.
struct field {
    size_t start, payload, end; // of its tag, of what it holds (behind a length), of it all
    uint64_t number;
    enum wire wire;
};

static bool get_varint(const uint8_t *data, size_t size, size_t *at, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && *at < size; shift += 7) {
        const uint8_t byte = data[(*at)++];
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

// The fields of a message, at most MOST_FIELDS; 0 if it is none.
static size_t fields_of(const uint8_t *data, size_t size, struct field *fields)
{
    size_t count = 0;
    for (size_t at = 0; at < size && count < MOST_FIELDS; count++) {
        struct field *field = &fields[count];
        uint64_t tag, length = 0;
        field->start = at;
        if (!get_varint(data, size, &at, &tag) || tag < 8)
            return 0;
        field->number = tag >> 3;
        field->wire = (enum wire)(tag & 7);
        field->payload = at;
        if (field->wire == VARINT && !get_varint(data, size, &at, &length))
            return 0;
        if (field->wire == LENGTH) {
            if (!get_varint(data, size, &at, &length) || length > size - at)
                return 0;
            field->payload = at;
            at += length;
        } else if (field->wire == FIXED64 || field->wire == FIXED32) {
            at += field->wire == FIXED64 ? 8 : 4;
        } else if (field->wire != VARINT) {
            return 0;
        }
        if (at > size)
            return 0;
        field->end = at;
    }
    return count;
}

static void put_tag(struct bytes *to, uint64_t number, enum wire wire)
{
    put_varint(to, number << 3 | (uint64_t)wire);
}

// A field that holds something else than before, of the same type.
static void put_other(struct chance *chance, struct bytes *to, const uint8_t *data, const struct field *field)
{
    struct bytes text = {0};
    switch (field->wire) {
    case VARINT:
        put_varint(to, strange_number(chance));
        break;
    case FIXED64:
        put_strange_double(chance, to);
        break;
    case FIXED32:
        put_bytes(to, data + field->payload, 4);
        break;
    default:
        put_strange_text(chance, &text);
        put_varint(to, text.size);
        put_bytes(to, text.data, text.size);
        free_bytes(&text);
    }
}

// A message within itself, many times over: what parses it must not go as deep.
static void put_nested(
    struct chance *chance, struct bytes *to, uint64_t number, const uint8_t *data, size_t size)
{
    struct bytes inner = {0};
    put_bytes(&inner, data, size);
    for (uint64_t depth = 1 + below(chance, size < 4096 && one_in(chance, 10) ? 300 : 5); depth > 0;
         depth--) {
        struct bytes outer = {0};
        put_tag(&outer, number, LENGTH);
        put_varint(&outer, inner.size);
        put_bytes(&outer, inner.data, inner.size);
        free_bytes(&inner);
        inner = outer;
    }
    put_bytes(to, inner.data, inner.size);
    free_bytes(&inner);
}

static void change_fields(struct chance *chance, struct bytes *message, int depth);

// What stands in the place of a field.
static void put_changed(
    struct chance *chance, struct bytes *to, const uint8_t *data, const struct field *field, int depth)
{
    static const uint64_t numbers[] = {
        0, 1, 2, 3, 15, 16, 17, 18999, 19000, 536870911, 536870912, UINT64_MAX >> 3};
    const uint8_t *payload = data + field->payload;
    const size_t size = field->end - field->payload, whole = field->end - field->start;
    struct bytes inner = {0};
    if (field->wire == LENGTH && size && below(chance, 3)) { // into it, and its length fits again, mostly
        put_bytes(&inner, payload, size);
        change_fields(chance, &inner, depth + 1);
        put_tag(to, field->number, LENGTH);
        put_varint(to, one_in(chance, 12) ? inner.size + below(chance, 5) - 2 : inner.size);
        put_bytes(to, inner.data, inner.size);
        free_bytes(&inner);
        return;
    }
    switch (below(chance, 9)) {
    case 0: // gone
        break;
    case 1:
        put_many(to, data + field->start, whole, 2 + below(chance, one_in(chance, 60) ? 400000 : 20));
        break;
    case 2: // as another field
        put_tag(to, numbers[below(chance, sizeof numbers / sizeof *numbers)], field->wire);
        put_bytes(to, data + field->start + 1, whole - 1);
        break;
    case 3: // of another type
        put_tag(to, field->number, (enum wire)below(chance, 8));
        put_bytes(to, payload, size);
        break;
    case 4: // of a length that cannot be
        put_tag(to, field->number, LENGTH);
        put_varint(to, strange_number(chance));
        put_bytes(to, payload, size);
        break;
    case 5: // empty, again and again: small to send, large to keep
        put_tag(&inner, field->number, LENGTH);
        put_byte(&inner, 0);
        put_many(to, inner.data, inner.size, one_in(chance, 60) ? LARGE : below(chance, 500));
        free_bytes(&inner);
        break;
    case 6:
        put_nested(chance, to, field->number, payload, size);
        break;
    default:
        put_tag(to, field->number, field->wire);
        put_other(chance, to, data, field);
    }
}

static void replace(struct bytes *message, struct bytes *by)
{
    free_bytes(message);
    *message = *by;
}

static void change_fields(struct chance *chance, struct bytes *message, int depth)
{
    struct field fields[MOST_FIELDS];
    const size_t count = depth < 8 ? fields_of(message->data, message->size, fields) : 0;
    struct bytes changed = {0};
    if (!count) { // no message: a text, or bytes
        put_strange_text(chance, &changed);
        replace(message, &changed);
        return;
    }
    const size_t which = below(chance, count), swapped = one_in(chance, 6) ? below(chance, count) : which;
    for (size_t i = 0; i < count; i++) {
        const struct field *field = &fields[i == swapped ? which : i == which ? swapped : i];
        if (i == which)
            put_changed(chance, &changed, message->data, field, depth);
        else
            put_bytes(&changed, message->data + field->start, field->end - field->start);
    }
    replace(message, &changed);
}

// --- bytes

static void change_bytes(struct chance *chance, struct bytes *message, const struct bytes *other)
{
    struct bytes changed = {0};
    const size_t size = message->size, at = size ? below(chance, size) : 0;
    const size_t length = size ? below(chance, size - at) + 1 : 0;
    switch (size ? below(chance, 6) : 6) {
    case 0:
        for (uint64_t times = 1 + below(chance, 8); times > 0; times--)
            message->data[below(chance, size)] ^= (uint8_t)(1 << below(chance, 8));
        return;
    case 1:
        message->data[at] = (uint8_t[]){0, 0x7f, 0x80, 0xff}[below(chance, 4)];
        return;
    case 2: // cut off
        message->size = at;
        return;
    case 3: // a piece twice
        put_bytes(&changed, message->data, at + length);
        put_bytes(&changed, message->data + at, size - at);
        break;
    case 4: // a piece gone
        put_bytes(&changed, message->data, at);
        put_bytes(&changed, message->data + at + length, size - at - length);
        break;
    case 5: // goes on as another one
        put_bytes(&changed, message->data, at);
        put_bytes(&changed, other->data, other->size);
        break;
    default:
        put_bytes(&changed, other->data, other->size);
        for (uint64_t left = below(chance, 40); left > 0; left--)
            put_byte(&changed, below(chance, 256));
    }
    replace(message, &changed);
}

void mutate(struct chance *chance, struct bytes *message, const struct bytes *other)
{
    for (uint64_t times = 1 + (one_in(chance, 2) ? 0 : below(chance, 4)); times > 0; times--) {
        if (message->size && below(chance, 3))
            change_fields(chance, message, 0);
        else
            change_bytes(chance, message, other);
        if (message->size > LARGE)
            message->size = LARGE;
    }
}
