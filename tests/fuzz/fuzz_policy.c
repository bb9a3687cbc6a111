/* What the proxy decides about requests and responses, given any fields and times: http_date, http_message,
 * the modules of http_policy.h, http_range, http_vary, http_cache_status.
 *
 * The input: struct numbers, then lines. An empty line parts the request's fields from the response's, and
 * those from the fields of a 304; a line without a colon is a field with an empty value. Names and values may
 * hold any bytes but LF. */
#include "fuzz.h"

#include "http_cache_status.h"
#include "http_date.h"
#include "http_policy.h"
#include "http_range.h"
#include "http_sf.h"
#include "http_vary.h"

#define DATE_FIRST (-(int64_t)62167219200) /* 0000-01-01 */
#define DATE_LAST  ((int64_t)253402300799) /* 9999-12-31 */

struct numbers {
    uint8_t method; /* of methods[] */
    uint8_t flags;
    int16_t status;
    int32_t now_high; /* of the response time, so that odd clocks are easy to reach */
    uint32_t now_low;
    int32_t delay; /* request time before response time */
    int64_t age, lifetime;
};

static const char *const methods[] = {"GET",     "HEAD",  "POST", "PUT", "DELETE",
                                      "OPTIONS", "PATCH", "get",  "",    "X"};

static struct http_span span_of(const char *text)
{
    return (struct http_span){text, (uint32_t)strlen(text)};
}

static void read_line(struct http_fields *fields, const char *line, size_t length)
{
    const char *colon = memchr(line, ':', length);
    size_t name = colon ? (size_t)(colon - line) : length;
    size_t behind = colon ? name + 1 : length;

    http_field_add(fields, (struct http_span){line, (uint32_t)name},
                   (struct http_span){line + behind, (uint32_t)(length - behind)});
}

/* Lines up to and with an empty one. */
static void read_fields(struct http_fields *fields, struct fuzz_input *input)
{
    fields->count = 0;
    while (input->left > 0) {
        const uint8_t *end = memchr(input->at, '\n', input->left);
        size_t length = end ? (size_t)(end - input->at) : input->left;
        const char *line = (const char *)input->at;

        input->at += length + (end ? 1 : 0);
        input->left -= length + (end ? 1 : 0);
        if (length == 0)
            return;
        read_line(fields, line, length);
    }
}

/* ---- values ---- */

static void check_date(struct http_span text, int64_t now)
{
    char written[HTTP_DATE_BYTES + 1];
    int64_t time, again;

    if (!http_date_parse(text, now, &time))
        return;
    REQUIRE(time >= DATE_FIRST && time <= DATE_LAST + 1); /* a leap second counts into the next minute */
    http_date_format(time, written);
    REQUIRE(http_date_parse(span_of(written), now, &again));
    REQUIRE(again == (time > DATE_LAST ? DATE_LAST : time));
}

static void check_list(struct http_span value)
{
    struct http_span rest = value, element;
    const char *end = value.at + value.length;

    while (http_list_next(&rest, &element)) {
        REQUIRE(element.length > 0);
        REQUIRE(element.at >= value.at && element.at + element.length <= end);
        REQUIRE(rest.length < value.length);
        REQUIRE(http_span_equal(http_span_trim(element), element));
    }
}

static void check_numbers(struct http_span value)
{
    int64_t seconds;
    uint64_t length;

    if (http_parse_seconds(value, &seconds))
        REQUIRE(seconds >= 0 && seconds <= HTTP_SECONDS_MAX);
    if (http_parse_length(value, &length))
        REQUIRE(value.length > 0);
}

static void check_structured(struct http_span value)
{
    struct http_span rest = value;
    struct http_sf_member member;
    struct http_sf_item item;
    const char *end = value.at + value.length;
    uint32_t members, count = 0;

    while (http_sf_dictionary_next(&rest, &member) == HTTP_SF_MEMBER) {
        REQUIRE(member.key.length > 0 && member.key.at >= value.at && member.key.at < end);
        REQUIRE(member.value.type <= HTTP_SF_INNER && rest.length < value.length);
        count++;
    }
    if (http_sf_is_dictionary(value, &members))
        REQUIRE(members == count);
    rest = value;
    while (http_sf_list_next(&rest, &item) == HTTP_SF_MEMBER)
        REQUIRE(item.text.at >= value.at && item.text.at + item.text.length <= end);
    if (http_sf_item(value, &item))
        REQUIRE(item.text.at >= value.at && item.text.at + item.text.length <= end);
}

