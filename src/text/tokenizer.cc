// SPDX-License-Identifier: Apache-2.0
// Encoding: cut out special tokens, repair UTF-8, split into words, merge each word (bridge).
#include "text/tokenizer.h"

#include <algorithm>
#include <utility>

#include "text/bridge_calls.h"
#include "text/byte_level.h"
#include "text/pre_tokenizer.h"
#include "text/special_tokens.h"
#include "text/unicode.h"

namespace paring::text {

struct Tokenizer::State {
  PreTokenizer pre_tokenizer;
  BpeHandle bpe;
  std::vector<std::string> tokens;  // as the vocabulary spells them
  TokenIds ids;                     // views into tokens
  std::vector<TokenKind> kinds;
  SpecialTokenFinder finder;
  std::string bytes;                 // what the tokens stand for, one after the other
  std::vector<std::size_t> offsets;  // in bytes, one more than tokens
  std::optional<std::int32_t> bos, eos;
  bool add_bos = false;
  bool add_eos = false;

  bool has(std::int32_t id) const { return id >= 0 && std::cmp_less(id, tokens.size()); }
};

namespace {

Error too_many(const std::string& what, std::size_t count, std::size_t limit) {
  return corrupt("the vocabulary has " + std::to_string(count) + " " + what + ", the limit is " +
                 std::to_string(limit));
}

std::size_t total_bytes(const std::vector<std::string>& texts) {
  std::size_t bytes = 0;
  for (const std::string& text : texts) bytes += text.size();
  return bytes;
}

Result<void> check_sizes(const TokenizerSpec& spec) {
  if (spec.tokens.empty()) return corrupt("the vocabulary is empty");
  if (spec.tokens.size() > kVocabTokensMax) {
    return too_many("tokens", spec.tokens.size(), kVocabTokensMax);
  }
  if (spec.merges.size() > kMergesMax) return too_many("merges", spec.merges.size(), kMergesMax);
  for (const auto* texts : {&spec.tokens, &spec.merges}) {
    const std::size_t bytes = total_bytes(*texts);
    if (bytes > kVocabBytesMax) return too_many("bytes of text", bytes, kVocabBytesMax);
  }
  for (std::size_t i = 0; i < spec.tokens.size(); ++i) {
    if (spec.tokens[i].size() <= kTokenBytesMax) continue;
    return corrupt("token " + std::to_string(i) + " has " + std::to_string(spec.tokens[i].size()) +
                   " bytes, the limit is " + std::to_string(kTokenBytesMax));
  }
  if (!spec.token_types.empty() && spec.token_types.size() != spec.tokens.size()) {
    return corrupt("the vocabulary has " + std::to_string(spec.tokens.size()) + " tokens but " +
                   std::to_string(spec.token_types.size()) + " token types");
  }
  return {};
}

Result<void> check_ids(const TokenizerSpec& spec) {
  const std::pair<const char*, std::optional<std::int32_t>> ids[] = {{"bos", spec.bos},
                                                                     {"eos", spec.eos},
                                                                     {"unk", spec.unk},
                                                                     {"pad", spec.pad},
                                                                     {"eot", spec.eot}};
  for (const auto& [name, id] : ids) {
    if (!id || (*id >= 0 && std::cmp_less(*id, spec.tokens.size()))) continue;
    return corrupt(std::string(name) + " token " + std::to_string(*id) +
                   " is outside the vocabulary of " + std::to_string(spec.tokens.size()) +
                   " tokens");
  }
  if (spec.add_bos && !spec.bos) return corrupt("BOS is to be added but no BOS token is named");
  if (spec.add_eos && !spec.eos) return corrupt("EOS is to be added but no EOS token is named");
  return {};
}

// The text of a token in the lookup: an empty one gets a name of its own, as in llama.cpp.
std::vector<std::string> named_tokens(const std::vector<std::string>& tokens) {
  std::vector<std::string> named = tokens;
  for (std::size_t i = 0; i < named.size(); ++i) {
    if (named[i].empty()) named[i] = "[EMPTY_" + std::to_string(i) + "]";
  }
  return named;
}

Result<TokenIds> index_tokens(const std::vector<std::string>& tokens) {
  TokenIds ids;
  ids.reserve(tokens.size());
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const auto [found, is_new] = ids.emplace(tokens[i], static_cast<std::int32_t>(i));
    if (is_new) continue;
    return corrupt("tokens " + std::to_string(found->second) + " and " + std::to_string(i) +
                   " have the same text");
  }
  return ids;
}

// Merges as pairs of ids. A merge is "left right"; the left part has at least one byte, so that a
// blank can be the first byte of it.
Result<std::vector<std::uint32_t>> read_merges(const std::vector<std::string>& merges,
                                               const TokenIds& ids) {
  std::vector<std::uint32_t> pairs;
  pairs.reserve(merges.size() * 2);
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const std::string_view merge = merges[rank];
    const std::size_t blank = merge.find(' ', 1);
    if (blank == std::string_view::npos || blank + 1 == merge.size()) {
      return corrupt("merge " + std::to_string(rank) + " is not two tokens with a blank between");
    }
    for (const std::string_view part : {merge.substr(0, blank), merge.substr(blank + 1)}) {
      const auto found = ids.find(part);
      if (found == ids.end()) {
        return corrupt("merge " + std::to_string(rank) + " names \"" +
                       repaired_utf8(part.substr(0, 64)) + "\", which is not a token");
      }
      pairs.push_back(static_cast<std::uint32_t>(found->second));
    }
  }
  return pairs;
}

