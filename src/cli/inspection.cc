// SPDX-License-Identifier: Apache-2.0
#include "cli/inspection.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/certificate_text.h"
#include "cli/context.h"
#include "cli/encoder_facts.h"
#include "cli/figures.h"
#include "cli/table.h"
#include "cost/memory_model.h"
#include "engine/loaded_model.h"
#include "engine/token_work.h"
#include "model/architecture.h"
#include "model/kv_cache.h"
#include "quant/format.h"
#include "shrink/quantize.h"

namespace paring::cli {

namespace {

constexpr const char* kNoTokenizer = "none";
constexpr DType kNeedTypes[] = {DType::kF32, DType::kF16, DType::kQ8_0, DType::kQ4_0, DType::kQ4_1};

void add_tensors(const io::ModelFile& file, Inspection& found) {
  for (const io::TensorInfo& tensor : file.tensors()) {
    found.parameters += tensor.values();
    found.tensor_bytes += tensor.bytes;
    auto group = std::find_if(found.groups.begin(), found.groups.end(),
                              [&](const TypeGroup& each) { return each.type == tensor.type; });
    if (group == found.groups.end()) {
      group = found.groups.insert(found.groups.end(), TypeGroup{.type = tensor.type});
    }
    ++group->tensors;
    group->parameters += tensor.values();
    group->bytes += tensor.bytes;
  }
  std::stable_sort(found.groups.begin(), found.groups.end(),
                   [](const TypeGroup& a, const TypeGroup& b) { return a.bytes > b.bytes; });
  for (const DType type : kNeedTypes) {
    found.needs.push_back({type, cost::weight_bytes(static_cast<double>(found.parameters), type)});
  }
}

Result<void> add_tokenizer(const io::Metadata& metadata, Inspection& found) {
  PARING_TRY(const std::string model, metadata.string_or("tokenizer.ggml.model", kNoTokenizer));
  PARING_TRY(const std::string pre, metadata.string_or("tokenizer.ggml.pre", ""));
  found.tokenizer = pre.empty() ? model : fmt::format("{} (pre-tokenizer {})", model, pre);
  if (metadata.has("tokenizer.ggml.tokens")) {
    PARING_TRY(const auto tokens, metadata.strings("tokenizer.ggml.tokens"));
    found.vocabulary = tokens.size();
  }
  found.has_chat_template = metadata.has("tokenizer.chat_template");
  return {};
}

Result<void> add_model(const io::ModelFile& file, const measure::RunShape& shape,
                       Inspection& found) {
  Result<model::BlockSpec> spec = model::read_block_spec(file);
  if (!spec && spec.error().code != ErrorCode::kUnsupported) return std::move(spec.error());
  if (!spec) {
    found.unsupported = spec.error().message;
    return {};
  }
  found.shape = shape;
  found.shape.context_tokens = std::min(shape.context_tokens, spec->context_max);
  found.memory = measure::run_memory(*spec, engine::packed_weight_bytes(file), found.shape);
  if (found.tokenizer != kNoTokenizer) {
    found.peak_bytes = measure::process_peak_bytes(file, found.memory, shape.threads);
  }
  const auto whole = static_cast<double>(found.shape.context_tokens);
  if (spec->encoder) {
    const engine::TokenOperations each = engine::token_operations(*spec, {1, whole});
    found.prefill_operations = whole * (each.matrices + each.attention);
    found.spec = std::move(spec).value();
    return {};
  }
  const double half = std::max(1.0, whole / 2);
  const engine::TokenOperations decode = engine::token_operations(*spec, {half, half});
  found.decode_operations = decode.matrices + decode.head + decode.attention;
  const auto tokens = static_cast<double>(kInspectPromptTokens);
  const engine::TokenOperations prompt = engine::token_operations(*spec, {1, tokens});
  found.prefill_operations = tokens * (prompt.matrices + prompt.attention) + prompt.head;
  found.spec = std::move(spec).value();
  return {};
}

// Without a tokenizer the metadata of the file to be is not known.
void add_files(const io::ModelFile& file, Inspection& found) {
  if (!found.spec || found.tokenizer == kNoTokenizer) return;
  const std::vector<model::MatrixSlot> slots = model::matrix_slots(*found.spec);
  for (const quant::Format& format : quant::formats()) {
    const auto bytes = shrink::quantized_file_bytes(file, slots, format.type, std::nullopt);
    found.files.push_back({format.type, bytes ? *bytes : 0});
  }
}

Result<void> add_certificate(const io::Metadata& metadata, Inspection& found) {
  if (!metadata.has(api::kCertificateKey)) return {};
  PARING_TRY(const std::string text, metadata.get_string(api::kCertificateKey));
  Result<api::Certificate> certificate = api::Certificate::from_json(text);
  if (certificate) {
    found.certificate = std::move(certificate).value();
  } else {
    found.certificate_error = certificate.error().text();
  }
  return {};
}

const char* scaling_name(model::RopeScaling scaling) {
  switch (scaling) {
    case model::RopeScaling::kLinear:
      return "linear";
    case model::RopeScaling::kYarn:
      return "yarn";
    case model::RopeScaling::kLongRope:
      return "longrope";
    case model::RopeScaling::kNone:
      break;
  }
  return "none";
}

std::size_t widest_window(const model::BlockSpec& spec) {
  std::size_t window = 0;
  for (const model::LayerScope& scope : spec.scopes) window = std::max(window, scope.window);
  return window;
}

// Parameters that one token meets: all but those of experts that it does not use.
std::uint64_t active_parameters(const Inspection& found) {
  std::uint64_t idle = 0;
  for (const model::MatrixSlot& slot : model::matrix_slots(*found.spec)) {
    if (slot.experts == 0) continue;
    const std::uint64_t each = std::uint64_t{slot.rows} / slot.experts * slot.cols;
    idle += each * (slot.experts - found.spec->experts->used);
  }
  return found.parameters - std::min(found.parameters, idle);
}

Json experts_json(const Inspection& found) {
  if (!found.spec->experts) return nullptr;
  return {{"count", found.spec->experts->count},
          {"used", found.spec->experts->used},
          {"weights_are_normalized", found.spec->experts->is_renormalized},
          {"active_parameters", active_parameters(found)}};
}

Json spec_json(const Inspection& found) {
  const model::BlockSpec& spec = *found.spec;
  return {{"layers", spec.layers},
          {"width", spec.width},
          {"ffn_width", spec.ffn_width},
          {"experts", experts_json(found)},
          {"heads", spec.heads},
          {"kv_heads", spec.kv_heads},
          {"head_width", spec.head_width},
          {"vocabulary", spec.vocabulary},
          {"context_max", spec.context_max},
          {"windowed_layers", spec.windowed_layers()},
          {"window", widest_window(spec)},
          {"norm_epsilon", spec.norm_epsilon},
          {"rope_base", spec.ropes[0].base},
          {"rope_width", spec.ropes[0].width},
          {"rope_scaling", scaling_name(spec.ropes[0].scaling)},
          {"tied_head", spec.tied_head}};
}

void add_encoder(const Inspection& found, Json& json) {
  const model::BlockSpec& spec = *found.spec;
  json["hyper_parameters"] = {
      {"layers", spec.layers},           {"width", spec.width},
      {"ffn_width", spec.ffn_width},     {"heads", spec.heads},
      {"head_width", spec.head_width},   {"vocabulary", spec.vocabulary},
      {"context_max", spec.context_max}, {"norm_epsilon", spec.norm_epsilon},
      {"encoder", encoder_json(found)}};
  json["memory"] = {
      {"weight_bytes", found.memory.weight_bytes},
      {"buffer_bytes", found.memory.buffer_bytes},
      {"total_bytes", found.memory.total()},
      {"process_peak_bytes", found.peak_bytes == 0 ? Json() : Json(found.peak_bytes)}};
  json["operations"] = {{"text_tokens", found.shape.context_tokens},
                        {"text", found.prefill_operations}};
}

// "f32 46.1 kB, f16 23.0 kB, q8 12.2 kB"
std::string kv_text(const model::BlockSpec& spec) {
  std::string text;
  for (const kernels::KvType type : kernels::kKvTypes) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", kernels::kv_type_name(type),
                        format_bytes(model::KvPool::bytes_per_token(spec, type)));
  }
  return text;
}

