// SPDX-License-Identifier: GPL-2.0-or-later

#include "session-sync.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <util/bmem.h>
#include <util/platform.h>

#include "daemon-requests.h"
#include "plugin.h"

static const float LOOK_S = 1.0f;
static const uint64_t START_AGAIN_NS = 20000000000, REFRESH_NS = 1000000000;
enum { WATCH_MS = 1000, MOST_PENDING = 64, PATH_ROOM = 512, PHOTO_ROOM = 4097, MOST_THUMBNAILS = 24 };

struct session_sync {
    session_sync_listener *on_change;
    void *param;
    char feed[TEXT_ROOM];

    // The mutex guards all below. It is held for moments: while requests are queued, results are copied, or
    // properties are listed; never during a call or a wait.
    pthread_mutex_t mutex;
    struct sfx_control
        *control; ///< used under the mutex only; ended outside of it, since its thread takes it
    char folder[PATH_ROOM], program[PATH_ROOM], session[ID_ROOM]; ///< the aim
    bool start;
    uint64_t started_ns, refreshed_ns;

    struct session_sync_view view;
    struct sfx_settings wished; ///< by OBS's settings, as last seen
    struct sfx_settings known;  ///< what the session has, or was asked for last
    bool plainly;               ///< the session could not be begun as wished: begin it with what is safe only
    uint64_t pending[MOST_PENDING]; ///< tickets of settings that were asked for
    size_t pending_count;
    char photo[PHOTO_ROOM]; ///< of which a portrait is being made, or was last
    bool added;             ///< it is done with: OBS's settings are to forget it
    char aimed[ID_ROOM];    ///< the session that `session_sync_tick` told last
    float since_look_s;
    bool changed; ///< something that can be seen, since `session_sync_adopt`
    bool posted;  ///< `session_sync_adopt` is on its way
};

// --- telling OBS

/// OBS's settings belong to its thread of windows, which is asked once to adopt whatever changed until then.
static void post(struct session_sync *sync)
{
    if (sync->posted)
        return;
    sync->posted = true;
    sync->on_change(sync->param);
}

static void show_change(struct session_sync *sync)
{
    sync->changed = true;
    post(sync);
}

static void say(struct session_sync *sync, const char *message)
{
    char *said = sync->view.message;
    if (strcmp(said, message) == 0)
        return;
    snprintf(said, sizeof(sync->view.message), "%s", message);
    if (*message)
        plugin_log(LOG_WARNING, "%s", message);
    show_change(sync);
}

// --- asking the daemon

static void expect(struct session_sync *sync, uint64_t ticket)
{
    for (size_t i = 0; i < sync->pending_count; i++)
        if (sync->pending[i] == ticket)
            return;
    if (ticket && sync->pending_count < MOST_PENDING)
        sync->pending[sync->pending_count++] = ticket;
}

/// True if it was a setting's.
static bool settle(struct session_sync *sync, uint64_t ticket)
{
    for (size_t i = 0; i < sync->pending_count; i++) {
        if (sync->pending[i] != ticket)
            continue;
        sync->pending[i] = sync->pending[--sync->pending_count];
        return true;
    }
    return false;
}

static void ask_lists(struct session_sync *sync)
{
    if (!sync->control)
        return;
    sfx_control_list_devices(sync->control);
    sfx_control_list_portraits(sync->control);
}

static size_t place_of(const struct session_sync_view *view, const char *portrait)
{
    size_t place = 0;
    while (place < view->portrait_count && strcmp(view->portraits[place], portrait) != 0)
        place++;
    return place;
}

