/* What a network is in memory: layers, parameters in one padded vector, and the optimizer's memory beside it.

   For each layer b and then the rows of W, then the factors of members and inputs, each row of whole vectors; padding
   is zero and stays zero. Members lie side by side: member m's part of a row begins at column m * pitch. */
#pragma once
#include "activations.h"
#include "gemm.h"
#include "losses.h"
#include "optimizers.h"
#include "random.h"
#include "tiles.h"

typedef struct {
  Int n_in, n_out; /* of one member */
  Int pitch, width; /* columns of one member, and of all; inputs are those of all members */
  Int b, W, r, s;   /* where they start in padded vectors */
  Int ldp, ldr;     /* between rows of the W stored there, and of r */
  real *effective;   /* W with the factors multiplied in, rows ldw apart; NULL: the stored W is used as it is */
  Int ldw;
  int act;         /* of this layer's output; -1: the last layer */
  double dropout;  /* of this layer's output */
  Int ld;
  real *q, *a; /* before and after dropout; the same without */
  real *d;     /* phi'(v), for activations that need it kept */
  Dropper drop;    /* of this batch, */
  uint32_t *keys;  /* with what its hash takes from each row */
  real *mask;      /* its factors, for activations that do not hide them */
  real *delta;
  real *WT; /* W transposed, (pitch, ldt), member after member */
  Int ldt;
  Packed tiles_a, tiles_delta, tiles_W; /* a, delta and W as factors of products of tiles */
  real *delta_sums; /* over the rows of each block */
  int is_stale; /* is what is made of the stored W, the effective weights and the tiles, older than it? */
} Layer;

/* A feature of a table that is looked up. */
typedef struct {
  const Columns *columns;
  Int f;          /* its number among them */
  Int size;       /* columns that its encoding makes */
  Int row, level; /* the first of its rows of W[1], and of its levels */
} Feature;

/* What a row looks up of a feature: a row of W[1] (-1: none), how much of it, and a level. */
typedef struct {
  int32_t row, level;
  real code;
} Lookup;

/* Neighbouring columns of a table that are written out for products, where the others are looked up. */
typedef struct {
  Int row, width; /* the first of their rows of W[1] */
  Int at;         /* where they begin among all that are written out */
} Run;

struct Net {
  Int H, n_members, max_rows, n_padded, scratch_size;
  Layer *layers;   /* 1..H; 0 is the input: its q, a, ld and dropout */
  Int factors, c; /* where they start in padded vectors; c: the input scale, -1 for none */
  Loss loss;
  int optimizer;
  Spec spec;
  double *quantiles;
  real *theta, *gradient, *slots[MAX_SLOTS], *row_losses, *scratch;
  char *touched;            /* rows of W[1] that sparse inputs or codes of a batch meet */
  Feature *features;        /* of a table that are looked up, and its other columns */
  Run *runs;
  Int n_features, n_runs, ld_dense;
  Lookup *lookups; /* of a batch's rows */
  real *dense, *levels; /* what is written out of them, rows ld_dense apart */
  real *effective_gradient; /* of the effective weights */
  real *shares;             /* of groups of rows in the gradient of s */
  double mu_product;
  int n_threads, limit, team; /* most ever asked for, allowed now, at work now */
};

static real *reals(Int n) {
  return n < 0 || n > (PTRDIFF_MAX - 64) / (Int)sizeof(real) ? NULL : zeros((size_t)n * sizeof(real) + 64);
}

/* Numbers for a vector that has none yet; 0: out of memory. */
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

/* Whether the outputs are kept as numbers, beside the tiles: of ReLU, all that the way back needs is which are 0. */
INLINE int keeps_outputs(const Layer *l) { return l->act != ACT_relu; }

static int is_shared(const Net *net, Int h) { return net->n_members > 1 && h < net->H; }
static int has_factors(const Net *net, Int h) { return is_shared(net, h) || (h == 1 && net->spec.input_scale); }

static int allocate_layer(Net *net, Int h) {
  Layer *l = &net->layers[h];
  Int n = padded(net->max_rows) * l->ld; /* losses look at VW rows at a time */
  int ok = need(&l->a, n);
  int hides = l->act == ACT_relu; /* whether it was dropped: an output of 0 passes nothing down, for either reason */
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

/* Where the parameters of layer h stand in padded vectors that end at `end` so far. */
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

/* Number of a component in the table that has these names; -1: there is none of this name. */
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
  Int choices = HAS_CLASSES[loss] ? spec->n_targets : 2; /* between which smoothing spreads */
  net->optimizer = number_of(spec->optimizer, OPTIMIZER_NAMES);
  net->loss = (Loss){.loss = loss, .n_targets = spec->n_targets, .n_outputs = spec->sizes[spec->H],
                     .kept = (real)(1 - spec->label_smoothing),
                     .uniform = (real)(spec->label_smoothing * (1.0 / (double)choices)),
                     .focal_gamma = (real)spec->focal_gamma, .huber_delta = (real)spec->huber_delta,
                     .quantiles = net->quantiles, .n_quantiles = spec->n_quantiles};
  net->spec.sizes = NULL, net->spec.activations = NULL, net->spec.dropout = NULL, net->spec.quantiles = NULL;
  net->spec.loss = net->spec.optimizer = NULL; /* the caller's, as the others */
  return DONE;
}

/* Rows of W[h] that have a share of the gradient of s together. */
enum { SHARE_ROWS = TILED ? BLOCK : MR };

/* What only gradients need, only steps, and only one kind of inputs, on first use; 0: out of memory. */
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

/* Between the flat vector (of Network.shapes) and the padded one, row by row. */
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

/* What a layer's products use: rows ldw apart. */
static const real *bias(const Net *net, Int h) { return net->theta + net->layers[h].b; }
static const real *weights(const Net *net, Int h) {
  const Layer *l = &net->layers[h];
  return l->effective ? l->effective : net->theta + l->W;
}
