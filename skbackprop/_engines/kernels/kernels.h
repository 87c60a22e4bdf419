/* The interface between the kernels, compiled once per CPU level and dtype, and everything else. */
#ifndef SKB_KERNELS_H
#define SKB_KERNELS_H
#include "system.h"
#include <stdint.h>

/* What tables make of their rows: a name, and what is true of some kinds alone. */
#define ROW_NAME(name, ...) #name,
#define ROW_YES(name, ...) 1,
#define ROW_NO(name, ...) 0,

enum { MAX_SLOTS = 2 };
/* The status that calls return, and the only ways in which they fail; arrays must be as long as the caller says. */
enum { DONE = 0, NOT_FINITE = 1, NO_MEMORY = -1, NO_SUCH_ROW = -2, NO_SUCH_CLASS = -3, NO_SUCH_SLOT = -4,
       NO_SUCH_NETWORK = -5 };

/* What a network and its optimizer are. Layers are h = 1..H, as in the derivation; components have the names of the
   package's tables. */
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
  Int n_members;   /* that share hidden layers' weights */
  int input_scale;  /* is there a learned factor per input? */
  double input_scale_rate; /* by how much its rate differs */
  const char *optimizer;
  int nesterov;
  double momentum, beta_1, beta_2, epsilon, weight_decay, max_grad_norm; /* max_grad_norm 0: no limit */
} Spec;

/* Neighbouring columns of a table: numbers (then `values` is set), or columns that an encoding makes of each feature, of
   which the number of the bin (`bins`) or of the category (`categories`) is kept. Whatever lies beyond the columns of a
   feature is a missing value, or a category that is not known. */
typedef struct {
  Int width;           /* how many */
  const void *values;  /* (n_rows, width), of the network's numbers */
  Int n_features;      /* 0 for values */
  const int64_t *sizes; /* columns of each feature */
  const uint16_t *bins; /* (n_rows, n_features), with the codes inside of them */
  const float *codes;
  const int32_t *categories; /* (n_rows, n_features) */
  double low, high, middle;  /* codes of bins that are empty, full, and of missing values; 0 for categories */
} Columns;

/* Rows of inputs, dense, CSR (then data, indices and indptr are set) or a table of columns, with targets and weights.
   What indptr and indices say is checked before it is followed. */
typedef struct {
  const void *X;
  const Columns *columns;
  Int n_columns;
  Int n_rows, row_stride;
  const void *data, *indices, *indptr;
  Int n_entries;    /* of data and of indices */
  int wide_indices; /* int64 instead of int32 */
  const void *Y; /* class codes, int64_t, for losses that have classes; else n_targets numbers a row */
  const void *weights;
} RowsIn;

typedef struct Net Net;

typedef struct {
  const char *level;
  Int itemsize; /* bytes of a number */
  const char *const *activations, *const *losses, *const *optimizers; /* names of those with a kernel; NULL ends them */
  int (*create)(const Spec *spec, Int max_rows, Net **net);
  void (*destroy)(Net *net);
  int (*has_classes)(const Net *net); /* Are the targets class codes? */
  /* slot -1: parameters; 0..: the optimizer's memory. Flat vectors are unpadded: [b; W] layer by layer, factors. */
  int (*set)(Net *net, int slot, const void *flat);
  int (*get)(const Net *net, int slot, void *flat);
  /* Sums of w * loss and of w; the gradient goes to flat. step < 0: no dropout. Masks are those of the rows' numbers in
     their minibatch; NULL: row_offset + 0, 1, ... */
  int (*gradient)(Net *net, const RowsIn *rows, Int step, Int row_offset, const int64_t *numbers, void *flat,
                  double sums[2]);
  int (*apply)(Net *net, const void *flat, double rate, Int t);
  /* Steps through `order`, whose minibatches have one rate each, for about so many seconds: how many were `made`. */
  int (*train)(Net *net, const RowsIn *rows, const int64_t *order, Int n_order, const double *rates, Int n_rates,
               Int batch_size, double mean_weight, double penalty, Int first_step, double seconds, double sums[2],
               Int *made);
  /* A row of `out` is that of each member, side by side. NOT_FINITE, and no prediction, if dense rows that were not
     `checked` hold NaN or infinity. `flat` is NULL, or a vector of parameters to use in place of those that were set:
     the same bits, for dense rows and a network of one member without input scale. */
  int (*predict)(Net *net, const RowsIn *rows, const void *flat, void *out, int link, int checked);
  /* Write rows of a table out, in the order asked for. */
  int (*encode)(const Columns *columns, Int n_columns, Int n_rows, const int64_t *order, Int n, void *out,
                Int row_stride);
  void (*set_extra)(Net *net, double mu_product);
  double (*get_extra)(const Net *net);
  void (*set_threads)(Net *net, int n_threads);
  double (*largest)(const void *x, Int n); /* absolute value of n numbers; not finite where one of them is not */
  double (*fma_rate)(void); /* floating-point operations a second of one core that does nothing but multiply-adds */
} Kernels;

extern const char *const skb_levels[]; /* of this build, best first; NULL ends them */
const Kernels *skb_kernels(const char *level, const char *format); /* NULL: not built */
int skb_supported(const char *level);
int skb_ask_for_tiles(void); /* The system's leave to use them, for the whole process; 0: it cannot be had. */
#endif
