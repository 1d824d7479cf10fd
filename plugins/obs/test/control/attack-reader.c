// SPDX-License-Identifier: GPL-2.0-or-later
// A hostile daemon against the thread that reads its pictures: what it hands over at its sockets is no
// greeting, no ring, too many descriptors, or a ring that says what cannot be. OBS's drawing thread takes the
// pictures meanwhile, and its other threads choose sessions, show and hide the source, and end it. To be
// built with sanitizers.
//
//     attack-reader FOLDER COUNT SEED
//
// COUNT is how often something is handed over. Prints that, of how many a ring was fit to be read, and the
// pictures that came, messages among them.
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <obs.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "mutate.h"
#include "reader.h"
#include "ring-layout.h"
#include "ring.h"

enum { SESSIONS = 2, MOST_DESCRIPTORS = 10, OPEN = 4, STRIDE = 64, NUMBERS = 9 };
static const char *const sessions[SESSIONS] = {"a", "b"};

static void must(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "attack-reader: not so: %s\n", what);
    abort();
}

// --- what the reader uses of OBS, besides libobs's own texts

const char *obs_module_text(const char *key);
const char *obs_module_text(const char *key)
{
    return key;
}

static void hear_nothing(int level, const char *format, va_list rest, void *unused)
{
    (void)level, (void)format, (void)rest, (void)unused;
}

// --- the daemon

static atomic_bool stopping;
static atomic_uint_fast64_t handed, fit;
static int listeners[SESSIONS];

static uint32_t strange_number(struct chance *chance)
{
    static const uint32_t numbers[] = {0, 1, 2, 3, 16, 17, 63, 64, 4095, 4096, 8192, 8193, 65536, 0x7fffffff,
        0x80000000, 0xffffffc0, 0xffffffff};
    return numbers[below(chance, sizeof numbers / sizeof *numbers)];
}

