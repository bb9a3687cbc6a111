/* http1_chunked.h: decodes the chunked transfer coding of a request (RFC 9112 section 7.1). Pure.
 *
 * To the letter: nothing but CRLF ends a line, white space stands only where the grammar has BWS. Chunk
 * extensions are ignored (section 7.1.1); trailer fields are checked like header fields and dropped, which
 * RFC 9110 section 6.5.1 allows any recipient. Both are bounded over the whole body. */
#ifndef LARDER_HTTP1_CHUNKED_H
#define LARDER_HTTP1_CHUNKED_H

#include <stddef.h>
#include <stdint.h>

#define HTTP1_MAX_SIZE_DIGITS 16u /* of one chunk, leading zeros included */
#define HTTP1_MAX_EXTENSIONS  4096u
#define HTTP1_MAX_TRAILERS    (32u * 1024)

struct http1_chunked { /* zero throughout at the start */
    unsigned state;
    uint32_t digits;
    uint32_t extensions, trailers; /* bytes of them in the body so far */
    uint64_t left;                 /* of the chunk */
};

enum http1_chunked_result {
    HTTP1_CHUNKED_GOES_ON,
    HTTP1_CHUNKED_COMPLETE,
    HTTP1_CHUNKED_BAD,
    HTTP1_CHUNKED_TRAILERS_TOO_LARGE,
};
/* Decodes `size` raw bytes into `out`, which has room for as many. *used of them belong to the body. */
enum http1_chunked_result http1_chunked_decode(struct http1_chunked *chunked, const char *raw, size_t size,
                                               char *out, size_t *used, size_t *got);

#endif
