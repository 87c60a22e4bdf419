/* C = init + A B, by register tiles.

   A is read with two strides, so that A and A^T use the same code. Rows of B and C are whole vectors. Every element
   is one chain of multiply-adds over k in ascending order, for all tiles, so its bits do not depend on its position
   in the matrix, on blocking, or on threads. */
#pragma once
#include "real.h"

/* A tile has MR rows of up to NVM vectors. It holds its part of C, a row of B and one element of A in vector registers,
   of which AVX-512 and 64-bit ARM have 32 (8 * 3 + 3 + 1), SSE2 and AVX2 16 (6 * 2 + 2 + 1). TILES are all sizes up to
   this one, for the edges of C. */
#if defined(__AVX512F__) || defined(__aarch64__)
enum { MR = 8, NVM = 3 };
#define COLUMNS(DO, M) DO(M, 1) DO(M, 2) DO(M, 3)
#define TILES(DO) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8)
#else
enum { MR = 6, NVM = 2 };
#define COLUMNS(DO, M) DO(M, 1) DO(M, 2)
#define TILES(DO) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6)
#endif

typedef void Tile(Int k, const stored *A, Int rsa, Int csa, const stored *B, Int ldb, real *C, Int ldc,
                  const real *init, Int ldi);

enum { AHEAD = 24 }; /* prefetch distance, in rows of B: their stride is too long for hardware prefetch */
/* By integer arithmetic, as a pointer beyond the end of B is undefined behaviour. */
#define PREFETCH(p, n) __builtin_prefetch((const void *)((uintptr_t)(p) + (uintptr_t)(n) * sizeof(stored)))

/* Tiles are not inlined: in one large function GCC spills the accumulators. All loops over accumulators are unrolled
   explicitly: otherwise GCC also stores them on the stack, needlessly. */
#define ALL(i, n) _Pragma("GCC unroll 8") for (int i = 0; i < n; i++)
#define TILE(M, NV)                                                                                              \
  NOINLINE void tile_##M##_##NV(Int k, const stored *restrict A, Int rsa, Int csa, const stored *restrict B,     \
                                Int ldb, real *C, Int ldc, const real *init, Int ldi) {                          \
    vec c[M][NV];                                                                                                \
    ALL(i, M) ALL(j, NV) c[i][j] = load(init + i * ldi + VW * j);                                                \
    for (Int p = 0; p < k; p++) {                                                                                \
      factors b[NV];                                                                                             \
      ALL(j, NV) b[j] = load_factors(B + p * ldb + VW * j);                                                      \
      ALL(j, NV) PREFETCH(B, (p + AHEAD) * ldb + VW * j);                                                        \
      ALL(i, M) {                                                                                                \
        factors a = same_factors(A[i * rsa + p * csa]);                                                          \
        ALL(j, NV) c[i][j] += __builtin_convertvector(a * b[j], vec);                                            \
      }                                                                                                          \
    }                                                                                                            \
    ALL(i, M) ALL(j, NV) store(C + i * ldc + VW * j, c[i][j]);                                                   \
  }
#define TILES_OF(M) COLUMNS(TILE, M)
TILES(TILES_OF)
#define POINTER(M, NV) tile_##M##_##NV,
#define POINTERS(M) {NULL, COLUMNS(POINTER, M)},
static Tile *const TILE_OF[MR + 1][NVM + 1] = {{NULL}, TILES(POINTERS)};

/* For a single row there are wider tiles: with few accumulators, each multiply-add would wait for the one before. */
enum { NVM1 = 8 };
#define WIDE(DO) DO(1, 4) DO(1, 5) DO(1, 6) DO(1, 7) DO(1, 8)
WIDE(TILE)
static Tile *const TILE_OF_ROW[NVM1 + 1] = {[4] = WIDE(POINTER)};

enum {
  KC = 1024,                  /* rows of B that fit the second-level cache with a block of A */
  PACKED_ROWS = 64 / MR * MR, /* of A, packed at a time */
  PACK_DEPTH = 64             /* least k for packing: below, columns of A stay in the first-level cache anyway */
};
#define SCRATCH_REALS ((Int)PACKED_ROWS * KC)

