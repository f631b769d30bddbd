// SPDX-License-Identifier: BSD-3-Clause
// Arrays on the allocator's memory: ordinary numpy.ndarrays whose base object gives the block back
// when the last reference goes. NumPy's own allocation hook is not used: it is per context, so
// other threads would not see it, and it would change the user's own arrays.
#include "numpy_api.h"
#include "runtime/allocator.h"

namespace fastnn {
namespace {

struct Memory {
    PyObject_HEAD void* block;
    std::size_t bytes;
};

void memory_dealloc(PyObject* self) {
    deallocate(reinterpret_cast<Memory*>(self)->block);
    PyObject_Free(self);
}

PyTypeObject memory_type = blank_type();

PyObject* empty(PyObject*, PyObject* const* args, Py_ssize_t nargs) {
    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "empty: expected (shape, dtype)");
        return nullptr;
    }
    PyArray_Descr* descr = nullptr;
    if (PyArray_DescrCheck(args[1])) {
        descr = reinterpret_cast<PyArray_Descr*>(args[1]);
        Py_INCREF(descr);
    } else if (PyArray_DescrConverter(args[1], &descr) == 0) {
        return nullptr;
    }
    const int type_num = descr->type_num;
    Py_DECREF(descr);
    npy_intp shape[NPY_MAXDIMS];
    int ndim = 0;
    if (PyTuple_CheckExact(args[0])) {
        const Py_ssize_t n = PyTuple_GET_SIZE(args[0]);
        if (n > 32) {
            PyErr_Format(PyExc_ValueError, "empty: expected at most 32 dimensions, got %zd", n);
            return nullptr;
        }
        ndim = static_cast<int>(n);
        for (int d = 0; d < ndim; ++d) {
            shape[d] = PyLong_AsSsize_t(PyTuple_GET_ITEM(args[0], d));
            if (shape[d] == -1 && PyErr_Occurred() != nullptr) return nullptr;
        }
    } else {
        PyErr_Format(PyExc_TypeError, "empty: expected the shape as a tuple, got %s",
                     Py_TYPE(args[0])->tp_name);
        return nullptr;
    }
    return empty_array(ndim, shape, type_num);
}

PyObject* py_empty_cache(PyObject*, PyObject*) {
    empty_cache();
    Py_RETURN_NONE;
}

PyObject* py_set_cache_limit(PyObject*, PyObject* bytes) {
    const std::size_t limit = PyLong_AsSize_t(bytes);
    if (limit == static_cast<std::size_t>(-1) && PyErr_Occurred() != nullptr) return nullptr;
    set_cache_limit(limit);
    Py_RETURN_NONE;
}

PyObject* py_stats(PyObject*, PyObject*) {
    const AllocatorStats s = allocator_stats();
    return Py_BuildValue("{s:n,s:n,s:n,s:n,s:n}", "live_bytes",
                         static_cast<Py_ssize_t>(s.live_bytes), "cached_bytes",
                         static_cast<Py_ssize_t>(s.cached_bytes), "peak_bytes",
                         static_cast<Py_ssize_t>(s.peak_bytes), "live_blocks",
                         static_cast<Py_ssize_t>(s.live_blocks), "system_calls",
                         static_cast<Py_ssize_t>(s.system_calls));
}

PyMethodDef methods[] = {
    {"empty", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(empty)), METH_FASTCALL,
     "empty(shape, dtype) -> numpy.ndarray\n\nUninitialised, C-contiguous, 64-byte aligned."},
    {"empty_cache", py_empty_cache, METH_NOARGS,
     "empty_cache()\n\nGives cached memory back to the system."},
    {"set_cache_limit", py_set_cache_limit, METH_O, "set_cache_limit(bytes)"},
    {"memory_stats", py_stats, METH_NOARGS, "memory_stats() -> dict of counters of the allocator"},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

