/* Threads that help where they can. The caller takes tasks from a counter and does all of them if nobody
   helps; nobody ever waits for a thread that has not claimed a task. */
#ifndef SKB_POOL_H
#define SKB_POOL_H
enum { MAX_THREADS = 64 };
typedef void Task(void *context, long index, int worker); /* worker: 0 for the caller, else a helper's number */
int pool_enter(int n_threads); /* at the start of a long job: how many threads there are for it, 1 if others use them */
void pool_leave(int n_threads);
void pool_run(int n_threads, long n_tasks, Task *task, void *context);
/* The limit that holds where no number of threads was asked for; threadpoolctl finds these two by their names. */
__attribute__((visibility("default"))) int skb_get_num_threads(void);
__attribute__((visibility("default"))) void skb_set_num_threads(int n);
/* Floating-point mode of the calling thread: denormals count as zero, until it is restored. */
unsigned long flush_denormals(void);
void restore_mode(unsigned long mode);
#endif
