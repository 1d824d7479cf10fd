// SPDX-License-Identifier: GPL-2.0-or-later
//
// The ring that OBS writes, and the socket that hands it over. To be built with sanitizers:
//
//     feed-test checks FOLDER                    each promise of ring-writer.h and feed-server.h, in FOLDER
//     feed-test serve FOLDER WIDTH HEIGHT HZ     pictures at FOLDER/test.feed until the end of the input;
//                                                HZ 0: without pause
//     feed-test swap SECONDS                     two threads that exchange pictures, as OBS's and the feed's
//     do

#ifndef _GNU_SOURCE
#define _GNU_SOURCE // F_GET_SEALS
#endif

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../src/triple-buffer.h"
#include "../src/feed-server.h"
#include "../src/handover.h"
#include "../src/ring-writer.h"
#include "../src/ring.h"

enum { WIDTH = 66, HEIGHT = 40, PADDING = 24, SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

static void check(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "feed-test: not so: %s\n", what);
    exit(1);
}

/// Pictures whose every byte is told by their number and its place; tests/test_obs_feed.py has the same.
static void paint(uint8_t *bgrx, uint32_t width, uint32_t height, uint64_t number)
{
    for (uint32_t y = 0; y < height; y++) {
        uint8_t *row = bgrx + (size_t)y * (4 * width + PADDING);
        for (uint32_t x = 0; x < width; x++) {
            row[4 * x + 0] = (uint8_t)(7 * number + x + y); // blue
            row[4 * x + 1] = (uint8_t)(5 * number + 3 * x);
            row[4 * x + 2] = (uint8_t)(3 * number + 2 * y);
            row[4 * x + 3] = (uint8_t)(number + x); // must not matter
        }
        memset(row + 4 * (size_t)width, 0xEE, PADDING);
    }
}

static struct ring_pixels pixels_of(uint8_t **memory, uint32_t width, uint32_t height)
{
    const size_t pitch = 4 * (size_t)width + PADDING;
    *memory = malloc(pitch * height);
    check(*memory != NULL, "there is memory");
    return (struct ring_pixels){.bgrx = *memory, .pitch = pitch};
}

static uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void check_ring_is_read_as_it_was_written(void)
{
    struct ring_writer writer;
    check(!ring_writer_open(&writer, 0, 1, 0) && !ring_writer_open(&writer, 1, 8193, 0), "sizes are refused");
    ring_writer_close(&writer);
    check(ring_writer_open(&writer, WIDTH, HEIGHT, 30000), "a ring can be made");
    check(fcntl(writer.descriptor, F_GET_SEALS) == SEALS, "its size is sealed");
    struct ring ring;
    const int given = ring_writer_read_only(&writer);
    check(ring_open(&ring, given) == RING_OPEN && ring.form.rate == 30000, "our reader opens it");
    check(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, given, 0) == MAP_FAILED, "who reads cannot write");
    check(fcntl(given, F_GETFD) & FD_CLOEXEC, "programs that OBS starts do not get it");
    close(given);
    uint8_t *bgrx, *read = malloc((size_t)WIDTH * HEIGHT * 4);
    const struct ring_pixels pixels = pixels_of(&bgrx, WIDTH, HEIGHT);
    check(!ring_newest(&ring, read) && !ring_writer_has(&writer, &pixels), "it is empty");
    uint64_t progress = ring_progress(&ring);
    for (uint64_t number = 0; number < 11; number++) {
        paint(bgrx, WIDTH, HEIGHT, number);
        check(!ring_writer_has(&writer, &pixels), "a picture differs from the one before");
        ring_writer_add(&writer, &pixels, now_ns());
        check(ring_writer_has(&writer, &pixels), "a picture is the same as itself");
        check(ring_newest(&ring, read), "it can be read");
        for (size_t i = 0; i < (size_t)WIDTH * HEIGHT; i++)
            check(memcmp(read + 4 * i, bgrx + i / WIDTH * pixels.pitch + i % WIDTH * 4, 3) == 0 &&
                      read[4 * i + 3] == 255,
                "each pixel is as it was");
    }
    check(ring_progress(&ring) == progress + 22, "each picture is counted, and beats");
    bgrx[(HEIGHT - 1) * pixels.pitch + (WIDTH - 1) * 4] ^= 1;
    check(!ring_writer_has(&writer, &pixels), "the last pixel counts");
    progress = ring_progress(&ring);
    ring_writer_beat(&writer);
    check(ring_progress(&ring) == progress + 1, "it beats without a picture");
    ring_writer_close(&writer);
    ring_writer_close(&writer);
    ring.seen = 0;
    check(!ring_newest(&ring, read), "nothing can be read from a wiped ring");
    for (size_t i = 4096; i < ring.size; i++)
        check(ring.memory[i] == 0 || (i - 4096) % ring.form.stride < 8, "no pixel is left in a wiped ring");
    ring_close(&ring);
    free(bgrx);
    free(read);
}

