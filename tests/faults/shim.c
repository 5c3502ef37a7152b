/* Counts every change to files below one folder, and makes one of them fail. Loaded with LD_PRELOAD.

   What is counted (a "point"): opening for writing, writing, flushing to the disk, cutting, renaming, linking and
   removing a file, and making or removing a folder. The settings and the count lie in a file that all processes of a
   run map (FAULT_CONTROL), so that forked and started processes count on together. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NONE, KILL, TORN, NO_SPACE, IO_ERROR, NO_ACCESS, SHORT };
enum { POINTS = 16384, NAME = 247 };

struct point {
    char what;
    char name[NAME];
};

struct control { /* tests/faults/harness.py writes and reads it */
    int64_t at;    /* the point that fails */
    int64_t kind;  /* how */
    int64_t count; /* of points so far */
    int64_t full;  /* whether the disk has become full */
    char folder[1024];
    struct point points[POINTS];
};

static struct control *control;

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("FAULT_CONTROL");
    int descriptor = name ? (int)syscall(SYS_openat, AT_FDCWD, name, O_RDWR | O_CLOEXEC, 0) : -1;
    if (descriptor < 0) return;
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    syscall(SYS_close, descriptor);
    if (mapped != MAP_FAILED) control = mapped;
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* The name below the folder, NULL if it lies elsewhere. */
static const char *below(const char *path) {
    size_t length = strlen(control->folder);
    return length && strncmp(path, control->folder, length) == 0 && path[length] == '/' ? path + length + 1 : NULL;
}

static const char *name_of_descriptor(int descriptor, char *space) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, space, PATH_MAX - 1);
    if (length < 0) return NULL;
    space[length] = 0;
    return below(space);
}

static const char *name_of_path(int folder, const char *path, char *space) {
    if (path[0] == '/') return below(path);
    char link[64];
    if (folder == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
    else snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, space, PATH_MAX - 1);
    if (length < 0 || length + strlen(path) + 2 > PATH_MAX) return NULL;
    space[length] = '/';
    strcpy(space + length + 1, path);
    return below(space);
}

/* What a change must do: 0 happen, < 0 happen in part, > 0 fail with this error. */
static int decide(char what, const char *name, int creates, size_t size) {
    int64_t number = __atomic_fetch_add(&control->count, 1, __ATOMIC_SEQ_CST);
    if (number < POINTS) {
        struct point *point = &control->points[number];
        strncpy(point->name, name, NAME - 1);
        point->what = what == 'w' && size < 2 ? 'b' : what; /* a byte is written whole or not at all */
    }
    if (control->full && (what == 'w' || what == 'm' || what == 'l' || creates)) return ENOSPC;
    if (number != control->at) return 0;
    switch (control->kind) {
    case KILL:
        kill(getpid(), SIGKILL);
        pause();
        return 0;
    case TORN:
    case SHORT: return what == 'w' && size > 1 ? -1 : 0;
    case NO_SPACE:
        if (strchr("utd", what) || (what == 'o' && !creates)) return 0;
        control->full = 1;
        return ENOSPC;
    case IO_ERROR: return EIO;
    case NO_ACCESS: return what == 'w' || what == 's' ? 0 : EACCES;
    default: return 0;
    }
}

static void die_if_torn(void) {
    if (control->kind == TORN) {
        kill(getpid(), SIGKILL);
        pause();
    }
}

static int saved_path_decision(char what, int folder, const char *path, int creates) {
    char space[PATH_MAX];
    const char *name;
    if (!control || !control->folder[0] || !path || !(name = name_of_path(folder, path, space))) return 0;
    int saved = errno, decision = decide(what, name, creates, 0);
    errno = decision > 0 ? decision : saved;
    return decision > 0;
}

