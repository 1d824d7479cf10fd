// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef _GNU_SOURCE
#define _GNU_SOURCE // F_GET_SEALS
#endif

#include "ring.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "ring-layout.h"

enum {
    WORST_QUALITY = 3,
    ATTEMPTS = 4, // of reading a slot that was overwritten meanwhile, before waiting for the next picture
};

static uint64_t counter(const struct ring *ring, size_t offset)
{
    const _Atomic uint64_t *counter = (const _Atomic uint64_t *)(const void *)(ring->memory + offset);
    return atomic_load_explicit(counter, memory_order_acquire);
}

static enum ring_status check(const struct header *header, size_t size, struct ring_form *form)
{
    if (memcmp(header->magic, MAGIC, sizeof(MAGIC)) != 0)
        return RING_NO_RING;
    form->version = header->version;
    if (header->version != RING_VERSION)
        return RING_OTHER_VERSION;
    if (header->header != HEADER || header->format != FORMAT_RGB_ALPHA)
        return RING_CONTRADICTORY;
    if (header->slots < FEWEST_SLOTS || header->slots > MOST_SLOTS)
        return RING_CONTRADICTORY;
    if (header->width < 1 || header->width > LARGEST_SIDE || header->height < 1 ||
        header->height > LARGEST_SIDE)
        return RING_CONTRADICTORY;
    const uint64_t needed = PIXELS + (uint64_t)header->width * header->height * (CHANNELS + 1);
    if (header->row != CHANNELS * header->width || header->stride % ALIGNMENT != 0 || header->stride < needed)
        return RING_CONTRADICTORY;
    if (size < HEADER + (uint64_t)header->slots * header->stride)
        return RING_TOO_SMALL;
    form->slots = header->slots;
    form->stride = header->stride;
    form->width = header->width;
    form->height = header->height;
    form->rate = header->rate;
    return RING_OPEN;
}

enum ring_status ring_open(struct ring *ring, int descriptor)
{
    *ring = (struct ring){0};
    // Without this seal the writer could cut the memory off behind our back, after its size was looked at.
    const int seals = fcntl(descriptor, F_GET_SEALS);
    if (seals < 0 || !(seals & F_SEAL_SHRINK))
        return RING_UNSEALED;
    struct stat about;
    if (fstat(descriptor, &about) != 0)
        return RING_UNMAPPABLE;
    if (about.st_size < HEADER)
        return RING_TOO_SMALL;
    if ((uint64_t)about.st_size > SIZE_MAX)
        return RING_UNMAPPABLE;
    void *memory = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_SHARED, descriptor, 0);
    if (memory == MAP_FAILED)
        return RING_UNMAPPABLE;
    ring->memory = memory;
    ring->size = (size_t)about.st_size;
    ring->inode = about.st_ino;
    struct header header; // a copy: what was checked cannot change any more
    memcpy(&header, memory, sizeof(header));
    const enum ring_status status = check(&header, ring->size, &ring->form);
    if (status != RING_OPEN)
        ring_close(ring);
    return status;
}

void ring_close(struct ring *ring)
{
    if (ring->memory)
        munmap((void *)(uintptr_t)ring->memory, ring->size);
    ring->memory = NULL;
}

uint64_t ring_progress(const struct ring *ring)
{
    return counter(ring, BEAT) + counter(ring, WRITTEN);
}

/// RGB to BGRA, opaque.
static void expand(const uint8_t *restrict rgb, uint8_t *restrict bgra, size_t pixels)
{
    for (size_t i = 0; i < pixels; i++) {
        bgra[4 * i + 0] = rgb[3 * i + 2];
        bgra[4 * i + 1] = rgb[3 * i + 1];
        bgra[4 * i + 2] = rgb[3 * i + 0];
        bgra[4 * i + 3] = 255;
    }
}

/// RGB and alpha, premultiplied, to BGRA.
static void expand_with(
    const uint8_t *restrict rgb, const uint8_t *restrict alpha, uint8_t *restrict bgra, size_t pixels)
{
    for (size_t i = 0; i < pixels; i++) {
        bgra[4 * i + 0] = rgb[3 * i + 2];
        bgra[4 * i + 1] = rgb[3 * i + 1];
        bgra[4 * i + 2] = rgb[3 * i + 0];
        bgra[4 * i + 3] = alpha[i];
    }
}

/// Copy a slot's picture. False if it was being written before or meanwhile, or makes no sense.
static bool copy(const struct ring *ring, const struct slot *slot, uint8_t *bgra)
{
    // A seqlock: even before, and the same after, or what was copied may be of two pictures. The acquiring
    // load keeps the copy behind it, the fence keeps the copy before the second look.
    const uint64_t lock = atomic_load_explicit(&slot->lock, memory_order_acquire);
    if (lock & 1)
        return false;
    const size_t pixels = (size_t)ring->form.width * ring->form.height;
    const uint8_t *rgb = (const uint8_t *)slot + PIXELS;
    const uint32_t quality = slot->quality, alpha = slot->alpha;
    if (alpha)
        expand_with(rgb, rgb + CHANNELS * pixels, bgra, pixels);
    else
        expand(rgb, bgra, pixels);
    atomic_thread_fence(memory_order_acquire);
    const bool whole = atomic_load_explicit(&slot->lock, memory_order_relaxed) == lock;
    return whole && quality <= WORST_QUALITY && alpha <= 1;
}

bool ring_newest(struct ring *ring, uint8_t *bgra)
{
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        const uint64_t written = counter(ring, WRITTEN);
        if (written == ring->seen || written == 0)
            return false;
        const size_t index = (size_t)((written - 1) % ring->form.slots);
        const uint8_t *start = ring->memory + HEADER + index * ring->form.stride;
        if (copy(ring, (const struct slot *)(const void *)start, bgra)) {
            ring->seen = written;
            return true;
        }
    }
    return false;
}
