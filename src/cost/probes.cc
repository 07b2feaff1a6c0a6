// SPDX-License-Identifier: Apache-2.0
#include "cost/probes.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <vector>

#include "base/aligned.h"
#include "base/check.h"
#include "base/process.h"
#include "cost/machine.h"
#include "cost/probe_tables.h"
#include "kernels/ops.h"

namespace paring::cost {
namespace {

constexpr std::size_t kGrainBytes = 4096;  // workers' parts begin at pages
constexpr std::size_t kBufferBytesMin = std::size_t{128} << 20;
constexpr std::size_t kBufferBytesMax = std::size_t{1} << 30;
constexpr std::size_t kRunsMin = 5;
constexpr std::size_t kRunsMax = 200;
constexpr std::size_t kBusyRounds = 3;

// `base` with what `own` has in its place, under the name of `isa`.
[[maybe_unused]] ProbeTable extended(const char* isa, const ProbeTable& base,
                                     const ProbeTable& own) {
  ProbeTable table = base;
  table.isa = isa;
  if (own.multiply_int8 != nullptr) {
    table.multiply_int8 = own.multiply_int8;
    table.multiply_int8_operations = own.multiply_int8_operations;
  }
  if (own.multiply_bf16 != nullptr) {
    table.multiply_bf16 = own.multiply_bf16;
    table.multiply_bf16_operations = own.multiply_bf16_operations;
  }
  return table;
}

}  // namespace

std::span<const ProbeTable> probe_tables() noexcept {
#if defined(__x86_64__)
  static const ProbeTable avx512 = extended("avx512", kAvx512Probes, kAvx512bf16Probes);
#endif
  static const ProbeTable all[] = {
#if defined(__x86_64__)
      extended("amx", avx512, kAmxProbes),
      avx512,
      kAvx2Probes,
#elif defined(__aarch64__)
      kNeonProbes,
#endif
      kReferenceProbes,
  };
  return all;
}

bool runs_bf16(const ProbeTable& table) noexcept {
  if (table.multiply_bf16 == nullptr) return false;
  for (const kernels::IsaLevel& level : kernels::isa_levels()) {
    if (std::string_view(level.name) == table.isa) return level.missing_for_bf16() == nullptr;
  }
  return false;
}

namespace {

Result<const ProbeTable*> find_table(const std::string& wanted) {
  const std::string isa = wanted.empty() ? kernels::kernels().isa : wanted;
  if (kernels::find_kernels(isa.c_str()) == nullptr) {
    return unsupported(fmt::format("this CPU cannot run the instruction-set level '{}'", isa),
                       "`paring info` lists the levels that it can run");
  }
  const auto tables = probe_tables();
  const auto found = std::find_if(tables.begin(), tables.end(),
                                  [&](const ProbeTable& table) { return isa == table.isa; });
  PARING_CHECK(found != tables.end(), "every level of the kernels has probes");
  return &*found;
}

std::size_t default_buffer_bytes() {
  std::size_t bytes = std::max(kBufferBytesMin, 4 * read_machine().l3_bytes);
  bytes = std::min(bytes, kBufferBytesMax);
  if (const auto available = available_memory()) {
    bytes = std::min(bytes, static_cast<std::size_t>(*available / 4));
  }
  return bytes;
}

// A worker's own figure, on a cache line of its own.
struct alignas(64) Share {
  double value = 0;  // processor seconds
};

struct Timing {
  double seconds = 0;
  double own_share = 1;  // of the worker that got least of its time
  std::size_t workers = 1;
};

// Seconds from the moment all workers stand ready until the last has done `work`.
Timing time_once(Executor& executor, const std::function<void(Worker&)>& work) {
  double start = 0;
  double end = 0;
  std::vector<Share> shares;
  executor.run([&](Worker& worker) {
    if (worker.is_first()) shares.resize(worker.count());
    worker.barrier();
    if (worker.is_first()) start = system_clock().monotonic_seconds();
    const double cpu = thread_cpu_seconds();
    work(worker);
    shares[worker.index()].value = thread_cpu_seconds() - cpu;
    worker.barrier();
    if (worker.is_first()) end = system_clock().monotonic_seconds();
  });
  Timing timing{std::max(end - start, 1e-9), 1, shares.size()};
  // Of the time of all: a worker that had to wait for a processor before it could begin counts,
  // too. The parts are equal, so on a quiet machine nobody waits for another.
  for (const Share& share : shares) {
    timing.own_share = std::min(timing.own_share, share.value / timing.seconds);
  }
  return timing;
}

// The shortest run among those that `seconds` have room for, after one to warm up; when that one
// had to share the processors, up to kBusyRounds times as many.
Timing time_best(Executor& executor, double seconds, const std::function<void(Worker&)>& work) {
  time_once(executor, work);
  Timing best = time_once(executor, work);
  for (std::size_t round = 0; round == 0 || (round <= kBusyRounds && best.own_share < kQuietShare);
       ++round) {
    double left = seconds;
    for (std::size_t run = 1; run < kRunsMin || (left > 0 && run < kRunsMax); ++run) {
      const Timing timing = time_once(executor, work);
      if (timing.seconds < best.seconds) best = timing;
      left -= timing.seconds;
    }
  }
  return best;
}

// A worker's own result, so that no call can be left out; on a cache line of its own.
struct alignas(64) Sink {
  std::uint64_t value = 0;
};

double measure_read(Executor& executor, const ProbeTable& table, AlignedBuffer& buffer,
                    double seconds, double& own_share) {
  std::vector<Sink> sinks(executor.threads());
  const auto part_of = [&](Worker& worker) { return worker.split(buffer.bytes(), kGrainBytes); };
  executor.run([&](Worker& worker) {  // first touch by the reader: its own NUMA node
    const Range part = part_of(worker);
    std::memset(buffer.data() + part.begin, 0x5a, part.size());
  });
  const Timing best = time_best(executor, seconds, [&](Worker& worker) {
    const Range part = part_of(worker);
    sinks[worker.index()].value ^= table.read(buffer.data() + part.begin, part.size());
  });
  // Every part is a multiple of two equal words, so the xor of all words is 0.
  for (const Sink& sink : sinks) PARING_CHECK(sink.value == 0, "the read probe lost bytes");
  own_share = std::min(own_share, best.own_share);
  return static_cast<double>(buffer.bytes()) / best.seconds;
}

// Operations a second of all workers together; `rounds` is raised until a run is long enough to
// time.
double measure_rate(Executor& executor, double operations_per_round, double seconds,
                    const std::function<void(std::uint64_t rounds, Sink& sink)>& work,
                    double& own_share) {
  constexpr double kRunSeconds = 0.003;  // short enough to fall between interruptions
  std::vector<Sink> sinks(executor.threads());
  std::uint64_t rounds = 1000;
  const auto job = [&](Worker& worker) { work(rounds, sinks[worker.index()]); };
  while (time_once(executor, job).seconds < kRunSeconds) rounds *= 2;
  const Timing best = time_best(executor, seconds, job);
  own_share = std::min(own_share, best.own_share);
  return operations_per_round * static_cast<double>(rounds) * static_cast<double>(best.workers) /
         best.seconds;
}

}  // namespace

std::string busy_note(double own_share) {
  if (own_share >= kQuietShare) return {};
  return fmt::format("measured on a busy machine: {:.0f} % of the time was ours", 100 * own_share);
}

Result<Probes> measure_probes(Executor& executor, const ProbeOptions& options) {
  PARING_TRY(const ProbeTable* const table, find_table(options.isa));
  const std::size_t wanted =
      options.buffer_bytes != 0 ? options.buffer_bytes : default_buffer_bytes();
  const std::size_t bytes = std::max(wanted / kGrainBytes, std::size_t{1}) * kGrainBytes;
  PARING_TRY(AlignedBuffer buffer, AlignedBuffer::create(bytes));

  Probes probes;
  probes.isa = table->isa;
  executor.run([&](Worker& worker) {  // under a quota fewer than the executor has threads
    if (worker.is_first()) probes.threads = worker.count();
  });
  probes.read_bytes_per_second =
      measure_read(executor, *table, buffer, options.seconds, probes.own_share);
  probes.f32_operations_per_second = measure_rate(
      executor, table->multiply_f32_operations, options.seconds,
      [table](std::uint64_t rounds, Sink& sink) {
        sink.value += static_cast<std::uint64_t>(table->multiply_f32(rounds));
      },
      probes.own_share);
  probes.int8_operations_per_second = measure_rate(
      executor, table->multiply_int8_operations, options.seconds,
      [table](std::uint64_t rounds, Sink& sink) {
        sink.value += static_cast<std::uint32_t>(table->multiply_int8(rounds));
      },
      probes.own_share);
  if (runs_bf16(*table)) {
    probes.bf16_operations_per_second = measure_rate(
        executor, table->multiply_bf16_operations, options.seconds,
        [table](std::uint64_t rounds, Sink& sink) {
          sink.value += static_cast<std::uint64_t>(table->multiply_bf16(rounds));
        },
        probes.own_share);
  }
  return probes;
}

}  // namespace paring::cost
