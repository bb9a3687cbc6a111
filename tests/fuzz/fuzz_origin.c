/* origin.h without a network: a fetch is answered with what the input says.
 *
 * A byte of script.origin for each fetch: the lower four bits say how it goes, the upper four how large the
 * pieces are in which its body comes. */
#include "fuzz_proxy.h"

#include "origin.h"
#include "origin_head.h"

#include <errno.h>

#define PREFIX "http://origin.invalid"

enum outcome { ANSWERED_TO = 10, UNREACHABLE, TIMED_OUT, BROKEN_IN_BODY, MALFORMED, CANNOT_START };

struct origin {
    struct proxy_loop *loop;
};

struct origin_fetch {
    struct origin_fetch *next;
    const struct origin_calls *calls; /* NULL once closed */
    void *owner;
    struct origin_head_reader response;
    struct fuzz_text text;
    enum outcome outcome;
    size_t piece;
    bool has_body, is_head, ended, waits;
    uint64_t given, asked_body;
};

static struct origin_fetch *fetches;
static struct fuzz_script script;
static struct fuzz_text responses;
static unsigned fetch_count;

static const char default_response[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nCache-Control: max-age=60\r\n"
                                       "ETag: \"e\"\r\n\r\nhello";

void fuzz_origin_prepare(const struct fuzz_script *from, const struct fuzz_text *text)
{
    script = *from;
    responses = *text;
    fetch_count = 0;
    REQUIRE(!fetches);
}

/* The response with this number, counted round. */
static struct fuzz_text response_text(unsigned number)
{
    static const char line[] = "----\n";
    struct fuzz_text rest = responses,
                     found = {(const uint8_t *)default_response, sizeof default_response - 1};

    for (unsigned i = 0; i <= number && responses.size > 0; i++) {
        const uint8_t *end = rest.size ? memmem(rest.at, rest.size, line, sizeof line - 1) : NULL;
        size_t size = end ? (size_t)(end - rest.at) : rest.size;

        found = (struct fuzz_text){rest.at, size};
        if (end)
            rest = (struct fuzz_text){end + sizeof line - 1, rest.size - size - (sizeof line - 1)};
        else
            rest = responses;
    }
    return found;
}

/* ---- origin.h ---- */

int origin_create(struct origin **out, struct proxy_loop *loop, const struct origin_options *options,
                  char *problem, size_t problem_size)
{
    static struct origin origin;

    (void)options;
    (void)problem;
    (void)problem_size;
    origin.loop = loop;
    *out = &origin;
    return 0;
}

void origin_destroy(struct origin **origin)
{
    fuzz_origin_turn();
    REQUIRE(!fetches);
    *origin = NULL;
}

struct http_span origin_base(const struct origin *origin)
{
    (void)origin;
    return HTTP_SPAN(PREFIX);
}

const char *origin_scheme(const struct origin *origin)
{
    (void)origin;
    return "http";
}

/* What goes to the origin is written into lines by libcurl as it is. */
static void check_request(const struct origin_request *request)
{
    REQUIRE(request->target.length > 0 && request->method.length > 0);
    for (uint32_t i = 0; i < request->target.length; i++)
        REQUIRE((unsigned char)request->target.at[i] > ' ' && (unsigned char)request->target.at[i] != 0x7f);
    for (uint32_t i = 0; i < request->field_count; i++) {
        struct http_span value = request->fields[i].value;

        REQUIRE(http_is_token(request->fields[i].name));
        REQUIRE(!http_name_is(&request->fields[i], "transfer-encoding"));
        for (uint32_t k = 0; k < value.length; k++)
            REQUIRE(value.at[k] != '\r' && value.at[k] != '\n' && value.at[k] != '\0');
    }
}

int origin_fetch(struct origin *origin, struct origin_fetch **out, const struct origin_request *request,
                 const struct origin_calls *calls, void *owner)
{
    uint8_t how = script.origin[fetch_count % sizeof script.origin];
    struct origin_fetch *fetch;

    (void)origin;
    check_request(request);
    if ((how & 15) == CANNOT_START)
        return -ENOMEM;
    fetch = calloc(1, sizeof *fetch);
    REQUIRE(fetch);
    fetch->calls = calls;
    fetch->owner = owner;
    fetch->text = response_text(fetch_count++);
    fetch->outcome = (enum outcome)(how & 15);
    fetch->piece = how >> 4 ? ((size_t)1 << (how >> 4)) + fetch->text.size / FUZZ_PIECES : SIZE_MAX;
    fetch->has_body = request->has_body;
    fetch->asked_body = request->body_length;
    fetch->is_head = http_span_equal(request->method, HTTP_SPAN("HEAD"));
    fetch->next = fetches;
    fetches = fetch;
    *out = fetch;
    return 0;
}

const struct origin_head *origin_response(const struct origin_fetch *fetch)
{
    return &fetch->response.head;
}

const char *origin_problem(const struct origin_fetch *fetch)
{
    (void)fetch;
    return "the model\x01 says \"no\"";
}

void origin_resume(struct origin_fetch *fetch)
{
    fetch->waits = false;
}

void origin_close(struct origin_fetch **fetch)
{
    if (*fetch)
        (*fetch)->calls = NULL;
    *fetch = NULL;
}

/* ---- a step ---- */

static void end(struct origin_fetch *fetch, enum origin_result result)
{
    fetch->ended = true;
    fetch->calls->ended(fetch->owner, result);
}

/* The request's body goes out before the response comes in. */
static void send_body(struct origin_fetch *fetch)
{
    char bytes[300];
    size_t got = 0;

    switch (fetch->calls->read_body(fetch->owner, bytes, sizeof bytes, &got)) {
    case ORIGIN_BODY_BYTES:
        REQUIRE(got > 0 && got <= sizeof bytes);
        REQUIRE(fetch->asked_body == EXCHANGE_LENGTH_UNKNOWN || got <= fetch->asked_body);
        if (fetch->asked_body != EXCHANGE_LENGTH_UNKNOWN)
            fetch->asked_body -= got;
        break;
    case ORIGIN_BODY_END:
        REQUIRE(fetch->asked_body == EXCHANGE_LENGTH_UNKNOWN || fetch->asked_body == 0);
        fetch->has_body = false;
        break;
    case ORIGIN_BODY_WAIT:
        fetch->waits = true;
        break;
    case ORIGIN_BODY_BAD:
        if (fetch->calls)
            end(fetch, ORIGIN_REFUSED);
        break;
    }
}

static struct fuzz_text take_line(struct fuzz_text *text)
{
    const uint8_t *newline = memchr(text->at, '\n', text->size);
    struct fuzz_text line = {text->at, newline ? (size_t)(newline - text->at) + 1 : text->size};

    text->at += line.size;
    text->size -= line.size;
    return line;
}

/* libcurl hands out the head line by line, and nothing before a status line. */
static void give_head(struct origin_fetch *fetch)
{
    while (fetch->text.size > 0) {
        struct fuzz_text line = take_line(&fetch->text);

        if (fetch->response.head.status == 0 && (line.size < 5 || memcmp(line.at, "HTTP/", 5) != 0))
            break;
        switch (origin_head_line(&fetch->response, (const char *)line.at, line.size)) {
        case ORIGIN_LINE_MORE:
            continue;
        case ORIGIN_LINE_INTERIM:
            if (fetch->calls->interim)
                fetch->calls->interim(fetch->owner, fetch->response.head.status,
                                      &fetch->response.head.fields);
            continue;
        case ORIGIN_LINE_HEAD:
            fetch->calls->head(fetch->owner);
            return;
        case ORIGIN_LINE_BAD:
            break;
        }
        break;
    }
    end(fetch, ORIGIN_MALFORMED);
}

static bool has_no_body(const struct origin_fetch *fetch)
{
    int status = fetch->response.head.status;

    return fetch->is_head || status == 204 || status == 304;
}

/* libcurl stops at Content-Length, and reports what falls short of it. */
static void give_body(struct origin_fetch *fetch)
{
    const struct origin_head *head = &fetch->response.head;
    size_t piece = fetch->piece < fetch->text.size ? fetch->piece : fetch->text.size;

    if (head->length_known && piece > head->length - fetch->given)
        piece = (size_t)(head->length - fetch->given);
    if (has_no_body(fetch)) {
        end(fetch, ORIGIN_OK);
    } else if (piece == 0) {
        bool whole = !head->length_known || fetch->given == head->length;
        end(fetch, whole ? ORIGIN_OK : ORIGIN_BROKEN);
    } else if (fetch->outcome == BROKEN_IN_BODY && fetch->given > 0) {
        end(fetch, ORIGIN_BROKEN);
    } else if (fetch->calls->body(fetch->owner, (const char *)fetch->text.at, piece)) {
        fetch->given += piece;
        fetch->text.at += piece;
        fetch->text.size -= piece;
    } else {
        fetch->waits = true;
    }
}

static void step(struct origin_fetch *fetch)
{
    if (fetch->outcome == UNREACHABLE)
        end(fetch, ORIGIN_UNREACHABLE);
    else if (fetch->outcome == MALFORMED)
        end(fetch, ORIGIN_MALFORMED);
    else if (fetch->has_body)
        send_body(fetch);
    else if (fetch->outcome == TIMED_OUT)
        end(fetch, ORIGIN_TIMED_OUT);
    else if (!fetch->response.complete)
        give_head(fetch);
    else
        give_body(fetch);
}

static void free_closed(void)
{
    for (struct origin_fetch **at = &fetches; *at;) {
        struct origin_fetch *fetch = *at;

        if (fetch->calls) {
            at = &fetch->next;
            continue;
        }
        *at = fetch->next;
        origin_head_free(&fetch->response);
        free(fetch);
    }
}

bool fuzz_origin_turn(void)
{
    for (struct origin_fetch *fetch = fetches; fetch; fetch = fetch->next) {
        if (fetch->calls && !fetch->ended && !fetch->waits)
            step(fetch);
    }
    free_closed();
    return fetches != NULL;
}
