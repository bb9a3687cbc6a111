/* Resources that vary (RFC 9111 section 4.1).
 *
 * The key of a resource holds its one response, or an index: the latest specs (what Vary named), and a random
 * generation. Each variant has a key of its own, of the generation and the request's secondary key; without
 * the index nobody knows it any more, so removing the index invalidates all variants. The specs are seldom
 * more than one; then the index is followed by one more look-up.
 *
 *     look-up:  key ── index ──┬─ one spec ────────────────────────────────> look up its variant
 *                              └─ several: SURVEY, the metadata of each ───> look up the youngest that is
 * there
 *
 *     storing:  the lease is for the right key ──> fill
 *               the key's lease, and the response varies ──> WRITE_INDEX ──> ASK for the variant's lease ──>
 * fill a variant's lease, and the response varies in another way, or not at all ──> FIND_INDEX (the key's
 * lease; the index must still be the same) ─┬─ varies ──> WRITE_INDEX ──> ASK ──> fill └─ does not ──> fill
 * in the index's place The index is written before the variant, through one ring, so it is there when the
 * variant is. */
#include "exchange_internal.h"

#include "http_date.h"
#include "invariant.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define SEPARATOR '\n' /* cannot occur in a target */

enum place_step {
    PLACE_FIND_INDEX,
    PLACE_WRITE_INDEX,
    PLACE_ASK,
};

struct exchange_variants {
    struct http_vary_index index;
    uint32_t at; /* the spec that `key` follows */
    bool surveying, found;
    uint32_t youngest;
    int64_t youngest_date;

    enum place_step step;
    struct http_vary_spec wanted; /* of the response that is to be stored; empty: it does not vary */

    char *key; /* target, separator, generation, separator, secondary key; NULL: the resource's own key */
    uint32_t key_length;
    char shown[HTTP_CACHE_STATUS_KEY_MAX + 1];
};

static struct exchange_variants *variants_create(void)
{
    struct exchange_variants *variants = calloc(1, sizeof *variants);

    INVARIANT(variants);
    return variants;
}

static void forget_key(struct exchange_variants *variants)
{
    free(variants->key);
    variants->key = NULL;
    variants->shown[0] = '\0';
}

void variants_forget(struct exchange *exchange)
{
    if (exchange->variants)
        forget_key(exchange->variants);
    free(exchange->variants);
    exchange->variants = NULL;
}

struct http_span variants_key_rest(const struct exchange *exchange)
{
    const struct exchange_variants *variants = exchange->variants;

    return variants && variants->key ? (struct http_span){variants->key, variants->key_length}
                                     : rules_key_target(exchange);
}

const char *variants_key_shown(const struct exchange *exchange)
{
    return exchange->variants && exchange->variants->shown[0] ? exchange->variants->shown : NULL;
}

/* ---- keys ---- */

static void show(struct exchange_variants *variants, const struct http_vary_spec *spec, struct http_span key)
{
    if (key.length > HTTP_CACHE_STATUS_KEY_MAX || !http_vary_may_be_shown(spec))
        return;
    key.length--; /* the end of the last line */
    for (uint32_t i = 0; i < key.length; i++)
        variants->shown[i] = (char)(key.at[i] == '\n' ? ' ' : key.at[i]);
    variants->shown[key.length] = '\0';
}

static void make_key(struct exchange *exchange, struct http_span secondary)
{
    struct exchange_variants *variants = exchange->variants;
    struct http_span target = rules_key_target(exchange);
    size_t size = (size_t)target.length + HTTP_VARY_GENERATION + 2 + secondary.length;
    const char separator = SEPARATOR;
    struct http_text text;

    variants->key = malloc(size);
    INVARIANT(variants->key);
    text = http_text_into(variants->key, size);
    http_text_add(&text, target);
    http_text_add(&text, (struct http_span){&separator, 1});
    http_text_add(&text, (struct http_span){variants->index.generation, HTTP_VARY_GENERATION});
    http_text_add(&text, (struct http_span){&separator, 1});
    http_text_add(&text, secondary);
    INVARIANT(!text.failed);
    variants->key_length = (uint32_t)text.length;
}

/* The key becomes that of the request's variant under the spec. What counts is what the origin is sent, for
 * some of it is made here, such as X-Forwarded-For. False: it would be too long. */
static bool take_key(struct exchange *exchange, uint32_t at)
{
    struct exchange_variants *variants = exchange->variants;
    const struct http_vary_spec *spec = &variants->index.specs[at];
    char secondary[HTTP_VARY_KEY_MAX];
    int length;

    forget_key(variants);
    variants->at = at;
    if (!fields_to_origin(exchange, FIELDS_WHOLE))
        return false;
    length = http_vary_key(spec, &exchange->home->fields, secondary, sizeof secondary);
    if (length < 0)
        return false;
    make_key(exchange, (struct http_span){secondary, (uint32_t)length});
    show(variants, spec, (struct http_span){secondary, (uint32_t)length});
    return true;
}

