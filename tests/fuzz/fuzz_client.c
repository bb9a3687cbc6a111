/* larder.h without a cache: what a cache may answer to an honest client, in an order that the input chooses.
 * It keeps the promises of larder.h, but knows one object and one variant only, whatever the key: any proxy
 * may have stored anything under it.
 *
 * A byte of script.cache for each operation: the lower three bits choose among the answers that it may get,
 * two more say how many turns the answer takes, and the upper three are for what is rare: see enum rarity.
 *
 * Into a segment that is kept, or whose pages a socket may have, nobody writes: it is sealed meanwhile.
 *
 * Who asks for a follow handle follows what we fill ourselves, and is told the truth about it; or another
 * proxy, of which the byte of each FOLLOW says how it gets on: see enum course. */
#include "fuzz_clock.h"
#include "fuzz_pool.h"
#include "fuzz_proxy.h"

#include "http_meta.h"
#include "larder.h"

#include <errno.h>
#include <limits.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SEGMENTS      FUZZ_SEGMENTS
#define SEGMENT_BYTES FUZZ_SEGMENT_BYTES
#define ANSWERS_MAX   64u
#define HANDLES_MAX   64u /* in one life; no name is given twice */
#define BODY_MAX      (256u * 1024)
#define LAPSES_AFTER  5u /* questions whether it is current */

/* KEPT: what is found may be kept; if the lower bits are 1, for a few questions. LAPSED: what has been kept
 * so far is not current any more. */
enum rarity { KEPT = 1, LAPSED = 2, NEVER_ANSWERED = 5, NO_ROOM = 6, CACHE_LOST = 7 };
enum course { GETS_ON, GETS_ON_FAST, COMPLETES, GIVES_UP, BREAKS, LEAVES_IT, IS_BUSY, IS_FENCED };

#define NOBODYS UINT_MAX /* the fill of another proxy */

struct object {
    unsigned users;
    char *meta, *body;
    uint32_t meta_length;
    uint64_t size;
    int64_t fresh_until;
    unsigned versions; /* of its metadata */
};

/* What a segment shows that is out. */
struct shown {
    struct object *object; /* NULL: it is not kept, or not current any more */
    struct object **place;
    unsigned version;
    unsigned lapses_after; /* 0: not by itself */
};

struct answer {
    struct larder_event event;
    unsigned turns;
    bool never;
    struct follower *of; /* a FOLLOW's; NULL */
    bool parked;         /* there is no news yet */
};

struct fill {
    struct object *object; /* NULL until it begins */
    struct object **place; /* where it is stored */
    uint64_t expected;
    bool held;
};

struct follower {
    unsigned fill;         /* ours, or NOBODYS */
    struct object **place; /* NULL: it is none, or has ended */
    struct object *object; /* what grows; NULL until it does */
    uint64_t whole;        /* body bytes of what nobody of us fills */
    uint64_t known;        /* of the question under way */
    unsigned uses;
    unsigned choice; /* of the question */
    bool asks, pinned;
    bool over, stored; /* our fill has ended */
};

struct larder_client {
    bool attached, tell_attached, tell_detached, was_lost;
    uint32_t life; /* the upper half of handles and leases: those of an earlier one are void */
    struct larder_segment segments[SEGMENTS];
    bool is_out[SEGMENTS], is_lent[SEGMENTS];
    struct shown shown[SEGMENTS];
    struct answer answers[ANSWERS_MAX];
    unsigned answer_count;
    struct object *stored;  /* under whatever key is asked for, */
    struct object *variant; /* and under whatever key of a variant */
    struct object *pins[HANDLES_MAX];
    struct fill fills[HANDLES_MAX];
    struct follower followers[HANDLES_MAX];
    unsigned pins_given, fills_given, follows_given;
};

static struct larder_client client;
static struct fuzz_script script;
static struct fuzz_text stored_meta;
static unsigned operations;
static int wake = -1;

/* ---- objects ---- */

static struct object *object_create(const char *meta, uint32_t meta_length, uint64_t room)
{
    struct object *object = calloc(1, sizeof *object);

    REQUIRE(object);
    object->meta = malloc(meta_length ? meta_length : 1);
    object->body = malloc(room ? room : 1);
    REQUIRE(object->meta && object->body);
    if (meta_length > 0)
        memcpy(object->meta, meta, meta_length);
    object->meta_length = meta_length;
    object->users = 1;
    return object;
}

static void object_let_go(struct object **object)
{
    if (*object && --(*object)->users == 0) {
        free((*object)->meta);
        free((*object)->body);
        free(*object);
    }
    *object = NULL;
}

/* Keys of variants are those with a line's end in them (exchange_variants.c). */
static struct object **place_for(const struct larder_segment *segment, uint32_t key_length)
{
    REQUIRE(segment);
    return memchr(segment->data, '\n', key_length) ? &client.variant : &client.stored;
}

static bool is_index(const struct fuzz_text *meta)
{
    static const char first[] = "Larder-Generation: ";

    return meta->size >= sizeof first - 1 && memcmp(meta->at, first, sizeof first - 1) == 0;
}

