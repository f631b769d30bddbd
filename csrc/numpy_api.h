// SPDX-License-Identifier: BSD-3-Clause
// Python and NumPy headers for the few files that need them. module.cpp defines FASTNN_IMPORT_NUMPY
// and imports the API.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define NPY_NO_DEPRECATED_API NPY_1_7_API_VERSION
#define NPY_TARGET_VERSION NPY_1_23_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL fastnn_ARRAY_API
#if !defined(FASTNN_IMPORT_NUMPY)
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>

#include "runtime/types.h"

namespace fastnn {

// kCount for element types that no kernel takes.
inline DType dtype_of(int type_num) {
    switch (type_num) {
        case NPY_FLOAT32:
            return DType::kFloat32;
        case NPY_FLOAT64:
            return DType::kFloat64;
        case NPY_LONG:
            return sizeof(long) == 8 ? DType::kInt64 : DType::kInt32;
        case NPY_LONGLONG:
            return DType::kInt64;
        case NPY_INT:
            return DType::kInt32;
        case NPY_UINT8:
            return DType::kUInt8;
        case NPY_BOOL:
            return DType::kBool;
        default:
            return DType::kCount;
    }
}

inline int type_num_of(DType dtype) {
    static constexpr int kNumbers[] = {NPY_FLOAT32, NPY_FLOAT64, NPY_INT64,
                                       NPY_INT32,   NPY_UINT8,   NPY_BOOL};
    return kNumbers[static_cast<int>(dtype)];
}

// A static type to be filled in by name: PyVarObject_HEAD_INIT would leave every other member
// uninitialised in the compiler's eyes.
inline PyTypeObject blank_type() {
    PyTypeObject type{};
    Py_SET_REFCNT(reinterpret_cast<PyObject*>(&type), 1);
    return type;
}

// memory.cpp: an uninitialised C-contiguous array whose memory comes from the allocator; null with
// MemoryError set.
PyObject* empty_array(int ndim, const npy_intp* shape, int type_num);
bool add_memory(PyObject* module);
// The allocation behind an array: the object at the end of its chain of bases, and the bytes it
// owns.
PyObject* array_owner(PyArrayObject* array, std::uintptr_t* begin, std::size_t* bytes);
// Whether an array owns its elements: by itself or through the allocator, which made it with them.
bool owns_elements(PyArrayObject* array);

// kernel_object.cpp
bool add_kernels(PyObject* module);
PyObject* allocate_and_run(PyObject* kernel, PyObject* const* args,
                           Py_ssize_t nargs);  // kernel.allocating(*args)
bool is_native_kernel(PyObject* value);
PyObject* raise_status(const char* kernel,
                       int status);  // Python's error for what a kernel answered

// tape/
bool add_tape(PyObject* module);

// record.cpp
bool add_recorder(PyObject* module);

// Set while a Python-level recorder is on in this thread: where the entry finds the arrays of the
// launch it is making.
struct CallArguments {
    PyObject* const* args;
    Py_ssize_t count;
};
extern thread_local const CallArguments* current_call;

}  // namespace fastnn