/* ---- looking up ---- */

static bool read_index(struct exchange *exchange, struct http_span lines, struct http_vary_index *out)
{
    return http_fields_parse(&exchange->home->more_fields, lines) &&
           http_vary_index_parse(&exchange->home->more_fields, out);
}

enum variants_opened variants_open(struct exchange *exchange)
{
    struct exchange_variants *variants;

    if (exchange->variants) /* an index in the place of a variant */
        return VARIANTS_BAD;
    variants = exchange->variants = variants_create();
    if (!read_index(exchange, exchange->meta.fields, &variants->index)) {
        variants_forget(exchange);
        return VARIANTS_BAD;
    }
    cache_link_release(exchange->home->link, &exchange->handle);
    cache_link_give_up(exchange->home->link, &exchange->lease);
    variants->surveying = variants->index.count > 1;
    return take_key(exchange, 0) ? VARIANTS_OPENED : VARIANTS_NO_KEY;
}

uint32_t variants_lookup_flags(const struct exchange *exchange)
{
    return exchange->variants && exchange->variants->surveying ? LARDER_LOOKUP_NO_BODY
                                                               : exchange->lookup_flags;
}

/* When a response was made, as the choice between several wants to know it. */
static int64_t date_of(struct exchange *exchange, const struct http_meta *meta)
{
    struct http_fields *fields = &exchange->home->more_fields;
    const struct http_field *date;
    int64_t when;

    if (!http_fields_parse(fields, meta->fields))
        return meta->head.response_time;
    date = http_field_find(fields, "date", NULL);
    return date && http_date_parse(date->value, exchange_now_s(exchange), &when) ? when
                                                                                 : meta->head.response_time;
}

static void note_surveyed(struct exchange *exchange, const struct larder_event *event)
{
    struct exchange_variants *variants = exchange->variants;
    struct http_meta meta;
    int64_t date;

    if (event->status == LARDER_MISS || !event->segment || event->meta_length > event->segment->size ||
        !http_meta_decode(&meta, event->segment->data, event->meta_length))
        return;
    date = date_of(exchange, &meta);
    if (variants->found && date <= variants->youngest_date)
        return;
    variants->found = true;
    variants->youngest = variants->at;
    variants->youngest_date = date;
}

/* RFC 9111 section 4.1: of several that match the one with the latest Date is used. */
bool variants_survey(struct exchange *exchange, const struct larder_event *event)
{
    struct exchange_variants *variants = exchange->variants;
    uint32_t next;

    if (!variants || !variants->surveying ||
        (event->status != LARDER_HIT && event->status != LARDER_STALE && event->status != LARDER_MISS))
        return false;
    note_surveyed(exchange, event);
    for (next = variants->at + 1; next < variants->index.count; next++) {
        if (take_key(exchange, next))
            return true;
    }
    variants->surveying = false;
    if (!take_key(exchange, variants->found ? variants->youngest : 0))
        INVARIANT(false); /* that key has been made before, of the same request */
    return true;
}

/* ---- finding the place for a response ---- */

static void new_generation(struct http_vary_index *index)
{
    unsigned char random[HTTP_VARY_GENERATION / 2];
    char text[HTTP_VARY_GENERATION + 1];

    randombytes_buf(random, sizeof random);
    sodium_bin2hex(text, sizeof text, random, sizeof random);
    memcpy(index->generation, text, HTTP_VARY_GENERATION);
}

static struct cache_key own_key(const struct exchange *exchange)
{
    return (struct cache_key){exchange->home->key_prefix, rules_key_target(exchange)};
}

static int encode_index(struct exchange *exchange)
{
    struct exchange_home *home = exchange->home;
    struct http_meta_head head = {.status = 200,
                                  .flags = HTTP_META_INDEX,
                                  .response_time = exchange_now_s(exchange),
                                  .lifetime = HTTP_SECONDS_MAX};

    http_vary_index_fields(&exchange->variants->index, &home->more_fields);
    return http_meta_encode(&head, &home->more_fields, home->meta, sizeof home->meta);
}

/* An index is as good as its variants, which tell their own age: it stays until it is the least used.
 * -EAGAIN: no segment. */
static int write_index(struct exchange *exchange)
{
    struct cache_key key = own_key(exchange);
    int64_t until = exchange->home->loop->wall_ms + 1000 * HTTP_SECONDS_MAX;
    int length = encode_index(exchange);

    return length < 0 ? -EINVAL : marks_write_object(exchange, &key, (uint32_t)length, until, true);
}

static void place_answered(void *owner, struct cache_op *op, struct larder_event *event);

static int ask_for_lease(struct exchange *exchange, const struct cache_key *key)
{
    return cache_link_lookup_asked(exchange->home->link, &exchange->ops, key,
                                   LARDER_LOOKUP_LEASE | LARDER_LOOKUP_REVALIDATE | LARDER_LOOKUP_NO_BODY,
                                   exchange->fetched_ms, place_answered, exchange);
}