#define UNIT 64u

static uint64_t units(uint8_t letter)
{
    return letter > '!' ? (uint64_t)UNIT * (letter - (unsigned)'!') : 0;
}

/* Takes a line "#ABCD" off the front: extents of B units from unit A on, and of D from C on, of 89 units in
 * all;
 * "!" is none, and the others follow. */
static bool takes_parts(struct fuzz_text *meta, struct http_parts *parts)
{
    const uint8_t *end = meta->size > 0 && meta->at[0] == '#' ? memchr(meta->at, '\n', meta->size) : NULL;

    if (!end)
        return false;
    *parts = (struct http_parts){.length = units('z')};
    for (const uint8_t *at = meta->at + 1; end - at >= 2; at += 2) {
        struct http_range range = {units(at[0]), units(at[0]) + units(at[1])};

        if (range.first < range.end && range.end <= parts->length)
            http_parts_add(parts, 0, &range);
    }
    meta->size -= (size_t)(end + 1 - meta->at);
    meta->at = end + 1;
    return true;
}

/* No text has such bytes, and no piece looks like one from somewhere near. */
uint8_t fuzz_stored_byte(uint64_t at)
{
    return (uint8_t)(0x80 | ((at * 5 + at / 128) & 0x7f));
}

/* One for all places: it suits the first, and those that are as large. */
static void plant_extent(const struct http_parts *parts)
{
    uint64_t size = parts->count > 0 ? parts->items[0].end - parts->items[0].first : 0;

    if (size == 0)
        return;
    object_let_go(&client.variant);
    client.variant = object_create("", 0, BODY_MAX);
    client.variant->size = size;
    memset(client.variant->body, 'e', size);
    client.variant->fresh_until = FUZZ_WALL_MS + 3600000;
}

/* Lines become a blob that is sound as far as its head goes. */
static struct object *planted(const struct fuzz_text *from)
{
    struct fuzz_text rest = *from, *meta = &rest;
    struct http_parts parts;
    bool is_raw = script.flags & FUZZ_RAW_META, has_parts = !is_raw && takes_parts(meta, &parts);
    uint8_t kind = script.meta_kind;
    struct http_meta_head head = {
        .magic = HTTP_META_MAGIC,
        .status = kind & FUZZ_META_502 ? 502 : 200,
        .flags =
            (uint16_t)((is_index(meta) ? HTTP_META_INDEX : 0) | (kind & FUZZ_META_MARK ? HTTP_META_MARK : 0) |
                       (kind & FUZZ_META_FAILED_STATUS ? HTTP_META_FAILED_STATUS : 0) |
                       (kind & FUZZ_META_FAILED_REQUEST ? HTTP_META_FAILED_REQUEST : 0) |
                       (kind & FUZZ_META_MUST_VALIDATE ? HTTP_META_MUST_VALIDATE : 0)),
        .response_time = FUZZ_WALL_MS / 1000 - 10,
        .lifetime = script.flags & FUZZ_STALE ? 5 : 3600,
        .stale_while_revalidate = kind & FUZZ_META_REFRESH ? 60 : -1,
        .stale_if_error = -1,
        .keep = 100,
        .id = 77,
        .failed_at = kind & FUZZ_META_FAILED ? (uint32_t)(FUZZ_WALL_MS / 1000) : 0,
        .fields_length = (uint32_t)meta->size};
    char blob[SEGMENT_BYTES];
    size_t length = meta->size, skip = 0;
    uint64_t size = (uint64_t)script.stored_size * 128;

    if (is_raw || has_parts)
        fuzz_proxy_mix_bodies();
    if (!is_raw) {
        memcpy(blob, &head, sizeof head);
        skip = sizeof head;
    }
    if (length > sizeof blob - skip)
        return NULL;
    if (length > 0)
        memcpy(blob + skip, meta->at, length);
    length += skip;
    if (has_parts && http_meta_add_parts(blob, (int)length, sizeof blob, &parts) > 0) {
        length += HTTP_PARTS_BYTES(parts.count);
        plant_extent(&parts);
    }
    struct object *object = object_create(blob, (uint32_t)length, BODY_MAX);
    object->size = size;
    for (uint64_t i = 0; i < BODY_MAX; i++)
        object->body[i] = (char)fuzz_stored_byte(i);
    object->fresh_until = FUZZ_WALL_MS + (script.flags & FUZZ_STALE ? -5000 : 3600000);
    return object;
}

void fuzz_client_prepare(const struct fuzz_script *from, const struct fuzz_text *meta)
{
    script = *from;
    stored_meta = *meta;
    operations = 0;
    memset(&client, 0, sizeof client);
    if (script.flags & FUZZ_STORED)
        client.stored = planted(meta);
}

/* ---- birth, death, answers ---- */

