#include "conf.h"

#include "log.h"
#include "size.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_BYTES    128u /* of sections and keys */
#define NEAREST_BYTES 48u  /* what is longer is near to nothing */

/* ---- what is wrong ---- */

void conf_report_clear(struct conf_report *report, const char *file)
{
    report->file = file;
    report->count = 0;
    report->length = 0;
    report->text[0] = '\0';
}

static void make_printable(char *text)
{
    for (; *text; text++) {
        if (*text < 0x20 || *text >= 0x7f)
            *text = '?';
    }
}

void conf_complain(struct conf_report *report, unsigned line, const char *format, ...)
{
    static const char more[] = "... and more\n";
    char reason[640], text[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    make_printable(reason);
    if (report->file && line)
        snprintf(text, sizeof(text), "%.300s:%u: %s\n", report->file, line, reason);
    else
        snprintf(text, sizeof(text), "%.300s%s%s\n", report->file ? report->file : "",
                 report->file ? ": " : "", reason);
    report->count++;
    size_t length = strlen(text);
    if (report->length == sizeof(report->text) - 1) /* no more fits */
        return;
    if (report->length + length + sizeof(more) > sizeof(report->text)) {
        memcpy(report->text + report->length, more, sizeof(more));
        report->length = sizeof(report->text) - 1;
        return;
    }
    memcpy(report->text + report->length, text, length + 1);
    report->length += length;
}

/* The line at `*at`, and `*at` behind it. */
static int next_problem(const char **at, const char **line)
{
    size_t length = strcspn(*at, "\n");

    *line = *at;
    *at += length + ((*at)[length] == '\n');
    return (int)length;
}

void conf_report_print(const struct conf_report *report, const char *who, FILE *out)
{
    const char *line;

    for (const char *at = report->text; *at;) {
        int length = next_problem(&at, &line);
        fprintf(out, "%s: %.*s\n", who, length, line);
    }
}

void conf_report_log(const struct conf_report *report)
{
    char text[512], quoted[700];
    const char *line;

    for (const char *at = report->text; *at;) {
        int length = next_problem(&at, &line);
        snprintf(text, sizeof(text), "%.*s", length, line);
        for (char *quote = text; (quote = strchr(quote, '"'));) /* which the log would spell in hexadecimal */
            *quote = '\'';
        log_error("configuration is not applied", "problem=\"%s\"",
                  log_quote(text, (unsigned)strlen(text), quoted, sizeof(quoted)));
    }
}

/* ---- texts ---- */

struct conf_text {
    struct conf_text *next;
    char bytes[];
};

const char *conf_texts_keep(struct conf_texts *texts, const char *text, size_t length)
{
    struct conf_text *kept = malloc(sizeof(*kept) + length + 1);

    if (!kept)
        return NULL;
    memcpy(kept->bytes, text, length);
    kept->bytes[length] = '\0';
    kept->next = texts->first;
    texts->first = kept;
    return kept->bytes;
}

void conf_texts_free(struct conf_texts *texts)
{
    while (texts->first) {
        struct conf_text *text = texts->first;
        texts->first = text->next;
        free(text);
    }
}

/* ---- what was meant ---- */

static char fold(char c)
{
    return c == '_' ? '-' : (char)tolower((unsigned char)c);
}

static unsigned least_of(unsigned a, unsigned b, unsigned c)
{
    unsigned ab = a < b ? a : b;

    return ab < c ? ab : c;
}

/* Levenshtein's distance; both are short. */
static unsigned distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    unsigned row[NEAREST_BYTES + 1];

    for (size_t j = 0; j <= b_length; j++)
        row[j] = (unsigned)j;
    for (size_t i = 0; i < a_length; i++) {
        unsigned before = row[0];
        row[0] = (unsigned)i + 1;
        for (size_t j = 0; j < b_length; j++) {
            unsigned cost = before + (fold(a[i]) != fold(b[j]));
            before = row[j + 1];
            row[j + 1] = least_of(cost, row[j] + 1, before + 1);
        }
    }
    return row[b_length];
}

