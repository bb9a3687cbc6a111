#include "cache_conf.h"

#include "cache_users.h"
#include "identity.h"
#include "log.h"
#include "size.h"
#include "spin.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static const char help_head[] =
    "usage: cache_server [OPTION...]\n"
    "\n"
    "Keeps what the proxies of this host have fetched, in memory, for all of them.\n"
    "\n";
static const char help_tail[] =
    "  --tenant NAME:SETTING=VALUE,...\n"
    "                           what a tenant may have, as in a [tenant] of the file; once for each\n"
    "  --no-sandbox             keep capabilities, core dumps and all system calls, for debugging\n"
    "  --config FILE            read this file too (larder.conf(5)); options win. SIGHUP and\n"
    "                           `cache_ctl reload` read it again\n"
    "  --check                  only check all that, and print what would be in force\n"
    "  --version                print the version and exit\n"
    "  --help                   print this and exit\n"
    "\n"
    "Times are seconds, or numbers with ms, s, m, h or d. Prints `ready` on standard output when proxies "
    "can\n"
    "register. SIGINT and SIGTERM end it. Exit status: 0 ended by a signal, 1 something failed, 2 wrong "
    "usage\n"
    "or configuration, or another cache serves this instance.\n";

/* ---- the keys ---- */

#define FIELD(member)   offsetof(struct cache_conf, member)
#define TENANT(member)  offsetof(struct tenant_conf, member)
#define SETTING(member) TENANT(settings.member)
#define MOST_BYTES      ((uint64_t)1 << 62)

static bool take_group(void *value, const char *text, struct conf_taking *taking);
static void show_group(const void *value, const struct conf_key *key, FILE *out);
static bool take_users(void *value, const char *text, struct conf_taking *taking);
static void show_users(const void *value, const struct conf_key *key, FILE *out);
static bool take_policy(void *value, const char *text, struct conf_taking *taking);
static void show_policy(const void *value, const struct conf_key *key, FILE *out);

static const struct conf_key cache_keys[] = {
    {CONF_KEY_INSTANCE(FIELD(instance), "which cache this is; proxies name the same (default)")},
    {CONF_OPTION("memory", "SIZE", "for objects, keys and index, e.g. 4G (512M)"), .kind = CONF_SIZE,
     .offset = FIELD(memory), .least = CACHE_MIN_MEMORY, .most = MOST_BYTES},
    {CONF_OPTION("max-object", "SIZE", "largest object to keep (a quarter of --memory)"), .kind = CONF_SIZE,
     .offset = FIELD(max_object), .least = 1, .most = MOST_BYTES},
    {CONF_OPTION("shards", "N", "threads that divide keys and memory among them, up to 16 (1)"),
     .kind = CONF_COUNT32, .flags = CONF_FIXED, .offset = FIELD(shards), .least = 1,
     .most = NAMES_SHARDS_MAX},
    {CONF_OPTION("stall-time", "TIME", "silence after which a proxy counts as stalled (1s)"),
     .kind = CONF_TIME, .flags = CONF_FIXED, .offset = FIELD(stall_ms), .least = CACHE_MIN_STALL_MS,
     .most = CACHE_MAX_TIME_MS},
    {CONF_OPTION("stall-limit", "TIME",
                 "a proxy stalled for longer that holds objects or leases is\n"
                 "                           dropped; 0: never (60s)"),
     .kind = CONF_TIME, .offset = FIELD(stall_limit_ms), .most = CACHE_MAX_TIME_MS},
    {CONF_OPTION("lease-time", "TIME", "a fill without progress for longer may be taken over (60s)"),
     .kind = CONF_TIME, .offset = FIELD(lease_ms), .least = CACHE_MIN_STALL_MS, .most = CACHE_MAX_TIME_MS},
    {CONF_KEY_SPIN(FIELD(spin), "share of a processor for looking at rings before sleeping; 0: none\n"
                                "                           (5%)")},
    {CONF_KEY_USER(FIELD(user), "started as root: become this user, and create everything as it")},
    {CONF_OPTION("group", "NAME",
                 "proxies of other users, members of this group, may send to the\n"
                 "                           cache; which of them it serves is for --config to say"),
     .kind = CONF_OWN, .flags = CONF_FIXED, .offset = FIELD(group), .take = take_group, .show = show_group},
    {CONF_KEY_LOG_LEVEL(FIELD(log_level), "error, warn, info or debug, to standard error (info)")},
    {.name = "huge-pages", .kind = CONF_FLAG, .flags = CONF_FIXED, .offset = FIELD(huge_pages)},
    {CONF_OPTION("no-sandbox", NULL, NULL), .kind = CONF_FLAG, .flags = CONF_FIXED,
     .offset = FIELD(no_sandbox)},
};

