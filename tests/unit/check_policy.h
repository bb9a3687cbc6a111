/* check_policy.h: what the tests of the caching policy share: the clock of every row, and fields to write
 * rows with. Section numbers without an RFC are RFC 9111's.
 *
 * The first member of every row is its name, by which docs and people refer to it: it stays when rows move.
 */
#ifndef LARDER_CHECK_POLICY_H
#define LARDER_CHECK_POLICY_H

#include "check_http.h"

#define NOW                       784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */
#define DATE                      "Date: Sun, 06 Nov 1994 08:49:37 GMT\n"
#define MINUTE                    "Sun, 06 Nov 1994 08:50:37 GMT"                  /* a minute later */
#define BEFORE                    "Sun, 06 Nov 1994 08:48:37 GMT"                  /* a minute earlier */
#define CHANGED                   "Last-Modified: Sun, 06 Nov 1994 08:32:57 GMT\n" /* 1000 seconds earlier */
#define ANCIENT                   "Last-Modified: Sun, 06 Nov 1904 08:49:37 GMT\n"
#define TAG                       "ETag: \"a\"\n"
#define CC                        "Cache-Control: "
#define CDN                       "CDN-Cache-Control: "
#define DAY                       86400
#define MAX                       ((int64_t)1 << 31)

/* Says which row it was. */
#define ROW_HOLDS(row, condition) ck_assert_msg(condition, "%s: %s", (row)->name, #condition)
#define ROW_EQ(row, got, wanted)                                                                             \
    ck_assert_msg((int64_t)(got) == (int64_t)(wanted), "%s: %s is %lld, not %lld", (row)->name, #got,        \
                  (long long)(got), (long long)(wanted))
#define ROW_TEXT(row, got, wanted)                                                                           \
    ck_assert_msg(strcmp(got, wanted) == 0, "%s: %s is \"%s\", not \"%s\"", (row)->name, #got, got, wanted)

/* Of a table whose rows begin with their names. */
static inline const char *name_of_row(const void *table, int row, size_t row_bytes)
{
    const char *name = NULL;

    memcpy(&name, (const char *)table + (size_t)row * row_bytes, sizeof(name));
    return name;
}

static inline void check_names(const void *table, int rows, size_t row_bytes)
{
    for (int i = 0; i < rows; i++) {
        const char *name = name_of_row(table, i, row_bytes);

        ck_assert(name && *name);
        for (int j = 0; j < i; j++)
            ck_assert_str_ne(name, name_of_row(table, j, row_bytes));
    }
}
#define CHECK_NAMES(table) check_names(table, ROWS(table), sizeof *(table))

#endif
