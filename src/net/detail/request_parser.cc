// SPDX-License-Identifier: Apache-2.0
#include "net/detail/request_parser.h"

// Beast 1.81 asserts that a last chunk comes with its trailer in one piece of 5 bytes, which a
// client decides; what follows the assertion does not need it.
#define BOOST_DISABLE_ASSERTS
#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <limits>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/text.h"

namespace paring::net::detail {

namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;

constexpr std::size_t kMethodBytesMax = 32;
constexpr std::size_t kEmptyLinesMax = 2;  // before a request line; RFC 9112, 2.2 asks for one
// A chunk's size with its extensions, or the trailer: what must be seen whole.
constexpr std::size_t kChunkHeaderBytesMax = 16384;
// Chunk extensions and trailers cost reading and mean nothing to us: so many bytes of each a
// request.
constexpr std::size_t kChunkExtensionBytesMax = 4096;
constexpr std::size_t kTrailerBytesMax = 4096;

// Names that may stand once. Two of them are a way to show a proxy and us different requests.
constexpr std::string_view kSingular[] = {"host",
                                          "content-length",
                                          "transfer-encoding",
                                          "content-type",
                                          "authorization",
                                          "x-api-key",
                                          "proxy-authorization",
                                          "content-encoding",
                                          "expect",
                                          "origin",
                                          "user-agent",
                                          "referer",
                                          "idempotency-key",
                                          "traceparent",
                                          "x-request-id",
                                          "date",
                                          "cookie"};

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

bool is_singular(std::string_view name) {
  return std::find(std::begin(kSingular), std::end(kSingular), name) != std::end(kSingular);
}

bool is_digits(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

Refusal malformed(std::string message) { return {400, "malformed_request", std::move(message)}; }

}  // namespace

struct RequestParser::State final : http::basic_parser<true> {
  explicit State(const ParserLimits& parser_limits) : limits(parser_limits) {
    header_limit(std::numeric_limits<std::uint32_t>::max());  // counted here
    body_limit(boost::none);
  }

  void refuse(Refusal why, beast::error_code& ec) {
    refusal = std::move(why);
    ec = http::error::bad_field;
  }

  void on_request_impl(http::verb, beast::string_view method, beast::string_view target,
                       int version, beast::error_code& ec) override {
    head.method = std::string(view(method));
    head.version = version;
    if (method.size() > kMethodBytesMax)
      return refuse({501, "unknown_method", "no such method"}, ec);
    if (method == "CONNECT") return refuse({501, "unknown_method", "this is not a proxy"}, ec);
    if (target.size() > limits.target_bytes_max) {
      return refuse({414, "target_too_long",
                     "the request target has more than " + std::to_string(limits.target_bytes_max) +
                         " bytes"},
                    ec);
    }
    if (auto why = paring::net::detail::parse_target(view(target), &head, &authority))
      refuse(std::move(*why), ec);
  }

  void on_field_impl(http::field, beast::string_view name, beast::string_view value,
                     beast::error_code& ec) override {
    if (++fields > limits.headers_max) {
      return refuse(
          {431, "too_many_headers",
           "the request has more than " + std::to_string(limits.headers_max) + " header fields"},
          ec);
    }
    if (is_head_done) {  // a trailer field: nobody reads it
      trailer_bytes += name.size() + value.size();
      if (trailer_bytes > kTrailerBytesMax) {
        refuse({431, "headers_too_large", "the body is followed by too long trailer fields"}, ec);
      }
      return;
    }
    std::string lower = ascii_lower(view(name));
    if (is_singular(lower) && head.find(lower) != nullptr) {
      return refuse(malformed("the header " + lower + " stands more than once"), ec);
    }
    if (lower == "content-length" && !is_digits(view(value))) {
      return refuse(malformed("Content-Length is not one number"), ec);
    }
    if (lower == "transfer-encoding" && !beast::iequals(value, "chunked")) {
      return refuse({501, "unknown_transfer_coding", "only the transfer coding 'chunked' is known"},
                    ec);
    }
    head.headers.push_back({std::move(lower), std::string(view(value))});
  }

