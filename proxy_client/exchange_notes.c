/* An extent that has been stored is listed in its description; see exchange_parts.c. A note belongs to the
 * home of the exchanges: the one that made it may be gone by the time it is done. Where another has the lease
 * it waits in a seat like everybody else, for a proxy asks once with one follow handle. */
#include "exchange_parts.h"

#include "invariant.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NOTES_MAX     256
#define NOTE_ATTEMPTS 16

struct parts_note {
    struct exchange_home *home;
    struct parts_note *prev, *next; /* in home->notes */
    struct exchange *waiter;        /* NULL: nobody waits for it (any more) */
    struct cache_ops ops;
    struct cache_wait wait;
    struct following_seat seat;
    uint64_t lease; /* of the description */
    unsigned attempts;
    bool active; /* else it waits for another of the same key */
    struct exchange_part part;
};

/* Of the description. The request is gone with the client. */
static struct http_span note_key(const struct parts_note *note)
{
    return (struct http_span){note->part.key, note->part.base_length};
}

static void free_note(struct parts_note *note)
{
    struct exchange_home *home = note->home;

    cache_ops_sever(&note->ops);
    cache_link_unwait(home->link, &note->wait);
    following_leave(&note->seat);
    cache_link_give_up(home->link, &note->lease);
    if (note->prev)
        note->prev->next = note->next;
    else
        home->notes = note->next;
    if (note->next)
        note->next->prev = note->prev;
    home->note_count--;
    free(note->part.key);
    free(note->part.meta);
    free(note->part.tags);
    free(note);
}

static bool ask(struct parts_note *note);

static bool has_that_key(const struct parts_note *note, const struct parts_note *other)
{
    return http_span_equal(note_key(note), note_key(other));
}

static bool must_wait(const struct parts_note *note)
{
    for (const struct parts_note *other = note->home->notes; other; other = other->next) {
        if (other != note && other->active && has_that_key(note, other))
            return true;
    }
    return false;
}

/* The one that has waited longest. */
static struct parts_note *successor_of(const struct parts_note *note)
{
    struct parts_note *found = NULL;

    for (struct parts_note *other = note->home->notes; other; other = other->next) {
        if (other != note && has_that_key(note, other))
            found = other;
    }
    return found;
}

static void end_note(struct parts_note *note)
{
    struct exchange *waiter = note->waiter;
    struct parts_note *next = successor_of(note);

    free_note(note);
    if (next)
        ask(next);
    if (!waiter)
        return;
    waiter->note = NULL;
    fetch_settled(waiter);
}

void parts_end_notes(struct exchange_home *home)
{
    while (home->notes)
        free_note(home->notes);
}

/* Nobody will find it. */
static void remove_extent(struct parts_note *note, const struct http_range *range)
{
    struct http_span rest = extent_make_key(note_key(note), &note->part.parts, range);
    struct cache_key key = {note->home->key_prefix, rest};

    cache_link_remove_later(note->home->link, &key);
    extent_free_key(rest);
}

static void remove_unlisted(struct parts_note *note, const struct http_parts *before,
                            const struct http_parts *after)
{
    for (uint32_t i = 0; i < before->count; i++) {
        if (!http_parts_has(after, &before->items[i]))
            remove_extent(note, &before->items[i]);
    }
}

static void renewed(void *owner, struct cache_op *op, struct larder_event *event)
{
    (void)op;
    (void)event; /* MISS: removed meanwhile, and so nobody finds the part */
    end_note(owner);
}

/* False: somebody else has the whole of it, or something else, by now. */
static bool read_description(const struct parts_note *note, const struct larder_event *event,
                             struct http_meta *meta, struct http_parts *parts)
{
    return event->status == LARDER_STALE && event->handle && event->segment &&
           event->meta_length <= event->segment->size &&
           http_meta_decode(meta, event->segment->data, event->meta_length) &&
           http_parts_decode(parts, meta->parts.at, meta->parts.length) &&
           event->object_size < parts->length &&
           memcmp(parts->generation, note->part.parts.generation, sizeof parts->generation) == 0;
}

/* A soft purge has hit it after the part was asked for: that is no news of it. When it was is known if it was
 * fresh then; otherwise it counts as later. */
static bool was_made_stale(const struct exchange_part *part, const struct http_meta *found,
                           const struct larder_event *event)
{
    const struct http_meta_head *head = &found->head;
    int64_t ended = event->fresh_until / 1000;

    if (ended >= head->response_time + head->lifetime - head->initial_age)
        return event->lapsed;
    return ended >= part->asked_at;
}

/* In home->meta: the fields, and tags if it has any, are those of whichever response is later (RFC 9111
 * section 3.4). */
static int make_description(const struct parts_note *note, const struct larder_event *event,
                            const struct http_meta *found, const struct http_parts *parts,
                            struct cache_update *update)
{
    const struct exchange_part *part = &note->part;
    struct http_meta own;

    INVARIANT(http_meta_decode(&own, part->meta, part->meta_length));
    memcpy(part->meta + offsetof(struct http_meta_head, id), &found->head.id, sizeof found->head.id);
    update->fresh_until = part->fresh_until;
    update->keep_until = part->keep_until;
    if (own.head.response_time >= found->head.response_time && !was_made_stale(part, found, event)) {
        update->tags_length = part->tags_length;
        return extent_describe(note->home, part->meta, part->meta_length, parts);
    }
    update->fresh_until = event->fresh_until;
    if (update->keep_until < event->fresh_until)
        update->keep_until = event->fresh_until;
    return extent_describe(note->home, (const char *)event->segment->data,
                           event->meta_length - found->parts.length, parts);
}

