#include "http_verdict.h"

#include "check_policy.h"

#define LOOKUP     HTTP_REQUEST_LOOKUP
#define REVALIDATE HTTP_REQUEST_REVALIDATE
#define BYPASS     HTTP_REQUEST_BYPASS
#define UNSAFE     HTTP_REQUEST_UNSAFE

static const struct {
    const char *name, *method, *fields;
    enum http_request_verdict verdict;
    const char *reason;
} rows[] = {
    {"get", "GET", "Host: x\nAccept: */*\n", LOOKUP, "lookup"},
    {"head", "HEAD", "", LOOKUP, "lookup"},
    /* section 4: only the request methods that are understood; RFC 9110 section 9.1: they have case */
    {"safe-options", "OPTIONS", "", BYPASS, "method"},
    {"safe-trace", "TRACE", "", BYPASS, "method"},
    /* section 4: unsafe requests are written through */
    {"unsafe-post", "POST", "", UNSAFE, "method"},
    {"unsafe-put", "PUT", "", UNSAFE, "method"},
    {"unsafe-patch", "PATCH", "", UNSAFE, "method"},
    {"unsafe-delete", "DELETE", "", UNSAFE, "method"},
    {"unsafe-other", "PROPPATCH", "", UNSAFE, "method"},
    {"unsafe-unknown-case", "get", "", UNSAFE, "method"},
    {"unsafe-unknown-empty", "", "", UNSAFE, "method"},
    {"unsafe-whatever-fields", "POST", "Range: bytes=0-1\n" CC "no-store\n", UNSAFE, "method"},
    /* section 5.2.1.5 */
    {"no-store", "GET", CC "no-store\n", BYPASS, "no-store"},
    {"no-store-wins", "GET", CC "max-age=0, no-cache, no-store\n", BYPASS, "no-store"},
    /* section 5.2.1.4 */
    {"no-cache", "GET", CC "no-cache\n", REVALIDATE, "no-cache"},
    {"no-cache-qualified", "GET", CC "no-cache=\"x\"\n", REVALIDATE, "no-cache"},
    /* section 5.2.1.1 */
    {"max-age-0", "GET", CC "max-age=0\n", REVALIDATE, "max-age=0"},
    {"max-age-repeated", "GET", CC "max-age=9, max-age=0\n", REVALIDATE, "max-age=0"},
    {"max-age-1", "GET", CC "max-age=1\n", LOOKUP, "lookup"},
    {"max-age-invalid", "GET", CC "max-age=x\n", LOOKUP, "lookup"},
    {"others", "GET", CC "max-stale, min-fresh=5, only-if-cached\n", LOOKUP, "lookup"},
    /* section 5.4: Pragma only without Cache-Control */
    {"pragma", "GET", "Pragma: no-cache\n", REVALIDATE, "pragma"},
    {"pragma-list", "GET", "pragma: x, No-Cache\n", REVALIDATE, "pragma"},
    {"pragma-other", "GET", "Pragma: x\n", LOOKUP, "lookup"},
    {"pragma-with-cache-control", "GET", "Pragma: no-cache\n" CC "max-age=60\n", LOOKUP, "lookup"},
    {"pragma-with-empty-cache-control", "GET", "Pragma: no-cache\n" CC "\n", LOOKUP, "lookup"},
    /* section 3.3 */
    {"range", "GET", "Range: bytes=0-1\n", BYPASS, "range"},
    {"range-case", "GET", "rAnGe: bytes=0-1\n" CC "no-cache\n", BYPASS, "range"},
    {"range-no-store", "GET", "Range: bytes=0-1\n" CC "no-store\n", BYPASS, "no-store"},
    {"range-if-match", "GET", "Range: bytes=0-1\nIf-Match: \"a\"\n", BYPASS, "precondition"},
    {"range-body", "GET", "Range: bytes=0-1\nContent-Length: 1\n", BYPASS, "body"},
    {"if-range-alone", "GET", "If-Range: \"a\"\n", LOOKUP, "lookup"},
    /* RFC 9110 section 9.3.1: a body on GET */
    {"body-empty", "GET", "Content-Length: 0\n", LOOKUP, "lookup"},
    {"body", "GET", "Content-Length: 5\n", BYPASS, "body"},
    {"body-bad-length", "GET", "Content-Length: x\n", BYPASS, "body"},
    {"body-no-length", "GET", "Content-Length:\n", BYPASS, "body"},
    {"body-two-lengths", "GET", "Content-Length: 0\nContent-Length: 5\n", BYPASS, "body"},
    {"body-chunked", "GET", "Transfer-Encoding: chunked\n", BYPASS, "body"},
    /* section 4.3.2: conditions that are the origin's to check, and those that are the cache's */
    {"if-match", "GET", "If-Match: \"a\"\n", BYPASS, "precondition"},
    {"if-unmodified-since", "GET", "If-Unmodified-Since: " MINUTE "\n", BYPASS, "precondition"},
    {"if-none-match", "GET", "If-None-Match: \"a\"\nIf-Modified-Since: " MINUTE "\n", LOOKUP, "lookup"},
    /* section 3.5 concerns storing */
    {"authorization", "GET", "Authorization: Basic x\n", LOOKUP, "lookup"},
    {"same-lengths", "GET",
     "Hosts: x\nAccept: x\nIf-Catch: x\nAccept-Chars1: x\nContent-Langth: 5\nXransfer-Encoding: x\n", LOOKUP,
     "lookup"},
};

START_TEST(request_is_judged)
{
    struct http_fields fields = fields_of(rows[_i].fields);
    struct http_request request = {span(rows[_i].method), span("/"), &fields};
    const char *reason = NULL;

    ROW_EQ(&rows[_i], http_request_verdict(&request, &reason), rows[_i].verdict);
    ROW_TEXT(&rows[_i], reason, rows[_i].reason);
    ROW_EQ(&rows[_i], http_request_verdict(&request, NULL), rows[_i].verdict);
}
END_TEST

START_TEST(names_are_unique)
{
    CHECK_NAMES(rows);
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, request_is_judged, rows);
    tcase_add_test(tcase, names_are_unique);
}

int main(void)
{
    return run_suite("http_verdict", add_cases);
}
