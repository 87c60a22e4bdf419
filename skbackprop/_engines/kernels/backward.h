/* The backward pass: delta[h], the gradients, and the optimizer's steps with them (D4-D8). */
#pragma once
#include "forward.h"

INLINE real weight_of(const Batch *b, Int i) {
  return b->in->weights ? ((const real *)b->in->weights)[row_number(b, i)] : 1;
}

/* The loss task for cross-entropy with few outputs: VW transposed rows at a time. */
static void loss_of_transposed(const Pass *pass, Int start, Int stop) {
  const Net *net = pass->net;
  const Batch *b = pass->batch;
  const Layer *last = &net->layers[net->H];
  for (Int i = start; i < stop; i += VW) {
    vec w = all(0), value = all(0), transposed[MOST_TRANSPOSED];
    ivec t = (ivec)w;
    for (Int k = 0; k < MIN(VW, stop - i); k++) {
      w[k] = weight_of(b, i + k);
      t[k] = (integer)((const int64_t *)b->in->Y)[row_number(b, i + k)];
    }
    w /= (real)net->n_members;
    for (Int m = 0; m < net->n_members; m++) {
      real *v = last->q + i * last->ld + m * last->pitch;
      transpose_rows(v, last->ld, last->n_out, transposed);
      value += cross_entropy_transposed(&net->loss, transposed, t, w * pass->scale);
      transpose_back(transposed, last->n_out, v, last->ld);
    }
    store(net->row_losses + i, w * value);
  }
}

/* The loss of each row, and delta[H] in place of v[H]. */
static void loss_task(void *context, Int index, int worker) {
  const Pass *pass = context;
  const Net *net = pass->net;
  const Batch *b = pass->batch;
  real *spare = net->scratch + worker * net->scratch_size; /* longer than a row of any layer */
  const Layer *last = &net->layers[net->H];
  if (net->loss.loss == LOSS_cross_entropy && is_transposed(&net->loss)) {
    loss_of_transposed(pass, index * TASK_ROWS, MIN((index + 1) * TASK_ROWS, b->n));
    return;
  }
  FOR_ROWS_OF_TASK(i, index, b->n) {
    Int row = row_number(b, i);
    real *v = last->q + i * last->ld, w = weight_of(b, i);
    real value = 0;
    w /= (real)net->n_members; /* the objective J is the mean over the members */
    for (Int m = 0; m < net->n_members; m++, v += last->pitch) {
      value += loss_row(&net->loss, v, b->in->Y, row, spare);
      for (Int j = 0; j < last->pitch; j += VW) {
        vec delta = load(v + j) * (w * pass->scale);
        store(v + j, (vec)((ivec)delta & first_lanes(last->n_out - j)));
      }
    }
    net->row_losses[i] = w * value;
  }
}

/* Transpose a square of VW rows; if there are fewer rows, the others are zero. */
static void transpose_padded(const real *from, Int ld_from, Int rows, real *to, Int ld_to) {
  vec square[VECTOR_BYTES / sizeof(real)];
  for (Int k = 0; k < VW && rows < VW; k++) square[k] = k < rows ? load(from + k * ld_from) : all(0);
  if (rows < VW) transpose_square((const real *)square, VW, to, ld_to);
  else transpose_square(from, ld_from, to, ld_to);
}

/* Transpose up to VW rows of W[h] of one member or, if W is shared, of all members, with their factors r and s. */
static void transpose_task(void *context, Int index, int worker) {
  (void)worker;
  const Pass *pass = context;
  const Net *net = pass->net;
  const Layer *l = &net->layers[pass->h];
  Int blocks = (l->n_in + VW - 1) / VW, m = index / blocks, i = index % blocks * VW, rows = MIN(l->n_in - i, VW);
  if (!is_shared(net, pass->h)) {
    const real *W = weights(net, pass->h) + i * l->ldw + m * l->pitch;
    for (Int j = 0; j < l->pitch; j += VW)
      transpose_padded(W + j, l->ldw, rows, l->WT + (m * l->pitch + j) * l->ldt + i, l->ldt);
    return;
  }
  for (Int j = 0; j < l->pitch; j += VW) {
    vec square[VECTOR_BYTES / sizeof(real)];
    transpose_padded(net->theta + l->W + i * l->ldp + j, l->ldp, rows, (real *)square, VW);
    for (m = 0; m < net->n_members; m++) {
      vec r = load(net->theta + l->r + m * l->ldr + i);
      const real *s = net->theta + l->s + m * l->pitch + j;
      for (Int k = 0; k < VW; k++) store(l->WT + (m * l->pitch + j + k) * l->ldt + i, square[k] * r * s[k]);
    }
  }
}

