// SPDX-License-Identifier: Apache-2.0
// The fast pipeline against the crate: equal ids on fuzzed text, for every setting that it takes.
#include "text/fast_pipeline.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "text/fixture_for_test.h"
#include "text/json_pipeline.h"
#include "text/tokenizer_json.h"
#include "text/unicode.h"
#include "text/unicode_forms.h"

namespace paring::text {
namespace {

using Json = nlohmann::json;

struct Both {
  std::unique_ptr<const Vocabulary> vocabulary;  // `ours` reads it
  std::unique_ptr<const FastPipeline> ours;
  std::optional<JsonPipeline> theirs;
};

Both both(const Json& json) {
  const std::string text = json.dump();
  const auto file = read_tokenizer_file(text);
  EXPECT_TRUE(file) << file.error().text();
  auto vocabulary = std::make_unique<Vocabulary>();
  fill_vocabulary(*file, *vocabulary);
  auto ours = make_fast_pipeline(*file, *vocabulary);
  auto theirs = JsonPipeline::create(text);
  EXPECT_TRUE(theirs) << theirs.error().text();
  return {std::move(vocabulary), std::move(ours), std::move(theirs).value()};
}

// A vocabulary whose merges cross all boundaries, with this pattern in front of the bytes.
Json unsplit(const Json& pre_tokenizer) {
  static const Json base = [] {
    TokenizerSpec spec = unsplit_spec();
    for (const char* token : {"<|end|>", "<|end|>>", "<||", "<s|>"}) {
      spec.tokens.emplace_back(token);
      spec.token_types.push_back(kTokenControl);
    }
    for (const char* token : {"<thinks>", "  "}) {
      spec.tokens.emplace_back(token);
      spec.token_types.push_back(kTokenUserDefined);
    }
    Json json = Json::parse(tokenizer_json_of(spec).value());
    // What merges make cannot be a special token here, though some are spelled like one.
    Json added = Json::array();
    for (const Json& token : json["added_tokens"]) {
      if (token["id"] >= 6000) added.push_back(token);
    }
    json["added_tokens"] = added;
    return json;
  }();
  Json json = base;
  json["pre_tokenizer"] = pre_tokenizer;
  return json;
}

Json split(const std::string& pattern) {
  return {{"type", "Sequence"},
          {"pretokenizers",
           {{{"type", "Split"},
             {"pattern", {{"Regex", pattern}}},
             {"behavior", "Isolated"},
             {"invert", false}},
            {{"type", "ByteLevel"},
             {"add_prefix_space", false},
             {"trim_offsets", true},
             {"use_regex", false}}}}};
}

Json byte_level() {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", true},
          {"use_regex", true}};
}

// The patterns of the models that people bring, as their files write them.
const std::vector<std::pair<std::string, std::string>>& patterns() {
  static const std::string kCased =
      R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)";
  static const std::string kCapitals =
      R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)";
  static const std::string kShort = R"((?i:'s|'t|'re|'ve|'m|'ll|'d))";
  static const std::string kEnd = R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
  static const std::vector<std::pair<std::string, std::string>> kPatterns = {
      {"llama3",
       kShort + R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)" + kEnd},
      {"qwen2", kShort + R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)" + kEnd},
      {"qwen35",
       kShort + R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*)" + kEnd},
      {"gpt-4o", kCased + kShort + "?|" + kCapitals + kShort +
                     R"(?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*)" + kEnd},
      {"tekken", kCased + "|" + kCapitals + R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*)" + kEnd},
      {"bailing",
       R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*)"
       R"(|\s*[\r\n]|\s+(?!\S)|\s+)"},
      {"deepseek-v3", R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?)"
                      R"([\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*)" +
                          kEnd},
      {"digits", R"(\p{N}{1,3}|\p{Nd}|\d+)"},
      {"chinese", "[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+"},
      {"bloom", " ?[^(\\s|[.,!?\u2026\u3002\uFF0C\u3001\u0964\u06D4\u060C])]+"},
      {"spaces", R"(\s{8}(?!\S)|\s{2,4}(?=\S)|\S\s?|\s)"}};
  return kPatterns;
}

// Texts that mix everything that splits.
class Fuzz {
 public:
  explicit Fuzz(std::uint32_t seed) : random_(seed) {}

