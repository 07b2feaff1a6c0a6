// SPDX-License-Identifier: Apache-2.0
// What is made of the values of scored rows, against numpy 2.4 (quantile, std with ddof 1).
#include "measure/compare.h"

#include <gtest/gtest.h>

#include <vector>

namespace paring::measure {
namespace {

RowScores scores() {
  RowScores rows;
  rows.kl = {0.002, 0.0001, 0.03, 0.5, 0.0, 0.007, 0.011, 0.0009, 0.04, 0.09, 0.0032};
  rows.losses = {1.25, 0.38, 3.4, 4.1, 0.012, 2.3, 0.69, 0.95, 1.45, 2.9, 0.31};
  rows.same_top = {1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 1};
  return rows;
}
const std::vector<double> kBase{1.2, 0.4, 3.1, 5.0, 0.01, 2.2, 0.7, 0.9, 1.5, 2.5, 0.3};

TEST(Compare, FiguresAreThoseOfNumpy) {
  const Divergence d = summarize(kBase, scores());
  EXPECT_EQ(d.tokens, 11u);
  EXPECT_NEAR(d.kl_mean, 0.0622, 1e-12);
  EXPECT_NEAR(d.kl_standard_error, 0.04454087193496859, 1e-12);
  EXPECT_NEAR(d.kl_median, 0.007, 1e-12);
  EXPECT_NEAR(d.kl_p90, 0.09, 1e-12);
  EXPECT_NEAR(d.kl_p95, 0.295, 1e-12);
  EXPECT_NEAR(d.kl_p99, 0.459, 1e-12);
  EXPECT_NEAR(d.kl_p999, 0.4959, 1e-12);
  EXPECT_EQ(d.kl_max, 0.5);
  EXPECT_NEAR(d.top1, 0.7272727272727273, 1e-12);
  EXPECT_NEAR(d.top1_standard_error, 0.14083575804390605, 1e-12);
  EXPECT_NEAR(d.delta_p_rms, 0.013760704022001422, 1e-12);
  EXPECT_NEAR(d.delta_p_rms_standard_error, 0.0022920208524222895, 1e-12);
  EXPECT_NEAR(d.base.value, 5.048498685515513, 1e-12);
  EXPECT_NEAR(d.model.value, 5.017386049958987, 1e-12);
  EXPECT_NEAR(d.log_ratio, -0.006181818181818278, 1e-12);
  EXPECT_NEAR(d.log_ratio_standard_error, 0.09898042213964413, 1e-12);
}

TEST(Compare, ACertificateTakesADivergenceAsItIs) {
  const Divergence d = summarize(kBase, scores());
  const api::CertificateDivergence certificate = d;
  EXPECT_EQ(certificate.kl_p99, d.kl_p99);
  EXPECT_EQ(certificate.delta_p_rms, d.delta_p_rms);
  EXPECT_EQ(certificate.tokens, d.tokens);
}

TEST(Compare, AModelAgainstItselfChangesNothing) {
  RowScores rows = scores();
  rows.losses = kBase;
  const Divergence d = summarize(kBase, rows);
  EXPECT_EQ(d.delta_p_rms, 0);
  EXPECT_EQ(d.delta_p_rms_standard_error, 0);
  EXPECT_EQ(d.log_ratio, 0);
}

}  // namespace
}  // namespace paring::measure
