// SPDX-License-Identifier: GPL-2.0-or-later
//
// A message as a picture: what is shown while there is no portrait to show.

#pragma once

#include "triple-buffer.h"

/// Write UTF-8 text over the whole picture, which has its size already; lines are broken between words.
void notice_draw(struct picture *picture, const char *text);
