// SPDX-License-Identifier: Apache-2.0
// Encoding: the texts of one request through an encoder, a piece at a time so that other requests
// get their turns, gathered again in order. Made on any thread, shared by its pieces.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "serve/served_model.h"

namespace paring::serve {

// Texts of one piece: what an encoder computes without looking at other requests.
inline constexpr std::size_t kEncodePieceTexts = 16;

struct EncodedRows {
  std::vector<std::vector<float>> rows;  // one a text
  std::size_t tokens = 0;
  std::size_t cut_texts = 0;
  api::Work work;
};

struct EncodeRequest {
  EncodeJob::Kind kind = EncodeJob::Kind::kEmbed;
  int priority = 0;
  std::vector<engine::EncodedText> texts;
  std::shared_ptr<const std::atomic<bool>> cancelled;  // set by any thread
};

// Sends a request to the engine. `done` is called once, on the engine's thread: it must not compute
// there.
void encode(EngineLoop& loop, const std::shared_ptr<ServedModel>& model, EncodeRequest request,
            std::function<void(Result<EncodedRows>)> done);

}  // namespace paring::serve
