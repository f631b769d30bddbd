// SPDX-License-Identifier: BSD-3-Clause
// Products of two matrices of which nothing is recorded: of small ones, what Python does before and
// after costs a third of the product. ops/matmul.py is the specification.
#include "tape.h"

namespace fastnn {
namespace {

bool unrecorded(PyObject* t) { return !needs_grad(t) && slot(t, tape.t.rebase_stamp) == Py_None; }

}  // namespace

// plain_product(gemm, a, b): the product as a tensor, or NotImplemented where operands are not two
// matrices that go together, of a type that the kernel has, or have a history to keep.
PyObject* plain_product(PyObject*, PyObject* const* args, Py_ssize_t nargs) {
    if (nargs != 3 || !is_native_kernel(args[0])) {
        PyErr_SetString(PyExc_TypeError, "plain_product: expected a native kernel and two tensors");
        return nullptr;
    }
    PyObject* a = args[1];
    PyObject* b = args[2];
    if (!tape.bound || Py_TYPE(a) != tape.tensor || Py_TYPE(b) != tape.tensor ||
        (recording_enabled && !(unrecorded(a) && unrecorded(b))) ||
        PyDict_GetItem(tape.tables, reinterpret_cast<PyObject*>(&PyArray_Type)) != tape.cpu_table)
        Py_RETURN_NOTIMPLEMENTED;
    PyArrayObject* x = plain_array(a);
    PyArrayObject* y = plain_array(b);
    if (x == nullptr || y == nullptr || PyArray_NDIM(x) != 2 || PyArray_NDIM(y) != 2 ||
        PyArray_DIM(x, 1) != PyArray_DIM(y, 0))
        Py_RETURN_NOTIMPLEMENTED;
    const int type = PyArray_TYPE(x);
    if ((type != NPY_FLOAT32 && type != NPY_FLOAT64) || PyArray_TYPE(y) != type)
        Py_RETURN_NOTIMPLEMENTED;
    // Held, because another thread may give the tensors other memory while the product is computed.
    Ref held_x(Py_NewRef(reinterpret_cast<PyObject*>(x)));
    Ref held_y(Py_NewRef(reinterpret_cast<PyObject*>(y)));
    const npy_intp shape[] = {PyArray_DIM(x, 0), PyArray_DIM(y, 1)};
    Ref out(empty_array(2, shape, type));
    if (!out) return nullptr;
    PyObject* call[] = {held_x.get(), held_y.get(), out.get(), Py_False};
    if (!Ref(PyObject_Vectorcall(args[0], call, 4, nullptr))) return nullptr;
    return wrap(out.give());
}

}  // namespace fastnn
