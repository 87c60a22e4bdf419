/* A network in memory: layers, and padded vectors of the parameters, the gradient and the optimizer's state.

   A padded vector has b and then the rows of W of each layer, then the factors of members and inputs. Each row is
   padded with zeros to whole SIMD vectors; padding stays zero. The part of a row for member m begins at m * pitch. */
#pragma once
#include "activations.h"
#include "gemm.h"
#include "losses.h"
#include "optimizers.h"
#include "random.h"
#include "tiles.h"

typedef struct {
  Int n_in, n_out; /* of one member */
  Int pitch, width; /* columns of one member with padding, and of all; members share the inputs */
  Int b, W, r, s;   /* offsets in padded vectors */
  Int ldp, ldr;     /* strides between rows of W there, and between rows of r */
  real *effective;   /* W with the factors multiplied in, rows ldw apart; NULL: no factors */
  Int ldw;
  int act;         /* of this layer's output; -1: none */
  double dropout;  /* of this layer's output */
  Int ld;
  real *q, *a; /* before and after dropout; one array if q is not needed */
  real *d;     /* phi'(v), for activations of kind BY_SLOPE */
  Dropper drop;    /* of the current batch */
  uint32_t *keys;  /* its hash keys of the rows */
  real *mask;      /* its factors, for all activations but ReLU */
  real *delta;
  real *WT; /* W transposed, (pitch, ldt) for each member */
  Int ldt;
  Packed tiles_a, tiles_delta, tiles_W; /* a, delta and W as factors of tiled products */
  real *delta_sums; /* over the rows of each block */
  int is_stale; /* are effective weights and tiles older than the stored W? */
} Layer;

/* A feature of a table that is computed by lookups. */
typedef struct {
  const Columns *columns;
  Int f;          /* its index in them */
  Int size;       /* number of its encoded columns */
  Int row, level; /* index of its first row of W[1], and of its first level */
} Feature;

/* The lookup of a feature for a row: index and factor (code) of a row of W[1] (-1: none), and index of a level. */
typedef struct {
  int32_t row, level;
  real code;
} Lookup;

/* Adjacent columns of a table that are written out for products; the others are looked up. */
typedef struct {
  Int row, width; /* row: the first one of W[1] */
  Int at;         /* index of the first among all columns that are written out */
} Run;

struct Net {
  Int H, n_members, max_rows, n_padded, scratch_size;
  Layer *layers;   /* 1..H; 0 is the input, with q, a, ld and dropout */
  Int factors, c; /* offsets in padded vectors; c: input scale, -1: none */
  Loss loss;
  int optimizer;
  Spec spec;
  double *quantiles;
  real *theta, *gradient, *slots[MAX_SLOTS], *row_losses, *scratch;
  char *touched;            /* rows of W[1] that a batch of sparse inputs or of a table uses */
  Feature *features;        /* looked-up features of a table; runs: its other columns */
  Run *runs;
  Int n_features, n_runs, ld_dense;
  Lookup *lookups; /* of a batch, n_features per row */
  real *dense, *levels; /* columns written out, rows ld_dense apart; level[k] of all features (columns.h) */
  real *effective_gradient; /* of the effective W[1], for sparse inputs and tables */
  real *shares;             /* partial sums of the gradient of s, for groups of rows of W[h] */
  double mu_product;
  int n_threads, limit, team; /* largest limit so far, current limit, threads of this call */
};

static real *reals(Int n) {
  return n < 0 || n > (PTRDIFF_MAX - 64) / (Int)sizeof(real) ? NULL : zeros((size_t)n * sizeof(real) + 64);
}

/* Allocate a vector if it is NULL; 0: out of memory. */
static int need(real **vector, Int n) { return *vector || (*vector = reals(n)) != NULL; }
static int need_tiles(bf16 **factor, Int n) {
  if (*factor) return 1;
  return n <= (PTRDIFF_MAX - 64) / (Int)sizeof(bf16) && (*factor = zeros((size_t)n * sizeof(bf16) + 64)) != NULL;
}

static void forget_features(Net *net) {
  free(net->features), free(net->runs), free(net->lookups), release(net->dense), release(net->levels);
  net->features = NULL, net->runs = NULL, net->lookups = NULL, net->dense = net->levels = NULL;
}

static void release_tiles(Packed x) {
  release(x.left), release(x.left_transposed), release(x.right), release(x.right_transposed);
}

static void destroy(Net *net) {
  if (!net) return;
  for (Int h = 0; net->layers && h <= net->H; h++) {
    Layer *l = &net->layers[h];
    if (l->q != l->a) release(l->q);
    release(l->a), release(l->d), release(l->mask), release(l->keys), release(l->delta), release(l->WT);
    release(l->effective);
    release(l->delta_sums), release_tiles(l->tiles_a), release_tiles(l->tiles_delta), release_tiles(l->tiles_W);
  }
  forget_features(net);
  free(net->layers), free(net->quantiles), free(net->touched);
  release(net->theta), release(net->gradient), release(net->row_losses);
  release(net->scratch), release(net->effective_gradient), release(net->shares);
  for (int s = 0; s < MAX_SLOTS; s++) release(net->slots[s]);
  free(net);
}

