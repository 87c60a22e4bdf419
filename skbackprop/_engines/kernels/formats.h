/* Number formats: the kernels are compiled once for each row of this table and each instruction-set level. */
#pragma once

#define FORMATS(ROW, level) ROW(level, float32) ROW(level, float64) ROW(level, bfloat16)

/* Types of the elements that products read from memory, of their factors, and of sums. Everything else is computed and
   stored in the type of sums. Last: are factors rounded to bfloat16 and packed into tiles? Not in the first layer with
   sparse inputs or tables, which uses lookups instead of matrix products. */
#define FORMAT_float32 float, float, float, 0
#define FORMAT_float64 double, double, double, 0
#define FORMAT_bfloat16 float, float, float, 1
