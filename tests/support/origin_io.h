/* origin_io.h: a client connection, plain or TLS, behind one non-blocking interface.
 *
 * Returns: bytes moved; 0 from stream_read() at the end of the input; -EAGAIN when the socket must become
 * ready first (edge-triggered epoll on both directions is enough); another -errno when it is broken. */
#ifndef ORIGIN_IO_H
#define ORIGIN_IO_H

#include <openssl/ssl.h>
#include <stdint.h>
#include <sys/types.h>

struct stream {
    int fd;
    SSL *tls; /* NULL: plain */
};

/* A TLS server context, or NULL with the reason on stderr. */
SSL_CTX *stream_tls_context(const char *certificate, const char *key);

int stream_open(struct stream *stream, int fd, SSL_CTX *context); /* owns fd from here, also on error */
ssize_t stream_read(struct stream *stream, void *data, size_t size);
ssize_t stream_write(struct stream *stream, const void *data, size_t size);
ssize_t stream_sendfile(struct stream *stream, int file, int64_t offset, size_t size); /* plain only */
void stream_end_output(struct stream *stream); /* says that nothing more will come */
void stream_reset_on_close(struct stream *stream);
void stream_close(struct stream *stream);

#endif
