// SPDX-License-Identifier: GPL-2.0-or-later

#include "portrait-source.h"

#include <inttypes.h>
#include <obs-module.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <util/platform.h>

#include "feed.h"
#include "hotkeys.h"
#include "plugin.h"
#include "properties.h"
#include "reader.h"
#include "session-sync.h"
#include "stopwatch.h"

/// Of the feed, kept with the source: the daemon knows it by this name when OBS is started again.
static const char SET_FEED[] = "feed_name";

struct portrait_source {
    obs_source_t *source;
    struct session_sync *sync;
    struct reader *reader;
    struct feed *feed; ///< of the source that drives the portrait
    char *folder;      ///< of the daemon's sockets, as the feed has it
    char feed_name[WORD_ROOM];
    struct portrait_source *next; ///< of all sources of ours; guarded by `all_mutex`

    // Of OBS's drawing thread alone:
    gs_texture_t
        *textures[2]; ///< by turns: one is written while what was drawn of the other may be under way
    size_t shown;     ///< which of them holds the newest picture
    bool outdated;    ///< it does not: the buffer's front is newer
    struct stopwatch tick;
    struct stopwatch render;

    // Written by the drawing thread, read by any:
    atomic_uint width, height;
};

/// All sources of ours, so that no two have a feed of the same name: one that OBS copies has its settings.
static struct portrait_source *all;
static pthread_mutex_t all_mutex = PTHREAD_MUTEX_INITIALIZER; // held to walk the list, never for longer

static const char *portrait_source_name(void *unused)
{
    UNUSED_PARAMETER(unused);
    return obs_module_text("Source.Name");
}

/// What is to be done in OBS's thread of windows, for a source that may be gone by then.
struct adoption {
    obs_weak_source_t *source;
    struct portrait_source *portrait; ///< there as long as the source is
};

static void adopt(void *data)
{
    struct adoption *adoption = data;
    obs_source_t *source = obs_weak_source_get_source(adoption->source);
    if (source) {
        obs_data_t *settings = obs_source_get_settings(source);
        if (session_sync_adopt(adoption->portrait->sync, settings))
            obs_source_update_properties(source);
        obs_data_release(settings);
        obs_source_release(source);
    }
    obs_weak_source_release(adoption->source);
    bfree(adoption);
}

static void on_change(void *data)
{
    struct portrait_source *portrait = data;
    struct adoption *adoption = bzalloc(sizeof(*adoption));
    adoption->source = obs_source_get_weak_source(portrait->source);
    adoption->portrait = portrait;
    obs_queue_task(OBS_TASK_UI, adopt, adoption, false);
}

static void render_feed(void *feed, uint32_t width, uint32_t height)
{
    UNUSED_PARAMETER(width);
    UNUSED_PARAMETER(height);
    feed_render(feed);
}

static void open_feed(struct portrait_source *portrait, const char *folder)
{
    portrait->folder = bstrdup(folder);
    portrait->feed = feed_create(folder, portrait->feed_name);
    obs_add_main_render_callback(render_feed, portrait->feed);
}

static void destroy_feed(void *feed)
{
    feed_destroy(feed);
}

/// Move to the sockets of another folder. The feed's thread may be looking for a source in OBS's list, which
/// OBS may hold for us just now: so its end is waited for elsewhere.
static void move(struct portrait_source *portrait, const char *folder, const char *session)
{
    obs_remove_main_render_callback(render_feed, portrait->feed);
    obs_queue_task(OBS_TASK_DESTROY, destroy_feed, portrait->feed, false);
    bfree(portrait->folder);
    open_feed(portrait, folder);
    reader_aim(portrait->reader, folder, session);
}

/// Do what the settings say; waits for nothing that OBS would notice. Which session is read is told by the
/// sync, which knows it.
static void portrait_source_update(void *data, obs_data_t *settings)
{
    struct portrait_source *portrait = data;
    const struct session_sync_aim aim = {
        .folder = obs_data_get_string(settings, SET_FOLDER),
        .session = obs_data_get_string(settings, SET_SESSION),
        .program = obs_data_get_string(settings, SET_PROGRAM),
        .start = obs_data_get_bool(settings, SET_START),
    };
    const bool by_obs = strcmp(obs_data_get_string(settings, SET_DRIVER), DRIVER_OBS) == 0;
    if (strcmp(aim.folder, portrait->folder) != 0)
        move(portrait, aim.folder, aim.session);
    feed_aim(portrait->feed, by_obs ? obs_data_get_string(settings, SET_DRIVER_SOURCE) : NULL);
    session_sync_update(portrait->sync, &aim, settings);
}

