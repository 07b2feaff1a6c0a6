// SPDX-License-Identifier: Apache-2.0
// TLS, against OpenSSL's own client; and who asks, behind proxies.
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "net/detail/address_list.h"
#include "net/server_for_test.h"

namespace paring::net {
namespace {

constexpr const char* kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr const char* kLastGet = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

template <typename T, void (*free)(T*)>
struct Free {
  void operator()(T* object) const { free(object); }
};
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY, EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Free<X509, X509_free>>;
using Context = std::unique_ptr<SSL_CTX, Free<SSL_CTX, SSL_CTX_free>>;
using Session = std::unique_ptr<SSL, Free<SSL, SSL_free>>;
using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

// A key and a certificate that it signed itself, as files of a folder that goes with it.
class TlsFiles {
 public:
  TlsFiles() {
    static std::atomic<int> count = 0;
    folder_ = std::filesystem::temp_directory_path() /
              ("paring-tls-" + std::to_string(::getpid()) + "-" + std::to_string(++count));
    std::filesystem::create_directory(folder_);
    write("first");
  }
  ~TlsFiles() { std::filesystem::remove_all(folder_); }

  // New ones under the same names.
  void write(const std::string& name) const {
    const Key key(EVP_EC_gen("P-256"));
    const Certificate certificate(X509_new());
    ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
    X509_set_pubkey(certificate.get(), key.get());
    X509_NAME* subject = X509_get_subject_name(certificate.get());
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    X509_set_issuer_name(certificate.get(), subject);
    X509_sign(certificate.get(), key.get(), EVP_sha256());
    const File key_file(std::fopen(this->key().c_str(), "w"), std::fclose);
    PEM_write_PrivateKey(key_file.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    const File file(std::fopen(this->certificate().c_str(), "w"), std::fclose);
    PEM_write_X509(file.get(), certificate.get());
  }
  std::string key() const { return folder_ / "key.pem"; }
  std::string certificate() const { return folder_ / "certificate.pem"; }
  HttpServerOptions options() const {
    HttpServerOptions made;
    made.tls_certificate_file = certificate();
    made.tls_key_file = key();
    return made;
  }

 private:
  std::filesystem::path folder_;
};

struct TlsWishes {
  int version_max = 0;      // 0: any
  std::string protocols{};  // ALPN, in wire format
};

class TlsClient {
 public:
  explicit TlsClient(std::uint16_t port, const TlsWishes& wishes = {})
      : plain_(port), context_(SSL_CTX_new(TLS_client_method())), session_(nullptr) {
    if (wishes.version_max != 0) {
      SSL_CTX_set_security_level(context_.get(), 0);  // OpenSSL itself would refuse old versions
      SSL_CTX_set_min_proto_version(context_.get(), 0);
      SSL_CTX_set_max_proto_version(context_.get(), wishes.version_max);
    }
    session_.reset(SSL_new(context_.get()));
    if (!wishes.protocols.empty()) {
      SSL_set_alpn_protos(session_.get(),
                          reinterpret_cast<const unsigned char*>(wishes.protocols.data()),
                          static_cast<unsigned>(wishes.protocols.size()));
    }
    SSL_set_fd(session_.get(), plain_.descriptor());
    is_connected_ = SSL_connect(session_.get()) == 1;
    ERR_clear_error();
  }
  bool is_connected() const { return is_connected_; }
  void send(std::string_view bytes) const {
    SSL_write(session_.get(), bytes.data(), static_cast<int>(bytes.size()));
  }
  std::string read_some() const {
    std::string piece(65536, '\0');
    const int bytes = SSL_read(session_.get(), piece.data(), static_cast<int>(piece.size()));
    piece.resize(bytes > 0 ? static_cast<std::size_t>(bytes) : 0);
    return piece;
  }
  std::string read_all() const {
    std::string all;
    for (std::string piece = read_some(); !piece.empty(); piece = read_some()) all += piece;
    return all;
  }
  // Whether the server said that it would send nothing more.
  bool has_ended_properly() const {
    return (SSL_get_shutdown(session_.get()) & SSL_RECEIVED_SHUTDOWN) != 0;
  }
  void end_sending() const { SSL_shutdown(session_.get()); }
  void leave() {
    SSL_shutdown(session_.get());
    plain_.close();
  }
  void vanish() { plain_.close(); }
  std::string version() const { return SSL_get_version(session_.get()); }
  std::string protocol() const {
    const unsigned char* name = nullptr;
    unsigned bytes = 0;
    SSL_get0_alpn_selected(session_.get(), &name, &bytes);
    return {reinterpret_cast<const char*>(name), bytes};
  }
  std::string certificate_name() const {
    const Certificate certificate(SSL_get1_peer_certificate(session_.get()));
    std::string name(64, '\0');
    const int bytes = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate.get()),
                                                NID_commonName, name.data(), 64);
    name.resize(static_cast<std::size_t>(bytes));
    return name;
  }