static const struct conf_key tenant_keys[] = {
    {.name = "reserve", .kind = CONF_SIZE, .offset = SETTING(reserve), .most = MOST_BYTES},
    {.name = "limit",
     .kind = CONF_SIZE,
     .flags = CONF_HIDDEN,
     .offset = SETTING(limit),
     .least = (uint64_t)64 << 10,
     .most = MOST_BYTES},
    {.name = "weight",
     .kind = CONF_COUNT32,
     .offset = SETTING(weight),
     .least = 1,
     .most = SHARES_MAX_WEIGHT},
    {.name = "policy", .kind = CONF_OWN, .offset = SETTING(policy), .take = take_policy, .show = show_policy},
    {.name = "admission", .kind = CONF_FLAG, .offset = SETTING(admission)},
    {.name = "max-fills",
     .kind = CONF_COUNT32,
     .flags = CONF_HIDDEN,
     .offset = SETTING(max_fills),
     .least = 1,
     .most = 1000000},
    {.name = "max-waiters",
     .kind = CONF_COUNT32,
     .flags = CONF_HIDDEN,
     .offset = SETTING(max_waiters),
     .least = 1,
     .most = 1000000},
    {.name = "max-pins",
     .kind = CONF_COUNT32,
     .flags = CONF_HIDDEN,
     .offset = SETTING(max_pins),
     .least = 1,
     .most = 10000000},
    {.name = "max-proxies",
     .kind = CONF_COUNT32,
     .flags = CONF_HIDDEN,
     .offset = SETTING(max_proxies),
     .least = 1,
     .most = 1024},
    {.name = "group", .kind = CONF_OWN, .offset = TENANT(group), .take = take_group, .show = show_group},
    {.name = "uids", .kind = CONF_OWN, .flags = CONF_LIST, .take = take_users, .show = show_users},
};

enum { SECTION_CACHE, SECTION_TENANT };
static const struct conf_section sections[] = {
    [SECTION_CACHE] = {CONF_SECTION("cache", cache_keys)},
    [SECTION_TENANT] = {CONF_SECTION("tenant", tenant_keys), .is_named = true},
};

/* ---- one load ---- */

struct load {
    struct cache_conf *conf;
    const struct cache_conf *running;
};

/* The number that a name had at the start is the one that it keeps. */
static bool find_known(const struct cache_conf *running, const char *name, uid_t *uid)
{
    for (uint32_t i = 0; running && i < running->tenant_count; i++) {
        const struct tenant_conf *tenant = &running->tenants[i];
        for (uint32_t j = 0; j < tenant->user_count; j++) {
            if (strcmp(tenant->users[j].name, name) == 0) {
                *uid = tenant->users[j].uid;
                return true;
            }
        }
    }
    return false;
}

