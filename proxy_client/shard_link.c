#include "shard_link.h"

int shard_link_open(struct shard_link *link, struct endpoint *endpoint, uint32_t shard)
{
    *link = (struct shard_link){.command = endpoint->command};
    segment_pool_rings(&endpoint->pool, shard, &link->requests, &link->completions);
    return shard == 0 ? 0 : endpoint_reach_shard(endpoint, shard, &link->command);
}

void shard_link_close(struct shard_link *link, const struct endpoint *endpoint)
{
    if (link->command != (mqd_t)-1 && link->command != endpoint->command)
        mq_close(link->command);
    link->command = (mqd_t)-1;
    link->registration = 0;
}

/* EAGAIN is fine: a full command queue means that the cache is awake and will look at every ring. */
void shard_link_bell(const struct shard_link *link, const struct endpoint *endpoint)
{
    union wire_message message;
    size_t length = wire_prepare(&message, WIRE_BELL, endpoint->token);

    message.wire_bell.registration = link->registration;
    (void)mq_send_message(link->command, &message, length);
}

void shard_link_publish(struct shard_link *link, const struct endpoint *endpoint)
{
    link->unpublished = false;
    ring_publish(&link->requests);
    if (ring_wants_bell(&link->requests))
        shard_link_bell(link, endpoint);
}

void shard_link_check_silence(struct shard_link *link, const struct endpoint *endpoint)
{
    if (link->under_way > 0 && link->answers == link->answers_seen)
        shard_link_bell(link, endpoint);
    link->answers_seen = link->answers;
}

enum ring_result shard_link_take(struct shard_link *link, struct wire_completion *completion)
{
    enum ring_result result = ring_take(&link->completions, completion);
    if (result == RING_OK) {
        ring_consumed(&link->completions);
        link->answers++;
    }
    return result;
}
