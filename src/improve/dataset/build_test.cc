// SPDX-License-Identifier: Apache-2.0
#include "improve/dataset/build.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "improve/dataset/dataset_folder.h"
#include "io/folder_for_test.h"

namespace paring::improve {
namespace {

using Json = nlohmann::ordered_json;
constexpr double kNow = 1'795'392'000;

class Datasets : public io::FolderTest {
 protected:
  void SetUp() override {
    io::FolderTest::SetUp();
    auto control = store::ControlDb::open({.folder = folder_.string()});
    ASSERT_TRUE(control) << control.error().text();
    control_.emplace(std::move(control).value());
    scores_.emplace(*control_);
    auto traffic = store::TrafficDb::open({.data = folder_.string()});
    ASSERT_TRUE(traffic) << traffic.error().text();
    traffic_.emplace(std::move(traffic).value());
    options_.filter.tenant = "default";
  }

  static store::TrafficRequest request(const std::string& id, const std::string& question,
                                       const std::string& answer) {
    store::TrafficRequest row;
    row.id = row.span_id = id;
    row.started_s = kNow + static_cast<double>(id.size()) + static_cast<double>(id.back());
    row.tenant = "default";
    row.model = "small";
    row.status = 200;
    row.is_complete = true;
    row.end = "stop";
    row.content = {Json::array({{{"role", "user"}, {"content", question}}}).dump(),
                   Json({{"role", "assistant"}, {"content", answer}}).dump()};
    return row;
  }
  void serve(const store::TrafficRequest& row) {
    ASSERT_EQ(traffic_->append({&row, 1}, {}).written, 1);
  }
  void score(const std::string& id, const std::string& type, const std::string& text,
             const std::string& name = "rating", const std::string& kind = "response") {
    store::ScoreRow row;
    row.tenant = "default";
    row.id = "s" + std::to_string(++scores_given_);
    row.subject_kind = kind;
    row.subject_id = id;
    row.name = name;
    row.type = type;
    row.source = "user";
    if (type == "boolean" || type == "numeric") {
      row.number = Json::parse(text).get<double>();
    } else {
      row.text = text;
    }
    row.created_s = row.updated_s = static_cast<std::int64_t>(kNow) + scores_given_;
    const auto done = scores_->put(row, 1000);
    ASSERT_TRUE(done) << done.error().text();
  }
  Dataset built() {
    auto dataset = build_dataset(*traffic_, *scores_, options_);
    EXPECT_TRUE(dataset) << (dataset ? "" : dataset.error().text());
    return dataset ? std::move(dataset).value() : Dataset();
  }
  static std::vector<std::string> lines_of(const Dataset& dataset) {
    std::vector<std::string> lines;
    for (const auto& part : dataset.parts) {
      for (const Example& example : part) lines.push_back(example.line);
    }
    return lines;
  }
  static std::int64_t left(const Dataset& dataset, LeftOut reason) {
    const auto found = dataset.left_out.find(reason);
    return found == dataset.left_out.end() ? 0 : found->second;
  }

