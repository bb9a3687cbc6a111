/* conf.h: configuration files. Command lines that say the same are conf_command.h's.
 *
 *     [cache]                 a section; some have a name: [tenant "news"]
 *     memory = 4G             key and value; '_' and '-' in keys are the same
 *     ; a comment             also behind white space at the end of a line; '#' at the beginning of one only
 *
 * INI, taken apart by inih. What a program understands is a table of sections, each a table of keys; from it
 * come the checks, the suggestions, what is shown by --check, and what may change while the program runs.
 * A file is checked as a whole: every mistake is reported, with its line, and nothing of it is applied unless
 * there is none.
 *
 * A line has at most CONF_MAX_LINE bytes; keys with CONF_LIST may come several times instead, and add up.
 *
 * Trust:     files are the operator's, but any bytes are survived. At most CONF_MAX_BYTES are read, from a
 *            regular file, without waiting.
 * Ownership: texts of values live in struct conf_texts, which the owner of the values frees with them. */
#ifndef LARDER_CONF_H
#define LARDER_CONF_H

#include "names.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CONF_MAX_BYTES    (1u << 20)
#define CONF_MAX_LINE     197u /* inih's lines have 200, with their end */
#define CONF_MAX_KEYS     64u  /* of a section */
#define CONF_MAX_SECTIONS 300u /* of a file */
#define CONF_VALUE_BYTES  2048u

/* ---- what is wrong ---- */

#define CONF_REPORT_BYTES 16384u
/* One line a mistake, "FILE:LINE: REASON\n"; what does not fit is counted. */
struct conf_report {
    const char *file; /* NULL: the command line */
    unsigned count;
    size_t length;
    char text[CONF_REPORT_BYTES];
};
void conf_report_clear(struct conf_report *report, const char *file);
/* `line` 0: about no line in particular. Bytes that are no printable ASCII are shown as '?'. */
__attribute__((format(printf, 3, 4))) void conf_complain(struct conf_report *report, unsigned line,
                                                         const char *format, ...);
/* One line of `out` a mistake, each behind "WHO: ". */
void conf_report_print(const struct conf_report *report, const char *who, FILE *out);
/* As errors of a reload: the running configuration stays. */
void conf_report_log(const struct conf_report *report);

/* ---- texts ---- */

struct conf_text;
struct conf_texts {
    struct conf_text *first;
};
/* A copy that lives until conf_texts_free(). NULL: no memory. */
const char *conf_texts_keep(struct conf_texts *texts, const char *text, size_t length);
void conf_texts_free(struct conf_texts *texts);

/* ---- tables ---- */

enum conf_kind {
    CONF_TEXT,    /* const char * */
    CONF_NAME,    /* char[most + 1]: letters, digits and what `words` has */
    CONF_FLAG,    /* bool: on, off, yes, no, true, false */
    CONF_SIZE,    /* uint64_t, bytes */
    CONF_COUNT,   /* uint64_t */
    CONF_COUNT32, /* uint32_t */
    CONF_PERCENT, /* uint64_t: a number, with or without '%' */
    CONF_SECONDS, /* uint64_t: seconds */
    CONF_TIME,    /* int64_t: milliseconds; a number without a unit is seconds */
    CONF_SPAN,    /* int64_t: milliseconds; a number without a unit is milliseconds */
    CONF_CHOICE,  /* const char *: one of `words`, which are separated by spaces */
    CONF_OWN,     /* take() and show() know */
};

enum {
    CONF_FIXED = 1,  /* cannot change while the program runs */
    CONF_LIST = 2,   /* may come several times; the last one of a plain key on a command line counts */
    CONF_PREFIX = 4, /* the key has a word of its own behind the name: "negative 404" */
    CONF_HIDDEN = 8, /* not shown while it is not set */
};

