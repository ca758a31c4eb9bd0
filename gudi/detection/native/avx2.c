/* The search with AVX2. */

#ifdef __x86_64__

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC target("avx2")
#endif

#define LANES 16
#include "kernel.h"

#ifdef __clang__
#pragma clang attribute pop
#endif

const struct variant haar_avx2 = {"AVX2", LANES, cpu_has_avx2, search_scale};

#endif
