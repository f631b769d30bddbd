// SPDX-License-Identifier: BSD-3-Clause
// Runs kernel cases from files that tests/kernel_launches.py wrote, through the launch seam and
// without Python, at every level that this program and its machine have. Prints each launch whose
// outputs leave their bounds and exits with 1, or prints "N launches, 0 failures".
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "runtime/launch.h"

namespace {

using namespace fastnn;

constexpr std::size_t kLine = 64;

[[noreturn]] void give_up(const char* file, const char* why) {
    std::fprintf(stderr, "%s: %s\n", file, why);
    std::exit(2);
}

class Reader {
  public:
    explicit Reader(const char* path) : path_(path), file_(std::fopen(path, "rb")) {
        if (file_ == nullptr) give_up(path, "cannot be opened");
    }
    ~Reader() { std::fclose(file_); }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

    bool at_end() {
        const int c = std::fgetc(file_);
        if (c == EOF) return true;
        std::ungetc(c, file_);
        return false;
    }
    void read(void* to, std::size_t bytes) {
        if (bytes != 0 && std::fread(to, 1, bytes, file_) != bytes) give_up(path_, "ends early");
    }
    template <class T>
    T get() {
        T value;
        read(&value, sizeof value);
        return value;
    }
    template <class Item, class Length>
    std::vector<Item> items() {
        std::vector<Item> values(static_cast<std::size_t>(get<Length>()));
        read(values.data(), values.size() * sizeof(Item));
        return values;
    }
    std::string text() {
        const auto letters = items<char, std::uint32_t>();
        return {letters.begin(), letters.end()};
    }

  private:
    const char* path_;
    std::FILE* file_;
};

struct Region {
    std::uint32_t misalignment = 0;
    std::vector<char> image;
    std::vector<char> memory;
    char* first = nullptr;

    // A fresh copy at an address with the same remainder, with nothing of ours behind it.
    void restore() {
        memory.assign(image.size() + 2 * kLine, 0);
        const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
        first = memory.data() + (kLine - address % kLine) % kLine + misalignment;
        std::copy(image.begin(), image.end(), first);
    }
};

struct Place {
    std::uint32_t position;
    std::uint32_t region;
    std::int64_t offset;
};

struct Output {
    std::int32_t arg = 0;
    std::int32_t item = 0;
    bool floating = false;
    double bound = 0;
    std::vector<double> upper;
    std::vector<double> lower;
    std::vector<std::int64_t> whole;
};

struct Record {
    std::string kernel;
    std::string label;
    std::int32_t variant = 0;
    std::vector<char> block;
    std::vector<Region> regions;
    std::vector<Place> places;
    std::vector<Output> outputs;
};

Record read_record(Reader& in) {
    Record r;
    r.kernel = in.text();
    r.label = in.text();
    r.variant = in.get<std::int32_t>();
    r.block = in.items<char, std::uint64_t>();
    r.regions.resize(in.get<std::uint32_t>());
    for (Region& region : r.regions) {
        region.misalignment = in.get<std::uint32_t>();
        region.image = in.items<char, std::uint64_t>();
    }
    r.places.resize(in.get<std::uint32_t>());
    for (Place& place : r.places) {
        place.position = in.get<std::uint32_t>();
        place.region = in.get<std::uint32_t>();
        place.offset = in.get<std::int64_t>();
    }
    r.outputs.resize(in.get<std::uint32_t>());
    for (Output& out : r.outputs) {
        out.arg = in.get<std::int32_t>();
        out.item = in.get<std::int32_t>();
        out.floating = in.get<std::uint8_t>() != 0;
        out.bound = in.get<double>();
        const auto count = static_cast<std::size_t>(in.get<std::uint64_t>());
        if (out.floating) {
            out.upper.resize(count);
            out.lower.resize(count);
            in.read(out.upper.data(), count * sizeof(double));
            in.read(out.lower.data(), count * sizeof(double));
        } else {
            out.whole.resize(count);
            in.read(out.whole.data(), count * sizeof(std::int64_t));
        }
    }
    return r;
}

// Element `i` in row-major order of an array, or of a list's item.
struct Elements {
    const char* data;
    DType dtype;
    const Array* strided;  // null: contiguous

