// SPDX-License-Identifier: GPL-2.0-or-later

#include "catalog.h"

#include <stdio.h>
#include <string.h>
#include <util/bmem.h>
#include <util/dstr.h>

#include "grpc-call.h"

static const char OUR_FEEDS[] = "feed:obs-", JPEG_URI[] = "data:image/jpeg;base64,";
enum {
    LONGEST_NAME = 4 * 80,  // bytes: names have 80 characters, and lists must not be of books
    LONGEST_FINDING = 300,  // bytes
    MOST_FINDINGS = 8,      // of a portrait
    MOST_JPEG = 256 * 1024, // bytes of a thumbnail
    LARGEST_SIDE = 512,     // px of a thumbnail
};

static void free_portraits(struct catalog *catalog)
{
    for (size_t i = 0; i < catalog->portrait_count; i++) {
        bfree(catalog->portraits[i].name);
        bfree(catalog->portraits[i].findings);
        bfree(catalog->portraits[i].thumbnail);
    }
    bfree(catalog->portraits);
    catalog->portraits = NULL;
    catalog->portrait_count = 0;
}

static void free_cameras(struct catalog *catalog)
{
    for (size_t i = 0; i < catalog->camera_count; i++) {
        bfree(catalog->cameras[i].spec);
        bfree(catalog->cameras[i].name);
    }
    bfree(catalog->cameras);
    catalog->cameras = NULL;
    catalog->camera_count = 0;
}

void catalog_free(struct catalog *catalog)
{
    free_portraits(catalog);
    free_cameras(catalog);
}

static struct portrait *find(const struct catalog *catalog, const char *portrait)
{
    for (size_t i = 0; i < catalog->portrait_count; i++)
        if (strcmp(catalog->portraits[i].id, portrait) == 0)
            return &catalog->portraits[i];
    return NULL;
}

const struct portrait *catalog_find(const struct catalog *catalog, const char *portrait)
{
    return find(catalog, portrait);
}

/// As much of a name as is shown.
static char *name_of(const char *told)
{
    return bstrdup_n(told, sfx_text_within(told, LONGEST_NAME));
}

static bool is_name(const char *name, const char *told)
{
    const size_t length = sfx_text_within(told, LONGEST_NAME);
    return strlen(name) == length && memcmp(name, told, length) == 0;
}

/// As much of a portrait's findings as is shown, in lines.
static char *findings_of(const Streamfx__V1__Portrait *portrait)
{
    struct dstr lines = {0};
    for (size_t i = 0; i < portrait->n_findings && i < MOST_FINDINGS; i++) {
        const char *told = portrait->findings[i];
        if (i)
            dstr_cat(&lines, "\n");
        dstr_ncat(&lines, told, sfx_text_within(told, LONGEST_FINDING));
    }
    return lines.array ? lines.array : bstrdup("");
}

static bool is_same(const struct portrait *portrait, const Streamfx__V1__Portrait *told)
{
    char *findings = findings_of(told);
    const bool same = strcmp(portrait->id, told->id) == 0 && is_name(portrait->name, told->display_name) &&
                      strcmp(portrait->findings, findings) == 0;
    bfree(findings);
    return same;
}

bool catalog_set_portraits(struct catalog *catalog, Streamfx__V1__Portrait *const *portraits, size_t count)
{
    bool other = count != catalog->portrait_count;
    for (size_t i = 0; i < count && !other; i++)
        other = !is_same(&catalog->portraits[i], portraits[i]);
    if (!other)
        return false;
    struct catalog taken = {0};
    taken.portraits = bzalloc((count + 1) * sizeof(*taken.portraits));
    taken.portrait_count = count;
    for (size_t i = 0; i < count; i++) {
        struct portrait *portrait = &taken.portraits[i];
        sfx_copy_text(portrait->id, ID_ROOM, portraits[i]->id);
        portrait->name = name_of(portraits[i]->display_name);
        portrait->findings = findings_of(portraits[i]);
    }
    for (size_t i = 0; i < catalog->portrait_count; i++) { // few have one, of thousands
        char **thumbnail = &catalog->portraits[i].thumbnail;
        struct portrait *portrait = *thumbnail ? find(&taken, catalog->portraits[i].id) : NULL;
        if (portrait && !portrait->thumbnail)
            portrait->thumbnail = *thumbnail, *thumbnail = NULL;
    }
    free_portraits(catalog);
    catalog->portraits = taken.portraits;
    catalog->portrait_count = count;
    return true;
}