/* What is written is a target, and stays one. */
static void check_uri(struct http_span reference, struct http_span target)
{
    static char out[HTTP_TARGET_MAX], again[HTTP_TARGET_MAX];
    struct http_place place = {HTTP_SPAN("http://o:80/b"), target, HTTP_SPAN("http"), HTTP_SPAN("h")};
    int length = http_uri_target(&place, reference, out, sizeof out);

    if (length < 0)
        return;
    REQUIRE(length > 0 && out[0] == '/');
    for (int i = 0; i < length; i++)
        REQUIRE(out[i] > ' ' && out[i] <= '~' && out[i] != '#');
    place.target = (struct http_span){out, (uint32_t)length};
    REQUIRE(http_uri_target(&place, (struct http_span){NULL, 0}, again, sizeof again) == length);
}

static void check_values(const struct http_fields *fields, int64_t now)
{
    uint64_t length;

    for (uint32_t i = 0; i < fields->count; i++) {
        const struct http_field *field = &fields->items[i];

        check_date(field->value, now);
        check_list(field->value);
        check_numbers(field->value);
        check_structured(field->value);
        check_uri(field->value, HTTP_SPAN("/a/b?c"));
        check_uri(HTTP_SPAN("../x"), field->value);
        REQUIRE(http_span_equal(http_span_trim(field->value), field->value));
        if (http_field_is_hop_by_hop(fields, field) && http_name_is(field, "cache-control"))
            REQUIRE(false);
    }
    if (http_content_length(fields, &length) == HTTP_LENGTH_KNOWN)
        REQUIRE(http_field_count(fields, "content-length") > 0);
    http_list_has(fields, "connection", "close");
}

/* ---- decisions ---- */

static bool is_duration(int64_t seconds)
{
    return seconds >= -1 && seconds <= HTTP_SECONDS_MAX;
}

static void check_directives(const struct http_cache_control *control)
{
    REQUIRE(is_duration(control->max_age) && is_duration(control->s_maxage));
    REQUIRE(is_duration(control->min_fresh) && is_duration(control->max_stale));
    REQUIRE(is_duration(control->stale_while_revalidate) && is_duration(control->stale_if_error));
    REQUIRE(control->withheld.count <= HTTP_WITHHELD_MAX);
    REQUIRE(!http_withheld_has(&control->withheld, HTTP_SPAN("vary")));
    REQUIRE((control->withheld.count > 0) == (control->no_cache_fields || control->private_fields));
}

static void check_serving(const struct http_cache_control *request, const struct numbers *numbers)
{
    struct http_stored stored = {.age = numbers->age,
                                 .lifetime = numbers->lifetime,
                                 .stale_while_revalidate = numbers->delay & INT32_MAX,
                                 .stale_if_error = numbers->delay,
                                 .immutable = numbers->flags & 1,
                                 .must_validate = numbers->flags & 2};
    bool fresh = numbers->age < numbers->lifetime;

    enum http_serving serving = http_serving(request, &stored);
    if (request->no_cache || stored.must_validate)
        REQUIRE(serving == HTTP_SERVING_VALIDATE);
    REQUIRE(fresh ? serving != HTTP_SERVING_STALE && serving != HTTP_SERVING_REFRESH
                  : serving != HTTP_SERVING_FRESH);
    stored.strict = true;
    serving = http_serving(request, &stored);
    REQUIRE(serving == HTTP_SERVING_VALIDATE || (fresh && serving == HTTP_SERVING_FRESH));
    REQUIRE(!http_may_serve_in_trouble(request, &stored, HTTP_TROUBLE_DISCONNECTED));
}

