/* The parser of HTTP/1 requests: however the bytes of a connection are cut into pieces, and wherever its
 * buffer moves to, the same requests come out of it, and another parser finds no fault with them.
 *
 * The input: eight bytes that say where to cut, then what a client sends. */
#include "fuzz.h"

#include "http1_request.h"

#include <llhttp.h>

#define REQUESTS_MAX 8
#define BODY_PIECE   512u

/* What one way of cutting has seen. */
struct account {
    char *text; /* a line for each fact */
    size_t size;
    FILE *out;
};

struct cutting {
    uint64_t state;
    bool whole;
};

/* xorshift64: any sequence will do, as long as the input chooses it. */
static uint32_t next_number(struct cutting *cutting)
{
    cutting->state ^= cutting->state << 13;
    cutting->state ^= cutting->state >> 7;
    cutting->state ^= cutting->state << 17;
    return (uint32_t)(cutting->state >> 16);
}

static size_t next_piece(struct cutting *cutting, size_t left)
{
    static const uint8_t bits[] = {0, 1, 3, 5, 9, 12};

    if (cutting->whole)
        return left;
    uint32_t most = 1u << bits[next_number(cutting) % sizeof bits];
    size_t piece = 1 + next_number(cutting) % most;
    return piece < left ? piece : left;
}

static void note_span(struct account *account, const char *what, struct http_span span)
{
    fprintf(account->out, "%s ", what);
    if (span.length > 0)
        fwrite(span.at, 1, span.length, account->out);
    fputc('\n', account->out);
}

static void note_head(struct account *account, const struct http1_request *request)
{
    note_span(account, "method", request->method);
    note_span(account, "target", request->target);
    note_span(account, "line", request->line_target);
    note_span(account, "host", request->host);
    fprintf(account->out, "1.%d keep=%d body=%d chunked=%d expect=%d length=%llu\n", request->minor,
            request->keep_alive, request->has_body, request->chunked, request->expects_continue,
            (unsigned long long)request->length);
    for (uint32_t i = 0; i < request->fields->count; i++) {
        note_span(account, "name", request->fields->items[i].name);
        note_span(account, "value", request->fields->items[i].value);
    }
}

/* What is passed on to an origin must not contain anything that ends a line. */
static void check_head(const struct http1_request *request)
{
    REQUIRE(request->fields->count <= HTTP1_MAX_FIELD_COUNT);
    REQUIRE(request->target.length > 0 && request->target.length <= HTTP1_MAX_TARGET);
    for (uint32_t i = 0; i < request->target.length; i++)
        REQUIRE((unsigned char)request->target.at[i] > ' ' && (unsigned char)request->target.at[i] < 0x7f);
    for (uint32_t i = 0; i < request->fields->count; i++) {
        const struct http_field *field = &request->fields->items[i];

        REQUIRE(http_is_token(field->name));
        for (uint32_t k = 0; k < field->value.length; k++)
            REQUIRE(!strchr("\r\n", field->value.at[k]) || field->value.at[k] == '\0');
    }
}

/* Another reader, from Node.js: what is accepted here it accepts too, with as many fields and the same end.
 * It knows a list of methods, so the request line is not the client's. */
static unsigned llhttp_fields;

static int llhttp_value_complete(llhttp_t *parser)
{
    (void)parser;
    llhttp_fields++;
    return 0;
}

static int llhttp_head_complete(llhttp_t *parser)
{
    parser->upgrade = 0;
    return HPE_PAUSED;
}

/* OWS may be HTAB (RFC 9110 section 5.6.3), but llhttp wants spaces around lengths and codings. */
static bool is_about_tab(llhttp_errno_t result, const char *buffer, uint32_t end)
{
    return (result == HPE_INVALID_CONTENT_LENGTH || result == HPE_INVALID_TRANSFER_ENCODING) &&
           memchr(buffer, '\t', end);
}

static void check_with_llhttp(const struct http1_request *request, const char *buffer, uint32_t end)
{
    static const char line[] = "POST / HTTP/1.1\r\n";
    llhttp_settings_t settings;
    llhttp_t parser;

    llhttp_fields = 0;
    llhttp_settings_init(&settings);
    settings.on_header_value_complete = llhttp_value_complete;
    settings.on_headers_complete = llhttp_head_complete;
    llhttp_init(&parser, HTTP_REQUEST, &settings);
    REQUIRE(llhttp_execute(&parser, line, sizeof line - 1) == HPE_OK);
    llhttp_errno_t result = llhttp_execute(&parser, buffer + request->line.at, end - request->line.at);
    if (is_about_tab(result, buffer, end))
        return;
    REQUIRE(result == HPE_PAUSED);
    REQUIRE(llhttp_get_error_pos(&parser) == buffer + end);
    REQUIRE(llhttp_fields == request->fields->count);
}

