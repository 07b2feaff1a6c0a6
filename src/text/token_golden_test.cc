// SPDX-License-Identifier: Apache-2.0
// Token ids against those of llama.cpp on the fixed list of lines (tools/make_token_list.py,
// tools/make_token_golden.py). Prints how many lines of each class were compared.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "text/fixture_for_test.h"
#include "text/tokenizer.h"
#include "text/tokenizer_json.h"
#include "text/unicode.h"

namespace paring::text {
namespace {

struct Line {
  std::string name;  // of the class; the scripts are one class
  std::string text;
};

std::vector<Line> read_lines() {
  std::vector<Line> lines;
  std::istringstream in(read_test_file("tokens/lines.jsonl"));
  for (std::string row; std::getline(in, row);) {
    const auto json = nlohmann::json::parse(row);
    const std::string name = json.at("class");
    lines.push_back({name.starts_with("script") ? "ten scripts" : name, json.at("text")});
  }
  return lines;
}

std::vector<Line> special_lines() {
  std::vector<Line> lines = read_lines();
  std::erase_if(lines, [](const Line& line) { return line.name != "special"; });
  return lines;
}

// Lists of ids: each a u16 count and that many u16.
std::vector<std::vector<std::int32_t>> read_ids(const std::string& path) {
  const std::string data = read_test_file(path);
  std::vector<std::uint16_t> words(data.size() / 2);
  std::memcpy(words.data(), data.data(), words.size() * 2);
  std::vector<std::vector<std::int32_t>> lists;
  for (std::size_t at = 0; at < words.size(); at += 1U + words[at]) {
    const auto begin = words.begin() + static_cast<std::ptrdiff_t>(at) + 1;
    lists.emplace_back(begin, begin + words[at]);
  }
  return lists;
}

std::vector<std::uint64_t> read_hashes(const std::string& path) {
  const std::string data = read_test_file(path);
  std::vector<std::uint64_t> hashes(data.size() / 8);
  std::memcpy(hashes.data(), data.data(), hashes.size() * 8);
  return hashes;
}

// FNV-1a over the ids as little-endian u32.
std::uint64_t hash_of(const std::vector<std::int32_t>& ids) {
  std::uint64_t hash = 0xCBF29CE484222325U;
  for (const std::int32_t id : ids) {
    for (int shift = 0; shift < 32; shift += 8) {
      hash ^= (static_cast<std::uint32_t>(id) >> shift) & 0xFFU;
      hash *= 0x100000001B3U;
    }
  }
  return hash;
}

std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

void print_counts(const std::string& what, const std::map<std::string, int>& counts) {
  for (const auto& [name, count] : counts) {
    std::printf("  %-24s %-12s %4d lines equal\n", what.c_str(), name.c_str(), count);
  }
}

void expect_ids(bool parse_special, const std::vector<Line>& lines, const std::string& path) {
  const auto tokenizer = Tokenizer::create(smollm2_spec());
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().text();
  const auto golden = read_ids(path);
  ASSERT_EQ(golden.size(), lines.size());
  std::map<std::string, int> counts;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto ids = (*tokenizer)->encode(lines[i].text, {.parse_special = parse_special});
    ASSERT_TRUE(ids.has_value()) << ids.error().text();
    EXPECT_EQ(*ids, golden[i]) << lines[i].name << " " << quoted(lines[i].text);
    counts[lines[i].name] += *ids == golden[i] ? 1 : 0;
  }
  print_counts(parse_special ? "smollm, parsed" : "smollm", counts);
}

TEST(TokenGolden, TheListHasFiveHundredLinesOfEachClass) {
  std::map<std::string, int> counts;
  for (const Line& line : read_lines()) ++counts[line.name];
  EXPECT_EQ(counts.size(), 7U);
  for (const auto& [name, count] : counts) EXPECT_GE(count, 500) << name;
}

TEST(TokenGolden, AllLinesWithSpecialTokensAsText) {
  expect_ids(false, read_lines(), "tokens/smollm.plain.ids");
}

TEST(TokenGolden, SpecialLinesWithSpecialTokensParsed) {
  expect_ids(true, special_lines(), "tokens/smollm.special.ids");
}

class OtherPreTokenizer : public ::testing::TestWithParam<const char*> {};

TEST_P(OtherPreTokenizer, GivesTheIdsOfLlamaCpp) {
  const std::string pre = GetParam();
  const auto tokenizer = Tokenizer::create(extended_spec(pre));
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().text();
  for (const bool parse_special : {false, true}) {
    const std::vector<Line> lines = parse_special ? special_lines() : read_lines();
    const auto golden =
        read_hashes("tokens/" + pre + (parse_special ? ".special.fnv" : ".plain.fnv"));
    ASSERT_EQ(golden.size(), lines.size());
    std::map<std::string, int> counts;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      const auto ids = (*tokenizer)->encode(lines[i].text, {.parse_special = parse_special});
      ASSERT_TRUE(ids.has_value()) << ids.error().text();
      EXPECT_EQ(hash_of(*ids), golden[i]) << lines[i].name << " " << quoted(lines[i].text);
      counts[lines[i].name] += hash_of(*ids) == golden[i] ? 1 : 0;
    }
    print_counts(pre + (parse_special ? ", parsed" : ""), counts);
  }
}

