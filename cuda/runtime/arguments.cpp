// SPDX-License-Identifier: BSD-3-Clause
// Argument checks of the CUDA module. The order is: number of arguments, each argument by itself,
// element types together (they choose the variant), shapes together, memory overlap.
#include "runtime/arguments.h"

#include <cstring>
#include <optional>
#include <stdexcept>

#include "runtime/device.h"

namespace py = pybind11;

namespace fastnn::cuda {
namespace {

struct DTypeEntry {
    DType dtype;
    const char* typestr;  // as the array interface writes it, on a little-endian machine
    const char* name;
    std::size_t bytes;
};
constexpr DTypeEntry kDTypes[] = {
    {DType::kFloat32, "<f4", "float32", 4}, {DType::kFloat64, "<f8", "float64", 8},
    {DType::kInt64, "<i8", "int64", 8},     {DType::kInt32, "<i4", "int32", 4},
    {DType::kUInt8, "|u1", "uint8", 1},     {DType::kBool, "|b1", "bool", 1},
};

struct ArrayView {
    std::uintptr_t address;
    bool read_only;
    std::vector<idx> shape;
    std::string typestr;
    const DTypeEntry* dtype;  // null for an element type that no kernel takes
    idx size;

    std::size_t bytes() const { return static_cast<std::size_t>(size) * dtype->bytes; }
    std::string dtype_name() const { return dtype != nullptr ? dtype->name : typestr; }
};

bool is_array(Role role) { return role == Role::kIn || role == Role::kOut || role == Role::kInOut; }

std::string shape_text(const std::vector<idx>& shape) {
    std::string text = "(";
    for (std::size_t i = 0; i < shape.size(); ++i) {
        text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
    }
    return text + (shape.size() == 1 ? ",)" : ")");
}

std::string type_of(py::handle object) {
    return py::cast<std::string>(py::type::handle_of(object).attr("__name__"));
}

// Everything that is said about one argument begins the same way.
std::string where(const Kernel& kernel, const Word& word) {
    return std::string(kernel.name) + ": argument " + word.name;
}

bool is_contiguous(const py::object& strides, const std::vector<idx>& shape, idx size,
                   std::size_t item_bytes) {
    if (strides.is_none() || size <= 1) return true;
    const py::tuple steps = strides;
    idx expected = static_cast<idx>(item_bytes);
    for (std::size_t i = shape.size(); i-- > 0;) {
        if (shape[i] != 1 && steps[i].cast<idx>() != expected) return false;
        expected *= shape[i];
    }
    return true;
}

ArrayView read_array(const Kernel& kernel, const Word& word, py::handle object, Role role) {
    const std::string at = where(kernel, word);
    if (!py::hasattr(object, array_interface())) {
        throw py::type_error(at + ": expected " + array_kind() + " (" + array_interface() +
                             "), got " + type_of(object));
    }
    const py::dict interface = object.attr(array_interface());
    ArrayView view{};
    const py::tuple data = interface["data"];
    view.address = data[0].cast<std::uintptr_t>();
    view.read_only = data[1].cast<bool>();
    view.typestr = interface["typestr"].cast<std::string>();
    view.size = 1;
    for (const py::handle extent : interface["shape"]) {
        view.shape.push_back(extent.cast<idx>());
        view.size *= view.shape.back();
    }
    for (const DTypeEntry& entry : kDTypes) {
        if (view.typestr == entry.typestr) view.dtype = &entry;
    }
    if (interface.contains("mask") && !interface["mask"].is_none()) {
        throw py::value_error(at + ": expected a plain array, got a masked one");
    }
    if (view.dtype == nullptr) return view;  // no variant will fit, and the message there is better
    const py::object strides =
        interface.contains("strides") ? py::object(interface["strides"]) : py::object(py::none());
    if (!is_contiguous(strides, view.shape, view.size, view.dtype->bytes)) {
        throw py::value_error(at + ": expected a C-contiguous array, got shape " +
                              shape_text(view.shape) + " with strides " +
                              py::cast<std::string>(py::str(strides)) +
                              "; make a contiguous copy first");
    }
    if (view.address % view.dtype->bytes != 0) {
        throw py::value_error(at + ": expected data aligned to " +
                              std::to_string(view.dtype->bytes) +
                              " bytes, got an unaligned array; make a copy first");
    }
    if (role != Role::kIn && view.read_only) {
        throw py::value_error(at + ": expected a writable array, got a read-only one");
    }
    return view;
}

Value read_number(const Kernel& kernel, const Word& word, py::handle object, Role role) {
    Value value{};
    const bool is_real = PyFloat_Check(object.ptr()) != 0;
    if (role == Role::kFloat) {
        if (!is_real && PyIndex_Check(object.ptr()) == 0) {
            throw py::type_error(where(kernel, word) + ": expected a number, got " +
                                 type_of(object));
        }
        value.real = object.cast<double>();
        return value;
    }
    if (is_real || PyIndex_Check(object.ptr()) == 0) {
        throw py::type_error(where(kernel, word) + ": expected an integer, got " + type_of(object));
    }
    const py::int_ number(py::reinterpret_borrow<py::object>(object));
    value.integer = number.cast<idx>();
    return value;
}

Value read_stream(const Kernel& kernel, py::handle object) {
    Value value{};
    if (object.is_none()) return value;
    if (!PyLong_Check(object.ptr())) {
        throw py::type_error(std::string(kernel.name) +
                             ": argument stream: expected an integer handle or None, got " +
                             type_of(object));
    }
    value.data = reinterpret_cast<void*>(object.cast<std::uintptr_t>());
    return value;
}

std::string got_types(const std::vector<Word>& words,
                      const std::vector<std::optional<ArrayView>>& arrays) {
    std::string text;
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (!arrays[i]) continue;
        text += (text.empty() ? "" : ", ") + words[i].name + " " + arrays[i]->dtype_name();
    }
    return text;
}

const Variant* choose_variant(const Kernel& kernel, const std::vector<Word>& words,
                              const std::vector<std::optional<ArrayView>>& arrays) {
    std::string expected;
    for (std::size_t v = 0; v < kernel.variant_count; ++v) {
        const Variant& variant = kernel.variants[v];
        bool fits = true;
        std::string types;
        for (std::size_t i = 0; i < words.size(); ++i) {
            if (!arrays[i]) continue;
            const ArgumentType& type = variant.arguments[i];
            fits = fits && arrays[i]->dtype != nullptr && arrays[i]->dtype->dtype == type.dtype;
            types += (types.empty() ? "" : ", ") + words[i].name + " " + type_name(type);
        }
        if (fits) return &variant;
        expected += (v == 0 ? "" : " or ") + ("(" + types + ")");
    }
    throw py::value_error(std::string(kernel.name) + ": expected element types " + expected +
                          ", got (" + got_types(words, arrays) + ")");
}

void check_shapes(const Kernel& kernel, const std::vector<Word>& words,
                  const std::vector<std::optional<ArrayView>>& arrays) {
    std::size_t first = words.size();
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (words[i].form != Word::Form::kSameShape) continue;
        if (first == words.size()) {
            first = i;
        } else if (arrays[i]->shape != arrays[first]->shape) {
            throw py::value_error(std::string(kernel.name) + ": expected " + words[i].name +
                                  " with the shape of " + words[first].name + " " +
                                  shape_text(arrays[first]->shape) + ", got " +
                                  shape_text(arrays[i]->shape));
        }
    }
}

