/* check_http.h: what the check_http_ programs share: spans and fields from literals, and a main() for a
 * suite.
 *
 * Tables are run as loop tests, one row a test, so that a failing row does not hide the next. */
#ifndef LARDER_CHECK_HTTP_H
#define LARDER_CHECK_HTTP_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "http_message.h"

#define ROWS(table)               ((int)(sizeof(table) / sizeof *(table)))
#define ADD_ROWS(tcase, f, table) tcase_add_loop_test(tcase, f, 0, ROWS(table))

static inline struct http_span span(const char *text)
{
    return (struct http_span){text, (uint32_t)strlen(text)};
}

/* "A: 1\n" "B: 2\n"; the spans point into `lines`. */
static inline struct http_fields fields_of(const char *lines)
{
    struct http_fields fields = {.count = 0};

    while (*lines) {
        const char *colon = strchr(lines, ':');
        const char *end = strchr(lines, '\n');

        ck_assert(colon && end && colon < end);
        ck_assert(http_field_add(&fields, (struct http_span){lines, (uint32_t)(colon - lines)},
                                 (struct http_span){colon + 1, (uint32_t)(end - colon - 1)}));
        lines = end + 1;
    }
    return fields;
}

/* Ends the text with a zero byte, so that it can be compared as a C string. */
static inline const char *text_end(struct http_text *text)
{
    http_text_add(text, (struct http_span){"", 1});
    ck_assert(!text->failed);
    return text->at;
}

static inline int run_suite(const char *name, void (*add_cases)(TCase *))
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    SRunner *runner = srunner_create(suite);
    int failed;

    add_cases(tcase);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
