// SPDX-License-Identifier: Apache-2.0
// Keys from their making to a Principal: api_key, key_admin, key_file, key_ring, scopes, auditor.
#include <cmath>
#include <fstream>
#include <set>
#include <thread>

#include "serve/access/api_key.h"
#include "serve/access/auditor.h"
#include "serve/access/key_admin.h"
#include "serve/access/key_file.h"
#include "serve/access/key_ring.h"
#include "serve/access/refusal.h"
#include "store/audit.h"
#include "store/control_db_for_test.h"

namespace paring::serve {
namespace {

constexpr double kNow = 1'700'000'000;

TEST(ApiKey, EveryOneIsDifferentAndFound) {
  std::set<std::string> seen;
  for (int i = 0; i < 200; ++i) {
    const Result<ApiKey> key = make_api_key();
    ASSERT_TRUE(key.has_value());
    EXPECT_EQ(key->text.size(), 53U);
    EXPECT_EQ(api_key_lookup(key->text), key->lookup);
    EXPECT_EQ(api_key_hash(key->text), key->hash);
    EXPECT_TRUE(seen.insert(key->lookup).second);
  }
}

TEST(ApiKey, AMistypedLetterIsNoticedWithoutALookup) {
  const std::string text = make_api_key()->text;
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string wrong = text;
    wrong[i] = wrong[i] == 'x' ? 'y' : 'x';
    EXPECT_EQ(api_key_lookup(wrong), "") << i;
  }
  EXPECT_EQ(api_key_lookup(text + "0"), "");
  EXPECT_EQ(api_key_lookup(text.substr(1)), "");
  EXPECT_EQ(api_key_lookup(""), "");
  EXPECT_EQ(api_key_lookup(std::string(53, '\0')), "");
}

TEST(ApiKey, LettersAreEvenlyUsed) {
  std::array<int, 256> counts{};
  const std::string letters = *random_letters(62 * 1000);
  for (const char c : letters) ++counts[static_cast<unsigned char>(c)];
  int used = 0;
  for (const int count : counts) {
    if (count == 0) continue;
    ++used;
    EXPECT_GT(count, 800);  // 1000 expected, standard deviation 31
    EXPECT_LT(count, 1200);
  }
  EXPECT_EQ(used, 62);
}

TEST(Scopes, NamesGoThereAndBack) {
  EXPECT_EQ(parse_scopes("metrics,inference")->text(), "inference,metrics");
  EXPECT_TRUE(*parse_scopes(all_scopes().text()) == all_scopes());
  EXPECT_FALSE(default_scopes().has(Scope::kAdmin));
  for (const char* wrong : {"", ",", "inference,", "Inference", "root", "inference admin"}) {
    EXPECT_EQ(parse_scopes(wrong).error().code, ErrorCode::kInvalidArgument) << wrong;
  }
}

TEST(PresentedKey, BothHeadersAreReadAndDoubtIsRefused) {
  EXPECT_EQ(*presented_key("Bearer abc", std::nullopt), "abc");
  EXPECT_EQ(*presented_key("bearer  abc ", std::nullopt), "abc");
  EXPECT_EQ(*presented_key(std::nullopt, "abc"), "abc");
  EXPECT_EQ(*presented_key("Bearer abc", "abc"), "abc");
  EXPECT_EQ(*presented_key(std::nullopt, std::nullopt), "");
  EXPECT_EQ(presented_key("Bearer abc", "abd").error().status, 401);
  EXPECT_EQ(presented_key("Basic abc", std::nullopt).error().status, 401);
  EXPECT_EQ(presented_key("Basic YWJj", std::nullopt).error().status, 401);  // no colon
  EXPECT_EQ(*presented_key("Basic bmFtZTphYmM6ZA==", std::nullopt), "abc:d");
  EXPECT_EQ(presented_key("abc", std::nullopt).error().status, 401);
}

TEST(KeyFile, ReadsKeysWithTheirLimits) {
  const auto keys = parse_key_file(
      "# a comment\n\n"
      "sk-0123456789abcdef name=ci scopes=inference,metrics tenant=team rpm=60 tpm=1000 "
      "concurrent=4 weight=7\r\n"
      "  another-key-of-16-letters\n",
      "keys.txt");
  ASSERT_TRUE(keys.has_value()) << keys.error().text();
  ASSERT_EQ(keys->size(), 2U);
  const Principal& ci = keys->front().principal;
  EXPECT_EQ(ci.key_id, "file:ci");
  EXPECT_EQ(ci.tenant, "team");
  EXPECT_EQ(ci.scopes.text(), "inference,metrics");
  EXPECT_EQ(ci.limits.requests_per_minute, 60);
  EXPECT_EQ(ci.limits.tokens_per_minute, 1000);
  EXPECT_EQ(ci.limits.concurrent_requests, 4);
  EXPECT_EQ(ci.limits.weight, 7);
  EXPECT_EQ((*keys)[1].principal.name, "line-4");
  EXPECT_TRUE((*keys)[1].principal.scopes == default_scopes());
}

TEST(KeyFile, WhatIsWrongIsToldByLineNeverByKey) {
  const std::string secret = "very-secret-0123456789";
  for (const std::string& text :
       {std::string("tooshort"), secret + " rpm=0", secret + " rpm=x", secret + " colour=red",
        secret + " name=", secret + " stray", secret + " scopes=root", secret + "\x01",
        secret + " weight=99999999", std::string(513, 'x'), secret + "\n" + secret + " name=b",
        secret + " name=a\nother-" + secret + " name=a"}) {
    const auto keys = parse_key_file(text, "keys.txt");
    ASSERT_FALSE(keys.has_value()) << text;
    EXPECT_EQ(keys.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(keys.error().message.find("keys.txt, line "), std::string::npos);
    EXPECT_EQ(keys.error().text().find(secret), std::string::npos) << keys.error().text();
  }
}

TEST(KeyFile, TheEnvironmentHoldsOneMore) {
  EXPECT_TRUE(operator_keys("none", nullptr)->empty());
  EXPECT_TRUE(operator_keys("none", "")->empty());
  // A single operator may do everything, unless the letters say otherwise.
  EXPECT_EQ(operator_keys("none", "0123456789abcdef")->front().principal.scopes, all_scopes());
  const auto keys = operator_keys("none", "0123456789abcdef scopes=admin");
  ASSERT_TRUE(keys.has_value());
  EXPECT_EQ(keys->front().principal.key_id, "file:environment");
  EXPECT_EQ(keys->front().principal.scopes.text(), "admin");
  EXPECT_EQ(operator_keys("none", "short").error().message.find("PARING_API_KEY: "), 0U);
  EXPECT_EQ(operator_keys("/nowhere/keys", nullptr).error().code, ErrorCode::kNotFound);
}

class KeysTest : public store::ControlDbTest {
 protected:
  KeySpec spec(const std::string& name = "test") {
    KeySpec spec;
    spec.name = name;
    return spec;
  }
  FakeClock clock_{kNow};
};

TEST_F(KeysTest, AKeyIsMadeShownOnceAndKnown) {
  const store::ControlDb control = open();
  const KeyAdmin admin(control, "cli", clock_);
  KeySpec wanted = spec();
  wanted.tenant = "team";
  wanted.scopes = *parse_scopes("inference,admin");
  wanted.limits.weight = 300;
  const auto created = admin.create(wanted);
  ASSERT_TRUE(created.has_value());
  KeyRing ring(&control, {}, KeyRing::WithoutKey::kRefuse, clock_);
  auto principal = ring.authenticate(created->text);
  ASSERT_TRUE(principal) << principal.error().message;
  EXPECT_EQ(principal->key_id, created->row.id);
  EXPECT_EQ(principal->tenant, "team");
  EXPECT_EQ(principal->limits.weight, 300);
  EXPECT_FALSE(check_scope(*principal, Scope::kAdmin).has_value());
  const auto refused = check_scope(*principal, Scope::kBatches);
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->status, 403);
  // The database does not hold it, in no file of the folder.
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    EXPECT_EQ(bytes.find(created->text), std::string::npos) << entry.path();
    EXPECT_EQ(bytes.find(created->text.substr(15)), std::string::npos) << entry.path();
  }
}

