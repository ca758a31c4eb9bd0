/* The inner loops of the search. Each variant (baseline.c, avx2.c, …) includes this file once.
 *
 * A vector holds one 16-bit entry for each of LANES windows. Integral images are kept modulo
 * 2**16. The value of a feature is still exact if the value itself fits into 16 bits; features
 * whose values may not fit come in several parts. Values are widened to 32 bits in two halves, the
 * even lanes and the odd lanes. On a little-endian machine, this takes a shift and a mask instead of
 * shuffles.
 */

#include <math.h>
#include <string.h>

#include "haar.h"
#include "integrals.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "lanes are split into even and odd ones as a little-endian machine lays them out"
#endif

typedef uint16_t shorts __attribute__((vector_size(2 * LANES)));
typedef uint16_t loose_shorts __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
typedef int32_t ints __attribute__((vector_size(2 * LANES)));
typedef float floats __attribute__((vector_size(2 * LANES)));
typedef float loose_floats __attribute__((vector_size(2 * LANES), aligned(4), may_alias));
typedef int8_t bytes __attribute__((vector_size(LANES)));

#define ODD_LANES ((int32_t)0xFFFF0000)

INLINE shorts load(const uint16_t *entry) { return *(const loose_shorts *)entry; }

INLINE floats to_floats(ints values) { return __builtin_convertvector(values, floats); }

/* Lane by lane, the values of a part of a feature for the windows that begin at `window`. */

INLINE shorts edge(const uint16_t *window, const int32_t *at)
{
    shorts whole = load(window + at[0]) + load(window + at[1]) - load(window + at[2]) -
                   load(window + at[3]);
    shorts middle = load(window + at[4]) - load(window + at[5]);
    return whole + middle + middle;
}

INLINE shorts line(const uint16_t *window, const int32_t *at)
{
    shorts whole = load(window + at[0]) + load(window + at[1]) - load(window + at[2]) -
                   load(window + at[3]);
    shorts middle = load(window + at[4]) + load(window + at[5]) - load(window + at[6]) -
                    load(window + at[7]);
    return whole + middle + middle + middle;
}

INLINE shorts checker(const uint16_t *window, const int32_t *at)
{
    shorts corners = load(window + at[0]) + load(window + at[1]) + load(window + at[2]) +
                     load(window + at[3]);
    shorts edges = load(window + at[4]) + load(window + at[5]) + load(window + at[6]) +
                   load(window + at[7]);
    shorts centre = load(window + at[8]);
    shorts half = centre + centre - edges;
    return corners + half + half;
}

INLINE shorts part_values(int kind, const uint16_t *window, const int32_t *at)
{
    switch (kind) {
    case EDGE: return edge(window, at);
    case LINE: return line(window, at);
    case CHECKER: return checker(window, at);
    default: return -checker(window, at);
    }
}

/* What a stage has come to for the windows of the even and of the odd lanes. */
struct sums {
    ints even, odd;
};

/* 2**-16 / standard deviation of the windows. As values are shifted left by 16 bits instead of
 * right, their floats are 2**16 times as large; both are exact. */
struct norms {
    floats even, odd;
};

INLINE void add(struct sums *sums, floats even, floats odd, const struct stump *stump)
{
    sums->even += (even < stump->threshold) & stump->delta;
    sums->odd += (odd < stump->threshold) & stump->delta;
}

INLINE void add_narrow(struct sums *sums, shorts values, const struct norms *norms,
                       const struct stump *stump)
{
    ints even = (ints)values << 16, odd = (ints)values & ODD_LANES;
    add(sums, to_floats(even) * norms->even, to_floats(odd) * norms->odd, stump);
}

INLINE void add_wide(struct sums *sums, const struct cascade *cascade, const struct stump *stump,
                     const struct points *points, const uint16_t *window,
                     const struct norms *norms)
{
    ints even = {0}, odd = {0};
    for (int32_t part = stump->first_part; part < stump->first_part + stump->parts; part++) {
        ints values = (ints)part_values(cascade->kind[part], window, points[part].at);
        even += (values << 16) >> 16;
        odd += values >> 16;
    }
    add(sums, to_floats(even) * 65536.0f * norms->even, to_floats(odd) * 65536.0f * norms->odd,
        stump);
}

/* One bit per lane, from masks of -1 and 0. */
INLINE uint32_t lane_bits(ints even, ints odd)
{
    ints lanes = (even & ~ODD_LANES) | (odd & ODD_LANES);
    bytes narrow = __builtin_convertvector((shorts)lanes, bytes);
    uint64_t eights[LANES / 8];
    uint32_t bits = 0;
    memcpy(eights, &narrow, sizeof eights);
    for (int i = 0; i < LANES / 8; i++)
        bits |= (uint32_t)(((eights[i] & 0x0101010101010101) * 0x0102040810204080) >> 56) << 8 * i;
    return bits;
}

