/* doctor_judge.h: what numbers and names mean. Pure functions. */
#ifndef LARDER_DOCTOR_JUDGE_H
#define LARDER_DOCTOR_JUDGE_H

#include "doctor_report.h"

#include <stdint.h>
#include <sys/types.h>

/* What one queue counts against RLIMIT_MSGQUEUE on 64 bits (getrlimit(2)). */
uint64_t judge_queue_bytes(uint64_t messages, uint64_t message_bytes);

/* A limit of which `used` is gone, where the next user needs `need`: FAIL when there is no room for it, WARN
 * when there is room for fewer than four or four fifths are used. */
enum finding_level judge_room(uint64_t used, uint64_t limit, uint64_t need);

/* /dev/shm: FAIL when not even cache_ctl's pool fits, WARN when a proxy's default pool does not. */
#define JUDGE_SMALL_POOL   ((uint64_t)80 << 10)
#define JUDGE_DEFAULT_POOL ((uint64_t)2250 << 10) /* 32 segments of 68K, and the rings of one shard */
#define JUDGE_DOCKER_SHM   ((uint64_t)64 << 20)
enum finding_level judge_shm(uint64_t free_bytes);

/* Who holds the lock on an object. */
enum hold {
    HOLD_UNKNOWN,   /* it may not be asked for */
    HOLD_NONE,      /* nobody: its owner is dead, or has not got so far */
    HOLD_PROCESS,   /* a process that has a pid here */
    HOLD_ELSEWHERE, /* a process of a pid namespace that cannot be seen from here, or an open file
                       description */
};

struct object_view {
    bool there;
    bool regular; /* not a fifo, a directory or a link */
    bool known;   /* owner, mode and age are */
    enum hold hold;
    pid_t holder;
    pid_t creator; /* pool: the pid in its header, for people; 0 if it cannot be read */
    uid_t uid;
    mode_t mode;
    int64_t age_s; /* since its creation; a queue's since its last message */
    uint64_t bytes;
};

/* What becomes of the names of one peer, or of a command queue (then the pool is not there). */
enum name_state {
    NAME_ABSENT,
    NAME_ALIVE,
    NAME_YOUNG,   /* nobody holds it, but its owner may be about to */
    NAME_STALE,   /* its owner is dead */
    NAME_UNKNOWN, /* nobody who may ask can be found here */
    NAME_STRANGE, /* not a thing that Larder makes */
};
enum name_state judge_names(const struct object_view *pool, const struct object_view *queue);

/* logind removes the objects of users whose last session ends: of those above SYS_UID_MAX, unless they
 * linger (logind.conf(5), RemoveIPC=). */
bool judge_remove_ipc(bool logind_runs, bool remove_ipc, uint64_t sys_uid_max, uid_t uid, bool lingers);

#endif
