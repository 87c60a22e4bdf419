/* Factors of members and of inputs: W[h] of member m is diag(c r_m) W diag(s_m), c in the first layer only.

   They are multiplied into W before a batch. After it, the product rule gives the gradients of W and of the factors. */
#pragma once
#include "packed.h"

typedef struct {
  Net *net;
  Int h;
} FoldTask;

enum { FOLD_ROWS = TILED ? BLOCK : 16 };

INLINE const real *stored_weights(const Net *net, Int h, Int m, Int i) {
  const Layer *l = &net->layers[h];
  return net->theta + l->W + i * l->ldp + (is_shared(net, h) ? 0 : m * l->pitch);
}

INLINE real scale_of_input(const Net *net, Int h, Int i) {
  return h == 1 && net->c >= 0 ? net->theta[net->c + i] : 1;
}

static void fold_task(void *context, Int index, int worker) {
  (void)worker;
  const FoldTask *task = context;
  const Net *net = task->net;
  const Layer *l = &net->layers[task->h];
  int shared = is_shared(net, task->h);
  for (Int i = index * FOLD_ROWS; l->effective && i < MIN((index + 1) * FOLD_ROWS, l->n_in); i++)
    for (Int m = 0; m < net->n_members; m++) {
      const real *W = stored_weights(net, task->h, m, i), *s = net->theta + l->s + m * l->pitch;
      real *to = l->effective + i * l->ldw + m * l->pitch, factor = scale_of_input(net, task->h, i);
      if (shared) factor *= net->theta[l->r + m * l->ldr + i];
      for (Int j = 0; j < l->pitch; j += VW)
        store(to + j, shared ? load(W + j) * factor * load(s + j) : load(W + j) * factor);
    }
  if (TILED) pack_weights(net, task->h, index);
}

/* Update what is computed from the stored weights: effective weights and tiles. */
static void fold(Net *net) {
  for (Int h = 1; h <= net->H; h++) {
    Layer *l = &net->layers[h];
    FoldTask task = {.net = net, .h = h};
    if (l->is_stale && (l->effective || l->tiles_W.right))
      pool_run(net->team, (l->n_in + FOLD_ROWS - 1) / FOLD_ROWS, fold_task, &task);
    l->is_stale = 0;
  }
}

/* E is row i of the gradient with respect to the effective weights. For n <= TOGETHER members from m0 on, add its terms
   to the gradients of W and r, and to the partial sums for s of this group of rows. Returns the term of c. */
enum { TOGETHER = 4 };
INLINE real pull_back_shared(const Net *net, Int h, Int i, Int m0, Int n, const real *E, real *shares) {
  const Layer *l = &net->layers[h];
  const real *W = stored_weights(net, h, 0, i), *s = net->theta + l->s;
  real *g = net->gradient + (W - net->theta), c = scale_of_input(net, h, i), factor[TOGETHER], grad_c = 0;
  vec sums[TOGETHER];
  for (Int m = 0; m < n; m++) {
    factor[m] = c * net->theta[l->r + (m0 + m) * l->ldr + i];
    sums[m] = all(0);
  }
  for (Int j = 0; j < l->pitch; j += VW) {
    vec w = load(W + j), by_W = load(g + j);
    for (Int m = 0; m < n; m++) {
      Int at = (m0 + m) * l->pitch + j;
      vec by_s = load(E + at) * w, e = load(E + at) * load(s + at);
      by_W += factor[m] * e;
      store(shares + at, load(shares + at) + factor[m] * by_s);
      sums[m] += by_s * load(s + at);
    }
    store(g + j, by_W);
  }
  for (Int m = 0; m < n; m++) {
    Int at = l->r + (m0 + m) * l->ldr + i;
    real sum = lanes_sum(sums[m]);
    net->gradient[at] += c * sum;
    grad_c += net->theta[at] * sum;
  }
  return grad_c;
}

/* The same if each member has its own matrix: only the input scale c is a factor. */
static real pull_back_own(const Net *net, Int h, Int i, const real *E) {
  const Layer *l = &net->layers[h];
  real c = scale_of_input(net, h, i), grad_c = 0;
  for (Int m = 0; m < net->n_members; m++, E += l->pitch) {
    const real *W = stored_weights(net, h, m, i);
    real *g = net->gradient + (W - net->theta);
    vec sums = all(0);
    for (Int j = 0; j < l->pitch; j += VW) {
      store(g + j, load(g + j) + c * load(E + j));
      sums += load(E + j) * load(W + j);
    }
    grad_c += lanes_sum(sums);
  }
  return grad_c;
}

/* The same for all members. */
static void pull_back_row(const Net *net, Int h, Int i, const real *E, real *shares) {
  real grad_c = 0;
  if (!is_shared(net, h)) grad_c = pull_back_own(net, h, i, E);
  else {
    Int m = 0;
    for (; m + TOGETHER <= net->n_members; m += TOGETHER) grad_c += pull_back_shared(net, h, i, m, TOGETHER, E, shares);
    for (; m < net->n_members; m++) grad_c += pull_back_shared(net, h, i, m, 1, E, shares);
  }
  if (h == 1 && net->c >= 0) net->gradient[net->c + i] += grad_c;
}

/* Rows i0..i1 (only those touched; NULL: all). Row i0 is the first of E, and of a group of SHARE_ROWS rows. The partial
   sums for s of all groups are added in order afterwards, so that the bits do not depend on the number of threads. */
static void pull_back(const Net *net, Int h, Int i0, Int i1, const real *E, const char *touched, int accumulate) {
  const Layer *l = &net->layers[h];
  for (Int i = i0; i < i1; i++) {
    real *share = is_shared(net, h) ? net->shares + i / SHARE_ROWS * l->width : NULL;
    if (share && i % SHARE_ROWS == 0) memset(share, 0, (size_t)l->width * sizeof(real));
    if (!accumulate) {
      memset(net->gradient + l->W + i * l->ldp, 0, (size_t)l->ldp * sizeof(real));
      for (Int m = 0; is_shared(net, h) && m < net->n_members; m++) net->gradient[l->r + m * l->ldr + i] = 0;
      if (h == 1 && net->c >= 0) net->gradient[net->c + i] = 0;
    }
    if (!touched || touched[i]) pull_back_row(net, h, i, E + (i - i0) * l->ldw, share);
  }
}

static void sum_shares(const Net *net, Int h, int accumulate) {
  const Layer *l = &net->layers[h];
  real *g = net->gradient + l->s;
  if (!accumulate) memset(g, 0, (size_t)l->width * sizeof(real));
  for (Int group = 0; group < (l->n_in + SHARE_ROWS - 1) / SHARE_ROWS; group++)
    for (Int j = 0; j < l->width; j += VW)
      store(g + j, load(g + j) + load(net->shares + group * l->width + j));
}
