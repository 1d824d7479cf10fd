// SPDX-License-Identifier: GPL-2.0-or-later

#include "choices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grpc-call.h"

static const char *const GAIN_KEYS[GAINS] = {
    [SFX_GAIN_HEAD] = SET_GAIN_HEAD,
    [SFX_GAIN_EXPRESSION] = SET_GAIN_EXPRESSION,
    [SFX_GAIN_GAZE] = SET_GAIN_GAZE,
};

/// By the daemon's numbers; kinds that this plugin does not know are shown as "keep".
static const char *const BACKGROUNDS[] = {
    [STREAMFX__V1__BACKGROUND_KIND__BACKGROUND_KIND_KEEP] = "keep",
    [STREAMFX__V1__BACKGROUND_KIND__BACKGROUND_KIND_BLUR] = "blur",
    [STREAMFX__V1__BACKGROUND_KIND__BACKGROUND_KIND_COLOUR] = "colour",
    [STREAMFX__V1__BACKGROUND_KIND__BACKGROUND_KIND_IMAGE] = "image",
    [STREAMFX__V1__BACKGROUND_KIND__BACKGROUND_KIND_REMOVE] = "remove",
};
enum { BACKGROUND_COUNT = sizeof(BACKGROUNDS) / sizeof(*BACKGROUNDS) };

/// By the daemon's numbers; kinds that this plugin does not know are shown as "auto".
static const char *const FRAMINGS[] = {
    [STREAMFX__V1__FRAMING_KIND__FRAMING_KIND_AUTO] = "auto",
    [STREAMFX__V1__FRAMING_KIND__FRAMING_KIND_PHOTO] = "photo",
    [STREAMFX__V1__FRAMING_KIND__FRAMING_KIND_CLOSE] = "close",
    [STREAMFX__V1__FRAMING_KIND__FRAMING_KIND_WIDE] = "wide",
};
enum { FRAMING_COUNT = sizeof(FRAMINGS) / sizeof(*FRAMINGS) };

static const double SAME = 1e-6; // of gains, and of a framing's numbers

/// What the API allows, and properties.c offers; what is told may be any number, or none.
static double within(double told, double least, double most, double otherwise)
{
    return told >= least && told <= most ? told : otherwise;
}

static double gain_of(double told)
{
    return within(told, 0.0, 1.5, 1.0);
}

/// OBS keeps colours as 0xAABBGGRR.
static uint32_t swapped(uint32_t colour)
{
    return (colour & 0xff) << 16 | (colour & 0xff00) | (colour >> 16 & 0xff);
}

void choices_default(obs_data_t *settings)
{
    obs_data_set_default_string(settings, SET_PORTRAIT, "");
    obs_data_set_default_string(settings, SET_PHOTO, "");
    obs_data_set_default_string(settings, SET_DRIVER, "auto");
    obs_data_set_default_string(settings, SET_DRIVER_SOURCE, "");
    obs_data_set_default_string(settings, SET_BACKGROUND, "keep");
    obs_data_set_default_int(settings, SET_COLOUR, 0xff40b100); // #00b140
    obs_data_set_default_string(settings, SET_IMAGE, "");
    obs_data_set_default_string(settings, SET_FRAMING, "auto");
    obs_data_set_default_double(settings, SET_FRAMING_ZOOM, 1.0);
    obs_data_set_default_double(settings, SET_FRAMING_X, 0.0);
    obs_data_set_default_double(settings, SET_FRAMING_Y, 0.0);
    obs_data_set_default_bool(settings, SET_MIRROR, false);
    obs_data_set_default_bool(settings, SET_HIDDEN, false);
    for (int gain = 0; gain < GAINS; gain++)
        obs_data_set_default_double(settings, GAIN_KEYS[gain], 1.0);
    obs_data_set_default_string(settings, SET_REFINE, "lite");
    obs_data_set_default_string(settings, SET_MOUTH, "lite");
}

static Streamfx__V1__BackgroundKind background_named(const char *name)
{
    for (int kind = 1; kind < BACKGROUND_COUNT; kind++)
        if (strcmp(BACKGROUNDS[kind], name) == 0)
            return (Streamfx__V1__BackgroundKind)kind;
    return STREAMFX__V1__BACKGROUND_KIND__BACKGROUND_KIND_KEEP;
}