static uint32_t mode_of(const char *path)
{
    struct stat about;
    return lstat(path, &about) == 0 ? about.st_mode & 07777 : 0;
}

static void expect(enum feed_server_status expected, const char *folder, const char *name, const char *what)
{
    struct feed_server server;
    const enum feed_server_status status = feed_server_open(&server, folder, name);
    check(status == expected && (server.listener >= 0) == (status == FEED_SERVER_LISTENING), what);
    feed_server_close(&server);
}

static void check_who_is_refused(const char *folder)
{
    char path[256], longest[128];
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    expect(FEED_SERVER_BAD_NAME, folder, "", "a feed has a name");
    expect(FEED_SERVER_BAD_NAME, folder, "../x", "a name is no path");
    expect(FEED_SERVER_BAD_NAME, folder, ".x", "a name is not hidden");
    expect(FEED_SERVER_BAD_NAME, folder, longest, "a name has room in an address");
    expect(FEED_SERVER_BAD_NAME, "relative", "x", "a folder is told from the root on");
    snprintf(path, sizeof(path), "%s/link", folder);
    check(symlink(folder, path) == 0, "a link can be made");
    expect(FEED_SERVER_BAD_FOLDER, path, "x", "a folder is no link");
    check(unlink(path) == 0 && mkdir(path, 0700) == 0 && chmod(path, 0777) == 0, "a folder can be made");
    expect(FEED_SERVER_BAD_FOLDER, path, "x", "nobody else may write into the folder");
    check(chmod(path, 0700) == 0, "a folder's mode can be changed");
    if (geteuid() == 0) {
        check(chown(path, 12345, 12345) == 0, "a folder can be given away");
        expect(FEED_SERVER_BAD_FOLDER, path, "x", "the folder is the user's own");
    }
    check(rmdir(path) == 0, "refusals leave nothing");
    snprintf(path, sizeof(path), "%s/file.feed", folder);
    close(open(path, O_CREAT | O_CLOEXEC, 0600));
    expect(FEED_SERVER_TAKEN, folder, "file", "a file that is no socket is not removed");
    check(unlink(path) == 0, "a file that is no socket is still there");
}

static void check_sockets_come_and_go(const char *folder)
{
    char deep[256], path[512];
    snprintf(deep, sizeof(deep), "%s/a/b", folder);
    snprintf(path, sizeof(path), "%s/x.feed", deep);
    struct feed_server one, other;
    check(feed_server_open(&one, deep, "x") == FEED_SERVER_LISTENING, "it listens, in a folder of its own");
    check(mode_of(path) == 0600 && mode_of(deep) == 0700, "for this user alone");
    check(feed_server_open(&other, deep, "x") == FEED_SERVER_TAKEN, "a living server is not replaced");
    feed_server_close(&other);
    check(mode_of(path) == 0600, "nor is its socket removed");
    close(one.listener); // as a crash would
    check(feed_server_open(&other, deep, "x") == FEED_SERVER_LISTENING, "a dead one is replaced");
    check(unlink(path) == 0, "a socket can be removed by others");
    check(feed_server_open(&one, deep, "x") == FEED_SERVER_LISTENING, "and another takes its place");
    feed_server_close(&other);
    check(mode_of(path) == 0600, "a socket that is another's is not removed");
    feed_server_close(&one);
    feed_server_close(&one);
    check(mode_of(path) == 0, "its own is");
    check(rmdir(deep) == 0, "nothing else is left");
    snprintf(deep, sizeof(deep), "%s/a", folder);
    check(rmdir(deep) == 0, "nothing else is left above");
}

static int called(const struct feed_server *server)
{
    const int caller = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    check(connect(caller, (const struct sockaddr *)&server->address, sizeof(server->address)) == 0,
        "it can be connected to");
    return caller;
}

static void check_handing_over(const char *folder)
{
    struct feed_server server;
    struct ring_writer writer;
    check(feed_server_open(&server, folder, "x") == FEED_SERVER_LISTENING, "it listens");
    check(ring_writer_open(&writer, WIDTH, HEIGHT, 0), "there is a ring");
    check(feed_server_serve(&server, -1) && feed_server_readers(&server) == 0, "nobody waits");
    char packet[16] = {0};
    int caller = called(&server);
    check(feed_server_serve(&server, -1) && recv(caller, packet, 16, 0) == 0, "no ring: the end");
    close(caller);
    const int ring = ring_writer_read_only(&writer);
    caller = called(&server);
    const int another = called(&server), gone = called(&server);
    close(gone);
    check(feed_server_serve(&server, ring) && feed_server_readers(&server) == 2, "who went does not count");
    check(recv(caller, packet, 16, 0) == 9 && strcmp(packet, "SFXRING 2") == 0, "the packet is the greeting");
    close(another);
    check(feed_server_readers(&server) == 1, "one is left");
    feed_server_hang_up(&server);
    check(recv(caller, packet, 16, 0) == 0, "and then there is no more");
    close(caller);
    close(ring);
    ring_writer_close(&writer);
    feed_server_close(&server);
}

