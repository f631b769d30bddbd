// SPDX-License-Identifier: BSD-3-Clause
// The Python face of the launch seam: one callable object per kernel, called by vectorcall. A call
// reads the arrays into an argument block on the stack, checks it, and launches. Everything is
// driven by the kernel's own description; nothing here knows any kernel.
#include <cstdio>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "numpy_api.h"
#include "runtime/launch.h"

namespace fastnn {

thread_local const CallArguments* current_call = nullptr;

namespace {

// Elements in all arrays of a launch above which the GIL is released: releasing costs some 45 ns,
// and this many elements are some 10 us of the cheapest work.
constexpr idx kReleaseElements = 32768;

struct KernelObject {
    PyObject_HEAD vectorcallfunc vectorcall;
    const Kernel* kernel;
    PyObject* fallback;  // called with the same arguments for element types that no variant has;
                         // may be null
};

PyTypeObject kernel_type = blank_type();

bool is_buffer(ArgKind kind) {
    return kind == ArgKind::kArray || kind == ArgKind::kStrided || kind == ArgKind::kList;
}

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

// The variant whose element types are those of the arguments; -1 when there is none.
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

// A launch under construction: the fixed part on the stack, lists behind it on the heap.
class BlockBuilder {
  public:
    BlockBuilder(const Kernel& kernel, int variant)
        : kernel_(kernel), types_(kernel.variants[variant].args) {}
    BlockBuilder(const BlockBuilder&) = delete;
    BlockBuilder& operator=(const BlockBuilder&) = delete;

    // The arrays of lists are held until the launch is over: while the GIL is released anybody may
    // clear a list. Arguments themselves are held by the caller.
    ~BlockBuilder() {
        for (PyObject* item : held_) Py_DECREF(item);
    }

