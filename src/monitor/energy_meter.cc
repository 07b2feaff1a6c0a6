// SPDX-License-Identifier: Apache-2.0
#include "monitor/energy_meter.h"

#include <unistd.h>

#include <chrono>
#include <cmath>
#include <sstream>
#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "base/metrics.h"

namespace paring::monitor {

namespace {

// A counter in whole joules, of an amount that grows.
void raise(Counter& counter, double joules) {
  const auto whole = static_cast<std::uint64_t>(std::max(joules, 0.0));
  if (whole > counter.value()) counter.add(whole - counter.value());
}

}  // namespace

WattsModel WattsModel::of_machine(const cost::Machine& machine) noexcept {
  constexpr double kIdleCpu = 0.74;
  constexpr double kFullCpu = 3.5;
  constexpr double kGigabyte = 0.392;
  constexpr double kBytesPerGigabyte = 1e9;
  const auto cpus = static_cast<double>(machine.logical_cpus);
  const double gigabytes = static_cast<double>(machine.memory_bytes) / kBytesPerGigabyte;
  return {.idle = kIdleCpu * cpus + kGigabyte * gigabytes, .busy_cpu = kFullCpu - kIdleCpu};
}

EnergyMeter::EnergyMeter(const Options& options, const Clock& clock)
    : options_(options), clock_(clock) {
  auto reader = cost::EnergyReader::create(options_.root);
  if (reader) reader_ = std::make_unique<cost::EnergyReader>(*std::move(reader));
  sampled_at_ = clock_.monotonic_seconds();
  busy_ = options_.busy_seconds();
  cpu_ = host_cpu_seconds();
  if (options_.period_seconds > 0) {
    thread_ = Thread(thread_names::kEnergy, [this] { run(); });
  }
}

EnergyMeter::~EnergyMeter() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  stopping_.notify_all();
  thread_.join();
}

store::JoulesKind EnergyMeter::kind() const {
  const std::lock_guard lock(mutex_);
  return reader_ != nullptr && are_gpus_measured_ ? store::JoulesKind::kMeasured
                                                  : store::JoulesKind::kEstimated;
}

double EnergyMeter::charge(double work_seconds) {
  // Without the GPUs: their drivers may take milliseconds, and a request waits.
  if (work_seconds > 0 && account_.watts_of_work() == 0) take({});
  return account_.charge(work_seconds);
}

// Of all CPUs; 0 where the system does not tell.
double EnergyMeter::host_cpu_seconds() const {
  const Result<std::string> text = read_small_file(options_.root + "/proc/stat");
  if (!text || !text->starts_with("cpu ")) return 0;
  std::istringstream line(text->substr(0, text->find('\n')));
  std::string name;
  // Time of all kinds but idle and waiting for disks (proc_stat(5)): user, nice, system, irq,
  // softirq; what a hypervisor gave to others was not used here.
  double user = 0, nice = 0, system = 0, idle = 0, disks = 0, irq = 0, softirq = 0;
  line >> name >> user >> nice >> system >> idle >> disks >> irq >> softirq;
  return (user + nice + system + irq + softirq) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

void EnergyMeter::sample() {
  const GpuEnergy gpus = options_.machine == nullptr ? GpuEnergy() : options_.machine->sample();
  take(gpus);
}

void EnergyMeter::take(const GpuEnergy& gpus) {
  const std::lock_guard lock(mutex_);
  const double now = clock_.monotonic_seconds();
  const double wall = now - sampled_at_;
  if (!(wall > 0)) return;
  const double busy = options_.busy_seconds();
  const double cpu = host_cpu_seconds();
  double joules = options_.model.idle * wall + options_.model.busy_cpu * std::max(cpu - cpu_, 0.0);
  if (reader_ != nullptr) {
    if (const Result<double> read = reader_->joules()) {
      joules = *read - joules_;
      joules_ = *read;
    } else {
      log_warning("energy is estimated from now on: " + read.error().text());
      reader_.reset();
    }
  }
  joules += gpus.joules;
  // Once a part was an estimate, the sums are.
  if (!gpus.is_measured) are_gpus_measured_ = false;
  account_.add(joules, busy - busy_, wall);
  sampled_at_ = now;
  busy_ = busy;
  cpu_ = cpu;
  const EnergyTotals totals = account_.totals();
  const bool is_measured = reader_ != nullptr && are_gpus_measured_;
  raise(metrics().energy_requests, totals.requests);
  raise(metrics().energy_idle, totals.idle);
  raise(metrics().energy_background, totals.background);
  metrics().energy_is_measured.set(is_measured ? 1 : 0);
  metrics().energy_watts.set(joules / wall);
}

void EnergyMeter::run() {
  std::unique_lock lock(mutex_);
  const auto period = std::chrono::duration<double>(options_.period_seconds);
  while (!stopping_.wait_for(lock, period, [this] { return is_stopping_; })) {
    lock.unlock();
    sample();
    lock.lock();
  }
}

}  // namespace paring::monitor
