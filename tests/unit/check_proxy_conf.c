/* proxy_conf: what the command line and the file may say; every refusal names the option, or the line. */
#include "proxy_conf.h"

#include "check_unit.h"

#include <arpa/inet.h>
#include <string.h>

#define MAX_WORDS 32

static struct conf_report report;

static enum proxy_conf_result parse(struct proxy_conf *conf, const char *line, const char *text)
{
    static char words[512];
    static struct proxy_command command;
    char *argv[MAX_WORDS + 2] = {words};
    enum proxy_conf_result result;
    int argc = 1;

    snprintf(words, sizeof words, "proxy_client%s%s", *line ? " " : "", line);
    strtok(words, " ");
    while (argc < MAX_WORDS && (argv[argc] = strtok(NULL, " ")))
        argc++;
    result = proxy_conf_command(&command, argc, argv, &report);
    if (result != PROXY_CONF_RUN)
        return result;
    conf_report_clear(&report, "f");
    return proxy_conf_from_text(conf, &command, text, text ? strlen(text) : 0, &report) ? PROXY_CONF_RUN
                                                                                        : PROXY_CONF_BAD;
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
    {NEEDED "--idle-timeout 1s", PROXY_CONF_RUN, ""},
    {NEEDED "--idle-timeout 1x", PROXY_CONF_BAD, "--idle-timeout"},
    {NEEDED "--foo-timeout 1ms --check", PROXY_CONF_BAD, "--foo-timeout"},
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

    ck_assert_int_eq(parse(&conf, rows[_i].line, NULL), rows[_i].result);
    ck_assert_msg(strstr(report.text, rows[_i].problem), "%s", report.text);
    if (rows[_i].result == PROXY_CONF_RUN)
        proxy_conf_free(&conf);
}
END_TEST

START_TEST(values_arrive)
{
    struct proxy_conf conf;
    char text[LISTEN_ADDRESS_BYTES];

    ck_assert_int_eq(
        parse(&conf,
              "--listen [::1]:8080 --origin https://o/b --segments 16 --segment-size 128k "
              "--max-request-body 2G --max-spool 3M --origin-timeout 7 --access-log - --user root:www "
              "--listen 127.0.0.1:81 --cache-timeout 7 --idle-timeout 2m",
              NULL),
        PROXY_CONF_RUN);
    ck_assert_uint_eq(conf.http.count, 2);
    ck_assert_str_eq(listen_address_format(&conf.http.items[0], text), "[::1]:8080");
    ck_assert_str_eq(listen_address_format(&conf.http.items[1], text), "127.0.0.1:81");
    ck_assert_uint_eq(conf.getfile.count, 0);
    ck_assert_str_eq(conf.origin, "https://o/b");
    ck_assert_uint_eq(conf.segments, 16);
    ck_assert_uint_eq(conf.segment_bytes, 128 * 1024);
    ck_assert_uint_eq(conf.max_request_body, (uint64_t)2 << 30);
    ck_assert_uint_eq(conf.max_spool, (uint64_t)3 << 20);
    ck_assert_uint_eq(conf.origin_timeout_s, 7);
    ck_assert_int_eq(conf.cache_timeout_ms, 7);
    ck_assert_uint_eq(conf.idle_timeout_s, 120);
    ck_assert_str_eq(conf.access_log, "-");
    ck_assert_str_eq(conf.user, "root:www");
    ck_assert_str_eq(conf.tenant, "default");
    proxy_conf_free(&conf);
}
END_TEST

static bool span_is(struct http_span span, const char *text)
{
    return http_span_equal(span, (struct http_span){text, (uint32_t)strlen(text)});
}

#define FILE_NEEDED "[listen]\nhttp = 127.0.0.1:80\n[origin]\nurl = http://o\n"

