#include "origin_head.h"

#include "invariant.h"

#include <stdlib.h>
#include <string.h>

void origin_head_reset(struct origin_head_reader *response)
{
    response->head.status = 0;
    response->head.fields.count = 0;
    response->head.length_known = false;
    response->head.length = 0;
    response->used = 0;
    response->complete = false;
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

/* "HTTP/1.1 200 Reason": a new response begins, perhaps behind an interim one. */
static enum origin_line status_line(struct origin_head_reader *response, const char *line, size_t size)
{
    const char *space = memchr(line, ' ', size);
    int status = 0;

    if (!space || line + size - space < 4)
        return ORIGIN_LINE_BAD;
    for (int i = 1; i <= 3; i++) {
        if (space[i] < '0' || space[i] > '9')
            return ORIGIN_LINE_BAD;
        status = 10 * status + (space[i] - '0');
    }
    origin_head_reset(response);
    response->head.status = status;
    return status >= 100 && status <= 599 ? ORIGIN_LINE_MORE : ORIGIN_LINE_BAD;
}

static enum origin_line end_of_head(struct origin_head_reader *response)
{
    struct origin_head *head = &response->head;
    struct http_span block = {response->text, (uint32_t)response->used};
    enum http_length_result length;

    if (head->status == 101) /* never asked for */
        return ORIGIN_LINE_BAD;
    if (head->status < 200)
        return ORIGIN_LINE_MORE;
    if (!http_fields_parse(&head->fields, block))
        return ORIGIN_LINE_BAD;
    length = http_content_length(&head->fields, &head->length);
    /* Lengths are signed where they are added up and written out, and the largest ones mean "unknown". */
    if (length == HTTP_LENGTH_BAD || head->length > INT64_MAX)
        return ORIGIN_LINE_BAD;
    head->length_known = length == HTTP_LENGTH_KNOWN;
    response->complete = true;
    return ORIGIN_LINE_HEAD;
}

enum origin_line origin_head_line(struct origin_head_reader *response, const char *line, size_t size)
{
    if (response->complete)
        return ORIGIN_LINE_MORE;
    if (size >= 5 && memcmp(line, "HTTP/", 5) == 0)
        return status_line(response, line, size);
    while (size > 0 && (line[size - 1] == '\n' || line[size - 1] == '\r'))
        size--;
    if (size == 0)
        return end_of_head(response);
    if (!append(response, line, size) || !append(response, "\r\n", 2))
        return ORIGIN_LINE_BAD;
    return ORIGIN_LINE_MORE;
}
