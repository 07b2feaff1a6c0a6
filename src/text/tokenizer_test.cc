// SPDX-License-Identifier: Apache-2.0
// The tokenizer beyond the golden ids: special tokens, broken input, hostile vocabularies, decoding
// and streaming, threads, speed.
#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "text/fixture_for_test.h"
#include "text/unicode.h"

namespace paring::text {
namespace {

using Ids = std::vector<std::int32_t>;
using Shared = std::shared_ptr<const Tokenizer>;

Shared made(const TokenizerSpec& spec) {
  auto created = Tokenizer::create(spec);
  EXPECT_TRUE(created.has_value()) << created.error().text();
  return created.has_value() ? *created : nullptr;
}

const Shared& smollm2() {
  static const Shared tokenizer = made(smollm2_spec());
  return tokenizer;
}

Ids encoded(const Tokenizer& tokenizer, std::string_view text, EncodeOptions options = {}) {
  const auto ids = tokenizer.encode(text, options);
  EXPECT_TRUE(ids.has_value());
  return ids.has_value() ? *ids : Ids{};
}

// 0 "<s>" control, then a b c ab abc, the byte 0xC3 as its character, and "</s>".
TokenizerSpec small_spec() {
  TokenizerSpec spec;
  spec.pre_tokenizer = "gpt-2";
  spec.tokens = {"<s>", "a", "b", "c", "ab", "abc", "\u00C3", "</s>"};
  spec.token_types = {3, 1, 1, 1, 1, 1, 1, 1};
  spec.merges = {"a b", "ab c"};
  spec.bos = 0;
  spec.eos = 7;
  return spec;
}

void expect_refused(const TokenizerSpec& spec, ErrorCode code, const std::string& part) {
  const auto created = Tokenizer::create(spec);
  ASSERT_FALSE(created.has_value()) << part;
  EXPECT_EQ(created.error().code, code) << created.error().text();
  EXPECT_NE(created.error().text().find(part), std::string::npos) << created.error().text();
}

bool is_valid_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text, at);
    if (step.kind != Utf8Step::Kind::kCharacter) return false;
    at += step.size;
  }
  return true;
}

TEST(Tokenizer, MergesByRank) {
  const Shared tokenizer = made(small_spec());
  EXPECT_EQ(encoded(*tokenizer, "abcab"), (Ids{5, 4}));
  EXPECT_EQ(encoded(*tokenizer, ""), Ids{});
}

TEST(Tokenizer, LeavesOutBytesWithoutATokenAndDoesNotMergeAcrossThem) {
  const Shared tokenizer = made(small_spec());
  EXPECT_EQ(encoded(*tokenizer, "azb"), (Ids{1, 2}));  // not "ab"
  EXPECT_EQ(encoded(*tokenizer, "\u00E9"), (Ids{6}));  // C3 A9, and A9 is unknown
}

TEST(Tokenizer, AddsBosAndEosOnlyWhenAskedAndConfigured) {
  TokenizerSpec spec = small_spec();
  EXPECT_EQ(encoded(*made(spec), "a", {.add_special = true}), (Ids{1}));
  spec.add_bos = spec.add_eos = true;
  const Shared tokenizer = made(spec);
  EXPECT_EQ(encoded(*tokenizer, "a", {.add_special = true}), (Ids{0, 1, 7}));
  EXPECT_EQ(encoded(*tokenizer, "", {.add_special = true}), (Ids{0, 7}));
  EXPECT_EQ(encoded(*tokenizer, "a"), (Ids{1}));
}

TEST(Tokenizer, SpecialTokensInTextNeedAskingFor) {
  const std::string text = "<|im_start|>user\nhi<|im_end|>";
  const Ids parsed = encoded(*smollm2(), text, {.parse_special = true});
  ASSERT_GE(parsed.size(), 2U);
  EXPECT_EQ(parsed.front(), 1);
  EXPECT_EQ(parsed.back(), 2);
  for (const std::int32_t id : encoded(*smollm2(), text)) EXPECT_FALSE(smollm2()->is_special(id));
  EXPECT_EQ(smollm2()->decode(encoded(*smollm2(), text), {.skip_special = true}).value(), text);
  EXPECT_EQ(smollm2()->decode(parsed, {.skip_special = true}).value(), "user\nhi");
  EXPECT_EQ(smollm2()->decode(parsed, {.skip_special = false}).value(), text);
}

// 0 "<s>" and 5 "<|end|>" control, 6 "<mask>" user-defined, and letters with white space.
TokenizerSpec spec_with_space() {
  TokenizerSpec spec;
  spec.pre_tokenizer = "gpt-2";
  spec.tokens = {"<s>", "a", "b", "\u0120", "\u010A", "<|end|>", "<mask>"};
  spec.token_types = {3, 1, 1, 1, 1, 3, 4};
  return spec;
}

