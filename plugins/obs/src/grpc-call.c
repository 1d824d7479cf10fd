// SPDX-License-Identifier: GPL-2.0-or-later
#include "grpc-call.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PREFIX 5                 // of a message on the wire: whether it is compressed, and its length
#define MOST_HEADERS (64 * 1024) // bytes of all headers and trailers of an answer
#define LONGEST_TOKEN 200
#define LONGEST_PATH 1024
#define TRIES 10

struct sfx_grpc {
    char *socket, *address, *token_file, *authority;
    CURLM *multi;
    atomic_bool cancelled;
};

// An answer as it comes in.
struct inflow {
    struct sfx_answer *answer;
    uint8_t *data;
    size_t size, room, most, header_bytes;
    long grpc_status; // -1: none yet
    bool is_grpc, too_much, out_of_memory;
    bool cut_off; // the stream ended before the request was sent, and why is not known
};

// --- text

// Bytes of the UTF-8 character at the front of a text; 0 if there is none.
static size_t character(const unsigned char *text)
{
    if (text[0] < 0x80)
        return 1;
    size_t length = text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
    if (text[0] < 0xc2 || text[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    unsigned second = text[1]; // no overlong forms, surrogates, or numbers beyond Unicode
    if ((text[0] == 0xe0 && second < 0xa0) || (text[0] == 0xed && second > 0x9f) ||
        (text[0] == 0xf0 && second < 0x90) || (text[0] == 0xf4 && second > 0x8f))
        return 0;
    return length;
}

void sfx_make_printable(char *text)
{
    unsigned char *at = (unsigned char *)text;
    while (*at) {
        size_t length = character(at);
        bool control = *at < 0x20 || *at == 0x7f || (at[0] == 0xc2 && length == 2 && at[1] < 0xa0);
        if (length && !control) {
            at += length;
            continue;
        }
        for (size_t i = length ? length : 1; i > 0; i--)
            *at++ = '?';
    }
}

size_t sfx_text_within(const char *text, size_t most)
{
    size_t length = strnlen(text, most + 1);
    if (length <= most)
        return length;
    for (length = most; length > 0 && (text[length] & 0xc0) == 0x80;)
        length--;
    return length;
}

void sfx_copy_text(char *to, size_t room, const char *from)
{
    const size_t length = from ? sfx_text_within(from, room - 1) : 0;
    if (length)
        memcpy(to, from, length);
    to[length] = 0;
}

static void set(struct sfx_answer *answer, enum sfx_code code, const char *what, const char *why)
{
    answer->code = code;
    // Cut, it may end within a character, which is made printable.
    int written = snprintf(answer->message, sizeof answer->message, "%s%s%s", what, *why ? ": " : "", why);
    if (written < 0)
        answer->message[0] = 0;
    sfx_make_printable(answer->message);
}

static int hexadecimal(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    digit = (char)(digit | 0x20);
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

// grpc-message: bytes outside of printable ASCII come as %XX. What is no such escape stays as it is.
static void decode_percent(const char *from, size_t size, char *to, size_t room)
{
    size_t used = 0;
    for (size_t i = 0; i < size && used + 1 < room; i++) {
        int high = i + 2 < size && from[i] == '%' ? hexadecimal(from[i + 1]) : -1;
        int low = high >= 0 ? hexadecimal(from[i + 2]) : -1;
        bool escaped = low >= 0;
        char byte = escaped ? (char)(high * 16 + low) : from[i];
        to[used++] = byte ? byte : '?';
        i += escaped ? 2 : 0;
    }
    to[used] = 0;
    sfx_make_printable(to);
}

// --- the answer

// The value of a header line, if it is the named one.
static const char *value_of(const char *line, size_t size, const char *name, size_t *length)
{
    size_t start = strlen(name);
    if (size <= start || line[start] != ':' || strncasecmp(line, name, start) != 0)
        return NULL;
    for (start++; start < size && (line[start] == ' ' || line[start] == '\t'); start++)
        ;
    while (size > start && (unsigned char)line[size - 1] <= ' ')
        size--;
    *length = size - start;
    return line + start;
}

static long number(const char *text, size_t size)
{
    long value = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9' || value > 1000)
            return SFX_UNKNOWN;
        value = value * 10 + text[i] - '0';
    }
    return size && value <= SFX_UNAUTHENTICATED ? value : SFX_UNKNOWN;
}

// Called by curl with each line of the headers and of the trailers.
static size_t take_header(char *line, size_t one, size_t size, void *data)
{
    struct inflow *in = data;
    size *= one;
    in->header_bytes += size;
    if (in->header_bytes > MOST_HEADERS) {
        in->too_much = true;
        return 0;
    }
    size_t length;
    const char *value;
    if ((value = value_of(line, size, "content-type", &length)))
        in->is_grpc = length >= 16 && strncasecmp(value, "application/grpc", 16) == 0;
    else if ((value = value_of(line, size, "grpc-status", &length)))
        in->grpc_status = number(value, length);
    else if ((value = value_of(line, size, "grpc-message", &length)))
        decode_percent(value, length, in->answer->message, sizeof in->answer->message);
    return size;
}

// Called by curl with each piece of the body.
static size_t take_body(char *piece, size_t one, size_t size, void *data)
{
    struct inflow *in = data;
    size *= one;
    if (size > in->most + PREFIX - in->size) {
        in->too_much = true;
        return 0;
    }
    if (in->size + size > in->room) {
        size_t room = 2 * (in->size + size);
        uint8_t *grown = realloc(in->data, room);
        if (!grown) {
            in->out_of_memory = true;
            return 0;
        }
        in->data = grown, in->room = room;
    }
    memcpy(in->data + in->size, piece, size);
    in->size += size;
    return size;
}

// What gRPC's specification has an HTTP status stand for, where there is no grpc-status.
static enum sfx_code code_of_http(long status)
{
    switch (status) {
    case 400:
        return SFX_INTERNAL;
    case 401:
        return SFX_UNAUTHENTICATED;
    case 403:
        return SFX_PERMISSION_DENIED;
    case 404:
        return SFX_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return SFX_UNAVAILABLE;
    default:
        return SFX_UNKNOWN;
    }
}

static void take_response(struct inflow *in)
{
    struct sfx_answer *answer = in->answer;
    uint8_t *data = in->data;
    if (in->size < PREFIX || data[0] != 0) {
        set(answer, SFX_INTERNAL, "The daemon's answer holds no message that can be read", "");
        return;
    }
    size_t size = (size_t)data[1] << 24 | (size_t)data[2] << 16 | (size_t)data[3] << 8 | data[4];
    if (size != in->size - PREFIX) {
        set(answer, SFX_INTERNAL, "The daemon's answer is not one whole message", "");
        return;
    }
    answer->code = SFX_OK;
    answer->message[0] = 0;
    if (size == 0)
        return;
    memmove(data, data + PREFIX, size);
    answer->data = data, answer->size = size;
    in->data = NULL;
}

// Take the daemon's word for why; it came with its own header.
static void refuse(struct sfx_answer *answer, enum sfx_code code)
{
    answer->code = code;
    if (!*answer->message)
        set(answer, code, "The daemon refused without a word", "");
}

static void conclude(struct inflow *in, CURL *easy, CURLcode result, const char *error)
{
    struct sfx_answer *answer = in->answer;
    long http = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &http);
    if (in->too_much) {
        set(answer, SFX_RESOURCE_EXHAUSTED, "The daemon's answer is larger than allowed", "");
    } else if (in->out_of_memory || result == CURLE_OUT_OF_MEMORY) {
        set(answer, SFX_RESOURCE_EXHAUSTED, "Memory is out", "");
    } else if (in->grpc_status >= 0 && in->is_grpc && http == 200) {
        // It ends every answer: whatever happened to the stream afterwards does not matter.
        if (in->grpc_status == SFX_OK)
            take_response(in);
        else
            refuse(answer, (enum sfx_code)in->grpc_status);
    } else if (result == CURLE_OPERATION_TIMEDOUT) {
        set(answer, SFX_DEADLINE_EXCEEDED, "The daemon did not answer in time", "");
    } else if (result == CURLE_COULDNT_CONNECT || result == CURLE_COULDNT_RESOLVE_HOST) {
        set(answer, SFX_UNAVAILABLE, "No daemon can be reached", error);
    } else if (result != CURLE_OK) {
        set(answer, SFX_UNAVAILABLE, "The daemon's answer broke off", error);
    } else if (http != 200) {
        char status[32];
        snprintf(status, sizeof status, "HTTP %ld", http);
        set(answer, code_of_http(http), "What answers is no streamfx daemon", status);
    } else if (in->is_grpc) {
        // It was cut; curl 7.88 loses trailers, too, when the connection ends together with them.
        set(answer, SFX_UNAVAILABLE, "The daemon's answer broke off", "it has no status");
    } else {
        set(answer, SFX_UNKNOWN, "What answers is no streamfx daemon", "it does not speak gRPC");
    }
}

// --- the call

// The header that bears the token; NULL after an answer was given that says why there is none.
static struct curl_slist *with_token(struct curl_slist *headers, const char *file, struct sfx_answer *answer)
{
    static const char bearer[] = "authorization: Bearer ";
    char line[sizeof bearer + LONGEST_TOKEN + 2] = "authorization: Bearer ";
    char *token = line + sizeof bearer - 1;
    int descriptor = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat facts;
    ssize_t size = -1;
    if (descriptor >= 0 && fstat(descriptor, &facts) == 0 && S_ISREG(facts.st_mode))
        size = read(descriptor, token, LONGEST_TOKEN + 2);
    if (descriptor >= 0)
        close(descriptor);
    if (size < 0) {
        set(answer, SFX_UNAUTHENTICATED, "The token cannot be read", file);
        return NULL;
    }
    if (facts.st_mode & 077) {
        set(answer, SFX_UNAUTHENTICATED, "The token can be read by other users. Run chmod 600 on it", file);
        return NULL;
    }
    while (size > 0 && strchr("\r\n\t ", token[size - 1]))
        size--;
    bool bad = size == 0 || size > LONGEST_TOKEN;
    for (ssize_t i = 0; i < size; i++)
        bad = bad || token[i] <= ' ' || token[i] > '~';
    if (bad) {
        set(answer, SFX_UNAUTHENTICATED, "This file holds no token", file);
        return NULL;
    }
    token[size] = 0;
    return curl_slist_append(headers, line);
}

// Add a line; the list is freed, and NULL, when memory is out.
static struct curl_slist *with(struct curl_slist *headers, const char *line)
{
    struct curl_slist *longer = curl_slist_append(headers, line);
    if (!longer)
        curl_slist_free_all(headers);
    return longer;
}

static struct curl_slist *headers_of(
    const struct sfx_grpc *grpc, unsigned timeout_ms, struct sfx_answer *answer)
{
    char deadline[40];
    snprintf(deadline, sizeof deadline, "grpc-timeout: %um", timeout_ms);
    struct curl_slist *headers = with(NULL, "content-type: application/grpc");
    headers = headers ? with(headers, "te: trailers") : NULL;
    headers = headers ? with(headers, "expect:") : NULL;
    headers = headers ? with(headers, "accept:") : NULL;
    headers = headers ? with(headers, deadline) : NULL;
    if (!headers || !grpc->token_file || !grpc->address)
        return headers;
    struct curl_slist *longer = with_token(headers, grpc->token_file, answer);
    if (!longer)
        curl_slist_free_all(headers);
    return longer;
}

static CURLcode set_way(const struct sfx_grpc *grpc, CURL *easy, const char *method)
{
    char url[LONGEST_PATH];
    const char *host = grpc->socket ? "localhost" : grpc->address;
    int length = snprintf(url, sizeof url, "%s://%s%s", grpc->socket ? "http" : "https", host, method);
    if (length < 0 || (size_t)length >= sizeof url)
        return CURLE_URL_MALFORMAT;
    CURLcode result = curl_easy_setopt(easy, CURLOPT_URL, url);
    long version = grpc->socket ? CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE : CURL_HTTP_VERSION_2TLS;
    result = result ? result : curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, version);
    if (grpc->socket)
        return result ? result : curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, grpc->socket);
    return result || !grpc->authority ? result : curl_easy_setopt(easy, CURLOPT_CAINFO, grpc->authority);
}