PyObject* empty_array(int ndim, const npy_intp* shape, int type_num) {
    PyArray_Descr* descr = PyArray_DescrFromType(type_num);
    if (descr == nullptr) return nullptr;
    if (PyDataType_REFCHK(descr) || PyDataType_ELSIZE(descr) <= 0) {
        Py_DECREF(descr);
        PyErr_SetString(PyExc_TypeError, "empty: expected a number type");
        return nullptr;
    }
    npy_intp bytes = PyDataType_ELSIZE(descr);
    for (int d = 0; d < ndim; ++d) {
        if (shape[d] < 0 || __builtin_mul_overflow(bytes, shape[d], &bytes)) {
            Py_DECREF(descr);
            if (shape[d] < 0) {
                PyErr_Format(PyExc_ValueError, "empty: expected sizes >= 0, got %zd",
                             static_cast<Py_ssize_t>(shape[d]));
            } else {
                PyErr_SetString(PyExc_MemoryError,
                                "empty: the array would be larger than the address space");
            }
            return nullptr;
        }
    }
    Memory* memory = PyObject_New(Memory, &memory_type);
    if (memory == nullptr) {
        Py_DECREF(descr);
        return nullptr;
    }
    memory->bytes = static_cast<std::size_t>(bytes);
    memory->block = allocate(memory->bytes);
    if (memory->block == nullptr) {
        Py_DECREF(descr);
        PyObject_Free(memory);
        PyErr_Format(PyExc_MemoryError, "empty: no memory for an array of %zd bytes",
                     static_cast<Py_ssize_t>(bytes));
        return nullptr;
    }
    PyObject* array = PyArray_NewFromDescr(&PyArray_Type, descr, ndim, shape, nullptr,
                                           memory->block, NPY_ARRAY_CARRAY, nullptr);
    if (array == nullptr) {
        Py_DECREF(memory);
        return nullptr;
    }
    if (PyArray_SetBaseObject(reinterpret_cast<PyArrayObject*>(array),
                              reinterpret_cast<PyObject*>(memory)) < 0) {
        Py_DECREF(array);
        return nullptr;
    }
    return array;
}

bool owns_elements(PyArrayObject* array) {
    PyObject* base = PyArray_BASE(array);
    return base == nullptr ? PyArray_CHKFLAGS(array, NPY_ARRAY_OWNDATA)
                           : Py_TYPE(base) == &memory_type && Py_REFCNT(base) == 1;
}

PyObject* array_owner(PyArrayObject* array, std::uintptr_t* begin, std::size_t* bytes) {
    PyArrayObject* last = array;
    PyObject* base = PyArray_BASE(last);
    while (base != nullptr && PyArray_Check(base)) {
        last = reinterpret_cast<PyArrayObject*>(base);
        base = PyArray_BASE(last);
    }
    if (base != nullptr && Py_TYPE(base) == &memory_type) {
        const Memory* memory = reinterpret_cast<Memory*>(base);
        *begin = reinterpret_cast<std::uintptr_t>(memory->block);
        *bytes = memory->bytes;
        return base;
    }
    // Foreign memory: the outermost array stands for it. A root array is contiguous unless somebody
    // made it otherwise.
    *begin = reinterpret_cast<std::uintptr_t>(PyArray_DATA(last));
    *bytes = static_cast<std::size_t>(PyArray_NBYTES(last));
    return reinterpret_cast<PyObject*>(last);
}

bool add_memory(PyObject* module) {
    memory_type.tp_name = "fastnn._cpu.Memory";
    memory_type.tp_doc = "A block of the allocator, the base of an array made by empty().";
    memory_type.tp_basicsize = sizeof(Memory);
    memory_type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION;
    memory_type.tp_dealloc = memory_dealloc;
    if (PyType_Ready(&memory_type) < 0) return false;
    Py_INCREF(&memory_type);
    if (PyModule_AddObject(module, "Memory", reinterpret_cast<PyObject*>(&memory_type)) < 0)
        return false;
    return PyModule_AddFunctions(module, methods) == 0;
}

}  // namespace fastnn
