// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon-control.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon-answers.h"
#include "daemon-files.h"
#include "daemon-start.h"
#include "health.pb-c.h"

#define QUEUE 64
#define MOST_BYTES (1024 * 1024) // of a response
#define MOST_PAGES 50            // of portraits: 10,000 of them
#define START_MS 60000
#define MOST_PHOTO_BYTES 20000000
#define PHOTO_MS 120000
#define LONGEST_NAME 60 // of a portrait; in UTF-8, so that it has no more characters than the daemon takes
#define LONGEST_KEY 256
#define LONGEST_ID 40
#define LONGEST_PATH 1024
#define OWN_SESSION "obs" // of a session that is begun without a name: several sources begin but one

#define PORTRAITS "/streamfx.v1.PortraitService/"
#define SESSIONS "/streamfx.v1.SessionService/"
#define DEVICES "/streamfx.v1.DeviceService/"
#define HEALTH "/grpc.health.v1.Health/"

// A request that waits: its message is packed when it is made, so that it holds nothing of its caller's.
struct request {
    uint64_t ticket;
    const char *method; // NULL for sfx_control_start
    enum sfx_kind kind;
    char key[LONGEST_KEY]; // requests of the same key stand for each other; empty: for none
    char subject[LONGEST_ID + 1];
    uint8_t *data;
    size_t size;
};

struct sfx_control {
    struct sfx_control_options options;
    char *socket, *program;
    struct sfx_grpc *grpc; // of the worker; others only cancel it
    pthread_t worker;
    atomic_bool stop;
    bool seen, present; // of the worker: whether presence is known, and what was told last

    // All below is guarded by `lock`, which is held for moments: never during a call or a callback.
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct request queue[QUEUE];
    size_t waiting;
    uint64_t last_ticket;
};

// --- the queue

// Ask for a call. A setting goes to the end of the queue in place of the waiting one of its key; a question
// stays.
static uint64_t enqueue(struct sfx_control *control, struct request *request, bool replace)
{
    uint64_t ticket = 0;
    pthread_mutex_lock(&control->lock);
    struct request *queue = control->queue, *found = NULL;
    for (size_t i = 0; i < control->waiting && *request->key && !found; i++)
        if (strcmp(queue[i].key, request->key) == 0)
            found = &queue[i];
    if (found)
        ticket = found->ticket;
    if (found && replace) {
        size_t after = control->waiting - (size_t)(found - queue) - 1;
        free(found->data);
        memmove(found, found + 1, after * sizeof *found);
        control->waiting--;
    }
    if ((!found || replace) && control->waiting < QUEUE) {
        request->ticket = ticket = ticket ? ticket : ++control->last_ticket;
        queue[control->waiting++] = *request;
        request->data = NULL;
        pthread_cond_signal(&control->changed);
    }
    pthread_mutex_unlock(&control->lock);
    free(request->data);
    return ticket;
}

static void in_ms(unsigned ms, struct timespec *when)
{
    clock_gettime(CLOCK_MONOTONIC, when);
    when->tv_sec += ms / 1000;
    when->tv_nsec += (long)(ms % 1000) * 1000000;
    if (when->tv_nsec >= 1000000000)
        when->tv_sec++, when->tv_nsec -= 1000000000;
}

// Wait for the next request; what is given back in its place, with ticket 0, is the look whether a daemon is
// there.
static bool dequeue(struct sfx_control *control, struct request *request)
{
    struct timespec look;
    unsigned watch_ms = control->options.watch_ms;
    in_ms(watch_ms, &look);
    memset(request, 0, sizeof *request);
    pthread_mutex_lock(&control->lock);
    int waited = 0;
    while (!control->waiting && !atomic_load(&control->stop) && waited != ETIMEDOUT)
        waited = watch_ms ? pthread_cond_timedwait(&control->changed, &control->lock, &look)
                          : pthread_cond_wait(&control->changed, &control->lock);
    if (control->waiting) {
        *request = control->queue[0];
        memmove(control->queue, control->queue + 1, --control->waiting * sizeof *request);
    }
    pthread_mutex_unlock(&control->lock);
    return !atomic_load(&control->stop);
}

// --- requests

static bool is_id(const char *text)
{
    size_t length = text ? strlen(text) : 0;
    return length > 0 && length <= LONGEST_ID;
}

// Pack a message and ask for it; `key` tells requests of one method and subject apart, NULL: nothing stands
// for it.
static uint64_t ask(struct sfx_control *control, enum sfx_kind kind, const char *method, const char *subject,
    const char *key, bool replace, const ProtobufCMessage *message)
{
    struct request request = {.method = method, .kind = kind};
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
    return enqueue(control, &request, replace);
}

uint64_t sfx_control_ask_presence(struct sfx_control *control)
{
    Grpc__Health__V1__HealthCheckRequest message = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    message.service = "streamfx.v1.SessionService"; // of this version of the API
    return ask(control, SFX_PRESENCE, HEALTH "Check", "", "", false, &message.base);
}

