// SPDX-License-Identifier: Apache-2.0
#include "text/text_template.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "text/tokenizer_file.h"

namespace paring::text {

namespace {

using Json = nlohmann::json;
using Kind = TemplatePiece::Kind;

constexpr std::size_t kPiecesMax = 64;
constexpr std::size_t kIdsMax = 64;
constexpr std::uint64_t kTypeMax = 255;

Error broken(const std::string& what) {
  return corrupt("tokenizer.json: the post-processor " + what);
}

TemplatePiece special(std::int32_t id, std::uint8_t type = 0) {
  return {Kind::kSpecial, {id}, type};
}
TemplatePiece first() { return {Kind::kFirst, {}, 0}; }
TemplatePiece second(std::uint8_t type) { return {Kind::kSecond, {}, type}; }

class Reader {
 public:
  explicit Reader(const TokenizerFile& file) : file_(file) {}

  Result<TextTemplates> run() const {
    TextTemplates found{{first()}, {first(), second(0)}};
    for (const PipelineStep& step : file_.post_processor) {
      const Json fields = Json::parse(step.fields, nullptr, false);
      if (step.type == "ByteLevel") continue;  // offsets alone
      if (step.type == "BertProcessing" || step.type == "RobertaProcessing") {
        PARING_TRY(found, read_pair_of_tokens(fields, step.type == "RobertaProcessing"));
      } else if (step.type == "TemplateProcessing") {
        PARING_TRY(found.single, read_pieces(fields, "single", /*is_pair=*/false));
        PARING_TRY(found.pair, read_pieces(fields, "pair", /*is_pair=*/true));
      } else {
        return unsupported("tokenizer.json: the post-processor " + step.type + " is not known");
      }
    }
    return found;
  }

 private:
  Result<std::int32_t> token(const Json& name) const {
    const auto id = file_.find(name.get<std::string>());
    if (!id) return broken("adds a token that does not exist");
    return *id;
  }

  Result<TextTemplates> read_pair_of_tokens(const Json& fields, bool is_roberta) const {
    PARING_TRY(const std::int32_t cls, token(fields.at("cls").at(0)));
    PARING_TRY(const std::int32_t sep, token(fields.at("sep").at(0)));
    const std::uint8_t type = is_roberta ? 0 : 1;
    TextTemplates found{{special(cls), first(), special(sep)},
                        {special(cls), first(), special(sep)}};
    if (is_roberta) found.pair.push_back(special(sep));
    found.pair.push_back(second(type));
    found.pair.push_back(special(sep, type));
    return found;
  }

  Result<TemplatePiece> read_piece(const Json& piece, const Json& specials) const {
    const bool is_text = piece.contains("Sequence");
    const Json& body = piece.at(is_text ? "Sequence" : "SpecialToken");
    const std::string id = body.at("id").get<std::string>();
    const auto type = body.at("type_id").get<std::uint64_t>();
    if (type > kTypeMax) return broken("has the token type " + std::to_string(type));
    TemplatePiece made{Kind::kSpecial, {}, static_cast<std::uint8_t>(type)};
    if (is_text) {
      if (id != "A" && id != "B") return broken("has a text that is neither A nor B");
      made.kind = id == "A" ? Kind::kFirst : Kind::kSecond;
      return made;
    }
    for (const Json& each : specials.at(id).at("ids")) {
      const auto value = each.get<std::uint64_t>();
      if (value >= file_.tokens.size() || !file_.is_named[value] || made.ids.size() >= kIdsMax) {
        return broken("adds a token that does not exist");
      }
      made.ids.push_back(static_cast<std::int32_t>(value));
    }
    return made;
  }

  Result<std::vector<TemplatePiece>> read_pieces(const Json& fields, const char* key,
                                                 bool is_pair) const {
    const Json& list = fields.at(key);
    if (list.size() > kPiecesMax) return broken("has too many parts");
    const Json specials = fields.value("special_tokens", Json::object());
    std::vector<TemplatePiece> pieces;
    std::size_t texts[2] = {0, 0};
    for (const Json& each : list) {
      PARING_TRY(TemplatePiece piece, read_piece(each, specials));
      if (piece.kind != Kind::kSpecial) ++texts[piece.kind == Kind::kFirst ? 0 : 1];
      pieces.push_back(std::move(piece));
    }
    if (texts[0] != 1 || texts[1] != (is_pair ? 1U : 0U)) {
      return broken(std::string("repeats a text or leaves one out in '") + key + "'");
    }
    return pieces;
  }

  const TokenizerFile& file_;
};

}  // namespace

Result<TextTemplates> templates_of_json(std::string_view tokenizer_json) {
  PARING_TRY(const TokenizerFile file, read_tokenizer_file(tokenizer_json));
  try {
    return Reader(file).run();
  } catch (const Json::exception& error) {
    return broken(std::string("has a field of a wrong type: ") + error.what());
  }
}

TextTemplates templates_of_spec(const TokenizerSpec& spec) {
  const bool is_word_piece = spec.model == TokenizerModel::kWordPiece;
  std::vector<std::int32_t> begin;
  std::vector<std::int32_t> end;
  if (is_word_piece || spec.add_bos) begin.assign(1, spec.bos.value_or(0));
  if (is_word_piece) end.assign(1, spec.sep.value_or(0));
  if (!is_word_piece && spec.add_eos) end.assign(1, spec.eos.value_or(0));
  const std::uint8_t type = is_word_piece ? 1 : 0;
  TextTemplates made;
  made.single = {{Kind::kSpecial, begin, 0}, first(), {Kind::kSpecial, end, 0}};
  made.pair = made.single;
  if (!is_word_piece && !begin.empty()) made.pair.push_back({Kind::kSpecial, end, 0});
  made.pair.push_back(second(type));
  made.pair.push_back({Kind::kSpecial, end, type});
  return made;
}

}  // namespace paring::text