void add_spec_facts(const Inspection& found, Facts& facts) {
  const model::BlockSpec& spec = *found.spec;
  facts.add("layers", fmt::format("{} of width {}, feed-forward {}", spec.layers, spec.width,
                                  spec.ffn_width));
  if (spec.experts) {
    facts.add("experts",
              fmt::format("{} a layer, a token uses {}: {} of the parameters", spec.experts->count,
                          spec.experts->used, group_digits(active_parameters(found))));
  }
  facts.add("attention",
            fmt::format("{} heads of {} over {} key/value heads, rotary base {:g}", spec.heads,
                        spec.head_width, spec.kv_heads, spec.ropes[0].base));
  if (spec.windowed_layers() != 0) {
    facts.add("windows", fmt::format("{} of {} layers see {} tokens back", spec.windowed_layers(),
                                     spec.layers, group_digits(widest_window(spec))));
  }
  if (spec.ropes[0].scaling != model::RopeScaling::kNone) {
    facts.add("rotary scaling", scaling_name(spec.ropes[0].scaling));
  }
  facts.add("context", fmt::format("{} tokens", group_digits(spec.context_max)));
  facts.add("head", spec.tied_head ? "tied to the embedding" : "a matrix of its own");
  facts.gap();
  facts.add("cache a token", kv_text(spec));
  facts.add(fmt::format("memory to run at {} tokens", group_digits(found.shape.context_tokens)),
            fmt::format(
                "{}: weights {}, {} cache {}, buffers {}", format_bytes(found.memory.total()),
                format_bytes(found.memory.weight_bytes), kernels::kv_type_name(found.shape.kv_type),
                format_bytes(found.memory.kv_bytes), format_bytes(found.memory.buffer_bytes)));
  if (found.peak_bytes != 0) {
    facts.add("peak of the process", fmt::format("about {}, loading and tokenizer included",
                                                 format_bytes(found.peak_bytes)));
  }
  facts.add("work of a decoded token",
            fmt::format("{} after {} tokens", format_operations(found.decode_operations),
                        group_digits(found.shape.context_tokens / 2)));
  facts.add(fmt::format("work of a prompt of {}", kInspectPromptTokens),
            format_operations(found.prefill_operations));
}

