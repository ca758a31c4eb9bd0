/* The passes over a picture. */

#include <math.h>
#include <stdlib.h>

#include "haar.h"
#include "resize.h"

/* Rows of integral images in memory: the 25 that windows read, and enough others that moving the
 * 25 to the front is rare. */
enum { ROWS = 128 };

static void *allocate(size_t count, size_t size) { return calloc(count ? count : 1, size); }

static int start(struct search *search)
{
    const struct cascade *cascade = search->cascade;
    size_t width = search->width + 1, windows = search->width + MAX_LANES, patch, entries;
    int32_t dense = DENSE_STAGES < cascade->stages ? cascade->stage[DENSE_STAGES].first_part
                                                   : cascade->parts;

    /* Strides are odd multiples of 64 bytes. If they were large powers of two, a cache could hold
     * only a few rows at a time. */
    search->stride = ((search->width + 1 + ROW_PADDING) / 32 + 1) * 32;
    search->stride |= 32;
    search->plane = search->stride / 2;
    search->capacity = search->height + 1 < ROWS ? search->height + 1 : ROWS;
    entries = (size_t)search->stride * search->capacity;
    patch = (size_t)PATCH * cascade->variant->lanes;

    search->sums = allocate(entries, sizeof *search->sums);
    search->squares = allocate(entries, sizeof *search->squares);
    search->source_column = allocate(width, sizeof *search->source_column);
    search->column_weight = allocate(width, sizeof *search->column_weight);
    search->blended = allocate(width, sizeof *search->blended);
    search->pairs = allocate(width, sizeof *search->pairs);
    search->column_sums = allocate(width, sizeof *search->column_sums);
    search->column_squares = allocate(width, sizeof *search->column_squares);
    search->norms = allocate(windows, sizeof *search->norms);
    search->runs = allocate(windows / 8 + 1, sizeof *search->runs);
    search->patch = allocate(patch, sizeof *search->patch);
    for (int step = 1; step <= 2; step++) {
        search->points[step - 1] = allocate(dense, sizeof *search->points[0]);
        if (!search->points[step - 1])
            return -1;
        cascade_place(cascade, search->points[step - 1], dense, search->stride, search->plane,
                      step, 1);
    }
    return search->sums && search->squares && search->source_column && search->column_weight &&
                   search->blended && search->pairs && search->column_sums &&
                   search->column_squares && search->norms && search->runs && search->patch
               ? 0
               : -1;
}

void search_free(struct search *search)
{
    free(search->sums);
    free(search->squares);
    free(search->source_column);
    free(search->column_weight);
    free(search->blended);
    free(search->pairs);
    free(search->column_sums);
    free(search->column_squares);
    free(search->norms);
    free(search->runs);
    free(search->patch);
    free(search->points[0]);
    free(search->points[1]);
    hits_free(&search->hits);
}

/* Return where OpenCV stops among the `rows` where windows may start. To search with several
 * threads, it cuts each pass into stripes, one for every 32 columns of the first pass. If the
 * stripes do not cover all rows, OpenCV never searches the last ones. */
static int32_t end_of_rows(int32_t rows, int32_t step, int32_t stripes)
{
    int32_t height = stripes ? (rows / step + stripes - 1) / stripes : 0;
    int32_t end = (height > 1 ? height : 1) * step * stripes;
    return end < rows ? end : rows;
}

/* Lay out a pass. The first one sets `stripes`. */
static struct scale make_scale(const struct search *search, float factor, int32_t *stripes)
{
    struct scale scale = {.factor = factor, .step = factor < 2 ? 2 : 1};
    int32_t columns, rows;

    scale.width = (int32_t)lrintf((float)search->width / factor);
    scale.height = (int32_t)lrintf((float)search->height / factor);
    columns = scale.width >= WINDOW ? scale.width - WINDOW + 1 : 0;
    rows = scale.height >= WINDOW ? scale.height - WINDOW + 1 : 0;
    if (*stripes < 0)
        *stripes = (columns + 31) / 32;
    scale.ratio = resize_ratio(search->height, scale.height);
    scale.windows = (columns + scale.step - 1) / scale.step;
    scale.end = end_of_rows(rows, scale.step, *stripes);
    return scale;
}

static void find_source_columns(struct search *search, const struct scale *scale)
{
    double ratio = resize_ratio(search->width, scale->width);
    for (int32_t x = 0; x < scale->width; x++) {
        struct source source = resize_source(ratio, search->width, x);
        search->source_column[x] = source.at;
        search->column_weight[x] = source.weight;
    }
}

/* Find all windows that pass every stage, by scale, row and column: OpenCV's order with one thread.
 * Returns -1 if memory is short. */
int search_picture(struct search *search, const float *factors, int64_t count)
{
    int32_t stripes = -1;
    if (search->width < WINDOW || search->height < WINDOW)
        return 0;
    if (start(search) < 0)
        return -1;
    for (int64_t i = 0; i < count && !search->hits.out_of_memory; i++) {
        struct scale scale = make_scale(search, factors[i], &stripes);
        if (scale.windows == 0 || scale.end == 0)
            continue;
        find_source_columns(search, &scale);
        search->cascade->variant->search_scale(search, &scale);
    }
    return search->hits.out_of_memory ? -1 : 0;
}
