/* origin_head.h: collects the header lines that libcurl hands out into one response head. Pure.
 *
 * Trust: the lines are an origin's; what cannot be passed on safely is refused. */
#ifndef LARDER_ORIGIN_HEAD_H
#define LARDER_ORIGIN_HEAD_H

#include "http_message.h"
#include "origin.h"

#define ORIGIN_HEAD_MAX (64u * 1024) /* bytes of header lines */

struct origin_head_reader {
    struct origin_head head;
    char *text; /* the lines, "Name: value\r\n" each */
    size_t used, size;
    bool complete; /* the final head; what follows are trailers */
};

void origin_head_reset(struct origin_head_reader *response);
void origin_head_free(struct origin_head_reader *response);

enum origin_line {
    ORIGIN_LINE_MORE, /* the head goes on */
    ORIGIN_LINE_HEAD, /* this line ended the final head */
    ORIGIN_LINE_BAD,
};
/* One line as received, with its line end. Interim responses (1xx) are skipped, trailers ignored. */
enum origin_line origin_head_line(struct origin_head_reader *response, const char *line, size_t size);

#endif
