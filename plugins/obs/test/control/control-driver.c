// SPDX-License-Identifier: GPL-2.0-or-later
// Steers a daemon by lines on standard input, as the plugin would, and writes what comes of it: for tests.
//
// control-driver SOCKET [OPTION=VALUE ...], "-" for the default socket or with address=HOST:PORT. A request
// answers "ticket N"; its result is a line of JSON. Everything a daemon says is written in hexadecimal or as
// a number.
#define _GNU_SOURCE
#include <dirent.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon-requests.h"
#include "daemon-start.h"

#define WORDS 16

static void put(const char *name, const char *text)
{
    printf(", \"%s\": \"", name);
    for (const unsigned char *at = (const unsigned char *)text; *at; at++)
        printf("%02x", *at);
    printf("\"");
}

static void put_session(const Streamfx__V1__Session *session)
{
    const Streamfx__V1__SessionSettings *settings = session->settings;
    const Streamfx__V1__SessionStatus *status = session->status;
    put("id", session->id);
    put("source", settings->source);
    put("trouble", status->trouble);
    put("source_trouble", status->source->trouble);
    put("source_note", status->source->note);
    put("shown", status->portrait_id);
    printf(", \"state\": %d, \"fps\": %g, \"p50\": %g", (int)status->state, status->fps,
        status->latency ? status->latency->p50_ms : -1.0);
    printf(", \"head\": %g, \"mirror\": %d, \"portraits\": %zu", settings->gains->head, settings->mirror,
        settings->n_portraits);
}

static void on_result(void *param, const struct sfx_result *result)
{
    (void)param;
    flockfile(stdout);
    printf("{\"ticket\": %llu, \"kind\": %d, \"code\": %d", (unsigned long long)result->ticket,
        (int)result->kind, (int)result->code);
    put("message", result->message);
    put("subject", result->subject);
    if (result->session)
        put_session(result->session);
    printf(", \"items\": [");
    for (size_t i = 0; i < result->count; i++) {
        printf("%s{\"number\": %zu", i ? ", " : "", i);
        if (result->portraits) {
            put("id", result->portraits[i]->id);
            put("name", result->portraits[i]->display_name);
        } else if (result->devices) {
            put("spec", result->devices[i]->spec);
            put("name", result->devices[i]->display_name);
            put("trouble", result->devices[i]->trouble);
            printf(", \"kind\": %d, \"permitted\": %d", (int)result->devices[i]->kind,
                result->devices[i]->permitted);
        }
        printf("}");
    }
    printf("], \"jpeg\": \"");
    for (size_t i = 0; i < result->jpeg_size; i++)
        printf("%02x", result->jpeg[i]);
    printf("\"}\n");
    fflush(stdout);
    funlockfile(stdout);
}

static const char *or_null(const char *word)
{
    return word && strcmp(word, "-") != 0 ? word : NULL;
}

static uint64_t ensure(struct sfx_control *control, char **words)
{
    Streamfx__V1__SessionSettings settings = STREAMFX__V1__SESSION_SETTINGS__INIT;
    Streamfx__V1__Output output = STREAMFX__V1__OUTPUT__INIT;
    output.camera = "none";
    output.has_camera_case = STREAMFX__V1__OUTPUT__HAS_CAMERA_CAMERA;
    settings.output = &output;
    settings.source = words[2] ? words[2] : "none";
    settings.has_source_case = STREAMFX__V1__SESSION_SETTINGS__HAS_SOURCE_SOURCE;
    return sfx_control_ensure_session(control, or_null(words[1]), &settings);
}

static void set_portraits(struct sfx_settings *values, char *names)
{
    char *rest = NULL;
    for (char *name = strtok_r(names, ",", &rest); name && values->portrait_count < SESSION_PORTRAITS;
         name = strtok_r(NULL, ",", &rest))
        snprintf(values->portraits[values->portrait_count++], ID_ROOM, "%s", name);
}

// Take a word FIELD=VALUE over; the field, 0 if there is none of that name.
static unsigned set_field(struct sfx_settings *values, const char *field, char *value)
{
    static const char *const gains[GAINS] = {"head", "expression", "gaze"};
    for (int gain = 0; gain < GAINS; gain++) {
        if (strcmp(field, gains[gain]) == 0) {
            values->gains[gain] = atof(value);
            return sfx_field_of_gain((enum sfx_gain)gain);
        }
    }
    const struct {
        const char *name;
        char *text;
        size_t room;
        unsigned field;
    } texts[] = {
        {"portrait", values->portrait, sizeof values->portrait, SFX_FIELD_PORTRAIT},
        {"source", values->source, sizeof values->source, SFX_FIELD_SOURCE},
        {"image", values->image, sizeof values->image, SFX_FIELD_BACKGROUND},
        {"refine", values->refine, sizeof values->refine, SFX_FIELD_REFINE},
        {"mouth", values->mouth, sizeof values->mouth, SFX_FIELD_MOUTH},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (strcmp(field, texts[i].name) == 0) {
            snprintf(texts[i].text, texts[i].room, "%s", value);
            return texts[i].field;
        }
    }
    if (strcmp(field, "hidden") == 0)
        return values->hidden = atoi(value) != 0, SFX_FIELD_HIDDEN;
    if (strcmp(field, "mirror") == 0)
        return values->mirror = atoi(value) != 0, SFX_FIELD_MIRROR;
    if (strcmp(field, "background") == 0)
        return values->background = (Streamfx__V1__BackgroundKind)atoi(value), SFX_FIELD_BACKGROUND;
    if (strcmp(field, "colour") == 0)
        return values->colour = (uint32_t)strtoul(value, NULL, 16), SFX_FIELD_BACKGROUND;
    if (strcmp(field, "framing") == 0)
        return values->framing.kind = (Streamfx__V1__FramingKind)atoi(value), SFX_FIELD_FRAMING;
    if (strcmp(field, "zoom") == 0)
        return values->framing.zoom = atof(value), SFX_FIELD_FRAMING;
    if (strcmp(field, "portraits") == 0)
        return set_portraits(values, value), SFX_FIELD_PORTRAITS;
    return 0;
}