static bool take_user(struct tenant_conf *tenant, const char *name, struct conf_taking *taking)
{
    const struct load *load = taking->context;
    struct tenant_conf_user *user = &tenant->users[tenant->user_count];

    if (tenant->user_count == TENANT_CONF_UIDS) {
        snprintf(taking->why, sizeof(taking->why), "makes more than %u users", TENANT_CONF_UIDS);
        return false;
    }
    if (!find_known(load->running, name, &user->uid) &&
        !cache_users_find(name, load->running != NULL, &user->uid)) {
        snprintf(taking->why, sizeof(taking->why), "has an unknown user: %.64s", name);
        return false;
    }
    for (uint32_t i = 0; i < tenant->user_count; i++) {
        if (tenant->users[i].uid == user->uid) {
            snprintf(taking->why, sizeof(taking->why), "names user %u twice", (unsigned)user->uid);
            return false;
        }
    }
    user->name = conf_texts_keep(taking->texts, name, strlen(name));
    tenant->user_count += user->name != NULL;
    return true;
}

static bool take_users(void *value, const char *text, struct conf_taking *taking)
{
    char list[CONF_MAX_LINE + 1];
    char *rest = list, *name;
    bool any = false;

    snprintf(list, sizeof(list), "%s", text);
    while ((name = strsep(&rest, ", \t"))) {
        if (*name == '\0')
            continue;
        any = true;
        if (!take_user(value, name, taking))
            return false;
    }
    if (!any)
        snprintf(taking->why, sizeof(taking->why), "names nobody");
    return any;
}

/* As for users: one that is known keeps its number. */
static bool find_known_group(const struct cache_conf *running, const char *name, gid_t *gid)
{
    if (running && running->group.name && strcmp(running->group.name, name) == 0) {
        *gid = running->group.gid;
        return true;
    }
    for (uint32_t i = 0; running && i < running->tenant_count; i++) {
        const struct group_conf *group = &running->tenants[i].group;
        if (group->name && strcmp(group->name, name) == 0) {
            *gid = group->gid;
            return true;
        }
    }
    return false;
}

static bool take_group(void *value, const char *text, struct conf_taking *taking)
{
    const struct load *load = taking->context;
    struct group_conf *group = value;

    if (!find_known_group(load->running, text, &group->gid) &&
        !cache_users_find_group(text, load->running != NULL, &group->gid)) {
        snprintf(taking->why, sizeof(taking->why), "is no group");
        return false;
    }
    group->name = conf_texts_keep(taking->texts, text, strlen(text));
    return group->name != NULL;
}

static void show_group(const void *value, const struct conf_key *key, FILE *out)
{
    const struct group_conf *group = value;

    if (group->name)
        fprintf(out, "%s = %s\n", key->name, group->name);
}

static void show_users(const void *value, const struct conf_key *key, FILE *out)
{
    const struct tenant_conf *tenant = value;

    for (uint32_t i = 0; i < tenant->user_count; i++) /* a line each, so that none is too long */
        fprintf(out, "%s = %s\n", key->name, tenant->users[i].name);
}

static bool take_policy(void *value, const char *text, struct conf_taking *taking)
{
    if (eviction_policy_find(text, value))
        return true;
    snprintf(taking->why, sizeof(taking->why), "is none of: lru s3fifo sieve");
    return false;
}

static void show_policy(const void *value, const struct conf_key *key, FILE *out)
{
    fprintf(out, "%s = %s\n", key->name, eviction_policy_name(*(const enum eviction_policy *)value));
}

/* One name twice, or names that only look different, are one tenant to whoever wrote them. */
static bool overlaps(const struct tenant_conf *other, const char *name, struct conf_taking *taking)
{
    if (strcasecmp(other->name, name) != 0)
        return false;
    if (strcmp(other->name, name) == 0)
        snprintf(taking->why, sizeof(taking->why), "is there already, in line %u", other->line);
    else
        snprintf(taking->why, sizeof(taking->why),
                 "overlaps with [tenant \"%s\"] in line %u: they differ in case only", other->name,
                 other->line);
    return true;
}

static struct tenant_conf *open_tenant(struct cache_conf *conf, const char *name, unsigned line,
                                       struct conf_taking *taking)
{
    struct tenant_conf *tenants;

