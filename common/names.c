#include "names.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TOKEN_DIGITS 16

static bool made_of(const char *text, size_t max, const char *extra)
{
    size_t length = strlen(text);

    if (length == 0 || length > max)
        return false;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x80 || (!isalnum(c) && !strchr(extra, c)))
            return false;
    }
    return true;
}

bool names_instance_valid(const char *instance)
{
    return made_of(instance, NAMES_INSTANCE_MAX, "_-");
}

bool names_tenant_valid(const char *tenant)
{
    return made_of(tenant, NAMES_TENANT_MAX, "._-");
}

void names_command_queue(char out[NAMES_BYTES], const char *instance)
{
    snprintf(out, NAMES_BYTES, "/larder.%s", instance);
}

void names_shard_queue(char out[NAMES_BYTES], const char *instance, uint32_t shard)
{
    if (shard == 0)
        names_command_queue(out, instance);
    else
        snprintf(out, NAMES_BYTES, "/larder.%s.shard%" PRIu32, instance, shard % NAMES_SHARDS_MAX);
}

void names_peer(char out[NAMES_BYTES], const char *instance, uint64_t token)
{
    snprintf(out, NAMES_BYTES, "/larder.%s.%016" PRIx64, instance, token);
}

static bool parse_token(const char *digits, uint64_t *token)
{
    uint64_t value = 0;

    if (strlen(digits) != TOKEN_DIGITS)
        return false;
    for (int i = 0; i < TOKEN_DIGITS; i++) {
        unsigned char c = (unsigned char)digits[i];
        if (c >= '0' && c <= '9')
            value = value << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    *token = value;
    return true;
}

bool names_peer_parse(const char *file_name, const char *instance, uint64_t *token)
{
    char prefix[NAMES_BYTES];
    int length = snprintf(prefix, sizeof(prefix), "larder.%s.", instance);

    return strncmp(file_name, prefix, (size_t)length) == 0 && parse_token(file_name + length, token);
}

/* Only as names_shard_queue() writes it: no zero in front. */
static bool parse_shard(const char *digits, uint32_t *shard)
{
    uint32_t value = 0;

    for (const char *at = digits; *at; at++) {
        if (*at < '0' || *at > '9' || value > NAMES_SHARDS_MAX)
            return false;
        value = value * 10 + (uint32_t)(*at - '0');
    }
    *shard = value;
    return digits[0] != '0' && value > 0 && value < NAMES_SHARDS_MAX;
}

bool names_shard_parse(const char *file_name, const char *instance, uint32_t *shard)
{
    char prefix[NAMES_BYTES];
    int length = snprintf(prefix, sizeof(prefix), "larder.%s.shard", instance);

    return strncmp(file_name, prefix, (size_t)length) == 0 && parse_shard(file_name + length, shard);
}
