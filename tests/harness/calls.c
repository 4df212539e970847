/*
 * Loaded with LD_PRELOAD into the program under test: counts the calls by which it touches its own
 * files and the network, across all threads, writes each down, and kills the process or fails the call
 * at the N-th. tests/harness/calls.rs compiles it and reads and writes the control file, which is
 * mapped here: so the list outlives the process. Not counted on purpose: standard streams, unix sockets,
 * eventfds, locks, and files outside the installation. That nothing is missed is tested against strace.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* The layout is calls.rs's as well. */
enum kind { OPEN = 1, READ = 2, WRITE = 4, SYNC = 8, TRUNCATE = 16, NAME = 32, CLOSE = 64, CONNECT = 128, SEND = 256, RECEIVE = 512 };
enum mode { RECORD, KILL_BEFORE, KILL_AFTER, FAIL, FAIL_AFTER };
enum { RECORDS = 65536, SUFFIX = 64 };

struct record {
    uint32_t thread;
    uint32_t kind; /* and HIT, if it is the one */
    int64_t result; /* PENDING until the call returned; -errno if it failed */
    char name[16];
    char target[128];
};

struct control {
    uint64_t armed;  /* 0: nothing counts yet */
    uint64_t mask;   /* the kinds that count; all are written down */
    uint64_t mode;
    uint64_t number; /* of the call that is killed or fails, from 1 */
    uint64_t error;
    uint64_t lasting; /* whether every later call of a kind in `mask` fails as well */
    uint64_t count;  /* of calls written down */
    uint64_t fired;
    uint64_t counted; /* of the kinds in `mask` */
    char mark[SUFFIX]; /* what ends the target of the call after which counting begins; empty: `armed` says */
    struct record records[RECORDS];
};

enum { PENDING = INT32_MIN, HIT = 1 << 16 };

/* Connections that the program made: those made to it, as by somebody who asks for /readyz, do not count. */
enum { DESCRIPTORS = 65536 };
static unsigned char is_made[DESCRIPTORS];

static struct control *control;
static char folder[256];
static size_t folder_length;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CALLS_CONTROL");
    if (path == NULL)
        return;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0)
        abort();
    void *mapped = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED)
        abort();
    close(fd);
    const char *slash = strrchr(path, '/');
    folder_length = (size_t)(slash - path);
    if (folder_length >= sizeof folder)
        abort();
    memcpy(folder, path, folder_length);
    control = mapped;
}

static int is_watched(void) {
    return control != NULL && (__atomic_load_n(&control->armed, __ATOMIC_ACQUIRE) != 0 || control->mark[0] != 0);
}

static int is_ours(const char *path) {
    return path[0] != '/' ||
           (strncmp(path, folder, folder_length) == 0 && (path[folder_length] == '/' || path[folder_length] == 0));
}

/* What a descriptor stands for: 1 a file of ours, 2 a connection, 0 neither. */
static int describe(int fd, char *target, size_t size) {
    if (fd >= 0 && fd <= 2)
        return 0;
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &length) == 0) {
        if (peer.ss_family != AF_INET || fd >= DESCRIPTORS || !is_made[fd])
            return 0;
        snprintf(target, size, "port %u", ntohs(((struct sockaddr_in *)&peer)->sin_port));
        return 2;
    }
    if (errno == ENOTCONN)
        return 0;
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t end = readlink(link, target, size - 1);
    if (end <= 0)
        return 0;
    target[end] = 0;
    return target[0] == '/' && is_ours(target);
}

static int ends(const char *text, const char *end) {
    size_t long_one = strlen(text), short_one = strlen(end);
    return long_one >= short_one && strcmp(text + long_one - short_one, end) == 0;
}

static void kill_now(void) {
    __atomic_store_n(&control->fired, 1, __ATOMIC_RELEASE);
    syscall(SYS_kill, getpid(), SIGKILL);
}

struct call {
    struct record *record;
    int is_hit;
};

