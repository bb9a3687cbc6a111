#include "http_conditional.h"
#include "http_range.h"

#include "check_policy.h"

#define INM "If-None-Match: "
#define IMS "If-Modified-Since: "

/* ---- Conditional requests, RFC 9110 section 13 ---- */

static const struct {
    const char *name, *request, *stored;
    bool not_modified;
} conditions[] = {
    {"none", "", TAG CHANGED, false},
    /* section 13.1.2: weak comparison (8.8.3.2), lists, "*" */
    {"inm", INM "\"a\"\n", TAG, true},
    {"inm-weak", INM "W/\"a\"\n", TAG, true},
    {"inm-stored-weak", INM "\"a\"\n", "ETag: W/\"a\"\n", true},
    {"inm-both-weak", INM "W/\"a\"\n", "ETag: W/\"a\"\n", true},
    {"inm-other", INM "\"b\"\n", TAG, false},
    {"inm-case", INM "\"A\"\n", TAG, false},
    {"inm-weak-case", INM "w/\"a\"\n", TAG, false},
    {"inm-list", INM "\"b\", W/\"c\",\"a\"\n", TAG, true},
    {"inm-list-empty-elements", INM ", ,\t\"a\" ,\n", TAG, true},
    {"inm-lines", INM "\"b\"\n" INM "\"a\"\n", TAG, true},
    {"inm-comma-in-tag", INM "\"b, a\", \"c\"\n", "ETag: \"b, a\"\n", true},
    {"inm-bad-quotes", INM "\"b,\"a\"\n", TAG, false},
    {"inm-star", INM "*\n", TAG, true},
    {"inm-star-no-tag", INM "*\n", "", true},
    {"inm-star-quoted-stored", INM "*\n", "ETag: \"*\"\n", true},
    {"inm-star-quoted", INM "\"*\"\n", TAG, false},
    {"inm-star-in-list", INM "\"x\", *\n", TAG, false},
    {"inm-no-tag", INM "\"a\"\n", "", false},
    {"inm-empty", INM "\n", TAG, false},
    {"inm-empty-tags", INM "\"\"\n", "ETag: \"\"\n", true},
    {"inm-empty-stored", INM "\"\"\n", "ETag:\n", false},
    {"inm-both-empty", INM "\n", "ETag:\n", false},
    {"inm-weak-only", INM "W/\n", "ETag: W/\n", false},
    /* section 8.8.3: no escapes */
    {"inm-backslash", INM "\"a\\\", \"b\"\n", "ETag: \"a\\\"\n", true},
    {"inm-behind-backslash", INM "\"a\\\", \"b\"\n", "ETag: \"b\"\n", true},
    /* damaged tags match nothing but themselves */
    {"inm-open", INM "\"a\n", TAG, false},
    {"inm-tail", INM "\"a\"x\n", TAG, false},
    {"inm-unquoted", INM "a\n", TAG, false},
    {"inm-unquoted-stored", INM "a\n", "ETag: a\n", true},
    {"inm-unquoted-against-quoted", INM "\"a\"\n", "ETag: a\n", false},
    {"inm-obs-text", INM "\"\xc3\xbc\"\n", "ETag: \"\xc3\xbc\"\n", true},
    {"inm-unquoted-list", INM "\"b\", a\n", "ETag: a\n", true},
    /* section 13.1.3, all three formats (5.6.7) */
    {"ims-same", IMS BEFORE "\n", "Last-Modified: " BEFORE "\n", true},
    {"ims-later", IMS MINUTE "\n", "Last-Modified: " BEFORE "\n", true},
    {"ims-earlier", IMS BEFORE "\n", "Last-Modified: " MINUTE "\n", false},
    {"ims-rfc850", IMS "Sunday, 06-Nov-94 08:48:37 GMT\n", "Last-Modified: " BEFORE "\n", true},
    {"ims-asctime", IMS "Sun Nov  6 08:48:37 1994\n", "Last-Modified: " BEFORE "\n", true},
    {"ims-rfc850-earlier", IMS "Sunday, 06-Nov-94 08:48:36 GMT\n", "Last-Modified: " BEFORE "\n", false},
    {"ims-stored-asctime", IMS BEFORE "\n", "Last-Modified: Sun Nov  6 08:48:37 1994\n", true},
    /* section 13.2.2: only where there is no If-None-Match */
    {"ims-and-inm", INM "\"b\"\n" IMS MINUTE "\n", TAG "Last-Modified: " BEFORE "\n", false},
    {"ims-before-inm", IMS MINUTE "\n" INM "\"b\"\n", "Last-Modified: " BEFORE "\n", false},
    {"inm-and-earlier-ims", INM "\"a\"\n" IMS BEFORE "\n", TAG "Last-Modified: " MINUTE "\n", true},
    /* no date, or several: ignored */
    {"ims-bad", IMS "x\n", "Last-Modified: " BEFORE "\n", false},
    {"ims-empty", IMS "\n", "Last-Modified: " BEFORE "\n", false},
    {"ims-several", IMS MINUTE "\n" IMS MINUTE "\n", "Last-Modified: " BEFORE "\n", false},
    {"ims-bad-stored", IMS MINUTE "\n", "Last-Modified: x\n" DATE, false},
    /* RFC 9111 section 4.3.2: Date takes the place of Last-Modified, or else the time of arrival */
    {"ims-date", IMS MINUTE "\n", DATE, true},
    {"ims-date-earlier", IMS BEFORE "\n", DATE, false},
    {"ims-arrival", IMS MINUTE "\n", TAG, true},
    {"ims-arrival-earlier", IMS BEFORE "\n", TAG, false},
};

