// SPDX-License-Identifier: Apache-2.0
// Results of kernel benchmarks as tables: operations and bytes a second, and the share of what this
// machine's probes (cost/probes.h, one thread, the same instruction-set level) allow. One thread.
#pragma once

#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "cost/probes.h"

namespace paring::bench {

// A benchmark's name is kernel/level/type/shape[/rows].
struct KernelFigure {
  std::string kernel;
  std::string level;
  std::string type;
  std::string shape;
  std::string rows;  // of activations; "" where the shape says all
  double gops = 0;
  double gigabytes = 0;  // a second
  // Shares of the probes' peak and bandwidth; the larger one is that of the roofline's limit. 0:
  // the level has no probe.
  double of_peak = 0;
  double of_bandwidth = 0;
};

// Also prints every result, as the console reporter does.
class KernelTableReporter : public benchmark::ConsoleReporter {
 public:
  KernelTableReporter() : ConsoleReporter(OO_None) {}
  void ReportRuns(const std::vector<Run>& runs) override;
  // To each path that is not empty. False, with a message, when one cannot be written.
  bool write(const std::string& markdown_path, const std::string& json_path) const;

 private:
  const cost::Probes* probes(const std::string& level);

  std::vector<KernelFigure> figures_;
  std::vector<cost::Probes> probes_;
};

}  // namespace paring::bench