  DatasetOptions options_;
  std::optional<store::ControlDb> control_;
  std::optional<store::Scores> scores_;
  std::optional<store::TrafficDb> traffic_;
  int scores_given_ = 0;
};

TEST_F(Datasets, SftTakesGoodAndCorrectedAnswers) {
  serve(request("a", "One?", "First."));
  serve(request("b", "Two?", "Second."));
  serve(request("c", "Three?", "Third."));
  serve(request("d", "Four?", "Fourth."));
  serve(request("e", "Five?", "Fifth."));
  score("a", "boolean", "1");
  score("b", "boolean", "0");
  score("b", "correction", "Better.");
  score("c", "boolean", "0");
  score("d", "categorical", "good");
  score("d", "boolean", "0", "thumb");
  const Dataset dataset = built();
  EXPECT_EQ(lines_of(dataset),
            (std::vector<std::string>{R"({"messages":[{"role":"user","content":"One?"},)"
                                      R"({"role":"assistant","content":"First."}]})",
                                      R"({"messages":[{"role":"user","content":"Two?"},)"
                                      R"({"role":"assistant","content":"Better."}]})"}));
  EXPECT_EQ(left(dataset, LeftOut::kBad), 1);
  EXPECT_EQ(left(dataset, LeftOut::kMixed), 1);
  EXPECT_EQ(left(dataset, LeftOut::kNoFeedback), 1);
  EXPECT_EQ(dataset.requests, 5);
  options_.takes_unrated = true;
  EXPECT_EQ(built().examples(), 3U);
}

TEST_F(Datasets, DpoTakesCorrectionsAndPreferences) {
  serve(request("a", "One?", "First."));
  serve(request("b", "Two?", "Second."));
  serve(request("c", "Two?", "Worse."));
  serve(request("d", "Three?", "Other."));
  score("a", "correction", "Better.");
  score("b", "preference", "c");
  score("d", "preference", "a");
  score("d", "preference", "nobody");
  options_.format = DatasetFormat::kDpo;
  const Dataset dataset = built();
  EXPECT_EQ(lines_of(dataset),
            (std::vector<std::string>{R"({"prompt":[{"role":"user","content":"One?"}],)"
                                      R"("chosen":[{"role":"assistant","content":"Better."}],)"
                                      R"("rejected":[{"role":"assistant","content":"First."}]})",
                                      R"({"prompt":[{"role":"user","content":"Two?"}],)"
                                      R"("chosen":[{"role":"assistant","content":"Second."}],)"
                                      R"("rejected":[{"role":"assistant","content":"Worse."}]})"}));
  EXPECT_EQ(left(dataset, LeftOut::kLostIsGone), 2) << "of another prompt, and of none";
  EXPECT_EQ(left(dataset, LeftOut::kNoPair), 1);
}

TEST_F(Datasets, DpoPairsGoodAndBadAnswersToOnePrompt) {
  serve(request("a", "One?", "Good, older."));
  serve(request("b", "One?", "Bad."));
  serve(request("c", "One?", "Good."));
  serve(request("d", "Two?", "Good alone."));
  serve(request("e", "Three?", "The same."));
  serve(request("f", "Three?", "The same."));
  for (const char* id : {"a", "c", "d", "e"}) score(id, "boolean", "1");
  for (const char* id : {"b", "f"}) score(id, "boolean", "0");
  options_.format = DatasetFormat::kDpo;
  const Dataset dataset = built();
  EXPECT_EQ(lines_of(dataset),
            (std::vector<std::string>{R"({"prompt":[{"role":"user","content":"One?"}],)"
                                      R"("chosen":[{"role":"assistant","content":"Good."}],)"
                                      R"("rejected":[{"role":"assistant","content":"Bad."}]})"}));
  EXPECT_EQ(dataset.kinds, (std::map<std::string, std::int64_t>{{"thumbs", 1}}));
  EXPECT_EQ(left(dataset, LeftOut::kNoPair), 4);
}

TEST_F(Datasets, KtoTakesThumbsAndTheNewerOfTwoOpinions) {
  serve(request("a", "One?", "First."));
  serve(request("b", "Two?", "Second."));
  serve(request("c", "two?", "second. "));
  serve(request("d", "Three?", "Third."));
  score("a", "boolean", "1");
  score("b", "boolean", "1");
  score("c", "boolean", "0");
  score("d", "correction", "x");
  options_.format = DatasetFormat::kKto;
  const Dataset dataset = built();
  EXPECT_EQ(lines_of(dataset),
            (std::vector<std::string>{
                R"({"prompt":[{"role":"user","content":"One?"}],)"
                R"("completion":[{"role":"assistant","content":"First."}],"label":true})",
                R"({"prompt":[{"role":"user","content":"two?"}],)"
                R"("completion":[{"role":"assistant","content":"second. "}],"label":false})",
                R"({"prompt":[{"role":"user","content":"Three?"}],)"
                R"("completion":[{"role":"assistant","content":"Third."}],"label":false})"}));
  EXPECT_EQ(left(dataset, LeftOut::kDuplicate), 1);
}

TEST_F(Datasets, CompletionsAreTexts) {
  store::TrafficRequest row = request("a", "", "");
  row.content = {R"("Once upon")", R"(" a time")"};
  serve(row);
  serve(request("b", "One?", "First."));
  score("a", "boolean", "1");
  score("b", "boolean", "1");
  options_.prompts = PromptKind::kText;
  const Dataset dataset = built();
  EXPECT_EQ(lines_of(dataset),
            std::vector<std::string>{R"({"prompt":"Once upon","completion":" a time"})"});
  EXPECT_EQ(left(dataset, LeftOut::kOtherKind), 1);
}

TEST_F(Datasets, WhatMustNotBeLearntIsLeftOutAndCounted) {
  store::TrafficRequest row = request("a", "One?", "First.");
  row.content.reset();
  serve(row);
  row = request("b", "One?", "First.");
  row.status = 500;
  serve(row);
  row = request("c", "One?", "First and");
  row.end = "length";
  serve(row);
  row = request("d", "One?", "First");
  row.is_complete = false;
  serve(row);
  serve(request("e", "One[... 9 bytes cut ...]?", "First."));
  serve(request("f", "One?", "First[... 9 bytes cut ...]."));
  serve(request("g", "One?", " \n"));
  serve(request("h", " ", "First."));
  row = request("i", "One?", "");
  row.content->answer = R"({"role":"assistant","content":"","tool_calls":[{"id":"c","type":)"
                        R"("function","function":{"name":"f","arguments":"{}"}}]})";
  serve(row);
  row = request("j", "One?", "");
  row.content->answer = "{";
  serve(row);
  serve(request("k", "One?", "First."));
  for (const char* id : {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}) {
    score(id, "boolean", "1");
  }
  score("k", "correction", "First.");
  const Dataset dataset = built();
  EXPECT_EQ(dataset.examples(), 0U);
  EXPECT_EQ(dataset.left_out, (std::map<LeftOut, std::int64_t>{{LeftOut::kNoContent, 1},
                                                               {LeftOut::kFailed, 1},
                                                               {LeftOut::kUnreadable, 1},
                                                               {LeftOut::kTools, 1},
                                                               {LeftOut::kCut, 2},
                                                               {LeftOut::kUnfinished, 2},
                                                               {LeftOut::kEmpty, 2},
                                                               {LeftOut::kSameAnswer, 1}}));
  options_.takes_tools = true;
  EXPECT_EQ(built().examples(), 1U);
  EXPECT_EQ(left(built(), LeftOut::kTools), 0);
}

TEST_F(Datasets, CorrectionsAreRedactedToo) {
  serve(request("a", "Whom do I mail?", "Ask zoe.quill@example.com."));
  score("a", "correction", "Write to joe@example.com.");
  options_.format = DatasetFormat::kDpo;
  options_.redaction = *monitor::ContentFilter::create({});
  const std::string line = lines_of(built()).at(0);
  EXPECT_EQ(line.find("example.com"), std::string::npos) << line;
  EXPECT_NE(line.find(R"("content":"Write to [EMAIL].")"), std::string::npos) << line;
  EXPECT_NE(line.find(R"("content":"Ask [EMAIL].")"), std::string::npos) << line;
}

TEST_F(Datasets, ScoresOfASpanAndOfATraceWithOneRequestCount) {
  store::TrafficRequest row = request("a", "One?", "First.");
  row.span_id = "span";
  serve(row);
  row = request("b", "Two?", "Second.");
  row.trace_id = "single";
  serve(row);
  for (const char* id : {"c", "d"}) {
    row = request(id, std::string("Shared ") + id, "Third.");
    row.trace_id = "shared";
    serve(row);
  }
  score("span", "boolean", "1", "thumb", "span");
  score("single", "boolean", "1", "thumb", "trace");
  score("shared", "boolean", "1", "thumb", "trace");
  const Dataset dataset = built();
  EXPECT_EQ(dataset.examples(), 2U);
  EXPECT_EQ(left(dataset, LeftOut::kNoFeedback), 2);
}

TEST_F(Datasets, ConditionsLimitsAndTenants) {
  for (const char* id : {"a", "b", "c"}) {
    serve(request(id, std::string("Question ") + id, std::string("Answer ") + id));
    score(id, "boolean", "1");
  }
  store::TrafficRequest row = request("d", "Another's", "secret");
  row.tenant = "other";
  serve(row);
  score("b", "numeric", "0.9", "helpful");
  score("c", "numeric", "0.6", "helpful");
  options_.conditions = {*parse_condition("helpful>=0.8")};
  EXPECT_EQ(lines_of(built()).size(), 1U);
  EXPECT_EQ(left(built(), LeftOut::kCondition), 2);
  options_.conditions.clear();
  options_.limit = 2;
  const std::vector<std::string> newest = lines_of(built());
  ASSERT_EQ(newest.size(), 2U);
  EXPECT_NE(newest[0].find("Question b"), std::string::npos) << "the newest two, oldest first";
  options_.filter.tenant.reset();
  EXPECT_EQ(build_dataset(*traffic_, *scores_, options_).error().code, ErrorCode::kInvalidArgument);
}

TEST_F(Datasets, SessionsAndEqualPromptsNeverStraddleAndTheSplitIsSteady) {
  std::map<std::string, std::string> key_of;
  // 60 sessions of 5 requests; every seventh prompt comes in several sessions.
  for (int i = 0; i < 300; ++i) {
    const std::string prompt = i % 7 == 0 ? "shared " + std::to_string(i % 28) : std::to_string(i);
    store::TrafficRequest row = request("r" + std::to_string(i), prompt, "A" + std::to_string(i));
    row.started_s = kNow + i;
    row.session = i % 7 == 0 ? "" : "s" + std::to_string(i % 60);
    key_of[row.id] = i % 7 == 0 ? prompt : row.session;
    serve(row);
    score(row.id, "boolean", "1");
  }
  options_.split = *parse_split("train=0.8,test=0.2");
  const Dataset dataset = built();
  ASSERT_EQ(dataset.examples(), 300U);
  std::map<std::string, std::set<std::size_t>> parts;
  std::map<std::string, std::size_t> part_of;
  for (std::size_t p = 0; p < 2; ++p) {
    for (const Example& example : dataset.parts[p]) {
      parts[key_of.at(example.request)].insert(p);
      part_of[example.request] = p;
    }
  }
  for (const auto& [key, where] : parts) EXPECT_EQ(where.size(), 1U) << key;
  EXPECT_GT(dataset.parts[1].size(), 15U);
  EXPECT_LT(dataset.parts[1].size(), 120U);
  // More traffic moves nothing that is there.
  serve(request("new", "Something new", "Yes."));
  score("new", "boolean", "1");
  const Dataset later = built();
  for (std::size_t p = 0; p < 2; ++p) {
    for (const Example& example : later.parts[p]) {
      if (example.request == "new") continue;
      EXPECT_EQ(part_of.at(example.request), p) << example.request;
    }
  }
}

TEST_F(Datasets, TurnsOfAConversationStayTogether) {
  for (int c = 0; c < 40; ++c) {
    Json messages = Json::array();
    for (int turn = 0; turn < 3; ++turn) {
      messages.push_back({{"role", "user"}, {"content", fmt::format("{} and {}", c, turn)}});
      store::TrafficRequest row = request(fmt::format("{}-{}", c, turn), "", "Yes.");
      row.content->prompt = messages.dump();
      serve(row);
      score(row.id, "boolean", "1");
      messages.push_back({{"role", "assistant"}, {"content", "Yes."}});
    }
  }
  options_.split = *parse_split("train=0.5,test=0.5");
  const Dataset dataset = built();
  std::map<std::string, std::set<std::size_t>> parts;
  for (std::size_t p = 0; p < 2; ++p) {
    EXPECT_GT(dataset.parts[p].size(), 15U);
    for (const Example& example : dataset.parts[p]) {
      parts[example.request.substr(0, example.request.find('-'))].insert(p);
    }
  }
  EXPECT_EQ(parts.size(), 40U);
  for (const auto& [conversation, where] : parts) EXPECT_EQ(where.size(), 1U) << conversation;
}

TEST_F(Datasets, NearDuplicatesAreLeftOutWhenAsked) {
  const std::string question =
      "Please tell me how many days a customer has to send back what was bought online, and who "
      "pays for sending it back to the shop in that case";
  serve(request("a", question, "Thirty days."));
  serve(request("b", question + "!", "Thirty days!"));
  serve(request("c", question, "No idea at all."));
  for (const char* id : {"a", "b", "c"}) score(id, "boolean", "1");
  EXPECT_EQ(built().examples(), 3U);
  options_.duplicates = Duplicates::kNear;
  EXPECT_EQ(built().examples(), 2U);
  EXPECT_EQ(left(built(), LeftOut::kNearDuplicate), 1);
}

TEST_F(Datasets, TheSameDataGivesTheSameBytesInAFolderThatIsWhole) {
  serve(request("a", "One?", "First."));
  serve(request("b", "Two?", "Second."));
  score("a", "boolean", "1");
  score("b", "boolean", "1");
  const auto first = write_dataset(built(), {}, path("one"), io::Overwrite::kRefuse);
  ASSERT_TRUE(first) << first.error().text();
  EXPECT_FALSE(first->is_unchanged);
  const auto again = write_dataset(built(), {}, path("one"), io::Overwrite::kRefuse);
  ASSERT_TRUE(again) << again.error().text();
  EXPECT_TRUE(again->is_unchanged);
  ASSERT_TRUE(write_dataset(built(), {}, path("two/"), io::Overwrite::kRefuse));
  for (const char* file : {"train.jsonl", "sources.jsonl", "manifest.json"}) {
    EXPECT_EQ(read(std::string("one/") + file), read(std::string("two/") + file));
    EXPECT_FALSE(read(std::string("one/") + file).empty());
  }
  EXPECT_EQ(read("one/sources.jsonl").find("\"request\":\"b\"") != std::string::npos, true);
  // Another content is another version, and replaces only when told so.
  serve(request("c", "Three?", "Third."));
  score("c", "boolean", "1");
  const auto refused = write_dataset(built(), {}, path("one"), io::Overwrite::kRefuse);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().text().find("--force"), std::string::npos);
  const auto replaced = write_dataset(built(), {}, path("one"), io::Overwrite::kReplace);
  ASSERT_TRUE(replaced) << replaced.error().text();
  EXPECT_NE(replaced->version, first->version);
  const auto manifest = read_manifest(path("one"));
  ASSERT_TRUE(manifest) << manifest.error().text();
  EXPECT_TRUE(check_dataset(*manifest));
  EXPECT_EQ(manifest->parts[0].examples, 3);
  const auto listed = list_datasets(folder_.string());
  ASSERT_TRUE(listed);
  EXPECT_EQ(listed->size(), 2U);
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    EXPECT_EQ(entry.path().string().find(".tmp-"), std::string::npos) << "nothing is left behind";
  }
}