/// Show a portrait; one that the session does not keep loaded takes the last place.
static uint64_t ask_portrait(struct session_sync *sync, const char *portrait)
{
    struct session_sync_view *view = &sync->view;
    if (place_of(view, portrait) < view->portrait_count)
        return sfx_control_select(sync->control, view->session, portrait);
    const size_t last =
        view->portrait_count < SESSION_PORTRAITS ? view->portrait_count++ : view->portrait_count - 1;
    snprintf(view->portraits[last], ID_ROOM, "%s", portrait);
    struct sfx_settings settings = {.portrait_count = view->portrait_count};
    memcpy(settings.portraits, view->portraits, sizeof(settings.portraits));
    snprintf(settings.portrait, ID_ROOM, "%s", portrait);
    return sfx_control_update(
        sync->control, view->session, &settings, SFX_FIELD_PORTRAITS | SFX_FIELD_PORTRAIT);
}

/// What cannot be asked for yet: a picture that was not named.
static bool is_incomplete(const struct sfx_settings *wanted)
{
    return wanted->background == STREAMFX__V1__BACKGROUND_KIND__BACKGROUND_KIND_IMAGE && !*wanted->image;
}

/// Ask for what differs from what the session has, field by field: the daemon takes an update whole or not at
/// all, and a picture that is gone must not keep the portrait from being hidden.
static void ask_for(struct session_sync *sync, const struct sfx_settings *wanted)
{
    struct sfx_control *control = sync->control;
    const char *session = sync->view.session;
    unsigned changed = choices_compare(&sync->known, wanted, SFX_FIELD_CHOICES);
    if (!control || !sync->view.agreed)
        return;
    if (is_incomplete(wanted))
        changed &= ~(unsigned)SFX_FIELD_BACKGROUND;
    if (!*wanted->portrait)
        changed &= ~(unsigned)SFX_FIELD_PORTRAIT;
    for (unsigned field = 1; field <= changed; field <<= 1) {
        if (!(changed & field))
            continue;
        expect(sync, field == SFX_FIELD_PORTRAIT ? ask_portrait(sync, wanted->portrait)
                                                 : sfx_control_update(control, session, wanted, field));
    }
    choices_take(&sync->known, wanted, changed);
}

/// The portraits that a session begins with: the chosen one, and what else there is.
static size_t first_portraits(
    const struct session_sync *sync, const char *chosen, char ids[SESSION_PORTRAITS][ID_ROOM])
{
    const struct catalog *catalog = &sync->view.catalog;
    size_t count = 0;
    if (catalog_find(catalog, chosen))
        snprintf(ids[count++], ID_ROOM, "%s", chosen);
    for (size_t i = 0; i < catalog->portrait_count && count < SESSION_PORTRAITS; i++)
        if (strcmp(catalog->portraits[i].id, chosen) != 0)
            snprintf(ids[count++], ID_ROOM, "%s", catalog->portraits[i].id);
    return count;
}

/// Find the session, or begin it: without a virtual camera, since OBS has the picture already, and with the
/// webcam open only while the source is seen.
static void ensure(struct session_sync *sync)
{
    static char none[] = "none";
    Streamfx__V1__Output output = STREAMFX__V1__OUTPUT__INIT;
    Streamfx__V1__SessionSettings settings = STREAMFX__V1__SESSION_SETTINGS__INIT;
    char ids[SESSION_PORTRAITS][ID_ROOM], *portraits[SESSION_PORTRAITS];
    struct sfx_settings *wished = &sync->wished;
    if (!sync->control)
        return;
    output.camera = none;
    output.has_camera_case = STREAMFX__V1__OUTPUT__HAS_CAMERA_CAMERA;
    settings.output = &output;
    settings.on_demand = true;
    settings.has_on_demand_case = STREAMFX__V1__SESSION_SETTINGS__HAS_ON_DEMAND_ON_DEMAND;
    settings.hidden = wished->hidden;
    settings.has_hidden_case = STREAMFX__V1__SESSION_SETTINGS__HAS_HIDDEN_HIDDEN;
    for (size_t i = 0; i < SESSION_PORTRAITS; i++)
        portraits[i] = ids[i];
    settings.portraits = portraits;
    settings.n_portraits = first_portraits(sync, wished->portrait, ids);
    if (!sync->plainly && wished->fields & SFX_FIELD_SOURCE) {
        settings.source = wished->source;
        settings.has_source_case = STREAMFX__V1__SESSION_SETTINGS__HAS_SOURCE_SOURCE;
    }
    sfx_control_ensure_session(sync->control, *sync->session ? sync->session : NULL, &settings);
}