/* delta = phi'(v) * dE/dq (D6), in place of dE/da, for a block; dE/dq is dE/da times the dropout mask. */
static void activate_vjp(void *context, Int i, Int rows, Int j, Int columns) {
  const Pass *pass = context;
  const Layer *l = &pass->net->layers[pass->h];
  Int at = i * l->ld + j;
  int dropped = drops(l, pass->batch);
  apply_vjp(l->act, l->delta + at, l->q + at, l->d ? l->d + at : NULL, dropped && l->mask ? l->mask + at : NULL,
            dropped ? l->drop.factor : 1, l->ld, rows, columns);
  for (Int r = rows; r < 2 * rows; r++) /* outputs of the next block: their stride is too long for hardware prefetch */
    for (Int e = 0; e < columns; e += VW) PREFETCH(l->q + at, r * l->ld + e);
}

/* The same for a block of sums from tiles; the result is packed as a factor of the next products. */
static void finish_delta(const Pass *pass, Place p, real *sums) {
  const Layer *l = &pass->net->layers[pass->h];
  Int i = p.i * BLOCK, j = p.m * l->pitch + p.j * BLOCK;
  if (keeps_outputs(l)) {
    store_block(sums, p, l->delta + i * l->ld + j, l->ld);
    activate_vjp((void *)pass, i, p.rows, j, p.columns);
    if (is_elementwise(l)) pack_delta(pass, p, l->delta + i * l->ld + j, l->ld);
    return;
  }
  Sums outputs;
  unpack_block(&l->tiles_a, blocks_of(pass->batch->n), blocks_of(l->n_out), p.m, p.i, p.j, outputs);
  apply_vjp(l->act, sums, outputs, NULL, NULL, drops(l, pass->batch) ? l->drop.factor : 1, BLOCK, p.rows, p.columns);
  pack_delta(pass, p, sums, BLOCK);
  if (!is_tiled(pass->batch, pass->h)) /* the gradient of sparse inputs and tables needs rows */
    store_block(sums, p, l->delta + i * l->ld + j, l->ld);
}

/* The same for softmax (D8), which needs whole rows; the mask is already applied. */
static void softmax_vjp_task(void *context, Int index, int worker) {
  (void)worker;
  const Pass *pass = context;
  const Layer *l = &pass->net->layers[pass->h];
  FOR_ROWS_OF_TASK(i, index, pass->batch->n)
    for (Int m = 0; m < pass->net->n_members; m++)
      softmax_row_vjp(l->delta + i * l->ld + m * l->pitch, l->q + i * l->ld + m * l->pitch, l->n_out);
}

/* delta[h-1] = phi'(v[h-1]) * (delta[h] W[h]^T) (D6; D8 for softmax). */
static void pass_down(Net *net, const Batch *batch, Int h, const real *delta) {
  const Layer *l = &net->layers[h], *below = l - 1;
  Pass pass = {.net = net, .batch = batch, .h = h}, pass_below = {.net = net, .batch = batch, .h = h - 1};
  Int matrices = is_shared(net, h) ? 1 : net->n_members;
  if (TILED) {
    multiply_packed((TileProduct){.pass = &pass_below, .m = batch->n, .n = l->n_in, .k = l->n_out,
                                  .A = l->tiles_delta.left, .B = l->tiles_W.right_transposed, .finish = finish_delta});
    if (is_elementwise(below)) return;
    pool_run(net->team, N_ROW_TASKS(batch->n), softmax_vjp_task, &pass_below);
    pool_run(net->team, blocks_of(batch->n), pack_delta_task, &pass_below);
    return;
  }
  pool_run(net->team, matrices * ((l->n_in + VW - 1) / VW), transpose_task, &pass);
  multiply((Product){.net = net, .n_products = net->n_members, .pitch_in = l->pitch, .pitch_out = below->pitch,
                     .pitch_B = l->pitch * l->ldt,
                     .gemm = {.m = batch->n, .n = padded(l->n_in), .k = l->n_out, .A = delta, .rsa = l->ld, .csa = 1,
                              .B = l->WT, .ldb = l->ldt, .C = below->delta, .ldc = below->ld,
                              .epilogue = activate_vjp, .context = &pass_below}});
  if (below->act == ACT_softmax) pool_run(net->team, N_ROW_TASKS(batch->n), softmax_vjp_task, &pass_below);
}

