/* An NVIDIA card for FFmpeg alone: libcuda.so.1 and libnvcuvid.so.1 in one, without any card.
 *
 * "Decodes" each picture into NV12 with the brightness of its number and a white corner, as media.pictures
 * draws them, whatever is in the stream; all else (parsing, order, times, download, colours) is FFmpeg's own.
 * FAKE_CARD: "no-decoder" knows no codec; "fails:N" fails at the picture of number N. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWERS(name) int name(void) { return 0; }
#define SURFACES 64
#define FAILURE 999

int made_contexts, live_contexts, most_contexts, live_decoders;

/* -- libcuda --------------------------------------------------------------------------------------------- */

struct Copy { /* CUDA_MEMCPY2D: one memory for host (1) and device (2) */
    size_t from_x, from_y; int from_kind; const char *from_host, *from_device; void *from_array; size_t from_pitch;
    size_t to_x, to_y; int to_kind; char *to_host, *to_device; void *to_array; size_t to_pitch;
    size_t width, height;
};

int cuMemcpy2DAsync_v2(const struct Copy *copy, void *stream) {
    const char *from = copy->from_kind == 1 ? copy->from_host : copy->from_device;
    char *to = copy->to_kind == 1 ? copy->to_host : copy->to_device;
    for (size_t y = 0; y < copy->height; y++)
        memcpy(to + (copy->to_y + y) * copy->to_pitch + copy->to_x,
               from + (copy->from_y + y) * copy->from_pitch + copy->from_x, copy->width);
    return 0;
}
int cuMemcpy2D_v2(const struct Copy *copy) { return cuMemcpy2DAsync_v2(copy, 0); }

int cuCtxCreate_v2(void **context, unsigned flags, int device) {
    *context = &live_contexts, made_contexts++;
    if (++live_contexts > most_contexts) most_contexts = live_contexts;
    return 0;
}
int cuCtxDestroy_v2(void *context) { live_contexts--; return 0; }
int cuMemAlloc_v2(void **memory, size_t size) { *memory = calloc(1, size); return 0; }
int cuMemFree_v2(void *memory) { free(memory); return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *device, int number) { *device = number; return 0; }
int cuDeviceGetAttribute(int *value, int which, int device) { *value = 256; return 0; }
int cuGetErrorName(int error, const char **name) { *name = "FAKE"; return 0; }
int cuGetErrorString(int error, const char **text) { *text = "fake"; return 0; }
#define EACH(name) ANSWERS(name)
#include "fake_card_names.h"

/* -- libnvcuvid ------------------------------------------------------------------------------------------ */

struct Decoder { unsigned long width, height; int number[SURFACES], next; unsigned char *shown; };

struct Caps { /* CUVIDDECODECAPS */
    int codec, chroma, bits_above_8, reserved[3];
    unsigned char supported, decoders; unsigned short formats;
    unsigned most_width, most_height, most_blocks; unsigned short least_width, least_height;
};

int cuvidGetDecoderCaps(struct Caps *caps) { /* 4:2:0 of eight bits */
    const char *fake = getenv("FAKE_CARD");
    caps->supported = caps->chroma == 1 && !caps->bits_above_8 && !(fake && !strcmp(fake, "no-decoder"));
    caps->formats = 1, caps->most_width = caps->most_height = 8192, caps->most_blocks = 1 << 20;
    caps->least_width = caps->least_height = 16;
    return 0;
}
int cuvidCreateDecoder(struct Decoder **made, const unsigned long *wanted) {
    *made = calloc(1, sizeof **made);
    (*made)->width = wanted[0], (*made)->height = wanted[1];
    (*made)->shown = malloc(wanted[0] * wanted[1] * 3 / 2);
    live_decoders++;
    return 0;
}
int cuvidDestroyDecoder(struct Decoder *decoder) { live_decoders--; free(decoder->shown); free(decoder); return 0; }
int cuvidDecodePicture(struct Decoder *decoder, const int *picture) {
    const char *fake = getenv("FAKE_CARD");
    int fails = -1;
    if (fake) sscanf(fake, "fails:%d", &fails);
    if (decoder->next == fails) return FAILURE;
    decoder->number[picture[2] % SURFACES] = decoder->next++; /* CurrPicIdx */
    return 0;
}
int cuvidMapVideoFrame64(struct Decoder *decoder, int index, void **memory, unsigned *pitch, void *how) {
    unsigned long w = decoder->width, h = decoder->height;
    int grey = 20 + 6 * (decoder->number[index % SURFACES] % 35);
    memset(decoder->shown, 16 + (grey * 219 + 127) / 255, w * h);
    for (unsigned long y = 0; y < h / 3; y++) memset(decoder->shown + y * w, 235, w / 3);
    memset(decoder->shown + w * h, 128, w * h / 2);
    *memory = decoder->shown, *pitch = w;
    return 0;
}
