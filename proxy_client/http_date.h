/* http_date.h: HTTP-date (RFC 9110 section 5.6.7), all three formats in, IMF-fixdate out. Pure. */
#ifndef LARDER_HTTP_DATE_H
#define LARDER_HTTP_DATE_H

#include "http_message.h"

#define HTTP_DATE_BYTES 29 /* "Sun, 06 Nov 1994 08:49:37 GMT" */

/* Seconds since the Unix epoch. Two-digit years are read as RFC 9110 says, with `now` as the present: the
 * latest year that lies at most 50 years ahead. Letters match in either case, the zone is GMT and no other
 * (RFC 9111 section 4.2); the day's name must be one, but need not be the right one. False: not a date, *out
 * is untouched. */
bool http_date_parse(struct http_span text, int64_t now, int64_t *out);
/* Writes exactly HTTP_DATE_BYTES bytes and a terminating zero. Times outside the years 0 to 9999 are clamped.
 */
void http_date_format(int64_t seconds, char out[HTTP_DATE_BYTES + 1]);
/* "Date: ...\r\n" */
void http_date_add_field(struct http_text *text, int64_t seconds);

#endif