INSTANTIATE_TEST_SUITE_P(TokenGolden, OtherPreTokenizer,
                         ::testing::Values("default", "gpt-2", "llama-bpe", "qwen2"));

// Every kind of splitting, on a vocabulary in which a wrong cut shows
// (tools/make_pre_tokenizer_golden.py): a byte of the hash of each line's ids.
TEST(TokenGolden, EveryPreTokenizerAsLlamaCpp) {
  const auto about = nlohmann::json::parse(read_test_file("tokens/pre_tokenizers.json"));
  const std::string golden = read_test_file("tokens/pre_tokenizers.fnv");
  const std::vector<Line> lines = read_lines();
  ASSERT_EQ(golden.size(), about.at("names").size() * lines.size());
  std::size_t at = 0;
  for (const std::string name : about.at("names")) {
    TokenizerSpec spec = unsplit_spec();
    add_digit_groups(spec);
    spec.pre_tokenizer = name;
    const auto tokenizer = Tokenizer::create(spec);
    ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().text();
    int different = 0;
    for (const Line& line : lines) {
      const auto ids = (*tokenizer)->encode(line.text, {});
      ASSERT_TRUE(ids.has_value()) << ids.error().text();
      const std::uint64_t hash = hash_of(*ids);
      const std::uint64_t byte = (hash ^ (hash >> 8) ^ (hash >> 16) ^ (hash >> 24)) & 0xFFU;
      const bool is_equal = byte == static_cast<unsigned char>(golden[at++]);
      if (!is_equal && ++different < 4) ADD_FAILURE() << name << " " << quoted(line.text);
    }
    EXPECT_EQ(different, 0) << name;
    std::printf("  %-24s %zu lines compared\n", name.c_str(), lines.size());
  }
}

using Shared = std::shared_ptr<const Tokenizer>;

Shared made(Result<Shared> created) {
  EXPECT_TRUE(created.has_value()) << created.error().text();
  return created.has_value() ? *created : nullptr;
}

void expect_hashes(const Shared& tokenizer, const std::string& name) {
  ASSERT_NE(tokenizer, nullptr);
  for (const bool parse_special : {false, true}) {
    const std::vector<Line> lines = parse_special ? special_lines() : read_lines();
    const auto golden =
        read_hashes("tokens/" + name + (parse_special ? ".special.fnv" : ".plain.fnv"));
    ASSERT_EQ(golden.size(), lines.size());
    std::map<std::string, int> counts;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      const auto ids = tokenizer->encode(lines[i].text, {.parse_special = parse_special});
      ASSERT_TRUE(ids.has_value()) << ids.error().text();
      EXPECT_EQ(hash_of(*ids), golden[i]) << lines[i].name << " " << quoted(lines[i].text);
      counts[lines[i].name] += hash_of(*ids) == golden[i] ? 1 : 0;
    }
    print_counts(name + (parse_special ? ", parsed" : ""), counts);
  }
}

