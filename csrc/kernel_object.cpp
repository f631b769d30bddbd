// SPDX-License-Identifier: BSD-3-Clause
// The Python face of the launch seam: one callable object per kernel, called by vectorcall. A call
// reads the arrays into an argument block on the stack (kernel_arguments.h), checks it, and
// launches.
#include <string>

#include "kernel_arguments.h"
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

PyObject* allocate_and_run(PyObject* kernel, PyObject* const* args, Py_ssize_t nargs) {
    return kernel_allocating(kernel, args, nargs);
}

bool is_native_kernel(PyObject* value) { return Py_TYPE(value) == &kernel_type; }

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
