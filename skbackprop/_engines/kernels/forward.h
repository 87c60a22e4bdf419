/* The forward pass: a[h] = phi(a[h-1] W[h] + b[h]) (D1-D3), in tasks for several threads. */
#pragma once
#include "columns.h"
#include "members.h"

/* Copy input rows to a[0], or for lookups, list these and copy the columns that are not looked up. */
static void gather_task(void *context, Int index, int worker) {
  (void)worker;
  const Pass *pass = context;
  const Batch *b = pass->batch;
  Layer *input = &pass->net->layers[0];
  Dropper d = dropper_of(pass->net, 0, b);
  FOR_ROWS_OF_TASK(i, index, b->n) {
    Int row = row_number(b, i), ahead = row_number(b, MIN(i + ROWS_AHEAD, b->n - 1));
    for (Int c = 0; c < b->in->n_columns; c++) prefetch_row(&b->in->columns[c], ahead);
    if (looks_up(pass->net, b)) {
      gather_codes(pass->net, b, i);
      continue;
    }
    real *to = input->a + i * input->ld;
    if (b->in->columns) encode_row(b->in->columns, b->in->n_columns, row, to, to + input->ld);
    else memcpy(to, (const real *)b->in->X + row * b->in->row_stride, (size_t)input->n_out * sizeof(real));
    if (!d.acts) continue;
    uint32_t key = row_key(d, mask_number(b, i));
    for (Int j = 0; j < input->n_out; j += VW) store(to + j, load(to + j) * keep_factors(d, key, j));
  }
}

/* A matrix product, or one for the columns of each member. The caller sets the fields up to pitch_B. */
typedef struct {
  const Net *net;
  Gemm gemm;
  Int n_products;
  Int pitch_in, pitch_out; /* columns from one member to the next, of A, and of C and init */
  Int pitch_B;             /* elements from the B of one member to the next */
  Int row_chunk, column_chunk, row_chunks, chunks;
} Product;

static void product_task(void *context, Int index, int worker) {
  const Product *p = context;
  Int m = index / p->chunks, part = index % p->chunks;
  Int i = part % p->row_chunks * p->row_chunk, j = part / p->row_chunks * p->column_chunk;
  Gemm gemm = p->gemm;
  gemm.A += m * p->pitch_in, gemm.B += m * p->pitch_B, gemm.C += m * p->pitch_out, gemm.column0 = m * p->pitch_out;
  if (gemm.init) gemm.init += m * p->pitch_out;
  gemm_block(&gemm, i, MIN(i + p->row_chunk, p->gemm.m), j, MIN(j + p->column_chunk, p->gemm.n),
             p->net->scratch ? p->net->scratch + worker * p->net->scratch_size : NULL);
}

/* Multiply in blocks of rows of A that stay in the cache while all of B is read; smaller ones for several threads. */
static void multiply(Product p) {
  Int depth = MIN(p.gemm.k, KC) * (Int)sizeof(real), team = p.net->team;
  p.row_chunk = MAX(CACHE_BYTES / MAX(depth, 1) / MR, 4) * MR;
  p.column_chunk = p.gemm.n;
  if (team > 1) {
    Int parts = 4 * team, tiles = (p.gemm.m + MR - 1) / MR;
    if (tiles >= parts) p.row_chunk = MIN(p.row_chunk, (tiles / parts) * MR);
    else {
      p.row_chunk = MIN(p.row_chunk, MR * MAX(tiles / 2, 1));
      p.column_chunk = NVM * VW * MAX(p.gemm.n / (NVM * VW) / 4, 1);
    }
  }
  p.row_chunk = MIN(p.row_chunk, p.gemm.m);
  p.row_chunks = (p.gemm.m + p.row_chunk - 1) / p.row_chunk;
  p.chunks = p.row_chunks * ((p.gemm.n + p.column_chunk - 1) / p.column_chunk);
  pool_run((int)team, p.n_products * p.chunks, product_task, &p);
}

/* a = q * mask, for a block with rows ld apart. */
static void mask_block(const Layer *l, Int i, Int rows, Int j, Int columns, const real *q, real *a, real *mask, Int ld) {
  for (Int e = 0; e < columns; e += VW) {
    Int column = j + e - (j + e) / l->pitch * (l->pitch - l->n_out); /* mask columns do not count padding */
    for (Int r = 0; r < rows; r++) {
      vec factors = keep_factors(l->drop, l->keys[i + r], column);
      store(a + r * ld + e, load(q + r * ld + e) * factors);
      if (mask) store(mask + r * ld + e, factors);
    }
  }
}
static void apply_mask(const Layer *l, Int i, Int rows, Int j, Int columns) {
  Int at = i * l->ld + j;
  mask_block(l, i, rows, j, columns, l->q + at, l->a + at, l->mask ? l->mask + at : NULL, l->ld);
}

