/* conf: every kind of mistake in a file is reported, with its line; nothing else is. */
#include "conf.h"

#include "check_unit.h"

#include <string.h>
#include <unistd.h>

struct thing {
    const char *text, *choice;
    char name[9];
    bool flag;
    uint64_t size, count, seconds;
    int64_t time, span;
    unsigned list; /* how many words */
    char words[64];
};

#define FIELD(member) offsetof(struct thing, member)

static bool take_list(void *value, const char *text, struct conf_taking *taking)
{
    struct thing *thing = value;

    if (strcmp(text, "bad") == 0) {
        snprintf(taking->why, sizeof(taking->why), "is bad");
        return false;
    }
    thing->list++;
    if (taking->word)
        snprintf(thing->words, sizeof(thing->words), "%s=%s", taking->word, text);
    return true;
}

static void show_list(const void *value, const struct conf_key *key, FILE *out)
{
    const struct thing *thing = value;

    fprintf(out, "%s %s %u\n", key->name, thing->words, thing->list);
}

static const struct conf_key keys[] = {
    {.name = "text", .kind = CONF_TEXT, .offset = FIELD(text)},
    {.name = "a-choice", .kind = CONF_CHOICE, .offset = FIELD(choice), .words = "one two"},
    {.name = "name", .kind = CONF_NAME, .flags = CONF_FIXED, .offset = FIELD(name), .most = 8, .words = "_-"},
    {.name = "flag", .kind = CONF_FLAG, .offset = FIELD(flag)},
    {.name = "size",
     .kind = CONF_SIZE,
     .flags = CONF_FIXED,
     .offset = FIELD(size),
     .least = 1024,
     .most = 1 << 30},
    {.name = "count", .kind = CONF_COUNT, .offset = FIELD(count), .least = 1, .most = 10},
    {.name = "seconds", .kind = CONF_SECONDS, .offset = FIELD(seconds), .least = 1, .most = 86400},
    {.name = "time", .kind = CONF_TIME, .offset = FIELD(time), .least = 100, .most = 86400000},
    {.name = "span", .kind = CONF_SPAN, .offset = FIELD(span), .least = 1, .most = 60000},
    {.name = "list", .kind = CONF_OWN, .flags = CONF_LIST, .take = take_list, .show = show_list},
    {.name = "negative", .kind = CONF_OWN, .flags = CONF_PREFIX, .take = take_list, .show = show_list},
};
static const struct conf_key other_keys[] = {
    {.name = "elsewhere", .kind = CONF_COUNT, .offset = FIELD(count), .least = 0, .most = 10}};

static const struct conf_section sections[] = {{"thing", false, keys, sizeof(keys) / sizeof(*keys)},
                                               {"named", true, other_keys, 1}};

static void *open_section(void *context, const struct conf_section *section, const char *name, unsigned line,
                          struct conf_taking *taking)
{
    (void)line;
    if (section->is_named && strcmp(name, "refused") == 0) {
        snprintf(taking->why, sizeof(taking->why), "is refused");
        return NULL;
    }
    return context;
}

static const struct conf_schema schema = {sections, 2, open_section};

static bool parse(const char *text, size_t length, struct thing *thing, struct conf_texts *texts,
                  struct conf_report *report)
{
    *thing = (struct thing){.size = 1};
    texts->first = NULL;
    conf_report_clear(report, "f");
    return conf_parse(&schema, text, length, texts, thing, report);
}

/* ---- what is right ---- */

START_TEST(values_arrive)
{
    static const char text[] = "\xef\xbb\xbf; a comment\r\n"
                               "[thing] ; another\r\n"
                               "  text = a b = c ; not this\r\n"
                               "a_choice=two\n"
                               "# list = bad\n"
                               "\n"
                               "name: x_y-1\n"
                               "flag = yes\n"
                               "size = 4k\n"
                               "count = 10\n"
                               "seconds = 2m\n"
                               "time = 1.5\n"
                               "span = 250\n"
                               "list = a\n"
                               "list = b\n"
                               "negative 404 = 10s\n"
                               "[named \"a b\"]\n"
                               "[named \"c\"]";
    struct thing thing;
    struct conf_texts texts;
    struct conf_report report;

    ck_assert_msg(parse(text, sizeof(text) - 1, &thing, &texts, &report), "%s", report.text);
    ck_assert_str_eq(thing.text, "a b = c");
    ck_assert_str_eq(thing.choice, "two");
    ck_assert_str_eq(thing.name, "x_y-1");
    ck_assert(thing.flag);
    ck_assert_uint_eq(thing.size, 4096);
    ck_assert_uint_eq(thing.count, 10);
    ck_assert_uint_eq(thing.seconds, 120);
    ck_assert_int_eq(thing.time, 1500);
    ck_assert_int_eq(thing.span, 250);
    ck_assert_uint_eq(thing.list, 3);
    ck_assert_str_eq(thing.words, "404=10s");
    conf_texts_free(&texts);
}
END_TEST

