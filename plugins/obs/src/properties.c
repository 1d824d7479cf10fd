// SPDX-License-Identifier: GPL-2.0-or-later

#include "properties.h"

#include <stdlib.h>
#include <string.h>
#include <util/dstr.h>

#include "feed.h"
#include "handover.h"
#include "session-sync.h"

static const char *T(const char *key)
{
    return obs_module_text(key);
}

// --- the line of status

static const char *state_key(Streamfx__V1__SessionState state)
{
    switch (state) {
    case STREAMFX__V1__SESSION_STATE__SESSION_STATE_STARTING:
        return "State.Starting";
    case STREAMFX__V1__SESSION_STATE__SESSION_STATE_LIVE:
        return "State.Live";
    case STREAMFX__V1__SESSION_STATE__SESSION_STATE_WAITING:
        return "State.Waiting";
    case STREAMFX__V1__SESSION_STATE__SESSION_STATE_HIDDEN:
        return "State.Hidden";
    case STREAMFX__V1__SESSION_STATE__SESSION_STATE_PAUSED:
        return "State.Paused";
    case STREAMFX__V1__SESSION_STATE__SESSION_STATE_DEGRADED:
        return "State.Degraded";
    default:
        return "State.Unknown";
    }
}

static void add_line(struct dstr *text, const char *line)
{
    if (!*line)
        return;
    if (text->len)
        dstr_cat(text, "\n");
    dstr_cat(text, line);
}

/// A number in its place in a text of data/locale.
static void put(struct dstr *text, const char *place, const char *format, double number)
{
    struct dstr shown = {0};
    dstr_printf(&shown, format, number);
    dstr_replace(text, place, shown.array);
    dstr_free(&shown);
}

static void describe_session(struct dstr *text, const struct session_sync_view *view)
{
    const struct report *report = &view->report;
    dstr_copy(text, T("Status.Rate"));
    put(text, "%1", "%.1f", report->fps);
    if (report->p50_ms > 0) {
        struct dstr latency = {0};
        dstr_copy(&latency, T("Status.Latency"));
        put(&latency, "%1", "%.0f", report->p50_ms);
        put(&latency, "%2", "%.0f", report->p95_ms);
        dstr_insert(&latency, 0, " · ");
        dstr_cat_dstr(text, &latency);
        dstr_free(&latency);
    }
    dstr_insert(text, 0, " · ");
    dstr_insert(text, 0, T(state_key(report->state)));
    dstr_insert(text, 0, ": ");
    dstr_insert(text, 0, view->session);
    add_line(text, report->trouble);
    add_line(text, report->source_trouble);
    add_line(text, report->source_note);
}

static void add_status(obs_properties_t *properties, const struct session_sync_view *view)
{
    struct dstr text = {0};
    if (view->starting)
        dstr_copy(&text, T("Status.Starting"));
    else if (view->adding)
        dstr_copy(&text, T("Status.Adding"));
    else if (!view->present)
        dstr_copy(&text, T("Status.Absent"));
    else if (!view->agreed)
        dstr_copy(&text, T("Status.NoSession"));
    else
        describe_session(&text, view);
    add_line(&text, view->message);
    const bool well =
        view->agreed && !*view->message && !*view->report.trouble && !*view->report.source_trouble;
    obs_property_t *line = obs_properties_add_text(properties, "status", text.array, OBS_TEXT_INFO);
    obs_property_text_set_info_type(line, well ? OBS_TEXT_INFO_NORMAL : OBS_TEXT_INFO_WARNING);
    dstr_free(&text);
}

// --- the portrait

static void cat_escaped(struct dstr *text, const char *plain)
{
    struct dstr escaped = {0};
    dstr_copy(&escaped, plain);
    dstr_replace(&escaped, "&", "&amp;");
    dstr_replace(&escaped, "<", "&lt;");
    dstr_replace(&escaped, "\"", "&quot;");
    dstr_cat_dstr(text, &escaped);
    dstr_free(&escaped);
}

static size_t key_of(const struct session_sync_view *view, const char *portrait)
{
    for (size_t i = 0; i < view->portrait_count; i++)
        if (strcmp(view->portraits[i], portrait) == 0)
            return i + 1;
    return 0;
}

