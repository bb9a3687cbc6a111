#include "origin_url.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct parts {
    const char *scheme, *default_port;
    char host[ORIGIN_URL_MAX]; /* an IPv6 address keeps its brackets */
    char port[6];
    char path[ORIGIN_URL_MAX];
};

static int refuse(const char *text, const char *why, char *problem, size_t problem_size)
{
    snprintf(problem, problem_size, "origin URL \"%.200s\" %s", text, why);
    return -EINVAL;
}

static const char *take_scheme(struct parts *parts, const char *text)
{
    if (strncasecmp(text, "http://", 7) == 0) {
        parts->scheme = "http";
        parts->default_port = "80";
        return text + 7;
    }
    if (strncasecmp(text, "https://", 8) == 0) {
        parts->scheme = "https";
        parts->default_port = "443";
        return text + 8;
    }
    return NULL;
}

static bool host_is_sound(const char *host)
{
    bool bracketed = host[0] == '[';

    if (host[0] == '\0')
        return false;
    for (const char *at = host; *at; at++) {
        if (!isalnum((unsigned char)*at) && !strchr(bracketed ? "[]:." : ".-_", *at))
            return false;
    }
    return !bracketed || (strlen(host) > 2 && strchr(host, ']') == host + strlen(host) - 1);
}

static bool port_is_sound(const char *port)
{
    size_t length = strlen(port);
    long number = strtol(port, NULL, 10);

    return length > 0 && length <= 5 && strspn(port, "0123456789") == length && number > 0 && number <= 65535;
}

/* Host and port out of the authority; the port's colon is the last one behind an IPv6 address. */
static bool take_authority(struct parts *parts, const char *at, size_t length)
{
    const char *bracket = memchr(at, ']', length);
    const char *from = bracket ? bracket : at;
    const char *colon = memchr(from, ':', length - (size_t)(from - at));
    size_t host_length = colon ? (size_t)(colon - at) : length;
    size_t port_length = colon ? length - host_length - 1 : strlen(parts->default_port);

    if (host_length >= sizeof parts->host || port_length >= sizeof parts->port)
        return false;
    for (size_t i = 0; i < host_length; i++)
        parts->host[i] = (char)tolower((unsigned char)at[i]);
    parts->host[host_length] = '\0';
    memcpy(parts->port, colon ? colon + 1 : parts->default_port, port_length);
    parts->port[port_length] = '\0';
    return host_is_sound(parts->host) && port_is_sound(parts->port);
}

static bool take_path(struct parts *parts, const char *path)
{
    size_t length = strlen(path);

    while (length > 0 && path[length - 1] == '/')
        length--;
    if (length >= sizeof parts->path)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (path[i] <= ' ' || path[i] > '~')
            return false;
    }
    memcpy(parts->path, path, length);
    parts->path[length] = '\0';
    return true;
}

static void put_together(struct origin_url *out, const struct parts *parts)
{
    bool own_port = strcmp(parts->port, parts->default_port) == 0;

    snprintf(out->scheme, sizeof out->scheme, "%s", parts->scheme);
    snprintf(out->authority, sizeof out->authority, "%s%s%s", parts->host, own_port ? "" : ":",
             own_port ? "" : parts->port);
    snprintf(out->connect, sizeof out->connect, "%s://%s:%s/", parts->scheme, parts->host, parts->port);
    snprintf(out->base_path, sizeof out->base_path, "%s", parts->path);
    snprintf(out->base, sizeof out->base, "%s://%s:%s%s", parts->scheme, parts->host, parts->port,
             parts->path);
}

int origin_url_parse(struct origin_url *out, const char *text, char *problem, size_t problem_size)
{
    struct parts parts;
    const char *authority = take_scheme(&parts, text);
    size_t length;

    if (!authority)
        return refuse(text, "is neither http:// nor https://", problem, problem_size);
    if (strlen(text) > ORIGIN_URL_MAX - 64)
        return refuse(text, "is too long", problem, problem_size);
    if (strpbrk(authority, "?#"))
        return refuse(text, "has a query or fragment", problem, problem_size);
    length = strcspn(authority, "/");
    if (memchr(authority, '@', length)) /* not shown, as it may hold a password */
        return refuse("(hidden)", "holds a user name or password, which is refused", problem, problem_size);
    if (!take_authority(&parts, authority, length))
        return refuse(text, "has no usable host and port", problem, problem_size);
    if (!take_path(&parts, authority + length))
        return refuse(text, "has bytes in its path that must be percent-encoded", problem, problem_size);
    put_together(out, &parts);
    return 0;
}