    if (!names_tenant_valid(name)) {
        snprintf(taking->why, sizeof(taking->why), "is no name of a tenant: 1 to %d letters, digits, _ - .",
                 NAMES_TENANT_MAX);
        return NULL;
    }
    for (uint32_t i = 0; i < conf->tenant_count; i++) {
        if (overlaps(&conf->tenants[i], name, taking))
            return NULL;
    }
    if (conf->tenant_count == TENANTS_MAX) {
        snprintf(taking->why, sizeof(taking->why), "is one too many: at most %u tenants", TENANTS_MAX);
        return NULL;
    }
    tenants = realloc(conf->tenants, (conf->tenant_count + 1) * sizeof(*tenants));
    if (!tenants) {
        snprintf(taking->why, sizeof(taking->why), "cannot be kept: out of memory");
        return NULL;
    }
    conf->tenants = tenants;
    tenants += conf->tenant_count++;
    *tenants = (struct tenant_conf){.line = line, .settings = TENANT_DEFAULTS};
    memcpy(tenants->name, name, strlen(name) + 1);
    return tenants;
}

static void *open_section(void *context, const struct conf_section *section, const char *name, unsigned line,
                          struct conf_taking *taking)
{
    struct load *load = context;

    return section == &sections[SECTION_CACHE] ? (void *)load->conf
                                               : (void *)open_tenant(load->conf, name, line, taking);
}

static const struct conf_schema schema = {sections, sizeof(sections) / sizeof(*sections), open_section};

/* ---- what fits together ---- */

static void check_tenant(const struct cache_conf *conf, const struct tenant_conf *tenant,
                         struct conf_report *report)
{
    char a[SIZE_TEXT_BYTES], b[SIZE_TEXT_BYTES];

    if (tenant->settings.limit > conf->memory)
        conf_complain(report, tenant->line, "limit (%s) of tenant \"%s\" is more than memory (%s)",
                      size_format(tenant->settings.limit, a), tenant->name, size_format(conf->memory, b));
    if (tenant->settings.limit && tenant->settings.reserve > tenant->settings.limit)
        conf_complain(report, tenant->line, "reserve (%s) of tenant \"%s\" is more than its limit (%s)",
                      size_format(tenant->settings.reserve, a), tenant->name,
                      size_format(tenant->settings.limit, b));
}

/* Who is in no group with the cache cannot reach it. */
static void check_reach(const struct cache_conf *conf, const struct tenant_conf *tenant, uid_t own,
                        struct conf_report *report)
{
    for (uint32_t i = 0; i < tenant->user_count && !conf->group.name; i++) {
        if (tenant->users[i].uid != own) {
            conf_complain(
                report, tenant->line,
                "tenant \"%s\" names user %s, but there is no group in [cache] through which others "
                "than the cache's own user reach it",
                tenant->name, tenant->users[i].name);
            return;
        }
    }
}

static void check_reserves(const struct cache_conf *conf, struct conf_report *report)
{
    char sum[SIZE_TEXT_BYTES], memory[SIZE_TEXT_BYTES];
    uint64_t reserved = 0;
    unsigned line = 0; /* of the first that does not fit any more */

    for (uint32_t i = 0; i < conf->tenant_count; i++) {
        if (__builtin_add_overflow(reserved, conf->tenants[i].settings.reserve, &reserved))
            reserved = UINT64_MAX;
        if (reserved > conf->memory && line == 0)
            line = conf->tenants[i].line;
    }
    if (reserved > conf->memory)
        conf_complain(report, line, "the tenants' reserves (%s together) are more than memory (%s)",
                      size_format(reserved, sum), size_format(conf->memory, memory));
}

/* Whose the cache is or will be. */
static uid_t own_user(const struct cache_conf *conf, bool in_sandbox)
{
    char name[64];
    uid_t uid = geteuid();

    if (conf->user && !in_sandbox) {
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(conf->user, ":"), conf->user);
        cache_users_find(name, false, &uid);
    }
    return uid;
}

