/* The cascade's tables, and a stage as OpenCV evaluates it. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "haar.h"

/* Leaves are added up as whole numbers of 1 / QUANTA. */
#define QUANTA 1048576.0
#define LARGEST_SUM (INT32_MAX / 4)

/* What each kind of feature multiplies the entries of the integral image by. */
static const int weights[KINDS][MAX_POINTS] = {
    [EDGE] = {1, 1, -1, -1, 2, -2},
    [LINE] = {1, 1, -1, -1, 3, 3, -3, -3},
    [CHECKER] = {1, 1, 1, 1, -2, -2, -2, -2, 4},
    [INVERSE_CHECKER] = {-1, -1, -1, -1, 2, 2, 2, 2, -4},
};

/* Set the sizes of the tables; return whether they fit together. */
static int set_sizes(struct cascade *cascade, int64_t stages, const int32_t *sizes, int64_t stumps,
                     const uint8_t *counts, int64_t parts)
{
    int64_t stump_sum = 0, part_sum = 0;
    if (stages < 1 || stages > 1000 || stumps < 1 || stumps > 1000000)
        return 0;
    for (int64_t i = 0; i < stages; i++) {
        if (sizes[i] < 1 || sizes[i] > stumps)
            return 0;
        stump_sum += sizes[i];
    }
    for (int64_t i = 0; i < stumps; i++) {
        if (counts[i] < 1 || counts[i] > MAX_PARTS)
            return 0;
        part_sum += counts[i];
    }
    cascade->stages = (int32_t)stages;
    cascade->stumps = (int32_t)stumps;
    cascade->parts = (int32_t)part_sum;
    return stump_sum == stumps && part_sum == parts;
}

/* The search reads where the parts say. */
static int are_inside(int64_t parts, const uint8_t *part)
{
    for (int64_t i = 0; i < parts; i++, part += PART_LENGTH) {
        if (part[0] >= KINDS)
            return 0;
        for (int j = 1; j < PART_LENGTH; j++)
            if (part[j] > WINDOW)
                return 0;
    }
    return 1;
}

/* Set the sizes of the tables; return NULL, or what is wrong with the tables. */
const char *cascade_check(struct cascade *cascade, int64_t stages, const int32_t *sizes,
                          const float *thresholds, int64_t stumps, const uint8_t *counts,
                          int64_t parts, const uint8_t *part)
{
    if (!set_sizes(cascade, stages, sizes, stumps, counts, parts))
        return "the cascade's tables do not fit together";
    if (!are_inside(parts, part))
        return "the cascade's features do not lie within its window";
    for (int64_t i = 0; i < stages; i++)
        if (!isfinite(thresholds[i]))
            return "the cascade's thresholds are not finite";
    return NULL;
}

void cascade_free(struct cascade *cascade)
{
    free(cascade->stage);
    free(cascade->stump);
    free(cascade->order);
    free(cascade->kind);
    free(cascade->row);
    free(cascade->column);
    free(cascade->patch);
}

static int allocate(struct cascade *cascade)
{
    size_t parts = cascade->parts;
    cascade->stage = calloc(cascade->stages, sizeof *cascade->stage);
    cascade->stump = calloc(cascade->stumps, sizeof *cascade->stump);
    cascade->order = calloc(cascade->stumps, sizeof *cascade->order);
    cascade->kind = calloc(parts, 1);
    cascade->row = calloc(parts, MAX_POINTS);
    cascade->column = calloc(parts, MAX_POINTS);
    cascade->patch = calloc(parts, sizeof *cascade->patch);
    return cascade->stage && cascade->stump && cascade->order && cascade->kind && cascade->row &&
           cascade->column && cascade->patch;
}

/* Sort key of a stump within its stage: its kind, or KINDS if it has several parts. */
static int group_of(int parts, const uint8_t *part) { return parts == 1 ? part[0] : KINDS; }

/* Copy stump `from`, whose parts start at `part`, to place `to` of the sorted tables. */
static void copy_stump(struct cascade *cascade, int32_t from, int32_t to, int32_t first_part,
                       const float *stumps, int parts, const uint8_t *part)
{
    struct stump *stump = &cascade->stump[to];
    stump->threshold = stumps[3 * from];
    stump->left = stumps[3 * from + 1];
    stump->right = stumps[3 * from + 2];
    stump->delta = (int32_t)lrint(((double)stump->left - stump->right) * QUANTA);
    stump->first_part = first_part;
    stump->parts = parts;
    cascade->order[from] = to;
    for (int32_t i = first_part; i < first_part + parts; i++, part += PART_LENGTH) {
        cascade->kind[i] = part[0];
        memcpy(cascade->row + (ptrdiff_t)i * MAX_POINTS, part + 1, MAX_POINTS);
        memcpy(cascade->column + (ptrdiff_t)i * MAX_POINTS, part + 1 + MAX_POINTS, MAX_POINTS);
    }
}

