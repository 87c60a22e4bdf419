/* Products of bfloat16 matrices with sums in float32, tile by tile: by the matrix unit of CPUs that have one (Intel's
   AMX), else the same sums in C.

   A tile has 16 rows of 32 elements. For the left factor these are rows of the matrix. For the right factor a tile has
   32 elements of each of 16 columns, in pairs: its row p has the elements 2p and 2p + 1 of all columns. Matrices are
   packed in blocks of 32 x 32 elements, two tiles. */
#pragma once
#include "real.h"
#ifdef __AMX_BF16__
#include <immintrin.h>
#endif

typedef uint16_t bf16; /* the upper half of a float's bits */
enum { TILE_ROWS = 16, BLOCK = 32, TILE_NUMBERS = TILE_ROWS * BLOCK, BLOCK_NUMBERS = BLOCK * BLOCK };
typedef real Sums[BLOCK_NUMBERS] __attribute__((aligned(64)));
static const real NO_SUMS[BLOCK]; /* zeros as init */

INLINE real widened(bf16 x) {
  uint32_t bits = (uint32_t)x << 16;
  float wide;
  memcpy(&wide, &bits, sizeof wide);
  return wide;
}

INLINE Int blocks_of(Int n) { return (n + BLOCK - 1) / BLOCK; }

#ifdef __AMX_BF16__

/* Tile registers belong to a thread: they are configured at the beginning of a task, and released at its end. */
INLINE void begin_tiles(void) {
  struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
  } shape = {.palette = 1};
  for (int i = 0; i < 8; i++) shape.row_bytes[i] = 64, shape.rows[i] = TILE_ROWS;
  __asm__ volatile("" ::: "memory"); /* the compiler does not know that all of shape is read */
  _tile_loadconfig(&shape);
}
INLINE void end_tiles(void) { _tile_release(); }

/* sums = init + A B for 32 rows of A and 32 columns of B, or for 16 if there are no more: `depth` tiles for each 16.
   init is one row, the same for all rows. */
INLINE void sum_tiles(Int depth, const bf16 *A, const bf16 *B, int two_rows, int two_columns, const real *init,
                      real *sums) {
  const bf16 *A1 = A + depth * TILE_NUMBERS, *B1 = B + depth * TILE_NUMBERS;
  __asm__ volatile("" ::: "memory"); /* packed elements must be in memory now */
  _tile_loadd(0, init, 0);
  if (two_columns) _tile_loadd(1, init + TILE_ROWS, 0);
  if (two_rows) _tile_loadd(2, init, 0);
  if (two_rows && two_columns) _tile_loadd(3, init + TILE_ROWS, 0);
  for (Int k = 0; k < depth * TILE_NUMBERS; k += TILE_NUMBERS) {
    _tile_loadd(4, A + k, 64);
    _tile_loadd(6, B + k, 64);
    if (two_columns) _tile_loadd(7, B1 + k, 64);
    if (two_rows) _tile_loadd(5, A1 + k, 64);
    _tile_dpbf16ps(0, 4, 6);
    if (two_columns) _tile_dpbf16ps(1, 4, 7);
    if (two_rows) _tile_dpbf16ps(2, 5, 6);
    if (two_rows && two_columns) _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, sums, 4 * BLOCK);
  if (two_columns) _tile_stored(1, sums + TILE_ROWS, 4 * BLOCK);
  if (two_rows) _tile_stored(2, sums + TILE_ROWS * BLOCK, 4 * BLOCK);
  if (two_rows && two_columns) _tile_stored(3, sums + TILE_ROWS * BLOCK + TILE_ROWS, 4 * BLOCK);
}

NOINLINE void multiply_tiles(Int depth, const bf16 *A, const bf16 *B, int two_rows, int two_columns, const real *init,
                             real *sums) {
  if (two_rows && two_columns) sum_tiles(depth, A, B, 1, 1, init, sums);
  else if (two_rows) sum_tiles(depth, A, B, 1, 0, init, sums);
  else sum_tiles(depth, A, B, 0, two_columns, init, sums);
}

/* Round n elements, at most 32, to a row of a tile, followed by zeros. */
INLINE void round_row(const real *from, Int n, bf16 *to) {
  uint64_t lanes = n >= BLOCK ? 0xffffffff : n <= 0 ? 0 : (1ull << n) - 1;
  __m512 low = _mm512_maskz_loadu_ps((__mmask16)lanes, from);
  __m512 high = _mm512_maskz_loadu_ps((__mmask16)(lanes >> 16), from + (lanes >> 16 ? TILE_ROWS : 0));
  _mm512_store_si512(to, (__m512i)_mm512_cvtne2ps_pbh(high, low));
}

