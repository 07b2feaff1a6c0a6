// SPDX-License-Identifier: Apache-2.0
// Defaults of a spec, those of llama.cpp (llama-vocab.cpp of llama-cpp-python 0.3.36).
#include <algorithm>
#include <initializer_list>
#include <utility>

#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"

namespace paring::text {

TokenizerSpec default_spec(TokenizerModel model, std::string_view pre_tokenizer) {
  TokenizerSpec spec;
  spec.model = model;
  spec.pre_tokenizer = pre_tokenizer;
  switch (model) {
    case TokenizerModel::kBpe:
      // llama.cpp also takes token 11, whatever it is, for BOS and EOS; we take none.
      if (const auto known = find_pre_tokenizer(pre_tokenizer)) spec.add_bos = known->adds_bos;
      break;
    case TokenizerModel::kSpm:
      spec.unk = 0;
      spec.bos = 1;
      spec.eos = 2;
      spec.add_bos = true;
      spec.add_space_prefix = true;
      break;
    case TokenizerModel::kUnigram:
      spec.pad = 0;
      spec.eos = 1;
      spec.unk = 2;
      spec.add_eos = true;
      break;
    case TokenizerModel::kWordPiece:
      spec.pad = 0;
      spec.unk = 100;
      spec.bos = 101;
      spec.sep = 102;
      spec.mask = 103;
      spec.add_bos = true;
      break;
  }
  return spec;
}

void add_strip_rules(TokenizerSpec& spec, std::string_view model_name,
                     std::string_view architecture) {
  std::string name(model_name);
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  }
  const auto holds_any = [](std::string_view text, std::initializer_list<std::string_view> parts) {
    return std::any_of(parts.begin(), parts.end(), [&](std::string_view part) {
      return text.find(part) != std::string_view::npos;
    });
  };
  const auto list_tokens = [&](std::vector<std::int32_t>& ids, auto is_listed) {
    for (std::size_t id = 0; id < spec.tokens.size(); ++id) {
      if (is_listed(spec.tokens[id])) ids.push_back(static_cast<std::int32_t>(id));
    }
  };
  if (holds_any(spec.pre_tokenizer, {"jina-v2-de", "jina-v2-es", "jina-v2-code"}) ||
      holds_any(architecture, {"nomic-bert-moe", "jina-bert-v3"})) {
    list_tokens(spec.strip_left, [](const std::string& token) { return token == "<mask>"; });
  } else if (holds_any(name, {"phi-3", "phi3"})) {
    // All that are looked for in texts but Llama's own; for others the list has no effect.
    list_tokens(spec.strip_right, [](const std::string& token) {
      return token != "<unk>" && token != "<s>" && token != "<|endoftext|>";
    });
  } else if (holds_any(name, {"modern-bert"})) {
    list_tokens(spec.strip_left, [](const std::string& token) { return token == "[MASK]"; });
  }
}

void drop_missing_ids(TokenizerSpec& spec) {
  for (auto* id : {&spec.bos, &spec.eos, &spec.eot, &spec.unk, &spec.sep, &spec.pad, &spec.mask}) {
    if (*id && std::cmp_greater_equal(**id, spec.tokens.size())) id->reset();
  }
}

void pad_vocabulary(TokenizerSpec& spec, std::size_t token_count) {
  for (std::size_t id = spec.tokens.size(); id < token_count; ++id) {
    if (spec.token_types.empty()) spec.token_types.assign(spec.tokens.size(), kTokenNormal);
    spec.tokens.push_back("[PAD" + std::to_string(id) + "]");
    spec.token_types.push_back(kTokenUnused);
    if (!spec.scores.empty()) spec.scores.push_back(kUnusedScore);
  }
}

}  // namespace paring::text
