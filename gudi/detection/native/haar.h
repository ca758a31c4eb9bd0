/* What the parts of the face search share: the cascade's tables and the state of one search. */

#ifndef GUDI_HAAR_H
#define GUDI_HAAR_H

#include <stddef.h>
#include <stdint.h>

#include "hits.h"

/* An error like all others, which are texts. */
#define SHORT_OF_MEMORY ""

enum {
    WINDOW = 24,             /* side of the cascade's window, in pixels */
    PATCH_SIDE = WINDOW + 1, /* entries of an integral image along a window */
    PATCH = PATCH_SIDE * PATCH_SIDE,

    MAX_POINTS = 9, /* entries that a feature reads */
    MAX_PARTS = 4,  /* pieces of a feature whose value does not fit into 16 bits */
    PART_LENGTH = 1 + 2 * MAX_POINTS, /* a part's kind, the rows and the columns that it reads */

    /* Stages that are evaluated for runs of neighbouring windows. After them, few windows are
     * left, and those are collected first. Three is fastest on photos and on FER2013. */
    DENSE_STAGES = 3,

    MAX_LANES = 32,        /* windows per vector of the widest variant */
    ROW_PADDING = 2 * (MAX_LANES + 8), /* entries that vectors may read past both planes of a row */
};

/* Shapes of features, as weights of the integral's entries; see `weights` in cascade.c. */
enum kind { EDGE, LINE, CHECKER, INVERSE_CHECKER, KINDS };

/* Where a part of a feature reads: offsets from the window's first entry. */
struct points {
    int32_t at[MAX_POINTS];
};

/* A weak classifier: `left` if its feature is below the threshold, else `right`. */
struct stump {
    float threshold, left, right;
    int32_t delta; /* left - right, in units of 1 / QUANTA */
    int32_t first_part, parts;
};

/* Within a stage, stumps of one part come first, by kind; `order` keeps the cascade's order. */
struct stage {
    int32_t first[KINDS + 1]; /* first stump of each kind; the last entry: of several parts */
    int32_t end;              /* one past the last stump */
    int32_t first_part;
    int32_t perhaps, surely; /* sums of `delta` from which a window may pass, and does pass */
    float threshold;
};

struct cascade {
    int32_t stages, stumps, parts;
    struct stage *stage;
    struct stump *stump;
    int32_t *order;        /* stumps in the order in which OpenCV adds them */
    uint8_t *kind;         /* per part */
    uint8_t *row, *column; /* MAX_POINTS per part, both from 0 to WINDOW */
    struct points *patch;  /* per part, for windows that have been collected */
    const struct variant *variant;
};

/* A pass over the picture. */
struct scale {
    float factor;          /* by which the picture shrinks */
    int32_t width, height; /* of the shrunk picture */
    double ratio;          /* by which its height has shrunk */
    int32_t step;    /* pixels from one window to the next, 1 or 2 */
    int32_t windows; /* in a row */
    int32_t end;     /* one past the last row of windows */
};

/* A window that has passed the stages so far. */
struct candidate {
    const uint16_t *window;
    float norm;
    int32_t x, y;
};

/* Candidates that wait until there are enough of them to fill a vector. */
struct queue {
    int32_t count;
    struct candidate candidates[MAX_LANES];
};

enum { QUEUES = 2 };

/* A run of neighbouring windows, one per lane, of which some are still alive. */
struct run {
    int32_t first;
    uint32_t alive;
};

struct search {
    const struct cascade *cascade;
    const uint8_t *pixels; /* row after row, without gaps */
    int32_t width, height;

    /* Integral images of a band of rows. If windows are two pixels apart, even and odd columns
     * are in two planes, so that neighbouring windows always read neighbouring entries. */
    int32_t stride, plane;   /* entries from row to row, and from the even to the odd plane */
    int32_t capacity;        /* rows in memory */
    int32_t first_row, rows; /* the first one in memory, and one past the last */
    uint16_t *sums;          /* modulo 2**16 */
    uint32_t *squares;       /* modulo 2**32 */
    struct points *points[2]; /* of the parts of the dense stages, by step - 1 */

    /* Resizing, one entry per column. */
    int32_t *source_column;
    uint32_t *column_weight; /* of the pixel right of it, in 1/256 */
    uint16_t *blended;
    uint32_t *pairs;
    uint32_t *column_sums;
    uint32_t *column_squares;

    /* A row of windows. */
    float *norms;
    struct run *runs;

    uint16_t *patch;
    struct queue queues[QUEUES];

    struct hits hits;
};

/* The inner loops of the search, compiled for one instruction set. */
struct variant {
    const char *name;
    int32_t lanes;
    int (*supported)(void);
    void (*search_scale)(struct search *, const struct scale *);
};

extern const struct variant haar_baseline;
#ifdef __x86_64__
extern const struct variant haar_avx2, haar_avx512;

/* cpu.c */
int cpu_has_avx2(void);
int cpu_has_avx512(void);
#endif

/* cascade.c */
const char *cascade_check(struct cascade *, int64_t stages, const int32_t *sizes,
                          const float *thresholds, int64_t stumps, const uint8_t *counts,
                          int64_t parts, const uint8_t *part);
const char *cascade_build(struct cascade *, const int32_t *sizes, const float *thresholds,
                          const float *stumps, const uint8_t *counts, const uint8_t *parts);
void cascade_free(struct cascade *);
void cascade_place(const struct cascade *, struct points *, int32_t parts, int32_t stride,
                   int32_t plane, int32_t step, int32_t lanes);
int cascade_passes(const struct cascade *, int32_t stage, const struct points *,
                   const uint16_t *window, float norm);

/* search.c */
int search_picture(struct search *, const float *factors, int64_t count);
void search_free(struct search *);

#endif
