/* proxy_conf: what the command line may say; every refusal names the option. */
#include "proxy_conf.h"

#include "check_unit.h"

#include <arpa/inet.h>
#include <string.h>

#define MAX_WORDS 24

static enum proxy_conf_result parse(struct proxy_conf *conf, const char *line, char *problem)
{
    static char words[512];
    char *argv[MAX_WORDS + 2] = {words};
    int argc = 1;

    snprintf(words, sizeof words, "proxy_client%s%s", *line ? " " : "", line);
    strtok(words, " ");
    while (argc < MAX_WORDS && (argv[argc] = strtok(NULL, " ")))
        argc++;
    return proxy_conf_parse(conf, argc, argv, problem);
}

#define NEEDED "--listen 127.0.0.1:80 --origin http://o "

static const struct {
    const char *line;
    enum proxy_conf_result result;
    const char *problem;
} rows[] = {
    {NEEDED, PROXY_CONF_RUN, ""},
    {NEEDED "--segments 4 --segment-size 4K --tenant a.b --instance x_y-1", PROXY_CONF_RUN, ""},
    {NEEDED "--max-request-body 0 --max-connections 1 --getfile [::1]:81", PROXY_CONF_RUN, ""},
    {"--help", PROXY_CONF_HELP, ""},
    {"--foo --help", PROXY_CONF_BAD, "--foo"},
    {"--version", PROXY_CONF_VERSION, ""},
    {"", PROXY_CONF_BAD, "--origin"},
    {"--listen 127.0.0.1:80", PROXY_CONF_BAD, "--origin"},
    {"--origin http://o", PROXY_CONF_BAD, "--listen"},
    {NEEDED "--foo", PROXY_CONF_BAD, "--foo"},
    {NEEDED "foo", PROXY_CONF_BAD, "foo"},
    {NEEDED "--tenant", PROXY_CONF_BAD, "--tenant"},
    {NEEDED "--tenant a/b", PROXY_CONF_BAD, "--tenant"},
    {NEEDED "--instance a.b", PROXY_CONF_BAD, "--instance"},
    {NEEDED "--instance 123456789012345678901234567890123", PROXY_CONF_BAD, "--instance"},
    {NEEDED "--segments 3", PROXY_CONF_BAD, "--segments"},
    {NEEDED "--segments 16385", PROXY_CONF_BAD, "--segments"},
    {NEEDED "--segments 1K", PROXY_CONF_BAD, "--segments"},
    {NEEDED "--segments -4", PROXY_CONF_BAD, "--segments"},
    {NEEDED "--segment-size 4095", PROXY_CONF_BAD, "--segment-size"},
    {NEEDED "--segment-size 4097", PROXY_CONF_BAD, "--segment-size"},
    {NEEDED "--segment-size 32M", PROXY_CONF_BAD, "--segment-size"},
    {NEEDED "--segment-size x", PROXY_CONF_BAD, "--segment-size"},
    {NEEDED "--max-request-body 1X", PROXY_CONF_BAD, "--max-request-body"},
    {NEEDED "--origin-timeout 0", PROXY_CONF_BAD, "--origin-timeout"},
    {NEEDED "--idle-timeout 1s", PROXY_CONF_BAD, "--idle-timeout"},
    {NEEDED "--targeted-fields A-Cache-Control,CDN-Cache-Control", PROXY_CONF_RUN, ""},
    {NEEDED "--targeted-fields a,b,c,d,e,f,g,h,i", PROXY_CONF_BAD, "--targeted-fields"},
    {NEEDED "--targeted-fields a:b", PROXY_CONF_BAD, "--targeted-fields"},
    {NEEDED "--tag-fields X-Tags,Cache-Tag", PROXY_CONF_RUN, ""},
    {NEEDED "--tag-fields a:b", PROXY_CONF_BAD, "--tag-fields"},
    {NEEDED "--purge-from 127.0.0.1,10.0.0.0/8,::1", PROXY_CONF_RUN, ""},
    {NEEDED "--purge-from localhost", PROXY_CONF_BAD, "--purge-from"},
    {NEEDED "--log-level loud", PROXY_CONF_BAD, "--log-level"},
    {NEEDED "--user", PROXY_CONF_BAD, "--user"},
    {NEEDED "--getfile 80", PROXY_CONF_BAD, "--getfile"},
    {"--listen localhost:80 --origin http://o", PROXY_CONF_BAD, "--listen"},
    {"--listen 127.0.0.1 --origin http://o", PROXY_CONF_BAD, "--listen"},
    {"--listen 127.0.0.1:65536 --origin http://o", PROXY_CONF_BAD, "--listen"},
    {"--listen 127.0.0.1: --origin http://o", PROXY_CONF_BAD, "--listen"},
    {"--listen ::1:80 --origin http://o", PROXY_CONF_BAD, "--listen"},
    {"--listen [::1:80 --origin http://o", PROXY_CONF_BAD, "--listen"},
    {"--listen 127.0.0.1:80 --origin gopher://o", PROXY_CONF_BAD, "gopher"},
};

START_TEST(line_is_parsed)
{
    struct proxy_conf conf;
    char problem[PROXY_CONF_PROBLEM_BYTES] = "";

    ck_assert_int_eq(parse(&conf, rows[_i].line, problem), rows[_i].result);
    ck_assert_ptr_nonnull(strstr(problem, rows[_i].problem));
}
END_TEST

START_TEST(values_arrive)
{
    struct proxy_conf conf;
    char problem[PROXY_CONF_PROBLEM_BYTES], text[LISTEN_ADDRESS_BYTES];

    ck_assert_int_eq(parse(&conf,
                           "--listen [::1]:8080 --origin https://o/b --segments 16 --segment-size 128k "
                           "--max-request-body 2G --origin-timeout 7 --access-log - --user www:www",
                           problem),
                     PROXY_CONF_RUN);
    ck_assert_str_eq(listen_address_format(&conf.http, text), "[::1]:8080");
    ck_assert(conf.has_http && !conf.has_getfile);
    ck_assert_str_eq(conf.origin, "https://o/b");
    ck_assert_uint_eq(conf.segments, 16);
    ck_assert_uint_eq(conf.segment_bytes, 128 * 1024);
    ck_assert_uint_eq(conf.max_request_body, (uint64_t)2 << 30);
    ck_assert_uint_eq(conf.origin_timeout_s, 7);
    ck_assert_str_eq(conf.access_log, "-");
    ck_assert_str_eq(conf.user, "www:www");
    ck_assert_str_eq(conf.tenant, "default");
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, line_is_parsed, rows);
    tcase_add_test(tcase, values_arrive);
}

int main(void)
{
    return run_suite("proxy_conf", add_cases);
}
