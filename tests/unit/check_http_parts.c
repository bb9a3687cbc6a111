/* Section numbers without an RFC are RFC 9110's. */
#include "http_parts.h"

#include "check_policy.h"

#include <stdio.h>

/* "0-299 400-999": last bytes, as in Content-Range. */
static struct http_parts parts_of(uint64_t length, const char *text)
{
    struct http_parts parts = {.length = length};
    char *at = (char *)(uintptr_t)text;

    while (*at) {
        unsigned long long first = strtoull(at, &at, 10), last = strtoull(at + 1, &at, 10);

        parts.items[parts.count++] = (struct http_range){first, last + 1};
        at += *at == ' ';
    }
    return parts;
}

static const char *text_of(const struct http_parts *parts)
{
    static char text[2048];
    size_t length = 0;

    text[0] = '\0';
    for (uint32_t i = 0; i < parts->count; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "%s%llu-%llu", i ? " " : "",
                                   (unsigned long long)parts->items[i].first,
                                   (unsigned long long)parts->items[i].end - 1);
    return text;
}

static struct http_range range_of(const char *text)
{
    return parts_of(UINT64_MAX, text).items[0];
}

/* ---- what is added ---- */

static const struct {
    const char *name, *before;
    uint64_t own;
    const char *added;
    bool added_it;
    const char *after;
} additions[] = {
    {"add-first", "", 0, "100-199", true, "100-199"},
    {"add-behind", "100-199", 0, "300-399", true, "100-199 300-399"},
    {"add-before", "100-199", 0, "0-9", true, "0-9 100-199"},
    {"add-between", "0-9 100-199", 0, "20-29", true, "0-9 20-29 100-199"},
    /* each stays an object of its own: nothing is copied to join them */
    {"add-adjacent", "100-199", 0, "200-299", true, "100-199 200-299"},
    {"add-overlapping", "100-199", 0, "150-249", true, "100-199 150-249"},
    {"add-same", "100-199", 0, "100-199", false, "100-199"},
    {"add-within", "100-199", 0, "120-130", false, "100-199"},
    {"add-within-own", "", 200, "100-199", false, ""},
    {"add-behind-own", "", 200, "200-299", true, "200-299"},
    {"add-around", "100-199 300-399", 0, "50-250", true, "50-250 300-399"},
    {"add-around-all", "100-199 300-399", 0, "0-999", true, "0-999"},
    {"add-same-start", "100-199", 0, "100-299", true, "100-299"},
    {"add-same-end", "100-199 300-399", 0, "200-399", true, "100-199 200-399"},
};

START_TEST(parts_are_added)
{
    struct http_parts parts = parts_of(1000, additions[_i].before);
    struct http_range range = range_of(additions[_i].added);

    ROW_EQ(&additions[_i], http_parts_add(&parts, additions[_i].own, &range), additions[_i].added_it);
    ROW_TEXT(&additions[_i], text_of(&parts), additions[_i].after);
    ROW_HOLDS(&additions[_i],
              http_parts_has(&parts, &range) == (strstr(additions[_i].after, additions[_i].added) != NULL));
}
END_TEST

/* The smallest makes way, whatever comes. */
START_TEST(parts_are_bounded)
{
    struct http_parts parts = {.length = 1000000};
    struct http_range all = {0, 1000000}, small = {900000, 900300}, other = {800000, 800300};

    for (uint32_t i = 0; i < HTTP_PARTS_MAX; i++) {
        struct http_range range = {i * 1000, i * 1000 + 500 + (i > 2)};

        ck_assert(http_parts_add(&parts, 0, &range));
    }
    ck_assert(http_parts_add(&parts, 0, &small)); /* in the place of the first of three that are as small */
    ck_assert_uint_eq(parts.count, HTTP_PARTS_MAX);
    ck_assert_uint_eq(parts.items[0].first, 1000);
    ck_assert(http_parts_has(&parts, &small));
    ck_assert(http_parts_add(&parts, 0, &other));
    ck_assert(http_parts_has(&parts, &other) && !http_parts_has(&parts, &small));
    ck_assert_uint_eq(parts.items[0].first, 1000);
    ck_assert(http_parts_add(&parts, 0, &all));
    ck_assert_uint_eq(parts.count, 1);
}
END_TEST

START_TEST(parts_are_removed)
{
    struct http_parts parts = parts_of(1000, "0-99 50-199 300-399");

    http_parts_remove(&parts, &(struct http_range){50, 200});
    http_parts_remove(&parts, &(struct http_range){0, 99}); /* is none of them */
    ck_assert_str_eq(text_of(&parts), "0-99 300-399");
}
END_TEST

