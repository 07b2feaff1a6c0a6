// SPDX-License-Identifier: Apache-2.0
// Reads tests/data/tokenizer and tests/data/tokens for the tests of this module. Tests only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "text/base64.h"
#include "text/tokenizer.h"

namespace paring::text {

inline std::string read_test_file(const std::string& path) {
  const std::string full = std::string(PARING_SOURCE_DIR) + "/tests/data/" + path;
  std::ifstream file(full, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  return std::move(content).str();
}

// A byte-level vocabulary as text (tools/make_tokenizer_fixture.py).
inline TokenizerSpec vocabulary_spec(const std::string& path) {
  std::istringstream in(read_test_file(path));
  TokenizerSpec spec;
  std::string key;
  std::string line;
  while (in >> key) {
    if (key == "pre") {
      in >> spec.pre_tokenizer;
      continue;
    }
    std::int32_t value = 0;
    in >> value;
    in.ignore();
    if (key == "bos") spec.bos = value;
    if (key == "eos") spec.eos = value;
    if (key == "unk") spec.unk = value;
    if (key == "pad") spec.pad = value;
    for (std::int32_t i = 0; key == "tokens" && i < value; ++i) {
      std::getline(in, line);
      spec.token_types.push_back(line[0] - '0');
      spec.tokens.push_back(line.substr(2));
    }
    for (std::int32_t i = 0; key == "merges" && i < value; ++i) {
      std::getline(in, line);
      spec.merges.push_back(line);
    }
  }
  return spec;
}

// The vocabulary of SmolLM2.
inline TokenizerSpec smollm2_spec() { return vocabulary_spec("tokenizer/smollm2.txt"); }
// One whose merges cross all boundaries (tools/make_unsplit_vocabulary.py).
inline TokenizerSpec unsplit_spec() { return vocabulary_spec("tokenizer/unsplit.txt"); }

// Tokens for all groups of two and three digits that are missing, as tools/make_token_golden.py
// adds them.
inline void add_digit_groups(TokenizerSpec& spec) {
  for (int n = 0; n < 1100; ++n) {
    std::string digits = std::to_string(n < 100 ? n : n - 100);
    const std::size_t size = n < 100 ? 2 : 3;
    digits.insert(0, size - digits.size(), '0');
    spec.merges.push_back(digits.substr(0, size - 1) + " " + digits.back());
    if (std::find(spec.tokens.begin(), spec.tokens.end(), digits) != spec.tokens.end()) continue;
    spec.tokens.push_back(digits);
    spec.token_types.push_back(1);
  }
}

// SmolLM2's with what tools/make_token_golden.py adds before it tries other pre-tokenizers: digit
// groups, user-defined tokens, and control-looking tokens of other types.
inline TokenizerSpec extended_spec(const std::string& pre_tokenizer) {
  TokenizerSpec spec = smollm2_spec();
  spec.pre_tokenizer = pre_tokenizer;
  const auto add = [&](std::string token, std::int32_t type) {
    spec.tokens.push_back(std::move(token));
    spec.token_types.push_back(type);
  };
  add_digit_groups(spec);
  for (const char* token : {"<think>", "</think>", "[INST]"}) add(token, 4);
  add("<|eot_id|>", 1);
  add("<unk>", 2);
  for (const char* token : {"</s>", "  ", "<|"}) add(token, 4);
  return spec;
}

// Small vocabularies of the other kinds (tools/make_small_vocabularies.py).
inline TokenizerSpec small_vocabulary(const std::string& name) {
  const auto json = nlohmann::json::parse(read_test_file("tokenizer/" + name + ".json"));
  const std::map<std::string, TokenizerModel> models = {{"llama", TokenizerModel::kSpm},
                                                        {"t5", TokenizerModel::kUnigram},
                                                        {"bert", TokenizerModel::kWordPiece}};
  TokenizerSpec spec = default_spec(models.at(json.at("model")), json.at("pre").get<std::string>());
  spec.tokens = json.at("tokens");
  spec.token_types = json.at("types").get<std::vector<std::int32_t>>();
  if (json.contains("scores")) spec.scores = json.at("scores").get<std::vector<float>>();
  const std::map<std::string, std::optional<std::int32_t>*> ids = {
      {"bos", &spec.bos}, {"eos", &spec.eos}, {"unk", &spec.unk},
      {"sep", &spec.sep}, {"pad", &spec.pad}, {"mask", &spec.mask}};
  for (const auto& [key, id] : ids) {
    id->reset();
    if (json.contains(key)) *id = json.at(key).get<std::int32_t>();
  }
  spec.add_bos = json.at("add_bos");
  spec.add_eos = json.at("add_eos");
  spec.add_space_prefix = json.value("add_space_prefix", spec.add_space_prefix);
  spec.remove_extra_whitespaces = json.value("remove_extra_whitespaces", false);
  spec.precompiled_charsmap = base64_decoded(json.value("charsmap", "")).value();
  return spec;
}

}  // namespace paring::text
