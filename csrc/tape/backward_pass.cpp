// SPDX-License-Identifier: BSD-3-Clause
// The backward pass of python/fastnn/_engine.py where gradients go to all leaves and no graph of
// the pass is wanted: nodes newest first, from a heap, without recursion.
#include <algorithm>
#include <initializer_list>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tape.h"

namespace fastnn {
namespace {

// A gradient that is not complete yet, and whether its memory is ours to add to.
struct Sum {
    PyObject* total = nullptr;
    bool owned = false;
};

struct Waiting {
    PyObject* node = nullptr;
    std::vector<Sum> sums;  // one for each output
};

bool known_version(PyObject* guard) {
    PyObject* now = slot(PyTuple_GET_ITEM(guard, 0), tape.s.version);
    PyObject* then = PyTuple_GET_ITEM(guard, 1);
    return now == then || PyObject_RichCompareBool(now, then, Py_EQ) == 1;
}

// Whether a view is all of an array that nothing else refers to: a new array in another shape.
bool is_sole_view(PyArrayObject* view, PyObject* base) {
    if (Py_REFCNT(base) != 1 || !PyArray_CheckExact(base)) return false;
    PyArrayObject* whole = reinterpret_cast<PyArrayObject*>(base);
    constexpr int kOwn = NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED | NPY_ARRAY_WRITEABLE;
    return owns_elements(whole) && PyArray_CHKFLAGS(view, kOwn) &&
           PyArray_DATA(view) == PyArray_DATA(whole) &&
           PyArray_NBYTES(view) == PyArray_NBYTES(whole);
}

// Whether an array that backward returned belongs to nobody else: only the tuple of results refers
// to it, and only it to its elements. So it is no gradient that came in, no saved array, nothing
// that the operation keeps, and was not returned twice.
bool is_fresh(PyObject* array) {
    if (!PyArray_CheckExact(array) || Py_REFCNT(array) != 1) return false;
    PyArrayObject* own = reinterpret_cast<PyArrayObject*>(array);
    PyObject* base = PyArray_BASE(own);
    if (base != nullptr && PyArray_Check(base)) return is_sole_view(own, base);
    return owns_elements(own);
}

class Pass {
  public:
    explicit Pass(bool keep) : keep_(keep) {}
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;
    ~Pass() {
        for (auto& entry : waiting_) drop(entry.second);
        for (auto& entry : leaves_) {
            Py_DECREF(entry.first);
            Py_XDECREF(entry.second.total);
        }
    }

    bool send(PyObject* target, Py_ssize_t nr, PyObject* grad, bool fresh) {
        if (is_op(target)) return to_node(target, nr, grad, fresh);
        if (slot(target, tape.t.hooks) != Py_None) return to_leaf(target, grad, fresh);
        return to_grad(target, grad, fresh);
    }

    bool run() {
        while (!heap_.empty()) {
            std::pop_heap(heap_.begin(), heap_.end());
            PyObject* node = heap_.back().second;
            heap_.pop_back();
            const auto found = waiting_.find(node);
            Waiting now = std::move(found->second);
            waiting_.erase(found);
            const bool done = visit(now);
            drop(now);
            if (!done) return false;
        }
        for (auto& [leaf, sum] : leaves_) {
            PyObject* call[] = {leaf, sum.total, sum.owned ? Py_True : Py_False};
            if (!Ref(PyObject_Vectorcall(tape.finish, call, 3, nullptr))) return false;
        }
        return true;
    }

  private:
    static void drop(Waiting& w) {
        for (Sum& sum : w.sums) Py_XDECREF(sum.total);
        w.sums.clear();
        Py_CLEAR(w.node);
    }

    static bool add(Sum& sum, PyObject* grad, bool fresh) {
        if (sum.total == nullptr) {
            sum = {Py_NewRef(grad), fresh};
            return true;
        }
        PyObject* call[] = {sum.total, sum.owned ? Py_True : Py_False, grad};
        PyObject* total = PyObject_Vectorcall(tape.add, call, 3, nullptr);
        if (total == nullptr) return false;
        Py_SETREF(sum.total, total);
        sum.owned = true;
        return true;
    }

    bool to_node(PyObject* node, Py_ssize_t nr, PyObject* grad, bool fresh) {
        Waiting& w = waiting_[node];
        if (w.node == nullptr) {
            PyObject* outputs = slot(node, tape.o.outputs);
            const long long sequence = PyLong_AsLongLong(slot(node, tape.o.sequence));
            if (sequence == -1 && PyErr_Occurred() != nullptr) return false;
            w.node = Py_NewRef(node);
            w.sums.resize(static_cast<std::size_t>(PyTuple_GET_SIZE(outputs)));
            heap_.emplace_back(sequence, node);
            std::push_heap(heap_.begin(), heap_.end());
        }
        if (nr < 0 || nr >= static_cast<Py_ssize_t>(w.sums.size())) {
            PyErr_Format(PyExc_SystemError, "%s: there is no output %zd", Py_TYPE(node)->tp_name,
                         nr);
            return false;
        }
        return add(w.sums[static_cast<std::size_t>(nr)], grad, fresh);
    }

