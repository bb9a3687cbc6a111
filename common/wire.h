/* wire.h: everything that two processes say to each other, byte for byte. docs/protocol.md tells the story.
 *
 * Version rule: WIRE_VERSION goes up with every change of a struct or of its meaning in this header. The
 * first 24 bytes of a message (struct wire_header) never change, so that every version can refuse every other
 * by name. A type that is added leaves it as it is: who does not know a type refuses it by name as well. All
 * integers are in host order (the bytes never leave the machine); reserved fields are sent as 0 and not read.
 *
 * Trust: the receiver copies a message or ring entry into private memory, decodes it once with the functions
 * here, and works with the copy. */
#ifndef LARDER_WIRE_H
#define LARDER_WIRE_H

#include "names.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_MAGIC 0x5244524cu /* "LRDR" */
#ifndef WIRE_VERSION           /* tests build programs of another version */
#define WIRE_VERSION 7
#endif
#define WIRE_MAX_BYTES  512
#define WIRE_MAX_SHARDS NAMES_SHARDS_MAX
#define WIRE_SHARD_KEY  16u /* bytes */

/* ---- control messages: one message queue slot each ---- */

/* X(name, value, struct) ; to the cache below 64, to a peer from 64 on */
#define WIRE_MESSAGES(X)                                                                                     \
    X(HELLO, 1, wire_hello)                                                                                  \
    X(BYE, 2, wire_bye)                                                                                      \
    X(BELL, 3, wire_bell)                                                                                    \
    X(PING, 4, wire_ping)                                                                                    \
    X(STATS, 5, wire_stats)                                                                                  \
    X(RELOAD, 6, wire_reload)                                                                                \
    X(PURGE, 7, wire_purge)                                                                                  \
    X(TOP, 8, wire_top)                                                                                      \
    X(SHOW, 9, wire_show)                                                                                    \
    X(DRAIN, 10, wire_drain)                                                                                 \
    X(WELCOME, 64, wire_welcome)                                                                             \
    X(REFUSED, 65, wire_refused)                                                                             \
    X(CACHE_BELL, 66, wire_cache_bell)                                                                       \
    X(PONG, 67, wire_pong)                                                                                   \
    X(STATS_ROWS, 68, wire_stats_rows)                                                                       \
    X(RELOADED, 69, wire_reloaded)                                                                           \
    X(PURGED, 70, wire_purged)                                                                               \
    X(TOP_ROWS, 71, wire_top_rows)                                                                           \
    X(SHOWN, 72, wire_shown)                                                                                 \
    X(DRAINED, 73, wire_drained)                                                                             \
    X(CACHE_DRAIN, 74, wire_cache_drain)

enum wire_type {
#define WIRE_ENUM(name, value, type) WIRE_##name = value,
    WIRE_MESSAGES(WIRE_ENUM)
#undef WIRE_ENUM
};

struct wire_header {
    uint32_t magic;
    uint16_t version;
    uint16_t type;
    uint32_t length; /* of the whole message */
    uint32_t reserved;
    uint64_t token; /* names the peer's reply queue and pool; see names.h */
};

enum { WIRE_DRAIN_ON = 1 }; /* no new clients, until told otherwise */

enum wire_role { WIRE_ROLE_PROXY = 0, WIRE_ROLE_ADMIN = 1 };

/* Register me: my queue and pool are called by my token. The pool's header repeats the secret, which proves
 * that the sender may read the pool. */
struct wire_hello {
    struct wire_header header;
    uint64_t secret;
    uint32_t role;
    uint32_t segments;
    uint32_t segment_bytes;
    uint32_t ring_entries;
    uint32_t flags;                    /* WIRE_DRAIN_ON: told so by an earlier cache */
    uint32_t ring_pairs;               /* 0: one; of a proxy, one for each shard */
    char tenant[NAMES_TENANT_MAX + 1]; /* zero-terminated */
};

/* I go; forget me. */
struct wire_bye {
    struct wire_header header;
    uint64_t registration;
    uint64_t secret;
};

/* There is something in my request ring. */
struct wire_bell {
    struct wire_header header;
    uint64_t registration;
};