int larder_client_create_shared(struct larder_client **out, const struct larder_options *options,
                                const struct larder_sharing *sharing, char *problem, size_t problem_size)
{
    (void)options;
    (void)sharing;
    (void)problem;
    (void)problem_size;
    if (wake < 0)
        wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    fuzz_pool_setup(client.segments);
    client.attached = client.tell_attached = script.flags & FUZZ_CACHE;
    client.life = 1;
    *out = &client;
    return 0;
}

static void forget_kept(void)
{
    for (unsigned i = 0; i < SEGMENTS; i++)
        object_let_go(&client.shown[i].object);
}

static void end_life(void)
{
    forget_kept();
    for (unsigned i = 0; i < HANDLES_MAX; i++) {
        object_let_go(&client.pins[i]);
        object_let_go(&client.fills[i].object);
        client.fills[i].held = false;
        object_let_go(&client.followers[i].object);
        client.followers[i] = (struct follower){0};
    }
    client.pins_given = client.fills_given = client.follows_given = 0;
    client.life++;
}

void larder_client_destroy(struct larder_client **out)
{
    end_life();
    object_let_go(&client.stored);
    object_let_go(&client.variant);
    *out = NULL;
}

int larder_client_fd(const struct larder_client *self)
{
    (void)self;
    return wake;
}

void larder_client_wake(struct larder_client *self)
{
    (void)self;
}

void larder_client_flush(struct larder_client *self)
{
    (void)self;
}

bool larder_client_has_answer(const struct larder_client *self)
{
    return self->answer_count > 0;
}

bool larder_client_may_sleep(struct larder_client *self)
{
    return self->answer_count == 0;
}

bool larder_client_attached(const struct larder_client *self)
{
    return self->attached;
}

uint64_t larder_client_max_object(const struct larder_client *self)
{
    return self->attached ? BODY_MAX : 0;
}

const char *larder_client_problem(const struct larder_client *self)
{
    return self->attached ? "" : "the model has none";
}

static void end_following(struct follower *follower)
{
    object_let_go(&follower->object);
    follower->place = NULL;
    follower->uses = 0;
}

static void take_answer(unsigned i, struct larder_event *event)
{
    struct follower *follower = client.answers[i].of;

    *event = client.answers[i].event;
    if (follower) {
        follower->asks = false;
        if (!event->follow || follower->uses == 0)
            end_following(follower);
    }
    client.answer_count--;
    memmove(&client.answers[i], &client.answers[i + 1], sizeof(*client.answers) * (client.answer_count - i));
}

bool larder_client_next(struct larder_client *self, struct larder_event *event)
{
    *event = (struct larder_event){.kind = LARDER_EVENT_DETACHED};
    if (self->tell_detached) {
        self->tell_detached = false;
        return true;
    }
    event->kind = LARDER_EVENT_ATTACHED;
    if (self->tell_attached) {
        self->tell_attached = false;
        return true;
    }
    for (unsigned i = 0; i < self->answer_count; i++) {
        if (self->answers[i].turns > 0 || self->answers[i].never || self->answers[i].parked)
            continue;
        take_answer(i, event);
        return true;
    }
    return false;
}

/* What was asked is lost, with all pins and leases; the cache is there again at once. */
static void lose(void)
{
    for (unsigned i = 0; i < client.answer_count; i++) {
        struct larder_event *event = &client.answers[i].event;

        *event = (struct larder_event){
            .kind = event->kind, .status = LARDER_LOST, .user = event->user, .segment = event->segment};
        client.answers[i].turns = 0;
        client.answers[i].never = client.answers[i].parked = false;
        client.answers[i].of = NULL;
    }
    end_life();
    client.attached = false;
    client.tell_detached = client.was_lost = true;
}

/* Nothing comes of it. */
static void end_parked(struct answer *answer)
{
    answer->parked = false;
    answer->event.status = LARDER_MISS;
}

void fuzz_client_answer(bool all)
{
    for (unsigned i = 0; i < client.answer_count; i++) {
        struct answer *answer = &client.answers[i];

        answer->turns -= answer->turns > 0 ? 1 : 0;
        if (all) {
            answer->turns = 0;
            answer->never = false;
            if (answer->parked)
                end_parked(answer);
        }
    }
    if (client.was_lost && !client.tell_detached && client.answer_count == 0) {
        client.was_lost = false;
        client.attached = client.tell_attached = true;
    }
}

void fuzz_client_expect_nothing_held(void)
{
    REQUIRE(client.answer_count == 0);
    for (unsigned i = 0; i < HANDLES_MAX; i++)
        REQUIRE(!client.pins[i] && !client.fills[i].held && client.followers[i].uses == 0);
    for (unsigned i = 0; i < SEGMENTS; i++)
        REQUIRE(!client.is_out[i]);
}

/* ---- segments ---- */

static unsigned number_of(const struct larder_segment *segment)
{
    REQUIRE(segment >= client.segments && segment < client.segments + SEGMENTS);
    return (unsigned)(segment - client.segments);
}

