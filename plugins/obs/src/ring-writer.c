// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef _GNU_SOURCE
#define _GNU_SOURCE // memfd_create
#endif

#include "ring-writer.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "ring-layout.h"
#include "ring.h"

enum { SLOTS = 4, QUALITY_FULL = 0 };

static _Atomic uint64_t *counter(const struct ring_writer *writer, size_t offset)
{
    return (_Atomic uint64_t *)(void *)(writer->memory + offset);
}

/// Only we write the counters: nothing is lost between reading and writing.
static void count_up(const struct ring_writer *writer, size_t offset)
{
    _Atomic uint64_t *number = counter(writer, offset);
    const uint64_t before = atomic_load_explicit(number, memory_order_relaxed);
    atomic_store_explicit(number, before + 1, memory_order_release);
}

static struct slot *slot_of(const struct ring_writer *writer, uint64_t number)
{
    return (struct slot *)(void *)(writer->memory + HEADER + (size_t)(number % SLOTS) * writer->stride);
}

/// Memory of a fixed size, with the header in it; -1 if there is none.
static int made(const struct header *header, size_t size)
{
    const int descriptor = memfd_create("streamfx-feed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (descriptor < 0)
        return -1;
    // A reader of memory that shrinks would die of SIGBUS.
    if (ftruncate(descriptor, (off_t)size) == 0 &&
        write(descriptor, header, sizeof(*header)) == (ssize_t)sizeof(*header) &&
        fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        return descriptor;
    close(descriptor);
    return -1;
}

bool ring_writer_open(struct ring_writer *writer, uint32_t width, uint32_t height, uint32_t rate)
{
    *writer = (struct ring_writer){.width = width, .height = height, .descriptor = -1};
    if (width < 1 || width > LARGEST_SIDE || height < 1 || height > LARGEST_SIDE)
        return false;
    const uint32_t needed = PIXELS + width * height * (CHANNELS + 1);
    writer->stride = (needed + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    writer->size = HEADER + (size_t)SLOTS * writer->stride;
    struct header header = {.version = RING_VERSION,
        .header = HEADER,
        .slots = SLOTS,
        .stride = writer->stride,
        .width = width,
        .height = height,
        .row = CHANNELS * width,
        .format = FORMAT_RGB_ALPHA,
        .rate = rate};
    memcpy(header.magic, MAGIC, sizeof(MAGIC));
    writer->descriptor = made(&header, writer->size);
    if (writer->descriptor < 0)
        return false;
    void *memory = mmap(NULL, writer->size, PROT_READ | PROT_WRITE, MAP_SHARED, writer->descriptor, 0);
    if (memory != MAP_FAILED)
        writer->memory = memory;
    else
        close(writer->descriptor);
    return writer->memory != NULL;
}

int ring_writer_read_only(const struct ring_writer *writer)
{
    if (!writer->memory)
        return -1;
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", writer->descriptor);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/// BGRX to RGB.
static void reduce(const uint8_t *restrict bgrx, uint8_t *restrict rgb, size_t pixels)
{
    for (size_t i = 0; i < pixels; i++) {
        rgb[3 * i + 0] = bgrx[4 * i + 2];
        rgb[3 * i + 1] = bgrx[4 * i + 1];
        rgb[3 * i + 2] = bgrx[4 * i + 0];
    }
}

static uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

void ring_writer_add(struct ring_writer *writer, const struct ring_pixels *pixels, uint64_t captured_ns)
{
    const uint64_t written = atomic_load_explicit(counter(writer, WRITTEN), memory_order_relaxed);
    struct slot *slot = slot_of(writer, written);
    // A seqlock: odd before the first byte changes, which the fence sees to; even after the last one did, and
    // only then counted.
    const uint64_t lock = atomic_load_explicit(&slot->lock, memory_order_relaxed) | 1;
    atomic_store_explicit(&slot->lock, lock, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    uint8_t *rgb = (uint8_t *)slot + PIXELS;
    const size_t row = (size_t)CHANNELS * writer->width;
    for (uint32_t y = 0; y < writer->height; y++)
        reduce(pixels->bgrx + y * pixels->pitch, rgb + y * row, writer->width);
    slot->seq = written;
    slot->captured_ns = captured_ns;
    slot->rendered_ns = now_ns();
    slot->quality = QUALITY_FULL;
    slot->alpha = 0;
    atomic_store_explicit(&slot->lock, lock + 1, memory_order_release);
    count_up(writer, WRITTEN);
    count_up(writer, BEAT);
}

bool ring_writer_has(const struct ring_writer *writer, const struct ring_pixels *pixels)
{
    const uint64_t written = atomic_load_explicit(counter(writer, WRITTEN), memory_order_relaxed);
    if (written == 0)
        return false;
    const uint8_t *rgb = (const uint8_t *)slot_of(writer, written - 1) + PIXELS;
    for (uint32_t y = 0; y < writer->height; y++) {
        const uint8_t *bgrx = pixels->bgrx + y * pixels->pitch;
        for (uint32_t x = 0; x < writer->width; x++, bgrx += 4, rgb += CHANNELS)
            if (rgb[0] != bgrx[2] || rgb[1] != bgrx[1] || rgb[2] != bgrx[0])
                return false;
    }
    return true;
}

void ring_writer_beat(struct ring_writer *writer)
{
    count_up(writer, BEAT);
}

void ring_writer_close(struct ring_writer *writer)
{
    if (!writer->memory)
        return;
    for (uint64_t i = 0; i < SLOTS; i++) { // and they stay locked: black is no picture either
        struct slot *slot = slot_of(writer, i);
        const uint64_t lock = atomic_load_explicit(&slot->lock, memory_order_relaxed) | 1;
        atomic_store_explicit(&slot->lock, lock, memory_order_relaxed);
        atomic_thread_fence(memory_order_release);
        explicit_bzero((uint8_t *)slot + sizeof(slot->lock), writer->stride - sizeof(slot->lock));
    }
    munmap(writer->memory, writer->size);
    close(writer->descriptor);
    *writer = (struct ring_writer){.descriptor = -1};
}
