// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon-queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void sfx_queue_init(struct sfx_queue *queue)
{
    memset(queue, 0, sizeof *queue);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&queue->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&queue->lock, NULL);
}

void sfx_queue_free(struct sfx_queue *queue)
{
    for (size_t i = 0; i < queue->waiting; i++)
        free(queue->requests[i].data);
    pthread_cond_destroy(&queue->changed);
    pthread_mutex_destroy(&queue->lock);
}

uint64_t sfx_queue_add(struct sfx_queue *queue, struct sfx_request *request, bool replace)
{
    uint64_t ticket = 0;
    pthread_mutex_lock(&queue->lock);
    struct sfx_request *requests = queue->requests, *found = NULL;
    for (size_t i = 0; i < queue->waiting && *request->key && !found; i++)
        if (strcmp(requests[i].key, request->key) == 0)
            found = &requests[i];
    if (found)
        ticket = found->ticket;
    if (found && replace) {
        size_t after = queue->waiting - (size_t)(found - requests) - 1;
        free(found->data);
        memmove(found, found + 1, after * sizeof *found);
        queue->waiting--;
    }
    if ((!found || replace) && queue->waiting < SFX_QUEUE) {
        request->ticket = ticket = ticket ? ticket : ++queue->last_ticket;
        requests[queue->waiting++] = *request;
        request->data = NULL;
        pthread_cond_signal(&queue->changed);
    }
    pthread_mutex_unlock(&queue->lock);
    free(request->data);
    return ticket;
}

static void in_ms(unsigned ms, struct timespec *when)
{
    clock_gettime(CLOCK_MONOTONIC, when);
    when->tv_sec += ms / 1000;
    when->tv_nsec += (long)(ms % 1000) * 1000000;
    if (when->tv_nsec >= 1000000000)
        when->tv_sec++, when->tv_nsec -= 1000000000;
}

bool sfx_queue_take(struct sfx_queue *queue, unsigned most_ms, struct sfx_request *request)
{
    struct timespec end;
    in_ms(most_ms, &end);
    memset(request, 0, sizeof *request);
    pthread_mutex_lock(&queue->lock);
    int waited = 0;
    while (!queue->waiting && !queue->closed && waited != ETIMEDOUT)
        waited = most_ms ? pthread_cond_timedwait(&queue->changed, &queue->lock, &end)
                         : pthread_cond_wait(&queue->changed, &queue->lock);
    const bool open = !queue->closed;
    if (open && queue->waiting) {
        *request = queue->requests[0];
        memmove(queue->requests, queue->requests + 1, --queue->waiting * sizeof *request);
    }
    pthread_mutex_unlock(&queue->lock);
    return open;
}

void sfx_queue_close(struct sfx_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->closed = true;
    pthread_cond_signal(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
}
