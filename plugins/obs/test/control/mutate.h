// SPDX-License-Identifier: GPL-2.0-or-later
// Messages of protocol buffers, changed by chance: bytes, lengths, types, texts, numbers, order and number.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// xorshift64*: the same numbers everywhere.
struct chance {
    uint64_t state;
};

struct chance chance_of(uint64_t seed, uint64_t one, uint64_t other);
uint64_t below(struct chance *chance, uint64_t limit);
static inline bool one_in(struct chance *chance, uint64_t count)
{
    return below(chance, count) == 0;
}

struct bytes {
    uint8_t *data;
    size_t size, room;
};

void put_bytes(struct bytes *to, const void *data, size_t size);
void put_byte(struct bytes *to, uint64_t byte);
void put_text(struct bytes *to, const char *text);
void free_bytes(struct bytes *bytes);

// Text that a daemon must not say, or that is hard to bear: too long, cut, no UTF-8, not printable.
void put_strange_text(struct chance *chance, struct bytes *to);

// The message, changed in one to four ways. `other`: of another method, of which parts are taken. What comes
// is of at most about 1.1 MB.
void mutate(struct chance *chance, struct bytes *message, const struct bytes *other);