/* q = phi(v) (D2), in place of v, and a by dropout (D3), for a block of a layer. The last layer keeps v. */
static void activate(void *context, Int i, Int rows, Int j, Int columns) {
  const Pass *pass = context;
  const Layer *l = &pass->net->layers[pass->h];
  Int at = i * l->ld + j;
  apply_phi(l->act, l->q + at, l->d && pass->goes_back ? l->d + at : NULL, l->ld, rows, columns);
  if (drops(l, pass->batch)) apply_mask(l, i, rows, j, columns);
}

/* The same for a block of sums from tiles; the result is packed as a factor of the next layer's products. */
static void finish_output(const Pass *pass, Place p, real *sums) {
  const Layer *l = &pass->net->layers[pass->h];
  Int i = p.i * BLOCK, j = p.m * l->pitch + p.j * BLOCK;
  if (keeps_outputs(l)) {
    store_block(sums, p, l->q + i * l->ld + j, l->ld);
    if (!is_elementwise(l)) return;
    activate((void *)pass, i, p.rows, j, p.columns);
    pack_output(pass, p, (drops(l, pass->batch) ? l->a : l->q) + i * l->ld + j, l->ld);
    return;
  }
  apply_phi(l->act, sums, NULL, BLOCK, p.rows, p.columns);
  if (drops(l, pass->batch)) mask_block(l, i, p.rows, j, p.columns, sums, sums, NULL, BLOCK);
  pack_output(pass, p, sums, BLOCK);
}

/* The same for softmax, which needs whole rows. */
static void softmax_task(void *context, Int index, int worker) {
  (void)worker;
  const Pass *pass = context;
  const Layer *l = &pass->net->layers[pass->h];
  FOR_ROWS_OF_TASK(i, index, pass->batch->n) {
    for (Int m = 0; m < pass->net->n_members; m++) softmax_row(l->q + i * l->ld + m * l->pitch, l->n_out, NULL);
    if (drops(l, pass->batch)) apply_mask(l, i, 1, 0, l->width);
  }
}

/* v = b + a W for few rows, with b and then W from a flat vector, without padding. Tiles read whole vectors, across the
   end of a row of W into the next rows; so they leave out the last rows, as what follows may not be readable. Values in
   the padding of v are not used. */
static void flat_product(const Layer *l, Int n, const real *a, Int lda, const real *b) {
  const real *W = b + l->n_out;
  Int width = padded(l->n_out), left_out = MIN((width - 1) / l->n_out, l->n_in), k = l->n_in - left_out;
  for (Int i = 0; i < n; i++) memcpy(l->q + i * l->ld, b, (size_t)l->n_out * sizeof(real));
  Gemm gemm = {.m = n, .n = width, .k = k, .A = a, .rsa = lda, .csa = 1, .B = W, .ldb = l->n_out, .C = l->q,
               .ldc = l->ld, .init = l->q, .ldi = l->ld};
  gemm_block(&gemm, 0, n, 0, width, NULL);
  for (Int i = 0; i < n; i++)
    for (Int p = k; p < l->n_in; p++)
      for (Int j = 0; j < l->n_out; j++) l->q[i * l->ld + j] += a[i * lda + p] * W[p * l->n_out + j];
}

/* The first layer's sums for rows of a CSR matrix: v = b + sum_j x_j W[j]. */
static void sparse_task(void *context, Int index, int worker) {
  (void)worker;
  const Pass *pass = context;
  const Net *net = pass->net;
  const Batch *batch = pass->batch;
  const Layer *l = &net->layers[1];
  const real *W = weights(net, 1), *b = bias(net, 1);
  Int width = l->width;
  Dropper d = dropper_of(net, 0, batch);
  FOR_ROWS_OF_TASK(i, index, batch->n) {
    real *v = l->q + i * l->ld;
    uint32_t key = row_key(d, mask_number(batch, i));
    Int row = row_number(batch, i), stop = pointer_at(batch->in, row + 1);
    memcpy(v, b, (size_t)width * sizeof(real));
    for (Int e = pointer_at(batch->in, row); e < stop; e++) {
      real x = kept_entry(batch->in, e, d, key);
      const real *w = W + index_at(batch->in, e) * l->ldw;
      for (Int j = 0; j < width; j += VW) store(v + j, load(v + j) + x * load(w + j));
    }
    if (is_elementwise(l)) activate(context, i, 1, 0, width);
  }
}

