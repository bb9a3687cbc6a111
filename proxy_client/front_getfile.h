/* front_getfile.h: the GETFILE front-end: one request a connection, answered with the file or one of
 *
 *     GETFILE OK LENGTH\r\n\r\n<bytes>     GETFILE FILE_NOT_FOUND\r\n\r\n
 *     GETFILE ERROR\r\n\r\n                GETFILE INVALID\r\n\r\n
 *
 * The length comes first, so a body whose length the origin does not say is spooled to its end (spool.h)
 * before the answer begins; where the spools have no room for it, the answer is ERROR.
 *
 * Trust: clients send anything; what is not a request is answered with INVALID. */
#ifndef LARDER_FRONT_GETFILE_H
#define LARDER_FRONT_GETFILE_H

#include "access_log.h"
#include "connection.h"
#include "exchange.h"
#include "spool.h"

struct front_getfile {
    struct connection_home *connections;
    struct exchange_home *exchanges;
    struct access_log *log; /* NULL: none */
    struct spool_room spools;
};

void front_getfile_setup(struct front_getfile *front, struct connection_home *connections,
                         struct exchange_home *exchanges, struct access_log *log, uint64_t max_spool);
/* 0 or -errno; on failure the caller still owns fd. `front` is a struct front_getfile. */
int front_getfile_accept(void *front, int fd, const union connection_peer *peer);

#endif
