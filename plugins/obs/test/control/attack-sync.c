// SPDX-License-Identifier: GPL-2.0-or-later
// A hostile daemon against what OBS's threads do with its answers: sources that are steered, their settings,
// and their windows of properties. The window's thread, the drawing thread and a thread of keys do what they
// do in OBS, the plugin's own thread asks the daemon, and half of what comes back is changed by chance. With
// libobs's own settings and properties. To be built with sanitizers.
//
//     attack-sync FOLDER ANSWERS COUNT SEED
//
// COUNT is how often the window's thread does something, at least. Prints how many answers of each method
// were changed.
#define _GNU_SOURCE
#include <inttypes.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <obs.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attack.h"
#include "feed.h"
#include "properties.h"
#include "session-sync.h"

enum { SOURCES = 2 };
static const char FEED[] = "feed:obs-attack";

// --- what the plugin uses of OBS, besides libobs's own settings and properties

// Of the kind that OBS has.
struct obs_source {
    obs_data_t *settings;
    struct session_sync *sync;
    atomic_bool changed; // and the window's thread is to adopt it
    bool window;         // of properties, is open
};

static struct obs_source sources[SOURCES];

obs_data_t *obs_source_get_settings(const obs_source_t *source)
{
    obs_data_addref(source->settings);
    return source->settings;
}

static void examine_window(obs_source_t *source);

void obs_source_update_properties(obs_source_t *source)
{
    if (source->window)
        examine_window(source);
}

const char *obs_module_text(const char *key)
{
    return key;
}

void feed_list_sources(feed_visitor *visit, void *data)
{
    visit(data, "Webcam", NULL);
}

static void hear_nothing(int level, const char *format, va_list rest, void *unused)
{
    char line[4096];
    (void)level, (void)unused;
    vsnprintf(line, sizeof line, format, rest);
}

// --- what must hold

static void examine_lines(const char *text)
{
    char *lines = strdup(text), *rest = lines;
    for (const char *line; (line = strsep(&rest, "\n"));)
        examine_text(line);
    free(lines);
}

static void examine_view(void *data, const struct session_sync_view *view)
{
    (void)data;
    must(view->portrait_count <= SESSION_PORTRAITS, "there are as many portraits as keys");
    must(!*view->session || is_identifier(view->session), "a session has an identifier");
    for (size_t i = 0; i < view->portrait_count; i++)
        must(is_identifier(view->portraits[i]), "portraits have identifiers");
    must(isfinite(view->report.fps) && isfinite(view->report.p50_ms) && isfinite(view->report.p95_ms),
        "what is told is a number");
    examine_text(view->report.trouble);
    examine_text(view->report.source_trouble);
    examine_text(view->report.source_note);
    examine_text(view->message);
    for (size_t i = 0; i < view->catalog.portrait_count; i++) {
        const struct portrait *portrait = &view->catalog.portraits[i];
        must(is_identifier(portrait->id), "a portrait has an identifier");
        examine_text(portrait->name);
        must(strlen(portrait->name) <= 320, "names are no books");
        examine_lines(portrait->findings);
        must(strlen(portrait->findings) <= 2500, "findings are some lines");
        must(!portrait->thumbnail || strncmp(portrait->thumbnail, "data:image/jpeg;base64,/9j", 26) == 0,
            "a thumbnail is a JPEG");
    }
    must(view->catalog.portrait_count <= 10000 && view->catalog.camera_count <= 200, "lists are bounded");
    for (size_t i = 0; i < view->catalog.camera_count; i++) {
        examine_text(view->catalog.cameras[i].spec);
        examine_text(view->catalog.cameras[i].name);
        must(strlen(view->catalog.cameras[i].name) <= 320, "names are no books");
    }
}

// OBS writes them into its scenes, which must stay readable, and moves its sliders to them.
static void examine_settings(obs_data_t *settings)
{
    static const char *const texts[] = {
        SET_PORTRAIT, SET_DRIVER, SET_BACKGROUND, SET_IMAGE, SET_FRAMING, SET_REFINE, SET_MOUTH};
    static const struct {
        const char *key;
        double least, most;
    } numbers[] = {{SET_GAIN_HEAD, 0, 1.5}, {SET_GAIN_EXPRESSION, 0, 1.5}, {SET_GAIN_GAZE, 0, 1.5},
        {SET_FRAMING_ZOOM, 0.5, 3}, {SET_FRAMING_X, -0.5, 0.5}, {SET_FRAMING_Y, -0.5, 0.5}};
    static const char *const never_chosen[] = {SET_GAIN_EXPRESSION, SET_REFINE, SET_FRAMING_X, SET_FRAMING_Y};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        examine_text(obs_data_get_string(settings, texts[i]));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        const double number = obs_data_get_double(settings, numbers[i].key);
        must(number >= numbers[i].least && number <= numbers[i].most, "a number is one that can be chosen");
    }
    for (size_t i = 0; i < sizeof never_chosen / sizeof *never_chosen; i++)
        must(!obs_data_has_user_value(settings, never_chosen[i]), "what the user did not choose is not kept");
    must(obs_data_get_json(settings), "settings can be kept");
}

