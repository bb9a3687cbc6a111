#include "conf_command.h"

#include "invariant.h"

#include <string.h>

/* The n-th key of all sections; NULL at the end. */
static const struct conf_key *nth_key(const struct conf_schema *schema, unsigned n)
{
    for (unsigned i = 0; i < schema->count; i++) {
        if (n < schema->sections[i].count)
            return &schema->sections[i].keys[n];
        n -= schema->sections[i].count;
    }
    return NULL;
}

static struct option option_of(const struct conf_key *key, unsigned n)
{
    return (struct option){key->option, key->argument ? required_argument : no_argument, NULL,
                           CONF_OPTION_KEY + (int)n};
}

static unsigned append(struct option *table, unsigned count, const struct option *options, unsigned more)
{
    INVARIANT(count + more <= CONF_OPTIONS_MAX);
    if (more > 0)
        memcpy(table + count, options, more * sizeof(*table));
    return count + more;
}

void conf_options_table(const struct conf_options *options, struct option table[CONF_OPTIONS_MAX + 1])
{
    static const struct option all_have[] = {{"config", required_argument, NULL, CONF_OPTION_CONFIG},
                                             {"check", no_argument, NULL, CONF_OPTION_CHECK},
                                             {"version", no_argument, NULL, CONF_OPTION_VERSION},
                                             {"help", no_argument, NULL, CONF_OPTION_HELP}};
    const struct conf_key *key;
    unsigned count = 0;

    for (unsigned n = 0; (key = nth_key(options->schema, n)); n++) {
        struct option option = option_of(key, n);
        if (key->option)
            count = append(table, count, &option, 1);
    }
    count = append(table, count, options->own, options->own_count);
    count = append(table, count, all_have, sizeof(all_have) / sizeof(*all_have));
    table[count] = (struct option){.name = NULL};
}

void conf_options_help(const struct conf_options *options, FILE *out)
{
    const struct conf_key *key;

    for (unsigned n = 0; (key = nth_key(options->schema, n)); n++) {
        if (key->option && key->help)
            fprintf(out, "  --%s %s%*s%s\n", key->option, key->argument,
                    (int)(options->width - strlen(key->option) - strlen(key->argument)), "", key->help);
    }
}

static enum conf_option_result add(struct conf_command *command, unsigned most, const struct conf_key *key,
                                   const char *value)
{
    if (command->count == most)
        return CONF_OPTION_TOO_MANY;
    command->settings[command->count++] = (struct conf_setting){key, value};
    return CONF_OPTION_TAKEN;
}

enum conf_option_result conf_command_take(struct conf_command *command, const struct conf_options *options,
                                          int code, const char *argument)
{
    if (code >= CONF_OPTION_KEY)
        return add(command, options->most, nth_key(options->schema, (unsigned)(code - CONF_OPTION_KEY)),
                   argument ? argument : "on");
    if (code == CONF_OPTION_CONFIG)
        command->config = argument;
    else if (code == CONF_OPTION_CHECK)
        command->check = true;
    else
        return CONF_OPTION_OTHER;
    return CONF_OPTION_TAKEN;
}

bool conf_command_read(const struct conf_command *command, char **text, size_t *length,
                       struct conf_report *report)
{
    *text = NULL;
    *length = 0;
    conf_report_clear(report, command->config);
    if (command->config)
        *text = conf_read(command->config, length, report);
    return !command->config || *text;
}

void conf_command_apply(const struct conf_command *command, void *target, struct conf_taking *taking,
                        struct conf_report *report)
{
    const char *file = report->file;

    report->file = NULL;
    for (unsigned i = 0; i < command->count; i++) {
        const struct conf_setting *setting = &command->settings[i];
        if (!conf_take(setting->key, target, setting->value, taking))
            conf_complain(report, 0, "--%s: \"%.100s\" %s", setting->key->option, setting->value,
                          taking->why);
    }
    report->file = file;
}
