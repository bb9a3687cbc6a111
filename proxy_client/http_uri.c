#include "http_uri.h"

#include <string.h>

struct uri {
    bool has_authority, has_query;
    struct http_span scheme, authority, path, query;
};

static struct http_span between(const char *from, const char *to)
{
    return (struct http_span){from, (uint32_t)(to - from)};
}

static const char *find_any(const char *at, const char *end, const char *stops)
{
    while (at < end && !strchr(stops, *at))
        at++;
    return at;
}

/* Visible ASCII only, which also keeps zero bytes from strchr(). */
static bool is_visible(struct http_span text)
{
    for (uint32_t i = 0; i < text.length; i++) {
        if (text.at[i] <= ' ' || text.at[i] > '~')
            return false;
    }
    return true;
}

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* RFC 3986 appendix B. False: no reference. */
static bool uri_split(struct uri *out, struct http_span text)
{
    const char *at = text.at, *end, *stop;

    *out = (struct uri){0};
    if (text.length == 0 || !is_visible(text))
        return text.length == 0;
    end = find_any(at, at + text.length, "#");
    stop = find_any(at, end, ":/?");
    if (stop < end && *stop == ':') {
        if (!is_alpha(*at))
            return false;
        out->scheme = between(at, stop);
        at = stop + 1;
    }
    if (end - at >= 2 && at[0] == '/' && at[1] == '/') {
        stop = find_any(at + 2, end, "/?");
        out->has_authority = true;
        out->authority = between(at + 2, stop);
        at = stop;
    }
    stop = find_any(at, end, "?");
    out->path = between(at, stop);
    out->has_query = stop < end;
    out->query = between(out->has_query ? stop + 1 : end, end);
    return true;
}

static struct http_span default_port(struct http_span scheme)
{
    return http_span_equal_nocase(scheme, HTTP_SPAN("https")) ? HTTP_SPAN("443") : HTTP_SPAN("80");
}

/* The port's colon is the last one, behind an IPv6 address. */
static void authority_split(struct http_span authority, struct http_span scheme, struct http_span *host,
                            struct http_span *port)
{
    uint32_t at = authority.length;

    while (at > 0 && authority.at[at - 1] >= '0' && authority.at[at - 1] <= '9')
        at--;
    *host = authority;
    *port = default_port(scheme);
    if (at == 0 || authority.at[at - 1] != ':')
        return;
    host->length = at - 1;
    if (at < authority.length)
        *port = (struct http_span){authority.at + at, authority.length - at};
}

/* RFC 9110 section 4.3.1: scheme, host and port make an origin. User information would make it another URI.
 */
static bool same_origin(struct http_span scheme_a, struct http_span a, struct http_span scheme_b,
                        struct http_span b)
{
    struct http_span host_a, port_a, host_b, port_b;

    authority_split(a, scheme_a, &host_a, &port_a);
    authority_split(b, scheme_b, &host_b, &port_b);
    return host_a.length > 0 && http_span_equal_nocase(scheme_a, scheme_b) &&
           http_span_equal_nocase(host_a, host_b) && http_span_equal(port_a, port_b);
}

/* Section 5.2.4, in place; the path starts with a slash. */
static size_t remove_dots(char *path, size_t length)
{
    size_t out = 0, end;

    for (size_t at = 0; at < length; at = end) {
        const char *slash = memchr(path + at + 1, '/', length - at - 1);
        size_t size;

        end = slash ? (size_t)(slash - path) : length;
        size = end - at - 1;
        if (size == 2 && memcmp(path + at, "/..", 3) == 0) {
            while (out > 0 && path[--out] != '/')
                ;
        } else if (size != 1 || path[at + 1] != '.') {
            memmove(path + out, path + at, end - at);
            out += end - at;
            continue;
        }
        if (end == length)
            path[out++] = '/';
    }
    return out;
}