const char *conf_nearest(const char *text, const char *(*nth)(const void *table, unsigned n),
                         const void *table)
{
    size_t length = strlen(text);
    unsigned best = length < 6 ? 2 : 1 + (unsigned)length / 3;
    const char *nearest = NULL, *word;

    if (length > NEAREST_BYTES)
        return NULL;
    for (unsigned n = 0; (word = nth(table, n)); n++) {
        size_t word_length = strlen(word);
        unsigned far = word_length <= NEAREST_BYTES ? distance(text, length, word, word_length) : best + 1;
        if (far < best || (far == best && !nearest)) {
            best = far;
            nearest = word;
        }
    }
    return nearest;
}

static const char *nth_key(const void *table, unsigned n)
{
    const struct conf_section *section = table;

    return n < section->count ? section->keys[n].name : NULL;
}

static const char *nth_section(const void *table, unsigned n)
{
    const struct conf_schema *schema = table;

    return n < schema->count ? schema->sections[n].name : NULL;
}

/* ---- values ---- */

__attribute__((format(printf, 2, 3))) static bool refuse(struct conf_taking *taking, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(taking->why, sizeof(taking->why), format, arguments);
    va_end(arguments);
    return false;
}

/* As people write them: in the largest unit that leaves a whole number. */
static const struct unit {
    const char *name;
    uint64_t ms;
} units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
#define UNITS (sizeof(units) / sizeof(*units))

static const char *format_ms(uint64_t ms, char out[SIZE_TEXT_BYTES])
{
    for (size_t i = 0; i < UNITS; i++) {
        if (ms >= units[i].ms && ms % units[i].ms == 0) {
            snprintf(out, SIZE_TEXT_BYTES, "%" PRIu64 "%s", ms / units[i].ms, units[i].name);
            return out;
        }
    }
    snprintf(out, SIZE_TEXT_BYTES, "0s");
    return out;
}

/* "1.5" as 1500 thousandths, and where the number ends. Not by strtod(3), which knows locales, hexadecimal
 * numbers and infinity. */
static bool parse_thousandths(const char *text, uint64_t *out, const char **end)
{
    uint64_t value = 0, scale = 1000;
    const char *at = text;

    for (; isdigit((unsigned char)*at); at++) {
        if (value > UINT64_MAX / 100000)
            return false;
        value = value * 10 + (uint64_t)(*at - '0') * 1000;
    }
    if (at == text)
        return false;
    if (*at == '.') {
        for (at++; isdigit((unsigned char)*at); at++) {
            scale /= 10;
            value += (uint64_t)(*at - '0') * scale;
        }
    }
    *out = value;
    *end = at;
    return true;
}

static bool parse_ms(const char *text, uint64_t plain_unit_ms, uint64_t *out, struct conf_taking *taking)
{
    uint64_t thousandths = 0, unit_ms = 0;
    const char *end = text;

    if (!parse_thousandths(text, &thousandths, &end))
        return refuse(taking, "is not a time, such as 10s or 1.5h");
    if (*end == '\0')
        unit_ms = plain_unit_ms;
    for (size_t i = 0; i < UNITS && unit_ms == 0; i++) {
        if (strcmp(end, units[i].name) == 0)
            unit_ms = units[i].ms;
    }
    if (unit_ms == 0)
        return refuse(taking, "has no unit of time behind the number; use ms, s, m, h or d");
    if (thousandths > UINT64_MAX / unit_ms)
        return refuse(taking, "is out of range");
    *out = thousandths * unit_ms / 1000;
    return true;
}

static bool is_within(uint64_t value, const struct conf_key *key, uint64_t scale_ms,
                      struct conf_taking *taking)
{
    char least[SIZE_TEXT_BYTES], most[SIZE_TEXT_BYTES];

    if (value >= key->least && value <= key->most)
        return true;
    if (key->kind == CONF_SIZE)
        return refuse(taking, "is out of range (%s to %s)", size_format(key->least, least),
                      size_format(key->most, most));
    if (scale_ms)
        return refuse(taking, "is out of range (%s to %s)", format_ms(key->least * scale_ms, least),
                      format_ms(key->most * scale_ms, most));
    return refuse(taking, "is out of range (%" PRIu64 " to %" PRIu64 ")", key->least, key->most);
}

