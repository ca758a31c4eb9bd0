/* The search with AVX-512. */

#ifdef __x86_64__

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl")
#endif

#define LANES 32
#include "kernel.h"

#ifdef __clang__
#pragma clang attribute pop
#endif

const struct variant haar_avx512 = {"AVX-512", LANES, cpu_has_avx512, search_scale};

#endif
