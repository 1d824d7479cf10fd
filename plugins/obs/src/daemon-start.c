// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include "daemon-start.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "grpc-call.h"

#define LONGEST_PATH 1024
#define LARGEST_LOG (1024 * 1024)
#define STEP_MS 50
#define LAST_SAID 600 // bytes of the log's end that are looked at for why a daemon ended

// A daemon on its way: its number, and what the system tells of it.
struct child {
    pid_t pid;
    int watch; // pidfd; -1 where the system has none
};

static bool listens(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length >= sizeof address.sun_path)
        return false;
    memcpy(address.sun_path, path, length + 1);
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool connected = probe >= 0 && connect(probe, (const struct sockaddr *)&address, sizeof address) == 0;
    if (probe >= 0)
        close(probe);
    return connected;
}

static bool is_program(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0 && S_ISREG(facts.st_mode) && access(path, X_OK) == 0;
}

// The program's path: as it was named, or `streamfx` of PATH or of ~/.local/bin, which PATH on desktops often
// lacks.
static bool find_program(const char *named, char *path, size_t size)
{
    if (named) {
        int length = snprintf(path, size, "%s", named);
        return length > 0 && (size_t)length < size && is_program(path);
    }
    const char *rest = getenv("PATH"), *home = getenv("HOME");
    while (rest && *rest) {
        size_t length = strcspn(rest, ":");
        int written = snprintf(path, size, "%.*s/streamfx", (int)length, rest);
        if (*rest == '/' && written > 0 && (size_t)written < size && is_program(path))
            return true;
        rest += length + (rest[length] == ':');
    }
    int written = home ? snprintf(path, size, "%s/.local/bin/streamfx", home) : -1;
    return written > 0 && (size_t)written < size && is_program(path);
}

// The log, open for appending, beside the socket; the folder is made if need be. -1: errno tells why.
static int open_log(const char *socket, char *path, size_t size)
{
    const char *end = strrchr(socket, '/');
    int length = end ? snprintf(path, size, "%.*s/obs-daemon.log", (int)(end - socket), socket) : -1;
    if (length < 0 || (size_t)length >= size) {
        errno = ENAMETOOLONG;
        return -1;
    }
    for (char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = 0;
        mkdir(path, 0700); // that it exists already is well; anything else shows when the file is opened
        *at = '/';
    }
    int log = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct stat facts;
    if (log >= 0 && fstat(log, &facts) == 0 && S_ISREG(facts.st_mode) && facts.st_size > LARGEST_LOG &&
        ftruncate(log, 0) < 0)
        errno = 0; // it stays long: no reason not to start
    return log;
}

static void close_others(int kept)
{
#ifdef SYS_close_range
    bool below = kept == 3 || syscall(SYS_close_range, 3U, (unsigned)kept - 1, 0U) == 0;
    if (below && syscall(SYS_close_range, (unsigned)kept + 1, ~0U, 0U) == 0)
        return;
#endif
    struct rlimit limit;
    int most = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 65536 ? (int)limit.rlim_cur : 65536;
    for (int i = 3; i < most; i++)
        if (i != kept)
            close(i);
}

