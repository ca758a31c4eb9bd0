/* What this CPU can run, and the system saves when it switches threads.
 *
 * __builtin_cpu_supports needs a runtime library that has asked the CPU; zig's says no to all. */

#ifdef __x86_64__

#include <cpuid.h>

#include "haar.h"

enum { AVX_STATE = 0x06, AVX512_STATE = 0xE6 }; /* bits of XCR0 */

static uint32_t saved_state(void)
{
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
        return 0;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return a;
}

static int has(uint32_t instructions, uint32_t state)
{
    uint32_t a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & instructions) == instructions &&
           (saved_state() & state) == state;
}

int cpu_has_avx2(void) { return has(bit_AVX2, AVX_STATE); }

int cpu_has_avx512(void)
{
    return has(bit_AVX2 | bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL, AVX512_STATE);
}

#endif
