// SPDX-License-Identifier: GPL-2.0-or-later

#include "steering.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <util/bmem.h>
#include <util/platform.h>

#include "plugin.h"
#include "portrait-source.h"

static const float LOOK_S = 1.0f;
static const uint64_t START_AGAIN_NS = 20000000000, REFRESH_NS = 1000000000;
enum { WATCH_MS = 1000, MOST_PENDING = 64, PATH_ROOM = 512, PHOTO_ROOM = 4097, MOST_THUMBNAILS = 24 };

struct steering {
    obs_weak_source_t *source;
    char feed[TEXT_ROOM];

    // The mutex guards all below. It is held for moments: while requests are queued, results are copied, or
    // properties are listed; never during a call or a wait.
    pthread_mutex_t mutex;
    struct sfx_control
        *control; ///< used under the mutex only; ended outside of it, since its thread takes it
    char folder[PATH_ROOM], program[PATH_ROOM], session[ID_ROOM]; ///< the aim
    bool start;
    uint64_t started_ns, refreshed_ns;

    struct steering_view view;
    struct choices wished; ///< by OBS's settings, as last seen
    struct choices known;  ///< what the session has, or was asked for last
    bool plainly;          ///< the session could not be begun as wished: begin it with what is safe only
    uint64_t pending[MOST_PENDING]; ///< tickets of settings that were asked for
    size_t pending_count;
    char photo[PHOTO_ROOM]; ///< of which a portrait is being made, or was last
    bool added;             ///< it is done with: OBS's settings are to forget it
    char aimed[ID_ROOM];    ///< the session that `steering_tick` told last
    float since_look_s;
    bool changed; ///< something that can be seen, since `steering_adopt`
    bool posted;  ///< `steering_adopt` is on its way
};

// --- telling OBS

static void adopt_in_window_thread(void *data)
{
    obs_source_t *source = obs_weak_source_get_source(data);
    obs_weak_source_release(data);
    if (!source)
        return;
    struct steering *steering = portrait_source_steering(source);
    obs_data_t *settings = obs_source_get_settings(source);
    if (steering && steering_adopt(steering, settings))
        obs_source_update_properties(source);
    obs_data_release(settings);
    obs_source_release(source);
}

/// OBS's settings belong to its thread of windows.
static void post(struct steering *steering)
{
    if (steering->posted)
        return;
    steering->posted = true;
    obs_weak_source_addref(steering->source);
    obs_queue_task(OBS_TASK_UI, adopt_in_window_thread, steering->source, false);
}

static void show_change(struct steering *steering)
{
    steering->changed = true;
    post(steering);
}

static void say(struct steering *steering, const char *message)
{
    char *said = steering->view.message;
    if (strcmp(said, message) == 0)
        return;
    snprintf(said, sizeof(steering->view.message), "%s", message);
    if (*message)
        plugin_log(LOG_WARNING, "%s", message);
    show_change(steering);
}

// --- asking the daemon

static void expect(struct steering *steering, uint64_t ticket)
{
    for (size_t i = 0; i < steering->pending_count; i++)
        if (steering->pending[i] == ticket)
            return;
    if (ticket && steering->pending_count < MOST_PENDING)
        steering->pending[steering->pending_count++] = ticket;
}

/// True if it was a setting's.
static bool settle(struct steering *steering, uint64_t ticket)
{
    for (size_t i = 0; i < steering->pending_count; i++) {
        if (steering->pending[i] != ticket)
            continue;
        steering->pending[i] = steering->pending[--steering->pending_count];
        return true;
    }
    return false;
}

static void ask_lists(struct steering *steering)
{
    if (!steering->control)
        return;
    sfx_control_list_devices(steering->control);
    sfx_control_list_portraits(steering->control);
}

static size_t place_of(const struct steering_view *view, const char *portrait)
{
    size_t place = 0;
    while (place < view->portrait_count && strcmp(view->portraits[place], portrait) != 0)
        place++;
    return place;
}