/// The portraits that keys choose, with their numbers, the one that is shown in bold. OBS's lists have no
/// pictures; its lines of text may be rich.
static void add_thumbnails(obs_properties_t *properties, const struct session_sync_view *view)
{
    enum { IN_A_ROW = 5 };
    struct dstr html = {0};
    dstr_copy(&html, "<table cellpadding=\"3\"><tr>");
    size_t shown = 0;
    for (size_t i = 0; i < view->portrait_count; i++) {
        const struct portrait *portrait = catalog_find(&view->catalog, view->portraits[i]);
        if (!portrait || !portrait->thumbnail)
            continue;
        if (shown && shown % IN_A_ROW == 0)
            dstr_cat(&html, "</tr><tr>");
        const bool selected = strcmp(view->report.portrait, portrait->id) == 0;
        dstr_catf(&html, "<td align=\"center\"><img src=\"%s\" height=\"72\"><br>%s%zu ", portrait->thumbnail,
            selected ? "<b>" : "", i + 1);
        cat_escaped(&html, portrait->name);
        dstr_cat(&html, selected ? "</b></td>" : "</td>");
        shown++;
    }
    dstr_cat(&html, "</tr></table>");
    if (shown)
        obs_properties_add_text(properties, "thumbnails", html.array, OBS_TEXT_INFO);
    dstr_free(&html);
}

/// What about the photo that is shown will show in its animation.
static void add_findings(obs_properties_t *properties, const struct session_sync_view *view)
{
    const struct portrait *portrait = catalog_find(&view->catalog, view->report.portrait);
    if (!portrait || !*portrait->findings)
        return;
    struct dstr html = {0};
    dstr_copy(&html, "<p>");
    cat_escaped(&html, portrait->findings);
    dstr_replace(&html, "\n", "<br>");
    obs_property_t *lines = obs_properties_add_text(properties, "findings", html.array, OBS_TEXT_INFO);
    obs_property_text_set_info_type(lines, OBS_TEXT_INFO_WARNING);
    dstr_free(&html);
}

static void add_portraits(obs_properties_t *properties, const struct session_sync_view *view)
{
    obs_property_t *list = obs_properties_add_list(
        properties, SET_PORTRAIT, T("Portrait"), OBS_COMBO_TYPE_LIST, OBS_COMBO_FORMAT_STRING);
    for (size_t i = 0; i < view->catalog.portrait_count; i++) {
        const struct portrait *portrait = &view->catalog.portraits[i];
        const size_t key = key_of(view, portrait->id);
        const char *name = *portrait->name ? portrait->name : portrait->id;
        struct dstr numbered = {0};
        dstr_printf(&numbered, "%zu  %s", key, name);
        obs_property_list_add_string(list, key ? numbered.array : name, portrait->id);
        dstr_free(&numbered);
    }
    if (!view->catalog.portrait_count)
        obs_property_list_add_string(list, T("Portrait.None"), "");
    obs_property_set_long_description(list, T("Portrait.Description"));
    add_findings(properties, view);
    add_thumbnails(properties, view);
    obs_property_t *photo = obs_properties_add_path(properties, SET_PHOTO, T("AddPhoto"), OBS_PATH_FILE,
        "(*.jpg *.jpeg *.png *.webp *.avif *.tif *.tiff *.bmp)", NULL);
    obs_property_set_long_description(photo, T("AddPhoto.Description"));
}

// --- what drives, and what is behind

static bool on_driver(obs_properties_t *properties, obs_property_t *property, obs_data_t *settings)
{
    UNUSED_PARAMETER(property);
    const bool by_obs = strcmp(obs_data_get_string(settings, SET_DRIVER), DRIVER_OBS) == 0;
    obs_property_set_visible(obs_properties_get(properties, SET_DRIVER_SOURCE), by_obs);
    return true;
}

static bool on_background(obs_properties_t *properties, obs_property_t *property, obs_data_t *settings)
{
    UNUSED_PARAMETER(property);
    const char *kind = obs_data_get_string(settings, SET_BACKGROUND);
    obs_property_set_visible(obs_properties_get(properties, SET_COLOUR), strcmp(kind, "colour") == 0);
    obs_property_set_visible(obs_properties_get(properties, SET_IMAGE), strcmp(kind, "image") == 0);
    return true;
}

static bool has_item(obs_property_t *list, const char *value)
{
    for (size_t i = 0; i < obs_property_list_item_count(list); i++)
        if (strcmp(obs_property_list_item_string(list, i), value) == 0)
            return true;
    return false;
}

static void add_source_name(void *list, const char *name, const char *uuid)
{
    UNUSED_PARAMETER(uuid);
    obs_property_list_add_string(list, name, name);
}

