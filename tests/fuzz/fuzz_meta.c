/* Stored metadata, which any proxy of the tenant may have written: what decodes is sound, and encoding it
 * again gives something that decodes to the same. */
#include "fuzz.h"

#include "http_date.h"
#include "http_meta.h"

static void check_head(const struct http_meta_head *head)
{
    static const int64_t times[] = {INT64_MIN, -1, 0, 1, 1800000000, (int64_t)1 << 40, INT64_MAX};

    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        int64_t age = http_meta_age(head, times[i]);
        REQUIRE(age >= head->initial_age && age <= (int64_t)1 << 31);
    }
    REQUIRE(head->status >= 200 && head->status <= 599);
}

/* Whatever decodes may be sent to a client, so no line may end it early or decide how long the body is. */
static void check_fields(const struct http_fields *fields)
{
    for (uint32_t i = 0; i < fields->count; i++) {
        const struct http_field *field = &fields->items[i];

        REQUIRE(http_is_token(field->name));
        REQUIRE(!http_name_is(field, "content-length") && !http_name_is(field, "transfer-encoding"));
        REQUIRE(field->value.length == 0 || !memchr(field->value.at, '\n', field->value.length));
        REQUIRE(field->value.length == 0 || !memchr(field->value.at, '\r', field->value.length));
    }
}

/* White space around a value is not kept, so the lines may shrink, and a Date is added where there is none.
 */
static void encode_again(const struct http_meta *meta, const struct http_fields *fields)
{
    static char blob[HTTP_META_MAX];
    struct http_fields again_fields;
    struct http_meta again;
    bool dated = http_field_find(fields, "date", NULL) != NULL;
    int length = http_meta_encode(&meta->head, fields, blob, sizeof blob);

    if (length < 0) {
        REQUIRE(!dated);
        REQUIRE(fields->count == HTTP_MAX_FIELDS ||
                meta->fields.length + 64 > HTTP_META_MAX - sizeof(meta->head));
        return;
    }
    REQUIRE(http_meta_decode(&again, blob, (size_t)length));
    REQUIRE(again.head.status == meta->head.status && again.head.flags == meta->head.flags);
    REQUIRE(again.head.response_time == meta->head.response_time);
    REQUIRE(again.head.lifetime == meta->head.lifetime && again.head.initial_age == meta->head.initial_age);
    REQUIRE(again.head.stale_while_revalidate == meta->head.stale_while_revalidate);
    REQUIRE(again.head.stale_if_error == meta->head.stale_if_error);
    REQUIRE(http_fields_parse(&again_fields, again.fields));
    REQUIRE(again_fields.count == fields->count + (dated ? 0 : 1));
    for (uint32_t i = 0; i < fields->count; i++) {
        REQUIRE(http_span_equal(fields->items[i].name, again_fields.items[i].name));
        REQUIRE(http_span_equal(fields->items[i].value, again_fields.items[i].value));
    }
}

static void try_blob(const uint8_t *data, size_t size)
{
    struct http_meta meta;
    struct http_fields fields;

    if (!http_meta_decode(&meta, data, size))
        return;
    check_head(&meta.head);
    REQUIRE(http_fields_parse(&fields, meta.fields));
    check_fields(&fields);
    encode_again(&meta, &fields);
}

/* The same bytes behind a head whose length and magic are right, so that the lines are reached. */
static void try_lines(const uint8_t *data, size_t size)
{
    struct http_meta_head head = {.magic = HTTP_META_MAGIC, .status = 200, .response_time = 1800000000};
    uint8_t *blob = malloc(sizeof head + size);

    REQUIRE(blob);
    head.fields_length = (uint32_t)size;
    memcpy(blob, &head, sizeof head);
    if (size > 0)
        memcpy(blob + sizeof head, data, size);
    try_blob(blob, sizeof head + size);
    free(blob);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_blob(data, size);
    if (size >= sizeof(struct http_meta_head))
        try_lines(data + sizeof(struct http_meta_head), size - sizeof(struct http_meta_head));
    return 0;
}
