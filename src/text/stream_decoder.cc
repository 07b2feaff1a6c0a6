// SPDX-License-Identifier: Apache-2.0
// Decoding. One state machine serves whole texts and streams, so that the two cannot differ: each
// maximal ill-formed part becomes one U+FFFD, the beginning of a character waits.
#include <utility>

#include "text/tokenizer.h"
#include "text/unicode.h"

namespace paring::text {
namespace {

// Moves what is decided of `pending` to `out`; at most 3 bytes stay.
void move_decided(std::string& pending, std::string& out) {
  std::size_t at = 0;
  while (at < pending.size()) {
    const Utf8Step step = utf8_step(pending, at);
    if (step.kind == Utf8Step::Kind::kIncomplete) break;
    if (step.kind == Utf8Step::Kind::kCharacter) {
      out.append(pending, at, step.size);
    } else {
      out.append(kReplacement);
    }
    at += step.size;
  }
  pending.erase(0, at);
}

// An unfinished beginning is one ill-formed part.
void finish_pending(std::string& pending, std::string& out) {
  if (!pending.empty()) out.append(kReplacement);
  pending.clear();
}

}  // namespace

Result<std::string> Tokenizer::decode(std::span<const std::int32_t> ids, bool skip_special) const {
  std::string bytes;
  for (const std::int32_t id : ids) {
    if (id < 0 || std::cmp_greater_equal(id, vocab_size())) {
      return invalid_argument("token " + std::to_string(id) + " is outside the vocabulary of " +
                              std::to_string(vocab_size()) + " tokens");
    }
    if (!skip_special || !is_special(id)) bytes += token_bytes(id);
  }
  std::string text;
  text.reserve(bytes.size());
  move_decided(bytes, text);
  finish_pending(bytes, text);
  return text;
}

StreamDecoder::StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special)
    : tokenizer_(std::move(tokenizer)), skip_special_(skip_special) {}

std::string StreamDecoder::push(std::int32_t id) {
  std::string text;
  if (skip_special_ && tokenizer_->is_special(id)) return text;
  pending_ += tokenizer_->token_bytes(id);
  move_decided(pending_, text);
  return text;
}

std::string StreamDecoder::finish() {
  std::string text;
  finish_pending(pending_, text);
  return text;
}

}  // namespace paring::text