TEST(TokenGolden, SentencePieceBpeAsLlamaCpp) {
  expect_hashes(made(Tokenizer::create(small_vocabulary("spm"))), "spm");
}
TEST(TokenGolden, UnigramAsLlamaCpp) {
  expect_hashes(made(Tokenizer::create(small_vocabulary("unigram"))), "unigram");
}
TEST(TokenGolden, WordPieceAsLlamaCpp) {
  expect_hashes(made(Tokenizer::create(small_vocabulary("word_piece"))), "word_piece");
}

TEST(TokenGolden, TokenizerJsonAsHuggingFace) {
  const std::string json = read_test_file("tokenizer/word_piece.tokenizer.json");
  expect_hashes(made(Tokenizer::create_from_json(json, {})), "word_piece_json");
}

TEST(TokenGolden, AConvertedTokenizerJsonIsTheVocabularyOfTheGgufFile) {
  const auto spec =
      spec_of_tokenizer_json(read_test_file("tokenizer/word_piece.tokenizer.json"), {});
  ASSERT_TRUE(spec.has_value()) << spec.error().text();
  const TokenizerSpec expected = small_vocabulary("word_piece");
  EXPECT_EQ(spec->model, expected.model);
  EXPECT_EQ(spec->tokens, expected.tokens);
  EXPECT_EQ(spec->token_types, expected.token_types);
  EXPECT_EQ(spec->bos, expected.bos);
  EXPECT_EQ(spec->sep, expected.sep);
  EXPECT_EQ(spec->unk, expected.unk);
}

// Export: through a tokenizer.json of ours, the crate gives the ids of the vocabulary. WordPiece is
// left out, where llama.cpp and `tokenizers` differ on marks and unknown words.
TEST(TokenGolden, AnExportedTokenizerJsonGivesTheSameIds) {
  std::map<std::string, TokenizerSpec> specs = {{"spm", small_vocabulary("spm")}};
  for (const char* pre : {"gpt-2", "llama-bpe", "qwen2", "qwen35", "smollm"}) {
    specs[pre] = smollm2_spec();
    specs[pre].pre_tokenizer = pre;
  }
  for (const auto& [name, spec] : specs) {
    const auto json = tokenizer_json_of(spec);
    ASSERT_TRUE(json.has_value()) << name << json.error().text();
    const Shared own = made(Tokenizer::create(spec));
    const Shared exported = made(Tokenizer::create_from_json(*json, {}));
    const auto back = spec_of_tokenizer_json(*json, {});
    ASSERT_TRUE(back.has_value()) << name << back.error().text();
    EXPECT_EQ(back->model, spec.model) << name;
    EXPECT_EQ(back->pre_tokenizer, name == "spm" ? "" : name);
    int different = 0;
    for (const Line& line : read_lines()) {
      if (line.name == "control") continue;  // bytes without a token: left out here, merged there
      const auto ids = own->encode(line.text, {.add_special = true});
      const auto again = exported->encode(line.text, {.add_special = true});
      ASSERT_TRUE(ids.has_value() && again.has_value()) << name;
      if (*ids != *again && ++different < 4) {
        EXPECT_EQ(*ids, *again) << name << " " << line.name << " " << quoted(line.text);
      }
    }
    EXPECT_EQ(different, 0) << name;
  }
}

