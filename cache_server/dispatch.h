/* dispatch.h: control messages off the command queue. */
#ifndef LARDER_DISPATCH_H
#define LARDER_DISPATCH_H

struct cache;

/* Reads and answers a bounded number of messages. */
void dispatch_messages(struct cache *cache);

#endif
