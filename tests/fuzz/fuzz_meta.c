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
    struct http_parts parts;
    int length = http_meta_encode(&meta->head, fields, blob, sizeof blob);

    if (meta->head.flags & HTTP_META_PARTS) {
        REQUIRE(http_parts_decode(&parts, meta->parts.at, meta->parts.length));
        length = http_meta_add_parts(blob, length, sizeof blob, &parts);
    }
    if (length < 0) {
        REQUIRE(!dated);
        REQUIRE(fields->count == HTTP_MAX_FIELDS ||
                meta->fields.length + meta->parts.length + 64 > HTTP_META_MAX - sizeof(meta->head));
        return;
    }
    REQUIRE(http_meta_decode(&again, blob, (size_t)length));
    REQUIRE(again.head.status == meta->head.status && again.head.flags == meta->head.flags);
    REQUIRE(again.head.response_time == meta->head.response_time);
    REQUIRE(again.head.lifetime == meta->head.lifetime && again.head.initial_age == meta->head.initial_age);
    REQUIRE(again.head.stale_while_revalidate == meta->head.stale_while_revalidate);
    REQUIRE(again.head.stale_if_error == meta->head.stale_if_error);
    REQUIRE(http_span_equal(again.parts, meta->parts));
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

/* Pieces lie one behind the other and make up what is wanted, whatever is there. */
static void check_pieces(const struct http_parts *parts, uint64_t own, const bool *lost)
{
    struct http_range wanted = {parts->length / 3, parts->length};
    struct http_pieces pieces;
    uint64_t at = wanted.first;

    http_parts_cover(parts, own, lost, &wanted, &pieces);
    for (uint32_t i = 0; i < pieces.count; i++) {
        const struct http_piece *piece = &pieces.items[i];

        REQUIRE(piece->range.first == at && piece->range.end > at);
        REQUIRE(piece->source != HTTP_PIECE_OWN || piece->range.end <= own);
        if (piece->source >= 0)
            REQUIRE(!lost[piece->source] && piece->range.first >= parts->items[piece->source].first &&
                    piece->range.end <= parts->items[piece->source].end);
        at = piece->range.end;
    }
    REQUIRE(at == wanted.end);
}

/* A description, and what the lines of a 206 would add to it. */
static void try_parts(const uint8_t *data, size_t size)
{
    static char bytes[HTTP_PARTS_BYTES(HTTP_PARTS_MAX)];
    struct http_parts parts, again;
    bool lost[HTTP_PARTS_MAX];
    size_t length = size < sizeof bytes ? size : sizeof bytes;

    for (; length >= HTTP_PARTS_BYTES(0); length--) {
        if (http_parts_decode(&parts, data, length))
            break;
    }
    if (length < HTTP_PARTS_BYTES(0))
        return;
    for (uint32_t i = 0; i < HTTP_PARTS_MAX; i++)
        lost[i] = data[i] & 1;
    for (uint64_t own = 0; own <= parts.length && own < 64; own += 31) {
        check_pieces(&parts, own, lost);
        http_parts_add(&parts, own, &(struct http_range){parts.length / 2, parts.length});
        REQUIRE(http_parts_encode(&parts, bytes, sizeof bytes) > 0);
        REQUIRE(http_parts_decode(&again, bytes, HTTP_PARTS_BYTES(parts.count)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_blob(data, size);
    try_parts(data, size);
    if (size >= sizeof(struct http_meta_head))
        try_lines(data + sizeof(struct http_meta_head), size - sizeof(struct http_meta_head));
    return 0;
}