START_TEST(conditions_are_answered)
{
    struct http_fields request = fields_of(conditions[_i].request), stored = fields_of(conditions[_i].stored);

    ROW_EQ(&conditions[_i], http_not_modified(&request, &stored, NOW), conditions[_i].not_modified);
}
END_TEST

START_TEST(hostile_conditions_are_answered)
{
    struct http_fields request = {.count = 0}, stored = fields_of(TAG);
    char *quotes = malloc(16384);

    ck_assert(http_field_add(&request, span("If-None-Match"), (struct http_span){"\"a\0\"", 4}));
    ck_assert(http_field_add(&request, span("If-None-Match"), (struct http_span){NULL, 0}));
    ck_assert(http_field_add(&request, span("If-None-Match"), (struct http_span){"W", 1}));
    ck_assert(http_field_add(&request, span("If-None-Match"), (struct http_span){"W/", 2}));
    memset(quotes, '"', 16384);
    while (http_field_add(&request, span("If-None-Match"), (struct http_span){quotes, 16383}))
        ;
    ck_assert(!http_not_modified(&request, &stored, NOW));
    request.items[HTTP_MAX_FIELDS - 1].value = span("\"a\"");
    ck_assert(http_not_modified(&request, &stored, NOW));
    free(quotes);
}
END_TEST

/* RFC 9110 section 13.2.2, RFC 9111 section 4.3.2: what the cache evaluates, and in which order */
static const struct {
    const char *name, *method, *request;
    enum http_precondition result;
} preconditions[] = {
    {"precondition-none", "GET", "", HTTP_PRECONDITION_NONE},
    {"precondition-inm", "GET", INM "\"a\"\n", HTTP_PRECONDITION_NOT_MODIFIED},
    {"precondition-inm-head", "HEAD", INM "\"a\"\n", HTTP_PRECONDITION_NOT_MODIFIED},
    {"precondition-inm-other", "GET", INM "\"b\"\n", HTTP_PRECONDITION_NONE},
    {"precondition-ims", "GET", IMS MINUTE "\n", HTTP_PRECONDITION_NOT_MODIFIED},
    {"precondition-if-match", "GET", "If-Match: \"a\"\n", HTTP_PRECONDITION_ORIGIN},
    {"precondition-if-match-first", "GET", INM "\"a\"\nIf-Match: \"a\"\n", HTTP_PRECONDITION_ORIGIN},
    {"precondition-if-unmodified", "GET", "If-Unmodified-Since: " BEFORE "\n" INM "\"a\"\n",
     HTTP_PRECONDITION_ORIGIN},
    {"precondition-put", "PUT", INM "*\n", HTTP_PRECONDITION_ORIGIN},
    {"precondition-post", "POST", IMS MINUTE "\n", HTTP_PRECONDITION_ORIGIN},
};

