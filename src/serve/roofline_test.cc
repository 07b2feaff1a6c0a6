// SPDX-License-Identifier: Apache-2.0
#include "serve/roofline.h"

#include <gtest/gtest.h>

namespace paring::serve {
namespace {

const cost::Probes kProbes{.isa = "avx2",
                           .threads = 2,
                           .read_bytes_per_second = 100,
                           .f32_operations_per_second = 400,
                           .int8_operations_per_second = 1000};

std::vector<StepMinute> minutes_of(const StepTotals& step) {
  StepMinute minute{.minute = 7, .kinds = {}};
  minute.kinds[static_cast<std::size_t>(StepKind::kDecode)] = step;
  return {minute};
}

TEST(Roofline, TheNearerLimitBinds) {
  const StepTotals reads{.steps = 1, .seconds = 10, .operations = 2000, .bytes = 800};
  const RooflineVerdict memory = judge_steps(minutes_of(reads), 20, &kProbes);
  EXPECT_EQ(memory.binds, Binding::kMemory);
  EXPECT_DOUBLE_EQ(memory.memory_share.value(), 0.8);
  EXPECT_DOUBLE_EQ(memory.compute_share.value(), 0.2);
  EXPECT_DOUBLE_EQ(memory.busy_share, 0.5);
  EXPECT_EQ(
      memory.sentence,
      "Memory: it computed in 50 % of the time; steps read at 80 % of the memory bandwidth and "
      "use 20 % of the arithmetic.");
  EXPECT_NE(memory.action.find("paring optimize"), std::string::npos);

  const StepTotals computes{.steps = 1, .seconds = 10, .operations = 9000, .bytes = 300};
  const RooflineVerdict compute = judge_steps(minutes_of(computes), 20, &kProbes);
  EXPECT_EQ(compute.binds, Binding::kCompute);
  EXPECT_NE(compute.sentence.find("90 % of the peak"), std::string::npos) << compute.sentence;

  const StepTotals slow{.steps = 1, .seconds = 10, .operations = 2000, .bytes = 200};
  EXPECT_EQ(judge_steps(minutes_of(slow), 20, &kProbes).binds, Binding::kNeither);
}

TEST(Roofline, AQueueComesBeforeLimitsAndIdleBeforeThem) {
  StepTotals waited{
      .steps = 1, .seconds = 10, .waited_seconds = 5, .operations = 2000, .bytes = 800};
  const RooflineVerdict queue = judge_steps(minutes_of(waited), 20, &kProbes);
  EXPECT_EQ(queue.binds, Binding::kQueue);
  EXPECT_NE(queue.sentence.find("waited during 50 %"), std::string::npos) << queue.sentence;
  EXPECT_NE(queue.sentence.find("80 % of the memory bandwidth"), std::string::npos);
  waited.waited_seconds = 1;
  EXPECT_EQ(judge_steps(minutes_of(waited), 20, &kProbes).binds, Binding::kMemory);
  EXPECT_EQ(judge_steps(minutes_of(waited), 200, &kProbes).binds, Binding::kIdle);
  EXPECT_EQ(judge_steps({}, 20, &kProbes).binds, Binding::kIdle);
}

TEST(Roofline, WithoutLimitsItSaysWhatIsMissing) {
  const StepTotals reads{.steps = 1, .seconds = 10, .operations = 2000, .bytes = 800};
  const RooflineVerdict verdict = judge_steps(minutes_of(reads), 20, nullptr);
  EXPECT_EQ(verdict.binds, Binding::kUnknown);
  EXPECT_FALSE(verdict.memory_share || verdict.compute_share);
  EXPECT_NE(verdict.action.find("paring info"), std::string::npos);
}

}  // namespace
}  // namespace paring::serve
