/* Tables with columns stored as bins or categories: their part of the first layer's sums is looked up in the rows of
   W[1], and their part of its gradient is a sum for each bin or category.

   A feature has n columns, with weights W[0..n-1]. The inputs of a value in bin k are `high` for the bins before k, its
   code for bin k, and `low` for the bins after k. So

       x W = level[k] + code W[k],  level[k] = high (W[0] + ... + W[k-1]) + low (W[k+1] + ... + W[n-1]),

   and in the backward pass, with S[k] the sum of delta over the rows in bin k, and D[k] that of code * delta,

       (x^T delta)[e] = D[e] + high (S[e+1] + ... + S[n-1]) + low (S[0] + ... + S[e-1]).

   A missing value has k = n, and all its inputs are `middle`. For a category its input is 1, and the others of the
   feature are 0; for an unknown category all are 0. */
#pragma once
#include "batch.h"

#if defined(__AVX512F__) || defined(__aarch64__)
enum { LOOKUP_VECTORS = 8 }; /* of a row's sums, in registers at a time */
#else
enum { LOOKUP_VECTORS = 4 };
#endif
enum {
  LOOKUP_BYTES = 16 * 1024, /* of weights and levels, to stay in the cache */
  LOOKUP_ROWS = 128,        /* of a batch, per task */
  ROWS_AHEAD = 8            /* prefetch distance */
};

INLINE Int number_of_value(const Columns *columns, Int row, Int f) {
  Int n = (Int)columns->sizes[f], at = row * columns->n_features + f;
  Int k = columns->categories ? (Int)columns->categories[at] : (Int)columns->bins[at];
  return k < 0 || k > n ? n : k;
}

INLINE real code_of_value(const Columns *columns, Int row, Int f) {
  return columns->codes ? columns->codes[row * columns->n_features + f] : 1;
}

/* Write the inputs of one value. Vectors may extend beyond its last column, but not beyond `end`. */
INLINE void encode_value(const Columns *columns, Int row, Int f, real high, real low, real *to, const real *end) {
  Int n = (Int)columns->sizes[f], k = number_of_value(columns, row, f), e = 0;
  if (k == n) high = (real)columns->middle;
  for (; e < n && to + e + VW <= end; e += VW) store(to + e, pick(first_lanes(MAX(k - e, 0)), all(high), all(low)));
  for (; e < n; e++) to[e] = e < k ? high : low;
  if (k < n) to[k] = code_of_value(columns, row, f);
}

/* Prefetch a row that is needed soon. */
#define PREFETCH_ROW(p, n)                                                                                       \
  for (const char *q = (const char *)(p); q < (const char *)((p) + (n)); q += 64) __builtin_prefetch(q)
INLINE void prefetch_row(const Columns *c, Int row) {
  if (c->values) PREFETCH_ROW((const real *)c->values + row * c->width, c->width);
  if (c->bins) PREFETCH_ROW(c->bins + row * c->n_features, c->n_features);
  if (c->codes) PREFETCH_ROW(c->codes + row * c->n_features, c->n_features);
  if (c->categories) PREFETCH_ROW(c->categories + row * c->n_features, c->n_features);
}

/* Write a row of the columns c if they are numbers; returns where the next columns begin. */
INLINE real *copy_values(const Columns *c, Int row, real *to) {
  if (!c->values) return to;
  memcpy(to, (const real *)c->values + row * c->width, (size_t)c->width * sizeof(real));
  return to + c->width;
}

/* Write all inputs of a row. */
static void encode_row(const Columns *columns, Int n_columns, Int row, real *to, const real *end) {
  for (const Columns *c = columns; c < columns + n_columns; c++) {
    to = copy_values(c, row, to);
    real high = (real)c->high, low = (real)c->low;
    for (Int f = 0; f < c->n_features; to += c->sizes[f++]) encode_value(c, row, f, high, low, to, end);
  }
}

static int encode(const Columns *columns, Int n_columns, Int n_rows, const int64_t *order, Int n, void *out,
                  Int row_stride) {
  for (Int i = 0; i < n; i++)
    if (order[i] < 0 || order[i] >= n_rows) return NO_SUCH_ROW;
  for (Int i = 0; i < n; i++) {
    real *to = (real *)out + i * row_stride;
    encode_row(columns, n_columns, (Int)order[i], to, to + row_stride);
  }
  return DONE;
}

/* ---------------------------------------------------------------------------- forward pass ---- */

