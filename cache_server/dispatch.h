/* dispatch.h: control messages off the command queue. */
#ifndef LARDER_DISPATCH_H
#define LARDER_DISPATCH_H

#include "mq.h"

struct cache;

/* Reads and answers a bounded number of messages of this queue. While rings are busy messages get no more
 * than a quarter of the time, however many come. */
void dispatch_messages(struct cache *cache, mqd_t queue);

#endif
