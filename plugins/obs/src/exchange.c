// SPDX-License-Identifier: GPL-2.0-or-later

#include "exchange.h"

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

void exchange_init(struct exchange *exchange)
{
    *exchange = (struct exchange){0};
    pthread_mutex_init(&exchange->mutex, NULL);
    exchange->back = &exchange->pictures[0];
    exchange->middle = &exchange->pictures[1];
    exchange->front = &exchange->pictures[2];
}

void exchange_free(struct exchange *exchange)
{
    for (int i = 0; i < 3; i++)
        bfree(exchange->pictures[i].bgra);
    pthread_mutex_destroy(&exchange->mutex);
}

static void swap(struct picture **one, struct picture **other)
{
    struct picture *kept = *one;
    *one = *other;
    *other = kept;
}

void exchange_give(struct exchange *exchange)
{
    pthread_mutex_lock(&exchange->mutex);
    swap(&exchange->back, &exchange->middle);
    exchange->fresh = true;
    pthread_mutex_unlock(&exchange->mutex);
}

bool exchange_offer(struct exchange *exchange)
{
    if (pthread_mutex_trylock(&exchange->mutex) != 0)
        return false;
    swap(&exchange->back, &exchange->middle);
    exchange->fresh = true;
    pthread_mutex_unlock(&exchange->mutex);
    return true;
}

bool exchange_take(struct exchange *exchange)
{
    // OBS draws for everybody in one thread: it must not wait even for the moment in which the other thread,
    // holding the mutex, may have lost its processor. The picture is then taken for the next frame.
    if (pthread_mutex_trylock(&exchange->mutex) != 0)
        return false;
    const bool newer = exchange->fresh;
    if (newer)
        swap(&exchange->front, &exchange->middle);
    exchange->fresh = false;
    pthread_mutex_unlock(&exchange->mutex);
    return newer;
}

void exchange_clear(struct exchange *exchange)
{
    pthread_mutex_lock(&exchange->mutex); // for longer than elsewhere: only for writers that do not wait
    picture_wipe(exchange->middle);
    exchange->fresh = false;
    pthread_mutex_unlock(&exchange->mutex);
    picture_wipe(exchange->front);
}
