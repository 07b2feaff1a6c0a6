// SPDX-License-Identifier: Apache-2.0
// Recursive descent; every recursion is bounded by SplitPattern::kDepthMax.
#include "text/split_pattern_parse.h"

#include <algorithm>
#include <array>
#include <string>

namespace paring::text::detail {
namespace {

using enum CharCategory;

constexpr std::uint32_t kRepeatMax = 1000;

struct Property {
  std::string_view name;
  std::array<CharCategory, 5> categories;  // filled up with the first one
};
constexpr Property kProperties[] = {
    {"L", {kUpper, kLower, kTitle, kModifier, kOtherLetter}},
    {"Lu", {kUpper, kUpper, kUpper, kUpper, kUpper}},
    {"Ll", {kLower, kLower, kLower, kLower, kLower}},
    {"Lt", {kTitle, kTitle, kTitle, kTitle, kTitle}},
    {"Lm", {kModifier, kModifier, kModifier, kModifier, kModifier}},
    {"Lo", {kOtherLetter, kOtherLetter, kOtherLetter, kOtherLetter, kOtherLetter}},
    {"M", {kMark, kMark, kMark, kMark, kMark}},
    {"N", {kDigit, kLetterNumber, kOtherNumber, kDigit, kDigit}},
    {"Nd", {kDigit, kDigit, kDigit, kDigit, kDigit}},
    {"Nl", {kLetterNumber, kLetterNumber, kLetterNumber, kLetterNumber, kLetterNumber}},
    {"No", {kOtherNumber, kOtherNumber, kOtherNumber, kOtherNumber, kOtherNumber}},
    {"P",
     {kPunctuationMark, kPunctuationMark, kPunctuationMark, kPunctuationMark, kPunctuationMark}},
    {"S", {kSymbol, kSymbol, kSymbol, kSymbol, kSymbol}},
};

class Parser {
 public:
  Parser(std::string_view regex, std::vector<CharSet>& sets) : regex_(regex), sets_(sets) {}

  Result<Node> run() {
    PARING_TRY(Node node, choice(0, false));
    if (at_ != regex_.size()) return unknown("an unmatched )");
    return node;
  }

 private:
  Error unknown(const std::string& what) const {
    return unsupported("the pattern " + std::string(regex_.substr(0, 128)) + " has " + what +
                       " at byte " + std::to_string(at_));
  }

  bool is_at(std::string_view text) const { return regex_.substr(at_).starts_with(text); }
  bool take(std::string_view text) {
    if (!is_at(text)) return false;
    at_ += text.size();
    return true;
  }
  bool is_done() const { return at_ == regex_.size(); }

  Result<Node> choice(std::size_t depth, bool any_case) {
    if (depth > SplitPattern::kDepthMax) return unknown("groups nested too deeply");
    Node node{Node::Kind::kChoice, false, 0, 0, 0, {}};
    do {
      PARING_TRY(Node branch, sequence(depth, any_case));
      node.children.push_back(std::move(branch));
    } while (take("|"));
    return node;
  }

  Result<Node> sequence(std::size_t depth, bool any_case) {
    Node node;
    while (!is_done() && !is_at("|") && !is_at(")")) {
      PARING_TRY(Node part, atom(depth, any_case));
      PARING_TRY(part, repeated(std::move(part)));
      node.children.push_back(std::move(part));
    }
    PARING_TRY_VOID(check_possessive(node));
    return node;
  }

  Node set_node(CharSet set, Node::Kind kind = Node::Kind::kSet, bool is_negative = false) {
    sets_.push_back(std::move(set));
    return {kind, is_negative, static_cast<std::uint32_t>(sets_.size() - 1), 0, 0, {}};
  }

  Result<Node> atom(std::size_t depth, bool any_case) {
    const bool is_not_ahead = is_at("(?!");
    if (is_not_ahead || is_at("(?=")) {
      at_ += 3;
      PARING_TRY(CharSet set, one_character(any_case));
      if (!take(")")) return unknown("a look ahead at more than one character");
      return set_node(std::move(set), Node::Kind::kAhead, is_not_ahead);
    }
    if (take("(")) {
      if (take("?i:")) {
        any_case = true;
      } else if (!take("?:") && is_at("?")) {
        return unknown("a group of an unknown kind");
      }
      PARING_TRY(Node group, choice(depth + 1, any_case));
      if (!take(")")) return unknown("a group without end");
      return group;
    }
    PARING_TRY(CharSet set, one_character(any_case));
    return set_node(std::move(set));
  }

  Result<CharSet> one_character(bool any_case) {
    if (is_done()) return unknown("nothing where a character should be");
    if (is_at("[")) return bracket(0, any_case);
    if (is_at("\\")) return escape();
    if (std::string_view("^$.*+?{}]").find(regex_[at_]) != std::string_view::npos) {
      return unknown(std::string("an unknown '") + regex_[at_] + "'");
    }
    PARING_TRY(const char32_t c, literal());
    return set_of(c, any_case);
  }

