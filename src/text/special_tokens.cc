// SPDX-License-Identifier: Apache-2.0
// The lists of spellings below are those that llama.cpp recognizes (llama-vocab.cpp, b-version of
// llama-cpp-python 0.3.36): GGUF files often mark such tokens as normal or user-defined text.
#include "text/special_tokens.h"

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <span>
#include <utility>

namespace paring::text {
namespace {

// End a generation wherever they occur, and are control tokens whatever the file says.
constexpr std::string_view kEndSpellings[] = {"<|eot_id|>",
                                              "<|im_end|>",
                                              "<|end|>",
                                              "<|return|>",
                                              "<|call|>",
                                              "<|flush|>",
                                              "<|calls|>",
                                              "<end_of_turn>",
                                              "<|endoftext|>",
                                              "</s>",
                                              "<|eom_id|>",
                                              "<EOT>",
                                              "_<EOT>",
                                              "[EOT]",
                                              "[EOS]",
                                              "<|end_of_text|>",
                                              "<end_of_utterance>",
                                              "<eos>",
                                              "<turn|>",
                                              "<|tool_response>",
                                              "<\uFF5Cend\u2581of\u2581sentence\uFF5C>",
                                              "[e~["};

// Fill-in-the-middle tokens: the first spelling that the vocabulary has (lowest id) plays the role
// and is a control token; three of the roles also end a generation.
struct Role {
  std::initializer_list<std::string_view> spellings;
  bool ends;
};
const std::initializer_list<Role>& roles() {
  static const std::initializer_list<Role> kRoles = {
      {{"<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<\uFF5Cfim\u2581begin\uFF5C>", "<PRE>",
        "\u2581<PRE>", "<|code_prefix|>", "<|prefix|>"},
       false},
      {{"<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<\uFF5Cfim\u2581hole\uFF5C>", "<SUF>",
        "\u2581<SUF>", "<|code_suffix|>", "<|suffix|>"},
       false},
      {{"<|fim_middle|>", "<fim-middle>", "<fim_middle>",
        "<\uFF5Cfim\u2581"
        "end\uFF5C>",
        "<MID>", "\u2581<MID>", "<|code_middle|>", "<|middle|>"},
       false},
      {{"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"}, true},
      {{"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"}, true},
      {{"<|file_sep|>"}, true},
  };
  return kRoles;
}

// Parts of a reply that its reader parses: always plain, visible text.
constexpr std::string_view kVisibleSpellings[] = {"<|channel|>", "<|message|>", "<|start|>",
                                                  "<|constrain|>"};

std::vector<TokenKind> kinds_of_types(const TokenizerSpec& spec) {
  std::vector<TokenKind> kinds(spec.tokens.size());
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    const std::int32_t type = spec.token_types.empty() ? kTokenNormal : spec.token_types[i];
    kinds[i].is_normal = type == kTokenNormal;
    kinds[i].is_unknown = type == kTokenUnknown;
    kinds[i].is_control = type == kTokenControl;
    kinds[i].is_user_defined = type == kTokenUserDefined;
    kinds[i].is_byte = type == kTokenByte;
  }
  return kinds;
}

class Classifier {
 public:
  Classifier(std::vector<TokenKind> kinds, const TokenIds& ids)
      : kinds_(std::move(kinds)), ids_(ids) {}

  std::vector<TokenKind> run(const TokenizerSpec& spec) {
    for (const Role& role : roles()) apply(role);
    for (const std::string_view text : kEndSpellings) {
      if (TokenKind* kind = find(text)) kind->is_control = kind->is_end = true;
    }
    for (const std::string_view text : kVisibleSpellings) {
      if (TokenKind* kind = find(text)) {
        *kind = {.is_user_defined = true, .is_end = kind->is_end};
      }
    }
    if (spec.eos) at(*spec.eos).is_end = true;
    if (spec.eot) at(*spec.eot).is_end = true;
    take_back_ends();
    return std::move(kinds_);
  }

 private:
  TokenKind& at(std::int32_t id) { return kinds_[static_cast<std::size_t>(id)]; }
  TokenKind* find(std::string_view text) {
    const std::int32_t id = ids_.find(text);
    return id < 0 ? nullptr : &at(id);
  }
  bool is_end(std::string_view text) {
    const TokenKind* kind = find(text);
    return kind != nullptr && kind->is_end;
  }

  void apply(const Role& role) {
    std::optional<std::int32_t> lowest;
    for (const std::string_view text : role.spellings) {
      const std::int32_t id = ids_.find(text);
      if (id >= 0 && (!lowest || id < *lowest)) lowest = id;
    }
    if (!lowest) return;
    at(*lowest).is_control = true;
    at(*lowest).is_end |= role.ends;
  }

