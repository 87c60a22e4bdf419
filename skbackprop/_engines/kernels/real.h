/* The types of the number format FORMAT, and vectors of its type of sums, for any vector width. */
#pragma once
#include "formats.h"
#include "system.h"
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifndef VECTOR_BYTES
#define VECTOR_BYTES 16
#endif
#define STORED_OF(stored, product, sum, tiled) stored
#define PRODUCT_OF(stored, product, sum, tiled) product
#define SUM_OF(stored, product, sum, tiled) sum
#define TILED_OF(stored, product, sum, tiled) tiled
#define PICK(COLUMN, ...) COLUMN(__VA_ARGS__)
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define ROW_OF_FORMAT JOIN(FORMAT_, FORMAT)
typedef PICK(STORED_OF, ROW_OF_FORMAT) stored;
typedef PICK(PRODUCT_OF, ROW_OF_FORMAT) product;
typedef PICK(SUM_OF, ROW_OF_FORMAT) real;
enum { TILED = PICK(TILED_OF, ROW_OF_FORMAT) };

/* Constants of the type of sums. MAGIC is 1.5 * 2^MANTISSA_BITS: adding it rounds to an integer, which is then in the
   low bits. LN2_HIGH has few enough bits for exact products with integers; LN2_HIGH + LN2_LOW = ln 2. Polynomials begin
   with the highest power. */
#define BITS_float 32
#define BITS_double 64
#define REAL_BITS JOIN(BITS_, PICK(SUM_OF, ROW_OF_FORMAT))
#if REAL_BITS == 32
typedef int32_t integer;
enum { EXPONENT_BIAS = 127, MANTISSA_BITS = 23 };
#define MAGIC 12582912.0f
#define REAL_TINY 1.17549435e-38f
#define LN2_HIGH 0.693359375f
#define LN2_LOW -2.12194440e-4f
#define EXP_HIGH 89.0f /* e^x is infinity above EXP_HIGH, 0 below EXP_LOW; e^x - 1 is -1 below EXPM1_LOW */
#define EXP_LOW -104.0f
#define EXPM1_LOW -87.0f
#define EXP_TERMS 1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5
#define ARTANH_TERMS 1.0 / 15, 1.0 / 13, 1.0 / 11, 1.0 / 9, 1.0 / 7, 1.0 / 5, 1.0 / 3
#define r_exp expf
#define r_log logf
#define r_expm1 expm1f
#define r_log1p log1pf
#define r_pow powf
#define r_erf erff
#define r_sqrt sqrtf
#else
typedef int64_t integer;
enum { EXPONENT_BIAS = 1023, MANTISSA_BITS = 52 };
#define MAGIC 6755399441055744.0
#define REAL_TINY 2.2250738585072014e-308
#define LN2_HIGH 6.93147180369123816490e-01
#define LN2_LOW 1.90821492927058770002e-10
#define EXP_HIGH 710.0
#define EXP_LOW -746.0
#define EXPM1_LOW -708.0
#define EXP_TERMS                                                                                                \
  1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040,       \
      1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5
#define ARTANH_TERMS                                                                                             \
  1.0 / 33, 1.0 / 31, 1.0 / 29, 1.0 / 27, 1.0 / 25, 1.0 / 23, 1.0 / 21, 1.0 / 19, 1.0 / 17, 1.0 / 15, 1.0 / 13,  \
      1.0 / 11, 1.0 / 9, 1.0 / 7, 1.0 / 5, 1.0 / 3
#define r_exp exp
#define r_log log
#define r_expm1 expm1
#define r_log1p log1p
#define r_pow pow
#define r_erf erf
#define r_sqrt sqrt
#endif

#define R(x) ((real)(x))
#define VW ((Int)(VECTOR_BYTES / sizeof(real)))
typedef real vec __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));
typedef integer ivec __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));

#define INLINE static inline __attribute__((always_inline))
#define NOINLINE static __attribute__((noinline))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* Factors of a product: a vector of stored elements, or one element broadcast to all lanes. */
typedef product factors __attribute__((vector_size(VECTOR_BYTES / sizeof(real) * sizeof(product)),
                                       aligned(sizeof(stored)), may_alias));
INLINE factors load_factors(const stored *p) { return *(const factors *)p; }
INLINE factors same_factors(stored x) { return (product)x - (factors){0}; }

