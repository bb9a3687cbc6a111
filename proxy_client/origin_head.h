/* origin_head.h: collects the header lines that libcurl hands out into one response head. Pure.
 *
 * Trust: the lines are an origin's; what cannot be passed on safely is refused. */
#ifndef LARDER_ORIGIN_HEAD_H
#define LARDER_ORIGIN_HEAD_H

#include "http_message.h"
#include "origin.h"

#define ORIGIN_HEAD_MAX     (64u * 1024) /* bytes of header lines */
#define ORIGIN_INTERIMS_MAX 16u          /* an origin that sends more never comes to the point */

struct origin_head_reader {
    struct origin_head head;
    char *text; /* the lines, "Name: value\r\n" each */
    size_t used, size;
    unsigned interims;
    uint8_t minor; /* HTTP/1.minor of this response */
    bool begun;    /* its status line was there; another one is not expected before its end */
    bool complete; /* the final head; what follows are trailers */
};

void origin_head_reset(struct origin_head_reader *response);
void origin_head_free(struct origin_head_reader *response);

enum origin_line {
    ORIGIN_LINE_MORE,    /* the head goes on */
    ORIGIN_LINE_INTERIM, /* this line ended the head of an interim response (1xx), which is in `head` */
    ORIGIN_LINE_HEAD,    /* this line ended the final head; it got a Via of ours (RFC 9110 section 7.6.3) */
    ORIGIN_LINE_BAD,
};
/* One line as received, with its line end. Trailers are ignored (RFC 9110 section 6.5.1). */
enum origin_line origin_head_line(struct origin_head_reader *response, const char *line, size_t size);

#endif
