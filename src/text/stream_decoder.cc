// SPDX-License-Identifier: Apache-2.0
// Decoding. One state machine serves whole texts and streams, so that the two cannot differ: each
// maximal ill-formed part becomes one U+FFFD, the beginning of a character waits.
#include <algorithm>
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

// The bytes of a token where it stands: without the space in front of the first one, unless wanted.
std::string_view bytes_in_place(const Tokenizer& tokenizer, std::int32_t id,
                                const DecodeOptions& options, bool& is_at_start) {
  const bool is_hidden = options.skip_special && tokenizer.is_special(id);
  if (is_hidden &&
      std::find(options.shown.begin(), options.shown.end(), id) == options.shown.end()) {
    return {};
  }
  std::string_view bytes = tokenizer.token_bytes(id);
  if (bytes.empty()) return bytes;
  const bool strips = is_at_start && !options.is_continuation && tokenizer.strips_first_space();
  is_at_start = false;
  if (strips && bytes.front() == ' ') bytes.remove_prefix(1);
  return bytes;
}

}  // namespace

Result<std::string> Tokenizer::decode(std::span<const std::int32_t> ids,
                                      DecodeOptions options) const {
  std::string bytes;
  bool is_at_start = true;
  for (const std::int32_t id : ids) {
    if (id < 0 || std::cmp_greater_equal(id, vocab_size())) {
      return invalid_argument("token " + std::to_string(id) + " is outside the vocabulary of " +
                              std::to_string(vocab_size()) + " tokens");
    }
    bytes += bytes_in_place(*this, id, options, is_at_start);
  }
  std::string text;
  text.reserve(bytes.size());
  move_decided(bytes, text);
  finish_pending(bytes, text);
  return text;
}

StreamDecoder::StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer, DecodeOptions options)
    : tokenizer_(std::move(tokenizer)), options_(std::move(options)) {}

std::string StreamDecoder::push(std::int32_t id) {
  std::string text;
  pending_ += bytes_in_place(*tokenizer_, id, options_, is_at_start_);
  move_decided(pending_, text);
  return text;
}

std::string StreamDecoder::finish() {
  std::string text;
  finish_pending(pending_, text);
  is_at_start_ = true;
  return text;
}

}  // namespace paring::text
