/* Vector versions of the elementary functions, and softmax.

   NaN in gives NaN out: comparisons with NaN are false, and the branch taken then gives NaN. */
#pragma once
#include "kernels.h"
#include "real.h"

/* The polynomial p(r) by Horner's rule; the coefficient of the highest power is the first. */
#define POLYNOMIAL(p, r, ...)                                                                                    \
  do {                                                                                                           \
    static const real terms[] = {__VA_ARGS__};                                                                   \
    p = all(terms[0]);                                                                                           \
    _Pragma("GCC unroll 16") for (size_t i = 1; i < sizeof terms / sizeof *terms; i++) p = p * r + terms[i];     \
  } while (0)

/* e^x = 2^n e^r with n = round(x / ln 2), |r| <= ln 2 / 2; returns e^r - 1 and n. */
INLINE vec reduced_expm1(vec x, ivec *n) {
  vec t = x * R(1.4426950408889634) + MAGIC;
  vec whole = t - MAGIC;
  *n = (ivec)t - (ivec)all(MAGIC);
  vec r = x - whole * LN2_HIGH, p;
  r = r - whole * LN2_LOW;
  POLYNOMIAL(p, r, EXP_TERMS);
  return p * r * r + r;
}

INLINE vec power_of_two(ivec n) { return (vec)((n + EXPONENT_BIAS) << MANTISSA_BITS); }

INLINE vec vexp(vec x) {
  vec high = all(EXP_HIGH), low = all(EXP_LOW);
  x = pick(x > high, high, x);
  x = pick(x < low, low, x);
  ivec n;
  vec p = reduced_expm1(x, &n);
  ivec half = n >> 1; /* in two factors, as 2^n may be out of range */
  return (p + 1) * power_of_two(half) * power_of_two(n - half);
}

/* e^x - 1 for x <= 0. */
INLINE vec vexpm1_negative(vec x) {
  vec low = all(EXPM1_LOW);
  x = pick(x < low, low, x);
  ivec n;
  vec p = reduced_expm1(x, &n), s = power_of_two(n);
  return s * p + (s - 1);
}

/* ln(1 + z) for 0 <= z <= 1, as 2 artanh(z / (2 + z)). */
INLINE vec vlog1p_unit(vec z) {
  vec s = z / (z + 2), r = s * s, p;
  POLYNOMIAL(p, r, ARTANH_TERMS);
  return 2 * (s + s * r * p);
}

/* ln x of positive normal numbers, as ln(x / 2^k) + k ln 2 with x / 2^k between 2/3 and 4/3. */
INLINE vec vlog(vec x) {
  ivec k = ((ivec)x - (ivec)all(R(2.0 / 3))) >> MANTISSA_BITS;
  vec m = x * power_of_two(-k), s = (m - 1) / (m + 1), r = s * s, p;
  vec whole = (vec)(k + (ivec)all(MAGIC)) - MAGIC;
  POLYNOMIAL(p, r, ARTANH_TERMS);
  return 2 * (s + s * r * p) + whole * LN2_LOW + whole * LN2_HIGH;
}

INLINE vec vlogistic(vec x) {
  vec e = vexp(-vabs(x)), one = all(1);
  return pick(x < 0, e, one) / (e + 1);
}

INLINE vec vtanh(vec x) {
  vec t = vexpm1_negative(-2 * vabs(x));
  vec a = -t / (t + 2);
  return pick(x < 0, -a, a);
}

INLINE vec vsoftplus(vec x) { return pick(x > 0, x, all(0)) + vlog1p_unit(vexp(-vabs(x))); }

INLINE vec verf(vec x) {
  for (Int i = 0; i < VW; i++) x[i] = r_erf(x[i]);
  return x;
}

/* The largest of the n elements of a padded row. */
INLINE real largest_of_row(const real *v, Int n) {
  vec top = all(-(real)INFINITY);
  for (Int j = 0; j < n; j += VW) {
    vec x = load(v + j);
    top = pick((x > top) & first_lanes(n - j), x, top);
  }
  return lanes_max(top);
}

/* Softmax of the n elements of a padded row, in place; padding becomes 0. Returns the largest v, and in log_sum
   ln sum e^(v - largest). Log probabilities are v - largest - log_sum, accurate also for probabilities near 1. */
static real softmax_row(real *v, Int n, real *log_sum) {
  Int width = padded(n);
  real largest = largest_of_row(v, n);
  vec sums = all(0);
  for (Int j = 0; j < width; j += VW) {
    vec e = (vec)((ivec)vexp(load(v + j) - largest) & first_lanes(n - j));
    store(v + j, e);
    sums += e;
  }
  real sum = lanes_sum(sums), scale = 1 / sum;
  for (Int j = 0; j < width; j += VW) store(v + j, load(v + j) * scale);
  if (log_sum) *log_sum = r_log(sum);
  return largest;
}

/* Few outputs would leave most lanes of a vector unused. So VW rows are transposed: one row per lane, one output per
   vector, and no operations between lanes. */
enum { MOST_TRANSPOSED = 16 };

/* Transpose VW rows of n elements, ld apart, to padded(n) vectors, and back. */
INLINE void transpose_rows(const real *v, Int ld, Int n, vec *transposed) {
  for (Int j = 0; j < n; j += VW) transpose_square(v + j, ld, (real *)(transposed + j), VW);
}
INLINE void transpose_back(const vec *transposed, Int n, real *v, Int ld) {
  for (Int j = 0; j < n; j += VW) transpose_square((const real *)(transposed + j), VW, v + j, ld);
}

/* Softmax of VW transposed rows of n elements, in place; padding becomes 0. Returns the largest v, and the sums of
   v - largest (rest) and of e^(v - largest). */
INLINE vec softmax_transposed(vec *v, Int n, vec *rest, vec *sums) {
  vec largest = v[0];
  for (Int j = 1; j < n; j++) largest = pick(v[j] > largest, v[j], largest);
  *rest = *sums = all(0);
  for (Int j = 0; j < n; j++) {
    vec x = v[j] - largest;
    v[j] = vexp(x);
    *rest += x;
    *sums += v[j];
  }
  vec scale = 1 / *sums;
  for (Int j = 0; j < n; j++) v[j] *= scale;
  for (Int j = n; j < padded(n); j++) v[j] = all(0);
  return largest;
}