/* What a value is taken with. `why` gets the reason when it is no good, without a full stop. */
#define CONF_WHY_BYTES 256u
struct conf_taking {
    struct conf_texts *texts;
    void *context;    /* the program's own */
    const char *word; /* of CONF_PREFIX */
    char why[CONF_WHY_BYTES];
};

struct conf_key {
    const char *name;
    enum conf_kind kind;
    unsigned flags;
    size_t offset; /* of the value in what the section fills */
    uint64_t least, most;
    const char *words;
    bool (*take)(void *value, const char *text, struct conf_taking *taking); /* CONF_OWN */
    /* CONF_OWN: lines without a name, or with that of their own; see conf_shower. */
    void (*show)(const void *value, const struct conf_key *key, FILE *out);
    /* On the command line; NULL: only in files. An option without an argument says "on"; one without help is
     * explained by the program itself. */
    const char *option, *argument, *help;
};

/* The beginning of a key that is an option of the same name. */
#define CONF_OPTION(text, value, meaning)                                                                    \
    .name = (text), .option = (text), .argument = (value), .help = (meaning)

/* Keys that every program of an instance has; `at` is where the value stands. */
#define CONF_KEY_INSTANCE(at, meaning)                                                                       \
    CONF_OPTION("instance", "NAME", meaning), .kind = CONF_NAME, .flags = CONF_FIXED, .offset = (at),        \
                                              .most = NAMES_INSTANCE_MAX, .words = "_-"
#define CONF_KEY_USER(at, meaning)                                                                           \
    CONF_OPTION("user", "NAME[:GROUP]", meaning), .kind = CONF_TEXT, .flags = CONF_FIXED, .offset = (at)
#define CONF_KEY_LOG_LEVEL(at, meaning)                                                                      \
    CONF_OPTION("log-level", "LEVEL", meaning), .kind = CONF_CHOICE, .offset = (at),                         \
                                                .words = "error warn info debug"
#define CONF_KEY_SPIN(at, meaning)                                                                           \
    CONF_OPTION("spin", "N%", meaning), .kind = CONF_PERCENT, .flags = CONF_FIXED, .offset = (at), .most = 100

struct conf_section {
    const char *name;
    bool is_named; /* [name "..."], any number of times */
    const struct conf_key *keys;
    unsigned count;
};

#define CONF_SECTION(text, table) .name = (text), .keys = (table), .count = sizeof(table) / sizeof(*(table))

struct conf_schema {
    const struct conf_section *sections;
    unsigned count;
    /* What a section fills; NULL after a complaint into `taking->why`. `line` for later complaints. */
    void *(*open)(void *context, const struct conf_section *section, const char *name, unsigned line,
                  struct conf_taking *taking);
};

/* As keys are: '_' and '-' are the same. */
bool conf_names_equal(const char *a, const char *b);
/* Takes one value; false: taking->why says why not. A number out of range, an unknown unit and the like are
 * explained with what would be right. */
bool conf_take(const struct conf_key *key, void *target, const char *text, struct conf_taking *taking);
/* "name = value\n", as a file would have it. */
void conf_show(const struct conf_key *key, const void *target, FILE *out);
void conf_show_section(const struct conf_section *section, const char *name, const void *target, FILE *out);
/* Names in `report` each key with CONF_FIXED whose value differs. */
void conf_compare_fixed(const struct conf_section *section, const void *running, const void *wanted,
                        struct conf_report *report);

/* Reads a file of at most CONF_MAX_BYTES into memory that the caller frees. NULL after a complaint. */
char *conf_read(const char *path, size_t *length, struct conf_report *report);
/* Takes all values of a text. True if there was nothing to complain of. */
bool conf_parse(const struct conf_schema *schema, const char *text, size_t length, struct conf_texts *texts,
                void *context, struct conf_report *report);

/* The word (of those separated by spaces, or of a table through `nth`) that was probably meant; NULL: none is
 * near. */
const char *conf_nearest(const char *text, const char *(*nth)(const void *table, unsigned n),
                         const void *table);

#endif
