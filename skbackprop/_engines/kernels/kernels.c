/* A network's training and prediction, compiled once per CPU level and dtype.

   The notation is the derivation's: a[h] a layer's output, v[h] its weighted sums, delta[h] = dE/dv[h]; samples
   are rows. Parameters lie in one padded vector, for each layer b and then the rows of W. */
#include "kernels.h"
#include "pool.h"
#include "real.h"
#include "elementwise.h"
#include "gemm.h"
#include "losses.h"
#include "optimizers.h"
#include "random.h"
#include <time.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

typedef struct {
  long n_in, n_out;
  long start, ldw; /* of the block [b; W] in padded vectors: where it starts, how wide its rows are */
  int act;         /* of this layer's output; -1: the last layer */
  double dropout;  /* of this layer's output */
  long ld;
  real *q, *a; /* before and after dropout; the same without */
  real *d;     /* phi'(v), for activations that need it kept */
  real *mask;
  real *delta;
  real *WT; /* W transposed, (n_out, ldt) */
  long ldt;
} Layer;

struct Net {
  long H, max_rows, n_parameters, n_padded, scratch_size;
  Layer *layers; /* 1..H; 0 is the input: its q, a, ld and dropout */
  Loss loss;
  Spec spec;
  double *quantiles;
  real *theta, *gradient, *slots[MAX_SLOTS], *row_losses, *scratch;
  char *touched; /* rows of W[1] that sparse inputs of a batch meet */
  double mu_product;
  int n_threads, limit, team; /* most ever asked for, allowed now, at work now */
};

/* ------------------------------------------------------------------------------------------ memory ---- */

enum { HUGE_PAGE = 2 * 1024 * 1024 };

/* Zeros. Large ones on large pages, for rows far apart cost one look-up of an address each. */
static real *reals(long n) {
  real *p = NULL;
  size_t size = (size_t)n * sizeof(real) + 64, unit = size < HUGE_PAGE / 2 ? 64 : HUGE_PAGE;
  size = (size + unit - 1) / unit * unit;
  if (posix_memalign((void **)&p, unit, size)) return NULL;
#ifdef MADV_HUGEPAGE
  if (unit == HUGE_PAGE) madvise(p, size, MADV_HUGEPAGE);
#endif
  memset(p, 0, size);
  return p;
}

static int n_slots(int optimizer) { return optimizer == OPT_ADAM || optimizer == OPT_NADAM ? 2 : 1; }

static void destroy(Net *net) {
  if (!net) return;
  for (long h = 0; net->layers && h <= net->H; h++) {
    Layer *l = &net->layers[h];
    if (l->q != l->a) free(l->q);
    free(l->a), free(l->d), free(l->mask), free(l->delta), free(l->WT);
  }
  free(net->layers), free(net->quantiles), free(net->theta), free(net->gradient), free(net->row_losses), free(net->scratch);
  free(net->touched);
  for (int s = 0; s < MAX_SLOTS; s++) free(net->slots[s]);
  free(net);
}

static int allocate_layer(Net *net, long h) {
  Layer *l = &net->layers[h];
  long n = net->max_rows * l->ld;
  int ok = (l->a = reals(n)) != NULL;
  l->q = l->a;
  if (l->dropout > 0) {
    ok &= (l->mask = reals(n)) != NULL;
    if (h > 0) ok &= (l->q = reals(n)) != NULL;
  }
  if (h == 0) return ok;
  if (l->act >= 0 && stores_derivative(l->act)) ok &= (l->d = reals(n)) != NULL;
  if (h < net->H) ok &= (l->delta = reals(n)) != NULL;
  else l->delta = NULL;
  if (h > 1) ok &= (l->WT = reals(l->n_out * l->ldt)) != NULL;
  return ok;
}

