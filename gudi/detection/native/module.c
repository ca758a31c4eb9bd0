/* gudi.detection._haar: the search as Python sees it. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>

#include "haar.h"

/* Offsets into the integral images have to fit into 32 bits, and memory is bounded. */
#define MAX_PIXELS (1 << 27)

static const struct variant *const variants[] = {
#ifdef __x86_64__
    &haar_avx512,
    &haar_avx2,
#endif
    &haar_baseline,
};

typedef struct {
    PyObject_HEAD
    struct cascade cascade;
} CascadeObject;

static const struct variant *find_variant(const char *name)
{
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        if (strcmp(variants[i]->name, name) == 0 && variants[i]->supported())
            return variants[i];
    PyErr_Format(PyExc_ValueError, "this CPU has no variant \"%s\" of the search", name);
    return NULL;
}

/* Get the memory of an array of `dimensions` dimensions whose items have the format `format`. */
static int get_array(PyObject *object, Py_buffer *view, const char *name, const char *format,
                     int dimensions)
{
    if (PyObject_GetBuffer(object, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) < 0)
        return -1;
    if (view->ndim == dimensions && view->format && strcmp(view->format, format) == 0)
        return 0;
    PyErr_Format(PyExc_TypeError, "%s must have %d dimension(s) of type \"%s\", not %d of \"%s\"",
                 name, dimensions, format, view->ndim, view->format ? view->format : "B");
    PyBuffer_Release(view);
    return -1;
}

/* The arrays that describe a cascade. */
enum { SIZES, THRESHOLDS, STUMPS, COUNTS, PARTS, ARRAYS };

static int check_sizes(struct cascade *cascade, const Py_buffer *arrays)
{
    const int32_t *sizes = arrays[SIZES].buf;
    const uint8_t *counts = arrays[COUNTS].buf;
    Py_ssize_t stages = arrays[SIZES].shape[0], stumps = arrays[STUMPS].shape[0], sum = 0, parts = 0;

    if (stages < 1 || stages > 1000 || stumps < 1 || stumps > 1000000 ||
        arrays[THRESHOLDS].shape[0] != stages || arrays[COUNTS].shape[0] != stumps ||
        arrays[STUMPS].shape[1] != 3 || arrays[PARTS].shape[1] != 1 + 2 * MAX_POINTS)
        return 0;
    for (Py_ssize_t i = 0; i < stages; i++) {
        if (sizes[i] < 1 || sizes[i] > stumps)
            return 0;
        sum += sizes[i];
    }
    for (Py_ssize_t i = 0; i < stumps; i++) {
        if (counts[i] < 1 || counts[i] > MAX_PARTS)
            return 0;
        parts += counts[i];
    }
    cascade->stages = (int32_t)stages;
    cascade->stumps = (int32_t)stumps;
    cascade->parts = (int32_t)parts;
    return sum == stumps && parts == arrays[PARTS].shape[0];
}

/* The search reads where these tables say. */
static int check_parts(const Py_buffer *array)
{
    const uint8_t *part = array->buf;
    for (Py_ssize_t i = 0; i < array->shape[0]; i++, part += 1 + 2 * MAX_POINTS) {
        if (part[0] >= KINDS)
            return 0;
        for (int j = 1; j <= 2 * MAX_POINTS; j++)
            if (part[j] > WINDOW)
                return 0;
    }
    return 1;
}

static int check_thresholds(const Py_buffer *array)
{
    const float *thresholds = array->buf;
    for (Py_ssize_t i = 0; i < array->shape[0]; i++)
        if (!isfinite(thresholds[i]))
            return 0;
    return 1;
}

static int build(struct cascade *cascade, const Py_buffer *arrays)
{
    int result;
    if (!check_sizes(cascade, arrays)) {
        PyErr_SetString(PyExc_ValueError, "the cascade's tables do not fit together");
        return -1;
    }
    if (!check_parts(&arrays[PARTS])) {
        PyErr_Format(PyExc_ValueError, "features must lie within %d by %d pixels", WINDOW, WINDOW);
        return -1;
    }
    result = check_thresholds(&arrays[THRESHOLDS])
                 ? cascade_build(cascade, arrays[SIZES].buf, arrays[THRESHOLDS].buf,
                                 arrays[STUMPS].buf, arrays[COUNTS].buf, arrays[PARTS].buf)
                 : -2;
    if (result == -1)
        PyErr_NoMemory();
    if (result == -2)
        PyErr_SetString(PyExc_ValueError, "the cascade's thresholds or leaves are too large");
    return result;
}

static PyObject *cascade_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"variant", "sizes", "thresholds", "stumps", "counts", "parts", NULL};
    static const char *const formats[] = {"i", "f", "f", "B", "B"};
    static const int dimensions[] = {1, 1, 2, 1, 2};
    const char *name;
    PyObject *objects[ARRAYS];
    Py_buffer arrays[ARRAYS];
    CascadeObject *self = NULL;
    const struct variant *variant;
    int got = 0;

    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "sOOOOO", names, &name, &objects[0],
                                     &objects[1], &objects[2], &objects[3], &objects[4]))
        return NULL;
    variant = find_variant(name);
    if (!variant)
        return NULL;
    for (; got < ARRAYS; got++)
        if (get_array(objects[got], &arrays[got], names[got + 1], formats[got],
                      dimensions[got]) < 0)
            break;
    if (got == ARRAYS)
        self = (CascadeObject *)PyType_GenericAlloc(type, 0);
    if (self) {
        self->cascade.variant = variant;
        if (build(&self->cascade, arrays) < 0)
            Py_CLEAR(self);
    }
    while (got > 0)
        PyBuffer_Release(&arrays[--got]);
    return (PyObject *)self;
}

