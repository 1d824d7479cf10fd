// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon-requests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon-answers.h"
#include "health.pb-c.h"
#include "streamfx/v1/device_service.pb-c.h"
#include "streamfx/v1/portrait_service.pb-c.h"
#include "streamfx/v1/session_service.pb-c.h"

#define OWN_SESSION "obs" // of a session that is begun without a name: several sources begin but one
#define FIELDS 12         // of enum sfx_field

static bool is_id(const char *text)
{
    size_t length = text ? strlen(text) : 0;
    return length > 0 && length <= SFX_LONGEST_ID;
}

// Pack a message and ask for it; `key` tells requests of one method and subject apart, NULL: nothing stands
// for it.
static uint64_t ask(struct sfx_control *control, enum sfx_kind kind, const char *method, const char *subject,
    const char *key, bool replace, const ProtobufCMessage *message)
{
    struct sfx_request request = {.method = method, .kind = kind};
    if (key) {
        int length = snprintf(request.key, sizeof request.key, "%s %s %s", method, subject, key);
        if (length < 0 || (size_t)length >= sizeof request.key)
            request.key[0] = 0;
    }
    snprintf(request.subject, sizeof request.subject, "%s", subject);
    request.size = protobuf_c_message_get_packed_size(message);
    request.data = malloc(request.size + 1);
    if (!request.data)
        return 0;
    protobuf_c_message_pack(message, request.data);
    return sfx_queue_add(sfx_control_queue(control), &request, replace);
}

uint64_t sfx_control_ask_presence(struct sfx_control *control)
{
    Grpc__Health__V1__HealthCheckRequest message = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    message.service = SFX_CHECKED_SERVICE;
    return ask(control, SFX_PRESENCE, SFX_HEALTH_CHECK, "", "", false, &message.base);
}

uint64_t sfx_control_start(struct sfx_control *control)
{
    struct sfx_request request = {.kind = SFX_STARTED, .key = "start"};
    return sfx_queue_add(sfx_control_queue(control), &request, false);
}

uint64_t sfx_control_list_portraits(struct sfx_control *control)
{
    Streamfx__V1__ListPortraitsRequest message = STREAMFX__V1__LIST_PORTRAITS_REQUEST__INIT;
    message.page_size = SFX_MOST_LISTED;
    return ask(control, SFX_PORTRAITS, SFX_PORTRAIT_SERVICE "ListPortraits", "", "", false, &message.base);
}

uint64_t sfx_control_add_portrait(struct sfx_control *control, const char *path)
{
    struct sfx_request request = {.kind = SFX_PORTRAIT, .method = SFX_PORTRAIT_SERVICE "CreatePortrait"};
    if (!path || !*path)
        return 0;
    request.data = (uint8_t *)strdup(path);
    return request.data ? sfx_queue_add(sfx_control_queue(control), &request, false) : 0;
}

uint64_t sfx_control_get_thumbnail(struct sfx_control *control, const char *portrait)
{
    Streamfx__V1__GetPortraitThumbnailRequest message = STREAMFX__V1__GET_PORTRAIT_THUMBNAIL_REQUEST__INIT;
    if (!is_id(portrait))
        return 0;
    message.portrait_id = (char *)portrait;
    return ask(control, SFX_THUMBNAIL, SFX_PORTRAIT_SERVICE "GetPortraitThumbnail", portrait, "", false,
        &message.base);
}

uint64_t sfx_control_list_devices(struct sfx_control *control)
{
    Streamfx__V1__ListDevicesRequest message = STREAMFX__V1__LIST_DEVICES_REQUEST__INIT;
    return ask(control, SFX_DEVICES, SFX_DEVICE_SERVICE "ListDevices", "", "", false, &message.base);
}

uint64_t sfx_control_get_session(struct sfx_control *control, const char *session)
{
    Streamfx__V1__GetSessionRequest message = STREAMFX__V1__GET_SESSION_REQUEST__INIT;
    if (!is_id(session))
        return 0;
    message.session_id = (char *)session;
    return ask(control, SFX_SESSION, SFX_SESSION_SERVICE "GetSession", session, "", false, &message.base);
}

