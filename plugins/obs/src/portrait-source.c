// SPDX-License-Identifier: GPL-2.0-or-later

#include "portrait-source.h"

#include <inttypes.h>
#include <obs-module.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <util/platform.h>

#include "feed.h"
#include "handover.h"
#include "plugin.h"
#include "reader.h"

static const char SESSION[] = "session", FOLDER[] = "runtime_folder";
static const char FEED_SOURCE[] = "feed_source", FEED_NAME[] = "feed_name";

/// How long OBS's thread was in our hands. The first call counts apart: in it the card's driver makes ready
/// what is drawn with for the first time.
struct timing {
    uint64_t calls;
    uint64_t first_ns;
    uint64_t longest_ns;
    uint64_t total_ns;
};

struct portrait_source {
    obs_source_t *source;
    struct reader *reader;
    struct feed *feed; ///< of the source that drives the portrait

    // Of OBS's drawing thread alone:
    gs_texture_t *texture;
    bool outdated; ///< the texture, by the exchange's front
    struct timing tick;
    struct timing render;

    // Written by the drawing thread, read by any:
    atomic_uint width, height;
};

static void timing_add(struct timing *timing, uint64_t began_ns)
{
    const uint64_t took_ns = os_gettime_ns() - began_ns;
    timing->total_ns += took_ns;
    if (timing->calls++ == 0)
        timing->first_ns = took_ns;
    else if (took_ns > timing->longest_ns)
        timing->longest_ns = took_ns;
}

static void timing_log(const struct timing *timing, const obs_source_t *source, const char *what)
{
    const double mean_ms = timing->calls ? (double)timing->total_ns / (double)timing->calls / 1e6 : 0.0;
    plugin_log(LOG_INFO, "%s: %" PRIu64 " calls of %s, first %.3f ms, longest after it %.3f ms, mean %.4f ms",
        obs_source_get_name(source), timing->calls, what, (double)timing->first_ns / 1e6,
        (double)timing->longest_ns / 1e6, mean_ms);
}

static const char *portrait_source_name(void *unused)
{
    UNUSED_PARAMETER(unused);
    return obs_module_text("Source.Name");
}

static void render_feed(void *feed, uint32_t width, uint32_t height)
{
    UNUSED_PARAMETER(width);
    UNUSED_PARAMETER(height);
    feed_render(feed);
}

static void *portrait_source_create(obs_data_t *settings, obs_source_t *source)
{
    struct portrait_source *portrait = bzalloc(sizeof(*portrait));
    portrait->source = source;
    portrait->reader =
        reader_start(obs_data_get_string(settings, FOLDER), obs_data_get_string(settings, SESSION));
    portrait->feed =
        feed_create(obs_data_get_string(settings, FOLDER), obs_data_get_string(settings, FEED_NAME));
    obs_add_main_render_callback(render_feed, portrait->feed);
    feed_aim(portrait->feed, obs_data_get_string(settings, FEED_SOURCE));
    return portrait;
}

static void portrait_source_destroy(void *data)
{
    struct portrait_source *portrait = data;
    obs_remove_main_render_callback(render_feed, portrait->feed);
    feed_destroy(portrait->feed);
    reader_stop(portrait->reader);
    obs_enter_graphics();
    gs_texture_destroy(portrait->texture);
    obs_leave_graphics();
    timing_log(&portrait->tick, portrait->source, "video_tick");
    timing_log(&portrait->render, portrait->source, "video_render");
    bfree(portrait);
}

static void portrait_source_update(void *data, obs_data_t *settings)
{
    struct portrait_source *portrait = data;
    reader_aim(
        portrait->reader, obs_data_get_string(settings, FOLDER), obs_data_get_string(settings, SESSION));
    feed_aim(portrait->feed, obs_data_get_string(settings, FEED_SOURCE));
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
    obs_data_set_default_string(settings, SESSION, "");
    obs_data_set_default_string(settings, FOLDER, "");
}

static void add_session(void *list, const char *session)
{
    obs_property_list_add_string(list, session, session);
}

/// Which pictures are shown.
static obs_properties_t *stream_properties(const char *chosen_folder)
{
    obs_properties_t *group = obs_properties_create();
    obs_property_t *sessions = obs_properties_add_list(
        group, SESSION, obs_module_text("Session"), OBS_COMBO_TYPE_EDITABLE, OBS_COMBO_FORMAT_STRING);
    obs_property_set_long_description(sessions, obs_module_text("Session.Description"));
    char *own = handover_folder();
    const char *folder = *chosen_folder ? chosen_folder : own;
    if (folder)
        handover_sessions(folder, add_session, sessions);
    free(own);
    obs_property_t *path = obs_properties_add_path(
        group, FOLDER, obs_module_text("RuntimeFolder"), OBS_PATH_DIRECTORY, NULL, NULL);
    obs_property_set_long_description(path, obs_module_text("RuntimeFolder.Description"));
    return group;
}

/// One group for each thing that can be set; others stand beside it.
static obs_properties_t *portrait_source_properties(void *data)
{
    const struct portrait_source *portrait = data;
    obs_data_t *settings = portrait ? obs_source_get_settings(portrait->source) : NULL;
    const char *folder = settings ? obs_data_get_string(settings, FOLDER) : "";
    obs_properties_t *properties = obs_properties_create();
    obs_properties_add_group(
        properties, "stream", obs_module_text("Stream"), OBS_GROUP_NORMAL, stream_properties(folder));
    obs_data_release(settings);
    return properties;
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
    UNUSED_PARAMETER(seconds);
    const uint64_t began_ns = os_gettime_ns();
    struct portrait_source *portrait = data;
    struct exchange *exchange = reader_exchange(portrait->reader);
    if (exchange_take(exchange)) {
        portrait->outdated = true;
        atomic_store(&portrait->width, exchange->front->width);
        atomic_store(&portrait->height, exchange->front->height);
    }
    timing_add(&portrait->tick, began_ns);
}

/// Bring the newest picture to the card, if it is not there.
static void upload(struct portrait_source *portrait)
{
    const struct picture *picture = reader_exchange(portrait->reader)->front;
    gs_texture_t *texture = portrait->texture;
    portrait->outdated = false;
    if (!texture || gs_texture_get_width(texture) != picture->width ||
        gs_texture_get_height(texture) != picture->height) {
        gs_texture_destroy(texture);
        portrait->texture = gs_texture_create(picture->width, picture->height, GS_BGRA, 1, NULL, GS_DYNAMIC);
    }
    if (portrait->texture)
        gs_texture_set_image(portrait->texture, picture->bgra, picture->width * 4, false);
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
    if (!portrait->outdated && !portrait->texture)
        return; // nothing came yet
    if (portrait->outdated)
        upload(portrait);
    if (portrait->texture)
        draw(portrait->texture);
    timing_add(&portrait->render, began_ns);
}

void portrait_source_register(void)
{
    const struct obs_source_info info = {
        .id = "streamfx_portrait_source",
        .type = OBS_SOURCE_TYPE_INPUT,
        .output_flags = OBS_SOURCE_VIDEO | OBS_SOURCE_CUSTOM_DRAW | OBS_SOURCE_SRGB,
        .icon_type = OBS_ICON_TYPE_CAMERA,
        .get_name = portrait_source_name,
        .create = portrait_source_create,
        .destroy = portrait_source_destroy,
        .update = portrait_source_update,
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
