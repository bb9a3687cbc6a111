/* exchange_internal.h: what the files of the exchange share: exchange.c (life, look-up, decisions),
 * exchange_stored.c (responses out of the cache), exchange_hot.c (without asking it), exchange_fetch.c
 * (responses from the origin), exchange_follow.c (responses that another exchange fetches),
 * exchange_background.c (exchanges without a client), exchange_marks.c (what is known of failed and of
 * useless attempts), exchange_purge.c (requests that purge), exchange_ranges.c (ranges of responses),
 * exchange_parts.c and exchange_parts.h (parts of them that are stored), exchange_variants.c (resources that
 * vary), exchange_rules.c (what the operator wants otherwise), exchange_post.c (responses to POST that are
 * stored), exchange_fields.c (the fields that go to the origin and to the client). Nobody else includes this.
 */
#ifndef LARDER_EXCHANGE_INTERNAL_H
#define LARDER_EXCHANGE_INTERNAL_H

#include "body_reader.h"
#include "exchange.h"
#include "fill_writer.h"
#include "following.h"
#include "hot.h"
#include "http_meta.h"
#include "http_policy.h"
#include "http_range.h"
#include "http_vary.h"

enum exchange_state {
    EXCHANGE_LOOKUP,   /* waits for a segment, or for the cache's answer */
    EXCHANGE_FOLLOW,   /* waits for what another exchange does, of this proxy or another */
    EXCHANGE_SURVEY,   /* looks which parts are there */
    EXCHANGE_STORED,   /* sends what is stored */
    EXCHANGE_COMBINE,  /* what is stored, and between it what the origin sends */
    EXCHANGE_VALIDATE, /* asks the origin whether what is stored still holds */
    EXCHANGE_FETCH,    /* passes on what the origin sends, and perhaps stores it */
    EXCHANGE_CONTINUE, /* the cache was lost within a body: its rest comes from the origin */
    EXCHANGE_PURGE,    /* waits for the cache to have purged */
    EXCHANGE_RESUME,   /* fills the rest of what another proxy has begun */
    EXCHANGE_ENDED,    /* to be freed */
};

/* What the response's head waits for. */
enum exchange_hold {
    EXCHANGE_HOLD_NOTHING,
    EXCHANGE_HOLD_INVALIDATION, /* until what an unsafe method invalidates is gone from the cache */
    EXCHANGE_HOLD_POST,         /* until there is a lease for the response to a POST */
    EXCHANGE_HOLD_PLACE,        /* until there is a lease for the key under which it is to be stored */
    EXCHANGE_HOLD_PART,         /* the same, for a part */
    EXCHANGE_HOLD_LEASE,        /* the same, where a mark kept it from asking for one before */
    EXCHANGE_HOLD_ACCEPTANCE,   /* until the cache says whether it takes a large object */
};

struct exchange {
    struct exchange_home *home;
    struct exchange *prev, *next; /* in home->first */
    struct loop_task free_later;
    const struct exchange_sink *sink; /* NULL: there is no client (any more) */
    void *owner;
    struct exchange **place;              /* where the client's side keeps its pointer to us */
    struct exchange_request request;      /* its spans are gone with the client */
    struct exchange *heir, *heir_of;      /* who is to have the client, and whose it still is; NULL */
    struct exchange *lent_to, *lent_from; /* who has it, and who may have to take it back; NULL */
    enum exchange_state state;
    enum http_request_verdict verdict;
    struct http_cache_control directives;
    struct http_cache_status cache_status;
    bool is_get, is_head, has_range; /* Range counts with GET alone */
    bool head_given;
    bool background;                    /* never had a client: refreshes, or fills the rest */
    struct exchange_request_copy *copy; /* of the request, where it outlives the client's; else NULL */