// Whatever the kind: pieces add up to decode(), are well-formed, and text comes back.
TEST(TokenGolden, StreamsOfAllKindsAddUpToDecode) {
  const std::string json = read_test_file("tokenizer/word_piece.tokenizer.json");
  const std::vector<Shared> tokenizers = {
      made(Tokenizer::create(small_vocabulary("spm"))),
      made(Tokenizer::create(small_vocabulary("unigram"))),
      made(Tokenizer::create(small_vocabulary("word_piece"))),
      made(Tokenizer::create_from_json(json, {})),
      made(Tokenizer::create_from_json(tokenizer_json_of(small_vocabulary("spm")).value(), {})),
      made(Tokenizer::create_from_json(tokenizer_json_of(small_vocabulary("unigram")).value(), {})),
      made(Tokenizer::create(extended_spec("llama-bpe"))),
      made(Tokenizer::create(unsplit_spec())),
      made(Tokenizer::create_from_json(tokenizer_json_of(unsplit_spec()).value(), {}))};
  std::mt19937 random(5);
  for (const Shared& tokenizer : tokenizers) {
    ASSERT_NE(tokenizer, nullptr);
    for (int round = 0; round < 400; ++round) {
      std::vector<std::int32_t> ids(random() % 50);
      // Half of them from the beginning, where byte tokens lie.
      const auto count = static_cast<std::uint32_t>(tokenizer->vocab_size());
      for (auto& id : ids) {
        id = static_cast<std::int32_t>(random() % (random() % 2 ? 265U : count));
      }
      const DecodeOptions options{.skip_special = random() % 2 == 0,
                                  .is_continuation = random() % 2 == 0};
      StreamDecoder decoder(tokenizer, options);
      std::string all;
      for (const std::int32_t id : ids) {
        const std::string piece = decoder.push(id);
        ASSERT_TRUE(is_well_formed_utf8(piece));
        all += piece;
      }
      all += decoder.finish();
      ASSERT_EQ(all, tokenizer->decode(ids, options).value());
    }
  }
  for (const std::string text : {"Hello world", " a  b", "na\u00EFve \U0001FAE8\n"}) {
    const auto ids = tokenizers[0]->encode(text, {});
    EXPECT_EQ(tokenizers[0]->decode(*ids).value(), text);
  }
}

// Where every byte has a token text comes back, however its characters are cut; and while it comes,
// nothing but whole characters of it is shown.
TEST(TokenGolden, TextStreamsBackCharacterByCharacter) {
  const std::vector<Shared> tokenizers = {
      made(Tokenizer::create(small_vocabulary("spm"))),
      made(Tokenizer::create_from_json(tokenizer_json_of(small_vocabulary("spm")).value(), {})),
      made(Tokenizer::create(unsplit_spec())),
      made(Tokenizer::create_from_json(tokenizer_json_of(unsplit_spec()).value(), {}))};
  for (const Shared& tokenizer : tokenizers) {
    ASSERT_NE(tokenizer, nullptr);
    int waited = 0;
    for (const Line& line : read_lines()) {
      // Behind a user-defined token SentencePiece begins with a space again.
      if (line.name == "special") continue;
      const auto ids = tokenizer->encode(line.text, {});
      ASSERT_TRUE(ids.has_value());
      StreamDecoder decoder(tokenizer, {.skip_special = true, .is_continuation = false});
      std::string shown;
      for (const std::int32_t id : *ids) {
        const std::string piece = decoder.push(id);
        waited += piece.empty() ? 1 : 0;
        shown += piece;
        ASSERT_TRUE(is_well_formed_utf8(piece));
        ASSERT_TRUE(line.text.starts_with(shown)) << quoted(line.text) << quoted(shown);
      }
      ASSERT_EQ(decoder.finish(), "");
      ASSERT_EQ(shown, line.text);
    }
    EXPECT_GT(waited, 1000);  // characters of several tokens
  }
}

