// SPDX-License-Identifier: GPL-2.0-or-later

#include "hotkeys.h"

#include <stdio.h>
#include <string.h>
#include <util/dstr.h>

#include "session-sync.h"

static const char PORTRAIT[] = "StreamFX.Portrait";

/// A key's function is told of the key by its number alone, and of that its name is known.
static void on_portrait(void *data, obs_hotkey_id id, obs_hotkey_t *hotkey, bool pressed)
{
    UNUSED_PARAMETER(id);
    const char *name = obs_hotkey_get_name(hotkey);
    if (pressed && strncmp(name, PORTRAIT, sizeof(PORTRAIT) - 1) == 0)
        session_sync_select_place(data, (size_t)(name[sizeof(PORTRAIT) - 1] - '0'));
}

static void on_next(void *data, obs_hotkey_id id, obs_hotkey_t *hotkey, bool pressed)
{
    UNUSED_PARAMETER(id);
    UNUSED_PARAMETER(hotkey);
    if (pressed)
        session_sync_select_step(data, 1);
}

static void on_previous(void *data, obs_hotkey_id id, obs_hotkey_t *hotkey, bool pressed)
{
    UNUSED_PARAMETER(id);
    UNUSED_PARAMETER(hotkey);
    if (pressed)
        session_sync_select_step(data, -1);
}

static void on_calibrate(void *data, obs_hotkey_id id, obs_hotkey_t *hotkey, bool pressed)
{
    UNUSED_PARAMETER(id);
    UNUSED_PARAMETER(hotkey);
    if (pressed)
        session_sync_calibrate(data);
}

static void on_hide(void *data, obs_hotkey_id id, obs_hotkey_t *hotkey, bool pressed)
{
    UNUSED_PARAMETER(id);
    UNUSED_PARAMETER(hotkey);
    if (pressed)
        session_sync_toggle_hidden(data);
}

void hotkeys_register(obs_source_t *source, struct session_sync *sync)
{
    for (int place = 1; place <= SESSION_PORTRAITS; place++) {
        char name[sizeof(PORTRAIT) + 1], digit[2] = {(char)('0' + place), 0};
        struct dstr title = {0};
        snprintf(name, sizeof(name), "%s%s", PORTRAIT, digit);
        dstr_copy(&title, obs_module_text("Key.Portrait"));
        dstr_replace(&title, "%1", digit);
        obs_hotkey_register_source(source, name, title.array, on_portrait, sync);
        dstr_free(&title);
    }
    const struct {
        const char *name, *title;
        obs_hotkey_func pressed;
    } keys[] = {
        {"StreamFX.Next", "Key.Next", on_next},
        {"StreamFX.Previous", "Key.Previous", on_previous},
        {"StreamFX.Calibrate", "Key.Calibrate", on_calibrate},
        {"StreamFX.Hide", "Key.Hide", on_hide},
    };
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
        obs_hotkey_register_source(
            source, keys[i].name, obs_module_text(keys[i].title), keys[i].pressed, sync);
}