static const struct {
    const char *key, *value;
    int64_t ms; /* -1: refused */
} times[] = {
    {"time", "1", 1000},
    {"time", "0.1", 100},
    {"time", "1s", 1000},
    {"time", "100ms", 100},
    {"time", "1.25m", 75000},
    {"time", "1h", 3600000},
    {"time", "1d", 86400000},
    {"time", "1.0001s", 1000},
    {"time", "99ms", -1},
    {"time", "2d", -1},
    {"time", "1 s", -1},
    {"time", "s", -1},
    {"time", "", -1},
    {"time", "-1", -1},
    {"time", "1e3", -1},
    {"time", "0x10", -1},
    {"time", "inf", -1},
    {"time", "nan", -1},
    {"time", "1S", -1},
    {"time", "1ss", -1},
    {"time", ".5", -1},
    {"time", "99999999999999999999", -1},
    {"time", "18446744073709551d", -1},
    {"span", "5", 5},
    {"span", "5s", 5000},
    {"span", "0", -1},
    {"span", "61s", -1},
    {"seconds", "5", 5000},
    {"seconds", "5m", 300000},
    {"seconds", "1500ms", -1},
    {"seconds", "2000ms", 2000},
    {"seconds", "0", -1},
};

START_TEST(time_is_read)
{
    char text[128];
    struct thing thing;
    struct conf_texts texts;
    struct conf_report report;
    int length = snprintf(text, sizeof(text), "[thing]\n%s = %s\n", times[_i].key, times[_i].value);
    bool good = parse(text, (size_t)length, &thing, &texts, &report);

    ck_assert_msg(good == (times[_i].ms >= 0), "%s: %s", text, report.text);
    if (good)
        ck_assert_int_eq(thing.time + thing.span + (int64_t)thing.seconds * 1000, times[_i].ms);
}
END_TEST

/* ---- what is wrong ---- */