INLINE float lane_norm(const float *norms, int lane)
{
    return norms[(lane & 1) * (LANES / 2) + lane / 2];
}

/* Return which of the windows that are `alive` pass a stage.
 *
 * `norms` holds those of the even lanes and then those of the odd ones. Sums are in whole quanta.
 * For windows too close to the stage's threshold to decide that way, add up as OpenCV does. */
INLINE uint32_t pass(const struct cascade *cascade, int32_t number, const struct points *points,
                     const uint16_t *window, const float *norms, uint32_t alive)
{
    const struct stage *stage = &cascade->stage[number];
    const struct points *part = points + stage->first_part;
    const struct stump *stumps = cascade->stump;
    struct norms n = {*(const loose_floats *)norms, *(const loose_floats *)(norms + LANES / 2)};
    struct sums sums = {{0}, {0}};
    int32_t i = stage->first[EDGE];

    for (; i < stage->first[LINE]; i++)
        add_narrow(&sums, edge(window, (part++)->at), &n, &stumps[i]);
    for (; i < stage->first[CHECKER]; i++)
        add_narrow(&sums, line(window, (part++)->at), &n, &stumps[i]);
    for (; i < stage->first[INVERSE_CHECKER]; i++)
        add_narrow(&sums, checker(window, (part++)->at), &n, &stumps[i]);
    for (; i < stage->first[KINDS]; i++)
        add_narrow(&sums, -checker(window, (part++)->at), &n, &stumps[i]);
    for (; i < stage->end; i++)
        add_wide(&sums, cascade, &stumps[i], points, window, &n);

    uint32_t passed = alive & lane_bits(sums.even >= stage->perhaps, sums.odd >= stage->perhaps);
    uint32_t sure = lane_bits(sums.even >= stage->surely, sums.odd >= stage->surely);
    for (uint32_t unsure = passed & ~sure; unsure; unsure &= unsure - 1) {
        int lane = __builtin_ctz(unsure);
        if (!cascade_passes(cascade, number, points, window + lane, lane_norm(norms, lane)))
            passed &= ~(1u << lane);
    }
    return passed;
}

/* Few windows survive the dense stages. They are collected, and their integral images are copied
 * into a patch in which the same entry of all windows lies in one vector. */

typedef uint16_t eight __attribute__((vector_size(16)));
typedef uint16_t loose_eight __attribute__((vector_size(16), aligned(2), may_alias));
typedef uint32_t four __attribute__((vector_size(16)));
typedef uint64_t two __attribute__((vector_size(16)));

#ifdef __clang__
#define SHUFFLE(type, a, b, ...) __builtin_shufflevector((type)(a), (type)(b), __VA_ARGS__)
#else
#define SHUFFLE(type, a, b, ...) __builtin_shuffle((type)(a), (type)(b), (type){__VA_ARGS__})
#endif
#define LOW_SHORTS(a, b) SHUFFLE(eight, a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define HIGH_SHORTS(a, b) SHUFFLE(eight, a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#define LOW_PAIRS(a, b) SHUFFLE(four, a, b, 0, 4, 1, 5)
#define HIGH_PAIRS(a, b) SHUFFLE(four, a, b, 2, 6, 3, 7)
#define LOW_HALVES(a, b) SHUFFLE(two, a, b, 0, 2)
#define HIGH_HALVES(a, b) SHUFFLE(two, a, b, 1, 3)

/* Copy entries from `offset` on of eight windows to the first `count` of eight columns of the patch.
 * The columns are `apart` from each other. */
