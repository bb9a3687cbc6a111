/* event_meta.h: the metadata of what a look-up, or a read with metadata, has brought.
 *
 * Trust: the cache holds what some proxy of the tenant gave it; numbers are checked against each other, and
 * the metadata by http_meta_decode(). */
#ifndef LARDER_EVENT_META_H
#define LARDER_EVENT_META_H

#include "http_meta.h"
#include "larder.h"

/* False: no good. Lines and description stand in the event's segment. Where the cache says that it is fresh
 * no longer than until a time before the end of its lifetime (a soft purge), the lifetime is cut. */
bool event_meta_decode(struct http_meta *out, const struct larder_event *event);

#endif
