// SPDX-License-Identifier: Apache-2.0
#include "monitor/gpu_sampler.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <string>

namespace paring::monitor {
namespace {

const std::string kLibrary = PARING_FAKE_GPUS;

// The stand-in, as it was before after each test.
class Gpus : public testing::Test {
 protected:
  void SetUp() override {
    library_ = ::dlopen(kLibrary.c_str(), RTLD_NOW | RTLD_LOCAL);
    ASSERT_NE(library_, nullptr) << ::dlerror();
    set(0, 0);
  }
  void TearDown() override {
    if (library_ != nullptr) set(0, 0);
  }
  void set(int error, int is_lost) const {
    reinterpret_cast<void (*)(int, int)>(::dlsym(library_, "fake_gpus_set"))(error, is_lost);
  }
  int open() const { return reinterpret_cast<int (*)()>(::dlsym(library_, "fake_gpus_open"))(); }

 private:
  void* library_ = nullptr;
};

TEST_F(Gpus, NvmlTellsAllFigures) {
  const GpuSampler sampler({.nvml = {kLibrary}, .rocm_smi = {}});
  const auto gpus = sampler.sample();
  ASSERT_EQ(gpus.size(), 2U);
  EXPECT_EQ(gpus[0].vendor, "nvidia");
  EXPECT_EQ(gpus[0].index, 0);
  EXPECT_EQ(gpus[0].name, "Card N");
  EXPECT_DOUBLE_EQ(gpus[0].busy.value(), 0.37);
  EXPECT_EQ(gpus[0].memory_used_bytes, 6'000U);
  EXPECT_EQ(gpus[0].memory_total_bytes, 24'000U);
  EXPECT_DOUBLE_EQ(gpus[0].watts.value(), 71.5);
  EXPECT_DOUBLE_EQ(gpus[0].joules.value(), 123'456.789);
}

TEST_F(Gpus, WhatADriverDoesNotTellIsAbsent) {
  const GpuSampler sampler({.nvml = {kLibrary}, .rocm_smi = {}});
  const auto gpus = sampler.sample();
  ASSERT_EQ(gpus.size(), 2U);
  EXPECT_EQ(gpus[1].index, 1);
  EXPECT_EQ(gpus[1].name.find('\x1b'), std::string::npos) << "names reach terminals";
  EXPECT_EQ(gpus[1].memory_used_bytes, 1'000U);
  EXPECT_FALSE(gpus[1].busy || gpus[1].watts || gpus[1].joules);
}

TEST_F(Gpus, RocmSmiTellsAllFigures) {
  const GpuSampler sampler({.nvml = {}, .rocm_smi = {kLibrary}});
  const auto gpus = sampler.sample();
  ASSERT_EQ(gpus.size(), 2U);
  EXPECT_EQ(gpus[0].vendor, "amd");
  EXPECT_EQ(gpus[0].name, "Card A");
  EXPECT_DOUBLE_EQ(gpus[0].busy.value(), 1) << "140 % is all of it";
  EXPECT_EQ(gpus[0].memory_used_bytes, 5'000U);
  EXPECT_EQ(gpus[0].memory_total_bytes, 16'000U);
  EXPECT_DOUBLE_EQ(gpus[0].watts.value(), 45.25);
  EXPECT_DOUBLE_EQ(gpus[0].joules.value(), 30.5);
  EXPECT_FALSE(gpus[1].busy || gpus[1].joules);
  EXPECT_DOUBLE_EQ(gpus[1].watts.value(), 30);
}

TEST_F(Gpus, BothVendorsTogetherAndLibrariesAreClosed) {
  const int before = open();
  {
    const GpuSampler sampler({.nvml = {"libnot-there.so", kLibrary}, .rocm_smi = {kLibrary}});
    EXPECT_EQ(open(), before + 2);
    const auto gpus = sampler.sample();
    ASSERT_EQ(gpus.size(), 4U);
    EXPECT_EQ(gpus[1].vendor, "nvidia");
    EXPECT_EQ(gpus[2].vendor, "amd");
  }
  EXPECT_EQ(open(), before);
}

TEST_F(Gpus, LostGpuIsLeftOutAndOthersStay) {
  const GpuSampler sampler({.nvml = {kLibrary}, .rocm_smi = {}});
  set(0, 1);
  const auto gpus = sampler.sample();
  ASSERT_EQ(gpus.size(), 1U);
  EXPECT_EQ(gpus[0].index, 0);
  set(0, 0);
  EXPECT_EQ(sampler.sample().size(), 2U);
}

TEST_F(Gpus, LibraryWithoutDriverIsNoGpu) {
  set(9, 0);
  const int before = open();
  {
    const GpuSampler sampler({.nvml = {kLibrary}, .rocm_smi = {kLibrary}});
    EXPECT_TRUE(sampler.sample().empty());
  }
  EXPECT_EQ(open(), before) << "what did not start is not stopped";
}

TEST_F(Gpus, DriverThatGoesAwayIsNoGpu) {
  const GpuSampler sampler({.nvml = {kLibrary}, .rocm_smi = {kLibrary}});
  set(9, 0);
  EXPECT_TRUE(sampler.sample().empty());
}

TEST(GpuSampler, NoLibraryIsNoGpu) {
  const GpuSampler sampler({.nvml = {"libnot-there.so"}, .rocm_smi = {}});
  EXPECT_TRUE(sampler.sample().empty());
}

TEST(GpuSampler, LibraryWithoutTheNamesIsNoGpu) {
  const GpuSampler sampler({.nvml = {"libc.so.6"}, .rocm_smi = {"libc.so.6"}});
  EXPECT_TRUE(sampler.sample().empty());
}

}  // namespace
}  // namespace paring::monitor
