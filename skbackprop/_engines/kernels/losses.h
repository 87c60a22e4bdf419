/* The losses: one table, from whose rows enum values, names and calls are generated. Each returns the value for a row,
   and writes delta = dE/dv in place of v, which is padded. Label smoothing (Szegedy et al., 2016) replaces a target y
   by kept * y + uniform. */
#pragma once
#include "elementwise.h"

/* BY_CLASS(name, link): one class per row; the target is its code t, so y_t = 1, and y_j = 0 for all other j (D9).
   BY_OUTPUT(name, link): a sum over the outputs, with one target y for each output.
   BY_TARGETS(name, link, n): n outputs for each target y. */
#define LOSSES(BY_CLASS, BY_OUTPUT, BY_TARGETS)                                                                  \
  BY_CLASS(cross_entropy, softmax)                                                                               \
  BY_CLASS(brier, softmax)                                                                                       \
  BY_CLASS(focal, softmax)                                                                                       \
  BY_OUTPUT(binary_cross_entropy, logistic)                                                                      \
  BY_OUTPUT(binary_brier, logistic)                                                                              \
  BY_OUTPUT(binary_focal, logistic)                                                                              \
  BY_OUTPUT(squared_error, identity)                                                                             \
  BY_OUTPUT(absolute_error, identity)                                                                            \
  BY_OUTPUT(huber, identity)                                                                                     \
  BY_OUTPUT(poisson, exp)                                                                                        \
  BY_OUTPUT(gamma, exp)                                                                                          \
  BY_TARGETS(quantile, identity, spec->n_quantiles)                                                              \
  BY_TARGETS(gaussian, identity, 2)

#define NUMBER(name, ...) LOSS_##name,
enum { LOSSES(NUMBER, NUMBER, NUMBER) };
#undef NUMBER
static const char *const LOSS_NAMES[] = {LOSSES(ROW_NAME, ROW_NAME, ROW_NAME) NULL};
static const char HAS_CLASSES[] = {LOSSES(ROW_YES, ROW_NO, ROW_NO)};

static Int outputs_per_target(int loss, const Spec *spec) {
#define ONE(name, link)
#define SEVERAL(name, link, n) if (loss == LOSS_##name) return n;
  LOSSES(ONE, ONE, SEVERAL)
#undef ONE
#undef SEVERAL
  return 1;
}

typedef struct {
  int loss;
  Int n_targets, n_outputs;
  real kept, uniform; /* 1 and 0 without smoothing */
  real focal_gamma, huber_delta;
  const double *quantiles;
  Int n_quantiles;
} Loss;

INLINE int has_classes(const Loss *L) { return HAS_CLASSES[L->loss]; }
INLINE int is_transposed(const Loss *L) { return has_classes(L) && L->n_outputs <= MOST_TRANSPOSED; }

INLINE real softplus1(real v) { return (v > 0 ? v : 0) + r_log1p(r_exp(-(v < 0 ? -v : v))); }

INLINE real logistic1(real v) {
  real e = r_exp(-(v < 0 ? -v : v));
  return (v < 0 ? e : 1) / (e + 1);
}

/* -(1 - p)^gamma ln p; slope: its derivative with respect to ln p. */
INLINE real focal1(real log_p, real gamma, real *slope) {
  if (log_p > -REAL_TINY) log_p = -REAL_TINY; /* avoids 0^(gamma - 1) */
  real p = r_exp(log_p), q = -r_expm1(log_p), power = r_pow(q, gamma);
  *slope = gamma * p * r_pow(q, gamma - 1) * log_p - power;
  return -power * log_p;
}

static real cross_entropy_row(const Loss *L, real *v, Int t, real *spare) {
  (void)spare;
  Int n = L->n_outputs;
  int smooth = L->uniform != 0;
  real chosen = v[t], rest = 0, log_sum; /* rest: sum of v - largest */
  if (smooth) {
    real top = largest_of_row(v, n);
    vec sums = all(0);
    for (Int j = 0; j < n; j += VW) sums += (vec)((ivec)(load(v + j) - top) & first_lanes(n - j));
    rest = lanes_sum(sums);
  }
  real largest = softmax_row(v, n, &log_sum);
  vec on = all(L->kept + L->uniform), off = all(L->uniform);
  Int j = smooth ? 0 : t / VW * VW, stop = smooth ? n : j + 1; /* elsewhere y = 0 */
  for (; j < stop; j += VW) store(v + j, load(v + j) - pick(only_lane(t - j), on, off)); /* D10 */
  return L->kept * (log_sum - (chosen - largest)) + L->uniform * ((real)n * log_sum - rest);
}