static bool take_time(const struct conf_key *key, void *value, const char *text, struct conf_taking *taking)
{
    uint64_t ms = 0, scale = key->kind == CONF_SECONDS ? 1000 : 1;

    if (!parse_ms(text, key->kind == CONF_SPAN ? 1 : 1000, &ms, taking))
        return false;
    if (ms % scale != 0)
        return refuse(taking, "is not a whole number of seconds");
    if (!is_within(ms / scale, key, scale, taking))
        return false;
    if (key->kind == CONF_SECONDS)
        *(uint64_t *)value = ms / scale;
    else
        *(int64_t *)value = (int64_t)ms;
    return true;
}

static bool take_number(const struct conf_key *key, void *value, const char *text, struct conf_taking *taking)
{
    uint64_t number = 0;
    bool plain = key->kind == CONF_SIZE || (text[0] && strspn(text, "0123456789") == strlen(text));

    if (!plain || size_parse(text, &number) != 0)
        return refuse(taking, key->kind == CONF_SIZE
                                  ? "is not a size; write bytes, or a number with K, M, G or T, e.g. 512M"
                                  : "is not a number");
    if (!is_within(number, key, 0, taking))
        return false;
    if (key->kind == CONF_COUNT32)
        *(uint32_t *)value = (uint32_t)number;
    else
        *(uint64_t *)value = number;
    return true;
}

static bool take_percent(const struct conf_key *key, void *value, const char *text,
                         struct conf_taking *taking)
{
    size_t digits = strspn(text, "0123456789");

    if (digits == 0 || digits > 9 || (text[digits] && strcmp(text + digits, "%") != 0))
        return refuse(taking, "is not a share, e.g. 5%%");
    uint64_t number = strtoul(text, NULL, 10);
    if (!is_within(number, key, 0, taking))
        return false;
    *(uint64_t *)value = number;
    return true;
}

static bool take_flag(void *value, const char *text, struct conf_taking *taking)
{
    static const char *const words[] = {"off", "on", "no", "yes", "false", "true"};

    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (strcmp(text, words[i]) == 0) {
            *(bool *)value = i % 2;
            return true;
        }
    }
    return refuse(taking, "is neither on nor off");
}

static bool take_name(const struct conf_key *key, char *value, const char *text, struct conf_taking *taking)
{
    size_t length = strlen(text);

    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x80 || (!isalnum(c) && !strchr(key->words, c)))
            length = 0;
    }
    if (length == 0 || length > key->most)
        return refuse(taking, "is not a name of 1 to %" PRIu64 " letters, digits or any of %s", key->most,
                      key->words);
    memcpy(value, text, length + 1);
    return true;
}

static bool take_text(const char **value, const char *text, struct conf_taking *taking)
{
    if (*text == '\0')
        return refuse(taking, "is empty");
    *value = conf_texts_keep(taking->texts, text, strlen(text));
    return *value || refuse(taking, "cannot be kept: out of memory");
}

/* The n-th word of a list with spaces between them, in `words`, cut into `out`. */
static const char *nth_word(const void *table, unsigned n)
{
    static _Thread_local char out[NEAREST_BYTES];
    const char *at = table;
    size_t length;

    for (; n > 0 && at; n--) {
        at = strchr(at, ' ');
        at = at ? at + 1 : NULL;
    }
    if (!at || *at == '\0')
        return NULL;
    length = strcspn(at, " ");
    if (length >= sizeof(out))
        length = sizeof(out) - 1;
    memcpy(out, at, length);
    out[length] = '\0';
    return out;
}

static bool take_choice(const struct conf_key *key, const char **value, const char *text,
                        struct conf_taking *taking)
{
    const char *word;

    for (unsigned n = 0; (word = nth_word(key->words, n)); n++) {
        if (strcmp(text, word) == 0)
            return take_text(value, text, taking);
    }
    return refuse(taking, "is none of: %s", key->words);
}

