/* hostile_stage.h: the cache, the honest ones and an attack as processes, and what can be seen of them.
 *
 *     stage_set_up      cache started, loads registered, the cache filled, all at rest
 *     stage_begin/_end  an attack comes, its processes are killed
 *     stage_calm        the honest ones pause; false when some answer does not come
 *     stage_await_rest  the cache has everything back
 *     stage_tear_down   all end; true when the cache did so in good order
 *
 * Each process is a session of its own and dies with the driver. What cannot be done ends the program with
 * status 2. */
#ifndef LARDER_BENCH_HOSTILE_STAGE_H
#define LARDER_BENCH_HOSTILE_STAGE_H

#include "hostile.h"

struct stage_options {
    uint32_t victims, depth, size, keys;
    int priority; /* nice value of the sessions; 0: as they are */
};

struct stage {
    struct stage_options options;
    char instance[NAMES_INSTANCE_MAX + 1];
    struct board *board;
    pid_t cache, attack;
    pid_t loads[LOADS_MAX];
    uint32_t load_count;
    uint64_t epoch;       /* of the cache that was started */
    uint64_t descriptors; /* that it has open at rest */
};

void stage_set_up(struct stage *stage, const struct stage_options *options);
bool stage_tear_down(struct stage *stage);

/* True when it has got ready in time. */
bool stage_begin(struct stage *stage, const struct attack *attack);
/* True when it had lasted until now. */
bool stage_end(struct stage *stage);

bool stage_calm(struct stage *stage);
/* The cache's numbers, and in `problem` what it holds that it should not; empty: nothing. */
void stage_await_rest(struct stage *stage, struct wire_row *row, char *problem, size_t size);
bool stage_cache_lives(const struct stage *stage);
/* Seconds of processor time that the cache has had. */
double stage_cache_seconds(const struct stage *stage);
/* Sleeps; less when the program is to end. */
void stage_pause(double seconds);
/* SIGINT or SIGTERM has come. */
bool stage_interrupted(void);

#endif