/* Copy the stumps of a stage, which begin at `first` and whose parts begin at `first_part`. */
static void sort_stage(struct cascade *cascade, struct stage *stage, int32_t first, int32_t size,
                       const float *stumps, const uint8_t *counts, const uint8_t *parts)
{
    int32_t stump = first, part = stage->first_part;
    for (int group = 0; group <= KINDS; group++) {
        ptrdiff_t at = stage->first_part;
        stage->first[group] = stump;
        for (int32_t i = first; i < first + size; at += counts[i++]) {
            if (group_of(counts[i], parts + at * PART_LENGTH) != group)
                continue;
            copy_stump(cascade, i, stump++, part, stumps, counts[i], parts + at * PART_LENGTH);
            part += counts[i];
        }
    }
    stage->end = stump;
}

/* Set from which sums of `delta` on a stage is passed; return whether they fit into 32 bits.
 *
 * Each delta is off by at most half a quantum. Another one pays for the error of OpenCV's sum. */
static int set_thresholds(struct cascade *cascade, struct stage *stage)
{
    double margin = (stage->end - stage->first[0]) / 2.0 + 1, least = 0, largest = 0, threshold;
    for (int32_t i = stage->first[0]; i < stage->end; i++) {
        const struct stump *stump = &cascade->stump[i];
        least += stump->right;
        largest += (fabs(stump->left) + fabs(stump->right)) * QUANTA + 1;
    }
    threshold = (stage->threshold - least) * QUANTA;
    if (!(largest + margin < LARGEST_SUM && fabs(threshold) < LARGEST_SUM))
        return 0;
    stage->perhaps = (int32_t)floor(threshold - margin);
    stage->surely = (int32_t)ceil(threshold + margin);
    return 1;
}

/* Build the tables from arrays that have been checked, but for the size of the leaves.
 *
 * `stumps` holds threshold, left and right. Returns NULL or what is wrong. */
const char *cascade_build(struct cascade *cascade, const int32_t *sizes, const float *thresholds,
                          const float *stumps, const uint8_t *counts, const uint8_t *parts)
{
    static const char too_large[] = "the cascade's thresholds or leaves are too large";
    int32_t stump = 0, part = 0;
    if (!allocate(cascade))
        return SHORT_OF_MEMORY;
    for (int32_t i = 0; i < 3 * cascade->stumps; i++)
        if (!(fabsf(stumps[i]) < LARGEST_SUM / QUANTA))
            return too_large;
    for (int32_t i = 0; i < cascade->stages; stump += sizes[i++]) {
        struct stage *stage = &cascade->stage[i];
        stage->threshold = thresholds[i];
        stage->first_part = part;
        sort_stage(cascade, stage, stump, sizes[i], stumps, counts, parts);
        if (!set_thresholds(cascade, stage))
            return too_large;
        for (int32_t j = stump; j < stump + sizes[i]; j++)
            part += counts[j];
    }
    cascade_place(cascade, cascade->patch, cascade->parts, PATCH_SIDE, 0, 1,
                  cascade->variant->lanes);
    return NULL;
}

/* Compute where the first `parts` parts read in an integral image that is laid out like this. */
void cascade_place(const struct cascade *cascade, struct points *points, int32_t parts,
                   int32_t stride, int32_t plane, int32_t step, int32_t lanes)
{
    for (int32_t i = 0; i < parts * MAX_POINTS; i++) {
        int32_t row = cascade->row[i], column = cascade->column[i];
        points[i / MAX_POINTS].at[i % MAX_POINTS] =
            (row * stride + column % step * plane + column / step) * lanes;
    }
}

static int part_value(int kind, const struct points *points, const uint16_t *window)
{
    uint32_t value = 0;
    for (int i = 0; i < MAX_POINTS; i++)
        value += (uint32_t)weights[kind][i] * window[points->at[i]];
    return (int16_t)value;
}

/* Return whether a window passes a stage: the sum of its stumps in double, in their order. */
int cascade_passes(const struct cascade *cascade, int32_t number, const struct points *points,
                   const uint16_t *window, float norm)
{
    const struct stage *stage = &cascade->stage[number];
    double sum = 0;
    for (int32_t i = stage->first[0]; i < stage->end; i++) {
        const struct stump *stump = &cascade->stump[cascade->order[i]];
        int value = 0;
        for (int32_t part = stump->first_part; part < stump->first_part + stump->parts; part++)
            value += part_value(cascade->kind[part], &points[part], window);
        sum += (float)value * 65536.0f * norm < stump->threshold ? stump->left : stump->right;
    }
    return !(sum < stage->threshold);
}