INLINE int is_elementwise(const Layer *l) { return l->act >= 0 && IS_ELEMENTWISE[l->act]; }

/* Whether outputs are stored in addition to tiles. The backward pass of ReLU only needs to know which are 0. */
INLINE int keeps_outputs(const Layer *l) { return l->act != ACT_relu; }

static int is_shared(const Net *net, Int h) { return net->n_members > 1 && h < net->H; }
static int has_factors(const Net *net, Int h) { return is_shared(net, h) || (h == 1 && net->spec.input_scale); }

static int allocate_layer(Net *net, Int h) {
  Layer *l = &net->layers[h];
  Int n = padded(net->max_rows) * l->ld; /* losses process VW rows at a time */
  int ok = need(&l->a, n);
  int hides = l->act == ACT_relu; /* needs no mask: the gradient is 0 where an output is 0, dropped or not */
  if (l->dropout > 0 && h > 0 && !hides) ok = ok && need(&l->q, n) && need(&l->mask, n);
  else l->q = l->a;
  if (h == 0) return ok;
  if (l->dropout > 0 && !l->keys) ok = ok && (l->keys = zeros((size_t)net->max_rows * sizeof(uint32_t))) != NULL;
  if (l->act >= 0 && KEEPS_SLOPE[l->act]) ok = ok && need(&l->d, n);
  if (h < net->H) ok = ok && need(&l->delta, n);
  if (h > 1 && !TILED) ok = ok && need(&l->WT, l->width * l->ldt);
  if (has_factors(net, h)) ok = ok && need(&l->effective, l->n_in * l->ldw);
  return ok;
}

static Int take(Int *end, Int n) {
  *end += n;
  return *end - n;
}

/* Set the offsets of layer h's parameters in padded vectors, whose current length is `end`. */
static void place_layer(Net *net, Int h, Int *end) {
  Layer *l = &net->layers[h];
  l->ldw = row_stride(l->width);
  l->ldp = is_shared(net, h) ? row_stride(l->n_out) : l->ldw;
  l->ldt = row_stride(l->n_in);
  l->b = take(end, l->ldw);
  l->W = take(end, l->n_in * l->ldp);
  net->scratch_size = MAX(net->scratch_size, SCRATCH_REALS + PACKED_ROWS * l->ldw);
}

static void place_factors(Net *net, Int *end) {
  net->factors = *end;
  for (Int h = 1; h < net->H && net->n_members > 1; h++) {
    Layer *l = &net->layers[h];
    l->ldr = padded(l->n_in);
    l->r = take(end, net->n_members * l->ldr);
    l->s = take(end, l->width);
  }
  net->c = net->spec.input_scale ? take(end, padded(net->layers[0].n_out)) : -1;
}

/* Index of a component in a table with these names; -1: there is none of this name. */
static int number_of(const char *name, const char *const *names) {
  for (int i = 0; names[i]; i++)
    if (strcmp(name, names[i]) == 0) return i;
  return -1;
}

static int is_network(const Spec *spec) {
  int loss = number_of(spec->loss, LOSS_NAMES), known = loss >= 0 && number_of(spec->optimizer, OPTIMIZER_NAMES) >= 0;
  for (Int h = 1; h < spec->H; h++) known = known && number_of(spec->activations[h - 1], ACTIVATION_NAMES) >= 0;
  return known && spec->n_targets * outputs_per_target(loss, spec) == spec->sizes[spec->H];
}