bool conf_take(const struct conf_key *key, void *target, const char *text, struct conf_taking *taking)
{
    void *value = (char *)target + key->offset;

    taking->why[0] = '\0';
    switch (key->kind) {
    case CONF_TEXT:
        return take_text(value, text, taking);
    case CONF_NAME:
        return take_name(key, value, text, taking);
    case CONF_FLAG:
        return take_flag(value, text, taking);
    case CONF_SIZE:
    case CONF_COUNT:
    case CONF_COUNT32:
        return take_number(key, value, text, taking);
    case CONF_PERCENT:
        return take_percent(key, value, text, taking);
    case CONF_SECONDS:
    case CONF_TIME:
    case CONF_SPAN:
        return take_time(key, value, text, taking);
    case CONF_CHOICE:
        return take_choice(key, value, text, taking);
    case CONF_OWN:
        return key->take(value, text, taking);
    }
    return false;
}

/* ---- showing ---- */

static bool is_set(const struct conf_key *key, const void *value)
{
    switch (key->kind) {
    case CONF_TEXT:
    case CONF_CHOICE:
        return *(const char *const *)value != NULL;
    case CONF_SIZE:
    case CONF_COUNT:
        return *(const uint64_t *)value != 0 || !(key->flags & CONF_HIDDEN);
    case CONF_COUNT32:
        return *(const uint32_t *)value != 0 || !(key->flags & CONF_HIDDEN);
    default:
        return true;
    }
}

static void show_value(const struct conf_key *key, const void *value, FILE *out)
{
    char text[SIZE_TEXT_BYTES];

    switch (key->kind) {
    case CONF_TEXT:
    case CONF_CHOICE:
        fputs(*(const char *const *)value, out);
        break;
    case CONF_NAME:
        fputs(value, out);
        break;
    case CONF_FLAG:
        fputs(*(const bool *)value ? "on" : "off", out);
        break;
    case CONF_SIZE:
        fputs(size_format(*(const uint64_t *)value, text), out);
        break;
    case CONF_COUNT:
        fprintf(out, "%" PRIu64, *(const uint64_t *)value);
        break;
    case CONF_COUNT32:
        fprintf(out, "%" PRIu32, *(const uint32_t *)value);
        break;
    case CONF_PERCENT:
        fprintf(out, "%" PRIu64 "%%", *(const uint64_t *)value);
        break;
    case CONF_SECONDS:
        fputs(format_ms(*(const uint64_t *)value * 1000, text), out);
        break;
    case CONF_TIME:
    case CONF_SPAN:
        fputs(format_ms((uint64_t) * (const int64_t *)value, text), out);
        break;
    case CONF_OWN:
        break;
    }
}

void conf_show(const struct conf_key *key, const void *target, FILE *out)
{
    const void *value = (const char *)target + key->offset;

    if (key->kind == CONF_OWN) {
        key->show(value, key, out);
        return;
    }
    if (!is_set(key, value))
        return;
    fprintf(out, "%s = ", key->name);
    show_value(key, value, out);
    fputc('\n', out);
}

void conf_show_section(const struct conf_section *section, const char *name, const void *target, FILE *out)
{
    if (section->is_named)
        fprintf(out, "[%s \"%s\"]\n", section->name, name);
    else
        fprintf(out, "[%s]\n", section->name);
    for (unsigned i = 0; i < section->count; i++)
        conf_show(&section->keys[i], target, out);
}

static void show_into(const struct conf_key *key, const void *target, char out[CONF_VALUE_BYTES])
{
    FILE *file = fmemopen(out, CONF_VALUE_BYTES, "w");

    out[0] = '\0';
    if (!file)
        return;
    conf_show(key, target, file);
    fclose(file);
    out[CONF_VALUE_BYTES - 1] = '\0';
    out[strcspn(out, "\n")] = '\0';
}

void conf_compare_fixed(const struct conf_section *section, const void *running, const void *wanted,
                        struct conf_report *report)
{
    char now[CONF_VALUE_BYTES], then[CONF_VALUE_BYTES];

