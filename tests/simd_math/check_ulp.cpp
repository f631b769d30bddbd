// SPDX-License-Identifier: BSD-3-Clause
// Holds the functions of simd/math.h, and erfc of simd/math_special.h, to the bounds that stand
// there, for the level this file is compiled for.
//
//   check_ulp [stride] [samples]
//
// float: every stride-th of the 2^32 bit patterns (1, or 0 for the same: all of them), against the
// C library's double functions. double: `samples` arguments of each of several distributions,
// against the long double ones. Both: a list of special arguments. Prints the largest error of each
// function, in ulps of the exact result, and its argument; the exit status is 1 if a bound is
// broken.
#include <cfloat>
#include <cinttypes>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <vector>

#include "simd/math.h"
#include "simd/math_special.h"

namespace simd = fastnn::FASTNN_ISA;

namespace {

static_assert(LDBL_MANT_DIG >= 64,
              "long double must be wider than double to serve as the reference");

template <class T>
struct Format;
template <>
struct Format<float> {
    using Bits = std::uint32_t;
    using Wide = double;
    static constexpr const char* kName = "float";
};
template <>
struct Format<double> {
    using Bits = std::uint64_t;
    using Wide = long double;
    static constexpr const char* kName = "double";
};

template <class T>
T from_bits(typename Format<T>::Bits bits) {
    T value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// The exact result y in units of T's last place, counted as if the exponents went on above the
// largest number: an infinite result stands for 2^emax, which is what the largest number is
// followed by.
template <class T, class W>
double error_in_ulps(T got, W exact) {
    using Limits = std::numeric_limits<T>;
    const W beyond = std::ldexp(W(1), Limits::max_exponent);
    const auto clamp = [&](W v) { return v > beyond ? beyond : v < -beyond ? -beyond : v; };
    const W y = clamp(exact);
    int exponent = Limits::min_exponent;  // of the frexp form, where the mantissa is in [1/2, 1)
    if (y != 0) {
        int e;
        std::frexp(y, &e);
        exponent = e > exponent ? e : exponent;
    }
    return static_cast<double>(std::ldexp(std::fabs(clamp(W(got)) - y), Limits::digits - exponent));
}

// The reference has the range and the precision of W, so that the plain formula does for the
// logistic function where exp(-x) is finite; where it is not, the result is less than the least
// denormal of T.
template <class W>
W logistic(W x) {
    return 1 / (1 + std::exp(-x));
}

template <class T>
class Function {
  public:
    using W = typename Format<T>::Wide;
    using Compute = void (*)(const T*, T*, std::int64_t);
    using Exact = W (*)(W);

    Function(const char* name, Compute compute, Exact exact, double bound)
        : name_(name), compute_(compute), exact_(exact), bound_(bound) {}

    void check(const std::vector<T>& x) {
        std::vector<T> y(x.size());
        compute_(x.data(), y.data(), static_cast<std::int64_t>(x.size()));
        for (std::size_t i = 0; i < x.size(); ++i) {
            const W exact = exact_(W(x[i]));
            if (std::isnan(exact) || std::isnan(y[i])) {
                if (std::isnan(exact) != std::isnan(y[i])) wrong(x[i], y[i], exact);
                continue;
            }
            if (std::signbit(exact) != std::signbit(y[i])) wrong(x[i], y[i], exact);
            const double error = error_in_ulps(y[i], exact);
            if (error > worst_) {
                worst_ = error;
                worst_at_ = x[i];
            }
        }
        count_ += x.size();
    }

    bool report() const {
        std::printf(
            "%s %-7s %-6s max %.4f ulp at %a (%.9g), bound %.2f, %" PRIu64 " arguments, %d wrong\n",
            worst_ <= bound_ && wrong_ == 0 ? "ok  " : "FAIL", name_, Format<T>::kName, worst_,
            static_cast<double>(worst_at_), static_cast<double>(worst_at_), bound_, count_, wrong_);
        return worst_ <= bound_ && wrong_ == 0;
    }

  private:
    void wrong(T x, T y, W exact) {
        if (++wrong_ <= 5) {
            std::printf("     %s(%a) gives %a, should be %La\n", name_, static_cast<double>(x),
                        static_cast<double>(y), static_cast<long double>(exact));
        }
    }

    const char* name_;
    Compute compute_;
    Exact exact_;
    double bound_;
    double worst_ = 0;
    T worst_at_ = 0;
    std::uint64_t count_ = 0;
    int wrong_ = 0;
};

template <class T>
std::vector<Function<T>> functions() {
    using V = simd::Vec<T>;
    using W = typename Format<T>::Wide;
    using Bound = simd::MaxUlp<T>;
    std::vector<Function<T>> all;
    all.emplace_back(
        "exp",
        [](const T* x, T* y, std::int64_t n) {
            simd::map1<T>(x, y, n, [](V v) { return simd::exp(v); });
        },
        [](W x) { return std::exp(x); }, Bound::kExp);
    all.emplace_back(
        "log",
        [](const T* x, T* y, std::int64_t n) {
            simd::map1<T>(x, y, n, [](V v) { return simd::log(v); });
        },
        [](W x) { return std::log(x); }, Bound::kLog);
    all.emplace_back(
        "tanh",
        [](const T* x, T* y, std::int64_t n) {
            simd::map1<T>(x, y, n, [](V v) { return simd::tanh(v); });
        },
        [](W x) { return std::tanh(x); }, Bound::kTanh);
    all.emplace_back(
        "sigmoid",
        [](const T* x, T* y, std::int64_t n) {
            simd::map1<T>(x, y, n, [](V v) { return simd::sigmoid(v); });
        },
        [](W x) { return logistic(x); }, Bound::kSigmoid);
    all.emplace_back(
        "erf",
        [](const T* x, T* y, std::int64_t n) {
            simd::map1<T>(x, y, n, [](V v) { return simd::erf(v); });
        },
        [](W x) { return std::erf(x); }, Bound::kErf);
    if constexpr (sizeof(T) == 8) {
        all.emplace_back(
            "erfc",
            [](const T* x, T* y, std::int64_t n) {
                simd::map1<T>(x, y, n, [](V v) { return simd::erfc(v); });
            },
            [](W x) { return std::erfc(x); }, simd::kMaxUlpErfc);
    }
    return all;
}

// Zeros, the ends of the format, the neighbourhoods of the points where a function changes branch,
// saturates, overflows or becomes denormal, and NaN with either sign and payload.
template <class T>
std::vector<T> specials() {
    using Limits = std::numeric_limits<T>;
    std::vector<T> x = {Limits::infinity(),   Limits::max(), Limits::min(),
                        Limits::denorm_min(), T(0),          T(1)};
    for (const double centre : {0.0,
                                1e-8,
                                1e-4,
                                0.17,
                                0.3465735902799727,
                                0.5,
                                0.7071067811865476,
                                1.0,
                                1.4142135623730951,
                                2.0,
                                3.9192059,
                                3.95,
                                5.8635847,
                                5.95,
                                8.6643397,
                                9.0109137,
                                9.1,
                                26.5432586,
                                27.2263968,
                                27.3,
                                17.32867951,
                                19.0615474,
                                19.1,
                                87.33654475,
                                88.72283906,
                                89.0,
                                103.2789299,
                                103.9720771,
                                104.0,
                                708.3964185,
                                709.7827129,
                                710.0,
                                744.4400719,
                                745.1332191,
                                746.0}) {
        T below = T(centre);
        T above = T(centre);
        for (int i = 0; i < 200; ++i) {
            x.push_back(below);
            x.push_back(above);
            below = std::nextafter(below, -Limits::infinity());
            above = std::nextafter(above, Limits::infinity());
        }
    }
    const std::size_t count = x.size();
    for (std::size_t i = 0; i < count; ++i) x.push_back(-x[i]);
    x.push_back(Limits::quiet_NaN());
    x.push_back(-Limits::quiet_NaN());
    x.push_back(Limits::signaling_NaN());
    return x;
}

// Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014).
class SplitMix64 {
  public:
    std::uint64_t next() {
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }
    double uniform(double low, double high) {
        return low + (high - low) * 0x1p-53 * static_cast<double>(next() >> 11);
    }

  private:
    std::uint64_t state_ = 1;
};

bool check_float(std::uint64_t stride) {
    std::vector<Function<float>> all = functions<float>();
    for (auto& f : all) f.check(specials<float>());
    std::vector<float> x;
    for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32);) {
        x.clear();
        for (; x.size() < 4096 && bits < (std::uint64_t{1} << 32); bits += stride) {
            x.push_back(from_bits<float>(static_cast<std::uint32_t>(bits)));
        }
        for (auto& f : all) f.check(x);
    }
    bool ok = true;
    for (const auto& f : all) ok = f.report() && ok;
    return ok;
}

