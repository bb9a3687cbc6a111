#include "origin_io.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

SSL_CTX *stream_tls_context(const char *certificate, const char *key)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());

    if (context && SSL_CTX_use_certificate_chain_file(context, certificate) == 1 &&
        SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1) {
        SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        return context;
    }
    ERR_print_errors_fp(stderr);
    SSL_CTX_free(context);
    return NULL;
}

int stream_open(struct stream *stream, int fd, SSL_CTX *context)
{
    *stream = (struct stream){.fd = fd};
    if (!context)
        return 0;
    stream->tls = SSL_new(context);
    if (!stream->tls || SSL_set_fd(stream->tls, fd) != 1) {
        stream_close(stream);
        return -ENOMEM;
    }
    SSL_set_accept_state(stream->tls);
    return 0;
}

static ssize_t tls_result(struct stream *stream, int result)
{
    if (result > 0)
        return result;
    switch (SSL_get_error(stream->tls, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        ERR_clear_error();
        return -EPROTO;
    }
}

static int clamp(size_t size)
{
    return size > 1 << 20 ? 1 << 20 : (int)size;
}

ssize_t stream_read(struct stream *stream, void *data, size_t size)
{
    ssize_t got;

    if (stream->tls)
        return tls_result(stream, SSL_read(stream->tls, data, clamp(size)));
    got = recv(stream->fd, data, size, 0);
    return got < 0 ? -errno : got;
}

ssize_t stream_write(struct stream *stream, const void *data, size_t size)
{
    ssize_t put;

    if (stream->tls)
        return tls_result(stream, SSL_write(stream->tls, data, clamp(size)));
    put = send(stream->fd, data, size, MSG_NOSIGNAL);
    return put < 0 ? -errno : put;
}

ssize_t stream_sendfile(struct stream *stream, int file, int64_t offset, size_t size)
{
    off_t from = offset;
    ssize_t put = sendfile(stream->fd, file, &from, size);

    return put < 0 ? -errno : put;
}

void stream_end_output(struct stream *stream)
{
    if (stream->tls)
        SSL_shutdown(stream->tls);
    shutdown(stream->fd, SHUT_WR);
}

void stream_reset_on_close(struct stream *stream)
{
    struct linger at_once = {.l_onoff = 1};

    setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

void stream_close(struct stream *stream)
{
    SSL_free(stream->tls);
    close(stream->fd);
    *stream = (struct stream){.fd = -1};
}