/* What becomes of it is for privileges.h; that it is nobody is said with everything else that is wrong. */
static void check_user(const struct cache_conf *conf, bool in_sandbox, struct conf_report *report)
{
    char name[64];
    uid_t uid;

    if (!conf->user || in_sandbox)
        return;
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(conf->user, ":"), conf->user);
    if (!cache_users_find(name, false, &uid))
        conf_complain(report, 0, "user: no such user: %s", name);
}

static void check(struct cache_conf *conf, uid_t own, struct conf_report *report)
{
    char a[SIZE_TEXT_BYTES], b[SIZE_TEXT_BYTES];

    if (conf->max_object == 0)
        conf->max_object = conf->memory / conf->shards / CACHE_OBJECT_SHARE;
    if (conf->memory / conf->shards < CACHE_MIN_MEMORY)
        conf_complain(report, 0, "memory (%s) is less than %s for each of %u shards",
                      size_format(conf->memory, a), size_format(CACHE_MIN_MEMORY, b), conf->shards);
    if (conf->max_object > conf->memory)
        conf_complain(report, 0, "max-object (%s) is more than memory (%s)", size_format(conf->max_object, a),
                      size_format(conf->memory, b));
    for (uint32_t i = 0; i < conf->tenant_count; i++) {
        check_tenant(conf, &conf->tenants[i], report);
        check_reach(conf, &conf->tenants[i], own, report);
    }
    check_reserves(conf, report);
}

static const struct conf_key *find_tenant_key(const char *name)
{
    for (size_t i = 0; i < sizeof(tenant_keys) / sizeof(*tenant_keys); i++) {
        if (conf_names_equal(tenant_keys[i].name, name))
            return &tenant_keys[i];
    }
    return NULL;
}

/* SETTING=VALUE; users are a list, which a comma would end. */
static void apply_setting(struct tenant_conf *tenant, char *setting, struct conf_taking *taking,
                          struct conf_report *report)
{
    char *value = strchr(setting, '=');
    const struct conf_key *key;

    if (!value) {
        conf_complain(report, 0, "--tenant %s: \"%.64s\" is no SETTING=VALUE", tenant->name, setting);
        return;
    }
    *value++ = '\0';
    key = find_tenant_key(setting);
    if (!key || key->flags & CONF_LIST)
        conf_complain(report, 0, "--tenant %s: there is no setting \"%.64s\" here", tenant->name, setting);
    else if (!conf_take(key, tenant, value, taking))
        conf_complain(report, 0, "--tenant %s: %s: \"%.100s\" %s", tenant->name, key->name, value,
                      taking->why);
}

/* NAME:SETTING=VALUE,...: the settings that are named win over those of the file. */
static void apply_tenant(struct load *load, const char *text, struct conf_report *report)
{
    struct conf_taking taking = {.texts = &load->conf->texts, .context = load};
    char copy[CONF_VALUE_BYTES], *rest = copy, *name, *setting;
    struct tenant_conf *tenant;

    if (strlen(text) >= sizeof(copy) || !strchr(text, ':')) {
        conf_complain(report, 0, "--tenant: \"%.100s\" is no NAME:SETTING=VALUE,...", text);
        return;
    }
    memcpy(copy, text, strlen(text) + 1);
    name = strsep(&rest, ":");
    tenant = (struct tenant_conf *)(uintptr_t)cache_conf_tenant(load->conf, name);
    if (!tenant)
        tenant = open_tenant(load->conf, name, 0, &taking);
    if (!tenant) {
        conf_complain(report, 0, "--tenant: \"%.100s\" %s", name, taking.why);
        return;
    }
    while ((setting = strsep(&rest, ",")))
        apply_setting(tenant, setting, &taking, report);
}

