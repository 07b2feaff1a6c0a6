// SPDX-License-Identifier: Apache-2.0
#include "serve/sample_list.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace paring::serve {

namespace {

constexpr SampleFamily kFamilies[] = {
#define PARING_SAMPLE(identifier, name, kind, of, help) samples::k##identifier,
#include "serve/samples.def"
#undef PARING_SAMPLE
};

class Adder {
 public:
  Adder(std::vector<MetricSample>& all, SampleLabels labels)
      : all_(all), labels_(std::move(labels)) {}
  template <typename Value>
  void operator()(const SampleFamily& family, const std::optional<Value>& value) {
    if (value) all_.push_back(sample_of(family, labels_, static_cast<double>(*value)));
  }
  // NaN: it was not measured.
  void operator()(const SampleFamily& family, double value) {
    if (!std::isnan(value)) all_.push_back(sample_of(family, labels_, value));
  }

 private:
  std::vector<MetricSample>& all_;
  SampleLabels labels_;
};

}  // namespace

std::span<const SampleFamily> sample_families() noexcept { return kFamilies; }

MetricSample sample_of(const SampleFamily& family, SampleLabels labels, double value) {
  return {family.name, family.help, std::move(labels), value, family.kind};
}

void add_model_totals(std::vector<MetricSample>& all, const std::string& model,
                      const ModelTotals& totals, const cost::Probes* probes) {
  Adder add(all, {{"model_name", model}});
  add(samples::kModelSeconds, totals.seconds);
  add(samples::kModelOperations, totals.operations);
  add(samples::kModelBytes, totals.bytes);
  if (probes == nullptr) return;
  // Which arithmetic a step used is not told apart here: the fastest is the limit of all.
  const double peak =
      std::max({probes->int8_operations_per_second, probes->f32_operations_per_second,
                probes->bf16_operations_per_second});
  const auto add_limit = [&](const char* limit, double amount, double per_second) {
    if (!(per_second > 0)) return;
    Adder add_this(all, {{"model_name", model}, {"limit", limit}});
    add_this(samples::kRooflineSeconds, amount / per_second);
    if (totals.seconds > 0) add_this(samples::kRooflineUse, amount / per_second / totals.seconds);
  };
  add_limit("memory", totals.bytes, probes->read_bytes_per_second);
  add_limit("compute", totals.operations, peak);
}

void add_probes(std::vector<MetricSample>& all, const cost::Probes* probes) {
  Adder add(all, {});
  add(samples::kMachineMeasured, probes == nullptr ? 0.0 : 1.0);
  if (probes == nullptr) return;
  add(samples::kMachineBandwidth, probes->read_bytes_per_second);
  const auto add_peak = [&](const char* type, double peak) {
    if (peak > 0) Adder(all, {{"type", type}})(samples::kMachinePeak, peak);
  };
  add_peak("int8", probes->int8_operations_per_second);
  add_peak("f32", probes->f32_operations_per_second);
  add_peak("bf16", probes->bf16_operations_per_second);
}

void add_certificate(std::vector<MetricSample>& all, const std::string& model,
                     const api::Certificate& certificate) {
  Adder add(all, {{"model_name", model}, {"variant", certificate.variant.id()}});
  if (certificate.served.tokens > 0) {
    add(samples::kCertificateKl, certificate.served.kl_mean);
    add(samples::kCertificateKlError, certificate.served.kl_standard_error);
    add(samples::kCertificateKl99, certificate.served.kl_p99);
    add(samples::kCertificateTop, certificate.served.top1);
  }
  add(samples::kCertificatePerplexity, certificate.perplexity.ratio);
  if (certificate.bytes_before.weights > 0) {
    add(samples::kCertificateSize, static_cast<double>(certificate.bytes_after.weights) /
                                       static_cast<double>(certificate.bytes_before.weights));
  }
}

void add_machine(std::vector<MetricSample>& all, const monitor::MachineReading& reading) {
  Adder add(all, {});
  const monitor::HostSample host = reading.host.value_or(monitor::HostSample());
  const monitor::HostTotals& totals = reading.totals;
  add(samples::kHostCpus, host.host_cpus);
  add(samples::kHostCpuSeconds, totals.host_cpu_seconds);
  add(samples::kHostFrequency, host.frequency_hz);
  add(samples::kHostQuota, host.cpu_quota);
  add(samples::kHostThrottled, totals.throttled_seconds);
  add(samples::kHostAvailable, host.available_bytes);
  add(samples::kHostLimit, host.memory_limit_bytes);
  add(samples::kHostUsed, host.memory_used_bytes);
  add(samples::kHostMoved, totals.memory_bytes);
  add(samples::kProcessCpus, host.process_cpus);
  add(samples::kProcessCpuSeconds, totals.process_cpu_seconds);
  add(samples::kProcessResident, host.resident_bytes);
  add(samples::kProcessMinor, totals.minor_faults);
  add(samples::kProcessMajor, totals.major_faults);
  for (const monitor::GpuReading& gpu : reading.gpus) {
    const monitor::GpuSample& now = gpu.sample;
    SampleLabels labels = {
        {"gpu", std::to_string(now.index)}, {"vendor", now.vendor}, {"name", now.name}};
    Adder add_gpu(all, labels);
    add_gpu(samples::kGpuBusy, now.busy);
    add_gpu(samples::kGpuUsed, now.memory_used_bytes);
    add_gpu(samples::kGpuTotal, now.memory_total_bytes);
    add_gpu(samples::kGpuWatts, now.watts);
    if (!gpu.has_energy) continue;
    labels.emplace_back("kind", gpu.is_joules_measured ? "measured" : "estimated");
    Adder(all, labels)(samples::kGpuJoules, gpu.joules);
  }
}

void add_money(std::vector<MetricSample>& all, const store::TrafficMoney& money) {
  if (money.currency.empty()) return;
  for (const auto& [part, amount] :
       {std::pair("hardware", money.hardware), std::pair("energy", money.energy),
        std::pair("tokens", money.tokens)}) {
    all.push_back(
        sample_of(samples::kMoney, {{"currency", money.currency}, {"part", part}}, amount));
  }
}

void add_costs(std::vector<MetricSample>& all, double joules, const store::TrafficMoney& money,
               std::uint64_t tokens) {
  // Without rows of requests none was charged.
  if (tokens > 0 && joules > 0) {
    all.push_back(sample_of(samples::kJoulesPerToken, {}, joules / static_cast<double>(tokens)));
  }
  add_money(all, money);
  if (money.currency.empty() || tokens == 0) return;
  const SampleLabels currency = {{"currency", money.currency}};
  const double sum = money.hardware + money.energy;
  all.push_back(sample_of(samples::kMoneyPerToken, currency, sum / static_cast<double>(tokens)));
}

void add_scores(std::vector<MetricSample>& all, const std::vector<store::ScoreSum>& sums) {
  for (const store::ScoreSum& sum : sums) {
    Adder add(all, {{"score", sum.name}, {"source", sum.source}});
    add(samples::kScoreCount, static_cast<double>(sum.count));
    add(samples::kScoreMean, sum.mean);
  }
}

}  // namespace paring::serve