// A written array may share memory with another array only as a whole, and only if both are (...)
// arguments, whose kernels read an element before they write the same element. Two outputs never
// share.
void check_overlap(const Kernel& kernel, const std::vector<Word>& words,
                   const std::vector<std::optional<ArrayView>>& arrays, const Variant& variant) {
    for (std::size_t o = 0; o < words.size(); ++o) {
        if (!arrays[o] || variant.arguments[o].role == Role::kIn) continue;
        const ArrayView& out = *arrays[o];
        for (std::size_t i = 0; i < words.size(); ++i) {
            if (i == o || !arrays[i] || out.size == 0 || arrays[i]->size == 0) continue;
            const ArrayView& other = *arrays[i];
            if (out.address >= other.address + other.bytes() ||
                other.address >= out.address + out.bytes()) {
                continue;
            }
            const bool in_place =
                variant.arguments[i].role == Role::kIn && words[i].form == Word::Form::kSameShape &&
                words[o].form == Word::Form::kSameShape && out.address == other.address;
            if (!in_place) {
                throw py::value_error(std::string(kernel.name) + ": expected " + words[o].name +
                                      " in memory of its own, got memory that overlaps " +
                                      words[i].name);
            }
        }
    }
}

}  // namespace

const char* type_name(const ArgumentType& type) {
    for (const DTypeEntry& entry : kDTypes) {
        if (entry.dtype == type.dtype) return entry.name;
    }
    return type.role == Role::kFloat ? "float" : type.role == Role::kFlag ? "bool" : "int";
}

