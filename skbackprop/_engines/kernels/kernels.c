/* Training and prediction of a network, compiled once per instruction-set level and number format.

   Notation as in the derivation: a[h] is a layer's output, v[h] its weighted sums, delta[h] = dE/dv[h]; samples
   are rows. */
#include "backward.h"
#include "inputs.h"
#include "kernels.h"

/* Multiply-adds of a batch below which waking a second thread takes longer than it saves. */
#ifndef WORTH_A_THREAD
#define WORTH_A_THREAD 6000000
#endif

static void enter(Net *net, Int rows) {
  Int work = 0;
  for (Int h = 1; h <= net->H; h++) work += net->layers[h].n_in * net->layers[h].n_out * net->n_members;
  net->team = (double)work * (double)rows < WORTH_A_THREAD ? 1 : pool_enter(net->limit);
}

static void leave(Net *net) {
  pool_leave(net->team);
  net->team = 1;
}

/* Coefficients of the optimizer's step t = 1, 2, ... Adam's is rate m / correct_m / (sqrt(v / correct_v) + epsilon),
   with correct = 1 - beta^t; factors that are the same for all parameters are multiplied here, once. */
static Update prepare(Net *net, double rate, double penalty, Int t) {
  const Spec *s = &net->spec;
  double decay = 1 - rate * s->weight_decay, epsilon = s->epsilon, nadam_m = 0, nadam_g = 0;
  if (net->optimizer == OPT_adam) rate /= 1 - pow(s->beta_1, (double)t);
  if (net->optimizer == OPT_nadam) {
    double mu = s->beta_1 * (1 - 0.5 * pow(0.96, 0.004 * (double)t));
    double next = s->beta_1 * (1 - 0.5 * pow(0.96, 0.004 * (double)(t + 1)));
    net->mu_product *= mu;
    nadam_m = next / (1 - net->mu_product * next);
    nadam_g = (1 - mu) / (1 - net->mu_product);
  }
  if (net->optimizer == OPT_adam || net->optimizer == OPT_nadam) {
    double root = sqrt(1 - pow(s->beta_2, (double)t));
    rate *= root, epsilon *= root;
  }
  if (net->optimizer != OPT_sgd && net->optimizer != OPT_lion) rate *= 2, epsilon *= 2; /* `scaled` has 2 sqrt(v) */
  return (Update){.rule = net->optimizer, .nesterov = s->nesterov, .momentum = (real)s->momentum,
                  .beta_1 = (real)s->beta_1, .beta_2 = (real)s->beta_2, .rate = (real)rate,
                  .epsilon = (real)epsilon, .penalty = (real)penalty, .decay = (real)decay,
                  .nadam_m = (real)nadam_m, .nadam_g = (real)nadam_g};
}

/* Add the penalty to a part of the gradient; returns its sum of squares. */
static double penalised_square(const Net *net, Int start, Int n, real penalty) {
  vec sums = all(0);
  for (Int j = start; j < start + n; j += VW) {
    vec g = load(net->gradient + j);
    if (penalty != 0) g += penalty * load(net->theta + j);
    store(net->gradient + j, g);
    sums += g * g;
  }
  return lanes_sum(sums);
}

/* Add the penalty to the gradient, and clip its norm to max_grad_norm. */
static void clip(Net *net, real penalty) {
  double square = 0;
  for (Int h = 1; h <= net->H; h++) {
    const Layer *l = &net->layers[h];
    square += penalised_square(net, l->b, l->ldw, 0);
    for (Int i = 0; i < l->n_in; i++) square += penalised_square(net, l->W + i * l->ldp, l->ldp, penalty);
  }
  square += penalised_square(net, net->factors, net->n_padded - net->factors, 0);
  double norm = sqrt(square), limit = net->spec.max_grad_norm;
  if (norm <= limit) return;
  real factor = (real)(limit / norm);
  for (Int j = 0; j < net->n_padded; j += VW) store(net->gradient + j, load(net->gradient + j) * factor);
}

/* The optimizer's step for net->gradient, which is clipped first if there is a max_grad_norm. */
static void step(Net *net, Update u) {
  if (net->spec.max_grad_norm > 0) {
    clip(net, u.penalty);
    u.penalty = 0;
  }
  for (Int h = 1; h <= net->H; h++) {
    const Layer *l = &net->layers[h];
    step_stretch(net, &u, l->b, l->ldw, net->gradient + l->b, 0);
    step_stretch(net, &u, l->W, l->n_in * l->ldp, net->gradient + l->W, 1);
    net->layers[h].is_stale = 1;
  }
  step_factors(net, &u);
}

/* Whether the class codes of a batch, which index the outputs, are valid. */
static int has_known_classes(const Net *net, const Batch *b) {
  const int64_t *codes = b->in->Y;
  int64_t n = net->loss.n_targets;
  int known = 1;
  for (Int i = 0; has_classes(&net->loss) && i < b->n; i++) {
    int64_t code = codes[row_number(b, i)];
    known &= code >= 0 && code < n;
  }
  return known;
}

