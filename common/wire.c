#include "wire.h"

#include <string.h>

static const struct {
    const char *name;
    uint16_t type;
    uint16_t length;
} kinds[] = {
#define WIRE_KIND(name, value, type) {#name, value, sizeof(struct type)},
    WIRE_MESSAGES(WIRE_KIND)
#undef WIRE_KIND
};

static const char *const refusal_texts[] = {
#define WIRE_TEXT(name, text) text,
    WIRE_REFUSALS(WIRE_TEXT)
#undef WIRE_TEXT
};

const char *wire_refusal_text(uint32_t reason)
{
    return reason < WIRE_REFUSAL_COUNT ? refusal_texts[reason]
                                       : "for a reason that this release does not know";
}

static int kind_of(uint32_t type)
{
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        if (kinds[i].type == type)
            return (int)i;
    }
    return -1;
}

const char *wire_type_name(uint32_t type)
{
    int kind = kind_of(type);

    return kind < 0 ? "unknown" : kinds[kind].name;
}

static bool is_text(const char *field, size_t size)
{
    return memchr(field, '\0', size) != NULL;
}

enum wire_decoded wire_decode(union wire_message *message, size_t length)
{
    const struct wire_header *header = &message->header;

    if (length < sizeof(*header) || length > sizeof(*message) || header->magic != WIRE_MAGIC)
        return WIRE_GARBAGE;
    if (header->version != WIRE_VERSION)
        return WIRE_BAD_VERSION;
    int kind = kind_of(header->type);
    if (kind < 0)
        return WIRE_BAD_TYPE;
    if (header->length != length || length != kinds[kind].length)
        return WIRE_MALFORMED;
    if (header->type == WIRE_HELLO &&
        !is_text(message->wire_hello.tenant, sizeof(message->wire_hello.tenant)))
        return WIRE_MALFORMED;
    if (header->type == WIRE_PURGE &&
        !is_text(message->wire_purge.tenant, sizeof(message->wire_purge.tenant)))
        return WIRE_MALFORMED;
    return WIRE_DECODED;
}

size_t wire_prepare(union wire_message *message, enum wire_type type, uint64_t token)
{
    size_t length = kinds[kind_of(type)].length;

    memset(message, 0, length);
    message->header = (struct wire_header){
        .magic = WIRE_MAGIC,
        .version = WIRE_VERSION,
        .type = (uint16_t)type,
        .length = (uint32_t)length,
        .token = token,
    };
    return length;
}
