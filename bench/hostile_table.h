/* hostile_table.h: one attack, measured in turns with good neighbourliness, as one line of a table. */
#ifndef LARDER_BENCH_HOSTILE_TABLE_H
#define LARDER_BENCH_HOSTILE_TABLE_H

#include "hostile_stage.h"

/* False: the others were not served as promised, or it could not be measured. Prints the line. */
bool table_measure(struct stage *stage, const struct attack *attack, double seconds, int rounds);
void table_head(void);

#define TABLE_LEAST_RATIO   0.45
#define TABLE_LEAST_HITS    0.9 /* of the share that hits when there is no attack */
#define TABLE_MOST_HELLO_MS 2000
#define TABLE_ROUNDS_MAX    64

#endif
