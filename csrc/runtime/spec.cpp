// SPDX-License-Identifier: BSD-3-Clause
// The specification strings of FASTNN_OP: parsed once at registration, checked against the block of
// every launch.
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "runtime/launch.h"
#include "runtime/spec.h"

namespace fastnn {
namespace {

[[noreturn]] void malformed(const Kernel& kernel, const char* why) {
    std::fprintf(stderr, "fastnn: kernel %s: specification \"%s\": %s\n", kernel.name, kernel.text,
                 why);
    std::abort();
}

struct Symbols {
    std::string names[kMaxSymbols];
    int count = 0;

    idx id(const Kernel& kernel, const std::string& name) {
        for (int i = 0; i < count; ++i) {
            if (names[i] == name) return i;
        }
        if (count == kMaxSymbols) malformed(kernel, "too many symbols");
        names[count] = name;
        return count++;
    }
};

idx parse_dim(const Kernel& kernel, Symbols& symbols, const std::string& word) {
    if (word.empty()) malformed(kernel, "empty dimension");
    if (std::isdigit(static_cast<unsigned char>(word[0])) != 0)
        return -1 - std::atoll(word.c_str());
    return symbols.id(kernel, word);
}

void parse_arg(const Kernel& kernel, Symbols& symbols, const std::string& word, ArgSpec& arg) {
    const std::size_t open = word.find_first_of("([");
    std::string name = word.substr(0, open);
    arg.optional = !name.empty() && name.back() == '?';
    if (arg.optional) name.pop_back();
    if (name.empty() || name.size() >= sizeof(arg.name)) malformed(kernel, "bad argument name");
    std::memcpy(arg.name, name.c_str(), name.size() + 1);
    arg.shape = ArgSpec::kScalar;
    if (open == std::string::npos) return;
    const char close = word[open] == '(' ? ')' : ']';
    if (word.back() != close) malformed(kernel, "unclosed bracket");
    const std::string inside = word.substr(open + 1, word.size() - open - 2);
    if (close == ')' && inside == "...") {
        arg.shape = ArgSpec::kCommonShape;
        return;
    }
    if (close == ')' && inside == "*") {
        arg.shape = ArgSpec::kAnyShape;
        return;
    }
    arg.shape = close == ')' ? ArgSpec::kDims : ArgSpec::kItems;
    for (std::size_t begin = 0; begin < inside.size();) {
        const std::size_t comma = std::min(inside.find(',', begin), inside.size());
        if (arg.n_dims == kMaxDims) malformed(kernel, "too many dimensions");
        arg.dims[arg.n_dims++] = parse_dim(kernel, symbols, inside.substr(begin, comma - begin));
        begin = comma + 1;
    }
    if (arg.shape == ArgSpec::kItems && arg.n_dims != 1) malformed(kernel, "a list has one symbol");
}

std::size_t bytes_in_block(ArgKind kind) {
    switch (kind) {
        case ArgKind::kArray:
        case ArgKind::kStrided:
            return sizeof(Array);
        case ArgKind::kList:
            return sizeof(ListRef);
        case ArgKind::kInts:
            return sizeof(IntList);
        default:
            return 8;
    }
}

// The sizes that symbols stand for, as far as known, and the shape of (...).
struct Bindings {
    bool bound[kMaxSymbols] = {};
    idx size[kMaxSymbols] = {};
    const Array* common = nullptr;
    const char* common_name = nullptr;
    idx items = -1;
    const char* items_name = nullptr;

