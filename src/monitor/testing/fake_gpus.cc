// SPDX-License-Identifier: Apache-2.0
// A library that stands in for NVML and ROCm SMI in tests: the same names, two GPUs of each vendor.
// The second one is old and tells its name and memory only. Not thread-safe.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#define PARING_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

constexpr int kNotSupported = 3;
int driver_error = 0;
int open_count = 0;
bool is_second_lost = false;
unsigned long long millijoules_used = 0;
int tokens[2];  // their addresses are the devices

int write_name(std::string_view name, char* text, std::size_t size) {
  const std::size_t length = std::min(name.size(), size - 1);
  std::memcpy(text, name.data(), length);
  text[length] = '\0';
  return 0;
}

bool is_old(const void* device) { return device == &tokens[1]; }

int start() {
  if (driver_error == 0) ++open_count;
  return driver_error;
}
int stop() {
  --open_count;
  return 0;
}

}  // namespace

// What tests set and ask.
PARING_EXPORT void fake_gpus_set(int error, int is_lost) {
  driver_error = error;
  is_second_lost = is_lost != 0;
  millijoules_used = 0;
}
PARING_EXPORT void fake_gpus_use(unsigned long long millijoules) {
  millijoules_used += millijoules;
}
PARING_EXPORT int fake_gpus_open() { return open_count; }

PARING_EXPORT int nvmlInit_v2() { return start(); }
PARING_EXPORT int nvmlShutdown() { return stop(); }
PARING_EXPORT int nvmlDeviceGetCount_v2(unsigned* count) {
  *count = 2;
  return driver_error;
}
PARING_EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
  if (index == 1 && is_second_lost) return 15;  // NVML_ERROR_GPU_IS_LOST
  *device = &tokens[index];
  return 0;
}
PARING_EXPORT int nvmlDeviceGetName(void* device, char* text, unsigned size) {
  return write_name(is_old(device) ? "Old \x1b[31mcard" : "Card N", text, size);
}
PARING_EXPORT int nvmlDeviceGetUtilizationRates(void* device, unsigned* rates) {
  rates[0] = 37;
  rates[1] = 11;
  return is_old(device) ? kNotSupported : 0;
}
PARING_EXPORT int nvmlDeviceGetMemoryInfo(void* device, unsigned long long* memory) {
  memory[0] = 24'000;
  memory[1] = 18'000;
  memory[2] = is_old(device) ? 1'000 : 6'000;
  return 0;
}
PARING_EXPORT int nvmlDeviceGetPowerUsage(void* device, unsigned* milliwatts) {
  *milliwatts = 71'500;
  return is_old(device) ? kNotSupported : 0;
}
PARING_EXPORT int nvmlDeviceGetTotalEnergyConsumption(void* device,
                                                      unsigned long long* millijoules) {
  *millijoules = 123'456'789 + millijoules_used;
  return is_old(device) ? kNotSupported : 0;
}

PARING_EXPORT int rsmi_init(std::uint64_t) { return start(); }
PARING_EXPORT int rsmi_shut_down() { return stop(); }
PARING_EXPORT int rsmi_num_monitor_devices(std::uint32_t* count) {
  *count = 2;
  return driver_error;
}
PARING_EXPORT int rsmi_dev_name_get(std::uint32_t, char* text, std::size_t size) {
  return write_name("Card A", text, size);
}
PARING_EXPORT int rsmi_dev_busy_percent_get(std::uint32_t index, std::uint32_t* percent) {
  *percent = 140;  // drivers have said so
  return index == 1 ? kNotSupported : 0;
}
PARING_EXPORT int rsmi_dev_memory_usage_get(std::uint32_t, int type, std::uint64_t* bytes) {
  *bytes = type == 0 ? 5'000 : 1;
  return 0;
}
PARING_EXPORT int rsmi_dev_memory_total_get(std::uint32_t, int type, std::uint64_t* bytes) {
  *bytes = type == 0 ? 16'000 : 2;
  return 0;
}
PARING_EXPORT int rsmi_dev_power_ave_get(std::uint32_t index, std::uint32_t,
                                         std::uint64_t* microwatts) {
  *microwatts = 45'250'000;
  return index == 1 ? kNotSupported : 0;
}
PARING_EXPORT int rsmi_dev_power_get(std::uint32_t index, std::uint64_t* microwatts, int* kind) {
  *microwatts = 0;
  *kind = 0;
  if (index == 0) return kNotSupported;  // the first one has the average only
  *microwatts = 30'000'000;
  return 0;
}
PARING_EXPORT int rsmi_dev_energy_count_get(std::uint32_t index, std::uint64_t* counts,
                                            float* microjoules, std::uint64_t* when) {
  *counts = 2'000'000;
  *microjoules = 15.25F;
  *when = 1;
  return index == 1 ? kNotSupported : 0;
}