 private:
  TestClient plain_;
  Context context_;
  Session session_;
  bool is_connected_ = false;
};

TEST(HttpTls, ServesRequestsInBothVersions) {
  const TlsFiles files;
  TestServer server(files.options());
  EXPECT_TRUE(server->url().starts_with("https://127.0.0.1:"));
  std::atomic<bool> was_tls = false;
  server.handler.on_exchange = [&](const std::shared_ptr<Exchange>& exchange) {
    was_tls = exchange->head().is_tls;
    exchange->respond({.body = exchange->body()});
  };
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const TlsClient client(server.port(), {.version_max = version});
    ASSERT_TRUE(client.is_connected());
    for (int i = 0; i < 2; ++i) {
      client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
      EXPECT_TRUE(client.read_some().ends_with("\r\n\r\nhello"));
    }
    client.send(kLastGet);
    EXPECT_TRUE(client.read_all().starts_with("HTTP/1.1 200 OK\r\n"));
    EXPECT_TRUE(client.has_ended_properly());
    EXPECT_TRUE(was_tls);
  }
}

TEST(HttpTls, OldVersionsAndForeignProtocolsAreRefused) {
  const TlsFiles files;
  TestServer server(files.options());
  EXPECT_FALSE(TlsClient(server.port(), {.version_max = TLS1_VERSION}).is_connected());
  EXPECT_FALSE(TlsClient(server.port(), {.version_max = TLS1_1_VERSION}).is_connected());
  EXPECT_FALSE(TlsClient(server.port(), {.protocols = "\x02h2"}).is_connected());
  const TlsClient both(server.port(), {.protocols = "\x02h2\x08http/1.1"});
  EXPECT_TRUE(both.is_connected());
  EXPECT_EQ(both.protocol(), "http/1.1");
  EXPECT_TRUE(server.becomes([&] { return server->open_connections() == 1; }));
}

TEST(HttpTls, LargeBodiesGoBothWays) {
  const TlsFiles files;
  TestServer server(files.options());
  std::string body(1000000, 'x');
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>('a' + i % 23);
  const TlsClient client(server.port());
  client.send("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1000000\r\n\r\n" +
              body);
  EXPECT_TRUE(client.read_all().ends_with("\r\n\r\n" + body));
}

TEST(HttpTls, StreamsArriveAsTheyAreWritten) {
  const TlsFiles files;
  TestServer server(files.options());
  Signal first_read;
  server.handler.on_exchange = [&](const std::shared_ptr<Exchange>& exchange) {
    exchange->begin_stream(200, "text/plain");
    exchange->write("one");
    EXPECT_TRUE(first_read.wait());
    exchange->write("two");
    exchange->end_stream();
  };
  const TlsClient client(server.port());
  client.send(kGet);
  std::string answer;
  while (answer.find("3\r\none\r\n") == std::string::npos) {
    const std::string piece = client.read_some();
    ASSERT_FALSE(piece.empty());
    answer += piece;
  }
  first_read.set();
  while (!answer.ends_with("3\r\ntwo\r\n0\r\n\r\n")) {
    const std::string piece = client.read_some();
    ASSERT_FALSE(piece.empty()) << answer;
    answer += piece;
  }
}