static int lowest_free_descriptor(void)
{
    const int found = dup(0);
    close(found);
    return found;
}

static int checks(const char *folder)
{
    const int lowest = lowest_free_descriptor();
    check_ring_is_read_as_it_was_written();
    check_who_is_refused(folder);
    check_sockets_come_and_go(folder);
    check_handing_over(folder);
    check(lowest_free_descriptor() == lowest, "no descriptor is left open");
    printf("checked\n");
    return 0;
}

/// Wait, or serve whoever connects; false at the end of the input.
static bool wait_and_serve(struct feed_server *server, int ring, int ms)
{
    struct pollfd awaited[2] = {
        {.fd = server->listener, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
    poll(awaited, 2, ms);
    feed_server_serve(server, ring);
    return awaited[1].revents == 0;
}

static int serve(const char *folder, uint32_t width, uint32_t height, int hz)
{
    struct feed_server server;
    struct ring_writer writer;
    check(feed_server_open(&server, folder, "test") == FEED_SERVER_LISTENING, "it listens");
    check(ring_writer_open(&writer, width, height, (uint32_t)hz * 1000), "there is a ring");
    const int ring = ring_writer_read_only(&writer);
    uint8_t *bgrx;
    const struct ring_pixels pixels = pixels_of(&bgrx, width, height);
    printf("serving\n");
    fflush(stdout);
    for (uint64_t number = 0; wait_and_serve(&server, ring, hz ? 1000 / hz : 0); number++) {
        paint(bgrx, width, height, number);
        ring_writer_add(&writer, &pixels, now_ns());
    }
    feed_server_close(&server);
    ring_writer_close(&writer);
    close(ring);
    free(bgrx);
    return 0;
}

/// Of the thread that gives pictures.
struct giver {
    struct triple_buffer buffer;
    atomic_bool stopping;
    uint64_t given;
};

static void *give(void *data)
{
    struct giver *giver = data;
    for (uint64_t number = 1; !atomic_load(&giver->stopping); number++) {
        struct picture *back = giver->buffer.back;
        picture_resize(back, WIDTH, HEIGHT);
        memset(back->bgra, (int)(number & 0xFF), (size_t)WIDTH * HEIGHT * 4);
        back->captured_ns = number;
        giver->given += triple_buffer_try_publish(&giver->buffer);
        if (number % 64 == 0)
            picture_wipe(giver->buffer.back);
    }
    return NULL;
}

static int swap(double seconds)
{
    struct giver giver = {.given = 0};
    triple_buffer_init(&giver.buffer);
    pthread_t thread;
    check(pthread_create(&thread, NULL, give, &giver) == 0, "there is a thread");
    uint64_t taken = 0, last = 0, cleared = 0;
    for (const uint64_t end = now_ns() + (uint64_t)(1e9 * seconds); now_ns() < end;) {
        if (!triple_buffer_take(&giver.buffer))
            continue;
        const struct picture *front = giver.buffer.front;
        const uint8_t tone = (uint8_t)front->captured_ns;
        check(front->captured_ns > last, "pictures come in their order");
        last = front->captured_ns;
        for (size_t i = 0; i < (size_t)WIDTH * HEIGHT * 4; i++)
            check(front->bgra[i] == tone, "no picture is torn");
        if (++taken % 256 == 0) {
            triple_buffer_clear(&giver.buffer);
            cleared++;
        }
    }
    atomic_store(&giver.stopping, true);
    pthread_join(thread, NULL);
    printf("swap given %" PRIu64 " taken %" PRIu64 " cleared %" PRIu64 "\n", giver.given, taken, cleared);
    triple_buffer_free(&giver.buffer);
    return 0;
}

int main(int count, char **arguments)
{
    const char *what = count > 2 ? arguments[1] : "";
    if (strcmp(what, "checks") == 0)
        return checks(arguments[2]);
    if (strcmp(what, "swap") == 0)
        return swap(strtod(arguments[2], NULL));
    if (strcmp(what, "serve") == 0 && count == 6)
        return serve(arguments[2], (uint32_t)strtoul(arguments[3], NULL, 10),
            (uint32_t)strtoul(arguments[4], NULL, 10), (int)strtol(arguments[5], NULL, 10));
    fprintf(
        stderr, "usage: feed-test checks FOLDER, feed-test serve FOLDER WIDTH HEIGHT HZ, feed-test swap S\n");
    return 2;
}
