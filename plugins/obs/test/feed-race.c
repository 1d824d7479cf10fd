// SPDX-License-Identifier: GPL-2.0-or-later
//
// The feed's threads, without OBS: its sources come and go, change names and sizes, and are aimed at, while
// one thread draws, another one asks for rings, and a third is rude to the socket. To be built with
// sanitizers.
//
//     feed-race FOLDER SECONDS SEED read     and reads what it is given: each ring must be of one source
//     alone feed-race FOLDER SECONDS SEED ask      only asks: the ring's races are meant to be, and no
//     sanitizer knows

#ifndef _GNU_SOURCE
#define _GNU_SOURCE // MSG_CMSG_CLOEXEC
#endif

#include <inttypes.h>
#include <obs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <util/platform.h>

#include "../src/feed.h"
#include "../src/handover.h"
#include "../src/ring.h"
#include "../src/snapshot.h"
#include "../src/stopwatch.h"

enum { SOURCES = 3, PORTRAIT = 2, SMALL = 16, LARGE = 24, FRAME_NS = 34000000 };

static void check(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "feed-race: not so: %s\n", what);
    exit(1);
}

// --- What the feed uses of OBS

/// Of the kind that OBS has; never freed, but gone.
struct obs_source {
    _Atomic(const char *) name;
    atomic_bool gone, removed;
    atomic_int references, weak, showing;
    atomic_uint side;
    uint8_t tone; ///< of every byte of its pictures
};

static struct obs_source sources[SOURCES];
static const char *const names[SOURCES] = {"a", "b", "portrait"};

static bool took(struct obs_source *source)
{
    if (!source || atomic_load(&source->gone))
        return false;
    atomic_fetch_add(&source->references, 1);
    return true;
}

obs_source_t *obs_get_source_by_name(const char *name)
{
    for (int i = 0; i < SOURCES; i++)
        if (strcmp(atomic_load(&sources[i].name), name) == 0 && took(&sources[i]))
            return &sources[i];
    return NULL;
}

obs_source_t *obs_get_source_by_uuid(const char *uuid);
obs_source_t *obs_get_source_by_uuid(const char *uuid)
{
    (void)uuid;
    return NULL;
}

const char *obs_source_get_uuid(const obs_source_t *source);
const char *obs_source_get_uuid(const obs_source_t *source)
{
    (void)source;
    return NULL;
}

void obs_source_release(obs_source_t *source)
{
    if (source)
        check(atomic_fetch_sub(&source->references, 1) > 0, "nobody releases what is not his");
}

obs_weak_source_t *obs_source_get_weak_source(obs_source_t *source)
{
    atomic_fetch_add(&source->weak, 1);
    return (obs_weak_source_t *)source;
}

void obs_weak_source_addref(obs_weak_source_t *weak)
{
    atomic_fetch_add(&((struct obs_source *)weak)->weak, 1);
}

void obs_weak_source_release(obs_weak_source_t *weak)
{
    if (weak)
        check(atomic_fetch_sub(&((struct obs_source *)weak)->weak, 1) > 0, "weak references are counted");
}

obs_source_t *obs_weak_source_get_source(obs_weak_source_t *weak)
{
    return took((struct obs_source *)weak) ? (struct obs_source *)weak : NULL;
}

void obs_source_inc_showing(obs_source_t *source)
{
    atomic_fetch_add(&source->showing, 1);
}

void obs_source_dec_showing(obs_source_t *source)
{
    check(atomic_fetch_sub(&source->showing, 1) > 0, "nobody hides what he did not show");
}

bool obs_source_removed(const obs_source_t *source)
{
    return atomic_load(&source->removed);
}

const char *obs_source_get_name(const obs_source_t *source)
{
    return atomic_load(&source->name);
}

const char *obs_source_get_id(const obs_source_t *source)
{
    return source == &sources[PORTRAIT] ? "streamfx_portrait_source" : "camera";
}

enum obs_source_type obs_source_get_type(const obs_source_t *source)
{
    (void)source;
    return OBS_SOURCE_TYPE_INPUT;
}

uint32_t obs_source_get_output_flags(const obs_source_t *source)
{
    (void)source;
    return OBS_SOURCE_VIDEO;
}

void obs_enum_sources(bool (*visit)(void *, obs_source_t *), void *data)
{
    for (int i = 0; i < SOURCES; i++)
        visit(data, &sources[i]);
}

uint64_t obs_get_video_frame_time(void)
{
    static atomic_uint_least64_t now; // each frame is one of which a picture is due
    return atomic_fetch_add(&now, FRAME_NS);
}

void obs_enter_graphics(void)
{
}

void obs_leave_graphics(void)
{
}

