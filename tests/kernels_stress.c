/* The kernels without Python, for sanitizers: every allocation fails once, and many threads share the pool.

   .ci/run builds it with the address and undefined-behaviour sanitizers, and with the thread sanitizer. The linker
   redirects the kernels' allocations to the __wrap functions here. */
#include "kernels.h"
#include "pool.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                                         \
  do {                                                                                                           \
    if (!(condition)) fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition), abort();                   \
  } while (0)

enum { N_IN = 70, N_HIDDEN = 40, N_OUT = 3, N_ROWS = 300, BATCH = 64, N_STEPS = 5, BLOCK = 128 };

/* ------------------------------------------------------------------------------- allocations ---- */

static _Thread_local long fails_in; /* number of allocations of this thread until one fails; 0: none fails */

static int fails(void) { return fails_in > 0 && --fails_in == 0; }

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
int __real_posix_memalign(void **p, size_t unit, size_t size);
void *__wrap_malloc(size_t size) { return fails() ? NULL : __real_malloc(size); }
void *__wrap_calloc(size_t n, size_t size) { return fails() ? NULL : __real_calloc(n, size); }
int __wrap_posix_memalign(void **p, size_t unit, size_t size) {
  return fails() ? 12 : __real_posix_memalign(p, unit, size);
}

/* ---------------------------------------------------------------------------------- training ---- */

typedef struct {
  int members, scale, dropout, softmax, clips;
  enum { DENSE, SPARSE, CODES } rows;
} Kind;

typedef struct {
  Int n; /* number of parameters */
  int64_t *Y, *order;
  void *theta, *X, *weights, *values; /* elements in the number format's type */
  double rates[N_STEPS];
  int32_t *indices, *indptr, *categories;
  float *codes;
  uint16_t *bins;
  Columns columns[3];
} Data;

/* A table: values, bins and categories, some of them looked up, and some categories unknown. */
static const int64_t N_BINS[] = {20, 0, 3}, N_CATEGORIES[] = {9, 2, 30};
enum { N_VALUES = N_IN - 64, N_FEATURES = 3 };

static void *exactly(size_t n, size_t size) { /* of exactly this size, so that accesses beyond it are detected */
  void *p = __real_malloc(n * size);
  CHECK(p);
  return p;
}

static void put(const Kernels *k, void *to, Int i, double x) {
  if (k->itemsize == sizeof(double)) ((double *)to)[i] = x;
  else ((float *)to)[i] = (float)x;
}

static Data data_of(const Kernels *k, Kind kind) {
  Int m = kind.members;
  Data d = {.n = m * N_HIDDEN + N_IN * N_HIDDEN + m * N_OUT + m * N_HIDDEN * N_OUT};
  if (m > 1) d.n += m * (N_IN + N_HIDDEN);
  if (kind.scale) d.n += N_IN;
  unsigned seed = 1;
#define RANDOM() ((double)(seed = seed * 1103515245u + 12345u) / 4294967296.0 - 0.5)
  size_t size = (size_t)k->itemsize;
  d.theta = exactly((size_t)d.n, size);
  for (Int i = 0; i < d.n; i++) put(k, d.theta, i, RANDOM());
  d.X = exactly(N_ROWS * N_IN, size); /* each element is an entry if the rows are sparse */
  d.indices = exactly(N_ROWS * N_IN, sizeof(int32_t));
  for (Int i = 0; i < N_ROWS * N_IN; i++) put(k, d.X, i, RANDOM()), d.indices[i] = (int32_t)(i * 7 % N_IN);
  d.indptr = exactly(N_ROWS + 1, sizeof(int32_t));
  for (Int i = 0; i <= N_ROWS; i++) d.indptr[i] = (int32_t)(i * N_IN);
  d.Y = exactly(N_ROWS, sizeof(int64_t));
  for (Int i = 0; i < N_ROWS; i++) d.Y[i] = i % N_OUT;
  d.weights = exactly(N_ROWS, size);
  d.order = exactly(N_ROWS, sizeof(int64_t));
  for (Int i = 0; i < N_ROWS; i++) put(k, d.weights, i, 0.5 + (double)(i % 2)), d.order[i] = i * 7 % N_ROWS;
  for (Int i = 0; i < N_STEPS; i++) d.rates[i] = 0.01;
  d.values = exactly(N_ROWS * N_VALUES, size), d.codes = exactly(N_ROWS * N_FEATURES, sizeof(float));
  d.bins = exactly(N_ROWS * N_FEATURES, sizeof(uint16_t)), d.categories = exactly(N_ROWS * N_FEATURES, sizeof(int32_t));
  for (Int i = 0; i < N_ROWS * N_VALUES; i++) put(k, d.values, i, RANDOM());
  for (Int i = 0; i < N_ROWS * N_FEATURES; i++)
    d.codes[i] = (float)RANDOM(), d.bins[i] = (uint16_t)(i * 5 % 23), d.categories[i] = (int32_t)(i * 11 % 35 - 1);
  d.columns[0] = (Columns){.width = N_VALUES, .values = d.values};
  d.columns[1] = (Columns){.width = 23, .n_features = N_FEATURES, .sizes = N_BINS, .bins = d.bins, .codes = d.codes,
                           .low = -1, .high = 1};
  d.columns[2] = (Columns){.width = 41, .n_features = N_FEATURES, .sizes = N_CATEGORIES, .categories = d.categories};
  return d;
}