/* There is the lease, the handle, and a segment. True: renewed() will be called. */
static bool renew(struct parts_note *note, struct larder_event *event, const struct http_meta *found,
                  const struct http_parts *before)
{
    struct cache_link *link = note->home->link;
    struct cache_update update = {.handle = event->handle, .lease = note->lease};
    struct http_parts after = *before;
    int length;

    for (uint32_t i = 0; i < note->part.lost_count; i++)
        http_parts_remove(&after, &note->part.lost[i]);
    if (!http_parts_add(&after, event->object_size, &note->part.range))
        return false;
    length = make_description(note, event, found, &after, &update);
    if (length < 0 || update.tags_length + (uint32_t)length > event->segment->size)
        return false;
    update.meta_length = (uint32_t)length;
    if (update.tags_length > 0)
        memcpy(event->segment->data, note->part.tags, update.tags_length);
    memcpy(event->segment->data + update.tags_length, note->home->meta, (size_t)length);
    if (cache_link_renew(link, &note->ops, &update, &event->segment, renewed, note) != 0)
        return false;
    note->lease = 0; /* ends with the update */
    remove_unlisted(note, before, &after);
    return true;
}

static void ask_again(struct parts_note *note)
{
    if (++note->attempts < NOTE_ATTEMPTS)
        ask(note);
    else
        end_note(note);
}

/* The holder has ended, or is somebody who fills the whole. What such a one leaves to us is left to others.
 */
static void news_of_holder(struct following_seat *seat, enum following_news news)
{
    struct parts_note *note = (struct parts_note *)(void *)((char *)seat - offsetof(struct parts_note, seat));
    bool goes_on = news == FOLLOWING_GREW || news == FOLLOWING_RESUME || news == FOLLOWING_ALONE;

    if (news == FOLLOWING_LEASE || news == FOLLOWING_RESUME)
        note->lease = following_take_lease(seat->following);
    following_leave(seat);
    if (goes_on)
        end_note(note);
    else
        ask_again(note);
}

/* False: there is nobody to wait for. */
static bool follow_holder(struct parts_note *note, struct larder_event *event)
{
    struct cache_key key = {note->home->key_prefix, note_key(note)};

    if (!event->follow)
        return false;
    note->seat.news = news_of_holder;
    following_join(&note->home->followings, &note->seat, &event->follow, &key);
    return true;
}

static void asked(void *owner, struct cache_op *op, struct larder_event *event)
{
    struct parts_note *note = owner;
    struct http_meta meta;
    struct http_parts parts;
    bool goes_on = false;

    (void)op;
    if (!note->lease) { /* one that was left to us is kept */
        note->lease = event->lease;
        event->lease = 0;
    }
    if (read_description(note, event, &meta, &parts))
        goes_on = note->lease ? renew(note, event, &meta, &parts) : follow_holder(note, event);
    if (!goes_on)
        end_note(note);
}

/* False: the note has ended. */
static bool ask(struct parts_note *note)
{
    struct cache_key key = {note->home->key_prefix, note_key(note)};
    uint32_t flags = LARDER_LOOKUP_LEASE | LARDER_LOOKUP_REVALIDATE | LARDER_LOOKUP_NO_BODY |
                     (note->lease ? 0 : LARDER_LOOKUP_FOLLOW);
    int error;

    if (must_wait(note))
        return true;
    note->active = true;
    error = cache_link_lookup(note->home->link, &note->ops, &key, flags, asked, note);

    if (error == -EAGAIN)
        error = cache_link_wait(note->home->link, &note->wait);
    if (error)
        end_note(note);
    return !error;
}

static bool retry_note(struct cache_wait *wait)
{
    struct parts_note *note = (struct parts_note *)(void *)((char *)wait - offsetof(struct parts_note, wait));
    struct cache_link *link = note->home->link;

    return !ask(note) || cache_link_retried(link, wait);
}

static struct parts_note *create_note(struct exchange *exchange)
{
    struct exchange_home *home = exchange->home;
    struct parts_note *note = calloc(1, sizeof *note);

    INVARIANT(note);
    note->home = home;
    note->wait.retry = retry_note;
    note->part = *exchange->part;
    free(exchange->part);
    exchange->part = NULL;
    note->next = home->notes;
    if (note->next)
        note->next->prev = note;
    home->notes = note;
    home->note_count++;
    return note;
}

bool parts_settle(struct exchange *exchange)
{
    struct parts_note *note;

    if (!exchange->part || exchange->fill.state != FILL_STORED || exchange->home->note_count >= NOTES_MAX) {
        extent_forget(exchange);
        return exchange->note != NULL;
    }
    note = create_note(exchange);
    if (!ask(note))
        return false;
    note->waiter = exchange;
    exchange->note = note;
    return true;
}

void parts_leave_note(struct exchange *exchange)
{
    if (exchange->note)
        exchange->note->waiter = NULL;
    exchange->note = NULL;
}
