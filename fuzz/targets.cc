// SPDX-License-Identifier: Apache-2.0
#include "targets.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "api/certificate.h"
#include "base/check.h"
#include "config/yaml.h"
#include "constraint_target.h"
#include "engine/loaded_model.h"
#include "improve_targets.h"
#include "io/gguf.h"
#include "io/gguf_writer.h"
#include "io/imatrix.h"
#include "io/json_object.h"
#include "io/safetensors.h"
#include "model/architecture.h"
#include "model/hf_outline.h"
#include "model/hf_translation.h"
#include "monitor_targets.h"
#include "net/detail/request_parser.h"
#include "net/multipart.h"
#include "serve/batch/batch_input.h"
#include "serve/wire/openai_batches.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"
#include "text/tokenizer_json.h"
#include "wire_targets.h"

namespace paring::fuzz {

namespace {

using Input = std::span<const std::byte>;

std::string_view text_of(Input input) {
  return {reinterpret_cast<const char*>(input.data()), input.size()};
}

// Internal errors are bugs of ours (panics in the bridge among them): no input may lead to one.
template <typename T>
void check_error(const Result<T>& result) {
  PARING_CHECK(!result.error().message.empty(), "an error without a message");
  PARING_CHECK(result.error().code != ErrorCode::kInternal, result.error().text());
}

// A text that every class of token and byte has a part in.
constexpr std::string_view kSample = "Hello, w\xc3\xb6rld 123 <|im_end|>\n\t\xf0\x9f\x98\x80 \xff";

void check_tokenizer(const text::Tokenizer& tokenizer) {
  const auto ids = tokenizer.encode(kSample, {.add_special = true, .parse_special = true});
  if (!ids) return check_error(ids);
  for (const std::int32_t id : *ids) {
    PARING_CHECK(id >= 0 && static_cast<std::size_t>(id) < tokenizer.vocab_size(),
                 "an id outside the vocabulary");
  }
  PARING_CHECK(tokenizer.decode(*ids).has_value(), "own ids cannot be decoded");
}

// The header of a GGUF file, then what its metadata says of architecture and tokenizer.
void run_gguf(Input input) {
  const auto header = io::parse_gguf(input, "fuzz.gguf");
  if (!header) return check_error(header);
  std::vector<io::TensorDeclaration> declarations;
  std::uint64_t data_bytes = 0;
  for (const io::TensorInfo& tensor : header->tensors) {
    PARING_CHECK(tensor.offset <= input.size() && tensor.bytes <= input.size() - tensor.offset,
                 "a tensor outside the file was accepted");
    PARING_CHECK(tensor.bytes == *dtype_row_bytes(tensor.type, tensor.columns()) * tensor.rows(),
                 "a tensor's bytes do not follow from its shape");
    data_bytes += tensor.bytes;
    declarations.push_back({tensor.name, tensor.type, tensor.shape});
  }
  PARING_CHECK(data_bytes <= input.size(), "tensors overlap");
  // Written again, it has at least the bytes of its data. Names may be longer than we write.
  const auto bytes = io::gguf_file_bytes(header->metadata, declarations);
  if (bytes) PARING_CHECK(*bytes >= data_bytes, "a planned file smaller than its data");
}

// Hyper-parameters and tokenizer of a GGUF header.
void run_gguf_metadata(Input input) {
  const auto header = io::parse_gguf(input, "fuzz.gguf");
  if (!header) return;
  for (const model::Architecture* architecture : model::architectures()) {
    const auto spec = architecture->read(header->metadata);
    if (!spec) {
      check_error(spec);
      continue;
    }
    PARING_CHECK(spec->layers > 0 && spec->layers <= model::kLayersMax, "absurd layers");
    PARING_CHECK(spec->kv_heads > 0 && spec->heads % spec->kv_heads == 0, "absurd heads");
    PARING_CHECK(spec->width > 0 && spec->width <= model::kWidthMax, "absurd width");
  }
  const auto spec = engine::read_tokenizer_spec(header->metadata);
  if (!spec) return check_error(spec);
  const auto tokenizer = text::Tokenizer::create(*spec);
  if (!tokenizer) return check_error(tokenizer);
  check_tokenizer(**tokenizer);
}

void run_safetensors(Input input) {
  const auto header = io::parse_safetensors(input, "fuzz.safetensors");
  if (!header) return check_error(header);
  std::uint64_t end = 0;
  for (const io::SafetensorsTensor& tensor : header->tensors) {
    PARING_CHECK(tensor.offset <= input.size() && tensor.bytes <= input.size() - tensor.offset,
                 "a tensor outside the file was accepted");
    PARING_CHECK(end == 0 || tensor.offset == end, "tensors do not follow each other");
    end = tensor.offset + tensor.bytes;
    PARING_CHECK(io::safetensors_type_bits(tensor.type_name).has_value(), "an unknown type");
  }
  PARING_CHECK(header->tensors.empty() || end == input.size(), "bytes that no tensor has");
}

// config.json, translated to GGUF's keys without any tensors.
void run_hf_config(Input input) {
  auto config = io::parse_json_object(text_of(input), "config.json");
  if (!config) return check_error(config);
  io::HfFolder folder;
  folder.path = "folder";
  folder.config = std::move(*config);
  const auto parts = model::translate_hf(folder);
  if (!parts) return check_error(parts);
  folder.has_values = false;
  if (const auto implied = model::imply_hf_tensors(folder); !implied) {
    check_error(implied);
  } else {
    PARING_CHECK(model::translate_hf(folder).has_value(), "implied tensors are not understood");
  }
  for (const model::Architecture* architecture : model::architectures()) {
    const auto spec = architecture->read(parts->metadata);
    if (!spec) check_error(spec);
  }
  const auto bytes = io::gguf_file_bytes(parts->metadata, {});
  PARING_CHECK(bytes.has_value(), "translated metadata cannot be written");
}

void run_tokenizer_json(Input input) {
  const std::string_view json = text_of(input);
  const auto spec = text::spec_of_tokenizer_json(json, {});
  if (!spec) {
    check_error(spec);
  } else if (const auto tokenizer = text::Tokenizer::create(*spec)) {
    check_tokenizer(**tokenizer);
  }
  const auto tokenizer = text::Tokenizer::create_from_json(json, {});
  if (!tokenizer) return check_error(tokenizer);
  check_tokenizer(**tokenizer);
}

void run_template(Input input) {
  const auto chat = text::ChatTemplate::create(text_of(input), "<s>", "</s>");
  if (!chat) return check_error(chat);
  const std::vector<text::ChatMessage> messages = {
      {"system", "Be brief."}, {"user", "Hello"}, {"assistant", "Hi."}, {"user", "{{ 1 }}"}};
  const auto text = (*chat)->render_at(messages, true, 1'700'000'000);
  if (!text) return check_error(text);
  PARING_CHECK(text->size() <= text::kTemplateOutputBytesMax, "more output than the limit");
}

void run_imatrix(Input input) {
  const auto imatrix = io::parse_imatrix(input, "fuzz.imatrix");
  if (!imatrix) return check_error(imatrix);
  PARING_CHECK(!imatrix->entries.empty(), "an importance matrix without entries");
  for (const io::ImatrixEntry& entry : imatrix->entries) {
    PARING_CHECK(!entry.mean_squares.empty() && !entry.counts.empty(), "an empty entry");
    double total = 0;
    for (const double count : entry.counts) {
      PARING_CHECK(count >= 0, "a negative count");
      total += count;
    }
    PARING_CHECK(total > 0, "an entry of no tokens");
    for (const float value : entry.mean_squares) {
      PARING_CHECK(std::isfinite(value) && value >= 0, "a mean square that cannot be");
    }
  }
}

void run_certificate(Input input) {
  const auto certificate = api::Certificate::from_json(text_of(input));
  if (!certificate) return check_error(certificate);
  // What is accepted is kept whole.
  const auto again = api::Certificate::from_json(certificate->to_json());
  PARING_CHECK(again.has_value(), "an accepted certificate is refused when written again");
  PARING_CHECK(again->to_json() == certificate->to_json(), "a certificate changes when written");
}

void run_yaml(Input input) {
  const auto entries = config::read_yaml(text_of(input));
  if (!entries) return check_error(entries);
  PARING_CHECK(entries->size() <= config::kYamlEntriesMax, "more entries than the limit");
}

constexpr std::size_t kHttpBodyMax = 10000;

// A head that was accepted means one thing.
void check_http_head(const net::HttpHead& head) {
  PARING_CHECK(head.path == "*" || head.path.starts_with('/'), "a path without its slash");
  for (const std::string& segment : head.segments) {
    PARING_CHECK(segment != "." && segment != "..", "a dot segment was accepted");
    PARING_CHECK(net::detail::is_utf8(segment), "a path that is not UTF-8 was accepted");
  }
  std::size_t hosts = 0;
  for (const net::HttpHeader& header : head.headers) {
    hosts += header.name == "host" ? 1 : 0;
    for (const char c : header.name + header.value) {
      PARING_CHECK((static_cast<unsigned char>(c) >= 0x20 || c == '\t') && c != 0x7f,
                   "a control character in a header was accepted");
    }
  }
  PARING_CHECK(hosts == 1 || (hosts == 0 && head.version == 10), "a request without one host");
  PARING_CHECK(head.find("content-length") == nullptr || head.find("transfer-encoding") == nullptr,
               "a body with two lengths was accepted");
}

// The requests that a connection reads when its bytes come `piece` at a time, as text.
std::string http_requests(std::string_view stream, std::size_t piece) {
  net::detail::RequestParser parser{net::detail::ParserLimits{}};
  std::string seen;
  std::string data;
  bool is_in_body = false;
  for (std::size_t at = 0; at < stream.size(); at += piece) {
    data.append(stream.substr(at, piece));
    while (!data.empty()) {
      std::size_t used = 0;
      using Step = net::detail::RequestParser::Step;
      const Step step =
          is_in_body ? parser.parse_body(data, &used) : parser.parse_head(data, &used);
      PARING_CHECK(used <= data.size(), "more used than there was");
      data.erase(0, used);
      if (step == Step::kNeedMore) break;
      if (step == Step::kRefused) {
        const int status = parser.refusal().status;
        PARING_CHECK(status >= 400 && status < 600 && !parser.refusal().message.empty(),
                     "refused without a reason");
        return seen + "refused";
      }
      if (!is_in_body) {
        check_http_head(parser.head());
        seen += parser.head().method + " " + parser.head().path + "\n";
        parser.set_body_limit(kHttpBodyMax);
        is_in_body = parser.framing().has_body;
        if (is_in_body) continue;
      }
      PARING_CHECK(parser.body().size() <= kHttpBodyMax, "a body over its limit");
      seen += parser.body() + "\n";
      is_in_body = false;
      parser.reset();
    }
  }
  return seen;
}

// Requests on a connection: how the bytes are cut into pieces must not matter.
void run_http(Input input) {
  const std::string_view stream = text_of(input);
  const std::string whole = http_requests(stream, std::max<std::size_t>(stream.size(), 1));
  PARING_CHECK(http_requests(stream, 1 + stream.size() / 3) == whole, "three pieces differ");
  if (stream.size() < 2000) PARING_CHECK(http_requests(stream, 1) == whole, "bytes differ");
}

// What a form's body comes to, in one text, or "error".
std::string form_of(std::string_view body, std::size_t piece) {
  using Step = net::MultipartReader::Step;
  net::MultipartReader reader("B", {});
  std::string found;
  for (std::size_t at = 0; at < body.size(); at += piece) {
    reader.append(body.substr(at, piece));
    for (;;) {
      const Result<Step> step = reader.next();
      if (!step) return check_error(step), "error";
      if (*step == Step::kNeedMore) break;
      if (*step == Step::kPart) {
        const net::PartHead& head = reader.head();
        PARING_CHECK(!head.name.empty(), "a part without a name");
        found +=
            "\n[" + head.name + "|" + head.filename.value_or("-") + "|" + head.content_type + "]\n";
      }
      if (*step == Step::kContent) found += reader.content();
    }
  }
  PARING_CHECK(reader.parts() <= net::MultipartLimits().parts_max, "more parts than the limit");
  const Result<void> end = reader.finish();
  if (end) return found;
  return check_error(end), "error";
}

// A form with files: how it comes in pieces must not matter.
void run_multipart(Input input) {
  const std::string_view body = text_of(input);
  const auto boundary = net::multipart_boundary(body);
  if (!boundary) check_error(boundary);
  const std::string whole = form_of(body, std::max<std::size_t>(body.size(), 1));
  PARING_CHECK(form_of(body, 1 + body.size() / 3) == whole, "three pieces differ");
  if (body.size() < 2000) PARING_CHECK(form_of(body, 1) == whole, "bytes differ");
}

// The input file of a batch: how it comes in pieces must not matter, and every line that is
// accepted is found again where it is said to lie.
void run_batch_jsonl(Input input) {
  const std::string_view text = text_of(input);
  constexpr const char* kEndpoint = "/v1/chat/completions";
  const auto read = [&](std::size_t piece) {
    serve::BatchInputReader reader(kEndpoint, {});
    for (std::size_t at = 0; at < text.size(); at += piece) {
      reader.append(text.substr(at, piece));
    }
    return reader.finish();
  };
  const serve::BatchInput whole = read(std::max<std::size_t>(text.size(), 1));
  const serve::BatchInput parts = read(1 + text.size() / 5);
  PARING_CHECK(whole.lines.size() == parts.lines.size(), "pieces differ in lines");
  PARING_CHECK(whole.errors.size() == parts.errors.size(), "pieces differ in findings");
  PARING_CHECK(!whole.lines.empty() || !whole.errors.empty(), "nothing, and no finding");
  for (const serve::BatchLine& line : whole.lines) {
    const auto again = serve::parse_batch_line(text.substr(line.offset, line.bytes), kEndpoint, {});
    const auto* const content = std::get_if<serve::BatchLineContent>(&again);
    PARING_CHECK(content != nullptr && content->model == whole.model, "a line that is not there");
  }
  PARING_CHECK(serve::batch_order(whole.lines).size() == whole.lines.size(), "a line is lost");
  (void)serve::batch_errors_json(whole.errors);
  (void)serve::wire::read_openai_batch(text, {.is_strict = true});
}

constexpr Target kTargets[] = {
    {"gguf", run_gguf, 220},
    {"gguf_metadata", run_gguf_metadata, 120},
    {"safetensors", run_safetensors, 200},
    {"hf_config", run_hf_config, 90},
    {"tokenizer_json", run_tokenizer_json, 20},
    {"template", run_template, 10},
    {"imatrix", run_imatrix, 220},
    {"certificate", run_certificate, 70},
    {"yaml", run_yaml, 50},
    {"constraint", run_constraint, 5},
    {"batch_jsonl", run_batch_jsonl, 60},
    {"http", run_http, 100},
    {"multipart", run_multipart, 100},
    {"usage", run_usage, 100},
    {"otlp_traces", run_otlp_traces, 60},
    {"otlp_logs", run_otlp_logs, 60},
    {"otlp_json", run_otlp_json, 30},
    {"metrics_page", run_metrics_page, 60},
    {"redaction", run_redaction, 20},
    {"exchange", run_exchange, 20},
    {"json_schema", run_json_schema, 50},
    {"wire_openai_chat", run_wire_openai_chat, 40},
    {"wire_openai_completions", run_wire_openai_completions, 40},
    {"wire_openai_responses", run_wire_openai_responses, 40},
    {"wire_anthropic", run_wire_anthropic, 40},
    {"wire_ollama", run_wire_ollama, 40},
    {"wire_pooling", run_wire_pooling, 40},
};

}  // namespace

std::span<const Target> targets() noexcept { return kTargets; }

const Target* find_target(const char* name) noexcept {
  for (const Target& target : kTargets) {
    if (std::strcmp(target.name, name) == 0) return &target;
  }
  return nullptr;
}

}  // namespace paring::fuzz
