/* The interface between the kernels, compiled once per CPU level and dtype, and everything else. */
#ifndef SKB_KERNELS_H
#define SKB_KERNELS_H
#include "system.h"
#include <stdint.h>

enum { ACT_IDENTITY, ACT_LOGISTIC, ACT_TANH, ACT_RELU, ACT_LEAKY_RELU, ACT_ELU, ACT_SELU, ACT_GELU, ACT_SILU,
       ACT_MISH, ACT_SOFTPLUS, ACT_SOFTMAX };
enum { LOSS_CROSS_ENTROPY, LOSS_BRIER, LOSS_FOCAL, LOSS_BINARY_CROSS_ENTROPY, LOSS_BINARY_BRIER,
       LOSS_BINARY_FOCAL, LOSS_SQUARED_ERROR, LOSS_ABSOLUTE_ERROR, LOSS_HUBER, LOSS_QUANTILE, LOSS_POISSON,
       LOSS_GAMMA, LOSS_GAUSSIAN };
enum { OPT_SGD, OPT_ADAM, OPT_NADAM, OPT_RMSPROP, OPT_LION };
enum { MAX_SLOTS = 2 };

/* What a network and its optimizer are, in numbers; layers h = 1..H as in the derivation. */
typedef struct {
  Int H;
  const Int *sizes;      /* H + 1 */
  const int *activations; /* H - 1 */
  const double *dropout;  /* H: of the input, then of each hidden layer */
  uint32_t seed;
  int loss;
  Int n_targets;
  double focal_gamma, huber_delta, label_smoothing;
  const double *quantiles;
  Int n_quantiles;
  Int n_members;   /* that share hidden layers' weights */
  int input_scale;  /* is there a learned factor per input? */
  double input_scale_rate; /* by how much its rate differs */
  int optimizer, nesterov;
  double momentum, beta_1, beta_2, epsilon, weight_decay, max_grad_norm; /* max_grad_norm 0: no limit */
} Spec;

/* Rows of inputs, dense or CSR (then data, indices and indptr are set), with targets and weights. */
typedef struct {
  const void *X;
  Int n_rows, row_stride;
  const void *data, *indices, *indptr;
  int wide_indices; /* int64 instead of int32 */
  const void *Y; /* class codes, int64_t, for the losses up to LOSS_FOCAL; else n_targets numbers a row */
  const void *weights;
} RowsIn;

typedef struct Net Net;

typedef struct {
  const char *level;
  int vector_bytes;
  Net *(*create)(const Spec *spec, Int max_rows);
  void (*destroy)(Net *net);
  /* slot -1: parameters; 0..: the optimizer's memory. Flat vectors are unpadded: [b; W] layer by layer, factors. */
  void (*set)(Net *net, int slot, const void *flat);
  void (*get)(const Net *net, int slot, void *flat);
  /* Sums of w * loss and of w; the gradient goes to flat. step < 0: no dropout. Masks are those of the rows' numbers in
     their minibatch; NULL: row_offset + 0, 1, ... */
  void (*gradient)(Net *net, const RowsIn *rows, Int step, Int row_offset, const int64_t *numbers, void *flat,
                   double sums[2]);
  void (*apply)(Net *net, const void *flat, double rate, Int t);
  /* Steps made; -1: out of memory; -2: a row's class is not in 0..n_targets - 1. */
  Int (*train)(Net *net, const RowsIn *rows, const int64_t *order, Int n_order, const double *rates, Int n_rates,
                Int batch_size, double mean_weight, double penalty, Int first_step, double seconds, double sums[2]);
  /* A row of `out` is that of each member, side by side. 0, and no prediction, if dense rows that were not `checked` hold NaN or infinity. */
  int (*predict)(Net *net, const RowsIn *rows, void *out, int link, int checked);
  /* The same bits for up to max_rows dense rows, straight from a flat vector that need not be set before; for
     networks of one member and without input scale. */
  int (*predict_few)(Net *net, const RowsIn *rows, const void *flat, void *out, int link, int checked);
  void (*set_extra)(Net *net, double mu_product);
  double (*get_extra)(const Net *net);
  void (*set_threads)(Net *net, int n_threads);
  double (*fma_rate)(void); /* floating-point operations a second of one core that does nothing but multiply-adds */
} Kernels;

const Kernels *skb_kernels(const char *level, int bits); /* NULL: not built */
int skb_supported(const char *level);
#endif
