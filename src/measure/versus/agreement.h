// SPDX-License-Identifier: Apache-2.0
// Whether two engines compute the same thing from one file: speeds of different computations are
// not worth comparing. Both read the same token ids; their logits are compared, and then the text
// that each of them goes on with.
#pragma once

#include <optional>
#include <string>

#include "base/executor.h"
#include "base/result.h"
#include "engine/loaded_model.h"
#include "measure/versus/peer.h"
#include "model/forward.h"

namespace paring::measure {

struct Agreement {
  PeerFlags flags;
  std::size_t prefix_tokens = 0;  // of the built-in held-out text
  std::size_t rows = 0;           // positions whose logits were compared, the last of them
  double kl_mean = 0;             // nats, KL(peer || ours)
  double kl_max = 0;
  double top1 = 0;  // share of positions with the same most likely token
  // Greedy continuation: equal up to here; nullopt when all `steps` tokens are.
  std::size_t steps = 0;
  std::optional<std::size_t> parts_at;
  double margin = 0;  // logits between the peer's best two tokens where they part

  // Numerics of two engines that round activations and keys differently move a model by a few
  // hundredths; a wrong computation by several nats.
  bool is_close() const { return kl_mean <= kClose; }
  static constexpr double kClose = 0.1;
};

// Mean and largest KL(peer || ours) and top-1 agreement of rows of logits, added up one by one.
// Pure.
struct LogitsDifference {
  std::size_t rows = 0;
  double kl_sum = 0;
  double kl_max = 0;
  std::size_t same_top = 0;
  // Both of `vocabulary` values. False, and nothing added, when one of them is not finite.
  bool add(const float* peer, const float* ours, std::size_t vocabulary);
};

// Unsupported when they are not close, or when the peer cannot run the model; Corrupt when logits
// are not finite.
Result<Agreement> check_agreement(const engine::LoadedModel& model, Executor& executor,
                                  model::Numerics numerics, kernels::KvType kv_type, Peer& peer,
                                  const PeerFlags& flags);

}  // namespace paring::measure
