/* http1_response.h: HTTP/1 response heads and chunks, written into an output. */
#ifndef LARDER_HTTP1_RESPONSE_H
#define LARDER_HTTP1_RESPONSE_H

#include "exchange.h"
#include "http1_request.h"
#include "output.h"

struct http1_framing {
    uint8_t minor; /* of the client's HTTP/1.x */
    bool keep_alive;
    bool chunked;
    bool until_close;
};

/* How the body will be framed, for this client; clears keep_alive where only the end of the connection can
 * tell the end of the body. */
void http1_choose_framing(struct http1_framing *framing, const struct exchange_head *head);
void http1_write_head(struct output *output, const struct exchange_head *head,
                      const struct http1_framing *framing);
/* A head that was written before, with the same framing. */
void http1_write_again(struct output *output, const struct exchange_memo *memo,
                       const struct http1_framing *framing);
void http1_write_chunk_start(struct output *output, size_t size);
void http1_write_chunk_end(struct output *output);
void http1_write_last_chunk(struct output *output);

/* A whole response of our own: "status reason: text", as plain text; to HEAD without the text. */
void http1_write_error(struct output *output, int status, const char *text, int64_t now_s,
                       const struct http1_framing *framing, bool head_only);
/* An interim response; `lines` as in struct exchange_head. */
void http1_write_interim(struct output *output, int status, const struct http_span *lines);
/* The whole answer to an OPTIONS or TRACE that ends here. That to TRACE is the request as received (RFC 9110
 * section 9.3.8), without Authorization, Proxy-Authorization and Cookie. Returns the bytes of its content. */
uint64_t http1_write_own(struct output *output, const struct http1_request *request, int64_t now_s,
                         const struct http1_framing *framing);
const char *http1_reason(int status); /* "Not Found", or "" */

#endif
