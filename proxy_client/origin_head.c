#include "origin_head.h"

#include "invariant.h"

#include <stdlib.h>
#include <string.h>

static void forget_lines(struct origin_head_reader *response)
{
    response->head.status = 0;
    response->head.fields.count = 0;
    response->head.length_known = false;
    response->head.length = 0;
    response->used = 0;
}

void origin_head_reset(struct origin_head_reader *response)
{
    forget_lines(response);
    response->interims = 0;
    response->begun = response->complete = false;
}

void origin_head_free(struct origin_head_reader *response)
{
    free(response->text);
    response->text = NULL;
    response->size = 0;
}

static bool append(struct origin_head_reader *response, const char *bytes, size_t size)
{
    if (size > ORIGIN_HEAD_MAX - response->used)
        return false;
    if (response->used + size > response->size) {
        size_t wanted = response->size ? 2 * response->size : 2048;

        while (wanted < response->used + size)
            wanted *= 2;
        response->text = realloc(response->text, wanted);
        INVARIANT(response->text);
        response->size = wanted;
    }
    memcpy(response->text + response->used, bytes, size);
    response->used += size;
    return true;
}

/* "HTTP/1.1 200 Reason" (RFC 9112 section 4): a new response begins, perhaps behind an interim one. The space
 * in front of a reason that is empty may be left out, because so many do. */
static enum origin_line status_line(struct origin_head_reader *response, const char *line, size_t size)
{
    if (response->begun || size < 12 || memcmp(line, "HTTP/1.", 7) != 0 || !http_is_digit(line[7]) ||
        line[8] != ' ')
        return ORIGIN_LINE_BAD;
    for (int i = 9; i < 12; i++) {
        if (!http_is_digit(line[i]))
            return ORIGIN_LINE_BAD;
    }
    if (size > 12 && line[12] != ' ')
        return ORIGIN_LINE_BAD;
    forget_lines(response);
    response->begun = true;
    response->minor = line[7] > '0';
    response->head.status = 100 * (line[9] - '0') + 10 * (line[10] - '0') + (line[11] - '0');
    return response->head.status >= 100 && response->head.status <= 599 ? ORIGIN_LINE_MORE : ORIGIN_LINE_BAD;
}

static bool append_via(struct origin_head_reader *response)
{
    static const char *const lines[] = {"Via: 1.0 larder\r\n", "Via: 1.1 larder\r\n"};
    const char *line = lines[response->minor];

    return append(response, line, strlen(line));
}

/* RFC 9112 section 6.1: no such field in HTTP/1.0, and no coding but chunked was asked for with TE. */
static bool coding_is_sound(const struct origin_head_reader *response)
{
    const struct http_fields *fields = &response->head.fields;
    const struct http_field *field = http_field_find(fields, "transfer-encoding", NULL);

    if (!field)
        return true;
    return response->minor == 1 && http_span_equal_nocase(field->value, HTTP_SPAN("chunked")) &&
           !http_field_find(fields, "transfer-encoding", field);
}

static bool length_is_sound(struct origin_head *head)
{
    enum http_length_result length = http_content_length(&head->fields, &head->length);

    head->length_known = length == HTTP_LENGTH_KNOWN;
    /* Lengths are signed where they are added up and written out, and the largest ones mean "unknown". */
    return length != HTTP_LENGTH_BAD && head->length <= INT64_MAX;
}

static enum origin_line end_of_head(struct origin_head_reader *response)
{
    struct origin_head *head = &response->head;
    bool interim = head->status < 200;

    if (head->status == 101) /* never asked for */
        return ORIGIN_LINE_BAD;
    if (!interim && !append_via(response))
        return ORIGIN_LINE_BAD;
    if (!http_fields_parse(&head->fields, (struct http_span){response->text, (uint32_t)response->used}))
        return ORIGIN_LINE_BAD;
    if (!http_connection_is_bounded(&head->fields))
        return ORIGIN_LINE_BAD;
    response->begun = !interim;
    if (interim)
        return ++response->interims <= ORIGIN_INTERIMS_MAX ? ORIGIN_LINE_INTERIM : ORIGIN_LINE_BAD;
    if (!length_is_sound(head) || !coding_is_sound(response))
        return ORIGIN_LINE_BAD;
    response->complete = true;
    return ORIGIN_LINE_HEAD;
}

enum origin_line origin_head_line(struct origin_head_reader *response, const char *line, size_t size)
{
    if (response->complete)
        return ORIGIN_LINE_MORE;
    if (size > 0 && line[size - 1] == '\n')
        size--;
    if (size > 0 && line[size - 1] == '\r')
        size--;
    if (size >= 5 && memcmp(line, "HTTP/", 5) == 0)
        return status_line(response, line, size);
    if (size == 0)
        return end_of_head(response);
    if (!append(response, line, size) || !append(response, "\r\n", 2))
        return ORIGIN_LINE_BAD;
    return ORIGIN_LINE_MORE;
}
