/* Threads that help where they can. The caller takes tasks from a counter and does all of them if nobody
   helps; nobody ever waits for a thread that has not claimed a task. */
#ifndef SKB_POOL_H
#define SKB_POOL_H
#include "system.h"
enum { MAX_THREADS = 64 };
typedef void Task(void *context, Int index, int worker); /* worker: 0 for the caller, else a helper's number */
int pool_enter(int n_threads); /* at the start of a long job: how many threads there are for it, 1 if others use them */
void pool_leave(int n_threads);
void pool_run(int n_threads, Int n_tasks, Task *task, void *context);
/* The limit that holds where no number of threads was asked for; threadpoolctl finds these two by their names. */
EXPORT int skb_get_num_threads(void);
EXPORT void skb_set_num_threads(int n);
#endif