    /* the cache */
    struct cache_ops ops;
    struct cache_wait wait;
    struct deadline deadline; /* for the cache's answer */
    int64_t asked_ms;
    uint32_t lookup_flags;
    uint64_t lease, handle;
    struct following_seat seat;
    unsigned followed; /* times that it has waited for others */
    bool is_follower;  /* cache_status is that of a request that waited for another */
    uint64_t mark;     /* id of the mark that was found; 0: none */
    uint64_t fill_id;  /* of what is being filled, or is to be followed; 0: any */
    char *key_target;  /* what stands for the target in keys, where that differs; else NULL */
    uint32_t key_target_length;
    struct exchange_variants *variants; /* of a resource that varies; else NULL */
    char *blob;                         /* metadata of what is stored, where it outlives its segment */
    struct http_meta meta;
    uint64_t object_size;
    uint64_t position, end; /* what of the stored body goes to the client next, and where that piece ends */
    struct exchange_parts *parts;     /* of a multipart response; else NULL */
    struct exchange_extents *extents; /* of a response that is not stored whole; else NULL */
    struct hot_entry *hot;            /* what is stored comes from there; else NULL */
    struct hot_wait hot_wait;         /* for more of it */
    struct body_reader reader;

    /* the origin */
    struct origin_fetch *fetch;
    enum origin_result result;
    int refusal; /* status of the answer when the request's body was no good */
    bool alone;  /* it goes on without a client, and counts as such */
    bool fetch_ended, validated;
    /* The client's stay here: they are evaluated when the origin has answered (RFC 9110 section 13.2.1),
     * whether that is stored or not, and never a second time. */
    bool holds_conditions;
    enum exchange_hold hold;
    bool hand_over;  /* the client is too slow for the fill */
    bool stays;      /* the client cannot be handed over */
    bool committing; /* the end of the response waits for the cache to confirm the fill */
    int64_t request_time;
    int64_t fetched_ms; /* when the origin was asked, at the latest; since the epoch */
    struct fill_writer fill;
    struct exchange_part *part; /* that is being stored, or about to be; else NULL */
    struct parts_note *note;    /* of it, on its way; else NULL */
    uint64_t received;          /* body bytes from the origin */
    uint64_t skip;              /* of what the origin sends: the client has it already */
    bool sends_on;              /* the origin does, behind the end of the piece that is wanted */
    char *tail;                 /* the last bytes, while committing */
    size_t tail_size;
};

#define EXCHANGE_SCRATCH (96u * 1024) /* more than any head that is accepted */

struct exchange_home {
    struct proxy_loop *loop;
    struct cache_link *link;
    struct origin *origin;
    struct http_span key_prefix; /* "GET http://host:port/base" */
    struct http_targets targets;
    struct http_overrides overrides;
    struct http_tag_fields tag_fields;
    struct http_place place; /* of one request, as exchange_rules() left it */
    struct deadline_list answers, fill_stalls, read_stalls, patience;
    struct following_home followings;
    struct hot hot;
    struct exchange *first;
    struct exchange *free_exchanges;
    unsigned count, alone; /* all; and those that go on without a client */
    struct parts_note *notes;
    unsigned note_count;
    /* Valid within one call only; each is used by one function at a time. */
    struct http_fields fields, more_fields, asked_fields;
    char lines[EXCHANGE_SCRATCH];
    char meta[HTTP_META_MAX];
    char tags[HTTP_TAGS_BYTES];
};

