// SPDX-License-Identifier: Apache-2.0
#include "model/hf_export.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <new>
#include <string_view>
#include <vector>

#include "io/hf_folder.h"
#include "io/json_object.h"
#include "io/safetensors.h"
#include "io/safetensors_writer.h"
#include "model/arch/bert.h"
#include "model/architecture.h"
#include "model/encoder_names.h"
#include "model/hf_mapping.h"
#include "model/hf_pooling.h"
#include "model/hf_rope.h"
#include "quant/format.h"

namespace paring::model {

namespace {

// Tensors that hold parameters of config.json.
constexpr std::string_view kRopeTensors[] = {"rope_freqs.weight", "rope_factors_long.weight",
                                             "rope_factors_short.weight"};

struct Source {
  const Architecture* architecture;
  std::string name;
  std::size_t heads = 0;
  std::size_t kv_heads = 0;
  std::size_t head_width = 0;
  std::optional<EncoderSpec> encoder;
  std::uint64_t dropped_positions = 0;  // rows that the folder's table of positions has in front

  // The class that is written.
  std::string class_name() const {
    for (const char* each : architecture->hf->classes) {
      const bool has_head = std::string_view(each).ends_with("ForSequenceClassification");
      if (encoder && encoder->labels != 0 && has_head) return each;
    }
    return architecture->hf->classes[0];
  }
};

// Of the architectures that share the name: the one of the folder that the model came from.
Result<bool> is_of_folder(const Architecture& architecture, const BlockSpec& spec,
                          const io::Metadata& metadata) {
  if (spec.architecture != architecture.name || architecture.hf == nullptr) return false;
  if (!spec.encoder) return architecture.hf->has_experts == spec.experts.has_value();
  const char* usual = spec.encoder->token_types == 0 ? "distilbert" : "bert";
  PARING_TRY(const std::string type, metadata.string_or(kModelTypeKey, usual));
  return type == architecture.hf->model_type;
}

Result<Source> open_source(const io::ModelFile& file) {
  const io::Metadata& metadata = file.metadata();
  // Checks every hyper-parameter that is exported.
  PARING_TRY(const BlockSpec spec, read_block_spec(file));
  for (const Architecture* architecture : architectures()) {
    PARING_TRY(const bool is_it, is_of_folder(*architecture, spec, metadata));
    if (!is_it) continue;
    Source source{architecture,  spec.architecture, spec.heads,
                  spec.kv_heads, spec.head_width,   spec.encoder};
    PARING_TRY(source.dropped_positions, metadata.u64_or(kPositionOffsetKey, 0));
    if (source.dropped_positions > kContextMax) {
      return corrupt(fmt::format("{}: {} is {}, the limit is {}", metadata.source(),
                                 kPositionOffsetKey, source.dropped_positions, kContextMax));
    }
    return source;
  }
  return unsupported(fmt::format("{}: models of the architecture '{}' cannot be exported",
                                 metadata.source(), spec.architecture));
}

Result<void> export_keys(std::span<const HfKeyRule> rules, const io::Metadata& metadata,
                         const std::string& architecture, io::Metadata& config) {
  for (const HfKeyRule& rule : rules) {
    const std::string key = fmt::format("{}.{}", architecture, rule.target);
    if (!metadata.has(key)) continue;
    if (rule.value == HfValue::kReal) {
      PARING_TRY(const double value, metadata.get_f64(key));
      config.set(rule.source, io::GgufValue::of_f32(static_cast<float>(value)));
    } else {
      PARING_TRY(const std::uint64_t value, metadata.get_u64(key));
      if (value != 0) config.set(rule.source, io::GgufValue::of_u64(value));
    }
  }
  return {};
}

Result<void> export_token_ids(const io::Metadata& metadata, io::Metadata& config) {
  for (const auto& [from, to] : {std::pair("tokenizer.ggml.bos_token_id", "bos_token_id"),
                                 std::pair("tokenizer.ggml.eos_token_id", "eos_token_id"),
                                 std::pair("tokenizer.ggml.padding_token_id", "pad_token_id")}) {
    if (!metadata.has(from)) {
      // Left out, it would be what transformers takes by default for the architecture: Phi-3's
      // padding token 32000 is beyond many vocabularies, and loading fails.
      config.set_null(to);
      continue;
    }
    PARING_TRY(const std::uint64_t id, metadata.get_u64(from));
    config.set(to, io::GgufValue::of_u64(id));
  }
  return {};
}

std::vector<float> read_vector(const io::ModelFile& file, std::string_view name) {
  const io::TensorInfo* tensor = file.find(name);
  if (tensor == nullptr || tensor->type != DType::kF32) return {};
  const io::TensorBytes bytes = file.data(*tensor);
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

RopeTensors rope_tensors(const io::ModelFile& file) {
  return {read_vector(file, kRopeTensors[0]), read_vector(file, kRopeTensors[1]),
          read_vector(file, kRopeTensors[2])};
}

bool is_rope_tensor(const std::string& name) {
  return std::find(std::begin(kRopeTensors), std::end(kRopeTensors), name) !=
         std::end(kRopeTensors);
}

const char* torch_name(DType type) {
  if (type == DType::kF16) return "float16";
  return type == DType::kBF16 ? "bfloat16" : "float32";
}

// What a tensor is written as.
DType target_type(const io::TensorInfo& tensor, const HfExportOptions& options) {
  if (options.type) return *options.type;
  const bool is_half = tensor.type == DType::kF16 || tensor.type == DType::kBF16;
  return is_half ? tensor.type : DType::kF32;
}

DType dominant_type(const io::ModelFile& file, const HfExportOptions& options) {
  std::map<DType, std::uint64_t> values;
  for (const io::TensorInfo& tensor : file.tensors()) {
    values[target_type(tensor, options)] += tensor.values();
  }
  const auto most =
      std::max_element(values.begin(), values.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == values.end() ? DType::kF32 : most->first;
}

// ---- tensors ----

struct Planned {
  const io::TensorInfo* tensor;
  HfChange change;
  io::SafetensorsDeclaration declaration;
  std::uint64_t first_row = 0;  // of the tensor's rows, those of this one of the folder
  std::uint64_t rows = 0;
};

// "blk.12.attn_q.weight" by the rule "blk.{}.attn_q.weight": 12; nothing when it is another name.
std::optional<std::string> layer_of(std::string_view name, std::string_view pattern) {
  const std::size_t hole = pattern.find("{}");
  if (hole == std::string_view::npos) return name == pattern ? std::optional("") : std::nullopt;
  const std::string_view tail = pattern.substr(hole + 2);
  if (name.size() <= hole + tail.size() || !name.starts_with(pattern.substr(0, hole)) ||
      !name.ends_with(tail)) {
    return std::nullopt;
  }
  const std::string_view layer = name.substr(hole, name.size() - hole - tail.size());
  if (layer.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  return std::string(layer);
}

// The matrices of experts are tensors of their own in a folder.
Result<void> plan_experts(const io::ModelFile& file, const Planned& whole,
                          std::vector<Planned>& planned) {
  const io::TensorInfo& tensor = *whole.tensor;
  if (tensor.shape.size() != 3) {
    return corrupt(fmt::format("{}: tensor '{}' has {} dimensions, experts need 3", file.path(),
                               tensor.name, tensor.shape.size()));
  }
  for (std::uint64_t expert = 0; expert < tensor.shape[2]; ++expert) {
    Planned each = whole;
    std::string& name = each.declaration.name;
    name.replace(name.find("{}"), 2, std::to_string(expert));
    each.declaration.shape = {tensor.shape[1], tensor.shape[0]};
    each.rows = tensor.shape[1];
    each.first_row = expert * each.rows;
    planned.push_back(std::move(each));
  }
  return {};
}

Result<void> plan_tensor(const io::ModelFile& file, const Source& source,
                         const io::TensorInfo& tensor, const HfExportOptions& options,
                         std::vector<Planned>& all) {
  for (const HfTensorRule& rule : source.architecture->hf->tensors) {
    const auto layer = layer_of(tensor.name, rule.target);
    if (!layer) continue;
    Planned planned{&tensor, rule.change, {rule.source, target_type(tensor, options), {}}};
    std::string& name = planned.declaration.name;
    if (!layer->empty()) name.replace(name.find("{}"), 2, *layer);
    if (name.find("{}") != std::string::npos) return plan_experts(file, planned, all);
    // A class with a head keeps the model under its prefix; BERT's pooler is part of the model.
    const bool is_own = rule.part == HfPart::kHead && !name.starts_with("pooler.");
    if (source.encoder && source.encoder->labels != 0 && !is_own) {
      name.insert(0, source.architecture->hf->prefix);
    }
    planned.declaration.shape.assign(tensor.shape.rbegin(), tensor.shape.rend());
    if (rule.change == HfChange::kDropPositions) {
      planned.declaration.shape[0] += source.dropped_positions;
    }
    const std::uint64_t rows = planned.declaration.shape[0];
    const std::size_t heads = rule.change == HfChange::kPairQuery ? source.heads : source.kv_heads;
    const bool is_paired = rule.change == HfChange::kPairQuery || rule.change == HfChange::kPairKey;
    if (is_paired && rows % (2 * heads) != 0) {
      return corrupt(
          fmt::format("{}: tensor '{}' has {} rows, not an even number for each of {} "
                      "heads",
                      file.path(), tensor.name, rows, heads));
    }
    const bool is_vector = tensor.shape.size() == 1;  // rearranged value by value
    planned.rows = is_vector && is_paired ? tensor.columns() : tensor.rows();
    all.push_back(std::move(planned));
    return {};
  }
  return unsupported(fmt::format("{}: tensor '{}' has no name in a folder of class {}", file.path(),
                                 tensor.name, source.architecture->hf->classes[0]));
}

// The row of the model's tensor that is row `row` of the folder's: the inverse of halves to pairs.
std::uint64_t source_row(std::uint64_t row, std::uint64_t head_rows) {
  const std::uint64_t half = head_rows / 2;
  const std::uint64_t in_head = row % head_rows;
  return row - in_head + 2 * (in_head % half) + in_head / half;
}

class TensorWriter {
 public:
  TensorWriter(const io::ModelFile& file, const Source& source) : file_(file), source_(source) {}

  Result<void> write(const Planned& planned, io::SafetensorsWriter& out) {
    const io::TensorInfo& tensor = *planned.tensor;
    PARING_TRY(const quant::Format* from, quant::require_format(tensor.type));
    PARING_TRY(const quant::Format* to, quant::require_format(planned.declaration.type));
    const bool is_vector = tensor.shape.size() == 1;
    const std::size_t heads = planned.change == HfChange::kPairQuery ? source_.heads
                              : planned.change == HfChange::kPairKey ? source_.kv_heads
                                                                     : 0;
    const std::uint64_t rows = planned.rows;
    const std::uint64_t cols = is_vector ? tensor.columns() / rows : tensor.columns();
    PARING_TRY(const std::uint64_t from_bytes, dtype_row_bytes(tensor.type, cols));
    PARING_TRY(const std::uint64_t to_bytes, dtype_row_bytes(planned.declaration.type, cols));
    const io::TensorBytes bytes =
        is_vector ? file_.data(tensor) : file_.rows(tensor, planned.first_row, rows);
    std::vector<float> values(cols);
    std::vector<std::byte> encoded(to_bytes);
    if (planned.change == HfChange::kDropPositions) {  // no text has these positions
      for (std::uint64_t row = 0; row < source_.dropped_positions; ++row) {
        PARING_TRY_VOID(out.append(encoded));
      }
    }
    for (std::uint64_t row = 0; row < rows; ++row) {
      const std::uint64_t where = heads == 0 ? row : source_row(row, rows / heads);
      const std::byte* stored = bytes.data() + where * from_bytes;
      if (from == to && planned.change != HfChange::kPlusOne) {
        PARING_TRY_VOID(out.append({stored, from_bytes}));
        continue;
      }
      from->decode(stored, values.data(), cols);
      if (planned.change == HfChange::kPlusOne) {
        for (float& value : values) value -= 1;
      }
      PARING_TRY_VOID(check_range(values, planned));
      to->encode(values.data(), nullptr, encoded.data(), cols);
      PARING_TRY_VOID(out.append(encoded));
    }
    is_vector ? file_.release(tensor) : file_.release_rows(tensor, planned.first_row, rows);
    return {};
  }

 private:
  Result<void> check_range(const std::vector<float>& values, const Planned& planned) const {
    constexpr float kHalfMax = 65504.0F;
    const float limit = planned.declaration.type == DType::kF16 ? kHalfMax : HUGE_VALF;
    for (const float value : values) {
      if (std::fabs(value) <= limit && std::isfinite(value)) continue;
      return invalid_argument(
          fmt::format("{}: tensor '{}' holds {:g}, which {} cannot", file_.path(),
                      planned.tensor->name, value, dtype_name(planned.declaration.type)),
          "export as BF16 or F32");
    }
    return {};
  }

  const io::ModelFile& file_;
  const Source& source_;
};

// Where each file's tensors end.
Result<std::vector<std::size_t>> plan_shards(const std::vector<Planned>& tensors,
                                             std::uint64_t bytes_max) {
  std::vector<std::size_t> ends;
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const std::uint64_t more = tensors[i].declaration.bytes();
    if (more > bytes_max) {
      return invalid_argument(fmt::format("tensor '{}' has {} bytes, the limit for a file is {}",
                                          tensors[i].declaration.name, more, bytes_max),
                              "allow larger files");
    }
    if (bytes + more > bytes_max) {
      ends.push_back(i);
      bytes = 0;
    }
    bytes += more;
  }
  ends.push_back(tensors.size());
  return ends;
}

Result<void> write_text(const std::string& folder, const char* name, const std::string& text,
                        io::Overwrite overwrite) {
  return io::write_file((std::filesystem::path(folder) / name).string(), text, overwrite);
}

Result<void> write_shards(const io::ModelFile& file, const Source& source,
                          const std::vector<Planned>& tensors, const std::string& folder,
                          const HfExportOptions& options, ProgressSink& progress) {
  PARING_TRY(const std::vector<std::size_t> ends, plan_shards(tensors, options.shard_bytes_max));
  TensorWriter writer(file, source);
  std::uint64_t total = 0;
  for (const Planned& each : tensors) total += each.declaration.bytes();
  progress.begin("writing", tensors.size());
  std::size_t next = 0;
  std::vector<std::pair<std::string, std::string>> weight_map;
  for (std::size_t shard = 0; shard < ends.size(); ++shard) {
    const std::string name =
        ends.size() == 1 ? "model.safetensors"
                         : fmt::format("model-{:05}-of-{:05}.safetensors", shard + 1, ends.size());
    std::vector<io::SafetensorsDeclaration> declarations;
    for (std::size_t i = next; i < ends[shard]; ++i) {
      declarations.push_back(tensors[i].declaration);
      weight_map.emplace_back(tensors[i].declaration.name, name);
    }
    PARING_TRY(io::SafetensorsWriter out,
               io::SafetensorsWriter::create((std::filesystem::path(folder) / name).string(),
                                             options.overwrite, declarations));
    for (; next < ends[shard]; ++next) {
      PARING_TRY_VOID(writer.write(tensors[next], out));
      progress.advance(1);
    }
    PARING_TRY_VOID(file.check_unchanged());
    PARING_TRY_VOID(out.commit());
  }
  progress.end();
  if (ends.size() == 1) return {};
  return write_text(folder, "model.safetensors.index.json",
                    io::safetensors_index_json(total, weight_map), options.overwrite);
}

void export_decoder_flags(const io::ModelFile& file, io::Metadata& config) {
  config.set("tie_word_embeddings", io::GgufValue::of_bool(file.find("output.weight") == nullptr));
  config.set("attention_bias", io::GgufValue::of_bool(file.find("blk.0.attn_q.bias") != nullptr));
}

// The files of sentence-transformers beside an encoder.
Result<void> write_pooling(const io::Metadata& metadata, const Source& source,
                           const std::string& folder, io::Overwrite overwrite) {
  PARING_TRY(const PoolingFiles files, export_pooling(metadata, source.name));
  if (files.modules.empty()) return {};
  const std::filesystem::path inner = std::filesystem::path(folder) / io::kHfPoolingFolder;
  std::error_code failed;
  std::filesystem::create_directories(inner, failed);
  if (failed) return io_error(fmt::format("'{}': {}", inner.string(), failed.message()));
  PARING_TRY_VOID(write_text(folder, io::kHfModulesName, files.modules, overwrite));
  return write_text(inner.string(), "config.json", files.pooling, overwrite);
}

}  // namespace

Result<std::string> hf_config_json(const io::ModelFile& file, const HfExportOptions& options) {
  PARING_TRY(const Source source, open_source(file));
  const io::Metadata& metadata = file.metadata();
  const HfMapping& mapping = *source.architecture->hf;
  io::Metadata config;
  config.set("architectures", io::GgufValue::of_strings({source.class_name()}));
  config.set("model_type", io::GgufValue::of_string(mapping.model_type));
  const char* activation =
      source.encoder ? activation_name(source.encoder->activation) : mapping.activations[0];
  config.set(mapping.activation_key, io::GgufValue::of_string(activation));
  if (!source.encoder) {
    PARING_TRY_VOID(export_keys(hf_decoder_keys(), metadata, source.name, config));
  }
  PARING_TRY_VOID(export_keys(mapping.keys, metadata, source.name, config));
  if (source.encoder) {
    const std::size_t types = source.encoder->token_types;
    if (types != 0) config.set("type_vocab_size", io::GgufValue::of_u64(types));
  } else {
    export_decoder_flags(file, config);
  }
  // Vocabularies are counted by the embedding; the metadata of many files leaves the number out.
  if (const io::TensorInfo* embedding = file.find("token_embd.weight")) {
    config.set("vocab_size", io::GgufValue::of_u64(embedding->rows()));
  }
  PARING_TRY_VOID(export_token_ids(metadata, config));
  if (!source.encoder) {
    PARING_TRY_VOID(
        export_hf_rope(metadata, source.name, source.head_width, rope_tensors(file), config));
  }
  if (mapping.finish_export != nullptr) PARING_TRY_VOID(mapping.finish_export(metadata, config));
  config.set("torch_dtype", io::GgufValue::of_string(torch_name(dominant_type(file, options))));
  return io::json_object_text(config);
}

Result<void> export_hf(const io::ModelFile& file, const std::string& folder,
                       const HfExportOptions& options, ProgressSink& progress) {
  if (options.type && io::safetensors_type_name(*options.type) == nullptr) {
    return invalid_argument(
        fmt::format("a folder cannot hold {}, only F32, F16 and BF16", dtype_name(*options.type)));
  }
  PARING_TRY(const Source source, open_source(file));
  std::vector<Planned> tensors;
  for (const io::TensorInfo& tensor : file.tensors()) {
    if (is_rope_tensor(tensor.name)) continue;  // config.json says it
    PARING_TRY_VOID(plan_tensor(file, source, tensor, options, tensors));
  }
  PARING_TRY(const std::string config, hf_config_json(file, options));
  PARING_TRY_VOID(write_text(folder, "config.json", config, options.overwrite));
  if (source.encoder) {
    PARING_TRY_VOID(write_pooling(file.metadata(), source, folder, options.overwrite));
  }
  try {
    return write_shards(file, source, tensors, folder, options, progress);
  } catch (const std::bad_alloc&) {
    return exhausted("memory ran out while the model was written", "free memory");
  }
}

}  // namespace paring::model