static void start_if_wanted(struct session_sync *sync)
{
    struct session_sync_view *view = &sync->view;
    const uint64_t now = os_gettime_ns();
    const bool tried = sync->started_ns && now - sync->started_ns < START_AGAIN_NS;
    if (!sync->start || view->present || view->starting || tried || !sync->control)
        return;
    sync->started_ns = now;
    view->starting = sfx_control_start(sync->control) != 0;
    show_change(sync);
}

// --- what comes back

/// Make a portrait of a photo that was named just now.
static void add_photo(struct session_sync *sync, const char *path)
{
    if (strcmp(sync->photo, path) == 0 || !sync->control)
        return;
    snprintf(sync->photo, sizeof(sync->photo), "%s", path);
    if (!*path)
        return;
    sync->added = !sfx_control_add_portrait(sync->control, path);
    sync->view.adding = !sync->added;
    show_change(sync);
}

static void forget_session(struct session_sync *sync)
{
    sync->view.agreed = false;
    sync->pending_count = 0;
}

static void take_presence(struct session_sync *sync, const struct sfx_result *result)
{
    struct session_sync_view *view = &sync->view;
    const bool present = result->code == SFX_OK;
    if (view->present != present) {
        view->present = present;
        sync->plainly = false;
        forget_session(sync);
        show_change(sync);
    }
    if (present)
        ask_lists(sync); // the session follows the portraits, of which it is begun
}

static void take_start(struct session_sync *sync, const struct sfx_result *result)
{
    sync->view.starting = false;
    say(sync, result->code == SFX_OK ? "" : result->message);
    show_change(sync);
    if (sync->control)
        sfx_control_ask_presence(sync->control);
}

/// Show what was made of a photo; that it was not is told.
static void take_portrait(struct session_sync *sync, const struct sfx_result *result)
{
    sync->view.adding = false;
    sync->added = true;
    say(sync, result->message);
    show_change(sync);
    if (result->code != SFX_OK)
        return;
    struct sfx_settings wanted = sync->known;
    snprintf(wanted.portrait, ID_ROOM, "%s", result->subject);
    ask_for(sync, &wanted);
    ask_lists(sync);
}

static void take_portraits(struct session_sync *sync, const struct sfx_result *result)
{
    struct catalog *catalog = &sync->view.catalog;
    if (result->code != SFX_OK) {
        say(sync, result->message);
        return;
    }
    if (catalog_set_portraits(catalog, result->portraits, result->count))
        show_change(sync);
    for (size_t i = 0; i < catalog->portrait_count && i < MOST_THUMBNAILS && sync->control; i++)
        if (!catalog->portraits[i].thumbnail)
            sfx_control_get_thumbnail(sync->control, catalog->portraits[i].id);
    if (!sync->view.agreed)
        ensure(sync);
}

/// What can be told to a person.
static double shown(double told)
{
    return told >= 0 && told < 1e6 ? told : 0;
}

static void copy_report(struct report *report, const Streamfx__V1__SessionStatus *status)
{
    report->state = status->state;
    report->fps = shown(status->fps);
    report->p50_ms = status->latency ? shown(status->latency->p50_ms) : 0;
    report->p95_ms = status->latency ? shown(status->latency->p95_ms) : 0;
    sfx_copy_text(report->portrait, sizeof(report->portrait), status->portrait_id);
    sfx_copy_text(report->trouble, sizeof(report->trouble), status->trouble);
    sfx_copy_text(report->source_trouble, sizeof(report->source_trouble), status->source->trouble);
    sfx_copy_text(report->source_note, sizeof(report->source_note), status->source->note);
}