static Net *create(const Spec *spec, long max_rows) {
  Net *net = calloc(1, sizeof *net);
  if (!net) return NULL;
  net->H = spec->H;
  net->max_rows = max_rows;
  net->spec = *spec;
  net->n_threads = net->limit = net->team = 1;
  net->mu_product = 1;
  net->layers = calloc((size_t)spec->H + 1, sizeof(Layer));
  net->quantiles = malloc(sizeof(double) * (size_t)(spec->n_quantiles + 1));
  int ok = net->layers && net->quantiles;
  for (long h = 0; ok && h <= spec->H; h++) {
    Layer *l = &net->layers[h];
    l->n_out = spec->sizes[h];
    l->ld = row_stride(l->n_out);
    l->act = h > 0 && h < spec->H ? spec->activations[h - 1] : -1;
    l->dropout = h < spec->H ? spec->dropout[h] : 0;
    if (h > 0) {
      l->n_in = spec->sizes[h - 1];
      l->ldw = row_stride(l->n_out);
      l->ldt = row_stride(l->n_in);
      l->start = net->n_padded;
      net->scratch_size = MAX(net->scratch_size, SCRATCH_REALS + PACKED_ROWS * l->ldw);
      net->n_padded += (l->n_in + 1) * l->ldw;
      net->n_parameters += (l->n_in + 1) * l->n_out;
    }
    if (h > 0) ok = allocate_layer(net, h);
  }
  ok = ok && (net->theta = reals(net->n_padded)) && (net->row_losses = reals(max_rows));
  if (ok) memcpy(net->quantiles, spec->quantiles, sizeof(double) * (size_t)spec->n_quantiles);
  if (!ok) {
    destroy(net);
    return NULL;
  }
  net->loss = (Loss){spec->loss, spec->n_targets, spec->sizes[spec->H], (real)spec->focal_gamma,
                     (real)spec->huber_delta, net->quantiles, spec->n_quantiles};
  net->spec.sizes = NULL, net->spec.activations = NULL, net->spec.dropout = NULL, net->spec.quantiles = NULL;
  return net;
}

/* What only training needs, and what only dense inputs need, on first use; 0: out of memory. */
static int need_training(Net *net) {
  if (!net->gradient) net->gradient = reals(net->n_padded);
  if (!net->scratch) net->scratch = reals(net->scratch_size * net->n_threads);
  for (int s = 0; s < n_slots(net->spec.optimizer); s++)
    if (!net->slots[s]) net->slots[s] = reals(net->n_padded);
  return net->gradient && net->scratch && net->slots[0] && (net->slots[1] || n_slots(net->spec.optimizer) == 1);
}

static int need_input(Net *net, const RowsIn *rows) {
  if (rows->data) {
    if (!net->touched) net->touched = calloc((size_t)net->layers[0].n_out, 1);
    return net->touched != NULL;
  }
  return net->layers[0].a || allocate_layer(net, 0);
}

static real *vector_of(const Net *net, int slot) { return slot < 0 ? net->theta : net->slots[slot]; }

/* Between the flat vector and the padded one, row by row. */
static void pad(const Net *net, real *wide, const real *flat) {
  for (long h = 1; h <= net->H; h++) {
    const Layer *l = &net->layers[h];
    for (long i = 0; i <= l->n_in; i++, flat += l->n_out)
      memcpy(wide + l->start + i * l->ldw, flat, (size_t)l->n_out * sizeof(real));
  }
}

static void unpad(const Net *net, const real *wide, real *flat) {
  for (long h = 1; h <= net->H; h++) {
    const Layer *l = &net->layers[h];
    for (long i = 0; i <= l->n_in; i++, flat += l->n_out)
      memcpy(flat, wide + l->start + i * l->ldw, (size_t)l->n_out * sizeof(real));
  }
}

static void set(Net *net, int slot, const void *flat) {
  if (slot >= 0 && !need_training(net)) return;
  pad(net, vector_of(net, slot), flat);
}

static void get(const Net *net, int slot, void *flat) { unpad(net, vector_of(net, slot), flat); }

static real *bias(const Net *net, long h) { return net->theta + net->layers[h].start; }
static real *weights(const Net *net, long h) { return bias(net, h) + net->layers[h].ldw; }

/* --------------------------------------------------------------------------------- products of matrices ---- */

typedef struct {
  const Net *net;
  Gemm gemm;
  long row_chunk, column_chunk, row_chunks;
} Product;

static void product_task(void *context, long index, int worker) {
  const Product *p = context;
  long i = index % p->row_chunks * p->row_chunk, j = index / p->row_chunks * p->column_chunk;
  gemm_block(&p->gemm, i, MIN(i + p->row_chunk, p->gemm.m), j, MIN(j + p->column_chunk, p->gemm.n),
             p->net->scratch + worker * p->net->scratch_size);
}

enum { CACHE_BYTES = 512 * 1024 }; /* of the second-level cache, for a block of A */

