// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon-results.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon-answers.h"
#include "daemon-files.h"
#include "daemon-start.h"
#include "health.pb-c.h"
#include "streamfx/v1/device_service.pb-c.h"
#include "streamfx/v1/portrait_service.pb-c.h"
#include "streamfx/v1/session_service.pb-c.h"

#define MOST_BYTES (1024 * 1024) // of a response
#define MOST_PAGES 50            // of portraits: 10,000 of them
#define START_MS 60000
#define PHOTO_MS 120000
#define LONGEST_NAME 60 // of a portrait; in UTF-8, so that it has no more characters than the daemon takes
#define LONGEST_PATH 1024

static void call(struct sfx_daemon *daemon, const char *method, const uint8_t *data, size_t size,
    struct sfx_answer *answer)
{
    sfx_grpc_call(daemon->grpc, method, data, size, daemon->timeout_ms, MOST_BYTES, answer);
}

// --- files of this user's

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
static int hand_files_over(const struct sfx_daemon *daemon, Streamfx__V1__SessionSettings *settings)
{
    char standard[LONGEST_PATH];
    Streamfx__V1__Background *background = settings ? settings->background : NULL;
    const bool driven = settings &&
                        settings->has_source_case == STREAMFX__V1__SESSION_SETTINGS__HAS_SOURCE_SOURCE &&
                        names_file(settings->source);
    const bool pictured = background &&
                          background->has_image_case == STREAMFX__V1__BACKGROUND__HAS_IMAGE_IMAGE &&
                          names_file(background->image);
    if ((!driven && !pictured) || daemon->remote)
        return -1;
    if (!daemon->socket && !sfx_default_socket(standard, sizeof standard))
        return -1;
    const int files = sfx_files_connect(daemon->socket ? daemon->socket : standard);
    if (files >= 0 && driven)
        hand_over(files, &settings->source);
    if (files >= 0 && pictured)
        hand_over(files, &background->image);
    return files;
}

// The call of a request, its files handed over: they stand until it has its answer.
static void call_with_files(
    struct sfx_daemon *daemon, const struct sfx_request *request, struct sfx_answer *answer)
{
    const bool creates = strcmp(request->method, SFX_SESSION_SERVICE "CreateSession") == 0;
    const bool updates = strcmp(request->method, SFX_SESSION_SERVICE "UpdateSession") == 0;
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
    const int files = hand_files_over(daemon, settings);
    uint8_t *packed = files >= 0 ? malloc(protobuf_c_message_get_packed_size(message)) : NULL;
    if (packed)
        call(daemon, request->method, packed, protobuf_c_message_pack(message, packed), answer);
    else
        call(daemon, request->method, request->data, request->size, answer);
    if (files >= 0)
        close(files);
    free(packed);
    sfx_release(message);
}

// --- results

static void tell(struct sfx_daemon *daemon, const struct sfx_request *request,
    const struct sfx_answer *answer, struct sfx_result *result)
{
    result->ticket = request->ticket;
    result->kind = request->kind;
    result->code = answer->code;
    result->message = answer->message;
    result->subject = request->subject;
    if (!atomic_load(&daemon->stop) && daemon->on_result)
        daemon->on_result(daemon->param, result);
}