static void forget(Data *d) {
  free(d->theta), free(d->X), free(d->indices), free(d->indptr), free(d->Y), free(d->weights), free(d->order);
  free(d->values), free(d->codes), free(d->bins), free(d->categories);
}

static RowsIn rows_of(const Data *d, Kind kind) {
  RowsIn rows = {.n_rows = N_ROWS, .Y = d->Y, .weights = d->weights};
  if (kind.rows == SPARSE)
    rows.data = d->X, rows.indices = d->indices, rows.indptr = d->indptr, rows.n_entries = N_ROWS * N_IN;
  else if (kind.rows == CODES) rows.columns = d->columns, rows.n_columns = 3;
  else rows.X = d->X, rows.row_stride = N_IN;
  return rows;
}

/* Call each function of a network once; gives its final parameters and its output. */
static int work(const Kernels *k, Kind kind, const Data *d, int n_threads, void *theta, void *out) {
  Int sizes[] = {N_IN, N_HIDDEN, N_OUT};
  const char *activations[] = {kind.softmax ? "softmax" : kind.scale ? "gelu" : "relu"};
  double dropout[] = {kind.dropout ? 0.2 : 0, kind.dropout ? 0.5 : 0};
  Spec spec = {.H = 2, .sizes = sizes, .activations = activations, .dropout = dropout, .loss = "cross_entropy",
               .n_targets = N_OUT, .n_members = kind.members, .input_scale = kind.scale, .input_scale_rate = 2,
               .optimizer = "adam", .beta_1 = 0.9, .beta_2 = 0.999, .epsilon = 1e-8, .quantiles = dropout,
               .max_grad_norm = kind.clips ? 0.1 : 0};
  RowsIn rows = rows_of(d, kind);
  Net *net;
  Int made;
  double sums[2] = {0, 0};
  int status = k->create(&spec, BLOCK, &net);
  if (status != DONE) return status;
  k->set_threads(net, n_threads);
  for (int slot = -1; slot < 2 && status == DONE; slot++) status = k->set(net, slot, d->theta);
  if (status == DONE)
    status = k->train(net, &rows, d->order, N_ROWS, d->rates, N_STEPS, BATCH, 1, 0.01, 0, 1e9, sums, &made);
  if (status == DONE) CHECK(made == N_STEPS);
  if (status == DONE) status = k->gradient(net, &rows, 3, 0, d->order, theta, sums);
  if (status == DONE) status = k->apply(net, theta, 0.01, 7);
  if (status == DONE) status = k->predict(net, &rows, NULL, out, 1, 0);
  if (status == DONE) status = k->get(net, -1, theta);
  k->destroy(net);
  return status;
}

static Kind kind_of(int number) {
  return (Kind){.members = number & 1 ? 3 : 1, .scale = number >> 1 & 1, .dropout = number >> 2 & 1,
                .softmax = number >> 3 & 1, .clips = number >> 4 & 1, .rows = number >> 5};
}

enum { N_KINDS = 32 * 3 };

static void every_allocation_fails_once(const Kernels *k) {
  for (int number = 0; number < N_KINDS; number++) {
    Kind kind = kind_of(number);
    Data d = data_of(k, kind);
    void *theta = exactly((size_t)d.n, (size_t)k->itemsize);
    void *out = exactly((size_t)(N_ROWS * N_OUT * kind.members), (size_t)k->itemsize);
    int status = NO_MEMORY;
    for (long nth = 1; status != DONE; nth++) {
      fails_in = nth;
      status = work(k, kind, &d, 1, theta, out);
      CHECK(status == DONE ? fails_in > 0 : status == NO_MEMORY && fails_in == 0 && nth < 100);
    }
    fails_in = 0;
    forget(&d), free(theta), free(out);
  }
}