/* Counts a call before it is made; true: it must not be made and has failed. */
static int enter(struct call *call, uint32_t kind, const char *name, const char *target) {
    call->record = NULL;
    call->is_hit = 0;
    if (__atomic_load_n(&control->armed, __ATOMIC_ACQUIRE) == 0) {
        if (control->mark[0] != 0 && ends(target, control->mark))
            __atomic_store_n(&control->armed, 1, __ATOMIC_RELEASE);
        return 0;
    }
    uint64_t place = __atomic_fetch_add(&control->count, 1, __ATOMIC_ACQ_REL);
    if (place < RECORDS) {
        struct record *record = &control->records[place];
        record->thread = (uint32_t)syscall(SYS_gettid);
        record->kind = kind;
        record->result = PENDING;
        strncpy(record->name, name, sizeof record->name - 1);
        const char *shown = strncmp(target, folder, folder_length) == 0 ? target + folder_length : target;
        shown += shown != target && *shown == '/';
        strncpy(record->target, shown, sizeof record->target - 1);
        call->record = record;
    }
    if ((kind & control->mask) == 0)
        return 0;
    uint64_t number = __atomic_add_fetch(&control->counted, 1, __ATOMIC_ACQ_REL);
    call->is_hit = number == control->number || (control->lasting != 0 && number > control->number);
    if (call->is_hit && call->record != NULL)
        call->record->kind |= HIT;
    if (!call->is_hit)
        return 0;
    if (control->mode == KILL_BEFORE)
        kill_now();
    if (control->mode != FAIL)
        return 0;
    __atomic_store_n(&control->fired, 1, __ATOMIC_RELEASE);
    if (call->record != NULL)
        call->record->result = -(int64_t)control->error;
    return 1;
}

/* Notes what a call came to; returns what the program is told. */
static ssize_t leave(struct call *call, ssize_t result) {
    int error = errno;
    if (call->record != NULL)
        call->record->result = result < 0 ? -error : result;
    if (call->is_hit && control->mode == KILL_AFTER)
        kill_now();
    if (call->is_hit && control->mode == FAIL_AFTER) {
        __atomic_store_n(&control->fired, 1, __ATOMIC_RELEASE);
        errno = (int)control->error;
        return -1;
    }
    errno = error;
    return result;
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (real == NULL) \
    real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define COUNTED(kind, label, target, made) \
    do { \
        struct call call; \
        if (enter(&call, kind, label, target)) { \
            errno = (int)control->error; \
            return -1; \
        } \
        return leave(&call, made); \
    } while (0)

/* A call on a descriptor: `file` and `socket` are its kinds and names on either. */
#define ON(fd, file, file_label, socket, socket_label, made) \
    do { \
        char target[128]; \
        int what = is_watched() ? describe(fd, target, sizeof target) : 0; \
        if (what == 1 && (file) != 0) \
            COUNTED(file, file_label, target, made); \
        if (what == 2 && (socket) != 0) \
            COUNTED(socket, socket_label, target, made); \
        return made; \
    } while (0)

#define AT(kind, label, path, made) \
    do { \
        if (is_watched() && is_ours(path)) \
            COUNTED(kind, label, path, made); \
        return made; \
    } while (0)

ssize_t write(int fd, const void *bytes, size_t size) {
    REAL(write);
    ON(fd, WRITE, "write", SEND, "write", real(fd, bytes, size));
}
ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) {
    REAL(pwrite);
    ON(fd, WRITE, "pwrite64", 0, "", real(fd, bytes, size, at));
}
ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) {
    REAL(pwrite64);
    ON(fd, WRITE, "pwrite64", 0, "", real(fd, bytes, size, at));
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(writev);
    ON(fd, WRITE, "writev", SEND, "writev", real(fd, parts, count));
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
    REAL(pwritev);
    ON(fd, WRITE, "pwritev", 0, "", real(fd, parts, count, at));
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) {
    REAL(pwritev64);
    ON(fd, WRITE, "pwritev", 0, "", real(fd, parts, count, at));
}
ssize_t send(int fd, const void *bytes, size_t size, int flags) {
    REAL(send);
    ON(fd, 0, "", SEND, "sendto", real(fd, bytes, size, flags));
}
ssize_t sendto(int fd, const void *bytes, size_t size, int flags, const struct sockaddr *to, socklen_t length) {
    REAL(sendto);
    ON(fd, 0, "", SEND, "sendto", real(fd, bytes, size, flags, to, length));
}
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    REAL(sendmsg);
    ON(fd, 0, "", SEND, "sendmsg", real(fd, message, flags));
}
ssize_t read(int fd, void *bytes, size_t size) {
    REAL(read);
    ON(fd, READ, "read", RECEIVE, "read", real(fd, bytes, size));
}
ssize_t pread(int fd, void *bytes, size_t size, off_t at) {
    REAL(pread);
    ON(fd, READ, "pread64", 0, "", real(fd, bytes, size, at));
}
ssize_t pread64(int fd, void *bytes, size_t size, off64_t at) {
    REAL(pread64);
    ON(fd, READ, "pread64", 0, "", real(fd, bytes, size, at));
}
ssize_t readv(int fd, const struct iovec *parts, int count) {
    REAL(readv);
    ON(fd, READ, "readv", RECEIVE, "readv", real(fd, parts, count));
}
ssize_t recv(int fd, void *bytes, size_t size, int flags) {
    REAL(recv);
    ON(fd, 0, "", RECEIVE, "recvfrom", real(fd, bytes, size, flags));
}
ssize_t recvfrom(int fd, void *bytes, size_t size, int flags, struct sockaddr *from, socklen_t *length) {
    REAL(recvfrom);
    ON(fd, 0, "", RECEIVE, "recvfrom", real(fd, bytes, size, flags, from, length));
}
ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
    REAL(recvmsg);
    ON(fd, 0, "", RECEIVE, "recvmsg", real(fd, message, flags));
}
int fsync(int fd) {
    REAL(fsync);
    ON(fd, SYNC, "fsync", 0, "", real(fd));
}
int fdatasync(int fd) {
    REAL(fdatasync);
    ON(fd, SYNC, "fdatasync", 0, "", real(fd));
}
int ftruncate(int fd, off_t size) {
    REAL(ftruncate);
    ON(fd, TRUNCATE, "ftruncate", 0, "", real(fd, size));
}
int ftruncate64(int fd, off64_t size) {
    REAL(ftruncate64);
    ON(fd, TRUNCATE, "ftruncate", 0, "", real(fd, size));
}
int close(int fd) {
    REAL(close);
    if (fd >= 0 && fd < DESCRIPTORS)
        is_made[fd] = 0;
    ON(fd, CLOSE, "close", 0, "", real(fd));
}

