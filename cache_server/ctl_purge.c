#include "ctl_purge.h"

#include "names.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

__attribute__((format(printf, 2, 3))) static bool bad(char *problem, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(problem, CTL_PURGE_PROBLEM_BYTES, format, arguments);
    va_end(arguments);
    return false;
}

/* False: it does not fit. */
static bool add(struct ctl_purge_order *out, const char *bytes, size_t length)
{
    if (length > WIRE_MAX_KEY - out->length)
        return false;
    memcpy(out->bytes + out->length, bytes, length);
    out->length += (uint32_t)length;
    return true;
}

static bool add_text(struct ctl_purge_order *out, const char *text)
{
    return add(out, text, strlen(text));
}

/* ---- URLs ---- */

/* What stands in front of host and port; NULL: neither http nor https. */
static const char *scheme_of(const char *url, const char **port)
{
    bool secure = strncasecmp(url, "https://", 8) == 0;

    *port = secure ? ":443" : ":80";
    if (secure)
        return "https://";
    return strncasecmp(url, "http://", 7) == 0 ? "http://" : NULL;
}

/* "host[:port]" in lower case, and the port in any case. */
static bool add_authority(struct ctl_purge_order *out, const char *at, size_t length, const char *port)
{
    const char *bracket = memchr(at, ']', length);
    const char *from = bracket ? bracket : at;
    bool has_port = memchr(from, ':', length - (size_t)(from - at)) != NULL;
    uint32_t start = out->length;

    if (length == 0 || memchr(at, '@', length) || !add(out, at, length))
        return false;
    for (uint32_t i = start; i < out->length; i++)
        out->bytes[i] = (uint8_t)tolower(out->bytes[i]);
    return has_port || add_text(out, port);
}

/* An origin is a URL without query whose path has no slash at its end; otherwise all behind the authority is
 * as it is. */
static bool add_url(struct ctl_purge_order *out, const char *url, bool is_origin, char *problem)
{
    const char *port, *scheme = scheme_of(url, &port);

    if (!scheme)
        return bad(problem, "\"%.200s\" is neither http:// nor https://%s", url,
                   is_origin ? "" : ", nor a path behind an --origin");
    const char *authority = url + strlen(scheme);
    size_t length = strcspn(authority, "/?#");
    const char *path = authority + length;
    size_t path_length = strlen(path);

    while (is_origin && path_length > 0 && path[path_length - 1] == '/')
        path_length--;
    if (!add_text(out, scheme) || !add_authority(out, authority, length, port))
        return bad(problem, "\"%.200s\" has no usable host and port", url);
    if (!is_origin && path[0] != '/')
        return bad(problem, "\"%.200s\" has no path; the shortest is /", url);
    return add(out, path, path_length) || bad(problem, "\"%.200s...\" is too long", url);
}

static bool make_key(const struct ctl_purge *purge, const char *url, struct ctl_purge_order *out,
                     char *problem)
{
    if (url[strcspn(url, " \t\r\n#")] != '\0')
        return bad(problem, "\"%.200s\" holds what no target can hold", url);
    add_text(out, "GET ");
    if (url[0] != '/')
        return purge->origin ? bad(problem, "with --origin \"%.200s\" has to be a path", url)
                             : add_url(out, url, false, problem);
    if (!purge->origin)
        return bad(problem, "\"%.200s\" is a path: --origin says of which origin", url);
    if (!add_url(out, purge->origin, true, problem))
        return false;
    return add_text(out, url) || bad(problem, "\"%.200s...\" is too long", url);
}

/* ---- tags ---- */

static bool make_tags(const struct ctl_purge *purge, struct ctl_purge_order *out, char *problem)
{
    for (uint32_t i = 0; i < purge->tag_count; i++) {
        const char *tag = purge->tags[i];
        size_t length = strlen(tag);

        if (length == 0 || length > WIRE_MAX_TAG || tag[strcspn(tag, " ,\t")] != '\0')
            return bad(problem, "\"%.200s\" is no tag: 1 to %u bytes without spaces and commas", tag,
                       WIRE_MAX_TAG);
        memcpy(out->bytes + out->length, tag, length + 1);
        out->length += (uint32_t)length + 1;
    }
    return true;
}

bool ctl_purge_make(const struct ctl_purge *purge, struct ctl_purge_order *out,
                    char problem[CTL_PURGE_PROBLEM_BYTES])
{
    int kinds = (purge->key != NULL) + (purge->prefix != NULL) + (purge->tag_count > 0) + purge->all;

    out->length = 0;
    out->flags = purge->soft ? WIRE_PURGE_SOFT : 0;
    if (kinds != 1)
        return bad(problem, "purge needs exactly one of --key, --prefix, --tag and --all");
    if (purge->tenant && !names_tenant_valid(purge->tenant))
        return bad(problem, "--tenant: 1 to 63 letters, digits, '-', '_' or '.' are allowed");
    if (purge->key)
        return make_key(purge, purge->key, out, problem);
    out->flags |= purge->tag_count > 0 ? WIRE_PURGE_TAGS : WIRE_PURGE_PREFIX;
    if (purge->prefix)
        return make_key(purge, purge->prefix, out, problem);
    return make_tags(purge, out, problem);
}