/* ----------------------------------------------------------------------- gradients and steps ---- */

/* The optimizer's step for n parameters from index `start` on, with the gradient g (NULL: zero). */
static void step_stretch(Net *net, const Update *u, Int start, Int n, const real *g, int is_weight) {
  update(u, n, net->theta + start, g, net->slots[0] + start, net->slots[1] ? net->slots[1] + start : NULL, is_weight);
}

typedef struct {
  Net *net;
  Int h;
  const Batch *batch;
  const real *delta;
  int accumulate, sparse;
  const Update *update; /* NULL: only compute the gradient */
  Gemm gemm;            /* of the first member */
  Int n_products, chunk; /* chunk: rows of W per task */
} GradientTask;

/* dE/db[h], the sum of the rows of delta (D4 for the input x_0 = 1), and the step. */
static void bias_gradient(const GradientTask *t) {
  const Layer *l = &t->net->layers[t->h];
  real *g = t->net->gradient + l->b;
  const real *rows = TILED ? l->delta_sums : t->delta;
  Int n = TILED ? blocks_of(t->batch->n) : t->batch->n;
  if (!t->accumulate) memset(g, 0, (size_t)l->ldw * sizeof(real));
  for (Int j = 0; j < l->width; j += VW) {
    vec sum = load(g + j);
    for (Int i = 0; i < n; i++) sum += load(rows + i * l->ld + j);
    store(g + j, sum);
  }
  if (t->update) step_stretch(t->net, t->update, l->b, l->ldw, g, 0);
}

/* Rows i0..i1 of a[h-1]^T delta[h] (D4, D7) by tiled products; i0 is the first row of a block. */
static void tiles_gradient(const GradientTask *t, Int i0, Int i1, real *to) {
  const Layer *l = &t->net->layers[t->h], *below = l - 1;
  Int depth = blocks_of(t->batch->n), ni = blocks_of(l->n_in), nj = blocks_of(l->n_out);
  Sums sums;
  begin_tiles();
  for (Int m = 0; m < t->net->n_members; m++)
    for (Int j = 0; j < nj; j++)
      for (Int i = i0 / BLOCK; i < blocks_of(i1); i++) {
        Int rows = MIN(BLOCK, l->n_in - i * BLOCK), columns = MIN(BLOCK, l->pitch - j * BLOCK);
        Int column = m * l->pitch + j * BLOCK;
        multiply_tiles(depth, below->tiles_a.left_transposed + along_columns(ni, depth, t->h > 1 ? m : 0, i, 0),
                       l->tiles_delta.right + along_rows(depth, nj, m, 0, j), rows > TILE_ROWS, columns > TILE_ROWS,
                       NO_SUMS, sums);
        real *g = to + (i * BLOCK - i0) * l->ldw + column;
        for (Int r = 0; r < rows; r++, g += l->ldw)
          for (Int e = 0; e < columns; e += VW) {
            vec sum = load(sums + r * BLOCK + e);
            if (t->gemm.init) sum += load(g + e);
            store(g + e, sum);
          }
      }
  end_tiles();
}

/* Rows i0..i1 of a[h-1]^T delta[h], for dense inputs; returns their address. For a step or for effective weights they
   are used only once, so they are written to the worker's scratch memory, which stays in the cache. */
static const real *weight_gradient(const GradientTask *t, Int i0, Int i1, real *scratch) {
  const Net *net = t->net;
  const Layer *l = &net->layers[t->h];
  int is_passing = t->update || l->effective;
  real *g = is_passing ? scratch + SCRATCH_REALS : t->gemm.C + i0 * l->ldw;
  if (is_tiled(t->batch, t->h)) tiles_gradient(t, i0, i1, g);
  for (Int m = 0; !is_tiled(t->batch, t->h) && m < t->n_products; m++) {
    Gemm gemm = t->gemm;
    gemm.m = i1 - i0;
    gemm.A += m * net->layers[t->h - 1].pitch + i0, gemm.B += m * l->pitch, gemm.C = g + m * l->pitch;
    if (gemm.init) gemm.init += m * l->pitch + i0 * l->ldw;
    gemm_block(&gemm, 0, gemm.m, 0, gemm.n, scratch);
  }
  /* clear old values of the scratch memory: a step must not change the padding */
  for (Int i = 0; i < i1 - i0 && is_passing && l->ldw > l->width; i++)
    store(g + i * l->ldw + l->width, all(0));
  return g;
}

