// SPDX-License-Identifier: BSD-3-Clause
// FASTNN_CUDA_OP: describes a CUDA kernel once, beside its launcher in the .cu file.
//
//   template <class T>
//   void relu_forward(In<T> x, Out<T> y, cudaStream_t stream);
//
//   FASTNN_CUDA_OP(relu_forward, "x(...) y(...)", float, double)
//
// From the C++ signature come the element types and which buffers are read or written; from the
// specification string come names and shapes; from the types at the end one variant each. The
// specification follows the CPU side:
//   a        a number: idx, double or bool in C++
//   x(...)   a contiguous array; all (...) arguments of a call have the same shape, and an output
//   may be the very
//            memory of an input (in place)
//   x(*)     a contiguous array of any shape, and an output shares memory with nothing; the
//   launcher checks the
//            sizes and throws std::invalid_argument
//
// In and Out mean '=', InOut means '+='. Neither Python nor the CUDA toolkit is needed here: .cu
// files and the module include this header alike, and so does the host build. Kernels register
// themselves in a list that is linked through static objects, so no list of kernels is kept by hand
// and nothing is allocated before main.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "runtime/types.h"

struct CUstream_st;
using cudaStream_t = CUstream_st*;  // the toolkit's own definition, repeated

namespace fastnn::cuda {

template <class T>
struct In {
    const T* data;
    idx size;
};
template <class T>
struct Out {
    T* data;
    idx size;
};
template <class T>
struct InOut {
    T* data;
    idx size;
};

enum class Role : std::uint8_t { kIn, kOut, kInOut, kInt, kFloat, kFlag, kStream };

struct ArgumentType {
    Role role;
    DType dtype;  // kCount for what is no array
};

// One argument of one call, already checked. `data` is an array's memory or the stream, `integer` a
// whole number or a flag, `real` a real number.
struct Value {
    void* data;
    idx size;
    idx integer;
    double real;
};

template <class A>
struct ArgumentTraits;
template <class T>
struct ArgumentTraits<In<T>> {
    static constexpr ArgumentType kType{Role::kIn, DTypeOf<T>::value};
    static In<T> get(const Value& v) { return {static_cast<const T*>(v.data), v.size}; }
};
template <class T>
struct ArgumentTraits<Out<T>> {
    static constexpr ArgumentType kType{Role::kOut, DTypeOf<T>::value};
    static Out<T> get(const Value& v) { return {static_cast<T*>(v.data), v.size}; }
};
template <class T>
struct ArgumentTraits<InOut<T>> {
    static constexpr ArgumentType kType{Role::kInOut, DTypeOf<T>::value};
    static InOut<T> get(const Value& v) { return {static_cast<T*>(v.data), v.size}; }
};
template <>
struct ArgumentTraits<idx> {
    static constexpr ArgumentType kType{Role::kInt, DType::kCount};
    static idx get(const Value& v) { return v.integer; }
};
template <>
struct ArgumentTraits<double> {
    static constexpr ArgumentType kType{Role::kFloat, DType::kCount};
    static double get(const Value& v) { return v.real; }
};
template <>
struct ArgumentTraits<bool> {
    static constexpr ArgumentType kType{Role::kFlag, DType::kCount};
    static bool get(const Value& v) { return v.integer != 0; }
};

template <>
struct ArgumentTraits<cudaStream_t> {
    static constexpr ArgumentType kType{Role::kStream, DType::kCount};
    static cudaStream_t get(const Value& v) { return static_cast<cudaStream_t>(v.data); }
};

using AnyFunction = void (*)();

// A launcher for one choice of element types, with its signature erased: `call` knows it and casts
// back. The last argument is the stream.
struct Variant {
    const ArgumentType* arguments;
    std::size_t argument_count;
    AnyFunction function;
    void (*call)(AnyFunction, const Value*);
};

struct Kernel {
    const char* name;
    const char* specification;
    const Variant* variants;
    std::size_t variant_count;
    const Kernel* next;
};

inline const Kernel*& first_kernel() {
    static const Kernel* first = nullptr;
    return first;
}

template <class... A>
struct Signature {
    static constexpr ArgumentType kArguments[] = {ArgumentTraits<A>::kType...};
    static_assert(kArguments[sizeof...(A) - 1].role == Role::kStream,
                  "a launcher's last argument is the stream");

    template <std::size_t... kIndex>
    static void apply(AnyFunction function, const Value* values, std::index_sequence<kIndex...>) {
        reinterpret_cast<void (*)(A...)>(function)(ArgumentTraits<A>::get(values[kIndex])...);
    }
    static void call(AnyFunction function, const Value* values) {
        apply(function, values, std::index_sequence_for<A...>{});
    }
};

template <class... A>
Variant make_variant(void (*function)(A...)) {
    return {Signature<A...>::kArguments, sizeof...(A), reinterpret_cast<AnyFunction>(function),
            &Signature<A...>::call};
}

template <class T>
struct Type {
    using type = T;
};
template <class... T>
struct Types {};

// The static object behind FASTNN_CUDA_OP. `launcher(Type<T>{})` is the launcher for T.
template <std::size_t kVariants>
class Registration {
  public:
    template <class Launcher, class... T>
    Registration(const char* name, const char* specification, Types<T...>, Launcher launcher)
        : variants_{make_variant(launcher(Type<T>{}))...},
          kernel_{name, specification, variants_, kVariants, first_kernel()} {
        first_kernel() = &kernel_;
    }
    Registration(const Registration&) = delete;
    Registration& operator=(const Registration&) = delete;

  private:
    Variant variants_[kVariants];
    Kernel kernel_;
};
template <class Launcher, class... T>
Registration(const char*, const char*, Types<T...>, Launcher) -> Registration<sizeof...(T)>;

}  // namespace fastnn::cuda

#define FASTNN_CUDA_OP(launcher, specification, ...)                      \
    static const ::fastnn::cuda::Registration registration_of_##launcher( \
        #launcher, specification, ::fastnn::cuda::Types<__VA_ARGS__>{},   \
        [](auto type) { return &launcher<typename decltype(type)::type>; });