Result<BpeHandle> make_bpe(const std::vector<std::string>& tokens,
                           const std::vector<std::uint32_t>& merges, bool ignore_merges) {
  std::vector<paring_bridge_slice> slices;
  slices.reserve(tokens.size());
  for (const std::string& token : tokens) slices.push_back(bridge_slice(token));
  const paring_bridge_bpe_spec spec{slices.data(), slices.size(), merges.data(), merges.size() / 2,
                                    ignore_merges};
  paring_bridge_bpe* bpe = nullptr;
  PARING_TRY_VOID(bridge_result(paring_bridge_bpe_create(&spec, &bpe)));
  return BpeHandle(bpe);
}

// What one token stands for. Unused tokens stand for nothing; "<0x1F>" is a byte.
std::string bytes_of(const std::string& token, const TokenKind& kind) {
  if (kind.is_special() || kind.is_user_defined) return token;
  if (kind.is_normal) return byte_level_decoded(token).value_or(token);
  if (!kind.is_byte || token.size() != 6 || !token.starts_with("<0x")) return {};
  unsigned byte = 0;
  for (const char digit : token.substr(3, 2)) {
    const std::size_t value = std::string_view("0123456789ABCDEF").find(digit);
    if (value == std::string_view::npos) return {};
    byte = byte * 16 + static_cast<unsigned>(value);
  }
  return std::string(1, static_cast<char>(byte));
}

}  // namespace

bool default_add_bos(std::string_view pre_tokenizer) noexcept {
  const Result<PreTokenizer> found = find_pre_tokenizer(pre_tokenizer);
  return found.has_value() && found->adds_bos;
}

Tokenizer::Tokenizer(std::unique_ptr<const State> state) : state_(std::move(state)) {}
Tokenizer::~Tokenizer() = default;

Result<std::shared_ptr<const Tokenizer>> Tokenizer::create(const TokenizerSpec& spec) {
  if (spec.model != TokenizerModel::kBpe) {
    return unsupported("this kind of tokenizer is not supported",
                       "supported are byte-level BPE vocabularies (tokenizer.ggml.model gpt2)");
  }
  auto state = std::make_unique<State>();
  PARING_TRY(state->pre_tokenizer, find_pre_tokenizer(spec.pre_tokenizer));
  PARING_TRY_VOID(check_sizes(spec));
  PARING_TRY_VOID(check_ids(spec));
  state->tokens = named_tokens(spec.tokens);
  PARING_TRY(state->ids, index_tokens(state->tokens));
  PARING_TRY(const std::vector<std::uint32_t> merges, read_merges(spec.merges, state->ids));
  PARING_TRY(state->bpe, make_bpe(state->tokens, merges, state->pre_tokenizer.ignore_merges));
  state->kinds = classify_tokens(spec, state->ids);
  state->finder = SpecialTokenFinder(state->tokens, state->kinds);
  state->offsets.reserve(state->tokens.size() + 1);
  for (std::size_t i = 0; i < state->tokens.size(); ++i) {
    state->offsets.push_back(state->bytes.size());
    state->bytes += bytes_of(state->tokens[i], state->kinds[i]);
  }
  state->offsets.push_back(state->bytes.size());
  state->bos = spec.bos;
  state->eos = spec.eos;
  state->add_bos = spec.add_bos;
  state->add_eos = spec.add_eos;
  return std::shared_ptr<const Tokenizer>(new Tokenizer(std::move(state)));
}

Result<std::vector<std::int32_t>> Tokenizer::encode(std::string_view utf8,
                                                    EncodeOptions options) const {
  if (utf8.size() > kTextBytesMax) {
    return invalid_argument("the text has " + std::to_string(utf8.size()) +
                                " bytes, the limit of one call is " + std::to_string(kTextBytesMax),
                            "encode it in parts");
  }
  std::vector<std::int32_t> ids;
  if (options.add_special && state_->add_bos) ids.push_back(*state_->bos);
  for (const Fragment& fragment : state_->finder.partition(utf8, options.parse_special)) {
    if (fragment.token >= 0) {
      ids.push_back(fragment.token);
      continue;
    }
    const std::string text = repaired_utf8(utf8.substr(fragment.begin, fragment.size));
    const std::vector<std::size_t> words = split_words(state_->pre_tokenizer.splitting, text);
    paring_bridge_ids encoded{};
    PARING_TRY_VOID(bridge_result(paring_bridge_bpe_encode(state_->bpe.get(), bridge_slice(text),
                                                           words.data(), words.size(), &encoded)));
    ids.insert(ids.end(), encoded.data, encoded.data + encoded.size);
    paring_bridge_ids_free(encoded);
  }
  if (options.add_special && state_->add_eos) ids.push_back(*state_->eos);
  return ids;
}

std::string_view Tokenizer::token_bytes(std::int32_t id) const noexcept {
  if (!state_->has(id)) return {};
  const auto i = static_cast<std::size_t>(id);
  const std::size_t begin = state_->offsets[i];
  return std::string_view(state_->bytes).substr(begin, state_->offsets[i + 1] - begin);
}

bool Tokenizer::is_special(std::int32_t id) const noexcept {
  return state_->has(id) && state_->kinds[static_cast<std::size_t>(id)].is_special();
}

bool Tokenizer::is_end(std::int32_t id) const noexcept {
  return state_->has(id) && state_->kinds[static_cast<std::size_t>(id)].is_end;
}

std::optional<std::int32_t> Tokenizer::find(std::string_view token) const {
  const auto found = state_->ids.find(token);
  if (found == state_->ids.end()) return std::nullopt;
  return found->second;
}

std::size_t Tokenizer::vocab_size() const noexcept { return state_->tokens.size(); }
std::optional<std::int32_t> Tokenizer::bos() const noexcept { return state_->bos; }
std::optional<std::int32_t> Tokenizer::eos() const noexcept { return state_->eos; }

}  // namespace paring::text