static void cascade_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    cascade_free(&((CascadeObject *)self)->cascade);
    PyObject_Free(self);
    Py_DECREF(type);
}

static int check_picture(const Py_buffer *grey)
{
    if (grey->len <= MAX_PIXELS)
        return 0;
    PyErr_Format(PyExc_ValueError, "%zd by %zd pixels are too many to search", grey->shape[1],
                 grey->shape[0]);
    return -1;
}

static int check_factors(const Py_buffer *factors)
{
    const float *values = factors->buf;
    for (Py_ssize_t i = 0; i < factors->shape[0]; i++)
        if (!(values[i] >= 1 && values[i] <= MAX_PIXELS)) {
            PyErr_SetString(PyExc_ValueError, "pictures can be shrunk but not enlarged");
            return -1;
        }
    return 0;
}

/* Return hits as (x, y, side, side), int32, in pixels of the picture. */
static PyObject *hits_as_bytes(const struct search *search, const float *factors)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, search->hit_count * 4 * sizeof(int32_t));
    int32_t *box = bytes ? (int32_t *)PyBytes_AS_STRING(bytes) : NULL;
    for (size_t i = 0; bytes && i < search->hit_count; i++, box += 4) {
        const struct hit *hit = &search->hits[i];
        float factor = factors[hit->scale];
        box[0] = (int32_t)lrintf((float)hit->x * factor);
        box[1] = (int32_t)lrintf((float)hit->y * factor);
        box[2] = box[3] = (int32_t)lrintf(WINDOW * factor);
    }
    return bytes;
}

static PyObject *cascade_hits(PyObject *self, PyObject *arguments)
{
    PyObject *picture, *scales, *result = NULL;
    Py_buffer grey, factors;
    int failed;

    if (!PyArg_ParseTuple(arguments, "OO", &picture, &scales) ||
        get_array(picture, &grey, "the picture", "B", 2) < 0)
        return NULL;
    if (get_array(scales, &factors, "the scales", "f", 1) < 0) {
        PyBuffer_Release(&grey);
        return NULL;
    }
    if (check_picture(&grey) == 0 && check_factors(&factors) == 0) {
        struct search search = {
            .cascade = &((CascadeObject *)self)->cascade,
            .pixels = grey.buf,
            .width = (int32_t)grey.shape[1],
            .height = (int32_t)grey.shape[0],
        };
        Py_BEGIN_ALLOW_THREADS
        failed = search_picture(&search, factors.buf, (int32_t)factors.shape[0]);
        Py_END_ALLOW_THREADS
        result = failed ? PyErr_NoMemory() : hits_as_bytes(&search, factors.buf);
        search_free(&search);
    }
    PyBuffer_Release(&factors);
    PyBuffer_Release(&grey);
    return result;
}

static PyObject *module_variants(PyObject *module, PyObject *unused)
{
    PyObject *names = PyList_New(0);
    (void)module, (void)unused;
    for (size_t i = 0; names && i < sizeof variants / sizeof *variants; i++) {
        PyObject *name = variants[i]->supported() ? PyUnicode_FromString(variants[i]->name)
                                                  : Py_NewRef(Py_None);
        if (!name || (name != Py_None && PyList_Append(names, name) < 0))
            Py_CLEAR(names);
        Py_XDECREF(name);
    }
    return names;
}

static PyMethodDef cascade_methods[] = {
    {"hits", cascade_hits, METH_VARARGS,
     PyDoc_STR("hits(grey, scales)\n--\n\nReturn the windows that pass all stages, before they "
               "are grouped, as bytes: four int32 each.")},
    {0},
};

static PyType_Slot cascade_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("Cascade(variant, sizes, thresholds, stumps, counts, parts)\n--"
                                  "\n\nA cascade of Haar features; immutable.")},
    {Py_tp_new, cascade_new},
    {Py_tp_dealloc, cascade_dealloc},
    {Py_tp_methods, cascade_methods},
    {0},
};

static PyType_Spec cascade_spec = {
    .name = "gudi.detection._haar.Cascade",
    .basicsize = sizeof(CascadeObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = cascade_slots,
};

static int module_exec(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&cascade_spec);
    int result = type ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
    Py_XDECREF(type);
    return result;
}

static PyMethodDef module_methods[] = {
    {"variants", module_variants, METH_NOARGS,
     PyDoc_STR("variants()\n--\n\nReturn the variants that this CPU can run, the fastest first.")},
    {0},
};

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, {0}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_haar",
    .m_doc = "A vectorised search with OpenCV's cascades of Haar features.",
    .m_methods = module_methods,
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__haar(void) { return PyModuleDef_Init(&definition); }
