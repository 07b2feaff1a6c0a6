// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <array>

#include "model/arch/arch.h"
#include "model/architecture.h"
#include "model/encoder_weights.h"
#include "model/vectors.h"

namespace paring::model {

namespace {

constexpr std::array kArchitectures = {&kBert,   &kDistilBert, &kRoberta, &kXlmRoberta,
                                       &kGemma2, &kGemma3,     &kLlama,   &kMixtral,
                                       &kPhi3,   &kQwen2,      &kQwen3,   &kQwen3Moe};

Result<void> read_vocabulary(const io::ModelFile& file, BlockSpec& spec) {
  const io::TensorInfo* embedding = file.find("token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2) {
    return corrupt(
        fmt::format("{}: tensor 'token_embd.weight' is missing or not a matrix", file.path()));
  }
  if (embedding->rows() > kVocabularyMax) {
    return corrupt(fmt::format("{}: a vocabulary of {} is over the limit {}", file.path(),
                               embedding->rows(), kVocabularyMax));
  }
  spec.vocabulary = embedding->rows();
  spec.tied_head = !spec.encoder && file.find("output.weight") == nullptr;
  return {};
}

Result<std::vector<float>> read_divisors(const io::ModelFile& file, const char* name,
                                         std::size_t pairs) {
  PARING_TRY(std::vector<float> divisors, load_vector(file, name, pairs));
  for (const float divisor : divisors) {
    if (!(divisor > 0)) {
      return corrupt(
          fmt::format("{}: tensor '{}' holds {}, a divisor of frequencies must be above 0",
                      file.path(), name, divisor));
    }
  }
  return divisors;
}

// Divisors stand in tensors. LongRoPE is known by its tensors: older files do not name it.
Result<void> read_rope_tensors(const io::ModelFile& file, BlockSpec& spec) {
  RopeSpec& rope = spec.ropes[0];
  if (file.find(kRopeFreqsName) != nullptr) {
    PARING_TRY(rope.divisors, read_divisors(file, kRopeFreqsName, rope.width / 2));
  }
  const bool has_long = file.find(kRopeLongName) != nullptr;
  if (!has_long && rope.scaling != RopeScaling::kLongRope) return {};
  if (rope.scaling == RopeScaling::kLinear || rope.scaling == RopeScaling::kYarn) {
    return unsupported(fmt::format("{}: tensor '{}' beside another rotary scaling is not supported",
                                   file.path(), kRopeLongName));
  }
  rope.scaling = RopeScaling::kLongRope;
  PARING_TRY(rope.long_divisors, read_divisors(file, kRopeLongName, rope.width / 2));
  PARING_TRY(rope.divisors, read_divisors(file, kRopeShortName, rope.width / 2));
  return {};
}

}  // namespace

std::span<const Architecture* const> architectures() noexcept { return kArchitectures; }

Result<BlockSpec> read_block_spec(const io::ModelFile& file) {
  PARING_TRY(const std::string name, file.metadata().get_string("general.architecture"));
  std::string known;
  for (const Architecture* architecture : kArchitectures) {
    if (name == architecture->name) {
      auto spec = architecture->read(file.metadata());
      if (!spec) {
        Error& error = spec.error();
        if (error.hint.empty()) error.hint = "the file is damaged or was written by a faulty tool";
        // Errors of the metadata name the file already.
        if (error.message.starts_with(file.path() + ": ")) return std::move(error);
        return std::move(error).with_context(file.path());
      }
      PARING_TRY_VOID(read_vocabulary(file, *spec));
      if (spec->encoder) {
        PARING_TRY_VOID(read_encoder_tensors(file, *spec));
      } else {
        PARING_TRY_VOID(read_rope_tensors(file, *spec));
      }
      return spec;
    }
    const std::string listed = architecture->name;
    if (known.ends_with(listed)) continue;  // the next of the same name
    known += (known.empty() ? "" : ", ") + listed;
  }
  return unsupported(
      fmt::format("{}: general.architecture is '{}', which is not known", file.path(), name),
      "known architectures: " + known);
}

}  // namespace paring::model
