// SPDX-License-Identifier: Apache-2.0
// Certificate: what a model file lost against its original, on which texts, and how fast and large
// it was measured. Stored as JSON in the file's metadata, printed by `inspect`, served. Plain data.
// Text fields of a certificate read from a file are not trusted: escape them before printing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "api/variant.h"
#include "base/result.h"

namespace paring::api {

// Raised when a reader of the old version could misread the new one.
inline constexpr std::uint64_t kCertificateVersion = 1;
// The key of the GGUF metadata that holds the JSON text.
inline constexpr const char* kCertificateKey = "paring.certificate";
inline constexpr std::size_t kCertificateBytesMax = std::size_t{4} << 20;

// Figures that were not measured are 0 (counts) or NaN (measurements; null in JSON).

// A text that took part, with its role: "calibration", "search" or "holdout". Losses are measured
// on holdout text only.
struct CertificateText {
  std::string role;
  std::string name;
  std::string sha256;
  std::uint64_t tokens = 0;
  bool operator==(const CertificateText&) const = default;
};

// KL divergence (original || this), nats a token. The one struct of these figures: measure extends
// it by what a certificate does not hold (measure::Divergence).
struct CertificateDivergence {
  double kl_mean = 0;
  double kl_standard_error = 0;
  double kl_median = 0;
  double kl_p90 = 0;
  double kl_p95 = 0;
  double kl_p99 = 0;
  double kl_p999 = 0;
  double kl_max = 0;
  double top1 = 0;  // share of tokens whose most likely successor is the original's
  double top1_standard_error = 0;
  double delta_p_rms = 0;  // root mean square of p(this) - p(original) of the text's own token
  double delta_p_rms_standard_error = 0;
  std::uint64_t tokens = 0;
  bool operator==(const CertificateDivergence&) const = default;
};

struct CertificatePerplexity {
  double original = 0;
  double result = 0;
  double ratio = 0;                     // result / original
  double log_ratio_standard_error = 0;  // of ln(ratio), paired by token
  bool operator==(const CertificatePerplexity&) const = default;
};

struct CertificateTask {
  std::string name;
  std::string sha256;  // of the items
  std::string metric;
  double original = 0;
  double result = 0;
  double delta = 0;
  double standard_error = 0;  // of delta
  std::uint64_t items = 0;
  bool operator==(const CertificateTask&) const = default;
};

struct CertificateBytes {
  std::uint64_t file = 0;
  std::uint64_t weights = 0;
  std::uint64_t memory = 0;  // weights, key/value cache and buffers at the budget's context
  bool operator==(const CertificateBytes&) const = default;
};

struct CertificateSpeed {
  double prefill_tokens_per_second = 0;
  double prefill_limit_share = 0;  // of what this host's measured bandwidth and peak allow
  double decode_tokens_per_second = 0;
  double decode_limit_share = 0;
  double own_time_share =
      1;  // of the time was ours; below 0.9 the machine was busy; may be missing
  bool operator==(const CertificateSpeed&) const = default;
};

// Where the speeds were measured: a label, no part of the identity.
struct CertificateHost {
  std::string cpu;
  std::string isa;
  std::uint64_t threads = 0;
  bool operator==(const CertificateHost&) const = default;
};

// What was asked for; 0 where nothing was.
struct CertificateBudget {
  std::uint64_t file_bytes = 0;
  std::uint64_t memory_bytes = 0;
  double speedup = 0;
  double kl_max = 0;
  std::uint64_t context_tokens = 0;
  bool operator==(const CertificateBudget&) const = default;
};

// How long the search had and what it measured of what it wanted to; all 0 where there was none.
struct CertificateSearch {
  double limit_seconds = 0;
  double seconds = 0;
  std::uint64_t candidates = 0;
  std::uint64_t probes_measured = 0;  // sensitivity of single matrices
  std::uint64_t probes_wanted = 0;
  std::uint64_t refinements_measured = 0;
  std::uint64_t refinements_wanted = 0;
  bool operator==(const CertificateSearch&) const = default;
};

struct CertificateTensor {
  std::string name;
  std::string type;
  bool operator==(const CertificateTensor&) const = default;
};

struct Certificate {
  std::string original_name;
  std::string original_sha256;  // of the original's weights
  Variant variant;              // of the result as measured
  std::vector<CertificateText> texts;
  CertificateDivergence served;        // as served: with activation and cache rounding
  CertificateDivergence weights_only;  // exact numerics
  CertificatePerplexity perplexity;    // as served
  std::vector<CertificateTask> tasks;
  CertificateBytes bytes_before;
  CertificateBytes bytes_after;
  CertificateHost host;
  CertificateSpeed speed_before;
  CertificateSpeed speed_after;
  CertificateBudget budget;
  CertificateSearch search;               // may be missing in JSON
  std::vector<CertificateTensor> recipe;  // type of every tensor
  std::string tool_version;
  std::string date;  // UTC, "2026-11-22T08:05:09Z"

  bool operator==(const Certificate&) const = default;

  // One line of JSON. It also holds the variant's id, for readers without this code.
  std::string to_json() const;
  // What to_json() takes at most once other numbers stand in the place of these.
  std::size_t json_bytes_max() const;
  // Corrupt, naming the field, for missing, unknown or ill-typed fields, hashes that are none, an
  // id that is not the variant's, and exceeded limits; Unsupported for a version newer than ours.
  static Result<Certificate> from_json(std::string_view text);
};

}  // namespace paring::api
