// SPDX-License-Identifier: GPL-2.0-or-later
//
// Hostile rings and torn pictures. To be built with the address and undefined-behaviour sanitizers:
//
//     ring-test headers COUNT SEED    mutated headers and memories of wrong sizes, each opened, and read if
//     it opens ring-test tear SECONDS          a writer that overwrites without pause, and a reader that must
//     notice ring-test handover COUNT SEED   a daemon that answers nonsense

#ifndef _GNU_SOURCE
#define _GNU_SOURCE // memfd_create
#endif

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../src/handover.h"
#include "../src/ring.h"

enum { HEADER = 4096, WIDTH = 64, HEIGHT = 48, SLOTS = 3, PIXELS = 64, FIELDS = 128 };

static void fail(const char *what)
{
    fprintf(stderr, "ring-test: %s\n", what);
    exit(1);
}

/// xorshift64*: the same numbers everywhere.
static uint64_t state;

static uint64_t chance(uint64_t below)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (state * 0x2545F4914F6CDD1DULL) % below;
}

/// The header's numbers from byte 8 on.
struct numbers {
    uint32_t version, header, slots, stride, width, height, row, format, rate;
};

static struct numbers valid(uint32_t width, uint32_t height, uint32_t slots)
{
    const uint32_t stride = (PIXELS + width * height * 4 + 63) / 64 * 64;
    return (struct numbers){RING_VERSION, HEADER, slots, stride, width, height, 3 * width, 1, 30000};
}

static size_t size_of(const struct numbers *numbers)
{
    return HEADER + (size_t)numbers->slots * numbers->stride;
}

static void put(uint8_t *memory, const struct numbers *numbers, uint64_t written)
{
    memcpy(memory, "SFXRING", 8);
    memcpy(memory + 8, numbers, sizeof(*numbers));
    memcpy(memory + 72, &written, sizeof(written));
}