uint64_t sfx_control_start(struct sfx_control *control)
{
    struct request request = {.kind = SFX_STARTED, .key = "start"};
    return enqueue(control, &request, false);
}

uint64_t sfx_control_list_portraits(struct sfx_control *control)
{
    Streamfx__V1__ListPortraitsRequest message = STREAMFX__V1__LIST_PORTRAITS_REQUEST__INIT;
    message.page_size = SFX_MOST_LISTED;
    return ask(control, SFX_PORTRAITS, PORTRAITS "ListPortraits", "", "", false, &message.base);
}

uint64_t sfx_control_add_portrait(struct sfx_control *control, const char *path)
{
    struct request request = {.kind = SFX_PORTRAIT, .method = PORTRAITS "CreatePortrait"};
    if (!path || !*path)
        return 0;
    request.data = (uint8_t *)strdup(path);
    return request.data ? enqueue(control, &request, false) : 0;
}

uint64_t sfx_control_get_thumbnail(struct sfx_control *control, const char *portrait)
{
    Streamfx__V1__GetPortraitThumbnailRequest message = STREAMFX__V1__GET_PORTRAIT_THUMBNAIL_REQUEST__INIT;
    if (!is_id(portrait))
        return 0;
    message.portrait_id = (char *)portrait;
    return ask(control, SFX_THUMBNAIL, PORTRAITS "GetPortraitThumbnail", portrait, "", false, &message.base);
}

uint64_t sfx_control_list_devices(struct sfx_control *control)
{
    Streamfx__V1__ListDevicesRequest message = STREAMFX__V1__LIST_DEVICES_REQUEST__INIT;
    return ask(control, SFX_DEVICES, DEVICES "ListDevices", "", "", false, &message.base);
}

uint64_t sfx_control_list_sessions(struct sfx_control *control)
{
    Streamfx__V1__ListSessionsRequest message = STREAMFX__V1__LIST_SESSIONS_REQUEST__INIT;
    message.page_size = SFX_MOST_LISTED;
    return ask(control, SFX_SESSIONS, SESSIONS "ListSessions", "", "", false, &message.base);
}

uint64_t sfx_control_get_session(struct sfx_control *control, const char *session)
{
    Streamfx__V1__GetSessionRequest message = STREAMFX__V1__GET_SESSION_REQUEST__INIT;
    if (!is_id(session))
        return 0;
    message.session_id = (char *)session;
    return ask(control, SFX_SESSION, SESSIONS "GetSession", session, "", false, &message.base);
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
    return ask(control, SFX_SESSION, SESSIONS "CreateSession", looked_for, "", true, &message.base);
}

uint64_t sfx_control_end_session(struct sfx_control *control, const char *session)
{
    Streamfx__V1__DeleteSessionRequest message = STREAMFX__V1__DELETE_SESSION_REQUEST__INIT;
    if (!is_id(session))
        return 0;
    message.session_id = (char *)session;
    return ask(control, SFX_SESSION_ENDED, SESSIONS "DeleteSession", session, NULL, false, &message.base);
}

uint64_t sfx_control_calibrate(struct sfx_control *control, const char *session)
{
    Streamfx__V1__CalibrateSessionRequest message = STREAMFX__V1__CALIBRATE_SESSION_REQUEST__INIT;
    if (!is_id(session))
        return 0;
    message.session_id = (char *)session;
    return ask(control, SFX_CALIBRATED, SESSIONS "CalibrateSession", session, "", true, &message.base);
}

uint64_t sfx_control_update(struct sfx_control *control, const char *session,
    const Streamfx__V1__SessionSettings *settings, const char *const *paths, size_t count)
{
    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    Streamfx__V1__UpdateSessionRequest message = STREAMFX__V1__UPDATE_SESSION_REQUEST__INIT;
    char key[LONGEST_KEY] = "";
    size_t used = 0;
    if (!is_id(session) || !settings || !count)
        return 0;
    for (size_t i = 0; i < count; i++) {
        int length = snprintf(key + used, sizeof key - used, "%s ", paths[i]);
        if (length < 0 || (size_t)length >= sizeof key - used)
            return 0;
        used += (size_t)length;
    }
    mask.paths = (char **)paths, mask.n_paths = count;
    message.session_id = (char *)session;
    message.settings = (Streamfx__V1__SessionSettings *)settings;
    message.update_mask = &mask;
    return ask(control, SFX_SESSION, SESSIONS "UpdateSession", session, key, true, &message.base);
}

