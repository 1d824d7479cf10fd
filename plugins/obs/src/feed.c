// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef _GNU_SOURCE
#define _GNU_SOURCE // ppoll
#endif

#include "feed.h"

#include <inttypes.h>
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

#include "triple-buffer.h"
#include "feed-server.h"
#include "handover.h"
#include "plugin.h"
#include "ring-writer.h"
#include "snapshot.h"
#include "stopwatch.h"

static const uint64_t LOOK_NS = 50000000, SEARCH_NS = 250000000, LISTEN_NS = 1000000000;
static const uint64_t STANDING_NS = 500000000, DRAWING_NS = 1000000000;
static const uint64_t PERIOD_NS = 33333333, EARLY_NS = 1000000;
enum { RATE = 30000 };

/// What the drawing thread is to take pictures of.
struct capture_request {
    obs_weak_source_t *source;
    uint32_t serial; ///< of the ring; 0: of nothing
    uint32_t width, height;
};

/// What the feed's thread keeps to itself.
struct feeding {
    struct dstr aim;           ///< as it was told; empty: none
    struct dstr name;          ///< of the source, or what to find it by
    obs_weak_source_t *target; ///< NULL while it is not found; else it is told that it is shown
    struct ring_writer ring;
    int given;           ///< the ring's descriptor for readers; -1 if there is none
    bool read;           ///< whether anybody reads it
    uint32_t serial;     ///< of the ring
    uint64_t written_ns; ///< when the newest picture was captured
    struct feed_server server;
    enum feed_server_status status; ///< as last logged
    uint64_t looked_ns, searched_ns, listened_ns;
};

struct feed {
    char *folder;
    char *name;
    struct triple_buffer buffer; ///< from OBS's drawing thread to the feed's
    pthread_t thread;
    int wake; ///< an eventfd, readable when `stopping` or `aimed` was set, or a picture came; -1: no thread

    /// Guards what follows. Held to copy a short string or a few words; the drawing thread only tries it.
    pthread_mutex_t mutex;
    struct dstr wanted;
    bool aimed;
    struct dstr found; ///< name of the source
    struct capture_request request;

    atomic_bool stopping;
    atomic_uint_least64_t drawn_ns; ///< when OBS drew last

    // Of OBS's drawing thread alone:
    struct snapshot snapshot;
    uint32_t serial;   ///< of what the snapshot holds
    uint64_t frame_ns; ///< OBS's time of the last frame
    uint64_t due_ns;   ///< of the next picture, in that time
    struct stopwatch stopwatch;
};

static void wake(const struct feed *feed)
{
    const uint64_t one = 1;
    if (write(feed->wake, &one, sizeof(one)) < 0)
        plugin_log(LOG_ERROR, "the feed cannot be woken");
}

/// Empty where there is none.
static const char *text(const struct dstr *string)
{
    return string->array ? string->array : "";
}

static bool is_portrait(const obs_source_t *source)
{
    return strcmp(obs_source_get_id(source), PORTRAIT_SOURCE_ID) == 0;
}

/// Whether it has pictures of its own, or those of a scene; filters, too, can be found by a name.
static bool has_pictures(const obs_source_t *source)
{
    const enum obs_source_type type = obs_source_get_type(source);
    return (type == OBS_SOURCE_TYPE_INPUT || type == OBS_SOURCE_TYPE_SCENE) &&
           obs_source_get_output_flags(source) & OBS_SOURCE_VIDEO;
}

/// A source that is there, by its name or uuid; to be released.
static obs_source_t *find(const char *name)
{
    obs_source_t *source = NULL;
#if LIBOBS_API_VER >= MAKE_SEMANTIC_VERSION(29, 1, 0)
    source = obs_get_source_by_uuid(name);
#endif
    if (!source)
        source = obs_get_source_by_name(name);
    if (source && obs_source_removed(source)) { // somebody holds it still
        obs_source_release(source);
        return NULL;
    }
    return source;
}

// --- The feed's thread

/// Tell the drawing thread what to do. The source is taken over; what it had is let go.
static void set_request(struct feed *feed, struct capture_request request)
{
    pthread_mutex_lock(&feed->mutex);
    const struct capture_request previous = feed->request;
    feed->request = request;
    pthread_mutex_unlock(&feed->mutex);
    obs_weak_source_release(previous.source);
}

/// Let the ring go, if there is one, and leave no picture in memory.
static void retire(struct feed *feed, struct feeding *feeding)
{
    if (!feeding->ring.memory)
        return;
    set_request(feed, (struct capture_request){0});
    triple_buffer_clear(&feed->buffer);
    feed_server_hang_up(&feeding->server);
    ring_writer_close(&feeding->ring);
    close(feeding->given);
    feeding->given = -1;
    feeding->read = false;
}

