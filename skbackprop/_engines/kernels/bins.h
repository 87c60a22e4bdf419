/* Bins and codes of numbers. */
#ifndef SKB_BINS_H
#define SKB_BINS_H
#include <stdint.h>

#include "system.h"

/* For each value of a column, the index k of its bin, and its code: its position between the edges k and k + 1, scaled
   from 0..1 to low..high, and clipped. Edges ascend. NaN has the index n_bins, and position 0.5. */
static void find_bins(const double *x, Int n, const double *edges, Int n_bins, double low, double high, uint16_t *bins,
                      float *codes, Int pitch) {
  for (Int i = 0; i < n; i++) {
    Int k = 0;
    for (Int e = 1; e < n_bins; e++) k += x[i] >= edges[e];
    double passed = n_bins ? (x[i] - edges[k]) / (edges[k + 1] - edges[k]) : 0.5;
    passed = passed != passed ? 0.5 : passed < 0 ? 0 : passed > 1 ? 1 : passed;
    bins[i * pitch] = (uint16_t)(x[i] != x[i] ? n_bins : k);
    codes[i * pitch] = (float)(low + (high - low) * passed);
  }
}
#endif
