/* Number formats: the kernels are compiled once for each row of this table, and for each level of instructions. */
#pragma once

#define FORMATS(ROW, level) ROW(level, float32) ROW(level, float64) ROW(level, bfloat16)

/* Type of the numbers that products read from memory, of the factors they become, and of sums. Whatever is no product
   is computed and stored in the type of sums. Last, whether factors are rounded to bfloat16 and packed into tiles: not in
   the first layer of sparse inputs and of tables, which is no product of matrices but looked up. */
#define FORMAT_float32 float, float, float, 0
#define FORMAT_float64 double, double, double, 0
#define FORMAT_bfloat16 float, float, float, 1