TEST_F(KeysTest, WrongUnknownRevokedAndExpiredKeysAre401) {
  const store::ControlDb control = open();
  const KeyAdmin admin(control, "cli", clock_);
  const auto revoked = admin.create(spec("a"));
  KeySpec short_lived = spec("b");
  short_lived.lifetime_seconds = 100;
  const auto expiring = admin.create(short_lived);
  KeyRing ring(&control, {}, KeyRing::WithoutKey::kRefuse, clock_);
  EXPECT_TRUE(ring.authenticate(revoked->text));
  EXPECT_TRUE(ring.authenticate(expiring->text));
  EXPECT_TRUE(*admin.revoke(revoked->row.id));
  clock_.advance(101);
  EXPECT_EQ(ring.authenticate(revoked->text).error().status, 401);
  EXPECT_EQ(ring.authenticate(expiring->text).error().status, 401);
  EXPECT_EQ(ring.authenticate("").error().code, "missing_api_key");
  // Unknown, mistyped, or known with another secret: one text.
  const std::string unknown = make_api_key()->text;
  EXPECT_EQ(ring.authenticate(unknown).error().message, ring.authenticate("x").error().message);
  store::KeyRow other = expiring->row;
  other.id = "key_other";
  other.lookup = std::string(api_key_lookup(unknown));
  other.expires_s = std::nullopt;
  ASSERT_TRUE(store::Keys(control).insert(other).has_value());
  EXPECT_EQ(ring.authenticate(unknown).error().message, ring.authenticate("x").error().message);
}

