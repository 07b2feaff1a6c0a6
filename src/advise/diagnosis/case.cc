// SPDX-License-Identifier: Apache-2.0
#include "advise/diagnosis/case.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/file.h"
#include "base/text.h"
#include "text/chat_request.h"

namespace paring::advise {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kBlank = " \t\r\n";
// What people write before a text or a question.
constexpr std::array<std::string_view, 8> kTextLabels = {
    "text", "context", "contexts", "document", "documents", "passage", "passages", "source"};

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::size_t count_words(std::string_view text) {
  std::size_t words = 0;
  for (std::size_t at = 0; (at = text.find_first_not_of(kBlank, at)) != std::string_view::npos;) {
    at = std::min(text.find_first_of(kBlank, at), text.size());
    ++words;
  }
  return words;
}

std::vector<std::string_view> split(std::string_view text, std::string_view separator) {
  std::vector<std::string_view> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(separator, at), text.size());
    if (const std::string_view part = trim(text.substr(at, end - at)); !part.empty()) {
      parts.push_back(part);
    }
    at = end + separator.size();
  }
  return parts;
}

// `text` behind "label:", or all of it when it does not begin so.
std::string_view behind_label(std::string_view text, std::span<const std::string_view> labels) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon > 24) return text;
  const std::string label = ascii_lower(trim(text.substr(0, colon)));
  // "Document 3:" and "Context [1]:" count as well.
  const std::string_view word = std::string_view(label).substr(0, label.find_first_of(" [("));
  if (std::find(labels.begin(), labels.end(), word) == labels.end()) return text;
  return trim(text.substr(colon + 1));
}

constexpr std::array<std::string_view, 2> kQuestionLabels = {"question", "q"};

// "Tell me briefly: When was it built?" without what is told before the question, in English.
std::string_view behind_instruction(std::string_view question) {
  constexpr std::array<std::string_view, 21> kFirstWords = {
      "what", "who",  "whom", "whose", "when", "where", "why",   "how", "which", "is", "are",
      "was",  "were", "do",   "does",  "did",  "can",   "could", "in",  "on",    "at"};
  const std::size_t colon = question.rfind(": ");
  if (colon == std::string_view::npos) return question;
  const std::string_view rest = trim(question.substr(colon + 1));
  const std::string word = ascii_lower(rest.substr(0, rest.find(' ')));
  const bool is_question =
      std::find(kFirstWords.begin(), kFirstWords.end(), word) != kFirstWords.end();
  return is_question ? rest : question;
}

// The last question of what a user wrote, or its last line.
std::string find_question(std::string_view asking) {
  const std::vector<std::string_view> lines = split(asking, "\n");
  for (std::size_t i = lines.size(); i-- > 0;) {
    const std::string_view question = behind_label(lines[i], kQuestionLabels);
    if (question.data() != lines[i].data()) {
      if (!question.empty()) return std::string(question);
      if (i + 1 < lines.size()) return std::string(lines[i + 1]);
    }
  }
  for (std::size_t i = lines.size(); i-- > 0;) {
    const std::size_t mark = lines[i].rfind('?');
    if (mark == std::string_view::npos) continue;
    const std::string_view line = lines[i].substr(0, mark + 1);
    std::size_t begin = 0;
    for (const std::string_view end : {". ", "! ", "? "}) {
      const std::size_t found = line.rfind(end, mark == 0 ? 0 : mark - 1);
      if (found != std::string_view::npos) begin = std::max(begin, found + end.size());
    }
    return std::string(behind_instruction(trim(line.substr(begin))));
  }
  return lines.empty() ? std::string() : std::string(lines.back());
}

// Long blocks of `text` without the question, without labels.
void find_context(std::string_view text, std::string_view question,
                  std::vector<std::string>& context) {
  for (std::string_view block : split(text, "\n\n")) {
    block = behind_label(block, kTextLabels);
    const std::size_t at = question.empty() ? std::string_view::npos : block.find(question);
    if (at != std::string_view::npos) {
      const std::string_view before = trim(block.substr(0, at));
      const std::string_view after = trim(block.substr(at + question.size()));
      block = before.size() >= after.size() ? before : after;
      // "... text of the passage. Question:"
      for (const std::string_view label : {"Question:", "question:", "Q:"}) {
        if (block.ends_with(label)) block = trim(block.substr(0, block.size() - label.size()));
      }
      block = behind_label(block, kTextLabels);
    }
    if (count_words(block) >= kContextWordsMin) context.emplace_back(block);
  }
}

// What was said, in order; of a completion its one text, as a user's.
std::vector<std::pair<std::string, std::string>> turns_of(const Json& prompt) {
  std::vector<std::pair<std::string, std::string>> turns;
  if (prompt.is_string()) return {{"user", prompt.get<std::string>()}};
  for (const Json& message : prompt) {
    const auto content = message.find("content");
    if (content == message.end() || !content->is_string()) continue;
    turns.emplace_back(message.value("role", ""), content->get<std::string>());
  }
  return turns;
}

std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<std::string> optional_text(const Json& record, const char* name, const std::string& place) {
  const auto found = record.find(name);
  if (found == record.end() || found->is_null()) return std::string();
  if (found->is_string()) return found->get<std::string>();
  return invalid_argument(fmt::format("{}: \"{}\" is not a string", place, name));
}