/// Show a portrait; one that the session does not keep loaded takes the last place.
static uint64_t ask_portrait(struct steering *steering, const char *portrait)
{
    struct steering_view *view = &steering->view;
    if (place_of(view, portrait) < view->portrait_count)
        return sfx_control_select(steering->control, view->session, portrait);
    const size_t last =
        view->portrait_count < SESSION_PORTRAITS ? view->portrait_count++ : view->portrait_count - 1;
    snprintf(view->portraits[last], ID_ROOM, "%s", portrait);
    const char *names[SESSION_PORTRAITS];
    for (size_t i = 0; i < view->portrait_count; i++)
        names[i] = view->portraits[i];
    return sfx_control_set_portraits(steering->control, view->session, names, view->portrait_count, portrait);
}

static uint64_t ask_background(struct steering *steering, const struct choices *wanted)
{
    char colour[8];
    choices_colour(wanted->colour, colour);
    const Streamfx__V1__BackgroundKind kind = wanted->background;
    const bool coloured = kind == STREAMFX__V1__BACKGROUND_KIND__BACKGROUND_KIND_COLOUR;
    const bool pictured = kind == STREAMFX__V1__BACKGROUND_KIND__BACKGROUND_KIND_IMAGE;
    return sfx_control_set_background(steering->control, steering->view.session, kind,
        coloured ? colour : NULL, pictured ? wanted->image : NULL);
}

/// What cannot be asked for yet: a picture that was not named.
static bool is_incomplete(const struct choices *wanted)
{
    return wanted->background == STREAMFX__V1__BACKGROUND_KIND__BACKGROUND_KIND_IMAGE && !*wanted->image;
}

/// Ask for what differs from what the session has; to be hidden comes first.
static void ask_for(struct steering *steering, const struct choices *wanted)
{
    struct sfx_control *control = steering->control;
    const char *session = steering->view.session;
    unsigned changed = choices_compare(&steering->known, wanted, CHOICE_ALL);
    if (!control || !steering->view.agreed)
        return;
    if (is_incomplete(wanted))
        changed &= ~(unsigned)CHOICE_BACKGROUND;
    if (!*wanted->portrait)
        changed &= ~(unsigned)CHOICE_PORTRAIT;
    if (changed & CHOICE_HIDDEN)
        expect(steering, sfx_control_set_flag(control, session, SFX_FLAG_HIDDEN, wanted->hidden));
    if (changed & CHOICE_PORTRAIT)
        expect(steering, ask_portrait(steering, wanted->portrait));
    if (changed & CHOICE_DRIVER)
        expect(steering, sfx_control_set_word(control, session, SFX_WORD_SOURCE, wanted->driver));
    if (changed & CHOICE_BACKGROUND)
        expect(steering, ask_background(steering, wanted));
    if (changed & CHOICE_FRAMING)
        expect(steering, sfx_control_set_framing(control, session, &wanted->framing));
    if (changed & CHOICE_MIRROR)
        expect(steering, sfx_control_set_flag(control, session, SFX_FLAG_MIRROR, wanted->mirror));
    for (int gain = 0; gain < GAINS; gain++)
        if (changed & choice_of_gain((enum sfx_gain)gain))
            expect(
                steering, sfx_control_set_gain(control, session, (enum sfx_gain)gain, wanted->gains[gain]));
    if (changed & CHOICE_REFINE)
        expect(steering, sfx_control_set_word(control, session, SFX_WORD_REFINE, wanted->refine));
    if (changed & CHOICE_MOUTH)
        expect(steering, sfx_control_set_word(control, session, SFX_WORD_MOUTH, wanted->mouth));
    choices_take(&steering->known, wanted, changed);
}