/// Join all sources, with a name for the feed that none of them has: the one that was kept, if possible.
static void join(struct portrait_source *portrait, obs_data_t *settings)
{
    const char *kept = obs_data_get_string(settings, SET_FEED);
    pthread_mutex_lock(&all_mutex);
    bool taken = !*kept || strlen(kept) >= sizeof(portrait->feed_name);
    for (const struct portrait_source *one = all; one && !taken; one = one->next)
        taken = strcmp(one->feed_name, kept) == 0;
    if (taken)
        snprintf(portrait->feed_name, sizeof(portrait->feed_name), "obs-%012" PRIx64,
            os_gettime_ns() & 0xffffffffffff);
    else
        snprintf(portrait->feed_name, sizeof(portrait->feed_name), "%s", kept);
    portrait->next = all;
    all = portrait;
    pthread_mutex_unlock(&all_mutex);
    obs_data_set_string(settings, SET_FEED, portrait->feed_name);
}

static void part(struct portrait_source *portrait)
{
    pthread_mutex_lock(&all_mutex);
    struct portrait_source **place = &all;
    while (*place && *place != portrait)
        place = &(*place)->next;
    if (*place)
        *place = portrait->next;
    pthread_mutex_unlock(&all_mutex);
}

static void *portrait_source_create(obs_data_t *settings, obs_source_t *source)
{
    struct portrait_source *portrait = bzalloc(sizeof(*portrait));
    const char *folder = obs_data_get_string(settings, SET_FOLDER);
    char driver[TEXT_ROOM];
    join(portrait, settings);
    snprintf(driver, sizeof(driver), "feed:%s", portrait->feed_name);
    portrait->source = source;
    portrait->reader = reader_start(folder, obs_data_get_string(settings, SET_SESSION));
    portrait->sync = session_sync_create(driver, on_change, portrait);
    open_feed(portrait, folder);
    hotkeys_register(source, portrait->sync);
    portrait_source_update(portrait, settings);
    return portrait;
}

static void portrait_source_destroy(void *data)
{
    struct portrait_source *portrait = data;
    part(portrait);
    session_sync_destroy(portrait->sync);
    obs_remove_main_render_callback(render_feed, portrait->feed);
    feed_destroy(portrait->feed);
    bfree(portrait->folder);
    reader_stop(portrait->reader);
    obs_enter_graphics();
    for (size_t i = 0; i < 2; i++)
        gs_texture_destroy(portrait->textures[i]);
    obs_leave_graphics();
    stopwatch_log(&portrait->tick, obs_source_get_name(portrait->source), "video_tick");
    stopwatch_log(&portrait->render, obs_source_get_name(portrait->source), "video_render");
    bfree(portrait);
}

/// Before OBS writes its settings: the driving source may have another name now.
static void portrait_source_save(void *data, obs_data_t *settings)
{
    const struct portrait_source *portrait = data;
    char *name = feed_target(portrait->feed);
    if (name)
        obs_data_set_string(settings, SET_DRIVER_SOURCE, name);
    bfree(name);
}

static void portrait_source_show(void *data)
{
    const struct portrait_source *portrait = data;
    reader_watch(portrait->reader, true);
}

static void portrait_source_hide(void *data)
{
    const struct portrait_source *portrait = data;
    reader_watch(portrait->reader, false);
}

static void portrait_source_defaults(obs_data_t *settings)
{
    obs_data_set_default_string(settings, SET_SESSION, "");
    obs_data_set_default_string(settings, SET_FOLDER, "");
    obs_data_set_default_string(settings, SET_PROGRAM, "");
    obs_data_set_default_bool(settings, SET_START, true);
    choices_default(settings);
}

static obs_properties_t *portrait_source_properties(void *data)
{
    const struct portrait_source *portrait = data;
    return portrait ? properties_of(portrait->source, portrait->sync) : obs_properties_create();
}

static uint32_t portrait_source_width(void *data)
{
    struct portrait_source *portrait = data;
    return atomic_load(&portrait->width);
}

