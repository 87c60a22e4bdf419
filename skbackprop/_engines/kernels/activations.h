/* The activations with a kernel: one table, from whose rows enum values, names and loops are generated. */
#pragma once
#include "elementwise.h"

#define LEAKY_SLOPE R(0.01)
#define SELU_SCALE R(1.0507009873554805)
#define SELU_SCALE_ALPHA R(1.7580993408473766)

INLINE vec negative_part(vec v) { return pick(v > 0, all(0), v); }

INLINE vec vgelu(vec v, vec *slope) {
  vec cdf = R(0.5) * (1 + verf(v * R(0.7071067811865476)));
  *slope = cdf + v * vexp(R(-0.5) * v * v) * R(0.3989422804014327);
  return v * cdf;
}

INLINE vec vsilu(vec v, vec *slope) {
  vec s = vlogistic(v), a = v * s;
  *slope = s + a * (1 - s);
  return a;
}

INLINE vec vhard_swish(vec v, vec *slope) {
  vec zero = all(0), six = all(6), gate = v + 3;
  gate = pick(gate < 0, zero, gate);
  gate = pick(gate > 6, six, gate);
  *slope = (gate + pick(vabs(v) < 3, v, zero)) / 6;
  return v * gate / 6;
}

/* tanh(ln(1 + e)) = e (e + 2) / (e (e + 2) + 2) with e = e^v, which is rounded to 1 from v = 40 on. */
INLINE vec vmish(vec v, vec *slope) {
  vec cap = all(40), e = vexp(pick(v > cap, cap, v)), n = e * (e + 2);
  vec t = n / (n + 2);
  *slope = t + v * (1 - t * t) * vlogistic(v);
  return v * t;
}

/* BY_OUTPUT(name, phi(v), g * phi'(v)): elementwise, and the derivative is computed from the output a = phi(v).
   BY_SLOPE(name, function): elementwise; function(v, &slope) gives phi(v), and phi'(v) for the backward pass.
   BY_ROW(name): not elementwise; the forward and the backward pass process whole rows. */
#define ACTIVATIONS(BY_OUTPUT, BY_SLOPE, BY_ROW)                                                                 \
  BY_OUTPUT(identity, v, g)                                                                                      \
  BY_OUTPUT(logistic, vlogistic(v), g * a * (1 - a))                                                             \
  BY_OUTPUT(tanh, vtanh(v), g * (1 - a * a))                                                                     \
  BY_OUTPUT(relu, pick(v <= 0, all(0), v), pick(a > 0, g, all(0)))                                               \
  BY_OUTPUT(leaky_relu, pick(v > 0, v, v * LEAKY_SLOPE), pick(a > 0, g, g * LEAKY_SLOPE))                        \
  BY_OUTPUT(elu, pick(v > 0, v, vexpm1_negative(negative_part(v))), pick(a > 0, g, g * (a + 1)))                 \
  BY_OUTPUT(selu, pick(v > 0, v * SELU_SCALE, SELU_SCALE_ALPHA * vexpm1_negative(negative_part(v))),             \
            pick(a > 0, g * SELU_SCALE, g * (a + SELU_SCALE_ALPHA)))                                             \
  BY_OUTPUT(softplus, vsoftplus(v), -g * vexpm1_negative(-a))                                                    \
  BY_SLOPE(gelu, vgelu)                                                                                          \
  BY_SLOPE(silu, vsilu)                                                                                          \
  BY_SLOPE(hard_swish, vhard_swish)                                                                              \
  BY_SLOPE(mish, vmish)                                                                                          \
  BY_ROW(softmax)

#define NUMBER(name, ...) ACT_##name,
enum { ACTIVATIONS(NUMBER, NUMBER, NUMBER) };
#undef NUMBER
static const char *const ACTIVATION_NAMES[] = {ACTIVATIONS(ROW_NAME, ROW_NAME, ROW_NAME) NULL};
static const char KEEPS_SLOPE[] = {ACTIVATIONS(ROW_NO, ROW_YES, ROW_NO)};
static const char IS_ELEMENTWISE[] = {ACTIVATIONS(ROW_YES, ROW_YES, ROW_NO)};

#define FOR_EACH_VECTOR(at)                                                                                      \
  for (Int i = 0; i < rows; i++)                                                                                 \
    for (Int at = i * ld; at < i * ld + columns; at += VW)

/* q = phi(v), in place of v, for a block. A BY_SLOPE activation stores phi'(v) in d, unless d is NULL (prediction). */
static void apply_phi(int act, real *q, real *d, Int ld, Int rows, Int columns) {
#define BY_OUTPUT(name, phi, vjp)                                                                                \
  case ACT_##name:                                                                                               \
    FOR_EACH_VECTOR(at) {                                                                                        \
      vec v = load(q + at);                                                                                      \
      store(q + at, phi);                                                                                        \
    }                                                                                                            \
    break;
#define BY_SLOPE(name, function)                                                                                 \
  case ACT_##name:                                                                                               \
    FOR_EACH_VECTOR(at) {                                                                                        \
      vec slope;                                                                                                 \
      store(q + at, function(load(q + at), &slope));                                                             \
      if (d) store(d + at, slope);                                                                               \
    }                                                                                                            \
    break;
#define BY_ROW(name)
  switch (act) { ACTIVATIONS(BY_OUTPUT, BY_SLOPE, BY_ROW) }
#undef BY_OUTPUT
#undef BY_SLOPE
#undef BY_ROW
}

/* delta = g * phi'(v), in place of g, with phi'(v) from q = phi(v), or from d for a BY_SLOPE activation. Before that, g
   is multiplied by the mask, or by a constant factor if mask is NULL. */
static void apply_vjp(int act, real *delta, const real *q, const real *d, const real *mask, real factor, Int ld,
                      Int rows, Int columns) {
#define BY_OUTPUT(name, phi, vjp)                                                                                \
  case ACT_##name:                                                                                               \
    FOR_EACH_VECTOR(at) {                                                                                        \
      vec a = load(q + at), g = load(delta + at) * (mask ? load(mask + at) : all(factor));                       \
      (void)a; /* unused by identity */                                                                          \
      store(delta + at, vjp);                                                                                    \
    }                                                                                                            \
    break;
#define BY_SLOPE(name, function)                                                                                 \
  case ACT_##name:                                                                                               \
    FOR_EACH_VECTOR(at) {                                                                                        \
      vec g = load(delta + at) * (mask ? load(mask + at) : all(factor));                                         \
      store(delta + at, g * load(d + at));                                                                       \
    }                                                                                                            \
    break;
#define BY_ROW(name) /* softmax_row_vjp follows */                                                                \
  case ACT_##name:                                                                                               \
    FOR_EACH_VECTOR(at) store(delta + at, load(delta + at) * (mask ? load(mask + at) : all(factor)));            \
    break;
  switch (act) { ACTIVATIONS(BY_OUTPUT, BY_SLOPE, BY_ROW) }
#undef BY_OUTPUT
#undef BY_SLOPE
#undef BY_ROW
}

/* delta = a (g - sum_k g_k a_k) for a row of softmax (D8), in place of g. */
static void softmax_row_vjp(real *g, const real *a, Int n) {
  vec sums = all(0);
  Int width = padded(n);
  for (Int j = 0; j < width; j += VW) sums += load(g + j) * load(a + j);
  real sum = lanes_sum(sums);
  for (Int j = 0; j < width; j += VW) store(g + j, load(a + j) * (load(g + j) - sum));
}