uint64_t sfx_control_set_gain(
    struct sfx_control *control, const char *session, enum sfx_gain gain, double value)
{
    Streamfx__V1__Gains gains = STREAMFX__V1__GAINS__INIT;
    Streamfx__V1__SessionSettings settings = STREAMFX__V1__SESSION_SETTINGS__INIT;
    const char *path = NULL;
    switch (gain) {
    case SFX_GAIN_HEAD:
        path = "gains.head", gains.head = value;
        gains.has_head_case = STREAMFX__V1__GAINS__HAS_HEAD_HEAD;
        break;
    case SFX_GAIN_EXPRESSION:
        path = "gains.expression", gains.expression = value;
        gains.has_expression_case = STREAMFX__V1__GAINS__HAS_EXPRESSION_EXPRESSION;
        break;
    case SFX_GAIN_GAZE:
        path = "gains.gaze", gains.gaze = value;
        gains.has_gaze_case = STREAMFX__V1__GAINS__HAS_GAZE_GAZE;
        break;
    }
    settings.gains = &gains;
    return path ? sfx_control_update(control, session, &settings, &path, 1) : 0;
}

uint64_t sfx_control_set_flag(
    struct sfx_control *control, const char *session, enum sfx_flag flag, bool value)
{
    Streamfx__V1__SessionSettings settings = STREAMFX__V1__SESSION_SETTINGS__INIT;
    const char *path = NULL;
    switch (flag) {
    case SFX_FLAG_MIRROR:
        path = "mirror", settings.mirror = value;
        settings.has_mirror_case = STREAMFX__V1__SESSION_SETTINGS__HAS_MIRROR_MIRROR;
        break;
    case SFX_FLAG_MIRROR_PREVIEW:
        path = "mirror_preview", settings.mirror_preview = value;
        settings.has_mirror_preview_case = STREAMFX__V1__SESSION_SETTINGS__HAS_MIRROR_PREVIEW_MIRROR_PREVIEW;
        break;
    case SFX_FLAG_HIDDEN:
        path = "hidden", settings.hidden = value;
        settings.has_hidden_case = STREAMFX__V1__SESSION_SETTINGS__HAS_HIDDEN_HIDDEN;
        break;
    case SFX_FLAG_PAUSED:
        path = "paused", settings.paused = value;
        settings.has_paused_case = STREAMFX__V1__SESSION_SETTINGS__HAS_PAUSED_PAUSED;
        break;
    case SFX_FLAG_ON_DEMAND:
        path = "on_demand", settings.on_demand = value;
        settings.has_on_demand_case = STREAMFX__V1__SESSION_SETTINGS__HAS_ON_DEMAND_ON_DEMAND;
        break;
    }
    return path ? sfx_control_update(control, session, &settings, &path, 1) : 0;
}

uint64_t sfx_control_set_word(
    struct sfx_control *control, const char *session, enum sfx_word word, const char *value)
{
    Streamfx__V1__SessionSettings settings = STREAMFX__V1__SESSION_SETTINGS__INIT;
    const char *path = NULL;
    char *text = (char *)value;
    if (!value)
        return 0;
    switch (word) {
    case SFX_WORD_SOURCE:
        path = "source", settings.source = text;
        settings.has_source_case = STREAMFX__V1__SESSION_SETTINGS__HAS_SOURCE_SOURCE;
        break;
    case SFX_WORD_REFINE:
        path = "refine", settings.refine = text;
        settings.has_refine_case = STREAMFX__V1__SESSION_SETTINGS__HAS_REFINE_REFINE;
        break;
    case SFX_WORD_MOUTH:
        path = "mouth", settings.mouth = text;
        settings.has_mouth_case = STREAMFX__V1__SESSION_SETTINGS__HAS_MOUTH_MOUTH;
        break;
    case SFX_WORD_DEVICE:
        path = "device", settings.device = text;
        settings.has_device_case = STREAMFX__V1__SESSION_SETTINGS__HAS_DEVICE_DEVICE;
        break;
    case SFX_WORD_BADGE:
        path = "badge", settings.badge = text;
        settings.has_badge_case = STREAMFX__V1__SESSION_SETTINGS__HAS_BADGE_BADGE;
        break;
    }
    return path ? sfx_control_update(control, session, &settings, &path, 1) : 0;
}

uint64_t sfx_control_set_background(struct sfx_control *control, const char *session,
    Streamfx__V1__BackgroundKind kind, const char *colour, const char *image)
{
    Streamfx__V1__Background background = STREAMFX__V1__BACKGROUND__INIT;
    Streamfx__V1__SessionSettings settings = STREAMFX__V1__SESSION_SETTINGS__INIT;
    const char *path = "background";
    background.kind = kind;
    if (colour) {
        background.colour = (char *)colour;
        background.has_colour_case = STREAMFX__V1__BACKGROUND__HAS_COLOUR_COLOUR;
    }
    if (image) {
        background.image = (char *)image;
        background.has_image_case = STREAMFX__V1__BACKGROUND__HAS_IMAGE_IMAGE;
    }
    settings.background = &background;
    return sfx_control_update(control, session, &settings, &path, 1);
}

