/* Lets the clock of a process jump: by up to CLOCK_JUMP_S seconds forward or back, another way every 200 readings.
   Loaded with LD_PRELOAD. The monotonic clock stays as it is, as when somebody sets the time of a machine. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long jump(void) {
    static unsigned readings, seed;
    static long offset, most;
    if (!most) {
        const char *told = getenv("CLOCK_JUMP_S");
        most = told ? atol(told) : 1;
        seed = (unsigned)getpid();
    }
    if (readings++ % 200 == 0)
        offset = (long)(rand_r(&seed) % (2 * most)) - most;
    return offset;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    int failed = (int)syscall(SYS_clock_gettime, clock, at);
    if (!failed && clock == CLOCK_REALTIME)
        at->tv_sec += jump();
    return failed;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    int failed = (int)syscall(SYS_gettimeofday, at, zone);
    if (!failed && at)
        at->tv_sec += jump();
    return failed;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at)
        *at = now.tv_sec;
    return now.tv_sec;
}
