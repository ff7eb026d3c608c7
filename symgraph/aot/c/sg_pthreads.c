/* A pool of POSIX threads for compiled models; see sg_pthreads.h. */
#include "sg_pthreads.h"

#include <pthread.h>
#include <stdlib.h>

typedef void (*sg_task)(void *data, int64_t index, int64_t thread);

struct sg_pthreads {
    pthread_mutex_t busy; /* held by the caller that owns the workers */
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t work, done;
    int workers, running, stop;
    uint64_t round; /* grows by one for each call */
    sg_task task;
    void *data;
    int64_t count, next;
    pthread_t threads[];
};

/* Takes indices until none is left; the lock is held on entry and on return. */
static void sg_take(sg_pthreads *pool, int64_t thread)
{
    while (pool->next < pool->count) {
        int64_t index = pool->next++;
        sg_task task = pool->task;
        void *data = pool->data;
        pthread_mutex_unlock(&pool->lock);
        task(data, index, thread);
        pthread_mutex_lock(&pool->lock);
    }
}

static void *sg_worker(void *argument)
{
    sg_pthreads *pool = argument;
    uint64_t seen = 0;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (pool->round == seen && !pool->stop)
            pthread_cond_wait(&pool->work, &pool->lock);
        if (pool->stop)
            break;
        seen = pool->round;
        sg_take(pool, 1);
        if (--pool->running == 0)
            pthread_cond_signal(&pool->done);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

sg_pthreads *sg_pthreads_create(int threads)
{
    int workers = threads > 1 ? threads - 1 : 0;
    sg_pthreads *pool = calloc(1, sizeof *pool + (size_t)workers * sizeof pool->threads[0]);
    if (pool == NULL)
        return NULL;
    pthread_mutex_init(&pool->busy, NULL);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->done, NULL);
    for (; pool->workers < workers; pool->workers++)
        if (pthread_create(&pool->threads[pool->workers], NULL, sg_worker, pool) != 0) {
            sg_pthreads_destroy(pool);
            return NULL;
        }
    return pool;
}

void sg_pthreads_destroy(sg_pthreads *pool)
{
    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->stop = 1;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->workers; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    pthread_mutex_destroy(&pool->busy);
    free(pool);
}

void sg_pthreads_for(void *argument, sg_task task, void *data, int64_t count)
{
    sg_pthreads *pool = argument;
    if (pool == NULL || pool->workers == 0 || count < 2 || pthread_mutex_trylock(&pool->busy)) {
        for (int64_t index = 0; index < count; index++)
            task(data, index, 0);
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->task = task;
    pool->data = data;
    pool->count = count;
    pool->next = 0;
    pool->running = pool->workers;
    pool->round++;
    pthread_cond_broadcast(&pool->work);
    sg_take(pool, 0);
    while (pool->running > 0)
        pthread_cond_wait(&pool->done, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
    pthread_mutex_unlock(&pool->busy);
}