  void on_header_impl(beast::error_code& ec) override {
    is_head_done = true;
    const std::string* host = head.find("host");
    if (host == nullptr && head.version >= 11) {
      return refuse(malformed("a request of HTTP/1.1 needs the header Host"), ec);
    }
    if (host != nullptr && !host->empty() && !is_authority(*host)) {
      return refuse(malformed("the header Host is not a host"), ec);
    }
    if (!authority.empty() && host != nullptr && ascii_lower(*host) != ascii_lower(authority)) {
      return refuse(malformed("the request target and the header Host name different hosts"), ec);
    }
    if (chunked() && head.version < 11) {
      return refuse(malformed("HTTP/1.0 has no transfer codings"), ec);
    }
    framing.is_keep_alive = keep_alive();
    if (!chunked() && content_length()) framing.content_length = content_length().value();
    framing.has_body = chunked() || framing.content_length.value_or(0) > 0;
    if (const std::string* expect = head.find("expect")) {
      if (ascii_lower(*expect) != "100-continue") {
        return refuse({417, "unknown_expectation", "only 'Expect: 100-continue' is known"}, ec);
      }
      // RFC 9110, 10.1.1: from HTTP/1.0 it is ignored.
      framing.expects_continue = head.version >= 11 && framing.has_body;
    }
  }

  void on_body_init_impl(boost::optional<std::uint64_t> const&, beast::error_code& ec) override {
    ec = {};
  }
  std::size_t on_body_impl(beast::string_view text, beast::error_code& ec) override {
    return take(text, ec);
  }
  void on_chunk_header_impl(std::uint64_t size, beast::string_view extensions,
                            beast::error_code& ec) override {
    // Beast lets quoted values of extensions hold line feeds; others end the
    // line there.
    const bool has_control = std::any_of(extensions.begin(), extensions.end(), [](char c) {
      return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f;
    });
    if (has_control) {
      return refuse(malformed("an extension of a chunk has a control character"), ec);
    }
    extension_bytes += extensions.size();
    if (extension_bytes > kChunkExtensionBytesMax) {
      return refuse(malformed("the chunks of the body have too long extensions"), ec);
    }
    if (size > body_limit_bytes - std::min(body_limit_bytes, body_bytes)) too_large(ec);
  }
  std::size_t on_chunk_body_impl(std::uint64_t, beast::string_view text,
                                 beast::error_code& ec) override {
    return take(text, ec);
  }
  void on_response_impl(int, beast::string_view, int, beast::error_code&) override {
    PARING_CHECK(false, "a parser of requests met a response");
  }
  void on_finish_impl(beast::error_code& ec) override { ec = {}; }

  void too_large(beast::error_code& ec) {
    refuse({413, "body_too_large",
            "the body is larger than " + std::to_string(body_limit_bytes) + " bytes"},
           ec);
  }

  std::size_t take(beast::string_view text, beast::error_code& ec) {
    ec = {};
    body_bytes += text.size();
    if (body_bytes > body_limit_bytes) {
      too_large(ec);
    } else if (!is_discarding) {
      body.append(text.data(), text.size());
    }
    return text.size();
  }

  // A line of the head that begins with white space continues the one before it
  // (obs-fold, RFC 9112, 5.2). Beast joins such lines; here they are refused.
  bool is_folded(std::string_view text) const {
    return text.find("\r\n ") != std::string_view::npos ||
           text.find("\r\n\t") != std::string_view::npos;
  }

  Refusal of_error(const beast::error_code& ec) const {
    if (refusal) return *refusal;
    if (ec == http::error::bad_version) {
      return {505, "unknown_version", "only HTTP/1.1 and HTTP/1.0 are spoken here"};
    }
    if (ec == http::error::bad_method) return malformed("the request line has no valid method");
    if (ec == http::error::bad_target) return malformed("the request line has no valid target");
    if (ec == http::error::bad_field) return malformed("a header has no valid name");
    if (ec == http::error::bad_value) return malformed("a header has no valid value");
    if (ec == http::error::bad_content_length || ec == http::error::bad_transfer_encoding ||
        ec == http::error::multiple_content_length) {
      return malformed("the length of the body is not told in one way");
    }
    if (ec == http::error::bad_chunk || ec == http::error::bad_chunk_extension) {
      return malformed("the body is not in well-formed chunks");
    }
    return malformed("the request is not HTTP/1.1");
  }