static uint32_t portrait_source_height(void *data)
{
    struct portrait_source *portrait = data;
    return atomic_load(&portrait->height);
}

static void portrait_source_tick(void *data, float seconds)
{
    const uint64_t began_ns = os_gettime_ns();
    struct portrait_source *portrait = data;
    struct triple_buffer *buffer = reader_buffer(portrait->reader);
    char session[ID_ROOM];
    if (triple_buffer_take(buffer)) {
        portrait->outdated = true;
        atomic_store(&portrait->width, buffer->front->width);
        atomic_store(&portrait->height, buffer->front->height);
    }
    if (session_sync_tick(portrait->sync, seconds, session))
        reader_aim(portrait->reader, portrait->folder, session);
    stopwatch_add(&portrait->tick, began_ns);
}

static bool fits(const gs_texture_t *texture, const struct picture *picture)
{
    return texture && gs_texture_get_width(texture) == picture->width &&
           gs_texture_get_height(texture) == picture->height;
}

/// Bring the newest picture to the card, if it is not there. Where that needs a texture of another size, it
/// is made in this frame and filled in the next: either takes a millisecond or two.
static void upload(struct portrait_source *portrait)
{
    const struct picture *picture = reader_buffer(portrait->reader)->front;
    const size_t next = !portrait->shown;
    gs_texture_t **texture = &portrait->textures[next];
    if (!fits(*texture, picture)) {
        gs_texture_destroy(*texture);
        *texture = gs_texture_create(picture->width, picture->height, GS_BGRA, 1, NULL, GS_DYNAMIC);
        return;
    }
    gs_texture_set_image(*texture, picture->bgra, picture->width * 4, false);
    portrait->shown = next;
    portrait->outdated = false;
}

static void draw(gs_texture_t *texture)
{
    // The colours are multiplied by alpha as they are, gamma and all, as in any program but OBS. So they must
    // be blended as they are: decoded, blended and encoded again, edges would become dark. A canvas of
    // floating point (HDR) holds linear light, and only there they must be decoded.
    const bool linear = gs_get_color_space() != GS_CS_SRGB;
    const bool previous = gs_framebuffer_srgb_enabled();
    gs_enable_framebuffer_srgb(linear);
    gs_blend_state_push();
    gs_blend_function(GS_BLEND_ONE, GS_BLEND_INVSRCALPHA);
    gs_effect_t *effect = obs_get_base_effect(OBS_EFFECT_DEFAULT);
    gs_eparam_t *image = gs_effect_get_param_by_name(effect, "image");
    if (linear)
        gs_effect_set_texture_srgb(image, texture);
    else
        gs_effect_set_texture(image, texture);
    while (gs_effect_loop(effect, "Draw"))
        gs_draw_sprite(texture, 0, 0, 0);
    gs_blend_state_pop();
    gs_enable_framebuffer_srgb(previous);
}

static void portrait_source_render(void *data, gs_effect_t *unused)
{
    UNUSED_PARAMETER(unused);
    const uint64_t began_ns = os_gettime_ns();
    struct portrait_source *portrait = data;
    if (portrait->outdated)
        upload(portrait);
    if (!portrait->textures[portrait->shown])
        return; // nothing came yet
    draw(portrait->textures[portrait->shown]);
    stopwatch_add(&portrait->render, began_ns);
}

void portrait_source_register(void)
{
    const struct obs_source_info info = {
        .id = PORTRAIT_SOURCE_ID,
        .type = OBS_SOURCE_TYPE_INPUT,
        .output_flags = OBS_SOURCE_VIDEO | OBS_SOURCE_CUSTOM_DRAW | OBS_SOURCE_SRGB,
        .icon_type = OBS_ICON_TYPE_CAMERA,
        .get_name = portrait_source_name,
        .create = portrait_source_create,
        .destroy = portrait_source_destroy,
        .update = portrait_source_update,
        .save = portrait_source_save,
        .show = portrait_source_show,
        .hide = portrait_source_hide,
        .get_defaults = portrait_source_defaults,
        .get_properties = portrait_source_properties,
        .get_width = portrait_source_width,
        .get_height = portrait_source_height,
        .video_tick = portrait_source_tick,
        .video_render = portrait_source_render,
    };
    obs_register_source(&info);
}