static void what_does_not_exist_is_refused(const Kernels *k) {
  Kind kind = {.members = 1, .rows = SPARSE};
  Data d = data_of(k, kind);
  void *theta = exactly((size_t)d.n, (size_t)k->itemsize), *out = exactly(N_ROWS * N_OUT, (size_t)k->itemsize);
  struct {
    int32_t *at, value;
  } wrong[] = {{&d.indices[5], N_IN}, {&d.indices[5], -1}, {&d.indptr[100], N_ROWS * N_IN + 1}, {&d.indptr[100], -1},
               {&d.indptr[N_ROWS], 1 << 30}, {&d.indptr[0], 1 << 30}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    int32_t right = *wrong[i].at;
    *wrong[i].at = wrong[i].value;
    CHECK(work(k, kind, &d, 1, theta, out) == NO_SUCH_ROW);
    *wrong[i].at = right;
  }
  for (int rows = DENSE; rows <= CODES; rows++) {
    kind.rows = rows;
    d.order[250] = N_ROWS;
    CHECK(work(k, kind, &d, 1, theta, out) == NO_SUCH_ROW);
    d.order[250] = -1;
    CHECK(work(k, kind, &d, 1, theta, out) == NO_SUCH_ROW);
    d.order[250] = 0;
    CHECK(work(k, kind, &d, 1, theta, out) == DONE);
  }
  forget(&d), free(theta), free(out);
}

/* ------------------------------------------------------------------------------------ threads ---- */

typedef struct {
  int team;
  volatile int busy[MAX_THREADS]; /* not atomic: each worker has its own element */
  atomic_int tasks;
} Job;

static void count(void *context, Int index, int worker) {
  Job *job = context;
  (void)index;
  CHECK(worker < job->team);
  for (int i = 0; i < 500; i++) job->busy[worker]++;
  atomic_fetch_add(&job->tasks, 1);
}

enum { N_CALLERS = 4, N_JOBS = 1000, N_TASKS = 12 };

static void *many_jobs(void *number) {
  for (int i = 0; i < N_JOBS; i++) {
    Job job = {.team = pool_enter(2 + (i + *(int *)number) % 3)};
    for (int run = 1; run <= 3; run++) {
      pool_run(job.team, N_TASKS, count, &job);
      CHECK(atomic_load(&job.tasks) == run * N_TASKS);
    }
    pool_leave(job.team);
  }
  return NULL;
}

typedef struct {
  const Kernels *k;
  int number;
} Caller;

static void *many_trainings(void *caller) {
  const Caller *c = caller;
  for (int number = c->number; number < N_KINDS; number += 3 * N_CALLERS) { /* a third of all: the sanitizer is slow */
    Kind kind = kind_of(number);
    Data d = data_of(c->k, kind);
    size_t size = (size_t)c->k->itemsize, n = (size_t)d.n * size, n_out = (size_t)(N_ROWS * N_OUT * kind.members) * size;
    void *theta = exactly(1, n), *alone = exactly(1, n), *out = exactly(1, n_out), *out_alone = exactly(1, n_out);
    CHECK(work(c->k, kind, &d, 1, alone, out_alone) == DONE);
    CHECK(work(c->k, kind, &d, 2 + number % 3, theta, out) == DONE);
    CHECK(memcmp(theta, alone, n) == 0 && memcmp(out, out_alone, n_out) == 0); /* the same bits */
    forget(&d), free(theta), free(alone), free(out), free(out_alone);
  }
  return NULL;
}

static void in_threads(void *(*run)(void *), const Kernels *k) {
  pthread_t threads[N_CALLERS];
  Caller callers[N_CALLERS];
  int numbers[N_CALLERS];
  for (int i = 0; i < N_CALLERS; i++) {
    callers[i] = (Caller){k, i}, numbers[i] = i;
    CHECK(pthread_create(&threads[i], NULL, run, k ? (void *)&callers[i] : (void *)&numbers[i]) == 0);
  }
  for (int i = 0; i < N_CALLERS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
}

int main(int argc, char **argv) {
  int has_memory_part = argc == 2 && strcmp(argv[1], "memory") == 0;
  if (!has_memory_part) in_threads(many_jobs, NULL);
  for (int i = 0; i < 2; i++) {
    const Kernels *k = skb_kernels("baseline", i ? "bfloat16" : "float64"); /* float32 has the code of float64 */
    if (has_memory_part) every_allocation_fails_once(k), what_does_not_exist_is_refused(k);
    else in_threads(many_trainings, k);
  }
  return 0;
}