uint64_t sfx_control_set_framing(
    struct sfx_control *control, const char *session, const struct sfx_framing *wanted)
{
    Streamfx__V1__Framing framing = STREAMFX__V1__FRAMING__INIT;
    Streamfx__V1__SessionSettings settings = STREAMFX__V1__SESSION_SETTINGS__INIT;
    const char *path = "framing";
    framing.kind = wanted->kind;
    framing.zoom = wanted->zoom, framing.has_zoom_case = STREAMFX__V1__FRAMING__HAS_ZOOM_ZOOM;
    framing.x = wanted->x, framing.has_x_case = STREAMFX__V1__FRAMING__HAS_X_X;
    framing.y = wanted->y, framing.has_y_case = STREAMFX__V1__FRAMING__HAS_Y_Y;
    settings.framing = &framing;
    return sfx_control_update(control, session, &settings, &path, 1);
}

uint64_t sfx_control_set_portraits(struct sfx_control *control, const char *session,
    const char *const *portraits, size_t count, const char *selected)
{
    Streamfx__V1__SessionSettings settings = STREAMFX__V1__SESSION_SETTINGS__INIT;
    static const char *const paths[] = {"portraits", "selected"};
    for (size_t i = 0; i < count; i++)
        if (!portraits[i])
            return 0;
    settings.portraits = (char **)portraits, settings.n_portraits = count;
    if (selected) {
        settings.selected = (char *)selected;
        settings.has_selected_case = STREAMFX__V1__SESSION_SETTINGS__HAS_SELECTED_SELECTED;
    }
    return sfx_control_update(control, session, &settings, paths, 2);
}

static uint64_t ask_to_select(struct sfx_control *control, Streamfx__V1__SelectPortraitRequest *message)
{
    // Two steps are two steps, and a choice before a step is not one after it: none stands for another.
    return ask(
        control, SFX_SESSION, SESSIONS "SelectPortrait", message->session_id, NULL, false, &message->base);
}

uint64_t sfx_control_select(struct sfx_control *control, const char *session, const char *portrait)
{
    Streamfx__V1__SelectPortraitRequest message = STREAMFX__V1__SELECT_PORTRAIT_REQUEST__INIT;
    if (!is_id(session) || !is_id(portrait))
        return 0;
    message.session_id = (char *)session;
    message.portrait_id = (char *)portrait;
    message.target_case = STREAMFX__V1__SELECT_PORTRAIT_REQUEST__TARGET_PORTRAIT_ID;
    return ask_to_select(control, &message);
}

uint64_t sfx_control_select_place(struct sfx_control *control, const char *session, int place)
{
    Streamfx__V1__SelectPortraitRequest message = STREAMFX__V1__SELECT_PORTRAIT_REQUEST__INIT;
    if (!is_id(session))
        return 0;
    message.session_id = (char *)session;
    message.index = place;
    message.target_case = STREAMFX__V1__SELECT_PORTRAIT_REQUEST__TARGET_INDEX;
    return ask_to_select(control, &message);
}

uint64_t sfx_control_select_step(struct sfx_control *control, const char *session, int step)
{
    Streamfx__V1__SelectPortraitRequest message = STREAMFX__V1__SELECT_PORTRAIT_REQUEST__INIT;
    if (!is_id(session) || (step != 1 && step != -1))
        return 0;
    message.session_id = (char *)session;
    message.step = step > 0 ? STREAMFX__V1__STEP__STEP_NEXT : STREAMFX__V1__STEP__STEP_PREVIOUS;
    message.target_case = STREAMFX__V1__SELECT_PORTRAIT_REQUEST__TARGET_STEP;
    return ask_to_select(control, &message);
}

// --- answers

static void call(struct sfx_control *control, const char *method, const uint8_t *data, size_t size,
    struct sfx_answer *answer)
{
    sfx_grpc_call(control->grpc, method, data, size, control->options.timeout_ms, MOST_BYTES, answer);
}

// --- files

static bool names_file(const char *text)
{
    return text && *text == '/';
}

static void hand_over(int files, char **path)
{
    char *handed = sfx_files_offer(files, *path);
    if (!handed)
        return;
    free(*path);
    *path = handed;
}

// The connection by which the files that settings name were handed over, and are replaced in them by what
// stands for them; -1 if there are none.
static int hand_files_over(const struct sfx_control *control, Streamfx__V1__SessionSettings *settings)
{
    char standard[LONGEST_PATH];
    Streamfx__V1__Background *background = settings ? settings->background : NULL;
    const bool driven = settings &&
                        settings->has_source_case == STREAMFX__V1__SESSION_SETTINGS__HAS_SOURCE_SOURCE &&
                        names_file(settings->source);
    const bool pictured = background &&
                          background->has_image_case == STREAMFX__V1__BACKGROUND__HAS_IMAGE_IMAGE &&
                          names_file(background->image);
    if ((!driven && !pictured) || control->options.endpoint.address)
        return -1;
    if (!control->socket && !sfx_default_socket(standard, sizeof standard))
        return -1;
    const int files = sfx_files_connect(control->socket ? control->socket : standard);
    if (files >= 0 && driven)
        hand_over(files, &settings->source);
    if (files >= 0 && pictured)
        hand_over(files, &background->image);
    return files;
}