    const char* at(std::size_t i) const {
        idx offset = static_cast<idx>(i);
        if (strided != nullptr) {
            idx rest = offset;
            offset = 0;
            for (int d = strided->ndim - 1; d >= 0; --d) {
                offset += rest % strided->shape[d] * strided->strides[d];
                rest /= strided->shape[d];
            }
        }
        return data + offset * static_cast<idx>(dtype_bytes(dtype));
    }
    template <class T>
    T value(std::size_t i) const {
        T v;
        std::memcpy(&v, at(i), sizeof v);
        return v;
    }
    double floating(std::size_t i) const {
        return dtype == DType::kFloat32 ? static_cast<double>(value<float>(i)) : value<double>(i);
    }
    std::int64_t whole(std::size_t i) const {
        switch (dtype) {
            case DType::kInt64:
                return value<std::int64_t>(i);
            case DType::kInt32:
                return value<std::int32_t>(i);
            default:
                return value<unsigned char>(i);
        }
    }
};

Elements elements_of(const Record& r, const Kernel& kernel, const Output& out) {
    const char* place = r.block.data() + kernel.offsets[out.arg];
    const ArgType& type = kernel.variants[r.variant].args[out.arg];
    if (out.item >= 0) {
        ListRef list;
        std::memcpy(&list, place, sizeof list);
        ListItem item;
        const idx where = list.offset + out.item * static_cast<idx>(sizeof item);
        std::memcpy(&item, r.block.data() + where, sizeof item);
        return {static_cast<const char*>(item.data), type.dtype, nullptr};
    }
    const Array* array = reinterpret_cast<const Array*>(place);
    return {static_cast<const char*>(array->data), type.dtype,
            type.kind == ArgKind::kStrided ? array : nullptr};
}

std::string judge(const Elements& got, const Output& want) {
    char message[200];
    for (std::size_t i = 0; i < want.whole.size(); ++i) {
        if (got.whole(i) == want.whole[i]) continue;
        std::snprintf(message, sizeof message, "element %zu is %lld, expected %lld", i,
                      static_cast<long long>(got.whole(i)), static_cast<long long>(want.whole[i]));
        return message;
    }
    for (std::size_t i = 0; i < want.upper.size(); ++i) {
        const double value = got.floating(i);
        const double exact = want.upper[i];
        const bool same = std::isnan(exact) ? std::isnan(value)
                          : std::isinf(exact)
                              ? value == exact
                              : std::fabs((value - exact) - want.lower[i]) <= want.bound;
        if (same) continue;
        std::snprintf(message, sizeof message, "element %zu is %.17g, expected %.17g within %.3g",
                      i, value, exact, want.bound);
        return message;
    }
    return {};
}

std::string run(Record& r, const Kernel& kernel) {
    for (Region& region : r.regions) region.restore();
    for (const Place& place : r.places) {
        char* pointer = r.regions[place.region].first + place.offset;
        std::memcpy(r.block.data() + place.position, &pointer, sizeof pointer);
    }
    const Launch what{&kernel, r.variant, r.block.data(), r.block.size()};
    char message[256];
    if (!check_block(what, message, sizeof message)) return message;
    if (launch(what) != Status::kOk) return "the kernel refused its arguments";
    for (const Output& out : r.outputs) {
        std::string found = judge(elements_of(r, kernel, out), out);
        if (!found.empty())
            return std::string("argument ") + kernel.args[out.arg].name + ": " + found;
    }
    return {};
}

}  // namespace

int main(int count, char** paths) {
    long launches = 0;
    long failures = 0;
    std::map<std::string, long> by_kernel;
    for (int i = 1; i < count; ++i) {
        Reader in(paths[i]);
        char magic[8];
        in.read(magic, sizeof magic);
        if (std::memcmp(magic, "FNLAUNCH", sizeof magic) != 0)
            give_up(paths[i], "does not hold launches");
        while (!in.at_end()) {
            Record record = read_record(in);
            const Kernel* kernel = find_kernel(record.kernel.c_str());
            if (kernel == nullptr) give_up(paths[i], ("no kernel " + record.kernel).c_str());
            ++by_kernel[record.kernel];
            for (int level = 0; level <= level_supported(); ++level) {
                set_level(kLevelNames[level]);
                ++launches;
                const std::string found = run(record, *kernel);
                if (found.empty()) continue;
                ++failures;
                std::printf("%s, %s, %s: %s\n", record.kernel.c_str(), kLevelNames[level],
                            record.label.c_str(), found.c_str());
            }
        }
    }
    std::printf("%zu kernels, %ld launches, %ld failures\n", by_kernel.size(), launches, failures);
    return failures == 0 && launches > 0 ? 0 : 1;
}