/* exchange.c */
struct exchange *exchange_take(struct exchange_home *home); /* all zero, ready for requests to the cache */
void exchange_look_up(struct exchange *exchange);
void exchange_go_without_cache(struct exchange *exchange, const char *detail);
void exchange_go_forward(struct exchange *exchange, enum http_cache_fwd fwd, const char *detail);
/* Why what was found is not served (RFC 9211 section 2.2). */
enum http_cache_fwd exchange_why_not_served(const struct exchange *exchange);
void exchange_give_head(struct exchange *exchange, const struct exchange_head *head);
void exchange_finish(struct exchange *exchange); /* tells the client's side; a fill may go on */
void exchange_break(struct exchange *exchange);  /* cuts the client off */
void exchange_goes_on_alone(struct exchange *exchange);
/* Its client has gone; false: as many go on without one as may. */
bool exchange_may_go_on_alone(struct exchange *exchange);
void exchange_end(struct exchange *exchange); /* ends all that goes on, without telling anybody */
void exchange_fail(struct exchange *exchange, int status, const char *detail, const char *text);
void exchange_await_answer(struct exchange *exchange);
/* To the origin; the answer is fetched anew. */
void exchange_go_forward(struct exchange *exchange, enum http_cache_fwd fwd, const char *detail);
void exchange_go_without_cache(struct exchange *exchange, const char *detail);
/* Once more, for what it takes to replace what is there. Not twice. */
void exchange_look_again(struct exchange *exchange);
bool exchange_may_look_again(const struct exchange *exchange);
/* Of what was looked up last, and of what is stored: the resource's own, or that of a variant. */
struct cache_key exchange_key(const struct exchange *exchange);
int64_t exchange_now_s(const struct exchange *exchange);
/* The request as the policy sees it: for the whole of what it names. */
struct http_request exchange_http_request(struct exchange *exchange);
struct http_rules exchange_rules(const struct exchange *exchange);
struct http_place exchange_place(const struct exchange *exchange);

/* exchange_stored.c */
/* A copy of that size costs less than a segment that stays out until the socket has drained. */
#ifndef STORED_COPY_MAX /* the fuzzers have smaller segments */
#define STORED_COPY_MAX 4096u
#endif
/* Reads the metadata; false: it is no good. */
bool stored_decode(struct exchange *exchange, const struct larder_event *event);
enum http_serving stored_serving(const struct exchange *exchange);
/* What is hot. */
void stored_serve_hot(struct exchange *exchange);
bool stored_may_be_served(const struct exchange *exchange);
void stored_serve(struct exchange *exchange,
                  struct larder_event *event); /* straight out of a look-up's segment */
void stored_keep(struct exchange *exchange,
                 const struct larder_event *event); /* metadata outlives the segment */
/* By reads through the handle, or as it grows. */
void stored_serve_kept(struct exchange *exchange);
/* The head of the response out of the cache; position and end are those of its body's first piece. It may
 * stand in home->lines. */
void stored_make_head(struct exchange *exchange, struct exchange_head *head);
void stored_read_on(struct exchange *exchange); /* what has not been given yet */
/* What the metadata stand in is about to go. */
void stored_keep_meta(struct exchange *exchange);
/* The metadata becomes what stands in home->meta. */
void stored_adopt_meta(struct exchange *exchange, int meta_length);
/* The origin said "not modified", or answered HEAD with what is stored: updates it. False if that cannot have
 * been meant. */
bool stored_update(struct exchange *exchange);
bool stored_may_be_served_in_trouble(const struct exchange *exchange, enum http_trouble trouble);
/* What the response to HEAD that has arrived says about what is stored. */
enum http_head_effect stored_head_effect(struct exchange *exchange);
/* Metadata for a response that is stored, in home->meta; its length or -1. */
int stored_encode(struct exchange *exchange, int status, const struct http_fields *fields,
                  const struct http_storing *storing);
void stored_times(const struct exchange *exchange, const struct http_storing *storing, int64_t *fresh_until,
                  int64_t *keep_until); /* milliseconds */
/* Metadata of what is stored as the origin's response updates it, in home->meta; its length or -1. */
int stored_renew(struct exchange *exchange, struct http_storing *storing);
extern const struct body_reader_calls stored_reader_calls;

/* The origin could not be asked, or answered an error: what is stored stays as it is, those who wait for the
 * lease are told, and nobody asks again for a second. */
/* The same, where the answer was none for what is stored, but no trouble either. */
void stored_leave_as_it_is(struct exchange *exchange);
/* `failure`: HTTP_META_FAILED_... */
void stored_note_failure(struct exchange *exchange, uint16_t failure);
bool stored_failed_lately(const struct exchange *exchange, enum http_trouble *trouble);

