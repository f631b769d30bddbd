// SPDX-License-Identifier: BSD-3-Clause
// Checks csrc/simd/gemm.h at the level it is compiled for. Every element is compared bit by bit
// with the definition of gemm.h (blocks of k, in each a multiply-add per step), and with a sum in
// long double within the bound of that order of summation. Matrices end at a page that cannot be
// touched, or start after one; gaps between rows hold sentinels; scratch is of exactly the size
// asked for and full of NaN. Prints one line per failure, returns their count.
//
// The pool here starts its threads anew for each call: slow, and nothing that is left over can hide
// a mistake.
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "simd/gemm.h"

namespace fastnn {

int threads = 1;
bool out_of_memory = false;

void pool_run(idx n, idx piece, RangeFn fn, void* context) {
    std::atomic<idx> next{0};
    const auto work = [&] {
        for (idx begin = next.fetch_add(piece); begin < n; begin = next.fetch_add(piece))
            fn(context, begin, n - begin < piece ? n : begin + piece);
    };
    std::vector<std::thread> others;
    for (int i = 1; i < threads; ++i) others.emplace_back(work);
    work();
    for (std::thread& other : others) other.join();
}

int pool_threads() { return threads; }

void* pool_scratch(std::size_t bytes, int slot) {
    struct Free {
        void operator()(void* p) const { std::free(p); }
    };
    thread_local std::unique_ptr<void, Free> slots[4];
    if (out_of_memory) return nullptr;
    void* memory = nullptr;
    if (posix_memalign(&memory, 64, bytes) != 0) return nullptr;
    std::memset(memory, 0xff, bytes);
    slots[slot].reset(memory);
    return memory;
}

}  // namespace fastnn

namespace {

using fastnn::idx;
using namespace fastnn::FASTNN_ISA;

int failures = 0;
std::mt19937 random_bits(20240607);

// `count` elements that end where readable memory ends, or begin where it begins.
template <class T>
class Guarded {
  public:
    Guarded(idx count, bool at_end) {
        const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
        const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
        size_ = (bytes + page - 1) / page * page + 2 * page;
        void* map = mmap(nullptr, size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (map == MAP_FAILED) std::abort();
        map_ = static_cast<char*>(map);
        if (mprotect(map_ + page, size_ - 2 * page, PROT_READ | PROT_WRITE) != 0) std::abort();
        data = reinterpret_cast<T*>(at_end ? map_ + size_ - page - bytes : map_ + page);
    }
    ~Guarded() { munmap(map_, size_); }
    Guarded(const Guarded&) = delete;
    Guarded& operator=(const Guarded&) = delete;

    T* data;

  private:
    char* map_;
    std::size_t size_;
};

template <class T>
void fill(T* p, idx count) {
    std::uniform_real_distribution<T> uniform(-1, 1);
    for (idx i = 0; i < count; ++i) p[i] = uniform(random_bits);
}

// value + bias[col] + row, and the call's arguments are looked at.
template <class T>
struct CheckedEpilogue {
    const T* bias;
    idx m, n;
    std::atomic<idx>* seen;
    std::atomic<int>* wrong;

    Vec<T> operator()(Vec<T> value, idx row, idx col, int lanes) const {
        if (row < 0 || row >= m || col < 0 || lanes < 1 || lanes > kLanes<T> || col + lanes > n) {
            ++*wrong;
            return value;
        }
        *seen += lanes;
        return value + load_partial(bias + col, lanes) + broadcast(static_cast<T>(row));
    }
};

template <class T>
T multiply_add(T x, T y, T z) {
    if constexpr (kFused) return std::fma(x, y, z);
    return x * y + z;
}

struct Shape {
    idx m, n, k;
};

// Strides of an (outer, inner) matrix in its storage.
enum class Form { kRows, kColumns, kPaddedRows, kPaddedColumns, kSpread };

template <class T>
struct Matrix {
    Matrix(idx rows, idx cols, Form form, bool at_end) {
        const idx pad = form == Form::kPaddedRows || form == Form::kPaddedColumns ? 3 : 0;
        const bool by_columns = form == Form::kColumns || form == Form::kPaddedColumns;
        const idx gap = form == Form::kSpread ? 2 : 1;
        row = by_columns ? 1 : (cols * gap + pad);
        column = by_columns ? rows + pad : gap;
        const idx count = rows == 0 || cols == 0 ? 0 : (rows - 1) * row + (cols - 1) * column + 1;
        memory = std::make_unique<Guarded<T>>(count, at_end);
        fill(memory->data, count);
    }
    T at(idx i, idx j) const { return memory->data[i * row + j * column]; }

