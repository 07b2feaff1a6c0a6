// SPDX-License-Identifier: Apache-2.0
// What routes answer, as what becomes of a line; and how many lines run beside others' requests.
#include "serve/line_exchange.h"

#include <gtest/gtest.h>

#include <optional>

#include "serve/batch_service.h"

namespace paring::serve {
namespace {

class LineExchangeTest : public testing::Test {
 protected:
  std::optional<LineAnswer> answer_;  // first: a ticket that goes unfinished answers, too
  std::shared_ptr<LineTicket> ticket_ =
      std::make_shared<LineTicket>([this](LineAnswer answer) { answer_ = std::move(answer); });
  std::shared_ptr<LineExchange> exchange_ =
      std::make_shared<LineExchange>(LineRequest{.batch_id = "b",
                                                 .custom_id = "c",
                                                 .request_id = "batch_req_1",
                                                 .tenant = "t",
                                                 .key_id = "k",
                                                 .endpoint = "/v1/chat/completions",
                                                 .body = "{}"},
                                     ticket_);
};

TEST_F(LineExchangeTest, LooksLikeARequest) {
  EXPECT_EQ(exchange_->head().method, "POST");
  EXPECT_EQ(exchange_->head().path, "/v1/chat/completions");
  const std::vector<std::string> segments = {"v1", "chat", "completions"};
  EXPECT_EQ(exchange_->head().segments, segments);
  EXPECT_EQ(*exchange_->head().find("x-request-id"), "batch_req_1");
  EXPECT_EQ(exchange_->body(), "{}");
}

TEST_F(LineExchangeTest, AnAnswerIsKeptWithWhatItUsed) {
  exchange_->note_usage(
      {.prompt_tokens = 7, .cached_tokens = 4, .completion_tokens = 3, .reasoning_tokens = 2});
  EXPECT_TRUE(exchange_->respond({.status = 404, .body = "none"}));
  ASSERT_TRUE(answer_);
  EXPECT_EQ(answer_->kind, LineAnswer::Kind::kAnswered);
  EXPECT_EQ(answer_->status, 404);
  EXPECT_EQ(answer_->body, "none");
  EXPECT_EQ(answer_->usage.input_tokens, 7);
  EXPECT_EQ(answer_->usage.cached_tokens, 4);
  EXPECT_EQ(answer_->usage.output_tokens, 3);
  EXPECT_EQ(answer_->usage.reasoning_tokens, 2);
}

TEST_F(LineExchangeTest, ABusyServerIsNoAnswer) {
  exchange_->respond({.status = 503, .headers = {{"retry-after", "7"}}, .body = "busy"});
  ASSERT_TRUE(answer_);
  EXPECT_EQ(answer_->kind, LineAnswer::Kind::kTryAgain);
  EXPECT_EQ(answer_->retry_after_seconds, 7);
}

TEST_F(LineExchangeTest, ABudgetThatIsUsedUpIsAnAnswer) {
  exchange_->respond({.status = 429, .body = "no more"});
  ASSERT_TRUE(answer_);
  EXPECT_EQ(answer_->kind, LineAnswer::Kind::kAnswered);
  EXPECT_EQ(answer_->status, 429);
}

TEST_F(LineExchangeTest, ACancellationIsAClientThatLeft) {
  bool is_told = false;
  exchange_->on_gone([&] { is_told = true; });
  EXPECT_FALSE(exchange_->is_gone());
  ticket_->cancel();
  EXPECT_TRUE(is_told);
  EXPECT_TRUE(exchange_->is_gone());
  EXPECT_FALSE(exchange_->respond({.body = "cut short"}));
  ASSERT_TRUE(answer_);
  EXPECT_EQ(answer_->kind, LineAnswer::Kind::kCancelled);
}

TEST_F(LineExchangeTest, ALineIsNeverStreamedNorLeftWithoutAnswer) {
  EXPECT_FALSE(exchange_->begin_stream(200, "text/event-stream", {}));
  EXPECT_FALSE(exchange_->write("x"));
  ASSERT_TRUE(answer_);
  EXPECT_EQ(answer_->status, 500);
  answer_.reset();
  {
    const auto ticket =
        std::make_shared<LineTicket>([this](LineAnswer answer) { answer_ = std::move(answer); });
    LineRequest request;
    request.endpoint = "/v1/completions";
    const LineExchange dropped(request, ticket);
  }
  ASSERT_TRUE(answer_);
  EXPECT_EQ(answer_->status, 500);
}

TEST_F(LineExchangeTest, ACancelledLineThatNobodyAnswersIsCancelled) {
  ticket_->cancel();
  exchange_.reset();
  ticket_.reset();
  ASSERT_TRUE(answer_);
  EXPECT_EQ(answer_->kind, LineAnswer::Kind::kCancelled);
}

TEST(BatchService, LinesMakeRoomForRequests) {
  EXPECT_EQ(lines_beside(0, 16), 16U);
  EXPECT_EQ(lines_beside(1, 16), 12U);
  EXPECT_EQ(lines_beside(3, 16), 4U);
  EXPECT_EQ(lines_beside(4, 16), 1U);
  EXPECT_EQ(lines_beside(15, 16), 1U);
  EXPECT_EQ(lines_beside(16, 16), 0U);
  EXPECT_EQ(lines_beside(0, 0), 0U);
  EXPECT_EQ(lines_beside(1, 1), 0U);
}

}  // namespace
}  // namespace paring::serve