/* ---- what a range consists of ---- */

static const struct {
    const char *name, *parts;
    uint64_t own;
    const char *lost, *wanted, *pieces, *gap; /* o: own, a, b, ...: extents, -: a gap */
} covers[] = {
    {"cover-one", "100-199", 0, "", "120-129", "a120-129", ""},
    {"cover-exact", "100-199", 0, "", "100-199", "a100-199", ""},
    {"cover-adjacent", "100-199 200-299", 0, "", "150-249", "a150-199 b200-249", ""},
    {"cover-overlapping", "100-199 150-299", 0, "", "120-299", "a120-199 b200-299", ""},
    {"cover-furthest", "100-199 110-299 120-309", 0, "", "130-309", "c130-309", ""},
    {"cover-skips", "0-99 50-199 60-110", 0, "", "0-199", "a0-99 b100-199", ""},
    {"cover-own", "", 200, "", "0-199", "o0-199", ""},
    {"cover-own-and-more", "150-299", 200, "", "0-299", "o0-199 a200-299", ""},
    {"cover-whole-of-parts", "300-999", 300, "", "0-999", "o0-299 a300-999", ""},
    {"cover-nothing", "", 0, "", "0-999", "-0-999", "0-999"},
    {"cover-elsewhere", "100-199", 0, "", "300-399", "-300-399", "300-399"},
    {"cover-rest-missing", "100-199", 0, "", "150-249", "a150-199 -200-249", "200-249"},
    {"cover-start-missing", "100-199", 0, "", "50-149", "-50-99 a100-149", "50-99"},
    {"cover-middle-missing", "0-99 200-299", 0, "", "0-299", "a0-99 -100-199 b200-299", "100-199"},
    /* several gaps are fetched as one range, with what lies between them */
    {"cover-two-gaps", "100-199 300-399", 0, "", "0-399", "-0-99 a100-199 -200-299 b300-399", "0-299"},
    {"cover-lost", "0-99 100-199 200-299", 0, "b", "0-299", "a0-99 -100-199 c200-299", "100-199"},
    {"cover-lost-but-there", "0-199 100-299", 0, "b", "0-199", "a0-199", ""},
    {"cover-all-lost", "0-99 100-199", 0, "ab", "0-199", "-0-199", "0-199"},
};

static const char *text_of_pieces(const struct http_pieces *pieces)
{
    static char text[2048];
    size_t length = 0;

    text[0] = '\0';
    for (uint32_t i = 0; i < pieces->count; i++) {
        const struct http_piece *piece = &pieces->items[i];
        char source = piece->source == HTTP_PIECE_GAP   ? '-'
                      : piece->source == HTTP_PIECE_OWN ? 'o'
                                                        : (char)('a' + piece->source);

        length += (size_t)snprintf(text + length, sizeof text - length, "%s%c%llu-%llu", i ? " " : "", source,
                                   (unsigned long long)piece->range.first,
                                   (unsigned long long)piece->range.end - 1);
    }
    return text;
}

/* RFC 9111 section 3.3: what is incomplete answers what lies within it; the rest is fetched. */
START_TEST(ranges_are_covered)
{
    struct http_parts parts = parts_of(1000, covers[_i].parts);
    struct http_range wanted = range_of(covers[_i].wanted), gap;
    bool lost[HTTP_PARTS_MAX] = {false};
    struct http_pieces pieces;

    for (const char *at = covers[_i].lost; *at; at++)
        lost[*at - 'a'] = true;
    http_parts_cover(&parts, covers[_i].own, lost, &wanted, &pieces);
    ROW_TEXT(&covers[_i], text_of_pieces(&pieces), covers[_i].pieces);
    ROW_EQ(&covers[_i], http_pieces_gap(&pieces, &gap), covers[_i].gap[0] != '\0');
    if (covers[_i].gap[0]) {
        ROW_EQ(&covers[_i], gap.first, range_of(covers[_i].gap).first);
        ROW_EQ(&covers[_i], gap.end, range_of(covers[_i].gap).end);
        ROW_EQ(&covers[_i], http_pieces_spared(&pieces, &gap),
               wanted.end - wanted.first - (gap.end - gap.first));
    }
    http_parts_cover(&parts, covers[_i].own, NULL, &wanted, &pieces);
    ROW_HOLDS(&covers[_i], pieces.count > 0);
}
END_TEST