TEST(Tokenizer, SomeTokensTakeTheWhiteSpaceBesideThem) {
  TokenizerSpec spec = spec_with_space();
  spec.strip_left = {6};
  spec.strip_right = {0, 1, 5};  // 1 is plain text: no effect
  const Shared tokenizer = made(spec);
  const auto ids = [&](std::string_view text) {
    return encoded(*tokenizer, text, {.parse_special = true});
  };
  EXPECT_EQ(ids("a <mask> b"), (Ids{1, 6, 3, 2}));
  EXPECT_EQ(ids(" \n\t\v\f\r<mask>"), Ids{6});
  EXPECT_EQ(ids("a <|end|> \n b"), (Ids{1, 3, 5, 2}));
  EXPECT_EQ(ids("<|end|> \n"), Ids{5});
  EXPECT_EQ(ids("<|end|>  <|end|> <mask> a"), (Ids{5, 5, 6, 3, 1}));
  EXPECT_EQ(ids("a b"), (Ids{1, 3, 2}));
  // A control token that stays text takes nothing; nor does space that is not ASCII count.
  EXPECT_EQ(encoded(*tokenizer, "<|end|> a"), (Ids{3, 1}));
  EXPECT_EQ(ids("<|end|>\u00A0 a").size(), 3U);
}

TEST(Tokenizer, StripRulesGoByNames) {
  const auto rules = [](std::string_view pre, std::string_view name,
                        std::string_view architecture) {
    TokenizerSpec spec = spec_with_space();
    spec.pre_tokenizer = pre;
    spec.tokens.insert(spec.tokens.end(), {"[MASK]", "<unk>", "<|endoftext|>", "</s>"});
    add_strip_rules(spec, name, architecture);
    return std::pair(spec.strip_left, spec.strip_right);
  };
  EXPECT_EQ(rules("gpt-2", "A model", "llama"), std::pair(Ids{}, Ids{}));
  EXPECT_EQ(rules("gpt-2", "My PHI-3 mini", "phi3"),
            std::pair(Ids{}, (Ids{1, 2, 3, 4, 5, 6, 7, 10})));
  EXPECT_EQ(rules("gpt-2", "", "phi3"), std::pair(Ids{}, Ids{}));
  EXPECT_EQ(rules("jina-v2-code", "phi3", ""), std::pair(Ids{6}, Ids{}));
  EXPECT_EQ(rules("gpt-2", "", "jina-bert-v3"), std::pair(Ids{6}, Ids{}));
  EXPECT_EQ(rules("gpt-2", "Modern-BERT base", "modern-bert"), std::pair(Ids{7}, Ids{}));
}

TEST(Tokenizer, KnowsWhatItsTokensAre) {
  EXPECT_EQ(smollm2()->vocab_size(), 49152U);
  EXPECT_EQ(smollm2()->bos(), 1);
  EXPECT_EQ(smollm2()->eos(), 2);
  EXPECT_EQ(smollm2()->find("<|im_end|>"), 2);
  EXPECT_EQ(smollm2()->find("no such token"), std::nullopt);
  EXPECT_TRUE(smollm2()->is_end(2));
  EXPECT_TRUE(smollm2()->is_special(3));
  EXPECT_FALSE(smollm2()->is_end(1));
  const std::int32_t space_the = smollm2()->find("\u0120the").value();
  EXPECT_EQ(smollm2()->token_bytes(space_the), " the");
  EXPECT_EQ(smollm2()->token_bytes(-1), "");
  EXPECT_EQ(smollm2()->token_bytes(49152), "");
  EXPECT_FALSE(smollm2()->is_special(49152));
  EXPECT_TRUE(default_spec(TokenizerModel::kBpe, "llama-bpe").add_bos);
  EXPECT_FALSE(default_spec(TokenizerModel::kBpe, "smollm").add_bos);
}

TEST(Tokenizer, BrokenUtf8CountsAsReplacementCharacters) {
  const std::string replaced = "a\uFFFD\uFFFD b";
  for (const char* broken : {"a\xE2\x82 b", "a\xFF\xFE b", "a\xC0\x80 b", "a\x80\xBF b"}) {
    EXPECT_EQ(encoded(*smollm2(), broken), encoded(*smollm2(), replaced)) << broken;
  }
  EXPECT_EQ(encoded(*smollm2(), "\xED\xA0\x80"), encoded(*smollm2(), "\uFFFD\uFFFD\uFFFD"));
  EXPECT_EQ(encoded(*smollm2(), "\xF4\x90\x80\x80").size(),
            encoded(*smollm2(), "\uFFFD\uFFFD\uFFFD\uFFFD").size());
}