void blog(int level, const char *format, ...)
{
    (void)level;
    (void)format;
}

// --- What it draws with

static uint8_t drawn; ///< tone of the source that was drawn last; of the drawing thread alone

bool snapshot_size(obs_source_t *source, uint32_t *width, uint32_t *height)
{
    *width = *height = atomic_load(&source->side);
    return *width > 0;
}

bool snapshot_take(struct snapshot *snapshot, obs_source_t *source, uint32_t width, uint32_t height)
{
    snapshot->width = width;
    snapshot->height = height;
    snapshot->captured_ns = os_gettime_ns();
    drawn = source->tone;
    return true;
}

bool snapshot_collect(struct snapshot *snapshot, struct picture *picture)
{
    if (!snapshot->captured_ns)
        return false;
    picture_resize(picture, snapshot->width, snapshot->height);
    memset(picture->bgra, drawn, (size_t)snapshot->width * snapshot->height * 4);
    picture->captured_ns = snapshot->captured_ns;
    snapshot->captured_ns = 0;
    return true;
}

void snapshot_free(struct snapshot *snapshot)
{
    *snapshot = (struct snapshot){0};
}

// --- The threads

static atomic_bool stopping;
static atomic_uint_least64_t asked, given, pictures;

static void pause_us(long us)
{
    nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

static void *draw(void *data)
{
    while (!atomic_load(&stopping)) {
        feed_render(data);
        pause_us(300);
    }
    return NULL;
}

static bool connect_to(const char *folder, int caller)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/race.feed", folder);
    return connect(caller, (const struct sockaddr *)&address, sizeof(address)) == 0;
}

/// A ring of the feed; -1 if there is none.
static int ask(const char *folder, int *connection)
{
    const int caller = *connection = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    char packet[16];
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {.iov_base = packet, .iov_len = sizeof(packet)};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control.room)};
    int ring = -1;
    atomic_fetch_add(&asked, 1);
    if (connect_to(folder, caller) && recvmsg(caller, &message, MSG_CMSG_CLOEXEC) == 9 &&
        CMSG_FIRSTHDR(&message))
        memcpy(&ring, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(ring));
    return ring;
}

/// Whether a ring's pictures are of one source, while it is written.
static void read_ring(int descriptor)
{
    struct ring ring;
    check(ring_open(&ring, descriptor) == RING_OPEN, "what is handed over is a ring");
    const size_t size = (size_t)ring.form.width * ring.form.height * 4;
    uint8_t *bgra = malloc(size);
    int tone = -1;
    for (int i = 0; i < 60; i++) {
        pause_us(1000);
        if (!ring_newest(&ring, bgra))
            continue;
        tone = tone < 0 ? bgra[0] : tone;
        atomic_fetch_add(&pictures, 1);
        for (size_t at = 0; at < size; at++)
            check(bgra[at] == (at % 4 == 3 ? 255 : tone), "a ring is of one source alone");
    }
    free(bgra);
    ring_close(&ring);
}

/// What who asks is told.
struct asking {
    const char *folder;
    bool reads;
};

static void *ask_again_and_again(void *data)
{
    const struct asking *asking = data;
    while (!atomic_load(&stopping)) {
        int connection;
        const int ring = ask(asking->folder, &connection);
        if (ring < 0) {
            close(connection);
            pause_us(2000);
            continue;
        }
        atomic_fetch_add(&given, 1);
        if (asking->reads)
            read_ring(ring);
        else
            pause_us(20000);
        close(ring);
        close(connection);
    }
    return NULL;
}