/* The step for rows i0..i1 of W[1] with sparse inputs: rows that the batch did not touch have no data gradient. */
static void step_touched_rows(const GradientTask *t, Int i0, Int i1) {
  const Layer *l = &t->net->layers[1];
  const char *touched = t->net->touched;
  for (Int i = i0, stop; i < i1; i = stop) {
    for (stop = i + 1; stop < i1 && touched[stop] == touched[i]; stop++) {}
    Int start = l->W + i * l->ldw;
    step_stretch(t->net, t->update, start, (stop - i) * l->ldw, touched[i] ? t->net->gradient + start : NULL, 1);
  }
}

/* The gradient of a chunk of rows of W[h], and the step while it is in the cache. Task 0: the biases. */
static void gradient_task(void *context, Int index, int worker) {
  const GradientTask *t = context;
  Net *net = t->net;
  const Layer *l = &net->layers[t->h];
  if (index == 0) {
    bias_gradient(t);
    return;
  }
  Int i0 = (index - 1) * t->chunk, i1 = MIN(i0 + t->chunk, l->n_in), start = l->W + i0 * l->ldp;
  const real *g = t->sparse ? t->gemm.C + i0 * l->ldw
                            : weight_gradient(t, i0, i1, net->scratch + worker * net->scratch_size);
  if (l->effective) {
    pull_back(net, t->h, i0, i1, g, t->sparse ? net->touched : NULL, t->accumulate);
    g = net->gradient + start;
  }
  if (t->update && t->sparse && !l->effective) step_touched_rows(t, i0, i1);
  else if (t->update) step_stretch(net, t->update, start, (i1 - i0) * l->ldp, g, 1);
  for (Int i = i0; TILED && t->update && !l->effective && i < i1; i += BLOCK) pack_weights(net, t->h, i / BLOCK);
}

/* Before rows of the gradient of W[1] are added: mark all as untouched, and clear a gradient that is returned. */
static void begin_rows(const GradientTask *t) {
  const Layer *l = &t->net->layers[1];
  if (t->accumulate && !l->effective) return;
  if (!t->update && !l->effective) memset(t->gemm.C, 0, (size_t)(l->n_in * l->ldw) * sizeof(real));
  memset(t->net->touched, 0, (size_t)l->n_in);
}

/* a[0]^T delta[1] for sparse inputs, in one thread: each input row adds x_j delta to row j of the gradient. */
static void sparse_gradient(const GradientTask *t) {
  Net *net = t->net;
  const Batch *b = t->batch;
  const Layer *l = &net->layers[1];
  Dropper d = dropper_of(net, 0, b);
  real *g = t->gemm.C;
  int sets_rows = t->update || l->effective; /* clear each row when it is first touched */
  begin_rows(t);
  for (Int i = 0; i < b->n; i++) {
    Int row = row_number(b, i), stop = pointer_at(b->in, row + 1);
    uint32_t key = row_key(d, mask_number(b, i));
    const real *delta = t->delta + i * l->ld;
    for (Int e = pointer_at(b->in, row); e < stop; e++) {
      Int column = index_at(b->in, e);
      real x = kept_entry(b->in, e, d, key), *to = g + column * l->ldw;
      if (sets_rows && !net->touched[column]) memset(to, 0, (size_t)l->ldw * sizeof(real));
      net->touched[column] = 1;
      for (Int j = 0; j < l->width; j += VW) store(to + j, load(to + j) + x * load(delta + j));
    }
  }
}

/* a[0]^T delta[1] for a table: the rows of one looked-up feature, or of some of the other columns. */
#define PARTS_OF_RUN(x) (((x)->width + PACKED_ROWS - 1) / PACKED_ROWS)
static void feature_gradient_task(void *context, Int index, int worker) {
  const GradientTask *t = context;
  Net *net = t->net;
  const Layer *l = &net->layers[1];
  if (index < net->n_features) {
    gradient_of_feature(net, index, t->batch->n, t->delta, t->gemm.C, t->update || l->effective);
    return;
  }
  index -= net->n_features;
  const Run *x = net->runs;
  for (; index >= PARTS_OF_RUN(x); x++) index -= PARTS_OF_RUN(x);
  Int i = index * PACKED_ROWS, row = x->row + i;
  Gemm gemm = t->gemm;
  gemm.m = MIN(PACKED_ROWS, x->width - i), gemm.A = net->dense + x->at + i, gemm.csa = net->ld_dense;
  gemm.C += row * l->ldw;
  if (gemm.init) gemm.init += row * l->ldw;
  gemm_block(&gemm, 0, gemm.m, 0, gemm.n, net->scratch + worker * net->scratch_size);
  memset(net->touched + row, 1, (size_t)gemm.m);
}