static CURLcode set_options(CURL *easy, struct inflow *in, struct curl_slist *headers, const uint8_t *body,
    size_t size, unsigned timeout_ms, char *error)
{
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, in);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, in);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "streamfx-obs");
    curl_easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
#if LIBCURL_VERSION_NUM >= 0x075700
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); // cancelled, wait for no resolver
#endif
    // curl 7.88 fails (error 16) when it uses a connection of this kind a second time.
    return curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// Until the transfer is over or was cancelled. False: cancelled.
static bool transfer(struct sfx_grpc *grpc, CURL *easy, CURLcode *result)
{
    *result = CURLE_FAILED_INIT;
    if (curl_multi_add_handle(grpc->multi, easy) != CURLM_OK)
        return true;
    int running = 1, waiting;
    while (running && !atomic_load(&grpc->cancelled)) {
        if (curl_multi_perform(grpc->multi, &running) != CURLM_OK)
            break;
        // sfx_grpc_cancel wakes it; a wake-up that came before it began to wait counts as well.
        if (running && curl_multi_poll(grpc->multi, NULL, 0, 500, NULL) != CURLM_OK)
            break;
    }
    for (CURLMsg *said; (said = curl_multi_info_read(grpc->multi, &waiting));)
        if (said->msg == CURLMSG_DONE && said->easy_handle == easy)
            *result = said->data.result;
    curl_multi_remove_handle(grpc->multi, easy);
    return !running || !atomic_load(&grpc->cancelled);
}

