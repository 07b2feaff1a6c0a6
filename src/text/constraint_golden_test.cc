// SPDX-License-Identifier: Apache-2.0
// Masks against those of PyPI's llguidance (tools/make_constraint_golden.py), and random answers of
// our own: they end, parse, and can be taken back.
#include <gtest/gtest.h>

#include <cstddef>
#include <fstream>
#include <random>

#include "base/sha256.h"
#include "text/constraint_for_test.h"

namespace paring::text {
namespace {

using Json = nlohmann::ordered_json;

const std::map<std::string, std::string>& schemas() {
  static const auto read = [] {
    std::map<std::string, std::string> by_name;
    for (const Json& entry : Json::parse(read_test_file("constraints/schemas.json"))) {
      by_name[entry.at("name")] = entry.at("schema").dump();
    }
    return by_name;
  }();
  return read;
}

// As the script writes a mask: a hash of the ids, and whether the text may end.
std::string mark_of(ConstraintState& state) {
  std::string packed;
  for (const std::int32_t id : text_tokens(mask_of(state))) {
    for (int shift = 0; shift < 32; shift += 8) packed += static_cast<char>((id >> shift) & 0xFF);
  }
  return sha256_hex(packed).substr(0, 12) + (state.may_end().value() ? "+" : "");
}

TEST(ConstraintGolden, EveryMaskIsThatOfTheReference) {
  std::size_t masks = 0;
  for (const Json& walk : Json::parse(read_test_file("constraints/golden.json"))) {
    const std::string name = walk.at("name");
    ConstraintState state = started({.source = schemas().at(name)});
    const std::vector<std::int32_t> ids = walk.at("ids");
    const std::vector<std::string> steps = walk.at("steps");
    for (std::size_t i = 0; i < steps.size(); ++i) {
      ASSERT_EQ(mark_of(state), steps[i]) << name << ", step " << i;
      ++masks;
      if (i == ids.size()) break;
      ASSERT_TRUE(state.accept(ids[i])) << name << ", step " << i;
    }
    EXPECT_TRUE(state.may_end().value()) << name;
  }
  EXPECT_GT(masks, 1500U);
}

// Random at first, then what closes is preferred, so that it ends.
class Walk {
 public:
  Walk(const std::string& schema, unsigned seed)
      : state_(started({.source = schema})), draw_(seed) {}

  std::string text() const { return text_; }

  // False when it does not end.
  bool run() {
    for (std::size_t step = 0; step < 3000; ++step) {
      if (state_.is_done().value()) return true;
      const auto allowed = text_tokens(mask_of(state_));
      if (step >= 40 && state_.may_end().value()) return true;
      EXPECT_FALSE(allowed.empty());
      const std::int32_t id = step < 40 ? free_choice(allowed) : closing_choice(allowed);
      if (step % 7 == 0) check_rollback(allowed, id);
      EXPECT_TRUE(state_.accept(id)) << text_ << " + " << smollm2()->token_bytes(id);
      text_ += smollm2()->token_bytes(id);
    }
    return false;
  }

 private:
  std::int32_t any_of(const std::vector<std::int32_t>& ids) { return ids[draw_() % ids.size()]; }

  std::int32_t free_choice(const std::vector<std::int32_t>& allowed) {
    std::vector<std::int32_t> dark;
    for (const std::int32_t id : allowed) {
      const auto text = smollm2()->token_bytes(id);
      if (text.find_first_not_of(" \t\r\n") != std::string_view::npos) dark.push_back(id);
    }
    return any_of(dark.empty() || draw_() % 5 == 0 ? allowed : dark);
  }

  bool is_in_string() const {
    bool inside = false;
    for (std::size_t i = 0; i < text_.size(); ++i) {
      if (inside && text_[i] == '\\') {
        ++i;
      } else if (text_[i] == '"') {
        inside = !inside;
      }
    }
    return inside;
  }

  std::int32_t closing_choice(const std::vector<std::int32_t>& allowed) {
    const auto first = [&](std::string_view wanted) -> std::int32_t {
      for (const char c : wanted) {
        for (const std::int32_t id : allowed) {
          if (smollm2()->token_bytes(id) == std::string_view(&c, 1)) return id;
        }
      }
      return -1;
    };
    if (const std::int32_t id = first(is_in_string() ? "\"" : "}],"); id >= 0) return id;
    std::vector<std::int32_t> plain;
    for (const std::int32_t id : allowed) {
      const auto text = smollm2()->token_bytes(id);
      if (text.size() == 1 && std::string_view(" \t\r\n[{\\").find(text[0]) == text.npos) {
        plain.push_back(id);
      }
    }
    if (!plain.empty()) return any_of(plain);
    const std::int32_t id = first("[{");
    return id >= 0 ? id : any_of(allowed);
  }

  // A few tokens further and back, and from a fork, the mask is the same.
  void check_rollback(const std::vector<std::int32_t>& allowed, std::int32_t id) {
    ConstraintState fork = state_.fork().value();
    std::size_t taken = 0;
    for (std::int32_t next = id; taken < 4 && state_.accept(next); ++taken) {
      if (state_.is_done().value()) break;
      next = any_of(text_tokens(mask_of(state_)));
    }
    const std::size_t accepted = taken < 4 ? taken + 1 : taken;
    EXPECT_TRUE(state_.rollback(accepted)) << text_;
    EXPECT_EQ(text_tokens(mask_of(state_)), allowed) << text_;
    EXPECT_EQ(text_tokens(mask_of(fork)), allowed) << text_;
  }

  ConstraintState state_;
  std::mt19937 draw_;
  std::string text_;
};

bool is_json(const std::string& text) {
  try {
    return !Json::parse(text).is_discarded();
  } catch (const Json::out_of_range&) {
    return true;  // 1E927 is JSON, if no double
  } catch (const Json::exception&) {
    return false;
  }
}

// With PARING_CONSTRAINT_WALKS the answers are left there for a validator
// (tests/test_constraints.py).
TEST(ConstraintWalk, EveryRandomAnswerEndsAndIsJson) {
  std::ofstream out;
  if (const char* path = std::getenv("PARING_CONSTRAINT_WALKS")) out.open(path);
  const unsigned walks = out.is_open() ? 10 : 1;
  for (const auto& [name, schema] : schemas()) {
    for (unsigned seed = 0; seed < walks; ++seed) {
      Walk walk(schema, 29 + seed);
      ASSERT_TRUE(walk.run()) << name << " does not end: " << walk.text().substr(0, 2000);
      EXPECT_TRUE(is_json(walk.text())) << walk.text();
      if (out.is_open()) out << Json{{"name", name}, {"text", walk.text()}}.dump() << "\n";
    }
  }
}

}  // namespace
}  // namespace paring::text
