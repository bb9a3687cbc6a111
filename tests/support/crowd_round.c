#include "crowd_round.h"

#include "crowd_filler.h"
#include "storm_time.h"

#include <signal.h>
#include <stdio.h>

int crowd_round_begin(struct crowd_round *round, const struct crowd_conf *conf,
                      const struct crowd_object *object, unsigned number)
{
    int error;

    *round = (struct crowd_round){.conf = conf, .number = number};
    error = crowd_proxies_read(&round->proxies, conf->proxies);
    if (error)
        return error;
    round->deadline = storm_now() + conf->timeout * STORM_SECOND;
    origin_counters.most_under_way = origin_counters.under_way;
    if (conf->change_on_resume)
        origin_version = 0;
    round->before = origin_counters;
    crowd_open(&round->crowd, conf, object, &round->proxies);
    return 0;
}

void crowd_round_end(struct crowd_round *round)
{
    crowd_close(&round->crowd);
}

static void strike(struct crowd_round *round, int fd, uint64_t sent)
{
    struct crowd_proxy *proxy = crowd_filler_find(&round->proxies, fd);
    int signal_number = round->conf->kill_at ? SIGKILL : SIGSTOP;

    round->struck = true;
    round->struck_at = sent;
    if (!proxy || kill(proxy->pid, signal_number))
        return;
    round->filler = proxy->pid;
    proxy->killed = signal_number == SIGKILL;
    printf("%s %d\n", proxy->killed ? "killed" : "stopped", (int)proxy->pid);
    fflush(stdout);
}

void crowd_round_observe(struct crowd_round *round, int fd)
{
    int64_t at = round->conf->kill_at ? round->conf->kill_at : round->conf->stop_at;
    uint64_t sent = origin_counters.bytes - round->before.bytes;

    if (round->conf->change_on_resume && origin_counters.requests > round->before.requests)
        origin_version = 1;
    if (sent && !round->first_write)
        round->first_write = storm_now();
    if (at && sent >= (uint64_t)at && !round->struck)
        strike(round, fd, sent);
}

bool crowd_round_turn(struct crowd_round *round)
{
    crowd_turn(&round->crowd, origin_counters.requests > round->before.requests);
    return !crowd_is_over(&round->crowd) && storm_now() < round->deadline;
}

int64_t crowd_round_wake_at(const struct crowd_round *round)
{
    int64_t wake_at = crowd_wake_at(&round->crowd);

    return wake_at < round->deadline ? wake_at : round->deadline;
}
