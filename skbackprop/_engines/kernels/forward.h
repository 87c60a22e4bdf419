/* Forward propagation: a[h] = phi(a[h-1] W[h] + b[h]) (D1-D3), over tasks that threads can share. */
#pragma once
#include "gemm.h"
#include "members.h"
#include "random.h"

typedef struct {
  const Net *net;
  Gemm gemm;
  Int row_chunk, column_chunk, row_chunks, chunks;
  Int pitch_in, pitch_out; /* columns of A, and of C, B and init, from one member to the next */
  Int member_B;            /* from one member's B to the next's */
} Product;

static void product_task(void *context, Int index, int worker) {
  const Product *p = context;
  Int m = index / p->chunks, part = index % p->chunks;
  Int i = part % p->row_chunks * p->row_chunk, j = part / p->row_chunks * p->column_chunk;
  Gemm gemm = p->gemm;
  gemm.A += m * p->pitch_in, gemm.B += m * p->member_B, gemm.C += m * p->pitch_out, gemm.column0 = m * p->pitch_out;
  if (gemm.init) gemm.init += m * p->pitch_out;
  gemm_block(&gemm, i, MIN(i + p->row_chunk, p->gemm.m), j, MIN(j + p->column_chunk, p->gemm.n),
             p->net->scratch ? p->net->scratch + worker * p->net->scratch_size : NULL);
}

enum { CACHE_BYTES = 512 * 1024 }; /* of the second-level cache, for a block of A */

/* Blocks of rows of A that stay in the cache while all of B passes; smaller ones where threads share the work.
   One product, or that of each member in its columns. */
static void multiply(const Net *net, Gemm gemm, Int products, Int pitch_in, Int pitch_out, Int member_B) {
  Product p = {net, gemm, 0, gemm.n, 0, 0, pitch_in, pitch_out, member_B};
  Int depth = MIN(gemm.k, KC) * (Int)sizeof(real);
  p.row_chunk = MAX(CACHE_BYTES / MAX(depth, 1) / MR, 4) * MR;
  if (net->team > 1) {
    Int parts = 4l * net->team, tiles = (gemm.m + MR - 1) / MR;
    if (tiles >= parts) p.row_chunk = MIN(p.row_chunk, (tiles / parts) * MR);
    else {
      p.row_chunk = MIN(p.row_chunk, MR * MAX(tiles / 2, 1));
      p.column_chunk = NVM * VW * MAX(gemm.n / (NVM * VW) / 4, 1);
    }
  }
  p.row_chunk = MIN(p.row_chunk, gemm.m);
  p.row_chunks = (gemm.m + p.row_chunk - 1) / p.row_chunk;
  p.chunks = p.row_chunks * ((gemm.n + p.column_chunk - 1) / p.column_chunk);
  pool_run(net->team, products * p.chunks, product_task, &p);
}

typedef struct {
  const Net *net;
  const Layer *layer;
  Int rows;
  int drops, keeps; /* dropout acts; phi' is kept for the way back */
} Context;

static void finish_forward(void *context, Int i, Int rows, Int j, Int columns) {
  const Context *c = context;
  const Layer *l = c->layer;
  Int at = i * l->ld + j;
  apply_phi(l->act, l->q + at, l->d && c->keeps ? l->d + at : NULL, l->ld, rows, columns);
  if (c->drops && l->dropout > 0)
    for (Int r = 0; r < rows; r++)
      for (Int k = 0; k < columns; k += VW) {
        Int e = at + r * l->ld + k;
        store(l->a + e, load(l->q + e) * load(l->mask + e));
      }
}

static void finish_backward(void *context, Int i, Int rows, Int j, Int columns) {
  const Context *c = context;
  const Layer *l = c->layer;
  Int at = i * l->ld + j;
  if (c->drops && l->dropout > 0)
    for (Int r = 0; r < rows; r++)
      for (Int k = 0; k < columns; k += VW) {
        Int e = at + r * l->ld + k;
        store(l->delta + e, load(l->delta + e) * load(l->mask + e));
      }
  apply_vjp(l->act, l->delta + at, l->q + at, l->d ? l->d + at : NULL, l->ld, rows, columns);
}

INLINE Int index_at(const RowsIn *rows, Int e) {
  return rows->wide_indices ? (Int)((const int64_t *)rows->indices)[e] : ((const int32_t *)rows->indices)[e];
}

INLINE Int pointer_at(const RowsIn *rows, Int i) {
  return rows->wide_indices ? (Int)((const int64_t *)rows->indptr)[i] : ((const int32_t *)rows->indptr)[i];
}

/* The rows of a batch: numbers in `order`, or consecutive from `first`. */
typedef struct {
  const RowsIn *in;
  const int64_t *order;
  Int first, n, step, row_offset; /* step < 0: no dropout */
  const int64_t *numbers; /* of the rows in their minibatch, which seed the masks; NULL: row_offset + 0, 1, ... */
} Batch;

/* Whether a stretch of a CSR matrix's column numbers are all below n. */
static int are_columns(const RowsIn *rows, Int start, Int stop, Int n) {
  uint64_t wide = 0;
  uint32_t narrow = 0; /* the largest as unsigned, which negative ones exceed: loops that compilers vectorise */
  if (rows->wide_indices)
    for (Int e = start; e < stop; e++) wide = MAX(wide, ((const uint64_t *)rows->indices)[e]);
  else
    for (Int e = start; e < stop; e++) narrow = MAX(narrow, ((const uint32_t *)rows->indices)[e]);
  return start == stop || MAX(wide, narrow) < (uint64_t)n;
}