std::string shape_text(const io::TensorInfo& tensor) {
  std::string text;
  for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size) {
    text += fmt::format("{}{}", text.empty() ? "" : " x ", *size);
  }
  return text;
}

}  // namespace

Result<Inspection> inspect_file(const io::ModelFile& file, const measure::RunShape& shape) {
  Inspection found;
  found.path = file.path();
  found.file_bytes = file.file_bytes();
  PARING_TRY(found.architecture, file.metadata().get_string("general.architecture"));
  PARING_TRY(found.name, file.metadata().string_or("general.name", ""));
  add_tensors(file, found);
  PARING_TRY_VOID(add_tokenizer(file.metadata(), found));
  PARING_TRY_VOID(add_model(file, shape, found));
  add_files(file, found);
  PARING_TRY_VOID(add_certificate(file.metadata(), found));
  return found;
}

Json inspection_json(const Inspection& found) {
  Json json;
  json["file"] = found.path;
  json["origin"] = found.origin;
  if (found.origin != "file") json["fetched_bytes"] = found.fetched_bytes;
  json["name"] = found.name;
  json["architecture"] = found.architecture;
  json["file_bytes"] = found.file_bytes;
  json["tensor_bytes"] = found.tensor_bytes;
  json["parameters"] = found.parameters;
  json["bits_per_weight"] = found.bits_per_weight();
  json["types"] = Json::array();
  for (const TypeGroup& group : found.groups) {
    json["types"].push_back({{"type", dtype_name(group.type)},
                             {"tensors", group.tensors},
                             {"parameters", group.parameters},
                             {"bytes", group.bytes}});
  }
  for (const TypeNeed& need : found.needs) json["weights_in"][dtype_name(need.type)] = need.bytes;
  for (const QuantizedFile& file : found.files) {
    json["quantized_file_bytes"][dtype_name(file.type)] =
        file.bytes == 0 ? Json() : Json(file.bytes);
  }
  json["tokenizer"] = found.tokenizer;
  json["vocabulary"] = found.vocabulary;
  json["has_chat_template"] = found.has_chat_template;
  if (found.spec && found.spec->encoder) {
    add_encoder(found, json);
  } else if (found.spec) {
    const model::BlockSpec& spec = *found.spec;
    json["hyper_parameters"] = spec_json(found);
    for (const kernels::KvType type : kernels::kKvTypes) {
      json["kv_bytes_per_token"][kernels::kv_type_name(type)] =
          model::KvPool::bytes_per_token(spec, type);
    }
    json["memory"] = {
        {"context_tokens", found.shape.context_tokens},
        {"kv_type", kernels::kv_type_name(found.shape.kv_type)},
        {"weight_bytes", found.memory.weight_bytes},
        {"kv_bytes", found.memory.kv_bytes},
        {"buffer_bytes", found.memory.buffer_bytes},
        {"total_bytes", found.memory.total()},
        {"process_peak_bytes", found.peak_bytes == 0 ? Json() : Json(found.peak_bytes)}};
    json["operations"] = {{"decode_token", found.decode_operations},
                          {"prefill_tokens", kInspectPromptTokens},
                          {"prefill", found.prefill_operations}};
  } else {
    json["unsupported"] = found.unsupported;
  }
  json["certificate"] =
      found.certificate ? Json::parse(found.certificate->to_json(), nullptr, false) : Json();
  if (!found.certificate_error.empty()) json["certificate_error"] = found.certificate_error;
  return json;
}

