/* A disk without locks: below /net/, flock fails with error FLOCK_ERR, and fcntl with FCNTL_ERR.
   cc -shared -fPIC -o no_locks.so no_locks.c -ldl; LD_PRELOAD=no_locks.so FLOCK_ERR=38 ... */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int refuses(int file, const char *variable) {
    const char *number = getenv(variable);
    char link[32], path[4096] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    if (!number || readlink(link, path, sizeof path - 1) < 0 || !strstr(path, "/net/")) return 0;
    errno = atoi(number);
    return 1;
}

int flock(int file, int operation) {
    int (*next)(int, int) = dlsym(RTLD_NEXT, "flock");
    return refuses(file, "FLOCK_ERR") ? -1 : next(file, operation);
}

int fcntl64(int file, int command, ...) {
    int (*next)(int, int, void *) = dlsym(RTLD_NEXT, "fcntl64");
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    int locks = command == F_SETLK || command == F_SETLKW || command == F_GETLK;
    return locks && refuses(file, "FCNTL_ERR") ? -1 : next(file, command, argument);
}

int fcntl(int file, int command, ...) __attribute__((alias("fcntl64")));
