/* The optimizers' updates, each one pass over a stretch of the flat vectors. Needs real.h. */

INLINE vec vroot(vec x) {
  for (long i = 0; i < VW; i++) x[i] = r_sqrt(x[i]);
  return x;
}

typedef struct {
  int rule, nesterov;
  real momentum, beta_1, beta_2, epsilon;
  real rate, decay;       /* decay: 1 - rate * weight_decay, for weights */
  real correct_m, correct_v; /* 1 / (1 - beta^t) */
  real nadam_m, nadam_g;  /* Dozat's factors of the moment and of the gradient */
} Update;

/* theta += ..., with g the data gradient, `penalty` times theta added to it. Padding stays zero: g is zero there. */
static void update(const Update *u, long n, real *restrict theta, const real *restrict g, real *restrict m,
                   real *restrict v, real penalty, real decay) {
#define LOOP(BODY)                                                                                               \
  for (long i = 0; i < n; i += VW) {                                                                             \
    vec w = load(theta + i), d = load(g + i) + penalty * w;                                                      \
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
      w -= u->rate * (m_i * u->correct_m) / (vroot(v_i * u->correct_v) + u->epsilon);
    })
    break;
  case OPT_NADAM:
    LOOP({
      MOMENT(m, u->beta_1, d)
      MOMENT(v, u->beta_2, d *d)
      w -= u->rate * (u->nadam_m * m_i + u->nadam_g * d) / (vroot(v_i * u->correct_v) + u->epsilon);
    })
    break;
  case OPT_RMSPROP: /* its one memory is slot 0 */
    LOOP({
      MOMENT(m, u->beta_2, d *d)
      w -= u->rate * d / (vroot(m_i) + u->epsilon);
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
