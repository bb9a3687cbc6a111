#include "storm_spoil.h"

#include "names.h"
#include "storm_time.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define STRAY_TOKEN 0x5707a11ed0000001u

/* Until spoil_end(). */
static int held = -1;
static pid_t holder;

static int connect_to(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* From now on every generated body has other bytes. */
static void change_origin(const struct fleet *fleet)
{
    static const char request[] =
        "GET /_control/version?n=1 HTTP/1.1\r\nHost: o\r\nConnection: close\r\n\r\n";
    char answer[1024];
    int fd = connect_to(fleet->origin_port);

    if (fd < 0)
        return;
    if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) > 0)
        while (recv(fd, answer, sizeof(answer), 0) > 0)
            ;
    close(fd);
}

void spoil_storm(struct fleet *fleet)
{
    if (fleet->conf->spoil == SPOIL_BYTES)
        change_origin(fleet);
    if (fleet->conf->spoil == SPOIL_BREAK) {
        kill(fleet->proxies[0].process.pid, SIGSTOP);
        fleet_run(fleet, storm_now() + 100 * STORM_MS);
        kill(fleet->proxies[0].process.pid, SIGKILL);
    }
}

/* Locked by a process that lives, so that nobody may sweep it. */
static void add_name(const struct fleet *fleet)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char name[NAMES_BYTES];
    int fd;

    names_peer(name, fleet->conf->instance, STRAY_TOKEN);
    holder = fork();
    if (holder != 0)
        return;
    fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || fcntl(fd, F_SETLK, &lock) < 0)
        _exit(1);
    for (;;)
        pause();
}

struct search {
    const struct fleet *fleet;
    char name[NAMES_BYTES];
};

static void search_pool(void *context, uint64_t token)
{
    struct search *search = context;

    if (names_watch_holder(search->fleet->names, token) == search->fleet->proxies[0].process.pid)
        names_peer(search->name, search->fleet->conf->instance, token);
}

/* Wins the write semaphore of a free segment, as a peer would that then forgets it. */
static void take_segment(const char *name)
{
    int fd = shm_open(name, O_RDWR | O_CLOEXEC, 0);
    struct stat about;
    uint8_t *base = MAP_FAILED;
    size_t last;

    if (fd < 0)
        return;
    if (fstat(fd, &about) == 0)
        base = mmap(NULL, (size_t)about.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (base == MAP_FAILED)
        return;
    /* The last free segment: only its write semaphore, a 1 at the start of a cache line, is not 0 there. */
    for (last = (size_t)about.st_size / 64; last-- > 0;) {
        static const uint32_t header[16] = {1};

        if (memcmp(base + last * 64, header, sizeof(header)) == 0) {
            memset(base + last * 64, 0, 4);
            break;
        }
    }
    munmap(base, (size_t)about.st_size);
}

void spoil_rest(struct fleet *fleet)
{
    struct search search = {.fleet = fleet};

    names_watch_each(fleet->names, search_pool, &search);
    if (fleet->conf->spoil == SPOIL_NAME)
        add_name(fleet);
    else if (fleet->conf->spoil == SPOIL_VANISH)
        shm_unlink(search.name);
    else if (fleet->conf->spoil == SPOIL_SEGMENT)
        take_segment(search.name);
    else if (fleet->conf->spoil == SPOIL_DESCRIPTOR)
        held = connect_to(fleet->proxies[0].port);
}

void spoil_end(void)
{
    if (held >= 0)
        close(held);
    held = -1;
    if (holder > 0) {
        kill(holder, SIGKILL);
        waitpid(holder, NULL, 0);
        holder = 0;
    }
}
