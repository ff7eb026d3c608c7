/* parallel_for over oneTBB: context.parallel_for = sg_tbb_for, context.pool = NULL or a
   tbb::task_arena *, context.threads = its concurrency.  Declare:

   extern "C" void sg_tbb_for(void *pool,
       void (*task)(void *data, int64_t index, int64_t thread), void *data, int64_t count); */
#include <cstdint>

#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

extern "C" void sg_tbb_for(void *pool,
    void (*task)(void *data, std::int64_t index, std::int64_t thread), void *data,
    std::int64_t count)
{
    auto all = [&] {
        tbb::parallel_for(std::int64_t(0), count, [&](std::int64_t index) {
            task(data, index, tbb::this_task_arena::current_thread_index());
        });
    };
    if (pool != nullptr)
        static_cast<tbb::task_arena *>(pool)->execute(all);
    else
        all();
}
