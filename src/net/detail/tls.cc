// SPDX-License-Identifier: Apache-2.0
#include "net/detail/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509err.h>

#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/text.h"

namespace paring::net::detail {

namespace {

// The oldest error of OpenSSL's queue, in words; empties the queue.
std::string openssl_error() {
  std::array<char, 256> text{};
  const unsigned long code = ERR_get_error();
  if (code == 0) return "no reason was given";
  ERR_error_string_n(code, text.data(), text.size());
  ERR_clear_error();
  return text.data();
}

// Never asks a terminal for the password of a key.
int no_password(char*, int, int, void*) { return 0; }

// ALPN: HTTP/1.1 when the client names protocols; a client that speaks others
// only is refused.
int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* chosen_bytes,
                    const unsigned char* offered, unsigned offered_bytes, void*) {
  static constexpr std::array<unsigned char, 18> kSpoken = {
      8, 'h', 't', 't', 'p', '/', '1', '.', '1', 8, 'h', 't', 't', 'p', '/', '1', '.', '0'};
  unsigned char* found = nullptr;
  const int outcome = SSL_select_next_proto(&found, chosen_bytes, kSpoken.data(), kSpoken.size(),
                                            offered, offered_bytes);
  if (outcome != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;
  *chosen = found;
  return SSL_TLSEXT_ERR_OK;
}

Error file_error(const std::string& what, const std::string& path) {
  const unsigned long code = ERR_peek_error();
  const bool is_missing = ERR_GET_LIB(code) == ERR_LIB_SYS && ERR_GET_REASON(code) == ENOENT;
  const std::string why = openssl_error();
  const std::string shown = escape_control(path);
  if (is_missing) return not_found("there is no file " + shown + " for the " + what);
  return invalid_argument("the " + what + " cannot be read from " + shown + ": " + why,
                          "PEM is expected, the key without a password");
}

}  // namespace

Result<std::shared_ptr<const TlsContext>> TlsContext::load(const std::string& certificate_file,
                                                           const std::string& key_file) {
  ERR_clear_error();
  SSL_CTX* context = SSL_CTX_new(TLS_server_method());
  PARING_CHECK(context != nullptr, "OpenSSL has no context for us");
  std::shared_ptr<const TlsContext> loaded(new TlsContext(context));
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(
      context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  // Buffers of idle connections are given back; sessions are resumed by tickets
  // alone.
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_default_passwd_cb(context, no_password);
  SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
  if (SSL_CTX_use_certificate_chain_file(context, certificate_file.c_str()) != 1) {
    return file_error("certificate", certificate_file);
  }
  if (SSL_CTX_use_PrivateKey_file(context, key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    if (ERR_GET_REASON(ERR_peek_error()) != X509_R_KEY_VALUES_MISMATCH) {
      return file_error("key", key_file);
    }
    ERR_clear_error();
    return invalid_argument("the key in " + escape_control(key_file) +
                                " is not that of the certificate in " +
                                escape_control(certificate_file),
                            "the first certificate in the file must be the server's own");
  }
  return loaded;
}

TlsContext::~TlsContext() { SSL_CTX_free(context_); }

TlsSession::TlsSession(std::shared_ptr<const TlsContext> context)
    : context_(std::move(context)), session_(SSL_new(context_->context_)) {
  PARING_CHECK(session_ != nullptr, "OpenSSL has no session for us");
  SSL_set_bio(session_, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  SSL_set_accept_state(session_);
}

TlsSession::~TlsSession() { SSL_free(session_); }

void TlsSession::take_wire(std::string* wire) {
  BIO* out = SSL_get_wbio(session_);
  const std::size_t bytes = BIO_ctrl_pending(out);
  if (bytes == 0) return;
  const std::size_t begin = wire->size();
  wire->resize(begin + bytes);
  std::size_t taken = 0;
  BIO_read_ex(out, wire->data() + begin, bytes, &taken);
  wire->resize(begin + taken);
}

TlsSession::State TlsSession::receive(std::string_view encrypted, std::string* plain,
                                      std::string* wire) {
  if (has_failed_) return State::kFailed;
  ERR_clear_error();
  std::size_t written = 0;
  if (!encrypted.empty()) {
    BIO_write_ex(SSL_get_rbio(session_), encrypted.data(), encrypted.size(), &written);
  }
  std::array<char, 16384> piece;  // the largest record
  State state = State::kOpen;
  while (true) {
    std::size_t bytes = 0;
    if (SSL_read_ex(session_, piece.data(), piece.size(), &bytes) == 1) {
      plain->append(piece.data(), bytes);
      continue;
    }
    const int why = SSL_get_error(session_, 0);
    if (why == SSL_ERROR_ZERO_RETURN) state = State::kEnded;
    if (why != SSL_ERROR_ZERO_RETURN && why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) {
      state = State::kFailed;
      has_failed_ = true;
    }
    break;
  }
  ERR_clear_error();
  take_wire(wire);
  return state;
}

bool TlsSession::send(std::string_view plain, std::string* wire) {
  if (has_failed_) return false;
  ERR_clear_error();
  std::size_t written = 0;
  while (!plain.empty()) {
    if (SSL_write_ex(session_, plain.data(), plain.size(), &written) != 1) {
      has_failed_ = true;
      ERR_clear_error();
      return false;
    }
    plain.remove_prefix(written);
  }
  take_wire(wire);
  return true;
}

void TlsSession::end(std::string* wire) {
  if (has_failed_ || SSL_in_init(session_) != 0) return;
  SSL_shutdown(session_);
  ERR_clear_error();
  take_wire(wire);
}

}  // namespace paring::net::detail