// set SESSION FIELD=VALUE ...
static uint64_t update(struct sfx_control *control, char **words)
{
    struct sfx_settings values = {.framing = {.zoom = 1.0}};
    unsigned fields = 0;
    for (char **word = words + 2; word[-1] && *word; word++) {
        char *value = strchr(*word, '=');
        if (!value)
            return 0;
        *value++ = 0;
        const unsigned field = set_field(&values, *word, value);
        if (!field)
            return 0;
        fields |= field;
    }
    return sfx_control_update(control, words[1], &values, fields);
}

// The request of a line; 0 if it is none.
static uint64_t request(struct sfx_control *control, char **words)
{
    const char *what = words[0], *name = words[1];
    if (strcmp(what, "presence") == 0)
        return sfx_control_ask_presence(control);
    if (strcmp(what, "start") == 0)
        return sfx_control_start(control);
    if (strcmp(what, "portraits") == 0)
        return sfx_control_list_portraits(control);
    if (strcmp(what, "add") == 0)
        return sfx_control_add_portrait(control, name);
    if (strcmp(what, "thumbnail") == 0)
        return sfx_control_get_thumbnail(control, name);
    if (strcmp(what, "devices") == 0)
        return sfx_control_list_devices(control);
    if (strcmp(what, "session") == 0)
        return sfx_control_get_session(control, name);
    if (strcmp(what, "ensure") == 0)
        return ensure(control, words);
    if (strcmp(what, "calibrate") == 0)
        return sfx_control_calibrate(control, name);
    if (strcmp(what, "select") == 0)
        return sfx_control_select(control, name, words[2]);
    if (strcmp(what, "set") == 0)
        return update(control, words);
    return 0;
}

static int descriptors(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (folder && readdir(folder))
        count++;
    if (folder)
        closedir(folder);
    return count;
}

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int earlier(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

// Calls of one method, one after another: how long each took, and what they left behind.
static void measure(const struct sfx_endpoint *endpoint, int count)
{
    static const char method[] = "/grpc.health.v1.Health/Check";
    struct sfx_grpc *grpc = sfx_grpc_create(endpoint);
    double *took = calloc((size_t)count + 1, sizeof *took);
    int failures = 0, before = 0;
    size_t memory = 0;
    for (int i = -100; took && i < count; i++) {
        struct sfx_answer answer;
        if (i == 0)
            before = descriptors(), memory = mallinfo2().uordblks;
        double began = now_ms();
        sfx_grpc_call(grpc, method, NULL, 0, 5000, 1000, &answer);
        took[i < 0 ? 0 : i] = now_ms() - began;
        failures += answer.code != SFX_OK;
        sfx_answer_release(&answer);
    }
    long grown = (long)mallinfo2().uordblks - (long)memory;
    int opened = descriptors() - before;
    if (took) {
        qsort(took, (size_t)count, sizeof *took, earlier);
        printf("{\"calls\": %d, \"failures\": %d, \"median_ms\": %.3f, \"p95_ms\": %.3f, \"grown\": %ld, "
               "\"opened\": %d}\n",
            count, failures, took[count / 2], took[count * 95 / 100], grown, opened);
    }
    fflush(stdout);
    free(took);
    sfx_grpc_destroy(grpc);
}

int main(int count, char **given)
{
    struct sfx_control_options options = {.on_result = on_result};
    if (count < 2)
        return 2;
    options.endpoint.socket = or_null(given[1]);
    for (int i = 2; i < count; i++) {
        char *value = strchr(given[i], '=');
        if (!value)
            return 2;
        *value++ = 0;
        if (strcmp(given[i], "address") == 0)
            options.endpoint.address = value;
        else if (strcmp(given[i], "token") == 0)
            options.endpoint.token_file = value;
        else if (strcmp(given[i], "authority") == 0)
            options.endpoint.authority = value;
        else if (strcmp(given[i], "program") == 0)
            options.program = value;
        else if (strcmp(given[i], "timeout") == 0)
            options.timeout_ms = (unsigned)atoi(value);
        else if (strcmp(given[i], "watch") == 0)
            options.watch_ms = (unsigned)atoi(value);
        else
            return 2;
    }
    struct sfx_control *control = sfx_control_create(&options);
    if (!control) {
        printf("no control\n");
        return 1;
    }
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stdin) > 0) {
        char *words[WORDS + 1] = {NULL};
        size_t used = 0;
        for (char *word = strtok(line, " \n"); word && used < WORDS; word = strtok(NULL, " \n"))
            words[used++] = word;
        if (!used)
            continue;
        if (strcmp(words[0], "measure") == 0) {
            measure(&options.endpoint, words[1] ? atoi(words[1]) : 1000);
            continue;
        }
        // Held, so that "ticket" is written before its result is.
        flockfile(stdout);
        printf("ticket %llu\n", (unsigned long long)request(control, words));
        fflush(stdout);
        funlockfile(stdout);
    }
    free(line);
    double began = now_ms();
    sfx_control_destroy(control);
    printf("ended in %.0f ms\n", now_ms() - began);
    return 0;
}