  // Vocabularies in which a usual end token is something else.
  void take_back_ends() {
    const bool calls = is_end("<|call|>") || is_end("<|calls|>");
    if (is_end("<|end|>") && calls && (is_end("<|return|>") || is_end("<|flush|>"))) {
      *find("<|end|>") = {.is_user_defined = true};  // ends a part of the reply only
    }
    if (is_end("</s>") && (is_end("<|tool_response>") || is_end("<|plamo:eos|>"))) {
      *find("</s>") = {.is_normal = true};
    }
  }

  std::vector<TokenKind> kinds_;
  const TokenIds& ids_;
};

}  // namespace

std::vector<TokenKind> classify_tokens(const TokenizerSpec& spec, const TokenIds& ids) {
  return Classifier(kinds_of_types(spec), ids).run(spec);
}

bool is_end_spelling(std::string_view token) {
  return std::find(std::begin(kEndSpellings), std::end(kEndSpellings), token) !=
         std::end(kEndSpellings);
}

SpecialTokenFinder::SpecialTokenFinder(const std::vector<std::string>& tokens,
                                       const std::vector<TokenKind>& kinds,
                                       const TokenizerSpec& spec) {
  const auto lists = [](const std::vector<std::int32_t>& ids, std::size_t id) {
    return std::binary_search(ids.begin(), ids.end(), static_cast<std::int32_t>(id));
  };
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (!kinds[i].is_special() && !kinds[i].is_user_defined) continue;
    entries_.push_back({tokens[i], static_cast<std::int32_t>(i), kinds[i].is_special(),
                        lists(spec.strip_left, i), lists(spec.strip_right, i)});
  }
  std::stable_sort(entries_.begin(), entries_.end(),
                   [](const Entry& a, const Entry& b) { return a.text.size() > b.text.size(); });
  std::vector<std::pair<std::string_view, std::int32_t>> texts;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    texts.emplace_back(entries_[i].text, static_cast<std::int32_t>(i));
  }
  trie_ = TokenTrie(std::move(texts));
}

std::vector<bool> SpecialTokenFinder::occurring(std::string_view text) const {
  std::vector<bool> occurs(entries_.size());
  for (std::size_t begin = 0; begin < text.size(); ++begin) {
    std::uint32_t node = TokenTrie::kRoot;
    for (std::size_t at = begin; at < text.size(); ++at) {
      node = trie_.next(node, text[at]);
      if (node == TokenTrie::kNone) break;
      if (trie_.token(node) >= 0) occurs[static_cast<std::size_t>(trie_.token(node))] = true;
    }
  }
  return occurs;
}

void SpecialTokenFinder::cut(std::string_view text, const Fragment& fragment, const Entry& entry,
                             std::vector<Fragment>& out) {
  static constexpr std::string_view kSpaces = " \t\n\v\f\r";
  const std::string_view stretch = text.substr(0, fragment.begin + fragment.size);
  std::size_t begin = fragment.begin;
  while (true) {
    const std::size_t match = stretch.find(entry.text, begin);
    if (match == std::string_view::npos) break;
    std::size_t end = match;
    while (entry.strips_left && end > begin &&
           kSpaces.find(text[end - 1]) != std::string_view::npos) {
      --end;
    }
    if (end > begin) out.push_back({begin, end - begin, -1});
    out.push_back({match, entry.text.size(), entry.id});
    begin = match + entry.text.size();
    while (entry.strips_right && begin < stretch.size() &&
           kSpaces.find(text[begin]) != std::string_view::npos) {
      ++begin;
    }
  }
  if (begin < stretch.size()) out.push_back({begin, stretch.size() - begin, -1});
}

std::vector<Fragment> SpecialTokenFinder::partition(std::string_view text,
                                                    bool parse_special) const {
  std::vector<Fragment> fragments;
  if (text.empty()) return fragments;
  fragments.push_back({0, text.size(), -1});
  std::vector<Fragment> next;
  const std::vector<bool> occurs = occurring(text);
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (!occurs[i] || (entries_[i].is_special && !parse_special)) continue;
    next.clear();
    for (const Fragment& fragment : fragments) {
      if (fragment.token >= 0) {
        next.push_back(fragment);
      } else {
        cut(text, fragment, entries_[i], next);
      }
    }
    fragments.swap(next);
  }
  return fragments;
}

}  // namespace paring::text
