// SPDX-License-Identifier: GPL-2.0-or-later

#include "triple-buffer.h"

#include <string.h>
#include <util/bmem.h>

void picture_resize(struct picture *picture, uint32_t width, uint32_t height)
{
    const size_t needed = (size_t)width * height * 4;
    if (picture->room < needed) {
        bfree(picture->bgra);
        picture->bgra = bmalloc(needed);
        picture->room = needed;
    }
    picture->width = width;
    picture->height = height;
}

void picture_wipe(struct picture *picture)
{
    if (picture->bgra)
        explicit_bzero(picture->bgra, picture->room);
    bfree(picture->bgra);
    *picture = (struct picture){0};
}

void triple_buffer_init(struct triple_buffer *buffer)
{
    *buffer = (struct triple_buffer){0};
    pthread_mutex_init(&buffer->mutex, NULL);
    buffer->back = &buffer->pictures[0];
    buffer->middle = &buffer->pictures[1];
    buffer->front = &buffer->pictures[2];
}

void triple_buffer_free(struct triple_buffer *buffer)
{
    for (int i = 0; i < 3; i++)
        bfree(buffer->pictures[i].bgra);
    pthread_mutex_destroy(&buffer->mutex);
}

static void swap(struct picture **one, struct picture **other)
{
    struct picture *kept = *one;
    *one = *other;
    *other = kept;
}

void triple_buffer_publish(struct triple_buffer *buffer)
{
    pthread_mutex_lock(&buffer->mutex);
    swap(&buffer->back, &buffer->middle);
    buffer->fresh = true;
    pthread_mutex_unlock(&buffer->mutex);
}

bool triple_buffer_try_publish(struct triple_buffer *buffer)
{
    if (pthread_mutex_trylock(&buffer->mutex) != 0)
        return false;
    swap(&buffer->back, &buffer->middle);
    buffer->fresh = true;
    pthread_mutex_unlock(&buffer->mutex);
    return true;
}

bool triple_buffer_take(struct triple_buffer *buffer)
{
    // OBS draws for everybody in one thread: it must not wait even for the moment in which the other thread,
    // holding the mutex, may have lost its processor. The picture is then taken for the next frame.
    if (pthread_mutex_trylock(&buffer->mutex) != 0)
        return false;
    const bool newer = buffer->fresh;
    if (newer)
        swap(&buffer->front, &buffer->middle);
    buffer->fresh = false;
    pthread_mutex_unlock(&buffer->mutex);
    return newer;
}

void triple_buffer_clear(struct triple_buffer *buffer)
{
    pthread_mutex_lock(&buffer->mutex); // for longer than elsewhere: only for writers that do not wait
    picture_wipe(buffer->middle);
    buffer->fresh = false;
    pthread_mutex_unlock(&buffer->mutex);
    picture_wipe(buffer->front);
}
