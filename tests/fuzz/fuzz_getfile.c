/* The GETFILE front-end with everything behind it: see fuzz_proxy.h. One answer comes out, and no more body
 * than it has announced. */
#include "fuzz_proxy.h"

#include "front_getfile.h"
#include "getfile_request.h"

static struct front_getfile getfile;

static void *setup(struct connection_home *connections, struct exchange_home *exchanges, uint64_t max_body)
{
    front_getfile_setup(&getfile, connections, exchanges, NULL, max_body);
    return &getfile;
}

static void teardown(void *front)
{
    (void)front;
    REQUIRE(getfile.spools.used == 0);
}

static bool is(const struct fuzz_text *text, const char *line)
{
    return text->size == strlen(line) && memcmp(text->at, line, text->size) == 0;
}

static void check_ok(const struct fuzz_text *received)
{
    static const char ok[] = "GETFILE OK ";
    const char *text = (const char *)received->at;
    const char *end = memmem(text, received->size, "\r\n\r\n", 4);
    uint64_t length = 0;

    REQUIRE(received->size > sizeof ok - 1 && memcmp(text, ok, sizeof ok - 1) == 0);
    REQUIRE(end);
    for (const char *digit = text + sizeof ok - 1; digit < end; digit++) {
        REQUIRE(*digit >= '0' && *digit <= '9');
        length = length * 10 + (uint64_t)(*digit - '0');
    }
    REQUIRE((uint64_t)(text + received->size - end - 4) <= length);
}

static void check(const struct fuzz_text *received)
{
    if (received->size > 0 && !is(received, "GETFILE FILE_NOT_FOUND\r\n\r\n") &&
        !is(received, "GETFILE ERROR\r\n\r\n") && !is(received, "GETFILE INVALID\r\n\r\n"))
        check_ok(received);
}

static const struct fuzz_front front = {
    .setup = setup, .accept = front_getfile_accept, .teardown = teardown, .check = check};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    fuzz_proxy_initialize();
    return 0;
}

/* However much of a request has arrived, the answer is "more" until it is one that stays. */
static void parse_growing(const uint8_t *data, size_t size)
{
    static char target[GETFILE_MAX_TARGET], again[GETFILE_MAX_TARGET];
    enum getfile_result result = GETFILE_MORE;
    uint32_t length = 0, again_length = 0;
    uint32_t most = size < GETFILE_MAX_REQUEST ? (uint32_t)size : GETFILE_MAX_REQUEST;

    if (size == 0)
        return;
    enum getfile_result whole = getfile_request_parse((const char *)data, most, again, &again_length);
    for (uint32_t i = 1; i <= most && result == GETFILE_MORE && i < 200; i++)
        result = getfile_request_parse((const char *)data, i, target, &length);
    if (result == GETFILE_MORE)
        return;
    REQUIRE(result == whole);
    if (whole == GETFILE_REQUEST)
        REQUIRE(length == again_length && memcmp(target, again, length) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > sizeof(struct fuzz_script))
        parse_growing(data + sizeof(struct fuzz_script), size - sizeof(struct fuzz_script));
    fuzz_proxy_run(&front, data, size);
    return 0;
}
