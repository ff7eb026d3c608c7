/* A pool of POSIX threads for compiled models: context.parallel_for = sg_pthreads_for,
   context.pool = sg_pthreads_create(threads), context.threads = threads. */
#ifndef SG_PTHREADS_H
#define SG_PTHREADS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sg_pthreads sg_pthreads;

/* A pool in which `threads` take part, the calling one included; NULL when none can be made. */
sg_pthreads *sg_pthreads_create(int threads);

/* Waits for the threads to end. No call may be running. */
void sg_pthreads_destroy(sg_pthreads *pool);

/* A call that finds the pool busy runs everything on its own thread. */
void sg_pthreads_for(void *pool, void (*task)(void *data, int64_t index, int64_t thread),
    void *data, int64_t count);

#ifdef __cplusplus
}
#endif

#endif