static bool starts_with_path(const char *path, size_t length, struct http_span base)
{
    return length >= base.length && (base.length == 0 || memcmp(path, base.at, base.length) == 0) &&
           (length == base.length || path[base.length] == '/');
}

/* Section 5.2.3: what stands before the reference's path. */
static void add_directory(struct http_text *text, struct http_span base_path, struct http_span target_path)
{
    while (target_path.length > 0 && target_path.at[target_path.length - 1] != '/')
        target_path.length--;
    http_text_add(text, base_path);
    http_text_add(text, target_path);
}

/* The path of the reference, written behind whatever it is relative to; dots and base path are taken off. */
static bool write_path(struct http_text *text, const struct uri *reference, struct http_span base_path,
                       struct http_span target_path, bool is_clients)
{
    size_t length;

    if (!reference->has_authority && reference->path.length == 0) {
        http_text_add(text, target_path);
        return !text->failed;
    }
    if (!reference->has_authority && reference->path.at[0] != '/')
        add_directory(text, base_path, target_path);
    http_text_add(text, reference->path.length > 0 ? reference->path : HTTP_SPAN("/"));
    if (text->failed)
        return false;
    length = remove_dots(text->at, text->length);
    if (!is_clients && starts_with_path(text->at, length, base_path)) {
        length -= base_path.length;
        memmove(text->at, text->at + base_path.length, length);
    }
    text->length = length;
    if (length == 0)
        http_text_add(text, HTTP_SPAN("/"));
    return !text->failed;
}

static void write_query(struct http_text *text, const struct uri *reference, const struct uri *target)
{
    bool inherits = !reference->has_authority && reference->path.length == 0 && !reference->has_query;
    const struct uri *from = inherits ? target : reference;

    if (!from->has_query)
        return;
    http_text_add(text, HTTP_SPAN("?"));
    http_text_add(text, from->query);
}

/* Is it of an origin under which this proxy's resources are known, and by which of the two names? */
static bool find_origin(const struct http_place *place, const struct uri *base, const struct uri *reference,
                        bool *is_clients)
{
    *is_clients = false;
    if (!reference->has_authority)
        return reference->scheme.length == 0; /* "http:x" is no reference that anybody should send */
    if (same_origin(reference->scheme.length > 0 ? reference->scheme : base->scheme, reference->authority,
                    base->scheme, base->authority))
        return true;
    *is_clients = true;
    return place->scheme.length > 0 &&
           same_origin(reference->scheme.length > 0 ? reference->scheme : place->scheme, reference->authority,
                       place->scheme, place->host);
}

/* RFC 9112 section 3.2.1, which has no fragment */
static bool is_origin_form(struct http_span target)
{
    return target.length > 0 && target.at[0] == '/' && is_visible(target) &&
           !memchr(target.at, '#', target.length);
}

int http_uri_target(const struct http_place *place, struct http_span reference, char *out, size_t size)
{
    struct http_text text = http_text_into(out, size);
    struct uri base, target = {0}, uri;
    bool is_clients;

    if (!is_origin_form(place->target) || !uri_split(&base, place->base) || !uri_split(&uri, reference) ||
        !find_origin(place, &base, &uri, &is_clients))
        return -1;
    /* Not uri_split(): a target may start with two slashes, which are no authority. */
    target.path =
        between(place->target.at, find_any(place->target.at, place->target.at + place->target.length, "?"));
    target.has_query = target.path.length < place->target.length;
    if (target.has_query)
        target.query =
            between(target.path.at + target.path.length + 1, place->target.at + place->target.length);
    if (!write_path(&text, &uri, base.path, target.path, is_clients))
        return -1;
    write_query(&text, &uri, &target);
    return text.failed ? -1 : (int)text.length;
}

bool http_uri_is_target(const struct http_place *place, struct http_span reference)
{
    char text[HTTP_TARGET_MAX];
    int length = http_uri_target(place, reference, text, sizeof text);

    return length >= 0 && http_span_equal((struct http_span){text, (uint32_t)length}, place->target);
}
