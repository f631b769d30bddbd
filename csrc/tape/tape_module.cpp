// SPDX-License-Identifier: BSD-3-Clause
// What Python sees of the tape: the functions, the switch of recording, and how the tape learns the
// Python classes whose slots it reads.
#include "tape.h"

#include <structmember.h>

#include <initializer_list>

namespace fastnn {

Tape tape{};
thread_local bool recording_enabled = true;

namespace {

Py_ssize_t place_of(PyTypeObject* type, const char* name) {
    PyObject* found = PyDict_GetItemString(type->tp_dict, name);
    if (found == nullptr || Py_TYPE(found) != &PyMemberDescr_Type) {
        PyErr_Format(PyExc_TypeError, "bind_tape: expected %s.%s to be a slot", type->tp_name,
                     name);
        return -1;
    }
    return reinterpret_cast<PyMemberDescrObject*>(found)->d_member->offset;
}

struct Named {
    Py_ssize_t* place;
    const char* name;
};

bool find_places(PyTypeObject* type, const Named* names, int count) {
    for (int i = 0; i < count; ++i) {
        *names[i].place = place_of(type, names[i].name);
        if (*names[i].place < 0) return false;
    }
    return true;
}

// Op.record(node, tensors, results)
PyObject* py_record(PyObject*, PyObject* const* args, Py_ssize_t nargs) {
    if (nargs != 3 || !is_op(args[0])) {
        PyErr_SetString(PyExc_TypeError, "record: expected (node, tensors, results)");
        return nullptr;
    }
    Ref tensors(PySequence_Tuple(args[1]));
    Ref results(tensors ? PySequence_Tuple(args[2]) : nullptr);
    if (!results) return nullptr;
    const bool done =
        record(args[0], &PyTuple_GET_ITEM(tensors.get(), 0), PyTuple_GET_SIZE(tensors.get()),
               &PyTuple_GET_ITEM(results.get(), 0), PyTuple_GET_SIZE(results.get()));
    return done ? Py_NewRef(Py_None) : nullptr;
}

constexpr int kDense = NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED;

// The array itself if it is C-contiguous and aligned, else what Python makes of it.
PyObject* dense(PyObject* table, PyObject* array) {
    if (PyArray_CheckExact(array) &&
        PyArray_CHKFLAGS(reinterpret_cast<PyArrayObject*>(array), kDense))
        return Py_NewRef(array);
    PyObject* call[] = {table, array};
    return PyObject_Vectorcall(tape.dense_copy, call, 2, nullptr);
}

// contiguous(table, array)
PyObject* contiguous(PyObject*, PyObject* const* args, Py_ssize_t nargs) {
    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "contiguous: expected (table, array)");
        return nullptr;
    }
    return dense(args[0], args[1]);
}

bool has_shape(PyObject* array, PyObject* shape) {
    if (!PyArray_CheckExact(array) || !PyTuple_CheckExact(shape)) return false;
    PyArrayObject* a = reinterpret_cast<PyArrayObject*>(array);
    if (PyTuple_GET_SIZE(shape) != PyArray_NDIM(a)) return false;
    for (int d = 0; d < PyArray_NDIM(a); ++d) {
        const Py_ssize_t size = PyLong_AsSsize_t(PyTuple_GET_ITEM(shape, d));
        if (size == -1 && PyErr_Occurred() != nullptr) PyErr_Clear();
        if (size != PyArray_DIM(a, d)) return false;
    }
    return true;
}

// reshaped(table, array, shape): a contiguous array in another shape; itself if it has that shape.
PyObject* reshaped(PyObject*, PyObject* const* args, Py_ssize_t nargs) {
    if (nargs != 3) {
        PyErr_SetString(PyExc_TypeError, "reshaped: expected (table, array, shape)");
        return nullptr;
    }
    Ref array(dense(args[0], args[1]));
    if (!array || has_shape(array.get(), args[2])) return array.give();
    static PyObject* const reshape = PyUnicode_InternFromString("reshape");
    PyObject* call[] = {array.get(), args[2]};
    return PyObject_VectorcallMethod(reshape, call, 2, nullptr);
}

PyObject* py_wrap(PyObject*, PyObject* array) { return wrap(Py_NewRef(array)); }

PyObject* next_sequence(PyObject*, PyObject*) {
    return PyLong_FromLongLong(next_sequence_number());
}

