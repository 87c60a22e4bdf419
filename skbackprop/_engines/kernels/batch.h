/* Minibatches: row indices, CSR entries and dropout masks. */
#pragma once
#include "net.h"

/* The rows with the indices in `order`, or n consecutive rows from `first` on. */
typedef struct {
  const RowsIn *in;
  const int64_t *order;
  Int first, n, step, row_offset; /* step < 0: no dropout */
  const int64_t *numbers;         /* of the rows in their minibatch, which seed masks; NULL: row_offset + 0, 1, ... */
} Batch;

/* Arguments of tasks that process some rows of a batch, for layer h or to prepare the input. */
typedef struct {
  Net *net;
  const Batch *batch;
  Int h;
  int goes_back; /* store phi' and transposes for a backward pass? */
  real scale;      /* of delta[H], in addition to the row's weight */
} Pass;

enum { TASK_ROWS = 16 };
#define N_ROW_TASKS(n) (((n) + TASK_ROWS - 1) / TASK_ROWS)
#define FOR_ROWS_OF_TASK(i, index, n)                                                                            \
  for (Int i = (index) * TASK_ROWS; i < MIN(((index) + 1) * TASK_ROWS, (n)); i++)

INLINE Int row_number(const Batch *b, Int i) { return b->order ? (Int)b->order[i] : b->first + i; }
INLINE Int mask_number(const Batch *b, Int i) { return b->numbers ? (Int)b->numbers[i] : b->row_offset + i; }

INLINE Int index_at(const RowsIn *rows, Int e) {
  return rows->wide_indices ? (Int)((const int64_t *)rows->indices)[e] : ((const int32_t *)rows->indices)[e];
}

INLINE Int pointer_at(const RowsIn *rows, Int i) {
  return rows->wide_indices ? (Int)((const int64_t *)rows->indptr)[i] : ((const int32_t *)rows->indptr)[i];
}

/* Whether the column indices of CSR entries start..stop are all in 0..n-1. */
static int are_columns(const RowsIn *rows, Int start, Int stop, Int n) {
  uint64_t wide = 0;
  uint32_t narrow = 0; /* largest unsigned index, as negative ones become large; compilers vectorise these loops */
  if (rows->wide_indices)
    for (Int e = start; e < stop; e++) wide = MAX(wide, ((const uint64_t *)rows->indices)[e]);
  else
    for (Int e = start; e < stop; e++) narrow = MAX(narrow, ((const uint32_t *)rows->indices)[e]);
  return start == stop || MAX(wide, narrow) < (uint64_t)n;
}

/* Whether all rows of a batch, and the columns of their CSR entries, exist. */
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

INLINE Dropper dropper_of(const Net *net, Int h, const Batch *b) {
  return dropper(net->layers[h].dropout, net->spec.seed, h, b->step);
}

INLINE int drops(const Layer *l, const Batch *b) { return b->step >= 0 && l->dropout > 0; }

/* A CSR entry after dropout. */
INLINE real kept_entry(const RowsIn *in, Int e, Dropper d, uint32_t key) {
  real x = ((const real *)in->data)[e];
  return d.acts ? x * keep_factor(d, key, index_at(in, e)) : x;
}

/* Prepare the dropout masks of the hidden layers. */
static void begin_masks(const Net *net, const Batch *b) {
  for (Int h = 1; h < net->H; h++) {
    Layer *l = &net->layers[h];
    if (!drops(l, b)) continue;
    l->drop = dropper_of(net, h, b);
    for (Int i = 0; i < b->n; i++) l->keys[i] = row_key(l->drop, mask_number(b, i));
  }
}