/* How many bytes of a write happen: all, some, or -1 with errno. */
static ssize_t allowed(char what, int descriptor, size_t size) {
    char space[PATH_MAX];
    const char *name;
    if (!control || !control->folder[0] || descriptor < 3 || !(name = name_of_descriptor(descriptor, space)))
        return (ssize_t)size;
    int saved = errno, decision = decide(what, name, 0, size);
    errno = decision > 0 ? decision : saved;
    return decision > 0 ? -1 : decision < 0 ? (ssize_t)(size / 2) : (ssize_t)size;
}

static int refuses_open(int folder, const char *path, int flags) {
    if ((flags & O_ACCMODE) == O_RDONLY && !(flags & (O_CREAT | O_TRUNC))) return 0;
    int creates = (flags & O_CREAT) && (folder != AT_FDCWD || syscall(SYS_faccessat, AT_FDCWD, path, F_OK) != 0);
    if ((flags & O_TMPFILE) == O_TMPFILE) creates = 1;
    int error = errno;
    errno = error;
    return saved_path_decision('o', folder, path, creates);
}

#define MODE \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

int open(const char *path, int flags, ...) {
    REAL(open);
    MODE
    return refuses_open(AT_FDCWD, path, flags) ? -1 : real(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    REAL(open64);
    MODE
    return refuses_open(AT_FDCWD, path, flags) ? -1 : real(path, flags, mode);
}
int openat(int folder, const char *path, int flags, ...) {
    REAL(openat);
    MODE
    return refuses_open(folder, path, flags) ? -1 : real(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...) {
    REAL(openat64);
    MODE
    return refuses_open(folder, path, flags) ? -1 : real(folder, path, flags, mode);
}
int creat(const char *path, mode_t mode) {
    REAL(creat);
    return refuses_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC) ? -1 : real(path, mode);
}
static int flags_of(const char *mode) {
    if (mode[0] == 'r') return strchr(mode, '+') ? O_RDWR : O_RDONLY;
    return O_WRONLY | O_CREAT | (mode[0] == 'w' ? O_TRUNC : O_APPEND);
}
FILE *fopen(const char *path, const char *mode) {
    REAL(fopen);
    return refuses_open(AT_FDCWD, path, flags_of(mode)) ? NULL : real(path, mode);
}
FILE *fopen64(const char *path, const char *mode) {
    REAL(fopen64);
    return refuses_open(AT_FDCWD, path, flags_of(mode)) ? NULL : real(path, mode);
}

#define WRITING(size, call, shorter) \
    ssize_t most = allowed('w', descriptor, size); \
    if (most < 0) return -1; \
    if ((size_t)most == (size_t)(size)) return call; \
    ssize_t done = shorter; \
    die_if_torn(); \
    return done

ssize_t write(int descriptor, const void *bytes, size_t size) {
    REAL(write);
    WRITING(size, real(descriptor, bytes, size), real(descriptor, bytes, most));
}
ssize_t pwrite(int descriptor, const void *bytes, size_t size, off_t at) {
    REAL(pwrite);
    WRITING(size, real(descriptor, bytes, size, at), real(descriptor, bytes, most, at));
}
ssize_t pwrite64(int descriptor, const void *bytes, size_t size, off64_t at) {
    REAL(pwrite64);
    WRITING(size, real(descriptor, bytes, size, at), real(descriptor, bytes, most, at));
}
ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    REAL(writev);
    size_t size = 0;
    for (int part = 0; part < count; part++) size += parts[part].iov_len;
    size_t first = count ? parts[0].iov_len : 0;
    WRITING(size, real(descriptor, parts, count), syscall(SYS_write, descriptor, parts[0].iov_base, first < (size_t)most ? first : (size_t)most));
}
ssize_t sendfile(int descriptor, int source, off_t *offset, size_t size) {
    REAL(sendfile);
    WRITING(size, real(descriptor, source, offset, size), real(descriptor, source, offset, 1));
}
ssize_t sendfile64(int descriptor, int source, off64_t *offset, size_t size) {
    REAL(sendfile64);
    WRITING(size, real(descriptor, source, offset, size), real(descriptor, source, offset, 1));
}
ssize_t copy_file_range(int source, off64_t *from, int descriptor, off64_t *to, size_t size, unsigned flags) {
    REAL(copy_file_range);
    WRITING(size, real(source, from, descriptor, to, size, flags), real(source, from, descriptor, to, 1, flags));
}
/* The library's own buffer: its writes are out of reach, so the call counts as the write. */
size_t fwrite(const void *bytes, size_t size, size_t count, FILE *stream) {
    REAL(fwrite);
    ssize_t most = allowed('w', fileno(stream), size * count);
    if (most < 0) return 0;
    if ((size_t)most == size * count) return real(bytes, size, count, stream);
    size_t done = real(bytes, 1, most, stream) / (size ? size : 1);
    if (control->kind == TORN) fflush(stream);
    die_if_torn();
    return done;
}