/// Say what nobody asked for, and give descriptors away.
static void say_nonsense(int caller, unsigned *seed)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {.room = {0}};
    char packet[200];
    for (size_t i = 0; i < sizeof(packet); i++)
        packet[i] = (char)rand_r(seed);
    struct iovec part = {.iov_base = packet, .iov_len = (size_t)rand_r(seed) % sizeof(packet)};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control.room)};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(rights), &caller, sizeof(int));
    (void)sendmsg(caller, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/// Come by the dozen, take nothing, talk, and go at any moment.
static void *be_rude(void *data)
{
    enum { CROWD = 12 };
    const struct asking *asking = data;
    unsigned seed = 5;
    while (!atomic_load(&stopping)) {
        int crowd[CROWD];
        for (int i = 0; i < CROWD; i++) {
            crowd[i] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
            if (connect_to(asking->folder, crowd[i]) && rand_r(&seed) % 2)
                say_nonsense(crowd[i], &seed);
        }
        pause_us(rand_r(&seed) % 3000);
        for (int i = 0; i < CROWD; i++)
            close(crowd[i]);
        pause_us(5000);
    }
    return NULL;
}

static int lowest_free_descriptor(void)
{
    const int found = dup(0);
    close(found);
    return found;
}

/// Something that happens in OBS.
static void happen(struct feed *feed, unsigned what)
{
    static const uint32_t sides[] = {SMALL, LARGE, SMALL, LARGE, 0};
    static const char *const aims[] = {"a", "b", "a", "b", "c", "portrait", ""};
    struct obs_source *source = &sources[what / 16 % 2];
    const unsigned how = what / 32;
    char *name;
    switch (what % 8) {
    case 0:
        atomic_store(&source->gone, how % 4 == 0);
        break;
    case 1:
        atomic_store(&source->removed, how % 4 == 0);
        break;
    case 2:
        atomic_store(&source->side, sides[how % 5]);
        break;
    case 3:
        atomic_store(&source->name, how % 4 == 0 ? "c" : names[source - sources]);
        break;
    case 4:
        name = feed_target(feed);
        bfree(name);
        break;
    default: // again and again the same, too
        feed_aim(feed, aims[how % 7]);
    }
}

static void count(void *data, const char *name, const char *uuid)
{
    check(name && !uuid, "sources have names");
    ++*(int *)data;
}

static void check_nothing_is_held(void)
{
    for (int i = 0; i < SOURCES; i++) {
        check(atomic_load(&sources[i].references) == 0, "no reference is left");
        check(atomic_load(&sources[i].weak) == 0, "no weak reference is left");
        check(atomic_load(&sources[i].showing) == 0 || i != PORTRAIT, "a portrait is never shown");
    }
}

static void put_sources_back(void)
{
    for (int i = 0; i < SOURCES; i++) {
        atomic_store(&sources[i].name, names[i]);
        atomic_store(&sources[i].gone, false);
        atomic_store(&sources[i].removed, false);
        atomic_store(&sources[i].side, SMALL);
        atomic_store(&sources[i].showing, 0);
        sources[i].tone = (uint8_t)(50 + 50 * i);
    }
}

/// With sources that stay: what is shown is hidden again.
static void check_showing(const char *folder)
{
    put_sources_back();
    struct feed *feed = feed_create(folder, "race");
    for (int i = 0; i < 6; i++) {
        check(feed_aim(feed, i % 2 ? "a" : "b"), "a camera can be aimed at");
        pause_us(100000);
        check(atomic_load(&sources[i % 2 ? 0 : 1].showing) == 1, "it is told that it is shown");
    }
    check(!feed_aim(feed, "portrait"), "a portrait is refused");
    pause_us(100000);
    check(
        atomic_load(&sources[0].showing) == 0 && atomic_load(&sources[1].showing) == 0, "and all is hidden");
    check(feed_aim(feed, "a"), "it can be aimed anew");
    pause_us(100000);
    feed_destroy(feed);
    check(atomic_load(&sources[0].showing) == 0, "and is hidden at the end");
    int listed = 0;
    feed_list_sources(count, &listed);
    check(listed == SOURCES - 1, "all but ours are listed");
}

int main(int argc, char **arguments)
{
    check(argc == 5, "usage: feed-race FOLDER SECONDS SEED read|ask");
    struct asking asking = {.folder = arguments[1], .reads = strcmp(arguments[4], "read") == 0};
    unsigned seed = (unsigned)strtoul(arguments[3], NULL, 10);
    put_sources_back();
    const int lowest = lowest_free_descriptor();
    struct feed *feed = feed_create(arguments[1], "race");
    pthread_t drawing, reading, rude;
    check(pthread_create(&drawing, NULL, draw, feed) == 0, "there is a thread");
    check(pthread_create(&reading, NULL, ask_again_and_again, &asking) == 0, "there is another");
    check(pthread_create(&rude, NULL, be_rude, &asking) == 0, "there is a third");
    uint64_t happened = 0;
    const uint64_t end_ns = os_gettime_ns() + (uint64_t)(1e9 * strtod(arguments[2], NULL));
    for (; os_gettime_ns() < end_ns; happened++) {
        happen(feed, (unsigned)rand_r(&seed) >> 4);
        pause_us(happened % 4 ? 1000 : 100000);
    }
    atomic_store(&stopping, true);
    pthread_join(drawing, NULL);
    pthread_join(rude, NULL);
    feed_destroy(feed);
    pthread_join(reading, NULL);
    check_nothing_is_held();
    check_showing(arguments[1]);
    check_nothing_is_held();
    check(lowest_free_descriptor() == lowest, "no descriptor is left open");
    printf("race happened %" PRIu64 " asked %" PRIu64 " given %" PRIu64 " pictures %" PRIu64 "\n", happened,
        atomic_load(&asked), atomic_load(&given), atomic_load(&pictures));
    return 0;
}