    bool matches(idx dim, idx value) {
        if (dim < 0) return value == -1 - dim;
        if (!bound[dim]) {
            bound[dim] = true;
            size[dim] = value;
        }
        return size[dim] == value;
    }
};

int write_shape(char* out, std::size_t capacity, const idx* shape, int ndim) {
    int n = std::snprintf(out, capacity, "(");
    for (int d = 0; d < ndim; ++d) {
        n += std::snprintf(out + n, capacity - static_cast<std::size_t>(n),
                           d == 0 ? "%lld" : ", %lld", static_cast<long long>(shape[d]));
    }
    return n +
           std::snprintf(out + n, capacity - static_cast<std::size_t>(n), ndim == 1 ? ",)" : ")");
}

std::string shape_text(const Array& a) {
    char text[256];
    write_shape(text, sizeof(text), a.shape, a.ndim);
    return text;
}

// The word of the specification that describes argument `index`, for messages.
std::string spec_word(const Kernel& kernel, int index) {
    const char* p = kernel.text;
    for (int i = 0; i < index; ++i) p = std::strchr(p, ' ') + 1;
    const char* end = std::strchr(p, ' ');
    return end == nullptr ? std::string(p) : std::string(p, end);
}

std::string dims_text(const ArgSpec& arg, const Bindings& known, const std::string& word) {
    std::string text = word + " with";
    bool any = false;
    for (int d = 0; d < arg.n_dims; ++d) {
        const idx dim = arg.dims[d];
        if (dim < 0 || !known.bound[dim]) continue;
        text += (any ? ", " : " ");
        text += "dimension " + std::to_string(d) + " = " + std::to_string(known.size[dim]);
        any = true;
    }
    return any ? text : word;
}

// Whether two elements may share memory: conservative, by the dimensions in the order of their
// strides. Threads that write such an array would race.
bool overlaps_itself(const Array& a) {
    idx strides[kMaxDims];
    idx sizes[kMaxDims];
    int n = 0;
    for (int d = 0; d < a.ndim; ++d) {
        if (a.shape[d] == 0) return false;
        if (a.shape[d] == 1) continue;
        const idx stride = a.strides[d] < 0 ? -a.strides[d] : a.strides[d];
        int at = n++;
        for (; at > 0 && strides[at - 1] > stride; --at) {
            strides[at] = strides[at - 1];
            sizes[at] = sizes[at - 1];
        }
        strides[at] = stride;
        sizes[at] = a.shape[d];
    }
    idx reach = 0;  // of all smaller dimensions together
    for (int d = 0; d < n; ++d) {
        if (strides[d] <= reach) return true;
        reach += (sizes[d] - 1) * strides[d];
    }
    return false;
}

bool check_array(const Kernel& kernel, int index, const ArgType& type, const Array& a,
                 Bindings& known, std::string& message) {
    const ArgSpec& arg = kernel.args[index];
    if (a.data == nullptr && arg.optional) return true;
    if (type.kind == ArgKind::kStrided && type.access != Access::kIn && overlaps_itself(a)) {
        message =
            std::string("expected an output ") + arg.name +
            " whose elements have memory of their own, got strides by which some share theirs";
        return false;
    }
    if (arg.shape == ArgSpec::kCommonShape) {
        if (known.common == nullptr) {
            known.common = &a;
            known.common_name = arg.name;
            return true;
        }
        const Array& first = *known.common;
        bool same = a.ndim == first.ndim;
        for (int d = 0; same && d < a.ndim; ++d) same = a.shape[d] == first.shape[d];
        if (!same) {
            message = std::string("expected ") + arg.name + " of the same shape as " +
                      known.common_name + " " + shape_text(first) + ", got " + shape_text(a);
        }
        return same;
    }
    if (arg.shape != ArgSpec::kDims) return true;
    bool same = a.ndim == arg.n_dims;
    const Bindings before = known;
    for (int d = 0; same && d < a.ndim; ++d) same = known.matches(arg.dims[d], a.shape[d]);
    if (!same)
        message = "expected " + dims_text(arg, before, spec_word(kernel, index)) + ", got " +
                  shape_text(a);
    return same;
}

idx item_size(const char* block, const ListRef& list, idx i) {
    ListItem item;
    std::memcpy(&item, block + list.offset + i * static_cast<idx>(sizeof(ListItem)), sizeof(item));
    return item.size;
}

bool check_list(const Kernel& kernel, int index, const char* block, const ListRef& list,
                Bindings& known, std::string& message) {
    const ArgSpec& arg = kernel.args[index];
    if (list.count == 0 && arg.optional) return true;
    if (known.items < 0) {
        known.items = list.count;
        known.items_name = arg.name;
    }
    if (list.count != known.items) {
        message = std::string("expected ") + std::to_string(known.items) + " arrays in " +
                  arg.name + ", as in " + known.items_name + ", got " + std::to_string(list.count);
        return false;
    }
    if (arg.dims[0] < 0) {
        for (idx i = 0; i < list.count; ++i) {
            const idx got = item_size(block, list, i);
            if (got == -1 - arg.dims[0]) continue;
            message = std::string("expected ") + arg.name + "[" + std::to_string(i) + "] of " +
                      std::to_string(-1 - arg.dims[0]) + " elements, got " + std::to_string(got);
            return false;
        }
    }
    return true;
}

const ListRef& list_at(const Kernel& kernel, const char* block, int i) {
    return *reinterpret_cast<const ListRef*>(block + kernel.offsets[i]);
}

bool check_item_sizes(const Launch& launch, const Kernel& kernel, std::string& message) {
    const ArgType* types = kernel.variants[launch.variant].args;
    for (int i = 0; i < kernel.n_args; ++i) {
        if (types[i].kind != ArgKind::kList || kernel.args[i].dims[0] < 0) continue;
        const ListRef& mine = list_at(kernel, launch.block, i);
        for (int j = 0; j < i; ++j) {
            if (types[j].kind != ArgKind::kList || kernel.args[j].dims[0] != kernel.args[i].dims[0])
                continue;
            const ListRef& other = list_at(kernel, launch.block, j);
            if (other.count == 0 || mine.count == 0) continue;
            for (idx k = 0; k < mine.count; ++k) {
                const idx got = item_size(launch.block, mine, k);
                const idx want = item_size(launch.block, other, k);
                if (got == want) continue;
                const std::string at = "[" + std::to_string(k) + "]";
                message = std::string("expected ") + kernel.args[i].name + at + " of " +
                          std::to_string(want) + " elements, as " + kernel.args[j].name + at +
                          ", got " + std::to_string(got);
                return false;
            }
            break;
        }
    }
    return true;
}

bool clash(const Launch& launch, const Kernel& kernel, const Slot& a, const Slot& b) {
    if (a.access == Access::kIn && b.access == Access::kIn) return false;
    const bool one_reads = a.access == Access::kIn || b.access == Access::kIn;
    return !((kernel.flags & kInPlace) != 0 && one_reads && same_layout(launch, a, b));
}

// No buffer that is written may share memory with another, unless the two are one and the same
// array in an operation that allows that. Sorted by address, so that an optimiser step over a
// thousand arrays is not a million comparisons.
bool check_overlap(const Launch& launch, const Kernel& kernel, std::string& message) {
    constexpr int kInline = 32;
    Slot inline_slots[kInline];
    std::vector<Slot> many;
    Slot* slots = inline_slots;
    const int n = slot_table(launch, slots, kInline);
    if (n > kInline) {
        many.resize(static_cast<std::size_t>(n));
        slots = many.data();
        slot_table(launch, slots, n);
    }
    std::sort(slots, slots + n, [](const Slot& a, const Slot& b) { return a.low < b.low; });
    for (int i = 0; i < n; ++i) {
        for (int j = i + 1; j < n && slots[j].low < slots[i].low + slots[i].extent; ++j) {
            if (!clash(launch, kernel, slots[i], slots[j])) continue;
            const bool first_written = slots[i].access != Access::kIn;
            const Slot& output = first_written ? slots[i] : slots[j];
            const Slot& other = first_written ? slots[j] : slots[i];
            message = std::string("output ") + kernel.args[output.arg].name +
                      " shares memory with " + kernel.args[other.arg].name +
                      "; give it memory of its own";
            return false;
        }
    }
    return true;
}

}  // namespace

void parse_specification(Kernel& kernel) {
    Symbols symbols;
    const std::string text = kernel.text;
    const VariantInfo& first = kernel.variants[0];
    int n = 0;
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t space = std::min(text.find(' ', begin), text.size());
        if (n == kMaxArgs) malformed(kernel, "too many arguments");
        kernel.args[n] = ArgSpec{};
        parse_arg(kernel, symbols, text.substr(begin, space - begin), kernel.args[n++]);
        begin = space + 1;
    }
    kernel.n_args = n;
    std::size_t offset = 0;
    for (int v = 0; v < kernel.n_variants; ++v) {
        if (kernel.variants[v].n_args != n)
            malformed(kernel, "as many words as the function has arguments are needed");
    }
    for (int i = 0; i < n; ++i) {
        const ArgKind kind = first.args[i].kind;
        const bool array = kind == ArgKind::kArray || kind == ArgKind::kStrided;
        const ArgSpec::Shape shape = kernel.args[i].shape;
        const bool fits =
            array ? (shape == ArgSpec::kAnyShape || shape == ArgSpec::kCommonShape ||
                     shape == ArgSpec::kDims)
                  : shape == (kind == ArgKind::kList ? ArgSpec::kItems : ArgSpec::kScalar);
        if (!fits) malformed(kernel, "a word does not fit the type of its argument");
        kernel.offsets[i] = offset;
        offset += bytes_in_block(kind);
    }
    kernel.fixed_bytes = offset;
}

bool check_block(const Launch& launch, char* out, std::size_t capacity) {
    const Kernel& kernel = *launch.kernel;
    const ArgType* types = kernel.variants[launch.variant].args;
    Bindings known;
    std::string message;
    bool ok = true;
    bool lists = false;
    for (int i = 0; ok && i < kernel.n_args; ++i) {
        const char* place = launch.block + kernel.offsets[i];
        if (types[i].kind == ArgKind::kArray || types[i].kind == ArgKind::kStrided) {
            ok = check_array(kernel, i, types[i], *reinterpret_cast<const Array*>(place), known,
                             message);
        } else if (types[i].kind == ArgKind::kList) {
            lists = true;
            ok = check_list(kernel, i, launch.block, *reinterpret_cast<const ListRef*>(place),
                            known, message);
        }
    }
    if (ok && lists) ok = check_item_sizes(launch, kernel, message);
    if (ok) ok = check_overlap(launch, kernel, message);
    if (!ok) std::snprintf(out, capacity, "%s", message.c_str());
    return ok;
}

}  // namespace fastnn