static void call(struct sfx_grpc *grpc, CURL *easy, const char *method, struct curl_slist *headers,
    const uint8_t *body, size_t size, unsigned timeout_ms, struct inflow *in)
{
    char error[CURL_ERROR_SIZE] = "";
    CURLcode result = set_way(grpc, easy, method);
    result = result ? result : set_options(easy, in, headers, body, size, timeout_ms, error);
    if (result != CURLE_OK)
        set(in->answer, SFX_INTERNAL, "The call cannot be made", curl_easy_strerror(result));
    else if (!transfer(grpc, easy, &result))
        set(in->answer, SFX_CANCELLED, "The call was cancelled", "");
    else
        conclude(in, easy, result, *error ? error : curl_easy_strerror(result));
    curl_off_t sent = 0;
    curl_easy_getinfo(easy, CURLINFO_SIZE_UPLOAD_T, &sent);
    in->cut_off = result == CURLE_HTTP2_STREAM && in->grpc_status < 0 && sent < (curl_off_t)size;
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, NULL);
}

void sfx_grpc_call(struct sfx_grpc *grpc, const char *method, const uint8_t *request, size_t size,
    unsigned timeout_ms, size_t most, struct sfx_answer *answer)
{
    memset(answer, 0, sizeof *answer);
    struct inflow in = {.answer = answer, .most = most, .grpc_status = -1};
    struct curl_slist *headers = NULL;
    uint8_t *body = size <= UINT32_MAX ? malloc(PREFIX + size) : NULL;
    CURL *easy = curl_easy_init();
    if (body && easy)
        headers = headers_of(grpc, timeout_ms, answer);
    if (headers) {
        body[0] = 0;
        for (int i = 0; i < 4; i++)
            body[1 + i] = (uint8_t)(size >> (24 - 8 * i));
        if (size)
            memcpy(body + PREFIX, request, size);
        // A daemon that refuses a call does so before it has read the request. Then curl 7.88, which sends
        // the request a moment after the headers, may lose the answer. Nothing was done without the request,
        // so trying again is safe.
        int64_t end = now_ms() + timeout_ms, left = timeout_ms;
        for (int i = 0; i < TRIES && (i == 0 || (in.cut_off && left > 0)); i++) {
            in.grpc_status = -1, in.size = in.header_bytes = 0;
            in.is_grpc = in.too_much = in.out_of_memory = false;
            answer->message[0] = 0;
            call(grpc, easy, method, headers, body, PREFIX + size, (unsigned)left, &in);
            left = end - now_ms();
        }
    } else if (answer->code == SFX_OK) {
        set(answer, SFX_RESOURCE_EXHAUSTED, "Memory is out", "");
    }
    curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
    free(body);
    free(in.data);
}

