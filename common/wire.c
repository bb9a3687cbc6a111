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

/* Texts in messages, which have to end within them. */
static const struct {
    uint16_t type;
    uint16_t offset, size;
} texts[] = {
#define WIRE_TENANT(name, type)                                                                              \
    {                                                                                                        \
        WIRE_##name, offsetof(struct type, tenant), sizeof(((struct type *)0)->tenant)                       \
    }
    WIRE_TENANT(HELLO, wire_hello),
    WIRE_TENANT(PURGE, wire_purge),
    WIRE_TENANT(TOP, wire_top),
    WIRE_TENANT(SHOW, wire_show),
#undef WIRE_TENANT
};

static const char *const op_names[WIRE_OP_END] = {
    [WIRE_OP_LOOKUP] = "lookup",         [WIRE_OP_READ] = "read",           [WIRE_OP_RELEASE] = "release",
    [WIRE_OP_FILL_BEGIN] = "fill_begin", [WIRE_OP_FILL_DATA] = "fill_data", [WIRE_OP_FILL_END] = "fill_end",
    [WIRE_OP_FILL_ABORT] = "fill_abort", [WIRE_OP_UPDATE] = "update",       [WIRE_OP_REMOVE] = "remove",
    [WIRE_OP_FOLLOW] = "follow",         [WIRE_OP_UNFOLLOW] = "unfollow",   [WIRE_OP_PURGE] = "purge",
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

const char *wire_op_name(uint32_t op)
{
    return op < WIRE_OP_END && op_names[op] ? op_names[op] : "unknown";
}

static bool texts_end(const union wire_message *message)
{
    for (unsigned i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        if (texts[i].type == message->header.type &&
            !memchr(message->bytes + texts[i].offset, '\0', texts[i].size))
            return false;
    }
    return true;
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
    return texts_end(message) ? WIRE_DECODED : WIRE_MALFORMED;
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
