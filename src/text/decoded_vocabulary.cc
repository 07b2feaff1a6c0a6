// SPDX-License-Identifier: Apache-2.0
// The decoders of Hugging Face change each token by itself, but for what stands in front of the
// first one and broken runs of byte tokens (there each byte is U+FFFD, here each broken character).
#include <algorithm>
#include <nlohmann/json.hpp>

#include "text/byte_level.h"
#include "text/encoder.h"
#include "text/tokenizer_file.h"

namespace paring::text {
namespace {

using Json = nlohmann::json;

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    if (text.substr(at, from.size()) == from) {
      out += to;
      at += from.size();
    } else {
      out += text[at++];
    }
  }
  return out;
}

// What one step makes of all tokens.
class Decoder {
 public:
  explicit Decoder(const TokenizerFile& file) : file_(file), texts_(file.tokens) {
    is_byte_.resize(texts_.size());
  }

  Result<void> apply(const PipelineStep& step) {
    const Json fields = Json::parse(step.fields, nullptr, false);
    if (step.type == "ByteLevel") {
      for (auto& text : texts_) text = byte_level_decoded(text).value_or(text);
    } else if (step.type == "WordPiece") {
      word_piece(fields);
    } else if (step.type == "Metaspace") {
      const std::string scheme = fields.value("prepend_scheme", "always");
      strips_first_space_ = scheme != "never" && fields.value("add_prefix_space", true);
      replace(fields.value("replacement", std::string(kEscapedSpace)), " ");
    } else if (step.type == "ByteFallback") {
      byte_fallback();
    } else if (step.type == "Fuse") {
      is_fused_ = true;
    } else if (step.type == "Replace" && fields.at("pattern").contains("String") &&
               !fields.at("pattern").at("String").get<std::string>().empty()) {
      replace(fields.at("pattern").at("String").get<std::string>(), fields.value("content", ""));
    } else if (step.type == "Strip" && is_fused_ && fields.value("content", "") == " " &&
               fields.value("start", 0) == 1 && fields.value("stop", 0) == 0) {
      strips_first_space_ = true;
    } else {
      return unsupported(
          "tokenizer.json: the decoder " + step.type + step.fields + " is not supported",
          "supported are ByteLevel, WordPiece, Metaspace, Replace, ByteFallback, "
          "Fuse and Strip of one leading space");
    }
    return {};
  }

  // Without a decoder tokens are words.
  void join_with_spaces() {
    for (auto& text : texts_) text.insert(0, " ");
    strips_first_space_ = true;
  }

  DecodedVocabulary finish() const {
    DecodedVocabulary decoded;
    for (const std::string& text : texts_) decoded.texts.add(text);
    decoded.strips_first_space = strips_first_space_;
    return decoded;
  }

 private:
  void replace(const std::string& from, const std::string& to) {
    for (std::size_t i = 0; i < texts_.size(); ++i) {
      if (!is_byte_[i]) texts_[i] = replaced(texts_[i], from, to);
    }
  }

  void word_piece(const Json& fields) {
    const std::string prefix = fields.value("prefix", "##");
    const bool cleans = fields.value("cleanup", true);
    strips_first_space_ = true;
    for (auto& text : texts_) {
      if (!prefix.empty() && text.starts_with(prefix)) {
        text.erase(0, prefix.size());
      } else {
        text.insert(0, " ");
      }
      if (cleans) text = cleaned_word_piece(std::move(text));
    }
  }

  void byte_fallback() {
    for (std::size_t i = 0; i < texts_.size(); ++i) {
      const std::optional<char> byte = byte_of_name(texts_[i]);
      if (!byte) continue;
      texts_[i] = std::string(1, *byte);
      is_byte_[i] = true;
    }
  }

  const TokenizerFile& file_;
  std::vector<std::string> texts_;
  std::vector<bool> is_byte_;
  bool is_fused_ = false;
  bool strips_first_space_ = false;
};

}  // namespace

Result<DecodedVocabulary> decode_vocabulary(const TokenizerFile& file) {
  Decoder decoder(file);
  if (file.decoder.empty()) decoder.join_with_spaces();
  try {
    for (const PipelineStep& step : file.decoder) PARING_TRY_VOID(decoder.apply(step));
  } catch (const Json::exception&) {
    return corrupt("tokenizer.json: a field of the decoder has a wrong type");
  }
  return decoder.finish();
}

}  // namespace paring::text
