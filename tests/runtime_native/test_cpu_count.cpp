// SPDX-License-Identifier: BSD-3-Clause
// Thread and CPU counts: environment variables, scheduling affinity, control groups (in a planted
// tree).
#include <sched.h>
#include <sys/stat.h>

#include <cmath>
#include <cstdint>
#include <fstream>
#include <string>

#include "check.h"
#include "runtime/cgroup.h"
#include "runtime/cpu_count.h"
#include "runtime/environment.h"
#include "runtime/pool.h"

namespace {

struct Tree {
    std::string root;

    Tree() {
        char name[] = "/tmp/fastnn_cgroup_XXXXXX";
        CHECK(mkdtemp(name) != nullptr);
        root = name;
    }
    ~Tree() { remove(root); }
    Tree(const Tree&) = delete;
    Tree& operator=(const Tree&) = delete;

    void write(const std::string& path, const std::string& text) const {
        for (std::size_t slash = path.find('/', 1); slash != std::string::npos;
             slash = path.find('/', slash + 1))
            mkdir((root + path.substr(0, slash)).c_str(), 0700);
        std::ofstream(root + path) << text;
    }
    double cpus() const {
        return fastnn::cgroup_cpu_limit((root + "/proc").c_str(), (root + "/fs").c_str());
    }
    std::uint64_t memory() const {
        return fastnn::cgroup_memory_limit((root + "/proc").c_str(), (root + "/fs").c_str());
    }
    static void remove(const std::string& path) {
        CHECK(path.rfind("/tmp/fastnn_cgroup_", 0) == 0);
        const std::string command = "rm -r '" + path + "'";
        CHECK(std::system(command.c_str()) == 0);
    }
};

fastnn::ThreadSettings settings_with(const char* own, const char* openmp) {
    unsetenv("FASTNN_NUM_THREADS");
    unsetenv("OMP_NUM_THREADS");
    if (own != nullptr) setenv("FASTNN_NUM_THREADS", own, 1);
    if (openmp != nullptr) setenv("OMP_NUM_THREADS", openmp, 1);
    return fastnn::read_thread_settings();
}

}  // namespace

TEST_CASE(threads_come_from_the_environment) {
    const int cpus = fastnn::available_cpus();
    CHECK(cpus >= 1);
    CHECK_EQUAL(settings_with(nullptr, nullptr).threads, cpus);
    CHECK_EQUAL(settings_with("", "").threads, cpus);
    CHECK_EQUAL(settings_with("37", nullptr).threads, 37);  // more than there are cores
    CHECK_EQUAL(settings_with(" 3 ", "5").threads, 3);
    CHECK_EQUAL(settings_with(nullptr, "5").threads, 5);
    CHECK_EQUAL(settings_with(nullptr, "5,2,1").threads, 5);
    CHECK_EQUAL(settings_with("", "6").threads, 6);
    CHECK(settings_with("37", "5").problem[0] == '\0');
    CHECK_EQUAL(settings_with("37", "5").cpus, cpus);
}

TEST_CASE(malformed_variables_are_ignored_and_named) {
    for (const char* text :
         {"two", "0", "-1", "2.5", "4 threads", "2,3", "1025", "99999999999999999999", " "}) {
        const fastnn::ThreadSettings own = settings_with(text, "3");
        CHECK_EQUAL(own.threads, 3);
        CHECK(std::strstr(own.problem, "FASTNN_NUM_THREADS") != nullptr);
        CHECK(std::strstr(own.problem, text) != nullptr);
    }
    const fastnn::ThreadSettings openmp = settings_with(nullptr, "many");
    CHECK_EQUAL(openmp.threads, openmp.cpus);
    CHECK(std::strstr(openmp.problem, "OMP_NUM_THREADS") != nullptr);
    const fastnn::ThreadSettings cut = settings_with(std::string(500, 'x').c_str(), nullptr);
    CHECK(std::strstr(cut.problem, "ignored") != nullptr);
}

TEST_CASE(the_pool_tells_of_a_malformed_variable) {
    setenv("FASTNN_NUM_THREADS", "lots", 1);
    setenv("OMP_NUM_THREADS", "2", 1);
    CHECK_EQUAL(fastnn::pool_threads(), 2);
    CHECK(std::strstr(fastnn::pool_config_problem(), "lots") != nullptr);
}

