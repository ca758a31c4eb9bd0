/* The windows that pass all stages, and the faces that they merge into. */

#ifndef GUDI_HITS_H
#define GUDI_HITS_H

#include <stdint.h>

/* A square, in pixels of the picture. */
struct hit {
    int32_t x, y, side;
};

struct hits {
    struct hit *at;
    int64_t count, capacity;
    int out_of_memory;
};

/* A face: overlapping hits, merged into one square. */
struct group {
    int32_t x, y, side, hits;
};

void hits_add(struct hits *, struct hit);
void hits_free(struct hits *);
int64_t hits_group(const struct hits *, int64_t min_neighbors, struct group **groups);

#endif
