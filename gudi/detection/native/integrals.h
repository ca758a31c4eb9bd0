/* The shrunk pictures and their integral images, row by row. Included by kernel.h.
 *
 * Pictures shrink as with cv2.resize and INTER_LINEAR_EXACT. OpenCV mixes columns before rows. As
 * all products are exact and only the final sum is rounded, rows can come first: mixing them is
 * vectorised best.
 */

#include <string.h>

#include "haar.h"
#include "resize.h"

#define INLINE static inline __attribute__((always_inline))

/* Mix row `y` of the shrunk picture from two rows of the picture, at the picture's full width. */
static void blend_rows(struct search *search, const struct scale *scale, int32_t y)
{
    const struct source source = resize_source(scale->ratio, search->height, y);
    const uint8_t *above = search->pixels + (ptrdiff_t)source.at * search->width;
    const uint8_t *below = source.weight ? above + search->width : above;
    uint16_t *restrict blended = search->blended;
    const uint16_t weight = source.weight, rest = 256 - weight;
    const int32_t width = search->width;

    for (int32_t x = 0; x < width; x++)
        blended[x] = (uint16_t)(above[x] * rest + below[x] * weight);
}

/* Add a row of the shrunk picture to the sums of its columns. */
static void add_pixels(struct search *search, const struct scale *scale, int32_t y)
{
    const uint16_t *blended = search->blended;
    const int32_t *source_column = search->source_column;
    const uint32_t *weight = search->column_weight;
    const int32_t width = scale->width;
    uint32_t *restrict pairs = search->pairs;
    uint32_t *restrict sums = search->column_sums;
    uint32_t *restrict squares = search->column_squares;

    blend_rows(search, scale, y);
    for (int32_t x = 0; x < width; x++)
        memcpy(&pairs[x], blended + source_column[x], sizeof *pairs);
    for (int32_t x = 0; x < width; x++) {
        uint32_t left = pairs[x] & 0xFFFF, right = pairs[x] >> 16;
        uint32_t pixel = ((left << 8) + (right - left) * weight[x] + 0x8000) >> 16;
        sums[x] += pixel;
        squares[x] += pixel * pixel;
    }
}

INLINE uint16_t *sums_row(const struct search *search, int32_t row)
{
    return search->sums + (ptrdiff_t)(row - search->first_row) * search->stride;
}

INLINE uint32_t *squares_row(const struct search *search, int32_t row)
{
    return search->squares + (ptrdiff_t)(row - search->first_row) * search->stride;
}

/* Add a row to the integral images of a scale with windows at every pixel. */
static void integrate(struct search *search, const struct scale *scale)
{
    const uint32_t *column_sums = search->column_sums;
    const uint32_t *column_squares = search->column_squares;
    uint16_t *restrict sums = sums_row(search, search->rows);
    uint32_t *restrict squares = squares_row(search, search->rows);
    const int32_t width = scale->width;
    uint32_t sum = 0, square = 0;

    sums[0] = 0;
    squares[0] = 0;
    for (int32_t x = 0; x < width; x++) {
        sums[x + 1] = (uint16_t)(sum += column_sums[x]);
        squares[x + 1] = square += column_squares[x];
    }
}

/* Add a row to the integral images of a scale with windows at every other pixel. Squares are only
 * read in odd columns of odd rows: those around the window's inner 22 × 22 pixels. */
static void integrate_planes(struct search *search, const struct scale *scale)
{
    const uint32_t *column_sums = search->column_sums;
    const uint32_t *column_squares = search->column_squares;
    uint16_t *restrict even = sums_row(search, search->rows);
    uint16_t *restrict odd = even + search->plane;
    uint32_t *restrict squares = squares_row(search, search->rows);
    const int32_t width = scale->width;
    uint32_t sum = 0, square = 0;
    int32_t x = 0;

    even[0] = 0;
    for (; x + 1 < width; x += 2) {
        odd[x / 2] = (uint16_t)(sum += column_sums[x]);
        even[x / 2 + 1] = (uint16_t)(sum += column_sums[x + 1]);
    }
    if (x < width)
        odd[x / 2] = (uint16_t)(sum + column_sums[x]);
    if (search->rows % 2 == 0)
        return;
    square = squares[0] = column_squares[0];
    for (x = 2; x < width; x += 2)
        squares[x / 2] = square += column_squares[x - 1] + column_squares[x];
}

static void add_row(struct search *search, const struct scale *scale)
{
    add_pixels(search, scale, search->rows - 1);
    if (scale->step == 1)
        integrate(search, scale);
    else
        integrate_planes(search, scale);
}

/* Forget the rows above `row` to make room for others. */
static void discard_rows(struct search *search, int32_t row)
{
    size_t kept = (size_t)(search->rows - row) * search->stride;
    memmove(search->sums, sums_row(search, row), kept * sizeof *search->sums);
    memmove(search->squares, squares_row(search, row), kept * sizeof *search->squares);
    search->first_row = row;
}

/* Set the integral images to their row 0, which is all zero. */
static void start_integrals(struct search *search, const struct scale *scale)
{
    memset(search->sums, 0, search->stride * sizeof *search->sums);
    memset(search->squares, 0, search->stride * sizeof *search->squares);
    memset(search->column_sums, 0, scale->width * sizeof *search->column_sums);
    memset(search->column_squares, 0, scale->width * sizeof *search->column_squares);
    search->first_row = 0;
    search->rows = 1;
}