/* The same for VW transposed rows, with delta multiplied by a factor. */
static vec cross_entropy_transposed(const Loss *L, vec *v, ivec t, vec factor) {
  Int n = L->n_outputs;
  vec chosen = v[0], rest, sums, on = all(L->kept + L->uniform), off = all(L->uniform);
  for (Int j = 1; j < n; j++) chosen = pick(t == (integer)j, v[j], chosen);
  vec largest = softmax_transposed(v, n, &rest, &sums), log_sum = vlog(sums);
  for (Int j = 0; j < n; j++) v[j] = (v[j] - pick(t == (integer)j, on, off)) * factor; /* D10 */
  vec value = L->kept * (log_sum - (chosen - largest));
  if (L->uniform != 0) value += L->uniform * ((real)n * log_sum - rest); /* as 0 times infinity is NaN */
  return value;
}

static real brier_row(const Loss *L, real *v, Int t, real *spare) {
  (void)spare;
  Int n = L->n_outputs;
  real on = L->kept + L->uniform, off = L->uniform, value = 0, weighted = 0;
  softmax_row(v, n, NULL);
  for (Int j = 0; j < n; j++) {
    real r = v[j] - (j == t ? on : off);
    value += r * r;
    weighted += 2 * r * v[j];
  }
  for (Int j = 0; j < n; j++) v[j] = v[j] * (2 * (v[j] - (j == t ? on : off)) - weighted);
  return value;
}

static real smooth_focal_row(const Loss *L, real *v, Int t, real *slopes) {
  Int n = L->n_outputs;
  double value = 0, total = 0; /* double, as there is a small term for each class */
  memcpy(slopes, v, (size_t)n * sizeof(real));
  real log_sum, largest = softmax_row(v, n, &log_sum);
  for (Int j = 0; j < n; j++) {
    real slope, y = j == t ? L->kept + L->uniform : L->uniform;
    value += y * focal1(slopes[j] - largest - log_sum, L->focal_gamma, &slope);
    slopes[j] = y * slope;
    total += slopes[j];
  }
  for (Int j = 0; j < n; j++) v[j] = slopes[j] - v[j] * (real)total;
  return (real)value;
}

static real focal_row(const Loss *L, real *v, Int t, real *spare) {
  Int n = L->n_outputs;
  if (L->uniform != 0) return smooth_focal_row(L, v, t, spare);
  real chosen = v[t], log_sum, slope, largest = softmax_row(v, n, &log_sum);
  real value = focal1(chosen - largest - log_sum, L->focal_gamma, &slope);
  for (Int j = 0; j < n; j++) v[j] = (j == t ? slope : 0) - v[j] * slope;
  return value;
}

INLINE real binary_cross_entropy_output(const Loss *L, real *v, real y) {
  (void)L;
  real a = *v;
  *v = logistic1(a) - y;
  return y * softplus1(-a) + (1 - y) * softplus1(a);
}

INLINE real binary_brier_output(const Loss *L, real *v, real y) {
  (void)L;
  real p = logistic1(*v);
  *v = 2 * (p - y) * p * (1 - p);
  return (p - y) * (p - y);
}

INLINE real binary_focal_output(const Loss *L, real *v, real y) {
  real a = *v, slope_on, slope_off;
  real on = focal1(-softplus1(-a), L->focal_gamma, &slope_on);
  real off = focal1(-softplus1(a), L->focal_gamma, &slope_off);
  *v = y * slope_on * logistic1(-a) - (1 - y) * slope_off * logistic1(a);
  return y * on + (1 - y) * off;
}

INLINE real squared_error_output(const Loss *L, real *v, real y) {
  (void)L;
  real r = *v - y;
  *v = r;
  return R(0.5) * r * r;
}

INLINE real absolute_error_output(const Loss *L, real *v, real y) {
  (void)L;
  real r = *v - y;
  *v = r > 0 ? 1 : r < 0 ? -1 : r;
  return r < 0 ? -r : r;
}

