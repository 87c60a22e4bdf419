/* Losses: value of a row, and delta = dE/dv in place of v, which is padded. The target is a class's code t where there is
   one class per row, as for y_t = 1 and y_j = 0 (D9); else a row y of numbers. Label smoothing (Szegedy et al., 2016)
   makes kept * y + uniform of both. */
#pragma once
#include "elementwise.h"

typedef struct {
  int loss;
  Int n_targets, n_outputs;
  real kept, uniform; /* 1 and 0 without smoothing */
  real focal_gamma, huber_delta;
  const double *quantiles;
  Int n_quantiles;
} Loss;

INLINE int has_classes(const Loss *L) { return L->loss <= LOSS_FOCAL; }

INLINE real softplus1(real v) { return (v > 0 ? v : 0) + r_log1p(r_exp(-(v < 0 ? -v : v))); }

INLINE real logistic1(real v) {
  real e = r_exp(-(v < 0 ? -v : v));
  return (v < 0 ? e : 1) / (e + 1);
}

/* -(1 - p)^gamma ln p; slope: its derivative by ln p. */
INLINE real focal1(real log_p, real gamma, real *slope) {
  if (log_p > -REAL_TINY) log_p = -REAL_TINY; /* 0 would meet 0^(gamma - 1) */
  real p = r_exp(log_p), q = -r_expm1(log_p), power = r_pow(q, gamma);
  *slope = gamma * p * r_pow(q, gamma - 1) * log_p - power;
  return -power * log_p;
}

static real cross_entropy_row(const Loss *L, real *v, Int t) {
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
  Int j = smooth ? 0 : t / VW * VW, stop = smooth ? n : j + 1; /* the others have y = 0 */
  for (; j < stop; j += VW) store(v + j, load(v + j) - pick(only_lane(t - j), on, off)); /* D10 */
  return L->kept * (log_sum - (chosen - largest)) + L->uniform * ((real)n * log_sum - rest);
}

static real brier_row(const Loss *L, real *v, Int t) {
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

static real focal_row(const Loss *L, real *v, Int t) {
  Int n = L->n_outputs;
  real chosen = v[t], log_sum, slope, largest = softmax_row(v, n, &log_sum);
  real value = focal1(chosen - largest - log_sum, L->focal_gamma, &slope);
  for (Int j = 0; j < n; j++) v[j] = (j == t ? slope : 0) - v[j] * slope;
  return value;
}

static real smooth_focal_row(const Loss *L, real *v, Int t, real *slopes) {
  Int n = L->n_outputs;
  double value = 0, total = 0; /* of as many small terms as there are classes */
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

/* One class per row; spare: room for a row. */
static real class_loss_row(const Loss *L, real *v, Int t, real *spare) {
  if (L->loss == LOSS_CROSS_ENTROPY) return cross_entropy_row(L, v, t);
  if (L->loss == LOSS_BRIER) return brier_row(L, v, t);
  return L->uniform != 0 ? smooth_focal_row(L, v, t, spare) : focal_row(L, v, t);
}

/* Labels and targets one by one. */
INLINE real output_loss(const Loss *L, real *v, real y) {
  real a = *v, r = a - y, slope_on, slope_off, on, off;
  switch (L->loss) {
  case LOSS_BINARY_CROSS_ENTROPY:
    *v = logistic1(a) - y;
    return y * softplus1(-a) + (1 - y) * softplus1(a);
  case LOSS_BINARY_BRIER: {
    real p = logistic1(a);
    *v = 2 * (p - y) * p * (1 - p);
    return (p - y) * (p - y);
  }
  case LOSS_BINARY_FOCAL:
    on = focal1(-softplus1(-a), L->focal_gamma, &slope_on);
    off = focal1(-softplus1(a), L->focal_gamma, &slope_off);
    *v = y * slope_on * logistic1(-a) - (1 - y) * slope_off * logistic1(a);
    return y * on + (1 - y) * off;
  case LOSS_SQUARED_ERROR: *v = r; return R(0.5) * r * r;
  case LOSS_ABSOLUTE_ERROR:
    *v = r > 0 ? 1 : r < 0 ? -1 : r;
    return r < 0 ? -r : r;
  case LOSS_HUBER: {
    real d = L->huber_delta, size = r < 0 ? -r : r;
    *v = r > d ? d : r < -d ? -d : r;
    return size <= d ? R(0.5) * r * r : d * (size - R(0.5) * d);
  }
  case LOSS_POISSON: {
    real mu = r_exp(a);
    *v = mu - y;
    return (y > 0 ? y * r_log(y) : 0) - y * a - y + mu;
  }
  case LOSS_GAMMA: {
    real ratio = y * r_exp(-a);
    *v = 1 - ratio;
    return a - r_log(y) + ratio - 1;
  }
  default: return 0;
  }
}

static real quantile_loss_row(const Loss *L, real *v, const real *y) {
  real value = 0;
  for (Int t = 0; t < L->n_targets; t++)
    for (Int k = 0; k < L->n_quantiles; k++, v++) {
      real q = (real)L->quantiles[k], r = y[t] - *v;
      value += r > 0 ? q * r : (q - 1) * r;
      *v = r > 0 ? -q : r < 0 ? 1 - q : 0 * r;
    }
  return value;
}

/* The variance is e^s above a floor; see the entry in losses.py. */
static real gaussian_loss_row(const Loss *L, real *m, const real *y) {
  real value = 0, *s = m + L->n_targets;
  const real floor = R(-9.210340371976182); /* LOG_VARIANCE_FLOOR */
  for (Int t = 0; t < L->n_targets; t++) {
    real above = s[t] - floor, log_variance = floor + softplus1(above);
    real precision = r_exp(-log_variance), r = y[t] - m[t], squares = r * r * precision;
    value += R(0.5) * (R(1.8378770664093453) + log_variance + squares);
    m[t] = -r * precision;
    s[t] = R(0.5) * (1 - squares) * logistic1(above);
  }
  return value;
}

static real loss_row(const Loss *L, real *v, const real *y) {
  if (L->loss == LOSS_QUANTILE) return quantile_loss_row(L, v, y);
  if (L->loss == LOSS_GAUSSIAN) return gaussian_loss_row(L, v, y);
  real value = 0;
  for (Int j = 0; j < L->n_targets; j++) value += output_loss(L, v + j, L->kept * y[j] + L->uniform);
  return value;
}

/* From the last layer's sums to predictions, in place over a padded row. */
static void link_row(const Loss *L, real *v) {
  if (has_classes(L)) softmax_row(v, L->n_outputs, NULL);
  else if (L->loss <= LOSS_BINARY_FOCAL)
    for (Int j = 0; j < padded(L->n_outputs); j += VW) store(v + j, vlogistic(load(v + j)));
  else if (L->loss == LOSS_POISSON || L->loss == LOSS_GAMMA)
    for (Int j = 0; j < padded(L->n_outputs); j += VW) store(v + j, vexp(load(v + j)));
}