INLINE vec load(const real *p) { return *(const vec *)p; }
INLINE void store(real *p, vec x) { *(vec *)p = x; }
/* A broadcast, since x - 0 is x, for -0 and NaN too; 0 + x would be an addition. */
INLINE vec all(real x) { return x - (vec){0}; }
INLINE vec pick(ivec mask, vec a, vec b) { return (vec)((mask & (ivec)a) | (~mask & (ivec)b)); }
INLINE vec vabs(vec x) { return pick(x < 0, -x, x); }

INLINE Int padded(Int n) { return (n + VW - 1) / VW * VW; }

/* Rows with a stride of a multiple of 1024 bytes share few cache sets: widen those by one vector. */
INLINE Int row_stride(Int n) {
  Int width = padded(n);
  return width * (Int)sizeof(real) % 1024 == 0 ? width + VW : width;
}

/* Mask of the first n lanes, for the end of a row. If the other lanes were set by scalar stores instead, the next load
   of the whole vector would wait for those stores. */
INLINE ivec first_lanes(Int n) {
  ivec lane;
  for (Int i = 0; i < VW; i++) lane[i] = (integer)i;
  return lane < (integer)MIN(n, VW);
}

/* Mask of lane n; empty if there is no such lane. */
INLINE ivec only_lane(Int n) {
  ivec lane;
  for (Int i = 0; i < VW; i++) lane[i] = (integer)i;
  return lane == (integer)(n >= 0 && n < VW ? n : -1);
}

/* Sum and maximum of the lanes: the halves of the vector are combined, again and again, always in this order. */
typedef real vec32 __attribute__((vector_size(32), aligned(sizeof(real)), may_alias));
typedef real vec16 __attribute__((vector_size(16), aligned(sizeof(real)), may_alias));
#if VECTOR_BYTES == 64
#define FOLD(x, OP)                                                                                              \
  vec32 half = OP(((const vec32 *)&x)[0], ((const vec32 *)&x)[1]);                                               \
  vec16 quarter = OP(((const vec16 *)&half)[0], ((const vec16 *)&half)[1]);
#elif VECTOR_BYTES == 32
#define FOLD(x, OP) vec16 quarter = OP(((const vec16 *)&x)[0], ((const vec16 *)&x)[1]);
#else
#define FOLD(x, OP) vec16 quarter = x;
#endif
#if REAL_BITS == 32
#define FOLDED(OP) OP(OP(quarter[0], quarter[2]), OP(quarter[1], quarter[3]))
#else
#define FOLDED(OP) OP(quarter[0], quarter[1])
#endif
#define ADD(a, b) ((a) + (b))
#define GREATER(a, b) ((a) > (b) ? (a) : (b))
#define MASK(a, b) __typeof__((a) > (b))
#define GREATER_LANES(a, b)                                                                                      \
  (__typeof__(a))((((a) > (b)) & (MASK(a, b))(a)) | (~((a) > (b)) & (MASK(a, b))(b)))

INLINE real lanes_sum(vec x) {
  FOLD(x, ADD)
  return FOLDED(ADD);
}

INLINE real lanes_max(vec x) {
  FOLD(x, GREATER_LANES)
  return FOLDED(GREATER);
}

/* Interleave the lanes of the first (0) or second (1) halves of two vectors. */
INLINE vec riffle(vec a, vec b, int half) {
#ifdef __clang__
  vec c;
  for (Int i = 0; i < VW; i++) c[i] = (i % 2 ? b : a)[i / 2 + half * VW / 2];
  return c;
#else
  ivec from;
  for (Int i = 0; i < VW; i++) from[i] = (integer)(i / 2 + i % 2 * VW + half * VW / 2);
  return __builtin_shuffle(a, b, from);
#endif
}

/* Transpose a square of VW rows, by log2(VW) rounds of interleaving. */
NOINLINE void transpose_square(const real *from, Int ld_from, real *to, Int ld_to) {
  vec x[VECTOR_BYTES / sizeof(real)];
  for (int i = 0; i < VW; i++) x[i] = load(from + i * ld_from);
  for (int round = 1; round < VW; round *= 2) {
    vec y[VECTOR_BYTES / sizeof(real)];
    for (int i = 0; i < VW / 2; i++) {
      y[2 * i] = riffle(x[i], x[i + VW / 2], 0);
      y[2 * i + 1] = riffle(x[i], x[i + VW / 2], 1);
    }
    for (int i = 0; i < VW; i++) x[i] = y[i];
  }
  for (int i = 0; i < VW; i++) store(to + i * ld_to, x[i]);
}
