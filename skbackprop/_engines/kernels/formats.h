/* Number formats: the kernels are compiled once for each row of this table, and for each level of instructions. */
#pragma once

#define FORMATS(ROW, level) ROW(level, float32) ROW(level, float64)

/* Type of the numbers that products read from memory, of the factors they become, and of sums. Whatever is no product
   is computed and stored in the type of sums. */
#define FORMAT_float32 float, float, float
#define FORMAT_float64 double, double, double
