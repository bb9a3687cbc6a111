/* mq.h: POSIX message queues, never blocking but where it says so (mq_overview(7)).
 *
 * Errors: 0 or -errno. -EAGAIN: empty, or full. Descriptors close on exec and can be watched with epoll. */
#ifndef LARDER_MQ_H
#define LARDER_MQ_H

#include <mqueue.h>
#include <stddef.h>

#define MQ_MESSAGE_BYTES 512 /* size of every message slot in every queue */
#define MQ_COMMAND_DEPTH 10  /* fs.mqueue.msg_max without privileges */
/* With four slots a queue counts about 2.5 KB against RLIMIT_MSGQUEUE, so that the 256 queues of queues_max
 * fit in the 800 KB of one user. More is not needed: a full reply queue means that its reader has not looked
 * yet. */
#define MQ_REPLY_DEPTH   4

/* Creates exclusively, mode 0600, for reading and writing (F_SETLK wants a writable descriptor). */
int mq_create_exclusive(mqd_t *out, const char *name, long depth);
int mq_open_existing(mqd_t *out, const char *name, int flags);
/* All messages go with the highest priority there is, so that nobody can overtake them: among those of one
 * priority the queue is a line (mq_overview(7)). */
int mq_send_message(mqd_t queue, const void *message, size_t length);
/* Waits for room, at most so long, in the line of those who wait already (Linux serves waiting senders of one
 * priority in order). For the rare case that others keep the queue full. -ETIMEDOUT: no room in time. */
int mq_send_patiently(mqd_t queue, const void *message, size_t length, int patience_ms);
/* Reads one message of any length up to MQ_MESSAGE_BYTES; returns its length or -errno. */
int mq_receive_message(mqd_t queue, void *buffer);

/* One line for a person: why a queue could not be created, and which limit to raise. */
void mq_explain(int error, const char *name, char *out, size_t out_size);

#endif
