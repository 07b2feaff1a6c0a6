// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "text/special_tokens.h"
#include "text/tokenizer_file.h"
#include "text/tokenizer_state.h"

namespace paring::text {
void fill_vocabulary(const TokenizerFile& file, Vocabulary& vocabulary) {
  vocabulary.tokens = file.tokens;
  vocabulary.kinds.resize(file.tokens.size());
  vocabulary.ids.reserve(file.tokens.size());
  for (std::size_t id = 0; id < file.tokens.size(); ++id) {
    TokenKind& kind = vocabulary.kinds[id];
    kind.is_normal = file.is_named[id];
    kind.is_byte = file.byte_fallback && byte_of_name(file.tokens[id]).has_value();
    if (file.is_named[id]) {
      vocabulary.ids.add(vocabulary.tokens[id], static_cast<std::int32_t>(id));
    }
  }
  for (const AddedToken& token : file.added) {
    TokenKind& kind = vocabulary.kinds[static_cast<std::size_t>(token.id)];
    kind.is_control = token.is_special;
    kind.is_user_defined = !token.is_special;
    kind.is_end = token.is_special && is_end_spelling(token.content);
  }
  if (file.unknown) vocabulary.kinds[static_cast<std::size_t>(*file.unknown)].is_unknown = true;
}

Result<std::shared_ptr<const Tokenizer>> Tokenizer::create_from_json(
    std::string_view tokenizer_json, const TokenizerConfig& config) {
  PARING_TRY(const TokenizerFile file, read_tokenizer_file(tokenizer_json));
  PARING_TRY(DecodedVocabulary decoded, decode_vocabulary(file));
  auto state = std::make_unique<State>();
  fill_vocabulary(file, state->vocabulary);
  state->texts = std::move(decoded.texts);
  state->strips_first_space = decoded.strips_first_space;
  state->pipeline = std::make_unique<const LateJsonPipeline>(tokenizer_json);
  state->fast_pipeline = make_fast_pipeline(file, state->vocabulary);
  if (!state->fast_pipeline) PARING_TRY_VOID(state->pipeline->get());
  const auto id_of = [&](const std::optional<std::string>& text) -> std::optional<std::int32_t> {
    if (!text) return std::nullopt;
    const std::int32_t id = state->vocabulary.ids.find(*text);
    return id < 0 ? std::nullopt : std::optional(id);
  };
  state->bos = id_of(config.bos);
  state->eos = id_of(config.eos);
  if (state->eos) state->vocabulary.kinds[static_cast<std::size_t>(*state->eos)].is_end = true;
  for (const std::int32_t id : config.end_ids) {
    if (state->has(id)) state->vocabulary.kinds[static_cast<std::size_t>(id)].is_end = true;
  }
  return std::shared_ptr<const Tokenizer>(new Tokenizer(std::move(state)));
}

}  // namespace paring::text