int connect(int fd, const struct sockaddr *to, socklen_t length) {
    REAL(connect);
    if (fd >= 0 && fd < DESCRIPTORS)
        is_made[fd] = 1;
    if (is_watched() && to->sa_family == AF_INET) {
        char target[32];
        snprintf(target, sizeof target, "port %u", ntohs(((const struct sockaddr_in *)to)->sin_port));
        COUNTED(CONNECT, "connect", target, real(fd, to, length));
    }
    return real(fd, to, length);
}

#define MODE(flags) \
    mode_t mode = 0; \
    if (((flags) & (O_CREAT | O_TMPFILE)) != 0) { \
        va_list more; \
        va_start(more, flags); \
        mode = va_arg(more, mode_t); \
        va_end(more); \
    }

int open(const char *path, int flags, ...) {
    REAL(open);
    MODE(flags);
    AT(OPEN, "openat", path, real(path, flags, mode));
}
int open64(const char *path, int flags, ...) {
    REAL(open64);
    MODE(flags);
    AT(OPEN, "openat", path, real(path, flags, mode));
}
int openat(int at, const char *path, int flags, ...) {
    REAL(openat);
    MODE(flags);
    AT(OPEN, "openat", path, real(at, path, flags, mode));
}
int openat64(int at, const char *path, int flags, ...) {
    REAL(openat64);
    MODE(flags);
    AT(OPEN, "openat", path, real(at, path, flags, mode));
}
int rename(const char *from, const char *to) {
    REAL(rename);
    AT(NAME, "rename", from, real(from, to));
}
int unlink(const char *path) {
    REAL(unlink);
    AT(NAME, "unlink", path, real(path));
}
int unlinkat(int at, const char *path, int flags) {
    REAL(unlinkat);
    AT(NAME, "unlinkat", path, real(at, path, flags));
}
int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    AT(NAME, "mkdir", path, real(path, mode));
}

/* What is asked of the kernel by number goes through the calls above where it is one of them. */
long syscall(long number, ...) {
    va_list more;
    va_start(more, number);
    long a[6];
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(more, long);
    va_end(more);
    switch (number) {
    case SYS_write: return write((int)a[0], (void *)a[1], (size_t)a[2]);
    case SYS_read: return read((int)a[0], (void *)a[1], (size_t)a[2]);
    case SYS_pwrite64: return pwrite64((int)a[0], (void *)a[1], (size_t)a[2], a[3]);
    case SYS_pread64: return pread64((int)a[0], (void *)a[1], (size_t)a[2], a[3]);
    case SYS_fsync: return fsync((int)a[0]);
    case SYS_fdatasync: return fdatasync((int)a[0]);
    case SYS_ftruncate: return ftruncate((int)a[0], a[1]);
    case SYS_sendto: return sendto((int)a[0], (void *)a[1], (size_t)a[2], (int)a[3], (void *)a[4], (socklen_t)a[5]);
    case SYS_recvfrom: return recvfrom((int)a[0], (void *)a[1], (size_t)a[2], (int)a[3], (void *)a[4], (void *)a[5]);
    case SYS_close: return close((int)a[0]);
    case SYS_unlinkat: return unlinkat((int)a[0], (void *)a[1], (int)a[2]);
    case SYS_openat: return openat((int)a[0], (void *)a[1], (int)a[2], (mode_t)a[3]);
    default: break;
    }
    static long (*real)(long, ...);
    if (real == NULL)
        real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
