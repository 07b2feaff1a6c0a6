// SPDX-License-Identifier: Apache-2.0
// PostgresTraffic: rows of traffic to a table of a PostgreSQL server, paring.requests, which is
// made when it is not there. Writing rows again changes nothing. The client's library (libpq) is
// loaded at run time. Confined to one thread.
//
//   PARING_TRY(auto postgres, monitor::PostgresTraffic::connect("postgresql://host/database"));
//   PARING_TRY_VOID(postgres->write(rows));
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "store/traffic_rows.h"

namespace paring::monitor {

struct PostgresLibrary;

class PostgresTraffic {
 public:
  // Of the tables that this version makes and knows.
  static constexpr int kSchemaVersion = 2;

  // `where`: a URI or "host=... dbname=..."; what it leaves out comes from PGHOST, PGPASSWORD and
  // the like, ~/.pgpass and ~/.pg_service.conf. Unavailable: no library, no server. Unsupported:
  // tables of a newer version.
  static Result<std::unique_ptr<PostgresTraffic>> connect(const std::string& where);
  ~PostgresTraffic();
  PostgresTraffic(const PostgresTraffic&) = delete;
  PostgresTraffic& operator=(const PostgresTraffic&) = delete;

  // One transaction: all of them or, on an error, none. A row that is there gets its prompt and
  // answer when it has none yet, and stays as it is else.
  Result<void> write(std::span<const store::TrafficRequest> rows);
  // Rows that were new or got their content.
  std::int64_t changed() const noexcept { return changed_; }

 private:
  PostgresTraffic(const PostgresLibrary& library, void* connection);
  Result<void> prepare();
  Result<void> make_tables();
  // The first value of the first row; "" when there is none.
  Result<std::string> ask(const char* sql);
  Result<void> run(const std::string& sql);
  Result<void> copy(std::span<const store::TrafficRequest> rows);
  Result<void> insert();
  Error failed(const char* what) const;

  const PostgresLibrary& library_;
  void* connection_;
  std::int64_t changed_ = 0;
};

}  // namespace paring::monitor
