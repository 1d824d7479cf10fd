// SPDX-License-Identifier: GPL-2.0-or-later

#include "notice.h"

#include <string.h>

#include "font.h"

enum {
    MOST_LINES = 24,
    MOST_COLUMNS = 160,
    MARGIN = 1,           // characters left free on each side
    LEADING = 4,          // pixels between lines, before they are scaled
    WIDTH_OF_SCALE = 640, // px of width for which letters are as large as in the font
};

static const uint8_t PAPER[4] = {46, 38, 32, 255}, INK[4] = {240, 240, 240, 255}; // B G R A

/// The text, broken into lines of code points.
struct page {
    uint32_t lines[MOST_LINES][MOST_COLUMNS];
    int lengths[MOST_LINES];
    int count;
};

/// The next code point; anything malformed counts as one odd character.
static uint32_t decode(const char **text)
{
    const unsigned char *bytes = (const unsigned char *)*text;
    if (bytes[0] < 0x80 || (bytes[1] & 0xC0) != 0x80) {
        *text += 1;
        return bytes[0] < 0x80 ? bytes[0] : '?';
    }
    if ((bytes[0] & 0xE0) == 0xC0) {
        *text += 2;
        return (uint32_t)(bytes[0] & 0x1F) << 6 | (bytes[1] & 0x3F);
    }
    do
        *text += 1;
    while ((**text & 0xC0) == 0x80);
    return '?'; // not in the font
}

/// Begin a new line with what stands behind the last space of this one, if a word was being written.
static void wrap(struct page *page)
{
    const int line = page->count - 1;
    int split = page->lengths[line];
    while (split > 0 && page->lines[line][split - 1] != ' ')
        split--;
    if (page->count == MOST_LINES)
        return;
    const int moved = split ? page->lengths[line] - split : 0;
    memcpy(page->lines[line + 1], page->lines[line] + split, (size_t)moved * sizeof(uint32_t));
    page->lengths[line] -= moved;
    page->lengths[line + 1] = moved;
    page->count++;
}

static void lay_out(struct page *page, const char *text, int columns)
{
    *page = (struct page){.count = 1};
    while (*text) {
        const uint32_t code = decode(&text);
        if (code == '\n') {
            if (page->count == MOST_LINES)
                return;
            page->lengths[page->count++] = 0;
            continue;
        }
        if (page->lengths[page->count - 1] == columns)
            wrap(page);
        const int line = page->count - 1;
        if (page->lengths[line] == columns)
            return; // the page is full
        page->lines[line][page->lengths[line]++] = code;
    }
}

/// Draw a glyph with its upper left corner at x, y; what does not fit is cut off.
static void stamp(struct picture *picture, uint32_t code, int x, int y, int scale)
{
    const uint16_t *rows = font_glyph(code);
    for (int row = 0; row < FONT_HEIGHT * scale; row++) {
        for (int column = 0; column < FONT_WIDTH * scale; column++) {
            const int to_x = x + column, to_y = y + row;
            const bool ink = rows[row / scale] >> (FONT_WIDTH - 1 - column / scale) & 1;
            if (ink && to_x >= 0 && to_y >= 0 && to_x < (int)picture->width && to_y < (int)picture->height)
                memcpy(picture->bgra + 4 * ((size_t)to_y * picture->width + (size_t)to_x), INK, sizeof(INK));
        }
    }
}

static int clamped(int value, int least, int most)
{
    return value < least ? least : value > most ? most : value;
}

void notice_draw(struct picture *picture, const char *text)
{
    for (size_t i = 0; i < (size_t)picture->width * picture->height; i++)
        memcpy(picture->bgra + 4 * i, PAPER, sizeof(PAPER));
    const int scale = clamped((int)picture->width / WIDTH_OF_SCALE, 1, 12);
    const int cell = FONT_WIDTH * scale, pitch = (FONT_HEIGHT + LEADING) * scale;
    struct page page;
    lay_out(&page, text, clamped((int)picture->width / cell - 2 * MARGIN, 4, MOST_COLUMNS));
    const int top = clamped(((int)picture->height - page.count * pitch) / 2, 0, (int)picture->height);
    for (int line = 0; line < page.count; line++) {
        const int left = ((int)picture->width - page.lengths[line] * cell) / 2;
        for (int i = 0; i < page.lengths[line]; i++)
            stamp(picture, page.lines[line][i], left + i * cell, top + line * pitch, scale);
    }
}