static const struct {
    const char *text;
    const char *problem; /* the whole report */
} mistakes[] = {
    {"[thing]\nsiez = 1\n", "f:2: unknown key \"siez\" in [thing]; did you mean \"size\"?\n"},
    {"[thing]\nxyzxyz = 1\n", "f:2: unknown key \"xyzxyz\" in [thing]\n"},
    {"[thing]\nelsewhere = 1\n", "f:2: unknown key \"elsewhere\" in [thing]; it belongs into [named]\n"},
    {"[named \"x\"]\nsize = 4K\n", "f:2: unknown key \"size\" in [named]; it belongs into [thing]\n"},
    {"[thinng]\nsize = 4K\nfoo\n", "f:1: unknown section [thinng]; did you mean [thing]?\n"},
    {"[zzzzzzzz]\n", "f:1: unknown section [zzzzzzzz]\n"},
    {"\n\n[thing]\n[thing]\nsize = 4x\n", "f:4: section [thing] is there already, in line 3\n"},
    {"[thing \"x\"]\n", "f:1: section [thing] takes no name\n"},
    {"[named]\nelsewhere = x\n", "f:1: section [named] needs a name: [named \"...\"]\n"},
    {"[named \"refused\"]\nelsewhere = x\n", "f:1: [named \"refused\"] is refused\n"},
    {"[thing\n", "f:1: not a section; write [name] or [name \"text\"]\n"},
    {"[]\n", "f:1: not a section; write [name] or [name \"text\"]\n"},
    {"[named \"x]\n", "f:1: not a section; write [name] or [name \"text\"]\n"},
    {"[thing] size = 1\n", "f:1: not a section; write [name] or [name \"text\"]\n"},
    {"size = 4K\n", "f:1: \"size\" stands before the first section\n"},
    {"[thing]\nsize\n", "f:2: neither a section nor \"key = value\"\n"},
    {"[thing]\nsize", "f:2: neither a section nor \"key = value\"\n"},
    {"foo\n", "f:1: neither a section nor \"key = value\"\n"},
    {"[thing]\nsize = 4K\nsize = 8K\n", "f:3: \"size\" is there already, in line 2\n"},
    {"[thing]\nsize = x\n",
     "f:2: size: \"x\" is not a size; write bytes, or a number with K, M, G or T, e.g. 512M\n"},
    {"[thing]\nsize = 4s\n",
     "f:2: size: \"4s\" is not a size; write bytes, or a number with K, M, G or T, e.g. 512M\n"},
    {"[thing]\nsize = 1\n", "f:2: size: \"1\" is out of range (1K to 1G)\n"},
    {"[thing]\nsize = 2G\n", "f:2: size: \"2G\" is out of range (1K to 1G)\n"},
    {"[thing]\ncount = 11\n", "f:2: count: \"11\" is out of range (1 to 10)\n"},
    {"[thing]\ncount = 1K\n", "f:2: count: \"1K\" is not a number\n"},
    {"[thing]\ncount = \n", "f:2: count: \"\" is not a number\n"},
    {"[thing]\ntime = 4K\n",
     "f:2: time: \"4K\" has no unit of time behind the number; use ms, s, m, h or d\n"},
    {"[thing]\ntime = 1ms\n", "f:2: time: \"1ms\" is out of range (100ms to 1d)\n"},
    {"[thing]\nseconds = 1ms\n", "f:2: seconds: \"1ms\" is not a whole number of seconds\n"},
    {"[thing]\nflag = maybe\n", "f:2: flag: \"maybe\" is neither on nor off\n"},
    {"[thing]\na-choice = three\n", "f:2: a-choice: \"three\" is none of: one two\n"},
    {"[thing]\nname = a/b\n", "f:2: name: \"a/b\" is not a name of 1 to 8 letters, digits or any of _-\n"},
    {"[thing]\nname = 123456789\n",
     "f:2: name: \"123456789\" is not a name of 1 to 8 letters, digits or any of _-\n"},
    {"[thing]\ntext =\n", "f:2: text: \"\" is empty\n"},
    {"[thing]\nlist = a\nlist = bad\n", "f:3: list: \"bad\" is bad\n"},
    {"[thing]\nnegative 404 = bad\n", "f:2: negative 404: \"bad\" is bad\n"},
    {"[thing]\nnegative = 1\n", "f:2: \"negative\" needs a word behind it, in front of the \"=\"\n"},
    {"[thing]\nsize = \x01\xff\n",
     "f:2: size: \"??\" is not a size; write bytes, or a number with K, M, G or T, e.g. 512M\n"},
    {"[thing]\n\n; c\nfoo\nsize = 1\n[x]\n",
     "f:4: neither a section nor \"key = value\"\nf:5: size: \"1\" is out of range (1K to 1G)\n"
     "f:6: unknown section [x]\n"},
};

START_TEST(mistake_is_reported)
{
    struct thing thing;
    struct conf_texts texts;
    struct conf_report report;

    ck_assert(!parse(mistakes[_i].text, strlen(mistakes[_i].text), &thing, &texts, &report));
    ck_assert_str_eq(report.text, mistakes[_i].problem);
    conf_texts_free(&texts);
}
END_TEST

START_TEST(long_lines_are_refused_whole)
{
    char text[600] = "[thing]\ntext = ";
    size_t start = strlen(text);
    struct thing thing;
    struct conf_texts texts;
    struct conf_report report;

    for (size_t length = 1; length < 500; length++) {
        size_t line = length + strlen("text = ");
        memset(text + start, 'x', length);
        memcpy(text + start + length, "\ncount = 3\n", 12);
        bool good = parse(text, strlen(text), &thing, &texts, &report);
        ck_assert_uint_eq(thing.count, 3);
        ck_assert_msg(good == (line <= CONF_MAX_LINE), "%zu: %s", line, report.text);
        if (good)
            ck_assert_uint_eq(strlen(thing.text), length);
        else
            ck_assert_ptr_nonnull(strstr(report.text, "f:2: longer than 197 bytes"));
        conf_texts_free(&texts);
    }
}
END_TEST

START_TEST(zero_bytes_are_refused)
{
    static const char text[] = "[thing]\nco\0unt = 3\nsize = 4K\n";
    struct thing thing;
    struct conf_texts texts;
    struct conf_report report;

    ck_assert(!parse(text, sizeof(text) - 1, &thing, &texts, &report));
    ck_assert_str_eq(report.text, "f:2: holds a zero byte\n");
    ck_assert_uint_eq(thing.size, 4096);
}
END_TEST

