/* Hits, and how they are merged: as cv2.groupRectangles does, for squares. */

#include <math.h>
#include <stdlib.h>

#include "hits.h"

/* How far hits of one face may differ, as in OpenCV's detectMultiScale. */
#define EPS 0.2

void hits_add(struct hits *hits, struct hit hit)
{
    if (hits->count == hits->capacity) {
        int64_t capacity = 2 * hits->capacity + 64;
        struct hit *at = realloc(hits->at, (size_t)capacity * sizeof *at);
        if (!at) {
            hits->out_of_memory = 1;
            return;
        }
        hits->at = at;
        hits->capacity = capacity;
    }
    hits->at[hits->count++] = hit;
}

void hits_free(struct hits *hits) { free(hits->at); }

static int are_similar(const struct hit *a, const struct hit *b)
{
    double delta = EPS * (a->side < b->side ? a->side : b->side);
    return abs(a->x - b->x) <= delta && abs(a->y - b->y) <= delta &&
           abs(a->x + a->side - b->x - b->side) <= delta &&
           abs(a->y + a->side - b->y - b->side) <= delta;
}

static int64_t find_root(int64_t *parent, int64_t i)
{
    for (; parent[i] != i; i = parent[i])
        parent[i] = parent[parent[i]];
    return i;
}

/* Make the first hit of each class, in which each is similar to another, the parent of all others. */
static void classify(const struct hits *hits, int64_t *parent)
{
    for (int64_t i = 0; i < hits->count; i++) {
        parent[i] = i;
        for (int64_t j = 0; j < i; j++) {
            if (!are_similar(&hits->at[i], &hits->at[j]))
                continue;
            int64_t a = find_root(parent, i), b = find_root(parent, j);
            parent[a < b ? b : a] = a < b ? a : b;
        }
    }
    for (int64_t i = 0; i < hits->count; i++)
        parent[i] = parent[parent[i]];
}

/* Sums of the hits of a class. */
struct class {
    int64_t x, y, side, hits;
};

static struct group mean(const struct class *class)
{
    float share = 1.0f / (float)class->hits;
    return (struct group){(int32_t)lrintf((float)class->x * share),
                          (int32_t)lrintf((float)class->y * share),
                          (int32_t)lrintf((float)class->side * share), (int32_t)class->hits};
}

/* Whether OpenCV drops `inner`, because it lies in `outer`, which has more hits. */
static int hides(const struct group *outer, const struct group *inner)
{
    int32_t margin = (int32_t)lrint(outer->side * EPS);
    return inner->x >= outer->x - margin && inner->y >= outer->y - margin &&
           inner->x + inner->side <= outer->x + outer->side + margin &&
           inner->y + inner->side <= outer->y + outer->side + margin &&
           (outer->hits > (inner->hits > 3 ? inner->hits : 3) || inner->hits < 3);
}

/* Keep the groups that no other one hides; return their number. */
static int64_t keep_visible(const struct group *all, int64_t count, struct group *kept)
{
    int64_t left = 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t j = 0;
        while (j < count && (j == i || !hides(&all[j], &all[i])))
            j++;
        if (j == count)
            kept[left++] = all[i];
    }
    return left;
}

/* Merge hits into classes, in the order of their first hits; return how many have more than
 * `min_neighbors`. */
static int64_t merge(const struct hits *hits, int64_t min_neighbors, int64_t *parent,
                     struct class *classes, struct group *groups)
{
    int64_t count = 0;
    classify(hits, parent);
    for (int64_t i = 0; i < hits->count; i++) {
        struct class *class = &classes[parent[i]];
        class->x += hits->at[i].x;
        class->y += hits->at[i].y;
        class->side += hits->at[i].side;
        class->hits++;
    }
    for (int64_t i = 0; i < hits->count; i++)
        if (classes[i].hits > min_neighbors)
            groups[count++] = mean(&classes[i]);
    return count;
}

static void copy(const struct hits *hits, struct group *groups)
{
    for (int64_t i = 0; i < hits->count; i++) {
        struct hit hit = hits->at[i];
        groups[i] = (struct group){hit.x, hit.y, hit.side, 1};
    }
}

/* Set `groups` to the faces with more than `min_neighbors` hits, or with 0 to all hits as they are.
 * Returns their number, or -1 if memory is short. The caller frees them in either case. */
int64_t hits_group(const struct hits *hits, int64_t min_neighbors, struct group **groups)
{
    size_t room = hits->count ? (size_t)hits->count : 1;
    int64_t count = hits->count;
    int64_t *parent = NULL;
    struct class *classes = NULL;
    struct group *all = NULL;

    *groups = calloc(room, sizeof **groups);
    if (min_neighbors <= 0) {
        if (*groups)
            copy(hits, *groups);
        return *groups ? count : -1;
    }
    parent = calloc(room, sizeof *parent);
    classes = calloc(room, sizeof *classes);
    all = calloc(room, sizeof *all);
    count = -1;
    if (*groups && parent && classes && all)
        count = keep_visible(all, merge(hits, min_neighbors, parent, classes, all), *groups);
    free(parent);
    free(classes);
    free(all);
    return count;
}
