// SPDX-License-Identifier: Apache-2.0
#include "serve/sample_list.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>

namespace paring::serve {
namespace {

std::string page(const std::vector<MetricSample>& all) { return metrics_text({}, all); }

bool has(const std::string& text, const std::string& line) {
  return text.find("\n" + line + "\n") != std::string::npos;
}

TEST(Samples, GpusSayWhetherTheirEnergyIsMeasured) {
  monitor::MachineReading reading;
  monitor::GpuReading counted;
  counted.sample.vendor = "nvidia";
  counted.sample.name = "N";
  counted.sample.busy = 0.5;
  counted.joules = 12.5;
  counted.has_energy = true;
  monitor::GpuReading summed = counted;
  summed.sample.index = 1;
  summed.is_joules_measured = false;
  monitor::GpuReading silent;
  silent.sample.vendor = "amd";
  reading.gpus = {counted, summed, silent};
  std::vector<MetricSample> all;
  add_machine(all, reading);
  const std::string text = page(all);
  EXPECT_TRUE(has(text, R"(paring:gpu_use_ratio{gpu="0",vendor="nvidia",name="N"} 0.5)"));
  EXPECT_TRUE(has(
      text,
      R"(paring:gpu_energy_joules_total{gpu="0",vendor="nvidia",name="N",kind="measured"} 12.5)"));
  EXPECT_NE(text.find(R"(gpu="1",vendor="nvidia",name="N",kind="estimated")"), std::string::npos);
  EXPECT_EQ(text.find(R"(vendor="amd")"), std::string::npos) << "it told nothing";
  EXPECT_EQ(text.find("host_"), std::string::npos) << "nothing was sampled yet";
}

TEST(Samples, WhatACertificateDoesNotKnowIsLeftOut) {
  api::Certificate certificate;
  certificate.served.tokens = 100;
  certificate.served.kl_mean = 0.01;
  certificate.served.kl_standard_error = std::nan("");
  certificate.served.top1 = 0.97;
  certificate.perplexity.ratio = std::nan("");
  std::vector<MetricSample> all;
  add_certificate(all, "m", certificate);
  const std::string text = page(all);
  EXPECT_TRUE(has(text, "paring:certificate_kl{model_name=\"m\",variant=\"" +
                            certificate.variant.id() + "\"} 0.01"));
  EXPECT_NE(text.find("paring:certificate_top1{"), std::string::npos);
  EXPECT_EQ(text.find("standard_error{"), std::string::npos);
  EXPECT_EQ(text.find("perplexity"), std::string::npos);
  EXPECT_EQ(text.find("bytes_ratio"), std::string::npos);
}

TEST(Samples, LimitsHoldWhatStepsTook) {
  cost::Probes probes;
  probes.read_bytes_per_second = 100;
  probes.int8_operations_per_second = 1000;
  probes.f32_operations_per_second = 500;
  std::vector<MetricSample> all;
  add_model_totals(all, "m", {.seconds = 4, .operations = 2000, .bytes = 300}, &probes);
  const std::string text = page(all);
  EXPECT_TRUE(has(text, R"(paring:roofline_use{model_name="m",limit="memory"} 0.75)"));
  EXPECT_TRUE(has(text, R"(paring:roofline_use{model_name="m",limit="compute"} 0.5)"));
  all.clear();
  add_model_totals(all, "m", {.seconds = 4, .operations = 2000, .bytes = 300}, nullptr);
  EXPECT_EQ(page(all).find("roofline"), std::string::npos);
}

TEST(Samples, NamesDiffer) {
  std::set<std::string> names;
  for (const SampleFamily& family : sample_families()) {
    EXPECT_TRUE(names.insert(family.name).second) << family.name;
    const bool is_counter = std::string(family.kind) == "counter";
    EXPECT_EQ(is_counter, std::string(family.name).ends_with("_total")) << family.name;
  }
}

}  // namespace
}  // namespace paring::serve