/* Blocks of rows of A that stay in the cache while all of B passes; smaller ones where threads share the work. */
static void multiply(const Net *net, Gemm gemm) {
  Product p = {net, gemm, 0, gemm.n, 0};
  long depth = MIN(gemm.k, KC) * (long)sizeof(real);
  p.row_chunk = MAX(CACHE_BYTES / MAX(depth, 1) / MR, 4) * MR;
  if (net->team > 1) {
    long parts = 4l * net->team, tiles = (gemm.m + MR - 1) / MR;
    if (tiles >= parts) p.row_chunk = MIN(p.row_chunk, (tiles / parts) * MR);
    else {
      p.row_chunk = MIN(p.row_chunk, MR * MAX(tiles / 2, 1));
      p.column_chunk = NVM * VW * MAX(gemm.n / (NVM * VW) / 4, 1);
    }
  }
  p.row_chunk = MIN(p.row_chunk, gemm.m);
  p.row_chunks = (gemm.m + p.row_chunk - 1) / p.row_chunk;
  pool_run(net->team, p.row_chunks * ((gemm.n + p.column_chunk - 1) / p.column_chunk), product_task, &p);
}

typedef struct {
  const Net *net;
  const Layer *layer;
  long rows;
  int drops, keeps; /* dropout acts; phi' is kept for the way back */
} Context;

static void finish_forward(void *context, long i, long rows, long j, long columns) {
  const Context *c = context;
  const Layer *l = c->layer;
  long at = i * l->ld + j;
  apply_phi(l->act, l->q + at, l->d && c->keeps ? l->d + at : NULL, l->ld, rows, columns);
  if (c->drops && l->dropout > 0)
    for (long r = 0; r < rows; r++)
      for (long k = 0; k < columns; k += VW) {
        long e = at + r * l->ld + k;
        store(l->a + e, load(l->q + e) * load(l->mask + e));
      }
}

static void finish_backward(void *context, long i, long rows, long j, long columns) {
  const Context *c = context;
  const Layer *l = c->layer;
  long at = i * l->ld + j;
  if (c->drops && l->dropout > 0)
    for (long r = 0; r < rows; r++)
      for (long k = 0; k < columns; k += VW) {
        long e = at + r * l->ld + k;
        store(l->delta + e, load(l->delta + e) * load(l->mask + e));
      }
  if (l->act != ACT_SOFTMAX) apply_vjp(l->act, l->delta + at, (l->d ? l->d : l->q) + at, l->ld, rows, columns);
}

/* ----------------------------------------------------------------------------------------------- forward ---- */

INLINE long index_at(const RowsIn *rows, long e) {
  return rows->wide_indices ? (long)((const int64_t *)rows->indices)[e] : ((const int32_t *)rows->indices)[e];
}

INLINE long pointer_at(const RowsIn *rows, long i) {
  return rows->wide_indices ? (long)((const int64_t *)rows->indptr)[i] : ((const int32_t *)rows->indptr)[i];
}

/* The rows of a batch: numbers in `order`, or consecutive from `first`. */
typedef struct {
  const RowsIn *in;
  const int64_t *order;
  long first, n, step, row_offset; /* step < 0: no dropout */
} Batch;

INLINE long row_number(const Batch *b, long i) { return b->order ? (long)b->order[i] : b->first + i; }

typedef struct {
  Net *net;
  const Batch *batch;
} BatchTask;

enum { GATHER_ROWS = 16 };

/* Copy dense rows together, or, for sparse ones, do the first layer's sums: v = b + sum_j x_j W[j]. */
static void gather_task(void *context, long index, int worker) {
  (void)worker;
  const BatchTask *task = context;
  Net *net = task->net;
  const Batch *b = task->batch;
  const RowsIn *in = b->in;
  Layer *input = &net->layers[0], *first = &net->layers[1];
  int drops = b->step >= 0 && input->dropout > 0;
  Dropper d = dropper(input->dropout, net->spec.seed, 0, b->step);
  for (long i = index * GATHER_ROWS; i < MIN((index + 1) * GATHER_ROWS, b->n); i++) {
    long row = row_number(b, i);
    if (in->Y) __builtin_prefetch((const real *)in->Y + row * net->loss.n_targets); /* for loss_task */
    if (!in->data) {
      real *to = input->a + i * input->ld;
      memcpy(to, (const real *)in->X + row * in->row_stride, (size_t)input->n_out * sizeof(real));
      if (drops) {
        mask_row(d, i + b->row_offset, input->n_out, input->mask + i * input->ld);
        for (long j = 0; j < input->n_out; j++) to[j] *= input->mask[i * input->ld + j];
      }
      continue;
    }
    real *v = first->q + i * first->ld;
    const real *W = weights(net, 1), *data = in->data;
    long width = padded(first->n_out);
    uint32_t key = row_key(d, i + b->row_offset);
    memcpy(v, bias(net, 1), (size_t)width * sizeof(real));
    for (long e = pointer_at(in, row); e < pointer_at(in, row + 1); e++) {
      long column = index_at(in, e);
      real x = drops ? data[e] * keep_factor(d, key, column) : data[e];
      for (long j = 0; j < width; j += VW) store(v + j, load(v + j) + x * load(W + column * first->ldw + j));
    }
  }
}