INLINE real huber_output(const Loss *L, real *v, real y) {
  real r = *v - y, d = L->huber_delta, size = r < 0 ? -r : r;
  *v = r > d ? d : r < -d ? -d : r;
  return size <= d ? R(0.5) * r * r : d * (size - R(0.5) * d);
}

INLINE real poisson_output(const Loss *L, real *v, real y) {
  (void)L;
  real a = *v, mu = r_exp(a);
  *v = mu - y;
  return (y > 0 ? y * r_log(y) : 0) - y * a - y + mu;
}

INLINE real gamma_output(const Loss *L, real *v, real y) {
  (void)L;
  real a = *v, ratio = y * r_exp(-a);
  *v = 1 - ratio;
  return a - r_log(y) + ratio - 1;
}

static real quantile_row(const Loss *L, real *v, const real *y) {
  real value = 0;
  for (Int t = 0; t < L->n_targets; t++)
    for (Int k = 0; k < L->n_quantiles; k++, v++) {
      real q = (real)L->quantiles[k], r = y[t] - *v;
      value += r > 0 ? q * r : (q - 1) * r;
      *v = r > 0 ? -q : r < 0 ? 1 - q : 0 * r;
    }
  return value;
}

/* The variance is e^s plus a floor; see losses.py. */
static real gaussian_row(const Loss *L, real *m, const real *y) {
  real value = 0, *s = m + L->n_targets;
  const real floor = R(-9.210340371976182); /* LOG_VARIANCE_FLOOR there */
  for (Int t = 0; t < L->n_targets; t++) {
    real above = s[t] - floor, log_variance = floor + softplus1(above);
    real precision = r_exp(-log_variance), r = y[t] - m[t], squares = r * r * precision;
    value += R(0.5) * (R(1.8378770664093453) + log_variance + squares);
    m[t] = -r * precision;
    s[t] = R(0.5) * (1 - squares) * logistic1(above);
  }
  return value;
}

/* The loss of one output. The switch is inside the loop over outputs, which is always short. */
INLINE real output_loss(const Loss *L, real *v, real y) {
#define NONE(name, ...)
#define OUTPUT(name, link) case LOSS_##name: return name##_output(L, v, y);
  switch (L->loss) { LOSSES(NONE, OUTPUT, NONE) }
#undef OUTPUT
  return 0;
}

/* The loss of a row with targets Y[row]. spare: memory for a row. */
static real loss_row(const Loss *L, real *v, const void *Y, Int row, real *spare) {
#define CLASS(name, link) case LOSS_##name: return name##_row(L, v, (Int)((const int64_t *)Y)[row], spare);
#define TARGETS(name, link, n) case LOSS_##name: return name##_row(L, v, (const real *)Y + row * L->n_targets);
  switch (L->loss) { LOSSES(CLASS, NONE, TARGETS) }
#undef CLASS
#undef TARGETS
#undef NONE
  const real *y = (const real *)Y + row * L->n_targets;
  real value = 0;
  for (Int j = 0; j < L->n_targets; j++) value += output_loss(L, v + j, L->kept * y[j] + L->uniform);
  return value;
}

INLINE void softmax_link(real *v, Int n) { softmax_row(v, n, NULL); }
INLINE void identity_link(real *v, Int n) { (void)v, (void)n; }
INLINE void logistic_link(real *v, Int n) {
  for (Int j = 0; j < n; j += VW) store(v + j, vlogistic(load(v + j)));
}
INLINE void exp_link(real *v, Int n) {
  for (Int j = 0; j < n; j += VW) store(v + j, vexp(load(v + j)));
}

/* Predictions from the last layer's sums, in place, for up to VW padded rows, ld apart; there must be memory for VW
   rows. */
static void link_rows(const Loss *L, real *v, Int ld, Int rows) {
  if (is_transposed(L)) {
    vec transposed[MOST_TRANSPOSED], rest, sums;
    transpose_rows(v, ld, L->n_outputs, transposed);
    softmax_transposed(transposed, L->n_outputs, &rest, &sums);
    transpose_back(transposed, L->n_outputs, v, ld);
    return;
  }
#define LINK(name, link, ...) case LOSS_##name: link##_link(v + i * ld, L->n_outputs); break;
  for (Int i = 0; i < rows; i++)
    switch (L->loss) { LOSSES(LINK, LINK, LINK) }
#undef LINK
}
