/* played.h: a client library (larder.h) and an origin (origin.h) that the test plays itself: answers come
 * when and as the test wants, and what the code under test holds is accounted for. One cache_link, one loop
 * whose time stands still.
 *
 *     play_begin() ── code under test asks ──> asked[] ── answer(), deliver() ──> it is told ──> play_end()
 * Link with played.c. */
#ifndef LARDER_PLAYED_H
#define LARDER_PLAYED_H

#include "cache_link.h"
#include "origin.h"

#include "check_unit.h"

#define SEGMENTS            4 /* unless played_segments says otherwise before play_begin() */
#define SEGMENT_BYTES       4096u
#define PLAYED_OPS          64
#define PLAYED_SEGMENTS_MAX 20
#define PLAYED_FETCHES      8

/* ---- the cache ---- */

struct asked {
    enum larder_event_kind kind;
    struct larder_segment *segment;
    void *user;
    uint64_t handle, lease, offset, object_size, follow;
    uint32_t key_length, meta_length, length, flags;
};

extern uint32_t played_segments;
extern bool attached;
extern unsigned times_used;            /* segments that are kept */
extern uint32_t row_asked;             /* segments, of the last row that began */
extern uint64_t max_object;            /* that the cache says it takes */
extern int refuse_with;                /* what the next operations return */
extern struct asked asked[PLAYED_OPS]; /* under way, oldest first */
extern unsigned asked_count;

/* What was given back without an answer; the last of each, and how often a name was. */
extern uint64_t released, aborted, discarded, kept, unfollowed;
enum played_silent { PLAYED_RELEASE, PLAYED_ABORT, PLAYED_DISCARD, PLAYED_KEEP, PLAYED_UNFOLLOW };
unsigned times_given_back(enum played_silent how, uint64_t name);

/* Answers the operation at `number`, which leaves the queue; the event may be added to. */
struct larder_event *answer(unsigned number, enum larder_status status);
/* Hands over what was answered, and runs what follows from it. */
void deliver(void);
int segments_out(void);
/* What a segment shows is not stored any more. */
void make_stale(const struct larder_segment *segment);

/* ---- the origin ---- */

struct origin_fetch {
    const struct origin_calls *calls;
    void *owner;
    struct origin_head head;
    bool open;
    unsigned resumed;
    char target[256], fields[4096]; /* fields: "Name: value" lines of the request */
};

extern struct origin_fetch *fetch; /* the last one */
extern unsigned fetches_begun;
unsigned fetches_open(void);
/* exchange_sink.read_body of a request without a body. */
enum origin_body play_no_body(void *owner, char *to, size_t size, size_t *got, int *status);

/* ---- the test's side ---- */

extern struct proxy_loop loop;
extern struct cache_link cache;
extern struct deadline_list stalls; /* of one second */
extern struct cache_ops ops;

void play_begin(void (*stalled)(struct deadline *));
void play_end(void); /* nothing may be held any more */
void pass_time(int64_t ms);
/* Segments that are out, so that others must wait. */
void hold_segments(int count);
void put_segments_back(void);
void return_segments(void); /* the same, and who waits for them has a turn */

#endif