TEST(HttpTls, AClientThatLeavesIsNoticedAndOneThatOnlyStopsSendingIsAnswered) {
  const TlsFiles files;
  TestServer server(files.options());
  std::atomic<int> gone = 0;
  std::atomic<int> begun = 0;
  std::vector<std::shared_ptr<Exchange>> kept;
  server.handler.on_exchange = [&](const std::shared_ptr<Exchange>& exchange) {
    kept.push_back(exchange);
    exchange->on_gone([&] { ++gone; });
    ++begun;
  };
  TlsClient polite(server.port());
  polite.send(kGet);
  ASSERT_TRUE(server.becomes([&] { return begun == 1; }));
  polite.leave();
  EXPECT_TRUE(server.becomes([&] { return gone == 1; }));
  TlsClient rude(server.port());
  rude.send(kGet);
  ASSERT_TRUE(server.becomes([&] { return begun == 2; }));
  rude.vanish();
  EXPECT_TRUE(server.becomes([&] { return gone == 2; }));
  const TlsClient listening(server.port());
  listening.send(kGet);
  ASSERT_TRUE(server.becomes([&] { return begun == 3; }));
  listening.end_sending();
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  EXPECT_TRUE(kept[2]->respond({.content_type = "text/plain", .body = "late"}));
  const std::string answer = listening.read_all();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
  EXPECT_TRUE(answer.ends_with("\r\n\r\nlate")) << answer;
  EXPECT_EQ(gone, 2);
  EXPECT_TRUE(server.becomes([&] { return server->open_connections() == 0; }));
}

TEST(HttpTls, PlainHttpIsToldToUseTls) {
  const TlsFiles files;
  TestServer server(files.options());
  TestClient client(server.port());
  client.send(kGet);
  const TestResponse response = client.read_response();
  EXPECT_EQ(response.status, 400);
  EXPECT_TRUE(response.body.starts_with("tls_required: ")) << response.body;
}

TEST(HttpTls, NonsenseAndHalfAHandshakeEndTheConnection) {
  const TlsFiles files;
  HttpServerOptions options = files.options();
  options.header_seconds = 0.2;
  TestServer server(options);
  TestClient nonsense(server.port());
  nonsense.send(std::string("\x16\x03\x01\x00\x05hello", 10));
  nonsense.read_all();
  EXPECT_TRUE(nonsense.ended());
  TestClient half(server.port());
  half.send(std::string("\x16\x03\x01\x02\x00\x01", 6));
  half.read_all();
  EXPECT_TRUE(half.ended());
}

TEST(HttpTls, NewFilesAreForNewConnections) {
  const TlsFiles files;
  TestServer server(files.options());
  const TlsClient before(server.port());
  EXPECT_EQ(before.certificate_name(), "first");
  files.write("second");
  EXPECT_EQ(TlsClient(server.port()).certificate_name(), "first");
  ASSERT_TRUE(server->reload_tls());
  EXPECT_EQ(TlsClient(server.port()).certificate_name(), "second");
  before.send(kGet);
  EXPECT_TRUE(before.read_some().starts_with("HTTP/1.1 200"));
  std::filesystem::remove(files.key());
  EXPECT_FALSE(server->reload_tls());
  EXPECT_EQ(TlsClient(server.port()).certificate_name(), "second");
}

TEST(HttpTls, FilesThatDoNotFitAreErrors) {
  const TlsFiles files;
  const TlsFiles others;
  TestHandler handler;
  const auto error_of = [&](const std::string& certificate, const std::string& key) {
    HttpServerOptions options;
    options.tls_certificate_file = certificate;
    options.tls_key_file = key;
    const auto started = HttpServer::start(options, handler);
    return started ? Error{} : started.error();
  };
  EXPECT_EQ(error_of(files.certificate(), "").code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_of(files.certificate() + ".no", files.key()).code, ErrorCode::kNotFound);
  EXPECT_EQ(error_of(files.certificate(), files.key() + ".no").code, ErrorCode::kNotFound);
  EXPECT_EQ(error_of(files.key(), files.key()).code, ErrorCode::kInvalidArgument);
  const Error foreign = error_of(files.certificate(), others.key());
  EXPECT_EQ(foreign.code, ErrorCode::kInvalidArgument);
  EXPECT_NE(foreign.message.find("is not that of the certificate"), std::string::npos)
      << foreign.message;
  TestServer plain;
  EXPECT_EQ(plain->reload_tls().error().code, ErrorCode::kInvalidArgument);
}