static const char whole_file[] =
    "[proxy]\ninstance = i\ntenant = t.x\nsegments = 8\nsegment-size = 8K\nuser = root\nlog-level = warn\n"
    "access-log = /x\ncache_timeout = 1s\nmax-request-body = 0\nmax-spool = 0\nmax-connections = "
    "7\nheader-timeout = 1\n"
    "idle-timeout = 2\nbody-timeout = 3\npurge-from = 127.0.0.1, ::1\npurge-from = 10.0.0.0/8\n"
    "[listen]\nhttp = 127.0.0.1:80, [::1]:81\nhttp = 127.0.0.1:82\ngetfile = 127.0.0.1:83\n"
    "[origin]\nurl = http://o/b\nca = /ca\ntimeout = 1m\n"
    "[cache-rules]\ntargeted-fields = A, B\nheuristic = off\nheuristic-max = 1h\ndefault-freshness = 10s\n"
    "negative 404 = 10s\nnegative 503 = 1\nignore-query = utm_*, fbclid\nignore-query = gclid\n"
    "sort-query = on\nbypass-cookie = session\nbypass-header = X-Preview\nrefuse-methods = TRACE\n"
    "allow-methods = POST, PUT\n";

static void check_whole(const struct proxy_conf *conf)
{
    ck_assert_str_eq(conf->instance, "i");
    ck_assert_str_eq(conf->tenant, "t.x");
    ck_assert_str_eq(conf->log_level, "warn");
    ck_assert_int_eq(conf->cache_timeout_ms, 1000);
    ck_assert_uint_eq(conf->max_request_body, 0);
    ck_assert_uint_eq(conf->max_spool, 0);
    ck_assert_uint_eq(conf->max_connections, 7);
    ck_assert_uint_eq(conf->header_timeout_s * 100 + conf->idle_timeout_s * 10 + conf->body_timeout_s, 123);
    ck_assert_uint_eq(conf->purge_from.list.count, 3);
    ck_assert_uint_eq(conf->http.count, 3);
    ck_assert_uint_eq(conf->getfile.count, 1);
    ck_assert_str_eq(conf->origin_ca, "/ca");
    ck_assert_uint_eq(conf->origin_timeout_s, 60);
    ck_assert_uint_eq(conf->targets.count, 2);
    ck_assert(span_is(conf->targets.names[1], "B"));
    ck_assert(conf->rules.no_heuristic && conf->rules.sorted_parameters);
    ck_assert_int_eq(conf->rules.heuristic_max, 3600);
    ck_assert_int_eq(conf->rules.default_freshness, 10);
    ck_assert_uint_eq(conf->rules.negative_count, 2);
    ck_assert_int_eq(conf->rules.negative[1].status * 10 + conf->rules.negative[1].seconds, 5031);
    ck_assert_uint_eq(conf->rules.ignored_parameters.count, 3);
    ck_assert(span_is(conf->rules.ignored_parameters.items[2], "gclid"));
    ck_assert(span_is(conf->rules.bypass_cookies.items[0], "session"));
    ck_assert(span_is(conf->rules.bypass_fields.items[0], "X-Preview"));
    ck_assert(span_is(conf->rules.refused_methods.items[0], "TRACE"));
    ck_assert(span_is(conf->rules.allowed_methods.items[1], "PUT"));
}

/* And what is shown of it is a file that says the same. */
START_TEST(a_whole_file_arrives)
{
    struct proxy_conf conf;
    char shown[4096] = "";
    FILE *out = fmemopen(shown, sizeof shown, "w");

    ck_assert_msg(parse(&conf, "", whole_file) == PROXY_CONF_RUN, "%s", report.text);
    check_whole(&conf);
    proxy_conf_show(&conf, out);
    fclose(out);
    proxy_conf_free(&conf);
    ck_assert_msg(parse(&conf, "", shown) == PROXY_CONF_RUN, "%s%s", shown, report.text);
    check_whole(&conf);
    proxy_conf_free(&conf);
}
END_TEST

START_TEST(defaults_are_shown_as_a_file)
{
    struct proxy_conf conf;
    char shown[4096] = "";
    FILE *out = fmemopen(shown, sizeof shown, "w");

    ck_assert_int_eq(parse(&conf, NEEDED, NULL), PROXY_CONF_RUN);
    proxy_conf_show(&conf, out);
    fclose(out);
    proxy_conf_free(&conf);
    ck_assert_msg(parse(&conf, "", shown) == PROXY_CONF_RUN, "%s%s", shown, report.text);
    ck_assert_uint_eq(conf.segments, 0);
    proxy_conf_free(&conf);
}
END_TEST

