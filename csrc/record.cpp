// SPDX-License-Identifier: BSD-3-Clause
// Recording and replaying launches from Python. A recorded launch is (kernel id, variant, block,
// slots); a slot is (position in the block, owner, base address, offset, extent, access): the owner
// keeps the memory alive, so no address is handed out twice while a recording is on.
#include <new>

#include "numpy_api.h"
#include "runtime/launch.h"
#include "runtime/pool.h"

#include <vector>

namespace fastnn {
namespace {

struct PythonRecorder : Recorder {
    PyObject* list;
};

thread_local PythonRecorder* active = nullptr;

PyArrayObject* array_of(const Slot& slot) {
    if (current_call == nullptr || slot.arg >= current_call->count) return nullptr;
    PyObject* value = current_call->args[slot.arg];
    if (!PyArray_Check(value)) {
        if (!PyList_Check(value) && !PyTuple_Check(value)) return nullptr;
        if (slot.item >= PySequence_Fast_GET_SIZE(value)) return nullptr;
        value = PySequence_Fast_GET_ITEM(value, slot.item);
    }
    return PyArray_Check(value) ? reinterpret_cast<PyArrayObject*>(value) : nullptr;
}

PyObject* slot_tuple(const Slot& slot) {
    static constexpr const char* kAccess[] = {"", "in", "out", "inout"};
    std::uintptr_t base = reinterpret_cast<std::uintptr_t>(slot.low);
    std::size_t bytes = static_cast<std::size_t>(slot.extent);
    PyObject* owner = Py_None;
    if (PyArrayObject* array = array_of(slot)) owner = array_owner(array, &base, &bytes);
    return Py_BuildValue("(kOKnLLs)", static_cast<unsigned long>(slot.position), owner,
                         static_cast<unsigned long long>(base), static_cast<Py_ssize_t>(bytes),
                         static_cast<long long>(reinterpret_cast<std::uintptr_t>(slot.low) - base),
                         static_cast<long long>(slot.extent),
                         kAccess[static_cast<int>(slot.access)]);
}

PyObject* launch_tuple(const Launch& launch) {
    std::vector<Slot> slots(8);
    int n = slot_table(launch, slots.data(), 8);
    if (n > 8) {
        slots.resize(static_cast<std::size_t>(n));
        n = slot_table(launch, slots.data(), n);
    }
    PyObject* table = PyTuple_New(n);
    for (int i = 0; table != nullptr && i < n; ++i) {
        PyObject* slot = slot_tuple(slots[static_cast<std::size_t>(i)]);
        if (slot == nullptr) Py_CLEAR(table);
        if (slot != nullptr) PyTuple_SET_ITEM(table, i, slot);
    }
    if (table == nullptr) return nullptr;
    return Py_BuildValue("(iiy#N)", launch.kernel->id, launch.variant, launch.block,
                         static_cast<Py_ssize_t>(launch.bytes), table);
}

// Appends, then lets the launch run. A failure leaves the Python error set; the entry sees it.
bool append(Recorder* self, const Launch& launch) {
    PyObject* one = launch_tuple(launch);
    if (one == nullptr) return true;
    const bool stored = PyList_Append(static_cast<PythonRecorder*>(self)->list, one) == 0;
    Py_DECREF(one);
    return !stored;
}

PyObject* py_set_recorder(PyObject*, PyObject* list) {
    if (list != Py_None && !PyList_Check(list)) {
        PyErr_Format(PyExc_TypeError, "set_recorder: expected a list or None, got %s",
                     Py_TYPE(list)->tp_name);
        return nullptr;
    }
    PyObject* before = Py_NewRef(active == nullptr ? Py_None : active->list);
    PythonRecorder* next = nullptr;
    if (list != Py_None) {
        next = new (std::nothrow) PythonRecorder;
        if (next == nullptr) {
            Py_DECREF(before);
            return PyErr_NoMemory();
        }
        next->take = append;
        next->list = Py_NewRef(list);
    }
    set_recorder(next);
    PythonRecorder* old = active;
    active = next;
    if (old != nullptr) {
        Py_DECREF(old->list);
        delete old;
    }
    return before;
}

PyObject* py_launch(PyObject*, PyObject* args) {
    int id = 0;
    int variant = 0;
    Py_buffer block;
    if (PyArg_ParseTuple(args, "iiy*:launch", &id, &variant, &block) == 0) return nullptr;
    const Kernel* kernel = kernel_at(id);
    PyObject* result = nullptr;
    if (kernel == nullptr || variant < 0 || variant >= kernel->n_variants ||
        static_cast<std::size_t>(block.len) < kernel->fixed_bytes) {
        PyErr_SetString(PyExc_ValueError,
                        "launch: expected a kernel id, a variant and a block as recorded");
    } else {
        const Launch what{kernel, variant, static_cast<const char*>(block.buf),
                          static_cast<std::size_t>(block.len)};
        const Status status = launch(what);
        result = status == Status::kOk ? Py_NewRef(Py_None)
                                       : raise_status(kernel->name, static_cast<int>(status));
    }
    PyBuffer_Release(&block);
    return result;
}

PyMethodDef methods[] = {
    {"set_recorder", py_set_recorder, METH_O,
     "set_recorder(list | None) -> the list before\n\nEvery launch of this thread is appended, "
     "then run."},
    {"launch", py_launch, METH_VARARGS,
     "launch(kernel_id, variant, block)\n\nRuns a recorded block. Its addresses are trusted: for "
     "replay only."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

bool add_recorder(PyObject* module) { return PyModule_AddFunctions(module, methods) == 0; }

}  // namespace fastnn