static void mask_task(void *context, long index, int worker) {
  (void)worker;
  const BatchTask *task = context;
  Net *net = task->net;
  const Batch *b = task->batch;
  long h = index / b->n + 1, i = index % b->n;
  Layer *l = &net->layers[h];
  if (l->dropout > 0)
    mask_row(dropper(l->dropout, net->spec.seed, h, b->step), i + b->row_offset, l->n_out, l->mask + i * l->ld);
}

static void softmax_rows(void *context, long index, int worker) {
  (void)worker;
  const Context *c = context;
  const Layer *l = c->layer;
  long last = MIN((index + 1) * GATHER_ROWS, c->rows);
  for (long i = index * GATHER_ROWS; i < last; i++) softmax_row(l->q + i * l->ld, l->n_out);
  if (c->drops && l->dropout > 0)
    for (long i = index * GATHER_ROWS; i < last; i++)
      for (long j = 0; j < padded(l->n_out); j += VW)
        store(l->a + i * l->ld + j, load(l->q + i * l->ld + j) * load(l->mask + i * l->ld + j));
}

/* v[h] = a[h-1] W[h] + b[h] (D1), a[h] = phi(v[h]) (D2, D3); of the last layer v only. A: rows of a[0], if not gathered. */
static void forward(Net *net, const Batch *batch, const real *A, long lda, int keeps) {
  long n = batch->n;
  int drops = batch->step >= 0;
  for (long h = 1; h <= net->H; h++) {
    Layer *l = &net->layers[h], *below = &net->layers[h - 1];
    Context c = {net, l, n, drops, keeps};
    int elementwise = l->act >= 0 && l->act != ACT_SOFTMAX;
    if (h == 1 && batch->in->data) {
      if (elementwise) finish_forward(&c, 0, n, 0, padded(l->n_out));
    } else {
      const real *a = h == 1 ? A : drops ? below->a : below->q;
      Gemm gemm = {n, padded(l->n_out), l->n_in, a, h == 1 ? lda : below->ld, 1, weights(net, h), l->ldw,
                   l->q, l->ld, bias(net, h), 0, elementwise ? finish_forward : NULL, &c};
      multiply(net, gemm);
    }
    if (l->act == ACT_SOFTMAX) pool_run(net->team, (n + GATHER_ROWS - 1) / GATHER_ROWS, softmax_rows, &c);
  }
}

/* ---------------------------------------------------------------------------------------------- backward ---- */

typedef struct {
  Net *net;
  const Batch *batch;
  real scale; /* of delta, beside the row's weight */
} LossTask;

/* Value of each row and delta[H], in place of v[H]. */
static void loss_task(void *context, long index, int worker) {
  (void)worker;
  const LossTask *task = context;
  const Batch *b = task->batch;
  Layer *last = &task->net->layers[task->net->H];
  long n_targets = task->net->loss.n_targets, width = padded(last->n_out);
  for (long i = index * GATHER_ROWS; i < MIN((index + 1) * GATHER_ROWS, b->n); i++) {
    long row = row_number(b, i);
    real *v = last->q + i * last->ld, w = b->in->weights ? ((const real *)b->in->weights)[row] : 1;
    task->net->row_losses[i] = w * loss_row(&task->net->loss, v, (const real *)b->in->Y + row * n_targets);
    for (long j = last->n_out; j < width; j++) v[j] = 0;
    for (long j = 0; j < width; j += VW) store(v + j, load(v + j) * (w * task->scale));
  }
}

enum { TRANSPOSE_ROWS = 16 };

static void transpose_task(void *context, long index, int worker) {
  (void)worker;
  const Context *c = context;
  const Layer *l = c->layer;
  const real *W = weights(c->net, l - c->net->layers);
  long i0 = index * TRANSPOSE_ROWS, i1 = MIN(i0 + TRANSPOSE_ROWS, l->n_in);
  for (long j = 0; j < l->n_out; j++)
    for (long i = i0; i < i1; i++) l->WT[j * l->ldt + i] = W[i * l->ldw + j];
}

