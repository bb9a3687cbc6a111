#include "crowd_report.h"

#include "storm_histogram.h"
#include "storm_time.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

struct tally {
    unsigned outcomes[CROWD_WRONG + 1];
    unsigned broken_of_killed, broken_begun;
    unsigned whole_of_version[CROWD_VERSIONS];
    uint64_t wrong_bytes;
    json_t *statuses, *cache_status;
    struct histogram first, last, last_of_slow;
};

static void count(json_t *object, const char *key)
{
    json_object_set_new(object, key, json_integer(json_integer_value(json_object_get(object, key)) + 1));
}

/* "larder; fwd=uri-miss; stored" counts for fwd=uri-miss and for stored. Left out is what differs by chance.
 */
static void count_parameters(json_t *object, const char *cache_status)
{
    char text[sizeof(((struct crowd_response *)0)->cache_status)], *rest = text, *item;

    snprintf(text, sizeof(text), "%s", cache_status);
    strsep(&rest, ";"); /* the cache's name */
    while ((item = strsep(&rest, ";"))) {
        item += strspn(item, " ");
        if (strncmp(item, "ttl=", 4) != 0 && strncmp(item, "key=", 4) != 0)
            count(object, item);
    }
}

static void add_status(struct tally *tally, const struct crowd_response *response)
{
    char status[16];

    if (!response->status)
        return;
    snprintf(status, sizeof(status), "%d", response->status);
    count(tally->statuses, status);
    count_parameters(tally->cache_status, response->cache_status);
}

static void add_broken(struct tally *tally, const struct crowd_round *round,
                       const struct crowd_client *client)
{
    bool excused = round->proxies.proxy[client->proxy].killed;

    tally->broken_of_killed += excused;
    tally->outcomes[CROWD_BROKEN] -= excused;
    tally->broken_begun += !excused && client->response.received > 0;
}

static void add_client(struct tally *tally, const struct crowd_round *round, unsigned index)
{
    const struct crowd_client *client = &round->crowd.clients[index];
    int64_t since = round->first_write ? round->first_write : round->crowd.began;

    tally->outcomes[client->outcome]++;
    tally->wrong_bytes += client->response.wrong;
    add_status(tally, &client->response);
    if (client->first)
        histogram_add(&tally->first, client->first - since);
    if (client->outcome == CROWD_WHOLE) {
        tally->whole_of_version[client->response.version]++;
        histogram_add(index < round->crowd.slow ? &tally->last_of_slow : &tally->last, client->last - since);
    } else if (client->outcome == CROWD_BROKEN) {
        add_broken(tally, round, client);
    }
}

static json_t *quantiles_json(const struct histogram *histogram)
{
    if (histogram->count == 0)
        return json_null();
    return json_pack("{s:f, s:f, s:f}", "p50", (double)histogram_quantile(histogram, 0.5) / STORM_MS, "p99",
                     (double)histogram_quantile(histogram, 0.99) / STORM_MS, "max",
                     (double)histogram->max / STORM_MS);
}

static json_t *origin_json(const struct origin_counters *before)
{
#define SINCE(counter) #counter, (json_int_t)(origin_counters.counter - before->counter)
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", SINCE(requests), SINCE(ranges), SINCE(if_ranges),
                     SINCE(conditional), SINCE(not_modified), SINCE(bytes), "most_under_way",
                     (json_int_t)origin_counters.most_under_way);
#undef SINCE
}

static json_t *filler_json(const struct crowd_round *round)
{
    if (!round->filler)
        return json_null();
    return json_pack("{s:i, s:I}", "pid", (int)round->filler, "at", (json_int_t)round->struck_at);
}

static json_t *report_json(const struct crowd_round *round, const struct tally *tally)
{
    const unsigned *outcomes = tally->outcomes;

    return json_pack(
        "{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:[i,i], s:i, s:I, s:O, s:O, s:o, s:o, s:o, s:o, s:o}",
        "round", (int)round->number, "clients", (int)round->crowd.count, "whole", (int)outcomes[CROWD_WHOLE],
        "wrong", (int)outcomes[CROWD_WRONG], "broken", (int)outcomes[CROWD_BROKEN], "broken_of_killed",
        (int)tally->broken_of_killed, "errors", (int)outcomes[CROWD_ERROR], "unfinished",
        (int)outcomes[CROWD_WAITS], "whole_of_version", (int)tally->whole_of_version[0],
        (int)tally->whole_of_version[1], "broken_begun", (int)tally->broken_begun, "wrong_bytes",
        (json_int_t)tally->wrong_bytes, "statuses", tally->statuses, "cache_status", tally->cache_status,
        "origin", origin_json(&round->before), "filler", filler_json(round), "first_byte_ms",
        quantiles_json(&tally->first), "last_byte_ms", quantiles_json(&tally->last), "last_byte_of_slow_ms",
        quantiles_json(&tally->last_of_slow));
}

static void print(const struct crowd_round *round, const struct tally *tally)
{
    json_t *report = report_json(round, tally);
    char *text = report ? json_dumps(report, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;

    if (!text)
        abort();
    printf("result %u %s\n", round->number, text);
    fflush(stdout);
    free(text);
    json_decref(report);
}

bool crowd_report(const struct crowd_round *round)
{
    static struct tally tally; /* histograms are large */
    unsigned harmed;

    memset(&tally, 0, sizeof(tally));
    tally.statuses = json_object();
    tally.cache_status = json_object();
    for (unsigned i = 0; i < round->crowd.count; i++)
        add_client(&tally, round, i);
    print(round, &tally);
    json_decref(tally.statuses);
    json_decref(tally.cache_status);
    harmed = round->crowd.count - tally.outcomes[CROWD_WHOLE] - tally.broken_of_killed;
    return harmed == 0 && (!round->struck || round->filler);
}
