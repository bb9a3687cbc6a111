/* EMPTY ──> METHOD ── SP ──> TARGET ── SP ──> VERSION ("HTTP/d.d" CRLF) ──> complete */
#include "http1_line.h"

#include <string.h>

#define USUAL_VERSION "HTTP/1.1\r\n"

enum phase { EMPTY, METHOD, TARGET, VERSION, COMPLETE };

static bool refuse(struct http1_refusal *refusal, int status, enum http1_refusal_kind kind,
                   const char *problem)
{
    *refusal = (struct http1_refusal){status, kind, problem};
    return false;
}

static bool malformed(struct http1_refusal *refusal)
{
    return refuse(refusal, 400, HTTP1_REFUSAL_line, "malformed request line");
}

static void go_on_with(struct http1_line *line, enum phase phase)
{
    line->phase = phase;
    line->start = line->at;
}

/* RFC 9112 section 2.2: some clients put a line end behind a body. `start` is where the empty line began. */
static bool read_empty(struct http1_line *line, char byte, struct http1_refusal *refusal)
{
    bool within = line->at > line->start;

    if (!within && byte != '\r') {
        go_on_with(line, METHOD);
        return true;
    }
    line->at++;
    if (!within)
        return true;
    if (byte != '\n' || ++line->empty_lines > HTTP1_MAX_EMPTY_LINES)
        return malformed(refusal);
    line->start = line->at;
    return true;
}

static bool read_method(struct http1_line *line, const char *buffer, struct http1_refusal *refusal)
{
    uint32_t length = line->at - line->start;

    if (buffer[line->at] == ' ' && length > 0) {
        line->method_at = line->start;
        line->method_length = length;
        line->at++;
        go_on_with(line, TARGET);
        return true;
    }
    if (!http_is_token((struct http_span){buffer + line->at, 1}))
        return malformed(refusal);
    if (length == HTTP1_MAX_METHOD) /* RFC 9112 section 3: longer than any that is implemented */
        return refuse(refusal, 501, HTTP1_REFUSAL_method, "method is longer than 31 bytes");
    line->at++;
    return true;
}

/* Past those bytes that may go on, of a target that is not too long; most of a request line is there. */
static uint32_t skip_visible(struct http1_line *line, const char *buffer, uint32_t size)
{
    uint32_t limit = size - line->start < HTTP1_MAX_TARGET ? size : line->start + HTTP1_MAX_TARGET;

    line->at = (uint32_t)(http_skip_visible(buffer + line->at, buffer + limit) - buffer);
    return line->at;
}

/* Which bytes a target may have is http1_target's to say; here it ends, or cannot be one. */
static bool read_target(struct http1_line *line, const char *buffer, uint32_t size,
                        struct http1_refusal *refusal)
{
    uint32_t length = skip_visible(line, buffer, size) - line->start;
    char byte;

    if (line->at == size)
        return true;
    byte = buffer[line->at];
    if (byte == ' ' && length > 0) {
        line->target_at = line->start;
        line->target_length = length;
        line->at++;
        go_on_with(line, VERSION);
        return true;
    }
    if (byte == '\r' || byte == '\n')
        return refuse(refusal, 400, HTTP1_REFUSAL_line, "request line without a version");
    if (byte == ' ')
        return malformed(refusal);
    if ((unsigned char)byte < ' ' || (unsigned char)byte >= 0x7f)
        return refuse(refusal, 400, HTTP1_REFUSAL_target, "malformed request target");
    return refuse(refusal, 414, HTTP1_REFUSAL_target, "request target is longer than 8192 bytes");
}

/* What nearly all send, whole. */
static bool is_usual_version(const struct http1_line *line, const char *buffer, uint32_t size)
{
    return line->at == line->start && size - line->at >= sizeof USUAL_VERSION - 1 &&
           memcmp(buffer + line->at, USUAL_VERSION, sizeof USUAL_VERSION - 1) == 0;
}

static void take_usual_version(struct http1_line *line)
{
    line->major = line->minor = 1;
    line->at += sizeof USUAL_VERSION - 1;
    go_on_with(line, COMPLETE);
}

/* RFC 9112 section 2.3: case-sensitive, one digit each. */
static bool read_version(struct http1_line *line, char byte, struct http1_refusal *refusal)
{
    static const char pattern[] = "HTTP/d.d\r\n";
    uint32_t place = line->at - line->start;

    if (pattern[place] == 'd' ? byte < '0' || byte > '9' : byte != pattern[place])
        return malformed(refusal);
    if (place == 5)
        line->major = (uint8_t)(byte - '0');
    if (place == 7)
        line->minor = (uint8_t)(byte - '0');
    line->at++;
    if (pattern[place + 1] == '\0')
        go_on_with(line, COMPLETE);
    return true;
}

static bool read_some(struct http1_line *line, const char *buffer, uint32_t size,
                      struct http1_refusal *refusal)
{
    switch (line->phase) {
    case EMPTY:
        return read_empty(line, buffer[line->at], refusal);
    case METHOD:
        return read_method(line, buffer, refusal);
    case TARGET:
        return read_target(line, buffer, size, refusal);
    default:
        if (is_usual_version(line, buffer, size)) {
            take_usual_version(line);
            return true;
        }
        return read_version(line, buffer[line->at], refusal);
    }
}

enum http1_line_result http1_line_read(struct http1_line *line, const char *buffer, uint32_t size,
                                       struct http1_refusal *refusal)
{
    while (line->phase != COMPLETE) {
        if (line->at == size)
            return HTTP1_LINE_MORE;
        if (!read_some(line, buffer, size, refusal))
            return HTTP1_LINE_REFUSED;
    }
    return HTTP1_LINE_COMPLETE;
}