/* Called for each finished part of C while it is in the cache: rows from i on, columns from j on. */
typedef void Epilogue(void *context, Int i, Int rows, Int j, Int columns);

typedef struct {
  Int m, n, k; /* n: a multiple of VW */
  const stored *A;
  Int rsa, csa;
  const stored *B;
  Int ldb;
  real *C;
  Int ldc;
  const real *init; /* NULL: zero */
  Int ldi;          /* 0: the same row for all, as for biases */
  Int column0;      /* added to the epilogue's column j */
  Epilogue *epilogue;
  void *context;
} Gemm;

static const real ZEROS[NVM1 * VECTOR_BYTES / sizeof(real)];

/* Pack rows i0..i1 and columns k0..k0 + kb of A, whose columns are contiguous, into panels of MR rows. */
static void pack(const Gemm *g, Int i0, Int i1, Int k0, Int kb, stored *to) {
  for (Int i = i0; i < i1; i += MR) {
    Int rows = MIN(i1 - i, MR);
    const stored *from = g->A + i + k0 * g->csa;
    for (Int p = 0; p < kb; p++, to += MR)
      if (rows == MR) memcpy(to, from + p * g->csa, sizeof(stored) * MR);
      else memcpy(to, from + p * g->csa, sizeof(stored) * (size_t)rows);
  }
}

/* A as tiles read it: address of the first tile's part, distance to the next one, and strides. */
typedef struct {
  const stored *A;
  Int next, rsa, csa;
} Operand;

/* Rows i0..i1 and columns j0..j1 of C, with the terms k0..k0 + kb of the sums. */
static void gemm_part(const Gemm *g, Operand a, Int i0, Int i1, Int j0, Int j1, Int k0, Int kb) {
  int last = k0 + kb >= g->k;
  for (Int j = j0; j < j1;) {
    Int left = (j1 - j) / VW, nv = left == NVM + 1 ? 2 : MIN(left, NVM); /* 3 + 1 is slower than 2 + 2 */
    int wide = i1 - i0 == 1 && left > 3;
    if (wide) nv = MIN(left, NVM1);
    for (Int i = i0, tile = 0; i < i1; i += MR, tile++) {
      Int rows = MIN(i1 - i, MR);
      real *C = g->C + i * g->ldc + j;
      const real *init = C;
      Int ldi = g->ldc;
      if (k0 == 0) {
        init = g->init ? g->init + i * g->ldi + j : ZEROS;
        ldi = g->init ? g->ldi : 0;
      }
      Tile *tile_of = wide ? TILE_OF_ROW[nv] : TILE_OF[rows][nv];
      tile_of(kb, a.A + tile * a.next, a.rsa, a.csa, g->B + k0 * g->ldb + j, g->ldb, C, g->ldc, init, ldi);
      if (last && g->epilogue) g->epilogue(g->context, i, rows, g->column0 + j, nv * VW);
    }
    j += nv * VW;
  }
}

/* Rows i0..i1 and columns j0..j1 of C. scratch: SCRATCH_REALS elements that only this thread uses. */
static void gemm_block(const Gemm *g, Int i0, Int i1, Int j0, Int j1, stored *scratch) {
  int packs = g->rsa == 1 && g->csa != 1 && j1 - j0 > NVM * VW && g->k >= PACK_DEPTH;
  Int k0 = 0;
  do {
    Int kb = MIN(g->k - k0, KC);
    Operand in_place = {.A = g->A + i0 * g->rsa + k0 * g->csa, .next = MR * g->rsa, .rsa = g->rsa, .csa = g->csa};
    Operand panels = {.A = scratch, .next = MR * kb, .rsa = 1, .csa = MR};
    if (!packs) gemm_part(g, in_place, i0, i1, j0, j1, k0, kb);
    for (Int i = i0; packs && i < i1; i += PACKED_ROWS) {
      Int stop = MIN(i + PACKED_ROWS, i1);
      pack(g, i, stop, k0, kb, scratch);
      gemm_part(g, panels, i, stop, j0, j1, k0, kb);
    }
    k0 += kb;
  } while (k0 < g->k);
}