static uint64_t findings_shown; // windows that tell what was found about the photo that is shown

static void examine_property(obs_property_t *property)
{
    const char *text = obs_property_description(property);
    examine_lines(text ? text : "");
    if (strcmp(obs_property_name(property), "findings") == 0 && strcmp(text, "<p>the mouth is open") == 0)
        findings_shown++;
    if (strcmp(obs_property_name(property), "status") == 0)
        must(!memchr(text, '<', strcspn(text, "\n")), "the line of status does not begin as rich text");
    for (size_t i = 0; i < obs_property_list_item_count(property); i++) {
        examine_text(obs_property_list_item_name(property, i));
        examine_text(obs_property_list_item_string(property, i));
    }
}

static void examine_window(obs_source_t *source)
{
    obs_properties_t *properties = properties_of(source, source->sync);
    obs_property_t *property = obs_properties_first(properties);
    for (bool more = property; more; more = obs_property_next(&property))
        examine_property(property);
    obs_properties_destroy(properties);
}

// --- the threads

static atomic_bool stopping;
static pthread_rwlock_t alive = PTHREAD_RWLOCK_INITIALIZER; // OBS draws no source that is being made or ended

static void *draw(void *data)
{
    struct chance chance = chance_of((uint64_t)(uintptr_t)data, 1, 0);
    char session[ID_ROOM];
    while (!atomic_load(&stopping)) {
        pthread_rwlock_rdlock(&alive);
        for (int i = 0; i < SOURCES; i++)
            if (session_sync_tick(sources[i].sync, one_in(&chance, 3) ? 1.0F : 0.1F, session))
                must(!*session || is_identifier(session), "a session has an identifier");
        pthread_rwlock_unlock(&alive);
        nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
    }
    return NULL;
}