  std::string text() {
    static const std::vector<std::string> kParts = {" ",
                                                    "  ",
                                                    "\n",
                                                    "\r\n",
                                                    "\t",
                                                    "\u3000",
                                                    "\u00A0",
                                                    "\u0085",
                                                    "'s",
                                                    "'LL",
                                                    "'\u017F",
                                                    "don't",
                                                    "I'VE",
                                                    "123",
                                                    "4567890",
                                                    "\u00B2",
                                                    "\u0665",
                                                    "\u2167",
                                                    "abc",
                                                    "ABC",
                                                    "aBcD",
                                                    "\u00E9",
                                                    "e\u0301",
                                                    "\u01C5",
                                                    "\u4E16",
                                                    "\u3042",
                                                    "\uD55C",
                                                    "\u0E17\u0E35\u0E48",
                                                    "\u0928\u094D",
                                                    "\u093C",
                                                    "...",
                                                    "!?",
                                                    "$+",
                                                    "\u20AC",
                                                    "_",
                                                    "\u2026",
                                                    "\u3002",
                                                    "\x01",
                                                    "\x7F",
                                                    "\u200D",
                                                    "\uFE0F",
                                                    "\U0001F469",
                                                    "\U0001F3FD",
                                                    "\uFFFD",
                                                    "<|end|>",
                                                    "<|end|>>",
                                                    "<|",
                                                    "<s|>",
                                                    "<thinks>",
                                                    "</think>",
                                                    "<|en",
                                                    "d|>",
                                                    "/",
                                                    "\u2581",
                                                    "</s>",
                                                    "<think>",
                                                    "[INST]",
                                                    "\u1100\u1161"};
    std::string text;
    const int count = static_cast<int>(random_() % 24);
    for (int i = 0; i < count; ++i) {
      switch (random_() % 8) {
        case 0:
          append_utf8(character(), text);
          break;
        case 1:
          text += static_cast<char>(random_());  // often not UTF-8
          break;
        default:
          text += kParts[random_() % kParts.size()];
      }
    }
    return text;
  }

 private:
  char32_t character() {
    static constexpr char32_t kEnds[] = {0x80, 0x300, 0x3000, 0x10000, 0x20000, 0x110000};
    const auto c = static_cast<char32_t>(random_() % kEnds[random_() % 6]);
    return c >= 0xD800 && c < 0xE000 ? U'\uFFFD' : c;
  }

  std::mt19937 random_;
};

void expect_equal(const Both& pair, const std::string& name, int rounds) {
  ASSERT_NE(pair.ours, nullptr) << name << " is not a known pipeline";
  Fuzz fuzz(11);
  int fast = 0;
  for (int i = 0; i < rounds; ++i) {
    const std::string text = fuzz.text();
    const EncodeOptions options{.add_special = i % 3 == 0, .parse_special = i % 2 == 0};
    const auto ours = pair.ours->encode(text, options);
    if (!ours) continue;
    ++fast;
    const auto theirs = pair.theirs->encode(text, options);
    ASSERT_TRUE(theirs) << theirs.error().text();
    ASSERT_EQ(*ours, *theirs) << name << " " << Json(repaired_utf8(text)).dump(-1, ' ', true);
  }
  EXPECT_GT(fast, rounds / 8) << name;
  std::printf("  %-24s %d of %d texts, all equal\n", name.c_str(), fast, rounds);
}

TEST(FastPipeline, GivesTheIdsOfTheCrate) {
  expect_equal(both(unsplit(byte_level())), "ByteLevel", 4000);
  for (const auto& [name, pattern] : patterns()) {
    expect_equal(both(unsplit(split(pattern))), name, 1500);
  }
}

