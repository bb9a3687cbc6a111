/* wire: every branch of the decoder, for every message. */
#include "wire.h"

#include "check_unit.h"
#include "counters.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *name;
    enum wire_type type;
    size_t length;
} kinds[] = {
#define KIND(name, value, type) {#name, (enum wire_type)value, sizeof(struct type)},
    WIRE_MESSAGES(KIND)
#undef KIND
};

#define TOKEN UINT64_C(0x1122334455667788)

static size_t prepare(union wire_message *message, int kind)
{
    memset(message, 0xee, sizeof(*message));
    return wire_prepare(message, kinds[kind].type, TOKEN);
}

START_TEST(prepared_message_is_zero_and_decodes)
{
    union wire_message message;
    size_t length = prepare(&message, _i);

    ck_assert_uint_eq(length, kinds[_i].length);
    ck_assert_uint_le(length, WIRE_MAX_BYTES);
    ck_assert_uint_eq(message.header.magic, WIRE_MAGIC);
    ck_assert_uint_eq(message.header.version, WIRE_VERSION);
    ck_assert_uint_eq(message.header.type, kinds[_i].type);
    ck_assert_uint_eq(message.header.length, length);
    ck_assert_uint_eq(message.header.reserved, 0);
    ck_assert_uint_eq(message.header.token, TOKEN);
    for (size_t i = sizeof(message.header); i < length; i++)
        ck_assert_uint_eq(message.bytes[i], 0);
    ck_assert_int_eq(wire_decode(&message, length), WIRE_DECODED);
    ck_assert_str_eq(wire_type_name(kinds[_i].type), kinds[_i].name);
}
END_TEST

START_TEST(every_other_length_is_malformed)
{
    union wire_message message;
    size_t length = prepare(&message, _i);

    for (size_t other = 0; other <= WIRE_MAX_BYTES; other++) {
        enum wire_decoded expected = other < sizeof(struct wire_header) ? WIRE_GARBAGE
                                     : other == length                  ? WIRE_DECODED
                                                                        : WIRE_MALFORMED;

        /* The header tells the truth about the length, and the kernel's length is the one that counts. */
        message.header.length = (uint32_t)other;
        ck_assert_int_eq(wire_decode(&message, other), expected);
        /* The header lies about it. */
        message.header.length = (uint32_t)other + 1;
        ck_assert_int_ne(wire_decode(&message, other), WIRE_DECODED);
    }
    message.header.length = (uint32_t)length;
    ck_assert_int_eq(wire_decode(&message, WIRE_MAX_BYTES + 1), WIRE_GARBAGE);
    ck_assert_int_eq(wire_decode(&message, SIZE_MAX), WIRE_GARBAGE);
}
END_TEST

START_TEST(damaged_header_is_told_apart)
{
    union wire_message message;
    size_t length = prepare(&message, _i);

    for (int bit = 0; bit < 32; bit++) {
        prepare(&message, _i);
        message.header.magic ^= 1u << bit;
        ck_assert_int_eq(wire_decode(&message, length), WIRE_GARBAGE);
    }
    for (int bit = 0; bit < 16; bit++) {
        prepare(&message, _i);
        message.header.version ^= (uint16_t)(1u << bit);
        ck_assert_int_eq(wire_decode(&message, length), WIRE_BAD_VERSION);
        ck_assert_uint_eq(message.header.token, TOKEN);
    }
    for (int bit = 0; bit < 32; bit++) {
        prepare(&message, _i);
        message.header.length ^= 1u << bit;
        ck_assert_int_eq(wire_decode(&message, length), WIRE_MALFORMED);
    }
}
END_TEST

/* The version comes first: a later protocol may have other types, lengths and texts. */
START_TEST(another_version_is_refused_by_its_header_alone)
{
    union wire_message message;

    for (size_t length = sizeof(struct wire_header); length <= WIRE_MAX_BYTES; length++) {
        memset(&message, 0xff, sizeof(message));
        message.header.magic = WIRE_MAGIC;
        message.header.version = WIRE_VERSION + 1;
        ck_assert_int_eq(wire_decode(&message, length), WIRE_BAD_VERSION);
    }
}
END_TEST

static bool type_exists(uint32_t type)
{
    for (int i = 0; i < ROWS(kinds); i++) {
        if (kinds[i].type == type)
            return true;
    }
    return false;
}

START_TEST(unknown_type_is_refused)
{
    union wire_message message;

    for (uint32_t type = 0; type <= UINT16_MAX; type++) {
        size_t length = prepare(&message, 0);

        message.header.type = (uint16_t)type;
        if (type_exists(type))
            ck_assert_int_ne(wire_decode(&message, length), WIRE_BAD_TYPE);
        else
            ck_assert_int_eq(wire_decode(&message, length), WIRE_BAD_TYPE);
    }
    ck_assert_str_eq(wire_type_name(0), "unknown");
    ck_assert_str_eq(wire_type_name(UINT32_MAX), "unknown");
}
END_TEST

static const struct {
    enum wire_type type;
    size_t tenant;
} texts[] = {
    {WIRE_HELLO, offsetof(struct wire_hello, tenant)},
    {WIRE_PURGE, offsetof(struct wire_purge, tenant)},
    {WIRE_TOP, offsetof(struct wire_top, tenant)},
    {WIRE_SHOW, offsetof(struct wire_show, tenant)},
};