static void softmax_vjp_rows(void *context, long index, int worker) {
  (void)worker;
  const Context *c = context;
  const Layer *l = c->layer;
  for (long i = index * GATHER_ROWS; i < MIN((index + 1) * GATHER_ROWS, c->rows); i++)
    softmax_row_vjp(l->delta + i * l->ld, l->q + i * l->ld, l->n_out);
}

/* delta[h-1] = phi'(v[h-1]) * (delta[h] W[h]^T) (D6; D8 for softmax). */
static void pass_down(Net *net, long h, long n, const real *delta, int drops) {
  Layer *l = &net->layers[h], *below = &net->layers[h - 1];
  Context up = {net, l, n, drops, 1}, c = {net, below, n, drops, 1};
  pool_run(net->team, (l->n_in + TRANSPOSE_ROWS - 1) / TRANSPOSE_ROWS, transpose_task, &up);
  Gemm gemm = {n, padded(l->n_in), l->n_out, delta, l->ld, 1, l->WT, l->ldt, below->delta, below->ld, NULL, 0,
               finish_backward, &c};
  multiply(net, gemm);
  if (below->act == ACT_SOFTMAX) pool_run(net->team, (n + GATHER_ROWS - 1) / GATHER_ROWS, softmax_vjp_rows, &c);
}

typedef struct {
  Net *net;
  long h;
  const Batch *batch;
  const real *delta;
  int accumulate, sparse;
  const Update *update; /* NULL: the gradient alone */
  real penalty;
  Gemm gemm;
  long chunk;
} GradientTask;

static void update_stretch(const GradientTask *t, long start, long n, const real *g, int is_weight) {
  Net *net = t->net;
  update(t->update, n, net->theta + start, g, net->slots[0] + start,
         net->slots[1] ? net->slots[1] + start : NULL, is_weight ? t->penalty : 0, is_weight ? t->update->decay : 1);
}

/* The same for rows i0..i1 of W[1] under sparse inputs: those that the batch did not meet have no data gradient. */
static void update_sparse(const GradientTask *t, long i0, long i1) {
  const Layer *l = &t->net->layers[1];
  const char *touched = t->net->touched;
  for (long i = i0, stop; i < i1; i = stop) {
    for (stop = i + 1; stop < i1 && touched[stop] == touched[i]; stop++) {}
    long start = l->start + (i + 1) * l->ldw, n = (stop - i) * l->ldw;
    if (touched[i]) update_stretch(t, start, n, t->net->gradient + start, 1);
    else update_stretch(t, start, n, NULL, 1);
  }
}

/* dE/dW[h] = a[h-1]^T delta[h] (D4, D7) for a chunk of rows of W, and the step while it is in the cache. Task 0: the biases. */
static void gradient_task(void *context, long index, int worker) {
  const GradientTask *t = context;
  Net *net = t->net;
  const Layer *l = &net->layers[t->h];
  if (index == 0) {
    real *g = net->gradient + l->start;
    if (!t->accumulate) memset(g, 0, (size_t)l->ldw * sizeof(real));
    for (long j = 0; j < padded(l->n_out); j += VW) {
      vec sum = load(g + j);
      for (long i = 0; i < t->batch->n; i++) sum += load(t->delta + i * l->ld + j);
      store(g + j, sum);
    }
    if (t->update) update_stretch(t, l->start, l->ldw, g, 0);
    return;
  }
  long i0 = (index - 1) * t->chunk, i1 = MIN(i0 + t->chunk, l->n_in), start = (i0 + 1) * l->ldw;
  real *scratch = net->scratch + worker * net->scratch_size, *g = net->gradient + l->start + start;
  Gemm gemm = t->gemm;
  if (t->update && !t->sparse) { /* nobody reads this gradient again: keep it out of the memory */
    g = scratch + SCRATCH_REALS;
    gemm.C = g - i0 * l->ldw;
  }
  if (!t->sparse) gemm_block(&gemm, i0, i1, 0, gemm.n, scratch);
  if (t->update && !t->sparse && l->ldw > gemm.n) /* what others left there must not move the padding */
    for (long i = i0; i < i1; i++) store(gemm.C + i * l->ldw + gemm.n, all(0));
  if (t->update && t->sparse) update_sparse(t, i0, i1);
  else if (t->update) update_stretch(t, l->start + start, (i1 - i0) * l->ldw, g, 1);
}