START_TEST(preconditions_have_an_order)
{
    struct http_fields fields = fields_of(preconditions[_i].request), stored = fields_of(TAG CHANGED);
    struct http_request request = {span(preconditions[_i].method), span("/"), &fields};

    ROW_EQ(&preconditions[_i], http_precondition(&request, &stored, NOW), preconditions[_i].result);
}
END_TEST

/* ---- Validators ---- */

static const struct {
    const char *name, *fields;
    bool any;
    const char *strong; /* NULL: none */
    const char *none_match, *modified_since;
} validators[] = {
    {"validator-none", DATE, false, NULL, "", ""},
    {"validator-etag", DATE TAG, true, "\"a\"", "\"a\"", ""},
    {"validator-weak-etag", DATE "ETag: W/\"a\"\n", true, NULL, "W/\"a\"", ""},
    {"validator-empty-etag", DATE "ETag:\n", false, NULL, "", ""},
    {"validator-unquoted-etag", DATE "ETag: a\n", true, NULL, "a", ""},
    /* RFC 9110 section 8.8.2.2 */
    {"validator-date", DATE CHANGED, true, "Sun, 06 Nov 1994 08:32:57 GMT", "",
     "Sun, 06 Nov 1994 08:32:57 GMT"},
    {"validator-date-same", DATE "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\n", true, NULL, "",
     "Sun, 06 Nov 1994 08:49:37 GMT"},
    {"validator-date-no-date", CHANGED, true, NULL, "", "Sun, 06 Nov 1994 08:32:57 GMT"},
    /* RFC 9110 section 13.1.3: what is no date would be ignored */
    {"validator-date-bad", DATE "Last-Modified: x\n", false, NULL, "", ""},
    {"validator-etag-and-bad-date", DATE TAG "Last-Modified: x\n", true, "\"a\"", "\"a\"", ""},
    {"validator-date-rfc850", DATE "Last-Modified: Sunday, 06-Nov-94 08:32:57 GMT\n", true,
     "Sunday, 06-Nov-94 08:32:57 GMT", "", "Sunday, 06-Nov-94 08:32:57 GMT"},
    /* RFC 9111 section 4.3.1: both are sent */
    {"validator-both", DATE TAG "Last-Modified: " BEFORE "\n", true, "\"a\"", "\"a\"", BEFORE},
    {"validator-weak-etag-and-date", DATE CHANGED "ETag: W/\"a\"\n", true, NULL, "W/\"a\"",
     "Sun, 06 Nov 1994 08:32:57 GMT"},
};

START_TEST(validators_are_found)
{
    struct http_fields fields = fields_of(validators[_i].fields);
    struct http_validators sent = http_validators(&fields);
    struct http_span strong;
    bool is_strong = http_strong_validator(&fields, NOW, &strong);

    ROW_EQ(&validators[_i], http_has_validator(&fields, NOW), validators[_i].any);
    ROW_EQ(&validators[_i], is_strong, !!validators[_i].strong);
    if (is_strong)
        ROW_HOLDS(&validators[_i], http_span_equal(strong, span(validators[_i].strong)));
    ROW_HOLDS(&validators[_i], http_span_equal(sent.none_match, span(validators[_i].none_match)));
    ROW_HOLDS(&validators[_i], http_span_equal(sent.modified_since, span(validators[_i].modified_since)));
}
END_TEST

/* ---- 304, RFC 9111 sections 4.3.4 and 3.2 ---- */