TEST(HttpLimits, OneConnectionTooManyEndsAnIdleOneOrIsTurnedAway) {
  HttpServerOptions options;
  options.connections_max = 2;
  TestServer server(options);
  std::vector<std::shared_ptr<Exchange>> kept;
  std::atomic<int> begun = 0;
  server.handler.on_exchange = [&](const std::shared_ptr<Exchange>& exchange) {
    if (exchange->head().path == "/now") return void(exchange->respond({}));
    kept.push_back(exchange);
    ++begun;
  };
  TestClient busy(server.port());
  busy.send(kGet);
  ASSERT_TRUE(server.becomes([&] { return begun == 1; }));
  TestClient idle(server.port());
  idle.send("GET /now HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(idle.read_response().status, 200);
  TestClient second(server.port());
  second.send(kGet);
  ASSERT_TRUE(server.becomes([&] { return begun == 2; }));
  EXPECT_EQ(idle.read_all(), "");
  EXPECT_TRUE(idle.ended());
  TestClient third(server.port());
  third.send(kGet);
  const TestResponse response = third.read_response();
  EXPECT_EQ(response.status, 503);
  EXPECT_TRUE(response.headers.contains("retry-after"));
  for (const auto& exchange : kept) exchange->respond({.body = "done"});
  EXPECT_EQ(busy.read_response().body, "done");
  EXPECT_EQ(second.read_response().body, "done");
}

TEST(HttpLimits, ConnectionsOfOneAddressAreBounded) {
  HttpServerOptions options;
  options.connections_per_address_max = 2;
  TestServer server(options);
  TestClient first(server.port());
  TestClient second(server.port());
  ASSERT_TRUE(server.becomes([&] { return server->open_connections() == 2; }));
  TestClient third(server.port());
  EXPECT_EQ(third.read_response().status, 429);
  first.close();
  ASSERT_TRUE(server.becomes([&] { return server->open_connections() == 1; }));
  TestClient fourth(server.port());
  fourth.send(kGet);
  EXPECT_EQ(fourth.read_response().status, 200);
}

TEST(HttpLimits, AConnectionEndsAfterItsLastRequest) {
  HttpServerOptions options;
  options.requests_per_connection_max = 2;
  TestServer server(options);
  TestClient client(server.port());
  client.send(kGet);
  EXPECT_FALSE(client.read_response().headers.contains("connection"));
  client.send(kGet);
  EXPECT_EQ(client.read_response().headers.at("connection"), "close");
  EXPECT_EQ(client.read_all(), "");
  EXPECT_TRUE(client.ended());
}

TEST(HttpProxies, AreBelievedWhenTheyAreTrusted) {
  const auto seen_by = [](const std::vector<std::string>& trusted, const std::string& header) {
    HttpServerOptions options;
    options.trusted_proxies = trusted;
    TestServer server(options);
    std::string seen;
    server.handler.on_exchange = [&](const std::shared_ptr<Exchange>& exchange) {
      seen = exchange->head().remote_address;
      exchange->respond({});
    };
    server.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Forwarded-For: " + header +
               "\r\n\r\n");
    return seen;
  };
  EXPECT_EQ(seen_by({}, "1.2.3.4"), "127.0.0.1");
  EXPECT_EQ(seen_by({"10.0.0.0/8"}, "1.2.3.4"), "127.0.0.1");
  EXPECT_EQ(seen_by({"127.0.0.1"}, "1.2.3.4"), "1.2.3.4");
  EXPECT_EQ(seen_by({"127.0.0.0/8", "10.0.0.0/8"}, "6.6.6.6, 1.2.3.4, 10.1.1.1"), "1.2.3.4");
  EXPECT_EQ(seen_by({"127.0.0.1"}, "1.2.3.4, nonsense"), "127.0.0.1");
  // The client's own line first, then that of a proxy which adds another.
  EXPECT_EQ(seen_by({"127.0.0.1"}, "6.6.6.6\r\nX-Forwarded-For: 1.2.3.4"), "1.2.3.4");
  EXPECT_EQ(seen_by({"127.0.0.1"}, ""), "127.0.0.1");
}

TEST(AddressList, KnowsNetworks) {
  const auto list = detail::AddressList::parse({"10.128.0.0/9", "fd00::/8", "192.0.2.7"});
  ASSERT_TRUE(list);
  for (const char* in :
       {"10.128.0.1", "10.255.255.255", "fd12::1", "192.0.2.7", "::ffff:192.0.2.7"}) {
    EXPECT_TRUE(list->contains(in)) << in;
  }
  for (const char* out : {"10.127.0.1", "11.0.0.1", "fe00::1", "192.0.2.8", "unix", "x", ""}) {
    EXPECT_FALSE(list->contains(out)) << out;
  }
  for (const char* bad :
       {"", "x", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/x", "fd00::/129", "1.2.3"}) {
    EXPECT_FALSE(detail::AddressList::parse({bad})) << bad;
  }
}

}  // namespace
}  // namespace paring::net