/* Are you there? Needs no registration. */
struct wire_ping {
    struct wire_header header;
    uint64_t cookie;
};

/* Fill `segment` of my pool with statistics rows from row `cursor` on (struct wire_row). For WIRE_ROLE_ADMIN.
 */
struct wire_stats {
    struct wire_header header;
    uint64_t registration;
    uint64_t secret;
    uint32_t segment;
    uint32_t cursor;
};

/* Read the configuration file again, and put what is wrong with it as text into `segment` of my pool. For
 * WIRE_ROLE_ADMIN. */
struct wire_reload {
    struct wire_header header;
    uint64_t registration;
    uint64_t secret;
    uint32_t segment;
    uint32_t reserved;
};

/* Purge what `tenant` has stored; `length` bytes in `segment` of my pool say what. For WIRE_ROLE_ADMIN. */
struct wire_purge {
    struct wire_header header;
    uint64_t registration;
    uint64_t secret;
    uint32_t segment;
    uint32_t length;
    uint32_t flags; /* one WIRE_PURGE_... of a scope, and perhaps WIRE_PURGE_SOFT */
    uint32_t reserved;
    char tenant[NAMES_TENANT_MAX + 1]; /* zero-terminated */
};

/* Fill `segment` of my pool with the most used keys and tags (struct wire_top_row) of whole tenants, from
 * place `cursor` on; of all tenants, or of the one that is named. For WIRE_ROLE_ADMIN. */
struct wire_top {
    struct wire_header header;
    uint64_t registration;
    uint64_t secret;
    uint32_t segment;
    uint32_t cursor;
    uint32_t most; /* of each kind and tenant */
    uint32_t reserved;
    char tenant[NAMES_TENANT_MAX + 1]; /* zero-terminated; empty: all */
};

/* What is stored under the key that stands in `segment`, `length` bytes of it? The metadata takes its place.
 * For WIRE_ROLE_ADMIN. */
struct wire_show {
    struct wire_header header;
    uint64_t registration;
    uint64_t secret;
    uint32_t segment;
    uint32_t length;
    char tenant[NAMES_TENANT_MAX + 1]; /* zero-terminated */
};

/* Tell a proxy to take no new clients, or to take them again. For WIRE_ROLE_ADMIN. */
struct wire_drain {
    struct wire_header header;
    uint64_t registration;
    uint64_t secret;
    uint64_t proxy; /* its registration; 0: all those of process `pid` */
    uint32_t pid;
    uint32_t flags; /* WIRE_DRAIN_ON */
};

/* Registered. Every ring entry and message from now on carries `registration`. */
struct wire_welcome {
    struct wire_header header;
    uint64_t epoch;        /* of this run of the cache */
    uint64_t registration; /* low half of the epoch in the upper 32 bits, generation in the lower */
    uint64_t max_object;   /* bytes */
    uint32_t max_handles;  /* pinned objects at a time */
    uint32_t max_fills;    /* leases at a time */
    uint32_t heartbeat_ms; /* beat at least this often (segment_pool.h), or count as stalled */
    uint32_t max_follows;  /* follow handles at a time */
    uint32_t shard;        /* who sends this, */
    uint32_t shards;       /*   of so many: 1 .. WIRE_MAX_SHARDS */
    uint8_t shard_key[WIRE_SHARD_KEY]; /* the same for all proxies and shards: see shard_key.h */
};

/* The request `type` was refused; see enum wire_refusal. `version` in the header is the cache's. `echo` is
 * what the message proved itself with: the secret of HELLO, BYE and what administrators ask, the registration
 * of BELL, else 0. A peer believes a refusal only if it echoes its own, because anybody can send a message
 * that names its token. */
struct wire_refused {
    struct wire_header header;
    uint32_t type;
    uint32_t reason;
    uint64_t echo;
    uint32_t shards; /* that the cache has; a proxy's pool needs as many pairs of rings */
    uint32_t reserved;
};

/* There is something in your completion ring. */
struct wire_cache_bell {
    struct wire_header header;
};