    for (unsigned i = 0; i < section->count; i++) {
        const struct conf_key *key = &section->keys[i];
        if (!(key->flags & CONF_FIXED))
            continue;
        show_into(key, running, now);
        show_into(key, wanted, then);
        if (strcmp(now, then) != 0)
            conf_complain(report, 0,
                          "%s in [%s] cannot change while the program runs (in force: %s; wanted: %s)",
                          key->name, section->name, now[0] ? now : "not set", then[0] ? then : "not set");
    }
}

/* ---- files ---- */

static char *read_all(int fd, size_t *length, struct conf_report *report)
{
    char *text = malloc(CONF_MAX_BYTES + 1);
    ssize_t got = 1;

    if (!text)
        conf_complain(report, 0, "cannot be read: out of memory");
    for (*length = 0; text && got > 0 && *length <= CONF_MAX_BYTES; *length += (size_t)got) {
        got = read(fd, text + *length, CONF_MAX_BYTES + 1 - *length);
        if (got < 0 && errno == EINTR)
            got = 0;
        if (got < 0) {
            conf_complain(report, 0, "cannot be read: %s", strerror(errno));
            break;
        }
    }
    if (text && got >= 0 && *length <= CONF_MAX_BYTES)
        return text;
    if (text && got >= 0)
        conf_complain(report, 0, "is larger than %u bytes", CONF_MAX_BYTES);
    free(text);
    return NULL;
}

char *conf_read(const char *path, size_t *length, struct conf_report *report)
{
    struct stat status;
    char *text = NULL;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a fifo of this name cannot hold us up */

    if (fd < 0) {
        conf_complain(report, 0, "cannot be opened: %s", strerror(errno));
        return NULL;
    }
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        conf_complain(report, 0, "is not a regular file");
    else
        text = read_all(fd, length, report);
    close(fd);
    return text;
}

/* One parse. inih reads line by line through next_line(), which therefore knows the number of the line that
 * on_value() is about, and sees what inih keeps to itself: section headers without a key, and lines that are
 * none of anything. */
struct parse {
    const struct conf_schema *schema;
    const char *at, *end;
    unsigned line;
    bool is_pending; /* on_value() has not been called for the line yet, and should be */
    const struct conf_section *section;
    void *target; /* NULL: what is in this section is passed over */
    bool has_section;
    unsigned seen[CONF_MAX_KEYS]; /* lines of the keys of this section */
    struct {
        const struct conf_section *section;
        unsigned line;
    } sections[CONF_MAX_SECTIONS];
    unsigned section_count;
    void *context;
    struct conf_taking taking;
    struct conf_report *report;
};

bool conf_names_equal(const char *a, const char *b)
{
    for (; *a && fold(*a) == fold(*b); a++)
        b++;
    return *a == *b;
}

static const struct conf_section *find_section(const struct conf_schema *schema, const char *name)
{
    for (unsigned i = 0; i < schema->count; i++) {
        if (conf_names_equal(schema->sections[i].name, name))
            return &schema->sections[i];
    }
    return NULL;
}

/* `[name]` or `[name "text"]`, and perhaps a comment. */
static bool split_header(const char *line, char name[NAME_BYTES], char text[NAME_BYTES], bool *has_text)
{
    const char *at = line + 1;
    size_t length = strcspn(at, " \t]\"");

    *has_text = false;
    text[0] = '\0';
    if (length == 0 || length >= NAME_BYTES)
        return false;
    memcpy(name, at, length);
    name[length] = '\0';
    at += length;
    at += strspn(at, " \t");
    if (*at == '"') {
        length = strcspn(++at, "\"");
        if (at[length] != '"' || length >= NAME_BYTES)
            return false;
        memcpy(text, at, length);
        text[length] = '\0';
        *has_text = true;
        at += length + 1;
        at += strspn(at, " \t");
    }
    if (*at++ != ']')
        return false;
    at += strspn(at, " \t\r");
    return *at == '\0' || *at == ';' || *at == '#';
}