TEST(FastPipeline, WithDigitsNormalizationIgnoredMergesAndATemplate) {
  Json json = unsplit(
      {{"type", "Sequence"},
       {"pretokenizers", {{{"type", "Digits"}, {"individual_digits", true}}, byte_level()}}});
  json["normalizer"] = {{"type", "NFC"}};
  json["model"]["ignore_merges"] = true;
  const auto token = [](const char* text) { return Json{{"id", text}, {"type_id", 0}}; };
  json["post_processor"] = {
      {"type", "TemplateProcessing"},
      {"single",
       {{{"SpecialToken", token("<s|>")}},
        {{"Sequence", token("A")}},
        {{"SpecialToken", token("<|end|>")}}}},
      {"pair", Json::array({{{"Sequence", token("A")}}, {{"Sequence", token("B")}}})},
      {"special_tokens",
       {{"<s|>", {{"id", "<s|>"}, {"ids", {6003}}, {"tokens", {"<s|>"}}}},
        {"<|end|>", {{"id", "<|end|>"}, {"ids", {6000}}, {"tokens", {"<|end|>"}}}}}}};
  expect_equal(both(json), "NFC, template", 6000);
  json["pre_tokenizer"]["pretokenizers"][0]["individual_digits"] = false;
  json["normalizer"] = nullptr;
  expect_equal(both(json), "runs of digits", 1500);
}

TEST(FastPipeline, AddedTokensTakeSpacesAndAreNormalized) {
  Json json = unsplit(byte_level());
  int i = 0;
  for (Json& token : json["added_tokens"]) {
    token["lstrip"] = i % 2 == 0;
    token["rstrip"] = i % 3 == 0;
    token["normalized"] = i % 4 == 1;
    ++i;
  }
  ASSERT_GE(i, 6);
  expect_equal(both(json), "strips", 4000);
}

TEST(FastPipeline, EveryCharacterIsInTheClassThatTheCrateSees) {
  const Both pair = both(unsplit(split(patterns()[3].second)));
  ASSERT_NE(pair.ours, nullptr);
  // Between a letter, a number and marks a class shows; many to a text, for speed.
  int compared = 0;
  std::string text;
  for (char32_t c = 0; c < 0x110000; ++c) {
    const bool is_surrogate = c >= 0xD800 && c < 0xE000;
    if (!is_surrogate && char_category(c) != CharCategory::kUnassigned &&
        !(c >= 0x20000 && c % 64 != 0)) {  // planes of ideographs, then private ones
      for (const char* around : {"a", "1", "A."}) {
        append_utf8(c, text);
        text += around;
      }
      ++compared;
    }
    if (text.size() < 3000 && c + 1 < 0x110000) continue;
    const auto ours = pair.ours->encode(text, {});
    ASSERT_TRUE(ours);
    ASSERT_EQ(*ours, pair.theirs->encode(text, {}).value()) << "up to " << std::hex << +c;
    text.clear();
  }
  std::printf("  %d characters\n", compared);
  EXPECT_GT(compared, 60000);
}

TEST(FastPipeline, LeavesOtherPipelinesToTheCrate) {
  const auto is_known = [](const Json& json) {
    const auto file = read_tokenizer_file(json.dump());
    EXPECT_TRUE(file) << file.error().text();
    Vocabulary vocabulary;
    fill_vocabulary(*file, vocabulary);
    return make_fast_pipeline(*file, vocabulary) != nullptr;
  };
  const Json good = unsplit(byte_level());
  ASSERT_TRUE(is_known(good));
  const auto changed = [&](const char* pointer, const Json& value) {
    Json json = good;
    json[Json::json_pointer(pointer)] = value;
    return is_known(json);
  };
  EXPECT_FALSE(changed("/normalizer", {{"type", "NFKC"}}));
  EXPECT_FALSE(changed("/pre_tokenizer/add_prefix_space", true));
  EXPECT_FALSE(changed("/pre_tokenizer", {{"type", "Whitespace"}}));
  EXPECT_FALSE(changed("/pre_tokenizer", nullptr));
  EXPECT_FALSE(changed("/pre_tokenizer", split("(?<!x)a")));
  EXPECT_FALSE(changed("/pre_tokenizer", split("a*?")));
  EXPECT_FALSE(changed("/model/dropout", 0.5));
  EXPECT_FALSE(changed("/model/byte_fallback", true));
  EXPECT_FALSE(changed("/model/end_of_word_suffix", "</w>"));
  EXPECT_FALSE(changed("/post_processor",
                       {{"type", "BertProcessing"}, {"sep", {"<s|>", 1}}, {"cls", {"<s|>", 1}}}));
  EXPECT_FALSE(changed("/added_tokens/0/single_word", true));
  Json lost = good;
  lost["model"]["vocab"].erase("!");  // a byte that nothing spells
  lost["model"]["merges"] = Json::array();
  EXPECT_FALSE(is_known(lost));
}