struct wire_pong {
    struct wire_header header;
    uint64_t cookie;
    uint64_t epoch;
    uint64_t uptime_ms;
    uint32_t pid;
    uint32_t shards;
};

struct wire_stats_rows {
    struct wire_header header;
    uint32_t segment;
    uint32_t rows;        /* in the segment */
    uint32_t next_cursor; /* 0: that was all */
    uint32_t reserved;
};

/* What the file says is in force, if there were no problems; else everything is as it was. */
struct wire_reloaded {
    struct wire_header header;
    uint32_t segment;
    uint32_t problems;
    uint32_t length; /* of the text in the segment: a line a problem, as many as fit */
    uint32_t reserved;
};

/* It has taken effect: nobody finds any more what it hits. */
struct wire_purged {
    struct wire_header header;
    uint64_t objects; /* that have been removed or made stale, */
    uint64_t leases;  /*   and cancelled, by now */
    uint32_t flags;   /* WIRE_GOES_ON */
    uint32_t reserved;
};

struct wire_top_rows {
    struct wire_header header;
    uint32_t segment;
    uint32_t rows;        /* in the segment */
    uint32_t next_cursor; /* 0: that was all */
    uint32_t reserved;
};

enum {
    WIRE_SHOWN_STORED = 1,
    WIRE_SHOWN_LAPSED = 2, /* stale by a soft purge */
    WIRE_SHOWN_LEASED = 4, /* somebody has its lease, */
    WIRE_SHOWN_FILLING = 8 /*   and is filling it */
};
struct wire_shown {
    struct wire_header header;
    uint32_t flags;       /* WIRE_SHOWN_...; the next ones are 0 unless it is STORED */
    uint32_t segment;     /* holds the metadata, */
    uint32_t meta_length; /*   so much as fits */
    uint32_t meta_whole;
    uint64_t size;
    uint64_t charge; /* all that it takes of the tenant's memory */
    int64_t fresh_until;
    int64_t keep_until;
    char policy[12]; /* of eviction, and where the object is by it; zero-terminated */
    char queue[12];
    uint32_t uses; /* that the policy remembers */
    uint32_t pins;
    uint32_t tags;
    uint32_t reserved;
    uint32_t holder; /* pid; this and the next ones are 0 unless it is LEASED */
    uint32_t followers;
    uint64_t filled;  /* body bytes */
    int64_t quiet_ms; /* since its last progress */
    int64_t now;      /* the cache's wall clock */
};

/* So many proxies were told, or will be as soon as they read what they were told before. */
struct wire_drained {
    struct wire_header header;
    uint32_t proxies;
    uint32_t reserved;
};

/* To a proxy: take no new clients, or take them again. `secret` is that of its HELLO. */
struct wire_cache_drain {
    struct wire_header header;
    uint64_t secret;
    uint32_t flags; /* WIRE_DRAIN_ON */
    uint32_t reserved;
};

/* X(name, text for a person) */
#define WIRE_REFUSALS(X)                                                                                     \
    X(NONE, "no reason given")                                                                               \
    X(VERSION, "the cache speaks another protocol version; run programs of one release")                     \
    X(TYPE, "the cache does not know this message; run programs of one release")                             \
    X(MALFORMED, "the message is malformed")                                                                 \
    X(QUEUE, "the reply queue is missing, not private (mode 0600) or not owned by an allowed user")          \
    X(UNLOCKED, "nobody holds the lock on the reply queue")                                                  \
    X(POOL,                                                                                                  \
      "the segment pool is missing, not private (mode 0600), of the wrong size or not fully allocated")      \
    X(SECRET, "the secret in the message is not the one in the pool")                                        \
    X(USER, "this user may not use this cache")                                                              \
    X(TENANT, "the tenant's name is not valid, or there are too many tenants")                               \
    X(FULL, "the cache has as many registrations as it allows, in all, from one process or for this tenant") \
    X(DUPLICATE, "this reply queue is registered already")                                                   \
    X(STALE, "the registration is unknown; register again")                                                  \
    X(ROLE, "this registration may not ask for that")                                                        \
    X(RESOURCES, "the cache is out of memory or descriptors")                                                \
    X(NO_TENANT, "the cache knows no tenant of that name")                                                   \
    X(BUSY, "too many purges of this tenant are under way; try again")                                       \
    X(NO_PROXY, "the cache knows no such proxy; see `cache_ctl proxies`")                                    \
    X(SHARDS, "the pool has not as many pairs of rings as the cache has shards")                             \
    X(BARRED, "a pool of this tenant made the cache wait; it takes no new registrations for a while")