/// The portraits that a session begins with: the chosen one, and what else there is.
static size_t first_portraits(
    const struct steering *steering, const char *chosen, char ids[SESSION_PORTRAITS][ID_ROOM])
{
    const struct shelf *shelf = &steering->view.shelf;
    size_t count = 0;
    if (shelf_find(shelf, chosen))
        snprintf(ids[count++], ID_ROOM, "%s", chosen);
    for (size_t i = 0; i < shelf->portrait_count && count < SESSION_PORTRAITS; i++)
        if (strcmp(shelf->portraits[i].id, chosen) != 0)
            snprintf(ids[count++], ID_ROOM, "%s", shelf->portraits[i].id);
    return count;
}

/// Find the session, or begin it: without a virtual camera, since OBS has the picture already, and with the
/// webcam open only while the source is seen.
static void ensure(struct steering *steering)
{
    static char none[] = "none";
    Streamfx__V1__Output output = STREAMFX__V1__OUTPUT__INIT;
    Streamfx__V1__SessionSettings settings = STREAMFX__V1__SESSION_SETTINGS__INIT;
    char ids[SESSION_PORTRAITS][ID_ROOM], *portraits[SESSION_PORTRAITS];
    struct choices *wished = &steering->wished;
    if (!steering->control)
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
    settings.n_portraits = first_portraits(steering, wished->portrait, ids);
    if (!steering->plainly && wished->given & CHOICE_DRIVER) {
        settings.source = wished->driver;
        settings.has_source_case = STREAMFX__V1__SESSION_SETTINGS__HAS_SOURCE_SOURCE;
    }
    sfx_control_ensure_session(steering->control, *steering->session ? steering->session : NULL, &settings);
}

static void start_if_wanted(struct steering *steering)
{
    struct steering_view *view = &steering->view;
    const uint64_t now = os_gettime_ns();
    const bool tried = steering->started_ns && now - steering->started_ns < START_AGAIN_NS;
    if (!steering->start || view->present || view->starting || tried || !steering->control)
        return;
    steering->started_ns = now;
    view->starting = sfx_control_start(steering->control) != 0;
    show_change(steering);
}

// --- what comes back

/// Make a portrait of a photo that was named just now.
static void add_photo(struct steering *steering, const char *path)
{
    if (strcmp(steering->photo, path) == 0 || !steering->control)
        return;
    snprintf(steering->photo, sizeof(steering->photo), "%s", path);
    if (!*path)
        return;
    steering->added = !sfx_control_add_portrait(steering->control, path);
    steering->view.adding = !steering->added;
    show_change(steering);
}

static void forget_session(struct steering *steering)
{
    steering->view.agreed = false;
    steering->pending_count = 0;
}

static void take_presence(struct steering *steering, const struct sfx_result *result)
{
    struct steering_view *view = &steering->view;
    const bool present = result->code == SFX_OK;
    if (view->present != present) {
        view->present = present;
        steering->plainly = false;
        forget_session(steering);
        show_change(steering);
    }
    if (present)
        ask_lists(steering); // the session follows the portraits, of which it is begun
}

static void take_start(struct steering *steering, const struct sfx_result *result)
{
    steering->view.starting = false;
    say(steering, result->code == SFX_OK ? "" : result->message);
    show_change(steering);
    if (steering->control)
        sfx_control_ask_presence(steering->control);
}

/// Show what was made of a photo; that it was not is told.
static void take_portrait(struct steering *steering, const struct sfx_result *result)
{
    steering->view.adding = false;
    steering->added = true;
    say(steering, result->message);
    show_change(steering);
    if (result->code != SFX_OK)
        return;
    struct choices wanted = steering->known;
    snprintf(wanted.portrait, ID_ROOM, "%s", result->subject);
    ask_for(steering, &wanted);
    ask_lists(steering);
}

