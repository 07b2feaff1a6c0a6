// SPDX-License-Identifier: Apache-2.0
// What the GPUs of this machine do, told by the libraries of their drivers: NVML (NVIDIA) and ROCm
// SMI (AMD). They are looked for at run time; without them there are no GPUs, which is no error.
// Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace paring::monitor {

// Absent: the driver does not tell.
struct GpuSample {
  std::string vendor;          // "nvidia", "amd"
  int index = 0;               // among the vendor's
  std::string name;            // "" when the driver does not tell
  std::optional<double> busy;  // share of the driver's last period in which it computed, 0..1
  std::optional<std::uint64_t> memory_used_bytes;
  std::optional<std::uint64_t> memory_total_bytes;
  std::optional<double> watts;
  std::optional<double> joules;  // a counter since the driver was loaded
};

// One vendor's library.
class GpuLibrary {
 public:
  virtual ~GpuLibrary() = default;
  virtual std::vector<GpuSample> sample() const = 0;
};

class GpuSampler {
 public:
  struct Options {
    // Tried in their order; empty: this vendor is not looked for.
    std::vector<std::string> nvml{"libnvidia-ml.so.1"};
    std::vector<std::string> rocm_smi{"librocm_smi64.so.7", "librocm_smi64.so.6",
                                      "librocm_smi64.so.5", "librocm_smi64.so.1",
                                      "/opt/rocm/lib/librocm_smi64.so"};
  };
  GpuSampler();
  explicit GpuSampler(const Options& options);

  // Of all GPUs; empty when there is none.
  std::vector<GpuSample> sample() const;

 private:
  mutable std::mutex mutex_;  // one caller at a time: how the libraries do with more differs
  std::vector<std::unique_ptr<GpuLibrary>> libraries_;
};

}  // namespace paring::monitor