TEST_F(Datasets, WhatAKilledRunLeftIsRemoved) {
  serve(request("a", "One?", "First."));
  score("a", "boolean", "1");
  // No process has such a number: it is above the kernel's limit of 2^22.
  const std::string left_behind = path("set.tmp-4194305");
  const std::string others = path("set.tmp-mine");
  const std::string running = path("set.tmp-1");
  for (const std::string& folder : {left_behind, others, running}) {
    std::filesystem::create_directory(folder);
  }
  ASSERT_TRUE(write_dataset(built(), {}, path("set"), io::Overwrite::kRefuse));
  EXPECT_FALSE(std::filesystem::exists(left_behind));
  EXPECT_TRUE(std::filesystem::exists(others));
  EXPECT_TRUE(std::filesystem::exists(running));
}

TEST_F(Datasets, ForeignFilesAndDamageAreSeen) {
  serve(request("a", "One?", "First."));
  score("a", "boolean", "1");
  std::filesystem::create_directory(path("mine"));
  write("mine/notes.txt", "keep me");
  EXPECT_FALSE(write_dataset(built(), {}, path("mine"), io::Overwrite::kReplace));
  EXPECT_EQ(read("mine/notes.txt"), "keep me");
  ASSERT_TRUE(write_dataset(built(), {}, path("set"), io::Overwrite::kRefuse));
  const auto manifest = read_manifest(path("set"));
  ASSERT_TRUE(manifest);
  write("set/train.jsonl", "{}\n");
  const auto damaged = check_dataset(*manifest);
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().code, ErrorCode::kCorrupt);
  EXPECT_NE(damaged.error().message.find("train.jsonl"), std::string::npos);
  write("set/notes.txt", "keep me");
  EXPECT_FALSE(write_dataset(built(), {}, path("set"), io::Overwrite::kReplace));
  EXPECT_EQ(read("set/notes.txt"), "keep me");
  for (const char* text :
       {"", "[]", "{}", R"({"manifest":1})", R"({"manifest":1,"version":"x"})"}) {
    write("set/manifest.json", text);
    EXPECT_EQ(read_manifest(path("set")).error().code, ErrorCode::kCorrupt) << text;
  }
  EXPECT_EQ(read_manifest(path("none")).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace paring::improve
