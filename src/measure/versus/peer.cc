// SPDX-License-Identifier: Apache-2.0
#include "measure/versus/peer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/text.h"

namespace paring::measure {

namespace {

using nlohmann::json;

constexpr double kWriteSeconds = 60;
constexpr std::size_t kQuotedMax = 200;

// The last line of a log that speaks of an error, else the last that says anything.
std::string last_words(std::string_view tail) {
  std::string_view found;
  bool is_error = false;
  while (!tail.empty()) {
    const std::size_t end = std::min(tail.find('\n'), tail.size());
    const std::string_view line = tail.substr(0, end);
    tail.remove_prefix(std::min(end + 1, tail.size()));
    const bool speaks_of_error = ascii_lower(line).find("error") != std::string::npos;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    if (is_error && !speaks_of_error) continue;
    found = line;
    is_error = speaks_of_error;
  }
  return escape_control(found.substr(0, kQuotedMax));
}

std::string quoted_words(ChildProcess& process) {
  process.wait(0);  // reads what has come in
  const std::string words = last_words(process.error_tail());
  return words.empty() ? "" : fmt::format(" ('{}')", words);
}

Error nonsense(const std::string& what) {
  return {ErrorCode::kUnavailable, "its answer makes no sense: " + what};
}

// A finite number of at least `least`.
Result<double> number(const json& answer, const char* key, double least) {
  const auto found = answer.find(key);
  if (found == answer.end() || !found->is_number()) {
    return nonsense(fmt::format("'{}' is no number", key));
  }
  const double value = found->get<double>();
  if (!std::isfinite(value) || value < least) {
    return nonsense(fmt::format("'{}' is {}", key, value));
  }
  return value;
}

Result<std::string> text_of(const json& answer, const char* key) {
  const auto found = answer.find(key);
  if (found == answer.end() || !found->is_string()) {
    return nonsense(fmt::format("'{}' is no text", key));
  }
  return escape_control(found->get<std::string>());
}

json flags_json(const PeerFlags& flags) {
  return {{"flash_attention", flags.flash_attention},
          {"kv_type", flags.kv_type},
          {"batch", flags.batch},
          {"ubatch", flags.ubatch},
          {"threads", flags.threads},
          {"repack", flags.repack},
          {"unified", flags.unified}};
}

}  // namespace

std::string PeerFlags::text() const {
  return fmt::format("-fa {} -ctk {} -ctv {} -b {} -ub {} -t {}{}{}", flash_attention ? 1 : 0,
                     kv_type, kv_type, batch, ubatch, threads, repack ? "" : " --no-repack",
                     unified ? " -kvu" : "");
}

std::string Peer::name() const { return identity_.name.empty() ? "the peer" : identity_.name; }

// Ends the peer: after a failure nothing more can be said to it.
Error Peer::failed(Error error) {
  const std::string words = quoted_words(process_);
  process_.end();
  error.message = fmt::format("{} failed: {}{}", name(), error.message, words);
  if (error.code == ErrorCode::kDeadline && error.hint.empty()) {
    error.hint = "give it more time with --peer-timeout, or leave out long cases";
  }
  return error;
}

Result<json> Peer::read_answer(std::uint64_t id) {
  PARING_TRY(const std::string line, process_.read_line(timeout_));
  json answer = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!answer.is_object()) {
    return nonsense("'" + escape_control(line.substr(0, kQuotedMax)) + "'");
  }
  if (const auto error = answer.find("error"); error != answer.end() && error->is_string()) {
    const std::string said = error->get<std::string>().substr(0, kQuotedMax);
    return unsupported(escape_control(said));
  }
  if (!answer.contains("id") || answer["id"] != id) {
    return nonsense(fmt::format("it is not that of request {}", id));
  }
  return answer;
}

Result<json> Peer::ask(json request) {
  const std::uint64_t id = next_id_++;
  request["id"] = id;
  if (auto written = process_.write_line(request.dump(), kWriteSeconds); !written) {
    return failed(std::move(written.error()));
  }
  auto answer = read_answer(id);
  if (!answer && answer.error().code == ErrorCode::kUnsupported) {
    return std::move(answer.error()).with_context(name() + " refuses" + quoted_words(process_));
  }
  if (!answer) return failed(std::move(answer.error()));
  return answer;
}

