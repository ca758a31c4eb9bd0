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

static int supported(void)
{
    return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}

const struct variant haar_avx512 = {"AVX-512", LANES, supported, search_scale};

#endif