START_TEST(options_win)
{
    struct proxy_conf conf;
    char text[LISTEN_ADDRESS_BYTES];

    ck_assert_msg(parse(&conf, "--listen 127.0.0.1:99 --tenant z --targeted-fields C --origin http://p",
                        whole_file) == PROXY_CONF_RUN,
                  "%s", report.text);
    ck_assert_uint_eq(conf.http.count, 1);
    ck_assert_str_eq(listen_address_format(&conf.http.items[0], text), "127.0.0.1:99");
    ck_assert_uint_eq(conf.getfile.count, 1);
    ck_assert_str_eq(conf.tenant, "z");
    ck_assert_str_eq(conf.origin, "http://p");
    ck_assert_uint_eq(conf.targets.count, 1);
    proxy_conf_free(&conf);
}
END_TEST

static const struct {
    const char *text, *problem;
} mistakes[] = {
    {FILE_NEEDED "[proxy]\ntennant = a\n",
     "f:6: unknown key \"tennant\" in [proxy]; did you mean \"tenant\"?"},
    {FILE_NEEDED "[proxy]\nlisten = 127.0.0.1:80\n", "f:6: unknown key \"listen\" in [proxy]"},
    {FILE_NEEDED "[proxy]\nurl = http://o\n",
     "f:6: unknown key \"url\" in [proxy]; it belongs into [origin]"},
    {FILE_NEEDED "[cache-rule]\n", "f:5: unknown section [cache-rule]; did you mean [cache-rules]?"},
    {FILE_NEEDED "[proxy]\nheader-timeout = 1K\n", "has no unit of time"},
    {FILE_NEEDED "[proxy]\nheader-timeout = 100ms\n", "is not a whole number of seconds"},
    {FILE_NEEDED "[proxy]\nmax-request-body = 1s\n", "is not a size"},
    {FILE_NEEDED "[proxy]\nuser = no-such-user-here\n", "f: user: no such user: no-such-user-here"},
    {"[origin]\nurl = http://o\n[listen]\nhttp = 127.0.0.1\n",
     "f:4: http: \"127.0.0.1\" is not ADDRESS:PORT"},
    {"[origin]\nurl = http://o\n[listen]\nhttp = ,\n", "f:4: http: \",\" is not ADDRESS:PORT"},
    {"[origin]\nurl = http://o\n[listen]\nhttp = [::1]:1,[::1]:2,[::1]:3\nhttp = "
     "[::1]:4,[::1]:5,[::1]:6,[::1]:7\n"
     "http = [::1]:8,[::1]:9\n",
     "f:6: http: \"[::1]:8,[::1]:9\" makes more than 8 addresses"},
    {"[origin]\nurl = gopher://o\n[listen]\nhttp = 127.0.0.1:1\n", "gopher"},
    {"[origin]\nurl = http://o\n", "f: --listen ADDR:PORT is missing"},
    {"", "f: --origin URL is missing"},
    {FILE_NEEDED "[cache-rules]\nnegative 404 = 10q\n", "f:6: negative 404: \"10q\" has no unit of time"},
    {FILE_NEEDED "[cache-rules]\nnegative 404 = 2d\n",
     "f:6: negative 404: \"2d\" is out of range (0s to 1d)"},
    {FILE_NEEDED "[cache-rules]\nnegative 200 = 10s\n", "is not for a status code of 400 to 599"},
    {FILE_NEEDED "[cache-rules]\nnegative 429 = 10s\n", "is not for a status code of 400 to 599"},
    {FILE_NEEDED "[cache-rules]\nnegative 4xx = 10s\n", "is not for a status code of 400 to 599"},
    {FILE_NEEDED "[cache-rules]\nnegative = 10s\n", "f:6: \"negative\" needs a word behind it"},
    {FILE_NEEDED "[cache-rules]\nnegative 404 = 1s\nnegative  404 = 2s\n",
     "f:7: negative 404: \"2s\" comes twice"},
    {FILE_NEEDED "[cache-rules]\nheuristic = 10\n", "is neither on nor off"},
    {FILE_NEEDED "[cache-rules]\nheuristic-max = 2d\n", "is out of range (0s to 1d)"},
    {FILE_NEEDED "[cache-rules]\nignore-query = a b\n", "is not a list of names"},
    {FILE_NEEDED "[cache-rules]\nignore-query = \n", "is not a list of names"},
    {FILE_NEEDED "[cache-rules]\nignore-query = a,;b\n", "has a name that begins with ;"},
    {FILE_NEEDED "[cache-rules]\nrefuse-methods = PUT, GET\n", "has GET or HEAD, which cannot be refused"},
    {FILE_NEEDED "[cache-rules]\nallow-methods = P@T\n", "has a word that is no method"},
    {FILE_NEEDED "[cache-rules]\nallow-methods = ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF\n", "is no method"},
    {FILE_NEEDED "[cache-rules]\ntargeted-fields = a:b\n", "is not a list of up to 8 field names"},
    {FILE_NEEDED "[cache-rules]\nsort-query = maybe\nx\n", "f:7: neither a section nor"},
};