static Streamfx__V1__FramingKind framing_named(const char *name)
{
    for (int kind = 1; kind < FRAMING_COUNT; kind++)
        if (strcmp(FRAMINGS[kind], name) == 0)
            return (Streamfx__V1__FramingKind)kind;
    return STREAMFX__V1__FRAMING_KIND__FRAMING_KIND_AUTO;
}

static unsigned given_in(obs_data_t *settings)
{
    const struct {
        const char *key;
        enum sfx_field choice;
    } keys[] = {
        {SET_PORTRAIT, SFX_FIELD_PORTRAIT},
        {SET_DRIVER, SFX_FIELD_SOURCE},
        {SET_BACKGROUND, SFX_FIELD_BACKGROUND},
        {SET_FRAMING, SFX_FIELD_FRAMING},
        {SET_FRAMING_ZOOM, SFX_FIELD_FRAMING},
        {SET_FRAMING_X, SFX_FIELD_FRAMING},
        {SET_FRAMING_Y, SFX_FIELD_FRAMING},
        {SET_MIRROR, SFX_FIELD_MIRROR},
        {SET_HIDDEN, SFX_FIELD_HIDDEN},
        {SET_GAIN_HEAD, SFX_FIELD_GAIN_HEAD},
        {SET_GAIN_EXPRESSION, SFX_FIELD_GAIN_EXPRESSION},
        {SET_GAIN_GAZE, SFX_FIELD_GAIN_GAZE},
        {SET_REFINE, SFX_FIELD_REFINE},
        {SET_MOUTH, SFX_FIELD_MOUTH},
    };
    unsigned given = 0;
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
        if (obs_data_has_user_value(settings, keys[i].key))
            given |= keys[i].choice;
    if (!*obs_data_get_string(settings, SET_PORTRAIT))
        given &= ~(unsigned)SFX_FIELD_PORTRAIT;
    return given;
}

void choices_read(struct sfx_settings *choices, obs_data_t *settings, const char *feed)
{
    memset(choices, 0, sizeof(*choices)); // texts are compared as they are, and copied whole
    const char *driver = obs_data_get_string(settings, SET_DRIVER);
    choices->fields = given_in(settings);
    sfx_copy_text(choices->portrait, ID_ROOM, obs_data_get_string(settings, SET_PORTRAIT));
    sfx_copy_text(choices->source, TEXT_ROOM, strcmp(driver, DRIVER_OBS) == 0 ? feed : driver);
    choices->background = background_named(obs_data_get_string(settings, SET_BACKGROUND));
    choices->colour = swapped((uint32_t)obs_data_get_int(settings, SET_COLOUR));
    sfx_copy_text(choices->image, TEXT_ROOM, obs_data_get_string(settings, SET_IMAGE));
    choices->framing.kind = framing_named(obs_data_get_string(settings, SET_FRAMING));
    choices->framing.zoom = obs_data_get_double(settings, SET_FRAMING_ZOOM);
    choices->framing.x = obs_data_get_double(settings, SET_FRAMING_X);
    choices->framing.y = obs_data_get_double(settings, SET_FRAMING_Y);
    choices->mirror = obs_data_get_bool(settings, SET_MIRROR);
    choices->hidden = obs_data_get_bool(settings, SET_HIDDEN);
    for (int gain = 0; gain < GAINS; gain++)
        choices->gains[gain] = obs_data_get_double(settings, GAIN_KEYS[gain]);
    sfx_copy_text(choices->refine, WORD_ROOM, obs_data_get_string(settings, SET_REFINE));
    sfx_copy_text(choices->mouth, WORD_ROOM, obs_data_get_string(settings, SET_MOUTH));
}

/// What the user chose is theirs and kept with the scene; what they did not is the session's, shown as if it
/// were the default, and asked of no other session.
static void put_string(obs_data_t *settings, const char *key, const char *value)
{
    if (obs_data_has_user_value(settings, key))
        obs_data_set_string(settings, key, value);
    else
        obs_data_set_default_string(settings, key, value);
}

static void put_bool(obs_data_t *settings, const char *key, bool value)
{
    if (obs_data_has_user_value(settings, key))
        obs_data_set_bool(settings, key, value);
    else
        obs_data_set_default_bool(settings, key, value);
}