static void add_drivers(
    obs_properties_t *properties, const struct session_sync_view *view, obs_data_t *settings)
{
    obs_property_t *list = obs_properties_add_list(
        properties, SET_DRIVER, T("Driver"), OBS_COMBO_TYPE_LIST, OBS_COMBO_FORMAT_STRING);
    obs_property_list_add_string(list, T("Driver.Auto"), "auto");
    for (size_t i = 0; i < view->catalog.camera_count; i++) {
        const struct camera *camera = &view->catalog.cameras[i];
        obs_property_list_add_string(list, *camera->name ? camera->name : camera->spec, camera->spec);
    }
    obs_property_list_add_string(list, T("Driver.Obs"), DRIVER_OBS);
    obs_property_list_add_string(list, T("Driver.Demo"), "demo");
    obs_property_list_add_string(list, T("Driver.None"), "none");
    const char *now = obs_data_get_string(settings, SET_DRIVER);
    if (!has_item(list, now))
        obs_property_list_add_string(list, now, now);
    obs_property_set_modified_callback(list, on_driver);
}

static void add_driving_sources(obs_properties_t *properties, obs_data_t *settings)
{
    obs_property_t *sources = obs_properties_add_list(
        properties, SET_DRIVER_SOURCE, T("DriverSource"), OBS_COMBO_TYPE_LIST, OBS_COMBO_FORMAT_STRING);
    obs_property_list_add_string(sources, T("DriverSource.Choose"), "");
    feed_list_sources(add_source_name, sources);
    const char *now = obs_data_get_string(settings, SET_DRIVER_SOURCE);
    if (!has_item(sources, now))
        obs_property_list_add_string(sources, now, now);
    obs_property_set_long_description(sources, T("DriverSource.Description"));
}

static void add_backgrounds(obs_properties_t *properties)
{
    static const struct {
        const char *text, *value;
    } KINDS[] = {
        {"Background.Keep", "keep"},
        {"Background.Remove", "remove"},
        {"Background.Blur", "blur"},
        {"Background.Colour", "colour"},
        {"Background.Image", "image"},
    };
    obs_property_t *list = obs_properties_add_list(
        properties, SET_BACKGROUND, T("Background"), OBS_COMBO_TYPE_LIST, OBS_COMBO_FORMAT_STRING);
    for (size_t i = 0; i < sizeof(KINDS) / sizeof(*KINDS); i++)
        obs_property_list_add_string(list, T(KINDS[i].text), KINDS[i].value);
    obs_property_set_modified_callback(list, on_background);
    obs_properties_add_color(properties, SET_COLOUR, T("BackgroundColour"));
    obs_properties_add_path(
        properties, SET_IMAGE, T("BackgroundImage"), OBS_PATH_FILE, "(*.jpg *.jpeg *.png *.webp)", NULL);
}

static void add_framing(obs_properties_t *properties)
{
    static const struct {
        const char *text, *value;
    } KINDS[] = {
        {"Framing.Auto", "auto"},
        {"Framing.Photo", "photo"},
        {"Framing.Close", "close"},
        {"Framing.Wide", "wide"},
    };
    obs_property_t *list = obs_properties_add_list(
        properties, SET_FRAMING, T("Framing"), OBS_COMBO_TYPE_LIST, OBS_COMBO_FORMAT_STRING);
    for (size_t i = 0; i < sizeof(KINDS) / sizeof(*KINDS); i++)
        obs_property_list_add_string(list, T(KINDS[i].text), KINDS[i].value);
    obs_property_set_long_description(list, T("Framing.Description"));
    obs_properties_add_float_slider(properties, SET_FRAMING_ZOOM, T("Framing.Zoom"), 0.5, 3.0, 0.05);
    obs_properties_add_float_slider(properties, SET_FRAMING_X, T("Framing.X"), -0.5, 0.5, 0.01);
    obs_properties_add_float_slider(properties, SET_FRAMING_Y, T("Framing.Y"), -0.5, 0.5, 0.01);
}

// --- how it follows

static bool on_calibrate(obs_properties_t *properties, obs_property_t *property, void *data)
{
    UNUSED_PARAMETER(properties);
    UNUSED_PARAMETER(property);
    session_sync_calibrate(data);
    return false;
}