static void apply_command(struct load *load, const struct cache_command *command, struct conf_report *report)
{
    struct conf_taking taking = {.texts = &load->conf->texts, .context = load};
    const char *file = report->file;

    if (!command)
        return;
    conf_command_apply(&command->common, load->conf, &taking, report);
    report->file = NULL;
    for (unsigned i = 0; i < command->tenant_count; i++)
        apply_tenant(load, command->tenants[i], report);
    report->file = file;
}

static uint64_t up(uint64_t whole, uint32_t shards)
{
    return whole / shards + (whole % shards > 0);
}

/* What is 0 has a meaning of its own, and stays so. */
static struct tenant_settings settings_of_shard(const struct tenant_settings *whole, uint32_t shards)
{
    struct tenant_settings part = *whole;

    part.reserve = whole->reserve / shards;
    part.limit = up(whole->limit, shards);
    part.max_fills = (uint32_t)up(whole->max_fills, shards);
    part.max_waiters = (uint32_t)up(whole->max_waiters, shards);
    part.max_pins = (uint32_t)up(whole->max_pins, shards);
    return part;
}

/* What does not divide goes to the first ones. */
uint64_t cache_conf_shard_memory(const struct cache_conf *conf, uint32_t shard)
{
    return conf->memory / conf->shards + (shard < conf->memory % conf->shards);
}

uint64_t cache_conf_shard_object(const struct cache_conf *conf)
{
    uint64_t memory = conf->memory / conf->shards;

    return conf->max_object < memory ? conf->max_object : memory;
}

/* The settings alone, for tenants_configure(). */
static void gather_settings(struct cache_conf *conf, struct conf_report *report)
{
    conf->settings = calloc(conf->tenant_count ? conf->tenant_count : 1, sizeof(*conf->settings));
    if (!conf->settings) {
        conf_complain(report, 0, "out of memory");
        return;
    }
    for (uint32_t i = 0; i < conf->tenant_count; i++) {
        memcpy(conf->settings[i].name, conf->tenants[i].name, sizeof(conf->settings[i].name));
        conf->settings[i].settings = settings_of_shard(&conf->tenants[i].settings, conf->shards);
    }
}

bool cache_conf_from_text(struct cache_conf *conf, const struct cache_command *command,
                          const struct cache_conf *running, const char *text, size_t length,
                          struct conf_report *report)
{
    struct load load = {conf, running};
    unsigned before = report->count;

    *conf = (struct cache_conf){
        .instance = NAMES_DEFAULT,
        .memory = CACHE_DEFAULT_MEMORY,
        .shards = 1,
        .stall_ms = CACHE_DEFAULT_STALL_MS,
        .stall_limit_ms = CACHE_DEFAULT_STALL_LIMIT_MS,
        .lease_ms = CACHE_DEFAULT_LEASE_MS,
        .huge_pages = true,
        .spin = SPIN_DEFAULT_PERCENT,
        .log_level = "info",
        .command = command,
    };
    if (text)
        conf_parse(&schema, text, length, &conf->texts, &load, report);
    apply_command(&load, command, report);
    check_user(conf, running != NULL, report);
    check(conf, own_user(conf, running != NULL), report);
    gather_settings(conf, report);
    if (report->count > before)
        cache_conf_free(conf);
    return report->count == before;
}

bool cache_conf_load(struct cache_conf *conf, const struct cache_command *command,
                     const struct cache_conf *running, struct conf_report *report)
{
    size_t length;
    char *text;
    bool good;

    *conf = (struct cache_conf){.memory = 0};
    if (!conf_command_read(&command->common, &text, &length, report))
        return false;
    good = cache_conf_from_text(conf, command, running, text, length, report);
    free(text);
    return good;
}

void cache_conf_free(struct cache_conf *conf)
{
    free(conf->tenants);
    free(conf->settings);
    conf->tenants = NULL;
    conf->settings = NULL;
    conf->tenant_count = 0;
    conf->user = conf->log_level = NULL;
    conf_texts_free(&conf->texts);
}