// "context" of a record: strings that stand in the prompt.
Result<void> read_context(const Json& record, const std::string& place, Case& c) {
  const auto found = record.find("context");
  if (found == record.end() || found->is_null()) return {};
  const Json list = found->is_array() ? *found : Json::array({*found});
  c.context.clear();
  const auto turns = turns_of(Json::parse(c.prompt));
  for (const Json& item : list) {
    if (!item.is_string()) {
      return invalid_argument(place + ": \"context\" is not a string or a list of strings");
    }
    std::string text(trim(item.get_ref<const std::string&>()));
    if (text.empty()) continue;
    const bool is_there = std::any_of(turns.begin(), turns.end(), [&](const auto& turn) {
      return turn.second.find(text) != std::string::npos;
    });
    if (!is_there) {
      return invalid_argument(fmt::format("{}: \"context\" does not stand in the prompt: {}", place,
                                          escape_control(std::string_view(text).substr(0, 60))),
                              "give it as it was sent, or leave the field out");
    }
    c.context.push_back(std::move(text));
  }
  return {};
}

}  // namespace

Result<Case> case_of(std::string id, const std::string& prompt) {
  Case c;
  c.id = std::move(id);
  Json json = Json::parse(prompt, nullptr, false);
  if (!json.is_string()) {
    auto chat = text::read_chat({.messages = prompt, .tools = {}, .variables = {}});
    if (!chat) return std::move(chat.error()).with_context(c.id);
    json = Json::parse(chat->messages);
  }
  c.prompt = text_of(json);
  const auto turns = turns_of(json);
  const auto asking = std::find_if(turns.rbegin(), turns.rend(),
                                   [](const auto& turn) { return turn.first == "user"; });
  if (asking == turns.rend() || trim(asking->second).empty()) {
    return invalid_argument(c.id + ": the prompt holds no text of a user");
  }
  c.question = find_question(asking->second);
  for (const auto& [role, content] : turns) {
    if (role != "assistant") find_context(content, c.question, c.context);
  }
  return c;
}

Result<Case> parse_case(std::string_view line, const std::string& place) {
  const Json record = Json::parse(line, nullptr, false);
  if (!record.is_object()) return invalid_argument(place + ": not a JSON object");
  const auto messages = record.find("messages"), prompt = record.find("prompt");
  if ((messages == record.end()) == (prompt == record.end())) {
    return invalid_argument(place + ": a case has either \"messages\" or \"prompt\"",
                            "give the prompt as it was sent");
  }
  if (prompt != record.end() && !prompt->is_string()) {
    return invalid_argument(place + ": \"prompt\" is not a string");
  }
  auto read = case_of(place, text_of(messages != record.end() ? *messages : *prompt));
  if (!read) return std::move(read.error());
  Case c = std::move(read).value();
  PARING_TRY(const std::string id, optional_text(record, "id", place));
  if (!id.empty()) c.id = id;
  PARING_TRY(const std::string question, optional_text(record, "question", place));
  if (!question.empty()) c.question = question;
  PARING_TRY_VOID(read_context(record, place, c));
  PARING_TRY(c.reference, optional_text(record, "reference", place));
  PARING_TRY(c.answer, optional_text(record, "answer", place));
  return c;
}

Result<std::vector<Case>> read_cases(const std::string& path) {
  PARING_TRY(const std::string text, read_small_file(path, kCaseFileBytesMax));
  std::vector<Case> cases;
  std::size_t number = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = trim(std::string_view(text).substr(at, end - at));
    at = end + 1;
    ++number;
    if (line.empty()) continue;
    PARING_TRY(Case c, parse_case(line, fmt::format("{}:{}", path, number)));
    cases.push_back(std::move(c));
    if (cases.size() > kCasesMax) {
      return exhausted(fmt::format("{}: more than {} cases", path, kCasesMax), "split the file");
    }
  }
  if (cases.empty()) return invalid_argument(path + " holds no case");
  return cases;
}

std::string with_context(const Case& c, const std::string& text) {
  Json prompt = Json::parse(c.prompt);
  bool is_placed = false;
  const auto change = [&](std::string said) {
    for (const std::string& context : c.context) {
      const std::size_t at = said.find(context);
      if (at == std::string::npos) continue;
      said.replace(at, context.size(), is_placed ? "" : text);
      is_placed = true;
    }
    return said;
  };
  if (prompt.is_string()) {
    std::string said = change(prompt.get<std::string>());
    return text_of(is_placed ? said : text + "\n\n" + said);
  }
  Json* asking = nullptr;
  for (Json& message : prompt) {
    const auto content = message.find("content");
    if (content == message.end() || !content->is_string()) continue;
    const std::string role = message.value("role", "");
    if (role == "assistant") continue;
    *content = change(content->get<std::string>());
    if (role == "user") asking = &*content;
  }
  if (!is_placed && asking != nullptr) *asking = text + "\n\n" + asking->get<std::string>();
  return text_of(prompt);
}

std::string plain_prompt(const Case& c, const std::string& instruction, const std::string& text) {
  std::string said = instruction + "\n\n";
  if (!text.empty()) said += "Text:\n" + text + "\n\n";
  said += "Question: " + c.question;
  if (Json::parse(c.prompt).is_string()) return text_of(said + "\nAnswer:");
  return text_of(Json::array({{{"role", "user"}, {"content", said}}}));
}

}  // namespace paring::advise
