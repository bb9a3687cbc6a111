#include "http_cache_status.h"

#include <string.h>

#include "http_message.h"

#define SF_INTEGER_MAX 999999999999999 /* RFC 8941 section 3.3.1: 15 digits */

static const char *const fwd_names[] = {
    [HTTP_FWD_BYPASS] = "bypass",       [HTTP_FWD_METHOD] = "method",   [HTTP_FWD_URI_MISS] = "uri-miss",
    [HTTP_FWD_VARY_MISS] = "vary-miss", [HTTP_FWD_MISS] = "miss",       [HTTP_FWD_REQUEST] = "request",
    [HTTP_FWD_STALE] = "stale",         [HTTP_FWD_PARTIAL] = "partial",
};
_Static_assert(sizeof fwd_names / sizeof *fwd_names == HTTP_FWD_PARTIAL + 1, "one name for each reason");

static void add_text(struct http_text *text, const char *words)
{
    http_text_add(text, (struct http_span){words, (uint32_t)strlen(words)});
}

static int64_t clamp(int64_t number, int64_t low, int64_t high)
{
    return number < low ? low : number > high ? high : number;
}

/* sf-token starts with a letter or "*" (RFC 8941 section 3.3.4). */
static bool is_sf_token(struct http_span span)
{
    char first = span.length > 0 ? span.at[0] : '\0';

    return http_is_token(span) &&
           (first == '*' || (first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z'));
}

static bool is_printable(struct http_span span)
{
    for (uint32_t i = 0; i < span.length; i++) {
        if (span.at[i] < ' ' || span.at[i] > '~')
            return false;
    }
    return true;
}

/* sf-string: printable ASCII, with quotes and backslashes escaped (RFC 8941 section 3.3.3). */
static void add_sf_string(struct http_text *text, struct http_span span)
{
    add_text(text, "\"");
    if (!is_printable(span))
        text->failed = true;
    for (uint32_t i = 0; i < span.length; i++) {
        if (span.at[i] == '"' || span.at[i] == '\\')
            add_text(text, "\\");
        http_text_add(text, (struct http_span){span.at + i, 1});
    }
    add_text(text, "\"");
}

/* A String even where it could be a Token (RFC 9211 section 2.7). It is made of what clients send, so it is
 * no mistake if it cannot be shown. */
static void add_key(struct http_text *text, const char *key)
{
    struct http_span span = {key, (uint32_t)strnlen(key, HTTP_CACHE_STATUS_KEY_MAX + 1)};

    if (span.length > HTTP_CACHE_STATUS_KEY_MAX || !is_printable(span))
        return;
    add_text(text, "; key=");
    add_sf_string(text, span);
}

static void add_detail(struct http_text *text, const char *detail)
{
    struct http_span span = {detail, (uint32_t)strlen(detail)};

    add_text(text, "; detail=");
    if (is_sf_token(span))
        http_text_add(text, span);
    else
        add_sf_string(text, span);
}

static void add_forward(struct http_text *text, const struct http_cache_status *status)
{
    add_text(text, "; fwd=");
    add_text(text, fwd_names[status->fwd]);
    if (status->fwd_status != 0) {
        add_text(text, "; fwd-status=");
        http_text_add_number(text, status->fwd_status);
    }
    if (status->stored)
        add_text(text, "; stored");
    if (status->collapsed)
        add_text(text, "; collapsed");
}

int http_cache_status_format(const struct http_cache_status *status, char *out, size_t size)
{
    struct http_text text = http_text_into(out, size);

    add_text(&text, "larder");
    if (status->hit)
        add_text(&text, "; hit");
    else if (status->fwd != HTTP_FWD_NONE)
        add_forward(&text, status);
    if (status->has_ttl) {
        add_text(&text, "; ttl=");
        http_text_add_number(&text, clamp(status->ttl, -SF_INTEGER_MAX, SF_INTEGER_MAX));
    }
    if (status->key)
        add_key(&text, status->key);
    if (status->detail)
        add_detail(&text, status->detail);
    http_text_add(&text, (struct http_span){"", 1});
    return text.failed ? -1 : (int)text.length - 1;
}