  ParserLimits limits;
  HttpHead head;
  Framing framing;
  std::string authority;
  std::string body;
  std::uint64_t body_bytes = 0;
  std::uint64_t body_limit_bytes = std::numeric_limits<std::uint64_t>::max();
  std::size_t extension_bytes = 0;
  std::size_t trailer_bytes = 0;
  std::size_t fields = 0;
  std::size_t scanned = 0;  // bytes of the head that were looked at for its end
  bool is_head_done = false;
  bool is_discarding = false;
  std::optional<Refusal> refusal;
};

RequestParser::RequestParser(const ParserLimits& limits)
    : state_(std::make_unique<State>(limits)) {}
RequestParser::~RequestParser() = default;

void RequestParser::reset() { state_ = std::make_unique<State>(state_->limits); }

namespace {

bool has_bare_line_feed(std::string_view text) {
  for (std::size_t at = text.find('\n'); at != std::string_view::npos;
       at = text.find('\n', at + 1)) {
    if (at == 0 || text[at - 1] != '\r') return true;
  }
  return false;
}

// Where the head ends in `text`, behind the empty line. Bytes before `scanned`
// are known to have no end. A line that ends without a carriage return is an
// error (npos, *is_bare_line_feed).
std::optional<std::size_t> head_end(std::string_view text, std::size_t scanned,
                                    bool* is_bare_line_feed) {
  // Back to where an end that is now complete may have begun.
  for (std::size_t at = scanned; (at = text.find('\n', at)) != std::string_view::npos; ++at) {
    if (at == 0 || text[at - 1] != '\r') {
      *is_bare_line_feed = true;
      return std::nullopt;
    }
    if (at >= 3 && text[at - 2] == '\n' && text[at - 3] == '\r') return at + 1;
  }
  return std::nullopt;
}

}  // namespace

RequestParser::Step RequestParser::parse_head(std::string_view data, std::size_t* consumed) {
  State& state = *state_;
  *consumed = 0;
  std::size_t skipped = 0;
  while (skipped < 2 * kEmptyLinesMax && data.substr(skipped).starts_with("\r\n")) skipped += 2;
  const std::string_view text = data.substr(skipped);
  const auto refuse = [&](Refusal why) {
    state.refusal = std::move(why);
    return Step::kRefused;
  };
  if (text.empty() || text == "\r") return Step::kNeedMore;
  const auto first = static_cast<unsigned char>(text.front());
  if (first < 'A' || first > 'z') {
    return refuse(malformed("the request does not begin with a method"));
  }
  bool is_bare_line_feed = false;
  const std::size_t scanned = state.scanned > skipped ? state.scanned - skipped : 0;
  const auto end = head_end(text, scanned, &is_bare_line_feed);
  if (is_bare_line_feed) return refuse(malformed("a line ends without a carriage return"));
  state.scanned = data.size();
  const std::size_t line_bytes_max = state.limits.target_bytes_max + kMethodBytesMax + 16;
  if (text.size() > line_bytes_max && text.find('\n') > line_bytes_max) {
    return refuse({414, "target_too_long",
                   "the request target has more than " +
                       std::to_string(state.limits.target_bytes_max) + " bytes"});
  }
  if (end.value_or(text.size()) > state.limits.header_bytes_max) {
    return refuse({431, "headers_too_large",
                   "the head of the request has more than " +
                       std::to_string(state.limits.header_bytes_max) + " bytes"});
  }
  if (!end) return Step::kNeedMore;
  const std::string_view whole = text.substr(0, *end);
  if (state.is_folded(whole)) return refuse(malformed("a header is continued on a second line"));
  beast::error_code ec;
  const std::size_t parsed = state.put({whole.data(), whole.size()}, ec);
  if (!ec && parsed < whole.size() && !state.is_header_done()) {
    // Beast takes the request line and the fields in one call when it is told to, else in two.
    state.put({whole.data() + parsed, whole.size() - parsed}, ec);
  }
  if (ec || !state.is_header_done()) return refuse(state.of_error(ec));
  *consumed = skipped + whole.size();
  return Step::kDone;
}

RequestParser::Step RequestParser::parse_body(std::string_view data, std::size_t* consumed) {
  State& state = *state_;
  *consumed = 0;
  while (!state.is_done()) {
    const std::string_view rest = data.substr(*consumed);
    if (rest.empty()) return Step::kNeedMore;
    beast::error_code ec;
    const std::size_t parsed = state.put({rest.data(), rest.size()}, ec);
    *consumed += parsed;
    if (ec == http::error::need_more) {
      const std::string_view unfinished = rest.substr(parsed);
      if (has_bare_line_feed(unfinished)) {
        state.refusal = malformed("a line ends without a carriage return");
        return Step::kRefused;
      }
      if (unfinished.size() <= kChunkHeaderBytesMax) return Step::kNeedMore;
      state.refusal = malformed("the header of a chunk is too long");
      return Step::kRefused;
    }
    if (ec) {
      state.refusal = state.of_error(ec);
      return Step::kRefused;
    }
    PARING_CHECK(parsed > 0 || state.is_done(), "the parser of bodies stands still");
  }
  return Step::kDone;
}

void RequestParser::set_body_limit(std::size_t bytes) { state_->body_limit_bytes = bytes; }
void RequestParser::discard_body() { state_->is_discarding = true; }
HttpHead& RequestParser::head() { return state_->head; }
const Framing& RequestParser::framing() const { return state_->framing; }
std::string& RequestParser::body() { return state_->body; }
std::uint64_t RequestParser::body_bytes() const { return state_->body_bytes; }
const Refusal& RequestParser::refusal() const { return *state_->refusal; }

}  // namespace paring::net::detail