/* The buffer is allocated anew for every other piece, so that a span that was not moved is seen. */
struct buffer {
    char *at;
    size_t used;
};

static void append(struct buffer *buffer, struct http1_request *request, const uint8_t *bytes, size_t size)
{
    char *larger = malloc(buffer->used + size);

    REQUIRE(larger);
    if (buffer->used > 0)
        memcpy(larger, buffer->at, buffer->used);
    memcpy(larger + buffer->used, bytes, size);
    if (buffer->at)
        http1_request_moved(request, buffer->at, larger);
    free(buffer->at);
    buffer->at = larger;
    buffer->used += size;
}

/* True: a head, and *input goes on behind it. */
static bool parse_head(struct account *account, struct cutting *cutting, struct http1_request *request,
                       struct buffer *buffer, struct fuzz_input *input)
{
    const uint8_t *start = input->at;
    size_t all = input->left;
    enum http1_head result = HTTP1_MORE;
    uint32_t end = 0;

    while (result == HTTP1_MORE && input->left > 0 && buffer->used < HTTP1_MAX_HEAD) {
        size_t piece;
        const uint8_t *bytes = fuzz_take(input, next_piece(cutting, input->left), &piece);
        if (piece > HTTP1_MAX_HEAD - buffer->used)
            piece = HTTP1_MAX_HEAD - buffer->used;
        append(buffer, request, bytes, piece);
        result = http1_request_head(request, buffer->at, (uint32_t)buffer->used, &end);
    }
    if (result == HTTP1_COMPLETE) {
        REQUIRE(end > 0 && end <= buffer->used);
        check_head(request);
        check_with_llhttp(request, buffer->at, end);
        note_head(account, request);
        *input = (struct fuzz_input){start + end, all - end};
        return true;
    }
    if (result == HTTP1_REFUSED) {
        REQUIRE(request->refusal.status >= 400 && request->refusal.status <= 599 && request->refusal.problem);
        fprintf(account->out, "refused %d %d\n", request->refusal.status, request->refusal.kind);
    } else {
        fprintf(account->out, "unfinished\n");
    }
    return false;
}

/* True: the body is whole, and *input goes on behind it. */
static bool parse_body(struct account *account, struct cutting *cutting, struct http1_request *request,
                       struct fuzz_input *input)
{
    enum http1_body result = HTTP1_BODY_GOES_ON;
    char out[BODY_PIECE];
    uint64_t total = 0, sum = 0;

    while (result == HTTP1_BODY_GOES_ON && input->left > 0) {
        size_t most = next_piece(cutting, input->left), used, got;
        if (most > sizeof out)
            most = sizeof out;
        result = http1_request_body(request, (const char *)input->at, most, out, &used, &got);
        REQUIRE(used <= most && got <= used);
        for (size_t i = 0; i < got; i++)
            sum = sum * 31 + (unsigned char)out[i];
        total += got;
        input->at += used;
        input->left -= used;
    }
    if (!request->chunked)
        REQUIRE(total <= request->length);
    if (result == HTTP1_BODY_COMPLETE && !request->chunked)
        REQUIRE(total == request->length);
    if (result == HTTP1_BODY_BAD) {
        fprintf(account->out, "bad body %d\n", request->refusal.status);
        return false;
    }
    fprintf(account->out, "body %llu %llx%s\n", (unsigned long long)total, (unsigned long long)sum,
            result == HTTP1_BODY_COMPLETE ? "" : " unfinished");
    return result == HTTP1_BODY_COMPLETE;
}

static bool parse_one(struct account *account, struct cutting *cutting, struct fuzz_input *input)
{
    static struct http_fields fields;
    struct http1_request request;
    struct buffer buffer = {NULL, 0};

    http1_request_begin(&request, &fields);
    bool goes_on = parse_head(account, cutting, &request, &buffer, input);
    if (goes_on && request.has_body)
        goes_on = parse_body(account, cutting, &request, input);
    free(buffer.at);
    return goes_on;
}

static void parse_all(struct account *account, struct cutting cutting, struct fuzz_input input)
{
    account->out = open_memstream(&account->text, &account->size);
    REQUIRE(account->out);
    for (int i = 0; i < REQUESTS_MAX && input.left > 0; i++) {
        if (!parse_one(account, &cutting, &input))
            break;
    }
    fclose(account->out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    struct cutting cutting = {.state = fuzz_u64(&input) | 1};
    struct account whole, cut;

    parse_all(&whole, (struct cutting){.whole = true}, input);
    parse_all(&cut, cutting, input);
    if (whole.size != cut.size || memcmp(whole.text, cut.text, cut.size) != 0) {
        fprintf(stderr, "in one piece:\n%s\nin pieces:\n%s\n", whole.text, cut.text);
        abort();
    }
    free(whole.text);
    free(cut.text);
    return 0;
}