/* Add the lookups of all features to the sums of some rows and columns, and apply the activation. */
static void look_up_task(void *context, Int index, int worker) {
  (void)worker;
  const Pass *pass = context;
  const Layer *l = &pass->net->layers[1];
  Int columns = LOOKUP_VECTORS * VW, parts = (l->width + columns - 1) / columns;
  Int i = index / parts * LOOKUP_ROWS, j = index % parts * columns, stop = MIN(i + LOOKUP_ROWS, pass->batch->n);
  columns = MIN(columns, l->width - j);
  look_up_part(pass->net, i, stop, j, j + columns);
  if (is_elementwise(l)) activate(context, i, stop - i, j, columns);
}

/* The first layer's sums for rows of a table: products and lookups. */
static void forward_columns(Net *net, const Batch *batch, int goes_back) {
  const Layer *l = &net->layers[1];
  Pass pass = {.net = net, .batch = batch, .h = 1, .goes_back = goes_back};
  const real *init = bias(net, 1);
  Int ldi = 0;
  for (const Run *x = net->runs; x < net->runs + net->n_runs; x++) {
    multiply((Product){.net = net, .n_products = 1,
                       .gemm = {.m = batch->n, .n = l->width, .k = x->width, .A = net->dense + x->at,
                                .rsa = net->ld_dense, .csa = 1, .B = weights(net, 1) + x->row * l->ldw,
                                .ldb = l->ldw, .C = l->q, .ldc = l->ld, .init = init, .ldi = ldi}});
    init = l->q, ldi = l->ld;
  }
  for (Int i = 0; init != l->q && i < batch->n; i++) memcpy(l->q + i * l->ld, init, (size_t)l->width * sizeof(real));
  Int columns = LOOKUP_VECTORS * VW, parts = (l->width + columns - 1) / columns;
  pool_run(net->team, (batch->n + LOOKUP_ROWS - 1) / LOOKUP_ROWS * parts, look_up_task, &pass);
}

/* Prepare the rows of a[0] for the first layer: copy them, or pack them into tiles. */
static void gather(Net *net, const Batch *batch, int goes_back) {
  Pass pass = {.net = net, .batch = batch, .goes_back = goes_back};
  int tiled = is_tiled(batch, 1);
  if (!batch->in->data && (!tiled || drops(&net->layers[0], batch)))
    pool_run(net->team, N_ROW_TASKS(batch->n), gather_task, &pass);
  if (tiled) pool_run(net->team, blocks_of(batch->n), pack_input_task, &pass);
}

/* The forward pass of a batch: a[h] = phi(a[h-1] W[h] + b[h]); q of the last layer holds v. A: rows of a[0] if they are
   dense, lda apart. `flat` is NULL, or the parameters of a network of one member, for so few rows that copying the
   parameters to padded vectors would take longer than everything else. */
static void forward(Net *net, const Batch *batch, const real *A, Int lda, const real *flat, int goes_back) {
  for (Int h = 1; h <= net->H; h++) {
    const Layer *l = &net->layers[h], *below = l - 1;
    Pass pass = {.net = net, .batch = batch, .h = h, .goes_back = goes_back};
    const real *a = h == 1 ? A : drops(below, batch) ? below->a : below->q;
    Int ld = h == 1 ? lda : below->ld;
    int tiled = is_tiled(batch, h);
    if (tiled) {
      multiply_packed((TileProduct){.pass = &pass, .m = batch->n, .n = l->n_out, .k = l->n_in, .A = below->tiles_a.left,
                                    .shares_A = h == 1, .B = l->tiles_W.right, .init = bias(net, h), .pitch = l->pitch,
                                    .finish = finish_output});
    } else if (h == 1 && batch->in->data) {
      pool_run(net->team, N_ROW_TASKS(batch->n), sparse_task, &pass);
    } else if (h == 1 && looks_up(net, batch)) {
      forward_columns(net, batch, goes_back);
    } else if (flat) {
      flat_product(l, batch->n, a, ld, flat);
      if (is_elementwise(l)) activate(&pass, 0, batch->n, 0, l->width);
      flat += (l->n_in + 1) * l->n_out;
    } else {
      Int products = h == 1 ? 1 : net->n_members; /* all members have the same inputs */
      multiply((Product){.net = net, .n_products = products, .pitch_in = below->pitch, .pitch_out = l->pitch,
                         .pitch_B = l->pitch,
                         .gemm = {.m = batch->n, .n = l->width / products, .k = l->n_in, .A = a, .rsa = ld, .csa = 1,
                                  .B = weights(net, h), .ldb = l->ldw, .C = l->q, .ldc = l->ld, .init = bias(net, h),
                                  .epilogue = is_elementwise(l) ? activate : NULL, .context = &pass}});
    }
    if (l->act == ACT_softmax) pool_run(net->team, N_ROW_TASKS(batch->n), softmax_task, &pass);
    if (TILED && h < net->H && !(tiled && is_elementwise(l)))
      pool_run(net->team, blocks_of(batch->n), pack_outputs_task, &pass);
  }
}
