// SPDX-License-Identifier: BSD-3-Clause
// Control-group limits. A line of /proc/self/cgroup is "id:controllers:path"; id 0 without
// controllers is version 2. A file that is missing or unreadable sets no limit: a wrong guess here
// must never stop the program.
#include "runtime/cgroup.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

namespace fastnn {
namespace {

struct Group {
    bool unified;      // version 2
    std::string base;  // the mount point, where the walk upwards ends
    std::string path;  // "/" or "/a/b"
};

bool lists_controller(const std::string& controllers, const std::string& wanted) {
    return ("," + controllers + ",").find("," + wanted + ",") != std::string::npos;
}

std::vector<Group> groups_of(const char* proc_file, const std::string& mount,
                             const std::string& controller) {
    std::vector<Group> groups;
    std::ifstream file(proc_file);
    std::string line;
    while (std::getline(file, line)) {
        const std::size_t first = line.find(':');
        const std::size_t second =
            first == std::string::npos ? std::string::npos : line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        const std::string path = line.substr(second + 1);
        if (controllers.empty()) {
            groups.push_back({true, mount, path});
            groups.push_back({true, mount + "/unified", path});  // versions 1 and 2 side by side
        } else if (lists_controller(controllers, controller)) {
            groups.push_back({false, mount + "/" + controllers, path});
            if (controllers != controller)
                groups.push_back({false, mount + "/" + controller, path});
        }
    }
    return groups;
}

// Calls read(unified, directory) for the group's directory and for all above it. Inside a container
// the path may be the host's and not exist below our mount point: those directories have no files,
// the mount point itself does.
template <class F>
void walk_up(const Group& group, const F& read) {
    std::string path = group.path;
    while (!path.empty() && path.back() == '/') path.pop_back();
    for (;;) {
        read(group.unified, group.base + path);
        const std::size_t slash = path.rfind('/');
        if (path.empty() || slash == std::string::npos) return;
        path.resize(slash);
    }
}

std::string first_line(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

double cpu_limit_at(bool unified, const std::string& directory) {
    double quota = 0;
    double period = 0;
    if (unified) {
        const std::string line =
            first_line(directory + "/cpu.max");  // "max 100000", "150000 100000"
        char* end = nullptr;
        quota = std::strtod(line.c_str(), &end);
        period = std::strtod(end, nullptr);
    } else {
        quota = std::strtod(first_line(directory + "/cpu.cfs_quota_us").c_str(), nullptr);
        period = std::strtod(first_line(directory + "/cpu.cfs_period_us").c_str(), nullptr);
    }
    return quota > 0 && period > 0 ? quota / period : std::numeric_limits<double>::infinity();
}

std::uint64_t memory_limit_at(bool unified, const std::string& directory) {
    const std::string line =
        first_line(directory + (unified ? "/memory.max" : "/memory.limit_in_bytes"));
    char* end = nullptr;
    const unsigned long long bytes = std::strtoull(line.c_str(), &end, 10);
    return end == line.c_str() || bytes == 0 ? std::numeric_limits<std::uint64_t>::max() : bytes;
}

}  // namespace

double cgroup_cpu_limit(const char* proc_file, const char* mount) {
    double limit = std::numeric_limits<double>::infinity();
    try {
        for (const Group& group : groups_of(proc_file, mount, "cpu"))
            walk_up(group, [&](bool unified, const std::string& directory) {
                limit = std::min(limit, cpu_limit_at(unified, directory));
            });
    } catch (...) {  // out of memory: what was found so far
    }
    return limit;
}

std::uint64_t cgroup_memory_limit(const char* proc_file, const char* mount) {
    std::uint64_t limit = std::numeric_limits<std::uint64_t>::max();
    try {
        for (const Group& group : groups_of(proc_file, mount, "memory"))
            walk_up(group, [&](bool unified, const std::string& directory) {
                limit = std::min(limit, memory_limit_at(unified, directory));
            });
    } catch (...) {
    }
    return limit;
}

}  // namespace fastnn