/* exchange_hot.c */
/* The key is about to be looked up. True: it need not be, the exchange has been answered. Else *flags may be
 * added to. */
bool hot_answers(struct exchange *exchange, uint32_t *flags);
/* The answer, which is hot, would be the same for the same request. */
bool hot_may_repeat(const struct exchange *exchange);
/* The look-up brought what may be kept: true if the exchange holds it from now on, and not the event. */
bool hot_takes(struct exchange *exchange, struct larder_event *event);
/* The look-up brought the beginning of what others have made hot, or are about to, since it was asked for:
 * true if the exchange holds that, and needs neither handle nor segments of its own. */
bool hot_joins(struct exchange *exchange, const struct larder_event *event);
/* The same as hot_takes() for an index, which the exchange goes on to read; its key is still that of the
 * index. */
void hot_takes_index(struct exchange *exchange, struct larder_event *event);
/* Gives the body, from where it is, as far as there is room and it is there. */
void hot_give(struct exchange *exchange);
/* True: the next bytes are not there yet, so the exchange waits for them, or has gone on otherwise. */
bool hot_lacks(struct exchange *exchange);
void hot_go_on(struct exchange *exchange); /* there is room, or more of it */
void hot_settled(struct hot_wait *wait);   /* of the exchange, as hot_wait.settled */

/* exchange_follow.c */
/* Takes the event's follow handle. */
void follow_wait(struct exchange *exchange, struct larder_event *event);
/* The client is slower than the origin, and a fill is under way: it shall read what is filled at its own
 * pace, while this exchange goes on without it. True: there will be an heir, unless nothing comes of it. */
bool follow_hand_over(struct exchange *exchange);
/* The client keeps up again, or is gone. */
void follow_disinherit(struct exchange *exchange);
/* The cache will take no more. True: the client is back, for it has been given all that was filled. False:
 * not yet; the fetch will be resumed. */
bool follow_take_back(struct exchange *exchange);
void follow_gave(struct exchange *exchange); /* more of the body to its client */
void follow_forget_loan(struct exchange *exchange);
/* The body comes from elsewhere from now on: continues from the origin if that can be. */
void follow_lost(struct exchange *exchange);
void follow_leave(struct exchange *exchange);
uint64_t follow_handle(const struct exchange *exchange); /* its own pin, or that of what it follows */

/* exchange_background.c */
/* One that has no client, with a copy of the request that asks for the whole. */
struct exchange *background_create(struct exchange *from);
void background_refresh(struct exchange *from); /* validates what is stored, as if a client had asked */
/* The rest of what is followed is ours to fill. */
void background_resume(struct exchange *from, uint64_t lease);
/* `out` gets the request, with copies of all that it names. */
void background_forget(struct exchange *exchange);

/* exchange_marks.c */
/* Writes an object without a body under the key, which ends the exchange's lease when 0 is returned; its
 * metadata stand in home->meta. Lasting: soft purges spare it. -EAGAIN: no segment. */
int marks_write_object(struct exchange *exchange, const struct cache_key *key, uint32_t meta_length,
                       int64_t until_ms, bool lasting);
/* What the lease was for cannot be stored, or not be had: those who wait are told so. Takes the lease. */
void marks_leave_uncacheable(struct exchange *exchange);
/* `failure`: 0, or HTTP_META_FAILED_REQUEST. */
void marks_leave_failure(struct exchange *exchange, uint16_t failure, int status, const char *detail,
                         const char *text);
/* What was found is a mark: of a failure that says nothing about this request? */
bool marks_is_failure_of_another(const struct exchange *exchange);
void marks_found(struct exchange *exchange);
/* There was a mark, and the response may be stored after all. True: fetch_placed() will be called. */
bool marks_ask_lease(struct exchange *exchange);
bool marks_retry(struct exchange *exchange); /* as cache_wait.retry */

