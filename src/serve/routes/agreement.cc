// SPDX-License-Identifier: Apache-2.0
// /v1/scores/agreement: how far a judge agrees with people, of the caller's tenant.
#include "serve/wire/agreement.h"

#include "improve/agreement.h"
#include "serve/batch/storage_failure.h"
#include "serve/routes/handlers.h"
#include "serve/server.h"
#include "store/scores.h"

namespace paring::serve {

namespace {

ApiError agreement_error(const Error& error) {
  if (error.code == ErrorCode::kInvalidArgument) {
    return {400, "invalid_value", error.text(), "judge"};
  }
  return storage_failure("scores", error);
}

}  // namespace

void serve_agreement(Server& server, const Call& call) {
  const store::ControlDb* const control = server.control(call);
  if (control == nullptr) return;
  const auto read = wire::read_agreement(call.exchange->head().query, server.rules());
  if (!read) return server.refuse(call, read.error());
  const auto pairs = improve::rating_pairs_of_subjects(
      store::Scores(*control), call.principal.tenant, read->judge, read->human, read->most);
  if (!pairs) return server.refuse(call, agreement_error(pairs.error()));
  const auto agreement = improve::agreement_of(pairs->pairs);
  if (!agreement) return server.refuse(call, agreement_error(agreement.error()));
  server.respond(call, 200, "application/json", wire::agreement_answer(*pairs, *agreement));
}

}  // namespace paring::serve
