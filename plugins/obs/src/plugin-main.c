// SPDX-License-Identifier: GPL-2.0-or-later
//
// The animated portrait of streamfx as a source of OBS.

#include <obs-module.h>

#include "plugin.h"
#include "portrait-source.h"

OBS_DECLARE_MODULE()
OBS_MODULE_USE_DEFAULT_LOCALE("streamfx-portrait", "en-US")
OBS_MODULE_AUTHOR("The streamfx authors")

MODULE_EXPORT const char *obs_module_name(void)
{
    return "Animated Portrait (streamfx)";
}

MODULE_EXPORT const char *obs_module_description(void)
{
    return obs_module_text("Plugin.Description");
}

bool obs_module_load(void)
{
    portrait_source_register();
    plugin_log(LOG_INFO, "version %s", PLUGIN_VERSION);
    return true;
}