static void complain_of_section(struct parse *parse, const char *name)
{
    const char *nearest = conf_nearest(name, nth_section, parse->schema);

    conf_complain(parse->report, parse->line, "unknown section [%s]%s%s%s", name,
                  nearest ? "; did you mean [" : "", nearest ? nearest : "", nearest ? "]?" : "");
}

/* True: there was one of this kind before, and there may be only one. */
static bool came_before(struct parse *parse, const struct conf_section *section)
{
    for (unsigned i = 0; i < parse->section_count && !section->is_named; i++) {
        if (parse->sections[i].section == section) {
            conf_complain(parse->report, parse->line, "section [%s] is there already, in line %u",
                          section->name, parse->sections[i].line);
            return true;
        }
    }
    if (parse->section_count == CONF_MAX_SECTIONS) {
        conf_complain(parse->report, parse->line, "more than %u sections", CONF_MAX_SECTIONS);
        return true;
    }
    parse->sections[parse->section_count].section = section;
    parse->sections[parse->section_count++].line = parse->line;
    return false;
}

static void open_section(struct parse *parse, const char *line)
{
    char name[NAME_BYTES], text[NAME_BYTES];
    const struct conf_section *section;
    bool has_text;

    parse->has_section = true;
    parse->target = NULL;
    parse->section = NULL;
    memset(parse->seen, 0, sizeof(parse->seen));
    if (!split_header(line, name, text, &has_text)) {
        conf_complain(parse->report, parse->line, "not a section; write [name] or [name \"text\"]");
        return;
    }
    section = find_section(parse->schema, name);
    if (!section) {
        complain_of_section(parse, name);
        return;
    }
    if (section->is_named != has_text) {
        conf_complain(parse->report, parse->line,
                      has_text ? "section [%s] takes no name" : "section [%s] needs a name: [%s \"...\"]",
                      section->name, section->name);
        return;
    }
    if (came_before(parse, section))
        return;
    parse->section = section;
    parse->taking.why[0] = '\0';
    parse->target = parse->schema->open(parse->context, section, text, parse->line, &parse->taking);
    if (!parse->target)
        conf_complain(parse->report, parse->line, "[%s \"%s\"] %s", section->name, text, parse->taking.why);
}

/* Does the key have this name, or this name and a word behind it? */
static bool is_called(const struct conf_key *key, const char *name, const char **word)
{
    size_t length = strlen(key->name);
    char start[NAME_BYTES];

    *word = NULL;
    if (!(key->flags & CONF_PREFIX))
        return conf_names_equal(key->name, name);
    if (strlen(name) <= length || length >= sizeof(start) || !strchr(" \t", name[length]))
        return false;
    memcpy(start, name, length);
    start[length] = '\0';
    *word = name + length + strspn(name + length, " \t");
    return conf_names_equal(key->name, start);
}

static const struct conf_key *find_key(const struct conf_section *section, const char *name,
                                       const char **word)
{
    for (unsigned i = 0; i < section->count; i++) {
        if (is_called(&section->keys[i], name, word))
            return &section->keys[i];
    }
    return NULL;
}

/* A key of another section was probably meant for that one. */
static const char *section_with(const struct conf_schema *schema, const char *name)
{
    const char *word;

    for (unsigned i = 0; i < schema->count; i++) {
        if (find_key(&schema->sections[i], name, &word))
            return schema->sections[i].name;
    }
    return NULL;
}

static bool lacks_word(const struct conf_section *section, const char *name)
{
    for (unsigned i = 0; i < section->count; i++) {
        if (section->keys[i].flags & CONF_PREFIX && conf_names_equal(section->keys[i].name, name))
            return true;
    }
    return false;
}

static void complain_of_key(struct parse *parse, const char *name)
{
    if (lacks_word(parse->section, name)) {
        conf_complain(parse->report, parse->line, "\"%s\" needs a word behind it, in front of the \"=\"",
                      name);
        return;
    }
    const char *elsewhere = section_with(parse->schema, name);
    const char *nearest = elsewhere ? NULL : conf_nearest(name, nth_key, parse->section);

    if (elsewhere)
        conf_complain(parse->report, parse->line, "unknown key \"%.80s\" in [%s]; it belongs into [%s]", name,
                      parse->section->name, elsewhere);
    else
        conf_complain(parse->report, parse->line, "unknown key \"%.80s\" in [%s]%s%s%s", name,
                      parse->section->name, nearest ? "; did you mean \"" : "", nearest ? nearest : "",
                      nearest ? "\"?" : "");
}

