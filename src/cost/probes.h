// SPDX-License-Identifier: Apache-2.0
// What this machine can do at most, measured: how fast its threads together read memory, and how
// fast they multiply in the instruction set that the kernels use. Every speed figure is printed
// beside the limit that these numbers give (cost/roofline.h). The best of many short runs, as
// STREAM does it: other load on the machine can only make a run slower. When that load did not even
// leave one run alone, more are made, and what remains is told (own_share). About half a second,
// two on a busy machine.
#pragma once

#include <cstddef>
#include <string>

#include "base/clock.h"
#include "base/executor.h"
#include "base/result.h"

namespace paring::cost {

struct Probes {
  std::string isa;          // "avx512", "avx2", "reference"
  std::size_t threads = 0;  // that worked
  double read_bytes_per_second = 0;
  double f32_operations_per_second = 0;   // 2 a multiply-add
  double int8_operations_per_second = 0;  // 2 a multiply-add
  double bf16_operations_per_second = 0;  // 2 a multiply-add; 0: no products in BF16 here
  // Share of the time of the best runs in which our threads ran; the least of the figures.
  // Below kQuietShare the machine was busy with something else and can do more than this.
  double own_share = 1;
};

// "measured on a busy machine: 62 % of the time was ours"; empty when it was quiet.
std::string busy_note(double own_share);

struct ProbeOptions {
  std::string isa{};             // empty: the level that the kernels use
  std::size_t buffer_bytes = 0;  // 0: four times the last-level cache, at least 128 MiB, at most
                                 // 1 GiB and a quarter of the available memory
  double seconds = 0.15;         // time for each figure
};

// Exhausted when there is no memory for the buffer, Unsupported for a level this CPU lacks.
Result<Probes> measure_probes(Executor& executor, const ProbeOptions& options = {});

}  // namespace paring::cost
