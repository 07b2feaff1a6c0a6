// SPDX-License-Identifier: Apache-2.0
// paring quantize: every matrix in one type.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "base/text.h"
#include "cli/calibration.h"
#include "cli/commands.h"
#include "io/imatrix.h"
#include "quant/format.h"
#include "shrink/imatrix_statistics.h"
#include "shrink/quantize.h"

namespace paring::cli {

namespace {

struct QuantizeFlags {
  std::string model;
  std::string out;
  std::string type;
  std::string fallback;
  std::string calibration_path;
  std::string imatrix_path;
  std::uint64_t split_bytes_max = 0;
  bool has_no_importance = false;
  io::Overwrite overwrite = io::Overwrite::kRefuse;
  bool is_json = false;
};

// Importance from a file, from calibration text, or none.
Result<std::optional<shrink::Statistics>> importance(Context& context,
                                                     const engine::LoadedModel& model,
                                                     const QuantizeFlags& flags) {
  if (flags.has_no_importance) return std::optional<shrink::Statistics>();
  if (flags.imatrix_path.empty()) {
    PARING_TRY(shrink::Statistics collected,
               collect_calibration(context, model, flags.calibration_path));
    return std::optional(std::move(collected));
  }
  PARING_TRY(const io::Imatrix imatrix, io::read_imatrix(flags.imatrix_path));
  PARING_TRY(shrink::Statistics read,
             shrink::statistics_from_imatrix(imatrix, *model.model, flags.imatrix_path));
  return std::optional(std::move(read));
}

// null when every matrix took the type.
nlohmann::json fallback_json(const model::Model& model, const shrink::TypeChoice& choice,
                             std::optional<DType> fallback) {
  if (choice.fallback_slots.empty()) return nullptr;
  nlohmann::json tensors = nlohmann::json::array();
  for (const std::size_t slot : choice.fallback_slots) tensors.push_back(model.slot(slot).name);
  return {{"type", dtype_name(fallback.value())}, {"tensors", tensors}};
}

// "every matrix Q4_0", or which share had to take the fallback.
std::string describe(const model::Model& model, const shrink::TypeChoice& choice, DType type) {
  if (choice.fallback_slots.empty()) return fmt::format("every matrix {}", dtype_name(type));
  const model::MatrixSlot& first = model.slot(choice.fallback_slots.front());
  return fmt::format("{} of {} matrices {}, {} {} ({} does not fit: first '{}', rows of {})",
                     choice.types.size() - choice.fallback_slots.size(), choice.types.size(),
                     dtype_name(type), choice.fallback_slots.size(),
                     dtype_name(choice.types[choice.fallback_slots.front()]), dtype_name(type),
                     first.name, first.cols);
}

Result<void> run(Context& context, const QuantizeFlags& flags) {
  PARING_TRY(const DType type, quant::writable_type(flags.type));
  std::optional<DType> fallback;
  if (!flags.fallback.empty()) {
    PARING_TRY(fallback, quant::writable_type(flags.fallback));
  }
  PARING_TRY(const std::string path, context.resolve(flags.model));
  PARING_TRY_VOID(check_different("MODEL", path, "OUT", flags.out));
  PARING_TRY_VOID(check_can_write(flags.out, flags.overwrite));
  const OnInterrupt interrupted(
      "\nparing: stopped; nothing was written, and what was there before is as it was; start the "
      "same command again\n");
  PARING_TRY(Executor * executor, context.executor());
  PARING_TRY(const engine::LoadedModel model,
             context.load(flags.model, 0, engine::ModelKind::kAny));
  shrink::QuantizeOptions options;
  PARING_TRY(const shrink::TypeChoice choice,
             shrink::choose_types(model.model->slots(), type, fallback));
  options.types = choice.types;
  options.extra = shrink::choice_metadata(model.model->slots(), choice, type, fallback);
  PARING_TRY(const auto statistics, importance(context, model, flags));
  if (statistics) options.statistics = &*statistics;
  options.split_bytes_max = flags.split_bytes_max;
  options.overwrite = flags.overwrite;
  PARING_TRY(const shrink::WrittenFiles written,
             shrink::write_quantized(model, options, flags.out, *executor, context.progress()));
  if (flags.is_json) {
    context.output().write_json({{"out", flags.out},
                                 {"type", dtype_name(type)},
                                 {"fallback", fallback_json(*model.model, choice, fallback)},
                                 {"importance", !flags.has_no_importance},
                                 {"file_bytes_before", model.file.file_bytes()},
                                 {"file_bytes", written.bytes},
                                 {"files", written.paths}});
    return {};
  }
  const std::string names =
      written.paths.size() == 1
          ? flags.out
          : fmt::format("{} and {} more", written.paths.front(), written.paths.size() - 1);
  context.output().write(fmt::format("{}: {} ({} before), {}\n", names, format_bytes(written.bytes),
                                     format_bytes(model.file.file_bytes()),
                                     describe(*model.model, choice, type)));
  return {};
}

std::function<Result<void>(Context&)> define(CLI::App& app) {
  const auto flags = std::make_shared<QuantizeFlags>();
  app.add_option("MODEL", flags->model, "GGUF file or Hugging Face folder to quantize")
      ->required()
      ->type_name("");
  app.add_option("OUT", flags->out, "File to write")->required()->type_name("");
  app.add_option("--type", flags->type, "Type of every matrix: " + quant::format_names())
      ->required()
      ->type_name("TYPE");
  app.add_option("--fallback", flags->fallback,
                 "Type of matrices whose rows --type does not fit; without it they are an error")
      ->type_name("TYPE");
  CLI::Option* plain = app.add_flag("--no-importance", flags->has_no_importance,
                                    "Do not weigh errors by how much each input matters");
  CLI::Option* calibration =
      app.add_option("--calibration", flags->calibration_path,
                     "Text that shows which inputs matter; the default is built in")
          ->excludes(plain)
          ->type_name("FILE");
  app.add_option("--imatrix", flags->imatrix_path,
                 "Importance matrix of llama.cpp or 'paring imatrix' instead of a text")
      ->excludes(plain)
      ->excludes(calibration)
      ->type_name("FILE");
  add_bytes_option(app, "--split-max-size", flags->split_bytes_max,
                   "Write several files of at most this size, such as 2GB");
  add_force_flag(app, flags->overwrite);
  add_json_flag(app, flags->is_json);
  return [flags](Context& context) { return run(context, *flags); };
}

}  // namespace

extern const Command kQuantize;
const Command kQuantize{"quantize", "Write a model with every matrix in one type",
                        "  paring quantize model.gguf small.gguf --type Q4_0\n"
                        "  paring quantize model.gguf small.gguf --type Q4_K --fallback Q5_0\n",
                        /*is_hidden=*/false, define};

}  // namespace paring::cli