START_TEST(tenant_must_be_terminated)
{
    union wire_message message;
    size_t length = wire_prepare(&message, texts[_i].type, TOKEN);
    unsigned char *tenant = message.bytes + texts[_i].tenant;

    memset(tenant, 'a', NAMES_TENANT_MAX + 1);
    ck_assert_int_eq(wire_decode(&message, length), WIRE_MALFORMED);
    tenant[NAMES_TENANT_MAX] = '\0';
    ck_assert_int_eq(wire_decode(&message, length), WIRE_DECODED);
    tenant[0] = '\0';
    ck_assert_int_eq(wire_decode(&message, length), WIRE_DECODED);
}
END_TEST

/* A zero byte behind the message must not end an unterminated text. */
START_TEST(terminator_behind_the_text_does_not_count)
{
    union wire_message message;
    size_t length = wire_prepare(&message, texts[_i].type, TOKEN);

    memset(message.bytes + length, 0, sizeof(message) - length);
    memset(message.bytes + texts[_i].tenant, 'a', NAMES_TENANT_MAX + 1);
    ck_assert_int_eq(wire_decode(&message, length), WIRE_MALFORMED);
}
END_TEST

START_TEST(reserved_fields_are_not_read)
{
    union wire_message message;
    size_t length = prepare(&message, _i);

    message.header.reserved = 0xffffffffu;
    ck_assert_int_eq(wire_decode(&message, length), WIRE_DECODED);
}
END_TEST

/* Random bytes behind a right magic and version: no crash, and nothing is decoded that is not a message. */
START_TEST(noise_is_survived)
{
    uint64_t state = 3;

    for (int i = 0; i < 200000; i++) {
        union wire_message message;

        for (size_t at = 0; at < sizeof(message); at += 8) {
            uint64_t word = next_random(&state);
            memcpy(message.bytes + at, &word, 8);
        }
        message.header.magic = WIRE_MAGIC;
        message.header.version = WIRE_VERSION;
        message.header.type = (uint16_t)random_below(&state, 80);
        size_t length = random_below(&state, WIRE_MAX_BYTES + 1);
        if (random_below(&state, 2))
            message.header.length = (uint32_t)length;
        enum wire_decoded decoded = wire_decode(&message, length);
        if (decoded == WIRE_DECODED)
            ck_assert(type_exists(message.header.type) && message.header.length == length);
    }
}
END_TEST

START_TEST(refusals_have_texts)
{
    for (uint32_t i = 0; i < WIRE_REFUSAL_COUNT; i++)
        ck_assert_uint_gt(strlen(wire_refusal_text(i)), 5);
    ck_assert_str_eq(wire_refusal_text(WIRE_REFUSAL_COUNT), wire_refusal_text(UINT32_MAX));
    ck_assert_str_ne(wire_refusal_text(WIRE_REFUSAL_COUNT), wire_refusal_text(WIRE_REFUSAL_NONE));
}
END_TEST

/* The first 24 bytes are the same in every version, as bytes. */
START_TEST(header_layout_is_fixed)
{
    static const unsigned char expected[24] = {
        'L', 'R', 'D', 'R', WIRE_VERSION, 0,    WIRE_PING, 0,    32,   0,    0,    0,
        0,   0,   0,   0,   0x88,         0x77, 0x66,      0x55, 0x44, 0x33, 0x22, 0x11,
    };
    union wire_message message;

    wire_prepare(&message, WIRE_PING, TOKEN);
    ck_assert_mem_eq(message.bytes, expected, sizeof(expected));
}
END_TEST

START_TEST(counters_are_named_once)
{
    for (int i = 0; i < COUNTER_COUNT + GAUGE_COUNT; i++) {
        ck_assert_uint_gt(strlen(counter_infos[i].name), 0);
        ck_assert_uint_gt(strlen(counter_infos[i].help), 0);
        ck_assert_uint_ne(counter_infos[i].scopes, 0);
        for (int j = 0; j < i; j++)
            ck_assert_str_ne(counter_infos[i].name, counter_infos[j].name);
    }
    ck_assert_str_eq(counter_infos[COUNTER_hits].name, "hits");
    ck_assert_str_eq(counter_infos[COUNTER_COUNT + GAUGE_leases].name, "leases");
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, prepared_message_is_zero_and_decodes, kinds);
    ADD_ROWS(tcase, every_other_length_is_malformed, kinds);
    ADD_ROWS(tcase, damaged_header_is_told_apart, kinds);
    tcase_add_test(tcase, another_version_is_refused_by_its_header_alone);
    tcase_add_test(tcase, unknown_type_is_refused);
    ADD_ROWS(tcase, tenant_must_be_terminated, texts);
    ADD_ROWS(tcase, terminator_behind_the_text_does_not_count, texts);
    ADD_ROWS(tcase, reserved_fields_are_not_read, kinds);
    tcase_add_test(tcase, noise_is_survived);
    tcase_add_test(tcase, refusals_have_texts);
    tcase_add_test(tcase, header_layout_is_fixed);
    tcase_add_test(tcase, counters_are_named_once);
}

int main(void)
{
    return run_suite("wire", add_cases);
}