/* exchange_purge.c */
void purge_begin(struct exchange *exchange);
bool purge_retry(struct exchange *exchange); /* as cache_wait.retry */
void purge_deadline_passed(struct exchange *exchange);

/* exchange_ranges.c */
/* The request's fields but Range and If-Range, in home->asked_fields. */
const struct http_fields *ranges_left_out(struct exchange *exchange);
/* `head` is that of a whole stored response to be sent from position 0 to its end: if a part of it is asked
 * for, that of a 206 or 416, and position and end are those of the first piece. */
void ranges_apply(struct exchange *exchange, struct exchange_head *head);
/* The piece has been given: is there another? Gives what stands between them. */
bool ranges_next(struct exchange *exchange);
void ranges_forget(struct exchange *exchange);
/* The pieces of the body that the head stands for which ranges_apply() was called. */
void ranges_wanted(const struct exchange *exchange, struct http_ranges *out);

/* exchange_parts.c, exchange_extent.c, exchange_notes.c */
/* Is what was found not stored whole? Then exchange->extents tells what there is, and object_size is that of
 * the whole. */
bool parts_open(struct exchange *exchange, const struct larder_event *event);
/* Would that be enough for a response? */
bool parts_suffice(struct exchange *exchange);
/* It is not, and the lease, if it could be had, is there. */
void parts_complete(struct exchange *exchange, const struct larder_event *event);
void parts_serve(struct exchange *exchange); /* metadata is kept; cache_status is set */
bool parts_retry(struct exchange *exchange); /* as cache_wait.retry */
void parts_survey_timed_out(struct exchange *exchange);
/* The piece goes on behind what was read; parts_read_on() gives it. */
bool parts_go_on(const struct exchange *exchange);
void parts_read_on(struct exchange *exchange);
/* The pin of what lies under the key is exchange->handle again, if there is one. */
void parts_return_handle(struct exchange *exchange);
/* Nothing more is read out of the cache. */
void parts_let_go(struct exchange *exchange);
void parts_forget(struct exchange *exchange);
/* The head to EXCHANGE_COMBINE has arrived. False: it is a response of its own; the state is FETCH. */
bool parts_gap_answered(struct exchange *exchange);
/* The origin has to wait until what stands before the gap has been given. */
bool parts_come_first(const struct exchange *exchange);
void parts_pass_head(struct exchange *exchange); /* to EXCHANGE_COMBINE */
void parts_after_gap(struct exchange *exchange); /* all of it has been given */
/* The response is a part, and to be stored as one. True: fetch_placed() will be called. */
bool parts_find_place(struct exchange *exchange);
void parts_give_up_place(struct exchange *exchange);
void parts_begin_fill(struct exchange *exchange);
/* Marks the metadata of a whole response in home->meta, so that what has arrived of it may be kept if it
 * breaks off. Its length; *marked: whether it was. */
int parts_mark(struct exchange *exchange, int meta_length, const struct http_storing *storing, bool *marked);
/* The fill is over. True: a part was stored, and fetch_settled() will be called when others know of it. */
bool parts_settle(struct exchange *exchange);
void parts_leave_note(struct exchange *exchange);                     /* fetch_settled() will not be called */
int parts_describe(const struct exchange *exchange, int meta_length); /* behind metadata in home->meta */
void parts_end_notes(struct exchange_home *home);

/* exchange_variants.c */
enum variants_opened {
    VARIANTS_OPENED, /* the key is that of a variant, to be looked up */
    VARIANTS_NO_KEY, /* the request's fields are too long for one */
    VARIANTS_BAD,    /* it is no index */
};
/* What was found has the metadata of an index. */
enum variants_opened variants_open(struct exchange *exchange);
uint32_t variants_lookup_flags(const struct exchange *exchange);
/* True: that was one of several variants that may match; the key is that of the next to be looked up. */
bool variants_survey(struct exchange *exchange, const struct larder_event *event);
void variants_forget(struct exchange *exchange);
struct http_span variants_key_rest(const struct exchange *exchange);
const char *variants_key_shown(const struct exchange *exchange); /* for Cache-Status; or NULL */
/* Does this response belong under the exchange's key? */
bool variants_fit(const struct exchange *exchange, const struct http_fields *response);
/* The response is to be stored, and there is a lease. True: another lease is needed, and fetch_placed() will
 * be called. False: the lease is the right one, or has been given up. */