/* Sparse rows add x_j delta to the rows of W that they meet. */
static void sparse_gradient(const GradientTask *t) {
  Net *net = t->net;
  const Batch *b = t->batch;
  const Layer *l = &net->layers[1], *input = &net->layers[0];
  int drops = b->step >= 0 && input->dropout > 0;
  Dropper d = dropper(input->dropout, net->spec.seed, 0, b->step);
  real *g = net->gradient + l->start + l->ldw;
  const real *data = b->in->data;
  long width = padded(l->n_out);
  if (!t->accumulate) {
    if (!t->update) memset(g, 0, (size_t)(l->n_in * l->ldw) * sizeof(real));
    memset(net->touched, 0, (size_t)l->n_in);
  }
  for (long i = 0; i < b->n; i++) {
    long row = row_number(b, i);
    uint32_t key = row_key(d, i + b->row_offset);
    for (long e = pointer_at(b->in, row); e < pointer_at(b->in, row + 1); e++) {
      long column = index_at(b->in, e);
      real x = drops ? data[e] * keep_factor(d, key, column) : data[e];
      if (t->update && !net->touched[column]) memset(g + column * l->ldw, 0, (size_t)l->ldw * sizeof(real));
      net->touched[column] = 1;
      for (long j = 0; j < width; j += VW)
        store(g + column * l->ldw + j, load(g + column * l->ldw + j) + x * load(t->delta + i * l->ld + j));
    }
  }
}

static void gradient_of_layer(Net *net, long h, const Batch *batch, const real *delta, int accumulate, int drops,
                              const Update *u, real penalty) {
  const Layer *l = &net->layers[h], *below = &net->layers[h - 1];
  real *g = net->gradient + l->start + l->ldw;
  GradientTask t = {net, h, batch, delta, accumulate, h == 1 && batch->in->data, u, penalty, {0}, 0};
  const real *a = h == 1 || drops ? below->a : below->q;
  t.gemm = (Gemm){l->n_in, padded(l->n_out), batch->n, a, 1, below->ld, delta, l->ld, g, l->ldw,
                  accumulate ? g : NULL, l->ldw, NULL, NULL};
  t.chunk = PACKED_ROWS;
  if (net->team > 1) t.chunk = MIN(t.chunk, MAX(l->n_in / (4 * net->team) / MR, 1) * MR);
  if (t.sparse) sparse_gradient(&t);
  pool_run(net->team, 1 + (l->n_in + t.chunk - 1) / t.chunk, gradient_task, &t);
}

/* One batch forward and back: sums of w * loss and w; the gradient in net->gradient, or (u given) the step made. */
static void propagate(Net *net, const Batch *batch, real scale, int accumulate, const Update *u, real penalty,
                      double sums[2]) {
  int drops = batch->step >= 0, masks = 0;
  BatchTask task = {net, batch};
  for (long h = 1; drops && h < net->H; h++) masks |= net->layers[h].dropout > 0;
  pool_run(net->team, (batch->n + GATHER_ROWS - 1) / GATHER_ROWS, gather_task, &task);
  if (masks) pool_run(net->team, batch->n * (net->H - 1), mask_task, &task);
  forward(net, batch, net->layers[0].a, net->layers[0].ld, 1);
  LossTask loss = {net, batch, scale};
  pool_run(net->team, (batch->n + GATHER_ROWS - 1) / GATHER_ROWS, loss_task, &loss);
  for (long i = 0; i < batch->n; i++) {
    const real *w = batch->in->weights;
    sums[0] += net->row_losses[i];
    sums[1] += w ? w[row_number(batch, i)] : 1;
  }
  const real *delta = net->layers[net->H].q;
  for (long h = net->H; h >= 1; h--) {
    if (h > 1) pass_down(net, h, batch->n, delta, drops);
    gradient_of_layer(net, h, batch, delta, accumulate, drops, u, penalty);
    delta = net->layers[h - 1].delta;
  }
}

/* ---------------------------------------------------------------------------------------------- interface ---- */

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Multiply-adds of a batch below which waking a second thread costs more than it brings. */
enum { WORTH_A_THREAD = 3000000 };

static void enter(Net *net, long rows) {
  long work = 0;
  for (long h = 1; h <= net->H; h++) work += net->layers[h].n_in * net->layers[h].n_out;
  net->team = (double)work * (double)rows < WORTH_A_THREAD ? 1 : pool_enter(net->limit);
}

static void leave(Net *net) {
  pool_leave(net->team);
  net->team = 1;
}

