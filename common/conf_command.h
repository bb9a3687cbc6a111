/* conf_command.h: command lines whose options are the keys of a configuration (conf.h).
 *
 *     defaults  <  file (--config)  <  command line
 *
 * Every key with an option is one; beside them all programs have --config, --check, --version and --help, and
 * each what it brings along itself. Options are only collected here: a value is looked at when a
 * configuration is loaded, each time anew, behind those of the file.
 *
 * Ownership: values stay argv's. */
#ifndef LARDER_CONF_COMMAND_H
#define LARDER_CONF_COMMAND_H

#include "conf.h"

#include <getopt.h>

#define CONF_COMMAND_MAX 64 /* values of one command line */
#define CONF_OPTIONS_MAX 64 /* options of one program */

/* A value of the command line, applied behind those of the file. */
struct conf_setting {
    const struct conf_key *key;
    const char *value;
};

/* The command line, good for every reload. */
struct conf_command {
    const char *config; /* NULL: no file */
    bool check;
    unsigned count;
    struct conf_setting settings[CONF_COMMAND_MAX];
};

/* What getopt_long(3) returns for an option, beside what it has for mistakes. */
enum {
    CONF_OPTION_CONFIG = 1000,
    CONF_OPTION_CHECK,
    CONF_OPTION_VERSION,
    CONF_OPTION_HELP,
    CONF_OPTION_OWN = 2000, /* the program's own begin here */
    CONF_OPTION_KEY = 3000, /* the keys do: in the order of the schema */
};

/* What a program understands. */
struct conf_options {
    const struct conf_schema *schema;
    const struct option *own; /* beside keys; NULL: none */
    unsigned own_count;
    unsigned most;  /* values of one command line, up to CONF_COMMAND_MAX */
    unsigned width; /* of the options in the help */
};

/* For getopt_long(3). */
void conf_options_table(const struct conf_options *options, struct option table[CONF_OPTIONS_MAX + 1]);
/* A line or more for each key that has a help. */
void conf_options_help(const struct conf_options *options, FILE *out);

enum conf_option_result {
    CONF_OPTION_TAKEN,
    CONF_OPTION_TOO_MANY, /* no more values fit */
    CONF_OPTION_OTHER,    /* the program's own, --version, --help, or none of anything */
};
/* Takes what getopt_long() has just returned, with its `optarg`. */
enum conf_option_result conf_command_take(struct conf_command *command, const struct conf_options *options,
                                          int code, const char *argument);

/* Begins a load: clears the report, and reads the file that the command names, if any; `*text` (NULL: there
 * is none) is the caller's to free. False: it has been complained of. */
bool conf_command_read(const struct conf_command *command, char **text, size_t *length,
                       struct conf_report *report);
/* Takes the values of the command line, each into `target`. */
void conf_command_apply(const struct conf_command *command, void *target, struct conf_taking *taking,
                        struct conf_report *report);

#endif
