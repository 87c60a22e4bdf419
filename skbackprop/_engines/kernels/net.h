/* What a network is in memory: layers, parameters in one padded vector, and the optimizer's memory beside it.

   For each layer b and then the rows of W, each row of whole vectors; padding is zero and stays zero. */
#pragma once
#include "losses.h"
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
  real *theta, *gradient, *slots[MAX_SLOTS], *targets, *row_losses, *scratch;
  char *touched; /* rows of W[1] that sparse inputs of a batch meet */
  double mu_product;
  int n_threads, limit, team; /* most ever asked for, allowed now, at work now */
};

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
  free(net->layers), free(net->quantiles), free(net->theta), free(net->gradient), free(net->targets);
  free(net->row_losses), free(net->scratch), free(net->touched);
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
  if (!net->targets) net->targets = reals(net->max_rows * padded(net->loss.n_targets));
  if (!net->scratch) net->scratch = reals(net->scratch_size * net->n_threads);
  for (int s = 0; s < n_slots(net->spec.optimizer); s++)
    if (!net->slots[s]) net->slots[s] = reals(net->n_padded);
  return net->gradient && net->targets && net->scratch && net->slots[0] &&
         (net->slots[1] || n_slots(net->spec.optimizer) == 1);
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