std::vector<Word> parse_specification(const Kernel& kernel) {
    std::vector<Word> words;
    const char* p = kernel.specification;
    while (*p != '\0') {
        const std::size_t length = std::strcspn(p, " ");
        std::string name(p, length);
        Word::Form form = Word::Form::kNumber;
        if (const std::size_t paren = name.find('('); paren != std::string::npos) {
            const std::string inside = name.substr(paren);
            if (inside != "(...)" && inside != "(*)") {
                throw std::logic_error(std::string(kernel.name) + ": bad specification " + name);
            }
            form = inside == "(*)" ? Word::Form::kAnyShape : Word::Form::kSameShape;
            name.resize(paren);
        }
        words.push_back({name, form});
        p += length + std::strspn(p + length, " ");
    }
    for (std::size_t v = 0; v < kernel.variant_count; ++v) {
        const Variant& variant = kernel.variants[v];
        bool fits = variant.argument_count == words.size() + 1;  // and the stream
        for (std::size_t i = 0; fits && i < words.size(); ++i) {
            fits = is_array(variant.arguments[i].role) == (words[i].form != Word::Form::kNumber);
        }
        if (!fits) {
            throw std::logic_error(std::string(kernel.name) +
                                   ": the specification does not fit the launcher's arguments");
        }
    }
    return words;
}

CheckedCall check_arguments(const Kernel& kernel, const std::vector<Word>& words,
                            const py::args& arguments) {
    const std::size_t count = arguments.size();
    if (count != words.size() && count != words.size() + 1) {
        throw py::type_error(std::string(kernel.name) + ": expected " +
                             std::to_string(words.size()) + " arguments and the stream, got " +
                             std::to_string(count));
    }
    std::vector<Value> values;
    std::vector<std::optional<ArrayView>> arrays(words.size());
    for (std::size_t i = 0; i < words.size(); ++i) {
        const Role role = kernel.variants[0].arguments[i].role;  // the same in all variants
        if (is_array(role)) {
            arrays[i] = read_array(kernel, words[i], arguments[i], role);
            values.push_back({reinterpret_cast<void*>(arrays[i]->address), arrays[i]->size, 0, 0});
        } else {
            values.push_back(read_number(kernel, words[i], arguments[i], role));
        }
    }
    values.push_back(count > words.size() ? read_stream(kernel, arguments[words.size()]) : Value{});
    const Variant* variant = choose_variant(kernel, words, arrays);
    check_shapes(kernel, words, arrays);
    check_overlap(kernel, words, arrays, *variant);

    CheckedCall checked{variant, std::move(values), {}};
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (arrays[i]) {
            checked.arrays.push_back({i, arrays[i]->bytes(), variant->arguments[i].role});
        }
    }
    return checked;
}

}  // namespace fastnn::cuda