uint64_t sfx_control_ensure_session(
    struct sfx_control *control, const char *session, const Streamfx__V1__SessionSettings *settings)
{
    Streamfx__V1__CreateSessionRequest message = STREAMFX__V1__CREATE_SESSION_REQUEST__INIT;
    if (session && !is_id(session))
        return 0;
    message.id = session ? (char *)session : OWN_SESSION;
    message.settings = (Streamfx__V1__SessionSettings *)settings;
    const char *looked_for = session ? session : "";
    return ask(
        control, SFX_SESSION, SFX_SESSION_SERVICE "CreateSession", looked_for, "", true, &message.base);
}

uint64_t sfx_control_calibrate(struct sfx_control *control, const char *session)
{
    Streamfx__V1__CalibrateSessionRequest message = STREAMFX__V1__CALIBRATE_SESSION_REQUEST__INIT;
    if (!is_id(session))
        return 0;
    message.session_id = (char *)session;
    return ask(
        control, SFX_CALIBRATED, SFX_SESSION_SERVICE "CalibrateSession", session, "", true, &message.base);
}

// What an update says, with all that its message points at.
struct update {
    Streamfx__V1__SessionSettings settings;
    Streamfx__V1__Background background;
    Streamfx__V1__Framing framing;
    Streamfx__V1__Gains gains;
    char colour[8];
    char *portraits[SESSION_PORTRAITS];
    char *paths[FIELDS];
    size_t count;
};

static void put_background(struct update *update, const struct sfx_settings *values)
{
    Streamfx__V1__Background *background = &update->background;
    streamfx__v1__background__init(background);
    background->kind = values->background;
    if (background->kind == STREAMFX__V1__BACKGROUND_KIND__BACKGROUND_KIND_COLOUR) {
        snprintf(update->colour, sizeof update->colour, "#%06x", (unsigned)(values->colour & 0xffffff));
        background->colour = update->colour;
        background->has_colour_case = STREAMFX__V1__BACKGROUND__HAS_COLOUR_COLOUR;
    }
    if (background->kind == STREAMFX__V1__BACKGROUND_KIND__BACKGROUND_KIND_IMAGE) {
        background->image = (char *)values->image;
        background->has_image_case = STREAMFX__V1__BACKGROUND__HAS_IMAGE_IMAGE;
    }
    update->settings.background = background;
}

static void put_framing(struct update *update, const struct sfx_framing *values)
{
    Streamfx__V1__Framing *framing = &update->framing;
    streamfx__v1__framing__init(framing);
    framing->kind = values->kind;
    framing->zoom = values->zoom, framing->has_zoom_case = STREAMFX__V1__FRAMING__HAS_ZOOM_ZOOM;
    framing->x = values->x, framing->has_x_case = STREAMFX__V1__FRAMING__HAS_X_X;
    framing->y = values->y, framing->has_y_case = STREAMFX__V1__FRAMING__HAS_Y_Y;
    update->settings.framing = framing;
}

static void put_gain(struct update *update, enum sfx_gain gain, double value)
{
    Streamfx__V1__Gains *gains = &update->gains;
    if (!update->settings.gains)
        streamfx__v1__gains__init(gains);
    update->settings.gains = gains;
    switch (gain) {
    case SFX_GAIN_HEAD:
        gains->head = value, gains->has_head_case = STREAMFX__V1__GAINS__HAS_HEAD_HEAD;
        break;
    case SFX_GAIN_EXPRESSION:
        gains->expression = value,
        gains->has_expression_case = STREAMFX__V1__GAINS__HAS_EXPRESSION_EXPRESSION;
        break;
    case SFX_GAIN_GAZE:
        gains->gaze = value, gains->has_gaze_case = STREAMFX__V1__GAINS__HAS_GAZE_GAZE;
        break;
    case GAINS:
        break;
    }
}

static void put_portraits(struct update *update, const struct sfx_settings *values)
{
    for (size_t i = 0; i < values->portrait_count; i++)
        update->portraits[i] = (char *)values->portraits[i];
    update->settings.portraits = update->portraits;
    update->settings.n_portraits = values->portrait_count;
}

