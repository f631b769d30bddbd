// SPDX-License-Identifier: BSD-3-Clause
// The extension module fastnn._cpu: pybind11 for all that is cold, the kernels and the allocator
// through the C API.
#define FASTNN_IMPORT_NUMPY
#include "numpy_api.h"

#include <pybind11/pybind11.h>

#include <cstdlib>

#include "runtime/allocator.h"
#include "runtime/ceilings.h"
#include "runtime/environment.h"
#include "runtime/isa.h"
#include "runtime/launch.h"
#include "runtime/pool.h"

namespace py = pybind11;

namespace {

int import_numpy() {
    import_array1(-1);
    return 0;
}

py::list compiled_levels() {
    py::list names;
    for (const char* name : fastnn::kLevelNames) names.append(name);
    return names;
}

py::list usable_levels() {
    py::list names;
    for (int i = 0; i <= fastnn::level_supported(); ++i) names.append(fastnn::kLevelNames[i]);
    return names;
}

void choose_level(const std::string& name) {
    if (!fastnn::set_level(name.c_str())) {
        throw py::value_error("set_isa: expected one of usable_levels(), got '" + name + "'");
    }
}

void choose_threads(int n) {
    if (n < 1)
        throw py::value_error("set_num_threads: expected at least 1 thread, got " +
                              std::to_string(n));
    fastnn::pool_set_threads(n);
}

// What was wrong with environment variables, in words.
py::list config_problems() {
    py::list problems;
    const char* isa = fastnn::level_problem();
    for (const char* text : {isa == nullptr ? "" : isa, fastnn::pool_config_problem(),
                             fastnn::allocator_config_problem()}) {
        if (*text != '\0') problems.append(text);
    }
    if (fastnn::env_list_has_other("FASTNN_DEBUG", "poison"))
        problems.append(
            std::string("FASTNN_DEBUG=") + std::getenv("FASTNN_DEBUG") +
            ": expected poison, the only value there is; what else is there is ignored");
    return problems;
}

fastnn::Traffic traffic_of(const std::string& kind) {
    if (kind == "read") return fastnn::Traffic::kRead;
    if (kind == "copy") return fastnn::Traffic::kCopy;
    if (kind == "stream") return fastnn::Traffic::kStream;
    throw py::value_error("ceiling_memory: expected kind read, copy or stream, got '" + kind + "'");
}

void check_seconds(double seconds) {
    if (!(seconds > 0 && seconds <= 10))
        throw py::value_error("expected 0 < seconds <= 10, got " + std::to_string(seconds));
}

double memory_rate(const std::string& kind, int threads, std::size_t bytes, double seconds) {
    const fastnn::Traffic traffic = traffic_of(kind);
    check_seconds(seconds);
    const py::gil_scoped_release release;
    return fastnn::ceiling_memory(traffic, threads, bytes, seconds);
}

double fma_rate(int threads, double seconds) {
    check_seconds(seconds);
    const py::gil_scoped_release release;
    return fastnn::ceiling_fma(threads, seconds);
}

py::object text_or_none(const char* text) {
    if (text == nullptr) return py::none();
    return py::str(text);
}

}  // namespace

PYBIND11_MODULE(_cpu, m) {
    m.doc() = "fastnn's native CPU kernels, allocator and thread pool.";
    if (import_numpy() < 0) throw py::error_already_set();
    if (fastnn::level_supported() < 0) {
        throw py::import_error(
            "this processor lacks SSE4.2, the least that fastnn's native kernels need");
    }
    if (!fastnn::add_memory(m.ptr()) || !fastnn::add_kernels(m.ptr()) ||
        !fastnn::add_recorder(m.ptr()) || !fastnn::add_tape(m.ptr())) {
        throw py::error_already_set();
    }
    m.attr("version") = FASTNN_VERSION;
    m.def("compiled_levels", compiled_levels,
          "the instruction-set levels in this build, lowest first");
    m.def("usable_levels", usable_levels, "those of them that this processor can run");
    m.def("isa", [] { return fastnn::kLevelNames[fastnn::level_in_use()]; }, "the level in use");
    m.def("set_isa", choose_level, py::arg("level"), "chooses a level; not while kernels run");
    m.def("isa_problem", [] { return text_or_none(fastnn::level_problem()); });
    m.def("config_problems", config_problems,
          "what was wrong with environment variables; empty when all is well");
    m.def("num_threads", fastnn::pool_threads);
    m.def("set_num_threads", choose_threads, py::arg("n"));
    m.def("ceiling_fma", fma_rate, py::arg("threads"), py::arg("seconds"),
          "float32 GFLOP/s of multiply-adds in registers at the level in use; negative on failure");
    m.def("ceiling_memory", memory_rate, py::arg("kind"), py::arg("threads"), py::arg("bytes"),
          py::arg("seconds"),
          "GB/s read and written over a working set: kind read, copy, or stream (a copy with "
          "non-temporal stores); negative on failure");
    m.def("last_participants", fastnn::pool_last_participants,
          "how many threads took part in the newest parallel call of this thread");
    m.def("gather_workers", fastnn::pool_gather_workers, py::arg("on"),
          "for tests: a parallel call begins when every thread that it has a piece for has come");
}