// SentencePiece's vocabulary in the layouts of Llama 2's and Gemma's files.
Json sentence_piece() {
  static const Json base = Json::parse(tokenizer_json_of(small_vocabulary("spm")).value());
  Json json = base;
  const Json spaces = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\u2581"}};
  json["normalizer"] = {{"type", "Sequence"},
                        {"normalizers", {{{"type", "Prepend"}, {"prepend", "\u2581"}}, spaces}}};
  json["pre_tokenizer"] = nullptr;
  return json;
}

TEST(FastPipeline, SentencePieceGivesTheIdsOfTheCrate) {
  Json json = sentence_piece();
  expect_equal(both(json), "as Llama 2's", 6000);
  json["normalizer"] = json["normalizer"]["normalizers"][1];
  expect_equal(both(json), "without a prefix", 2000);
  json["pre_tokenizer"] = {{"type", "Split"},
                           {"pattern", {{"String", " "}}},
                           {"behavior", "MergedWithPrevious"},
                           {"invert", false}};
  expect_equal(both(json), "as Gemma's", 2000);
  // A merge across the beginning of a space: no part of the text stands alone.
  json["model"]["vocab"]["e\u2581"] = json["model"]["vocab"].size();
  json["model"]["merges"].insert(json["model"]["merges"].begin(), Json::array({"e", "\u2581"}));
  expect_equal(both(json), "merges across spaces", 3000);
  for (Json& token : json["added_tokens"]) token["lstrip"] = token["rstrip"] = true;
  expect_equal(both(json), "strips", 2000);
}

TEST(FastPipeline, LeavesOtherSentencePiecePipelinesToTheCrate) {
  const auto is_known = [](const Json& json) {
    const auto file = read_tokenizer_file(json.dump());
    EXPECT_TRUE(file) << file.error().text();
    Vocabulary vocabulary;
    fill_vocabulary(*file, vocabulary);
    return make_fast_pipeline(*file, vocabulary) != nullptr;
  };
  const Json good = sentence_piece();
  ASSERT_TRUE(is_known(good));
  const auto changed = [&](const char* pointer, const Json& value) {
    Json json = good;
    json[Json::json_pointer(pointer)] = value;
    return is_known(json);
  };
  EXPECT_FALSE(changed("/normalizer", nullptr));
  EXPECT_FALSE(changed("/normalizer", {{"type", "Lowercase"}}));
  EXPECT_FALSE(changed("/normalizer/normalizers/0/prepend", "x"));
  EXPECT_FALSE(changed("/normalizer/normalizers/1/content", "_"));
  EXPECT_FALSE(changed("/normalizer/normalizers/1/pattern", {{"Regex", " "}}));
  EXPECT_FALSE(changed("/pre_tokenizer", {{"type", "WhitespaceSplit"}}));
  EXPECT_FALSE(changed("/model/dropout", 0.5));
  EXPECT_FALSE(changed("/model/byte_fallback", false));
  EXPECT_FALSE(changed("/model/ignore_merges", true));
  EXPECT_FALSE(changed("/added_tokens/0/normalized", true));
  EXPECT_FALSE(changed("/added_tokens/0/single_word", true));
  Json letter = good;  // a special token of one character
  letter["added_tokens"][0]["content"] = "e";
  letter["added_tokens"][0]["id"] = letter["model"]["vocab"]["e"];
  letter["added_tokens"][0]["special"] = true;
  EXPECT_FALSE(is_known(letter));
  Json lost = good;
  lost["model"]["vocab"].erase("<0x41>");
  EXPECT_FALSE(is_known(lost));
}

TEST(UnicodeForms, TextThatNfcMayChangeIsFound) {
  for (const char* same : {"", "abc", "\u00E9\u00FC", "\u0928\u094D\u0926", "\u4E16\uD55C",
                           "\u0E17\u0E35\u0E48", "x\u0316\u0319"}) {
    EXPECT_TRUE(is_surely_nfc(same)) << same;
  }
  for (const char* other :
       {"e\u0301", "\u212B", "\u1100\u1161", "\u0958", "\u0330\u031B", "a\u0E38\u0E3A\u094D"}) {
    EXPECT_FALSE(is_surely_nfc(other)) << other;
  }
}

}  // namespace
}  // namespace paring::text
