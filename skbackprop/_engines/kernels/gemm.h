/* C = init + A B, by tiles that stay in registers.

   A is read through two strides, so that A and A^T are the same code. B and C have rows of whole vectors. Every
   element is one chain of multiply-adds over k in ascending order, whatever the tile, so its bits do not
   depend on where in the matrix it stands, on blocking, or on threads. */
#pragma once
#include "real.h"

/* A tile has MR rows of up to NVM vectors. It holds its part of C, a row of B and one number of A in vector registers,
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

enum { AHEAD = 24 }; /* rows of B to ask for in advance: their stride is too long for the hardware to guess */
/* By the address in numbers, for no pointer may stand beyond the end of B. */
#define PREFETCH(p, n) __builtin_prefetch((const void *)((uintptr_t)(p) + (uintptr_t)(n) * sizeof(stored)))

/* Not inlined into their callers: in one large body GCC spills the accumulators. All loops over them are unrolled by
   name: where one is not, they have places on the stack as well, and are stored there for nothing. */
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

/* A row alone has tiles of more vectors too: with few of them it would wait for each multiply-add. */
enum { NVM1 = 8 };
#define WIDE(DO) DO(1, 4) DO(1, 5) DO(1, 6) DO(1, 7) DO(1, 8)
WIDE(TILE)
static Tile *const TILE_OF_ROW[NVM1 + 1] = {[4] = WIDE(POINTER)};

enum {
  KC = 1024,                  /* rows of B that stay in the second-level cache beside a block of A */
  PACKED_ROWS = 64 / MR * MR, /* of A^T, copied together at a time */
  PACK_DEPTH = 64             /* below so many terms the columns of A stay in the first-level cache anyway */
};
#define SCRATCH_REALS ((Int)PACKED_ROWS * KC)

/* What happens to a finished part of C while it is in the cache: rows from i, columns from j. */
typedef void Epilogue(void *context, Int i, Int rows, Int j, Int columns);

typedef struct {
  Int m, n, k; /* n: whole vectors */
  const stored *A;
  Int rsa, csa;
  const stored *B;
  Int ldb;
  real *C;
  Int ldc;
  const real *init; /* NULL: zero */
  Int ldi;          /* 0: the same row for all, as for biases */
  Int column0;      /* of C in what the epilogue knows */
  Epilogue *epilogue;
  void *context;
} Gemm;

static const real ZEROS[NVM1 * VECTOR_BYTES / sizeof(real)];

/* Columns i0.. of A^T, k0.. of its rows, as panels of MR contiguous numbers. */
static void pack(const Gemm *g, Int i0, Int i1, Int k0, Int kb, stored *to) {
  for (Int i = i0; i < i1; i += MR) {
    Int rows = MIN(i1 - i, MR);
    const stored *from = g->A + i + k0 * g->csa;
    for (Int p = 0; p < kb; p++, to += MR)
      if (rows == MR) memcpy(to, from + p * g->csa, sizeof(stored) * MR);
      else memcpy(to, from + p * g->csa, sizeof(stored) * (size_t)rows);
  }
}

/* A as the tiles read it: where the first one begins, how far it is to the next, and the strides. */
typedef struct {
  const stored *A;
  Int next, rsa, csa;
} Operand;

/* The part of C with rows i0..i1 and columns j0..j1, k0..k0 + kb of the sums. */
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

/* The part of C with rows i0..i1 and columns j0..j1. scratch: SCRATCH_REALS numbers of this thread's own. */
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