// The call of a request, its files handed over: they stand until it has its answer.
static void call_with_files(
    struct sfx_control *control, const struct request *request, struct sfx_answer *answer)
{
    const bool creates = strcmp(request->method, SESSIONS "CreateSession") == 0;
    const bool updates = strcmp(request->method, SESSIONS "UpdateSession") == 0;
    const ProtobufCMessageDescriptor *descriptor = creates
                                                       ? &streamfx__v1__create_session_request__descriptor
                                                       : &streamfx__v1__update_session_request__descriptor;
    ProtobufCMessage *message = NULL;
    if (creates || updates)
        message = protobuf_c_message_unpack(descriptor, NULL, request->size, request->data);
    Streamfx__V1__SessionSettings *settings = NULL;
    if (message)
        settings = creates ? ((Streamfx__V1__CreateSessionRequest *)message)->settings
                           : ((Streamfx__V1__UpdateSessionRequest *)message)->settings;
    const int files = hand_files_over(control, settings);
    uint8_t *packed = files >= 0 ? malloc(protobuf_c_message_get_packed_size(message)) : NULL;
    if (packed)
        call(control, request->method, packed, protobuf_c_message_pack(message, packed), answer);
    else
        call(control, request->method, request->data, request->size, answer);
    if (files >= 0)
        close(files);
    free(packed);
    sfx_release(message);
}

// --- the worker

static void tell(struct sfx_control *control, const struct request *request, const struct sfx_answer *answer,
    struct sfx_result *result)
{
    result->ticket = request->ticket;
    result->kind = request->kind;
    result->code = answer->code;
    result->message = answer->message;
    result->subject = request->subject;
    if (!atomic_load(&control->stop) && control->options.on_result)
        control->options.on_result(control->options.param, result);
}

// A session's name as the key that finds it; the answer is of the session, begun if need be.
static void ensure(struct sfx_control *control, const struct request *request, struct sfx_answer *answer,
    Streamfx__V1__Session **session, void **holder, bool *begun)
{
    Streamfx__V1__GetSessionRequest get = STREAMFX__V1__GET_SESSION_REQUEST__INIT;
    Streamfx__V1__ListSessionsRequest list = STREAMFX__V1__LIST_SESSIONS_REQUEST__INIT;
    size_t room = SFX_ROOM;
    uint8_t named[LONGEST_ID + 8], first[16];
    get.session_id = (char *)request->subject;
    list.page_size = 1;
    size_t named_size = streamfx__v1__get_session_request__pack(&get, named);
    size_t first_size = streamfx__v1__list_sessions_request__pack(&list, first);
    // Another program may begin the session between looking and beginning: then it is looked for once more.
    for (int round = 0; round < 2; round++) {
        if (*request->subject) {
            call(control, SESSIONS "GetSession", named, named_size, answer);
            Streamfx__V1__GetSessionResponse *got =
                sfx_unpack(answer, &streamfx__v1__get_session_response__descriptor, &room);
            *holder = got, *session = got ? got->session : NULL;
        } else {
            call(control, SESSIONS "ListSessions", first, first_size, answer);
            Streamfx__V1__ListSessionsResponse *got =
                sfx_unpack(answer, &streamfx__v1__list_sessions_response__descriptor, &room);
            *holder = got, *session = got && got->n_sessions ? got->sessions[0] : NULL;
        }
        bool none =
            answer->code == SFX_NOT_FOUND || (answer->code == SFX_OK && !*request->subject && !*session);
        if (!none)
            return;
        sfx_release(*holder);
        sfx_answer_release(answer);
        call_with_files(control, request, answer);
        Streamfx__V1__CreateSessionResponse *made =
            sfx_unpack(answer, &streamfx__v1__create_session_response__descriptor, &room);
        *holder = made, *session = made ? made->session : NULL, *begun = made != NULL;
        if (answer->code != SFX_ALREADY_EXISTS)
            return;
        sfx_answer_release(answer);
    }
}