static const struct {
    const char *name, *stored, *update;
    enum http_update_match match;
} matches[] = {
    {"match-strong", TAG, TAG, HTTP_UPDATE_STRONG},
    {"match-strong-other", TAG, "ETag: \"b\"\n", HTTP_UPDATE_NO},
    {"match-strong-stored-weak", "ETag: W/\"a\"\n", TAG, HTTP_UPDATE_NO},
    {"match-strong-stored-none", CHANGED, TAG, HTTP_UPDATE_NO},
    {"match-strong-whatever-date", TAG CHANGED, TAG ANCIENT, HTTP_UPDATE_STRONG},
    {"match-weak", "ETag: W/\"a\"\n", "ETag: W/\"a\"\n", HTTP_UPDATE_WEAK},
    {"match-weak-stored-strong", TAG, "ETag: W/\"a\"\n", HTTP_UPDATE_WEAK},
    {"match-weak-other", "ETag: W/\"b\"\n", "ETag: W/\"a\"\n", HTTP_UPDATE_NO},
    {"match-date", CHANGED, CHANGED, HTTP_UPDATE_WEAK},
    {"match-date-other", CHANGED, ANCIENT, HTTP_UPDATE_NO},
    {"match-date-stored-none", TAG, CHANGED, HTTP_UPDATE_NO},
    /* no validator: it updates a response that has none either */
    {"match-unnamed", TAG CHANGED, DATE, HTTP_UPDATE_CONFIRMED},
    {"match-unnamed-stored-tag", TAG, "", HTTP_UPDATE_CONFIRMED},
    {"match-unnamed-stored-weak-tag", "ETag: W/\"a\"\n", "", HTTP_UPDATE_CONFIRMED},
    {"match-unnamed-stored-date", CHANGED, CC "max-age=60\n", HTTP_UPDATE_CONFIRMED},
    {"match-unnamed-stored-none", "", "", HTTP_UPDATE_UNNAMED},
    {"match-weak-stored-none", "", "ETag: W/\"a\"\n", HTTP_UPDATE_NO},
    {"match-date-stored-nothing", "", CHANGED, HTTP_UPDATE_NO},
};

START_TEST(update_is_matched)
{
    struct http_fields stored = fields_of(matches[_i].stored), update = fields_of(matches[_i].update);

    ROW_EQ(&matches[_i], http_update_match(&stored, &update), matches[_i].match);
    ROW_EQ(&matches[_i], http_update_matches(&stored, &update), matches[_i].match != HTTP_UPDATE_NO);
}
END_TEST