static int take_step(struct exchange *exchange)
{
    struct exchange_variants *variants = exchange->variants;
    struct cache_key key = own_key(exchange);

    if (variants->step == PLACE_FIND_INDEX)
        return ask_for_lease(exchange, &key);
    if (variants->step == PLACE_WRITE_INDEX) {
        int error = write_index(exchange);

        if (error)
            return error;
        variants->step = PLACE_ASK;
    }
    key = exchange_key(exchange);
    return ask_for_lease(exchange, &key);
}

void variants_give_up_place(struct exchange *exchange)
{
    cache_link_unwait(exchange->home->link, &exchange->wait);
    cache_ops_sever(&exchange->ops);
    cache_link_give_up(exchange->home->link, &exchange->lease);
}

/* True: an answer, or a segment, is awaited. */
static bool go_on(struct exchange *exchange)
{
    int error = take_step(exchange);

    if (error == -EAGAIN)
        error = cache_link_wait(exchange->home->link, &exchange->wait);
    if (error)
        variants_give_up_place(exchange);
    return !error;
}

bool variants_retry(struct exchange *exchange)
{
    if (!go_on(exchange)) {
        fetch_placed(exchange);
        return true;
    }
    return cache_link_retried(exchange->home->link, &exchange->wait);
}

/* The key becomes that of the response's variant; it is in front of the index. */
static bool take_wanted(struct exchange *exchange)
{
    struct exchange_variants *variants = exchange->variants;

    http_vary_index_put(&variants->index, &variants->wanted);
    return take_key(exchange, 0);
}

/* The index that was looked up, unless it was invalidated meanwhile: then this response may be older than
 * what invalidated it. */
static bool is_same_index(struct exchange *exchange, const struct larder_event *event)
{
    struct exchange_variants *variants = exchange->variants;
    struct http_vary_index found;
    struct http_meta meta;

    if (event->status == LARDER_MISS || !event->segment || event->meta_length > event->segment->size ||
        !http_meta_decode(&meta, event->segment->data, event->meta_length) ||
        !(meta.head.flags & HTTP_META_INDEX) || !read_index(exchange, meta.fields, &found) ||
        memcmp(found.generation, variants->index.generation, HTTP_VARY_GENERATION) != 0)
        return false;
    variants->index = found; /* others may have added to it */
    return true;
}

/* True: there is more to wait for. */
static bool after_index(struct exchange *exchange, const struct larder_event *event)
{
    struct exchange_variants *variants = exchange->variants;

    if (!exchange->lease || !is_same_index(exchange, event)) {
        variants_give_up_place(exchange);
        return false;
    }
    if (variants->wanted.length == 0) {
        variants_forget(exchange); /* one response for all, in the place of the index */
        return false;
    }
    if (!take_wanted(exchange)) {
        variants_give_up_place(exchange);
        return false;
    }
    variants->step = PLACE_WRITE_INDEX;
    return go_on(exchange);
}

static void place_answered(void *owner, struct cache_op *op, struct larder_event *event)
{
    struct exchange *exchange = owner;

    (void)op;
    exchange->lease = event->lease;
    event->lease = 0;
    if (exchange->variants->step == PLACE_FIND_INDEX && after_index(exchange, event))
        return;
    fetch_placed(exchange);
}

/* The resource's own lease is there, and the response is the first that varies. */
static bool place_first(struct exchange *exchange, const struct http_vary_spec *spec)
{
    struct exchange_variants *variants = exchange->variants = variants_create();

    variants->wanted = *spec;
    variants->step = PLACE_WRITE_INDEX;
    new_generation(&variants->index);
    return take_wanted(exchange);
}

/* The lease is for a variant that this response is not. */
static bool place_other(struct exchange *exchange, const struct http_vary_spec *spec)
{
    cache_link_give_up(exchange->home->link, &exchange->lease);
    exchange->variants->wanted = *spec;
    exchange->variants->step = PLACE_FIND_INDEX;
    return true;
}

bool variants_fit(const struct exchange *exchange, const struct http_fields *response)
{
    const struct exchange_variants *variants = exchange->variants;
    struct http_vary_spec spec;

    switch (http_vary_of(response, &spec)) {
    case HTTP_VARY_NONE:
        return !variants;
    case HTTP_VARY_SPEC:
        return variants && http_vary_spec_equal(&spec, &variants->index.specs[variants->at]);
    default:
        return false;
    }
}

bool variants_find_place(struct exchange *exchange, const struct http_fields *response)
{
    struct http_vary_spec spec;
    bool may_go_on = false;

    if (variants_fit(exchange, response))
        return false;
    if (http_vary_of(response, &spec) != HTTP_VARY_NEVER)
        may_go_on = exchange->variants ? place_other(exchange, &spec) : place_first(exchange, &spec);
    if (may_go_on && go_on(exchange))
        return true;
    cache_link_give_up(exchange->home->link, &exchange->lease);
    exchange->cache_status.detail = "vary";
    return false;
}
