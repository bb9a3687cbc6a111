/* The HTTP front-end with everything behind it: see fuzz_proxy.h. What comes out must parse as a sequence of
 * responses, whatever client, origin and metadata were. */
#include "fuzz_proxy.h"

#include "front_http.h"

#include <llhttp.h>

static struct front_http http;
static unsigned responses;

static void *setup(struct connection_home *connections, struct exchange_home *exchanges, uint64_t max_body)
{
    front_http_setup(&http, connections, exchanges, NULL, max_body);
    return &http;
}

static void teardown(void *front)
{
    front_http_teardown(front);
}

/* 1: no body follows, whatever the head says (RFC 9112 section 6.3). */
static int on_head(llhttp_t *parser)
{
    REQUIRE(parser->http_major == 1 && parser->http_minor == 1);
    REQUIRE(parser->status_code >= 100 && parser->status_code != 101);
    if (parser->status_code < 200)
        return 0;
    return fuzz_proxy_was_head(responses++) || parser->status_code == 304 ? 1 : 0;
}

/* The last response may have been cut short: the connection, or the client's patience, may have ended. */
static void check(const struct fuzz_text *received)
{
    llhttp_settings_t settings;
    llhttp_t parser;

    responses = 0;
    llhttp_settings_init(&settings);
    settings.on_headers_complete = on_head;
    llhttp_init(&parser, HTTP_RESPONSE, &settings);
    llhttp_errno_t error = llhttp_execute(&parser, (const char *)received->at, received->size);
    if (error == HPE_OK)
        return;
    fprintf(stderr, "the response does not parse: %s\n%.*s\n", llhttp_get_error_reason(&parser),
            (int)received->size, (const char *)received->at);
    abort();
}

static const struct fuzz_front front = {
    .setup = setup, .accept = front_http_accept, .teardown = teardown, .check = check};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    fuzz_proxy_initialize();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_proxy_run(&front, data, size);
    return 0;
}
