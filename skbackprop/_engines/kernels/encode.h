/* Codes of bins and of categories, written out as the numbers that a network takes, for any rows in any order. */
#ifndef SKB_ENCODE_H
#define SKB_ENCODE_H
#include <stdint.h>
#include <string.h>

#include "system.h"

/* Of each value of a column the number of its bin, and how far it has come through it, stretched from low to high: what
   is left of 0 counts as 0, and right of 1 as 1. Edges ascend. NaN has a bin of its own, behind the last. */
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

static int are_below(Int n_rows, const int64_t *order, Int n) {
  int known = 1;
  for (Int i = 0; i < n; i++) known &= order[i] >= 0 && order[i] < n_rows;
  return known;
}

enum { USUAL_BINS = 8, AHEAD = 8 }; /* rows whose codes are asked of the memory before they are needed */

/* Bins before that of a value are full, those behind it empty. levels: `most` numbers of a full bin, then as many of an
   empty one and USUAL_BINS more. Where the value was missing, all are as in the middle. Up to USUAL_BINS numbers are
   written at once, where what is too much is written over by those of the next feature. */
static int encode_bins(const uint16_t *bins, const float *codes, Int n_rows, Int n_features, const int64_t *n_bins,
                       const float *levels, Int most, float middle, const int64_t *order, Int n, float *out, Int pitch) {
  if (!are_below(n_rows, order, n)) return 0;
  Int width = 0;
  for (Int j = 0; j < n_features; j++) width += n_bins[j];
  for (Int i = 0; i < n; i++) {
    const uint16_t *of_row = bins + order[i] * n_features;
    float *to = out + i * pitch, *last = to + width - USUAL_BINS;
    if (i + AHEAD < n) {
      __builtin_prefetch(bins + order[i + AHEAD] * n_features);
      __builtin_prefetch(codes + order[i + AHEAD] * n_features);
      __builtin_prefetch(codes + order[i + AHEAD] * n_features + 16);
    }
    for (Int j = 0; j < n_features; to += n_bins[j], j++) {
      Int k = of_row[j];
      if (k >= n_bins[j]) {
        for (Int e = 0; e < n_bins[j]; e++) to[e] = middle;
        continue;
      }
      const float *from = levels + most - k;
      if (n_bins[j] <= USUAL_BINS && to <= last) memcpy(to, from, USUAL_BINS * sizeof(float));
      else memcpy(to, from, (size_t)n_bins[j] * sizeof(float));
      to[k] = codes[order[i] * n_features + j];
    }
  }
  return 1;
}

/* One column for each category; a number beyond the last is that of a category that is not known. */
static int encode_categories(const uint16_t *numbers, Int n_rows, Int n_features, const int64_t *sizes,
                             const int64_t *order, Int n, float *out, Int pitch) {
  if (!are_below(n_rows, order, n)) return 0;
  for (Int i = 0; i < n; i++) {
    float *to = out + i * pitch;
    for (Int j = 0; j < n_features; to += sizes[j], j++) {
      Int k = numbers[order[i] * n_features + j];
      memset(to, 0, (size_t)sizes[j] * sizeof(float));
      if (k < sizes[j]) to[k] = 1;
    }
  }
  return 1;
}
#endif
