/* The interface of the kernels, which are compiled once per instruction-set level and number format. */
#ifndef SKB_KERNELS_H
#define SKB_KERNELS_H
#include "system.h"
#include <stdint.h>

/* For arrays made from the rows of a table of components: names, and flags of some kinds of rows. */
#define ROW_NAME(name, ...) #name,
#define ROW_YES(name, ...) 1,
#define ROW_NO(name, ...) 0,

enum { MAX_SLOTS = 2 };
/* Status codes of all calls; there are no other failures if arrays are as long as the caller says. */
enum { DONE = 0, NOT_FINITE = 1, NO_MEMORY = -1, NO_SUCH_ROW = -2, NO_SUCH_CLASS = -3, NO_SUCH_SLOT = -4,
       NO_SUCH_NETWORK = -5 };

/* Definition of a network and its optimizer. Layers are h = 1..H, as in the derivation; components have their names in
   the tables of `_nn`. */
typedef struct {
  Int H;
  const Int *sizes;      /* H + 1 */
  const char *const *activations; /* H - 1 */
  const double *dropout;  /* H: of the input, then of each hidden layer */
  uint32_t seed;
  const char *loss;
  Int n_targets;
  double focal_gamma, huber_delta, label_smoothing;
  const double *quantiles;
  Int n_quantiles;
  Int n_members;   /* of an ensemble that shares the weights of hidden layers */
  int input_scale;  /* is there a learned factor per input? */
  double input_scale_rate; /* multiplies its learning rate */
  const char *optimizer;
  int nesterov;
  double momentum, beta_1, beta_2, epsilon, weight_decay, max_grad_norm; /* max_grad_norm 0: no limit */
} Spec;

/* Adjacent columns of a table: numbers (then `values` is set), or the encoded columns of features, stored as the index
   of the bin (`bins`) or of the category (`categories`). An index outside the columns of a feature is a missing value,
   or an unknown category. */
typedef struct {
  Int width;           /* number of columns */
  const void *values;  /* (n_rows, width), in the network's type */
  Int n_features;      /* 0 for values */
  const int64_t *sizes; /* columns of each feature */
  const uint16_t *bins; /* (n_rows, n_features) */
  const float *codes;   /* of the values in their bins, (n_rows, n_features) */
  const int32_t *categories; /* (n_rows, n_features) */
  double low, high, middle;  /* inputs for bins after and before a value's, and of missing values; 0 for categories */
} Columns;

/* Rows of inputs, dense (X), CSR (data, indices and indptr) or a table (columns), with targets and weights. The
   elements of indptr and indices are checked before they are used. */
typedef struct {
  const void *X;
  const Columns *columns;
  Int n_columns;
  Int n_rows, row_stride;
  const void *data, *indices, *indptr;
  Int n_entries;    /* length of data and of indices */
  int wide_indices; /* int64 instead of int32 */
  const void *Y; /* class codes, int64_t, for losses of classes; else n_targets elements per row */
  const void *weights;
} RowsIn;

typedef struct Net Net;

typedef struct {
  const char *level;
  Int itemsize; /* bytes per element */
  const char *const *activations, *const *losses, *const *optimizers; /* names of those with a kernel, then NULL */
  int (*create)(const Spec *spec, Int max_rows, Net **net);
  void (*destroy)(Net *net);
  int (*has_classes)(const Net *net); /* Are the targets class codes? */
  /* slot -1: parameters; 0..: the optimizer's state. Flat vectors are unpadded: [b; W] layer by layer, factors. */
  int (*set)(Net *net, int slot, const void *flat);
  int (*get)(const Net *net, int slot, void *flat);
  /* Sums of w * loss and of w; the gradient goes to flat. step < 0: no dropout. The `numbers` of the rows in their
     minibatch seed the masks; NULL: row_offset + 0, 1, ... */
  int (*gradient)(Net *net, const RowsIn *rows, Int step, Int row_offset, const int64_t *numbers, void *flat,
                  double sums[2]);
  int (*apply)(Net *net, const void *flat, double rate, Int t);
  /* Steps for the minibatches of `order`, with one rate each, for about `seconds`. made: the number of steps. */
  int (*train)(Net *net, const RowsIn *rows, const int64_t *order, Int n_order, const double *rates, Int n_rates,
               Int batch_size, double mean_weight, double penalty, Int first_step, double seconds, double sums[2],
               Int *made);
  /* A row of `out` has the outputs of each member, one after another. NOT_FINITE, without a prediction, if dense rows
     that were not `checked` contain NaN or infinity. `flat` is NULL, or parameters to use instead of those of `set`,
     with the same bits, for dense rows and a network of one member, without input scale and tiles. */
  int (*predict)(Net *net, const RowsIn *rows, const void *flat, void *out, int link, int checked);
  /* Write the inputs of the rows `order` of a table. */
  int (*encode)(const Columns *columns, Int n_columns, Int n_rows, const int64_t *order, Int n, void *out,
                Int row_stride);
  void (*set_extra)(Net *net, double mu_product);
  double (*get_extra)(const Net *net);
  void (*set_threads)(Net *net, int n_threads);
  double (*largest)(const void *x, Int n); /* absolute value of n elements; not finite if one of them is not */
  double (*fma_rate)(void); /* floating-point operations per second of one core in multiply-adds alone */
} Kernels;

extern const char *const skb_levels[]; /* of this build, best first, then NULL */
const Kernels *skb_kernels(const char *level, const char *format); /* NULL: not built */
int skb_supported(const char *level);
int skb_ask_for_tiles(void); /* Ask the system for permission to use them in this process; 0: refused. */
#endif
