#include "doctor_judge.h"

#include "endpoint.h"

/* sizeof(struct msg_msg) and sizeof(struct posix_msg_tree_node), one of each for every message slot. */
#define QUEUE_SLOT_OVERHEAD (48 + 48)

uint64_t judge_queue_bytes(uint64_t messages, uint64_t message_bytes)
{
    return messages * (message_bytes + QUEUE_SLOT_OVERHEAD);
}

enum finding_level judge_room(uint64_t used, uint64_t limit, uint64_t need)
{
    uint64_t room = used < limit ? limit - used : 0;

    if (room < need)
        return FINDING_FAIL;
    return room < 4 * need || room < limit / 5 ? FINDING_WARN : FINDING_OK;
}

enum finding_level judge_shm(uint64_t free_bytes)
{
    return free_bytes < JUDGE_SMALL_POOL     ? FINDING_FAIL
           : free_bytes < JUDGE_DEFAULT_POOL ? FINDING_WARN
                                             : FINDING_OK;
}

static bool is_held(const struct object_view *object)
{
    return object->there && (object->hold == HOLD_PROCESS || object->hold == HOLD_ELSEWHERE);
}

static bool is_strange(const struct object_view *object)
{
    return object->there && object->known && !object->regular;
}

static bool is_unknown(const struct object_view *object)
{
    return object->there && object->hold == HOLD_UNKNOWN;
}

enum name_state judge_names(const struct object_view *pool, const struct object_view *queue)
{
    if (!pool->there && !queue->there)
        return NAME_ABSENT;
    if (is_held(pool) || is_held(queue))
        return NAME_ALIVE;
    if (is_strange(pool) || is_strange(queue))
        return NAME_STRANGE;
    if (is_unknown(pool) || is_unknown(queue))
        return NAME_UNKNOWN;
    /* As endpoint_sweep() has it: the pool is created first, so its age counts if there is one. */
    const struct object_view *first = pool->there ? pool : queue;
    return first->age_s >= ENDPOINT_SWEEP_AGE_S ? NAME_STALE : NAME_YOUNG;
}

bool judge_remove_ipc(bool logind_runs, bool remove_ipc, uint64_t sys_uid_max, uid_t uid, bool lingers)
{
    return logind_runs && remove_ipc && uid > sys_uid_max && !lingers;
}