static const struct {
    const char *name, *stored, *update, *merged; /* NULL: refused */
} merges[] = {
    {"merge-nothing", "A: 1\nB: 2\n", "", "A: 1\r\nB: 2\r\n"},
    {"merge-added", "", "A: 1\n", "A: 1\r\n"},
    /* replaced in place, whatever the case; new ones behind */
    {"merge-replaced", "Date: x\nA: 1\nB: 2\n", "C: 9\na: 8\nDate: y\n",
     "Date: y\r\na: 8\r\nB: 2\r\nC: 9\r\n"},
    /* all lines of one name by all lines of that name */
    {"merge-two-by-one", "A: 1\nB: 2\nA: 3\n", "A: 4\n", "A: 4\r\nB: 2\r\n"},
    {"merge-one-by-two", "A: 1\nB: 2\n", "A: 4\nC: 5\nA: 6\n", "A: 4\r\nA: 6\r\nB: 2\r\nC: 5\r\n"},
    {"merge-none-by-two", "B: 2\n", "A: 4\nA: 6\n", "B: 2\r\nA: 4\r\nA: 6\r\n"},
    {"merge-empty", "A: 1\n", "A:\n", "A: \r\n"},
    /* the name's beginning is no reason: Content-Type and the like are updated */
    {"merge-content-type", "Content-Type: a\n", "content-type: b\nContent-Language: de\n",
     "content-type: b\r\nContent-Language: de\r\n"},
    {"merge-content-location", "A: 1\n", "Content-Location: /c\n", "A: 1\r\nContent-Location: /c\r\n"},
    {"merge-cache-control", "Cache-Control: a\nExpires: 1\nETag: \"a\"\n",
     "Cache-Control: b\nExpires: 2\nETag: W/\"a\"\n", "Cache-Control: b\r\nExpires: 2\r\nETag: W/\"a\"\r\n"},
    {"merge-set-cookie", "Set-Cookie: a\n", "Set-Cookie: b\n", "Set-Cookie: b\r\n"},
    /* what the stored bytes depend upon stays, and is not added either */
    {"merge-not-coding", "Content-Encoding: gzip\n", "Content-Encoding: br\n", "Content-Encoding: gzip\r\n"},
    {"merge-no-coding-added", "A: 1\n", "Content-Encoding: br\n", "A: 1\r\n"},
    {"merge-no-range-no-length", "A: 1\n", "Content-Range: bytes 0-1/2\nContent-Length: 0\n", "A: 1\r\n"},
    /* section 3.1: hop-by-hop fields, the proxy's own, and the 304's Age do not enter */
    {"merge-not-hop-by-hop", "A: 1\nX: 2\n",
     "Connection: x\nX: 3\nKeep-Alive: 5\nTransfer-Encoding: chunked\nAge: 5\nProxy-Authenticate: y\n",
     "A: 1\r\nX: 2\r\n"},
    {"merge-stored-age", "A: 1\nAge: 7\nContent-Length: 3\n", "", "A: 1\r\n"},
    /* a line that would not read back */
    {"merge-bad-update", "A: 1\n", "B: x\ry\n", NULL},
    {"merge-bad-stored", "A B: 1\n", "", NULL},
};

START_TEST(update_is_merged)
{
    struct http_fields stored = fields_of(merges[_i].stored), update = fields_of(merges[_i].update);
    char out[256];
    int length = http_update_fields(&stored, &update, out, sizeof out);

    if (!merges[_i].merged) {
        ROW_EQ(&merges[_i], length, -1);
        return;
    }
    ROW_HOLDS(&merges[_i], length >= 0 && http_span_equal((struct http_span){out, (uint32_t)length},
                                                          span(merges[_i].merged)));
    for (size_t size = 0; size < (size_t)length; size++) {
        char *small = malloc(size + !size);

        ROW_EQ(&merges[_i], http_update_fields(&stored, &update, small, size), -1);
        free(small);
    }
}
END_TEST

START_TEST(largest_update_is_merged)
{
    struct http_fields stored = {.count = 0}, update = {.count = 0};
    static char out[2 * HTTP_MAX_FIELDS * 6];

    while (http_field_add(&stored, span("A"), span("1")) && http_field_add(&update, span("B"), span("2")))
        ;
    ck_assert_int_eq(http_update_fields(&stored, &update, out, sizeof out), (int)sizeof out);
    ck_assert_int_eq(http_update_fields(&stored, &stored, out, sizeof out), (int)sizeof out / 2);
}
END_TEST

/* ---- What a 304 repeats, RFC 9110 section 15.4.5 ---- */

static const struct {
    const char *name, *fields, *repeated;
} repetitions[] = {
    {"repeats-all-six", "Content-Location: /a\nDate: x\nETag: \"a\"\nVary: x\nCache-Control: x\nExpires: x\n",
     "Content-Location Date ETag Vary Cache-Control Expires "},
    {"repeats-no-content-fields",
     "content-type: x\nContent-Encoding: x\nContent-Language: x\nContent-Length: 1\nContent-Range: x\nA: x\n",
     "A "},
    {"repeats-date-without-tag", "Last-Modified: x\nA: x\n", "Last-Modified A "},
    {"repeats-no-date-beside-tag", "Last-Modified: x\nETag: W/\"a\"\n", "ETag "},
    /* fields of the response, not of its content */
    {"repeats-others", "Content-Security-Policy: x\nSet-Cookie: x\nAccept-Ranges: x\n",
     "Content-Security-Policy Set-Cookie Accept-Ranges "},
};