/// Feeds of ours are chosen as sources of OBS; what cannot be asked for cannot be chosen.
static bool can_drive(const Streamfx__V1__Device *device)
{
    return device->kind == STREAMFX__V1__DEVICE_KIND__DEVICE_KIND_DRIVING && *device->spec &&
           strncmp(device->spec, OUR_FEEDS, sizeof(OUR_FEEDS) - 1) != 0 && strlen(device->spec) < TEXT_ROOM;
}

bool catalog_set_cameras(struct catalog *catalog, Streamfx__V1__Device *const *devices, size_t count)
{
    size_t kept = 0;
    bool other = false;
    for (size_t i = 0; i < count; i++) {
        if (!can_drive(devices[i]))
            continue;
        other |= kept >= catalog->camera_count ||
                 strcmp(catalog->cameras[kept].spec, devices[i]->spec) != 0 ||
                 !is_name(catalog->cameras[kept].name, devices[i]->display_name);
        kept++;
    }
    if (!other && kept == catalog->camera_count)
        return false;
    free_cameras(catalog);
    catalog->cameras = bzalloc((kept + 1) * sizeof(*catalog->cameras));
    for (size_t i = 0; i < count; i++) {
        if (!can_drive(devices[i]))
            continue;
        struct camera *camera = &catalog->cameras[catalog->camera_count++];
        camera->spec = bstrdup(devices[i]->spec);
        camera->name = name_of(devices[i]->display_name);
    }
    return true;
}

/// RFC 4648, with padding. `text` has room for 4 characters for each 3 bytes begun, and the end.
static void encode_base64(const uint8_t *data, size_t size, char *text)
{
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        const size_t left = size - i;
        const uint32_t bits = (uint32_t)data[i] << 16 | (left > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
                              (left > 2 ? data[i + 2] : 0);
        *text++ = DIGITS[bits >> 18];
        *text++ = DIGITS[bits >> 12 & 63];
        *text++ = left > 1 ? DIGITS[bits >> 6 & 63] : '=';
        *text++ = left > 2 ? DIGITS[bits & 63] : '=';
    }
    *text = 0;
}

/// Whether it is a JPEG of a thumbnail's size: its first frame header says so (ITU T.81, B.2.2). OBS's
/// windows draw whatever they are given, of any format and size.
static bool is_thumbnail(const uint8_t *jpeg, size_t size)
{
    if (size < 4 || size > MOST_JPEG || jpeg[0] != 0xff || jpeg[1] != 0xd8)
        return false;
    for (size_t at = 2; at + 9 <= size && jpeg[at] == 0xff;) {
        const uint8_t marker = jpeg[at + 1];
        const bool frame =
            marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
        const int height = jpeg[at + 5] << 8 | jpeg[at + 6], width = jpeg[at + 7] << 8 | jpeg[at + 8];
        if (frame)
            return height > 0 && height <= LARGEST_SIDE && width > 0 && width <= LARGEST_SIDE;
        at += 2 + ((size_t)jpeg[at + 2] << 8 | jpeg[at + 3]);
    }
    return false;
}

bool catalog_set_thumbnail(struct catalog *catalog, const char *portrait, const uint8_t *jpeg, size_t size)
{
    struct portrait *known = find(catalog, portrait);
    if (!known || !is_thumbnail(jpeg, size))
        return false;
    bfree(known->thumbnail);
    known->thumbnail = bmalloc(sizeof(JPEG_URI) + (size + 2) / 3 * 4);
    memcpy(known->thumbnail, JPEG_URI, sizeof(JPEG_URI));
    encode_base64(jpeg, size, known->thumbnail + sizeof(JPEG_URI) - 1);
    return true;
}
