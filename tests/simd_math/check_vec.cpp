// SPDX-License-Identifier: BSD-3-Clause
// Checks simd/vec.h for the level this file is compiled for: every operation against its definition
// lane by lane, partial loads and stores against an inaccessible page that begins where they must
// end, and that a function's bits depend on neither the element's place nor the array's length.
// Prints what is wrong; the exit status is 1 if anything is.
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <vector>

#include "simd/math.h"

namespace simd = fastnn::FASTNN_ISA;

namespace {

int failures = 0;

#define EXPECT(condition)                                                        \
    do {                                                                         \
        if (!(condition) && ++failures <= 20) {                                  \
            std::printf("%s:%d: %s is false\n", __FILE__, __LINE__, #condition); \
        }                                                                        \
    } while (false)

template <class T>
bool same_bits(T a, T b) {
    return std::memcmp(&a, &b, sizeof a) == 0;
}

// Equal bits, or NaN both: the sign and payload of a NaN that an operation makes are not specified.
template <class T>
bool same(T a, T b) {
    return same_bits(a, b) || (std::isnan(a) && std::isnan(b));
}

// A page of T with an inaccessible page behind it.
template <class T>
class GuardedPage {
  public:
    GuardedPage() : bytes_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))) {
        void* pages =
            mmap(nullptr, 2 * bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
        if (pages == MAP_FAILED ||
            mprotect(static_cast<char*>(pages) + bytes_, bytes_, PROT_NONE)) {
            std::perror("guard page");
            std::_Exit(2);
        }
        start_ = static_cast<T*>(pages);
    }
    ~GuardedPage() { munmap(start_, 2 * bytes_); }
    GuardedPage(const GuardedPage&) = delete;
    GuardedPage& operator=(const GuardedPage&) = delete;

    T* end() const { return start_ + bytes_ / sizeof(T); }

  private:
    std::size_t bytes_;
    T* start_;
};

template <class T>
std::vector<T> awkward_values() {
    using Limits = std::numeric_limits<T>;
    const T half_step = std::ldexp(T(1), Limits::digits - 2);  // where the spacing is 1/2
    return {T(0),
            -T(0),
            T(0.5),
            T(-0.5),
            T(1.5),
            T(-1.5),
            T(2.5),
            T(-2.5),
            std::nextafter(T(0.5), T(0)),
            half_step + T(0.5),
            -half_step - T(0.5),
            half_step * 4 + 1,
            Limits::min(),
            -Limits::denorm_min(),
            Limits::max(),
            Limits::lowest(),
            Limits::infinity(),
            -Limits::infinity(),
            Limits::quiet_NaN(),
            T(3.25)};
}

template <class T>
void check_lanewise() {
    using V = simd::Vec<T>;
    const std::vector<T> values = awkward_values<T>();
    for (const T a : values) {
        for (const T b : values) {
            const V va = simd::broadcast(a);
            const V vb = simd::broadcast(b);
            const V low = simd::min(va, vb);
            const V high = simd::max(va, vb);
            const V high_nan = simd::max_nan(va, vb);
            const V with_sign = simd::copysign(va, vb);
            const V chosen = simd::select(va < vb, va, vb);
            const V product = simd::fma(va, vb, simd::broadcast(T(1)));
            const T exact = simd::kFused ? std::fma(a, b, T(1)) : a * b + T(1);
            for (int i = 0; i < simd::kLanes<T>; ++i) {
                EXPECT(same_bits<T>(low[i], a < b ? a : b));
                EXPECT(same_bits<T>(high[i], a > b ? a : b));
                EXPECT(same<T>(high_nan[i], std::isnan(a) ? a : a > b ? a : b));
                EXPECT(same_bits<T>(with_sign[i], std::copysign(a, b)));
                EXPECT(same_bits<T>(chosen[i], a < b ? a : b));
                EXPECT(same<T>(product[i], exact));
            }
        }
        const V va = simd::broadcast(a);
        const V magnitude = simd::abs(va);
        const V root = simd::sqrt(va);
        const V down = simd::floor(va);
        const V up = simd::ceil(va);
        const V nearest = simd::round_even(va);
        for (int i = 0; i < simd::kLanes<T>; ++i) {
            EXPECT(same_bits<T>(magnitude[i], std::fabs(a)));
            EXPECT(same<T>(root[i], std::sqrt(a)));
            EXPECT(same<T>(down[i], std::floor(a)));
            EXPECT(same<T>(up[i], std::ceil(a)));
            EXPECT(same<T>(nearest[i], std::nearbyint(a)));
        }
    }
}

template <class T>
void check_fused() {
    // (1 + e)(1 - e) - 1 = -e^2, which two roundings turn into 0.
    const T e = std::numeric_limits<T>::epsilon();
    volatile T above = 1 + e;  // volatile: the compiler is not to work it out
    volatile T below = 1 - e;
    const T got =
        simd::fma(simd::broadcast<T>(above), simd::broadcast<T>(below), simd::broadcast(T(-1)))[0];
    EXPECT(same_bits<T>(got, simd::kFused ? -e * e : T(0)));
}