static void check_cache_control(const struct http_fields *fields, const struct numbers *numbers)
{
    struct http_cache_control control;
    struct http_targets targets;

    http_cache_control_parse(&control, fields);
    check_directives(&control);
    http_request_control_parse(&control, fields);
    check_serving(&control, numbers);
    REQUIRE(http_targets_parse(&targets, HTTP_SPAN(HTTP_TARGETS_DEFAULT)));
    http_response_control_parse(&control, fields, &targets);
    check_directives(&control);
    if (fields->count > 0 && http_targets_parse(&targets, fields->items[0].value)) {
        http_response_control_parse(&control, fields, &targets);
        check_directives(&control);
    }
}

static void check_invalidation(const struct http_fields *answered, const struct numbers *numbers)
{
    char buffer[256];
    struct http_place place = {HTTP_SPAN("http://o:80"), HTTP_SPAN("/a"), HTTP_SPAN("http"), HTTP_SPAN("h")};
    struct http_response response = {numbers->status, answered};
    enum http_request_verdict verdict = (enum http_request_verdict)(numbers->flags & 3);
    struct http_invalidation found = http_invalidation(verdict, &place, &response, buffer, sizeof buffer);

    REQUIRE(found.count <= HTTP_INVALIDATION_MAX);
    if (verdict != HTTP_REQUEST_UNSAFE || numbers->status >= 400)
        REQUIRE(!found.target && found.count == 0);
    for (uint32_t i = 0; i < found.count; i++)
        REQUIRE(found.others[i].length > 0 && found.others[i].at[0] == '/');
}

static void check_storing(const struct http_storing *storing)
{
    REQUIRE(storing->reason && storing->reason[0] != '\0');
    if (!storing->store)
        return;
    REQUIRE(storing->lifetime >= 0 && storing->lifetime <= HTTP_SECONDS_MAX);
    REQUIRE(storing->initial_age >= 0 && storing->initial_age <= HTTP_SECONDS_MAX);
    REQUIRE(storing->keep >= 0 && storing->keep <= HTTP_SECONDS_MAX + 86400);
    REQUIRE(storing->strict || !storing->must_validate);
    REQUIRE(is_duration(storing->stale_while_revalidate) && is_duration(storing->stale_if_error));
    REQUIRE(!storing->strict || (storing->stale_while_revalidate < 0 && storing->stale_if_error < 0));
    REQUIRE(storing->lifetime + storing->keep > storing->initial_age && !storing->forbidden);
}

/* What is written must read back as lines, with nothing in them that frames a message. */
static void check_update(const struct http_fields *stored, const struct http_fields *update)
{
    static char out[64 * 1024];
    struct http_span rest = {out, 0};
    struct http_field field;
    enum http_line_result result;
    int length = http_update_fields(stored, update, out, sizeof out);

    http_update_matches(stored, update);
    if (length < 0)
        return;
    rest.length = (uint32_t)length;
    while ((result = http_line_next(&rest, &field)) == HTTP_LINE_FIELD)
        REQUIRE(!http_name_is_never_stored(field.name));
    REQUIRE(result == HTTP_LINE_END);
}

/* ---- ranges ---- */

static void check_apart(const struct http_range *a, const struct http_range *b)
{
    REQUIRE(a->end <= b->first ? b->first - a->end >= HTTP_RANGE_GAP
                               : b->end <= a->first && a->first - b->end >= HTTP_RANGE_GAP);
}

static void check_pieces(const struct http_ranges *ranges, uint64_t length)
{
    REQUIRE(ranges->count >= 1 && ranges->count <= HTTP_RANGES_MAX);
    for (uint32_t i = 0; i < ranges->count; i++) {
        REQUIRE(ranges->items[i].first < ranges->items[i].end && ranges->items[i].end <= length);
        for (uint32_t j = 0; j < i; j++)
            check_apart(&ranges->items[i], &ranges->items[j]);
    }
}

/* What frames the parts is as long as the Content-Length says. */
static void check_multipart(const struct http_ranges *ranges, struct http_span type, uint64_t length)
{
    static char out[512 * 1024];
    struct http_multipart multipart = {HTTP_SPAN("0123456789abcdef"), type, length};
    struct http_text text = http_text_into(out, sizeof out);
    uint64_t pieces = 0, whole;

    for (uint32_t i = 0; i < ranges->count; i++) {
        http_multipart_add_head(&text, &multipart, &ranges->items[i], i == 0);
        pieces += ranges->items[i].end - ranges->items[i].first;
    }
    http_multipart_add_end(&text, &multipart);
    if (!text.failed && http_multipart_length(&multipart, ranges, &whole))
        REQUIRE(whole == text.length + pieces);
}