TEST(TokenGolden, ControlTokensInTextStayText) {
  const auto from_json = [](const TokenizerSpec& spec) {
    return made(Tokenizer::create_from_json(tokenizer_json_of(spec).value(), {}));
  };
  const std::string word_piece = read_test_file("tokenizer/word_piece.tokenizer.json");
  struct Case {
    Shared tokenizer;
    const char* text;
    const char* control;
  };
  const char* const kSentencePiece = "a </s> b<s>";
  const char* const kWordPiece = "a [SEP] b[CLS]";
  const char* const kByteLevel = "a <|im_end|> b<|im_start|>";
  const Case cases[] = {
      {made(Tokenizer::create(small_vocabulary("spm"))), kSentencePiece, "</s>"},
      {from_json(small_vocabulary("spm")), kSentencePiece, "</s>"},
      {made(Tokenizer::create(small_vocabulary("unigram"))), kSentencePiece, "</s>"},
      {from_json(small_vocabulary("unigram")), kSentencePiece, "</s>"},
      {made(Tokenizer::create(small_vocabulary("word_piece"))), kWordPiece, "[SEP]"},
      {made(Tokenizer::create_from_json(word_piece, {})), kWordPiece, "[SEP]"},
      {made(Tokenizer::create(smollm2_spec())), kByteLevel, "<|im_end|>"},
      {made(Tokenizer::create(extended_spec("llama-bpe"))), kByteLevel, "<|im_end|>"},
      {from_json(smollm2_spec()), kByteLevel, "<|im_end|>"}};
  for (const auto& [tokenizer, text, control] : cases) {
    ASSERT_NE(tokenizer, nullptr);
    const auto id = tokenizer->find(control);
    ASSERT_TRUE(id.has_value());
    const auto plain = tokenizer->encode(text, {});
    const auto parsed = tokenizer->encode(text, {.parse_special = true});
    ASSERT_TRUE(plain.has_value() && parsed.has_value());
    EXPECT_EQ(std::count(parsed->begin(), parsed->end(), *id), 1) << text;
    for (const std::int32_t each : *plain) {
      // What a vocabulary cannot spell is its unknown token.
      EXPECT_TRUE(!tokenizer->is_special(each) || tokenizer->spelling(each) == "<unk>" ||
                  tokenizer->spelling(each) == "[UNK]")
          << text << " " << each;
    }
  }
}

