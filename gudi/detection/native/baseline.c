/* The search with what every CPU of the platform has: SSE2, or NEON on ARM. */

#define LANES 8
#include "kernel.h"

static int supported(void) { return 1; }

const struct variant haar_baseline = {"baseline", LANES, supported, search_scale};
