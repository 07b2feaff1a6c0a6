// SPDX-License-Identifier: Apache-2.0
// Defaults of a spec, those of llama.cpp (llama-vocab.cpp of llama-cpp-python 0.3.36).
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