// Memory as the daemon shares it, or nearly so.
static int new_ring(struct chance *chance)
{
    const uint32_t width = 1 + (uint32_t)below(chance, 64), height = 1 + (uint32_t)below(chance, 64),
                   slots = 3;
    const uint32_t stride = (PIXELS + width * height * 4 + STRIDE - 1) / STRIDE * STRIDE;
    uint32_t numbers[NUMBERS] = {
        RING_VERSION, HEADER, slots, stride, width, height, CHANNELS * width, 1, 30000};
    off_t size = HEADER + (off_t)slots * stride;
    const uint64_t written = below(chance, 4), kind = below(chance, 8);
    if (kind < 3)
        numbers[below(chance, NUMBERS)] = strange_number(chance);
    else if (kind == 3)
        size = (off_t)below(chance, (uint64_t)size);
    const int ring = memfd_create("attack", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    must(ring >= 0 && ftruncate(ring, size) == 0, "there is memory");
    if (size >= HEADER) {
        must(pwrite(ring, kind == 4 ? "SFXRINK" : "SFXRING", 8, 0) == 8, "it can be written");
        must(pwrite(ring, numbers, sizeof numbers, 8) == sizeof numbers, "it can be written");
        must(pwrite(ring, &written, sizeof written, WRITTEN) == sizeof written, "it can be written");
    }
    for (uint64_t slot = 0; slot < slots && size >= HEADER + (off_t)slots * stride; slot++) {
        const uint64_t lock = below(chance, 6);
        const uint32_t quality[2] = {(uint32_t)below(chance, 6), (uint32_t)below(chance, 3)};
        const off_t at = HEADER + (off_t)slot * stride;
        must(pwrite(ring, &lock, sizeof lock, at) == sizeof lock, "it can be written");
        must(pwrite(ring, quality, sizeof quality, at + 32) == sizeof quality, "it can be written");
    }
    if (kind != 5)
        fcntl(ring, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
    if (kind > 5)
        atomic_fetch_add(&fit, 1);
    return ring;
}

static int new_descriptor(struct chance *chance)
{
    switch (below(chance, 12)) {
    case 0:
        return open("/dev/null", O_RDONLY | O_CLOEXEC);
    case 1:
        return open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    case 2:
        return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    case 3:
        return open("/", O_PATH | O_CLOEXEC);
    default:
        return new_ring(chance);
    }
}

static void put_greeting(struct chance *chance, struct bytes *to)
{
    put_text(to, "SFXRING 2");
    if (below(chance, 3))
        return;
    switch (below(chance, 4)) {
    case 0:
        to->data[below(chance, to->size)] ^= (uint8_t)(1 << below(chance, 8));
        break;
    case 1:
        to->size = below(chance, to->size);
        break;
    case 2:
        to->size = below(chance, 2) ? 8 : 0;
        put_strange_text(chance, to);
        break;
    default:
        put_strange_text(chance, to);
    }
    if (to->size > 100000)
        to->size = 100000;
}

static void hand_over(struct chance *chance, int reader)
{
    union {
        struct cmsghdr header; // for its alignment
        char room[CMSG_SPACE(MOST_DESCRIPTORS * sizeof(int))];
    } control = {.room = {0}};
    int given[MOST_DESCRIPTORS];
    const size_t count = one_in(chance, 4) ? below(chance, MOST_DESCRIPTORS + 1) : 1;
    struct bytes packet = {0};
    put_greeting(chance, &packet);
    struct iovec data = {.iov_base = packet.data, .iov_len = packet.size};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
    for (size_t i = 0; i < count; i++)
        given[i] = new_descriptor(chance);
    if (count) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *part = CMSG_FIRSTHDR(&message);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(part), given, count * sizeof(int));
    }
    (void)sendmsg(reader, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    for (size_t i = 0; i < count; i++)
        close(given[i]);
    free_bytes(&packet);
}

static void *serve(void *data)
{
    struct chance chance = chance_of((uint64_t)(uintptr_t)data, 1, 0);
    int open_ones[OPEN] = {-1, -1, -1, -1};
    while (!atomic_load(&stopping)) {
        struct pollfd ready[SESSIONS] = {{listeners[0], POLLIN, 0}, {listeners[1], POLLIN, 0}};
        if (poll(ready, SESSIONS, 20) <= 0)
            continue;
        const int reader = accept4(ready[ready[0].revents ? 0 : 1].fd, NULL, NULL, SOCK_CLOEXEC);
        if (below(&chance, 20)) // else it is hung up on
            hand_over(&chance, reader);
        int *place = &open_ones[below(&chance, OPEN)];
        if (*place >= 0)
            close(*place);
        *place = reader;
        if (one_in(&chance, 3)) {
            (void)send(reader, "more", 4, MSG_NOSIGNAL | MSG_DONTWAIT);
            close(reader);
            *place = -1;
        }
        atomic_fetch_add(&handed, 1);
    }
    for (size_t i = 0; i < OPEN; i++)
        if (open_ones[i] >= 0)
            close(open_ones[i]);
    return NULL;
}

static int listen_at(const char *folder, const char *session)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/%s.ring", folder, session);
    unlink(address.sun_path);
    const int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    must(bind(listener, (const struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 8) == 0,
        "there is a socket");
    return listener;
}

// --- OBS's threads

static atomic_uint_fast64_t pictures;
static pthread_mutex_t alive = PTHREAD_MUTEX_INITIALIZER;
static struct reader *reader;

static void *draw(void *data)
{
    volatile uint8_t seen = 0;
    (void)data;
    while (!atomic_load(&stopping)) {
        pthread_mutex_lock(&alive);
        struct triple_buffer *buffer = reader_buffer(reader);
        if (triple_buffer_take(buffer)) {
            const struct picture *front = buffer->front;
            must(front->width >= 1 && front->width <= 8192 && front->height >= 1 && front->height <= 8192,
                "a picture has a size that can be drawn");
            for (size_t i = 0; i < (size_t)front->width * front->height * 4; i += 97)
                seen ^= front->bgra[i];
            atomic_fetch_add(&pictures, 1);
        }
        pthread_mutex_unlock(&alive);
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    return NULL;
}

static void wait_for_next(uint64_t before)
{
    for (int i = 0; i < 200 && atomic_load(&handed) == before; i++)
        nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
}

static void choose(struct chance *chance, const char *folder)
{
    static const char *const others[] = {"", "c", "../a", "a/b"};
    const uint64_t before = atomic_load(&handed);
    if (one_in(chance, 20))
        reader_aim(reader, folder, others[below(chance, sizeof others / sizeof *others)]);
    reader_aim(reader, folder, sessions[before % SESSIONS]);
    if (one_in(chance, 8))
        reader_watch(reader, one_in(chance, 2));
    if (below(chance, 10)) // else it is aimed elsewhere before it has an answer
        wait_for_next(before);
    if (one_in(chance, 200)) {
        pthread_mutex_lock(&alive);
        reader_stop(reader);
        reader = reader_start(folder, "a");
        pthread_mutex_unlock(&alive);
    }
}

static int lowest_free_descriptor(void)
{
    const int found = dup(0);
    close(found);
    return found;
}

int main(int count, char **given)
{
    if (count != 4)
        return 2;
    const char *folder = given[1];
    const uint64_t times = strtoull(given[2], NULL, 10), seed = strtoull(given[3], NULL, 10);
    struct chance chance = chance_of(seed, 2, 0);
    pthread_t serving, drawing;
    base_set_log_handler(hear_nothing, NULL);
    const int lowest = lowest_free_descriptor();
    for (int i = 0; i < SESSIONS; i++)
        listeners[i] = listen_at(folder, sessions[i]);
    reader = reader_start(folder, "a");
    reader_watch(reader, true);
    must(pthread_create(&serving, NULL, serve, (void *)(uintptr_t)seed) == 0, "there is a thread");
    must(pthread_create(&drawing, NULL, draw, NULL) == 0, "there is another");
    while (atomic_load(&handed) < times)
        choose(&chance, folder);
    atomic_store(&stopping, true);
    pthread_join(drawing, NULL);
    pthread_join(serving, NULL);
    reader_stop(reader);
    for (int i = 0; i < SESSIONS; i++)
        close(listeners[i]);
    must(lowest_free_descriptor() == lowest, "no descriptor is left open");
    printf("rings %" PRIu64 " handed over, fit %" PRIu64 ", pictures %" PRIu64 "\n", atomic_load(&handed),
        atomic_load(&fit), atomic_load(&pictures));
    return 0;
}
