/* storm_problems.h: what went wrong, in words; any thread may add. Only the first ones are kept. */
#ifndef STORM_PROBLEMS_H
#define STORM_PROBLEMS_H

#include <stdio.h>

/* Times are told from here on. Before there are threads. */
void problem_clock(void);
void problem_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
unsigned problem_count(void);
void problem_print(FILE *to);

#endif