// Megabytes that invite quadratic work. Seconds are generous: they catch a change of complexity.
TEST(TokenGolden, NothingIsQuadratic) {
  std::mt19937 random(3);
  std::string bytes(1 << 20, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  std::string emoji;
  while (emoji.size() < (1 << 20)) emoji += "\U0001F469\u200D\U0001F4BB";
  std::string specials;
  while (specials.size() < (1 << 20)) specials += "</s>";
  const std::vector<std::pair<const char*, std::string>> texts = {
      {"one letter", std::string(1 << 20, 'a')},
      {"spaces", std::string(1 << 20, ' ')},
      {"emoji", emoji},
      {"random bytes", bytes},
      {"control tokens", specials}};
  const std::string word_piece = read_test_file("tokenizer/word_piece.tokenizer.json");
  const std::map<std::string, Shared> tokenizers = {
      {"bpe", made(Tokenizer::create(smollm2_spec()))},
      {"llama-bpe", made(Tokenizer::create(extended_spec("llama-bpe")))},
      {"spm", made(Tokenizer::create(small_vocabulary("spm")))},
      {"unigram", made(Tokenizer::create(small_vocabulary("unigram")))},
      {"word_piece", made(Tokenizer::create(small_vocabulary("word_piece")))},
      {"word_piece.json", made(Tokenizer::create_from_json(word_piece, {}))},
      {"qwen2.json",
       made(Tokenizer::create_from_json(tokenizer_json_of(extended_spec("qwen2")).value(), {}))},
      {"unigram.json", made(Tokenizer::create_from_json(
                           tokenizer_json_of(small_vocabulary("unigram")).value(), {}))}};
  for (const auto& [name, tokenizer] : tokenizers) {
    std::printf("  %-16s", name.c_str());
    for (const auto& [what, text] : texts) {
      const auto begin = std::chrono::steady_clock::now();
      EXPECT_TRUE(tokenizer->encode(text, {}).has_value()) << name << " " << what;
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
      std::printf(" %s %.2f s", what, seconds.count());
      EXPECT_LT(seconds.count(), 20.0) << name << " " << what;
    }
    std::printf("\n");
  }
}

TEST(TokenizerJson, RefusesWhatIsNotOne) {
  const std::string deep = std::string(R"({"model":)") + std::string(100, '[');
  const std::pair<std::string, ErrorCode> cases[] = {
      {"", ErrorCode::kCorrupt},
      {"[]", ErrorCode::kCorrupt},
      {deep, ErrorCode::kExhausted},
      {R"({"model":{"type":"BPE"}})", ErrorCode::kCorrupt},
      {R"({"model":{"type":"BPE","vocab":{"a":-1},"merges":[]}})", ErrorCode::kCorrupt},
      {R"({"model":{"type":"BPE","vocab":{"a":4000000000},"merges":[]}})", ErrorCode::kCorrupt},
      {R"({"model":{"type":"BPE","vocab":{"a":0,"b":0},"merges":[]}})", ErrorCode::kCorrupt},
      {R"({"model":{"type":"BPE","vocab":{"a":0},"merges":["a"]}})", ErrorCode::kCorrupt},
      {R"({"model":{"type":"BPE","vocab":{"a":0},"merges":["a b"]}})", ErrorCode::kCorrupt},
      {R"({"model":{"type":"Unigram","vocab":[["a"]]}})", ErrorCode::kCorrupt},
      {R"({"model":{"type":"Nothing","vocab":{"a":0}}})", ErrorCode::kCorrupt},
      {R"({"decoder":{"type":"CTC"},"model":{"type":"BPE","vocab":{"a":0},"merges":[]}})",
       ErrorCode::kUnsupported}};
  for (const auto& [json, code] : cases) {
    const auto created = Tokenizer::create_from_json(json, {});
    ASSERT_FALSE(created.has_value()) << json.substr(0, 80);
    EXPECT_EQ(created.error().code, code) << created.error().text();
  }
}

TEST(TokenizerJson, DeepNestingIsRefusedWithWhatToDo) {
  const auto nested = [](int depth) {
    const auto levels = static_cast<std::size_t>(depth);
    return R"({"model":)" + std::string(levels, '[') + std::string(levels, ']') + "}";
  };
  const auto refusal = [](auto result) { return result ? "" : result.error().text(); };
  const std::string hint =
      "; a model's file of this name is far smaller and flatter; fetch it again";
  const std::string levels = " is nested deeper than 64 levels at byte 72";
  for (const int depth : {64, 100'000}) {
    EXPECT_EQ(refusal(Tokenizer::create_from_json(nested(depth), {})),
              "tokenizer.json" + levels + hint);
    EXPECT_EQ(refusal(spec_of_tokenizer_json(nested(depth), {})), "tokenizer.json" + levels + hint);
    EXPECT_EQ(refusal(read_tokenizer_config(nested(depth), "")),
              "tokenizer_config.json" + levels + hint);
    EXPECT_EQ(refusal(read_tokenizer_config("", nested(depth))),
              "generation_config.json" + levels + hint);
  }
  // 64 levels are read, and found to be no tokenizer; brackets in texts are no levels.
  EXPECT_EQ(refusal(Tokenizer::create_from_json(nested(63), {})).find("nested"), std::string::npos);
  EXPECT_TRUE(read_tokenizer_config(R"({"bos_token":")" + std::string(100, '[') + "\"}", ""));
}

TEST(TokenizerJson, AnUnknownPreTokenizerIsAnErrorOfConversionOnly) {
  const std::string json =
      R"x({"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":)x"
      R"x({"Regex":"\\p{L}+"},"behavior":"Isolated","invert":false},{"type":"ByteLevel",)x"
      R"x("add_prefix_space":false,"trim_offsets":true,"use_regex":false}]},)x"
      R"x("decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,)x"
      R"x("use_regex":true},"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},)x"
      R"x("merges":["a b"]}})x";
  const Shared tokenizer = made(Tokenizer::create_from_json(json, {}));
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->encode("abb", {}).value(), (std::vector<std::int32_t>{2, 1}));
  const auto spec = spec_of_tokenizer_json(json, {});
  ASSERT_FALSE(spec.has_value());
  EXPECT_EQ(spec.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(spec.error().message.find("\\p{L}+"), std::string::npos) << spec.error().text();
}

