/* Backpropagation: delta[h], the gradients, and the optimizer's step behind them (D4-D8). */
#pragma once
#include "forward.h"

typedef struct {
  Net *net;
  const Batch *batch;
  real scale; /* of delta, beside the row's weight */
} LossTask;

/* Value of each row and delta[H], in place of v[H]. */
static void loss_task(void *context, Int index, int worker) {
  const LossTask *task = context;
  const Batch *b = task->batch;
  real *spare = task->net->scratch + worker * task->net->scratch_size; /* longer than any layer's row */
  const Loss *L = &task->net->loss;
  Layer *last = &task->net->layers[task->net->H];
  Int members = task->net->n_members;
  for (Int i = index * GATHER_ROWS; i < MIN((index + 1) * GATHER_ROWS, b->n); i++) {
    Int row = row_number(b, i);
    real *v = last->q + i * last->ld, w = b->in->weights ? ((const real *)b->in->weights)[row] : 1;
    real value = 0;
    w /= (real)members; /* J has the mean of the members' losses */
    for (Int m = 0; m < members; m++, v += last->pitch) {
      value += loss_row(L, v, b->in->Y, row, spare);
      for (Int j = 0; j < last->pitch; j += VW) {
        vec delta = load(v + j) * (w * task->scale);
        store(v + j, (vec)((ivec)delta & first_lanes(last->n_out - j)));
      }
    }
    task->net->row_losses[i] = w * value;
  }
}

static void transpose_task(void *context, Int index, int worker) {
  (void)worker;
  const Context *c = context;
  const Layer *l = c->layer;
  Int blocks = (l->n_in + VW - 1) / VW, m = index / blocks;
  const real *W = weights(c->net, l - c->net->layers) + m * l->pitch;
  real *WT = l->WT + m * l->n_out * l->ldt;
  Int i0 = index % blocks * VW, i1 = MIN(i0 + VW, l->n_in), j = 0;
  for (; i1 - i0 == VW && j + VW <= l->n_out; j += VW)
    transpose_square(W + i0 * l->ldw + j, l->ldw, WT + j * l->ldt + i0, l->ldt);
  for (; j < l->n_out; j++)
    for (Int i = i0; i < i1; i++) WT[j * l->ldt + i] = W[i * l->ldw + j];
}

static void softmax_vjp_rows(void *context, Int index, int worker) {
  (void)worker;
  const Context *c = context;
  const Layer *l = c->layer;
  for (Int i = index * GATHER_ROWS; i < MIN((index + 1) * GATHER_ROWS, c->rows); i++)
    for (Int m = 0; m < c->net->n_members; m++)
      softmax_row_vjp(l->delta + i * l->ld + m * l->pitch, l->q + i * l->ld + m * l->pitch, l->n_out);
}

/* delta[h-1] = phi'(v[h-1]) * (delta[h] W[h]^T) (D6; D8 for softmax). */
static void pass_down(Net *net, Int h, Int n, const real *delta, int drops) {
  Layer *l = &net->layers[h], *below = &net->layers[h - 1];
  Context up = {net, l, n, drops, 1}, c = {net, below, n, drops, 1};
  pool_run(net->team, net->n_members * ((l->n_in + VW - 1) / VW), transpose_task, &up);
  Gemm gemm = {n, padded(l->n_in), l->n_out, delta, l->ld, 1, l->WT, l->ldt, below->delta, below->ld, NULL, 0, 0,
               finish_backward, &c};
  multiply(net, gemm, net->n_members, l->pitch, below->pitch, l->n_out * l->ldt);
  if (below->act == ACT_softmax) pool_run(net->team, (n + GATHER_ROWS - 1) / GATHER_ROWS, softmax_vjp_rows, &c);
}

typedef struct {
  Net *net;
  Int h;
  const Batch *batch;
  const real *delta;
  int accumulate, sparse;
  const Update *update; /* NULL: the gradient alone */
  real penalty;
  Gemm gemm;
  Int products, chunk;
} GradientTask;

