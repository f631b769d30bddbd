// SPDX-License-Identifier: BSD-3-Clause
// The methods behind Python's operators on tensors: x + y and the like. Two tensors on contiguous
// arrays of one shape and a type that the kernel has take the short way here, and so does a number
// beside a contiguous tensor of floating-point numbers; all else goes to the Python function that
// is the method's specification.
#include <initializer_list>
#include <tuple>

#include "tape.h"

namespace fastnn {
namespace {

struct BinaryMethod {
    PyObject_HEAD vectorcallfunc vectorcall;
    PyObject* op;        // subclass of Op
    PyObject* kernel;    // the native one, or null
    PyObject* function;  // (x, y) -> result
    PyObject* name;
    PyObject* doc;
    // Bits of `needs` for which backward wants the operand: 1 the first's gradient, 2 the second's.
    int saves_x, saves_y;
    bool reflected;
    bool takes_float;  // whether the operation is one of floating-point numbers too
};

PyTypeObject method_type = blank_type();

// An operand: a tensor, or a number, for which `tensor` is None.
struct Operand {
    PyObject* tensor;
    PyObject* array;
};

bool wants_grad(const Operand& operand) {
    return operand.tensor != Py_None && needs_grad(operand.tensor);
}

// A node of the graph between x, y and the result.
bool connect(const BinaryMethod* self, const Operand& x, const Operand& y, PyObject* result) {
    const int needs = (wants_grad(x) ? 1 : 0) | (wants_grad(y) ? 2 : 0);
    Ref node(new_node(reinterpret_cast<PyTypeObject*>(self->op)));
    if (!node) return false;
    set_slot(node.get(), tape.o.kernels, Py_NewRef(tape.cpu_table));
    PyObject* both = PyTuple_Pack(2, (needs & 1) != 0 ? Py_True : Py_False,
                                  (needs & 2) != 0 ? Py_True : Py_False);
    if (both == nullptr) return false;
    set_slot(node.get(), tape.o.needs, both);
    if ((self->saves_x | self->saves_y) != 0) {
        PyObject* saved = PyTuple_Pack(2, (needs & self->saves_x) != 0 ? x.array : Py_None,
                                       (needs & self->saves_y) != 0 ? y.array : Py_None);
        if (saved == nullptr) return false;
        set_slot(node.get(), tape.o.saved, saved);
    }
    PyObject* tensors[] = {x.tensor, y.tensor};
    return record(node.get(), tensors, 2, &result, 1);
}

// A number as an array like another one, all of whose elements are one place in memory. Null
// without an error: the number is none that the type holds.
PyObject* spread_number(PyObject* number, PyArrayObject* like) {
    double value;
    if (PyFloat_CheckExact(number)) {
        value = PyFloat_AS_DOUBLE(number);
    } else {
        value = PyLong_AsDouble(number);
        if (value == -1.0 && PyErr_Occurred() != nullptr) {
            PyErr_Clear();
            return nullptr;
        }
    }
    const int type = PyArray_TYPE(like);
    PyObject* one = empty_array(0, nullptr, type);
    if (one == nullptr) return nullptr;
    void* data = PyArray_DATA(reinterpret_cast<PyArrayObject*>(one));
    if (type == NPY_FLOAT32) {
        *static_cast<float*>(data) = static_cast<float>(value);
    } else {
        *static_cast<double*>(data) = value;
    }
    npy_intp steps[NPY_MAXDIMS] = {};
    PyObject* wide =
        PyArray_NewFromDescr(&PyArray_Type, PyArray_DescrFromType(type), PyArray_NDIM(like),
                             PyArray_DIMS(like), steps, data, NPY_ARRAY_ALIGNED, nullptr);
    if (wide == nullptr) {
        Py_DECREF(one);
        return nullptr;
    }
    if (PyArray_SetBaseObject(reinterpret_cast<PyArrayObject*>(wide), one) < 0) Py_CLEAR(wide);
    return wide;
}

bool is_number(PyObject* value) { return PyFloat_CheckExact(value) || PyLong_CheckExact(value); }

// The result's array for a tensor and a number, one of which is None; NotImplemented where the
// short way does not apply.
PyObject* with_number(const BinaryMethod* self, Operand& x, Operand& y, PyObject* number) {
    Operand& given = x.tensor == Py_None ? y : x;
    Operand& missing = x.tensor == Py_None ? x : y;
    PyArrayObject* array = reinterpret_cast<PyArrayObject*>(given.array);
    const int type = PyArray_TYPE(array);
    if (!self->takes_float || (type != NPY_FLOAT32 && type != NPY_FLOAT64) ||
        PyArray_NDIM(array) > 8 || !PyArray_ISCARRAY_RO(array))
        Py_RETURN_NOTIMPLEMENTED;
    missing.array = spread_number(number, array);
    if (missing.array == nullptr) {
        if (PyErr_Occurred() != nullptr) return nullptr;
        Py_RETURN_NOTIMPLEMENTED;
    }
    Ref out(empty_array(PyArray_NDIM(array), PyArray_DIMS(array), type));
    if (!out) return nullptr;
    PyObject* call[] = {x.array, y.array, out.get()};
    if (!Ref(PyObject_Vectorcall(self->kernel, call, 3, nullptr))) return nullptr;
    return out.give();
}

// NotImplemented where the short way does not apply.
PyObject* short_way(const BinaryMethod* self, PyObject* a, PyObject* b) {
    if (self->kernel == nullptr ||
        PyDict_GetItem(tape.tables, reinterpret_cast<PyObject*>(&PyArray_Type)) != tape.cpu_table)
        Py_RETURN_NOTIMPLEMENTED;
    Operand x{Py_None, nullptr}, y{Py_None, nullptr};
    // The arrays of the tensors, or that of a number. They are held: another thread, or a finaliser
    // that the garbage collector runs, may give a tensor other memory meanwhile.
    Ref held_x, held_y;
    for (const auto& [operand, held, given] :
         {std::tuple{&x, &held_x, a}, std::tuple{&y, &held_y, b}}) {
        if (!is_tensor(given)) continue;
        operand->tensor = given;
        operand->array = reinterpret_cast<PyObject*>(plain_array(given));
        if (operand->array == nullptr) Py_RETURN_NOTIMPLEMENTED;
        held->reset(Py_NewRef(operand->array));
    }
    Ref out;
    if (x.tensor != Py_None && y.tensor != Py_None) {
        PyObject* arrays[] = {x.array, y.array};
        out.reset(allocate_and_run(self->kernel, arrays, 2));
    } else if ((x.tensor != Py_None && is_number(b)) || (y.tensor != Py_None && is_number(a))) {
        out.reset(with_number(self, x, y, x.tensor != Py_None ? b : a));
        (x.tensor != Py_None ? held_y : held_x).reset(x.tensor != Py_None ? y.array : x.array);
    } else {
        Py_RETURN_NOTIMPLEMENTED;
    }
    if (!out || out.get() == Py_NotImplemented) return out.give();
    Ref result(wrap(out.give()));
    if (!result || !recording_enabled) return result.give();
    PyObject* tensors[] = {x.tensor, y.tensor};
    if (!check_views(reinterpret_cast<PyTypeObject*>(self->op), tensors, 2)) return nullptr;
    if ((wants_grad(x) || wants_grad(y)) && !connect(self, x, y, result.get())) return nullptr;
    return result.give();
}

PyObject* call(PyObject* object, PyObject* const* args, size_t nargsf, PyObject* kwnames) {
    const BinaryMethod* self = reinterpret_cast<BinaryMethod*>(object);
    if (PyVectorcall_NARGS(nargsf) != 2 || (kwnames != nullptr && PyTuple_GET_SIZE(kwnames) > 0)) {
        PyErr_Format(PyExc_TypeError, "%U: expected a tensor and one operand, got %zd arguments",
                     self->name, PyVectorcall_NARGS(nargsf));
        return nullptr;
    }
    PyObject* operands[] = {args[self->reflected ? 1 : 0], args[self->reflected ? 0 : 1]};
    // Tensor.__radd__(2, t) is for the function to refuse.
    if (tape.bound && is_tensor(args[0])) {
        PyObject* result = short_way(self, operands[0], operands[1]);
        if (result != Py_NotImplemented) return result;
        Py_DECREF(result);
    }
    return PyObject_Vectorcall(self->function, operands, 2, nullptr);
}

PyObject* bind_method(PyObject* self, PyObject* instance, PyObject*) {
    if (instance == nullptr || instance == Py_None) return Py_NewRef(self);
    return PyMethod_New(self, instance);
}

void deallocate_method(PyObject* object) {
    BinaryMethod* self = reinterpret_cast<BinaryMethod*>(object);
    Py_XDECREF(self->op);
    Py_XDECREF(self->kernel);
    Py_XDECREF(self->function);
    Py_XDECREF(self->name);
    Py_XDECREF(self->doc);
    PyObject_Free(object);
}

PyObject* get_name(PyObject* self, void*) {
    return Py_NewRef(reinterpret_cast<BinaryMethod*>(self)->name);
}
PyObject* get_doc(PyObject* self, void*) {
    return Py_NewRef(reinterpret_cast<BinaryMethod*>(self)->doc);
}
PyObject* get_wrapped(PyObject* self, void*) {
    return Py_NewRef(reinterpret_cast<BinaryMethod*>(self)->function);
}
PyObject* represent(PyObject* self) {
    return PyUnicode_FromFormat("<method %U of tensors>",
                                reinterpret_cast<BinaryMethod*>(self)->name);
}

PyGetSetDef members[] = {
    {"__name__", get_name, nullptr, nullptr, nullptr},
    {"__qualname__", get_name, nullptr, nullptr, nullptr},
    {"__doc__", get_doc, nullptr, nullptr, nullptr},
    {"__wrapped__", get_wrapped, nullptr, "the Python function for operands of all kinds", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyObject* make(PyObject*, PyObject* args) {
    PyObject *op, *kernel, *function, *name, *doc;
    int saves_x, saves_y, reflected;
    if (PyArg_ParseTuple(args, "O!OOUOiip:binary_method", &PyType_Type, &op, &kernel, &function,
                         &name, &doc, &saves_x, &saves_y, &reflected) == 0)
        return nullptr;
    if (kernel != Py_None && !is_native_kernel(kernel)) {
        PyErr_Format(PyExc_TypeError, "binary_method: expected a native kernel or None, got %s",
                     Py_TYPE(kernel)->tp_name);
        return nullptr;
    }
    Ref floats(PyObject_GetAttrString(op, "takes_float"));
    const int takes_float = floats ? PyObject_IsTrue(floats.get()) : -1;
    if (takes_float < 0) return nullptr;
    BinaryMethod* self = PyObject_New(BinaryMethod, &method_type);
    if (self == nullptr) return nullptr;
    self->vectorcall = call;
    self->op = Py_NewRef(op);
    self->kernel = kernel == Py_None ? nullptr : Py_NewRef(kernel);
    self->function = Py_NewRef(function);
    self->name = Py_NewRef(name);
    self->doc = Py_NewRef(doc);
    self->saves_x = saves_x;
    self->saves_y = saves_y;
    self->reflected = reflected != 0;
    self->takes_float = takes_float != 0;
    return reinterpret_cast<PyObject*>(self);
}

PyMethodDef functions[] = {
    {"binary_method", make, METH_VARARGS,
     "binary_method(op, kernel, function, name, doc, saves_x, saves_y, reflected)"},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

bool add_binary_methods(PyObject* module) {
    method_type.tp_name = "fastnn._cpu.BinaryMethod";
    method_type.tp_basicsize = sizeof(BinaryMethod);
    method_type.tp_dealloc = deallocate_method;
    method_type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL |
                           Py_TPFLAGS_METHOD_DESCRIPTOR | Py_TPFLAGS_DISALLOW_INSTANTIATION;
    method_type.tp_vectorcall_offset = offsetof(BinaryMethod, vectorcall);
    method_type.tp_call = PyVectorcall_Call;
    method_type.tp_descr_get = bind_method;
    method_type.tp_repr = represent;
    method_type.tp_getset = members;
    return PyType_Ready(&method_type) == 0 && PyModule_AddFunctions(module, functions) == 0;
}

}  // namespace fastnn