START_TEST(mistake_is_reported)
{
    struct proxy_conf conf;

    ck_assert_int_eq(parse(&conf, "", mistakes[_i].text), PROXY_CONF_BAD);
    ck_assert_msg(strstr(report.text, mistakes[_i].problem), "%s", report.text);
}
END_TEST

static const struct {
    const char *text;
    const char *problem; /* NULL: may change */
} changes[] = {
    {"[proxy]\nlog-level = warn\ncache-timeout = 5s\nmax-request-body = 3\nmax-spool = 3\nmax-connections = "
     "3\n"
     "header-timeout = 4\nidle-timeout = 4\nbody-timeout = 4\n",
     NULL},
    {"[cache-rules]\ntargeted-fields = \nheuristic = off\nnegative 404 = 1\nignore-query = a\n", NULL},
    {"[proxy]\ninstance = x\n", "instance in [proxy] cannot change while the program runs"},
    {"[proxy]\ntenant = x\n", "tenant in [proxy] cannot change"},
    {"[proxy]\nsegments = 9\n", "segments in [proxy] cannot change"},
    {"[proxy]\naccess-log = x\n", "access-log in [proxy] cannot change"},
};

START_TEST(change_is_allowed_or_named)
{
    struct proxy_conf running, wanted;

    ck_assert_int_eq(parse(&running, NEEDED, NULL), PROXY_CONF_RUN);
    ck_assert_msg(parse(&wanted, NEEDED, changes[_i].text) == PROXY_CONF_RUN, "%s", report.text);
    proxy_conf_compare(&running, &wanted, &report);
    if (changes[_i].problem)
        ck_assert_msg(strstr(report.text, changes[_i].problem), "%s", report.text);
    else
        ck_assert_str_eq(report.text, "");
    proxy_conf_free(&running);
    proxy_conf_free(&wanted);
}
END_TEST

START_TEST(addresses_and_origin_are_fixed)
{
    struct proxy_conf running, wanted;

    ck_assert_int_eq(parse(&running, NEEDED, NULL), PROXY_CONF_RUN);
    ck_assert_int_eq(parse(&wanted, "--listen 127.0.0.1:81 --origin http://p", NULL), PROXY_CONF_RUN);
    proxy_conf_compare(&running, &wanted, &report);
    ck_assert_uint_eq(report.count, 2);
    proxy_conf_free(&running);
    proxy_conf_free(&wanted);
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, line_is_parsed, rows);
    tcase_add_test(tcase, values_arrive);
    tcase_add_test(tcase, a_whole_file_arrives);
    tcase_add_test(tcase, defaults_are_shown_as_a_file);
    tcase_add_test(tcase, options_win);
    ADD_ROWS(tcase, mistake_is_reported, mistakes);
    ADD_ROWS(tcase, change_is_allowed_or_named, changes);
    tcase_add_test(tcase, addresses_and_origin_are_fixed);
}

int main(void)
{
    return run_suite("proxy_conf", add_cases);
}