void sfx_grpc_cancel(struct sfx_grpc *grpc)
{
    atomic_store(&grpc->cancelled, true);
    curl_multi_wakeup(grpc->multi);
}

void sfx_answer_release(struct sfx_answer *answer)
{
    free(answer->data);
    answer->data = NULL, answer->size = 0;
}

// --- beginning and end

static void initialise(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT); // once a process: older versions forbid it to two threads at once
}

// As streamfx/config.py has it.
bool sfx_default_socket(char *path, size_t size)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR"), *cache = getenv("XDG_CACHE_HOME"),
               *home = getenv("HOME");
    int length = -1;
    if (runtime && *runtime == '/')
        length = snprintf(path, size, "%s/streamfx/control.sock", runtime);
    else if (cache && *cache == '/')
        length = snprintf(path, size, "%s/streamfx/run/control.sock", cache);
    else if (home && *home)
        length = snprintf(path, size, "%s/.cache/streamfx/run/control.sock", home);
    return length > 0 && (size_t)length < size;
}

// HOST:PORT, and nothing that would make another URL of it.
static bool is_address(const char *text)
{
    const char *port = strrchr(text, ':');
    if (!port || port == text || !port[1] || strlen(port + 1) > 5 || strlen(text) > 300)
        return false;
    bool plain = strspn(port + 1, "0123456789") == strlen(port + 1);
    return plain && !strpbrk(text, "/@?#\\ \t\r\n%");
}

