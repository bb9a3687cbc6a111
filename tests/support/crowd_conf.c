#include "crowd_conf.h"

#include "origin_script.h"

#include <getopt.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define EXIT_USAGE 2

static const char help[] =
    "usage: larder_crowd --proxies FILE [OPTION...]\n"
    "\n"
    "The origin and the crowd of its clients in one process. It prints \"target TARGET\", which is what the\n"
    "clients will ask for, and \"listening ADDR:PORT\", which is the origin for the proxies. At SIGUSR1 a\n"
    "round begins: FILE is read, a line \"ADDR:PORT PID\" for each proxy (on 127.0.0.1), all clients\n"
    "ask for the same object, every byte of every response is checked, and a line \"result N JSON\" is "
    "printed.\n"
    "\n"
    "  --clients N            how many, spread over the proxies (default: 1000)\n"
    "  --size SIZE            of the object (default: 1M)\n"
    "  --rate SIZE            bytes of it that the origin sends a second (default: 0, at once)\n"
    "  --max-age SECONDS      its Cache-Control (default: 3600)\n"
    "  --chunked              its length is not told before\n"
    "  --uncacheable          Cache-Control: private\n"
    "  --no-range             Range is ignored\n"
    "  --delay MS             before the head\n"
    "  --fail                 the connection is closed without an answer\n"
    "  --change-on-resume     other bytes and another ETag from a round's second request on\n"
    "  --script TEXT          more parameters of the target, as larder_origin takes them\n"
    "  --lead                 one client asks first, the others when the origin has its request\n"
    "  --slow N               so many clients, the first among them, read nothing until the others have\n"
    "                         ended; the very first until all have\n"
    "  --slow-for MS          or for so long, the very first twice\n"
    "  --kill-filler-at SIZE  when the origin has sent so many bytes: SIGKILL for the proxy that reads\n"
    "                         them. Broken responses of that proxy are not held against anybody\n"
    "  --stop-filler-at SIZE  the same with SIGSTOP; \"stopped PID\" is printed\n"
    "  --rounds N             ends after so many (default: 1)\n"
    "  --timeout SECONDS      for a round, and for waiting for it (default: 60)\n"
    "  --help\n"
    "\n"
    "Exit status: 0 all clients of living proxies got the whole object, 1 some did not, 2 wrong usage.\n";

enum kind { NUMBER, FLAG, TEXT, ORDER, ORDER_VALUE, HELP };

/* Each option lives once, here: where its value goes, or what it adds to the target. */
static const struct entry {
    const char *name;
    enum kind kind;
    size_t offset;
    const char *order;
} entries[] = {
    {"proxies", TEXT, offsetof(struct crowd_conf, proxies), NULL},
    {"clients", NUMBER, offsetof(struct crowd_conf, clients), NULL},
    {"size", NUMBER, offsetof(struct crowd_conf, size), NULL},
    {"rate", NUMBER, offsetof(struct crowd_conf, rate), NULL},
    {"max-age", NUMBER, offsetof(struct crowd_conf, max_age), NULL},
    {"chunked", ORDER, 0, "chunked=1"},
    {"uncacheable", ORDER, 0, "header=Cache-Control:%20private"},
    {"no-range", ORDER, 0, "noheader=Accept-Ranges"},
    {"delay", ORDER_VALUE, 0, "delay="},
    {"fail", ORDER, 0, "drop=1"},
    {"change-on-resume", FLAG, offsetof(struct crowd_conf, change_on_resume), NULL},
    {"script", ORDER_VALUE, 0, ""},
    {"lead", FLAG, offsetof(struct crowd_conf, lead), NULL},
    {"slow", NUMBER, offsetof(struct crowd_conf, slow), NULL},
    {"slow-for", NUMBER, offsetof(struct crowd_conf, slow_for), NULL},
    {"kill-filler-at", NUMBER, offsetof(struct crowd_conf, kill_at), NULL},
    {"stop-filler-at", NUMBER, offsetof(struct crowd_conf, stop_at), NULL},
    {"rounds", NUMBER, offsetof(struct crowd_conf, rounds), NULL},
    {"timeout", NUMBER, offsetof(struct crowd_conf, timeout), NULL},
    {"help", HELP, 0, NULL},
};

#define ENTRIES (sizeof(entries) / sizeof(entries[0]))

static int complain(const char *what, const char *value)
{
    fprintf(stderr, "larder_crowd: %s%s%s; try --help\n", what, value ? ": " : "", value ? value : "");
    return EXIT_USAGE;
}

static bool apply(struct crowd_conf *conf, const struct entry *entry)
{
    char *place = (char *)conf + entry->offset;
    int64_t number;

    switch (entry->kind) {
    case NUMBER:
        number = script_number(optarg);
        memcpy(place, &number, sizeof(number));
        return number >= 0;
    case FLAG:
        *(bool *)place = true;
        return true;
    case TEXT:
        memcpy(place, &optarg, sizeof(optarg));
        return *optarg != '\0';
    case ORDER:
    case ORDER_VALUE:
        bytes_print(&conf->target, "&%s%s", entry->order, entry->kind == ORDER ? "" : optarg);
        return true;
    case HELP:
        break;
    }
    return false;
}

static void list_options(struct option options[ENTRIES + 1])
{
    memset(options, 0, (ENTRIES + 1) * sizeof(*options));
    for (size_t i = 0; i < ENTRIES; i++) {
        bool alone = entries[i].kind == FLAG || entries[i].kind == ORDER || entries[i].kind == HELP;

        options[i].name = entries[i].name;
        options[i].has_arg = alone ? no_argument : required_argument;
    }
}

static void finish_target(struct crowd_conf *conf)
{
    struct bytes orders = conf->target;

    conf->target = (struct bytes){0};
    bytes_print(&conf->target, "/object?size=%" PRId64 "&rate=%" PRId64, conf->size, conf->rate);
    bytes_add(&conf->target, orders.data, orders.size);
    bytes_free(&orders);
}

static int judge(const struct crowd_conf *conf)
{
    if (!conf->proxies)
        return complain("--proxies is needed", NULL);
    if (conf->clients < 1 || conf->clients > 100000 || conf->slow > conf->clients)
        return complain("--clients wants 1 to 100000, and no fewer than --slow", NULL);
    if (conf->size < 1 || conf->size > INT64_C(1) << 30)
        return complain("--size wants 1 to 1G", NULL);
    if (conf->rounds < 1 || conf->timeout < 1 || conf->timeout > 3600)
        return complain("--rounds wants 1 or more, --timeout 1 to 3600", NULL);
    if (conf->kill_at && conf->stop_at)
        return complain("one of --kill-filler-at and --stop-filler-at", NULL);
    return -1;
}

int crowd_conf_parse(struct crowd_conf *conf, int argc, char **argv)
{
    struct option options[ENTRIES + 1];
    int at = 0, option;

    *conf =
        (struct crowd_conf){.size = 1 << 20, .max_age = 3600, .clients = 1000, .rounds = 1, .timeout = 60};
    list_options(options);
    while ((option = getopt_long(argc, argv, "", options, &at)) != -1) {
        if (option == '?')
            return complain("wrong usage", NULL);
        if (entries[at].kind == HELP) {
            fputs(help, stdout);
            return 0;
        }
        if (!apply(conf, &entries[at]))
            return complain("this option does not take that", entries[at].name);
    }
    if (optind != argc)
        return complain("what is this", argv[optind]);
    finish_target(conf);
    return judge(conf);
}

void crowd_conf_clear(struct crowd_conf *conf)
{
    bytes_free(&conf->target);
}
