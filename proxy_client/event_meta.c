#include "event_meta.h"

/* A soft purge has ended its freshness earlier than the response said: it is as old now as if that had been
 * its lifetime, so that what a stale response may be used for counts from then on. */
static void cut_lifetime(struct http_meta_head *head, int64_t fresh_until_ms)
{
    int64_t fresh_until = fresh_until_ms > 0 ? fresh_until_ms / 1000 : 0;
    int64_t lifetime = http_meta_age(head, fresh_until);

    if (lifetime < head->lifetime)
        head->lifetime = lifetime;
}

bool event_meta_decode(struct http_meta *out, const struct larder_event *event)
{
    const struct larder_segment *segment = event->segment;

    if (!segment || event->meta_length > segment->size ||
        event->length > segment->size - event->meta_length ||
        !http_meta_decode(out, segment->data, event->meta_length))
        return false;
    cut_lifetime(&out->head, event->fresh_until);
    return true;
}