static Update prepare(Net *net, double rate, long t) {
  const Spec *s = &net->spec;
  double correct_v = 1 / (1 - pow(s->beta_2, (double)t)), nadam_m = 0, nadam_g = 0;
  if (s->optimizer == OPT_NADAM) {
    double mu = s->beta_1 * (1 - 0.5 * pow(0.96, 0.004 * (double)t));
    double next = s->beta_1 * (1 - 0.5 * pow(0.96, 0.004 * (double)(t + 1)));
    net->mu_product *= mu;
    nadam_m = next / (1 - net->mu_product * next);
    nadam_g = (1 - mu) / (1 - net->mu_product);
  }
  return (Update){s->optimizer, s->nesterov, (real)s->momentum, (real)s->beta_1, (real)s->beta_2, (real)s->epsilon,
                  (real)rate, (real)(1 - rate * s->weight_decay), (real)(1 / (1 - pow(s->beta_1, (double)t))),
                  (real)correct_v, (real)nadam_m, (real)nadam_g};
}

/* The gradient with its penalty, shortened to max_grad_norm, then the step. */
static void clip_and_update(Net *net, const Update *u, real penalty) {
  double square = 0;
  if (net->spec.max_grad_norm > 0) {
    for (long h = 1; h <= net->H; h++) {
      const Layer *l = &net->layers[h];
      for (long i = 0; i <= l->n_in; i++) {
        long row = l->start + i * l->ldw;
        vec sums = all(0);
        for (long j = 0; j < l->ldw; j += VW) {
          vec g = load(net->gradient + row + j);
          if (i > 0) g += penalty * load(net->theta + row + j);
          store(net->gradient + row + j, g);
          sums += g * g;
        }
        square += lanes_sum(sums);
      }
    }
    double norm = sqrt(square), limit = net->spec.max_grad_norm;
    if (!(norm <= limit)) {
      real factor = (real)(limit / norm);
      for (long j = 0; j < net->n_padded; j += VW) store(net->gradient + j, load(net->gradient + j) * factor);
    }
    penalty = 0;
  }
  for (long h = 1; h <= net->H; h++) {
    const Layer *l = &net->layers[h];
    GradientTask t = {.net = net, .update = u, .penalty = penalty};
    update_stretch(&t, l->start, l->ldw, net->gradient + l->start, 0);
    update_stretch(&t, l->start + l->ldw, l->n_in * l->ldw, net->gradient + l->start + l->ldw, 1);
  }
}

static void gradient(Net *net, const RowsIn *rows, long step, long row_offset, void *flat, double sums[2]) {
  sums[0] = sums[1] = NAN;
  if (!need_training(net) || !need_input(net, rows)) return;
  sums[0] = sums[1] = 0;
  unsigned long mode = flush_denormals();
  enter(net, MIN(rows->n_rows, net->max_rows));
  if (rows->n_rows == 0) memset(net->gradient, 0, (size_t)net->n_padded * sizeof(real));
  for (long first = 0; first < rows->n_rows; first += net->max_rows) {
    Batch batch = {rows, NULL, first, MIN(net->max_rows, rows->n_rows - first), step, row_offset + first};
    propagate(net, &batch, 1, first > 0, NULL, 0, sums);
  }
  leave(net);
  unpad(net, net->gradient, flat);
  restore_mode(mode);
}

static void apply(Net *net, const void *flat, double rate, long t) {
  if (!need_training(net)) return;
  unsigned long mode = flush_denormals();
  pad(net, net->gradient, flat);
  Update u = prepare(net, rate, t);
  clip_and_update(net, &u, 0);
  restore_mode(mode);
}

static long train(Net *net, const RowsIn *rows, const int64_t *order, long n_order, const double *rates, long n_rates,
                  long batch_size, double mean_weight, double penalty, long first_step, double seconds,
                  double sums[2]) {
  sums[0] = sums[1] = 0;
  if (!need_training(net) || !need_input(net, rows)) return -1;
  unsigned long mode = flush_denormals();
  double until = now() + seconds;
  long done = 0;
  enter(net, batch_size);
  while (done < n_rates && (done == 0 || now() < until)) {
    long start = done * batch_size, n = MIN(batch_size, n_order - start);
    Batch batch = {rows, order + start, 0, n, first_step + done, 0};
    Update u = prepare(net, rates[done], first_step + done + 1);
    int clips = net->spec.max_grad_norm > 0;
    real scale = (real)(1 / ((double)n * mean_weight));
    propagate(net, &batch, scale, 0, clips ? NULL : &u, (real)penalty, sums);
    if (clips) clip_and_update(net, &u, (real)penalty);
    done++;
  }
  leave(net);
  restore_mode(mode);
  return done;
}

