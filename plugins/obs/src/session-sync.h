// SPDX-License-Identifier: GPL-2.0-or-later
//
// One source and one session of the daemon, kept in agreement. What the user chooses in OBS is asked of the
// daemon at once; what others change there (or a key, or the daemon's own limits) comes back into OBS's
// settings. When a daemon appears, what was chosen in OBS before is asked of it again, but nothing is ever
// shown that the daemon was told to hide. A session that is there is used as it is; only where there is none
// one is begun. None is ended: with the source go its readers, by which the daemon knows that nobody looks.

#pragma once

#include "choices.h"
#include "catalog.h"

/// What the daemon says of the session.
struct report {
    Streamfx__V1__SessionState state;
    double fps;
    double p50_ms, p95_ms; ///< from capture to publication; 0 while there is nothing to measure
    char portrait[ID_ROOM];
    char trouble[512];        ///< one line; empty while all is well
    char source_trouble[512]; ///< likewise, of what drives
    char source_note[512];    ///< what is worth knowing of it; empty while there is nothing
};

/// All that can be seen of it.
struct session_sync_view {
    bool present;  ///< a daemon serves
    bool starting; ///< one was started and does not serve yet
    bool agreed;   ///< there is a session
    bool adding;   ///< a portrait is being made of a photo
    char session[ID_ROOM];
    char portraits[SESSION_PORTRAITS][ID_ROOM]; ///< of the session, in the order of the keys
    size_t portrait_count;
    struct report report;
    char message[512]; ///< what the last request failed with; empty: it did not
    struct catalog catalog;
};

/// Where the daemon is and how it comes.
struct session_sync_aim {
    const char *folder;  ///< of its sockets; empty: the default
    const char *session; ///< empty: the first there is
    const char *program; ///< that is started; empty: `streamfx`
    bool start;          ///< whether to start it when it is absent
};

struct session_sync;

/// Called when there is something to adopt: have `session_sync_adopt` called on OBS's thread of windows,
/// soon. Not again until it was. From any thread, with the sync's mutex held: it must not wait, nor use the
/// sync.
typedef void session_sync_listener(void *param);

/// `feed`: the driver that stands for an OBS source.
struct session_sync *session_sync_create(const char *feed, session_sync_listener *on_change, void *param);

/// Ends what is under way; takes no longer than a cancelled call.
void session_sync_destroy(struct session_sync *sync);

/// Take over what OBS's settings say. Asks the daemon for what changed; waits for nothing but, where `aim`
/// names another daemon, for the end of the call to the one before.
void session_sync_update(struct session_sync *sync, const struct session_sync_aim *aim, obs_data_t *settings);

/// Once a frame. True if the session is another one; `session` is its name then.
bool session_sync_tick(struct session_sync *sync, float seconds, char session[ID_ROOM]);

/// Bring what the daemon says into OBS's settings, if the user chose nothing meanwhile. True if any of them,
/// or what can be seen, changed. On OBS's thread of windows only.
bool session_sync_adopt(struct session_sync *sync, obs_data_t *settings);

/// Look at it; `visit` must not wait, nor look at OBS's sources.
typedef void session_sync_visitor(void *data, const struct session_sync_view *view);
void session_sync_visit(struct session_sync *sync, session_sync_visitor *visit, void *data);

/// Ask for the lists again: what is another comes into the window of properties by itself.
void session_sync_refresh(struct session_sync *sync);

void session_sync_calibrate(struct session_sync *sync);
void session_sync_toggle_hidden(struct session_sync *sync);
/// Of the session's portraits, by its place from 1; nothing happens if there is none.
void session_sync_select_place(struct session_sync *sync, size_t place);
/// The next (1) or the one before (-1).
void session_sync_select_step(struct session_sync *sync, int step);
