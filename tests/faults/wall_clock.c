/* A wall clock that is stepped while processes run, as an administrator or NTP would step it. This
   library is preloaded into every process of a campaign. The processes share a file of three
   numbers (ns): the real time of the step, and the offsets before and after it. The monotonic clock
   does not change, as in the kernel. Kernel timestamps of received data follow the stepped clock:
   each gets the offset that was valid when the kernel made it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL

static volatile int64_t *steps;

__attribute__((constructor)) static void find_steps(void) {
    const char *path = getenv("PYTHON_WALL_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *map = mmap(NULL, 24, PROT_READ, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED) steps = map;
    close(fd);
}

static int64_t stepped(int64_t real) {
    return steps ? real + (real < steps[0] ? steps[1] : steps[2]) : real;
}

static int64_t now(clockid_t clock) {
    struct timespec real;
    syscall(SYS_clock_gettime, clock, &real);
    return stepped(real.tv_sec * SECOND + real.tv_nsec);
}

int clock_gettime(clockid_t clock, struct timespec *out) {
    if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)
        return (int)syscall(SYS_clock_gettime, clock, out);
    int64_t at = now(clock);
    out->tv_sec = at / SECOND;
    out->tv_nsec = at % SECOND;
    return 0;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone) {
    (void)zone;
    int64_t at = now(CLOCK_REALTIME);
    out->tv_sec = at / SECOND;
    out->tv_usec = at % SECOND / 1000;
    return 0;
}

time_t time(time_t *out) {
    time_t at = now(CLOCK_REALTIME) / SECOND;
    if (out) *out = at;
    return at;
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
    static ssize_t (*real)(int, struct msghdr *, int);
    if (!real) real = (ssize_t (*)(int, struct msghdr *, int))dlsym(RTLD_NEXT, "recvmsg");
    ssize_t got = real(fd, message, flags);
    if (got < 0) return got;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS) continue;
        struct timespec stamp;
        memcpy(&stamp, CMSG_DATA(c), sizeof stamp);
        int64_t at = stepped(stamp.tv_sec * SECOND + stamp.tv_nsec);
        stamp.tv_sec = at / SECOND;
        stamp.tv_nsec = at % SECOND;
        memcpy(CMSG_DATA(c), &stamp, sizeof stamp);
    }
    return got;
}
