// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef _GNU_SOURCE
#define _GNU_SOURCE // ppoll
#endif

#include "reader.h"

#include <inttypes.h>
#include <obs-module.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <util/dstr.h>
#include <util/platform.h>
#include <util/threading.h>

#include "handover.h"
#include "notice.h"
#include "plugin.h"
#include "ring.h"

static const uint64_t MS = 1000000, RETRY_NS = 500000000, PATIENCE_NS = 1000000000, LOOK_NS = 1000000;
enum { FIRST_WIDTH = 640, FIRST_HEIGHT = 480 }; // as sessions have by default: scenes keep their layout

/// What is wanted.
struct aim {
    struct dstr folder;
    struct dstr session;
};

/// What the source tells while it has no portrait to show.
struct complaint {
    const char *key; ///< of the text in data/locale; NULL: there is nothing to complain of
    uint32_t number; ///< put in its place, where the text has one
};

/// What the thread keeps to itself.
struct reading {
    struct aim aim;
    struct ring ring;
    int connection;      ///< to the daemon, while the source is seen; else -1
    uint64_t progress;   ///< of the ring, as last seen
    uint64_t moved_ns;   ///< when it had changed
    uint64_t asked_ns;   ///< when a ring was asked for last
    uint64_t picture_ns; ///< when the last picture came
    struct complaint complaint;
    uint32_t width, height; ///< of the last picture: a message has the same, so that scenes stay as they are
};

struct reader {
    struct triple_buffer buffer;
    pthread_t thread;
    int wake; ///< an eventfd, readable when `stopping` or `aimed` was set

    pthread_mutex_t mutex; ///< guards `wanted` and `aimed`: OBS's thread of settings writes, ours reads
    struct aim wanted;
    bool aimed;

    atomic_bool stopping;
    atomic_bool watched; ///< whether anybody sees the source
};

static void aim_set(struct aim *aim, const char *folder, const char *session)
{
    dstr_copy(&aim->folder, folder);
    dstr_copy(&aim->session, session);
}

static bool is(const struct dstr *text, const char *other)
{
    return strcmp(text->array ? text->array : "", other) == 0;
}

static void aim_free(struct aim *aim)
{
    dstr_free(&aim->folder);
    dstr_free(&aim->session);
}

/// Sleep, unless there is something to do.
static void rest(const struct reader *reader, const struct reading *reading, uint64_t ns)
{
    struct pollfd awaited[2] = {
        {.fd = reader->wake, .events = POLLIN}, {.fd = reading->connection, .events = POLLIN}};
    const struct timespec time = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
    ppoll(awaited, 2, &time, NULL);
}

static void disconnect(struct reading *reading)
{
    if (reading->connection >= 0)
        close(reading->connection);
    reading->connection = -1;
}

/// Look whether the writer lives.
static bool moves(struct reading *reading)
{
    const uint64_t now = os_gettime_ns(), progress = ring_progress(&reading->ring);
    if (progress != reading->progress) {
        reading->progress = progress;
        reading->moved_ns = now;
    }
    return now - reading->moved_ns <= PATIENCE_NS;
}

/// Show what is wrong, and what can be done; once until it changes or a picture came.
static void complain(struct reader *reader, struct reading *reading, struct complaint complaint)
{
    const struct complaint *last = &reading->complaint;
    if (last->key && strcmp(last->key, complaint.key) == 0 && last->number == complaint.number)
        return;
    reading->complaint = complaint;
    struct dstr text = {0}, number = {0};
    dstr_copy(&text, obs_module_text(complaint.key));
    dstr_printf(&number, "%" PRIu32, complaint.number);
    dstr_replace(&text, "%1", number.array);
    dstr_replace(&text, "%2", reading->aim.session.len ? reading->aim.session.array : "");
    picture_resize(reader->buffer.back, reading->width, reading->height);
    notice_draw(reader->buffer.back, text.array);
    triple_buffer_publish(&reader->buffer);
    dstr_replace(&text, "\n", " ");
    plugin_log(LOG_WARNING, "%s", text.array);
    dstr_free(&text);
    dstr_free(&number);
}

