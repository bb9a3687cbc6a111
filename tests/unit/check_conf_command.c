/* conf_command: which options there are, what they collect, and how a file and a command line come together.
 */
#include "conf_command.h"

#include "check_unit.h"

#include <string.h>

struct values {
    char instance[9];
    uint64_t count;
    bool flag, only_in_files;
};

#define FIELD(member) offsetof(struct values, member)

static const struct conf_key first_keys[] = {
    {CONF_OPTION("name", "NAME", "what it is called"), .kind = CONF_NAME, .most = 8, .words = "-"},
    {.name = "only-in-files", .kind = CONF_FLAG, .offset = FIELD(only_in_files)},
};
static const struct conf_key second_keys[] = {
    {.name = "number",
     .option = "how-many",
     .argument = "N",
     .help = "of them",
     .kind = CONF_COUNT,
     .offset = FIELD(count),
     .most = 9},
    {CONF_OPTION("flag", NULL, NULL), .kind = CONF_FLAG, .offset = FIELD(flag)},
};
static const struct conf_section sections[] = {{CONF_SECTION("first", first_keys)},
                                               {CONF_SECTION("second", second_keys)}};
static const struct conf_schema schema = {.sections = sections, .count = ROWS(sections)};
static const struct option own[] = {{"own", required_argument, NULL, CONF_OPTION_OWN}};
static const struct conf_options options = {
    .schema = &schema, .own = own, .own_count = ROWS(own), .most = 3, .width = 14};

static struct conf_command command;
static struct conf_report report;
static char program[] = "program";

/* What comes of the last option. */
static enum conf_option_result collect(const char *const words[])
{
    enum conf_option_result result = CONF_OPTION_TAKEN;
    struct option table[CONF_OPTIONS_MAX + 1];
    char *argv[8] = {program};
    int argc = 1, code;

    for (; *words; words++)
        argv[argc++] = (char *)(uintptr_t)*words;
    command = (struct conf_command){.config = NULL};
    conf_options_table(&options, table);
    optind = 0;
    opterr = 0;
    while ((code = getopt_long(argc, argv, "", table, NULL)) != -1)
        result = conf_command_take(&command, &options, code, optarg);
    return result;
}

#define COLLECT(...) collect((const char *const[]){__VA_ARGS__, NULL})

START_TEST(each_key_with_an_option_is_one)
{
    struct option table[CONF_OPTIONS_MAX + 1];
    static const char *const names[] = {"name",   "how-many", "flag",    "own",
                                        "config", "check",    "version", "help"};

    conf_options_table(&options, table);
    for (unsigned i = 0; i < ROWS(names); i++)
        ck_assert_str_eq(table[i].name, names[i]);
    ck_assert_ptr_null(table[ROWS(names)].name);
    ck_assert_int_eq(table[0].has_arg, required_argument);
    ck_assert_int_eq(table[2].has_arg, no_argument);
}
END_TEST

START_TEST(values_are_collected_in_order)
{
    ck_assert_int_eq(COLLECT("--how-many", "4", "--flag", "--name", "a", "--check"), CONF_OPTION_TAKEN);
    ck_assert_uint_eq(command.count, 3);
    ck_assert_ptr_eq(command.settings[0].key, &second_keys[0]);
    ck_assert_str_eq(command.settings[0].value, "4");
    ck_assert_ptr_eq(command.settings[1].key, &second_keys[1]);
    ck_assert_str_eq(command.settings[1].value, "on");
    ck_assert_ptr_eq(command.settings[2].key, &first_keys[0]);
    ck_assert(command.check);
    ck_assert_ptr_null(command.config);
    COLLECT("--config", "f");
    ck_assert_str_eq(command.config, "f");
}
END_TEST

