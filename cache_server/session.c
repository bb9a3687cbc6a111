#include "session.h"

#include "clock.h"
#include "identity.h"
#include "invariant.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* The reaper is busy with what this process has had us let go of. Then its queue is closed here and now, for
 * the time of messages, which is limited, or else the reaper would be given more than it can do. */
static bool owes_too_much(struct session *session)
{
    if (reaper_owes(session->reaper, session->pid) < REAPER_MOST)
        return false;
    close(session->reply);
    session->reply = (mqd_t)-1;
    return true;
}

static bool is_admitted(const struct session *session, const struct wire_hello *hello,
                        const struct session_gate *gate)
{
    return (session->owner.uid == geteuid() && !session->owner.shared) ||
           gate->admits(gate->context, hello, &session->owner);
}

static enum wire_refusal open_queue(struct session *session, const char *name, const struct wire_hello *hello,
                                    const struct session_gate *gate)
{
    int error = mq_open_existing(&session->reply, name, O_WRONLY);

    if (error) {
        session->reply = (mqd_t)-1;
        return error == -EMFILE || error == -ENFILE ? WIRE_REFUSAL_RESOURCES : WIRE_REFUSAL_QUEUE;
    }
    if (!identity_owner(session->reply, &session->owner))
        return WIRE_REFUSAL_QUEUE;
    if (!is_admitted(session, hello, gate))
        return session->owner.shared ? WIRE_REFUSAL_USER : WIRE_REFUSAL_QUEUE;
    switch (identity_holder(session->reply, &session->pid, &session->death.fd)) {
    case IDENTITY_ALIVE:
    case IDENTITY_UNSEEN:
        return owes_too_much(session) ? WIRE_REFUSAL_RESOURCES : WIRE_REFUSAL_NONE;
    case IDENTITY_UNLOCKED:
    case IDENTITY_NAMELESS: /* by nobody who could be charged for it */
        return WIRE_REFUSAL_UNLOCKED;
    case IDENTITY_FAILED:
        break;
    }
    return WIRE_REFUSAL_RESOURCES;
}

static enum wire_refusal attach_pool(struct session *session, const char *name,
                                     const struct wire_hello *hello)
{
    struct pool_shape shape = {.segments = hello->segments,
                               .segment_bytes = hello->segment_bytes,
                               .ring_entries = hello->ring_entries,
                               .ring_pairs = hello->ring_pairs};
    int fd, error = segment_pool_attach_owned(&session->pool, &fd, name, &shape, &session->owner,
                                              session->pid, hello->secret);

    if (!error && session->role == WIRE_ROLE_PROXY)
        session->pool_fd = fd;
    else if (fd >= 0)
        reaper_close(session->reaper, session->pid, fd);
    switch (error) {
    case 0:
        return WIRE_REFUSAL_NONE;
    case -EKEYREJECTED:
        return WIRE_REFUSAL_SECRET;
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM:
        return WIRE_REFUSAL_RESOURCES;
    default:
        return WIRE_REFUSAL_POOL;
    }
}

static bool create_tables(struct session *session)
{
    return handles_create(&session->pins, SESSION_MAX_HANDLES) &&
           handles_create(&session->leases, SESSION_MAX_FILLS) &&
           handles_create(&session->follows, SESSION_MAX_FOLLOWS);
}

static void destroy(struct session *session)
{
    /* The queue first: until it is closed it counts against the limits of the host. */
    if (session->reply != (mqd_t)-1) /* an mqd_t is a descriptor: mq_overview(7) */
        reaper_close(session->reaper, session->pid, session->reply);
    if (session->pool_fd >= 0)
        reaper_close(session->reaper, session->pid, session->pool_fd);
    if (session->pool.base)
        reaper_unmap(session->reaper, session->pid, session->pool.base, session->pool.bytes);
    if (session->death.fd >= 0)
        close(session->death.fd);
    handles_destroy(&session->pins);
    handles_destroy(&session->leases);
    handles_destroy(&session->follows);
    free(session);
}

enum wire_refusal session_attach(struct session **out, const char *instance, const struct wire_hello *hello,
                                 uint32_t shard, struct reaper *reaper, const struct session_gate *gate)
{
    struct session *session = calloc(1, sizeof(*session));
    enum wire_refusal refusal = WIRE_REFUSAL_RESOURCES;
    char name[NAMES_BYTES];

    *out = NULL;
    if (!session)
        return refusal;
    names_peer(name, instance, hello->header.token);
    session->reaper = reaper;
    session->death.fd = session->pool_fd = -1;
    session->reply = (mqd_t)-1;
    session->token = hello->header.token;
    session->secret = hello->secret;
    session->role = (enum wire_role)hello->role;
    session->drained = hello->flags & WIRE_DRAIN_ON;
    session->since_mono_ms = clock_mono_ms();
    if (create_tables(session))
        refusal = open_queue(session, name, hello, gate);
    if (refusal == WIRE_REFUSAL_NONE)
        refusal = attach_pool(session, name, hello);
    if (refusal == WIRE_REFUSAL_NONE && shard < hello->ring_pairs)
        segment_pool_choose_rings(&session->pool, shard);
    if (refusal == WIRE_REFUSAL_NONE)
        *out = session;
    else
        destroy(session);
    return refusal;
}

void session_detach(struct session **pointer)
{
    struct session *session = *pointer;

    *pointer = NULL;
    INVARIANT(session->leases.used == 0 && session->pins.used == 0 && session->follows.used == 0 &&
              !session->keeper);
    destroy(session);
}

bool session_is_held(const struct session *session)
{
    pid_t pid;
    enum identity_result result = identity_holder(session->reply, &pid, NULL);

    return result == IDENTITY_UNSEEN || (result == IDENTITY_ALIVE && pid == session->pid);
}