static struct complaint complaint_of_ring(enum ring_status status, const struct ring_form *form)
{
    switch (status) {
    case RING_OPEN:
        break;
    case RING_OTHER_VERSION:
        return (struct complaint){"Notice.OtherVersion", form->version};
    case RING_UNSEALED:
        return (struct complaint){"Notice.Unsealed", 0};
    case RING_TOO_SMALL:
        return (struct complaint){"Notice.TooSmall", 0};
    case RING_NO_RING:
        return (struct complaint){"Notice.NoRing", 0};
    case RING_CONTRADICTORY:
        return (struct complaint){"Notice.Contradictory", 0};
    case RING_UNMAPPABLE:
        return (struct complaint){"Notice.Unmappable", 0};
    }
    return (struct complaint){0};
}

static struct complaint complaint_of_handover(enum handover_status status, uint32_t version, bool named)
{
    switch (status) {
    case HANDOVER_GIVEN:
        break;
    case HANDOVER_NO_SESSION:
    case HANDOVER_NOBODY:
        return (struct complaint){named ? "Notice.NoSuchSession" : "Notice.NoDaemon", 0};
    case HANDOVER_OTHER_VERSION:
        return (struct complaint){"Notice.OtherVersion", version};
    case HANDOVER_STRANGE:
        return (struct complaint){"Notice.Strange", 0};
    case HANDOVER_PATH_TOO_LONG:
        return (struct complaint){"Notice.PathTooLong", 0};
    }
    return (struct complaint){0};
}

/// Ask the daemon for its ring.
static enum handover_status ask(const struct reader *reader, struct reading *reading, struct handover *given)
{
    reading->asked_ns = os_gettime_ns();
    char *own = reading->aim.folder.len ? NULL : handover_folder();
    const char *folder = own ? own : reading->aim.folder.array;
    const char *session = reading->aim.session.len ? reading->aim.session.array : "";
    const enum handover_status status =
        folder ? handover_receive(folder, session, reader->wake, given) : HANDOVER_NO_SESSION;
    free(own);
    return status;
}

/// Take a ring over, in the place of the one that stands still, unless it is the same; and stay connected.
static void adopt(struct reader *reader, struct reading *reading, struct handover *given)
{
    struct ring ring;
    const enum ring_status status = ring_open(&ring, given->descriptor);
    if (status != RING_OPEN) {
        ring_close(&reading->ring);
        complain(reader, reading, complaint_of_ring(status, &ring.form));
        return;
    }
    disconnect(reading);
    reading->connection = given->connection;
    given->connection = -1;
    // Both are mapped: equal numbers are the same memory, none is used for a second time.
    if (reading->ring.memory && reading->ring.inode == ring.inode) {
        ring_close(&ring);
        if (!moves(reading))
            complain(reader, reading, (struct complaint){"Notice.Stalled", 0});
        return;
    }
    ring_close(&reading->ring);
    reading->ring = ring;
    reading->progress = ring_progress(&ring);
    reading->moved_ns = os_gettime_ns();
    plugin_log(LOG_INFO, "reading pictures of %" PRIu32 " x %" PRIu32, ring.form.width, ring.form.height);
}

/// Find the daemon, or say what hinders it; what it gave last is shown for a moment still.
static void connect_to_daemon(struct reader *reader, struct reading *reading)
{
    struct handover given = {.descriptor = -1, .connection = -1};
    const enum handover_status status = ask(reader, reading, &given);
    if (atomic_load(&reader->stopping))
        ;
    else if (status == HANDOVER_GIVEN)
        adopt(reader, reading, &given);
    else if (!reading->ring.memory || !moves(reading)) {
        ring_close(&reading->ring);
        complain(reader, reading, complaint_of_handover(status, given.version, reading->aim.session.len > 0));
    }
    handover_close(&given);
}

/// Show the newest picture, if there is a new one.
static bool show(struct reader *reader, struct reading *reading)
{
    const struct ring_form *form = &reading->ring.form;
    picture_resize(reader->buffer.back, form->width, form->height);
    if (!ring_newest(&reading->ring, reader->buffer.back->bgra))
        return false;
    triple_buffer_publish(&reader->buffer);
    reading->width = form->width;
    reading->height = form->height;
    reading->complaint = (struct complaint){0};
    reading->picture_ns = os_gettime_ns();
    return true;
}

/// How long the next picture will not come for certain: half of its time.
static uint64_t pause_of(const struct ring_form *form)
{
    const uint64_t ns = form->rate ? 500000 * MS / form->rate : LOOK_NS;
    return ns < 250 * MS ? ns : 250 * MS;
}

