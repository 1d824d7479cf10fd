// SPDX-License-Identifier: GPL-2.0-or-later
// A hostile daemon against the plugin's control code: each of its methods is called again and again, and what
// a real daemon answered is changed by chance before it comes back. To be built with sanitizers, which end
// the program when they find anything; so does what daemon-results.h promises and does not hold.
//
//     attack FOLDER ANSWERS COUNT SEED [beyond|overflow|race|leak|text]
//
// FOLDER is for its sockets and files, ANSWERS has the recorded answers, COUNT is for each method. The last
// word plants a fault, which has to be found. Prints, for each method, how many answers were taken and
// refused.
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "attack.h"
#include "daemon-requests.h"

#define PATIENCE_S 30
#define SERIES 500                    // calls of one control
#define MOST_GROWN (50 * 1024 * 1024) // bytes that an answer may cost, for a moment

// --- what a result must be

static const char *plant = "";
static unsigned counted; // with `race`: by two threads
static volatile uint8_t seen;
static volatile int most = INT_MAX; // with `overflow`: added to

static void examine_session(const Streamfx__V1__Session *session)
{
    const Streamfx__V1__SessionSettings *settings = session->settings;
    must(settings && settings->output && settings->gains && settings->background,
        "a session has its settings");
    must(session->status && session->status->source && session->status->camera, "a session has its status");
    must(is_identifier(session->id), "a session has an identifier");
    must(settings->n_portraits <= 9, "a session has nine portraits at most");
    for (size_t i = 0; i < settings->n_portraits; i++)
        must(is_identifier(settings->portraits[i]), "portraits have identifiers");
    must(!*session->status->portrait_id || is_identifier(session->status->portrait_id), "the shown has, too");
    examine(&session->base);
}

static void examine_lists(const struct sfx_result *result)
{
    must(result->count <= (result->kind == SFX_PORTRAITS ? 10000 : 200), "lists are bounded");
    for (size_t i = 0; i < result->count; i++) {
        if (result->kind == SFX_PORTRAITS) {
            must(is_identifier(result->portraits[i]->id), "a portrait has an identifier");
            examine(&result->portraits[i]->base);
        } else if (result->kind == SFX_DEVICES) {
            examine(&result->devices[i]->base);
        }
    }
}

static void grow_fault(const struct sfx_result *result)
{
    if (strcmp(plant, "beyond") == 0 && result->jpeg)
        seen = result->jpeg[result->jpeg_size];
    if (strcmp(plant, "overflow") == 0 && result->count)
        most += (int)result->count;
    if (strcmp(plant, "race") == 0)
        counted++;
    if (strcmp(plant, "leak") == 0)
        seen = (uint8_t)*strdup(result->message);
    if (strcmp(plant, "text") == 0)
        examine_text("\x1b[2J");
}

static void examine_result(const struct sfx_result *result)
{
    const bool well = result->code == SFX_OK;
    must(result->code <= SFX_UNAUTHENTICATED, "a code is one of gRPC's");
    must(well == !*result->message, "a failure has words, and nothing else has");
    must(strlen(result->message) <= SFX_LONGEST_MESSAGE, "words are not too many");
    examine_text(result->message);
    examine_text(result->subject);
    const bool any = result->count || result->portraits || result->devices || result->session || result->jpeg;
    must(well || !any, "a failure holds nothing");
    must(!well || result->kind != SFX_SESSION || result->session, "a session is there");
    must(!well || result->kind != SFX_PORTRAIT || is_identifier(result->subject), "a portrait is named");
    if (result->session)
        examine_session(result->session);
    examine_lists(result);
    for (size_t i = 0; i < result->jpeg_size; i++)
        seen ^= result->jpeg[i];
    grow_fault(result);
}

// --- the calls

// A series of calls with one control. Each is made when the one before has its result, by the control's own
// thread: nothing waits for a change of threads.
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct sfx_control *control;
    enum method method;
    uint64_t seed, number, end, taken, ticket;
    bool over;
    size_t held; // bytes of memory that were held before
} series = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static uint64_t ask(struct sfx_control *control, enum method method, struct chance *chance);

static void ask_next(void)
{
    struct chance chance = chance_of(series.seed, 1000 + series.method, series.number);
    aim_at(series.method, series.number);
    must(ask(series.control, series.method, &chance), "a request is taken");
}

static void on_result(void *param, const struct sfx_result *result)
{
    (void)param;
    examine_result(result);
    pthread_mutex_lock(&series.lock);
    must(result->ticket > series.ticket, "results come in their order, and once");
    must(memory_held() < series.held + MOST_GROWN, "an answer costs at most 50 MB");
    series.ticket = result->ticket;
    if (!series.over) {
        must(result->code == SFX_OK || !is_untouched(), "an answer that was not changed is taken");
        series.taken += result->code == SFX_OK;
        series.over = ++series.number == series.end;
        if (!series.over)
            ask_next();
        else
            pthread_cond_signal(&series.changed);
    }
    pthread_mutex_unlock(&series.lock);
}