static const struct {
    const char *words[6];
    enum conf_option_result result;
    unsigned count;
} ends[] = {
    {{"--flag", "--flag", "--flag"}, CONF_OPTION_TAKEN, 3},
    {{"--flag", "--flag", "--flag", "--flag"}, CONF_OPTION_TOO_MANY, 3},
    {{"--own", "x"}, CONF_OPTION_OTHER, 0},
    {{"--version"}, CONF_OPTION_OTHER, 0},
    {{"--help"}, CONF_OPTION_OTHER, 0},
    {{"--only-in-files"}, CONF_OPTION_OTHER, 0},
    {{"--how-many"}, CONF_OPTION_OTHER, 0},
    {{"--flag=off"}, CONF_OPTION_OTHER, 0},
};

START_TEST(what_is_no_value_is_left_to_the_program)
{
    ck_assert_int_eq(collect(ends[_i].words), ends[_i].result);
    ck_assert_uint_eq(command.count, ends[_i].count);
}
END_TEST

START_TEST(the_help_has_a_line_for_each_that_is_explained)
{
    char text[256] = "";
    FILE *out = fmemopen(text, sizeof(text), "w");

    ck_assert_ptr_nonnull(out);
    conf_options_help(&options, out);
    fclose(out);
    ck_assert_str_eq(text, "  --name NAME      what it is called\n"
                           "  --how-many N     of them\n");
}
END_TEST

/* All are told of, each by its option; the file is not blamed. */
START_TEST(values_are_taken_behind_those_of_the_file)
{
    struct values values = {.count = 7};
    struct conf_texts texts = {.first = NULL};
    struct conf_taking taking = {.texts = &texts};

    conf_report_clear(&report, "f");
    COLLECT("--how-many", "4", "--flag", "--name", "a-b");
    conf_command_apply(&command, &values, &taking, &report);
    ck_assert_uint_eq(report.count, 0);
    ck_assert_uint_eq(values.count, 4);
    ck_assert(values.flag && !values.only_in_files);
    ck_assert_str_eq(values.instance, "a-b");
    COLLECT("--how-many", "x", "--name", "a/b");
    conf_command_apply(&command, &values, &taking, &report);
    ck_assert_str_eq(report.text, "--how-many: \"x\" is not a number\n"
                                  "--name: \"a/b\" is not a name of 1 to 8 letters, digits or any of -\n");
    ck_assert_str_eq(report.file, "f");
    ck_assert_uint_eq(values.count, 4);
}
END_TEST

START_TEST(a_file_is_read_where_one_is_named)
{
    char *text = program;
    size_t length = 1;

    command = (struct conf_command){.config = NULL};
    conf_complain(&report, 0, "of an earlier load");
    ck_assert(conf_command_read(&command, &text, &length, &report));
    ck_assert_ptr_null(text);
    ck_assert_uint_eq(length, 0);
    ck_assert_uint_eq(report.count, 0);
    command.config = "/nonexistent/f";
    ck_assert(!conf_command_read(&command, &text, &length, &report));
    ck_assert_ptr_null(text);
    ck_assert_str_eq(report.text, "/nonexistent/f: cannot be opened: No such file or directory\n");
}
END_TEST

START_TEST(each_problem_is_printed_behind_who_has_it)
{
    char text[256] = "";
    FILE *out = fmemopen(text, sizeof(text), "w");

    ck_assert_ptr_nonnull(out);
    conf_report_clear(&report, "f");
    conf_complain(&report, 3, "is wrong");
    conf_complain(&report, 0, "so is this");
    conf_report_print(&report, "program", out);
    fclose(out);
    ck_assert_str_eq(text, "program: f:3: is wrong\nprogram: f: so is this\n");
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, each_key_with_an_option_is_one);
    tcase_add_test(tcase, values_are_collected_in_order);
    ADD_ROWS(tcase, what_is_no_value_is_left_to_the_program, ends);
    tcase_add_test(tcase, the_help_has_a_line_for_each_that_is_explained);
    tcase_add_test(tcase, values_are_taken_behind_those_of_the_file);
    tcase_add_test(tcase, a_file_is_read_where_one_is_named);
    tcase_add_test(tcase, each_problem_is_printed_behind_who_has_it);
}

int main(void)
{
    return run_suite("conf_command", add_cases);
}