static void tell_session(
    struct sfx_control *control, const struct request *request, struct sfx_answer *answer)
{
    struct sfx_result result = {0};
    size_t room = SFX_ROOM;
    Streamfx__V1__Session *session = NULL;
    void *holder = NULL;
    if (strcmp(request->method, SESSIONS "CreateSession") == 0) {
        ensure(control, request, answer, &session, &holder, &result.begun);
    } else {
        call_with_files(control, request, answer);
        // The responses of all methods that give a session have the same form: it is their field 1.
        Streamfx__V1__GetSessionResponse *got =
            sfx_unpack(answer, &streamfx__v1__get_session_response__descriptor, &room);
        holder = got, session = got ? got->session : NULL;
    }
    if (answer->code == SFX_OK && !sfx_is_session(session))
        sfx_fail(
            answer, SFX_INTERNAL, "The daemon's answer is no whole session: it may be of another version");
    result.session = answer->code == SFX_OK ? session : NULL;
    tell(control, request, answer, &result);
    sfx_release(holder);
}

static void tell_sessions(
    struct sfx_control *control, const struct request *request, struct sfx_answer *answer)
{
    struct sfx_result result = {0};
    size_t room = SFX_ROOM;
    call(control, request->method, request->data, request->size, answer);
    Streamfx__V1__ListSessionsResponse *got =
        sfx_unpack(answer, &streamfx__v1__list_sessions_response__descriptor, &room);
    if (got && got->n_sessions > SFX_MOST_LISTED)
        sfx_fail(answer, SFX_RESOURCE_EXHAUSTED, "The daemon's sessions are more than there is room for");
    for (size_t i = 0; got && i < got->n_sessions && answer->code == SFX_OK; i++)
        if (!sfx_is_session(got->sessions[i]))
            sfx_fail(answer, SFX_INTERNAL,
                "The daemon's answer holds no whole session: it may be of another version");
    if (got && answer->code == SFX_OK)
        result.sessions = got->sessions, result.count = got->n_sessions;
    tell(control, request, answer, &result);
    sfx_release(got);
}

// Portraits of all pages so far.
struct album {
    Streamfx__V1__ListPortraitsResponse *pages[MOST_PAGES];
    size_t count, portraits;
    Streamfx__V1__Portrait **all;
};

static bool has_portraits(const Streamfx__V1__ListPortraitsResponse *page)
{
    for (size_t i = 0; i < page->n_portraits; i++)
        if (!sfx_is_portrait(page->portraits[i]))
            return false;
    return true;
}

static bool add_page(struct album *album, Streamfx__V1__ListPortraitsResponse *page)
{
    album->pages[album->count++] = page;
    size_t more = album->portraits + page->n_portraits;
    Streamfx__V1__Portrait **grown = NULL;
    if (page->n_portraits <= SFX_MOST_LISTED)
        grown = realloc(album->all, (more + 1) * sizeof *grown);
    if (!grown)
        return false;
    album->all = grown;
    if (page->n_portraits)
        memcpy(grown + album->portraits, page->portraits, page->n_portraits * sizeof *grown);
    album->portraits = more;
    return true;
}

static void tell_portraits(
    struct sfx_control *control, const struct request *request, struct sfx_answer *answer)
{
    struct sfx_result result = {0};
    size_t room = SFX_ROOM;
    struct album album = {0};
    call(control, request->method, request->data, request->size, answer);
    for (Streamfx__V1__ListPortraitsResponse *page;
         (page = sfx_unpack(answer, &streamfx__v1__list_portraits_response__descriptor, &room));) {
        if (!add_page(&album, page)) {
            sfx_fail(
                answer, SFX_RESOURCE_EXHAUSTED, "The daemon's portraits are more than there is room for");
            break;
        }
        if (!has_portraits(page)) {
            sfx_fail(answer, SFX_INTERNAL,
                "The daemon's answer holds no whole portrait: it may be of another version");
            break;
        }
        Streamfx__V1__ListPortraitsRequest next = STREAMFX__V1__LIST_PORTRAITS_REQUEST__INIT;
        uint8_t data[512];
        next.page_size = SFX_MOST_LISTED;
        next.page_token = page->next_page_token;
        if (!*next.page_token || album.count == MOST_PAGES)
            break;
        size_t size = streamfx__v1__list_portraits_request__get_packed_size(&next);
        if (size > sizeof data) {
            sfx_fail(answer, SFX_INTERNAL, "The daemon's answer cannot be read: its page token is too long");
            break;
        }
        streamfx__v1__list_portraits_request__pack(&next, data);
        sfx_answer_release(answer);
        call(control, request->method, data, size, answer);
    }
    if (answer->code == SFX_OK)
        result.portraits = album.all, result.count = album.portraits;
    tell(control, request, answer, &result);
    for (size_t i = 0; i < album.count; i++)
        sfx_release(album.pages[i]);
    free(album.all);
}