TEST(Tokenizer, RandomBytesNeverFailAndTextComesBack) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    std::string bytes(random() % 200, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    const Ids ids = encoded(*smollm2(), bytes, {.parse_special = true});
    for (const std::int32_t id : ids) EXPECT_LT(id, 49152);
  }
  const std::string text =
      "Gr\u00F6\u00DFe \u3000 \u043D\u0430\u0443\u043A\u0430\t\n\n  12345 "
      "\U0001F469\u200D\U0001F4BB it's <x>\r\n";
  EXPECT_EQ(smollm2()->decode(encoded(*smollm2(), text), {.skip_special = false}).value(), text);
}

TEST(Tokenizer, RefusesHostileVocabularies) {
  TokenizerSpec spec = small_spec();
  spec.tokens[2] = "a";
  expect_refused(spec, ErrorCode::kCorrupt, "tokens 1 and 2");
  spec = small_spec();
  spec.merges.push_back("a x");
  expect_refused(spec, ErrorCode::kCorrupt, "\"x\"");
  spec.merges.back() = "b c";
  expect_refused(spec, ErrorCode::kCorrupt, "which is not a token");
  for (const char* merge : {"", " ", "ab", "a ", "a"}) {
    spec.merges.back() = merge;
    expect_refused(spec, ErrorCode::kCorrupt, "merge 2");
  }
  spec = {};
  expect_refused(spec, ErrorCode::kCorrupt, "empty");
  spec = small_spec();
  spec.token_types.pop_back();
  expect_refused(spec, ErrorCode::kCorrupt, "token types");
  spec = small_spec();
  spec.merges.clear();
  spec.tokens[3] = "\xFF\xFE";
  expect_refused(spec, ErrorCode::kCorrupt, "UTF-8");
  for (const float score :
       {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
        std::numeric_limits<float>::quiet_NaN()}) {
    spec = small_spec();
    spec.scores.assign(spec.tokens.size(), 0.0F);
    spec.scores[1] = score;  // with an infinite sum no path is the best
    expect_refused(spec, ErrorCode::kCorrupt, "score of token 1");
  }
  for (const std::int32_t id : {-1, 8, std::numeric_limits<std::int32_t>::min()}) {
    spec = small_spec();
    spec.eos = id;
    expect_refused(spec, ErrorCode::kCorrupt, "eos token");
  }
  spec = small_spec();
  spec.add_bos = true;
  spec.bos.reset();
  expect_refused(spec, ErrorCode::kCorrupt, "no BOS");
}

TEST(Tokenizer, RefusesByteTokensThatAreNone) {
  for (const char* text : {"<0x-1>", "<0xGG>", "<0x1>", "<0x100>", "<0x>", "<0x 1>", "<0x+1>",
                           "<0xff>", "<0X41>", "0x41", "a", ""}) {
    TokenizerSpec spec = small_spec();
    spec.tokens[3] = text;
    spec.token_types[3] = kTokenByte;
    spec.tokens[1] = "z";  // the text "a" stands once only
    spec.merges.clear();
    expect_refused(spec, ErrorCode::kCorrupt, "token 3 has the type 6 (byte) and the text \"");
    expect_refused(spec, ErrorCode::kCorrupt, std::string("\"") + text + "\"");
    expect_refused(spec, ErrorCode::kCorrupt, "<0x00> to <0xFF>");
  }
  TokenizerSpec spec = small_spec();
  spec.merges.clear();
  spec.tokens[3] = "<0xE9>";
  spec.token_types[3] = kTokenByte;
  EXPECT_EQ(made(spec)->token_bytes(3), "\xE9");
}

TEST(Tokenizer, RefusesAbsurdSizes) {
  TokenizerSpec spec = small_spec();
  spec.tokens[1] = std::string(kTokenBytesMax + 1, 'a');
  expect_refused(spec, ErrorCode::kCorrupt, "4097 bytes");
  spec = small_spec();
  spec.tokens.assign(kVocabTokensMax + 1, "a");
  expect_refused(spec, ErrorCode::kCorrupt, "1048577 tokens");
  spec = small_spec();
  spec.merges.assign(kMergesMax + 1, "a b");
  expect_refused(spec, ErrorCode::kCorrupt, "merges");
  const auto ids = smollm2()->encode(std::string(kTextBytesMax + 1, ' '), {});
  ASSERT_FALSE(ids.has_value());
  EXPECT_EQ(ids.error().code, ErrorCode::kInvalidArgument);
  EXPECT_FALSE(smollm2()->decode(Ids{49152}).has_value());
  EXPECT_FALSE(smollm2()->decode(Ids{-1}).has_value());
}

