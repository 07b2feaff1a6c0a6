// SPDX-License-Identifier: Apache-2.0
#include "monitor/gpu_sampler.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "base/text.h"

namespace paring::monitor {

namespace {

// More than any machine has: what a broken library says is not believed.
constexpr std::uint32_t kGpusMax = 256;
using Name = std::array<char, 128>;

double share_of(std::uint32_t percent) {
  constexpr std::uint32_t kWhole = 100;
  return static_cast<double>(std::min(percent, kWhole)) / kWhole;
}

std::string text_of(const Name& name) {
  return escape_control(std::string(name.begin(), std::find(name.begin(), name.end(), '\0')));
}

// Never closed: drivers start threads and leave handlers for the end of the program.
void* open_first(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (void* library = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
  }
  return nullptr;
}

// Whether the library has it.
template <typename Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

// NVIDIA Management Library, API of 11.0 (2020) and later; its functions return 0 when all is well.
struct Nvml {
  using Device = void*;
  struct Use {
    unsigned gpu;
    unsigned memory;
  };
  struct Memory {
    unsigned long long total;
    unsigned long long free;
    unsigned long long used;
  };
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  int (*count)(unsigned*) = nullptr;
  int (*device)(unsigned, Device*) = nullptr;
  int (*name)(Device, char*, unsigned) = nullptr;
  int (*use)(Device, Use*) = nullptr;
  int (*memory)(Device, Memory*) = nullptr;
  int (*power)(Device, unsigned*) = nullptr;             // mW
  int (*energy)(Device, unsigned long long*) = nullptr;  // mJ

  bool load(void* library) {
    find(library, "nvmlDeviceGetName", name);
    find(library, "nvmlDeviceGetUtilizationRates", use);
    find(library, "nvmlDeviceGetMemoryInfo", memory);
    find(library, "nvmlDeviceGetPowerUsage", power);
    find(library, "nvmlDeviceGetTotalEnergyConsumption", energy);
    return find(library, "nvmlInit_v2", init) && find(library, "nvmlShutdown", shutdown) &&
           find(library, "nvmlDeviceGetCount_v2", count) &&
           find(library, "nvmlDeviceGetHandleByIndex_v2", device) && init() == 0;
  }
};

class NvmlLibrary final : public GpuLibrary {
 public:
  explicit NvmlLibrary(const Nvml& api) : api_(api) {}
  ~NvmlLibrary() override { api_.shutdown(); }
  NvmlLibrary(const NvmlLibrary&) = delete;
  NvmlLibrary& operator=(const NvmlLibrary&) = delete;

  std::vector<GpuSample> sample() const override {
    std::vector<GpuSample> samples;
    unsigned count = 0;
    if (api_.count(&count) != 0) return samples;
    for (unsigned i = 0; i < std::min(count, kGpusMax); ++i) {
      Nvml::Device device = nullptr;
      if (api_.device(i, &device) != 0) continue;  // fell off the bus, or not ours to see
      samples.push_back(sample_of(i, device));
    }
    return samples;
  }

 private:
  GpuSample sample_of(unsigned index, Nvml::Device device) const {
    constexpr double kMilli = 1e-3;
    GpuSample sample;
    sample.vendor = "nvidia";
    sample.index = static_cast<int>(index);
    Name name{};
    if (api_.name != nullptr && api_.name(device, name.data(), name.size()) == 0) {
      sample.name = text_of(name);
    }
    Nvml::Use use{};
    if (api_.use != nullptr && api_.use(device, &use) == 0) sample.busy = share_of(use.gpu);
    Nvml::Memory memory{};
    if (api_.memory != nullptr && api_.memory(device, &memory) == 0) {
      sample.memory_used_bytes = memory.used;
      sample.memory_total_bytes = memory.total;
    }
    unsigned milliwatts = 0;
    if (api_.power != nullptr && api_.power(device, &milliwatts) == 0) {
      sample.watts = milliwatts * kMilli;
    }
    unsigned long long millijoules = 0;
    if (api_.energy != nullptr && api_.energy(device, &millijoules) == 0) {
      sample.joules = static_cast<double>(millijoules) * kMilli;
    }
    return sample;
  }