/* Whether the first layer uses lookups. Not with dropout of inputs, for which they are written out. */
INLINE int looks_up(const Net *net, const Batch *b) {
  return b->in->columns && net->n_features > 0 && !drops(&net->layers[0], b);
}

/* Write the columns of a row that products need, and list its lookups. */
static void gather_codes(const Net *net, const Batch *b, Int i) {
  Int row = row_number(b, i);
  real *to = net->dense + i * net->ld_dense, *end = to + net->ld_dense;
  const Feature *x = net->features, *stop = x + net->n_features;
  Lookup *lookup = net->lookups + i * net->n_features;
  for (const Columns *c = b->in->columns; c < b->in->columns + b->in->n_columns; c++) {
    to = copy_values(c, row, to);
    real high = (real)c->high, low = (real)c->low;
    for (Int f = 0; f < c->n_features; f++) {
      if (x == stop || x->columns != c || x->f != f) {
        encode_value(c, row, f, high, low, to, end);
        to += c->sizes[f];
        continue;
      }
      Int k = number_of_value(c, row, f);
      int is_known = k < x->size;
      *lookup++ = (Lookup){.row = (int32_t)(is_known ? x->row + k : -1), .level = (int32_t)(x->level + k),
                           .code = is_known ? code_of_value(c, row, f) : 0};
      x++;
    }
  }
}

/* level[0..n] of a feature, for some columns. */
INLINE void find_levels_of(const Net *net, const Feature *x, Int j, int n_vectors) {
  const Layer *l = &net->layers[1];
  const real *W = weights(net, 1) + x->row * l->ldw + j;
  real *level = net->levels + x->level * l->ldw + j, high = x->columns->high, low = x->columns->low;
  vec before[LOOKUP_VECTORS], behind[LOOKUP_VECTORS];
  ALL(v, n_vectors) before[v] = behind[v] = all(0);
  for (Int k = x->size - 1; k >= 0; k--)
    ALL(v, n_vectors) {
      store(level + k * l->ldw + v * VW, low * behind[v]);
      behind[v] += load(W + k * l->ldw + v * VW);
    }
  for (Int k = 0; k < x->size; k++)
    ALL(v, n_vectors) {
      real *at = level + k * l->ldw + v * VW;
      store(at, load(at) + high * before[v]);
      before[v] += load(W + k * l->ldw + v * VW);
    }
  ALL(v, n_vectors) store(level + x->size * l->ldw + v * VW, behind[v] * (real)x->columns->middle);
}

/* Loop over columns, as many at a time as there are registers for, and the last ones one vector at a time. */
#define BY_COLUMNS(j, width, DO)                                                                                 \
  do {                                                                                                           \
    Int j = 0;                                                                                                   \
    for (; j + LOOKUP_VECTORS * VW <= (width); j += LOOKUP_VECTORS * VW) DO(LOOKUP_VECTORS);                     \
    for (; j < (width); j += VW) DO(1);                                                                          \
  } while (0)

static void levels_task(void *context, Int index, int worker) {
  (void)worker;
  const Net *net = context;
  const Feature *x = &net->features[index];
  if (x->columns->categories) return;
#define FIND_LEVELS(n_vectors) find_levels_of(net, x, j, n_vectors)
  BY_COLUMNS(j, net->layers[1].width, FIND_LEVELS);
#undef FIND_LEVELS
}

/* Add the lookups of features f0..f1, which are of one kind, to some columns of the sums of rows i0..i1. */
INLINE void look_up(const Net *net, Int f0, Int f1, Int i0, Int i1, Int j, int n_vectors) {
  const Layer *l = &net->layers[1];
  const real *W = weights(net, 1) + j, *levels = net->levels + j;
  Int ldw = l->ldw;
  int is_coded = net->features[f0].columns->codes != NULL;
  for (Int i = i0; i < i1; i++) {
    const Lookup *x = net->lookups + i * net->n_features;
    real *to = l->q + i * l->ld + j;
    vec sums[LOOKUP_VECTORS];
    ALL(v, n_vectors) sums[v] = load(to + v * VW);
    for (Int f = f0; f < f1; f++) {
      if (is_coded) ALL(v, n_vectors) sums[v] += load(levels + x[f].level * ldw + v * VW);
      if (x[f].row < 0) continue;
      const real *w = W + x[f].row * ldw;
      if (is_coded) ALL(v, n_vectors) sums[v] += x[f].code * load(w + v * VW);
      else ALL(v, n_vectors) sums[v] += load(w + v * VW);
    }
    ALL(v, n_vectors) store(to + v * VW, sums[v]);
  }
}