    idx row, column;
    std::unique_ptr<Guarded<T>> memory;
};

template <class T>
void check(Shape s, Form form_a, Form form_b, bool accumulate, bool with_epilogue, idx sample = 1) {
    const bool at_end = random_bits() % 4 != 0;
    const Matrix<T> a(s.m, s.k, form_a, at_end);
    const Matrix<T> b(s.k, s.n, form_b, at_end);
    const idx c_row = s.n + (random_bits() % 2 != 0 ? 0 : 5);
    const idx c_count = s.m == 0 || s.n == 0 ? 0 : (s.m - 1) * c_row + s.n;
    Guarded<T> c(c_count, at_end);
    Guarded<T> bias(s.n, at_end);
    fill(bias.data, s.n);
    if (accumulate)
        fill(c.data, c_count);
    else
        for (idx i = 0; i < c_count; ++i) c.data[i] = std::numeric_limits<T>::quiet_NaN();
    const std::vector<T> before(c.data, c.data + c_count);

    std::atomic<idx> seen{0};
    std::atomic<int> wrong{0};
    const CheckedEpilogue<T> epilogue{bias.data, s.m, s.n, &seen, &wrong};
    const auto run = [&](const auto& ep) {
        return gemm<T>(s.m, s.n, s.k, a.memory->data, a.row, a.column, b.memory->data, b.row,
                       b.column, c.data, c_row, accumulate, ep);
    };
    const bool ok = with_epilogue ? run(epilogue) : run(NoEpilogue{});

    const bool finishes = s.k > 0 || !accumulate;
    const char* problem = ok ? nullptr : "returned false";
    if (wrong != 0) problem = "epilogue called out of range";
    if (with_epilogue && seen != (finishes ? s.m * s.n : 0))
        problem = "epilogue not called once per element";
    const idx depth = s.k > 0 ? block_depth(s.k) : 1;
    for (idx i = 0; i < s.m && problem == nullptr; ++i) {
        for (idx j = i % sample; j < s.n && problem == nullptr; j += sample) {
            const T old = before[static_cast<std::size_t>(i * c_row + j)];
            T expected = accumulate ? old : T(0);
            long double exact = accumulate ? static_cast<long double>(old) : 0.0L;
            long double size = std::fabs(exact);
            for (idx block = 0; block < s.k; block += depth) {
                T sum = 0;
                for (idx p = block; p < s.k && p < block + depth; ++p) {
                    sum = multiply_add(a.at(i, p), b.at(p, j), sum);
                    const long double product = static_cast<long double>(a.at(i, p)) * b.at(p, j);
                    exact += product;
                    size += std::fabs(product);
                }
                expected = block == 0 && !accumulate ? sum : expected + sum;
            }
            if (with_epilogue && finishes) {
                expected = (expected + bias.data[j]) + static_cast<T>(i);
                exact += static_cast<long double>(bias.data[j]) + static_cast<long double>(i);
                size +=
                    std::fabs(static_cast<long double>(bias.data[j])) + static_cast<long double>(i);
            }
            const T got = c.data[i * c_row + j];
            // Higham 2002, section 3.1: steps in a chain, each with a relative error of at most
            // epsilon.
            const idx steps = depth + s.k / depth + 6;
            const long double bound =
                size * static_cast<long double>(steps) * std::numeric_limits<T>::epsilon();
            if (std::memcmp(&got, &expected, sizeof got) != 0)
                problem = "bits differ from the definition";
            if (!(std::fabs(got - exact) <= bound)) problem = "error above the bound";
        }
    }
    for (idx i = 0; i + 1 < s.m && c_count > 0 && problem == nullptr; ++i)
        for (idx j = s.n; j < c_row; ++j) {
            const auto at = static_cast<std::size_t>(i * c_row + j);
            if (std::memcmp(&c.data[at], &before[at], sizeof(T)) != 0)
                problem = "wrote between the rows of C";
        }
    if (problem != nullptr) {
        ++failures;
        std::printf(
            "%s %lld x %lld x %lld, forms %d %d, accumulate %d, epilogue %d, threads %d: %s\n",
            sizeof(T) == 4 ? "float" : "double", static_cast<long long>(s.m),
            static_cast<long long>(s.n), static_cast<long long>(s.k), static_cast<int>(form_a),
            static_cast<int>(form_b), accumulate, with_epilogue, fastnn::threads, problem);
    }
}

constexpr Form kForms[] = {Form::kRows, Form::kColumns, Form::kPaddedRows, Form::kPaddedColumns,
                           Form::kSpread};

template <class T>
void check_all() {
    const auto pick = [](idx low, idx high) {
        return low + static_cast<idx>(random_bits() % static_cast<unsigned>(high - low + 1));
    };
    const auto any_form = [] { return kForms[random_bits() % 5]; };
    // Every size from 1 to 70 in every place, each time with other partners, forms and options.
    for (idx size = 0; size <= 70; ++size) {
        for (const Form form_a : kForms) {
            check<T>({size, pick(1, 70), pick(1, 70)}, form_a, any_form(), pick(0, 1) != 0,
                     pick(0, 1) != 0);
            check<T>({pick(1, 70), size, pick(1, 70)}, any_form(), form_a, pick(0, 1) != 0,
                     pick(0, 1) != 0);
            check<T>({pick(1, 70), pick(1, 70), size}, form_a, any_form(), pick(0, 1) != 0,
                     pick(0, 1) != 0);
        }
    }
    // Vectors; more than one block of k; the shapes of small networks; columns of four vectors and
    // of eight.
    constexpr idx lanes = kLanes<T>;
    for (const Shape s : {Shape{1, 70, 900},
                          {70, 1, 900},
                          {1, 1, 1000},
                          {1, 600, 40},
                          {600, 1, 40},
                          {9, 10, 784},
                          {33, 17, 1500},
                          {5, 130, 385},
                          {200, 3, 400},
                          {64, 10, 128},
                          {32, 10, 64},
                          {1000, 1, 1},
                          {64, 4 * lanes, 64},
                          {50, 4 * lanes - 1, 400},
                          {21, 8 * lanes - 2, 70},
                          {1001, 1, 2},
                          {1003, 1, 3},
                          {1023, 1, 4},
                          {1027, 1, 5}})
        for (const Form form_a : kForms)
            for (const Form form_b : kForms)
                check<T>(s, form_a, form_b, pick(0, 1) != 0, pick(0, 1) != 0);
    // Large enough for threads: vectors, few rows, a part of the columns for each thread, many
    // rows, many parts of packed B.
    for (fastnn::threads = 1; fastnn::threads <= 4; ++fastnn::threads) {
        const idx sample = fastnn::threads == 4 ? 1 : 7;
        for (const Shape s : {Shape{1, 1500, 900},
                              {1700, 1, 800},
                              {65, 131, 190},
                              {130, 70, 400},
                              {257, 113, 66},
                              {40, 40, 1000},
                              {220, 290, 800},
                              {1030, 70, 500},
                              {700, 10, 200},
                              {131, 4 * lanes - 3, 490},
                              {1030, 4 * lanes, 200},
                              {150, 8 * lanes - 5, 390},
                              {400, 8 * lanes, 200},
                              {31, 1100, 400},
                              {50001, 1, 3}})
            for (int form = 0; form < 4; ++form)
                check<T>(s, kForms[form % 2], kForms[form / 2], form % 2 == 0, form / 2 == 0,
                         sample);
        check<T>({300, 301, 302}, any_form(), any_form(), true, true, sample);
    }
    fastnn::threads = 2;
    check<T>({193, 5600, 390}, Form::kRows, Form::kColumns, true, true, 499);
    check<T>({193, 150, 9000}, Form::kColumns, Form::kRows, false, true, 61);
    fastnn::threads = 1;

    // No memory is reported, and not stumbled over.
    fastnn::out_of_memory = true;
    std::vector<T> a(300 * 300, T(1)), c(300 * 300);
    for (const idx m : {idx{40}, idx{300}}) {
        if (gemm<T>(m, 300, 300, a.data(), 300, 1, a.data(), 1, 300, c.data(), 300, false,
                    NoEpilogue{})) {
            ++failures;
            std::printf("no failure without memory at m = %lld\n", static_cast<long long>(m));
        }
    }
    fastnn::out_of_memory = false;
}

}  // namespace

int main() {
    check_all<float>();
    check_all<double>();
    std::printf("%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}
