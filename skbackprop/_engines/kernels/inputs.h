/* Memory that a network needs for one kind of inputs (dense, sparse, tables), allocated on first use. */
#pragma once
#include "net.h"

/* A feature with at least so many columns is looked up; for fewer, multiply-adds are faster. */
enum { BINS_TO_LOOK_UP = 16, CATEGORIES_TO_LOOK_UP = 5 };

static void add_run(Net *net, Int row, Int width, Int *n_dense) {
  Run *last = net->runs + net->n_runs - 1;
  if (net->n_runs && last->row + last->width == row) last->width += width;
  else if (width) net->runs[net->n_runs++] = (Run){.row = row, .width = width, .at = *n_dense};
  *n_dense += width;
}

/* List which columns of a table are looked up and which are not, and allocate memory for a batch of rows. */
static int need_features(Net *net, const RowsIn *rows) {
  Int n = rows->n_columns, at = 0, levels = 0, n_dense = 0;
  for (Int c = 0; c < rows->n_columns; c++) n += rows->columns[c].n_features;
  forget_features(net);
  net->features = calloc((size_t)n + 1, sizeof *net->features), net->runs = calloc((size_t)n + 1, sizeof *net->runs);
  if (!net->features || !net->runs) return 0;
  net->n_features = net->n_runs = 0;
  for (const Columns *c = rows->columns; c < rows->columns + rows->n_columns; c++) {
    if (c->values) add_run(net, at, c->width, &n_dense), at += c->width;
    for (Int f = 0; f < c->n_features; at += c->sizes[f++]) {
      Int size = (Int)c->sizes[f];
      if (size < (c->categories ? CATEGORIES_TO_LOOK_UP : BINS_TO_LOOK_UP)) {
        add_run(net, at, size, &n_dense);
        continue;
      }
      net->features[net->n_features++] = (Feature){.columns = c, .f = f, .size = size, .row = at, .level = levels};
      levels += c->categories ? 0 : size + 1;
    }
  }
  net->lookups = malloc((size_t)(net->n_features * net->max_rows + 1) * sizeof *net->lookups);
  net->ld_dense = row_stride(n_dense);
  if (net->n_features > 0 && !need(&net->dense, net->max_rows * net->ld_dense)) return 0;
  return net->lookups && need(&net->levels, levels * net->layers[1].ldw);
}

/* Factors of tiled products, and with a gradient those of the backward pass. Only dense inputs are packed. */
static int need_factors(Net *net, int is_dense) {
  int ok = 1, back = net->gradient != NULL;
  for (Int h = 0; h <= net->H; h++) {
    Layer *l = &net->layers[h];
    Int members = h > 0 ? net->n_members : 1, n = members * packed_size(net->max_rows, l->n_out);
    if (h < net->H && (h > 0 || is_dense)) {
      ok = ok && need_tiles(&l->tiles_a.left, n);
      ok = ok && (!back || need_tiles(&l->tiles_a.left_transposed, n));
    }
    ok = ok && (!back || h == 0 || need(&l->delta_sums, blocks_of(net->max_rows) * l->ld));
    if (h == 0 || (h == 1 && !is_dense)) continue;
    Int n_W = members * packed_size(l->n_in, l->n_out);
    if (!l->tiles_W.right || (back && h > 1 && !l->tiles_W.right_transposed)) l->is_stale = 1;
    ok = ok && need_tiles(&l->tiles_W.right, n_W) && (!back || need_tiles(&l->tiles_delta.right, n));
    if (h == 1 || !back) continue;
    ok = ok && need_tiles(&l->tiles_W.right_transposed, n_W) && need_tiles(&l->tiles_delta.left, n);
  }
  return ok;
}

static int need_input(Net *net, const RowsIn *rows) {
  const Layer *first = &net->layers[1];
  if (TILED && !need_factors(net, rows->X != NULL)) return 0;
  if (TILED && rows->X && net->layers[0].dropout == 0) return 1;
  if (rows->data || rows->columns) {
    if (!net->touched) net->touched = calloc((size_t)first->n_in, 1);
    if (!net->touched || (first->effective && !need(&net->effective_gradient, first->n_in * first->ldw))) return 0;
  }
  if (rows->columns && !need_features(net, rows)) return 0;
  int writes_all = !rows->data && (!rows->columns || net->n_features == 0 || net->layers[0].dropout > 0);
  return !writes_all || allocate_layer(net, 0);
}
