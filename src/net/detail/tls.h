// SPDX-License-Identifier: Apache-2.0
// TLS of a connection (OpenSSL) without sockets: encrypted bytes in, plain
// bytes out, and the other way round.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

struct ssl_ctx_st;
struct ssl_st;

namespace paring::net::detail {

// Certificate, key and what is allowed: TLS 1.2 and newer, no renegotiation,
// HTTP/1.1 by ALPN. Immutable, shared by connections.
class TlsContext {
 public:
  // PEM files; the first may hold the chain. NotFound, InvalidArgument (not
  // PEM, encrypted key, a key of another certificate).
  static Result<std::shared_ptr<const TlsContext>> load(const std::string& certificate_file,
                                                        const std::string& key_file);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

 private:
  friend class TlsSession;
  explicit TlsContext(ssl_ctx_st* context) : context_(context) {}
  ssl_ctx_st* context_;
};

// The server's side of one connection. Of one thread.
class TlsSession {
 public:
  explicit TlsSession(std::shared_ptr<const TlsContext> context);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  enum class State {
    kOpen,    // goes on; maybe still in the handshake
    kEnded,   // the client sends nothing more (close_notify)
    kFailed,  // not TLS as we want it; `wire` holds the alert
  };
  // Takes what the network brought. Appends what it says to `plain`, and what
  // must be sent to `wire`.
  State receive(std::string_view encrypted, std::string* plain, std::string* wire);
  // Encrypts. False when the session has failed. REQUIRES: the handshake is
  // done, which it is once receive() has given plain bytes.
  bool send(std::string_view plain, std::string* wire);
  // Says that nothing more will be sent (close_notify).
  void end(std::string* wire);

 private:
  void take_wire(std::string* wire);

  std::shared_ptr<const TlsContext> context_;
  ssl_st* session_;
  bool has_failed_ = false;
};

}  // namespace paring::net::detail