/// Whether the connection is as it should be; what the daemon or nobody holds any more is closed.
static bool is_connected(const struct reader *reader, struct reading *reading)
{
    const bool watched = atomic_load(&reader->watched);
    struct pollfd connection = {.fd = reading->connection, .events = POLLIN};
    if (!watched || poll(&connection, 1, 0) > 0)
        disconnect(reading);
    return !watched || reading->connection >= 0;
}

/// One look at the ring or for the daemon, and a rest.
static void step(struct reader *reader, struct reading *reading)
{
    const bool connected = is_connected(reader, reading), open = reading->ring.memory != NULL;
    const uint64_t since = os_gettime_ns() - reading->asked_ns;
    const bool alive = open && moves(reading);
    if (since >= RETRY_NS && !(connected && alive))
        connect_to_daemon(reader, reading);
    else if (open && show(reader, reading))
        rest(reader, reading, pause_of(&reading->ring.form));
    else
        rest(reader, reading, open ? LOOK_NS : RETRY_NS - since);
}

/// Take over what is wanted, if that changed.
static void look_what_is_wanted(struct reader *reader, struct reading *reading)
{
    uint64_t count;
    struct pollfd awaited = {.fd = reader->wake, .events = POLLIN};
    if (poll(&awaited, 1, 0) <= 0 || read(reader->wake, &count, sizeof(count)) < 0)
        return;
    pthread_mutex_lock(&reader->mutex); // two short strings are copied
    const bool aimed = reader->aimed;
    if (aimed)
        aim_set(&reading->aim, reader->wanted.folder.array, reader->wanted.session.array);
    reader->aimed = false;
    pthread_mutex_unlock(&reader->mutex);
    if (aimed) {
        ring_close(&reading->ring);
        disconnect(reading);
        reading->asked_ns = 0;
        reading->complaint = (struct complaint){0};
    }
}

static void *run(void *data)
{
    struct reader *reader = data;
    os_set_thread_name("streamfx-reader");
    struct reading reading = {.connection = -1, .width = FIRST_WIDTH, .height = FIRST_HEIGHT};
    while (!atomic_load(&reader->stopping)) {
        look_what_is_wanted(reader, &reading);
        step(reader, &reading);
    }
    ring_close(&reading.ring);
    disconnect(&reading);
    aim_free(&reading.aim);
    return NULL;
}

static void wake(const struct reader *reader)
{
    const uint64_t one = 1;
    if (write(reader->wake, &one, sizeof(one)) < 0)
        plugin_log(LOG_ERROR, "the reader cannot be woken");
}

struct reader *reader_start(const char *folder, const char *session)
{
    struct reader *reader = bzalloc(sizeof(*reader));
    triple_buffer_init(&reader->buffer);
    pthread_mutex_init(&reader->mutex, NULL);
    reader->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    reader_aim(reader, folder, session);
    if (reader->wake >= 0 && pthread_create(&reader->thread, NULL, run, reader) == 0)
        return reader;
    plugin_log(LOG_ERROR, "no thread could be started: the source stays empty");
    if (reader->wake >= 0)
        close(reader->wake);
    reader->wake = -1;
    return reader;
}

void reader_aim(struct reader *reader, const char *folder, const char *session)
{
    pthread_mutex_lock(&reader->mutex); // the thread holds it as shortly
    const bool another = !is(&reader->wanted.folder, folder) || !is(&reader->wanted.session, session);
    if (another)
        aim_set(&reader->wanted, folder, session);
    reader->aimed |= another;
    pthread_mutex_unlock(&reader->mutex);
    if (another && reader->wake >= 0)
        wake(reader);
}

void reader_watch(struct reader *reader, bool watched)
{
    atomic_store(&reader->watched, watched);
    if (reader->wake >= 0)
        wake(reader);
}

struct triple_buffer *reader_buffer(struct reader *reader)
{
    return &reader->buffer;
}

void reader_stop(struct reader *reader)
{
    if (reader->wake >= 0) {
        atomic_store(&reader->stopping, true);
        wake(reader);
        pthread_join(reader->thread, NULL);
        close(reader->wake);
    }
    aim_free(&reader->wanted);
    pthread_mutex_destroy(&reader->mutex);
    triple_buffer_free(&reader->buffer);
    bfree(reader);
}
