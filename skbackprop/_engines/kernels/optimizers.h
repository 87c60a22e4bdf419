/* The optimizers' updates, each one pass over a stretch of the flat vectors. */
#pragma once
#include "kernels.h"
#include "real.h"
#if VECTOR_BYTES == 64
#include <immintrin.h>
#endif

INLINE vec vroot(vec x) {
  for (Int i = 0; i < VW; i++) x[i] = r_sqrt(x[i]);
  return x;
}

/* d / (sqrt(v) + epsilon), v >= 0. The divider takes 40 cycles for what two corrected estimates do in 10. */
INLINE vec scaled(vec d, vec v, real epsilon) {
#if REAL_BITS == 32 && VECTOR_BYTES == 64
  /* what is beyond the range of the estimates (an infinite moment, say) is divided as it is */
  __mmask16 unusual = _mm512_cmp_ps_mask((__m512)v, _mm512_set1_ps(1e37f), _CMP_NLT_UQ);
  if (__builtin_expect(unusual != 0 || epsilon < 1e-12f, 0)) return d / (vroot(v) + epsilon);
  vec safe = (vec)_mm512_max_ps((__m512)v, _mm512_set1_ps(1e-37f));
  vec r = (vec)_mm512_rsqrt14_ps((__m512)safe), root = safe * r;
  root = root + root * (0.5f - root * (0.5f * r)) + epsilon;
  vec inverse = (vec)_mm512_rcp14_ps((__m512)root), quotient = d * inverse;
  return quotient + quotient * (1 - root * inverse);
#else
  return d / (vroot(v) + epsilon);
#endif
}

typedef struct {
  int rule, nesterov;
  real momentum, beta_1, beta_2, epsilon;
  real rate, decay;       /* decay: 1 - rate * weight_decay, for weights */
  real correct_m, correct_v; /* 1 / (1 - beta^t) */
  real nadam_m, nadam_g;  /* Dozat's factors of the moment and of the gradient */
} Update;

/* theta += ..., with g the data gradient (NULL: zero), `penalty` times theta added to it. Padding stays zero. */
static void update(const Update *u, Int n, real *restrict theta, const real *restrict g, real *restrict m,
                   real *restrict v, real penalty, real decay) {
#define LOOP(BODY)                                                                                               \
  for (Int i = 0; i < n; i += VW) {                                                                             \
    vec w = load(theta + i), d = g ? load(g + i) + penalty * w : penalty * w;                                    \
    w = w * decay;                                                                                               \
    BODY store(theta + i, w);                                                                                    \
  }
#define MOMENT(name, beta, x) vec name##_i = beta * load(name + i) + (1 - beta) * (x); store(name + i, name##_i);
  switch (u->rule) {
  case OPT_SGD:
    if (u->nesterov) LOOP({
        vec velocity = u->momentum * load(m + i) - d;
        store(m + i, velocity);
        w += u->rate * (u->momentum * velocity - d);
      })
    else LOOP({
        vec velocity = u->momentum * load(m + i) - d;
        store(m + i, velocity);
        w += u->rate * velocity;
      })
    break;
  case OPT_ADAM:
    LOOP({
      MOMENT(m, u->beta_1, d)
      MOMENT(v, u->beta_2, d *d)
      w -= u->rate * scaled(m_i * u->correct_m, v_i * u->correct_v, u->epsilon);
    })
    break;
  case OPT_NADAM:
    LOOP({
      MOMENT(m, u->beta_1, d)
      MOMENT(v, u->beta_2, d *d)
      w -= u->rate * scaled(u->nadam_m * m_i + u->nadam_g * d, v_i * u->correct_v, u->epsilon);
    })
    break;
  case OPT_RMSPROP: /* its one memory is slot 0 */
    LOOP({
      MOMENT(m, u->beta_2, d *d)
      w -= u->rate * scaled(d, m_i, u->epsilon);
    })
    break;
  case OPT_LION:
    LOOP({
      vec mean = load(m + i);
      vec blend = u->beta_1 * mean + (1 - u->beta_1) * d;
      vec zero = all(0);
      w -= u->rate * pick(blend > 0, all(1), pick(blend < 0, all(-1), pick(blend == 0, zero, blend)));
      store(m + i, u->beta_2 * mean + (1 - u->beta_2) * d);
    })
    break;
  }
#undef LOOP
#undef MOMENT
}