    bool to_leaf(PyObject* leaf, PyObject* grad, bool fresh) {
        for (auto& [known, sum] : leaves_)
            if (known == leaf) return add(sum, grad, fresh);
        leaves_.emplace_back(Py_NewRef(leaf), Sum{});
        return add(leaves_.back().second, grad, fresh);
    }

    static bool to_grad(PyObject* leaf, PyObject* grad, bool fresh) {
        PyObject* before = slot(leaf, tape.t.grad);
        if (before == Py_None && fresh) {
            PyObject* t = wrap(Py_NewRef(grad));
            if (t == nullptr) return false;
            set_slot(leaf, tape.t.grad, t);
            return static_cast<bool>(Ref(PyObject_CallNoArgs(tape.stamp)));
        }
        // The operation may have added to .grad already.
        if (before != Py_None && slot(before, tape.t.array) == grad) return true;
        PyObject* call[] = {leaf, grad, fresh ? Py_True : Py_False};
        return static_cast<bool>(Ref(PyObject_Vectorcall(tape.add_to_grad, call, 3, nullptr)));
    }

    // The gradients of the node's outputs as a tuple, after its hooks.
    static PyObject* gathered(const Waiting& w) {
        const Py_ssize_t n = static_cast<Py_ssize_t>(w.sums.size());
        Ref grads(PyTuple_New(n));
        if (!grads) return nullptr;
        bool usual =
            slot(w.node, tape.o.hooks) == Py_None && slot(w.node, tape.o.retained) == Py_None;
        for (Py_ssize_t i = 0; i < n; ++i) {
            PyObject* total = w.sums[static_cast<std::size_t>(i)].total;
            usual = usual && total != nullptr;
            PyTuple_SET_ITEM(grads.get(), i, Py_NewRef(total == nullptr ? Py_None : total));
        }
        if (usual) return grads.give();
        Ref list(PySequence_List(grads.get()));
        if (!list) return nullptr;
        PyObject* call[] = {w.node, list.get()};
        Ref prepared(PyObject_Vectorcall(tape.prepare, call, 2, nullptr));
        return prepared ? PySequence_Tuple(prepared.get()) : nullptr;
    }

    static bool check_saved(PyObject* node) {
        PyObject* guards = slot(node, tape.o.guards);
        bool sound = slot(node, tape.o.saved) != Py_None;
        for (Py_ssize_t i = 0; sound && i < PyTuple_GET_SIZE(guards); ++i) {
            PyObject* guard = PyTuple_GET_ITEM(guards, i);
            sound = guard == Py_None || known_version(guard);
        }
        if (sound) return true;
        static PyObject* const name = PyUnicode_InternFromString("check_saved");
        PyObject* call[] = {node};
        Ref done(PyObject_VectorcallMethod(name, call, 1, nullptr));  // raises
        return static_cast<bool>(done);
    }

    bool visit(const Waiting& w) {
        static PyObject* const backward = PyUnicode_InternFromString("backward");
        static PyObject* const nothing = PyTuple_New(0);
        PyObject* node = w.node;
        if (!check_saved(node)) return false;
        Ref grads(gathered(w));
        if (!grads) return false;
        const Py_ssize_t n = PyTuple_GET_SIZE(grads.get());
        std::vector<PyObject*> many;
        PyObject* few[8];
        PyObject** call = few;
        if (n >= 8) {
            many.resize(static_cast<std::size_t>(n + 1));
            call = many.data();
        }
        call[0] = node;
        for (Py_ssize_t i = 0; i < n; ++i) call[1 + i] = PyTuple_GET_ITEM(grads.get(), i);
        set_slot(node, tape.o.direct, Py_NewRef(Py_True));
        set_slot(node, tape.o.incoming, Py_NewRef(grads.get()));
        Ref returned(
            PyObject_VectorcallMethod(backward, call, static_cast<size_t>(n + 1), nullptr));
        set_slot(node, tape.o.direct, Py_NewRef(Py_False));
        set_slot(node, tape.o.incoming, Py_NewRef(nothing));
        if (!returned) return false;
        Ref results(PySequence_Tuple(returned.get()));
        if (!results) return false;
        PyObject* edges = slot(node, tape.o.edges);
        if (PyTuple_GET_SIZE(results.get()) != PyTuple_GET_SIZE(edges)) {
            PyErr_Format(PyExc_ValueError,
                         "%s: expected backward to return a gradient or None for each of %zd "
                         "inputs, got %zd; return None for inputs without a gradient",
                         Py_TYPE(node)->tp_name, PyTuple_GET_SIZE(edges),
                         PyTuple_GET_SIZE(results.get()));
            return false;
        }
        Ref held(Py_NewRef(edges));
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(edges); ++i) {
            PyObject* edge = PyTuple_GET_ITEM(edges, i);
            PyObject* grad = PyTuple_GET_ITEM(results.get(), i);
            if (edge == Py_None || grad == Py_None) continue;
            const bool fresh = is_fresh(grad);
            const Py_ssize_t nr = PyLong_AsSsize_t(PyTuple_GET_ITEM(edge, 1));
            if (!send(PyTuple_GET_ITEM(edge, 0), nr, grad, fresh)) return false;
        }
        if (!keep_) {
            PyObject* saved = slot(node, tape.o.saved);
            const bool some = saved != nullptr && PyObject_IsTrue(saved) == 1;
            set_slot(node, tape.o.saved, Py_NewRef(some ? Py_None : nothing));
            set_slot(node, tape.o.guards, Py_NewRef(nothing));
        }
        return true;
    }