  const Nvml api_;
};

// ROCm System Management Interface; its functions return 0 when all is well.
struct RocmSmi {
  static constexpr int kVideoMemory = 0;  // RSMI_MEM_TYPE_VRAM
  int (*init)(std::uint64_t) = nullptr;
  int (*shutdown)() = nullptr;
  int (*count)(std::uint32_t*) = nullptr;
  int (*name)(std::uint32_t, char*, std::size_t) = nullptr;
  int (*use)(std::uint32_t, std::uint32_t*) = nullptr;  // %
  int (*memory_used)(std::uint32_t, int, std::uint64_t*) = nullptr;
  int (*memory_total)(std::uint32_t, int, std::uint64_t*) = nullptr;
  // uW; the average, of GPUs that have one, and since ROCm 6 whatever there is, with its kind.
  int (*average_power)(std::uint32_t, std::uint32_t, std::uint64_t*) = nullptr;
  int (*power)(std::uint32_t, std::uint64_t*, int*) = nullptr;
  // A count, the microjoules of one, and when.
  int (*energy)(std::uint32_t, std::uint64_t*, float*, std::uint64_t*) = nullptr;

  bool load(void* library) {
    find(library, "rsmi_dev_name_get", name);
    find(library, "rsmi_dev_busy_percent_get", use);
    find(library, "rsmi_dev_memory_usage_get", memory_used);
    find(library, "rsmi_dev_memory_total_get", memory_total);
    find(library, "rsmi_dev_power_ave_get", average_power);
    find(library, "rsmi_dev_power_get", power);
    find(library, "rsmi_dev_energy_count_get", energy);
    return find(library, "rsmi_init", init) && find(library, "rsmi_shut_down", shutdown) &&
           find(library, "rsmi_num_monitor_devices", count) && init(0) == 0;
  }
};

class RocmLibrary final : public GpuLibrary {
 public:
  explicit RocmLibrary(const RocmSmi& api) : api_(api) {}
  ~RocmLibrary() override { api_.shutdown(); }
  RocmLibrary(const RocmLibrary&) = delete;
  RocmLibrary& operator=(const RocmLibrary&) = delete;

  std::vector<GpuSample> sample() const override {
    std::vector<GpuSample> samples;
    std::uint32_t count = 0;
    if (api_.count(&count) != 0) return samples;
    for (std::uint32_t i = 0; i < std::min(count, kGpusMax); ++i) samples.push_back(sample_of(i));
    return samples;
  }

 private:
  GpuSample sample_of(std::uint32_t index) const {
    GpuSample sample;
    sample.vendor = "amd";
    sample.index = static_cast<int>(index);
    Name name{};
    if (api_.name != nullptr && api_.name(index, name.data(), name.size()) == 0) {
      sample.name = text_of(name);
    }
    std::uint32_t percent = 0;
    if (api_.use != nullptr && api_.use(index, &percent) == 0) sample.busy = share_of(percent);
    sample.memory_used_bytes = memory(api_.memory_used, index);
    sample.memory_total_bytes = memory(api_.memory_total, index);
    sample.watts = watts(index);
    std::uint64_t counts = 0;
    float microjoules = 0;
    std::uint64_t when = 0;
    if (api_.energy != nullptr && api_.energy(index, &counts, &microjoules, &when) == 0) {
      sample.joules = static_cast<double>(counts) * static_cast<double>(microjoules) * kMicro;
    }
    return sample;
  }

  static std::optional<std::uint64_t> memory(int (*read)(std::uint32_t, int, std::uint64_t*),
                                             std::uint32_t index) {
    std::uint64_t bytes = 0;
    if (read == nullptr || read(index, RocmSmi::kVideoMemory, &bytes) != 0) return std::nullopt;
    return bytes;
  }

  std::optional<double> watts(std::uint32_t index) const {
    std::uint64_t microwatts = 0;
    int kind = 0;
    const bool is_known =
        (api_.power != nullptr && api_.power(index, &microwatts, &kind) == 0) ||
        (api_.average_power != nullptr && api_.average_power(index, 0, &microwatts) == 0);
    if (!is_known) return std::nullopt;
    return static_cast<double>(microwatts) * kMicro;
  }

  static constexpr double kMicro = 1e-6;
  const RocmSmi api_;
};

// Adds the library if it is there, whole, and finds its driver.
template <typename Library, typename Api>
void add(const std::vector<std::string>& names,
         std::vector<std::unique_ptr<GpuLibrary>>& libraries) {
  void* opened = open_first(names);
  Api api;
  if (opened != nullptr && api.load(opened)) libraries.push_back(std::make_unique<Library>(api));
}

}  // namespace

GpuSampler::GpuSampler() : GpuSampler(Options{}) {}

GpuSampler::GpuSampler(const Options& options) {
  add<NvmlLibrary, Nvml>(options.nvml, libraries_);
  add<RocmLibrary, RocmSmi>(options.rocm_smi, libraries_);
}

std::vector<GpuSample> GpuSampler::sample() const {
  const std::lock_guard lock(mutex_);
  std::vector<GpuSample> samples;
  for (const auto& library : libraries_) {
    for (GpuSample& each : library->sample()) samples.push_back(std::move(each));
  }
  return samples;
}

}  // namespace paring::monitor