static void put_double(obs_data_t *settings, const char *key, double value)
{
    if (obs_data_has_user_value(settings, key))
        obs_data_set_double(settings, key, value);
    else
        obs_data_set_default_double(settings, key, value);
}

static void put_int(obs_data_t *settings, const char *key, long long value)
{
    if (obs_data_has_user_value(settings, key))
        obs_data_set_int(settings, key, value);
    else
        obs_data_set_default_int(settings, key, value);
}

static void write_background(const struct sfx_settings *choices, obs_data_t *settings)
{
    put_string(settings, SET_BACKGROUND, BACKGROUNDS[choices->background]);
    if (choices->background == STREAMFX__V1__BACKGROUND_KIND__BACKGROUND_KIND_COLOUR)
        put_int(settings, SET_COLOUR, 0xff000000 | swapped(choices->colour));
    if (choices->background == STREAMFX__V1__BACKGROUND_KIND__BACKGROUND_KIND_IMAGE)
        put_string(settings, SET_IMAGE, choices->image);
}

static void write_framing(const struct sfx_framing *framing, obs_data_t *settings)
{
    put_string(settings, SET_FRAMING, FRAMINGS[framing->kind]);
    put_double(settings, SET_FRAMING_ZOOM, framing->zoom);
    put_double(settings, SET_FRAMING_X, framing->x);
    put_double(settings, SET_FRAMING_Y, framing->y);
}

bool choices_write(const struct sfx_settings *choices, obs_data_t *settings, const char *feed)
{
    struct sfx_settings before;
    choices_read(&before, settings, feed);
    const unsigned changed = choices_compare(&before, choices, SFX_FIELD_CHOICES);
    const bool by_obs = strcmp(choices->source, feed) == 0;
    // Nothing else is touched: another thread of OBS may be setting it.
    if (changed & SFX_FIELD_PORTRAIT)
        put_string(settings, SET_PORTRAIT, choices->portrait);
    if (changed & SFX_FIELD_SOURCE)
        put_string(settings, SET_DRIVER, by_obs ? DRIVER_OBS : choices->source);
    if (changed & SFX_FIELD_BACKGROUND)
        write_background(choices, settings);
    if (changed & SFX_FIELD_FRAMING)
        write_framing(&choices->framing, settings);
    if (changed & SFX_FIELD_MIRROR)
        put_bool(settings, SET_MIRROR, choices->mirror);
    if (changed & SFX_FIELD_HIDDEN)
        put_bool(settings, SET_HIDDEN, choices->hidden);
    for (int gain = 0; gain < GAINS; gain++)
        if (changed & sfx_field_of_gain((enum sfx_gain)gain))
            put_double(settings, GAIN_KEYS[gain], choices->gains[gain]);
    if (changed & SFX_FIELD_REFINE)
        put_string(settings, SET_REFINE, choices->refine);
    if (changed & SFX_FIELD_MOUTH)
        put_string(settings, SET_MOUTH, choices->mouth);
    return changed != 0;
}

/// A daemon that knows no framings has the default one.
static struct sfx_framing framing_of(const Streamfx__V1__Framing *told)
{
    struct sfx_framing framing = {STREAMFX__V1__FRAMING_KIND__FRAMING_KIND_AUTO, 1.0, 0.0, 0.0};
    if (!told)
        return framing;
    const int kind = told->kind;
    if (kind > 0 && kind < FRAMING_COUNT)
        framing.kind = told->kind;
    framing.zoom = within(told->zoom, 0.5, 3.0, 1.0);
    framing.x = within(told->x, -0.5, 0.5, 0.0);
    framing.y = within(told->y, -0.5, 0.5, 0.0);
    return framing;
}