TEST_F(KeysTest, RevocationByAnotherProcessHoldsAtOnce) {
  std::string text;
  std::string id;
  {
    const store::ControlDb control = open();
    const auto created = KeyAdmin(control, "cli").create(spec());
    text = created->text;
    id = created->row.id;
  }
  int go[2];
  int done[2];
  ASSERT_EQ(::pipe(go), 0);
  ASSERT_EQ(::pipe(done), 0);
  const pid_t child = store::fork_for_test([&] {
    char wait = 0;
    if (::read(go[0], &wait, 1) != 1) return 1;
    const store::ControlDb control = open();
    const Result<bool> revoked = KeyAdmin(control, "cli").revoke(id);
    if (::write(done[1], "x", 1) != 1) return 2;
    return revoked && *revoked ? 0 : 3;
  });
  const store::ControlDb control = open();
  KeyRing ring(&control, {}, KeyRing::WithoutKey::kRefuse);
  EXPECT_TRUE(ring.authenticate(text));
  ASSERT_EQ(::write(go[1], "x", 1), 1);
  char wait = 0;
  ASSERT_EQ(::read(done[0], &wait, 1), 1);
  EXPECT_FALSE(ring.authenticate(text));
  EXPECT_EQ(store::wait_for_test(child), 0);
  for (const int end : {go[0], go[1], done[0], done[1]}) ::close(end);
}

TEST_F(KeysTest, KeysOfFilesNeedNoDatabase) {
  KeyRing ring(nullptr, *parse_key_file("0123456789abcdef name=ci", "f"),
               KeyRing::WithoutKey::kRefuse);
  EXPECT_EQ(ring.authenticate("0123456789abcdef")->key_id, "file:ci");
  EXPECT_EQ(ring.authenticate("0123456789abcdeg").error().status, 401);
  EXPECT_EQ(ring.authenticate(make_api_key()->text).error().status, 401);
  EXPECT_EQ(ring.authenticate("").error().status, 401);
}

TEST_F(KeysTest, OtherKeysHoldFromTheNextRequestOn) {
  KeyRing ring(nullptr, {}, KeyRing::WithoutKey::kAnonymous);
  EXPECT_EQ(ring.authenticate("")->key_id, "anonymous");
  ring.replace(*parse_key_file("0123456789abcdef name=ci", "f"), KeyRing::WithoutKey::kRefuse);
  EXPECT_EQ(ring.authenticate("").error().status, 401);
  EXPECT_EQ(ring.authenticate("0123456789abcdef")->key_id, "file:ci");
  ring.replace(*parse_key_file("fedcba9876543210 name=new", "f"), KeyRing::WithoutKey::kRefuse);
  EXPECT_EQ(ring.authenticate("0123456789abcdef").error().status, 401);
  EXPECT_EQ(ring.authenticate("fedcba9876543210")->key_id, "file:new");
}

