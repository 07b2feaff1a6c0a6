// SPDX-License-Identifier: Apache-2.0
// /v1/files: uploads are written to the disk as they come, contents are read from it as they are
// sent, both on the thread of batches' files (BatchService::disk).
#include <algorithm>
#include <iterator>
#include <utility>

#include "base/log.h"
#include "serve/batch/batch_json.h"
#include "serve/batch/storage_failure.h"
#include "serve/batch/upload_form.h"
#include "serve/batch_service.h"
#include "serve/routes/handlers.h"
#include "serve/routes/json_answer.h"
#include "serve/server.h"
#include "serve/wire/openai_files.h"

namespace paring::serve {

namespace {

// One upload on its way. Its functions run on the disk's thread, one at a time.
class UploadTask : public std::enable_shared_from_this<UploadTask> {
 public:
  UploadTask(Server& server, TaskThread& disk, Call call, UploadForm form)
      : server_(server), disk_(disk), call_(std::move(call)), form_(std::move(form)) {}

  // Asks for the next piece of the body.
  void next() {
    call_.exchange->read_body([self = shared_from_this()](std::string piece) {
      self->disk_.post([self, piece = std::move(piece)] { self->take(piece); });
    });
  }
  // The client is gone: what was written goes, on the disk's thread.
  void abandon() {
    disk_.post([self = shared_from_this()] { self->form_.reset(); });
  }

 private:
  void take(const std::string& piece) {
    if (!form_) return;
    if (!piece.empty()) {
      const auto error = form_->append(piece);
      return error ? end(*error) : next();
    }
    ApiResult<store::FileRow> file = form_->finish();
    if (!file) return end(file.error());
    form_.reset();
    server_.respond(call_, 200, "application/json", file_json(*file));
  }
  void end(const ApiError& error) {
    form_.reset();
    server_.refuse(call_, error);
  }

  Server& server_;
  TaskThread& disk_;
  Call call_;
  std::optional<UploadForm> form_;
};

// A content on its way to a client: a piece is read when the one before it is sent.
class ContentTask : public std::enable_shared_from_this<ContentTask> {
 public:
  static constexpr std::size_t kPieceBytes = std::size_t{256} << 10;

  ContentTask(TaskThread& disk, std::shared_ptr<net::Exchange> exchange, FileContent content)
      : disk_(disk), exchange_(std::move(exchange)), content_(std::move(content)) {}

  void next() {
    disk_.post([self = shared_from_this()] { self->send(); });
  }

 private:
  void send() {
    if (offset_ == content_.bytes()) return exchange_->end_stream();
    Result<std::string> piece = content_.read(offset_, kPieceBytes);
    if (!piece) {
      log_error("a file cannot be sent: " + piece.error().text());
      return exchange_->cut();
    }
    offset_ += piece->size();
    if (!exchange_->write(std::move(*piece))) return;
    exchange_->on_sent([self = shared_from_this()] { self->next(); });
  }

  TaskThread& disk_;
  std::shared_ptr<net::Exchange> exchange_;
  FileContent content_;
  std::uint64_t offset_ = 0;
};

}  // namespace

void serve_file_create(Server& server, const Call& call) {
  BatchService* const service = server.batches(call);
  if (service == nullptr) return;
  ApiResult<UploadForm> form =
      UploadForm::begin(service->files(), call.principal.tenant,
                        call.exchange->head().find("content-type"), server.rules());
  if (!form) return server.refuse(call, form.error());
  const auto task = std::make_shared<UploadTask>(server, service->disk(), call, std::move(*form));
  call.exchange->on_gone([task] { task->abandon(); });
  task->next();
}

void serve_file_list(Server& server, const Call& call) {
  BatchService* const service = server.batches(call);
  if (service == nullptr) return;
  auto read = wire::read_file_list(call.exchange->head().query, server.rules());
  if (!read) return server.refuse(call, read.error());
  answer_json(server, call, service->files().list(call.principal.tenant, read->purpose, read->page),
              file_list_json);
}

void serve_file(Server& server, const Call& call) {
  BatchService* const service = server.batches(call);
  if (service == nullptr) return;
  answer_json(server, call, service->files().find(call.principal.tenant, call.path_values[0]),
              file_json);
}

void serve_file_delete(Server& server, const Call& call) {
  BatchService* const service = server.batches(call);
  if (service == nullptr) return;
  answer_json(server, call, service->files().remove(call.principal.tenant, call.path_values[0]),
              file_deleted_json);
}

void serve_file_content(Server& server, const Call& call) {
  BatchService* const service = server.batches(call);
  if (service == nullptr) return;
  auto content = service->files().content(call.principal.tenant, call.path_values[0]);
  if (!content) return server.refuse(call, content.error());
  // A browser that follows a link to it must not take it for a page.
  net::HttpResponse response{
      .content_type = "application/octet-stream",
      .headers = {{"content-disposition", "attachment"}, {"x-content-type-options", "nosniff"}}};
  if (content->bytes() <= ContentTask::kPieceBytes) {
    Result<std::string> text = content->read(0, ContentTask::kPieceBytes);
    if (!text) return server.refuse(call, storage_failure("a file cannot be sent", text.error()));
    response.body = std::move(*text);
    return server.respond(call, std::move(response));
  }
  std::vector<net::HttpHeader> headers = server.answer_headers(call);
  std::move(headers.begin(), headers.end(), std::back_inserter(response.headers));
  if (!call.exchange->begin_stream(200, response.content_type, std::move(response.headers))) return;
  if (call.exchange->head().method == "HEAD") return call.exchange->end_stream();
  std::make_shared<ContentTask>(service->disk(), call.exchange, std::move(*content))->next();
}

}  // namespace paring::serve