void choices_of_session(struct sfx_settings *choices, const Streamfx__V1__Session *session)
{
    memset(choices, 0, sizeof(*choices));
    const Streamfx__V1__SessionSettings *settings = session->settings;
    const bool names_one = settings->selected && *settings->selected;
    const char *first = settings->n_portraits ? settings->portraits[0] : "";
    const int kind = settings->background->kind;
    sfx_copy_text(choices->portrait, ID_ROOM, names_one ? settings->selected : first);
    choices->fields = *choices->portrait ? SFX_FIELD_CHOICES : SFX_FIELD_CHOICES & ~SFX_FIELD_PORTRAIT;
    sfx_copy_text(choices->source, TEXT_ROOM, settings->source);
    choices->background = kind > 0 && kind < BACKGROUND_COUNT
                              ? settings->background->kind
                              : STREAMFX__V1__BACKGROUND_KIND__BACKGROUND_KIND_KEEP;
    if (settings->background->colour && settings->background->colour[0] == '#')
        choices->colour = (uint32_t)strtoul(settings->background->colour + 1, NULL, 16) & 0xffffff;
    sfx_copy_text(choices->image, TEXT_ROOM, settings->background->image);
    choices->framing = framing_of(settings->framing);
    choices->mirror = settings->mirror;
    choices->hidden = settings->hidden;
    choices->gains[SFX_GAIN_HEAD] = gain_of(settings->gains->head);
    choices->gains[SFX_GAIN_EXPRESSION] = gain_of(settings->gains->expression);
    choices->gains[SFX_GAIN_GAZE] = gain_of(settings->gains->gaze);
    sfx_copy_text(choices->refine, WORD_ROOM, settings->refine);
    sfx_copy_text(choices->mouth, WORD_ROOM, settings->mouth);
}

static bool same_background(const struct sfx_settings *one, const struct sfx_settings *other)
{
    if (one->background != other->background)
        return false;
    if (one->background == STREAMFX__V1__BACKGROUND_KIND__BACKGROUND_KIND_COLOUR)
        return one->colour == other->colour;
    if (one->background == STREAMFX__V1__BACKGROUND_KIND__BACKGROUND_KIND_IMAGE)
        return strcmp(one->image, other->image) == 0;
    return true;
}

static bool same_number(double one, double other)
{
    return !(one - other > SAME) && !(other - one > SAME);
}

static bool same_framing(const struct sfx_framing *one, const struct sfx_framing *other)
{
    return one->kind == other->kind && same_number(one->zoom, other->zoom) && same_number(one->x, other->x) &&
           same_number(one->y, other->y);
}

unsigned choices_compare(const struct sfx_settings *one, const struct sfx_settings *other, unsigned among)
{
    unsigned changed = 0;
    changed |= strcmp(one->portrait, other->portrait) ? SFX_FIELD_PORTRAIT : 0;
    changed |= strcmp(one->source, other->source) ? SFX_FIELD_SOURCE : 0;
    changed |= same_background(one, other) ? 0 : SFX_FIELD_BACKGROUND;
    changed |= same_framing(&one->framing, &other->framing) ? 0 : SFX_FIELD_FRAMING;
    changed |= one->mirror != other->mirror ? SFX_FIELD_MIRROR : 0;
    changed |= one->hidden != other->hidden ? SFX_FIELD_HIDDEN : 0;
    for (int gain = 0; gain < GAINS; gain++)
        if (!same_number(one->gains[gain], other->gains[gain]))
            changed |= sfx_field_of_gain((enum sfx_gain)gain);
    changed |= strcmp(one->refine, other->refine) ? SFX_FIELD_REFINE : 0;
    changed |= strcmp(one->mouth, other->mouth) ? SFX_FIELD_MOUTH : 0;
    return changed & among;
}

void choices_take(struct sfx_settings *choices, const struct sfx_settings *from, unsigned which)
{
    if (which & SFX_FIELD_PORTRAIT)
        memcpy(choices->portrait, from->portrait, sizeof(choices->portrait));
    if (which & SFX_FIELD_SOURCE)
        memcpy(choices->source, from->source, sizeof(choices->source));
    if (which & SFX_FIELD_BACKGROUND) {
        choices->background = from->background;
        choices->colour = from->colour;
        memcpy(choices->image, from->image, sizeof(choices->image));
    }
    if (which & SFX_FIELD_FRAMING)
        choices->framing = from->framing;
    if (which & SFX_FIELD_MIRROR)
        choices->mirror = from->mirror;
    if (which & SFX_FIELD_HIDDEN)
        choices->hidden = from->hidden;
    for (int gain = 0; gain < GAINS; gain++)
        if (which & sfx_field_of_gain((enum sfx_gain)gain))
            choices->gains[gain] = from->gains[gain];
    if (which & SFX_FIELD_REFINE)
        memcpy(choices->refine, from->refine, sizeof(choices->refine));
    if (which & SFX_FIELD_MOUTH)
        memcpy(choices->mouth, from->mouth, sizeof(choices->mouth));
}
