/* ctl_prometheus: every number appears once, under a legal name, whatever tenants are called. */
#include "ctl_prometheus.h"

#include "check_unit.h"
#include "ctl_stats.h"

#include <stdlib.h>

static struct wire_row rows[8];
static struct ctl_client client = {.rows = rows};

static char *print(void)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    ck_assert_ptr_nonnull(out);
    ctl_print_prometheus(out, &client);
    ck_assert_int_eq(fclose(out), 0);
    return text;
}

static struct wire_row *add(uint32_t kind, const char *name)
{
    struct wire_row *row = &rows[client.row_count++];

    *row = (struct wire_row){.kind = kind};
    snprintf(row->name, sizeof(row->name), "%s", name);
    return row;
}

/* A cache, a tenant with a hostile name, and two proxies of it in one process. Each number is its position.
 */
static void add_usual(const char *tenant)
{
    client.row_count = 0;
    add(WIRE_ROW_CACHE, "news");
    add(WIRE_ROW_TENANT, tenant);
    add(WIRE_ROW_PROXY, tenant)->state = WIRE_STATE_ALIVE;
    rows[2].epoch = 0xabc;
    rows[2].pid = 12;
    add(WIRE_ROW_PROXY, tenant)->state = WIRE_STATE_ALIVE | WIRE_STATE_DRAINED;
    rows[3].epoch = 0xabd;
    rows[3].pid = 12;
    for (int i = 0; i < 4; i++) {
        for (unsigned number = 0; number < COUNTER_COUNT + GAUGE_COUNT; number++)
            rows[i].values[number] = 1000 + number;
    }
    add(WIRE_ROW_TIMES, "lookup");
    rows[4].values[0] = 2;
    rows[4].values[3] = 3;
    rows[4].values[WIRE_TIMES_BUCKETS - 1] = 1;
    rows[4].values[WIRE_TIMES_BUCKETS] = 1500000000;
}

static void expect_line(const char *text, const char *line)
{
    char wanted[512];

    snprintf(wanted, sizeof(wanted), "\n%s\n", line);
    ck_assert_msg(strstr(text, wanted) != NULL, "there is no line %s in\n%s", line, text);
}

static unsigned count_of(const char *text, const char *part)
{
    unsigned count = 0;

    for (const char *at = strstr(text, part); at; at = strstr(at + 1, part))
        count++;
    return count;
}

static const struct name {
    const char *tenant, *label;
} names[] = {
    {"news", "news"},
    {"a\"b", "a\\\"b"},
    {"a\\", "a\\\\"},
    {"a\nlarder_up 0", "a\\nlarder_up 0"},
    {"a\x01\x7f\xff", "a???"},
    {"\"} 1\n#", "\\\"} 1\\n#"},
    {"", ""},
};

START_TEST(labels_are_escaped)
{
    char line[256];

    add_usual(names[_i].tenant);
    char *text = print();
    snprintf(line, sizeof(line), "larder_cache_requests_total{tenant=\"%s\",status=\"hit\"} %d",
             names[_i].label, 1000 + COUNTER_hits);
    expect_line(text, line);
    snprintf(line, sizeof(line), "larder_proxies{tenant=\"%s\",state=\"draining\"} 1", names[_i].label);
    expect_line(text, line);
    snprintf(line, sizeof(line),
             "larder_proxy_fills_total{tenant=\"%s\",pid=\"12\",proxy=\"0000000000000abd\"} %d",
             names[_i].label, 1000 + COUNTER_fills);
    expect_line(text, line);
    free(text);
}
END_TEST

/* By its value, at the levels that its scopes say; the two that are states of proxies are in that family. */
START_TEST(every_number_appears)
{
    add_usual("t");
    char *text = print();
    for (unsigned number = 0; number < COUNTER_COUNT + GAUGE_COUNT; number++) {
        const struct counter_info *info = &counter_infos[number];
        char value[32];
        unsigned wanted = (info->scopes & (COUNTER_SCOPE_CACHE | COUNTER_SCOPE_TENANT) ? 1 : 0) +
                          (info->scopes & COUNTER_SCOPE_PROXY ? 2 : 0);
        if (number == COUNTER_COUNT + GAUGE_proxies || number == COUNTER_COUNT + GAUGE_stalled)
            wanted = 0;
        snprintf(value, sizeof(value), " %u\n", 1000 + number);
        ck_assert_msg(count_of(text, value) == wanted, "%s: %u times", info->name, count_of(text, value));
    }
    free(text);
}
END_TEST

static bool is_metric_name(const char *name, size_t length)
{
    return length > 7 && strncmp(name, "larder_", 7) == 0 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz_0123456789") >= length;
}

/* Each family has one HELP, one TYPE and then its samples; no sample stands anywhere else, or twice. */
START_TEST(families_stand_together)
{
    char family[128] = "", seen[16384] = "", *rest;

    add_usual("t");
    char *text = print();
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char entry[1024];
        if (strncmp(line, "# HELP ", 7) == 0) {
            size_t length = strcspn(line + 7, " ");
            ck_assert(is_metric_name(line + 7, length));
            snprintf(family, sizeof(family), "%.*s", (int)length, line + 7);
            snprintf(entry, sizeof(entry), "<%s>", family);
            ck_assert_msg(!strstr(seen, entry), "%s has two", family);
            strncat(seen, entry, sizeof(seen) - strlen(seen) - 1);
        } else if (strncmp(line, "# TYPE ", 7) == 0) {
            ck_assert(strncmp(line + 7, family, strlen(family)) == 0);
            const char *type = line + 8 + strlen(family);
            size_t length = strlen(family);
            ck_assert_msg((strcmp(type, "counter") == 0) ==
                              (length > 6 && strcmp(family + length - 6, "_total") == 0),
                          "%s is a %s", family, type);
        } else {
            ck_assert_msg(strncmp(line, family, strlen(family)) == 0, "%s in %s", line, family);
        }
    }
    free(text);
}
END_TEST

START_TEST(histograms_add_up)
{
    add_usual("t");
    char *text = print();
    expect_line(text, "larder_request_seconds_bucket{request=\"lookup\",le=\"2.5e-07\"} 2");
    expect_line(text, "larder_request_seconds_bucket{request=\"lookup\",le=\"1e-06\"} 2");
    expect_line(text, "larder_request_seconds_bucket{request=\"lookup\",le=\"2e-06\"} 5");
    expect_line(text, "larder_request_seconds_bucket{request=\"lookup\",le=\"1.048576\"} 5");
    expect_line(text, "larder_request_seconds_bucket{request=\"lookup\",le=\"+Inf\"} 6");
    expect_line(text, "larder_request_seconds_sum{request=\"lookup\"} 1.500000000");
    expect_line(text, "larder_request_seconds_count{request=\"lookup\"} 6");
    free(text);
}
END_TEST

START_TEST(states_have_names)
{
    struct wire_row row = {.state = WIRE_STATE_STALLED | WIRE_STATE_DRAINED};

    ck_assert_str_eq(ctl_state_name(&row), "stalled"); /* which matters more */
    row.state = WIRE_STATE_ALIVE;
    ck_assert_str_eq(ctl_state_name(&row), "alive");
    row.state = 7;
    ck_assert_str_eq(ctl_state_name(&row), "unknown");
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, labels_are_escaped, names);
    tcase_add_test(tcase, every_number_appears);
    tcase_add_test(tcase, families_stand_together);
    tcase_add_test(tcase, histograms_add_up);
    tcase_add_test(tcase, states_have_names);
}

int main(void)
{
    return run_suite("ctl_prometheus", add_cases);
}