/// Let the source go.
static void lose(struct feed *feed, struct feeding *feeding)
{
    retire(feed, feeding);
    obs_source_t *source = obs_weak_source_get_source(feeding->target);
    if (source) {
        obs_source_dec_showing(source);
        obs_source_release(source);
    }
    obs_weak_source_release(feeding->target);
    feeding->target = NULL;
}

/// Follow the name that the source has.
static void note_name(struct feed *feed, struct feeding *feeding, const char *name)
{
    if (strcmp(text(&feed->found), name) == 0)
        return;
    dstr_copy(&feeding->name, name);
    pthread_mutex_lock(&feed->mutex);
    dstr_copy(&feed->found, name);
    pthread_mutex_unlock(&feed->mutex);
}

/// The source, to be released; looked for, if need be. NULL while it is not there.
static obs_source_t *attend(struct feed *feed, struct feeding *feeding, uint64_t now_ns)
{
    obs_source_t *source = obs_weak_source_get_source(feeding->target);
    if (source && !obs_source_removed(source))
        return source;
    obs_source_release(source);
    if (feeding->target) {
        plugin_log(LOG_INFO, "%s: %s is gone", feed->name, text(&feeding->name));
        lose(feed, feeding);
    }
    if (now_ns - feeding->searched_ns < SEARCH_NS)
        return NULL;
    feeding->searched_ns = now_ns;
    source = find(text(&feeding->name));
    if (!source)
        return NULL;
    if (is_portrait(source) || !has_pictures(source)) {
        obs_source_release(source);
        return NULL;
    }
    obs_source_inc_showing(source);
    feeding->target = obs_source_get_weak_source(source);
    return source;
}

/// Have a ring of the source's size.
static void fit_ring(struct feed *feed, struct feeding *feeding, obs_source_t *source)
{
    uint32_t width, height;
    const bool sized = snapshot_size(source, &width, &height);
    const struct ring_writer *ring = &feeding->ring;
    if (ring->memory && (!sized || ring->width != width || ring->height != height))
        retire(feed, feeding);
    if (!sized || ring->memory || !ring_writer_open(&feeding->ring, width, height, RATE))
        return;
    feeding->given = ring_writer_read_only(ring);
    if (++feeding->serial == 0)
        feeding->serial = 1;
    plugin_log(LOG_INFO, "%s: pictures of %s, %" PRIu32 " x %" PRIu32, feed->name, text(&feeding->name),
        width, height);
}

static const char *reason(enum feed_server_status status)
{
    switch (status) {
    case FEED_SERVER_LISTENING:
        break;
    case FEED_SERVER_BAD_NAME:
        return "no name for a socket, or too long with its folder";
    case FEED_SERVER_BAD_FOLDER:
        return "its folder is not this user's alone";
    case FEED_SERVER_TAKEN:
        return "another source, or another OBS, feeds it";
    case FEED_SERVER_REFUSED:
        return "the system refuses a socket";
    }
    return "";
}

/// Begin to listen, unless we do.
static void listen_for_readers(struct feed *feed, struct feeding *feeding, uint64_t now_ns)
{
    if (feeding->server.listener >= 0 || now_ns - feeding->listened_ns < LISTEN_NS)
        return;
    feeding->listened_ns = now_ns;
    const enum feed_server_status status = feed_server_open(&feeding->server, feed->folder, feed->name);
    if (status != FEED_SERVER_LISTENING && status != feeding->status)
        plugin_log(LOG_WARNING, "%s/%s.feed: %s", feed->folder, feed->name, reason(status));
    feeding->status = status;
}

/// What is done from time to time.
static void look(struct feed *feed, struct feeding *feeding, uint64_t now_ns)
{
    feeding->looked_ns = now_ns;
    listen_for_readers(feed, feeding, now_ns);
    obs_source_t *source = attend(feed, feeding, now_ns);
    if (!source)
        return;
    note_name(feed, feeding, obs_source_get_name(source));
    fit_ring(feed, feeding, source);
    obs_source_release(source);
    if (feeding->ring.memory && now_ns - atomic_load(&feed->drawn_ns) < DRAWING_NS)
        ring_writer_beat(&feeding->ring);
}

/// Hand the ring to who asks for it; the first one begins it all, and with the last one it ends.
static void serve(struct feed *feed, struct feeding *feeding)
{
    if (feeding->server.listener < 0)
        return;
    if (!feed_server_serve(&feeding->server, feeding->given))
        feed_server_close(&feeding->server); // and again in a moment
    const bool read = feed_server_readers(&feeding->server) > 0;
    if (feeding->read && !read)
        retire(feed, feeding);
    if (!read || feeding->read)
        return;
    feeding->read = true;
    obs_weak_source_addref(feeding->target);
    set_request(feed, (struct capture_request){
                          feeding->target, feeding->serial, feeding->ring.width, feeding->ring.height});
}