std::string inspection_text(const Inspection& found) {
  Facts facts;
  facts.add("model", found.name.empty() ? "unnamed" : found.name);
  facts.add("architecture", found.architecture);
  facts.add("parameters", group_digits(found.parameters));
  facts.add(found.origin == "config" ? "tensors as config.json implies" : "file",
            fmt::format("{}, {:.3f} bits a weight", format_bytes(found.file_bytes),
                        found.bits_per_weight()));
  if (found.origin == "headers") {
    facts.add("looked at", fmt::format("headers alone, {} fetched; the weights are not here",
                                       format_bytes(found.fetched_bytes)));
  }
  if (found.tokenizer == kNoTokenizer) {
    facts.add("tokenizer", "not looked at");
  } else {
    facts.add("tokenizer",
              fmt::format("{}, {} tokens", found.tokenizer, group_digits(found.vocabulary)));
    facts.add("chat template", found.has_chat_template ? "yes" : "no");
  }
  if (found.spec && found.spec->encoder) {
    add_encoder_facts(found, facts);
  } else if (found.spec) {
    add_spec_facts(found, facts);
  } else {
    facts.add("cannot be run", found.unsupported);
  }
  std::string needs;
  for (const TypeNeed& need : found.needs) {
    needs += fmt::format("{}{} {}", needs.empty() ? "" : ", ", dtype_name(need.type),
                         format_bytes(need.bytes));
  }
  facts.add("weights in one type", needs);
  std::string files;
  for (const QuantizedFile& file : found.files) {
    if (file.bytes == 0) continue;
    files += fmt::format("{}{} {}", files.empty() ? "" : ", ", dtype_name(file.type),
                         format_bytes(file.bytes));
  }
  if (!files.empty()) facts.add("file by 'paring quantize'", files);
  Table table({{"type"},
               {"tensors", Align::kRight},
               {"parameters", Align::kRight},
               {"bytes", Align::kRight},
               {"bits a weight", Align::kRight}});
  for (const TypeGroup& group : found.groups) {
    table.add({dtype_name(group.type), std::to_string(group.tensors),
               group_digits(group.parameters), format_bytes(group.bytes),
               fmt::format("{:.3f}", dtype_info(group.type).bits_per_weight())});
  }
  std::string text = facts.render() + "\n" + table.render();
  if (found.certificate) {
    text += "\nCertificate: what this file lost against its original\n" +
            certificate_text(*found.certificate);
  } else if (!found.certificate_error.empty()) {
    text += "\nIts certificate cannot be read: " + escape_control(found.certificate_error) + "\n";
  }
  return text;
}

std::string tensors_text(const io::ModelFile& file) {
  Table table({{"tensor"}, {"type"}, {"shape"}, {"bytes", Align::kRight}});
  for (const io::TensorInfo& tensor : file.tensors()) {
    table.add(
        {tensor.name, dtype_name(tensor.type), shape_text(tensor), format_bytes(tensor.bytes)});
  }
  return table.render();
}

Json tensors_json(const io::ModelFile& file) {
  Json json = Json::array();
  for (const io::TensorInfo& tensor : file.tensors()) {
    json.push_back({{"name", tensor.name},
                    {"type", dtype_name(tensor.type)},
                    {"shape", tensor.shape},
                    {"bytes", tensor.bytes}});
  }
  return json;
}

}  // namespace paring::cli