/* Whether a batch can be trained on. */
static int status_of(const Net *net, const Batch *b) {
  if (!are_rows(net, b)) return NO_SUCH_ROW;
  return has_known_classes(net, b) ? DONE : NO_SUCH_CLASS;
}

static int gradient(Net *net, const RowsIn *rows, Int step, Int row_offset, const int64_t *numbers, void *flat,
                    double sums[2]) {
  if (!need_gradient(net) || !need_input(net, rows)) return NO_MEMORY;
  int status = DONE;
  sums[0] = sums[1] = 0;
  unsigned long long mode = flush_denormals();
  enter(net, MIN(rows->n_rows, net->max_rows));
  if (rows->n_rows == 0) memset(net->gradient, 0, (size_t)net->n_padded * sizeof(real));
  for (Int first = 0; first < rows->n_rows && status == DONE; first += net->max_rows) {
    Batch batch = {.in = rows, .first = first, .n = MIN(net->max_rows, rows->n_rows - first), .step = step,
                   .row_offset = row_offset + first, .numbers = numbers ? numbers + first : NULL};
    status = status_of(net, &batch);
    if (status == DONE) propagate(net, &batch, 1, first > 0, NULL, sums);
  }
  leave(net);
  unpad(net, net->gradient, flat);
  restore_mode(mode);
  return status;
}

static int apply(Net *net, const void *flat, double rate, Int t) {
  if (!need(&net->gradient, net->n_padded) || !need_slots(net)) return NO_MEMORY;
  unsigned long long mode = flush_denormals();
  pad(net, net->gradient, flat);
  step(net, prepare(net, rate, 0, t));
  restore_mode(mode);
  return DONE;
}

static int train(Net *net, const RowsIn *rows, const int64_t *order, Int n_order, const double *rates, Int n_rates,
                 Int batch_size, double mean_weight, double penalty, Int first_step, double seconds, double sums[2],
                 Int *made) {
  if (!need_gradient(net) || !need_slots(net) || !need_input(net, rows)) return NO_MEMORY;
  int status = DONE;
  unsigned long long mode = flush_denormals();
  double until = now() + seconds;
  Int done = 0;
  enter(net, batch_size);
  while (done < n_rates && (done == 0 || now() < until)) {
    Int start = done * batch_size, n = MIN(batch_size, n_order - start);
    Batch batch = {.in = rows, .order = order + start, .n = n, .step = first_step + done};
    status = status_of(net, &batch);
    if (status != DONE) break;
    Update u = prepare(net, rates[done], penalty, first_step + done + 1);
    int clips = net->spec.max_grad_norm > 0; /* a step then needs the whole gradient */
    real scale = (real)(1 / ((double)n * mean_weight));
    propagate(net, &batch, scale, 0, clips ? NULL : &u, sums);
    if (clips) step(net, u);
    done++;
  }
  leave(net);
  restore_mode(mode);
  *made = done;
  return status;
}

/* Whether n elements are finite: x - x is 0 if x is finite, else NaN. */
static int all_finite(const real *x, Int n) {
  vec sums = all(0);
  real rest = 0;
  Int j = 0;
  for (; j + VW <= n; j += VW) sums += load(x + j) - load(x + j);
  for (; j < n; j++) rest += x[j] - x[j];
  return lanes_sum(sums) + rest == 0;
}

typedef struct {
  const Net *net;
  const RowsIn *rows;
  real *out;
  Int first, n; /* rows of a block */
  int link, status;
} Prediction;

static void look_for_nan(void *context, Int index, int worker) {
  (void)worker;
  Prediction *p = context;
  const real *X = p->rows->X;
  FOR_ROWS_OF_TASK(i, index, p->n)
    if (!all_finite(X + (p->first + i) * p->rows->row_stride, p->net->layers[0].n_out))
      __atomic_store_n(&p->status, NOT_FINITE, __ATOMIC_RELAXED);
}

static void write_out(void *context, Int index, int worker) {
  (void)worker;
  const Prediction *p = context;
  const Layer *last = &p->net->layers[p->net->H];
  Int stop = MIN((index + 1) * TASK_ROWS, p->n), members = p->net->n_members;
  for (Int i = index * TASK_ROWS; i < stop && p->link; i += VW)
    for (Int m = 0; m < members; m++)
      link_rows(&p->net->loss, last->q + i * last->ld + m * last->pitch, last->ld, MIN(VW, stop - i));
  FOR_ROWS_OF_TASK(i, index, p->n)
    for (Int m = 0; m < members; m++)
      memcpy(p->out + ((p->first + i) * members + m) * last->n_out, last->q + i * last->ld + m * last->pitch,
             (size_t)last->n_out * sizeof(real));
}