START_TEST(many_mistakes_are_counted)
{
    enum { LINES = 5000 };
    static char text[LINES * 4 + 16] = "[thing]\n";
    struct thing thing;
    struct conf_texts texts;
    struct conf_report report;

    for (int i = 0; i < LINES; i++)
        memcpy(text + 8 + (size_t)i * 4, "x=1\n", 5);
    ck_assert(!parse(text, strlen(text), &thing, &texts, &report));
    ck_assert_uint_eq(report.count, LINES);
    ck_assert_uint_lt(strlen(report.text), sizeof(report.text));
    ck_assert_str_eq(report.text + strlen(report.text) - 13, "... and more\n");
}
END_TEST

/* ---- showing and comparing ---- */

START_TEST(what_is_shown_reads_back)
{
    static const char text[] =
        "[thing]\ntext = x\na-choice = one\nname = n\nflag = on\nsize = 1M\ncount = 7\n"
        "seconds = 1h\ntime = 1500ms\nspan = 60s\n";
    struct thing thing, again;
    struct conf_texts texts, more;
    struct conf_report report;
    char shown[1024] = "";
    FILE *out = fmemopen(shown, sizeof(shown), "w");

    ck_assert(parse(text, strlen(text), &thing, &texts, &report));
    conf_show_section(&sections[0], NULL, &thing, out);
    fclose(out);
    *strstr(shown, "list ") = '\0'; /* is made up here */
    ck_assert_msg(parse(shown, strlen(shown), &again, &more, &report), "%s%s", shown, report.text);
    ck_assert_str_eq(again.text, "x");
    ck_assert_uint_eq(again.size, 1 << 20);
    ck_assert_uint_eq(again.seconds, 3600);
    ck_assert_int_eq(again.time, 1500);
    ck_assert_int_eq(again.span, 60000);
    conf_texts_free(&texts);
    conf_texts_free(&more);
}
END_TEST

START_TEST(only_fixed_keys_are_compared)
{
    struct thing now = {.size = 4096, .name = "a", .count = 1},
                 then = {.size = 4096, .name = "a", .count = 9};
    struct conf_report report;

    conf_report_clear(&report, "f");
    conf_compare_fixed(&sections[0], &now, &then, &report);
    ck_assert_str_eq(report.text, "");
    then.size = 8192;
    conf_compare_fixed(&sections[0], &now, &then, &report);
    ck_assert_str_eq(report.text,
                     "f: size in [thing] cannot change while the program runs (in force: size = 4K; "
                     "wanted: size = 8K)\n");
}
END_TEST

/* ---- files ---- */

START_TEST(odd_files_are_refused)
{
    char path[] = "/tmp/larder-conf-XXXXXX";
    struct conf_report report;
    size_t length;
    int fd = mkstemp(path);

    ck_assert_int_ge(fd, 0);
    conf_report_clear(&report, path);
    ck_assert_int_eq(ftruncate(fd, CONF_MAX_BYTES), 0);
    char *text = conf_read(path, &length, &report);
    ck_assert_ptr_nonnull(text);
    ck_assert_uint_eq(length, CONF_MAX_BYTES);
    free(text);
    ck_assert_int_eq(ftruncate(fd, CONF_MAX_BYTES + 1), 0);
    ck_assert_ptr_null(conf_read(path, &length, &report));
    ck_assert_ptr_nonnull(strstr(report.text, "is larger than"));
    close(fd);
    unlink(path);
    ck_assert_ptr_null(conf_read(path, &length, &report));
    ck_assert_ptr_nonnull(strstr(report.text, "No such file"));
    ck_assert_ptr_null(conf_read("/tmp", &length, &report));
    ck_assert_ptr_nonnull(strstr(report.text, "not a regular file"));
    ck_assert_ptr_null(conf_read("/dev/null", &length, &report));
    ck_assert_uint_eq(report.count, 4);
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, values_arrive);
    ADD_ROWS(tcase, time_is_read, times);
    ADD_ROWS(tcase, mistake_is_reported, mistakes);
    tcase_add_test(tcase, long_lines_are_refused_whole);
    tcase_add_test(tcase, zero_bytes_are_refused);
    tcase_add_test(tcase, many_mistakes_are_counted);
    tcase_add_test(tcase, what_is_shown_reads_back);
    tcase_add_test(tcase, only_fixed_keys_are_compared);
    tcase_add_test(tcase, odd_files_are_refused);
}

int main(void)
{
    return run_suite("conf", add_cases);
}