int larder_segment_borrow(struct larder_client *self, struct larder_segment **out)
{
    if (!self->attached)
        return -ENOTCONN;
    for (unsigned i = 0; i < SEGMENTS; i++) {
        if (!self->is_out[i]) {
            self->is_out[i] = true;
            *out = &self->segments[i];
            return 0;
        }
    }
    return -EAGAIN;
}

int larder_segment_borrow_next(struct larder_client *self, struct larder_segment **out, uint32_t *place,
                               uint32_t count)
{
    int error = larder_segment_borrow(self, out);

    REQUIRE(count > 0);
    if (!error)
        *place = number_of(*out) + 1;
    return error;
}

/* It may be written to again. */
static void take_back(unsigned number)
{
    object_let_go(&client.shown[number].object);
    if (client.is_lent[number])
        fuzz_pool_renew(number);
    client.is_lent[number] = false;
    fuzz_pool_unseal(number);
}

void larder_segment_return(struct larder_client *self, struct larder_segment **segment)
{
    unsigned number = number_of(*segment);

    REQUIRE(self->is_out[number]);
    self->is_out[number] = false;
    take_back(number);
    *segment = NULL;
}

/* ---- what is kept ---- */

static bool is_replaced(const struct shown *shown)
{
    return *shown->place != shown->object || shown->object->versions != shown->version;
}

bool larder_segment_is_current(const struct larder_segment *segment)
{
    struct shown *shown = &client.shown[number_of(segment)];

    REQUIRE(client.is_out[number_of(segment)]);
    if (shown->object && (is_replaced(shown) || (shown->lapses_after > 0 && --shown->lapses_after == 0)))
        object_let_go(&shown->object);
    return shown->object;
}

/* A part of the pool may be kept, and no more. */
static bool may_be_kept(void)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < SEGMENTS; i++)
        kept += client.shown[i].object ? 1 : 0;
    return kept < SEGMENTS / 2;
}

static void keep(struct larder_event *event, struct object **place, unsigned lapses_after)
{
    unsigned number = number_of(event->segment);

    if (!may_be_kept())
        return;
    client.shown[number] = (struct shown){
        .object = *place, .place = place, .version = (*place)->versions, .lapses_after = lapses_after};
    (*place)->users++;
    fuzz_pool_seal(number);
    event->kept = true;
}

/* Whoever uses it has asked before, in the same moment. */
void larder_segment_used(struct larder_segment *segment)
{
    const struct shown *shown = &client.shown[number_of(segment)];

    REQUIRE(client.is_out[number_of(segment)] && shown->object && !is_replaced(shown));
}

int larder_segment_file(const struct larder_segment *segment, off_t *offset)
{
    REQUIRE(client.is_out[number_of(segment)]);
    return fuzz_pool_file(number_of(segment), offset);
}

void larder_segment_lent(struct larder_segment *segment)
{
    unsigned number = number_of(segment);

    REQUIRE(client.is_out[number]);
    client.is_lent[number] = true;
    fuzz_pool_seal(number);
}

/* ---- operations ---- */

static uint64_t name_of(unsigned place)
{
    return (uint64_t)client.life << 32 | (place + 1);
}

static bool is_of_this_life(uint64_t name)
{
    return name >> 32 == client.life;
}

static unsigned place_of(uint64_t name)
{
    unsigned place = (uint32_t)name - 1;

    REQUIRE(place < HANDLES_MAX);
    return place;
}

/* 0 and the answer that is to be filled in, or why the operation cannot be. */
static int begin(enum larder_event_kind kind, struct larder_segment **segment, void *user, unsigned *choice,
                 struct larder_event **event)
{
    uint8_t how = script.cache[operations++ % sizeof script.cache];

    if (!client.attached)
        return -ENOTCONN;
    if (client.answer_count == ANSWERS_MAX || how >> 5 == NO_ROOM)
        return -EAGAIN;
    if (how >> 5 == LAPSED)
        forget_kept();
    struct answer *answer = &client.answers[client.answer_count++];
    *answer = (struct answer){.event = {.kind = kind, .status = LARDER_OK, .user = user},
                              .turns = how >> 3 & 3,
                              .never = how >> 5 == NEVER_ANSWERED};
    if (segment) {
        unsigned number = number_of(*segment);

        REQUIRE(client.is_out[number] && (kind == LARDER_EVENT_READ || !client.is_lent[number]));
        take_back(number);
        answer->event.segment = *segment;
        *segment = NULL;
    }
    *choice = how & 7;
    *event = &answer->event;
    return 0;
}

/* The last act of an operation. */
static int asked(void)
{
    if (script.cache[(operations - 1) % sizeof script.cache] >> 5 == CACHE_LOST)
        lose();
    return 0;
}

static uint64_t grant(struct object **place)
{
    if (client.fills_given == HANDLES_MAX)
        return 0;
    client.fills[client.fills_given].held = true;
    client.fills[client.fills_given].place = place;
    return name_of(client.fills_given++);
}

static void tell_followers(unsigned fill, bool stored);

static void end_lease(uint64_t lease)
{
    struct fill *fill = &client.fills[place_of(lease)];

    REQUIRE(fill->held);
    fill->held = false;
    tell_followers(place_of(lease), false);
    object_let_go(&fill->object);
}