static obs_properties_t *following(struct session_sync *sync)
{
    obs_properties_t *group = obs_properties_create();
    obs_properties_add_float_slider(group, SET_GAIN_EXPRESSION, T("Gain.Expression"), 0.0, 1.5, 0.05);
    obs_properties_add_float_slider(group, SET_GAIN_HEAD, T("Gain.Head"), 0.0, 1.5, 0.05);
    obs_properties_add_float_slider(group, SET_GAIN_GAZE, T("Gain.Gaze"), 0.0, 1.5, 0.05);
    obs_property_t *calibrate =
        obs_properties_add_button2(group, "calibrate", T("Calibrate"), on_calibrate, sync);
    obs_property_set_long_description(calibrate, T("Calibrate.Description"));
    return group;
}

static void add_network(
    obs_properties_t *group, const char *key, const char *title, const char *without, const char *value)
{
    obs_property_t *list =
        obs_properties_add_list(group, key, T(title), OBS_COMBO_TYPE_LIST, OBS_COMBO_FORMAT_STRING);
    obs_property_list_add_string(list, T("Quality.Lite"), "lite");
    obs_property_list_add_string(list, T("Quality.Paper"), "paper");
    obs_property_list_add_string(list, T(without), value);
}

static obs_properties_t *quality(void)
{
    obs_properties_t *group = obs_properties_create();
    add_network(group, SET_REFINE, "Quality.Face", "Quality.WarpOnly", "off");
    add_network(group, SET_MOUTH, "Quality.Mouth", "Quality.Procedural", "procedural");
    return group;
}

// --- the daemon

static void add_session(void *list, const char *session)
{
    obs_property_list_add_string(list, session, session);
}

static bool on_refresh(obs_properties_t *properties, obs_property_t *property, void *data)
{
    UNUSED_PARAMETER(properties);
    UNUSED_PARAMETER(property);
    obs_source_update_properties(data);
    return false;
}

static obs_properties_t *daemon_(obs_data_t *settings)
{
    obs_properties_t *group = obs_properties_create();
    obs_property_t *sessions = obs_properties_add_list(
        group, SET_SESSION, T("Session"), OBS_COMBO_TYPE_EDITABLE, OBS_COMBO_FORMAT_STRING);
    obs_property_set_long_description(sessions, T("Session.Description"));
    const char *chosen = obs_data_get_string(settings, SET_FOLDER);
    char *own = handover_folder();
    const char *folder = *chosen ? chosen : own;
    if (folder)
        handover_sessions(folder, add_session, sessions);
    free(own);
    obs_property_t *path =
        obs_properties_add_path(group, SET_FOLDER, T("RuntimeFolder"), OBS_PATH_DIRECTORY, NULL, NULL);
    obs_property_set_long_description(path, T("RuntimeFolder.Description"));
    obs_property_t *program =
        obs_properties_add_path(group, SET_PROGRAM, T("Program"), OBS_PATH_FILE, NULL, NULL);
    obs_property_set_long_description(program, T("Program.Description"));
    return group;
}

struct made {
    obs_properties_t *properties;
    obs_data_t *settings;
};

static void add_choices(void *data, const struct session_sync_view *view)
{
    const struct made *made = data;
    add_status(made->properties, view);
    add_portraits(made->properties, view);
    add_drivers(made->properties, view, made->settings);
}

obs_properties_t *properties_of(obs_source_t *source, struct session_sync *sync)
{
    obs_data_t *settings = obs_source_get_settings(source);
    obs_properties_t *properties = obs_properties_create();
    struct made made = {properties, settings};
    obs_property_t *start = obs_properties_add_bool(properties, SET_START, T("Start"));
    obs_property_set_long_description(start, T("Start.Description"));
    session_sync_refresh(sync);
    session_sync_visit(sync, add_choices, &made);
    // Not in the visit: OBS holds its list of sources while it tells them of new settings, and that waits for
    // the visit's end.
    add_driving_sources(properties, settings);
    add_backgrounds(properties);
    add_framing(properties);
    obs_properties_add_bool(properties, SET_MIRROR, T("Mirror"));
    obs_property_t *hidden = obs_properties_add_bool(properties, SET_HIDDEN, T("Hidden"));
    obs_property_set_long_description(hidden, T("Hidden.Description"));
    obs_properties_add_group(properties, "following", T("Following"), OBS_GROUP_NORMAL, following(sync));
    obs_properties_add_group(properties, "quality", T("Quality"), OBS_GROUP_NORMAL, quality());
    obs_properties_add_group(properties, "daemon", T("Daemon"), OBS_GROUP_NORMAL, daemon_(settings));
    obs_properties_add_button2(properties, "refresh", T("Refresh"), on_refresh, source);
    obs_data_release(settings);
    return properties;
}
