/* A pool of threads. The calling thread and the helper threads claim tasks from a counter; without helpers the calling
   thread runs all of them. No thread waits for another that has not claimed a task. */
#ifndef SKB_POOL_H
#define SKB_POOL_H
#include "system.h"
enum { MAX_THREADS = 64 };
typedef void Task(void *context, Int index, int worker); /* worker: 0 for the calling thread, 1.. for helpers */
int pool_enter(int n_threads); /* at the start of a job: its number of threads, 1 if another job uses the pool */
void pool_leave(int n_threads);
void pool_run(int n_threads, Int n_tasks, Task *task, void *context);
/* The limit if no number of threads is given; threadpoolctl finds these two functions by their names. */
EXPORT int skb_get_num_threads(void);
EXPORT void skb_set_num_threads(int n);
#endif