static void update_stretch(const GradientTask *t, Int start, Int n, const real *g, int is_weight) {
  Net *net = t->net;
  update(t->update, n, net->theta + start, g, net->slots[0] + start,
         net->slots[1] ? net->slots[1] + start : NULL, is_weight ? t->penalty : 0, is_weight ? t->update->decay : 1);
}

/* The same for rows i0..i1 of W[1] under sparse inputs: those that the batch did not meet have no data gradient. */
static void update_sparse(const GradientTask *t, Int i0, Int i1) {
  const Layer *l = &t->net->layers[1];
  const char *touched = t->net->touched;
  for (Int i = i0, stop; i < i1; i = stop) {
    for (stop = i + 1; stop < i1 && touched[stop] == touched[i]; stop++) {}
    Int start = l->W + i * l->ldw, n = (stop - i) * l->ldw;
    if (touched[i]) update_stretch(t, start, n, t->net->gradient + start, 1);
    else update_stretch(t, start, n, NULL, 1);
  }
}

/* dE/dW[h] = a[h-1]^T delta[h] (D4, D7) for a chunk of rows of W, and the step while it is in the cache.
   Task 0: the biases. */
static void gradient_task(void *context, Int index, int worker) {
  const GradientTask *t = context;
  Net *net = t->net;
  const Layer *l = &net->layers[t->h];
  if (index == 0) {
    real *g = net->gradient + l->b;
    if (!t->accumulate) memset(g, 0, (size_t)l->ldw * sizeof(real));
    for (Int j = 0; j < l->width; j += VW) {
      vec sum = load(g + j);
      for (Int i = 0; i < t->batch->n; i++) sum += load(t->delta + i * l->ld + j);
      store(g + j, sum);
    }
    if (t->update) update_stretch(t, l->b, l->ldw, g, 0);
    return;
  }
  Int i0 = (index - 1) * t->chunk, i1 = MIN(i0 + t->chunk, l->n_in), start = l->W + i0 * l->ldp;
  real *scratch = net->scratch + worker * net->scratch_size, *g = t->gemm.C + i0 * l->ldw; /* of row i0 */
  if (!t->sparse && (t->update || l->folded)) /* nobody reads this gradient again: keep it out of the memory */
    g = scratch + SCRATCH_REALS;
  for (Int m = 0; !t->sparse && m < t->products; m++) {
    Gemm gemm = t->gemm;
    gemm.m = i1 - i0;
    gemm.A += m * net->layers[t->h - 1].pitch + i0, gemm.B += m * l->pitch, gemm.C = g + m * l->pitch;
    if (gemm.init) gemm.init += m * l->pitch + i0 * l->ldw;
    gemm_block(&gemm, 0, gemm.m, 0, gemm.n, scratch);
  }
  if (l->folded) {
    pull_back(net, t->h, i0, i1, g, t->sparse ? net->touched : NULL, t->accumulate);
    g = net->gradient + start;
  } else if (t->update && !t->sparse && l->ldw > l->width) /* what others left there must not move the padding */
    for (Int i = 0; i < i1 - i0; i++) store(g + i * l->ldw + l->width, all(0));
  if (t->update && t->sparse && !l->folded) update_sparse(t, i0, i1);
  else if (t->update) update_stretch(t, start, (i1 - i0) * l->ldp, g, 1);
}

/* Sparse rows add x_j delta to the rows of W that they meet. */
static void sparse_gradient(const GradientTask *t) {
  Net *net = t->net;
  const Batch *b = t->batch;
  const Layer *l = &net->layers[1], *input = &net->layers[0];
  int drops = b->step >= 0 && input->dropout > 0;
  Dropper d = dropper(input->dropout, net->spec.seed, 0, b->step);
  real *g = t->gemm.C;
  const real *data = b->in->data;
  int sets_rows = t->update || l->folded; /* to zero, those that it meets */
  if (!t->accumulate || l->folded) {
    if (!sets_rows) memset(g, 0, (size_t)(l->n_in * l->ldw) * sizeof(real));
    memset(net->touched, 0, (size_t)l->n_in);
  }
  for (Int i = 0; i < b->n; i++) {
    Int row = row_number(b, i);
    uint32_t key = row_key(d, mask_number(b, i));
    for (Int e = pointer_at(b->in, row); e < pointer_at(b->in, row + 1); e++) {
      Int column = index_at(b->in, e);
      real x = drops ? data[e] * keep_factor(d, key, column) : data[e];
      if (sets_rows && !net->touched[column]) memset(g + column * l->ldw, 0, (size_t)l->ldw * sizeof(real));
      net->touched[column] = 1;
      for (Int j = 0; j < l->width; j += VW)
        store(g + column * l->ldw + j, load(g + column * l->ldw + j) + x * load(t->delta + i * l->ld + j));
    }
  }
}