/* All features, some at a time, so that the rows that are looked up stay in the first-level cache. */
static void look_up_part(const Net *net, Int i0, Int i1, Int j0, Int j1) {
  Int most = LOOKUP_BYTES / (LOOKUP_VECTORS * VECTOR_BYTES);
  for (Int f = 0, stop; f < net->n_features; f = stop) {
    const Columns *columns = net->features[f].columns;
    Int rows = 0;
    for (stop = f; stop < net->n_features && net->features[stop].columns == columns && (stop == f || rows < most); stop++)
      rows += MIN(2 * net->features[stop].size, 2 * LOOKUP_ROWS);
#define LOOK_UP(n_vectors) look_up(net, f, stop, i0, i1, j0 + j, n_vectors)
    BY_COLUMNS(j, j1 - j0, LOOK_UP);
#undef LOOK_UP
  }
}

/* --------------------------------------------------------------------------- backward pass ---- */

/* Add some columns of a feature's x^T delta to g. First the sums for each bin over the rows of a batch: of delta, in
   the memory of the levels, and of code * delta, in g. */
INLINE void sum_by_bin(const Net *net, Int f, Int n_rows, const real *delta, real *g, Int j, int n_vectors) {
  const Feature *x = &net->features[f];
  const Layer *l = &net->layers[1];
  const Lookup *lookup = net->lookups + f;
  Int ldw = l->ldw;
  real *levels = net->levels + j, *level = levels + x->level * ldw, high = x->columns->high, low = x->columns->low;
  delta += j, g += j;
  for (Int k = 0; k <= x->size; k++) ALL(v, n_vectors) store(level + k * ldw + v * VW, all(0));
  for (Int i = 0; i < n_rows; i++, lookup += net->n_features, delta += l->ld) {
    real *s = levels + lookup->level * ldw, *d = g + lookup->row * ldw;
    ALL(v, n_vectors) store(s + v * VW, load(s + v * VW) + load(delta + v * VW));
    if (lookup->row >= 0) ALL(v, n_vectors) store(d + v * VW, load(d + v * VW) + lookup->code * load(delta + v * VW));
  }
  g += x->row * ldw;
  ALL(v, n_vectors) {
    vec before = load(level + x->size * ldw + v * VW) * (real)x->columns->middle, behind = all(0);
    for (Int k = x->size - 1; k >= 0; k--) {
      real *to = g + k * ldw + v * VW;
      store(to, load(to) + high * behind);
      behind += load(level + k * ldw + v * VW);
    }
    for (Int k = 0; k < x->size; k++) {
      real *to = g + k * ldw + v * VW;
      store(to, load(to) + before);
      before += low * load(level + k * ldw + v * VW);
    }
  }
}

INLINE void sum_by_category(const Net *net, Int f, Int n_rows, const real *delta, real *g, Int j, int n_vectors) {
  const Lookup *lookup = net->lookups + f;
  Int ldw = net->layers[1].ldw, ld = net->layers[1].ld;
  delta += j, g += j;
  for (Int i = 0; i < n_rows; i++, lookup += net->n_features, delta += ld) {
    if (lookup->row < 0) continue;
    real *to = g + lookup->row * ldw;
    ALL(v, n_vectors) store(to + v * VW, load(to + v * VW) + load(delta + v * VW));
  }
}

/* Add a feature's rows of x^T delta to g; if sets_rows, clear each row when the batch first touches it. */
static void gradient_of_feature(const Net *net, Int f, Int n_rows, const real *delta, real *g, int sets_rows) {
  const Feature *x = &net->features[f];
  Int width = net->layers[1].width, ldw = net->layers[1].ldw, n = x->columns->codes ? x->size : n_rows;
  for (Int i = 0; i < n; i++) {
    Int row = x->columns->codes ? x->row + i : net->lookups[i * net->n_features + f].row;
    if (row < 0 || net->touched[row]) continue;
    if (sets_rows) memset(g + row * ldw, 0, (size_t)ldw * sizeof(real));
    net->touched[row] = 1;
  }
#define SUM_BY_BIN(n_vectors) sum_by_bin(net, f, n_rows, delta, g, j, n_vectors)
#define SUM_BY_CATEGORY(n_vectors) sum_by_category(net, f, n_rows, delta, g, j, n_vectors)
  if (x->columns->codes) BY_COLUMNS(j, width, SUM_BY_BIN);
  else BY_COLUMNS(j, width, SUM_BY_CATEGORY);
#undef SUM_BY_BIN
#undef SUM_BY_CATEGORY
}