static int memory_of(const uint8_t *bytes, size_t length, size_t size, bool sealed)
{
    const int descriptor = memfd_create("ring-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (descriptor < 0 || ftruncate(descriptor, (off_t)size) != 0)
        fail("no memory");
    if (length > size)
        length = size;
    if (length && write(descriptor, bytes, length) != (ssize_t)length)
        fail("the memory cannot be written");
    if (sealed && fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0)
        fail("the memory cannot be sealed");
    return descriptor;
}

static const uint32_t ODD[] = {0, 1, 2, 3, 15, 16, 17, 63, 64, 65, 4095, 4096, 8191, 8192, 8193, 65535, 65536,
    0x7FFFFFFF, 0x80000000, 0xFFFFFFC0, 0xFFFFFFFF};

/// Change a few things, or everything.
static void mutate(uint8_t *header)
{
    for (uint64_t times = 1 + chance(4); times > 0; times--) {
        const size_t place = chance(3) ? 4 * chance(sizeof(struct numbers) / 4 + 2) : 4 * chance(FIELDS / 4);
        uint32_t number = ODD[chance(sizeof(ODD) / sizeof(*ODD))];
        switch (chance(4)) {
        case 0:
            number = (uint32_t)chance(UINT32_MAX);
            break;
        case 1:
            memcpy(&number, header + place, sizeof(number));
            number ^= 1u << chance(32);
            break;
        case 2:
            memcpy(&number, header + place, sizeof(number));
            number += (uint32_t)chance(3) - 1;
            break;
        default:
            break;
        }
        memcpy(header + place, &number, sizeof(number));
    }
}

/// A picture of exactly the size that the ring tells: the sanitizer sees each byte too many.
static bool read_one(struct ring *ring)
{
    uint8_t *bgra = malloc((size_t)ring->form.width * ring->form.height * 4);
    const bool came = ring_newest(ring, bgra);
    free(bgra);
    return came;
}

/// Counts of what came of the headers, by `enum ring_status`.
static uint64_t outcomes[RING_UNMAPPABLE + 1];

static void try_header(void)
{
    uint8_t header[HEADER] = {0};
    const struct numbers numbers =
        valid(1 + (uint32_t)chance(200), 1 + (uint32_t)chance(200), 2 + (uint32_t)chance(15));
    put(header, &numbers, chance(5));
    size_t size = size_of(&numbers);
    bool sealed = true;
    const uint64_t kind = chance(10);
    if (kind < 6)
        mutate(header);
    else if (kind == 6)
        size = chance(size + 8192); // another size than told
    else if (kind == 7)
        size -= 1 + chance(64); // a few bytes too few
    else if (kind == 8)
        sealed = false;
    if (chance(2))
        for (int i = 0; i < 64; i++)
            header[FIELDS + i] = (uint8_t)chance(256); // not fields: nobody may care
    const int descriptor = memory_of(header, sizeof(header), size, sealed);
    struct ring ring;
    const enum ring_status status = ring_open(&ring, descriptor);
    close(descriptor);
    outcomes[status]++;
    if (status != RING_OPEN) {
        if (ring.memory)
            fail("a refused ring is mapped");
        return;
    }
    if (!sealed || HEADER + (uint64_t)ring.form.slots * ring.form.stride > size)
        fail("a ring was accepted that is unsealed or too small");
    (void)ring_progress(&ring);
    (void)read_one(&ring);
    ring_close(&ring);
    ring_close(&ring);
}

static void expect(int descriptor, enum ring_status status, const char *what)
{
    struct ring ring;
    if (ring_open(&ring, descriptor) != status)
        fail(what);
    ring_close(&ring);
}

/// What is no memory of ours at all.
static void try_other_descriptors(void)
{
    int ends[2];
    if (pipe(ends) != 0)
        fail("no pipe");
    expect(ends[0], RING_UNSEALED, "a pipe was not refused");
    close(ends[0]);
    close(ends[1]);
    expect(-1, RING_UNSEALED, "no descriptor was not refused");
    const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    expect(file, RING_UNSEALED, "a file was not refused");
    close(file);
}

/// The thirteen fields that can be wrong, each by itself.
static void try_each_field(void)
{
    for (size_t field = 0; field < sizeof(struct numbers) / 4; field++) {
        for (size_t odd = 0; odd < sizeof(ODD) / sizeof(*ODD); odd++) {
            struct numbers numbers = valid(WIDTH, HEIGHT, SLOTS);
            uint32_t *changed = (uint32_t *)(void *)&numbers + field;
            const bool same = *changed == ODD[odd];
            const size_t size = size_of(&numbers);
            *changed = ODD[odd];
            uint8_t header[HEADER] = {0};
            put(header, &numbers, 0);
            const int descriptor = memory_of(header, sizeof(header), size, true);
            struct ring ring;
            const enum ring_status status = ring_open(&ring, descriptor);
            const bool harmless = field == 8 || same || (field == 2 && numbers.slots == 2);
            const bool smaller =
                (field == 4 || field == 5) && status == RING_OPEN; // height: rows left unused
            if ((status == RING_OPEN) != harmless && !(smaller && field == 5 && numbers.height < HEIGHT))
                fail("a field alone was judged wrongly");
            ring_close(&ring);
            close(descriptor);
        }
    }
}

static int headers(uint64_t count, uint64_t seed)
{
    state = seed * 2 + 1;
    try_other_descriptors();
    try_each_field();
    for (uint64_t i = 0; i < count; i++)
        try_header();
    printf("headers %" PRIu64, count);
    for (int status = 0; status <= RING_UNMAPPABLE; status++)
        printf(" %" PRIu64, outcomes[status]);
    printf("\n");
    return 0;
}

/// Of the writer that overwrites: what it writes into, and when it shall end.
struct writer {
    uint8_t *memory;
    atomic_bool stopping;
    uint64_t written;
};

/// Pictures whose every byte is told by their number.
static uint8_t tone(uint64_t number, size_t plane)
{
    return (uint8_t)(number * 37 + plane * 101);
}

static void *overwrite(void *data)
{
    struct writer *writer = data;
    const struct numbers numbers = valid(WIDTH, HEIGHT, SLOTS);
    while (!atomic_load(&writer->stopping)) {
        uint8_t *slot = writer->memory + HEADER + writer->written % SLOTS * numbers.stride;
        _Atomic uint64_t *lock = (_Atomic uint64_t *)(void *)slot;
        const uint64_t before = atomic_load(lock) | 1;
        atomic_store(lock, before);
        atomic_thread_fence(memory_order_seq_cst);
        const uint64_t number = ++writer->written;
        memset(slot + PIXELS, tone(number, 0), WIDTH * HEIGHT * 3);
        memset(slot + PIXELS + WIDTH * HEIGHT * 3, tone(number, 1), WIDTH * HEIGHT);
        const uint32_t alpha = 1;
        memcpy(slot + 36, &alpha, sizeof(alpha));
        atomic_thread_fence(memory_order_seq_cst);
        atomic_store(lock, before + 1);
        atomic_store((_Atomic uint64_t *)(void *)(writer->memory + 72), number);
        if (number % 64 == 0) // else hardly a picture could be read in peace
            nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
    }
    return NULL;
}

/// Whether all of a picture is of one number.
static bool is_whole(const uint8_t *bgra)
{
    const uint8_t alpha = (uint8_t)(bgra[0] + 101);
    for (size_t i = 0; i < WIDTH * HEIGHT; i++)
        if (bgra[4 * i] != bgra[0] || bgra[4 * i + 1] != bgra[0] || bgra[4 * i + 2] != bgra[0] ||
            bgra[4 * i + 3] != alpha)
            return false;
    return true;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int tear(double seconds)
{
    const struct numbers numbers = valid(WIDTH, HEIGHT, SLOTS);
    uint8_t header[HEADER] = {0};
    put(header, &numbers, 0);
    const int descriptor = memory_of(header, sizeof(header), size_of(&numbers), true);
    struct writer writer = {.stopping = false};
    writer.memory = mmap(NULL, size_of(&numbers), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    struct ring ring;
    if (writer.memory == MAP_FAILED || ring_open(&ring, descriptor) != RING_OPEN)
        fail("no ring");
    pthread_t thread;
    if (pthread_create(&thread, NULL, overwrite, &writer) != 0)
        fail("no thread");
    uint64_t accepted = 0, refused = 0;
    uint8_t *bgra = malloc(WIDTH * HEIGHT * 4);
    for (const double end = now() + seconds; now() < end;) {
        if (!ring_newest(&ring, bgra)) {
            refused++;
            continue;
        }
        accepted++;
        if (!is_whole(bgra))
            fail("a torn picture was accepted");
    }
    atomic_store(&writer.stopping, true);
    pthread_join(thread, NULL);
    free(bgra);
    ring_close(&ring);
    munmap(writer.memory, size_of(&numbers));
    close(descriptor);
    printf("tear accepted %" PRIu64 " refused %" PRIu64 " written %" PRIu64 "\n", accepted, refused,
        writer.written);
    return accepted ? 0 : 1;
}

static const char *const PACKETS[] = {"SFXRING 2", "SFXRING 1", "SFXRING 3", "SFXRING ", "SFXRING 2x",
    "SFXRING -2", "SFXRING 99999999999999999999", "", "hello"};

/// Answer one who connects with a packet of some kind and some descriptors.
static void answer(int listener, size_t kind, int descriptors)
{
    const int reader = accept(listener, NULL, NULL);
    char room[CMSG_SPACE(12 * sizeof(int))] = {0};
    const size_t length = kind < sizeof(PACKETS) / sizeof(*PACKETS) ? strlen(PACKETS[kind]) : 200;
    char packet[200];
    memset(packet, 'x', sizeof(packet));
    if (length < sizeof(packet))
        memcpy(packet, PACKETS[kind], length);
    struct iovec data = {.iov_base = packet, .iov_len = length};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
    if (descriptors) {
        message.msg_control = room;
        message.msg_controllen = CMSG_SPACE((size_t)descriptors * sizeof(int));
        struct cmsghdr *part = CMSG_FIRSTHDR(&message);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN((size_t)descriptors * sizeof(int));
        for (int i = 0; i < descriptors; i++)
            memcpy(CMSG_DATA(part) + (size_t)i * sizeof(int), &listener, sizeof(int));
    }
    if (sendmsg(reader, &message, MSG_NOSIGNAL) < 0)
        fail("no answer could be sent");
    close(reader);
}

/// Of the daemon's thread.
struct daemon {
    int listener;
    size_t kind;
    int descriptors;
};

static void *serve(void *data)
{
    const struct daemon *daemon = data;
    answer(daemon->listener, daemon->kind, daemon->descriptors);
    return NULL;
}

static int lowest_free_descriptor(void)
{
    const int found = dup(0);
    close(found);
    return found;
}

static int handover(uint64_t count, uint64_t seed)
{
    state = seed * 2 + 1;
    char folder[] = "/tmp/ring-test-XXXXXX";
    if (!mkdtemp(folder))
        fail("no folder");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/a.ring", folder);
    struct daemon daemon = {.listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
    if (bind(daemon.listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(daemon.listener, 4) != 0)
        fail("no socket");
    int stop[2];
    if (pipe(stop) != 0)
        fail("no pipe");
    const int lowest = lowest_free_descriptor();
    uint64_t given = 0;
    for (uint64_t i = 0; i < count; i++) {
        daemon.kind = chance(sizeof(PACKETS) / sizeof(*PACKETS) + 1);
        daemon.descriptors = (int)chance(13);
        pthread_t thread;
        if (pthread_create(&thread, NULL, serve, &daemon) != 0)
            fail("no thread");
        struct handover got;
        const enum handover_status status = handover_receive(folder, chance(2) ? "a" : "", stop[0], &got);
        pthread_join(thread, NULL);
        const bool should = daemon.kind == 0 && daemon.descriptors >= 1 && daemon.descriptors <= 8;
        if ((status == HANDOVER_GIVEN) != should || (got.descriptor >= 0) != should ||
            (got.connection >= 0) != should)
            fail("a handover was judged wrongly");
        handover_close(&got);
        given += should;
        if (lowest_free_descriptor() != lowest)
            fail("a descriptor was left open");
    }
    struct handover got;
    if (handover_receive(folder, "b", stop[0], &got) != HANDOVER_NO_SESSION ||
        handover_receive(folder, "../a", stop[0], &got) != HANDOVER_NO_SESSION)
        fail("a session that is none was found");
    close(daemon.listener);
    if (handover_receive(folder, "", stop[0], &got) != HANDOVER_NOBODY)
        fail("a dead daemon was found");
    unlink(address.sun_path);
    rmdir(folder);
    printf("handover %" PRIu64 " given %" PRIu64 "\n", count, given);
    return 0;
}

int main(int count, char **arguments)
{
    const char *what = count > 2 ? arguments[1] : "";
    const uint64_t seed = count > 3 ? strtoull(arguments[3], NULL, 10) : 1;
    if (strcmp(what, "headers") == 0)
        return headers(strtoull(arguments[2], NULL, 10), seed);
    if (strcmp(what, "handover") == 0)
        return handover(strtoull(arguments[2], NULL, 10), seed);
    if (strcmp(what, "tear") == 0)
        return tear(strtod(arguments[2], NULL));
    fail("usage: ring-test headers|handover COUNT SEED, ring-test tear SECONDS");
    return 2;
}
