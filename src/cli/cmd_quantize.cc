// SPDX-License-Identifier: Apache-2.0
// paring quantize: every matrix in one type.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "base/text.h"
#include "cli/commands.h"
#include "io/mapped_file.h"
#include "measure/builtin_text.h"
#include "measure/windows.h"
#include "shrink/quantize.h"
#include "shrink/statistics.h"

namespace paring::cli {

namespace {

constexpr std::size_t kCalibrationContext = 512;

struct QuantizeFlags {
  std::string model;
  std::string out;
  std::string type;
  std::string calibration_path;
  bool has_no_importance = false;
  io::Overwrite overwrite = io::Overwrite::kRefuse;
  bool is_json = false;
};

Result<shrink::Statistics> collect(Context& context, const engine::LoadedModel& model,
                                   const QuantizeFlags& flags) {
  std::string name = "built-in calibration";
  io::MappedFile file;
  std::string_view text = measure::calibration_text();
  if (!flags.calibration_path.empty()) {
    PARING_TRY(file, io::MappedFile::open(flags.calibration_path));
    text = {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
    name = flags.calibration_path;
  }
  PARING_TRY(const measure::Windows windows,
             measure::cut_windows(*model.tokenizer, model.add_bos, name, text,
                                  {.context = kCalibrationContext}));
  PARING_TRY(Executor * executor, context.executor());
  PARING_TRY(const auto evaluator,
             measure::Evaluator::create(model.model->spec(), kCalibrationContext, *executor));
  const model::ModelView view(*model.model);
  return shrink::collect_statistics(*evaluator, view, windows, context.progress());
}

Result<void> run(Context& context, const QuantizeFlags& flags) {
  PARING_TRY(const DType type, dtype_from_name(flags.type));
  PARING_TRY_VOID(check_can_write(flags.out, flags.overwrite));
  PARING_TRY(Executor * executor, context.executor());
  PARING_TRY(const engine::LoadedModel model, context.load(flags.model, 0));
  shrink::QuantizeOptions options;
  PARING_TRY(options.types, shrink::uniform_types(*model.model, type));
  std::optional<shrink::Statistics> statistics;
  if (!flags.has_no_importance) {
    PARING_TRY(statistics, collect(context, model, flags));
    options.statistics = &*statistics;
  }
  PARING_TRY(const std::uint64_t bytes, shrink::quantized_file_bytes(model, options));
  PARING_TRY_VOID(
      shrink::write_quantized(model, options, flags.out, *executor, context.progress()));
  if (flags.is_json) {
    context.output().write_json({{"out", flags.out},
                                 {"type", dtype_name(type)},
                                 {"importance", !flags.has_no_importance},
                                 {"file_bytes_before", model.file.file_bytes()},
                                 {"file_bytes", bytes}});
    return {};
  }
  context.output().write(fmt::format("{}: {} ({} before), every matrix {}\n", flags.out,
                                     format_bytes(bytes), format_bytes(model.file.file_bytes()),
                                     dtype_name(type)));
  return {};
}

std::function<Result<void>(Context&)> define(CLI::App& app) {
  const auto flags = std::make_shared<QuantizeFlags>();
  app.add_option("MODEL", flags->model, "GGUF file to quantize")->required()->type_name("");
  app.add_option("OUT", flags->out, "File to write")->required()->type_name("");
  app.add_option("--type", flags->type, "Type of every matrix, such as Q4_0 or Q8_0")
      ->required()
      ->type_name("TYPE");
  CLI::Option* plain = app.add_flag("--no-importance", flags->has_no_importance,
                                    "Do not weigh errors by how much each input matters");
  app.add_option("--calibration", flags->calibration_path,
                 "Text that shows which inputs matter; the default is built in")
      ->excludes(plain)
      ->type_name("FILE");
  add_force_flag(app, flags->overwrite);
  add_json_flag(app, flags->is_json);
  return [flags](Context& context) { return run(context, *flags); };
}

}  // namespace

extern const Command kQuantize;
const Command kQuantize{"quantize", "Write a model with every matrix in one type",
                        "  paring quantize model.gguf small.gguf --type Q4_0\n",
                        /*is_hidden=*/false, define};

}  // namespace paring::cli
