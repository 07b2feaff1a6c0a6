// SPDX-License-Identifier: Apache-2.0
// The pre-tokenizers of GGUF files: which names llama.cpp (of llama-cpp-python 0.3.36) knows, and
// what it splits by for each. Patterns are those of the models' own files where its matcher takes
// them; \p{Lu} and its like are plain letters to it, white space beyond ASCII is in no range, and
// \d is 0 to 9. Not here: gemma4, granite-embed-multi-311m, sarvam-moe and whitespace, whose tokens
// are not spelled in the byte-level alphabet.
#include "text/pre_tokenizer_table.h"

#include <algorithm>

namespace paring::text {
namespace {

using enum SplitStage::Kind;

#define PARING_CONTRACTION "'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])"
#define PARING_MARKS "| ?[^\\s\\p{L}\\p{N}]+"
#define PARING_SPACES "|\\s+(?!\\S)|\\s+"
#define PARING_LINES "|\\s*[\\r\\n]+"
#define PARING_LETTERS "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define PARING_UPPER "[\\p{L}&&[^a-z]]"
#define PARING_LOWER "[\\p{L}&&[^A-Z]]"
// Words in which capitals come first, with `behind` at their end.
#define PARING_CASED(upper, lower, behind)                                                      \
  "[^\\r\\n\\p{L}\\p{N}]?" upper "*" lower "+" behind "|[^\\r\\n\\p{L}\\p{N}]?" upper "+" lower \
  "*" behind
#define PARING_KANA "\u3040-\u309F\u30A0-\u30FF"
#define PARING_ASCII_MARKS "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~]"
#define PARING_WORDS_WITH_MARKS \
  PARING_ASCII_MARKS "[A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
#define PARING_HAN                                                                    \
  "\u3400-\u4DBF\u4E00-\u9FFF\uF900-\uFAFF\U00020000-\U0002A6DF\U0002A700-\U0002B73F" \
  "\U0002B740-\U0002B81F\U0002B820-\U0002CEAF\U0002CEB0-\U0002EBEF\U0002F800-\U0002FA1F"
#define PARING_CHINESE "\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF"

constexpr std::string_view kGpt2 =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+" PARING_MARKS PARING_SPACES;
constexpr std::string_view kQwen2 = PARING_CONTRACTION "|" PARING_LETTERS "|\\p{N}" PARING_MARKS
                                                       "[\\r\\n]*" PARING_LINES PARING_SPACES;
constexpr std::string_view kChineseOrKana = "[\u4E00-\u9FA5" PARING_KANA "]+";
constexpr std::string_view kDeepseekV3 =
    PARING_WORDS_WITH_MARKS "| ?[\\p{P}\\p{S}]+[\\r\\n]*" PARING_LINES PARING_SPACES;
// Letters with case, as the model's own file lists them.
constexpr std::string_view kDeepseekLetters =
    "\\s?["
    "A-Za-z\u00B5\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u01BA\u01BC-\u01BF\u01C4-\u0293\u0295-"
    "\u02AF\u0370-\u0373\u0376\u0377\u037B-\u037D\u037F\u0386\u0388-\u038A\u038C\u038E-\u03A1"
    "\u03A3-\u03F5\u03F7-\u0481\u048A-\u052F\u0531-\u0556\u10A0-\u10C5\u13A0-\u13F5\u13F8-"
    "\u13FD\u1C90-\u1CBA\u1CBD-\u1CBF\u1D00-\u1D2B\u1D6B-\u1D77\u1D79-\u1D9A\u1E00-\u1F15"
    "\u1F18-\u1F1D\u1F20-\u1F45\u1F48-\u1F4D\u1F50-\u1F57\u1F59\u1F5B\u1F5D\u1F5F-\u1F7D"
    "\u1F80-\u1FB4\u1FB6-\u1FBC\u1FBE\u1FC2-\u1FC4\u1FC6-\u1FCC\u1FD0-\u1FD3\u1FD6-\u1FDB"
    "\u1FE0-\u1FEC\u1FF2-\u1FF4\u1FF6-\u1FFC\u2102\u2107\u210A-\u2113\u2115\u2119-\u211D"
    "\u2124\u2126\u2128\u212A-\u212D\u212F-\u2134\u2139\u213C-\u213F\u2145-\u2149\u214E\u2183"
    "\u2184\u2C00-\u2C7B\u2C7E-\u2CE4\u2CEB-\u2CEE\u2CF2\u2CF3\uA640-\uA66D\uA680-\uA69B"
    "\uA722-\uA76F\uA771-\uA787\uA78B-\uA78E\uAB70-\uABBF\uFB00-\uFB06\uFB13-\uFB17\uFF21-"
    "\uFF3A\uFF41-\uFF5A\U00010400-\U0001044F\U000104B0-\U000104D3\U000104D8-\U000104FB"
    "\U00010C80-\U00010CB2\U00010CC0-\U00010CF2\U000118A0-\U000118DF\U0001E900-\U0001E943"
    "]+";
constexpr std::string_view kAfmoeScripts =
    "["
    "\u4E00-\u9FFF\u3400-\u4DBF\u8C48-\uFAFF\u3040-\u309F\u30A0-\u30FF\uFF65-\uFF9F\u2F00-"
    "\u2FDF\u0E40-\u0E7F\u0E80-\u0EFF\u1780-\u17FF\u1000-\u109F\uAA60-\uAA7F\uA9E0-\uA9FF"
    "\uAC00-\uD7AF\u1100-\u11FF"
    "]+";
constexpr std::string_view kBloom = " ?[^(\\s|.,!?\u2026\u3002\uFF0C\u3001\u0964\u06D4\u060C)]+";

struct Family {
  std::string_view name;
  std::vector<SplitStage> stages;
};

// Words as GPT-2 and those after it have them.
std::vector<Family> word_families() {
  return {
      {"gpt-2", {{kPattern, kGpt2}}},
      {"default",
       {{kPattern, "[\\p{P}$+<=>\\^~|]+"},
        {kPattern, kGpt2},
        {kPattern, "\\p{N}+"},
        {kPattern, "[0-9][0-9][0-9]"}}},
      {"smollm", {{kPattern, "\\p{N}"}, {kPattern, kGpt2}}},
      {"llama-bpe",
       {{kPattern, PARING_CONTRACTION "|" PARING_LETTERS "|\\p{N}{1,3}" PARING_MARKS
                                      "[\\r\\n]*" PARING_LINES PARING_SPACES}}},
      {"jais-2",
       {{kPattern, PARING_CONTRACTION
         "|" PARING_LETTERS "|\\p{N}{1,3}" PARING_MARKS "[\\r\\n]*" PARING_LINES
         "|\\s{512}(?!\\S)|\\s{256}(?!\\S)|\\s{128}(?!\\S)|\\s{64}(?!\\S)|\\s{32}(?!\\S)"
         "|\\s{16}(?!\\S)|\\s{8}(?!\\S)|\\s{4}(?!\\S)|\\s{1,2}(?!\\S)|\\s"}}},
      {"qwen2", {{kPattern, kQwen2}}},
      {"qwen35",
       {{kPattern,
         PARING_CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| "
                            "?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" PARING_LINES PARING_SPACES}}},
      {"laguna", {{kPattern, "[^\\n]+|[\\n]+"}, {kPattern, kQwen2}}},
      {"ufakzeka",
       {{kPattern, PARING_LETTERS "|\\p{N}" PARING_MARKS "[\\r\\n]*" PARING_LINES PARING_SPACES}}},
      {"minicpm5",
       {{kPattern, "\\p{N}{1,3}"},
        {kPattern, PARING_CONTRACTION "|" PARING_LETTERS "|\\p{N}+" PARING_MARKS
                                      "[\\r\\n]*" PARING_LINES PARING_SPACES}}},
      {"bailingmoe",
       {{kPattern, PARING_CONTRACTION "|" PARING_LETTERS "|\\p{N}" PARING_MARKS
                                      "[\\r\\n]*|\\s*[\\r\\n]" PARING_SPACES}}},
      {"seed-coder",
       {{kPattern, PARING_CONTRACTION
         "|" PARING_LETTERS "|\\p{N}| ?[^\\s\\p{L}\\p{N}\\r\\n]+" PARING_LINES PARING_SPACES}}},
      {"exaone-moe",
       {{kPattern, PARING_CONTRACTION
         "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}" PARING_MARKS
         "[\\r\\n/]?|\\s*[\\r\\n]" PARING_SPACES}}},
      {"tekken",
       {{kPattern,
         PARING_CASED(PARING_UPPER, PARING_LOWER, "") "|\\p{N}" PARING_MARKS
                                                      "[\\r\\n/]*" PARING_LINES PARING_SPACES}}},
      {"gpt-4o",
       {{kPattern,
         PARING_CASED(PARING_UPPER, PARING_LOWER,
                      "(?:" PARING_CONTRACTION ")?") "|\\p{N}{1,3}" PARING_MARKS
                                                     "[\\r\\n/]*" PARING_LINES PARING_SPACES}}},
      {"granite-embed-multi-97m",
       {{kPattern,
         PARING_CASED("[\\p{L}\\p{M}&&[^a-z]]", "[\\p{L}\\p{M}&&[^A-Z]]",
                      "(?:" PARING_CONTRACTION ")?") "|\\p{N}{1,3}" PARING_MARKS
                                                     "[\\r\\n/]*" PARING_LINES PARING_SPACES}}},
      {"tiny_aya",
       {{kNumberTriples},
        {kPattern, "[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+(?:" PARING_CONTRACTION
                   ")?|\\p{N}{1,3}" PARING_MARKS "[\\r\\n/]*" PARING_LINES PARING_SPACES}}},
  };
}

// With parts for scripts, numbers or marks of their own.
std::vector<Family> mixed_families() {
  return {
      {"youtu",
       {{kPattern,
         "[\uAC00-\uD7A3\u3131-\u318E]+|[\uFF01\u2026\u201C\u201D\u2018\u2019\u2014\uFF1A\uFF1B"
         "\uFF0C\u3001-\u303F\uFE30-\uFE4F]+|[\u3105-\u312F]+|[\u4E00-\u9FA5" PARING_KANA "]+"},
        {kPattern, "[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+(?:" PARING_CONTRACTION
                   ")?|\\p{N}" PARING_MARKS "[\\r\\n/]*" PARING_LINES PARING_SPACES}}},
      {"kimi-k2",
       {{kPattern, "[" PARING_HAN "]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}&&[^" PARING_HAN
                   "]]+(?:" PARING_CONTRACTION ")?|\\p{N}{1,3}" PARING_MARKS
                   "[\\r\\n]*" PARING_LINES PARING_SPACES}}},
      {"deepseek-llm",
       {{kPattern, "[\\r\\n]"},
        {kPattern, kDeepseekLetters},
        {kPattern, "\\s?[!-/:-~\uFF01-\uFF0F\uFF1A-\uFF5E\u2018-\u201F\u3000-\u3002]+"},
        {kTrailingSpace},
        {kPattern, "[" PARING_CHINESE "]+"},
        {kPattern, "\\p{N}+"}}},
      {"deepseek-coder",
       {{kPattern, "[\\r\\n]"},
        {kPattern, "\\s?\\p{L}+"},
        {kPattern, "\\s?\\p{P}+"},
        {kPattern, "[" PARING_CHINESE "]+"},
        {kPattern, "\\p{N}"}}},
      {"deepseek-v3",
       {{kPattern, "\\p{N}{1,3}"}, {kPattern, kChineseOrKana}, {kPattern, kDeepseekV3}}},
      {"spark2_5",
       {{kPattern, "\\p{N}{1,3}"},
        {kPattern, kChineseOrKana},
        {kPattern, PARING_WORDS_WITH_MARKS "| ?[\\p{P}\\p{S}]+|[\\r\\n]" PARING_SPACES},
        {kPattern, "\\p{N}"}}},
      {"afmoe", {{kNumberTriples}, {kPattern, kAfmoeScripts}, {kPattern, kDeepseekV3}}},
      {"falcon",
       {{kPattern, "[\\p{P}$+<=>\\^~|`]+"}, {kPattern, kGpt2}, {kPattern, "[0-9][0-9][0-9]"}}},
      {"bloom", {{kPattern, kBloom}}},
      {"viking", {{kPattern, kBloom}, {kPattern, "\\p{N}"}}},
      {"superbpe", {{kPattern, "\\p{N}+"}, {kAsciiTriples}}},
      {"chameleon",
       {{kPattern, "<sentinel:[0-9]+>"},
        {kPattern, "IMGIMG[A-I]{1,4}Z"},
        {kPattern, "[\\t\\n]|    |  "},
        {kPattern, "\\p{N}"},
        {kPattern, "[\\p{P}!-/:-@\\[-`{-~]"},
        {kPattern, kGpt2}}},
  };
}

const std::vector<Family>& families() {
  static const std::vector<Family> kFamilies = [] {
    std::vector<Family> all = word_families();
    const std::vector<Family> mixed = mixed_families();
    all.insert(all.end(), mixed.begin(), mixed.end());
    return all;
  }();
  return kFamilies;
}

struct Name {
  std::string_view name;
  PreTokenizer value;
};

constexpr Name kNames[] = {
    {"", {"default", false, false}},
    {"default", {"default", false, false}},
    {"gpt-2", {"gpt-2", false, false}},
    {"phi-2", {"gpt-2", false, false}},
    {"mpt", {"gpt-2", false, false}},
    {"olmo", {"gpt-2", false, false}},
    {"jais", {"gpt-2", false, false}},
    {"trillion", {"gpt-2", false, false}},
    {"granite-docling", {"gpt-2", false, false}},
    {"jina-es", {"gpt-2", false, false}},
    {"jina-de", {"gpt-2", false, false}},
    {"gigachat", {"gpt-2", false, false}},
    {"jina-v2-es", {"gpt-2", false, false}},
    {"jina-v2-de", {"gpt-2", false, false}},
    {"a.x-4.0", {"gpt-2", false, false}},
    {"mellum", {"gpt-2", false, false}},
    {"modern-bert", {"gpt-2", false, false}},
    {"exaone4", {"gpt-2", false, false}},
    {"jina-v1-en", {"gpt-2", false, false}},
    {"jina-v2-code", {"gpt-2", false, false}},
    {"roberta-bpe", {"gpt-2", false, false}},
    {"smollm", {"smollm", false, false}},
    {"starcoder", {"smollm", false, false}},
    {"refact", {"smollm", false, false}},
    {"command-r", {"smollm", false, false}},
    {"codeshell", {"smollm", false, false}},
    {"exaone", {"smollm", false, false}},
    {"minerva-7b", {"smollm", false, false}},
    {"mellum2", {"smollm", false, false}},
    {"llama-bpe", {"llama-bpe", true, true}},
    {"llama3", {"llama-bpe", true, true}},
    {"llama-v3", {"llama-bpe", true, true}},
    {"falcon3", {"llama-bpe", true, true}},
    {"falcon-h1", {"llama-bpe", true, true}},
    {"pixtral", {"llama-bpe", true, true}},
    {"midm-2.0", {"llama-bpe", true, true}},
    {"lfm2", {"llama-bpe", true, true}},
    {"jina-v5-nano", {"llama-bpe", true, true}},
    {"dbrx", {"llama-bpe", false, false}},
    {"smaug-bpe", {"llama-bpe", false, false}},
    {"chatglm-bpe", {"llama-bpe", false, false}},
    {"glm4", {"llama-bpe", true, false}},
    {"glm5", {"llama-bpe", true, false}},
    {"jais-2", {"jais-2", false, false}},
    {"qwen2", {"qwen2", false, false}},
    {"deepseek-r1-qwen", {"qwen2", false, false}},
    {"kormo", {"qwen2", false, false}},
    {"f2llmv2", {"qwen2", false, false}},
    {"stablelm2", {"qwen2", false, false}},
    {"megrez", {"qwen2", false, false}},
    {"hunyuan", {"qwen2", false, false}},
    {"solar-open", {"qwen2", false, false}},
    {"grok-2", {"qwen2", false, false}},
    {"qwen35", {"qwen35", false, false}},
    {"laguna", {"laguna", false, false}},
    {"ufakzeka", {"ufakzeka", false, false}},
    {"minicpm5", {"minicpm5", true, false}},
    {"bailingmoe", {"bailingmoe", false, false}},
    {"bailingmoe2", {"bailingmoe", false, false}},
    {"llada-moe", {"bailingmoe", false, false}},
    {"seed-coder", {"seed-coder", false, false}},
    {"exaone-moe", {"exaone-moe", false, false}},
    {"tekken", {"tekken", true, true}},
    {"gpt-4o", {"gpt-4o", false, false}},
    {"llama4", {"gpt-4o", false, false}},
    {"kanana2", {"gpt-4o", false, false}},
    {"talkie", {"gpt-4o", false, false}},
    {"minimax-m2", {"gpt-4o", false, false}},
    {"granite-embed-multi-97m", {"granite-embed-multi-97m", true, false}},
    {"tiny_aya", {"tiny_aya", false, false}},
    {"cohere2moe", {"tiny_aya", false, false}},
    {"youtu", {"youtu", true, false}},
    {"kimi-k2", {"kimi-k2", false, false}},
    {"deepseek-llm", {"deepseek-llm", false, false}},
    {"deepseek-coder", {"deepseek-coder", false, false}},
    {"deepseek-v3", {"deepseek-v3", false, false}},
    {"hunyuan-dense", {"deepseek-v3", false, false}},
    {"joyai-llm", {"deepseek-v3", false, false}},
    {"hy_v4", {"deepseek-v3", false, false}},
    {"spark2_5", {"spark2_5", false, false}},
    {"afmoe", {"afmoe", false, false}},
    {"falcon", {"falcon", false, false}},
    {"bloom", {"bloom", false, false}},
    {"poro-chat", {"bloom", false, false}},
    {"gpt3-finnish", {"bloom", false, false}},
    {"viking", {"viking", false, false}},
    {"superbpe", {"superbpe", false, false}},
    {"chameleon", {"chameleon", false, true}},
};

}  // namespace

Result<PreTokenizer> find_pre_tokenizer(std::string_view name) {
  std::string known;
  for (const Name& row : kNames) {
    if (row.name == name) return row.value;
    if (row.name.empty()) continue;
    known += known.empty() ? "" : ", ";
    known += row.name;
  }
  return unsupported("the pre-tokenizer \"" + std::string(name) + "\" is not supported",
                     "supported are " + known);
}

std::vector<std::string_view> pre_tokenizer_names() {
  std::vector<std::string_view> names;
  for (const Name& row : kNames) names.push_back(row.name);
  return names;
}

std::span<const SplitStage> stages_of_family(std::string_view family) {
  const auto found = std::find_if(families().begin(), families().end(),
                                  [&](const Family& row) { return row.name == family; });
  PARING_CHECK(found != families().end(), "a pre-tokenizer of no family");
  return found->stages;
}

}  // namespace paring::text