TEST_CASE(a_valid_environment_gives_no_problem) {
    setenv("FASTNN_NUM_THREADS", "5", 1);
    CHECK_EQUAL(fastnn::pool_threads(), 5);
    CHECK(std::strcmp(fastnn::pool_config_problem(), "") == 0);
}

TEST_CASE(the_affinity_mask_counts) {
    cpu_set_t mask;
    CHECK(sched_getaffinity(0, sizeof mask, &mask) == 0);
    int cpu = 0;
    while (!CPU_ISSET(cpu, &mask)) ++cpu;
    CPU_ZERO(&mask);
    CPU_SET(cpu, &mask);
    CHECK(sched_setaffinity(0, sizeof mask, &mask) == 0);
    CHECK_EQUAL(fastnn::available_cpus(), 1);
}

TEST_CASE(debug_words_are_whole_members_of_the_list) {
    setenv("FASTNN_DEBUG", "a,poison", 1);
    CHECK(fastnn::env_list_has("FASTNN_DEBUG", "poison"));
    CHECK(fastnn::env_list_has("FASTNN_DEBUG", "a"));
    CHECK(!fastnn::env_list_has("FASTNN_DEBUG", "poi"));
    setenv("FASTNN_DEBUG", "nopoison", 1);
    CHECK(!fastnn::env_list_has("FASTNN_DEBUG", "poison"));
    unsetenv("FASTNN_DEBUG");
    CHECK(!fastnn::env_list_has("FASTNN_DEBUG", "poison"));
}

TEST_CASE(no_control_group_is_no_limit) {
    const Tree tree;
    CHECK(std::isinf(tree.cpus()));
    CHECK(tree.memory() == UINT64_MAX);
    tree.write("/proc", "garbage\n:\n0::/somewhere\n");
    CHECK(std::isinf(tree.cpus()));
}

TEST_CASE(version_2_takes_the_least_limit_on_the_way_up) {
    const Tree tree;
    tree.write("/proc", "0::/a/b\n");
    tree.write("/fs/cpu.max", "max 100000\n");
    tree.write("/fs/a/cpu.max", "150000 100000\n");
    tree.write("/fs/a/b/cpu.max", "400000 100000\n");
    tree.write("/fs/a/memory.max", "max\n");
    tree.write("/fs/a/b/memory.max", "1073741824\n");
    CHECK(std::fabs(tree.cpus() - 1.5) < 1e-12);
    CHECK(tree.memory() == std::uint64_t{1} << 30);
}

TEST_CASE(version_2_inside_a_container_sees_the_mount_point) {
    const Tree tree;
    tree.write("/proc", "0::/system.slice/docker-1.scope\n");
    tree.write("/fs/cpu.max", "50000 100000\n");
    CHECK(std::fabs(tree.cpus() - 0.5) < 1e-12);
}

TEST_CASE(version_1_reads_quota_and_period) {
    const Tree tree;
    tree.write("/proc", "5:memory:/jobs\n4:cpu,cpuacct:/jobs\n3:cpuset:/\n");
    tree.write("/fs/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    tree.write("/fs/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    tree.write("/fs/cpu,cpuacct/jobs/cpu.cfs_quota_us", "250000\n");
    tree.write("/fs/cpu,cpuacct/jobs/cpu.cfs_period_us", "100000\n");
    tree.write("/fs/cpuset/cpu.cfs_quota_us", "1\n");  // not the CPU controller
    tree.write("/fs/cpuset/cpu.cfs_period_us", "100000\n");
    tree.write("/fs/memory/jobs/memory.limit_in_bytes", "4096000\n");
    CHECK(std::fabs(tree.cpus() - 2.5) < 1e-12);
    CHECK(tree.memory() == 4096000);
}

TEST_CASE(mixed_versions_are_both_read) {
    const Tree tree;
    tree.write("/proc", "2:cpu:/x\n0::/y\n");
    tree.write("/fs/cpu/x/cpu.cfs_quota_us", "300000\n");
    tree.write("/fs/cpu/x/cpu.cfs_period_us", "100000\n");
    tree.write("/fs/unified/y/cpu.max", "200000 100000\n");
    CHECK(std::fabs(tree.cpus() - 2.0) < 1e-12);
}