  Result<char32_t> literal() {
    const Utf8Step step = utf8_step(regex_, at_);
    if (step.kind != Utf8Step::Kind::kCharacter) return unknown("broken UTF-8");
    at_ += step.size;
    return step.code_point;
  }

  static CharSet set_of(char32_t c, bool any_case) {
    CharSet set;
    set.ranges.emplace_back(c, c);
    const bool is_upper = c >= 'A' && c <= 'Z';
    if (!any_case || !(is_upper || (c >= 'a' && c <= 'z'))) return set;
    const char32_t lower = c | 0x20U;
    set.ranges = {{lower, lower}, {lower - 0x20U, lower - 0x20U}};
    // Beyond ASCII two letters fold to it: long s and the Kelvin sign.
    if (lower == 's') set.ranges.emplace_back(0x17F, 0x17F);
    if (lower == 'k') set.ranges.emplace_back(0x212A, 0x212A);
    return set;
  }

  // A class or a single character, behind a backslash.
  Result<CharSet> escape() {
    CharSet set;
    ++at_;
    if (is_done()) return unknown("a backslash at the end");
    const char kind = regex_[at_];
    if (kind == 'p' || kind == 'P') {
      ++at_;
      set.is_negated = kind == 'P';
      return property(std::move(set));
    }
    if (kind == 's' || kind == 'S' || kind == 'd' || kind == 'D') {
      ++at_;
      set.is_negated = kind == 'S' || kind == 'D';
      set.add_category(kind == 's' || kind == 'S' ? kWhiteSpace : kDigit);
      return set;
    }
    PARING_TRY(const char32_t c, escaped_character());
    return set_of(c, false);
  }

  // REQUIRES: at_ is behind the backslash.
  Result<char32_t> escaped_character() {
    static constexpr std::string_view kNames = "rntvf";
    static constexpr std::string_view kCharacters = "\r\n\t\v\f";
    const char c = regex_[at_];
    if (const std::size_t i = kNames.find(c); i != std::string_view::npos) {
      ++at_;
      return static_cast<char32_t>(kCharacters[i]);
    }
    const bool is_word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (is_word) return unknown(std::string("an unknown \\") + c);
    return literal();
  }

  Result<CharSet> property(CharSet set) {
    std::string_view name = regex_.substr(at_, 1);
    if (take("{")) {
      const std::size_t end = regex_.find('}', at_);
      if (end == std::string_view::npos) return unknown("a property without end");
      name = regex_.substr(at_, end - at_);
      at_ = end;
    }
    for (const Property& known : kProperties) {
      if (known.name != name) continue;
      ++at_;
      for (const CharCategory category : known.categories) set.add_category(category);
      return set;
    }
    return unknown("the unknown property " + std::string(name.substr(0, 32)));
  }

  Result<CharSet> bracket(std::size_t depth, bool any_case) {
    if (depth > SplitPattern::kDepthMax) return unknown("brackets nested too deeply");
    CharSet set;
    ++at_;
    set.is_negated = take("^");
    bool is_first = true;
    while (is_first || !is_at("]")) {
      if (is_done()) return unknown("a bracket without end");
      if (take("&&")) {
        PARING_TRY(CharSet filter, is_at("[") ? bracket(depth + 1, any_case) : escape_only());
        set.filters.push_back(std::move(filter));
      } else if (is_at("[")) {
        PARING_TRY(CharSet part, bracket(depth + 1, any_case));
        set.parts.push_back(std::move(part));
      } else {
        PARING_TRY_VOID(bracket_item(set, any_case));
      }
      is_first = false;
    }
    ++at_;
    return set;
  }

  Result<CharSet> escape_only() {
    if (is_at("\\")) return escape();
    return unknown("a filter that is neither a bracket nor a class");
  }

  // A class, a character or a range.
  Result<void> bracket_item(CharSet& set, bool any_case) {
    const bool is_class =
        is_at("\\") && at_ + 1 < regex_.size() &&
        std::string_view("pPsSdD").find(regex_[at_ + 1]) != std::string_view::npos;
    if (is_class) {
      PARING_TRY(CharSet part, escape());
      set.parts.push_back(std::move(part));
      return {};
    }
    PARING_TRY(const char32_t first, bracket_character());
    const bool is_range = is_at("-") && !is_at("-]");
    if (!is_range) {
      set.parts.push_back(set_of(first, any_case));
      return {};
    }
    ++at_;
    if (is_at("[")) return unknown("a range that ends in a bracket");
    PARING_TRY(const char32_t last, bracket_character());
    if (last < first) return unknown("a range that runs backwards");
    if (any_case && first < 128) return unknown("a range without case");
    set.ranges.emplace_back(first, last);
    return {};
  }

  Result<char32_t> bracket_character() {
    if (is_done()) return unknown("a bracket without end");
    if (!take("\\")) return literal();
    if (is_done()) return unknown("a backslash at the end");
    return escaped_character();
  }