// The file's bytes, to be freed; NULL and why in the answer, if it is no photo's.
static uint8_t *read_photo(const char *path, size_t *size, struct sfx_answer *answer)
{
    struct stat facts;
    uint8_t *bytes = NULL;
    const int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (file < 0 || fstat(file, &facts) != 0 || !S_ISREG(facts.st_mode)) {
        sfx_fail(answer, SFX_NOT_FOUND,
            "The photo cannot be read: there is no such file, or it is not yours to read");
    } else if (facts.st_size > MOST_PHOTO_BYTES) {
        sfx_fail(answer, SFX_INVALID_ARGUMENT, "The photo has more than 20 MB: make it smaller");
    } else if ((bytes = malloc((size_t)facts.st_size + 1))) {
        ssize_t got = 1;
        for (*size = 0; got > 0 && *size<(size_t)facts.st_size; *size += got> 0 ? (size_t)got : 0)
            got = read(file, bytes + *size, (size_t)facts.st_size - *size);
    } else {
        sfx_fail(answer, SFX_RESOURCE_EXHAUSTED, "The photo cannot be read: memory is out");
    }
    if (file >= 0)
        close(file);
    return bytes;
}

// What a person would call a file: its name without folders and ending, as far as it fits.
static void name_after(const char *path, char name[LONGEST_NAME + 1])
{
    const char *slash = strrchr(path, '/');
    snprintf(name, LONGEST_NAME + 1, "%s", slash ? slash + 1 : path);
    char *dot = strrchr(name, '.');
    if (dot && dot != name)
        *dot = 0;
    sfx_make_printable(name); // also where it was cut within a letter
}

static void tell_portrait(struct sfx_control *control, struct request *request, struct sfx_answer *answer)
{
    const char *path = (const char *)request->data;
    struct sfx_result result = {0};
    size_t room = SFX_ROOM;
    Streamfx__V1__CreatePortraitResponse *made = NULL;
    char name[LONGEST_NAME + 1];
    size_t size = 0;
    name_after(path, name);
    uint8_t *bytes = read_photo(path, &size, answer);
    if (bytes) {
        Streamfx__V1__CreatePortraitRequest message = STREAMFX__V1__CREATE_PORTRAIT_REQUEST__INIT;
        Streamfx__V1__Photo photo;
        streamfx__v1__photo__init(&photo);
        photo.source_case = STREAMFX__V1__PHOTO__SOURCE_CONTENT;
        photo.content = (ProtobufCBinaryData){size, bytes};
        message.photo = &photo, message.display_name = name;
        uint8_t *packed = malloc(streamfx__v1__create_portrait_request__get_packed_size(&message));
        const size_t length = packed ? streamfx__v1__create_portrait_request__pack(&message, packed) : 0;
        if (packed)
            sfx_grpc_call(control->grpc, request->method, packed, length, PHOTO_MS, MOST_BYTES, answer);
        else
            sfx_fail(answer, SFX_RESOURCE_EXHAUSTED, "The photo cannot be sent: memory is out");
        free(packed);
        made = sfx_unpack(answer, &streamfx__v1__create_portrait_response__descriptor, &room);
    }
    free(bytes);
    if (made && sfx_is_portrait(made->portrait))
        snprintf(request->subject, sizeof request->subject, "%s", made->portrait->id);
    else if (made)
        sfx_fail(
            answer, SFX_INTERNAL, "The daemon's answer is no whole portrait: it may be of another version");
    tell(control, request, answer, &result);
    sfx_release(made);
}

static void tell_thumbnail(
    struct sfx_control *control, const struct request *request, struct sfx_answer *answer)
{
    struct sfx_result result = {0};
    size_t room = SFX_ROOM;
    call(control, request->method, request->data, request->size, answer);
    Streamfx__V1__GetPortraitThumbnailResponse *got =
        sfx_unpack(answer, &streamfx__v1__get_portrait_thumbnail_response__descriptor, &room);
    if (got)
        result.jpeg = got->jpeg.data, result.jpeg_size = got->jpeg.len;
    tell(control, request, answer, &result);
    sfx_release(got);
}

static void tell_devices(
    struct sfx_control *control, const struct request *request, struct sfx_answer *answer)
{
    struct sfx_result result = {0};
    size_t room = SFX_ROOM;
    call(control, request->method, request->data, request->size, answer);
    Streamfx__V1__ListDevicesResponse *got =
        sfx_unpack(answer, &streamfx__v1__list_devices_response__descriptor, &room);
    if (got && got->n_devices > SFX_MOST_LISTED)
        sfx_fail(answer, SFX_RESOURCE_EXHAUSTED, "The daemon's cameras are more than there is room for");
    else if (got)
        result.devices = got->devices, result.count = got->n_devices;
    tell(control, request, answer, &result);
    sfx_release(got);
}

static void check_presence(
    struct sfx_control *control, const struct request *request, struct sfx_answer *answer)
{
    size_t room = SFX_ROOM;
    call(control, request->method, request->data, request->size, answer);
    Grpc__Health__V1__HealthCheckResponse *got =
        sfx_unpack(answer, &grpc__health__v1__health_check_response__descriptor, &room);
    if (got && got->status != GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING)
        sfx_fail(answer, SFX_UNAVAILABLE, "The daemon is ending");
    sfx_release(got);
}

