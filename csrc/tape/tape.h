// SPDX-License-Identifier: BSD-3-Clause
// The hot part of the tape in C++: making tensors, applying and recording operations, and the
// backward pass where no graph of it is wanted. python/fastnn/_op.py and _engine.py are the
// specification, and what runs without this module; here is the same for exact numpy.ndarrays,
// and everything unusual (hooks, views whose history changed, arrays of other kinds) is left to
// them.
//
// Tensor, Storage and Op are Python classes with __slots__; the slots are read and written at the
// places that their descriptors say.
#pragma once

#include "numpy_api.h"

namespace fastnn {

struct Tape {
    PyTypeObject* tensor;
    PyTypeObject* storage;
    PyTypeObject* op;
    PyObject* tables;     // type of array -> kernel table
    PyObject* cpu_table;  // the one whose kernels are native
    // Python functions for what is left to Python.
    PyObject* check_view;   // (name, tensor)
    PyObject* record;       // (node, tensors, results)
    PyObject* add_to_grad;  // (leaf, array, fresh)
    PyObject* stamp;        // ()
    PyObject* prepare;      // (node, [gradient or None]) -> gradients
    PyObject* add;          // (sum, owned, array) -> sum
    PyObject* finish;       // (leaf, sum, owned)
    PyObject* dense_copy;   // (table, array) -> contiguous, aligned array
    struct {
        Py_ssize_t array, storage, requires_grad, grad, node, output_nr, hooks, rebase_stamp,
            no_grad_view;
    } t;
    struct {
        Py_ssize_t version, rebased;
    } s;
    struct {
        Py_ssize_t direct, edges, guards, hooks, incoming, kernels, needs, outputs, retained, saved,
            sequence;
    } o;
    bool bound;
};
extern Tape tape;

// Whether operations of this thread are recorded.
extern thread_local bool recording_enabled;

// A reference that is given up at the end of its scope.
class Ref {
  public:
    Ref() = default;
    explicit Ref(PyObject* owned) : object_(owned) {}
    Ref(const Ref&) = delete;
    Ref& operator=(const Ref&) = delete;
    ~Ref() { Py_XDECREF(object_); }
    PyObject* get() const { return object_; }
    PyObject* give() {
        PyObject* object = object_;
        object_ = nullptr;
        return object;
    }
    void reset(PyObject* owned) {
        PyObject* before = object_;
        object_ = owned;
        Py_XDECREF(before);
    }
    explicit operator bool() const { return object_ != nullptr; }

  private:
    PyObject* object_ = nullptr;
};

inline PyObject*& slot(PyObject* object, Py_ssize_t place) {
    return *reinterpret_cast<PyObject**>(reinterpret_cast<char*>(object) + place);
}

// Stores a reference that the caller owns.
inline void set_slot(PyObject* object, Py_ssize_t place, PyObject* owned) {
    PyObject* before = slot(object, place);
    slot(object, place) = owned;
    Py_XDECREF(before);
}

inline bool is_tensor(PyObject* value) { return PyObject_TypeCheck(value, tape.tensor) != 0; }
inline bool is_op(PyObject* value) { return PyObject_TypeCheck(value, tape.op) != 0; }
inline bool needs_grad(PyObject* t) { return slot(t, tape.t.requires_grad) == Py_True; }

// The array of a tensor if it is an exact numpy.ndarray, else null (no error is set).
inline PyArrayObject* plain_array(PyObject* t) {
    PyObject* array = slot(t, tape.t.array);
    if (array == nullptr || !PyArray_CheckExact(array)) return nullptr;
    return reinterpret_cast<PyArrayObject*>(array);
}

// tape.cpp. Each returns a new reference, or null or false with an error set.
PyObject* wrap(PyObject* owned_array);
PyObject* new_node(PyTypeObject* kind);
// False also for a view of memory whose history has changed.
bool check_views(PyTypeObject* kind, PyObject* const* tensors, Py_ssize_t n);
bool record(PyObject* node, PyObject* const* tensors, Py_ssize_t n, PyObject* const* results,
            Py_ssize_t m);

long long next_sequence_number();  // of a node

// Parts of the module.
bool add_binary_methods(PyObject* module);
PyObject* apply(PyObject*, PyObject* const* args, Py_ssize_t nargs);
PyObject* plain_product(PyObject*, PyObject* const* args, Py_ssize_t nargs);
PyObject* backward_pass(PyObject*, PyObject* const* args, Py_ssize_t nargs);
PyObject* backward_of(PyObject*, PyObject* const* args, Py_ssize_t nargs);

}  // namespace fastnn