// A session's name as the key that finds it; the answer is of the session, begun if need be.
static void ensure(struct sfx_daemon *daemon, const struct sfx_request *request, struct sfx_answer *answer,
    Streamfx__V1__Session **session, void **holder, bool *begun)
{
    Streamfx__V1__GetSessionRequest get = STREAMFX__V1__GET_SESSION_REQUEST__INIT;
    Streamfx__V1__ListSessionsRequest list = STREAMFX__V1__LIST_SESSIONS_REQUEST__INIT;
    size_t room = SFX_ROOM;
    uint8_t named[SFX_LONGEST_ID + 8], first[16];
    get.session_id = (char *)request->subject;
    list.page_size = 1;
    size_t named_size = streamfx__v1__get_session_request__pack(&get, named);
    size_t first_size = streamfx__v1__list_sessions_request__pack(&list, first);
    // Another program may begin the session between looking and beginning: then it is looked for once more.
    for (int round = 0; round < 2; round++) {
        if (*request->subject) {
            call(daemon, SFX_SESSION_SERVICE "GetSession", named, named_size, answer);
            Streamfx__V1__GetSessionResponse *got =
                sfx_unpack(answer, &streamfx__v1__get_session_response__descriptor, &room);
            *holder = got, *session = got ? got->session : NULL;
        } else {
            call(daemon, SFX_SESSION_SERVICE "ListSessions", first, first_size, answer);
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
        call_with_files(daemon, request, answer);
        Streamfx__V1__CreateSessionResponse *made =
            sfx_unpack(answer, &streamfx__v1__create_session_response__descriptor, &room);
        *holder = made, *session = made ? made->session : NULL, *begun = made != NULL;
        if (answer->code != SFX_ALREADY_EXISTS)
            return;
        sfx_answer_release(answer);
    }
}

static void tell_session(
    struct sfx_daemon *daemon, const struct sfx_request *request, struct sfx_answer *answer)
{
    struct sfx_result result = {0};
    size_t room = SFX_ROOM;
    Streamfx__V1__Session *session = NULL;
    void *holder = NULL;
    if (strcmp(request->method, SFX_SESSION_SERVICE "CreateSession") == 0) {
        ensure(daemon, request, answer, &session, &holder, &result.begun);
    } else {
        call_with_files(daemon, request, answer);
        // The responses of all methods that give a session have the same form: it is their field 1.
        Streamfx__V1__GetSessionResponse *got =
            sfx_unpack(answer, &streamfx__v1__get_session_response__descriptor, &room);
        holder = got, session = got ? got->session : NULL;
    }
    if (answer->code == SFX_OK && !sfx_is_session(session))
        sfx_fail(answer, SFX_INTERNAL, "The daemon's answer is incomplete: it may be of another version");
    result.session = answer->code == SFX_OK ? session : NULL;
    tell(daemon, request, answer, &result);
    sfx_release(holder);
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
    struct sfx_daemon *daemon, const struct sfx_request *request, struct sfx_answer *answer)
{
    struct sfx_result result = {0};
    size_t room = SFX_ROOM;
    struct album album = {0};
    call(daemon, request->method, request->data, request->size, answer);
    for (Streamfx__V1__ListPortraitsResponse *page;
         (page = sfx_unpack(answer, &streamfx__v1__list_portraits_response__descriptor, &room));) {
        if (!add_page(&album, page)) {
            sfx_fail(
                answer, SFX_RESOURCE_EXHAUSTED, "The daemon's portraits are more than there is room for");
            break;
        }
        if (!has_portraits(page)) {
            sfx_fail(answer, SFX_INTERNAL, "The daemon's answer is incomplete: it may be of another version");
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
        call(daemon, request->method, data, size, answer);
    }
    if (answer->code == SFX_OK)
        result.portraits = album.all, result.count = album.portraits;
    tell(daemon, request, answer, &result);
    for (size_t i = 0; i < album.count; i++)
        sfx_release(album.pages[i]);
    free(album.all);
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

static void tell_portrait(struct sfx_daemon *daemon, struct sfx_request *request, struct sfx_answer *answer)
{
    const char *path = (const char *)request->data;
    struct sfx_result result = {0};
    size_t room = SFX_ROOM;
    Streamfx__V1__CreatePortraitResponse *made = NULL;
    char name[LONGEST_NAME + 1];
    size_t size = 0;
    name_after(path, name);
    char why[SFX_LONGEST_MESSAGE + 1];
    uint8_t *bytes = sfx_files_read_photo(path, &size, why, sizeof why);
    if (!bytes) {
        sfx_fail(answer, SFX_INVALID_ARGUMENT, why);
    } else {
        Streamfx__V1__CreatePortraitRequest message = STREAMFX__V1__CREATE_PORTRAIT_REQUEST__INIT;
        Streamfx__V1__Photo photo;
        streamfx__v1__photo__init(&photo);
        photo.source_case = STREAMFX__V1__PHOTO__SOURCE_CONTENT;
        photo.content = (ProtobufCBinaryData){size, bytes};
        message.photo = &photo, message.display_name = name;
        uint8_t *packed = malloc(streamfx__v1__create_portrait_request__get_packed_size(&message));
        const size_t length = packed ? streamfx__v1__create_portrait_request__pack(&message, packed) : 0;
        if (packed)
            sfx_grpc_call(daemon->grpc, request->method, packed, length, PHOTO_MS, MOST_BYTES, answer);
        else
            sfx_fail(answer, SFX_RESOURCE_EXHAUSTED, "The photo cannot be sent: memory is out");
        free(packed);
        made = sfx_unpack(answer, &streamfx__v1__create_portrait_response__descriptor, &room);
    }
    free(bytes);
    if (made && sfx_is_portrait(made->portrait))
        snprintf(request->subject, sizeof request->subject, "%s", made->portrait->id);
    else if (made)
        sfx_fail(answer, SFX_INTERNAL, "The daemon's answer is incomplete: it may be of another version");
    tell(daemon, request, answer, &result);
    sfx_release(made);
}

static void tell_thumbnail(
    struct sfx_daemon *daemon, const struct sfx_request *request, struct sfx_answer *answer)
{
    struct sfx_result result = {0};
    size_t room = SFX_ROOM;
    call(daemon, request->method, request->data, request->size, answer);
    Streamfx__V1__GetPortraitThumbnailResponse *got =
        sfx_unpack(answer, &streamfx__v1__get_portrait_thumbnail_response__descriptor, &room);
    if (got)
        result.jpeg = got->jpeg.data, result.jpeg_size = got->jpeg.len;
    tell(daemon, request, answer, &result);
    sfx_release(got);
}

static void tell_devices(
    struct sfx_daemon *daemon, const struct sfx_request *request, struct sfx_answer *answer)
{
    struct sfx_result result = {0};
    size_t room = SFX_ROOM;
    call(daemon, request->method, request->data, request->size, answer);
    Streamfx__V1__ListDevicesResponse *got =
        sfx_unpack(answer, &streamfx__v1__list_devices_response__descriptor, &room);
    if (got && got->n_devices > SFX_MOST_LISTED)
        sfx_fail(answer, SFX_RESOURCE_EXHAUSTED, "The daemon's cameras are more than there is room for");
    else if (got)
        result.devices = got->devices, result.count = got->n_devices;
    tell(daemon, request, answer, &result);
    sfx_release(got);
}

static void check_presence(
    struct sfx_daemon *daemon, const struct sfx_request *request, struct sfx_answer *answer)
{
    size_t room = SFX_ROOM;
    call(daemon, request->method, request->data, request->size, answer);
    Grpc__Health__V1__HealthCheckResponse *got =
        sfx_unpack(answer, &grpc__health__v1__health_check_response__descriptor, &room);
    if (got && got->status != GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING)
        sfx_fail(answer, SFX_UNAVAILABLE, "The daemon is ending");
    sfx_release(got);
}

static void start(struct sfx_daemon *daemon, struct sfx_answer *answer)
{
    if (daemon->remote) {
        sfx_fail(answer, SFX_FAILED_PRECONDITION, "The daemon runs on another machine: start it there");
        return;
    }
    switch (sfx_daemon_start(
        daemon->program, daemon->socket, START_MS, &daemon->stop, answer->message, sizeof answer->message)) {
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

static void serve(struct sfx_daemon *daemon, struct sfx_request *request, struct sfx_answer *answer)
{
    struct sfx_result result = {0};
    switch (request->kind) {
    case SFX_PORTRAIT:
        tell_portrait(daemon, request, answer);
        return;
    case SFX_PORTRAITS:
        tell_portraits(daemon, request, answer);
        return;
    case SFX_THUMBNAIL:
        tell_thumbnail(daemon, request, answer);
        return;
    case SFX_SESSION:
        tell_session(daemon, request, answer);
        return;
    case SFX_DEVICES:
        tell_devices(daemon, request, answer);
        return;
    case SFX_PRESENCE:
        check_presence(daemon, request, answer);
        break;
    case SFX_STARTED:
        start(daemon, answer);
        break;
    case SFX_CALIBRATED:
        call(daemon, request->method, request->data, request->size, answer);
        break;
    }
    tell(daemon, request, answer, &result);
}

void sfx_perform(struct sfx_daemon *daemon, struct sfx_request *request)
{
    struct sfx_answer answer = {0};
    serve(daemon, request, &answer);
    sfx_answer_release(&answer);
}

void sfx_look(struct sfx_daemon *daemon)
{
    Grpc__Health__V1__HealthCheckRequest message = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    message.service = SFX_CHECKED_SERVICE;
    uint8_t data[64];
    struct sfx_request request = {.kind = SFX_PRESENCE, .method = SFX_HEALTH_CHECK, .data = data};
    struct sfx_answer answer;
    struct sfx_result result = {0};
    request.size = grpc__health__v1__health_check_request__pack(&message, data);
    check_presence(daemon, &request, &answer);
    bool present = answer.code == SFX_OK;
    if (!daemon->seen || present != daemon->present)
        tell(daemon, &request, &answer, &result);
    daemon->seen = true, daemon->present = present;
    sfx_answer_release(&answer);
}