static void *press_keys(void *data)
{
    struct chance chance = chance_of((uint64_t)(uintptr_t)data, 2, 0);
    while (!atomic_load(&stopping)) {
        pthread_rwlock_rdlock(&alive);
        struct session_sync *sync = sources[below(&chance, SOURCES)].sync;
        switch (below(&chance, 4)) {
        case 0:
            session_sync_select_place(sync, below(&chance, 11));
            break;
        case 1:
            session_sync_select_step(sync, one_in(&chance, 2) ? 1 : -1);
            break;
        case 2:
            session_sync_toggle_hidden(sync);
            break;
        default:
            session_sync_calibrate(sync);
        }
        pthread_rwlock_unlock(&alive);
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    return NULL;
}

// --- the window's thread

static char picture[PATH_MAX];
static const char *folder;

static void choose(struct chance *chance, obs_data_t *settings)
{
    static const char *const portraits[] = {"ada", "bob", "cy", "nobody", ""};
    static const char *const drivers[] = {"auto", "none", "demo", DRIVER_OBS, "/dev/video0"};
    static const char *const backgrounds[] = {"keep", "blur", "colour", "image", "remove"};
    static const char *const framings[] = {"auto", "photo", "close", "wide"};
    const double number = (double)below(chance, 16) / 10;
    switch (below(chance, 10)) {
    case 0:
        obs_data_set_string(settings, SET_PORTRAIT, portraits[below(chance, 5)]);
        break;
    case 1:
        obs_data_set_string(settings, SET_DRIVER, one_in(chance, 4) ? picture : drivers[below(chance, 5)]);
        break;
    case 2:
        obs_data_set_string(settings, SET_BACKGROUND, backgrounds[below(chance, 5)]);
        obs_data_set_string(settings, SET_IMAGE, one_in(chance, 3) ? "" : picture);
        break;
    case 3:
        obs_data_set_string(settings, SET_FRAMING, framings[below(chance, 4)]);
        obs_data_set_double(settings, SET_FRAMING_ZOOM, 0.5 + number);
        break;
    case 4:
        obs_data_set_bool(settings, SET_HIDDEN, one_in(chance, 2));
        break;
    case 5:
        obs_data_set_double(settings, one_in(chance, 2) ? SET_GAIN_HEAD : SET_GAIN_GAZE, number);
        break;
    case 6:
        obs_data_set_string(settings, SET_MOUTH, one_in(chance, 2) ? "paper" : "lite");
        break;
    case 7:
        obs_data_set_string(settings, SET_PHOTO, picture);
        break;
    case 8:
        obs_data_erase(settings, SET_PORTRAIT);
        obs_data_erase(settings, SET_DRIVER);
        obs_data_erase(settings, SET_FRAMING);
        break;
    default:
        obs_data_set_bool(settings, SET_MIRROR, one_in(chance, 2));
    }
}

static void update(struct chance *chance, obs_source_t *source)
{
    static const char *const sessions[] = {"", "", "obs", "two"};
    const struct session_sync_aim aim = {.folder = one_in(chance, 8) ? "" : folder,
        .session = sessions[below(chance, 4)],
        .program = "/nowhere/streamfx"};
    session_sync_update(source->sync, &aim, source->settings);
}

static void on_change(void *data)
{
    obs_source_t *source = data;
    must(!atomic_exchange(&source->changed, true), "the window's thread is told once");
}

static void adopt_changes(void)
{
    for (int i = 0; i < SOURCES; i++)
        if (atomic_exchange(&sources[i].changed, false) &&
            session_sync_adopt(sources[i].sync, sources[i].settings))
            obs_source_update_properties(&sources[i]);
}

static void begin(struct chance *chance, obs_source_t *source)
{
    source->settings = obs_data_create();
    choices_default(source->settings);
    source->window = one_in(chance, 2);
    source->sync = session_sync_create(FEED, on_change, source);
    update(chance, source);
}

static void end(obs_source_t *source)
{
    session_sync_destroy(source->sync);
    source->sync = NULL;
    atomic_store(&source->changed, false);
    obs_data_release(source->settings);
}

static void work_in_window(struct chance *chance)
{
    obs_source_t *source = &sources[below(chance, SOURCES)];
    switch (below(chance, 8)) {
    case 0:
    case 1:
    case 2:
        choose(chance, source->settings);
        update(chance, source);
        break;
    case 3:
        examine_window(source);
        break;
    case 4:
        if (below(chance, 8))
            break;
        pthread_rwlock_wrlock(&alive);
        end(source);
        begin(chance, source);
        pthread_rwlock_unlock(&alive);
        break;
    default:
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    adopt_changes();
    for (int i = 0; i < SOURCES; i++) {
        session_sync_visit(sources[i].sync, examine_view, NULL);
        examine_settings(sources[i].settings);
    }
}

static bool were_all_changed(void)
{
    for (enum method method = 0; method < METHODS; method++)
        if (!changed_of(method))
            return false;
    return true;
}

int main(int count, char **given)
{
    if (count != 5)
        return 2;
    char socket[PATH_MAX];
    const uint64_t times = strtoull(given[3], NULL, 10), seed = strtoull(given[4], NULL, 10);
    struct chance chance = chance_of(seed, 3, 0);
    must(setlocale(LC_CTYPE, "C.UTF-8"), "texts can be judged");
    base_set_log_handler(hear_nothing, NULL);
    folder = given[1];
    snprintf(socket, sizeof socket, "%s/control.sock", folder);
    snprintf(picture, sizeof picture, "%s/Ein größeres Bild.png", folder);
    attack_begin(given[2], seed);
    struct playing *playing = play_at(socket, picture);
    aim_at_all();
    for (int i = 0; i < SOURCES; i++)
        begin(&chance, &sources[i]);
    pthread_t drawing, keys;
    must(pthread_create(&drawing, NULL, draw, (void *)(uintptr_t)seed) == 0, "there is a thread");
    must(pthread_create(&keys, NULL, press_keys, (void *)(uintptr_t)seed) == 0, "there is another");
    for (uint64_t i = 0; i < times || (!were_all_changed() && i < 100 * times); i++)
        work_in_window(&chance);
    atomic_store(&stopping, true);
    pthread_join(drawing, NULL);
    pthread_join(keys, NULL);
    for (int i = 0; i < SOURCES; i++)
        end(&sources[i]);
    play_no_more(playing);
    for (enum method method = 0; method < METHODS; method++)
        printf("%s %" PRIu64 "\n", method_name(method), changed_of(method));
    printf("findings %" PRIu64 "\n", findings_shown);
    attack_end();
    return 0;
}