static void copy_session(struct session_sync *sync, const Streamfx__V1__Session *session)
{
    struct session_sync_view *view = &sync->view;
    const struct report before = view->report;
    snprintf(view->session, sizeof(view->session), "%s", session->id);
    copy_report(&view->report, session->status);
    const struct report *now = &view->report;
    if (before.state != now->state || strcmp(before.trouble, now->trouble) != 0 ||
        strcmp(before.source_trouble, now->source_trouble) != 0 ||
        strcmp(before.source_note, now->source_note) != 0 || strcmp(before.portrait, now->portrait) != 0)
        show_change(sync);
    view->portrait_count = 0;
    for (size_t i = 0; i < session->settings->n_portraits && i < SESSION_PORTRAITS; i++)
        snprintf(view->portraits[view->portrait_count++], ID_ROOM, "%s", session->settings->portraits[i]);
}

/// A session may not be as the user chose in OBS: that is asked of it, and no more of one that others began.
/// One that was begun for us is to be, besides, as the one before was at its end, whoever made that so.
static void agree(struct session_sync *sync, bool begun, const struct sfx_settings *before)
{
    struct sfx_settings wanted = sync->known;
    if (begun && !sync->plainly)
        choices_take(&wanted, before, before->fields);
    choices_take(&wanted, &sync->wished, sync->plainly ? 0 : sync->wished.fields);
    wanted.hidden = sync->known.hidden || sync->wished.hidden;
    sync->view.agreed = true;
    ask_for(sync, &wanted);
}

static void refuse(struct session_sync *sync, const struct sfx_result *result, bool setting)
{
    if (setting) { // refused, or there is another daemon by now: the session tells, or that it is no more
        say(sync, result->message);
        sfx_control_get_session(sync->control, sync->view.session);
    } else if (!sync->view.agreed) {
        say(sync, result->message);
        sync->plainly = true;
    } else {
        forget_session(sync);
    }
}

static void take_session(struct session_sync *sync, const struct sfx_result *result)
{
    struct sfx_settings truth;
    const bool setting = settle(sync, result->ticket);
    if (!sync->control)
        return;
    if (result->code != SFX_OK) {
        refuse(sync, result, setting);
        return;
    }
    if (*sync->session && strcmp(result->session->id, sync->session) != 0)
        return; // of a session that was chosen before
    choices_of_session(&truth, result->session);
    if (setting)
        say(sync, "");
    if (sync->pending_count)
        return; // older than what was asked for since
    copy_session(sync, result->session);
    const struct sfx_settings before = sync->known;
    sync->known = truth;
    if (!sync->view.agreed)
        agree(sync, result->begun, &before);
    if (!sync->pending_count && choices_compare(&sync->wished, &sync->known, SFX_FIELD_CHOICES))
        post(sync);
}

static void take(struct session_sync *sync, const struct sfx_result *result)
{
    switch (result->kind) {
    case SFX_PRESENCE:
        take_presence(sync, result);
        break;
    case SFX_STARTED:
        take_start(sync, result);
        break;
    case SFX_PORTRAIT:
        take_portrait(sync, result);
        break;
    case SFX_PORTRAITS:
        take_portraits(sync, result);
        break;
    case SFX_THUMBNAIL:
        if (result->code == SFX_OK &&
            catalog_set_thumbnail(&sync->view.catalog, result->subject, result->jpeg, result->jpeg_size))
            show_change(sync);
        break;
    case SFX_DEVICES:
        if (result->code == SFX_OK &&
            catalog_set_cameras(&sync->view.catalog, result->devices, result->count))
            show_change(sync);
        break;
    case SFX_SESSION:
        take_session(sync, result);
        break;
    case SFX_CALIBRATED:
        say(sync, result->code == SFX_OK ? "" : result->message);
        break;
    }
}