enum wire_refusal {
#define WIRE_ENUM(name, text) WIRE_REFUSAL_##name,
    WIRE_REFUSALS(WIRE_ENUM)
#undef WIRE_ENUM
        WIRE_REFUSAL_COUNT
};
const char *wire_refusal_text(uint32_t reason);
const char *wire_type_name(uint32_t type);

union wire_message {
    struct wire_header header;
#define WIRE_MEMBER(name, value, type) struct type type;
    WIRE_MESSAGES(WIRE_MEMBER)
#undef WIRE_MEMBER
    unsigned char bytes[WIRE_MAX_BYTES];
};

enum wire_decoded {
    WIRE_DECODED,
    WIRE_GARBAGE,     /* no header of ours: nobody to answer */
    WIRE_BAD_VERSION, /* header.token says whom to refuse */
    WIRE_BAD_TYPE,
    WIRE_MALFORMED, /* wrong length for its type, or a text that is not terminated */
};
/* Checks a received message of `length` bytes in place. On WIRE_DECODED the member named by header.type is
 * whole. */
enum wire_decoded wire_decode(union wire_message *message, size_t length);

/* Zeroes the message and fills its header. Returns the length to send. */
size_t wire_prepare(union wire_message *message, enum wire_type type, uint64_t token);

/* ---- ring entries: 64 bytes each ---- */

enum wire_op {
    WIRE_OP_LOOKUP = 1,
    WIRE_OP_READ,
    WIRE_OP_RELEASE, /* no completion */
    WIRE_OP_FILL_BEGIN,
    WIRE_OP_FILL_DATA,
    WIRE_OP_FILL_END,
    WIRE_OP_FILL_ABORT, /* no completion */
    WIRE_OP_UPDATE,
    WIRE_OP_REMOVE,
    WIRE_OP_FOLLOW,   /* the completion comes when there is news */
    WIRE_OP_UNFOLLOW, /* no completion */
    WIRE_OP_PURGE,
    WIRE_OP_END
};
/* "lookup", "fill_begin", ...; "unknown" */
const char *wire_op_name(uint32_t op);

enum wire_status {
    WIRE_STATUS_OK,
    WIRE_STATUS_HIT,
    WIRE_STATUS_STALE,
    WIRE_STATUS_MISS,
    WIRE_STATUS_BUSY,
    WIRE_STATUS_TOO_LARGE,
    WIRE_STATUS_NO_MEMORY,
    WIRE_STATUS_FENCED,
    WIRE_STATUS_BAD,
    WIRE_STATUS_END
};

#define WIRE_NO_SEGMENT UINT32_MAX
/* Behind it in a key stands what makes its object a part of that of the key in front of it, which is purged
 * with it. */
#define WIRE_KEY_PART   '\n'
#define WIRE_MAX_KEY    16384u
#define WIRE_MAX_META   65535u
/* Tags travel as texts of 1 to WIRE_MAX_TAG bytes, each ended by a zero byte. */
#define WIRE_MAX_TAGS   64u
#define WIRE_MAX_TAG    256u
#define WIRE_TAGS_BYTES (WIRE_MAX_TAGS * (WIRE_MAX_TAG + 1))

/* Flags of requests. */
enum {
    WIRE_LOOKUP_LEASE = 1,
    WIRE_LOOKUP_NO_BODY = 2,
    WIRE_LOOKUP_REVALIDATE = 4,
    WIRE_LOOKUP_FOLLOW = 8, /* where the lease is somebody's: a follow handle */
    WIRE_LOOKUP_KEEP = 16,  /* on HIT: what is in the segment may be used again without asking */
};
enum { WIRE_READ_META = 1 }; /* metadata in front of the body bytes, as in the answer to a LOOKUP */
enum {
    WIRE_ABORT_DISCARD = 1, /* nobody can go on with what was filled */
    WIRE_ABORT_KEEP = 2,    /* if nobody who follows can: it is stored as far as it came */
};