/// Write the newest picture, if one came.
static void write_picture(struct feed *feed, struct feeding *feeding)
{
    if (!triple_buffer_take(&feed->buffer))
        return;
    const struct picture *front = feed->buffer.front;
    if (!feeding->ring.memory || front->serial != feeding->serial) { // on its way while its ring was wiped
        triple_buffer_clear(&feed->buffer);
        return;
    }
    const struct ring_pixels pixels = {.bgrx = front->bgra, .pitch = (size_t)front->width * 4};
    if (front->captured_ns - feeding->written_ns < STANDING_NS && ring_writer_has(&feeding->ring, &pixels))
        return;
    ring_writer_add(&feeding->ring, &pixels, front->captured_ns);
    feeding->written_ns = front->captured_ns;
}

/// Take over what is wanted, if that changed.
static void look_what_is_wanted(struct feed *feed, struct feeding *feeding)
{
    pthread_mutex_lock(&feed->mutex);
    const bool changed = feed->aimed && strcmp(text(&feeding->aim), text(&feed->wanted)) != 0;
    if (changed) {
        dstr_copy_dstr(&feeding->aim, &feed->wanted);
        dstr_free(&feed->found);
    }
    feed->aimed = false;
    pthread_mutex_unlock(&feed->mutex);
    if (!changed)
        return;
    lose(feed, feeding);
    dstr_copy_dstr(&feeding->name, &feeding->aim);
    feeding->searched_ns = feeding->listened_ns = feeding->looked_ns = 0;
    feeding->status = FEED_SERVER_LISTENING;
    if (dstr_is_empty(&feeding->aim))
        feed_server_close(&feeding->server);
}

/// Sleep until there is something to do.
static void rest(const struct feed *feed, const struct feeding *feeding)
{
    struct pollfd awaited[2] = {
        {.fd = feed->wake, .events = POLLIN}, {.fd = feeding->server.listener, .events = POLLIN}};
    const uint64_t since_ns = os_gettime_ns() - feeding->looked_ns;
    const uint64_t ns = since_ns < LOOK_NS ? LOOK_NS - since_ns : 0;
    const struct timespec time = {.tv_nsec = (long)ns};
    ppoll(awaited, 2, dstr_is_empty(&feeding->aim) ? NULL : &time, NULL);
    uint64_t count;
    if (awaited[0].revents & POLLIN && read(feed->wake, &count, sizeof(count)) < 0)
        plugin_log(LOG_ERROR, "the feed cannot be woken");
}

static void *run(void *data)
{
    struct feed *feed = data;
    os_set_thread_name("streamfx-feed");
    struct feeding feeding = {.given = -1, .server = {.listener = -1}};
    while (!atomic_load(&feed->stopping)) {
        look_what_is_wanted(feed, &feeding);
        const uint64_t now_ns = os_gettime_ns();
        if (!dstr_is_empty(&feeding.aim) && now_ns - feeding.looked_ns >= LOOK_NS)
            look(feed, &feeding, now_ns);
        serve(feed, &feeding);
        write_picture(feed, &feeding);
        rest(feed, &feeding);
    }
    feed_server_close(&feeding.server);
    lose(feed, &feeding);
    dstr_free(&feeding.aim);
    dstr_free(&feeding.name);
    return NULL;
}

// --- OBS's drawing thread

/// What to take pictures of, with its source, to be released; serial 0: nothing. False if that cannot be
/// known without waiting.
static bool look_at_request(struct feed *feed, struct capture_request *request, obs_source_t **source)
{
    if (pthread_mutex_trylock(&feed->mutex) != 0)
        return false;
    *request = feed->request;
    *source = obs_weak_source_get_source(request->source);
    pthread_mutex_unlock(&feed->mutex);
    return true;
}

/// Forget what was taken for another ring, or for none.
static void change_to(struct feed *feed, uint32_t serial)
{
    feed->serial = serial;
    feed->due_ns = 0;
    feed->snapshot.captured_ns = 0;
    picture_wipe(feed->buffer.back);
    if (!serial)
        snapshot_free(&feed->snapshot);
}

/// Whether a picture is due in a frame: 30 a second on average, of frames that may be more.
static bool is_due(struct feed *feed, uint64_t frame_ns)
{
    if (frame_ns + EARLY_NS < feed->due_ns)
        return false;
    const uint64_t next_ns = feed->due_ns + PERIOD_NS;
    feed->due_ns = next_ns > frame_ns ? next_ns : frame_ns + PERIOD_NS;
    return true;
}