static bool holds(uint64_t lease)
{
    return lease && is_of_this_life(lease) && client.fills[place_of(lease)].held;
}

static uint64_t pin(struct object *object)
{
    if (client.pins_given == HANDLES_MAX)
        return 0;
    client.pins[client.pins_given] = object;
    object->users++;
    return name_of(client.pins_given++);
}

/* ---- followers ---- */

static bool give_pin(struct follower *follower, struct larder_event *event)
{
    event->filled = follower->object->size;
    event->object_size = event->filled;
    if (!follower->pinned)
        event->handle = pin(follower->object);
    follower->pinned = follower->pinned || event->handle;
    if (!follower->pinned)
        event->status = LARDER_BUSY;
    return follower->pinned;
}

/* It grows, and this may be known. */
static void give_growth(struct follower *follower, struct larder_event *event, uint64_t expected)
{
    if (!give_pin(follower, event))
        return;
    event->status = LARDER_OK;
    event->object_size = expected;
    event->follow = name_of((unsigned)(follower - client.followers));
}

static void give_promotion(struct follower *follower, struct larder_event *event, uint64_t expected)
{
    event->lease = grant(follower->place);
    event->promoted = event->lease;
    event->status = event->lease ? LARDER_MISS : LARDER_BUSY;
    if (!event->lease || !follower->object || !give_pin(follower, event))
        return;
    event->status = LARDER_OK;
    event->object_size = expected;
    struct fill *fill = &client.fills[place_of(event->lease)];
    fill->object = follower->object;
    fill->object->users++;
    fill->expected = expected;
}

/* What the fill of our own has come to. False: no news. */
static bool give_our_news(struct follower *follower, struct larder_event *event)
{
    struct fill *fill = &client.fills[follower->fill];

    if (!fill->object)
        return false;
    if (!follower->object) {
        follower->object = fill->object;
        follower->object->users++;
    }
    if (follower->known != LARDER_FOLLOW_NOTHING && fill->object->size <= follower->known)
        return false;
    give_growth(follower, event, fill->expected);
    return true;
}

static void give_our_end(struct follower *follower, struct larder_event *event, bool stored)
{
    const struct fill *fill = &client.fills[follower->fill];

    if (!follower->object && fill->object) {
        follower->object = fill->object;
        follower->object->users++;
    }
    if (stored && follower->object && give_pin(follower, event)) {
        event->status = LARDER_HIT;
    } else if (follower->choice == LEAVES_IT && !stored) {
        give_promotion(follower, event, fill->expected);
    } else {
        event->status = LARDER_MISS;
        event->broken = follower->pinned;
    }
}

/* `ended`: what those are told who have asked; the others hear of it when they ask. */
static void tell_parked(unsigned fill, bool ended, bool stored)
{
    for (unsigned i = 0; i < client.answer_count; i++) {
        struct answer *answer = &client.answers[i];

        if (!answer->parked || answer->of->fill != fill)
            continue;
        if (ended)
            give_our_end(answer->of, &answer->event, stored);
        answer->parked = !ended && !give_our_news(answer->of, &answer->event);
    }
}

/* The fill has ended. */
static void tell_followers(unsigned fill, bool stored)
{
    tell_parked(fill, true, stored);
    for (unsigned i = 0; i < client.follows_given; i++) {
        struct follower *follower = &client.followers[i];

        if (!follower->place || follower->fill != fill)
            continue;
        follower->over = true; /* who asks now is told so */
        follower->stored = stored;
    }
}

static uint64_t share_of(const struct follower *follower)
{
    return follower->choice == GETS_ON_FAST ? follower->whole : follower->whole / 3 + 1;
}

/* The other proxy gets on. False: it has not begun, for there is nothing to begin with. */
static bool grow(struct follower *follower)
{
    if (!follower->object)
        follower->object = planted(&stored_meta);
    else if (follower->object->size < follower->whole)
        follower->object->size += share_of(follower);
    if (!follower->object)
        return false;
    if (!follower->pinned && follower->object->size >= follower->whole)
        follower->object->size = 0;
    if (follower->object->size > follower->whole)
        follower->object->size = follower->whole;
    return true;
}

static enum course course_of(struct follower *follower)
{
    bool news = follower->known == LARDER_FOLLOW_NOTHING || !follower->object ||
                follower->object->size < follower->whole;
    enum course course = (enum course)follower->choice;

    if ((course == GETS_ON || course == GETS_ON_FAST) && !news)
        course = COMPLETES;
    return course <= COMPLETES && !grow(follower) ? GIVES_UP : course;
}

static void give_whole(struct follower *follower, struct larder_event *event)
{
    follower->object->size = follower->whole;
    if (give_pin(follower, event))
        event->status = LARDER_HIT;
}

