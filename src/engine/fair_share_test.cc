// SPDX-License-Identifier: Apache-2.0
#include "engine/fair_share.h"

#include <gtest/gtest.h>

namespace paring::engine {
namespace {

TEST(FairShare, TheLeastServedGoesNext) {
  FairShare share;
  share.arrive(1, 1);
  share.arrive(2, 1);
  share.charge(1, 100);
  EXPECT_LT(share.served(2), share.served(1));
  share.charge(2, 150);
  EXPECT_LT(share.served(1), share.served(2));
}

TEST(FairShare, WeightsDivide) {
  FairShare share;
  share.arrive(1, 1);
  share.arrive(2, 3);
  int turns[3] = {};
  for (int i = 0; i < 400; ++i) {
    const std::uint64_t next = share.served(1) <= share.served(2) ? 1 : 2;
    share.charge(next, 10);
    ++turns[next];
  }
  EXPECT_NEAR(turns[1], 100, 2);
  EXPECT_NEAR(turns[2], 300, 2);
}

TEST(FairShare, TimeWithoutRequestsIsNoCredit) {
  FairShare share;
  share.arrive(1, 1);
  share.arrive(2, 1);
  share.leave(2);
  share.charge(1, 1000);
  share.arrive(2, 1);
  EXPECT_EQ(share.served(2), 1000);
}

TEST(FairShare, LeavingForAMomentForgivesNothing) {
  FairShare share;
  share.arrive(1, 1);
  share.arrive(2, 1);
  share.charge(1, 500);
  share.leave(1);
  share.arrive(1, 1);
  EXPECT_EQ(share.served(1), 500);
  EXPECT_EQ(share.served(2), 0);
}

TEST(FairShare, ForgetsThoseWhoWouldComeBackLevel) {
  FairShare share;
  share.arrive(0, 1);
  for (std::uint64_t tenant = 1; tenant <= 20000; ++tenant) {
    share.arrive(tenant, 1);
    share.charge(tenant, 5);
    share.leave(tenant);
    share.charge(0, 1);
  }
  EXPECT_LE(share.size(), kTenantsRememberedMax + 2);
}

}  // namespace
}  // namespace paring::engine
