// SPDX-License-Identifier: BSD-3-Clause
// Tensors and nodes: how they are made, and Op.apply and Op.record of python/fastnn/_op.py.
#include "tape.h"

#include <initializer_list>

namespace fastnn {

namespace {

long long newest = 0;  // sequence number of a node; under the GIL

constexpr Py_ssize_t kMostArguments = 64;

PyObject* new_storage() {
    PyObject* s = tape.storage->tp_alloc(tape.storage, 0);
    if (s == nullptr) return nullptr;
    slot(s, tape.s.version) = PyLong_FromLong(0);
    slot(s, tape.s.rebased) = PyLong_FromLong(0);
    return s;
}

// What stands in a slot is held while a tuple is made: that may run the garbage collector, and it
// finalisers, which may put something else there.

// (storage, version, which): the tensor, an input or an output, that a saved array belongs to.
PyObject* guard_of(PyObject* array, PyObject* const* tensors, Py_ssize_t n,
                   PyObject* const* results, Py_ssize_t m) {
    for (Py_ssize_t i = 0; array != Py_None && i < n + m; ++i) {
        PyObject* t = i < n ? tensors[i] : results[i - n];
        if (t == Py_None || slot(t, tape.t.array) != array) continue;
        Ref storage(Py_NewRef(slot(t, tape.t.storage)));
        Ref version(Py_NewRef(slot(storage.get(), tape.s.version)));
        Ref which(PyLong_FromSsize_t(i < n ? i : n - 1 - i));
        if (!which) return nullptr;
        return PyTuple_Pack(3, storage.get(), version.get(), which.get());
    }
    return Py_NewRef(Py_None);
}

PyObject* edge_of(PyObject* t) {
    Ref node(Py_NewRef(slot(t, tape.t.node)));
    Ref nr(Py_NewRef(slot(t, tape.t.output_nr)));
    if (node.get() != Py_None) return PyTuple_Pack(2, node.get(), nr.get());
    Ref zero(PyLong_FromLong(0));
    return zero ? PyTuple_Pack(2, t, zero.get()) : nullptr;
}

PyObject* shape_and_type(PyObject* t) {
    PyArrayObject* array = reinterpret_cast<PyArrayObject*>(slot(t, tape.t.array));
    const int ndim = PyArray_NDIM(array);
    Ref shape(PyTuple_New(ndim));
    for (int d = 0; shape && d < ndim; ++d) {
        PyObject* size = PyLong_FromSsize_t(PyArray_DIM(array, d));
        if (size == nullptr) return nullptr;
        PyTuple_SET_ITEM(shape.get(), d, size);
    }
    return shape ? PyTuple_Pack(2, shape.get(), PyArray_DESCR(array)) : nullptr;
}

}  // namespace

PyObject* wrap(PyObject* owned_array) {
    PyObject* t = tape.tensor->tp_alloc(tape.tensor, 0);
    if (t == nullptr) {
        Py_DECREF(owned_array);
        return nullptr;
    }
    slot(t, tape.t.array) = owned_array;
    slot(t, tape.t.requires_grad) = Py_NewRef(Py_False);
    slot(t, tape.t.no_grad_view) = Py_NewRef(Py_False);
    slot(t, tape.t.grad) = Py_NewRef(Py_None);
    slot(t, tape.t.node) = Py_NewRef(Py_None);
    slot(t, tape.t.hooks) = Py_NewRef(Py_None);
    slot(t, tape.t.rebase_stamp) = Py_NewRef(Py_None);
    slot(t, tape.t.output_nr) = PyLong_FromLong(0);
    slot(t, tape.t.storage) = new_storage();
    if (slot(t, tape.t.storage) == nullptr) {
        Py_DECREF(t);
        return nullptr;
    }
    return t;
}

PyObject* new_node(PyTypeObject* kind) {
    static PyObject* const nothing = PyTuple_New(0);
    PyObject* node = kind->tp_alloc(kind, 0);
    if (node == nullptr) return nullptr;
    for (Py_ssize_t place :
         {tape.o.saved, tape.o.guards, tape.o.edges, tape.o.outputs, tape.o.incoming})
        slot(node, place) = Py_NewRef(nothing);
    slot(node, tape.o.hooks) = Py_NewRef(Py_None);
    slot(node, tape.o.retained) = Py_NewRef(Py_None);
    slot(node, tape.o.direct) = Py_NewRef(Py_False);
    slot(node, tape.o.sequence) = PyLong_FromLong(-1);
    return node;
}

bool check_views(PyTypeObject* kind, PyObject* const* tensors, Py_ssize_t n) {
    for (Py_ssize_t i = 0; i < n; ++i) {
        PyObject* t = tensors[i];
        if (t == Py_None) continue;
        PyObject* stamp = slot(t, tape.t.rebase_stamp);
        if (stamp == Py_None || stamp == slot(slot(t, tape.t.storage), tape.s.rebased)) continue;
        Ref name(PyObject_GetAttrString(reinterpret_cast<PyObject*>(kind), "name"));
        if (!name) return false;
        PyObject* call[] = {name.get(), t};
        Ref done(PyObject_Vectorcall(tape.check_view, call, 2, nullptr));
        if (!done) return false;
    }
    return true;
}

bool record(PyObject* node, PyObject* const* tensors, Py_ssize_t n, PyObject* const* results,
            Py_ssize_t m) {
    for (Py_ssize_t i = 0; i < m; ++i) {
        if (is_tensor(results[i]) && plain_array(results[i]) != nullptr) continue;
        Ref inputs(PyTuple_New(n)), outputs(PyTuple_New(m));
        if (!inputs || !outputs) return false;
        for (Py_ssize_t k = 0; k < n; ++k) PyTuple_SET_ITEM(inputs.get(), k, Py_NewRef(tensors[k]));
        for (Py_ssize_t k = 0; k < m; ++k)
            PyTuple_SET_ITEM(outputs.get(), k, Py_NewRef(results[k]));
        PyObject* call[] = {node, inputs.get(), outputs.get()};
        return static_cast<bool>(Ref(PyObject_Vectorcall(tape.record, call, 3, nullptr)));
    }
    PyObject* needs = slot(node, tape.o.needs);
    if (needs == nullptr || !PyTuple_CheckExact(needs) || PyTuple_GET_SIZE(needs) != n) {
        PyErr_SetString(PyExc_ValueError, "record: expected one of node.needs for each tensor");
        return false;
    }
    PyObject* edges = PyTuple_New(n);
    if (edges == nullptr) return false;
    for (Py_ssize_t i = 0; i < n; ++i) {
        const bool need = PyTuple_GET_ITEM(needs, i) == Py_True;
        PyObject* edge = need ? edge_of(tensors[i]) : Py_NewRef(Py_None);
        if (edge == nullptr) {
            Py_DECREF(edges);
            return false;
        }
        PyTuple_SET_ITEM(edges, i, edge);
    }
    set_slot(node, tape.o.edges, edges);
    set_slot(node, tape.o.sequence, PyLong_FromLongLong(newest++));
    PyObject* saved = slot(node, tape.o.saved);
    if (saved != nullptr && PyTuple_CheckExact(saved) && PyTuple_GET_SIZE(saved) > 0) {
        const Py_ssize_t count = PyTuple_GET_SIZE(saved);
        PyObject* guards = PyTuple_New(count);
        if (guards == nullptr) return false;
        for (Py_ssize_t i = 0; i < count; ++i) {
            PyObject* guard = guard_of(PyTuple_GET_ITEM(saved, i), tensors, n, results, m);
            if (guard == nullptr) {
                Py_DECREF(guards);
                return false;
            }
            PyTuple_SET_ITEM(guards, i, guard);
        }
        set_slot(node, tape.o.guards, guards);
    }
    PyObject* described = PyTuple_New(m);
    if (described == nullptr) return false;
    for (Py_ssize_t i = 0; i < m; ++i) {
        PyObject* one = shape_and_type(results[i]);
        if (one == nullptr) {
            Py_DECREF(described);
            return false;
        }
        PyTuple_SET_ITEM(described, i, one);
    }
    set_slot(node, tape.o.outputs, described);
    for (Py_ssize_t i = 0; i < m; ++i) {
        // Integers and bools have no gradient; bfloat16 is a type that NumPy learns at run time.
        const int type = PyArray_TYPE(plain_array(results[i]));
        if (PyTypeNum_ISINTEGER(type) || PyTypeNum_ISBOOL(type)) continue;
        set_slot(results[i], tape.t.requires_grad, Py_NewRef(Py_True));
        set_slot(results[i], tape.t.node, Py_NewRef(node));
        set_slot(results[i], tape.t.output_nr, PyLong_FromSsize_t(i));
    }
    return true;
}

// Op.apply(cls, tensors, *options)
PyObject* apply(PyObject*, PyObject* const* args, Py_ssize_t nargs) {
    if (nargs < 2 || !PyType_Check(args[0]) || !PyTuple_CheckExact(args[1]) ||
        !PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(args[0]), tape.op)) {
        PyErr_SetString(PyExc_TypeError,
                        "apply: expected a tuple of tensors and then options, as Op.apply((x, y), "
                        "option); pass the tensors as one tuple");
        return nullptr;
    }
    PyTypeObject* kind = reinterpret_cast<PyTypeObject*>(args[0]);
    PyObject* const* tensors = &PyTuple_GET_ITEM(args[1], 0);
    const Py_ssize_t n = PyTuple_GET_SIZE(args[1]);
    const Py_ssize_t options = nargs - 2;
    if (n < 1 || n + options >= kMostArguments || tensors[0] == Py_None) {
        PyErr_Format(PyExc_TypeError,
                     "%s: expected 1 to %zd tensors and options, the first a tensor, got %zd; "
                     "pass fewer",
                     kind->tp_name, kMostArguments - 1, n + options);
        return nullptr;
    }
    bool wanted = false;
    for (Py_ssize_t i = 0; i < n; ++i) {
        if (tensors[i] == Py_None) continue;
        if (!is_tensor(tensors[i])) {
            PyErr_Format(PyExc_TypeError,
                         "%s: expected a tensor, got %s; make one with fastnn.tensor(...)",
                         kind->tp_name, Py_TYPE(tensors[i])->tp_name);
            return nullptr;
        }
    }
    // A view whose memory was given a history since it was made has one now too.
    if (recording_enabled && !check_views(kind, tensors, n)) return nullptr;
    for (Py_ssize_t i = 0; recording_enabled && !wanted && i < n; ++i)
        wanted = tensors[i] != Py_None && needs_grad(tensors[i]);
    PyObject* first = slot(tensors[0], tape.t.array);
    PyObject* table =
        first == nullptr
            ? nullptr
            : PyDict_GetItemWithError(tape.tables, reinterpret_cast<PyObject*>(Py_TYPE(first)));
    if (table == nullptr) {
        if (PyErr_Occurred() == nullptr)
            PyErr_Format(PyExc_KeyError, "%s: no backend holds arrays of this type", kind->tp_name);
        return nullptr;
    }
    Ref node(new_node(kind));
    if (!node) return nullptr;
    set_slot(node.get(), tape.o.kernels, Py_NewRef(table));
    PyObject* needs = PyTuple_New(n);
    if (needs == nullptr) return nullptr;
    PyObject* call[kMostArguments + 1];
    call[0] = node.get();
    for (Py_ssize_t i = 0; i < n; ++i) {
        const bool need = wanted && tensors[i] != Py_None && needs_grad(tensors[i]);
        PyTuple_SET_ITEM(needs, i, Py_NewRef(need ? Py_True : Py_False));
        call[1 + i] = tensors[i] == Py_None ? Py_None : slot(tensors[i], tape.t.array);
    }
    set_slot(node.get(), tape.o.needs, needs);
    for (Py_ssize_t i = 0; i < options; ++i) call[1 + n + i] = args[2 + i];
    static PyObject* const forward = PyUnicode_InternFromString("forward");
    Ref out(
        PyObject_VectorcallMethod(forward, call, static_cast<size_t>(1 + n + options), nullptr));
    if (!out) return nullptr;
    if (!PyTuple_CheckExact(out.get())) {
        Ref result(wrap(out.give()));
        if (!result) return nullptr;
        PyObject* one = result.get();
        if (wanted && !record(node.get(), tensors, n, &one, 1)) return nullptr;
        return result.give();
    }
    const Py_ssize_t m = PyTuple_GET_SIZE(out.get());
    Ref results(PyTuple_New(m));
    for (Py_ssize_t i = 0; results && i < m; ++i) {
        PyObject* t = wrap(Py_NewRef(PyTuple_GET_ITEM(out.get(), i)));
        if (t == nullptr) return nullptr;
        PyTuple_SET_ITEM(results.get(), i, t);
    }
    if (!results) return nullptr;
    if (wanted && !record(node.get(), tensors, n, &PyTuple_GET_ITEM(results.get(), 0), m))
        return nullptr;
    return results.give();
}

long long next_sequence_number() { return newest++; }

}  // namespace fastnn
