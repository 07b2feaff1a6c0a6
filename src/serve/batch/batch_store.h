// SPDX-License-Identifier: Apache-2.0
// Batches as clients make, read and cancel them. What a batch does then is BatchRunner's.
// Thread-safe.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "serve/access/principal.h"
#include "serve/api_error.h"
#include "serve/batch/batch_json.h"
#include "serve/batch/file_store.h"
#include "store/batches.h"
#include "store/control_db.h"

namespace paring::serve {

class BatchStore {
 public:
  // Both must outlive this. `changed` is called after each change, on the caller's thread: the
  // runner's wake().
  BatchStore(const store::ControlDb& control, const FileStore& files, std::function<void()> changed,
             const Clock& clock = system_clock())
      : batches_(control), files_(files), changed_(std::move(changed)), clock_(clock) {}

  // Validation of the file's lines follows in the background. 400 when the input file is not there
  // or not uploaded for batches; 429 when the tenant has kOpenBatchesMax.
  ApiResult<store::BatchRow> create(const Principal& principal, const BatchSpec& spec);
  // 404, the same for a batch that is not there and one of another tenant.
  ApiResult<store::BatchRow> find(std::string_view tenant, std::string_view id) const;
  ApiResult<store::Page<store::BatchRow>> list(std::string_view tenant,
                                               const store::PageRequest& page) const;
  // 404; 400 when it has ended. The lines that were answered stay answered.
  ApiResult<store::BatchRow> cancel(std::string_view tenant, std::string_view id);

  static constexpr std::int64_t kOpenBatchesMax = 200;

 private:
  store::Batches batches_;
  const FileStore& files_;
  std::function<void()> changed_;
  const Clock& clock_;
};

}  // namespace paring::serve