PyObject* bind(PyObject*, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"tensor", "storage",    "op",          "tables", "cpu_table",
                                  "record", "check_view", "add_to_grad", "stamp",  "prepare",
                                  "add",    "finish",     "dense_copy",  nullptr};
    Tape next{};
    PyObject *tensor, *storage, *op;
    if (PyArg_ParseTupleAndKeywords(
            args, keywords, "O!O!O!O!OOOOOOOOO:bind_tape", const_cast<char**>(names), &PyType_Type,
            &tensor, &PyType_Type, &storage, &PyType_Type, &op, &PyDict_Type, &next.tables,
            &next.cpu_table, &next.record, &next.check_view, &next.add_to_grad, &next.stamp,
            &next.prepare, &next.add, &next.finish, &next.dense_copy) == 0)
        return nullptr;
    next.tensor = reinterpret_cast<PyTypeObject*>(tensor);
    next.storage = reinterpret_cast<PyTypeObject*>(storage);
    next.op = reinterpret_cast<PyTypeObject*>(op);
    const Named of_tensor[] = {
        {&next.t.array, "array"},
        {&next.t.storage, "storage"},
        {&next.t.grad, "_grad"},
        {&next.t.requires_grad, "_requires_grad"},
        {&next.t.node, "_node"},
        {&next.t.output_nr, "_output_nr"},
        {&next.t.hooks, "_hooks"},
        {&next.t.rebase_stamp, "_rebase_stamp"},
        {&next.t.no_grad_view, "_no_grad_view"},
    };
    const Named of_storage[] = {{&next.s.version, "version"}, {&next.s.rebased, "rebased"}};
    const Named of_op[] = {
        {&next.o.direct, "direct"}, {&next.o.edges, "edges"},       {&next.o.guards, "guards"},
        {&next.o.hooks, "hooks"},   {&next.o.incoming, "incoming"}, {&next.o.kernels, "kernels"},
        {&next.o.needs, "needs"},   {&next.o.outputs, "outputs"},   {&next.o.retained, "retained"},
        {&next.o.saved, "saved"},   {&next.o.sequence, "sequence"},
    };
    if (!find_places(next.tensor, of_tensor, 9) || !find_places(next.storage, of_storage, 2) ||
        !find_places(next.op, of_op, 11))
        return nullptr;
    // Never given up: the module lives as long as the process.
    for (PyObject* held :
         {tensor, storage, op, next.tables, next.cpu_table, next.record, next.check_view,
          next.add_to_grad, next.stamp, next.prepare, next.add, next.finish, next.dense_copy})
        Py_INCREF(held);
    next.bound = true;
    tape = next;
    Py_RETURN_NONE;
}

// An object whose attribute `enabled` is the switch of the thread that asks.
PyObject* get_enabled(PyObject*, void*) { return PyBool_FromLong(recording_enabled); }
int set_enabled(PyObject*, PyObject* value, void*) {
    const int truth = value == nullptr ? -1 : PyObject_IsTrue(value);
    if (truth < 0) {
        if (PyErr_Occurred() == nullptr)
            PyErr_SetString(PyExc_AttributeError, "enabled: expected a bool, not del");
        return -1;
    }
    recording_enabled = truth != 0;
    return 0;
}

PyGetSetDef switch_members[] = {
    {"enabled", get_enabled, set_enabled, "whether operations of this thread are recorded",
     nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};
PyTypeObject switch_type = blank_type();

PyMethodDef functions[] = {
    {"apply", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(apply)), METH_FASTCALL,
     "apply(cls, tensors, *options): Op.apply"},
    {"record", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(py_record)),
     METH_FASTCALL, "record(node, tensors, results): Op.record"},
    {"contiguous", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(contiguous)),
     METH_FASTCALL, "contiguous(table, array)"},
    {"reshaped", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(reshaped)),
     METH_FASTCALL, "reshaped(table, array, shape)"},
    {"backward_of", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(backward_of)),
     METH_FASTCALL, "backward_of(tensor, keep): False where Python has to look at it"},
    {"plain_product", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(plain_product)),
     METH_FASTCALL, "plain_product(gemm, a, b): a tensor, or NotImplemented"},
    {"wrap", py_wrap, METH_O, "wrap(array): a tensor on an array, without history"},
    {"next_sequence", next_sequence, METH_NOARGS, "the sequence number of the next node"},
    {"backward_pass", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(backward_pass)),
     METH_FASTCALL, "backward_pass(roots, arrays, fresh, keep)"},
    {"bind_tape", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(bind)),
     METH_VARARGS | METH_KEYWORDS, "bind_tape(...): tells the tape its Python classes"},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

bool add_tape(PyObject* module) {
    switch_type.tp_name = "fastnn._cpu.RecordingSwitch";
    switch_type.tp_basicsize = sizeof(PyObject);
    switch_type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION;
    switch_type.tp_getset = switch_members;
    if (PyType_Ready(&switch_type) < 0) return false;
    PyObject* one = PyObject_New(PyObject, &switch_type);
    if (one == nullptr || PyModule_AddObject(module, "recording", one) < 0) return false;
    return PyModule_AddFunctions(module, functions) == 0 && add_binary_methods(module);
}

}  // namespace fastnn
