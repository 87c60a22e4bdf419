/* The optimizers: one table, from which their numbers, their names and their calls are made. An update is one pass over a
   stretch of the flat vectors. */
#pragma once
#include "kernels.h"
#include "real.h"
#if VECTOR_BYTES == 64
#include <immintrin.h>
#endif

/* ROW(name, n): n vectors are remembered, m and v. */
#define OPTIMIZERS(ROW) ROW(sgd, 1) ROW(adam, 2) ROW(nadam, 2) ROW(rmsprop, 1) ROW(lion, 1)

#define NUMBER(name, n) OPT_##name,
enum { OPTIMIZERS(NUMBER) };
#undef NUMBER
static const char *const OPTIMIZER_NAMES[] = {OPTIMIZERS(ROW_NAME) NULL};
#define SLOTS(name, n) n,
static const int N_SLOTS[] = {OPTIMIZERS(SLOTS)};
#undef SLOTS

INLINE vec vroot(vec x) {
  for (Int i = 0; i < VW; i++) x[i] = r_sqrt(x[i]);
  return x;
}

/* d / (2 sqrt(v) + epsilon), v >= 0. The divider takes 40 cycles for what two corrected estimates do in 10. */
INLINE vec scaled(vec d, vec v, real epsilon) {
#if REAL_BITS == 32 && VECTOR_BYTES == 64
  /* what is beyond the range of the estimates (an infinite moment, say) is divided as it is */
  __mmask16 unusual = _mm512_cmp_ps_mask((__m512)v, _mm512_set1_ps(1e37f), _CMP_NLT_UQ);
  if (__builtin_expect(unusual != 0 || epsilon < 1e-12f, 0)) return d / (2 * vroot(v) + epsilon);
  vec safe = (vec)_mm512_max_ps((__m512)v, _mm512_set1_ps(1e-37f));
  vec r = (vec)_mm512_rsqrt14_ps((__m512)safe), root = safe * r;
  vec divisor = root * (3 - root * r) + epsilon; /* Newton's step for the root, which gives twice of it */
  vec inverse = (vec)_mm512_rcp14_ps((__m512)divisor), quotient = d * inverse;
  return quotient + quotient * (1 - divisor * inverse);
#else
  return d / (2 * vroot(v) + epsilon);
#endif
}

typedef struct {
  int rule, nesterov;
  real momentum, beta_1, beta_2;
  real rate, epsilon;     /* of Adam's kind twice as large, and with the corrections of the moments in them */
  real penalty, decay;    /* of weights: their part of the gradient, and 1 - rate * weight_decay */
  real nadam_m, nadam_g;  /* Dozat's factors of the moment and of the gradient */
} Update;

/* One step of a rule for n numbers, whole vectors, of theta: g is the data gradient (NULL: zero), to which the penalty is
   added. Padding stays zero. One loop for each of the cases. */
#define RULE(name, ...)                                                                                          \
  INLINE void name##_loop(const Update *u, Int n, real *restrict theta, const real *restrict g,                  \
                          real *restrict m, real *restrict v, int is_weight, int decays) {                       \
    real penalty = is_weight ? u->penalty : 0;                                                                   \
    (void)v;                                                                                                     \
    for (Int i = 0; i < n; i += VW) {                                                                            \
      vec w = load(theta + i), d = g ? load(g + i) + penalty * w : penalty * w;                                  \
      if (decays) w *= u->decay;                                                                                 \
      __VA_ARGS__ store(theta + i, w);                                                                           \
    }                                                                                                            \
  }                                                                                                              \
  static void name##_update(const Update *u, Int n, real *theta, const real *g, real *m, real *v,                \
                            int is_weight) {                                                                     \
    int decays = is_weight && u->decay != 1;                                                                     \
    if (!g) name##_loop(u, n, theta, NULL, m, v, is_weight, decays);                                             \
    else if (decays) name##_loop(u, n, theta, g, m, v, is_weight, 1);                                            \
    else name##_loop(u, n, theta, g, m, v, is_weight, 0);                                                        \
  }
#define MOMENT(name, beta, x) vec name##_i = beta * load(name + i) + (1 - beta) * (x); store(name + i, name##_i);

RULE(sgd, {
  vec velocity = u->momentum * load(m + i) - d, step = velocity;
  store(m + i, velocity);
  if (u->nesterov) step = u->momentum * velocity - d;
  w += u->rate * step;
})

RULE(adam, {
  MOMENT(m, u->beta_1, d)
  MOMENT(v, u->beta_2, d * d)
  w -= u->rate * scaled(m_i, v_i, u->epsilon);
})

RULE(nadam, {
  MOMENT(m, u->beta_1, d)
  MOMENT(v, u->beta_2, d * d)
  w -= u->rate * scaled(u->nadam_m * m_i + u->nadam_g * d, v_i, u->epsilon);
})

RULE(rmsprop, { /* the mean square is its only memory, and so called m */
  MOMENT(m, u->beta_2, d * d)
  w -= u->rate * scaled(d, m_i, u->epsilon);
})

RULE(lion, {
  vec mean = load(m + i);
  vec blend = u->beta_1 * mean + (1 - u->beta_1) * d;
  vec zero = all(0);
  w -= u->rate * pick(blend > 0, all(1), pick(blend < 0, all(-1), pick(blend == 0, zero, blend)));
  store(m + i, u->beta_2 * mean + (1 - u->beta_2) * d);
})
#undef RULE
#undef MOMENT

static void update(const Update *u, Int n, real *theta, const real *g, real *m, real *v, int is_weight) {
#define CALL(name, slots) case OPT_##name: name##_update(u, n, theta, g, m, v, is_weight); break;
  switch (u->rule) { OPTIMIZERS(CALL) }
#undef CALL
}