bool variants_find_place(struct exchange *exchange, const struct http_fields *response);
void variants_give_up_place(struct exchange *exchange);
bool variants_retry(struct exchange *exchange); /* as cache_wait.retry */

/* exchange_rules.c */
/* True: the method is refused, and the exchange is over. */
bool rules_refuse(struct exchange *exchange);
void rules_make_key(struct exchange *exchange);
void rules_take_key(struct exchange *exchange, const struct exchange *from); /* the same as that one's */
void rules_forget(struct exchange *exchange);
/* What stands for the request's target in keys. */
struct http_span rules_key_target(const struct exchange *exchange);
enum http_request_verdict rules_verdict(const struct exchange *exchange, const struct http_request *request,
                                        const char **reason);

/* exchange_post.c */
/* True: the response is one to POST that may be stored; there will be a lease for it or not, and then
 * fetch_lease_decided() is called. */
/* Where the operator wants it; then nothing goes along that is not part of the key. */
bool post_may_be_stored(const struct exchange *exchange);
bool post_ask_for_lease(struct exchange *exchange);
bool post_retry(struct exchange *exchange); /* as cache_wait.retry */

/* exchange_fetch.c */
void fetch_lease_decided(struct exchange *exchange);
void fetch_placed(struct exchange *exchange);  /* as far as it could be: there may be no lease */
void fetch_settled(struct exchange *exchange); /* the same */
void fetch_start(struct exchange *exchange, enum exchange_state state);
void fetch_deadline_passed(struct exchange *exchange);
/* Nobody waits for the invalidation any more; one that waits for a segment is still carried out. */
void fetch_leave_invalidation(struct exchange *exchange);
bool fetch_retry(struct exchange *exchange); /* as cache_wait.retry */
void fetch_fill_changed(void *exchange);
void fetch_commit(struct exchange *exchange);         /* the fill has all its bytes */
void fetch_patience_ended(struct deadline *deadline); /* the client has had no room for too long */

/* exchange_fields.c */
enum fields_purpose {
    FIELDS_PASS,     /* the client's own conditions go along, and the Host that it named */
    FIELDS_WHOLE,    /* a whole response is wanted: no conditions, no range */
    FIELDS_PART,     /* the client's own conditions and range, and nothing that may not be stored */
    FIELDS_VALIDATE, /* with the validators of what is stored */
    FIELDS_CONTINUE, /* the rest of what is stored */
};
/* The fields of the request to the origin, in home->fields; their texts stand in home->lines or are the
 * client's. False: there are too many, or what is stored has no validator to continue with. */
bool fields_to_origin(struct exchange *exchange, enum fields_purpose purpose);
/* The lines of a response for the client, in home->lines. False: too large. */
bool fields_to_client(struct exchange *exchange, const struct http_fields *fields, struct http_span *lines);
/* The lines of an interim response, in home->lines. False: too large. */
bool fields_of_interim(struct exchange *exchange, const struct http_fields *fields, struct http_span *lines);
/* Those lines of a stored or fetched response that a 304 carries (RFC 9110 section 15.4.5), in home->lines.
 */
bool fields_of_not_modified(struct exchange *exchange, const struct http_fields *fields,
                            struct http_span *lines);
bool fields_have_conditions(const struct http_fields *request);
/* Does this response to a request with Range and If-Range continue what is stored? Sets how many of its first
 * bytes to skip. */
bool fields_continue(struct exchange *exchange, const struct origin_head *head, uint64_t *skip);

#endif