/// Give the last frame's picture to the feed's thread, and take this one's.
static void take_pictures(struct feed *feed, const struct capture_request *request, obs_source_t *source)
{
    struct picture *back = feed->buffer.back;
    if (snapshot_collect(&feed->snapshot, back)) {
        back->serial = request->serial;
        if (triple_buffer_try_publish(&feed->buffer))
            wake(feed);
    }
    uint32_t width, height;
    if (!snapshot_size(source, &width, &height) || width != request->width || height != request->height)
        return; // the feed's thread will see it and make another ring
    if (is_due(feed, obs_get_video_frame_time()))
        snapshot_take(&feed->snapshot, source, width, height);
}

void feed_render(struct feed *feed)
{
    const uint64_t began_ns = os_gettime_ns(), frame_ns = obs_get_video_frame_time();
    if (frame_ns == feed->frame_ns)
        return; // another canvas of the same frame
    feed->frame_ns = frame_ns;
    atomic_store(&feed->drawn_ns, began_ns);
    struct capture_request request;
    obs_source_t *source;
    if (!look_at_request(feed, &request, &source))
        return;
    if (feed->serial != request.serial)
        change_to(feed, request.serial);
    if (source) {
        take_pictures(feed, &request, source);
        obs_source_release(source);
        stopwatch_add(&feed->stopwatch, began_ns);
    }
}

// --- Anybody's

struct feed *feed_create(const char *folder, const char *name)
{
    struct feed *feed = bzalloc(sizeof(*feed));
    char *own = folder && *folder ? NULL : handover_folder();
    feed->folder = bstrdup(own ? own : folder ? folder : "");
    free(own);
    feed->name = bstrdup(name);
    feed->wake = -1;
    triple_buffer_init(&feed->buffer);
    pthread_mutex_init(&feed->mutex, NULL);
    return feed;
}

/// Start the thread, unless it runs. Called with the mutex held.
static void start(struct feed *feed)
{
    if (feed->wake >= 0)
        return;
    feed->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (feed->wake >= 0 && pthread_create(&feed->thread, NULL, run, feed) == 0)
        return;
    plugin_log(LOG_ERROR, "no thread could be started: nothing is fed");
    if (feed->wake >= 0)
        close(feed->wake);
    feed->wake = -1;
}

bool feed_aim(struct feed *feed, const char *source)
{
    const char *wanted = source ? source : "";
    obs_source_t *found = *wanted ? find(wanted) : NULL;
    const bool refused = found && is_portrait(found);
    obs_source_release(found);
    if (refused) {
        plugin_log(LOG_WARNING, "%s: a portrait cannot drive itself", wanted);
        wanted = "";
    }
    pthread_mutex_lock(&feed->mutex);
    dstr_copy(&feed->wanted, wanted);
    feed->aimed = true;
    if (*wanted)
        start(feed);
    const bool runs = feed->wake >= 0;
    pthread_mutex_unlock(&feed->mutex);
    if (runs)
        wake(feed);
    return !refused;
}

char *feed_target(struct feed *feed)
{
    pthread_mutex_lock(&feed->mutex);
    char *name = feed->found.len ? bstrdup(feed->found.array) : NULL;
    pthread_mutex_unlock(&feed->mutex);
    return name;
}

void feed_destroy(struct feed *feed)
{
    if (!feed)
        return;
    if (feed->wake >= 0) {
        atomic_store(&feed->stopping, true);
        wake(feed);
        pthread_join(feed->thread, NULL);
        close(feed->wake);
    }
    obs_enter_graphics();
    snapshot_free(&feed->snapshot);
    obs_leave_graphics();
    triple_buffer_clear(&feed->buffer);
    picture_wipe(feed->buffer.back);
    triple_buffer_free(&feed->buffer);
    if (feed->stopwatch.calls)
        stopwatch_log(&feed->stopwatch, feed->name, "feed_render");
    dstr_free(&feed->wanted);
    dstr_free(&feed->found);
    pthread_mutex_destroy(&feed->mutex);
    bfree(feed->folder);
    bfree(feed->name);
    bfree(feed);
}

/// Who is told the sources.
struct audience {
    feed_visitor *visit;
    void *data;
};

static bool tell(void *data, obs_source_t *source)
{
    const struct audience *audience = data;
    if (is_portrait(source) || !has_pictures(source))
        return true;
    const char *uuid = NULL;
#if LIBOBS_API_VER >= MAKE_SEMANTIC_VERSION(29, 1, 0)
    uuid = obs_source_get_uuid(source);
#endif
    audience->visit(audience->data, obs_source_get_name(source), uuid);
    return true;
}

void feed_list_sources(feed_visitor *visit, void *data)
{
    struct audience audience = {visit, data};
    obs_enum_sources(tell, &audience);
}