static void gradient_of_layer(Net *net, Int h, const Batch *batch, const real *delta, int accumulate, int drops,
                              const Update *u, real penalty) {
  const Layer *l = &net->layers[h], *below = &net->layers[h - 1];
  int sparse = h == 1 && batch->in->data;
  real *g = l->folded ? net->met : net->gradient + l->W;
  GradientTask t = {net, h, batch, delta, accumulate, sparse, u, penalty, {0}, h == 1 ? 1 : net->n_members, 0};
  const real *a = h == 1 || drops ? below->a : below->q;
  t.gemm = (Gemm){l->n_in, l->width / t.products, batch->n, a, 1, below->ld, delta, l->ld, g, l->ldw,
                  accumulate && !l->folded ? g : NULL, l->ldw, 0, NULL, NULL};
  t.chunk = PACKED_ROWS;
  if (net->team > 1) t.chunk = MIN(t.chunk, MAX(l->n_in / (4 * net->team) / MR, 1) * MR);
  if (t.sparse) sparse_gradient(&t);
  pool_run(net->team, 1 + (l->n_in + t.chunk - 1) / t.chunk, gradient_task, &t);
  if (is_shared(net, h)) sum_shares(net, h, accumulate);
}

/* The step of what is no layer's: the factors, with a rate of its own for the input scale. */
static void update_factors(Net *net, const Update *u) {
  GradientTask t = {.net = net, .update = u};
  Int stop = net->c >= 0 ? net->c : net->n_padded;
  update_stretch(&t, net->factors, stop - net->factors, net->gradient + net->factors, 0);
  if (net->c >= 0) {
    Update own = *u;
    own.rate *= (real)net->spec.input_scale_rate;
    t.update = &own;
    update_stretch(&t, net->c, net->n_padded - net->c, net->gradient + net->c, 0);
  }
  net->is_stale = 1;
}

/* One batch forward and back: sums of w * loss and w; the gradient in net->gradient, or (u given) the step made. */
static void propagate(Net *net, const Batch *batch, real scale, int accumulate, const Update *u, real penalty,
                      double sums[2]) {
  int drops = batch->step >= 0, masks = 0;
  BatchTask task = {net, batch};
  for (Int h = 1; drops && h < net->H; h++) masks |= net->layers[h].dropout > 0;
  fold(net);
  pool_run(net->team, (batch->n + GATHER_ROWS - 1) / GATHER_ROWS, gather_task, &task);
  if (masks) pool_run(net->team, (batch->n + GATHER_ROWS - 1) / GATHER_ROWS, mask_task, &task);
  forward(net, batch, net->layers[0].a, net->layers[0].ld, 1);
  LossTask loss = {net, batch, scale};
  pool_run(net->team, (batch->n + GATHER_ROWS - 1) / GATHER_ROWS, loss_task, &loss);
  for (Int i = 0; i < batch->n; i++) {
    const real *w = batch->in->weights;
    sums[0] += net->row_losses[i];
    sums[1] += w ? w[row_number(batch, i)] : 1;
  }
  const real *delta = net->layers[net->H].q;
  for (Int h = net->H; h >= 1; h--) {
    if (h > 1) pass_down(net, h, batch->n, delta, drops);
    gradient_of_layer(net, h, batch, delta, accumulate, drops, u, penalty);
    delta = net->layers[h - 1].delta;
  }
  if (u) update_factors(net, u);
}