static bool copy(char **to, const char *from)
{
    *to = from ? strdup(from) : NULL;
    return !from || *to;
}

struct sfx_grpc *sfx_grpc_create(const struct sfx_endpoint *endpoint)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, initialise);
    char path[LONGEST_PATH];
    const char *socket = endpoint->address ? NULL : endpoint->socket;
    if (endpoint->address && !is_address(endpoint->address))
        return NULL;
    if (!endpoint->address && !socket) {
        if (!sfx_default_socket(path, sizeof path))
            return NULL;
        socket = path;
    }
    struct sfx_grpc *grpc = calloc(1, sizeof *grpc);
    if (!grpc)
        return NULL;
    grpc->multi = curl_multi_init();
    bool copied = copy(&grpc->socket, socket) && copy(&grpc->address, endpoint->address) &&
                  copy(&grpc->token_file, endpoint->token_file) &&
                  copy(&grpc->authority, endpoint->authority);
    if (grpc->multi && copied)
        return grpc;
    sfx_grpc_destroy(grpc);
    return NULL;
}

void sfx_grpc_destroy(struct sfx_grpc *grpc)
{
    if (!grpc)
        return;
    curl_multi_cleanup(grpc->multi);
    free(grpc->socket);
    free(grpc->address);
    free(grpc->token_file);
    free(grpc->authority);
    free(grpc);
}