bool check_double(std::uint64_t samples) {
    std::vector<Function<double>> all = functions<double>();
    for (auto& f : all) f.check(specials<double>());
    SplitMix64 random;
    std::vector<double> x;
    for (std::uint64_t done = 0; done < samples; done += 1024) {
        x.clear();
        for (int i = 0; i < 1024; ++i) {
            x.push_back(from_bits<double>(random.next()));  // the whole format
            x.push_back(random.uniform(-750, 750));         // the range of exp
            x.push_back(random.uniform(-20, 20));           // of tanh
            x.push_back(random.uniform(-6, 6));             // of erf
            x.push_back(random.uniform(-1, 1));             // where tanh and erf are most difficult
            x.push_back(std::exp2(random.uniform(-60, 4)));       // small arguments
            x.push_back(random.uniform(0.5, 2));                  // the range reduction of log
            x.push_back(1 + std::exp2(random.uniform(-53, -3)));  // log near 1
            x.push_back(1 - std::exp2(random.uniform(-53, -3)));
            x.push_back(std::exp2(random.uniform(-1074, -1020)));  // denormal
        }
        for (auto& f : all) f.check(x);
    }
    bool ok = true;
    for (const auto& f : all) ok = f.report() && ok;
    return ok;
}

}  // namespace

int main(int argc, char** argv) {
    const std::uint64_t stride = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 997;
    const std::uint64_t samples = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 50000;
    const bool float_ok = check_float(stride == 0 ? 1 : stride);
    const bool double_ok = check_double(samples);
    return float_ok && double_ok ? 0 : 1;
}
