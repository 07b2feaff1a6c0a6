// SPDX-License-Identifier: Apache-2.0
// One type for all matrices: what does not fit is an error or takes the named fallback.
#include "shrink/type_choice.h"

#include <gtest/gtest.h>

#include "model/testing/random_model.h"

namespace paring::shrink {
namespace {

// Widths of 96 (the model) and 256 (ffn_down's rows).
std::shared_ptr<const model::Model> small_model() {
  model::BlockSpec spec = model::testing::tiny_spec();
  spec.ffn_width = 256;
  return model::testing::random_model(spec, DType::kF32, 3).model;
}

TEST(ChooseTypes, ATypeThatFitsIsTakenEverywhere) {
  const auto model = small_model();
  const TypeChoice choice = choose_types(model->slots(), DType::kIQ4_NL, DType::kQ8_0).value();
  EXPECT_EQ(choice.types, TypeMap(model->matrix_count(), DType::kIQ4_NL));
  EXPECT_TRUE(choice.fallback_slots.empty());
  const io::Metadata metadata =
      choice_metadata(model->slots(), choice, DType::kIQ4_NL, DType::kQ8_0);
  EXPECT_EQ(metadata.get_string("paring.quantize.type").value(), "IQ4_NL");
  EXPECT_FALSE(metadata.has("paring.quantize.fallback"));
}

TEST(ChooseTypes, WhatDoesNotFitIsAnErrorThatNamesTensorWidthAndChoices) {
  const auto refused = choose_types(small_model()->slots(), DType::kQ4_K, std::nullopt);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  const std::string text = refused.error().text();
  for (const char* part : {"token_embd.weight", "96", "256", "Q4_K", "IQ4_NL", "--fallback"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << ": " << text;
  }
}

TEST(ChooseTypes, TheFallbackTakesJustTheTensorsThatDoNotFit) {
  const auto model = small_model();
  const TypeChoice choice = choose_types(model->slots(), DType::kQ4_K, DType::kQ5_0).value();
  std::vector<std::string> fallen;
  for (std::size_t i = 0; i < model->matrix_count(); ++i) {
    const bool fits = model->slot(i).cols == 256;
    EXPECT_EQ(choice.types[i], fits ? DType::kQ4_K : DType::kQ5_0) << model->slot(i).name;
    if (!fits) fallen.push_back(model->slot(i).name);
  }
  EXPECT_EQ(choice.fallback_slots.size(), fallen.size());
  const io::Metadata metadata = choice_metadata(model->slots(), choice, DType::kQ4_K, DType::kQ5_0);
  EXPECT_EQ(metadata.get_string("paring.quantize.fallback").value(), "Q5_0");
  const io::GgufValue* names = metadata.find("paring.quantize.fallback_tensors");
  ASSERT_NE(names, nullptr);
  EXPECT_EQ(*names, io::GgufValue::of_strings(fallen));
}

TEST(ChooseTypes, AFallbackThatDoesNotFitEitherIsAnErrorOfItsOwn) {
  const auto refused = choose_types(small_model()->slots(), DType::kQ4_K, DType::kQ6_K);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().text().find("Q6_K"), std::string::npos);
}

TEST(ChooseTypes, TypesThatOnlyStoreDataAreRefused) {
  for (const DType type : {DType::kI8, DType::kI16, DType::kI32, DType::kI64, DType::kF64}) {
    const auto refused = choose_types(small_model()->slots(), type, std::nullopt);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
    EXPECT_FALSE(choose_types(small_model()->slots(), DType::kQ4_K, type));
  }
}

}  // namespace
}  // namespace paring::shrink
