/* The HTTP front-end with everything behind it: see fuzz_proxy.h. What comes out must parse as a sequence of
 * responses, whatever client, origin and metadata were, and a body that is stored must come out as it is. */
#include "fuzz_proxy.h"

#include "front_http.h"

#include <llhttp.h>

static struct front_http http;
static unsigned responses;
static uint64_t body_at; /* of the response that is being read */
static bool is_stored;   /* it has begun so */

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

static int on_begin(llhttp_t *parser)
{
    (void)parser;
    body_at = 0;
    return 0;
}

/* A whole body that begins like the one that is stored goes on like it. */
static int on_body(llhttp_t *parser, const char *at, size_t length)
{
    for (size_t i = 0; i < length; i++, body_at++) {
        bool same = (uint8_t)at[i] == fuzz_stored_byte(body_at);

        if (body_at < FUZZ_STORED_MARK)
            is_stored = (body_at == 0 || is_stored) && same;
        else
            REQUIRE(!is_stored || same || parser->status_code != 200);
    }
    return 0;
}

/* The last response may have been cut short: the connection, or the client's patience, may have ended. */
static void check(const struct fuzz_text *received)
{
    llhttp_settings_t settings;
    llhttp_t parser;

    responses = 0;
    llhttp_settings_init(&settings);
    settings.on_headers_complete = on_head;
    settings.on_message_begin = on_begin;
    if (!fuzz_proxy_bodies_may_mix())
        settings.on_body = on_body;
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