int fsync(int descriptor) {
    REAL(fsync);
    return allowed('s', descriptor, 0) < 0 ? -1 : real(descriptor);
}
int fdatasync(int descriptor) {
    REAL(fdatasync);
    return allowed('s', descriptor, 0) < 0 ? -1 : real(descriptor);
}
int ftruncate(int descriptor, off_t size) {
    REAL(ftruncate);
    return allowed('t', descriptor, 0) < 0 ? -1 : real(descriptor, size);
}
int ftruncate64(int descriptor, off64_t size) {
    REAL(ftruncate64);
    return allowed('t', descriptor, 0) < 0 ? -1 : real(descriptor, size);
}
int truncate(const char *path, off_t size) {
    REAL(truncate);
    return saved_path_decision('t', AT_FDCWD, path, 0) ? -1 : real(path, size);
}
int rename(const char *from, const char *to) {
    REAL(rename);
    return saved_path_decision('r', AT_FDCWD, to, 0) ? -1 : real(from, to);
}
int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    REAL(renameat);
    return saved_path_decision('r', to_folder, to, 0) ? -1 : real(from_folder, from, to_folder, to);
}
int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    REAL(renameat2);
    return saved_path_decision('r', to_folder, to, 0) ? -1 : real(from_folder, from, to_folder, to, flags);
}
int link(const char *from, const char *to) {
    REAL(link);
    return saved_path_decision('l', AT_FDCWD, to, 1) ? -1 : real(from, to);
}
int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    REAL(linkat);
    return saved_path_decision('l', to_folder, to, 1) ? -1 : real(from_folder, from, to_folder, to, flags);
}
int symlink(const char *from, const char *to) {
    REAL(symlink);
    return saved_path_decision('l', AT_FDCWD, to, 1) ? -1 : real(from, to);
}
int unlink(const char *path) {
    REAL(unlink);
    return saved_path_decision('u', AT_FDCWD, path, 0) ? -1 : real(path);
}
int unlinkat(int folder, const char *path, int flags) {
    REAL(unlinkat);
    return saved_path_decision(flags & AT_REMOVEDIR ? 'd' : 'u', folder, path, 0) ? -1 : real(folder, path, flags);
}
int remove(const char *path) {
    REAL(remove);
    return saved_path_decision('u', AT_FDCWD, path, 0) ? -1 : real(path);
}
int rmdir(const char *path) {
    REAL(rmdir);
    return saved_path_decision('d', AT_FDCWD, path, 0) ? -1 : real(path);
}
int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    struct stat facts;
    if (stat(path, &facts) == 0) return real(path, mode); /* it is there: nothing changes */
    return saved_path_decision('m', AT_FDCWD, path, 1) ? -1 : real(path, mode);
}
int mkdirat(int folder, const char *path, mode_t mode) {
    REAL(mkdirat);
    return saved_path_decision('m', folder, path, 1) ? -1 : real(folder, path, mode);
}
