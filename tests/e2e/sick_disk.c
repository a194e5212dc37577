/* Preloaded into a daemon: while the file that SICK_DISK names is there, no sync of a file succeeds. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int sick(void) {
    const char *path = getenv("SICK_DISK");
    struct stat found;
    return path && stat(path, &found) == 0;
}

static int refuse(void) {
    errno = EIO;
    return -1;
}

int fsync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return sick() ? refuse() : real(fd);
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    return sick() ? refuse() : real(fd);
}

/* A write through to the device: the data is in the page cache, and the sync fails. */
ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t at, int flags) {
    static ssize_t (*real)(int, const struct iovec *, int, off_t, int);
    if (!real) real = (ssize_t (*)(int, const struct iovec *, int, off_t, int))dlsym(RTLD_NEXT, "pwritev2");
    ssize_t written = real(fd, parts, count, at, sick() ? flags & ~RWF_DSYNC : flags);
    return sick() && (flags & RWF_DSYNC) ? refuse() : written;
}

ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off_t at, int flags) {
    return pwritev2(fd, parts, count, at, flags);
}
