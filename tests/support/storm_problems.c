#include "storm_problems.h"

#include "storm_time.h"

#include <pthread.h>
#include <stdarg.h>

#define KEPT  20
#define BYTES 256

static struct {
    pthread_mutex_t mutex;
    unsigned count;
    char text[KEPT][BYTES];
    int64_t at[KEPT], began;
} problems = {.mutex = PTHREAD_MUTEX_INITIALIZER};

void problem_clock(void)
{
    problems.began = storm_now();
}

void problem_note(const char *format, ...)
{
    va_list arguments;

    pthread_mutex_lock(&problems.mutex);
    if (problems.count < KEPT) {
        va_start(arguments, format);
        vsnprintf(problems.text[problems.count], BYTES, format, arguments);
        va_end(arguments);
        problems.at[problems.count] = storm_now() - problems.began;
    }
    problems.count++;
    pthread_mutex_unlock(&problems.mutex);
}

unsigned problem_count(void)
{
    pthread_mutex_lock(&problems.mutex);
    unsigned count = problems.count;
    pthread_mutex_unlock(&problems.mutex);
    return count;
}

void problem_print(FILE *to)
{
    pthread_mutex_lock(&problems.mutex);
    for (unsigned i = 0; i < problems.count && i < KEPT; i++)
        fprintf(to, "  at %.3f s: %s\n", (double)problems.at[i] / 1e9, problems.text[i]);
    if (problems.count > KEPT)
        fprintf(to, "  and %u more\n", problems.count - KEPT);
    pthread_mutex_unlock(&problems.mutex);
}
