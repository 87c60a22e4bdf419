/* Dropout masks: the counter-based hash of (seed, step, layer, row, column) that every engine computes. */
#pragma once
#include "real.h"

typedef struct {
  int acts;                /* is there any dropout? */
  uint32_t key, threshold; /* hashes below it are dropped */
  real factor;             /* 1 / (1 - p) */
} Dropper;

#define COLUMN 0x2545f491u /* odd, so that products with columns are distinct */
/* Mix the bits of a number, or of each lane of a vector. */
#define MIX(x)                                                                                                   \
  x ^= x >> 16;                                                                                                  \
  x *= 0x21f0aaadu;                                                                                              \
  x ^= x >> 15;                                                                                                  \
  x *= 0x735a2d97u;                                                                                              \
  x ^= x >> 15;

INLINE uint32_t mix(uint32_t x) {
  MIX(x)
  return x;
}

/* Dropout of a layer's outputs. step < 0: no dropout. */
INLINE Dropper dropper(double p, uint32_t seed, Int layer, Int step) {
  double threshold = rint(p * 4294967296.0);
  return (Dropper){.acts = step >= 0 && p > 0,
                   .key = mix(mix(mix(seed) + (uint32_t)step) + (uint32_t)layer),
                   .threshold = (uint32_t)fmin(threshold, 4294967295.0),
                   .factor = threshold < 4294967296.0 ? (real)(1.0 / (1.0 - p)) : 0}; /* p nearly 1: nothing is kept */
}

INLINE uint32_t row_key(Dropper d, Int row) { return mix((uint32_t)row + d.key); }

INLINE real keep_factor(Dropper d, uint32_t row, Int column) {
  return mix(row ^ ((uint32_t)column * COLUMN)) >= d.threshold ? d.factor : 0;
}

/* The same for VW columns from `column` on. */
INLINE vec keep_factors(Dropper d, uint32_t row, Int column) {
  typedef uint32_t Bits __attribute__((vector_size(VECTOR_BYTES / sizeof(real) * sizeof(uint32_t))));
  Bits x;
  for (Int i = 0; i < VW; i++) x[i] = (uint32_t)i * COLUMN;
  x = (x + (uint32_t)column * COLUMN) ^ row;
  MIX(x)
  return (vec)(__builtin_convertvector(x >= d.threshold, ivec) & (ivec)all(d.factor));
}
