/* getfile_request.h: the request line of the GETFILE protocol. Pure.
 *
 *     GETFILE GET /path\r\n\r\n      (one space before the line ends is allowed)
 *
 * A path is any bytes but CR and LF. Those that may not stand in a URI are percent-encoded, '%' stays as it
 * is, so that a file has the same name, and the same cached copy, through GETFILE and through HTTP. */
#ifndef LARDER_GETFILE_REQUEST_H
#define LARDER_GETFILE_REQUEST_H

#include <stdint.h>

#define GETFILE_MAX_REQUEST (8u * 1024)
#define GETFILE_MAX_TARGET  (3u * GETFILE_MAX_REQUEST)

enum getfile_result { GETFILE_MORE, GETFILE_REQUEST, GETFILE_INVALID };

/* GETFILE_REQUEST: `target`, of GETFILE_MAX_TARGET bytes, holds the encoded path, *length bytes of it.
 * INVALID as soon as the bytes cannot become a request any more. */
enum getfile_result getfile_request_parse(const char *bytes, uint32_t size, char *target, uint32_t *length);

#endif
