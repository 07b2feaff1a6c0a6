// SPDX-License-Identifier: Apache-2.0
// EncoderSpec: what an encoder's block has that a decoder's has not, as data. The block is that of
// BERT (arXiv:1810.04805): learned positions and token types, attention in both directions, a layer
// norm behind each half, a feed-forward part without gate, biases on every matrix. Plain data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace paring::model {

// Between the two matrices of the feed-forward part.
enum class EncoderActivation : std::uint8_t { kGeluErf, kGeluTanh, kRelu };

// How the states of a text's tokens become one vector. Values as GGUF's pooling_type.
enum class Pooling : std::uint8_t {
  kNone = 0,   // they stay: one vector a token
  kMean = 1,   // of all tokens, special ones included
  kFirst = 2,  // that of the first token, BERT's [CLS]
  kLast = 3,
};

// Between the two matrices of a classification head.
enum class HeadActivation : std::uint8_t { kTanh, kRelu };

// What the outputs of a classification head mean.
enum class LabelKind : std::uint8_t {
  kOneOf,  // one label is true: softmax
  kAnyOf,  // each label is true or not: sigmoid
  kValue,  // the outputs are the values themselves
};

struct EncoderSpec {
  std::size_t token_types = 0;  // rows of the table of token types; 0: it has none
  EncoderActivation activation = EncoderActivation::kGeluErf;
  Pooling pooling = Pooling::kMean;
  bool is_normalized = true;  // pooled vectors are divided by their length
  // A classification head over the first token's state h: out(act(dense(h))), or out(h).
  std::size_t labels = 0;  // outputs of the head; 0: there is none
  bool has_head_dense = false;
  HeadActivation head_activation = HeadActivation::kTanh;
  LabelKind label_kind = LabelKind::kOneOf;
  std::vector<std::string> label_names;  // [labels], or empty
};

}  // namespace paring::model
