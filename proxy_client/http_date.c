#include "http_date.h"

#include <string.h>

#define DAY_SECONDS 86400
#define FIFTY_YEARS ((int64_t)18262 * DAY_SECONDS)
#define FIRST_TIME  (-(int64_t)719528 * DAY_SECONDS)     /* 0000-01-01 00:00:00 */
#define LAST_TIME   ((int64_t)2932897 * DAY_SECONDS - 1) /* 9999-12-31 23:59:59 */

static const char weekdays[7][10] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                     "Friday", "Saturday", "Sunday"};
static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

struct civil {
    int year, month, day, hour, minute, second; /* month 0..11, day 1..31 */
};

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int month_days(int year, int month)
{
    static const int days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return month == 1 && is_leap(year) ? 29 : days[month];
}

/* Days from 1970-01-01 to the first of January of a year from 0 on (proleptic Gregorian calendar). */
static int64_t days_to_year(int year)
{
    /* Leap days of the years before `year`, year 0 included. */
    int leaps = year == 0 ? 0 : (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400 + 1;

    return (int64_t)year * 365 + leaps - 719528;
}

static int64_t civil_to_seconds(const struct civil *c)
{
    int64_t days = days_to_year(c->year) + c->day - 1;

    for (int month = 0; month < c->month; month++)
        days += month_days(c->year, month);
    return days * DAY_SECONDS + c->hour * 3600 + c->minute * 60 + c->second;
}

static struct civil civil_from_seconds(int64_t seconds)
{
    int64_t days = (seconds - FIRST_TIME) / DAY_SECONDS + FIRST_TIME / DAY_SECONDS;
    int left = (int)(seconds - days * DAY_SECONDS);
    struct civil c = {.hour = left / 3600, .minute = left / 60 % 60, .second = left % 60};

    /* 146097 days are 400 years; the estimate is at most one year off. */
    c.year = (int)((days + 719528) * 400 / 146097);
    while (c.year > 0 && days_to_year(c.year) > days)
        c.year--;
    while (days_to_year(c.year + 1) <= days)
        c.year++;
    days -= days_to_year(c.year);
    while (days >= month_days(c.year, c.month))
        days -= month_days(c.year, c.month++);
    c.day = (int)days + 1;
    return c;
}

/* The parser: each take_ function consumes from the front of *text, or returns false. */

static bool take(struct http_span *text, const char *word, uint32_t length)
{
    struct http_span front = {text->at, length};

    if (text->length < length || !http_span_equal_nocase(front, (struct http_span){word, length}))
        return false;
    text->at += length;
    text->length -= length;
    return true;
}

static bool take_char(struct http_span *text, char c)
{
    return take(text, &c, 1);
}

static bool take_number(struct http_span *text, uint32_t digits, int *out)
{
    uint64_t number;

    if (text->length < digits || !http_parse_length((struct http_span){text->at, digits}, &number))
        return false;
    *out = (int)number;
    text->at += digits;
    text->length -= digits;
    return true;
}

static bool take_month(struct http_span *text, int *out)
{
    for (*out = 0; *out < 12; ++*out) {
        if (take(text, months[*out], 3))
            return true;
    }
    return false;
}

/* The whole name (rfc850-date) or its first three letters. */
static bool take_weekday(struct http_span *text, bool *whole)
{
    for (int i = 0; i < 7; i++) {
        uint32_t length = (uint32_t)strlen(weekdays[i]);

        if ((*whole = take(text, weekdays[i], length)) || take(text, weekdays[i], 3))
            return true;
    }
    return false;
}

static bool take_time(struct http_span *text, struct civil *c)
{
    return take_number(text, 2, &c->hour) && take_char(text, ':') && take_number(text, 2, &c->minute) &&
           take_char(text, ':') && take_number(text, 2, &c->second);
}

static bool take_zone(struct http_span *text)
{
    return take(text, " GMT", 4); /* RFC 9111 section 4.2: no other, UTC neither */
}

/* "06 Nov 1994 08:49:37 GMT" */
static bool take_imf(struct http_span *text, struct civil *c)
{
    return take_number(text, 2, &c->day) && take_char(text, ' ') && take_month(text, &c->month) &&
           take_char(text, ' ') && take_number(text, 4, &c->year) && take_char(text, ' ') &&
           take_time(text, c) && take_zone(text);
}

/* "06-Nov-94 08:49:37 GMT"; the year is what stands there. */
static bool take_rfc850(struct http_span *text, struct civil *c)
{
    return take_number(text, 2, &c->day) && take_char(text, '-') && take_month(text, &c->month) &&
           take_char(text, '-') && take_number(text, 2, &c->year) && take_char(text, ' ') &&
           take_time(text, c) && take_zone(text);
}

/* "Nov  6 08:49:37 1994" */
static bool take_asctime(struct http_span *text, struct civil *c)
{
    return take_month(text, &c->month) && take_char(text, ' ') &&
           (take_char(text, ' ') ? take_number(text, 1, &c->day) : take_number(text, 2, &c->day)) &&
           take_char(text, ' ') && take_time(text, c) && take_char(text, ' ') &&
           take_number(text, 4, &c->year);
}

static bool is_real(const struct civil *c)
{
    /* Second 60 is a leap second (RFC 9110 section 5.6.7 takes the grammar of RFC 5322). */
    return c->day >= 1 && c->day <= month_days(c->year, c->month) && c->hour <= 23 && c->minute <= 59 &&
           c->second <= 60;
}

/* RFC 9110 section 5.6.7: a two-digit year more than 50 years ahead means the past. */
static void complete_year(struct civil *c, int64_t now)
{
    int this_year;

    if (now < 0)
        now = 0;
    if (now > LAST_TIME - 2 * FIFTY_YEARS)
        now = LAST_TIME - 2 * FIFTY_YEARS;
    this_year = civil_from_seconds(now).year;
    c->year += this_year - this_year % 100 + 100;
    while (civil_to_seconds(c) > now + FIFTY_YEARS)
        c->year -= 100;
}

bool http_date_parse(struct http_span text, int64_t now, int64_t *out)
{
    struct civil c = {0};
    bool whole;

    if (!take_weekday(&text, &whole))
        return false;
    if (take(&text, ", ", 2)) {
        if (!(whole ? take_rfc850(&text, &c) : take_imf(&text, &c)))
            return false;
        if (whole)
            complete_year(&c, now);
    } else if (whole || !take_char(&text, ' ') || !take_asctime(&text, &c)) {
        return false;
    }
    if (text.length > 0 || !is_real(&c))
        return false;
    *out = civil_to_seconds(&c);
    return true;
}

static void put_number(char *at, int number, int digits)
{
    while (digits-- > 0) {
        at[digits] = (char)('0' + number % 10);
        number /= 10;
    }
}

void http_date_format(int64_t seconds, char out[HTTP_DATE_BYTES + 1])
{
    int64_t time = seconds < FIRST_TIME ? FIRST_TIME : seconds > LAST_TIME ? LAST_TIME : seconds;
    struct civil c = civil_from_seconds(time);
    /* 0000-01-01 was a Saturday. */
    int weekday = (int)(((time - FIRST_TIME) / DAY_SECONDS + 5) % 7);

    memcpy(out, "Xxx, 00 Xxx 0000 00:00:00 GMT", HTTP_DATE_BYTES + 1);
    memcpy(out, weekdays[weekday], 3);
    put_number(out + 5, c.day, 2);
    memcpy(out + 8, months[c.month], 3);
    put_number(out + 12, c.year, 4);
    put_number(out + 17, c.hour, 2);
    put_number(out + 20, c.minute, 2);
    put_number(out + 23, c.second, 2);
}

void http_date_add_field(struct http_text *text, int64_t seconds)
{
    char date[HTTP_DATE_BYTES + 1];

    http_date_format(seconds, date);
    http_text_add_field(text, &(struct http_field){HTTP_SPAN("Date"), {date, HTTP_DATE_BYTES}});
}
