// SPDX-License-Identifier: Apache-2.0
#include "cli/planning.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>

#include "base/text.h"
#include "cli/context.h"
#include "cli/figures.h"
#include "cli/table.h"
#include "cost/memory_model.h"
#include "cost/roofline.h"
#include "engine/generator.h"
#include "engine/token_work.h"
#include "quant/format.h"

namespace paring::cli {

namespace {

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;

struct KnownGpu {
  const char* name;
  std::uint64_t gib;
};
// Memory as the makers state it, which for these is in GiB.
constexpr KnownGpu kGpus[] = {
    {"RTX3060", 12}, {"RTX3090", 24}, {"RTX4060", 8},    {"RTX4070", 12}, {"RTX4080", 16},
    {"RTX4090", 24}, {"RTX5090", 32}, {"T4", 16},        {"V100", 16},    {"A10", 24},
    {"L4", 24},      {"L40S", 48},    {"A100-40GB", 40}, {"A100", 80},    {"A100-80GB", 80},
    {"H100", 80},    {"H200", 141},   {"B200", 180},     {"MI210", 64},   {"MI300X", 192},
};

std::string plain(std::string text) {
  std::erase_if(text, [](char c) { return c == ' ' || c == '-' || c == '_'; });
  return ascii_upper(text);
}

// 7 of "blk.7.attn_q.weight"; nothing for a tensor outside the layers.
std::optional<std::size_t> layer_of(std::string_view name) {
  constexpr std::string_view kPrefix = "blk.";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  std::size_t layer = 0;
  const auto parsed =
      std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), layer);
  if (parsed.ec != std::errc() || parsed.ptr == name.data() + name.size() || *parsed.ptr != '.') {
    return std::nullopt;
  }
  return layer;
}

// Bytes of each layer, and of everything else but an embedding that is only looked up.
struct Split {
  std::vector<std::uint64_t> layers;
  std::uint64_t head = 0;
};

Split split_bytes(const io::ModelFile& file, const model::BlockSpec& spec) {
  Split split{std::vector<std::uint64_t>(spec.layers), 0};
  for (const io::TensorInfo& tensor : file.tensors()) {
    const std::optional<std::size_t> layer = layer_of(tensor.name);
    const bool is_lookup = tensor.name == "token_embd.weight" && !spec.tied_head;
    if (layer && *layer < spec.layers) {
      split.layers[*layer] += tensor.bytes;
    } else if (!is_lookup) {
      split.head += tensor.bytes;
    }
  }
  return split;
}