    bool read(PyObject* const* args) {
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

    const char* data() const { return whole_.empty() ? fixed_ : whole_.data(); }
    std::size_t bytes() const { return whole_.empty() ? kernel_.fixed_bytes : whole_.size(); }
    idx elements() const { return elements_; }

  private:
    bool read_one(int i, PyObject* value) {
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

    bool read_list(const ArgSpec& spec, const ArgType& type, PyObject* value, ListRef& out) {
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

    bool read_ints(const ArgSpec& spec, PyObject* value, IntList& out) {
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

    const Kernel& kernel_;
    const ArgType* types_;
    std::vector<ListItem> items_;
    std::vector<PyObject*> held_;
    std::vector<char> whole_;
    idx elements_ = 0;
    alignas(16) char fixed_[kMaxFixedBlock];
};

PyObject* run(const Kernel& kernel, int variant, PyObject* const* args, Py_ssize_t nargs) {
    BlockBuilder block(kernel, variant);
    if (!block.read(args)) return nullptr;
    const Launch what{&kernel, variant, block.data(), block.bytes()};
    char message[512];
    if (!check_block(what, message, sizeof(message))) {
        PyErr_Format(PyExc_ValueError, "%s: %s", kernel.name, message);
        return nullptr;
    }
    Status status;
    if (recorder() != nullptr) {
        const CallArguments call{args, nargs};
        current_call = &call;
        status = launch(what);
        current_call = nullptr;
        if (PyErr_Occurred() != nullptr) return nullptr;
    } else if (block.elements() >= kReleaseElements) {
        Py_BEGIN_ALLOW_THREADS status = launch(what);
        Py_END_ALLOW_THREADS
    } else {
        status = launch(what);
    }
    if (status != Status::kOk) return raise_status(kernel.name, static_cast<int>(status));
    Py_RETURN_NONE;
}

PyObject* no_variant(const KernelObject* self, PyObject* const* args, Py_ssize_t nargs,
                     bool known) {
    if (!known && self->fallback != nullptr)
        return PyObject_Vectorcall(self->fallback, args, static_cast<size_t>(nargs), nullptr);
    std::string got;
    for (Py_ssize_t i = 0; i < nargs; ++i) {
        if (!is_buffer(self->kernel->variants[0].args[i].kind)) continue;
        got += (got.empty() ? "" : ", ") + std::string(self->kernel->args[i].name) + " " +
               describe(args[i]);
    }
    PyErr_Format(PyExc_ValueError,
                 "%s: no variant of this kernel takes these element types together: %s",
                 self->kernel->name, got.c_str());
    return nullptr;
}

PyObject* kernel_call(PyObject* object, PyObject* const* args, size_t nargsf, PyObject* kwnames) {
    const KernelObject* self = reinterpret_cast<KernelObject*>(object);
    const Kernel& kernel = *self->kernel;
    const Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    if (nargs != kernel.n_args || (kwnames != nullptr && PyTuple_GET_SIZE(kwnames) > 0)) {
        PyErr_Format(PyExc_TypeError, "%s: expected %d positional arguments (%s), got %zd%s",
                     kernel.name, kernel.n_args, kernel.text, nargs,
                     kwnames != nullptr ? " and keywords" : "");
        return nullptr;
    }
    bool known = true;
    const int variant = find_variant(kernel, args, known);
    if (variant < 0 || !known) return no_variant(self, args, nargs, known);
    return run(kernel, variant, args, nargs);
}

// kernel.allocating(x, ...): for kernels whose arguments are all (...)-shaped arrays, the last one
// the output. When the inputs are contiguous arrays of one shape that some variant takes, allocates
// the output, launches and returns it; NotImplemented otherwise, and the caller takes the general
// path.
PyObject* kernel_allocating(PyObject* object, PyObject* const* args, Py_ssize_t nargs) {
    const Kernel& kernel = *reinterpret_cast<KernelObject*>(object)->kernel;
    if ((kernel.flags & kAllocating) == 0) {
        PyErr_Format(PyExc_TypeError, "%s: this kernel has no allocating form; give it its outputs",
                     kernel.name);
        return nullptr;
    }
    if (nargs != kernel.n_args - 1) {
        PyErr_Format(
            PyExc_TypeError,
            "%s.allocating: expected the %d inputs of an allocating kernel, got %zd arguments",
            kernel.name, kernel.n_args - 1, nargs);
        return nullptr;
    }
    constexpr int kPlainArray = NPY_ARRAY_ALIGNED | NPY_ARRAY_C_CONTIGUOUS;
    PyArrayObject* first = reinterpret_cast<PyArrayObject*>(args[0]);
    for (Py_ssize_t i = 0; i < nargs; ++i) {
        if (!PyArray_CheckExact(args[i])) Py_RETURN_NOTIMPLEMENTED;
        PyArrayObject* array = reinterpret_cast<PyArrayObject*>(args[i]);
        const int ndim = PyArray_NDIM(array);
        if (!PyArray_CHKFLAGS(array, kPlainArray) || !PyArray_ISNOTSWAPPED(array) ||
            ndim != PyArray_NDIM(first) ||
            !PyArray_CompareLists(PyArray_DIMS(array), PyArray_DIMS(first), ndim)) {
            Py_RETURN_NOTIMPLEMENTED;
        }
    }
    int variant = 0;
    for (; variant < kernel.n_variants; ++variant) {
        Py_ssize_t i = 0;
        while (i < nargs && dtype_of(PyArray_TYPE(reinterpret_cast<PyArrayObject*>(args[i]))) ==
                                kernel.variants[variant].args[i].dtype) {
            ++i;
        }
        if (i == nargs) break;
    }
    if (variant == kernel.n_variants || PyArray_NDIM(first) > kMaxDims) Py_RETURN_NOTIMPLEMENTED;
    PyObject* out = empty_array(PyArray_NDIM(first), PyArray_DIMS(first),
                                type_num_of(kernel.variants[variant].args[nargs].dtype));
    if (out == nullptr) return nullptr;
    PyObject* all[kMaxArgs];
    for (Py_ssize_t i = 0; i < nargs; ++i) all[i] = args[i];
    all[nargs] = out;
    PyObject* done = run(kernel, variant, all, nargs + 1);
    if (done == nullptr) {
        Py_DECREF(out);
        return nullptr;
    }
    Py_DECREF(done);
    return out;
}

PyObject* kernel_repr(PyObject* object) {
    const Kernel& kernel = *reinterpret_cast<KernelObject*>(object)->kernel;
    return PyUnicode_FromFormat("<native kernel %s: %s>", kernel.name, kernel.text);
}

PyObject* get_name(PyObject* object, void*) {
    return PyUnicode_FromString(reinterpret_cast<KernelObject*>(object)->kernel->name);
}
PyObject* get_text(PyObject* object, void*) {
    return PyUnicode_FromString(reinterpret_cast<KernelObject*>(object)->kernel->text);
}
PyObject* get_id(PyObject* object, void*) {
    return PyLong_FromLong(reinterpret_cast<KernelObject*>(object)->kernel->id);
}
PyObject* get_is_allocating(PyObject* object, void*) {
    return PyBool_FromLong((reinterpret_cast<KernelObject*>(object)->kernel->flags & kAllocating) !=
                           0);
}

// ((name, kind, access, dtype name or ''), ...) for every variant: what stubs and tools are made
// from.
PyObject* get_variants(PyObject* object, void*) {
    static constexpr const char* kKinds[] = {"array", "strided", "list", "int",
                                             "float", "bool",    "ints"};
    static constexpr const char* kAccess[] = {"", "in", "out", "inout"};
    const Kernel& kernel = *reinterpret_cast<KernelObject*>(object)->kernel;
    PyObject* all = PyTuple_New(kernel.n_variants);
    for (int v = 0; all != nullptr && v < kernel.n_variants; ++v) {
        PyObject* args = PyTuple_New(kernel.n_args);
        for (int i = 0; args != nullptr && i < kernel.n_args; ++i) {
            const ArgType& type = kernel.variants[v].args[i];
            PyObject* one =
                Py_BuildValue("(ssssO)", kernel.args[i].name, kKinds[static_cast<int>(type.kind)],
                              kAccess[static_cast<int>(type.access)],
                              is_buffer(type.kind) ? dtype_name(type.dtype) : "",
                              kernel.args[i].optional ? Py_True : Py_False);
            if (one == nullptr) Py_CLEAR(args);
            if (one != nullptr) PyTuple_SET_ITEM(args, i, one);
        }
        if (args == nullptr) {
            Py_CLEAR(all);
            break;
        }
        PyTuple_SET_ITEM(all, v, args);
    }
    return all;
}

PyObject* get_fallback(PyObject* object, void*) {
    PyObject* fallback = reinterpret_cast<KernelObject*>(object)->fallback;
    return Py_NewRef(fallback == nullptr ? Py_None : fallback);
}
int set_fallback(PyObject* object, PyObject* value, void*) {
    KernelObject* self = reinterpret_cast<KernelObject*>(object);
    PyObject* next = value == nullptr || value == Py_None ? nullptr : Py_NewRef(value);
    PyObject* before = self->fallback;
    self->fallback = next;
    Py_XDECREF(before);
    return 0;
}

PyGetSetDef getset[] = {
    {"__name__", get_name, nullptr, "the kernel's name", nullptr},
    {"spec", get_text, nullptr, "names and shapes of the arguments, as in FASTNN_OP", nullptr},
    {"id", get_id, nullptr, "position in the registry", nullptr},
    {"is_allocating", get_is_allocating, nullptr, "whether `allocating` may be called", nullptr},
    {"variants", get_variants, nullptr,
     "per variant and argument: (name, kind, access, dtype, optional)", nullptr},
    {"fallback", get_fallback, set_fallback, "called for element types that no variant has",
     nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMethodDef methods[] = {
    {"allocating", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(kernel_allocating)),
     METH_FASTCALL, "allocating(*inputs) -> output or NotImplemented"},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

PyObject* raise_status(const char* kernel, int status) {
    switch (static_cast<Status>(status)) {
        case Status::kNoMemory:
            return PyErr_Format(PyExc_MemoryError, "%s: no memory for workspace", kernel);
        case Status::kBadIndex:
            return PyErr_Format(PyExc_IndexError, "%s: an index is out of range", kernel);
        default:
            return PyErr_Format(PyExc_ValueError, "%s: an argument has a value outside its range",
                                kernel);
    }
}

bool add_kernels(PyObject* module) {
    kernel_type.tp_name = "fastnn._cpu.Kernel";
    kernel_type.tp_doc =
        "A native kernel. Called with arrays and numbers, positional only; writes into its "
        "outputs.";
    kernel_type.tp_basicsize = sizeof(KernelObject);
    kernel_type.tp_flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION;
    kernel_type.tp_vectorcall_offset = offsetof(KernelObject, vectorcall);
    kernel_type.tp_call = PyVectorcall_Call;
    kernel_type.tp_repr = kernel_repr;
    kernel_type.tp_getset = getset;
    kernel_type.tp_methods = methods;
    if (PyType_Ready(&kernel_type) < 0) return false;
    PyObject* all = PyDict_New();
    if (all == nullptr) return false;
    for (int id = 0; id < kernel_count(); ++id) {
        KernelObject* object = PyObject_New(KernelObject, &kernel_type);
        if (object == nullptr) return false;
        object->vectorcall = kernel_call;
        object->kernel = kernel_at(id);
        object->fallback = nullptr;
        PyObject* value = reinterpret_cast<PyObject*>(object);
        // By name in `kernels` and as an attribute of the module, which is how one calls it by
        // hand.
        const bool stored = PyDict_SetItemString(all, object->kernel->name, value) == 0 &&
                            PyModule_AddObjectRef(module, object->kernel->name, value) == 0;
        Py_DECREF(value);
        if (!stored) return false;
    }
    return PyModule_AddObject(module, "kernels", all) == 0;
}

}  // namespace fastnn
