/* thread.h: the cache's helper threads. They take no signals: those are the loop's. */
#ifndef LARDER_THREAD_H
#define LARDER_THREAD_H

#include <pthread.h>

/* With a small stack. 0 or -errno. */
int thread_start(pthread_t *thread, void *(*run)(void *), void *context);

#endif