static void check_content_range(struct http_span value)
{
    char out[80];
    struct http_text text = http_text_into(out, sizeof out);
    struct http_content_range range, again;

    if (!http_content_range_parse(value, &range))
        return;
    if (range.unsatisfied)
        http_content_range_add_unsatisfied(&text, range.length);
    else
        http_content_range_add(&text, &range.range, range.length_known ? range.length : range.range.end);
    REQUIRE(!text.failed);
    REQUIRE(http_content_range_parse((struct http_span){out, (uint32_t)text.length}, &again));
    REQUIRE(again.range.first == range.range.first && again.range.end == range.range.end);
}

static void check_ranges(const struct http_fields *asked, const struct http_fields *answered, uint64_t length,
                         int64_t now)
{
    struct http_ranges ranges;
    struct http_span validator;
    const struct http_field *type = http_field_find(answered, "content-type", NULL);

    if (http_ranges_select(asked, length, &ranges) == HTTP_RANGE_PARTIAL) {
        check_pieces(&ranges, length);
        check_multipart(&ranges, type ? type->value : HTTP_SPAN(""), length);
    }
    for (uint32_t i = 0; i < answered->count; i++)
        check_content_range(answered->items[i].value);
    http_if_range_holds(asked, answered, now);
    if (http_strong_validator(answered, now, &validator))
        REQUIRE(validator.length > 0);
}

/* ---- variants ---- */

/* The key's lines, read as the fields of another request. */
static void read_key(struct http_fields *fields, struct http_span key)
{
    fields->count = 0;
    while (key.length > 0) {
        const char *end = memchr(key.at, '\n', key.length);

        REQUIRE(end);
        size_t length = (size_t)(end - key.at);
        if (memchr(key.at, ':', length))
            read_line(fields, key.at, length);
        key.at += length + 1;
        key.length -= (uint32_t)length + 1;
    }
}

/* Several lines of one field become one; an empty one among them leaves its comma. */
static bool has_each_once(const struct http_fields *fields)
{
    for (uint32_t i = 0; i < fields->count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if (http_span_equal_nocase(fields->items[i].name, fields->items[j].name))
                return false;
        }
    }
    return true;
}

/* What is normalised stays as it is. */
static void check_key(const struct http_vary_spec *spec, const struct http_fields *asked)
{
    static char out[HTTP_VARY_KEY_MAX], again[HTTP_VARY_KEY_MAX];
    static struct http_fields fields;
    int length = http_vary_key(spec, asked, out, sizeof out);

    if (length < 0)
        return;
    REQUIRE(length <= HTTP_VARY_KEY_MAX);
    read_key(&fields, (struct http_span){out, (uint32_t)length});
    if (!has_each_once(asked))
        return;
    REQUIRE(http_vary_key(spec, &fields, again, sizeof again) == length);
    REQUIRE(memcmp(out, again, (size_t)length) == 0);
}

static void check_index(const struct http_fields *stored, const struct http_vary_spec *spec)
{
    static struct http_vary_index index, again;
    static struct http_fields fields;

    if (!http_vary_index_parse(stored, &index))
        return;
    REQUIRE(index.count >= 1 && index.count <= HTTP_VARY_SPECS_MAX);
    if (spec)
        http_vary_index_put(&index, spec);
    http_vary_index_fields(&index, &fields);
    REQUIRE(http_vary_index_parse(&fields, &again));
    REQUIRE(again.count == index.count);
    for (uint32_t i = 0; i < index.count; i++)
        REQUIRE(http_vary_spec_equal(&index.specs[i], &again.specs[i]));
}

static void check_variants(const struct http_fields *asked, const struct http_fields *answered,
                           const struct http_fields *stored)
{
    struct http_vary_spec spec, again;
    bool varies = http_vary_of(answered, &spec) == HTTP_VARY_SPEC;

    check_index(stored, varies ? &spec : NULL);
    if (!varies)
        return;
    REQUIRE(http_vary_spec_parse((struct http_span){spec.text, spec.length}, &again));
    REQUIRE(http_vary_spec_equal(&spec, &again));
    http_vary_may_be_shown(&spec);
    check_key(&spec, asked);
}