    const bool keep_;
    std::vector<std::pair<long long, PyObject*>> heap_;
    std::unordered_map<PyObject*, Waiting> waiting_;
    std::vector<std::pair<PyObject*, Sum>> leaves_;  // those with hooks
};

}  // namespace

// backward_pass(roots, arrays, fresh, keep): lists of tensors, their gradients, and whether these
// are ours. False, with nothing done, if not all arrays are exact ndarrays.
PyObject* backward_pass(PyObject*, PyObject* const* args, Py_ssize_t nargs) {
    if (nargs != 4 || !PyList_CheckExact(args[0]) || !PyList_CheckExact(args[1]) ||
        !PyList_CheckExact(args[2]) || PyList_GET_SIZE(args[0]) != PyList_GET_SIZE(args[1]) ||
        PyList_GET_SIZE(args[0]) != PyList_GET_SIZE(args[2])) {
        PyErr_SetString(PyExc_TypeError, "backward_pass: expected (roots, arrays, fresh, keep)");
        return nullptr;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(args[0]); ++i) {
        PyObject* t = PyList_GET_ITEM(args[0], i);
        if (!is_tensor(t)) {
            PyErr_SetString(PyExc_TypeError, "backward_pass: expected tensors as roots");
            return nullptr;
        }
        if (!PyArray_CheckExact(PyList_GET_ITEM(args[1], i))) Py_RETURN_FALSE;
    }
    Pass pass(args[3] == Py_True);
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(args[0]); ++i) {
        PyObject* t = PyList_GET_ITEM(args[0], i);
        PyObject* node = slot(t, tape.t.node);
        const Py_ssize_t nr = PyLong_AsSsize_t(slot(t, tape.t.output_nr));
        const bool fresh = PyList_GET_ITEM(args[2], i) == Py_True;
        if (!pass.send(node == Py_None ? t : node, nr, PyList_GET_ITEM(args[1], i), fresh))
            return nullptr;
    }
    return pass.run() ? Py_NewRef(Py_True) : nullptr;
}

// backward_of(tensor, keep): tensor.backward() of one number. False, with nothing done, where the
// tensor or its history is not the usual kind, which Python looks at and may refuse.
PyObject* backward_of(PyObject*, PyObject* const* args, Py_ssize_t nargs) {
    if (nargs != 2 || !is_tensor(args[0])) Py_RETURN_FALSE;
    PyArrayObject* array = plain_array(args[0]);
    PyObject* node = slot(args[0], tape.t.node);
    if (array == nullptr || !needs_grad(args[0]) || node == Py_None || PyArray_SIZE(array) != 1 ||
        slot(args[0], tape.t.rebase_stamp) != Py_None)
        Py_RETURN_FALSE;
    const int type = PyArray_TYPE(array);
    if (type != NPY_FLOAT32 && type != NPY_FLOAT64) Py_RETURN_FALSE;
    Ref one(empty_array(PyArray_NDIM(array), PyArray_DIMS(array), type));
    if (!one) return nullptr;
    void* data = PyArray_DATA(reinterpret_cast<PyArrayObject*>(one.get()));
    if (type == NPY_FLOAT32) {
        *static_cast<float*>(data) = 1.0F;
    } else {
        *static_cast<double*>(data) = 1.0;
    }
    const Py_ssize_t nr = PyLong_AsSsize_t(slot(args[0], tape.t.output_nr));
    const bool before = recording_enabled;
    recording_enabled = false;
    bool done;
    {
        Pass pass(args[1] == Py_True);
        done = pass.send(node, nr, one.get(), true) && pass.run();
    }
    recording_enabled = before;
    return done ? Py_NewRef(Py_True) : nullptr;
}

}  // namespace fastnn