START_TEST(many_pieces_have_room)
{
    struct http_parts parts = {.length = 1000000};
    struct http_range all = {0, 1000000};
    struct http_pieces pieces;

    for (uint32_t i = 0; i < HTTP_PARTS_MAX; i++)
        http_parts_add(&parts, 0, &(struct http_range){i * 1000 + 500, i * 1000 + 900});
    http_parts_cover(&parts, 400, NULL, &all, &pieces);
    ck_assert_uint_eq(pieces.count, HTTP_PIECES_MAX - 1); /* its own body touches no gap in front of it */
    ck_assert_uint_eq(pieces.items[pieces.count - 1].range.end, 1000000);
}
END_TEST

/* ---- as it is stored ---- */

START_TEST(description_reads_back)
{
    struct http_parts parts = parts_of(1000, "0-99 50-299 900-999"), back;
    char bytes[HTTP_PARTS_BYTES(3)];

    memcpy(parts.generation, "0123456789abcdef", HTTP_PARTS_GENERATION);
    ck_assert_int_eq(http_parts_encode(&parts, bytes, sizeof bytes), sizeof bytes);
    ck_assert_int_eq(http_parts_encode(&parts, bytes, sizeof bytes - 1), -1);
    ck_assert(http_parts_decode(&back, bytes, sizeof bytes));
    ck_assert_str_eq(text_of(&back), "0-99 50-299 900-999");
    ck_assert_uint_eq(back.length, 1000);
    ck_assert_mem_eq(back.generation, "0123456789abcdef", HTTP_PARTS_GENERATION);
    for (size_t cut = 0; cut < sizeof bytes; cut++)
        ck_assert(!http_parts_decode(&back, bytes, cut));
    bytes[HTTP_PARTS_BYTES(0) - 1] = 1; /* reserved */
    ck_assert(!http_parts_decode(&back, bytes, sizeof bytes));
}
END_TEST

/* Written by another proxy of the tenant */
static const struct {
    const char *name;
    uint64_t length;
    const char *parts;
    bool sound;
} descriptions[] = {
    {"parts-none", 1000, "", true},
    {"parts-last-byte", 1000, "999-999", true},
    {"parts-largest", INT64_MAX, "0-9223372036854775806", true},
    {"parts-too-large", (uint64_t)INT64_MAX + 1, "", false},
    {"parts-overlapping", 1000, "0-99 50-199", true},
    {"parts-of-nothing", 0, "", false},
    {"parts-behind-the-end", 1000, "990-1000", false},
    {"parts-empty", 1000, "100-99", false},
    {"parts-backwards", 1000, "100-50", false},
    {"parts-unordered", 1000, "100-199 0-99", false},
    {"parts-twice", 1000, "0-99 0-99", false},
    {"parts-within", 1000, "0-99 50-99", false},
    {"parts-same-start", 1000, "0-99 0-199", false},
};

START_TEST(descriptions_are_checked)
{
    struct http_parts parts = parts_of(descriptions[_i].length, descriptions[_i].parts), back;
    char bytes[HTTP_PARTS_BYTES(2)] = {0};

    ROW_EQ(&descriptions[_i], http_parts_encode(&parts, bytes, sizeof bytes) > 0, descriptions[_i].sound);
    memcpy(bytes, &parts.length, sizeof parts.length);
    memcpy(bytes + HTTP_PARTS_BYTES(0) - 8, &parts.count, sizeof parts.count);
    memcpy(bytes + HTTP_PARTS_BYTES(0), parts.items, sizeof *parts.items * 2);
    ROW_EQ(&descriptions[_i], http_parts_decode(&back, bytes, HTTP_PARTS_BYTES(parts.count)),
           descriptions[_i].sound);
}
END_TEST

START_TEST(too_many_are_refused)
{
    struct http_parts parts = {.length = 1000, .count = HTTP_PARTS_MAX + 1};
    char bytes[HTTP_PARTS_BYTES(HTTP_PARTS_MAX + 1)] = {0};

    ck_assert_int_eq(http_parts_encode(&parts, bytes, sizeof bytes), -1);
    memcpy(bytes, &parts.length, sizeof parts.length);
    memcpy(bytes + HTTP_PARTS_BYTES(0) - 8, &parts.count, sizeof parts.count);
    ck_assert(!http_parts_decode(&parts, bytes, sizeof bytes));
}
END_TEST

/* ---- what an origin sent ---- */

#define PART "Content-Range: bytes 100-1099/5000\n"

