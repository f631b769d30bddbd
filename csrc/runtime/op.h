// SPDX-License-Identifier: BSD-3-Clause
// FASTNN_OP: describes a kernel once. From the C++ signature come the argument block, the element
// types of every variant and which buffers are read or written; from the specification string come
// names and shapes. The Python entry, its checks, its stub and the slot table are all derived from
// these two.
//
//   namespace fastnn::FASTNN_ISA {
//   template <class T>
//   void linear_forward(In<T> x, In<T> weight, In<T> bias, Out<T> y, idx activation) { ... }
//   }
//   FASTNN_OP(linear_forward, "x(n,k) weight(o,k) bias?(o) y(n,o) activation", kPlain,
//             linear_forward<float>, linear_forward<double>)
//
// Specification: one word per argument, in order.
//   a          a number (idx, double or bool in C++) or, for Ints, a short tuple of integers
//   x(...)     an array; all (...) arguments of a launch have the same shape
//   x(n,c,2)   an array of that many dimensions; equal letters mean equal sizes, numbers are sizes
//   x(*)       an array of any shape
//   p[n]       a list of arrays; equal letters mean equal sizes item by item; [1] one element each
//   name?      may be None: `data` is null (an absent list is empty)
// In/Out/InOut arguments are contiguous; StridedIn/StridedOut/StridedInOut may have any strides.
//
// A kernel returns void or Status, never throws, allocates nothing and keeps no pointer.
#pragma once

#include <type_traits>

#include "runtime/launch.h"

#ifndef FASTNN_ISA
#error "compile kernel files with -DFASTNN_ISA=<level>"
#endif

namespace fastnn::FASTNN_ISA {

template <class T>
struct In {
    const T* data;
    idx size;
    int ndim;
    const idx* shape;
};
template <class T>
struct Out {
    T* data;
    idx size;
    int ndim;
    const idx* shape;
};
template <class T>
struct InOut {
    T* data;
    idx size;
    int ndim;
    const idx* shape;
};
template <class T>
struct StridedIn {
    const T* data;
    idx size;
    int ndim;
    const idx* shape;
    const idx* strides;
};
template <class T>
struct StridedOut {
    T* data;
    idx size;
    int ndim;
    const idx* shape;
    const idx* strides;
};
template <class T>
struct StridedInOut {
    T* data;
    idx size;
    int ndim;
    const idx* shape;
    const idx* strides;
};
template <class T>
struct InList {
    const ListItem* items;
    idx count;
    const T* data(idx i) const { return static_cast<const T*>(items[i].data); }
    idx size(idx i) const { return items[i].size; }
};
template <class T>
struct InOutList {
    const ListItem* items;
    idx count;
    T* data(idx i) const { return static_cast<T*>(items[i].data); }
    idx size(idx i) const { return items[i].size; }
};
struct Ints {
    const idx* values;
    idx count;
};

template <class T>
inline const T& block_at(const char* place) {
    return *static_cast<const T*>(static_cast<const void*>(place));
}

// How each argument type stands in the block: its bytes there, its ArgType, and how to read it.
template <class A>
struct ArgTraits;

template <class View, class T, ArgKind kKind, Access kAccess>
struct ArrayTraits {
    static constexpr std::size_t kBytes = sizeof(Array);
    static constexpr ArgType kType{kKind, kAccess, DTypeOf<T>::value};
    static View get(const char* place, const char*) {
        const Array& a = block_at<Array>(place);
        if constexpr (kKind == ArgKind::kStrided) {
            return {static_cast<T*>(a.data), a.size, a.ndim, a.shape, a.strides};
        } else {
            return {static_cast<T*>(a.data), a.size, a.ndim, a.shape};
        }
    }
};
template <class View, class T, Access kAccess>
struct ListTraits {
    static constexpr std::size_t kBytes = sizeof(ListRef);
    static constexpr ArgType kType{ArgKind::kList, kAccess, DTypeOf<T>::value};
    static View get(const char* place, const char* block) {
        const ListRef& list = block_at<ListRef>(place);
        return {&block_at<ListItem>(block + list.offset), list.count};
    }
};
template <class T, ArgKind kKind>
struct ScalarTraits {
    static constexpr std::size_t kBytes = 8;
    static constexpr ArgType kType{kKind, Access::kIn, DType::kCount};
    static T get(const char* place, const char*) { return block_at<T>(place); }
};

template <class T>
struct ArgTraits<In<T>> : ArrayTraits<In<T>, T, ArgKind::kArray, Access::kIn> {};
template <class T>
struct ArgTraits<Out<T>> : ArrayTraits<Out<T>, T, ArgKind::kArray, Access::kOut> {};
template <class T>
struct ArgTraits<InOut<T>> : ArrayTraits<InOut<T>, T, ArgKind::kArray, Access::kInOut> {};
template <class T>
struct ArgTraits<StridedIn<T>> : ArrayTraits<StridedIn<T>, T, ArgKind::kStrided, Access::kIn> {};
template <class T>
struct ArgTraits<StridedOut<T>> : ArrayTraits<StridedOut<T>, T, ArgKind::kStrided, Access::kOut> {};
template <class T>
struct ArgTraits<StridedInOut<T>>
    : ArrayTraits<StridedInOut<T>, T, ArgKind::kStrided, Access::kInOut> {};
template <class T>
struct ArgTraits<InList<T>> : ListTraits<InList<T>, T, Access::kIn> {};
template <class T>
struct ArgTraits<InOutList<T>> : ListTraits<InOutList<T>, T, Access::kInOut> {};
template <>
struct ArgTraits<idx> : ScalarTraits<idx, ArgKind::kInt> {};
template <>
struct ArgTraits<double> : ScalarTraits<double, ArgKind::kFloat> {};
template <>
struct ArgTraits<bool> : ScalarTraits<bool, ArgKind::kFlag> {};
template <>
struct ArgTraits<Ints> {
    static constexpr std::size_t kBytes = sizeof(IntList);
    static constexpr ArgType kType{ArgKind::kInts, Access::kIn, DType::kCount};
    static Ints get(const char* place, const char*) {
        const IntList& list = block_at<IntList>(place);
        return {list.values, list.count};
    }
};

template <std::size_t... kIndex>
struct Indices {};
template <std::size_t kCount, std::size_t... kIndex>
struct MakeIndices : MakeIndices<kCount - 1, kCount - 1, kIndex...> {};
template <std::size_t... kIndex>
struct MakeIndices<0, kIndex...> {
    using type = Indices<kIndex...>;
};

template <class... A>
constexpr std::size_t arg_offset(std::size_t index) {
    const std::size_t bytes[] = {ArgTraits<A>::kBytes..., 0};
    std::size_t offset = 0;
    for (std::size_t i = 0; i < index; ++i) offset += bytes[i];
    return offset;
}

template <auto kFunction>
struct Bind;
template <class R, class... A, R (*kFunction)(A...)>
struct Bind<kFunction> {
    static constexpr ArgType kTypes[] = {ArgTraits<A>::kType...};
    static constexpr VariantInfo kInfo{kTypes, static_cast<int>(sizeof...(A))};