TEST(Tokenizer, SaysWhatItDoesNotSupport) {
  TokenizerSpec spec = small_spec();
  spec.pre_tokenizer = "no-such-splitting";
  expect_refused(spec, ErrorCode::kUnsupported, "supported are default, gpt-2");
}

TEST(Tokenizer, EqualMergesKeepTheFirstRankAndEmptyTokensAreNamed) {
  TokenizerSpec spec = small_spec();
  spec.tokens.push_back("bc");
  spec.tokens.push_back("");
  spec.token_types.insert(spec.token_types.end(), {1, 1});
  spec.merges = {"b c", "a b", "b c"};
  const Shared tokenizer = made(spec);
  EXPECT_EQ(encoded(*tokenizer, "abc"), (Ids{1, 8}));
  EXPECT_EQ(tokenizer->token_bytes(9), "[EMPTY_9]");
}

TEST(Tokenizer, OneWordOfAMegabyteIsNotQuadratic) {
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(encoded(*smollm2(), std::string(1 << 20, 'a')).empty());
  EXPECT_FALSE(encoded(*smollm2(), std::string(1 << 20, ' ')).empty());
  const auto elapsed = std::chrono::steady_clock::now() - begin;
  EXPECT_LT(elapsed, std::chrono::seconds(30));
}

TEST(Tokenizer, IsSharedByThreads) {
  const std::string text = "Threads share one tokenizer: 42 \u043D\u0430\u0443\u043A\u0430\n";
  const Ids expected = encoded(*smollm2(), text);
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (int& count : wrong) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) count += encoded(*smollm2(), text) == expected ? 0 : 1;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

TEST(StreamDecoder, PiecesAreWellFormedAndAddUpToDecode) {
  std::mt19937 random(11);
  for (const bool skip_special : {true, false}) {
    for (int round = 0; round < 500; ++round) {
      Ids ids(random() % 60);
      // Half of them from the first 300: single bytes, which make broken characters.
      for (auto& id : ids) id = static_cast<std::int32_t>(random() % (random() % 2 ? 300 : 49152));
      const DecodeOptions options{.skip_special = skip_special};
      StreamDecoder decoder(smollm2(), options);
      std::string all;
      for (const std::int32_t id : ids) {
        const std::string piece = decoder.push(id);
        ASSERT_TRUE(is_valid_utf8(piece));
        all += piece;
      }
      all += decoder.finish();
      ASSERT_EQ(all, smollm2()->decode(ids, options).value());
      ASSERT_TRUE(is_valid_utf8(all));
    }
  }
}

TEST(StreamDecoder, HoldsBackACharacterUntilItIsComplete) {
  const Ids ids = encoded(*smollm2(), "\U0001FAE8");  // an emoji of several byte tokens
  ASSERT_GE(ids.size(), 2U);
  StreamDecoder decoder(smollm2());
  for (std::size_t i = 0; i + 1 < ids.size(); ++i) EXPECT_EQ(decoder.push(ids[i]), "");
  EXPECT_EQ(decoder.push(ids.back()), "\U0001FAE8");
  EXPECT_EQ(decoder.push(ids.front()), "");
  EXPECT_EQ(decoder.finish(), "\uFFFD");
  EXPECT_EQ(decoder.finish(), "");
  EXPECT_EQ(decoder.push(-5), "");
}

TEST(Tokenizer, EncodesMoreThanAMegabyteASecond) {
  std::istringstream in(read_test_file("tokens/lines.jsonl"));
  std::string english;
  for (std::string row; std::getline(in, row);) {
    if (row.find("\"english\"") != std::string::npos) english += row.substr(27) + "\n";
  }
  while (english.size() < 1'000'000) english += english;
  english.resize(1'000'000);
  // Distinct words throughout, so that remembered words do not flatter the figure.
  std::string distinct;
  for (int i = 0; distinct.size() < 1'000'000; ++i) {
    distinct += " word" + std::string(1, static_cast<char>('a' + i % 26)) + std::to_string(i);
    distinct += std::string(1, static_cast<char>('a' + i / 26 % 26)) + "ing";
  }
  for (const auto& [name, text] : {std::pair{"english", &english}, {"distinct words", &distinct}}) {
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_FALSE(encoded(*smollm2(), *text).empty());
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
    const double rate = static_cast<double>(text->size()) / 1e6 / elapsed.count();
#ifdef __OPTIMIZE__
    EXPECT_GT(rate, 1.0);  // usually above 10: this catches a change of complexity, not of speed
#endif
    std::printf("  %s: %.1f MB/s\n", name, rate);
  }
}

}  // namespace
}  // namespace paring::text