static const struct {
    const char *name;
    int status;
    const char *fields;
    uint64_t content_length;
    bool kept;
} responses[] = {
    {"part", 206, TAG PART, 1000, true},
    {"part-by-date", 206, DATE CHANGED PART, 1000, true},
    {"part-unit-case", 206, TAG "Content-Range: Bytes 100-1099/5000\n", 1000, true},
    {"part-whole-though-small", 206, TAG "Content-Range: bytes 0-9/10\n", 10, true},
    {"part-smallest", 206, TAG "Content-Range: bytes 0-255/5000\n", 256, true},
    {"part-too-small", 206, TAG "Content-Range: bytes 0-254/5000\n", 255, false},
    {"part-of-200", 200, TAG PART, 1000, false},
    {"part-of-416", 416, TAG "Content-Range: bytes */5000\n", 0, false},
    /* RFC 9111 section 3.3: only bytes, only where Content-Range says which */
    {"part-no-range", 206, TAG, 1000, false},
    {"part-other-unit", 206, TAG "Content-Range: lines 100-1099/5000\n", 1000, false},
    {"part-bad-range", 206, TAG "Content-Range: bytes 1099-100/5000\n", 1000, false},
    {"part-range-twice", 206, TAG PART PART, 1000, false},
    {"part-unsatisfied", 206, TAG "Content-Range: bytes */5000\n", 1000, false},
    {"part-unknown-length", 206, TAG "Content-Range: bytes 100-1099/*\n", 1000, false},
    {"part-several", 206, TAG "Content-Type: multipart/byteranges; boundary=x\n", 1000, false},
    {"part-shorter-content", 206, TAG PART, 999, false},
    {"part-longer-content", 206, TAG PART, 1001, false},
    /* section 15.3.7.3: a strong validator, or it could never be joined */
    {"part-weak", 206, "ETag: W/\"a\"\n" PART, 1000, false},
    {"part-weak-and-date", 206, "ETag: W/\"a\"\n" DATE CHANGED PART, 1000, false},
    {"part-no-validator", 206, DATE PART, 1000, false},
    /* section 8.8.2.2: within the same second it may change again */
    {"part-weak-date", 206, DATE "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\n" PART, 1000, false},
};

START_TEST(responses_are_judged)
{
    struct http_fields fields = fields_of(responses[_i].fields);
    struct http_response response = {responses[_i].status, &fields};
    struct http_part part = {{0, 0}, 0};

    ROW_EQ(&responses[_i], http_part_of(&response, responses[_i].content_length, NOW, &part),
           responses[_i].kept);
    if (responses[_i].kept)
        ROW_EQ(&responses[_i], part.range.end - part.range.first, responses[_i].content_length);
}
END_TEST

/* Section 15.3.7.3, RFC 9111 section 3.4 */
static const struct {
    const char *name, *stored, *response;
    bool match;
} matches[] = {
    {"match-tag", TAG, TAG, true},
    {"match-tag-other-date", TAG CHANGED, TAG ANCIENT, true},
    {"match-tag-other", TAG, "ETag: \"b\"\n", false},
    {"match-tag-case", TAG, "ETag: \"A\"\n", false},
    {"match-weak", "ETag: W/\"a\"\n", "ETag: W/\"a\"\n", false},
    {"match-strong-and-weak", TAG, "ETag: W/\"a\"\n", false},
    {"match-weak-and-strong", "ETag: W/\"a\"\n", TAG, false},
    {"match-date", DATE CHANGED, DATE CHANGED, true},
    {"match-date-other", DATE CHANGED, DATE ANCIENT, false},
    {"match-date-weak", CHANGED, DATE CHANGED, false},
    {"match-date-to-tag", DATE CHANGED, DATE CHANGED TAG, false},
    {"match-tag-to-date", DATE CHANGED TAG, DATE CHANGED, false},
    {"match-none", DATE, DATE, false},
};

START_TEST(validators_are_compared)
{
    struct http_fields stored = fields_of(matches[_i].stored), response = fields_of(matches[_i].response);

    ROW_EQ(&matches[_i], http_parts_match(&stored, &response, NOW), matches[_i].match);
}
END_TEST

START_TEST(names_are_unique)
{
    CHECK_NAMES(additions);
    CHECK_NAMES(covers);
    CHECK_NAMES(descriptions);
    CHECK_NAMES(responses);
    CHECK_NAMES(matches);
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, parts_are_added, additions);
    tcase_add_test(tcase, parts_are_bounded);
    tcase_add_test(tcase, parts_are_removed);
    ADD_ROWS(tcase, ranges_are_covered, covers);
    tcase_add_test(tcase, many_pieces_have_room);
    tcase_add_test(tcase, description_reads_back);
    ADD_ROWS(tcase, descriptions_are_checked, descriptions);
    tcase_add_test(tcase, too_many_are_refused);
    ADD_ROWS(tcase, responses_are_judged, responses);
    ADD_ROWS(tcase, validators_are_compared, matches);
    tcase_add_test(tcase, names_are_unique);
}

int main(void)
{
    return run_suite("http_parts", add_cases);
}