static void predict(Net *net, const RowsIn *rows, void *out, int link) {
  Layer *last = &net->layers[net->H];
  unsigned long mode = flush_denormals();
  enter(net, MIN(rows->n_rows, net->max_rows));
  for (long first = 0; first < rows->n_rows; first += net->max_rows) {
    Batch batch = {rows, NULL, first, MIN(net->max_rows, rows->n_rows - first), -1, 0};
    BatchTask task = {net, &batch};
    if (rows->data) pool_run(net->team, (batch.n + GATHER_ROWS - 1) / GATHER_ROWS, gather_task, &task);
    forward(net, &batch, (const real *)rows->X + first * rows->row_stride, rows->row_stride, 0);
    for (long i = 0; i < batch.n; i++) {
      real *v = last->q + i * last->ld;
      if (link) link_row(&net->loss, v);
      memcpy((real *)out + (first + i) * last->n_out, v, (size_t)last->n_out * sizeof(real));
    }
  }
  leave(net);
  restore_mode(mode);
}

/* v = b + a W with rows of W as they come, one row of `a` at a time: for so few rows W is read once either way. */
static void row_times_matrix(const real *a, const real *block, long n_in, long n_out, real *v) {
  memcpy(v, block, (size_t)n_out * sizeof(real));
  for (long p = 0; p < n_in; p++) {
    const real *W = block + (p + 1) * n_out;
    long j = 0;
    for (; j + VW <= n_out; j += VW) store(v + j, load(v + j) + a[p] * load(W + j));
    for (; j < n_out; j++) v[j] += a[p] * W[j];
  }
}

static void predict_few(Net *net, const RowsIn *rows, const void *flat, void *out, int link) {
  unsigned long mode = flush_denormals();
  const Layer *last = &net->layers[net->H];
  const real *block = flat;
  for (long h = 1; h <= net->H; h++) {
    Layer *l = &net->layers[h], *below = &net->layers[h - 1];
    for (long i = 0; i < rows->n_rows; i++) {
      const real *a = h == 1 ? (const real *)rows->X + i * rows->row_stride : below->q + i * below->ld;
      real *v = l->q + i * l->ld;
      row_times_matrix(a, block, l->n_in, l->n_out, v);
      if (l->act == ACT_SOFTMAX) softmax_row(v, l->n_out);
      else if (l->act >= 0) apply_phi(l->act, v, NULL, l->ld, 1, padded(l->n_out));
      else if (link) link_row(&net->loss, v);
    }
    block += (l->n_in + 1) * l->n_out;
  }
  for (long i = 0; i < rows->n_rows; i++)
    memcpy((real *)out + i * last->n_out, last->q + i * last->ld, (size_t)last->n_out * sizeof(real));
  restore_mode(mode);
}

static void set_extra(Net *net, double mu_product) { net->mu_product = mu_product; }
static double get_extra(const Net *net) { return net->mu_product; }
static void set_threads(Net *net, int n_threads) {
  n_threads = MIN(n_threads, MAX_THREADS);
  if (n_threads > net->n_threads) { /* needs more scratch */
    free(net->scratch);
    net->scratch = NULL;
  }
  net->n_threads = MAX(net->n_threads, n_threads);
  net->limit = n_threads;
}

NOINLINE double fma_rate(void) {
  vec c[12], a = all(R(1.0000001)), b = all(R(1e-9));
  double best = 0;
  for (int i = 0; i < 12; i++) c[i] = all((real)i);
  for (int trial = 0; trial < 5; trial++) {
    const long n = 4000000;
    double start = now();
    for (long k = 0; k < n; k++) {
      _Pragma("GCC unroll 12") for (int i = 0; i < 12; i++) c[i] = c[i] * a + b;
    }
    best = fmax(best, 12.0 * 2 * (double)VW * (double)n / (now() - start));
  }
  vec total = all(0);
  for (int i = 0; i < 12; i++) total += c[i];
  return lanes_sum(total) == -1 ? 0 : best; /* uses the sums, so that they are computed */
}

const Kernels TABLE = {LEVEL, VECTOR_BYTES, create, destroy, set, get, gradient, apply, train, predict, predict_few, set_extra, get_extra,
                       set_threads, fma_rate};
