/* The search as Python calls it, through ctypes. Errors are constant strings. */

#include <stdlib.h>
#include <string.h>

#include "haar.h"

#define API __attribute__((visibility("default")))

/* Offsets into the integral images have to fit into 32 bits, and memory is bounded. */
#define MAX_PIXELS (1 << 27)

static const struct variant *const variants[] = {
#ifdef __x86_64__
    &haar_avx512,
    &haar_avx2,
#endif
    &haar_baseline,
};

enum { VARIANTS = sizeof variants / sizeof *variants };

/* Return the name of a variant, the fastest first; "" if this CPU cannot run it; NULL after all. */
API const char *haar_variant(int32_t number)
{
    if (number < 0 || number >= VARIANTS)
        return NULL;
    return variants[number]->supported() ? variants[number]->name : "";
}

API void haar_free(struct cascade *cascade)
{
    cascade_free(cascade);
    free(cascade);
}

/* Build a cascade. Returns NULL, "" if memory is short, or what is wrong.
 *
 * `sizes` holds the stumps of each stage, `stumps` the threshold, left and right leaf of each,
 * `counts` the parts of each, and `part` PART_LENGTH numbers per part. */
API const char *haar_new(struct cascade **result, int32_t variant, int64_t stages,
                         const int32_t *sizes, const float *thresholds, int64_t stumps,
                         const float *stump, const uint8_t *counts, int64_t parts,
                         const uint8_t *part)
{
    struct cascade *cascade;
    const char *wrong;

    if (variant < 0 || variant >= VARIANTS || !variants[variant]->supported())
        return "this CPU has no such variant of the search";
    cascade = calloc(1, sizeof *cascade);
    if (!cascade)
        return SHORT_OF_MEMORY;
    cascade->variant = variants[variant];
    wrong = cascade_check(cascade, stages, sizes, thresholds, stumps, counts, parts, part);
    if (!wrong)
        wrong = cascade_build(cascade, sizes, thresholds, stump, counts, part);
    if (wrong)
        haar_free(cascade);
    else
        *result = cascade;
    return wrong;
}

static const char *check(int64_t height, int64_t width, const float *factors, int64_t count)
{
    if (height < 0 || width < 0 || (width && height > MAX_PIXELS / width))
        return "the picture has too many pixels to search";
    for (int64_t i = 0; i < count; i++)
        if (!(factors[i] >= 1 && factors[i] <= MAX_PIXELS))
            return "pictures can be shrunk but not enlarged";
    return NULL;
}

/* Set `groups` and `found` to the faces of a picture, searched once per factor by which it shrinks.
 * Returns NULL, "" if memory is short, or what is wrong. Without an error, the caller releases the
 * groups. */
API const char *haar_find(const struct cascade *cascade, const uint8_t *pixels, int64_t height,
                          int64_t width, const float *factors, int64_t count,
                          int64_t min_neighbors, struct group **groups, int64_t *found)
{
    const char *wrong = check(height, width, factors, count);
    struct search search = {
        .cascade = cascade,
        .pixels = pixels,
        .width = (int32_t)width,
        .height = (int32_t)height,
    };
    if (wrong)
        return wrong;
    *groups = NULL;
    *found = search_picture(&search, factors, count) < 0
                 ? -1
                 : hits_group(&search.hits, min_neighbors, groups);
    search_free(&search);
    if (*found >= 0)
        return NULL;
    free(*groups);
    return SHORT_OF_MEMORY;
}

API void haar_release(struct group *groups) { free(groups); }