template <class T>
void check_partial() {
    using V = simd::Vec<T>;
    const GuardedPage<T> page;
    for (int n = 0; n <= simd::kLanes<T>; ++n) {
        T* p = page.end() - n;
        for (int i = 0; i < n; ++i) p[i] = T(i + 1);
        const V filled = simd::load_partial(p, n, T(-7));
        const V zeroed = simd::load_partial<T>(p, n);
        for (int i = 0; i < simd::kLanes<T>; ++i) {
            EXPECT(same_bits<T>(filled[i], i < n ? T(i + 1) : T(-7)));
            EXPECT(same_bits<T>(zeroed[i], i < n ? T(i + 1) : T(0)));
        }
        p[-1] = T(99);
        simd::store_partial<T>(p, zeroed * simd::broadcast(T(2)), n);
        EXPECT(same_bits<T>(p[-1], T(99)));
        for (int i = 0; i < n; ++i) EXPECT(same_bits<T>(p[i], T(2 * i + 2)));
        // In the middle of memory that may be written, the elements after the n-th stay.
        T around[3 * simd::kLanes<T>];
        for (T& s : around) s = T(5);
        simd::store_partial<T>(around + 1, filled, n);
        for (int i = 0; i < 3 * simd::kLanes<T>; ++i) {
            EXPECT(same_bits<T>(around[i], i >= 1 && i <= n ? T(i) : T(5)));
        }
    }
}

template <class T>
void check_reductions() {
    using V = simd::Vec<T>;
    constexpr int lanes = simd::kLanes<T>;
    T values[lanes];
    for (int i = 0; i < lanes; ++i) values[i] = std::sin(T(i + 1)) * std::ldexp(T(1), 3 * i % 7);
    T folded[lanes];
    std::memcpy(folded, values, sizeof values);
    for (int width = lanes / 2; width >= 1; width /= 2) {
        for (int i = 0; i < width; ++i) folded[i] += folded[i + width];
    }
    EXPECT(same_bits<T>(simd::reduce_add(simd::load(values)), folded[0]));
    for (int where = 0; where < lanes; ++where) {
        V v = simd::broadcast(T(-3));
        v[where] = T(-2);
        EXPECT(same_bits<T>(simd::reduce_max(v), T(-2)));
        v[where] = std::numeric_limits<T>::infinity();
        EXPECT(same_bits<T>(simd::reduce_max(v), v[where]));
        v[where] = std::numeric_limits<T>::quiet_NaN();
        EXPECT(std::isnan(simd::reduce_max(v)));
        EXPECT(std::isnan(simd::reduce_add(v)));
    }
}

// f over arrays of every length up to three vectors and a bit, at every offset, out of place and in
// place: each element must have the bits that it has alone, and its neighbours must stay as they
// are.
template <class T, class F>
void check_place(const char* name, F f) {
    constexpr int lanes = simd::kLanes<T>;
    constexpr int longest = 3 * lanes + 1;
    constexpr int size = longest + 2 * lanes;
    T x[size];
    T expected[size];
    for (int i = 0; i < size; ++i) {
        x[i] = T(i % 3 == 0 ? -0.37 : 0.11) * T(i + 1);
        expected[i] = f(simd::broadcast(x[i]))[lanes - 1];
    }
    const int before = failures;
    for (int n = 0; n <= longest; ++n) {
        for (int offset = 0; offset < lanes; ++offset) {
            T y[size];
            for (T& s : y) s = T(123);
            simd::map1<T>(x + offset, y + offset, n, f);
            T in_place[size];
            std::memcpy(in_place, x, sizeof x);
            simd::map1<T>(in_place + offset, in_place + offset, n, f);
            for (int i = 0; i < size; ++i) {
                const bool inside = i >= offset && i < offset + n;
                EXPECT(same<T>(y[i], inside ? expected[i] : T(123)));
                EXPECT(same<T>(in_place[i], inside ? expected[i] : x[i]));
            }
        }
    }
    if (failures != before) std::printf("    in %s\n", name);
}

template <class T>
void check_maps() {
    using V = simd::Vec<T>;
    check_place<T>("exp", [](V v) { return simd::exp(v); });
    check_place<T>("log", [](V v) { return simd::log(v); });
    check_place<T>("tanh", [](V v) { return simd::tanh(v); });
    check_place<T>("sigmoid", [](V v) { return simd::sigmoid(v); });
    check_place<T>("erf", [](V v) { return simd::erf(v); });

    constexpr int longest = 3 * simd::kLanes<T> + 1;
    T a[longest + 1];
    T b[longest + 1];
    T c[longest + 1];
    for (int i = 0; i <= longest; ++i) {
        a[i] = T(i);
        b[i] = T(2 * i + 1);
        c[i] = T(100 * i);
    }
    for (int n = 0; n <= longest; ++n) {
        T two[longest + 1] = {};
        T three[longest + 1];
        std::memcpy(three, c, sizeof c);
        simd::map2<T>(a, b, two, n, [](V p, V q) { return p - q; });
        simd::map3<T>(a, b, three, three, n, [](V p, V q, V r) { return p - q + r; });
        for (int i = 0; i <= longest; ++i) {
            EXPECT(same_bits<T>(two[i], i < n ? a[i] - b[i] : T(0)));
            EXPECT(same_bits<T>(three[i], i < n ? a[i] - b[i] + c[i] : c[i]));
        }
    }
}

template <class T>
void check_all() {
    check_lanewise<T>();
    check_fused<T>();
    check_partial<T>();
    check_reductions<T>();
    check_maps<T>();
}

}  // namespace

int main() {
    check_all<float>();
    check_all<double>();
    std::printf("%d-byte vectors, fma %s: %d failures\n", simd::kVecBytes,
                simd::kFused ? "fused" : "not fused", failures);
    return failures == 0 ? 0 : 1;
}
