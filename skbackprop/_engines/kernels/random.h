/* Dropout masks: the counter-based hash of (seed, step, layer, row, column) that every engine computes. */
#pragma once
#include "real.h"

INLINE uint32_t mix(uint32_t x) {
  x ^= x >> 16;
  x *= 0x21f0aaadu;
  x ^= x >> 15;
  x *= 0x735a2d97u;
  return x ^ (x >> 15);
}

typedef struct {
  int acts; /* Is anything dropped at all? */
  uint32_t key;
  uint64_t threshold; /* dropped: bits below it; 2^32 if p is nearly 1 */
  real factor;        /* 1 / (1 - p) */
} Dropper;

/* Of a layer's outputs. step < 0: no dropout. */
INLINE Dropper dropper(double p, uint32_t seed, Int layer, Int step) {
  return (Dropper){.acts = step >= 0 && p > 0,
                   .key = mix(mix(mix(seed) + (uint32_t)step) + (uint32_t)layer),
                   .threshold = (uint64_t)rint(p * 4294967296.0),
                   .factor = (real)(1.0 / (1.0 - p))};
}

INLINE uint32_t row_key(Dropper d, Int row) { return mix((uint32_t)row + d.key); }

INLINE real keep_factor(Dropper d, uint32_t row, Int column) {
  return mix(row ^ ((uint32_t)column * 0x2545f491u)) >= d.threshold ? d.factor : 0;
}

static void mask_row(Dropper d, Int row, Int first, Int columns, real *mask) {
  uint32_t key = row_key(d, row);
  for (Int j = 0; j < columns; j++) mask[j] = keep_factor(d, key, first + j);
}
