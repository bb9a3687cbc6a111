/* The decoder of control messages, and the other texts that cross between processes: names of peers. */
#include "fuzz.h"

#include "names.h"
#include "wire.h"

/* What is decoded is whole, and what stands behind it in the slot does not count. */
static void check_decoded(const union wire_message *message, size_t size)
{
    const struct wire_header *header = &message->header;
    union wire_message again;

    REQUIRE(header->magic == WIRE_MAGIC && header->version == WIRE_VERSION);
    REQUIRE(header->length == size);
    REQUIRE(strcmp(wire_type_name(header->type), "unknown") != 0);
    REQUIRE(wire_prepare(&again, (enum wire_type)header->type, header->token) == size);
    if (header->type == WIRE_HELLO)
        REQUIRE(strlen(message->wire_hello.tenant) < sizeof(message->wire_hello.tenant));
    if (header->type == WIRE_PURGE)
        REQUIRE(strlen(message->wire_purge.tenant) < sizeof(message->wire_purge.tenant));
    if (header->type == WIRE_TOP)
        REQUIRE(strlen(message->wire_top.tenant) < sizeof(message->wire_top.tenant));
    if (header->type == WIRE_SHOW)
        REQUIRE(strlen(message->wire_show.tenant) < sizeof(message->wire_show.tenant));
    if (header->type == WIRE_REFUSED)
        REQUIRE(strlen(wire_refusal_text(message->wire_refused.reason)) > 0);
}

static enum wire_decoded decode(const uint8_t *data, size_t size, int filler)
{
    union wire_message message, before;
    size_t there = size < sizeof(message) ? size : sizeof(message);

    memset(&message, filler, sizeof(message));
    if (there > 0)
        memcpy(message.bytes, data, there);
    before = message;
    enum wire_decoded result = wire_decode(&message, size);
    REQUIRE(memcmp(message.bytes, before.bytes, sizeof(message)) == 0);
    if (result == WIRE_DECODED)
        check_decoded(&message, size);
    return result;
}

static void parse_names(const uint8_t *data, size_t size)
{
    char text[128], name[NAMES_BYTES];
    size_t length = size < sizeof(text) - 1 ? size : sizeof(text) - 1;
    uint64_t token;

    if (length > 0)
        memcpy(text, data, length);
    text[length] = '\0';
    if (names_instance_valid(text)) {
        REQUIRE(strlen(text) <= NAMES_INSTANCE_MAX && !strpbrk(text, "/."));
        names_peer(name, text, UINT64_MAX);
        REQUIRE(names_peer_parse(name + 1, text, &token) && token == UINT64_MAX);
    }
    if (names_tenant_valid(text))
        REQUIRE(strlen(text) <= NAMES_TENANT_MAX);
    if (names_peer_parse(text, "fuzz", &token)) {
        names_peer(name, "fuzz", token);
        REQUIRE(strcmp(name + 1, text) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    REQUIRE(decode(data, size, 0) == decode(data, size, 0xff));
    parse_names(data, size);
    return 0;
}