static void on_result(void *param, const struct sfx_result *result)
{
    struct session_sync *sync = param;
    pthread_mutex_lock(&sync->mutex);
    take(sync, result);
    pthread_mutex_unlock(&sync->mutex);
}

// --- beginning and end

struct session_sync *session_sync_create(const char *feed, session_sync_listener *on_change, void *param)
{
    struct session_sync *sync = bzalloc(sizeof(*sync));
    sync->on_change = on_change;
    sync->param = param;
    snprintf(sync->feed, sizeof(sync->feed), "%s", feed);
    pthread_mutex_init(&sync->mutex, NULL);
    return sync;
}

/// Its thread takes the mutex for what it still has to tell, so it is ended without.
static void end_control(struct session_sync *sync)
{
    pthread_mutex_lock(&sync->mutex);
    struct sfx_control *control = sync->control;
    sync->control = NULL;
    pthread_mutex_unlock(&sync->mutex);
    sfx_control_destroy(control);
}

void session_sync_destroy(struct session_sync *sync)
{
    end_control(sync);
    catalog_free(&sync->view.catalog);
    pthread_mutex_destroy(&sync->mutex);
    bfree(sync);
}

static void begin_control(struct session_sync *sync)
{
    char socket[PATH_ROOM + 16];
    snprintf(socket, sizeof(socket), "%s/control.sock", sync->folder);
    const struct sfx_control_options options = {
        .endpoint = {.socket = *sync->folder ? socket : NULL},
        .program = *sync->program ? sync->program : NULL,
        .watch_ms = WATCH_MS,
        .on_result = on_result,
        .param = sync,
    };
    pthread_mutex_lock(&sync->mutex); // so that its first result finds it
    sync->control = sfx_control_create(&options);
    if (sync->control)
        sfx_control_ask_presence(sync->control);
    else
        plugin_log(LOG_ERROR, "no thread could be started: the daemon cannot be steered");
    pthread_mutex_unlock(&sync->mutex);
}

void session_sync_update(struct session_sync *sync, const struct session_sync_aim *aim, obs_data_t *settings)
{
    const bool elsewhere =
        !sync->control || strcmp(sync->folder, aim->folder) != 0 || strcmp(sync->program, aim->program) != 0;
    if (elsewhere)
        end_control(sync);
    pthread_mutex_lock(&sync->mutex);
    const bool another = strcmp(sync->session, aim->session) != 0;
    snprintf(sync->folder, sizeof(sync->folder), "%s", aim->folder);
    snprintf(sync->program, sizeof(sync->program), "%s", aim->program);
    snprintf(sync->session, sizeof(sync->session), "%s", aim->session);
    sync->start = aim->start;
    const struct sfx_settings before = sync->wished;
    choices_read(&sync->wished, settings, sync->feed);
    if (another || elsewhere) {
        forget_session(sync);
        sync->view.session[0] = 0;
        sync->known.fields = 0;
        sync->plainly = false;
    }
    if (sync->view.agreed) { // what the user did not touch may have changed in the daemon meanwhile
        struct sfx_settings wanted = sync->known;
        choices_take(&wanted, &sync->wished, choices_compare(&before, &sync->wished, SFX_FIELD_CHOICES));
        ask_for(sync, &wanted);
    } else if (another && sync->view.present) {
        ensure(sync);
    }
    pthread_mutex_unlock(&sync->mutex);
    if (elsewhere)
        begin_control(sync);
    pthread_mutex_lock(&sync->mutex);
    add_photo(sync, obs_data_get_string(settings, SET_PHOTO));
    pthread_mutex_unlock(&sync->mutex);
}

static void look(struct session_sync *sync)
{
    sync->since_look_s = 0;
    start_if_wanted(sync);
    if (!sync->view.present || !sync->control)
        return;
    if (sync->view.agreed)
        sfx_control_get_session(sync->control, sync->view.session);
    else
        ask_lists(sync);
}