/* inih cuts the name of the section short, so it is not used. */
static int on_value(void *user, const char *section, const char *name, const char *value)
{
    struct parse *parse = user;
    const struct conf_key *key;
    const char *word;

    (void)section;
    parse->is_pending = false;
    if (!parse->has_section)
        conf_complain(parse->report, parse->line, "\"%.80s\" stands before the first section", name);
    if (!parse->target)
        return 1;
    key = find_key(parse->section, name, &word);
    if (!key) {
        complain_of_key(parse, name);
        return 1;
    }
    unsigned *seen = &parse->seen[key - parse->section->keys];
    if (*seen && !(key->flags & (CONF_LIST | CONF_PREFIX))) {
        conf_complain(parse->report, parse->line, "\"%s\" is there already, in line %u", key->name, *seen);
        return 1;
    }
    *seen = parse->line;
    parse->taking.word = word;
    if (!conf_take(key, parse->target, value, &parse->taking))
        conf_complain(parse->report, parse->line, "%s%s%.40s: \"%.100s\" %s", key->name, word ? " " : "",
                      word ? word : "", value, parse->taking.why);
    return 1;
}

static void settle_line(struct parse *parse)
{
    if (parse->is_pending && (parse->target || !parse->has_section))
        conf_complain(parse->report, parse->line, "neither a section nor \"key = value\"");
    parse->is_pending = false;
}

static bool is_fit(struct parse *parse, const char *line, size_t length)
{
    if (length > CONF_MAX_LINE) {
        conf_complain(parse->report, parse->line,
                      "longer than %u bytes; keys with lists may come several times", CONF_MAX_LINE);
        return false;
    }
    if (memchr(line, '\0', length)) {
        conf_complain(parse->report, parse->line, "holds a zero byte");
        return false;
    }
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

/* One line for inih, without white space at its beginning, which would make it continue the one before it.
 * What is no good is left empty. */
static char *next_line(char *out, int size, void *stream)
{
    struct parse *parse = stream;

    settle_line(parse);
    if (parse->at == parse->end || size < (int)CONF_MAX_LINE + 3)
        return NULL;
    const char *start = parse->at;
    const char *newline = memchr(start, '\n', (size_t)(parse->end - start));
    const char *stop = newline ? newline : parse->end;
    parse->at = newline ? newline + 1 : parse->end;
    if (parse->line++ == 0 && stop - start >= 3 && memcmp(start, "\xef\xbb\xbf", 3) == 0)
        start += 3;
    while (start < stop && is_blank(*start))
        start++;
    while (stop > start && is_blank(stop[-1]))
        stop--;
    size_t length = is_fit(parse, start, (size_t)(stop - start)) ? (size_t)(stop - start) : 0;
    memcpy(out, start, length);
    memcpy(out + length, "\n", 2);
    parse->is_pending = length > 0 && !strchr("#;[", *out);
    if (length > 0 && *out == '[') {
        out[length] = '\0';
        open_section(parse, out);
        out[0] = '\0'; /* inih need not know */
    }
    return out;
}

bool conf_parse(const struct conf_schema *schema, const char *text, size_t length, struct conf_texts *texts,
                void *context, struct conf_report *report)
{
    unsigned before = report->count;
    struct parse *parse = calloc(1, sizeof(*parse));

    if (!parse) {
        conf_complain(report, 0, "cannot be read: out of memory");
        return false;
    }
    parse->schema = schema;
    parse->at = text;
    parse->end = text + length;
    parse->context = context;
    parse->taking.texts = texts;
    parse->taking.context = context;
    parse->report = report;
    ini_parse_stream(next_line, parse, on_value, parse);
    free(parse);
    return report->count == before;
}
