/* origin_script.h: what a test orders through query parameters.
 *
 *     size=N          a generated body of N bytes (suffixes K, M, G)
 *     seed=K          another generated body
 *     version=K       another generated body and ETag; without it the version set by /_control/version
 *     status=N        this status
 *     header=N:%20V   adds a field (repeatable); fields of the same name that the origin would send are left
 *                     out
 *     self=1          adds Content-Location with the target as it was requested
 *     noheader=N      leaves a field out (repeatable)
 *     chunked=1       Transfer-Encoding: chunked
 *     trailer=N:%20V  the same with a trailer field (repeatable)
 *     nolength=1      neither length nor chunks: the end of the connection ends the body
 *     length=N        claims this Content-Length, whatever is sent; then closes
 *     noifrange=1     gives the range whatever If-Range says
 *     close=N         closes after N bytes of the body
 *     reset=N         the same with a TCP reset
 *     drop=1          closes without an answer
 *     delay=MS        waits before the head
 *     rate=N          sends N bytes of the body a second
 *     hold=NAME       stops at half of the body until /_control/release?name=NAME has been requested
 *     hold_at=N       holds after N bytes instead; hold_at=head holds before the head
 *     interim=N       an interim response (e.g. 103) first
 *     interims=N      that many of them
 *     hint=N:%20V     a field of theirs (repeatable)
 *     early=1         answers before the body of the request, without reading it, and closes
 *     garbage=1       the answer is not HTTP
 *     raw=BYTES       the answer is these bytes; then closes
 *     echo=1          the body is the request as it was received, with its body decoded
 *     by=NAME         the body is the request's field of that name: "NAME: value", or "NAME" if it has none
 *     gzip=1          of a file and a FILE.gz beside it the latter, if the request accepts gzip
 *
 * With a digit behind its name (header1=..., raw2=...) a parameter counts only while that is the version set
 * by /_control/version. Anything else in the query is ignored, so that it can make URLs distinct. */
#ifndef ORIGIN_SCRIPT_H
#define ORIGIN_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCRIPT_MAX_FIELDS 32
#define SCRIPT_HOLD_HALF  (-2)
#define SCRIPT_HOLD_HEAD  (-1)

struct origin_script {
    int64_t size; /* -1: nothing generated */
    int64_t seed;
    int64_t version;  /* -1: the global one */
    int64_t status;   /* 0: what the content asks for */
    int64_t length;   /* -1: the truth */
    int64_t close_at; /* -1: never */
    int64_t reset_at; /* -1: never */
    int64_t hold_at;
    int64_t delay_ms;
    int64_t rate; /* 0: unpaced */
    int64_t interim, interims;
    bool chunked, no_length, drop, garbage, echo, early;
    bool gzip, self, no_if_range;
    char *by;   /* NULL: not by a field */
    char *raw;  /* NULL: none */
    char *hold; /* NULL: no gate */
    char *name; /* of the control requests */
    int64_t n;  /* of the control requests */
    char *add[SCRIPT_MAX_FIELDS];
    char *omit[SCRIPT_MAX_FIELDS];
    char *hint[SCRIPT_MAX_FIELDS];
    char *trailer[SCRIPT_MAX_FIELDS];
    size_t added, omitted, hints, trailers;
    char *text; /* the decoded parameters; the pointers above point into it */
};

/* 0, or -EINVAL with `problem` pointing at the parameter that makes no sense. */
int script_parse(struct origin_script *script, const char *query, const char **problem);
void script_clear(struct origin_script *script);

/* Whether the origin sends its own field of this name. */
bool script_allows(const struct origin_script *script, const char *field);

/* A number of bytes with an optional suffix K, M or G; -1 if it is none. */
int64_t script_number(const char *text);

/* Decodes %XX in place, except %2F if `keep_slash`. False for %00 and incomplete sequences. */
bool percent_decode(char *text, bool keep_slash);

#endif
