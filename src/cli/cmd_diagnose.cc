// SPDX-License-Identifier: Apache-2.0
// paring diagnose: whether bad answers come from the context or from the model, by replays.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "advise/diagnosis/lever.h"
#include "advise/diagnosis/traffic_cases.h"
#include "advise/diagnosis/words.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "engine/open_model.h"
#include "model/architecture.h"
#include "store/data_folder.h"

namespace paring::cli {

namespace {

struct DiagnoseFlags {
  std::string model;
  std::string original;
  std::string documents;
  std::string cases;
  std::string request;
  bool is_badly_rated = false;
  std::string tenant = "default";
  std::string served_as;
  std::size_t limit = 20;
  advise::DiagnosisOptions options;
  std::size_t answer_tokens = 48;
  bool is_json = false;
};

// From the folder of a server, which may be running.
Result<std::vector<advise::Case>> stored_cases(Context& context, const DiagnoseFlags& flags) {
  PARING_TRY(const std::string folder, store::data_folder(context.settings().data_dir, environ));
  std::error_code unknown;
  if (!std::filesystem::is_regular_file(folder + "/control.db", unknown)) {
    return not_found(folder + " is not the data folder of a server", "name it with --data-dir");
  }
  PARING_TRY(const store::ControlDb control, store::ControlDb::open({.folder = folder}));
  const store::Scores scores(control);
  PARING_TRY(const store::TrafficDb traffic, store::TrafficDb::open({.data = folder}));
  if (!flags.request.empty()) {
    PARING_TRY(advise::Case c, advise::case_of_request(traffic, scores, flags.request));
    return std::vector<advise::Case>{std::move(c)};
  }
  PARING_TRY(advise::BadlyRated found, advise::badly_rated_cases(traffic, scores, flags.tenant,
                                                                 flags.served_as, flags.limit));
  const std::string lost = counted(found.without_text, "badly rated answer");
  if (found.cases.empty()) {
    return not_found(fmt::format("no badly rated answer of tenant '{}' with its text in {}; {} "
                                 "without",
                                 flags.tenant, folder, lost),
                     "the server keeps prompts and answers only when it is told to");
  }
  if (found.without_text > 0) {
    print_note(fmt::format("{} left out: the text was not kept, or of another model", lost));
  }
  return std::move(found.cases);
}

// Loads a model, replays every case on it, and frees it: two models are never in memory at once.
Result<void> replay_side(Context& context, const DiagnoseFlags& flags, const std::string& name,
                         advise::Side side, advise::Diagnosis& diagnosis) {
  PARING_TRY(const std::string path, context.resolve(name));
  PARING_TRY(Executor * executor, context.executor());
  advise::Replayer::Options options;
  options.answer_tokens_max = flags.answer_tokens;
  options.eval.numerics = context.numerics();
  std::size_t extra = 0;
  {
    PARING_TRY(const io::ModelFile file, engine::open_model(path));
    options.eval.kv_type = context.kv_type(file);
    PARING_TRY(const model::BlockSpec spec, model::read_block_spec(file));
    options.context_tokens = context.context_tokens(spec);
    extra = advise::Replayer::bytes_for(spec, options, executor->threads());
  }
  PARING_TRY(const engine::LoadedModel loaded, context.load(name, extra));
  PARING_TRY(const auto replayer, advise::Replayer::create(loaded, *executor, options));
  return diagnosis.replay(*replayer, side, context.progress());
}

Json replays_json(const advise::SideReplays& side, const std::string& reference) {
  Json json = Json::object();
  for (std::size_t k = 0; k < advise::kReplayKinds; ++k) {
    if (!side.replays[k]) continue;
    const advise::Replay& replay = *side.replays[k];
    json[advise::replay_kind_name(static_cast<advise::ReplayKind>(k))] = {
        {"answer", replay.answer},
        {"is_right", advise::is_same_answer(replay.answer, reference)},
        {"reference_log_probability", replay.reference_log_probability},
        {"prompt_tokens", replay.prompt_tokens}};
  }
  return json;
}

Json signals_json(const advise::Signals& signals) {
  Json json;
#define PARING_X(name) json[#name] = signals.name;
  PARING_SIGNALS(PARING_X)
#undef PARING_X
  return json;
}

Json case_json(const advise::CaseReport& report, const advise::LeverNames& names) {
  Json json;
  json["id"] = report.input.id;
  if (!report.error.empty()) {
    json["error"] = report.error;
    return json;
  }
  const advise::Verdict& verdict = report.verdict;
  json["axis"] = advise::axis_name(verdict.axis);
  json["cause"] = advise::cause_name(verdict.cause);
  if (verdict.axis == advise::Axis::kBoth) {
    json["causes"] = {advise::cause_name(verdict.context_cause),
                      advise::cause_name(verdict.model_cause)};
  }
  json["confidence"] = verdict.confidence;
  for (std::size_t a = 0; a < advise::kAxes; ++a) {
    json["probabilities"][advise::axis_name(static_cast<advise::Axis>(a))] =
        verdict.probabilities[a];
  }
  json["context_probability"] = verdict.context_probability();
  json["model_probability"] = verdict.model_probability();
  for (const advise::Lever& lever : advise::levers_for(report, names)) {
    Json entry = {{"action", lever.action}};
    if (!lever.command.empty()) entry["command"] = lever.command;
    if (!lever.prompt.empty()) entry["prompt"] = Json::parse(lever.prompt);
    json["levers"].push_back(std::move(entry));
  }
  json["question"] = report.input.question;
  json["reference"] = report.input.reference;
  json["is_reference_made"] = report.is_reference_made;
  if (!report.evidence.text.empty()) {
    json["evidence"] = {{"document", report.evidence.document},
                        {"rank", report.evidence.rank},
                        {"has_reference", report.evidence.has_reference},
                        {"text", report.evidence.text}};
  }
  json["served"] = replays_json(report.served, report.input.reference);
  if (report.original) json["original"] = replays_json(*report.original, report.input.reference);
  if (report.divergence) json["divergence"] = *report.divergence;
  json["signals"] = signals_json(report.signals);
  return json;
}

std::string short_text(std::string text) {
  constexpr std::size_t kBytes = 48;
  for (char& c : text) c = c == '\n' ? ' ' : c;
  if (text.size() <= kBytes) return text;
  std::size_t end = kBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end) + "...";
}

void add_rows(Table& table, const char* model, const advise::SideReplays& side,
              const std::string& reference) {
  for (std::size_t k = 0; k < advise::kReplayKinds; ++k) {
    if (!side.replays[k]) continue;
    const advise::Replay& replay = *side.replays[k];
    table.add({model, advise::replay_kind_name(static_cast<advise::ReplayKind>(k)),
               advise::is_same_answer(replay.answer, reference) ? "right" : "wrong",
               fmt::format("{:.2f}", replay.reference_log_probability), short_text(replay.answer)});
  }
}

std::string case_text(const advise::CaseReport& report, const advise::LeverNames& names) {
  Facts facts;
  facts.add("case", report.input.id);
  if (!report.error.empty()) {
    facts.add("not diagnosed", report.error);
    return facts.render();
  }
  const advise::Verdict& verdict = report.verdict;
  std::string axis = advise::axis_name(verdict.axis);
  if (verdict.axis == advise::Axis::kBoth) {
    axis += fmt::format(": {}; {}", advise::cause_name(verdict.context_cause),
                        advise::cause_name(verdict.model_cause));
  } else {
    axis += fmt::format(": {}", advise::cause_name(verdict.cause));
  }
  facts.add("verdict", fmt::format("{}, {:.0f} % sure", axis, 100 * verdict.confidence));
  for (const advise::Lever& lever : advise::levers_for(report, names)) {
    facts.add("do", lever.action);
    if (!lever.command.empty()) facts.add("", lever.command);
  }
  facts.add("question", short_text(report.input.question));
  facts.add(report.is_reference_made ? "reference (made)" : "reference",
            short_text(report.input.reference));
  if (report.divergence) {
    facts.add("moved by shrinking",
              fmt::format("{:.4f} nats a token along the answer", *report.divergence));
  }
  Table table(
      {{"model"}, {"replay"}, {"answer is"}, {"log p of reference", Align::kRight}, {"answer"}});
  add_rows(table, "served", report.served, report.input.reference);
  if (report.original) add_rows(table, "original", *report.original, report.input.reference);
  return facts.render() + table.render();
}

std::map<std::string, std::size_t> counts_of(const std::vector<advise::CaseReport>& reports) {
  std::map<std::string, std::size_t> counts;
  for (const advise::CaseReport& report : reports) {
    ++counts[report.error.empty() ? advise::axis_name(report.verdict.axis) : "not diagnosed"];
  }
  return counts;
}

Result<void> run_diagnose(Context& context, const DiagnoseFlags& flags) {
  PARING_TRY(std::vector<advise::Case> cases,
             flags.cases.empty() ? stored_cases(context, flags) : advise::read_cases(flags.cases));
  advise::Passages passages;
  if (!flags.documents.empty()) {
    PARING_TRY(passages, advise::Passages::open(flags.documents));
  }
  advise::Diagnosis diagnosis(std::move(cases), std::move(passages), flags.options);
  if (!flags.original.empty()) {
    PARING_TRY_VOID(
        replay_side(context, flags, flags.original, advise::Side::kOriginal, diagnosis));
  }
  PARING_TRY_VOID(replay_side(context, flags, flags.model, advise::Side::kServed, diagnosis));
  const std::vector<advise::CaseReport> reports = diagnosis.reports();
  const advise::LeverNames names{flags.model, flags.original, flags.documents};
  const auto counts = counts_of(reports);
  if (flags.is_json) {
    Json json;
    json["model"] = flags.model;
    if (!flags.original.empty()) json["original"] = flags.original;
    json["counts"] = counts;
    json["cases"] = Json::array();
    for (const advise::CaseReport& report : reports) {
      json["cases"].push_back(case_json(report, names));
    }
    context.output().write_json(json);
    return {};
  }
  for (const advise::CaseReport& report : reports) {
    context.output().write(case_text(report, names) + "\n");
  }
  Table table({{"axis"}, {"cases", Align::kRight}});
  for (const auto& [axis, count] : counts) table.add({axis, group_digits(count)});
  context.output().write(table.render());
  return {};
}

std::function<Result<void>(Context&)> define(CLI::App& app) {
  const auto flags = std::make_shared<DiagnoseFlags>();
  app.add_option("MODEL", flags->model, "Model that gave the answers: GGUF file or folder")
      ->required()
      ->type_name("");
  app.add_option("--original", flags->original,
                 "The model that MODEL was made from; tells whether shrinking is to blame")
      ->type_name("MODEL");
  app.add_option("--documents", flags->documents,
                 "What could have been given as context: a folder of .txt, .md and .jsonl files, "
                 "or one of them")
      ->type_name("PATH");
  CLI::Option_group* which = app.add_option_group("Answers", "Which answers were bad");
  which->require_option(1);
  which
      ->add_option("--cases", flags->cases,
                   "JSON lines with \"messages\" or \"prompt\", and perhaps \"reference\" (what "
                   "would have been right), \"answer\", \"question\", \"context\", \"id\"")
      ->type_name("FILE");
  which->add_option("--request", flags->request, "One that a server of --data-dir gave: its id")
      ->type_name("ID");
  CLI::Option* badly_rated = which->add_flag(
      "--badly-rated", flags->is_badly_rated,
      "Those that a server of --data-dir gave and that feedback says were bad: false, a number "
      "below 0.5, a word such as \"bad\", or a corrected answer, which is the reference then");
  app.add_option("--tenant", flags->tenant, "Whose feedback --badly-rated reads")
      ->needs(badly_rated)
      ->capture_default_str()
      ->type_name("NAME");
  app.add_option("--served-as", flags->served_as,
                 "Of --badly-rated, only answers of the model with this name")
      ->needs(badly_rated)
      ->type_name("NAME");
  app.add_option("--limit", flags->limit, "Of --badly-rated, at most the newest N")
      ->needs(badly_rated)
      ->capture_default_str()
      ->check(CLI::Range(1, 10000))
      ->type_name("N");
  app.add_option("--instruction", flags->options.instruction,
                 "What the task is, in plain words; without it: to answer the question from the "
                 "text")
      ->type_name("TEXT");
  app.add_option("--answer-tokens", flags->answer_tokens, "Most tokens of a replayed answer")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096))
      ->type_name("N");
  add_json_flag(app, flags->is_json);
  return [flags](Context& context) { return run_diagnose(context, *flags); };
}

}  // namespace

extern const Command kDiagnose;
const Command kDiagnose{
    "diagnose", "Why answers were bad: their context, or the model",
    "  paring diagnose small.gguf --cases bad.jsonl --documents docs/\n"
    "  paring diagnose small.gguf --original model.gguf --cases bad.jsonl --documents docs/\n"
    "  paring diagnose small.gguf --data-dir /var/lib/paring --badly-rated --documents docs/\n",
    /*is_hidden=*/false, define};

}  // namespace paring::cli
