// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon-control.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS 5000

struct sfx_control {
    struct sfx_queue queue;
    struct sfx_daemon daemon;
    unsigned watch_ms;
    pthread_t worker;
};

static void *work(void *data)
{
    struct sfx_control *control = data;
    struct sfx_request request;
    while (sfx_queue_take(&control->queue, control->watch_ms, &request)) {
        if (request.ticket)
            sfx_perform(&control->daemon, &request);
        else
            sfx_look(&control->daemon);
        free(request.data);
    }
    return NULL;
}

static bool copy(char **to, const char *from)
{
    *to = from ? strdup(from) : NULL;
    return !from || *to;
}

static void discard(struct sfx_control *control)
{
    sfx_queue_free(&control->queue);
    sfx_grpc_destroy(control->daemon.grpc);
    free(control->daemon.socket);
    free(control->daemon.program);
    free(control);
}

// The worker hears no signals: they are the program's, and a broken connection's SIGPIPE is nobody's.
static bool begin(struct sfx_control *control)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool begun = pthread_create(&control->worker, NULL, work, control) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return begun;
}

struct sfx_control *sfx_control_create(const struct sfx_control_options *options)
{
    struct sfx_control *control = calloc(1, sizeof *control);
    if (!control)
        return NULL;
    struct sfx_daemon *daemon = &control->daemon;
    sfx_queue_init(&control->queue);
    control->watch_ms = options->watch_ms;
    daemon->grpc = sfx_grpc_create(&options->endpoint);
    daemon->remote = options->endpoint.address != NULL;
    daemon->timeout_ms = options->timeout_ms ? options->timeout_ms : TIMEOUT_MS;
    daemon->on_result = options->on_result;
    daemon->param = options->param;
    bool copied = copy(&daemon->socket, options->endpoint.socket) && copy(&daemon->program, options->program);
    if (daemon->grpc && copied && begin(control))
        return control;
    discard(control);
    return NULL;
}

void sfx_control_destroy(struct sfx_control *control)
{
    if (!control)
        return;
    atomic_store(&control->daemon.stop, true);
    sfx_queue_close(&control->queue);
    sfx_grpc_cancel(control->daemon.grpc);
    pthread_join(control->worker, NULL);
    discard(control);
}

struct sfx_queue *sfx_control_queue(struct sfx_control *control)
{
    return &control->queue;
}
