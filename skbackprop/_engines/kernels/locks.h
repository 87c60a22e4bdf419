/* Locks and threads of POSIX systems and of Windows, under the same names. */
#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#include <process.h>
typedef SRWLOCK Lock;
typedef CONDITION_VARIABLE Signal;
typedef unsigned(__stdcall Thread)(void *);
#define LOCK_FREE SRWLOCK_INIT
#define NO_SIGNAL CONDITION_VARIABLE_INIT
#define THREAD(name, argument) static unsigned __stdcall name(void *argument)
static void lock(Lock *l) { AcquireSRWLockExclusive(l); }
static int try_lock(Lock *l) { return TryAcquireSRWLockExclusive(l); }
static void unlock(Lock *l) { ReleaseSRWLockExclusive(l); }
static void wait_for(Signal *s, Lock *l) { SleepConditionVariableSRW(s, l, INFINITE, 0); }
static void send_all(Signal *s) { WakeAllConditionVariable(s); }
static void yield_core(void) { SwitchToThread(); }
static int start(Thread *run, void *argument) {
  HANDLE thread = (HANDLE)_beginthreadex(NULL, 0, run, argument, 0, NULL);
  return thread && CloseHandle(thread);
}
static void in_forked_children(void (*act)(void)) { (void)act; } /* Windows has no fork */
#else
#include <pthread.h>
#include <sched.h>
typedef pthread_mutex_t Lock;
typedef pthread_cond_t Signal;
typedef void *Thread(void *);
#define LOCK_FREE PTHREAD_MUTEX_INITIALIZER
#define NO_SIGNAL PTHREAD_COND_INITIALIZER
#define THREAD(name, argument) static void *name(void *argument)
static void lock(Lock *l) { pthread_mutex_lock(l); }
static int try_lock(Lock *l) { return pthread_mutex_trylock(l) == 0; }
static void unlock(Lock *l) { pthread_mutex_unlock(l); }
static void wait_for(Signal *s, Lock *l) { pthread_cond_wait(s, l); }
static void send_all(Signal *s) { pthread_cond_broadcast(s); }
static void yield_core(void) { sched_yield(); }
static int start(Thread *run, void *argument) {
  pthread_t thread;
  return pthread_create(&thread, NULL, run, argument) == 0 && pthread_detach(thread) == 0;
}
static void in_forked_children(void (*act)(void)) { pthread_atfork(NULL, NULL, act); }
#endif