    template <std::size_t... kIndex>
    static R call(const char* block, Indices<kIndex...>) {
        return kFunction(ArgTraits<A>::get(block + arg_offset<A...>(kIndex), block)...);
    }
    static Status run(const char* block) {
        using All = typename MakeIndices<sizeof...(A)>::type;
        if constexpr (std::is_void_v<R>) {
            call(block, All{});
            return Status::kOk;
        } else {
            return call(block, All{});
        }
    }
};

template <auto... kFunctions>
struct Variants {
    static constexpr RunFn kRuns[] = {&Bind<kFunctions>::run...};
    static constexpr VariantInfo kInfos[] = {Bind<kFunctions>::kInfo...};
    static constexpr int kCount = static_cast<int>(sizeof...(kFunctions));
};

}  // namespace fastnn::FASTNN_ISA

#define FASTNN_RUNS_AT(LEVEL, NAME)        \
    namespace fastnn::LEVEL {              \
    extern const RunFn* const NAME##_runs; \
    }

#define FASTNN_DEFINE_RUNS(NAME, ...)                              \
    namespace fastnn::FASTNN_ISA {                                 \
    extern const RunFn* const NAME##_runs;                         \
    const RunFn* const NAME##_runs = Variants<__VA_ARGS__>::kRuns; \
    }

#if defined(FASTNN_ONCE)

#if defined(FASTNN_LEVELS_X86)
#define FASTNN_DECLARE_RUNS(NAME) \
    FASTNN_RUNS_AT(x86_v2, NAME)  \
    FASTNN_RUNS_AT(x86_v3, NAME)  \
    FASTNN_RUNS_AT(x86_v4, NAME)
#define FASTNN_LEVEL_RUNS(NAME) {x86_v2::NAME##_runs, x86_v3::NAME##_runs, x86_v4::NAME##_runs}
#elif defined(FASTNN_LEVELS_NEON)
#define FASTNN_DECLARE_RUNS(NAME) FASTNN_RUNS_AT(neon, NAME)
#define FASTNN_LEVEL_RUNS(NAME) {neon::NAME##_runs}
#else
#define FASTNN_DECLARE_RUNS(NAME) FASTNN_RUNS_AT(generic, NAME)
#define FASTNN_LEVEL_RUNS(NAME) {generic::NAME##_runs}
#endif

namespace fastnn {
struct Registration {
    Kernel kernel;
    Registration(const char* name, const char* text, unsigned flags, const VariantInfo* variants,
                 int n_variants, const RunFn* const (&runs)[kLevelCount])
        : kernel{} {
        kernel.name = name;
        kernel.text = text;
        kernel.flags = flags;
        kernel.variants = variants;
        kernel.n_variants = n_variants;
        for (int i = 0; i < kLevelCount; ++i) kernel.runs[i] = runs[i];
        register_kernel(&kernel);
    }
};
}  // namespace fastnn

#define FASTNN_OP(NAME, TEXT, FLAGS, ...)                                                      \
    FASTNN_DEFINE_RUNS(NAME, __VA_ARGS__)                                                      \
    FASTNN_DECLARE_RUNS(NAME)                                                                  \
    namespace fastnn::FASTNN_ISA {                                                             \
    static Registration NAME##_registration(#NAME, TEXT, FLAGS, Variants<__VA_ARGS__>::kInfos, \
                                            Variants<__VA_ARGS__>::kCount,                     \
                                            FASTNN_LEVEL_RUNS(NAME));                          \
    }

#else

#define FASTNN_OP(NAME, TEXT, FLAGS, ...) FASTNN_DEFINE_RUNS(NAME, __VA_ARGS__)

#endif