Result<std::unique_ptr<Peer>> Peer::start(const PeerCommand& command) {
  PARING_TRY(ChildProcess process, ChildProcess::start(command.process));
  std::unique_ptr<Peer> peer(new Peer(std::move(process), command.timeout_seconds));
  PARING_TRY(const json answer, peer->ask({{"do", "hello"}}));
  const auto identify = [&]() -> Result<void> {
    PARING_TRY(const double protocol, number(answer, "protocol", 0));
    if (static_cast<int>(protocol) != kProtocol) {
      return nonsense(fmt::format("it speaks protocol {}, not {}", protocol, kProtocol));
    }
    PARING_TRY(peer->identity_.package, text_of(answer, "package"));
    PARING_TRY(peer->identity_.build, text_of(answer, "build"));
    PARING_TRY(peer->identity_.features, text_of(answer, "features"));
    PARING_TRY(const double bytes, number(answer, "peak_bytes", 0));
    peer->identity_.idle_bytes = static_cast<std::uint64_t>(bytes);
    PARING_TRY(peer->identity_.name, text_of(answer, "name"));
    return {};
  };
  if (auto identified = identify(); !identified) {
    return peer->failed(std::move(identified.error()));
  }
  return peer;
}

Result<void> Peer::prepare(const std::string& model, const SpeedCase& speed_case,
                           const PeerFlags& flags,
                           std::span<const std::vector<std::int32_t>> prompts,
                           std::span<const std::int32_t> tail) {
  json request = {{"do", "prepare"}, {"model", model}, {"flags", flags_json(flags)}};
  request["case"] = {{"kind", case_kind_name(speed_case.kind)}, {"decode", speed_case.decode}};
  request["prompts"] = json::array();
  for (const auto& prompt : prompts) request["prompts"].push_back(prompt);
  request["tail"] = std::vector<std::int32_t>(tail.begin(), tail.end());
  PARING_TRY([[maybe_unused]] const json answer, ask(std::move(request)));
  return {};
}

Result<PeerRun> Peer::run() {
  PARING_TRY(const json answer, ask({{"do", "run"}}));
  const auto read = [&]() -> Result<PeerRun> {
    PeerRun run;
    PARING_TRY(run.seconds, number(answer, "seconds", 1e-9));
    PARING_TRY(run.cpu_seconds, number(answer, "cpu_seconds", 0));
    PARING_TRY(run.idle_cpu_seconds, number(answer, "idle_cpu_seconds", 0));
    PARING_TRY(const double bytes, number(answer, "peak_bytes", 0));
    run.peak_bytes = static_cast<std::uint64_t>(bytes);
    return run;
  };
  auto run = read();
  if (!run) return failed(std::move(run.error()));
  return run;
}

Result<PeerText> Peer::continue_greedily(const std::string& model, const PeerFlags& flags,
                                         std::span<const std::int32_t> tokens, std::size_t rows,
                                         std::size_t steps, const std::string& logits_path) {
  PARING_TRY(const json answer,
             ask({{"do", "compare"},
                  {"model", model},
                  {"flags", flags_json(flags)},
                  {"tokens", std::vector<std::int32_t>(tokens.begin(), tokens.end())},
                  {"rows", rows},
                  {"steps", steps},
                  {"logits", logits_path}}));
  const auto read = [&]() -> Result<PeerText> {
    PeerText text;
    PARING_TRY(const double vocabulary, number(answer, "vocabulary", 1));
    text.vocabulary = static_cast<std::size_t>(vocabulary);
    for (const char* key : {"tokens", "margins"}) {
      if (!answer.contains(key) || !answer[key].is_array() || answer[key].size() != steps) {
        return nonsense(fmt::format("'{}' are not {} values", key, steps));
      }
    }
    for (std::size_t i = 0; i < steps; ++i) {
      const json& token = answer["tokens"][i];
      const json& margin = answer["margins"][i];
      if (!token.is_number_integer() || token.get<std::int64_t>() < 0 ||
          token.get<double>() >= vocabulary || !margin.is_number()) {
        return nonsense(fmt::format("token {} of its text is none", i));
      }
      text.tokens.push_back(token.get<std::int32_t>());
      text.margins.push_back(margin.get<double>());
    }
    return text;
  };
  auto text = read();
  if (!text) return failed(std::move(text.error()));
  return text;
}

}  // namespace paring::measure
