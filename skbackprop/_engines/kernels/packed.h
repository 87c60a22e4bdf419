/* Layers as factors of tiled products: packing and multiplication.

   Each member has its own factors, but all share the input. Rows are those of a batch or of W, padded with zeros to
   whole blocks. */
#pragma once
#include "batch.h"
#include "pool.h"

/* Whether the sums of layer h are tiled products. */
INLINE int is_tiled(const Batch *b, Int h) { return TILED && (h > 1 || b->in->X); }

/* -------------------------------------------------------------------------------------------------- factors ---- */

/* Block (i, j) of member m of a layer, and its number of rows and of columns (with padding). */
typedef struct {
  Int m, i, j, rows, columns;
} Place;

INLINE Place place_of(Int n_rows, Int n_columns, Int m, Int i, Int j) {
  return (Place){.m = m, .i = i, .j = j, .rows = MIN(BLOCK, n_rows - i * BLOCK),
                 .columns = MIN(BLOCK, padded(n_columns) - j * BLOCK)};
}

/* Epilogue for a block of sums, with rows BLOCK apart. */
typedef void Finish(const Pass *pass, Place p, real *sums);

INLINE void store_block(const real *sums, Place p, real *to, Int ld) {
  for (Int r = 0; r < p.rows; r++)
    for (Int e = 0; e < p.columns; e += VW) store(to + r * ld + e, load(sums + r * BLOCK + e));
}

/* Pack a block of a[h], with rows ld apart. The backward pass needs the transpose. */
static void pack_output(const Pass *pass, Place p, const real *a, Int ld) {
  const Layer *l = &pass->net->layers[pass->h];
  Packed to = l->tiles_a;
  if (!pass->goes_back) to.left_transposed = NULL;
  pack_block(&to, blocks_of(pass->batch->n), blocks_of(l->n_out), p.m, p.i, p.j, a, ld, p.rows,
             MIN(BLOCK, l->n_out - p.j * BLOCK));
}

/* Pack a block of delta[h], and sum its rows. */
static void pack_delta(const Pass *pass, Place p, const real *delta, Int ld) {
  const Layer *l = &pass->net->layers[pass->h];
  for (Int e = 0; e < p.columns; e += VW) {
    vec sum = load(delta + e);
    for (Int r = 1; r < p.rows; r++) sum += load(delta + r * ld + e);
    store(l->delta_sums + p.i * l->ld + p.m * l->pitch + p.j * BLOCK + e, sum);
  }
  if (l->tiles_delta.right) /* NULL for a first layer without tiles */
    pack_block(&l->tiles_delta, blocks_of(pass->batch->n), blocks_of(l->n_out), p.m, p.i, p.j, delta, ld, p.rows,
               MIN(BLOCK, l->n_out - p.j * BLOCK));
}

/* Pack all blocks of some rows, where the epilogue did not: of a[h] (q[h] without dropout), and of delta[h]. */
static void pack_outputs_task(void *context, Int index, int worker) {
  (void)worker;
  const Pass *pass = context;
  const Layer *l = &pass->net->layers[pass->h];
  const real *a = (drops(l, pass->batch) ? l->a : l->q) + index * BLOCK * l->ld;
  for (Int m = 0; m < pass->net->n_members; m++)
    for (Int j = 0; j < blocks_of(l->n_out); j++)
      pack_output(pass, place_of(pass->batch->n, l->n_out, m, index, j), a + m * l->pitch + j * BLOCK, l->ld);
}
static void pack_delta_task(void *context, Int index, int worker) {
  (void)worker;
  const Pass *pass = context;
  const Layer *l = &pass->net->layers[pass->h];
  const real *delta = (pass->h == pass->net->H ? l->q : l->delta) + index * BLOCK * l->ld;
  for (Int m = 0; m < pass->net->n_members; m++)
    for (Int j = 0; j < blocks_of(l->n_out); j++)
      pack_delta(pass, place_of(pass->batch->n, l->n_out, m, index, j), delta + m * l->pitch + j * BLOCK, l->ld);
}

/* Pack rows of the input, from X or, with dropout, from a[0]. Each row is read as a whole, for the best memory
   bandwidth. */