TEST_F(KeysTest, WithoutAKeyOnlyWhereThatIsAllowed) {
  KeyRing ring(nullptr, {}, KeyRing::WithoutKey::kAnonymous);
  EXPECT_EQ(ring.authenticate("")->key_id, "anonymous");
  EXPECT_TRUE(check_scope(*ring.authenticate(""), Scope::kAdmin).has_value());
  EXPECT_TRUE(check_scope(*ring.authenticate("none"), Scope::kAdmin).has_value());
  EXPECT_EQ(ring.authenticate(make_api_key()->text)->key_id, "anonymous");  // there are no keys
}

TEST_F(KeysTest, FromTheFirstKeyOnOneIsNeeded) {
  const store::ControlDb control = open();
  KeyRing ring(&control, {}, KeyRing::WithoutKey::kAnonymous);
  EXPECT_EQ(ring.authenticate("")->key_id, "anonymous");
  EXPECT_EQ(ring.authenticate("none")->key_id, "anonymous");
  EXPECT_EQ(ring.authenticate(make_api_key()->text).error().status, 401);
  KeyAdmin admin(control, "cli");
  const auto created = admin.create(spec());
  EXPECT_EQ(ring.authenticate("").error().status, 401);
  EXPECT_EQ(ring.authenticate("none").error().status, 401);
  EXPECT_EQ(ring.authenticate(make_api_key()->text).error().status, 401);
  const auto principal = ring.authenticate(created->text);
  ASSERT_TRUE(principal);
  EXPECT_NE(principal->key_id, "anonymous");
  // Who revokes the last key does not open the server.
  ASSERT_TRUE(store::Keys(control).revoke(principal->key_id, 1));
  EXPECT_EQ(ring.authenticate("").error().status, 401);
}

TEST_F(KeysTest, ADatabaseThatFailsRefuses) {
  const store::ControlDb control = open();
  const auto created = KeyAdmin(control, "cli").create(spec());
  KeyRing ring(&control, {}, KeyRing::WithoutKey::kAnonymous);
  // Pages that are no pages any more, for this and every other connection.
  std::filesystem::resize_file(file(), 0);
  std::filesystem::resize_file(file() + "-wal", 0);
  testing::internal::CaptureStderr();
  auto principal = ring.authenticate(created->text);
  (void)testing::internal::GetCapturedStderr();
  ASSERT_FALSE(principal);
  EXPECT_TRUE(principal.error().status == 503 || principal.error().status == 401);
}