bool session_sync_tick(struct session_sync *sync, float seconds, char session[ID_ROOM])
{
    if (pthread_mutex_trylock(&sync->mutex) != 0)
        return false; // OBS draws: whoever has it is done before the next frame
    sync->since_look_s += seconds;
    if (sync->since_look_s >= LOOK_S)
        look(sync);
    const char *now = *sync->session ? sync->session : sync->view.session;
    const bool another = strcmp(sync->aimed, now) != 0;
    if (another) {
        snprintf(sync->aimed, ID_ROOM, "%s", now);
        snprintf(session, ID_ROOM, "%s", now);
    }
    pthread_mutex_unlock(&sync->mutex);
    return another;
}

bool session_sync_adopt(struct session_sync *sync, obs_data_t *settings)
{
    struct sfx_settings chosen;
    pthread_mutex_lock(&sync->mutex);
    sync->posted = false;
    bool changed = sync->changed;
    sync->changed = false;
    choices_read(&chosen, settings, sync->feed);
    if (sync->added) {
        obs_data_set_string(settings, SET_PHOTO, "");
        sync->photo[0] = 0;
        sync->added = false;
    }
    // The user's newest choice may be on its way here still, or on its way to the daemon.
    const bool settled = sync->view.agreed && !sync->pending_count &&
                         !choices_compare(&chosen, &sync->wished, SFX_FIELD_CHOICES) &&
                         !is_incomplete(&chosen);
    if (settled) {
        changed |= choices_write(&sync->known, settings, sync->feed);
        choices_read(&sync->wished, settings, sync->feed);
    }
    pthread_mutex_unlock(&sync->mutex);
    return changed;
}

// --- what users do

void session_sync_visit(struct session_sync *sync, session_sync_visitor *visit, void *data)
{
    pthread_mutex_lock(&sync->mutex);
    visit(data, &sync->view);
    pthread_mutex_unlock(&sync->mutex);
}

void session_sync_refresh(struct session_sync *sync)
{
    const uint64_t now = os_gettime_ns();
    pthread_mutex_lock(&sync->mutex);
    // What comes is shown by making the properties anew, which asks again: lists that are never the same must
    // not keep OBS's thread of windows at it.
    if (sync->view.present && now - sync->refreshed_ns >= REFRESH_NS) {
        sync->refreshed_ns = now;
        ask_lists(sync);
    }
    pthread_mutex_unlock(&sync->mutex);
}

void session_sync_calibrate(struct session_sync *sync)
{
    pthread_mutex_lock(&sync->mutex);
    if (sync->control && sync->view.agreed)
        sfx_control_calibrate(sync->control, sync->view.session);
    pthread_mutex_unlock(&sync->mutex);
}

void session_sync_toggle_hidden(struct session_sync *sync)
{
    pthread_mutex_lock(&sync->mutex);
    struct sfx_settings wanted = sync->known;
    wanted.hidden = !wanted.hidden;
    ask_for(sync, &wanted);
    pthread_mutex_unlock(&sync->mutex);
}

static void select_place(struct session_sync *sync, size_t place)
{
    struct sfx_settings wanted = sync->known;
    snprintf(wanted.portrait, ID_ROOM, "%s", sync->view.portraits[place]);
    ask_for(sync, &wanted);
}

void session_sync_select_place(struct session_sync *sync, size_t place)
{
    pthread_mutex_lock(&sync->mutex);
    if (place >= 1 && place <= sync->view.portrait_count)
        select_place(sync, place - 1);
    pthread_mutex_unlock(&sync->mutex);
}

void session_sync_select_step(struct session_sync *sync, int step)
{
    pthread_mutex_lock(&sync->mutex);
    const size_t count = sync->view.portrait_count;
    const size_t place = place_of(&sync->view, sync->known.portrait);
    if (count && place < count)
        select_place(sync, step > 0 ? (place + 1) % count : (place + count - 1) % count);
    else if (count)
        select_place(sync, 0);
    pthread_mutex_unlock(&sync->mutex);
}