enum { WIRE_UNFOLLOW_MOVED = 1 }; /* `segment` went to another shard: what was kept in it is given up */
enum { WIRE_FILL_LASTING = 1 };   /* soft purges spare it: it is not fresh or stale by itself */
enum {
    WIRE_PURGE_KEY = 0,    /* with its parts */
    WIRE_PURGE_PREFIX = 1, /* of the key; none is everything */
    WIRE_PURGE_TAGS = 2,
    WIRE_PURGE_SCOPE = 3, /* mask */
    WIRE_PURGE_SOFT = 4,  /* stale instead of gone */
};

/* `value` of a PURGE by prefix, so that no damaged entry empties a cache. */
#define WIRE_PURGE_SURE     UINT64_C(0x4c61726465722121)
#define WIRE_FOLLOW_NOTHING UINT64_MAX /* FOLLOW: not even the metadata is known */
#define WIRE_SIZE_UNKNOWN   UINT64_MAX

struct wire_request {
    uint8_t op;
    uint8_t flags;         /* LOOKUP, READ, FILL_BEGIN, FILL_ABORT, PURGE, UNFOLLOW */
    uint16_t tags_length;  /* FILL_BEGIN, UPDATE, PURGE: bytes of tags in the segment */
    uint32_t segment;      /* RELEASE, FILL_END, FILL_ABORT, FOLLOW, UNFOLLOW: WIRE_NO_SEGMENT */
    uint64_t registration; /* fences whatever comes from an earlier life */
    uint64_t cookie;       /* comes back with the completion */
    uint64_t handle;       /* READ, RELEASE, UPDATE: pinned object; FILL_*: lease; *FOLLOW: follow handle */
    uint64_t value; /* READ, FILL_DATA: offset; FILL_BEGIN, FILL_END: object size; UPDATE: lease; LOOKUP: 0,
                       or no lease if something has been purged since (milliseconds since the epoch); PURGE:
                       see WIRE_PURGE_SURE; FOLLOW: body bytes known; UNFOLLOW: how often it was given */
    uint16_t key_length;  /* segment: key (PURGE: or prefix), then tags, */
    uint16_t meta_length; /*   then metadata, */
    uint32_t length;      /*   then body bytes; READ: bytes wanted */
    int64_t fresh_until;  /* FILL_BEGIN, UPDATE: milliseconds since the epoch */
    int64_t keep_until;
};

/* Flags of completions. */
enum {
    WIRE_HAS_DATA = 1, /* the cache wrote into the segment and posted rsem */
    WIRE_FOLLOWS = 2,  /* `lease` is a follow handle */
    WIRE_PROMOTED = 4, /* FOLLOW: `lease` is that of a holder who has gone */
    WIRE_BROKEN = 8,   /* FOLLOW: what was followed will not be had from the cache, */
    WIRE_CHANGED = 16, /*         nor from the origin, which has something else by now */
    WIRE_LAPSED =
        128, /* LOOKUP, READ with metadata: a soft purge has hit it, and nothing made it fresh since */
    WIRE_GOES_ON = 32, /* PURGE: more objects are found later, by the cache; nobody else finds them */
    WIRE_KEPT = 64,    /* LOOKUP: may be used again while the segment's guard word stays (segment_pool.h) */
};

struct wire_completion {
    uint8_t op;
    uint8_t status;
    uint16_t meta_length;
    uint32_t segment;
    uint64_t registration;
    uint64_t cookie;
    uint64_t handle; /* 0: none */
    uint64_t lease;  /* 0: none */
    uint64_t
        object_size; /* WIRE_SIZE_UNKNOWN: it grows, and its size was not announced; PURGE: objects hit */
    union {
        int64_t fresh_until; /* LOOKUP, READ */
        uint64_t filled;     /* FOLLOW: body bytes that have arrived */
        uint64_t cancelled;  /* PURGE: leases */
    };
    uint32_t length; /* body bytes in the segment, behind the metadata */
    uint32_t flags;
};