TEST_F(KeysTest, TheTimeOfUseIsKeptOnceAMinute) {
  const store::ControlDb control = open();
  const auto created = KeyAdmin(control, "cli", clock_).create(spec());
  KeyRing ring(&control, {}, KeyRing::WithoutKey::kRefuse, clock_);
  const auto last_used = [&] {
    return *(*store::Keys(control).find(created->row.id))->last_used_s;
  };
  (void)ring.authenticate(created->text);
  EXPECT_EQ(last_used(), 1'700'000'000);
  clock_.advance(30);
  (void)ring.authenticate(created->text);
  EXPECT_EQ(last_used(), 1'700'000'000);
  clock_.advance(31);
  (void)ring.authenticate(created->text);
  EXPECT_EQ(last_used(), 1'700'000'061);
}

TEST_F(KeysTest, KeysAreFoundByIdNameAndFirstLetters) {
  const store::ControlDb control = open();
  const KeyAdmin admin(control, "cli", clock_);
  const auto a = admin.create(spec("alice"));
  const auto b = admin.create(spec("bob"));
  const auto taken = admin.create(spec("bob"));
  EXPECT_NE(taken.error().text().find(b->row.id), std::string::npos);
  ASSERT_TRUE(admin.revoke(b->row.id));
  const auto b2 = admin.create(spec("bob"));
  EXPECT_EQ(admin.find("alice")->id, a->row.id);
  EXPECT_EQ(admin.find(b->row.id)->id, b->row.id);
  EXPECT_EQ(admin.find("pk-" + b2->row.lookup)->id, b2->row.id);
  EXPECT_EQ(admin.find(a->text)->id, a->row.id);
  EXPECT_EQ(admin.find("bob")->id, b2->row.id);
  ASSERT_TRUE(admin.revoke(b2->row.id));
  EXPECT_EQ(admin.find("bob").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(admin.find("carol").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(admin.find("").error().code, ErrorCode::kNotFound);
}

TEST_F(KeysTest, SpecsOutOfBoundsAreRefused) {
  const store::ControlDb control = open();
  const KeyAdmin admin(control, "cli", clock_);
  const auto code = [&](auto&& change) {
    KeySpec wrong = spec();
    change(wrong);
    const auto created = admin.create(wrong);
    return created ? ErrorCode::kInternal : created.error().code;
  };
  const auto invalid = ErrorCode::kInvalidArgument;
  EXPECT_EQ(code([](KeySpec& s) { s.name = ""; }), invalid);
  EXPECT_EQ(code([](KeySpec& s) { s.name = std::string(65, 'x'); }), invalid);
  EXPECT_EQ(code([](KeySpec& s) { s.name = "a\nb"; }), invalid);
  EXPECT_EQ(code([](KeySpec& s) { s.tenant = "../x"; }), invalid);
  EXPECT_EQ(code([](KeySpec& s) { s.scopes = {}; }), invalid);
  EXPECT_EQ(code([](KeySpec& s) { s.lifetime_seconds = 0; }), invalid);
  EXPECT_EQ(code([](KeySpec& s) { s.lifetime_seconds = std::nan(""); }), invalid);
  EXPECT_EQ(code([](KeySpec& s) { s.limits.requests_per_minute = 0; }), invalid);
  EXPECT_EQ(code([](KeySpec& s) { s.limits.weight = -1; }), invalid);
  EXPECT_EQ(code([](KeySpec& s) { s.limits.budgets = {{store::BudgetPeriod::kDay, -5}}; }),
            invalid);
  EXPECT_EQ(code([](KeySpec& s) {
              s.limits.budgets = {{store::BudgetPeriod::kDay, 5}, {store::BudgetPeriod::kDay, 6}};
            }),
            invalid);
  EXPECT_TRUE(admin.list()->empty());
}

TEST_F(KeysTest, WhatIsDoneIsInTheAuditLogWithoutSecrets) {
  const store::ControlDb control = open();
  const KeyAdmin admin(control, "cli", clock_);
  const auto created = admin.create(spec());
  (void)admin.revoke(created->row.id);
  Auditor auditor(control, clock_);
  ASSERT_TRUE(auditor.action({"key_x", "model.load", "m", "ok", "with " + created->text}));
  ASSERT_TRUE(auditor.takes_refusal());
  auditor.refusal({"10.0.0.1", "POST /v1/files", "", "invalid_api_key", std::string(5000, 'y')});
  const auto rows = store::AuditLog(control).read(0, 100);
  ASSERT_EQ(rows->size(), 4U);
  EXPECT_EQ((*rows)[0].action, "key.create");
  EXPECT_EQ((*rows)[0].object, created->row.id);
  EXPECT_EQ((*rows)[1].action, "key.revoke");
  EXPECT_EQ((*rows)[2].detail, "with [redacted]");
  EXPECT_LE((*rows)[3].detail.size(), 200U);
  for (const store::AuditRow& row : *rows) {
    EXPECT_EQ((row.detail + row.object + row.actor).find(created->text), std::string::npos);
  }
}

TEST_F(KeysTest, AFloodOfRefusalsIsCountedNotWritten) {
  const store::ControlDb control = open();
  Auditor auditor(control, clock_);
  for (int i = 0; i < 1000; ++i) {
    if (auditor.takes_refusal()) auditor.refusal({"10.0.0.1", "GET /", "", "invalid_api_key", ""});
  }
  EXPECT_EQ(store::AuditLog(control).read(0, 2000)->size(), 60U);
  clock_.advance(1);
  ASSERT_TRUE(auditor.takes_refusal());
  auditor.refusal({"10.0.0.1", "GET /", "", "invalid_api_key", "last"});
  const auto last = store::AuditLog(control).tail(1);
  EXPECT_EQ(last->front().detail, "last (940 refusals before were left out)");
  EXPECT_EQ(last->front().id, 61);
}

TEST(Refusal, RetryAfterIsWholeSeconds) {
  EXPECT_EQ(retry_after_header(0), 1);
  EXPECT_EQ(retry_after_header(1.01), 2);
  EXPECT_EQ(retry_after_header(3600), 3600);
  EXPECT_EQ(retry_after_header(1e300), 1'000'000'000);
}

}  // namespace
}  // namespace paring::serve
