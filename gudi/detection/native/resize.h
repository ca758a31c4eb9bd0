/* Where the columns and rows of a shrunk picture come from. */

#ifndef GUDI_RESIZE_H
#define GUDI_RESIZE_H

#include <math.h>
#include <stdint.h>

/* Two neighbouring columns (or rows) of the picture that are mixed into one. */
struct source {
    int32_t at;
    uint16_t weight; /* of the second one, in 1/256; 0 if there is none */
};

/* By how much a side shrinks. Not size / shrunk: OpenCV rounds twice. */
static inline double resize_ratio(int32_t size, int32_t shrunk)
{
    return 1.0 / ((double)shrunk / size);
}

/* Return which two columns (or rows) become number `index` where a side shrinks by `ratio`.
 *
 * As in OpenCV's `interpolationLinear`, whose softdouble computes as a double does. */
static inline struct source resize_source(double ratio, int32_t size, int32_t index)
{
    double place = ratio * (index + 0.5) - 0.5;
    int32_t whole = (int32_t)place;
    if (place < 0)
        return (struct source){0, 0};
    if (whole >= size - 1)
        return (struct source){size - 1, 0};
    return (struct source){whole, (uint16_t)lrint((place - whole) * 256)};
}

#endif