std::size_t longest_context(const model::BlockSpec& spec, std::uint64_t weight_bytes,
                            measure::RunShape shape, std::uint64_t memory) {
  const auto fits = [&](std::size_t tokens) {
    shape.context_tokens = tokens;
    return measure::run_memory(spec, weight_bytes, shape).total() <= memory;
  };
  std::size_t low = 0;
  std::size_t high = spec.context_max;
  while (low < high) {  // more tokens never take less
    const std::size_t middle = low + (high - low + 1) / 2;
    if (fits(middle)) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

void plan_gpu(const io::ModelFile& file, const Inspection& found, const Gpu& gpu, Plan& plan) {
  const model::BlockSpec& spec = *found.spec;
  const Split split = split_bytes(file, spec);
  measure::RunShape shape = found.shape;
  shape.kv_type = kernels::KvType::kF16;
  const std::uint64_t cache = measure::run_memory(spec, 0, shape).kv_bytes;
  plan.gpu_need_bytes = split.head + cache + kGpuReserveBytes;
  for (const std::uint64_t bytes : split.layers) plan.gpu_need_bytes += bytes;
  std::uint64_t left = gpu.bytes > kGpuReserveBytes ? gpu.bytes - kGpuReserveBytes : 0;
  // The head is used for every token, as a layer is, and larger than most.
  plan.gpu_has_head = split.head <= left;
  if (plan.gpu_has_head) left -= split.head;
  // The last layers first, as engines that share a model with a GPU place them.
  for (std::size_t layer = spec.layers; layer-- > 0;) {
    const std::uint64_t need = split.layers[layer] + cache / spec.layers;
    if (need > left) break;
    left -= need;
    ++plan.gpu_layers;
  }
}

void plan_speed(const io::ModelFile& file, const Inspection& found, const cost::Probes& machine,
                Plan& plan) {
  const double half = std::max(1.0, static_cast<double>(found.shape.context_tokens) / 2);
  const std::vector<engine::MatrixLoad> loads = engine::matrix_loads(file, *found.spec);
  const cost::TokenWork decode = engine::token_work(
      loads, *found.spec, {found.numerics, found.shape.kv_type, {half, half}, 1});
  plan.decode_tokens_per_second = cost::decode_limit(decode, machine);
  plan.decode_bytes_per_token = decode.weight_bytes + decode.kv_bytes;
  const double reading = plan.decode_bytes_per_token / machine.read_bytes_per_second;
  const bool is_memory =
      std::abs(1 / plan.decode_tokens_per_second - reading) < 1e-9 + reading / 1e6;
  plan.formula =
      is_memory
          ? fmt::format("memory bandwidth / (weights + cache) = {}/s / ({} + {})",
                        format_bytes(static_cast<std::uint64_t>(machine.read_bytes_per_second)),
                        format_bytes(static_cast<std::uint64_t>(decode.weight_bytes)),
                        format_bytes(static_cast<std::uint64_t>(decode.kv_bytes)))
          : fmt::format("1 / ({} int8 / {}/s + {} f32 / {}/s)",
                        format_operations(decode.int8_operations),
                        format_operations(machine.int8_operations_per_second),
                        format_operations(decode.f32_operations),
                        format_operations(machine.f32_operations_per_second));
  const auto tokens = static_cast<double>(kInspectPromptTokens);
  const cost::TokenWork prefill =
      engine::token_work(loads, *found.spec,
                         {found.numerics,
                          found.shape.kv_type,
                          {1, tokens},
                          1 / tokens,
                          std::min<double>(tokens, engine::kPrefillChunkTokens)});
  plan.prefill_tokens_per_second =
      cost::prefill_limit(prefill, kInspectPromptTokens, engine::kPrefillChunkTokens, machine);
}

bool fits_gpu(const Plan& plan, const PlanQuestions& questions) {
  return plan.gpu_need_bytes <= questions.gpu->bytes;
}

}  // namespace

Result<Gpu> parse_gpu(const std::string& text) {
  for (const KnownGpu& gpu : kGpus) {
    if (plain(gpu.name) == plain(text)) return Gpu{gpu.name, gpu.gib * kGiB};
  }
  const Result<std::uint64_t> bytes = parse_bytes(text);
  const bool has_unit = text.find_first_not_of("0123456789.") != std::string::npos;
  if (bytes && *bytes < kGiB && !has_unit) {
    return invalid_argument(fmt::format("'{}' as a GPU's memory is {}", text, format_bytes(*bytes)),
                            "say the unit (--gpu 24GB) or the whole name (--gpu RTX4090)");
  }
  if (bytes && *bytes > 0) return Gpu{format_bytes(*bytes), *bytes};
  std::string names;
  for (const KnownGpu& gpu : kGpus)
    names += fmt::format("{}{}", names.empty() ? "" : ", ", gpu.name);
  return invalid_argument(fmt::format("'{}' is neither a size nor a known GPU", text),
                          "a size such as 24GB, or one of " + names);
}

Plan make_plan(const io::ModelFile& file, const Inspection& found, const PlanQuestions& questions) {
  Plan plan;
  if (questions.memory_bytes != 0) {
    for (const kernels::KvType type : kernels::kKvTypes) {
      measure::RunShape shape = found.shape;
      shape.kv_type = type;
      plan.contexts.push_back({type, longest_context(*found.spec, found.memory.weight_bytes, shape,
                                                     questions.memory_bytes)});
    }
  }
  if (questions.gpu) plan_gpu(file, found, *questions.gpu, plan);
  if (questions.machine) plan_speed(file, found, *questions.machine, plan);
  return plan;
}

Json plan_json(const Plan& plan, const PlanQuestions& questions, const Inspection& found) {
  Json json = Json::object();
  if (questions.memory_bytes != 0) {
    Json contexts = Json::object();
    for (const ContextLimit& limit : plan.contexts) {
      contexts[kernels::kv_type_name(limit.kv_type)] = limit.tokens;
    }
    json["in_memory"] = {{"bytes", questions.memory_bytes}, {"longest_context", contexts}};
  }
  if (questions.gpu) {
    json["on_gpu"] = {{"gpu", questions.gpu->name},          {"bytes", questions.gpu->bytes},
                      {"reserve_bytes", kGpuReserveBytes},   {"needed_bytes", plan.gpu_need_bytes},
                      {"fits", fits_gpu(plan, questions)},   {"layers", plan.gpu_layers},
                      {"layers_in_all", found.spec->layers}, {"head", plan.gpu_has_head}};
  }
  if (questions.machine) {
    json["limit_here"] = {{"decode_tokens_per_second", plan.decode_tokens_per_second},
                          {"decode_bytes_per_token", plan.decode_bytes_per_token},
                          {"prefill_tokens_per_second", plan.prefill_tokens_per_second},
                          {"formula", plan.formula},
                          {"machine", limits_json(*questions.machine)}};
  }
  return json;
}

std::string plan_text(const Plan& plan, const PlanQuestions& questions, const Inspection& found) {
  Facts facts;
  if (questions.memory_bytes != 0) {
    std::string text;
    for (const ContextLimit& limit : plan.contexts) {
      text += fmt::format("{}{} cache {}", text.empty() ? "" : ", ",
                          kernels::kv_type_name(limit.kv_type),
                          limit.tokens == 0 ? "none" : group_digits(limit.tokens) + " tokens");
    }
    facts.add("longest context in " + format_bytes(questions.memory_bytes), text);
  }
  if (questions.gpu) {
    const std::string name = fmt::format("on a GPU of {}", format_bytes(questions.gpu->bytes));
    const std::string need =
        fmt::format("{} needed with an f16 cache of {} tokens and {} kept free",
                    format_bytes(plan.gpu_need_bytes), group_digits(found.shape.context_tokens),
                    format_bytes(kGpuReserveBytes));
    facts.add(name, fits_gpu(plan, questions)
                        ? "fits whole: " + need
                        : fmt::format("{} of {} layers{}: {}", plan.gpu_layers, found.spec->layers,
                                      plan.gpu_has_head ? " and the head" : "", need));
  }
  if (questions.machine) {
    facts.add("decode here, at most",
              fmt::format("{:.1f} tokens/s = {}", plan.decode_tokens_per_second, plan.formula));
    facts.add("prefill here, at most",
              fmt::format("{:.0f} tokens/s of a prompt of {}", plan.prefill_tokens_per_second,
                          kInspectPromptTokens));
    const std::string busy = cost::busy_note(questions.machine->own_share);
    if (!busy.empty()) facts.add("both limits", busy + ": they are too low");
  }
  return facts.render();
}

std::vector<WeightsRow> weights_table(double parameters, const PlanQuestions& questions) {
  std::vector<WeightsRow> rows;
  const auto add = [&](std::string type, double bits) {
    WeightsRow row;
    row.type = std::move(type);
    row.bits_per_weight = bits;
    row.bytes = static_cast<std::uint64_t>(std::ceil(parameters * bits / 8));
    if (questions.gpu) {
      const std::uint64_t room =
          questions.gpu->bytes > kGpuReserveBytes ? questions.gpu->bytes - kGpuReserveBytes : 0;
      row.gpus = room == 0 ? 0 : static_cast<std::size_t>((row.bytes + room - 1) / room);
    }
    if (questions.machine && row.bytes > 0) {
      row.decode_tokens_per_second =
          questions.machine->read_bytes_per_second / static_cast<double>(row.bytes);
    }
    rows.push_back(std::move(row));
  };
  add("F32", 32);
  add("F16", 16);
  add("int8", 8);
  add("int4", 4);
  for (const quant::Format& format : quant::formats()) {
    if (format.is_block_quantized) {
      add(dtype_name(format.type), dtype_info(format.type).bits_per_weight());
    }
  }
  std::stable_sort(rows.begin(), rows.end(), [](const WeightsRow& a, const WeightsRow& b) {
    return a.bits_per_weight > b.bits_per_weight;
  });
  return rows;
}

Json weights_json(double parameters, const std::vector<WeightsRow>& rows,
                  const PlanQuestions& questions) {
  Json json = {{"parameters", parameters}, {"weights", Json::array()}};
  for (const WeightsRow& row : rows) {
    Json entry = {
        {"type", row.type}, {"bits_per_weight", row.bits_per_weight}, {"bytes", row.bytes}};
    if (questions.gpu) entry["gpus"] = row.gpus;
    if (questions.memory_bytes != 0) entry["fits_memory"] = row.bytes <= questions.memory_bytes;
    if (questions.machine) entry["decode_tokens_per_second_limit"] = row.decode_tokens_per_second;
    json["weights"].push_back(std::move(entry));
  }
  if (questions.gpu) {
    json["gpu"] = {{"name", questions.gpu->name},
                   {"bytes", questions.gpu->bytes},
                   {"reserve_bytes", kGpuReserveBytes}};
  }
  return json;
}

std::string weights_text(double parameters, const std::vector<WeightsRow>& rows,
                         const PlanQuestions& questions) {
  std::vector<Column> columns = {
      {"type"}, {"bits a weight", Align::kRight}, {"weights", Align::kRight}};
  if (questions.memory_bytes != 0) {
    columns.push_back({"in " + format_bytes(questions.memory_bytes)});
  }
  if (questions.gpu) {
    columns.push_back({"GPUs of " + format_bytes(questions.gpu->bytes), Align::kRight});
  }
  if (questions.machine) columns.push_back({"decode here at most, tokens/s", Align::kRight});
  Table table(std::move(columns));
  for (const WeightsRow& row : rows) {
    std::vector<std::string> cells = {row.type, fmt::format("{:.4g}", row.bits_per_weight),
                                      format_bytes(row.bytes)};
    if (questions.memory_bytes != 0) {
      cells.emplace_back(row.bytes <= questions.memory_bytes ? "fits" : "no");
    }
    if (questions.gpu) cells.push_back(row.gpus == 0 ? "none fits" : std::to_string(row.gpus));
    if (questions.machine) cells.push_back(fmt::format("{:.3g}", row.decode_tokens_per_second));
    table.add(std::move(cells));
  }
  return fmt::format(
             "{:.4g} parameters; weights alone, without cache and buffers. int8 and int4 are "
             "codes without\nscales; the block types hold their scales.\n\n",
             parameters) +
         table.render();
}

}  // namespace paring::cli