// Put one field's values into the message; its path in the API.
static const char *put_field(struct update *update, const struct sfx_settings *values, enum sfx_field field)
{
    Streamfx__V1__SessionSettings *settings = &update->settings;
    switch (field) {
    case SFX_FIELD_HIDDEN:
        settings->hidden = values->hidden;
        settings->has_hidden_case = STREAMFX__V1__SESSION_SETTINGS__HAS_HIDDEN_HIDDEN;
        return "hidden";
    case SFX_FIELD_PORTRAIT:
        if (!*values->portrait)
            return "selected"; // named and unset, it returns to its default: the first
        settings->selected = (char *)values->portrait;
        settings->has_selected_case = STREAMFX__V1__SESSION_SETTINGS__HAS_SELECTED_SELECTED;
        return "selected";
    case SFX_FIELD_SOURCE:
        settings->source = (char *)values->source;
        settings->has_source_case = STREAMFX__V1__SESSION_SETTINGS__HAS_SOURCE_SOURCE;
        return "source";
    case SFX_FIELD_BACKGROUND:
        put_background(update, values);
        return "background";
    case SFX_FIELD_FRAMING:
        put_framing(update, &values->framing);
        return "framing";
    case SFX_FIELD_MIRROR:
        settings->mirror = values->mirror;
        settings->has_mirror_case = STREAMFX__V1__SESSION_SETTINGS__HAS_MIRROR_MIRROR;
        return "mirror";
    case SFX_FIELD_GAIN_HEAD:
        put_gain(update, SFX_GAIN_HEAD, values->gains[SFX_GAIN_HEAD]);
        return "gains.head";
    case SFX_FIELD_GAIN_EXPRESSION:
        put_gain(update, SFX_GAIN_EXPRESSION, values->gains[SFX_GAIN_EXPRESSION]);
        return "gains.expression";
    case SFX_FIELD_GAIN_GAZE:
        put_gain(update, SFX_GAIN_GAZE, values->gains[SFX_GAIN_GAZE]);
        return "gains.gaze";
    case SFX_FIELD_REFINE:
        settings->refine = (char *)values->refine;
        settings->has_refine_case = STREAMFX__V1__SESSION_SETTINGS__HAS_REFINE_REFINE;
        return "refine";
    case SFX_FIELD_MOUTH:
        settings->mouth = (char *)values->mouth;
        settings->has_mouth_case = STREAMFX__V1__SESSION_SETTINGS__HAS_MOUTH_MOUTH;
        return "mouth";
    case SFX_FIELD_PORTRAITS:
        put_portraits(update, values);
        return "portraits";
    case SFX_FIELD_CHOICES:
        break;
    }
    return NULL;
}

uint64_t sfx_control_update(
    struct sfx_control *control, const char *session, const struct sfx_settings *values, unsigned fields)
{
    struct update update = {0};
    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    Streamfx__V1__UpdateSessionRequest message = STREAMFX__V1__UPDATE_SESSION_REQUEST__INIT;
    char key[16];
    if (!is_id(session) || !fields || fields >> FIELDS || values->portrait_count > SESSION_PORTRAITS)
        return 0;
    streamfx__v1__session_settings__init(&update.settings);
    for (unsigned field = 1; field < 1U << FIELDS; field <<= 1)
        if (fields & field)
            update.paths[update.count++] = (char *)put_field(&update, values, (enum sfx_field)field);
    mask.paths = update.paths, mask.n_paths = update.count;
    message.session_id = (char *)session;
    message.settings = &update.settings;
    message.update_mask = &mask;
    snprintf(key, sizeof key, "%x", fields);
    return ask(control, SFX_SESSION, SFX_SESSION_SERVICE "UpdateSession", session, key, true, &message.base);
}

uint64_t sfx_control_select(struct sfx_control *control, const char *session, const char *portrait)
{
    Streamfx__V1__SelectPortraitRequest message = STREAMFX__V1__SELECT_PORTRAIT_REQUEST__INIT;
    if (!is_id(session) || !is_id(portrait))
        return 0;
    message.session_id = (char *)session;
    message.portrait_id = (char *)portrait;
    message.target_case = STREAMFX__V1__SELECT_PORTRAIT_REQUEST__TARGET_PORTRAIT_ID;
    // A choice before another is not one after it: none stands for another.
    return ask(
        control, SFX_SESSION, SFX_SESSION_SERVICE "SelectPortrait", session, NULL, false, &message.base);
}