// Gemma 3's folders: runs of spaces are user-defined tokens that merges make in several ways.
TEST(TokenizerJson, UserDefinedSpacesMayBeMergedAtSeveralRanks) {
  auto json = nlohmann::json::parse(tokenizer_json_of(small_vocabulary("spm")).value());
  auto& vocab = json["model"]["vocab"];
  const std::string space = "\u2581";
  std::string run = space;
  for (int size = 2; size <= 4; ++size) {
    run += space;
    if (vocab.contains(run)) continue;
    const std::size_t id = vocab.size();
    vocab[run] = id;
  }
  const std::string two = space + space;
  auto& merges = json["model"]["merges"];
  for (const auto& [left, right] : {std::pair(two + space, space), std::pair(two, space)}) {
    merges.insert(merges.begin(), nlohmann::json::array({left, right}));
    merges.push_back(nlohmann::json::array({right, left}));
  }
  const auto refused = spec_of_tokenizer_json(json.dump(), {});
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message.find("at two ranks"), std::string::npos);
  for (const std::string& text : {two, two + space, two + two}) {
    json["added_tokens"].push_back({{"id", vocab[text]},
                                    {"content", text},
                                    {"single_word", false},
                                    {"lstrip", false},
                                    {"rstrip", false},
                                    {"normalized", false},
                                    {"special", false}});
  }
  const auto spec = spec_of_tokenizer_json(json.dump(), {});
  ASSERT_TRUE(spec.has_value()) << spec.error().text();
  const auto id = vocab[two + two].get<std::size_t>();
  EXPECT_EQ(spec->tokens[id], "    ");
  EXPECT_EQ(spec->token_types[id], kTokenUserDefined);
  const Shared tokenizer = made(Tokenizer::create(*spec));
  const auto ids = tokenizer->encode("a    b", {});
  EXPECT_EQ(std::count(ids->begin(), ids->end(), static_cast<std::int32_t>(id)), 1);
}

TEST(TokenizerJson, ReadsTheConfigurationBesideIt) {
  const auto config = read_tokenizer_config(
      R"({"bos_token":"<s>","eos_token":{"content":"</s>"},"unk_token":null,)"
      R"("chat_template":[{"name":"tool_use","template":"t"},{"name":"default","template":"d"}]})",
      R"({"eos_token_id":[2,7]})");
  ASSERT_TRUE(config.has_value()) << config.error().text();
  EXPECT_EQ(config->bos, "<s>");
  EXPECT_EQ(config->eos, "</s>");
  EXPECT_EQ(config->unk, std::nullopt);
  EXPECT_EQ(config->chat_template, "d");
  EXPECT_EQ(config->end_ids, (std::vector<std::int32_t>{2, 7}));
  EXPECT_FALSE(read_tokenizer_config("[1]", "").has_value());
  EXPECT_FALSE(read_tokenizer_config(R"({"bos_token":5})", "").has_value());
  EXPECT_FALSE(read_tokenizer_config("", R"({"eos_token_id":-1})").has_value());
}

TEST(TokenGolden, TheSameTokensEndAGeneration) {
  const auto golden = nlohmann::json::parse(read_test_file("tokens/golden.json"));
  for (const bool is_extended : {false, true}) {
    const auto tokenizer = Tokenizer::create(is_extended ? extended_spec("qwen2") : smollm2_spec());
    ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().text();
    std::vector<std::int32_t> ends;
    for (std::size_t id = 0; id < (*tokenizer)->vocab_size(); ++id) {
      if ((*tokenizer)->is_end(static_cast<std::int32_t>(id))) {
        ends.push_back(static_cast<std::int32_t>(id));
      }
    }
    const auto expected = golden.at(is_extended ? "extended_ends" : "ends");
    EXPECT_EQ(ends, expected.get<std::vector<std::int32_t>>());
  }
}

}  // namespace
}  // namespace paring::text