INLINE Int row_number(const Batch *b, Int i) { return b->order ? (Int)b->order[i] : b->first + i; }
INLINE Int mask_number(const Batch *b, Int i) { return b->numbers ? (Int)b->numbers[i] : b->row_offset + i; }

/* Whether all rows of a batch, and the columns that sparse ones name, exist. */
static int are_rows(const Net *net, const Batch *b) {
  const RowsIn *in = b->in;
  for (Int i = 0; (b->order || in->data) && i < b->n; i++) {
    Int row = row_number(b, i);
    if (row < 0 || row >= in->n_rows) return 0;
    if (!in->data) continue;
    Int start = pointer_at(in, row), stop = pointer_at(in, row + 1);
    if (start < 0 || start > stop || stop > in->n_entries) return 0;
    if (!are_columns(in, start, stop, net->layers[0].n_out)) return 0;
  }
  return 1;
}

typedef struct {
  Net *net;
  const Batch *batch;
} BatchTask;

enum { GATHER_ROWS = 16 };

/* Copy dense rows together, or, for sparse ones, do the first layer's sums: v = b + sum_j x_j W[j]. */
static void gather_task(void *context, Int index, int worker) {
  (void)worker;
  const BatchTask *task = context;
  Net *net = task->net;
  const Batch *b = task->batch;
  const RowsIn *in = b->in;
  Layer *input = &net->layers[0], *first = &net->layers[1];
  int drops = b->step >= 0 && input->dropout > 0;
  Dropper d = dropper(input->dropout, net->spec.seed, 0, b->step);
  for (Int i = index * GATHER_ROWS; i < MIN((index + 1) * GATHER_ROWS, b->n); i++) {
    Int row = row_number(b, i);
    if (!in->data) {
      real *to = input->a + i * input->ld;
      memcpy(to, (const real *)in->X + row * in->row_stride, (size_t)input->n_out * sizeof(real));
      if (drops) {
        mask_row(d, mask_number(b, i), 0, input->n_out, input->mask + i * input->ld);
        for (Int j = 0; j < input->n_out; j++) to[j] *= input->mask[i * input->ld + j];
      }
      continue;
    }
    real *v = first->q + i * first->ld;
    const real *W = weights(net, 1), *data = in->data;
    Int width = first->width;
    uint32_t key = row_key(d, mask_number(b, i));
    memcpy(v, bias(net, 1), (size_t)width * sizeof(real));
    for (Int e = pointer_at(in, row); e < pointer_at(in, row + 1); e++) {
      Int column = index_at(in, e);
      real x = drops ? data[e] * keep_factor(d, key, column) : data[e];
      for (Int j = 0; j < width; j += VW) store(v + j, load(v + j) + x * load(W + column * first->ldw + j));
    }
  }
}

static void mask_task(void *context, Int index, int worker) {
  (void)worker;
  const BatchTask *task = context;
  Net *net = task->net;
  const Batch *b = task->batch;
  for (Int h = 1; h < net->H; h++) {
    Layer *l = &net->layers[h];
    Dropper d = dropper(l->dropout, net->spec.seed, h, b->step);
    for (Int i = index * GATHER_ROWS; l->dropout > 0 && i < MIN((index + 1) * GATHER_ROWS, b->n); i++)
      for (Int m = 0; m < net->n_members; m++)
        mask_row(d, mask_number(b, i), m * l->n_out, l->n_out, l->mask + i * l->ld + m * l->pitch);
  }
}

static void softmax_rows(void *context, Int index, int worker) {
  (void)worker;
  const Context *c = context;
  const Layer *l = c->layer;
  Int last = MIN((index + 1) * GATHER_ROWS, c->rows);
  for (Int i = index * GATHER_ROWS; i < last; i++)
    for (Int m = 0; m < c->net->n_members; m++) softmax_row(l->q + i * l->ld + m * l->pitch, l->n_out, NULL);
  if (c->drops && l->dropout > 0)
    for (Int i = index * GATHER_ROWS; i < last; i++)
      for (Int j = 0; j < l->width; j += VW)
        store(l->a + i * l->ld + j, load(l->q + i * l->ld + j) * load(l->mask + i * l->ld + j));
}

/* v[h] = a[h-1] W[h] + b[h] (D1), a[h] = phi(v[h]) (D2, D3); of the last layer v only.
   A: rows of a[0], if not gathered. */
static void forward(Net *net, const Batch *batch, const real *A, Int lda, int keeps) {
  Int n = batch->n;
  int drops = batch->step >= 0;
  for (Int h = 1; h <= net->H; h++) {
    Layer *l = &net->layers[h], *below = &net->layers[h - 1];
    Context c = {net, l, n, drops, keeps};
    int elementwise = l->act >= 0 && IS_ELEMENTWISE[l->act];
    if (h == 1 && batch->in->data) {
      if (elementwise) finish_forward(&c, 0, n, 0, l->width);
    } else {
      const real *a = h == 1 ? A : drops ? below->a : below->q;
      Int products = h == 1 ? 1 : net->n_members; /* all members meet the same inputs */
      Gemm gemm = {n, l->width / products, l->n_in, a, h == 1 ? lda : below->ld, 1, weights(net, h), l->ldw,
                   l->q, l->ld, bias(net, h), 0, 0, elementwise ? finish_forward : NULL, &c};
      multiply(net, gemm, products, below->pitch, l->pitch, l->pitch);
    }
    if (l->act == ACT_softmax) pool_run(net->team, (n + GATHER_ROWS - 1) / GATHER_ROWS, softmax_rows, &c);
  }
}