static int create(const Spec *spec, Int max_rows, Net **made) {
  if (!is_network(spec)) return NO_SUCH_NETWORK;
  Net *net = *made = calloc(1, sizeof *net);
  if (!net) return NO_MEMORY;
  net->H = spec->H;
  net->n_members = spec->n_members;
  net->max_rows = max_rows;
  net->spec = *spec;
  net->n_threads = net->limit = net->team = 1;
  net->mu_product = 1;
  net->layers = calloc((size_t)spec->H + 1, sizeof(Layer));
  net->quantiles = malloc(sizeof(double) * (size_t)(spec->n_quantiles + 1));
  int ok = net->layers && net->quantiles;
  for (Int h = 0; ok && h <= spec->H; h++) {
    Layer *l = &net->layers[h];
    l->n_out = spec->sizes[h];
    l->pitch = padded(l->n_out);
    l->width = h > 0 ? net->n_members * l->pitch : l->pitch;
    l->ld = row_stride(l->width);
    l->act = h > 0 && h < spec->H ? number_of(spec->activations[h - 1], ACTIVATION_NAMES) : -1;
    l->dropout = h < spec->H ? spec->dropout[h] : 0;
    if (h > 0) {
      l->n_in = spec->sizes[h - 1];
      place_layer(net, h, &net->n_padded);
      ok = allocate_layer(net, h);
    }
  }
  if (ok) place_factors(net, &net->n_padded);
  ok = ok && (net->theta = reals(net->n_padded)) && (net->row_losses = reals(padded(max_rows)));
  if (ok) memcpy(net->quantiles, spec->quantiles, sizeof(double) * (size_t)spec->n_quantiles);
  if (!ok) {
    destroy(net);
    *made = NULL;
    return NO_MEMORY;
  }
  int loss = number_of(spec->loss, LOSS_NAMES);
  Int choices = HAS_CLASSES[loss] ? spec->n_targets : 2; /* over which smoothing is uniform */
  net->optimizer = number_of(spec->optimizer, OPTIMIZER_NAMES);
  net->loss = (Loss){.loss = loss, .n_targets = spec->n_targets, .n_outputs = spec->sizes[spec->H],
                     .kept = (real)(1 - spec->label_smoothing),
                     .uniform = (real)(spec->label_smoothing * (1.0 / (double)choices)),
                     .focal_gamma = (real)spec->focal_gamma, .huber_delta = (real)spec->huber_delta,
                     .quantiles = net->quantiles, .n_quantiles = spec->n_quantiles};
  net->spec.sizes = NULL, net->spec.activations = NULL, net->spec.dropout = NULL, net->spec.quantiles = NULL;
  net->spec.loss = net->spec.optimizer = NULL; /* memory of the caller, as the others */
  return DONE;
}

/* Rows of W[h] with one partial sum of the gradient of s. */
enum { SHARE_ROWS = TILED ? BLOCK : MR };

/* Allocate on first use what only gradients need, and what only steps need; 0: out of memory. */
static int need_gradient(Net *net) {
  Int shares = 0;
  for (Int h = 1; h < net->H && net->n_members > 1; h++)
    shares = MAX(shares, (net->layers[h].n_in / SHARE_ROWS + 1) * net->layers[h].width);
  return need(&net->gradient, net->n_padded) && need(&net->scratch, net->scratch_size * net->n_threads) &&
         (!shares || need(&net->shares, shares));
}

static int need_slots(Net *net) {
  int ok = 1;
  for (int s = 0; s < N_SLOTS[net->optimizer]; s++) ok = ok && need(&net->slots[s], net->n_padded);
  return ok;
}

static real *vector_of(const Net *net, int slot) { return slot < 0 ? net->theta : net->slots[slot]; }

static void copy_row(real *wide, real **flat, Int n, int inwards) {
  memcpy(inwards ? wide : *flat, inwards ? *flat : wide, (size_t)n * sizeof(real));
  *flat += n;
}

/* Copy between a flat vector (as in Network.shapes) and a padded one, row by row. */
static void copy(const Net *net, real *wide, real *flat, int inwards) {
  for (Int h = 1; h <= net->H; h++) {
    const Layer *l = &net->layers[h];
    Int own = is_shared(net, h) ? 1 : net->n_members;
    for (Int m = 0; m < net->n_members; m++) copy_row(wide + l->b + m * l->pitch, &flat, l->n_out, inwards);
    for (Int m = 0; m < own; m++)
      for (Int i = 0; i < l->n_in; i++)
        copy_row(wide + l->W + i * l->ldp + m * l->pitch, &flat, l->n_out, inwards);
  }
  for (Int h = 1; h < net->H && net->n_members > 1; h++) {
    const Layer *l = &net->layers[h];
    for (Int m = 0; m < net->n_members; m++) copy_row(wide + l->r + m * l->ldr, &flat, l->n_in, inwards);
    for (Int m = 0; m < net->n_members; m++) copy_row(wide + l->s + m * l->pitch, &flat, l->n_out, inwards);
  }
  if (net->c >= 0) copy_row(wide + net->c, &flat, net->layers[0].n_out, inwards);
}

static void pad(const Net *net, real *wide, const real *flat) { copy(net, wide, (real *)flat, 1); }
static void unpad(const Net *net, const real *wide, real *flat) { copy(net, (real *)wide, flat, 0); }

static int set(Net *net, int slot, const void *flat) {
  if (slot >= N_SLOTS[net->optimizer]) return NO_SUCH_SLOT;
  if (slot >= 0 && !need_slots(net)) return NO_MEMORY;
  pad(net, vector_of(net, slot), flat);
  for (Int h = 1; h <= net->H; h++) net->layers[h].is_stale = 1;
  return DONE;
}

static int get(const Net *net, int slot, void *flat) {
  if (slot >= N_SLOTS[net->optimizer] || !vector_of(net, slot)) return NO_SUCH_SLOT;
  unpad(net, vector_of(net, slot), flat);
  return DONE;
}

/* b and W as a layer's products use them, rows ldw apart. */
static const real *bias(const Net *net, Int h) { return net->theta + net->layers[h].b; }
static const real *weights(const Net *net, Int h) {
  const Layer *l = &net->layers[h];
  return l->effective ? l->effective : net->theta + l->W;
}