static void take_portraits(struct steering *steering, const struct sfx_result *result)
{
    struct shelf *shelf = &steering->view.shelf;
    if (result->code != SFX_OK) {
        say(steering, result->message);
        return;
    }
    if (shelf_set_portraits(shelf, result->portraits, result->count))
        show_change(steering);
    for (size_t i = 0; i < shelf->portrait_count && i < MOST_THUMBNAILS && steering->control; i++)
        if (!shelf->portraits[i].thumbnail)
            sfx_control_get_thumbnail(steering->control, shelf->portraits[i].id);
    if (!steering->view.agreed)
        ensure(steering);
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

static void copy_session(struct steering *steering, const Streamfx__V1__Session *session)
{
    struct steering_view *view = &steering->view;
    const struct report before = view->report;
    snprintf(view->session, sizeof(view->session), "%s", session->id);
    copy_report(&view->report, session->status);
    const struct report *now = &view->report;
    if (before.state != now->state || strcmp(before.trouble, now->trouble) != 0 ||
        strcmp(before.source_trouble, now->source_trouble) != 0 ||
        strcmp(before.source_note, now->source_note) != 0 || strcmp(before.portrait, now->portrait) != 0)
        show_change(steering);
    view->portrait_count = 0;
    for (size_t i = 0; i < session->settings->n_portraits && i < SESSION_PORTRAITS; i++)
        snprintf(view->portraits[view->portrait_count++], ID_ROOM, "%s", session->settings->portraits[i]);
}

/// A session may not be as the user chose in OBS: that is asked of it, and no more of one that others began.
/// One that was begun for us is to be, besides, as the one before was at its end, whoever made that so.
static void agree(struct steering *steering, bool begun, const struct choices *before)
{
    struct choices wanted = steering->known;
    if (begun && !steering->plainly)
        choices_take(&wanted, before, before->given);
    choices_take(&wanted, &steering->wished, steering->plainly ? 0 : steering->wished.given);
    wanted.hidden = steering->known.hidden || steering->wished.hidden;
    steering->view.agreed = true;
    ask_for(steering, &wanted);
}

static void refuse(struct steering *steering, const struct sfx_result *result, bool setting)
{
    if (setting) { // refused, or there is another daemon by now: the session tells, or that it is no more
        say(steering, result->message);
        sfx_control_get_session(steering->control, steering->view.session);
    } else if (!steering->view.agreed) {
        say(steering, result->message);
        steering->plainly = true;
    } else {
        forget_session(steering);
    }
}

static void take_session(struct steering *steering, const struct sfx_result *result)
{
    struct choices truth;
    const bool setting = settle(steering, result->ticket);
    if (!steering->control)
        return;
    if (result->code != SFX_OK) {
        refuse(steering, result, setting);
        return;
    }
    if (*steering->session && strcmp(result->session->id, steering->session) != 0)
        return; // of a session that was chosen before
    choices_of_session(&truth, result->session);
    if (setting)
        say(steering, "");
    if (steering->pending_count)
        return; // older than what was asked for since
    copy_session(steering, result->session);
    const struct choices before = steering->known;
    steering->known = truth;
    if (!steering->view.agreed)
        agree(steering, result->begun, &before);
    if (!steering->pending_count && choices_compare(&steering->wished, &steering->known, CHOICE_ALL))
        post(steering);
}

static void take(struct steering *steering, const struct sfx_result *result)
{
    switch (result->kind) {
    case SFX_PRESENCE:
        take_presence(steering, result);
        break;
    case SFX_STARTED:
        take_start(steering, result);
        break;
    case SFX_PORTRAIT:
        take_portrait(steering, result);
        break;
    case SFX_PORTRAITS:
        take_portraits(steering, result);
        break;
    case SFX_THUMBNAIL:
        if (result->code == SFX_OK &&
            shelf_set_thumbnail(&steering->view.shelf, result->subject, result->jpeg, result->jpeg_size))
            show_change(steering);
        break;
    case SFX_DEVICES:
        if (result->code == SFX_OK &&
            shelf_set_cameras(&steering->view.shelf, result->devices, result->count))
            show_change(steering);
        break;
    case SFX_SESSION:
        take_session(steering, result);
        break;
    case SFX_CALIBRATED:
        say(steering, result->code == SFX_OK ? "" : result->message);
        break;
    case SFX_SESSIONS:
    case SFX_SESSION_ENDED:
        break; // not asked for here
    }
}

static void on_result(void *param, const struct sfx_result *result)
{
    struct steering *steering = param;
    pthread_mutex_lock(&steering->mutex);
    take(steering, result);
    pthread_mutex_unlock(&steering->mutex);
}

// --- beginning and end

struct steering *steering_create(obs_source_t *source, const char *feed)
{
    struct steering *steering = bzalloc(sizeof(*steering));
    steering->source = obs_source_get_weak_source(source);
    snprintf(steering->feed, sizeof(steering->feed), "%s", feed);
    pthread_mutex_init(&steering->mutex, NULL);
    return steering;
}

/// Its thread takes the mutex for what it still has to tell, so it is ended without.
static void end_control(struct steering *steering)
{
    pthread_mutex_lock(&steering->mutex);
    struct sfx_control *control = steering->control;
    steering->control = NULL;
    pthread_mutex_unlock(&steering->mutex);
    sfx_control_destroy(control);
}

void steering_destroy(struct steering *steering)
{
    end_control(steering);
    shelf_free(&steering->view.shelf);
    pthread_mutex_destroy(&steering->mutex);
    obs_weak_source_release(steering->source);
    bfree(steering);
}

static void begin_control(struct steering *steering)
{
    char socket[PATH_ROOM + 16];
    snprintf(socket, sizeof(socket), "%s/control.sock", steering->folder);
    const struct sfx_control_options options = {
        .endpoint = {.socket = *steering->folder ? socket : NULL},
        .program = *steering->program ? steering->program : NULL,
        .watch_ms = WATCH_MS,
        .on_result = on_result,
        .param = steering,
    };
    pthread_mutex_lock(&steering->mutex); // so that its first result finds it
    steering->control = sfx_control_create(&options);
    if (steering->control)
        sfx_control_ask_presence(steering->control);
    else
        plugin_log(LOG_ERROR, "no thread could be started: the daemon cannot be steered");
    pthread_mutex_unlock(&steering->mutex);
}

void steering_update(struct steering *steering, const struct steering_aim *aim, obs_data_t *settings)
{
    const bool elsewhere = !steering->control || strcmp(steering->folder, aim->folder) != 0 ||
                           strcmp(steering->program, aim->program) != 0;
    if (elsewhere)
        end_control(steering);
    pthread_mutex_lock(&steering->mutex);
    const bool another = strcmp(steering->session, aim->session) != 0;
    snprintf(steering->folder, sizeof(steering->folder), "%s", aim->folder);
    snprintf(steering->program, sizeof(steering->program), "%s", aim->program);
    snprintf(steering->session, sizeof(steering->session), "%s", aim->session);
    steering->start = aim->start;
    const struct choices before = steering->wished;
    choices_read(&steering->wished, settings, steering->feed);
    if (another || elsewhere) {
        forget_session(steering);
        steering->view.session[0] = 0;
        steering->known.given = 0;
        steering->plainly = false;
    }
    if (steering->view.agreed) { // what the user did not touch may have changed in the daemon meanwhile
        struct choices wanted = steering->known;
        choices_take(&wanted, &steering->wished, choices_compare(&before, &steering->wished, CHOICE_ALL));
        ask_for(steering, &wanted);
    } else if (another && steering->view.present) {
        ensure(steering);
    }
    pthread_mutex_unlock(&steering->mutex);
    if (elsewhere)
        begin_control(steering);
    pthread_mutex_lock(&steering->mutex);
    add_photo(steering, obs_data_get_string(settings, SET_PHOTO));
    pthread_mutex_unlock(&steering->mutex);
}

static void look(struct steering *steering)
{
    steering->since_look_s = 0;
    start_if_wanted(steering);
    if (!steering->view.present || !steering->control)
        return;
    if (steering->view.agreed)
        sfx_control_get_session(steering->control, steering->view.session);
    else
        ask_lists(steering);
}

bool steering_tick(struct steering *steering, float seconds, char session[ID_ROOM])
{
    if (pthread_mutex_trylock(&steering->mutex) != 0)
        return false; // OBS draws: whoever has it is done before the next frame
    steering->since_look_s += seconds;
    if (steering->since_look_s >= LOOK_S)
        look(steering);
    const char *now = *steering->session ? steering->session : steering->view.session;
    const bool another = strcmp(steering->aimed, now) != 0;
    if (another) {
        snprintf(steering->aimed, ID_ROOM, "%s", now);
        snprintf(session, ID_ROOM, "%s", now);
    }
    pthread_mutex_unlock(&steering->mutex);
    return another;
}

bool steering_adopt(struct steering *steering, obs_data_t *settings)
{
    struct choices chosen;
    pthread_mutex_lock(&steering->mutex);
    steering->posted = false;
    bool changed = steering->changed;
    steering->changed = false;
    choices_read(&chosen, settings, steering->feed);
    if (steering->added) {
        obs_data_set_string(settings, SET_PHOTO, "");
        steering->photo[0] = 0;
        steering->added = false;
    }
    // The user's newest choice may be on its way here still, or on its way to the daemon.
    const bool settled = steering->view.agreed && !steering->pending_count &&
                         !choices_compare(&chosen, &steering->wished, CHOICE_ALL) && !is_incomplete(&chosen);
    if (settled) {
        changed |= choices_write(&steering->known, settings, steering->feed);
        choices_read(&steering->wished, settings, steering->feed);
    }
    pthread_mutex_unlock(&steering->mutex);
    return changed;
}

// --- what users do

void steering_visit(struct steering *steering, steering_visitor *visit, void *data)
{
    pthread_mutex_lock(&steering->mutex);
    visit(data, &steering->view);
    pthread_mutex_unlock(&steering->mutex);
}

void steering_refresh(struct steering *steering)
{
    const uint64_t now = os_gettime_ns();
    pthread_mutex_lock(&steering->mutex);
    // What comes is shown by making the properties anew, which asks again: lists that are never the same must
    // not keep OBS's thread of windows at it.
    if (steering->view.present && now - steering->refreshed_ns >= REFRESH_NS) {
        steering->refreshed_ns = now;
        ask_lists(steering);
    }
    pthread_mutex_unlock(&steering->mutex);
}

void steering_calibrate(struct steering *steering)
{
    pthread_mutex_lock(&steering->mutex);
    if (steering->control && steering->view.agreed)
        sfx_control_calibrate(steering->control, steering->view.session);
    pthread_mutex_unlock(&steering->mutex);
}

void steering_toggle_hidden(struct steering *steering)
{
    pthread_mutex_lock(&steering->mutex);
    struct choices wanted = steering->known;
    wanted.hidden = !wanted.hidden;
    ask_for(steering, &wanted);
    pthread_mutex_unlock(&steering->mutex);
}

static void select_place(struct steering *steering, size_t place)
{
    struct choices wanted = steering->known;
    snprintf(wanted.portrait, ID_ROOM, "%s", steering->view.portraits[place]);
    ask_for(steering, &wanted);
}

void steering_select_place(struct steering *steering, size_t place)
{
    pthread_mutex_lock(&steering->mutex);
    if (place >= 1 && place <= steering->view.portrait_count)
        select_place(steering, place - 1);
    pthread_mutex_unlock(&steering->mutex);
}

void steering_select_step(struct steering *steering, int step)
{
    pthread_mutex_lock(&steering->mutex);
    const size_t count = steering->view.portrait_count;
    const size_t place = place_of(&steering->view, steering->known.portrait);
    if (count && place < count)
        select_place(steering, step > 0 ? (place + 1) % count : (place + count - 1) % count);
    else if (count)
        select_place(steering, 0);
    pthread_mutex_unlock(&steering->mutex);
}
