// SPDX-License-Identifier: GPL-2.0-or-later

#include "snapshot.h"

#include <string.h>
#include <util/platform.h>

static const uint64_t WAIT_NS = 1000000;
enum { MOST_WAITS = 8 };
enum { MOST_WIDTH = 640, MOST_HEIGHT = 480, LEAST = 2, BILINEAR_REACHES = 2 };

static uint32_t even(double length)
{
    const uint32_t rounded = 2 * (uint32_t)(length / 2 + 1e-6); // down: never enlarged
    return rounded > LEAST ? rounded : LEAST;
}

bool snapshot_size(obs_source_t *source, uint32_t *width, uint32_t *height)
{
    const double wide = obs_source_get_width(source), high = obs_source_get_height(source);
    if (wide < 1 || high < 1)
        return false;
    double scale = MOST_WIDTH / wide < MOST_HEIGHT / high ? MOST_WIDTH / wide : MOST_HEIGHT / high;
    scale = scale < 1 ? scale : 1;
    *width = even(scale * wide);
    *height = even(scale * high);
    return true;
}

void snapshot_free(struct snapshot *snapshot)
{
    gs_texrender_destroy(snapshot->small);
    gs_texrender_destroy(snapshot->whole);
    for (int i = 0; i < 2; i++)
        gs_stagesurface_destroy(snapshot->surfaces[i]);
    *snapshot = (struct snapshot){0};
}

static bool prepare(struct snapshot *snapshot, uint32_t width, uint32_t height)
{
    if (snapshot->width == width && snapshot->height == height)
        return true;
    snapshot_free(snapshot);
    snapshot->small = gs_texrender_create(GS_BGRA, GS_ZS_NONE);
    for (int i = 0; i < 2; i++)
        snapshot->surfaces[i] = gs_stagesurface_create(width, height, GS_BGRA);
    if (!snapshot->small || !snapshot->surfaces[0] || !snapshot->surfaces[1]) {
        snapshot_free(snapshot);
        return false;
    }
    snapshot->width = width;
    snapshot->height = height;
    return true;
}

/// Begin to draw into a texture, with coordinates of another size. It holds plain sRGB, whatever the canvas
/// does: sources look for that and convert what they have.
static bool begin(gs_texrender_t *render, uint32_t width, uint32_t height, float wide, float high)
{
    gs_texrender_reset(render);
    if (!gs_texrender_begin_with_color_space(render, width, height, GS_CS_SRGB))
        return false;
    struct vec4 clear;
    vec4_zero(&clear);
    gs_clear(GS_CLEAR_COLOR, &clear, 0.0f, 0);
    gs_ortho(0.0f, wide, 0.0f, high, -100.0f, 100.0f);
    gs_blend_state_push();
    gs_reset_blend_state();
    gs_blend_function(GS_BLEND_ONE, GS_BLEND_ZERO); // what is half transparent does not become dark
    return true;
}

static void end(gs_texrender_t *render)
{
    gs_blend_state_pop();
    gs_texrender_end(render);
}

static bool draw_source(
    gs_texrender_t *render, obs_source_t *source, uint32_t width, uint32_t height, float wide, float high)
{
    if (!begin(render, width, height, wide, high))
        return false;
    const bool previous = gs_framebuffer_srgb_enabled();
    gs_enable_framebuffer_srgb(false); // sources that draw in linear light enable it themselves
    obs_source_video_render(source);
    gs_enable_framebuffer_srgb(previous);
    end(render);
    return true;
}

/// Draw a large texture small, averaging what falls into a pixel, in linear light.
static bool draw_reduced(gs_texrender_t *render, gs_texture_t *large, uint32_t width, uint32_t height)
{
    if (!large || !begin(render, width, height, (float)width, (float)height))
        return false;
    const bool previous = gs_framebuffer_srgb_enabled();
    gs_enable_framebuffer_srgb(true);
    gs_effect_t *effect = obs_get_base_effect(OBS_EFFECT_BILINEAR_LOWRES);
    gs_effect_set_texture_srgb(gs_effect_get_param_by_name(effect, "image"), large);
    while (gs_effect_loop(effect, "Draw"))
        gs_draw_sprite(large, 0, width, height);
    gs_enable_framebuffer_srgb(previous);
    end(render);
    return true;
}

static bool draw(struct snapshot *snapshot, obs_source_t *source)
{
    const uint32_t width = snapshot->width, height = snapshot->height;
    const uint32_t wide = obs_source_get_width(source), high = obs_source_get_height(source);
    // The processor would need 40 ms for all of a large one; rather each pixel from a few of those it covers.
    const bool near = wide <= BILINEAR_REACHES * width && high <= BILINEAR_REACHES * height;
    if (near || snapshot->late)
        return draw_source(snapshot->small, source, width, height, (float)wide, (float)high);
    if (!snapshot->whole)
        snapshot->whole = gs_texrender_create(GS_BGRA, GS_ZS_NONE);
    return snapshot->whole && draw_source(snapshot->whole, source, wide, high, (float)wide, (float)high) &&
           draw_reduced(snapshot->small, gs_texrender_get_texture(snapshot->whole), width, height);
}

/// Have what was drawn copied to a surface. Two of them in turns: the card need not be through with the one
/// that was collected from.
static void copy(struct snapshot *snapshot)
{
    const uint64_t began_ns = os_gettime_ns();
    snapshot->newest = !snapshot->newest;
    gs_stage_texture(snapshot->surfaces[snapshot->newest], gs_texrender_get_texture(snapshot->small));
    snapshot->copied = true;
    snapshot->waits = os_gettime_ns() - began_ns > WAIT_NS ? snapshot->waits + 1 : 0;
    if (snapshot->waits < MOST_WAITS)
        return;
    snapshot->late = true;
    gs_texrender_destroy(snapshot->whole);
    snapshot->whole = NULL;
}

bool snapshot_take(struct snapshot *snapshot, obs_source_t *source, uint32_t width, uint32_t height)
{
    if (!prepare(snapshot, width, height))
        return false;
    const uint64_t now_ns = os_gettime_ns();
    if (!draw(snapshot, source))
        return false;
    snapshot->captured_ns = now_ns;
    snapshot->copied = false;
    if (!snapshot->late)
        copy(snapshot);
    return true;
}

bool snapshot_collect(struct snapshot *snapshot, struct picture *picture)
{
    if (!snapshot->captured_ns)
        return false;
    picture->captured_ns = snapshot->captured_ns;
    snapshot->captured_ns = 0;
    if (!snapshot->copied)
        copy(snapshot);
    uint8_t *pixels;
    uint32_t pitch;
    if (!gs_stagesurface_map(snapshot->surfaces[snapshot->newest], &pixels, &pitch))
        return false;
    picture_resize(picture, snapshot->width, snapshot->height);
    const size_t row = (size_t)snapshot->width * 4;
    if (pitch == row)
        memcpy(picture->bgra, pixels, row * snapshot->height);
    else
        for (uint32_t y = 0; y < snapshot->height; y++)
            memcpy(picture->bgra + y * row, pixels + (size_t)y * pitch, row);
    gs_stagesurface_unmap(snapshot->surfaces[snapshot->newest]);
    return true;
}