// In the new process, which has one thread, though its parent has many: only what signal handlers may call,
// too.
static void become(char *const *arguments, int log, int null, int report)
{
    struct sigaction plain;
    memset(&plain, 0, sizeof plain);
    plain.sa_handler = SIG_DFL;
    for (int i = 1; i < NSIG; i++)
        sigaction(i, &plain, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    int64_t said[2] = {
        fork(), 0}; // not the first of its session, it never gets a terminal; and init will bury it
    if (said[0] != 0) {
        said[1] = said[0] < 0 ? errno : 0;
        _exit(write(report, said, sizeof said) == sizeof said ? 0 : 1);
    }
    bool ready = chdir("/") == 0 && dup2(null, 0) >= 0 && dup2(log, 1) >= 0 && dup2(log, 2) >= 0;
    if (ready) {
        close_others(report); // which closes itself when the program is run
        execv(arguments[0], arguments);
    }
    said[0] = 0, said[1] = errno;
    _exit(write(report, said, sizeof said) == sizeof said ? 127 : 126);
}

// What the two processes report: the daemon's number, then nothing, or why the program could not be run.
static int read_reports(int from, pid_t *pid)
{
    int64_t said[2];
    int error = ECHILD;
    for (ssize_t size; (size = read(from, said, sizeof said)) != 0;) {
        if (size < 0 && errno == EINTR)
            continue;
        if (size != sizeof said)
            return EIO;
        if (said[1])
            return (int)said[1];
        *pid = (pid_t)said[0];
        error = 0;
    }
    return error;
}

// 0, or errno of why it could not be run.
static int launch(char *const *arguments, int log, struct child *child)
{
    int ends[2];
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return errno;
    if (pipe2(ends, O_CLOEXEC) < 0) {
        int error = errno;
        close(null);
        return error;
    }
    // Signals wait meanwhile: the new process must not run this one's handlers.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t first = fork();
    if (first == 0)
        become(arguments, log, null, ends[1]);
    int error = first < 0 ? errno : 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(ends[1]);
    if (first > 0) {
        error = read_reports(ends[0], &child->pid);
        while (waitpid(first, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    close(ends[0]);
    close(null);
#ifdef SYS_pidfd_open
    child->watch = error ? -1 : (int)syscall(SYS_pidfd_open, child->pid, 0U);
#else
    child->watch = -1;
#endif
    return error;
}

static bool has_ended(const struct child *child)
{
    struct pollfd ended = {.fd = child->watch, .events = POLLIN};
    if (child->watch >= 0)
        return poll(&ended, 1, 0) > 0;
    return kill(child->pid, 0) < 0 && errno == ESRCH;
}

// The last line that was said since the daemon was started.
static void last_line(int log, off_t from, char *text, size_t size)
{
    char said[LAST_SAID + 1];
    off_t end = lseek(log, 0, SEEK_END);
    off_t first = end - LAST_SAID > from ? end - LAST_SAID : from;
    ssize_t length = end > first ? pread(log, said, LAST_SAID, first) : 0;
    while (length > 0 && strchr(" \r\n\t", said[length - 1]))
        length--;
    said[length > 0 ? length : 0] = 0;
    const char *line = strrchr(said, '\n');
    snprintf(text, size, "%s", line ? line + 1 : said);
    if (!*text)
        snprintf(text, size, "The daemon ended without a word");
    sfx_make_printable(text);
}

static bool waited(unsigned *left_ms, const atomic_bool *stop)
{
    if (*left_ms == 0 || (stop && atomic_load(stop)))
        return false;
    unsigned step = *left_ms < STEP_MS ? *left_ms : STEP_MS;
    struct timespec pause = {.tv_nsec = (long)step * 1000000};
    nanosleep(&pause, NULL);
    *left_ms -= step;
    return true;
}

// Whether another daemon has the place: it says its number in the lock beside the socket.
static bool another_comes(const char *socket, pid_t own)
{
    char path[LONGEST_PATH], said[32] = "";
    const char *end = strrchr(socket, '/');
    const int length =
        end ? snprintf(path, sizeof path, "%.*s/daemon.lock", (int)(end - socket), socket) : -1;
    if (length < 0 || (size_t)length >= sizeof path)
        return false;
    const int lock = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (lock < 0)
        return false;
    const ssize_t size = read(lock, said, sizeof said - 1);
    close(lock);
    const pid_t holder = size > 0 ? (pid_t)strtol(said, NULL, 10) : 0;
    return holder > 0 && holder != own && kill(holder, 0) == 0;
}

static enum sfx_start await(
    const struct child *child, const char *socket, unsigned wait_ms, const atomic_bool *stop)
{
    // A second daemon ends at once, but the first begins its session before it listens: it is waited for.
    // Without a first one, a little more time is given to what may listen still.
    unsigned left_ms = wait_ms;
    bool ended = false;
    do {
        if (listens(socket))
            return SFX_START_UP;
        if (!ended && has_ended(child) && !another_comes(socket, child->pid)) {
            ended = true;
            left_ms = left_ms < 1000 ? left_ms : 1000;
        }
    } while (waited(&left_ms, stop));
    if (ended)
        return SFX_START_FAILED;
    return stop && atomic_load(stop) ? SFX_START_STOPPED : SFX_START_COMING;
}

static enum sfx_start start(const char *program, const char *named_socket, const char *socket,
    unsigned wait_ms, const atomic_bool *stop, char *text, size_t size)
{
    char path[LONGEST_PATH], log_path[LONGEST_PATH];
    if (!find_program(program, path, sizeof path)) {
        snprintf(text, size, "%s is no program that can be run. Install streamfx, or name its path",
            program ? program : "streamfx");
        return SFX_START_FAILED;
    }
    int log = open_log(socket, log_path, sizeof log_path);
    if (log < 0) {
        snprintf(text, size, "The log beside %s cannot be written: %s", socket, strerror(errno));
        return SFX_START_FAILED;
    }
    off_t from = lseek(log, 0, SEEK_END);
    char *arguments[] = {path, "serve", named_socket ? "--socket" : NULL, (char *)named_socket, NULL};
    struct child child = {.watch = -1};
    int error = launch(arguments, log, &child);
    enum sfx_start found = SFX_START_FAILED;
    if (error)
        snprintf(text, size, "%s cannot be run: %s", path, strerror(error));
    else
        found = await(&child, socket, wait_ms, stop);
    if (!error && found == SFX_START_FAILED)
        last_line(log, from, text, size);
    else if (found == SFX_START_COMING)
        snprintf(text, size, "The daemon does not listen yet; its log is %s", log_path);
    if (child.watch >= 0)
        close(child.watch);
    close(log);
    return found;
}

enum sfx_start sfx_daemon_start(const char *program, const char *socket, unsigned wait_ms,
    const atomic_bool *stop, char *text, size_t size)
{
    char standard[LONGEST_PATH];
    *text = 0;
    if (!socket && !sfx_default_socket(standard, sizeof standard)) {
        snprintf(text, size, "There is no folder for the daemon's socket. Set XDG_RUNTIME_DIR");
        return SFX_START_FAILED;
    }
    const char *path = socket ? socket : standard;
    enum sfx_start found =
        listens(path) ? SFX_START_UP : start(program, socket, path, wait_ms, stop, text, size);
    sfx_make_printable(text);
    return found;
}