static void give_their_news(struct follower *follower, struct larder_event *event)
{
    uint64_t expected = script.meta_kind & FUZZ_META_UNKNOWN_SIZE ? LARDER_SIZE_UNKNOWN : follower->whole;

    switch (course_of(follower)) {
    case GETS_ON:
    case GETS_ON_FAST:
        give_growth(follower, event, expected);
        break;
    case COMPLETES:
        give_whole(follower, event);
        break;
    case GIVES_UP:
        event->status = LARDER_MISS;
        break;
    case BREAKS:
        event->status = LARDER_MISS;
        event->broken = true;
        break;
    case LEAVES_IT:
        give_promotion(follower, event, expected);
        break;
    case IS_BUSY:
        event->status = LARDER_BUSY;
        break;
    case IS_FENCED:
        event->status = LARDER_FENCED;
    }
}

static unsigned fill_under_way(struct object **place)
{
    for (unsigned i = 0; i < client.fills_given; i++) {
        if (client.fills[i].held && client.fills[i].place == place)
            return i;
    }
    return NOBODYS;
}

/* The same handle for all who follow the same. 0: as many as may be are out. */
static uint64_t follow(struct object **place)
{
    unsigned fill = fill_under_way(place);

    for (unsigned i = 0; i < client.follows_given; i++) {
        struct follower *follower = &client.followers[i];

        if (follower->place == place && follower->fill == fill && follower->uses > 0) {
            follower->uses++;
            return name_of(i);
        }
    }
    if (client.follows_given == HANDLES_MAX)
        return 0;
    client.followers[client.follows_given] = (struct follower){
        .fill = fill, .place = place, .whole = (uint64_t)script.stored_size * 128, .uses = 1};
    return name_of(client.follows_given++);
}

static void give_object(struct larder_event *event, const struct object *object, bool with_body)
{
    uint64_t room = SEGMENT_BYTES - object->meta_length;

    memcpy(event->segment->data, object->meta, object->meta_length);
    event->meta_length = object->meta_length;
    event->length = !with_body ? 0 : (uint32_t)(object->size < room ? object->size : room);
    memcpy(event->segment->data + object->meta_length, object->body, event->length);
    event->object_size = object->size;
    event->fresh_until = object->fresh_until;
}

static bool is_kept(void)
{
    return script.cache[(operations - 1) % sizeof script.cache] >> 5 == KEPT;
}

static void find(struct larder_event *event, struct object **place, uint32_t flags, unsigned choice)
{
    struct object *object = *place;
    bool stale = choice == 2;
    bool with_body = !(flags & LARDER_LOOKUP_NO_BODY);
    bool whole = object->size <= SEGMENT_BYTES - object->meta_length;

    stale = stale || flags & LARDER_LOOKUP_REVALIDATE || object->fresh_until <= __wrap_clock_wall_ms();
    event->status = stale ? LARDER_STALE : LARDER_HIT;
    if (stale || (with_body && !whole)) {
        event->handle = pin(object);
        if (!event->handle) {
            event->status = LARDER_BUSY;
            return;
        }
    }
    give_object(event, object, with_body);
    if (event->status == LARDER_HIT && flags & LARDER_LOOKUP_KEEP && is_kept())
        keep(event, place, choice == 1 ? LAPSES_AFTER : 0);
}

/* With the lease out, be it to us or, as the input has it, to another. */
static void give_lease(struct larder_event *event, struct object **place, uint32_t flags, bool is_out)
{
    if (flags & LARDER_LOOKUP_LEASE && !is_out)
        event->lease = grant(place);
    else if (flags & LARDER_LOOKUP_FOLLOW)
        event->follow = follow(place);
}

int larder_lookup(struct larder_client *self, struct larder_segment **segment, uint32_t key_length,
                  uint32_t flags, void *user)
{
    static const enum larder_status refusals[] = {LARDER_BUSY, LARDER_TOO_LARGE, LARDER_BAD};
    struct larder_event *event;
    unsigned choice;

    (void)self;
    REQUIRE(key_length > 0 && key_length <= LARDER_MAX_KEY && key_length <= SEGMENT_BYTES);
    int error = begin(LARDER_EVENT_LOOKUP, segment, user, &choice, &event);
    if (error)
        return error;
    struct object **place = place_for(event->segment, key_length);
    if (choice >= 5)
        event->status = refusals[choice - 5];
    else if (*place && choice < 3)
        find(event, place, flags, choice);
    else
        event->status = LARDER_MISS;
    if (event->status == LARDER_MISS || event->status == LARDER_STALE)
        give_lease(event, place, flags, choice == 4 || choice == 1);
    return asked();
}

int larder_lookup_asked(struct larder_client *self, struct larder_segment **segment, uint32_t key_length,
                        uint32_t flags, int64_t asked_ms, void *user)
{
    REQUIRE(asked_ms >= 0);
    return larder_lookup(self, segment, key_length, flags, user);
}

