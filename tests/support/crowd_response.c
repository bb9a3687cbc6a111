#include "crowd_response.h"

#include <string.h>
#include <strings.h>

/* What does not fit is only counted, so that it is recognised. */
static int keep(char *to, size_t room, unsigned *length, const char *at, size_t size)
{
    if (*length + size < room)
        memcpy(to + *length, at, size);
    *length += (unsigned)size;
    return 0;
}

static int on_field(llhttp_t *parser, const char *at, size_t size)
{
    struct crowd_response *response = parser->data;

    return keep(response->name, sizeof(response->name), &response->name_length, at, size);
}

static int on_value(llhttp_t *parser, const char *at, size_t size)
{
    struct crowd_response *response = parser->data;

    return keep(response->value, sizeof(response->value), &response->value_length, at, size);
}

static bool is_named(const struct crowd_response *response, const char *name)
{
    return response->name_length == strlen(name) && strncasecmp(response->name, name, strlen(name)) == 0;
}

static int on_value_complete(llhttp_t *parser)
{
    struct crowd_response *response = parser->data;

    response->value[response->value_length < sizeof(response->value) ? response->value_length : 0] = '\0';
    if (is_named(response, "cache-status")) {
        memcpy(response->cache_status, response->value, sizeof(response->value));
    } else if (is_named(response, "etag")) {
        response->version = crowd_object_version(response->object, response->value);
        response->wrong += response->version < 0;
        response->version = response->version < 0 ? 0 : response->version;
    }
    response->name_length = response->value_length = 0;
    return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
    struct crowd_response *response = parser->data;

    response->status = parser->status_code;
    if (response->status == 200 && (parser->flags & F_CONTENT_LENGTH) &&
        parser->content_length != response->object->size)
        response->wrong++;
    return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t size)
{
    struct crowd_response *response = parser->data;
    const struct crowd_object *object = response->object;

    if (response->status == 200)
        response->wrong +=
            bytes_wrong(object->body[response->version], object->size, response->received, at, size);
    response->received += size;
    return 0;
}

static int on_complete(llhttp_t *parser)
{
    struct crowd_response *response = parser->data;

    if (response->status < 200)
        return 0; /* an interim one */
    if (response->status == 200 && response->received < response->object->size)
        response->wrong += response->object->size - response->received;
    response->whole = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t *settings(void)
{
    static llhttp_settings_t calls;

    if (!calls.on_body) {
        llhttp_settings_init(&calls);
        calls.on_header_field = on_field;
        calls.on_header_value = on_value;
        calls.on_header_value_complete = on_value_complete;
        calls.on_headers_complete = on_headers_complete;
        calls.on_body = on_body;
        calls.on_message_complete = on_complete;
    }
    return &calls;
}

void crowd_response_setup(struct crowd_response *response, const struct crowd_object *object)
{
    memset(response, 0, sizeof(*response));
    response->object = object;
    llhttp_init(&response->parser, HTTP_RESPONSE, settings());
    response->parser.data = response;
}

bool crowd_response_take(struct crowd_response *response, const char *data, size_t size)
{
    llhttp_errno_t error = llhttp_execute(&response->parser, data, size);
    const char *end = error == HPE_PAUSED ? llhttp_get_error_pos(&response->parser) : data + size;

    if (error != HPE_OK && error != HPE_PAUSED)
        response->malformed = true;
    if (response->whole)
        response->wrong += (uint64_t)(data + size - end); /* bytes that nobody asked for */
    return response->whole || response->malformed;
}
