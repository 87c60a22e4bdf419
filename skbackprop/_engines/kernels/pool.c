#include "pool.h"
#include "locks.h"
#include <stdatomic.h>
#include <stdint.h>
#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

enum { MAX_HELPERS = MAX_THREADS - 1, SPINS = 4000, MAX_TASKS = 0xfffff };

/* The state of a job in one word, so that a late claim fails: generation (24 bits), tasks (20), next task (20). */
static atomic_ullong ticket;
static atomic_long done;
static atomic_int n_workers; /* of the job, including the calling thread: only these have scratch memory */
static Task *task_;
static void *context_;
static unsigned long long generation;

static Lock owner = LOCK_FREE, sleep_lock = LOCK_FREE;
static Signal wake = NO_SIGNAL;
static atomic_int n_helpers, n_active; /* helper threads: started; used by the current job */

static atomic_int limit = 1;

int skb_get_num_threads(void) { return atomic_load(&limit); }
void skb_set_num_threads(int n) { atomic_store(&limit, n < 1 ? 1 : n); }

#define NEXT(t) ((t) & MAX_TASKS)
#define TASKS(t) (((t) >> 20) & MAX_TASKS)

static void pause_cpu(void) {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/* Claim a task and run it; 0 if there is none. */
static int help(int worker) {
  unsigned long long t = atomic_load_explicit(&ticket, memory_order_acquire);
  /* A helper of an earlier job may be late. If its claim succeeds, the n_workers that it read is that of this job. */
  while (NEXT(t) < TASKS(t) && worker < atomic_load_explicit(&n_workers, memory_order_relaxed)) {
    if (atomic_compare_exchange_weak_explicit(&ticket, &t, t + 1, memory_order_acq_rel, memory_order_acquire)) {
      /* the job cannot end before this task, so its pointers are valid */
      task_(context_, (Int)NEXT(t), worker);
      atomic_fetch_add_explicit(&done, 1, memory_order_release);
      return 1;
    }
  }
  return 0;
}

THREAD(helper, number) { /* runs until the process ends */
  int self = (int)(intptr_t)number;
  flush_denormals();
  for (;;) {
    for (int spin = 0; spin < SPINS && self < atomic_load_explicit(&n_active, memory_order_relaxed); spin++) {
      if (help(self + 1)) spin = 0;
      else pause_cpu();
    }
    lock(&sleep_lock);
    while (self >= atomic_load(&n_active)) wait_for(&wake, &sleep_lock);
    unlock(&sleep_lock);
    yield_core(); /* other threads may need the core more */
  }
}

static void forget_helpers(void) { /* threads do not survive a fork */
  atomic_store(&n_helpers, 0);
  atomic_store(&n_active, 0);
  atomic_store(&ticket, 0); /* nor do the jobs of other threads */
  owner = sleep_lock = (Lock)LOCK_FREE;
  wake = (Signal)NO_SIGNAL;
}

int pool_enter(int n_threads) {
  static atomic_int registered;
  if (n_threads <= 1 || !try_lock(&owner)) return 1;
  if (!atomic_exchange(&registered, 1)) in_forked_children(forget_helpers);
  int wanted = n_threads - 1 < MAX_HELPERS ? n_threads - 1 : MAX_HELPERS;
  for (int i = atomic_load(&n_helpers); i < wanted; i++) {
    if (!start(helper, (void *)(intptr_t)i)) break;
    atomic_store(&n_helpers, i + 1);
  }
  int active = wanted < atomic_load(&n_helpers) ? wanted : atomic_load(&n_helpers);
  lock(&sleep_lock);
  atomic_store(&n_active, active);
  send_all(&wake);
  unlock(&sleep_lock);
  if (active == 0) unlock(&owner);
  return active + 1;
}

void pool_leave(int n_threads) {
  if (n_threads <= 1) return;
  atomic_store(&n_active, 0);
  unlock(&owner);
}

void pool_run(int n_threads, Int n_tasks, Task *task, void *context) {
  if (n_threads <= 1 || n_tasks <= 1 || n_tasks > MAX_TASKS) {
    for (Int i = 0; i < n_tasks; i++) task(context, i, 0);
    return;
  }
  task_ = task;
  context_ = context;
  atomic_store_explicit(&n_workers, n_threads, memory_order_relaxed);
  atomic_store_explicit(&done, 0, memory_order_relaxed);
  generation = (generation + 1) & 0xffffff;
  atomic_store_explicit(&ticket, generation << 40 | (unsigned long long)n_tasks << 20, memory_order_release);
  while (help(0)) {}
  /* the remaining tasks are running in other threads */
  for (int spin = 0; atomic_load_explicit(&done, memory_order_acquire) < n_tasks; spin++) {
    if (spin < SPINS) pause_cpu();
    else yield_core();
  }
}