/* Predict in blocks of rows that fit the cache. The search for NaN loads them into it, at full memory bandwidth. */
static int predict(Net *net, const RowsIn *rows, const void *flat, void *out, int link, int checked) {
  unsigned long long mode = flush_denormals();
  Int block = MAX(CACHE_BYTES / (net->layers[0].n_out * (Int)sizeof(real)), 64) / MR * MR;
  Prediction p = {.net = net, .rows = rows, .out = out, .link = link, .status = DONE};
  if (rows->columns ? !need_input(net, rows) : TILED && !need_factors(net, rows->X != NULL)) p.status = NO_MEMORY;
  enter(net, MIN(rows->n_rows, net->max_rows));
  block = MIN(block * net->team, net->max_rows);
  if (!flat) fold(net);
  if (rows->columns && p.status == DONE) pool_run(net->team, net->n_features, levels_task, net);
  for (; p.first < rows->n_rows && p.status == DONE; p.first += block) {
    p.n = MIN(block, rows->n_rows - p.first);
    Batch batch = {.in = rows, .first = p.first, .n = p.n, .step = -1};
    const real *X = rows->X ? (const real *)rows->X + p.first * rows->row_stride : NULL;
    if (!are_rows(net, &batch)) p.status = NO_SUCH_ROW;
    else if (X && !checked) pool_run(net->team, N_ROW_TASKS(p.n), look_for_nan, &p);
    if (p.status != DONE) break;
    if (rows->columns || TILED) gather(net, &batch, 0);
    if (rows->columns) forward(net, &batch, net->layers[0].a, net->layers[0].ld, NULL, 0);
    else forward(net, &batch, X, rows->row_stride, flat, 0);
    pool_run(net->team, N_ROW_TASKS(p.n), write_out, &p);
  }
  leave(net);
  restore_mode(mode);
  return p.status;
}

static int targets_are_classes(const Net *net) { return has_classes(&net->loss); }
static void set_extra(Net *net, double mu_product) { net->mu_product = mu_product; }
static double get_extra(const Net *net) { return net->mu_product; }
static void set_threads(Net *net, int n_threads) {
  n_threads = MIN(n_threads, MAX_THREADS);
  if (n_threads > net->n_threads) { /* needs more scratch memory */
    release(net->scratch);
    net->scratch = NULL;
  }
  net->n_threads = MAX(net->n_threads, n_threads);
  net->limit = n_threads;
}

/* Without the sign bit, floats are ordered like their bits as integers: finite numbers, then infinity, then NaN. */
static double largest(const void *numbers, Int n) {
  enum { TOPS = 4 };
  const real *x = numbers;
  ivec sign = (ivec)all(-R(0.0)), tops[TOPS] = {0};
  real rest[VECTOR_BYTES / sizeof(real)] = {0}, value = 0;
#define TAKE(top, from)                                                                                          \
  do {                                                                                                           \
    ivec bits = (ivec)load(from) & ~sign;                                                                        \
    top = (ivec)pick(bits > top, (vec)bits, (vec)top);                                                           \
  } while (0)
  Int j = 0;
  for (; j + TOPS * VW <= n; j += TOPS * VW)
    for (int i = 0; i < TOPS; i++) TAKE(tops[i], x + j + i * VW);
  for (; j + VW <= n; j += VW) TAKE(tops[0], x + j);
  memcpy(rest, x + j, (size_t)(n - j) * sizeof(real));
  TAKE(tops[0], rest);
#undef TAKE
  for (int i = 1; i < TOPS; i++) tops[0] = (ivec)pick(tops[i] > tops[0], (vec)tops[i], (vec)tops[0]);
  integer top = 0;
  for (Int i = 0; i < VW; i++) top = MAX(top, tops[0][i]);
  memcpy(&value, &top, sizeof value);
  return value;
}

NOINLINE double fma_rate(void) {
  vec c[12], a = all(R(1.0000001)), b = all(R(1e-9));
  double best = 0;
  for (int i = 0; i < 12; i++) c[i] = all((real)i);
  for (int trial = 0; trial < 5; trial++) {
    const Int n = 4000000;
    double start = now();
    for (Int k = 0; k < n; k++) {
      _Pragma("GCC unroll 12") for (int i = 0; i < 12; i++) c[i] = c[i] * a + b;
    }
    best = fmax(best, 12.0 * 2 * (double)VW * (double)n / (now() - start));
  }
  vec total = all(0);
  for (int i = 0; i < 12; i++) total += c[i];
  return lanes_sum(total) == -1 ? 0 : best; /* uses the sums, so that the loop is not optimized away */
}

const Kernels TABLE = {.level = LEVEL,
                       .itemsize = sizeof(real),
                       .activations = ACTIVATION_NAMES,
                       .losses = LOSS_NAMES,
                       .optimizers = OPTIMIZER_NAMES,
                       .create = create,
                       .destroy = destroy,
                       .has_classes = targets_are_classes,
                       .set = set,
                       .get = get,
                       .gradient = gradient,
                       .apply = apply,
                       .train = train,
                       .predict = predict,
                       .encode = encode,
                       .set_extra = set_extra,
                       .get_extra = get_extra,
                       .set_threads = set_threads,
                       .largest = largest,
                       .fma_rate = fma_rate};
