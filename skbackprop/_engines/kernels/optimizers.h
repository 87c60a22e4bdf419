/* The optimizers: one table, from whose rows enum values, names and calls are generated. An update is one pass over a
   part of the padded vectors. */
#pragma once
#include "kernels.h"
#include "real.h"
#if VECTOR_BYTES == 64
#include <immintrin.h>
#endif

/* ROW(name, n): the state has n vectors, m or m and v. */
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

/* d / (2 sqrt(v) + epsilon), v >= 0. Two estimates with Newton steps take 10 cycles, root and division take 40. */
INLINE vec scaled(vec d, vec v, real epsilon) {
#if REAL_BITS == 32 && VECTOR_BYTES == 64
  /* the exact path, for operands beyond the range of the estimates (e.g. an infinite moment) */
  __mmask16 unusual = _mm512_cmp_ps_mask((__m512)v, _mm512_set1_ps(1e37f), _CMP_NLT_UQ);
  if (__builtin_expect(unusual != 0 || epsilon < 1e-12f, 0)) return d / (2 * vroot(v) + epsilon);
  vec safe = (vec)_mm512_max_ps((__m512)v, _mm512_set1_ps(1e-37f));
  vec r = (vec)_mm512_rsqrt14_ps((__m512)safe), root = safe * r;
  vec divisor = root * (3 - root * r) + epsilon; /* Newton's step, without its factor 1/2: 2 sqrt(v) */
  vec inverse = (vec)_mm512_rcp14_ps((__m512)divisor), quotient = d * inverse;
  return quotient + quotient * (1 - divisor * inverse);
#else
  return d / (2 * vroot(v) + epsilon);
#endif
}

typedef struct {
  int rule, nesterov;
  real momentum, beta_1, beta_2;
  real rate, epsilon;     /* with bias corrections; both doubled where `scaled` is used */
  real penalty, decay;    /* for weights: factor of their part of the gradient, and 1 - rate * weight_decay */
  real nadam_m, nadam_g;  /* Dozat's factors of the moment and of the gradient */
} Update;

/* One step of a rule for n elements of theta (a multiple of VW). g: data gradient (NULL: zero), to which the penalty is
   added. Padding stays zero. Each case has its own loop. */
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

RULE(rmsprop, { /* the mean square is its only state vector, so it is called m */
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