static void feature_gradients(GradientTask *t) {
  Net *net = t->net;
  Int n = net->n_features;
  begin_rows(t);
  for (const Run *x = net->runs; x < net->runs + net->n_runs; x++) n += PARTS_OF_RUN(x);
  pool_run(net->team, n, feature_gradient_task, t);
}

static void gradient_of_layer(Net *net, Int h, const Batch *batch, const real *delta, int accumulate, const Update *u) {
  const Layer *l = &net->layers[h], *below = l - 1;
  Int products = h == 1 ? 1 : net->n_members;
  const real *a = h == 1 || drops(below, batch) ? below->a : below->q;
  real *g = l->effective ? net->effective_gradient : net->gradient + l->W;
  GradientTask t = {.net = net, .h = h, .batch = batch, .delta = delta, .accumulate = accumulate,
                    .sparse = h == 1 && (batch->in->data || looks_up(net, batch)), .update = u,
                    .n_products = products, .chunk = PACKED_ROWS,
                    .gemm = {.m = l->n_in, .n = l->width / products, .k = batch->n, .A = a, .rsa = 1, .csa = below->ld,
                             .B = delta, .ldb = l->ld, .C = g, .ldc = l->ldw,
                             .init = accumulate && !l->effective ? g : NULL, .ldi = l->ldw}};
  if (TILED) t.chunk = net->team > 1 || l->effective ? BLOCK : PACKED_ROWS / BLOCK * BLOCK;
  else if (net->team > 1) t.chunk = MIN(t.chunk, MAX(l->n_in / (4 * net->team) / MR, 1) * MR);
  if (t.sparse && batch->in->data) sparse_gradient(&t);
  else if (t.sparse) feature_gradients(&t);
  pool_run(net->team, 1 + (l->n_in + t.chunk - 1) / t.chunk, gradient_task, &t);
  if (is_shared(net, h)) sum_shares(net, h, accumulate);
}

/* The step of the factors; the input scale has a different rate. */
static void step_factors(Net *net, const Update *u) {
  Int stop = net->c >= 0 ? net->c : net->n_padded;
  Update of_scale = *u;
  of_scale.rate *= (real)net->spec.input_scale_rate;
  step_stretch(net, u, net->factors, stop - net->factors, net->gradient + net->factors, 0);
  step_stretch(net, &of_scale, stop, net->n_padded - stop, net->gradient + stop, 0);
  for (Int h = 1; h <= net->H; h++) net->layers[h].is_stale |= net->layers[h].effective != NULL;
}

/* Forward and backward pass of a batch. Adds to the sums of w * loss and of w. The gradient goes to net->gradient or,
   if u is given, a step is made with it. */
static void propagate(Net *net, const Batch *batch, real scale, int accumulate, const Update *u, double sums[2]) {
  Pass pass = {.net = net, .batch = batch, .scale = scale};
  begin_masks(net, batch);
  fold(net);
  if (looks_up(net, batch)) pool_run(net->team, net->n_features, levels_task, net);
  gather(net, batch, 1);
  forward(net, batch, net->layers[0].a, net->layers[0].ld, NULL, 1);
  pool_run(net->team, N_ROW_TASKS(batch->n), loss_task, &pass);
  pass.h = net->H;
  if (TILED) pool_run(net->team, blocks_of(batch->n), pack_delta_task, &pass);
  for (Int i = 0; i < batch->n; i++) {
    const real *w = batch->in->weights;
    sums[0] += net->row_losses[i];
    sums[1] += w ? w[row_number(batch, i)] : 1;
  }
  const real *delta = net->layers[net->H].q;
  for (Int h = net->H; h >= 1; h--) {
    if (h > 1) pass_down(net, batch, h, delta);
    gradient_of_layer(net, h, batch, delta, accumulate, u);
    delta = net->layers[h - 1].delta;
  }
  if (u) step_factors(net, u);
}
