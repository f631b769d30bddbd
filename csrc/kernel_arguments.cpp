// SPDX-License-Identifier: BSD-3-Clause
// Reading Python arguments into an argument block; nothing here knows any kernel.
#include "kernel_arguments.h"

#include <cstring>
#include <new>

namespace fastnn {

namespace {

// The element type of an argument: kCount for None and for scalars. Sets `known` false for a type
// no kernel takes.
DType argument_dtype(PyObject* value, bool& known) {
    if (PyArray_Check(value)) {
        PyArrayObject* array = reinterpret_cast<PyArrayObject*>(value);
        const DType dtype = dtype_of(PyArray_TYPE(array));
        known = known && dtype != DType::kCount && PyArray_NDIM(array) <= kMaxDims;
        return dtype;
    }
    if ((PyList_Check(value) || PyTuple_Check(value)) && PySequence_Fast_GET_SIZE(value) > 0) {
        PyObject* first = PySequence_Fast_GET_ITEM(value, 0);
        if (PyArray_Check(first)) {
            const DType dtype = dtype_of(PyArray_TYPE(reinterpret_cast<PyArrayObject*>(first)));
            known = known && dtype != DType::kCount;
            return dtype;
        }
    }
    return DType::kCount;
}

bool fail(const Kernel& kernel, const char* argument, const std::string& expected, PyObject* got) {
    PyErr_Format(PyExc_ValueError, "%s: %s: expected %s, got %s", kernel.name, argument,
                 expected.c_str(), describe(got).c_str());
    return false;
}

bool array_fits(const Kernel& kernel, const ArgSpec& spec, const ArgType& type,
                PyArrayObject* array) {
    const bool writes = type.access != Access::kIn;
    const bool strided = type.kind == ArgKind::kStrided;
    const int needed = NPY_ARRAY_ALIGNED | (strided ? 0 : NPY_ARRAY_C_CONTIGUOUS) |
                       (writes ? NPY_ARRAY_WRITEABLE : 0);
    if (PyArray_CHKFLAGS(array, needed) && PyArray_ISNOTSWAPPED(array)) return true;
    std::string expected = "an aligned";
    if (!strided) expected += " C-contiguous";
    if (writes) expected += " writable";
    return fail(kernel, spec.name, expected + " array in native byte order",
                reinterpret_cast<PyObject*>(array));
}

bool read_array(const Kernel& kernel, const ArgSpec& spec, const ArgType& type, PyObject* value,
                Array& out) {
    if (value == Py_None && spec.optional) {
        out.data = nullptr;
        out.size = 0;
        out.ndim = 0;
        out.dtype = type.dtype;
        return true;
    }
    if (!PyArray_Check(value)) return fail(kernel, spec.name, "a numpy.ndarray", value);
    PyArrayObject* array = reinterpret_cast<PyArrayObject*>(value);
    // Looked at once more: reading the numbers may have run code that changed it.
    if (dtype_of(PyArray_TYPE(array)) != type.dtype)
        return fail(kernel, spec.name, std::string("a ") + dtype_name(type.dtype) + " array",
                    value);
    if (!array_fits(kernel, spec, type, array)) return false;
    const int ndim = PyArray_NDIM(array);
    if (ndim > kMaxDims) return fail(kernel, spec.name, "at most 8 dimensions", value);
    out.data = PyArray_DATA(array);
    out.ndim = ndim;
    out.dtype = type.dtype;
    idx size = 1;
    for (int d = 0; d < ndim; ++d) {
        out.shape[d] = PyArray_DIM(array, d);
        size *= out.shape[d];
    }
    out.size = size;
    if (type.kind == ArgKind::kStrided) {
        const idx item = static_cast<idx>(dtype_bytes(type.dtype));
        for (int d = 0; d < ndim; ++d) {
            const idx stride = PyArray_STRIDE(array, d);
            // NumPy counts an array as aligned also where a stride of a 1-long axis is no multiple
            // of the item.
            if (stride % item != 0 && out.shape[d] > 1) {
                return fail(kernel, spec.name, "strides that are multiples of the item size",
                            value);
            }
            out.strides[d] = stride / item;
        }
    }
    return true;
}

}  // namespace

int find_variant(const Kernel& kernel, PyObject* const* args, bool& known) {
    DType dtypes[kMaxArgs];
    const ArgType* kinds = kernel.variants[0].args;
    for (int i = 0; i < kernel.n_args; ++i) {
        dtypes[i] = is_buffer(kinds[i].kind) ? argument_dtype(args[i], known) : DType::kCount;
    }
    for (int v = 0; v < kernel.n_variants; ++v) {
        const ArgType* types = kernel.variants[v].args;
        int i = 0;
        while (i < kernel.n_args && (dtypes[i] == DType::kCount || dtypes[i] == types[i].dtype))
            ++i;
        if (i == kernel.n_args) return v;
    }
    // Each type known to the kernel at its place, but not in this combination: that is a mistake of
    // the caller.
    for (int i = 0; known && i < kernel.n_args; ++i) {
        if (dtypes[i] == DType::kCount) continue;
        bool here = false;
        for (int v = 0; v < kernel.n_variants; ++v)
            here = here || kernel.variants[v].args[i].dtype == dtypes[i];
        known = here;
    }
    return -1;
}

std::string describe(PyObject* value) {
    if (!PyArray_Check(value)) return Py_TYPE(value)->tp_name;
    PyArrayObject* array = reinterpret_cast<PyArrayObject*>(value);
    const DType dtype = dtype_of(PyArray_TYPE(array));
    std::string text = dtype == DType::kCount ? "another type" : dtype_name(dtype);
    text += " (";
    for (int d = 0; d < PyArray_NDIM(array); ++d) {
        text += std::to_string(PyArray_DIM(array, d)) +
                (d + 1 < PyArray_NDIM(array) || d == 0 ? "," : "");
        if (d + 1 < PyArray_NDIM(array)) text += " ";
    }
    text += ")";
    if (!PyArray_IS_C_CONTIGUOUS(array)) text += " non-contiguous";
    if (!PyArray_ISALIGNED(array)) text += " unaligned";
    if (!PyArray_ISWRITEABLE(array)) text += " read-only";
    if (PyArray_ISBYTESWAPPED(array)) text += " byte-swapped";
    return text;
}

bool BlockBuilder::read(PyObject* const* args) {
    // Numbers first: their conversion may run Python code, which may change arrays and lists.
    for (const bool buffers : {false, true}) {
        for (int i = 0; i < kernel_.n_args; ++i) {
            if (is_buffer(types_[i].kind) == buffers && !read_one(i, args[i])) return false;
        }
    }
    if (!items_.empty()) {
        whole_.resize(kernel_.fixed_bytes + items_.size() * sizeof(ListItem));
        std::memcpy(whole_.data(), fixed_, kernel_.fixed_bytes);
        std::memcpy(whole_.data() + kernel_.fixed_bytes, items_.data(),
                    items_.size() * sizeof(ListItem));
    }
    return true;
}

bool BlockBuilder::read_one(int i, PyObject* value) {
    char* place = fixed_ + kernel_.offsets[i];
    const ArgSpec& spec = kernel_.args[i];
    switch (types_[i].kind) {
        case ArgKind::kArray:
        case ArgKind::kStrided: {
            Array* array = new (place) Array;
            if (!read_array(kernel_, spec, types_[i], value, *array)) return false;
            elements_ += array->size;
            return true;
        }
        case ArgKind::kList:
            return read_list(spec, types_[i], value, *new (place) ListRef);
        case ArgKind::kInt: {
            const long long number = PyLong_AsLongLong(value);
            if (number == -1 && PyErr_Occurred() != nullptr) return false;
            new (place) idx(number);
            return true;
        }
        case ArgKind::kFloat: {
            const double number = PyFloat_AsDouble(value);
            if (number == -1.0 && PyErr_Occurred() != nullptr) return false;
            new (place) double(number);
            return true;
        }
        case ArgKind::kFlag: {
            const int truth = PyObject_IsTrue(value);
            if (truth < 0) return false;
            new (place) idx(0);
            new (place) bool(truth != 0);
            return true;
        }
        case ArgKind::kInts:
            return read_ints(spec, value, *new (place) IntList{});
    }
    return false;
}

bool BlockBuilder::read_list(const ArgSpec& spec, const ArgType& type, PyObject* value,
                             ListRef& out) {
    if (!PyList_Check(value) && !PyTuple_Check(value))
        return fail(kernel_, spec.name, "a list of arrays", value);
    const Py_ssize_t n = PySequence_Fast_GET_SIZE(value);
    out.count = n;
    out.offset = static_cast<idx>(kernel_.fixed_bytes + items_.size() * sizeof(ListItem));
    for (Py_ssize_t k = 0; k < n; ++k) {
        PyObject* item = PySequence_Fast_GET_ITEM(value, k);
        if (!PyArray_Check(item))
            return fail(kernel_, spec.name, "numpy.ndarrays in the list", item);
        PyArrayObject* array = reinterpret_cast<PyArrayObject*>(item);
        if (dtype_of(PyArray_TYPE(array)) != type.dtype) {
            return fail(kernel_, spec.name,
                        std::string("only ") + dtype_name(type.dtype) + " arrays in the list",
                        item);
        }
        if (!array_fits(kernel_, spec, type, array)) return false;
        held_.push_back(Py_NewRef(item));
        items_.push_back({PyArray_DATA(array), PyArray_SIZE(array)});
        elements_ += PyArray_SIZE(array);
    }
    return true;
}

bool BlockBuilder::read_ints(const ArgSpec& spec, PyObject* value, IntList& out) {
    if (!PyTuple_Check(value) || PyTuple_GET_SIZE(value) > kMaxDims) {
        return fail(kernel_, spec.name, "a tuple of at most 8 integers", value);
    }
    out.count = PyTuple_GET_SIZE(value);
    for (idx k = 0; k < out.count; ++k) {
        out.values[k] = PyLong_AsLongLong(PyTuple_GET_ITEM(value, k));
        if (out.values[k] == -1 && PyErr_Occurred() != nullptr) return false;
    }
    return true;
}

}  // namespace fastnn