/* ---- statistics rows ---- */

enum wire_row_kind { WIRE_ROW_CACHE = 1, WIRE_ROW_TENANT = 2, WIRE_ROW_PROXY = 3, WIRE_ROW_TIMES = 4 };
enum wire_row_state {
    WIRE_STATE_NONE,
    WIRE_STATE_ALIVE,
    WIRE_STATE_STALLED,
    WIRE_STATE_DRAINED = 16 /* flag: it was told to take no new clients */
};
#define WIRE_STATE_LIFE     15u /* mask of the others */

/* Requests whose time is taken, and look-ups whose key is noted: one of so many, at random. */
#define WIRE_SAMPLE         64u
/* Of values in a row of times: so many requests took at most WIRE_TIMES_FIRST_NS << bucket, and more than the
 * bucket before says; the last one has no limit. Behind them stands the sum of all in nanoseconds. */
#define WIRE_TIMES_BUCKETS  24u
#define WIRE_TIMES_FIRST_NS 250u

#define WIRE_ROW_VALUES     72
struct wire_row {
    uint32_t kind;
    uint32_t state; /* proxies; enum wire_op in rows of times */
    uint32_t pid;   /* of the proxy; of the cache in the cache's row */
    uint32_t uid;
    uint64_t epoch; /* cache: epoch; proxy: registration */
    uint64_t token; /* proxies: the same in the rows of all shards */
    uint64_t uptime_ms;
    char name[NAMES_TENANT_MAX + 1];  /* the tenant's; the instance's in the cache's row */
    uint64_t values[WIRE_ROW_VALUES]; /* by enum counter, then by enum gauge; see counters.h */
};

enum wire_top_kind { WIRE_TOP_KEY = 1, WIRE_TOP_TAG = 2 };
#define WIRE_TOP_TEXT 152u
#define WIRE_TOP_MOST 64u
/* Counts are those of sampled look-ups, halved each minute. */
struct wire_top_row {
    char tenant[NAMES_TENANT_MAX + 1];
    uint32_t kind;
    uint32_t text_length; /* in `text` */
    uint32_t length;      /* of the whole key or tag; 0: a tag whose text is not known */
    uint32_t reserved;
    uint64_t count; /* at most; */
    uint64_t error; /*   at least so much less */
    uint64_t total; /* of the tenant, all its keys */
    uint8_t text[WIRE_TOP_TEXT];
};

_Static_assert(sizeof(struct wire_header) == 24, "every version's header");
_Static_assert(sizeof(union wire_message) == WIRE_MAX_BYTES, "one queue slot");
_Static_assert(offsetof(struct wire_hello, tenant) == 56, "hello layout");
_Static_assert(offsetof(struct wire_purge, tenant) == 56, "purge layout");
_Static_assert(offsetof(struct wire_top, tenant) == 56, "top layout");
_Static_assert(offsetof(struct wire_show, tenant) == 48, "show layout");
_Static_assert(sizeof(struct wire_shown) == 144, "shown layout");
_Static_assert(sizeof(struct wire_top_row) == 256, "top row layout");
_Static_assert(WIRE_TIMES_BUCKETS < WIRE_ROW_VALUES, "a row has room for a histogram");
_Static_assert(WIRE_TAGS_BYTES <= UINT16_MAX, "their length fits");
_Static_assert(sizeof(struct wire_request) == 64, "one cache line");
_Static_assert(offsetof(struct wire_request, handle) == 24 &&
                   offsetof(struct wire_request, fresh_until) == 48,
               "request layout");
_Static_assert(sizeof(struct wire_completion) == 64, "one cache line");
_Static_assert(offsetof(struct wire_completion, handle) == 24 &&
                   offsetof(struct wire_completion, length) == 56,
               "completion layout");
_Static_assert(sizeof(struct wire_row) == 680, "row layout");

#endif