static void pack_input_task(void *context, Int index, int worker) {
  (void)worker;
  const Pass *pass = context;
  const Batch *b = pass->batch;
  const Layer *l = &pass->net->layers[0];
  Int ni = blocks_of(b->n), nj = blocks_of(l->n_out);
  bf16 *left = l->tiles_a.left + along_columns(ni, nj, 0, index, 0);
  for (Int r = 0; r < BLOCK; r++) {
    Int i = MIN(index * BLOCK + r, b->n - 1), n = index * BLOCK + r < b->n ? l->n_out : 0;
    const real *x = drops(l, b) ? l->a + i * l->ld : (const real *)b->in->X + row_number(b, i) * b->in->row_stride;
    bf16 *to = left + r / TILE_ROWS * nj * TILE_NUMBERS + r % TILE_ROWS * BLOCK;
    for (Int j = 0; j < nj; j++) round_row(x + j * BLOCK, n - j * BLOCK, to + j * TILE_NUMBERS);
  }
  Packed to = {.left_transposed = pass->goes_back ? l->tiles_a.left_transposed : NULL};
  for (Int j = 0; to.left_transposed && j < nj; j++)
    turn_block(&to, ni, nj, 0, index, j, left + j * TILE_NUMBERS, left + (nj + j) * TILE_NUMBERS);
}

/* Pack a block of the weights that products use. */
static void pack_weight(const Net *net, Int h, Int m, Int i, Int j) {
  const Layer *l = &net->layers[h];
  pack_block(&l->tiles_W, blocks_of(l->n_in), blocks_of(l->n_out), m, i, j,
             weights(net, h) + i * BLOCK * l->ldw + m * l->pitch + j * BLOCK, l->ldw, MIN(BLOCK, l->n_in - i * BLOCK),
             MIN(BLOCK, l->n_out - j * BLOCK));
}

/* Pack row i of the blocks of all members. */
static void pack_weights(const Net *net, Int h, Int i) {
  const Layer *l = &net->layers[h];
  for (Int m = 0; l->tiles_W.right && m < net->n_members; m++)
    for (Int j = 0; j < blocks_of(l->n_out); j++) pack_weight(net, h, m, i, j);
}

/* ------------------------------------------------------------------------------------------------- products ---- */

/* init + A B of each member, with an epilogue for each block. */
typedef struct {
  const Pass *pass;
  Int m, n, k;
  const bf16 *A, *B;
  int shares_A; /* do all members have the same A? */
  const real *init; /* one row, members are pitch apart; NULL: zero */
  Int pitch;
  Finish *finish;
  Int chunk, chunks; /* chunk: rows of blocks per task */
} TileProduct;

static void tile_product_task(void *context, Int index, int worker) {
  (void)worker;
  const TileProduct *x = context;
  Int m = index / x->chunks, first = index % x->chunks * x->chunk, stop = MIN(first + x->chunk, blocks_of(x->m));
  Int depth = blocks_of(x->k), ni = blocks_of(x->m), nj = blocks_of(x->n);
  Sums sums;
  begin_tiles();
  for (Int j = 0; j < nj; j++)
    for (Int i = first; i < stop; i++) {
      Place p = place_of(x->m, x->n, m, i, j);
      multiply_tiles(depth, x->A + along_columns(ni, depth, x->shares_A ? 0 : m, i, 0),
                     x->B + along_rows(depth, nj, m, 0, j), p.rows > TILE_ROWS, p.columns > TILE_ROWS,
                     x->init ? x->init + m * x->pitch + j * BLOCK : NO_SUMS, sums);
      x->finish(x->pass, p, sums);
    }
  end_tiles();
}

enum { CACHE_BYTES = 512 * 1024 }; /* of the second-level cache, for a block of A */

/* As many rows of blocks per task as stay in the cache while all of B is read; fewer for several threads. */
static Int blocks_in_task(Int team, Int blocks, Int depth, Int products) {
  Int chunk = MAX(CACHE_BYTES / (depth * BLOCK_NUMBERS * (Int)sizeof(bf16)), 1);
  return MIN(chunk, team > 1 ? MAX(blocks * products / (4 * team), 1) : blocks);
}

static void multiply_packed(TileProduct x) {
  const Net *net = x.pass->net;
  Int blocks = blocks_of(x.m);
  x.chunk = blocks_in_task(net->team, blocks, blocks_of(x.k), net->n_members);
  x.chunks = (blocks + x.chunk - 1) / x.chunk;
  pool_run((int)net->team, net->n_members * x.chunks, tile_product_task, &x);
}