int larder_read(struct larder_client *self, uint64_t handle, uint64_t offset, struct larder_segment **segment,
                uint32_t length, void *user)
{
    struct larder_event *event;
    unsigned choice;

    if (self->attached && !is_of_this_life(handle))
        return -ESTALE;
    int error = begin(LARDER_EVENT_READ, segment, user, &choice, &event);
    if (error)
        return error;
    const struct object *object = client.pins[place_of(handle)];
    REQUIRE(object && offset <= object->size && length <= SEGMENT_BYTES);
    event->offset = offset;
    event->object_size = object->size;
    if (choice == 7) {
        event->status = LARDER_FENCED;
    } else {
        event->length = object->size - offset < length ? (uint32_t)(object->size - offset) : length;
        memcpy(event->segment->data, object->body + offset, event->length);
    }
    return asked();
}

void larder_release(struct larder_client *self, uint64_t handle)
{
    if (!self->attached || !is_of_this_life(handle))
        return;
    REQUIRE(self->pins[place_of(handle)]);
    object_let_go(&self->pins[place_of(handle)]);
}

static void refuse_fill(struct larder_event *event, uint64_t lease, unsigned choice)
{
    event->status = choice == 7 ? LARDER_TOO_LARGE : LARDER_NO_MEMORY;
    end_lease(lease);
}

static void store(uint64_t lease)
{
    struct fill *fill = &client.fills[place_of(lease)];

    tell_followers(place_of(lease), true);
    object_let_go(fill->place);
    *fill->place = fill->object;
    fill->object = NULL;
    end_lease(lease);
}

int larder_fill_begin(struct larder_client *self, const struct larder_fill *begun,
                      struct larder_segment **segment, void *user)
{
    struct larder_event *event;
    unsigned choice;

    if (self->attached && !is_of_this_life(begun->lease))
        return -ESTALE;
    REQUIRE((uint64_t)begun->key_length + begun->meta_length + begun->body_length <= SEGMENT_BYTES);
    REQUIRE(begun->key_length > 0 && begun->keep_until >= begun->fresh_until);
    int error = begin(LARDER_EVENT_FILL_BEGIN, segment, user, &choice, &event);
    if (error)
        return error;
    struct fill *fill = &client.fills[place_of(begun->lease)];
    REQUIRE(fill->held && !fill->object && event->segment);
    if (choice >= 6 || (begun->object_size != LARDER_SIZE_UNKNOWN && begun->object_size > BODY_MAX)) {
        refuse_fill(event, begun->lease, choice);
        return asked();
    }
    const char *bytes = (const char *)event->segment->data + begun->key_length;
    fill->place = place_for(event->segment, begun->key_length);
    fill->object = object_create(bytes, begun->meta_length, BODY_MAX);
    fill->object->fresh_until = begun->fresh_until;
    fill->object->size = begun->body_length;
    memcpy(fill->object->body, bytes + begun->meta_length, begun->body_length);
    fill->expected = begun->object_size;
    REQUIRE(begun->body_length <= begun->object_size);
    tell_parked(place_of(begun->lease), false, false);
    if (begun->body_length == begun->object_size)
        store(begun->lease);
    return asked();
}

int larder_fill_data(struct larder_client *self, uint64_t lease, uint64_t offset,
                     struct larder_segment **segment, uint32_t length, void *user)
{
    struct larder_event *event;
    unsigned choice;

    if (self->attached && !is_of_this_life(lease))
        return -ESTALE;
    REQUIRE(length <= SEGMENT_BYTES);
    int error = begin(LARDER_EVENT_FILL_DATA, segment, user, &choice, &event);
    if (error)
        return error;
    struct fill *fill = &client.fills[place_of(lease)];
    if (!fill->held) { /* one before it was refused */
        event->status = LARDER_FENCED;
        return asked();
    }
    struct object *object = fill->object;
    REQUIRE(object && offset == object->size && event->segment);
    REQUIRE(fill->expected == LARDER_SIZE_UNKNOWN || length <= fill->expected - offset);
    if (choice >= 6 || length > BODY_MAX - object->size) {
        refuse_fill(event, lease, choice);
    } else {
        memcpy(object->body + offset, event->segment->data, length);
        object->size += length;
        tell_parked(place_of(lease), false, false);
    }
    return asked();
}

int larder_fill_end(struct larder_client *self, uint64_t lease, uint64_t object_size, void *user)
{
    struct larder_event *event;
    unsigned choice;

    if (self->attached && !is_of_this_life(lease))
        return -ESTALE;
    int error = begin(LARDER_EVENT_FILL_END, NULL, user, &choice, &event);
    if (error)
        return error;
    struct fill *fill = &client.fills[place_of(lease)];
    if (!fill->held) {
        event->status = LARDER_FENCED;
        return asked();
    }
    REQUIRE(fill->object && object_size == fill->object->size);
    REQUIRE(fill->expected == LARDER_SIZE_UNKNOWN || fill->expected == object_size);
    if (choice == 7) { /* removed meanwhile */
        event->status = LARDER_MISS;
        end_lease(lease);
    } else {
        store(lease);
    }
    return asked();
}

void larder_fill_abort(struct larder_client *self, uint64_t lease)
{
    if (self->attached && holds(lease))
        end_lease(lease);
}

