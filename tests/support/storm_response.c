#include "storm_response.h"

#include "origin_bytes.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static struct response *of(llhttp_t *parser)
{
    return parser->data;
}

static int refuse(struct response *response, const char *why)
{
    snprintf(response->why, sizeof(response->why), "%s", why);
    return HPE_USER;
}

static int on_begin(llhttp_t *parser)
{
    struct response *response = of(parser);

    return response->object && !response->begun ? 0 : refuse(response, "bytes that nobody asked for");
}

/* Appends as much as fits. */
static void keep(char *to, unsigned room, unsigned *length, const char *at, size_t size)
{
    unsigned part = size < room - *length ? (unsigned)size : room - *length;

    memcpy(to + *length, at, part);
    *length += part;
}

static int on_field(llhttp_t *parser, const char *at, size_t size)
{
    struct response *response = of(parser);

    keep(response->name, sizeof(response->name), &response->name_length, at, size);
    return 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t size)
{
    struct response *response = of(parser);

    keep(response->value, sizeof(response->value) - 1, &response->value_length, at, size);
    return 0;
}

static int on_value_complete(llhttp_t *parser)
{
    struct response *response = of(parser);

    response->value[response->value_length] = '\0';
    if (response->name_length == 12 && strncasecmp(response->name, "cache-status", 12) == 0 &&
        (strncmp(response->value, "larder; hit", 11) == 0 || strstr(response->value, "; stored")))
        response->attached = true;
    response->name_length = response->value_length = 0;
    return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
    struct response *response = of(parser);

    if (parser->status_code == 200)
        return 0;
    snprintf(response->why, sizeof(response->why), "status %d", (int)parser->status_code);
    return -1;
}

static int on_body(llhttp_t *parser, const char *at, size_t size)
{
    struct response *response = of(parser);
    const struct storm_object *object = response->object;

    response->wrong += bytes_wrong(object->body, object->size, response->received, at, size);
    response->received += size;
    return 0;
}

static int on_complete(llhttp_t *parser)
{
    struct response *response = of(parser);

    if (response->received < response->object->size)
        response->wrong += response->object->size - response->received;
    response->keep_alive = llhttp_should_keep_alive(parser);
    response->whole = true;
    return 0;
}

static const llhttp_settings_t *settings(void)
{
    static llhttp_settings_t calls;

    if (!calls.on_message_begin) {
        llhttp_settings_init(&calls);
        calls.on_header_field = on_field;
        calls.on_header_value = on_value;
        calls.on_header_value_complete = on_value_complete;
        calls.on_headers_complete = on_headers_complete;
        calls.on_body = on_body;
        calls.on_message_complete = on_complete;
        calls.on_message_begin = on_begin;
    }
    return &calls;
}

void response_setup(struct response *response)
{
    memset(response, 0, sizeof(*response));
    llhttp_init(&response->parser, HTTP_RESPONSE, settings());
    response->parser.data = response;
}

void response_expect(struct response *response, const struct storm_object *object)
{
    response->object = object;
    response->received = 0;
    response->wrong = 0;
    response->begun = response->attached = response->whole = response->keep_alive = false;
    response->name_length = response->value_length = 0;
}

enum response_result response_take(struct response *response, const char *data, size_t size)
{
    llhttp_errno_t error = llhttp_execute(&response->parser, data, size);

    response->begun = true;
    if (error == HPE_OK)
        return response->whole ? RESPONSE_WHOLE : RESPONSE_MORE;
    if (!response->why[0])
        snprintf(response->why, sizeof(response->why), "not HTTP: %s",
                 llhttp_get_error_reason(&response->parser));
    return RESPONSE_BROKEN;
}