/* Transpose 16 x 16 pairs. */
INLINE void transpose_pairs(__m512i *x) {
  __m512i y[16];
  for (int i = 0; i < 8; i++) {
    y[2 * i] = _mm512_unpacklo_epi32(x[2 * i], x[2 * i + 1]);
    y[2 * i + 1] = _mm512_unpackhi_epi32(x[2 * i], x[2 * i + 1]);
  }
  for (int i = 0; i < 4; i++) {
    x[4 * i] = _mm512_unpacklo_epi64(y[4 * i], y[4 * i + 2]);
    x[4 * i + 1] = _mm512_unpackhi_epi64(y[4 * i], y[4 * i + 2]);
    x[4 * i + 2] = _mm512_unpacklo_epi64(y[4 * i + 1], y[4 * i + 3]);
    x[4 * i + 3] = _mm512_unpackhi_epi64(y[4 * i + 1], y[4 * i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    y[i] = _mm512_shuffle_i32x4(x[i], x[i + 4], 0x88);
    y[i + 4] = _mm512_shuffle_i32x4(x[i], x[i + 4], 0xdd);
    y[i + 8] = _mm512_shuffle_i32x4(x[i + 8], x[i + 12], 0x88);
    y[i + 12] = _mm512_shuffle_i32x4(x[i + 8], x[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; i++) {
    x[i] = _mm512_shuffle_i32x4(y[i], y[i + 8], 0x88);
    x[i + 8] = _mm512_shuffle_i32x4(y[i], y[i + 8], 0xdd);
    x[i + 4] = _mm512_shuffle_i32x4(y[i + 4], y[i + 12], 0x88);
    x[i + 12] = _mm512_shuffle_i32x4(y[i + 4], y[i + 12], 0xdd);
  }
}

INLINE void load_tile(const bf16 *from, __m512i *x) {
  for (int r = 0; r < TILE_ROWS; r++) x[r] = _mm512_load_si512(from + r * BLOCK);
}
INLINE void store_tile(const __m512i *x, bf16 *to) {
  for (int r = 0; r < TILE_ROWS; r++) _mm512_store_si512(to + r * BLOCK, x[r]);
}

/* The rows of a block are two tiles X0 and X1. Interleave pairs of rows in its 16 columns from j on (0 or 16). */
INLINE void pair_rows(const bf16 *X0, const bf16 *X1, int j, __m512i *to) {
  short from[2 * TILE_ROWS];
  for (int i = 0; i < TILE_ROWS; i++) from[2 * i] = (short)(j + i), from[2 * i + 1] = (short)(BLOCK + j + i);
  __m512i in_turn = _mm512_loadu_si512(from);
  for (int p = 0; p < TILE_ROWS; p++) {
    const bf16 *x = (p < 8 ? X0 : X1) + p % 8 * 2 * BLOCK;
    to[p] = _mm512_permutex2var_epi16(_mm512_load_si512(x), in_turn, _mm512_load_si512(x + BLOCK));
  }
}
/* These columns as a tile of a right factor. */
NOINLINE void to_right(const bf16 *X0, const bf16 *X1, int j, bf16 *to) {
  __m512i x[TILE_ROWS];
  pair_rows(X0, X1, j, x);
  store_tile(x, to);
}

/* These columns as the rows of a tile of the transpose, a left factor. */
NOINLINE void to_left_transposed(const bf16 *X0, const bf16 *X1, int j, bf16 *to) {
  __m512i x[TILE_ROWS];
  pair_rows(X0, X1, j, x);
  transpose_pairs(x);
  store_tile(x, to);
}

/* The rows of one tile as the columns of a tile of the transpose, a right factor. */
NOINLINE void to_right_transposed(const bf16 *X, bf16 *to) {
  __m512i x[TILE_ROWS];
  load_tile(X, x);
  transpose_pairs(x);
  store_tile(x, to);
}

#else

INLINE void begin_tiles(void) {}
INLINE void end_tiles(void) {}

INLINE bf16 rounded(real number) { /* to nearest, ties to even; denormals to 0, as in the matrix unit */
  float x = (float)number;
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  uint32_t size = bits & 0x7fffffff, quiet = 0x400000;
  if (size < 0x800000) bits &= 0x80000000;
  else if (size > 0x7f800000) bits |= quiet;
  else bits += 0x7fff + (bits >> 16 & 1);
  return (bf16)(bits >> 16);
}

/* One tile of sums; separate sums for the first and for the second elements of pairs. */
static void sum_tile(Int depth, const bf16 *A, const bf16 *B, const real *init, real *sums) {
  for (Int r = 0; r < TILE_ROWS; r++) {
    real total[TILE_ROWS];
    memcpy(total, init, sizeof total);
    for (Int k = 0; k < depth * TILE_NUMBERS; k += TILE_NUMBERS) {
      real first[TILE_ROWS] = {0}, second[TILE_ROWS] = {0};
      for (Int p = 0; p < TILE_ROWS; p++) {
        real x = widened(A[k + r * BLOCK + 2 * p]), y = widened(A[k + r * BLOCK + 2 * p + 1]);
        for (Int n = 0; n < TILE_ROWS; n++) {
          first[n] += x * widened(B[k + p * BLOCK + 2 * n]);
          second[n] += y * widened(B[k + p * BLOCK + 2 * n + 1]);
        }
      }
      for (Int n = 0; n < TILE_ROWS; n++) total[n] += first[n] + second[n];
    }
    memcpy(sums + r * BLOCK, total, sizeof total);
  }
}

static void multiply_tiles(Int depth, const bf16 *A, const bf16 *B, int two_rows, int two_columns, const real *init,
                           real *sums) {
  for (Int i = 0; i <= two_rows; i++)
    for (Int j = 0; j <= two_columns; j++)
      sum_tile(depth, A + i * depth * TILE_NUMBERS, B + j * depth * TILE_NUMBERS, init + j * TILE_ROWS,
               sums + TILE_ROWS * (i * BLOCK + j));
}

static void round_row(const real *from, Int n, bf16 *to) {
  for (Int j = 0; j < BLOCK; j++) to[j] = j < n ? rounded(from[j]) : 0;
}

INLINE const bf16 *row_of(const bf16 *X0, const bf16 *X1, Int r) {
  return r < TILE_ROWS ? X0 + r * BLOCK : X1 + (r - TILE_ROWS) * BLOCK;
}

static void to_right(const bf16 *X0, const bf16 *X1, int j, bf16 *to) {
  for (Int r = 0; r < BLOCK; r++)
    for (Int n = 0; n < TILE_ROWS; n++) to[r / 2 * BLOCK + 2 * n + r % 2] = row_of(X0, X1, r)[j + n];
}

static void to_left_transposed(const bf16 *X0, const bf16 *X1, int j, bf16 *to) {
  for (Int r = 0; r < BLOCK; r++)
    for (Int n = 0; n < TILE_ROWS; n++) to[n * BLOCK + r] = row_of(X0, X1, r)[j + n];
}

static void to_right_transposed(const bf16 *X, bf16 *to) {
  for (Int n = 0; n < TILE_ROWS; n++)
    for (Int k = 0; k < BLOCK; k++) to[k / 2 * BLOCK + 2 * n + k % 2] = X[n * BLOCK + k];
}
#endif

/* A matrix packed as the factors that products need; NULL: not needed. Each member has ni x nj blocks. */
typedef struct {
  bf16 *left, *left_transposed, *right, *right_transposed;
} Packed;

INLINE Int packed_size(Int rows, Int columns) { return blocks_of(rows) * blocks_of(columns) * BLOCK_NUMBERS; }

/* Offset of block (i, j) in factors of products that sum over columns. Its second tile is nj tiles later. */
INLINE Int along_columns(Int ni, Int nj, Int m, Int i, Int j) { return ((m * ni + i) * 2 * nj + j) * TILE_NUMBERS; }
/* Its offset in factors of products that sum over rows. Its second tile is ni tiles later. */
INLINE Int along_rows(Int ni, Int nj, Int m, Int i, Int j) { return ((m * nj + j) * 2 * ni + i) * TILE_NUMBERS; }

/* Pack all factors but the left one, from the rows of a block. */
static void turn_block(const Packed *to, Int ni, Int nj, Int m, Int i, Int j, const bf16 *X0, const bf16 *X1) {
  Int by_columns = along_columns(ni, nj, m, i, j), by_rows = along_rows(ni, nj, m, i, j);
  for (int second = 0; second < 2; second++) {
    Int at = by_rows + second * ni * TILE_NUMBERS;
    if (to->right) to_right(X0, X1, second * TILE_ROWS, to->right + at);
    if (to->left_transposed) to_left_transposed(X0, X1, second * TILE_ROWS, to->left_transposed + at);
    if (to->right_transposed)
      to_right_transposed(second ? X1 : X0, to->right_transposed + by_columns + second * nj * TILE_NUMBERS);
  }
}

/* Pack all factors of block (i, j) of member m, which has `rows` rows, ld apart, and `columns` columns. */
static void pack_block(const Packed *to, Int ni, Int nj, Int m, Int i, Int j, const real *from, Int ld, Int rows,
                       Int columns) {
  bf16 spare[BLOCK_NUMBERS] __attribute__((aligned(64)));
  bf16 *X0 = to->left ? to->left + along_columns(ni, nj, m, i, j) : spare;
  bf16 *X1 = X0 + (to->left ? nj : 1) * TILE_NUMBERS;
  for (Int r = 0; r < BLOCK; r++)
    round_row(from + MIN(r, rows - 1) * ld, r < rows ? columns : 0,
              r < TILE_ROWS ? X0 + r * BLOCK : X1 + (r - TILE_ROWS) * BLOCK);
  turn_block(to, ni, nj, m, i, j, X0, X1);
}

/* Unpack block (i, j) of member m from the left factor, to rows BLOCK apart. */
static void unpack_block(const Packed *from, Int ni, Int nj, Int m, Int i, Int j, real *to) {
  const bf16 *X = from->left + along_columns(ni, nj, m, i, j);
  for (Int r = 0; r < BLOCK; r++) {
    const bf16 *row = X + r / TILE_ROWS * nj * TILE_NUMBERS + r % TILE_ROWS * BLOCK;
    for (Int e = 0; e < BLOCK; e++) to[r * BLOCK + e] = widened(row[e]);
  }
}