void larder_fill_discard(struct larder_client *self, uint64_t lease)
{
    larder_fill_abort(self, lease);
}

static bool is_followed(uint64_t lease)
{
    for (unsigned i = 0; i < HANDLES_MAX; i++) {
        const struct follower *follower = &client.followers[i];

        if (follower->place && !follower->over && follower->fill == place_of(lease))
            return true;
    }
    return false;
}

void larder_fill_keep(struct larder_client *self, uint64_t lease)
{
    if (!self->attached || !holds(lease))
        return;
    const struct object *object = client.fills[place_of(lease)].object;
    if (object && object->size > 0 && !is_followed(lease))
        store(lease);
    else
        end_lease(lease);
}

int larder_follow(struct larder_client *self, uint64_t handle, uint64_t known, void *user)
{
    struct larder_event *event;
    unsigned choice;

    if (self->attached && !is_of_this_life(handle))
        return -ESTALE;
    int error = begin(LARDER_EVENT_FOLLOW, NULL, user, &choice, &event);
    if (error)
        return error;
    struct follower *follower = &client.followers[place_of(handle)];
    struct answer *answer = &client.answers[client.answer_count - 1];
    if (!follower->place) { /* it has ended, which its last answer said */
        REQUIRE(follower->uses > 0);
        event->status = LARDER_FENCED;
        return asked();
    }
    REQUIRE(follower->uses > 0 && !follower->asks);
    follower->asks = true;
    follower->known = known;
    follower->choice = choice;
    answer->of = follower;
    if (follower->over)
        give_our_end(follower, event, follower->stored);
    else if (follower->fill == NOBODYS)
        give_their_news(follower, event);
    else
        answer->parked = !give_our_news(follower, event);
    return asked();
}

void larder_unfollow(struct larder_client *self, uint64_t handle)
{
    if (!self->attached || !is_of_this_life(handle))
        return;
    struct follower *follower = &self->followers[place_of(handle)];
    if (!follower->place) /* an answer that ended it was on its way */
        return;
    REQUIRE(follower->uses > 0);
    if (--follower->uses > 0)
        return;
    if (!follower->asks)
        end_following(follower);
    for (unsigned i = 0; i < self->answer_count; i++) {
        if (self->answers[i].of == follower && self->answers[i].parked)
            end_parked(&self->answers[i]);
    }
}

int larder_read_meta(struct larder_client *self, uint64_t handle, struct larder_segment **segment,
                     uint32_t length, void *user)
{
    struct larder_event *event;
    unsigned choice;

    if (self->attached && !is_of_this_life(handle))
        return -ESTALE;
    int error = begin(LARDER_EVENT_READ, segment, user, &choice, &event);
    if (error)
        return error;
    const struct object *object = client.pins[place_of(handle)];
    REQUIRE(object && event->segment && length <= SEGMENT_BYTES);
    if (choice == 7)
        event->status = LARDER_FENCED;
    else
        give_object(event, object, length > 0);
    return asked();
}

int larder_update_tagged(struct larder_client *self, uint64_t handle, uint64_t lease,
                         struct larder_segment **segment, uint32_t tags_length, uint32_t meta_length,
                         int64_t fresh_until, int64_t keep_until, void *user)
{
    struct larder_event *event;
    unsigned choice;

    if (self->attached && (!is_of_this_life(handle) || (lease && !is_of_this_life(lease))))
        return -ESTALE;
    REQUIRE(tags_length + meta_length <= SEGMENT_BYTES && keep_until >= fresh_until);
    int error = begin(LARDER_EVENT_UPDATE, segment, user, &choice, &event);
    if (error)
        return error;
    struct object *object = client.pins[place_of(handle)];
    REQUIRE(object && event->segment);
    if (lease)
        end_lease(lease);
    if (choice == 7) {
        event->status = LARDER_MISS;
        return asked();
    }
    char *meta = malloc(meta_length ? meta_length : 1);
    REQUIRE(meta);
    memcpy(meta, event->segment->data + tags_length, meta_length);
    free(object->meta);
    object->meta = meta;
    object->meta_length = meta_length;
    object->fresh_until = fresh_until;
    object->versions++;
    return asked();
}

int larder_remove(struct larder_client *self, struct larder_segment **segment, uint32_t key_length,
                  void *user)
{
    struct larder_event *event;
    unsigned choice;

    (void)self;
    REQUIRE(key_length > 0 && key_length <= SEGMENT_BYTES);
    int error = begin(LARDER_EVENT_REMOVE, segment, user, &choice, &event);
    if (error)
        return error;
    struct object **place = place_for(event->segment, key_length);
    if (!*place)
        event->status = LARDER_MISS;
    object_let_go(place);
    return asked();
}

/* Nobody is allowed to purge through this front-end. */
int larder_purge(struct larder_client *self, struct larder_segment **segment, uint32_t length, uint32_t flags,
                 void *user)
{
    (void)self;
    (void)segment;
    (void)length;
    (void)flags;
    (void)user;
    REQUIRE(false);
    return -ENOTCONN;
}
