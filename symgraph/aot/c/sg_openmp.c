/* parallel_for over OpenMP: context.parallel_for = sg_openmp_for, context.pool = NULL,
   context.threads = omp_get_max_threads().  Compile with -fopenmp and declare:

   void sg_openmp_for(void *pool, void (*task)(void *data, int64_t index, int64_t thread),
       void *data, int64_t count); */
#include <omp.h>
#include <stdint.h>

void sg_openmp_for(void *pool, void (*task)(void *data, int64_t index, int64_t thread),
    void *data, int64_t count)
{
    (void)pool;
#pragma omp parallel for schedule(static)
    for (int64_t index = 0; index < count; index++)
        task(data, index, omp_get_thread_num());
}