START_TEST(not_modified_repeats_little)
{
    struct http_fields fields = fields_of(repetitions[_i].fields);
    char buffer[256];
    struct http_text got = http_text_into(buffer, sizeof buffer);

    for (uint32_t i = 0; i < fields.count; i++) {
        if (!http_guides_update(&fields, &fields.items[i]))
            continue;
        http_text_add(&got, fields.items[i].name);
        http_text_add(&got, span(" "));
    }
    ROW_TEXT(&repetitions[_i], text_end(&got), repetitions[_i].repeated);
}
END_TEST

/* ---- HEAD, RFC 9111 section 4.3.5; the stored body has 5 bytes ---- */

static const struct {
    const char *name;
    int stored_status;
    const char *stored;
    int status;
    const char *head;
    enum http_head_effect effect;
} heads[] = {
    {"head-same", 200, TAG CHANGED, 200, TAG CHANGED "Content-Length: 5\n", HTTP_HEAD_FRESHENS},
    {"head-no-validator", 200, "", 200, DATE, HTTP_HEAD_FRESHENS},
    {"head-fewer-validators", 200, TAG CHANGED, 200, TAG, HTTP_HEAD_FRESHENS},
    {"head-other-etag", 200, TAG, 200, "ETag: \"b\"\n", HTTP_HEAD_INVALIDATES},
    {"head-weaker-etag", 200, TAG, 200, "ETag: W/\"a\"\n", HTTP_HEAD_INVALIDATES},
    {"head-other-date", 200, TAG CHANGED, 200, TAG ANCIENT, HTTP_HEAD_INVALIDATES},
    {"head-new-validator", 200, "", 200, TAG, HTTP_HEAD_INVALIDATES},
    {"head-other-length", 200, TAG, 200, TAG "Content-Length: 6\n", HTTP_HEAD_INVALIDATES},
    {"head-bad-length", 200, TAG, 200, TAG "Content-Length: x\n", HTTP_HEAD_INVALIDATES},
    {"head-stored-other-status", 404, TAG, 200, TAG, HTTP_HEAD_INVALIDATES},
    {"head-not-modified", 200, TAG, 304, TAG, HTTP_HEAD_NOTHING},
    {"head-not-found", 200, TAG, 404, "", HTTP_HEAD_NOTHING},
    {"head-error", 200, TAG, 503, "", HTTP_HEAD_NOTHING},
};

START_TEST(head_has_effects)
{
    struct http_fields stored = fields_of(heads[_i].stored), fields = fields_of(heads[_i].head);
    struct http_response head = {heads[_i].status, &fields};

    ROW_EQ(&heads[_i], http_head_effect(heads[_i].stored_status, &stored, 5, &head), heads[_i].effect);
}
END_TEST

START_TEST(names_are_unique)
{
    CHECK_NAMES(conditions);
    CHECK_NAMES(preconditions);
    CHECK_NAMES(validators);
    CHECK_NAMES(matches);
    CHECK_NAMES(merges);
    CHECK_NAMES(repetitions);
    CHECK_NAMES(heads);
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, conditions_are_answered, conditions);
    tcase_add_test(tcase, hostile_conditions_are_answered);
    ADD_ROWS(tcase, preconditions_have_an_order, preconditions);
    ADD_ROWS(tcase, validators_are_found, validators);
    ADD_ROWS(tcase, update_is_matched, matches);
    ADD_ROWS(tcase, update_is_merged, merges);
    tcase_add_test(tcase, largest_update_is_merged);
    ADD_ROWS(tcase, not_modified_repeats_little, repetitions);
    ADD_ROWS(tcase, head_has_effects, heads);
    tcase_add_test(tcase, names_are_unique);
}

int main(void)
{
    return run_suite("http_conditional", add_cases);
}
