// SPDX-License-Identifier: Apache-2.0
#include "serve/encoding.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace paring::serve {

namespace {

// What is known of the answer so far. Confined to the engine's thread.
struct Gathered {
  EncodedRows result;
  std::size_t pieces_left = 0;
  std::optional<Error> error;
  std::function<void(Result<EncodedRows>)> done;

  void take(std::size_t first, std::size_t texts, Result<std::vector<float>> values,
            const api::Work& work) {
    result.work += work;
    if (values) {
      const std::size_t width = values->size() / texts;
      for (std::size_t i = 0; i < texts; ++i) {
        const auto begin = values->begin() + static_cast<std::ptrdiff_t>(i * width);
        result.rows[first + i].assign(begin, begin + static_cast<std::ptrdiff_t>(width));
      }
    } else if (!error) {
      error = std::move(values.error());
    }
    if (--pieces_left > 0) return;
    if (error) {
      done(std::move(*error));
    } else {
      done(std::move(result));
    }
  }
};

}  // namespace

void encode(EngineLoop& loop, const std::shared_ptr<ServedModel>& model, EncodeRequest request,
            std::function<void(Result<EncodedRows>)> done) {
  const auto gathered = std::make_shared<Gathered>();
  gathered->result.rows.resize(request.texts.size());
  gathered->pieces_left = (request.texts.size() + kEncodePieceTexts - 1) / kEncodePieceTexts;
  gathered->done = std::move(done);
  for (const engine::EncodedText& text : request.texts) {
    gathered->result.tokens += text.tokens.size();
    gathered->result.cut_texts += text.is_cut ? 1 : 0;
  }
  loop.post([model, gathered, request = std::move(request)] {
    const std::vector<engine::EncodedText>& texts = request.texts;
    for (std::size_t first = 0; first < texts.size(); first += kEncodePieceTexts) {
      const std::size_t count = std::min(kEncodePieceTexts, texts.size() - first);
      const auto begin = texts.begin() + static_cast<std::ptrdiff_t>(first);
      EncodeJob job;
      job.kind = request.kind;
      job.priority = request.priority;
      job.texts.assign(begin, begin + static_cast<std::ptrdiff_t>(count));
      job.cancelled = request.cancelled;
      // The model lives until its last piece is done.
      job.done = [model, gathered, first, count](Result<std::vector<float>> values,
                                                 const api::Work& work) {
        gathered->take(first, count, std::move(values), work);
      };
      if (auto submitted = model->submit(std::move(job)); !submitted) {
        gathered->take(first, count, std::move(submitted.error()), {});
      }
    }
  });
}

}  // namespace paring::serve
