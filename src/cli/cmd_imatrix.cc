// SPDX-License-Identifier: Apache-2.0
// paring imatrix: which inputs matter, as a file that llama.cpp reads too.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/calibration.h"
#include "cli/commands.h"
#include "io/imatrix.h"
#include "shrink/imatrix_statistics.h"

namespace paring::cli {

namespace {

struct ImatrixFlags {
  std::string model;
  std::string out;
  std::string text_path;
  std::size_t windows_max = 0;
  std::string layout = "gguf";
  io::Overwrite overwrite = io::Overwrite::kRefuse;
  bool is_json = false;
};

Result<void> run(Context& context, const ImatrixFlags& flags) {
  PARING_TRY_VOID(check_can_write(flags.out, flags.overwrite));
  const OnInterrupt interrupted(
      "\nparing: stopped; nothing was written, and what was there before is as it was; start the "
      "same command again, with fewer --windows if it takes too long\n");
  PARING_TRY(const engine::LoadedModel model, context.load(flags.model, 0));
  PARING_TRY(const shrink::Statistics statistics,
             collect_calibration(context, model, flags.text_path, flags.windows_max));
  const io::Imatrix imatrix =
      shrink::imatrix_from_statistics(statistics, *model.model, kCalibrationContext);
  const auto layout = flags.layout == "dat" ? io::ImatrixLayout::kOlder : io::ImatrixLayout::kGguf;
  PARING_TRY_VOID(io::write_imatrix(imatrix, layout, flags.out, flags.overwrite));
  if (flags.is_json) {
    context.output().write_json({{"out", flags.out},
                                 {"layout", flags.layout},
                                 {"entries", imatrix.entries.size()},
                                 {"text", statistics.text_name},
                                 {"text_sha256", statistics.text_sha256},
                                 {"tokens", statistics.tokens}});
    return {};
  }
  context.output().write(fmt::format("{}: {} matrices over {} tokens of {}\n", flags.out,
                                     imatrix.entries.size(), statistics.tokens,
                                     statistics.text_name));
  return {};
}

std::function<Result<void>(Context&)> define(CLI::App& app) {
  const auto flags = std::make_shared<ImatrixFlags>();
  app.add_option("MODEL", flags->model, "GGUF file or Hugging Face folder")
      ->required()
      ->type_name("");
  app.add_option("--out", flags->out, "File to write")->required()->type_name("FILE");
  app.add_option("--text", flags->text_path, "Calibration text; the default is built in")
      ->type_name("FILE");
  app.add_option("--windows", flags->windows_max,
                 "At most N windows of 512 tokens, spread evenly over the text; 0: all")
      ->capture_default_str()
      ->check(CLI::Range(0, 1 << 20))
      ->type_name("N");
  app.add_option("--layout", flags->layout, "gguf, or dat: llama.cpp's layout until 2025")
      ->check(CLI::IsMember({"gguf", "dat"}))
      ->capture_default_str()
      ->type_name("NAME");
  add_force_flag(app, flags->overwrite);
  add_json_flag(app, flags->is_json);
  return [flags](Context& context) { return run(context, *flags); };
}

}  // namespace

extern const Command kImatrix;
const Command kImatrix{
    "imatrix", "Write which inputs of each matrix matter",
    "  paring imatrix model.gguf --out model.imatrix\n"
    "  paring imatrix model.gguf --out model.imatrix --text my.txt --windows 100\n"
    "  paring quantize model.gguf small.gguf --type Q4_0 --imatrix model.imatrix\n",
    /*is_hidden=*/false, define};

}  // namespace paring::cli