static void wait_until_over(void)
{
    pthread_mutex_lock(&series.lock);
    for (uint64_t seen_number = series.number, waited = 0; !series.over;) {
        struct timespec end;
        clock_gettime(CLOCK_REALTIME, &end);
        end.tv_sec++;
        pthread_cond_timedwait(&series.changed, &series.lock, &end);
        waited = seen_number == series.number ? waited + 1 : 0;
        seen_number = series.number;
        must(series.over || waited < PATIENCE_S, "a result comes");
    }
    pthread_mutex_unlock(&series.lock);
}

static char picture[PATH_MAX]; // a file that can be handed over, and be a photo

static uint64_t ask_update(struct sfx_control *control, struct chance *chance)
{
    static const char *const portraits[] = {"ada", "bob", "cy"};
    struct sfx_settings values = {.hidden = one_in(chance, 2),
        .background = STREAMFX__V1__BACKGROUND_KIND__BACKGROUND_KIND_IMAGE,
        .framing = {STREAMFX__V1__FRAMING_KIND__FRAMING_KIND_CLOSE, 1.5, 0.1, -0.1},
        .gains = {0.5, 0.5, 0.5},
        .portrait = "bob",
        .portrait_count = 3};
    snprintf(values.source, sizeof values.source, "%s", one_in(chance, 2) ? picture : "auto");
    snprintf(values.image, sizeof values.image, "%s", picture);
    for (size_t i = 0; i < values.portrait_count; i++)
        snprintf(values.portraits[i], ID_ROOM, "%s", portraits[i]);
    const unsigned fields = (unsigned)below(chance, 2 * SFX_FIELD_PORTRAITS);
    return sfx_control_update(control, "obs", &values, fields ? fields : SFX_FIELD_BACKGROUND);
}

static uint64_t ask(struct sfx_control *control, enum method method, struct chance *chance)
{
    switch (method) {
    case CHECK:
        return sfx_control_ask_presence(control);
    case LIST_PORTRAITS:
        return sfx_control_list_portraits(control);
    case CREATE_PORTRAIT:
        return sfx_control_add_portrait(control, picture);
    case GET_THUMBNAIL:
        return sfx_control_get_thumbnail(control, "ada");
    case LIST_DEVICES:
        return sfx_control_list_devices(control);
    case LIST_SESSIONS:
        return sfx_control_ensure_session(control, NULL, NULL);
    case GET_SESSION:
        return one_in(chance, 2) ? sfx_control_get_session(control, "obs")
                                 : sfx_control_ensure_session(control, "obs", NULL);
    case CREATE_SESSION:
        return sfx_control_ensure_session(control, one_in(chance, 2) ? "obs" : NULL, NULL);
    case UPDATE_SESSION:
        return ask_update(control, chance);
    case SELECT_PORTRAIT:
        return sfx_control_select(control, "obs", "bob");
    case CALIBRATE:
        return sfx_control_calibrate(control, "obs");
    case METHODS:
        break;
    }
    return 0;
}

static struct sfx_control *begin(const char *socket)
{
    const struct sfx_control_options options = {
        .endpoint = {.socket = socket}, .timeout_ms = 500, .on_result = on_result};
    struct sfx_control *control = sfx_control_create(&options);
    must(control, "there are memory and threads");
    return control;
}

// The next calls of the method, at most SERIES of them.
static void attack_by_series(const char *socket, uint64_t count)
{
    struct chance chance = chance_of(series.seed, 2000 + series.method, series.number);
    series.held = memory_held();
    series.ticket = 0;
    series.over = false;
    series.end = series.number + SERIES < count ? series.number + SERIES : count;
    struct sfx_control *control = begin(socket);
    pthread_mutex_lock(&series.lock); // until its thread may know it
    series.control = control;
    ask_next();
    pthread_mutex_unlock(&series.lock);
    if (strcmp(plant, "race") == 0)
        counted++;
    wait_until_over();
    for (int more = 0; more < 3; more++) // it ends while it calls
        ask(control, series.method, &chance);
    sfx_control_destroy(control);
}

static void attack(const char *socket, enum method method, uint64_t count)
{
    series.method = method;
    series.number = series.taken = 0;
    while (series.number < count)
        attack_by_series(socket, count);
    printf("%s %" PRIu64 " taken %" PRIu64 " refused %" PRIu64 "\n", method_name(method), count, series.taken,
        count - series.taken);
}

int main(int count, char **given)
{
    if (count < 5)
        return 2;
    char socket[PATH_MAX];
    const uint64_t cases = strtoull(given[3], NULL, 10), seed = strtoull(given[4], NULL, 10);
    plant = count > 5 ? given[5] : "";
    must(setlocale(LC_CTYPE, "C.UTF-8"), "texts can be judged");
    snprintf(socket, sizeof socket, "%s/control.sock", given[1]);
    snprintf(picture, sizeof picture, "%s/Ein größeres Bild.png", given[1]);
    series.seed = seed;
    attack_begin(given[2], seed);
    const int lowest = lowest_free_descriptor();
    struct playing *playing = play_at(socket, picture);
    for (enum method method = 0; method < METHODS; method++)
        attack(socket, method, cases);
    play_no_more(playing);
    must(lowest_free_descriptor() == lowest, "no descriptor is left open");
    attack_end();
    return 0;
}