  Result<Node> repeated(Node part) {
    Node node{Node::Kind::kRepeat, false, 0, 0, Node::kUnbounded, {}};
    if (take("?")) {
      node.most = 1;
    } else if (take("+")) {
      node.least = 1;
    } else if (is_at("{")) {
      PARING_TRY_VOID(counts(node));
    } else if (!take("*")) {
      return part;
    }
    if (take("?")) return unknown("a repetition that takes as little as it can");
    // Possessive: see check_possessive().
    node.is_negative = take("+");
    if (is_at("*") || is_at("{")) return unknown("a repetition of a repetition");
    if (can_be_empty(part)) return unknown("a repetition of what can be empty");
    node.children.push_back(std::move(part));
    return node;
  }

  Result<void> counts(Node& node) {
    ++at_;
    PARING_TRY(node.least, number());
    node.most = node.least;
    if (take(",")) {
      node.most = Node::kUnbounded;
      if (!is_at("}")) {
        PARING_TRY(node.most, number());
      }
    }
    if (!take("}") || node.most < node.least) return unknown("a repetition that makes no sense");
    return {};
  }

  Result<std::uint32_t> number() {
    std::uint32_t value = 0;
    const std::size_t begin = at_;
    for (; !is_done() && regex_[at_] >= '0' && regex_[at_] <= '9'; ++at_) {
      value = value * 10 + static_cast<std::uint32_t>(regex_[at_] - '0');
      if (value > kRepeatMax) return unknown("more than 1000 repetitions");
    }
    if (at_ == begin) return unknown("a repetition without a number");
    return value;
  }

  static bool can_be_empty(const Node& node) {
    const auto is_empty = [](const Node& child) { return can_be_empty(child); };
    switch (node.kind) {
      case Node::Kind::kSet:
        return false;
      case Node::Kind::kAhead:
        return true;
      case Node::Kind::kSequence:
        return std::all_of(node.children.begin(), node.children.end(), is_empty);
      case Node::Kind::kChoice:
        return std::any_of(node.children.begin(), node.children.end(), is_empty);
      case Node::Kind::kRepeat:
        return node.least == 0 || can_be_empty(node.children.front());
    }
    return true;
  }

  // A possessive repetition gives nothing back. Where no character of it could begin what follows,
  // the greedy one never has to, and is the same.
  Result<void> check_possessive(Node& sequence) {
    for (std::size_t i = 0; i < sequence.children.size(); ++i) {
      Node& node = sequence.children[i];
      if (node.kind != Node::Kind::kRepeat || !node.is_negative) continue;
      node.is_negative = false;
      for (std::size_t next = i + 1; next < sequence.children.size(); ++next) {
        const Node& follower = sequence.children[next];
        const Node& body = follower.kind == Node::Kind::kRepeat ? follower.children[0] : follower;
        if (body.kind != Node::Kind::kSet || node.children[0].kind != Node::Kind::kSet ||
            overlap(sets_[node.children[0].set], sets_[body.set])) {
          return unknown("a possessive repetition in front of what it could take");
        }
        if (!can_be_empty(follower)) break;
      }
    }
    return {};
  }

  static bool overlap(const CharSet& a, const CharSet& b) {
    std::vector<char32_t> bounds = {128};
    a.add_bounds(bounds);
    b.add_bounds(bounds);
    const auto both = [&](char32_t c, CharCategory category) {
      return a.holds(c, category, {}) && b.holds(c, category, {});
    };
    for (char32_t c = 0; c < 128; ++c) {
      if (both(c, char_category(c))) return true;
    }
    for (const char32_t c : bounds) {
      for (std::uint32_t i = 0; i < kCharCategories; ++i) {
        if (both(c, static_cast<CharCategory>(i))) return true;
      }
    }
    return false;
  }

  std::string_view regex_;
  std::vector<CharSet>& sets_;
  std::size_t at_ = 0;
};

}  // namespace

bool CharSet::holds(char32_t c, CharCategory category, SplitPatternOptions options) const {
  bool is_in = ((categories >> static_cast<unsigned>(category)) & 1U) != 0;
  const bool is_hidden =
      !options.ranges_hold_spaces && c >= 128 && category == CharCategory::kWhiteSpace;
  for (const auto& [first, last] : ranges) is_in = is_in || (!is_hidden && c >= first && c <= last);
  for (const CharSet& part : parts) is_in = is_in || part.holds(c, category, options);
  for (const CharSet& filter : filters) is_in = is_in && filter.holds(c, category, options);
  return is_in != is_negated;
}

void CharSet::add_bounds(std::vector<char32_t>& bounds) const {
  for (const auto& [first, last] : ranges) {
    if (first >= 128) bounds.push_back(first);
    if (last >= 128) bounds.push_back(last + 1);
  }
  for (const CharSet& part : parts) part.add_bounds(bounds);
  for (const CharSet& filter : filters) filter.add_bounds(bounds);
}

Result<Node> parse_split_pattern(std::string_view regex, std::vector<CharSet>& sets) {
  return Parser(regex, sets).run();
}

}  // namespace paring::text::detail