/* ---- Cache-Status ---- */

/* Any value of a field, as far as it is no longer than twice what is shown. */
static const char *some_key(const struct http_fields *fields)
{
    static char key[2 * HTTP_CACHE_STATUS_KEY_MAX];
    uint32_t length = 0;

    if (fields->count == 0)
        return NULL;
    while (length < fields->items[0].value.length && length < sizeof key - 1) {
        key[length] = fields->items[0].value.at[length];
        length++;
    }
    key[length] = '\0';
    return key;
}

static void check_status(const struct numbers *numbers, const struct http_storing *storing,
                         const struct http_fields *asked)
{
    char out[HTTP_CACHE_STATUS_MAX];
    struct http_cache_status status = {.hit = numbers->flags & 1,
                                       .fwd = (enum http_cache_fwd)(numbers->flags >> 1 & 7),
                                       .fwd_status = numbers->status,
                                       .stored = numbers->flags & 16,
                                       .collapsed = numbers->flags & 32,
                                       .has_ttl = numbers->flags & 64,
                                       .ttl = numbers->age,
                                       .key = some_key(asked),
                                       .detail = numbers->flags & 128 ? storing->reason : NULL};
    int length = http_cache_status_format(&status, out, sizeof out);

    REQUIRE(length > 0 && strlen(out) == (size_t)length);
}

static void decide(const struct numbers *numbers, const struct http_fields *asked,
                   const struct http_fields *answered, const struct http_fields *update)
{
    const char *method = methods[numbers->method % (sizeof methods / sizeof *methods)];
    struct http_request request = {span_of(method), HTTP_SPAN("/fuzz?x"), asked};
    struct http_response response = {numbers->status, answered};
    int64_t now = (int64_t)((uint64_t)(uint32_t)numbers->now_high << 32 | numbers->now_low);
    int64_t before = now < INT64_MIN + INT32_MAX ? now : now - (numbers->delay & INT32_MAX);
    const char *reason = NULL;

    http_request_verdict(&request, &reason);
    REQUIRE(reason && reason[0] != '\0');
    struct http_targets targets;
    struct http_place place = {HTTP_SPAN("http://o:80"), request.target, HTTP_SPAN("http"), HTTP_SPAN("h")};
    struct http_rules rules = {
        .targets = &targets, .place = &place, .unknown_statuses = true, .parts = numbers->flags & 1};
    REQUIRE(http_targets_parse(&targets, HTTP_SPAN(HTTP_TARGETS_DEFAULT)));
    struct http_storing storing = http_storing(&rules, &request, &response, before, now);
    check_storing(&storing);
    check_status(numbers, &storing, asked);
    http_may_store_incomplete(&storing, &request, &response, now);
    storing = http_storing_updated(&rules, &request, &response, update, before, now);
    check_storing(&storing);
    http_not_modified(asked, answered, now);
    http_precondition(&request, answered, now);
    http_head_effect(200, answered, 5, &(struct http_response){numbers->status, update});
    check_invalidation(answered, numbers);
    check_update(answered, update);
    check_ranges(asked, answered, (uint64_t)numbers->lifetime, now);
    check_variants(asked, answered, update);
    check_values(asked, now);
    check_values(answered, now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_fields asked, answered, update;
    struct fuzz_input input = {data, size};
    struct numbers numbers;

    fuzz_read(&input, &numbers, sizeof numbers);
    numbers.age &= INT32_MAX; /* ages and lifetimes are saturated where they arise */
    numbers.lifetime &= INT32_MAX;
    struct http_span lines = {(const char *)input.at, (uint32_t)input.left};
    read_fields(&asked, &input);
    read_fields(&answered, &input);
    read_fields(&update, &input);
    check_cache_control(&asked, &numbers);
    check_cache_control(&answered, &numbers);
    decide(&numbers, &asked, &answered, &update);
    if (http_fields_parse(&asked, lines))
        check_values(&asked, 0);
    return 0;
}
