// SPDX-License-Identifier: Apache-2.0
// A tokenizer of a GGUF file: cut out special tokens, give the rest to the encoder of the model.
// A tokenizer of a tokenizer.json: the pipeline of the bridge.
#include "text/tokenizer.h"

#include <utility>

#include "text/encoder.h"
#include "text/special_tokens.h"
#include "text/tokenizer_state.h"
#include "text/vocabulary.h"

namespace paring::text {
namespace {

// The ids around a text. llama.cpp takes BOS and SEP of WordPiece for granted.
Result<void> surround(const TokenizerSpec& spec, std::vector<std::int32_t>& before,
                      std::vector<std::int32_t>& after) {
  if (spec.model == TokenizerModel::kWordPiece) {
    if (!spec.bos || !spec.sep) {
      return corrupt("a WordPiece vocabulary needs a BOS and a SEP token");
    }
    before = {*spec.bos};
    after = {*spec.sep};
    return {};
  }
  if (spec.add_bos && !spec.bos) return corrupt("BOS is to be added but no BOS token is named");
  if (spec.add_eos && !spec.eos) return corrupt("EOS is to be added but no EOS token is named");
  if (spec.add_bos) before = {*spec.bos};
  if (spec.add_eos) after = {*spec.eos};
  return {};
}

Result<std::unique_ptr<const Encoder>> make_encoder(const TokenizerSpec& spec,
                                                    const Vocabulary& vocabulary) {
  switch (spec.model) {
    case TokenizerModel::kBpe:
      return make_byte_level_bpe(spec, vocabulary);
    case TokenizerModel::kSpm:
      return make_spm(spec, vocabulary);
    case TokenizerModel::kUnigram:
      return make_unigram(spec, vocabulary);
    case TokenizerModel::kWordPiece:
      return make_word_piece(spec, vocabulary);
  }
  PARING_CHECK(false, "a tokenizer model without an encoder");
}

// Whether decoding takes off the space that encoding put in front.
bool has_own_first_space(const TokenizerSpec& spec) {
  return spec.model == TokenizerModel::kWordPiece ||
         (spec.model != TokenizerModel::kBpe && spec.add_space_prefix);
}

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<const State> state) : state_(std::move(state)) {}
Tokenizer::~Tokenizer() = default;

Result<std::shared_ptr<const Tokenizer>> Tokenizer::create(const TokenizerSpec& spec) {
  auto state = std::make_unique<State>();
  PARING_TRY_VOID(check_spec(spec));
  PARING_TRY_VOID(fill_vocabulary(spec, state->vocabulary));
  PARING_TRY_VOID(surround(spec, state->before, state->after));
  PARING_TRY(state->encoder, make_encoder(spec, state->vocabulary));
  state->finder = SpecialTokenFinder(state->vocabulary.tokens, state->vocabulary.kinds, spec);
  state->texts = texts_of(spec, state->vocabulary);
  state->strips_first_space = has_own_first_space(spec);
  state->bos = spec.bos;
  state->eos = spec.eos;
  return std::shared_ptr<const Tokenizer>(new Tokenizer(std::move(state)));
}

Result<std::vector<std::int32_t>> Tokenizer::encode(std::string_view utf8,
                                                    EncodeOptions options) const {
  if (utf8.size() > kTextBytesMax) {
    return invalid_argument("the text has " + std::to_string(utf8.size()) +
                                " bytes, the limit of one call is " + std::to_string(kTextBytesMax),
                            "encode it in parts");
  }
  if (state_->fast_pipeline) {
    auto ids = state_->fast_pipeline->encode(utf8, options);
    if (ids) return *std::move(ids);
  }
  if (state_->pipeline) {
    PARING_TRY(const JsonPipeline* pipeline, state_->pipeline->get());
    return pipeline->encode(utf8, options);
  }
  std::vector<std::int32_t> ids;
  if (options.add_special) ids = state_->before;
  bool begins = true;
  for (const Fragment& fragment : state_->finder.partition(utf8, options.parse_special)) {
    if (fragment.token >= 0) {
      ids.push_back(fragment.token);
    } else {
      PARING_TRY_VOID(
          state_->encoder->encode(utf8.substr(fragment.begin, fragment.size), begins, ids));
    }
    begins = fragment.token >= 0;
  }
  if (options.add_special) {
    ids.insert(ids.end(), state_->after.begin(), state_->after.end());
  }
  return ids;
}

bool Tokenizer::strips_first_space() const noexcept { return state_->strips_first_space; }

std::string_view Tokenizer::token_bytes(std::int32_t id) const noexcept {
  if (!state_->has(id)) return {};
  return state_->texts.at(static_cast<std::size_t>(id));
}

std::string_view Tokenizer::spelling(std::int32_t id) const noexcept {
  if (!state_->has(id)) return {};
  return state_->vocabulary.tokens[static_cast<std::size_t>(id)];
}

bool Tokenizer::is_special(std::int32_t id) const noexcept {
  return state_->has(id) && state_->vocabulary.kinds[static_cast<std::size_t>(id)].is_special();
}

bool Tokenizer::is_end(std::int32_t id) const noexcept {
  return state_->has(id) && state_->vocabulary.kinds[static_cast<std::size_t>(id)].is_end;
}

std::optional<std::int32_t> Tokenizer::find(std::string_view token) const {
  const std::int32_t id = state_->vocabulary.ids.find(token);
  return id < 0 ? std::nullopt : std::optional(id);
}

std::size_t Tokenizer::vocab_size() const noexcept { return state_->vocabulary.tokens.size(); }
std::optional<std::int32_t> Tokenizer::bos() const noexcept { return state_->bos; }
std::optional<std::int32_t> Tokenizer::eos() const noexcept { return state_->eos; }

}  // namespace paring::text