void cache_conf_show(const struct cache_conf *conf, FILE *out)
{
    conf_show_section(&sections[SECTION_CACHE], NULL, conf, out);
    for (uint32_t i = 0; i < conf->tenant_count; i++) {
        fputc('\n', out);
        conf_show_section(&sections[SECTION_TENANT], conf->tenants[i].name, &conf->tenants[i], out);
    }
}

void cache_conf_compare(const struct cache_conf *running, const struct cache_conf *wanted,
                        struct conf_report *report)
{
    conf_compare_fixed(&sections[SECTION_CACHE], running, wanted, report);
}

static bool serves(const struct cache_conf *conf, const struct tenant_conf *tenant,
                   const struct identity_owner *owner)
{
    const struct group_conf *group = tenant->group.name ? &tenant->group : &conf->group;

    for (uint32_t i = 0; i < tenant->user_count; i++) {
        if (tenant->users[i].uid == owner->uid)
            return !owner->shared || (group->name && group->gid == owner->group);
    }
    return false;
}

bool cache_conf_admits(const struct cache_conf *conf, const struct tenant_conf *tenant,
                       const struct identity_owner *owner)
{
    if (tenant)
        return serves(conf, tenant, owner);
    for (uint32_t i = 0; i < conf->tenant_count; i++) {
        if (serves(conf, &conf->tenants[i], owner))
            return true;
    }
    return false;
}

const struct tenant_conf *cache_conf_tenant(const struct cache_conf *conf, const char *name)
{
    for (uint32_t i = 0; i < conf->tenant_count; i++) {
        if (strcmp(conf->tenants[i].name, name) == 0)
            return &conf->tenants[i];
    }
    return NULL;
}

/* ---- the command line ---- */

enum { OPTION_TENANT = CONF_OPTION_OWN };

static const struct option own_options[] = {{"tenant", required_argument, NULL, OPTION_TENANT}};
static const struct conf_options options = {.schema = &schema,
                                            .own = own_options,
                                            .own_count = sizeof(own_options) / sizeof(*own_options),
                                            .most = 32,
                                            .width = 22};

static void print_help(void)
{
    fputs(help_head, stdout);
    conf_options_help(&options, stdout);
    fputs(help_tail, stdout);
}

static int complain(const char *text, const char *more)
{
    fprintf(stderr, "cache_server: %s%s; try --help\n", text, more);
    return 2;
}

static int apply_own(struct cache_command *command, int option)
{
    switch (option) {
    case OPTION_TENANT:
        if (command->tenant_count == TENANTS_MAX)
            return complain("too many --tenant", "");
        command->tenants[command->tenant_count++] = optarg;
        return -1;
    case CONF_OPTION_VERSION:
        puts("cache_server (larder) " LARDER_VERSION);
        return 0;
    case CONF_OPTION_HELP:
        print_help();
        return 0;
    default:
        fputs("cache_server: try --help\n", stderr); /* getopt has said what is wrong */
        return 2;
    }
}

static int apply(struct cache_command *command, int option)
{
    switch (conf_command_take(&command->common, &options, option, optarg)) {
    case CONF_OPTION_TAKEN:
        return -1;
    case CONF_OPTION_TOO_MANY:
        return complain("too many options", "");
    case CONF_OPTION_OTHER:
        break;
    }
    return apply_own(command, option);
}

int cache_conf_command(struct cache_command *command, int argc, char **argv)
{
    struct option table[CONF_OPTIONS_MAX + 1];
    int option, status = -1;

    conf_options_table(&options, table);
    *command = (struct cache_command){.tenant_count = 0};
    optind = 0; /* getopt starts anew, so that tests may parse often */
    while (status < 0 && (option = getopt_long(argc, argv, "", table, NULL)) != -1)
        status = apply(command, option);
    if (status < 0 && optind < argc)
        return complain("unexpected argument: ", argv[optind]);
    return status;
}