static void start(struct sfx_control *control, struct sfx_answer *answer)
{
    if (control->options.endpoint.address) {
        sfx_fail(
            answer, SFX_FAILED_PRECONDITION, "The daemon is of another machine: it is to be started there");
        return;
    }
    switch (sfx_daemon_start(control->program, control->socket, START_MS, &control->stop, answer->message,
        sizeof answer->message)) {
    case SFX_START_UP:
        answer->code = SFX_OK;
        break;
    case SFX_START_COMING:
        answer->code = SFX_DEADLINE_EXCEEDED;
        break;
    case SFX_START_FAILED:
        answer->code = SFX_FAILED_PRECONDITION;
        break;
    case SFX_START_STOPPED:
        answer->code = SFX_CANCELLED;
        break;
    }
}

// Do what was asked, and tell what came of it.
static void serve(struct sfx_control *control, struct request *request, struct sfx_answer *answer)
{
    struct sfx_result result = {0};
    switch (request->kind) {
    case SFX_PORTRAIT:
        tell_portrait(control, request, answer);
        return;
    case SFX_PORTRAITS:
        tell_portraits(control, request, answer);
        return;
    case SFX_THUMBNAIL:
        tell_thumbnail(control, request, answer);
        return;
    case SFX_SESSIONS:
        tell_sessions(control, request, answer);
        return;
    case SFX_SESSION:
        tell_session(control, request, answer);
        return;
    case SFX_DEVICES:
        tell_devices(control, request, answer);
        return;
    case SFX_PRESENCE:
        check_presence(control, request, answer);
        break;
    case SFX_STARTED:
        start(control, answer);
        break;
    case SFX_SESSION_ENDED:
    case SFX_CALIBRATED:
        call(control, request->method, request->data, request->size, answer);
        break;
    }
    tell(control, request, answer, &result);
}

// Look, between requests, whether a daemon is there; only a change is told.
static void look(struct sfx_control *control)
{
    Grpc__Health__V1__HealthCheckRequest message = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    message.service = "streamfx.v1.SessionService";
    uint8_t data[64];
    struct request request = {.kind = SFX_PRESENCE, .method = HEALTH "Check", .data = data};
    struct sfx_answer answer;
    struct sfx_result result = {0};
    request.size = grpc__health__v1__health_check_request__pack(&message, data);
    check_presence(control, &request, &answer);
    bool present = answer.code == SFX_OK;
    if (!control->seen || present != control->present)
        tell(control, &request, &answer, &result);
    control->seen = true, control->present = present;
    sfx_answer_release(&answer);
}

static void *work(void *data)
{
    struct sfx_control *control = data;
    struct request request;
    while (dequeue(control, &request)) {
        struct sfx_answer answer = {0};
        if (request.ticket) {
            serve(control, &request, &answer);
            sfx_answer_release(&answer);
            free(request.data);
        } else {
            look(control);
        }
    }
    free(request.data);
    return NULL;
}

// --- beginning and end

static bool copy(char **to, const char *from)
{
    *to = from ? strdup(from) : NULL;
    return !from || *to;
}

static void discard(struct sfx_control *control)
{
    for (size_t i = 0; i < control->waiting; i++)
        free(control->queue[i].data);
    pthread_cond_destroy(&control->changed);
    pthread_mutex_destroy(&control->lock);
    sfx_grpc_destroy(control->grpc);
    free(control->socket);
    free(control->program);
    free(control);
}

// The worker hears no signals: they are the program's, and a broken connection's SIGPIPE is nobody's.
static bool begin(struct sfx_control *control)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool begun = pthread_create(&control->worker, NULL, work, control) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return begun;
}

struct sfx_control *sfx_control_create(const struct sfx_control_options *options)
{
    struct sfx_control *control = calloc(1, sizeof *control);
    if (!control)
        return NULL;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&control->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&control->lock, NULL);
    control->options = *options;
    if (!control->options.timeout_ms)
        control->options.timeout_ms = 5000;
    control->grpc = sfx_grpc_create(&options->endpoint);
    bool copied =
        copy(&control->socket, options->endpoint.socket) && copy(&control->program, options->program);
    if (control->grpc && copied && begin(control))
        return control;
    discard(control);
    return NULL;
}

void sfx_control_destroy(struct sfx_control *control)
{
    if (!control)
        return;
    // Under the lock, so that the worker cannot begin to wait between seeing that it goes on and this.
    pthread_mutex_lock(&control->lock);
    atomic_store(&control->stop, true);
    pthread_cond_signal(&control->changed);
    pthread_mutex_unlock(&control->lock);
    sfx_grpc_cancel(control->grpc);
    pthread_join(control->worker, NULL);
    discard(control);
}