INLINE void transpose(const struct candidate *windows, ptrdiff_t offset, uint16_t *patch,
                      int apart, int count)
{
    eight in[8];
    four pairs[8];
    two out[8];
    for (int i = 0; i < 8; i++)
        in[i] = *(const loose_eight *)(windows[i].window + offset);
    for (int i = 0; i < 4; i++) {
        pairs[2 * i] = (four)LOW_SHORTS(in[2 * i], in[2 * i + 1]);
        pairs[2 * i + 1] = (four)HIGH_SHORTS(in[2 * i], in[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        four *a = pairs + 4 * i;
        two *b = out + 4 * i;
        b[0] = (two)LOW_PAIRS(a[0], a[2]);
        b[1] = (two)HIGH_PAIRS(a[0], a[2]);
        b[2] = (two)LOW_PAIRS(a[1], a[3]);
        b[3] = (two)HIGH_PAIRS(a[1], a[3]);
    }
    for (int i = 0; i < count; i++) {
        two column = i % 2 ? HIGH_HALVES(out[i / 2], out[i / 2 + 4])
                           : LOW_HALVES(out[i / 2], out[i / 2 + 4]);
        memcpy(patch + i * apart, &column, sizeof column);
    }
}

/* Columns 0 to 24 lie together if windows are one pixel apart, otherwise in two planes. */
static void fill_patch(struct search *search, const struct queue *queue, int32_t step)
{
    for (int lane = 0; lane < queue->count; lane += 8) {
        const struct candidate *windows = queue->candidates + lane;
        for (int row = 0; row < PATCH_SIDE; row++) {
            uint16_t *patch = search->patch + row * PATCH_SIDE * LANES + lane;
            ptrdiff_t at = (ptrdiff_t)row * search->stride, odd = at + search->plane;
            if (step == 1) {
                transpose(windows, at, patch, LANES, 8);
                transpose(windows, at + 8, patch + 8 * LANES, LANES, 8);
                transpose(windows, at + 16, patch + 16 * LANES, LANES, 8);
                transpose(windows, at + 24, patch + 24 * LANES, LANES, 1);
            } else {
                transpose(windows, at, patch, 2 * LANES, 8);
                transpose(windows, at + 8, patch + 16 * LANES, 2 * LANES, 5);
                transpose(windows, odd, patch + LANES, 2 * LANES, 8);
                transpose(windows, odd + 8, patch + 17 * LANES, 2 * LANES, 4);
            }
        }
    }
}

/* Where each queue's stages start. Windows that pass them move on to the next queue, so that the
 * vectors are full again. One queue takes 3% longer; a third one gains nothing. */
static const int32_t queue_stages[QUEUES + 1] = {DENSE_STAGES, DENSE_STAGES + 2, INT32_MAX};

static void add_hit(struct search *search, const struct scale *scale,
                    const struct candidate *candidate)
{
    hits_add(&search->hits,
             (struct hit){(int32_t)lrintf((float)(candidate->x * scale->step) * scale->factor),
                          (int32_t)lrintf((float)candidate->y * scale->factor),
                          (int32_t)lrintf(WINDOW * scale->factor)});
}

static void drain(struct search *, const struct scale *, int queue);

static void push(struct search *search, const struct scale *scale, int number,
                 const struct candidate *candidate)
{
    if (number == QUEUES) {
        add_hit(search, scale, candidate);
        return;
    }
    struct queue *queue = &search->queues[number];
    queue->candidates[queue->count++] = *candidate;
    if (queue->count == LANES)
        drain(search, scale, number);
}

static void drain(struct search *search, const struct scale *scale, int number)
{
    struct queue *queue = &search->queues[number];
    const struct cascade *cascade = search->cascade;
    struct candidate *candidates = queue->candidates;
    uint32_t alive = (uint32_t)((UINT64_C(1) << queue->count) - 1);
    float norms[LANES];
    int32_t stage = queue_stages[number], end = queue_stages[number + 1];

    if (end > cascade->stages)
        end = cascade->stages;
    for (int lane = queue->count; lane < LANES; lane++)
        candidates[lane] = candidates[0];
    for (int lane = 0; lane < LANES; lane++)
        norms[(lane & 1) * (LANES / 2) + lane / 2] = candidates[lane].norm;
    fill_patch(search, queue, scale->step);
    for (; stage < end && alive; stage++)
        alive = pass(cascade, stage, cascade->patch, search->patch, norms, alive);
    queue->count = 0;
    for (; alive; alive &= alive - 1)
        push(search, scale, number + 1, &candidates[__builtin_ctz(alive)]);
}

static void drain_all(struct search *search, const struct scale *scale)
{
    for (int queue = 0; queue < QUEUES; queue++)
        if (search->queues[queue].count)
            drain(search, scale, queue);
}

/* Compute the integral images as far as the windows in row `y` read them. */
static void integrate_until(struct search *search, const struct scale *scale, int32_t y)
{
    for (; search->rows <= y + WINDOW; search->rows++) {
        if (search->rows - search->first_row == search->capacity) {
            drain_all(search, scale); /* candidates point into rows that are about to move */
            discard_rows(search, y);
        }
        add_row(search, scale);
    }
}

/* The largest norm with 484 * norm < 0.1: OpenCV skips windows with less contrast. */
#define LARGEST_NORM 0x1.b14bbcp-13f

/* Compute the norms of LANES windows of row `y`, starting with window `first`; return which windows
 * have enough contrast to be searched. */
static uint32_t measure(const struct search *search, const struct scale *scale, int32_t y,
                        int32_t first, float *norms)
{
    const int32_t odd = scale->step == 1 ? 1 : search->plane, apart = 22 / scale->step;
    const uint16_t *top = sums_row(search, y + 1) + odd + first;
    const uint16_t *middle = top + 11 * (ptrdiff_t)search->stride;
    const uint16_t *bottom = middle + 11 * (ptrdiff_t)search->stride;
    const uint32_t *above = squares_row(search, y + 1) + (scale->step == 1) + first;
    const uint32_t *below = above + 22 * (ptrdiff_t)search->stride;
    float norm[LANES];
    struct norms n;

    for (int i = 0; i < LANES; i++) {
        /* Half a window at a time: the sum of all its 484 pixels does not fit into 16 bits. */
        uint16_t upper = middle[i + apart] - middle[i] - top[i + apart] + top[i];
        uint16_t lower = bottom[i + apart] - bottom[i] - middle[i + apart] + middle[i];
        int32_t sum = upper + lower;
        int32_t squares = (int32_t)(below[i + apart] - below[i] - above[i + apart] + above[i]);
        norm[i] = (float)(1.0 / sqrt(484.0 * squares - (double)sum * sum));
    }
    for (int i = 0; i < LANES / 2; i++) {
        norms[i] = norm[2 * i];
        norms[i + LANES / 2] = norm[2 * i + 1];
    }
    n.even = *(const loose_floats *)norms;
    n.odd = *(const loose_floats *)(norms + LANES / 2);
    *(loose_floats *)norms = n.even * 0x1p-16f;
    *(loose_floats *)(norms + LANES / 2) = n.odd * 0x1p-16f;
    return lane_bits(n.even <= LARGEST_NORM, n.odd <= LARGEST_NORM);
}

/* Return which windows of a run OpenCV skips because the one before failed the first stage.
 *
 * In a series of windows that all fail, OpenCV evaluates the first, third, … and skips the window
 * right of each. `skip` says whether the run's first window is skipped; it is set for the next
 * run. */
INLINE uint32_t skipped_windows(uint32_t failed, int *skip)
{
    const uint64_t even = 0x5555555555555555;
    uint64_t f = failed & ~(uint64_t)*skip;
    uint64_t starts = f & ~(f << 1);
    /* Adding a 1 where a series begins carries through all of it. */
    uint64_t from_even = f & ~(f + (starts & even));
    uint64_t evaluated = (from_even & even) | (f & ~from_even & ~even);
    uint64_t skipped = evaluated << 1 | (uint64_t)*skip;
    *skip = skipped >> LANES & 1;
    return (uint32_t)skipped;
}

/* Put the windows of row `y` through the first stage; return the number of runs that survive. */
static int32_t first_stage(struct search *search, const struct scale *scale, int32_t y)
{
    const struct points *points = search->points[scale->step - 1];
    const uint16_t *row = sums_row(search, y);
    int32_t live = 0;
    int skip = 0;

    for (int32_t first = 0; first < scale->windows; first += LANES) {
        float *norms = search->norms + first;
        uint32_t valid = measure(search, scale, y, first, norms), alive = 0;
        if (scale->windows - first < LANES)
            valid &= (1u << (scale->windows - first)) - 1;
        if (valid)
            alive = pass(search->cascade, 0, points, row + first, norms, valid);
        alive &= ~skipped_windows(valid & ~alive, &skip);
        if (alive)
            search->runs[live++] = (struct run){first, alive};
    }
    return live;
}

static void search_row(struct search *search, const struct scale *scale, int32_t y)
{
    const struct points *points = search->points[scale->step - 1];
    const uint16_t *row = sums_row(search, y);
    int32_t live = first_stage(search, scale, y);

    for (int32_t stage = 1; stage < DENSE_STAGES && stage < search->cascade->stages; stage++) {
        int32_t left = 0;
        for (int32_t i = 0; i < live; i++) {
            struct run run = search->runs[i];
            run.alive = pass(search->cascade, stage, points, row + run.first,
                             search->norms + run.first, run.alive);
            if (run.alive)
                search->runs[left++] = run;
        }
        live = left;
    }
    for (int32_t i = 0; i < live; i++) {
        struct run run = search->runs[i];
        for (; run.alive; run.alive &= run.alive - 1) {
            int lane = __builtin_ctz(run.alive);
            int32_t x = run.first + lane;
            push(search, scale, 0,
                 &(struct candidate){row + x, lane_norm(search->norms + run.first, lane), x, y});
        }
    }
}

static void search_scale(struct search *search, const struct scale *scale)
{
    start_integrals(search, scale);
    for (int32_t y = 0; y < scale->end && !search->hits.out_of_memory; y += scale->step) {
        integrate_until(search, scale, y);
        search_row(search, scale, y);
    }
    drain_all(search, scale);
}
