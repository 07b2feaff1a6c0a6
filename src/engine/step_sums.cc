// SPDX-License-Identifier: Apache-2.0
#include "engine/step_sums.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

namespace paring::engine {

namespace {

constexpr int kFormat = 1;

std::size_t place(std::size_t row, std::size_t column) { return row * (row + 1) / 2 + column; }

// Solves A x = b, A symmetric and positive definite, by Cholesky's factors. A is a dense square.
std::vector<double> solve(std::vector<double> a, std::vector<double> b) {
  const std::size_t n = b.size();
  for (std::size_t j = 0; j < n; ++j) {
    for (std::size_t k = 0; k < j; ++k) a[j * n + j] -= a[j * n + k] * a[j * n + k];
    a[j * n + j] = std::sqrt(std::max(a[j * n + j], 1e-300));
    for (std::size_t i = j + 1; i < n; ++i) {
      for (std::size_t k = 0; k < j; ++k) a[i * n + j] -= a[i * n + k] * a[j * n + k];
      a[i * n + j] /= a[j * n + j];
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < i; ++k) b[i] -= a[i * n + k] * b[k];
    b[i] /= a[i * n + i];
  }
  for (std::size_t i = n; i-- > 0;) {
    for (std::size_t k = i + 1; k < n; ++k) b[i] -= a[k * n + i] * b[k];
    b[i] /= a[i * n + i];
  }
  return b;
}

}  // namespace

StepSums::Terms StepSums::terms(const StepShape& shape) noexcept {
  Terms terms{};
  const double tokens = std::max(shape.tokens, 1.0);
  std::size_t low = 0;
  while (low + 2 < kKnots && tokens >= std::ldexp(1.0, static_cast<int>(low) + 1)) ++low;
  const double from = std::ldexp(1.0, static_cast<int>(low));
  const double share = (tokens - from) / from;  // the next knot is twice as far
  terms[low] = 1 - share;
  terms[low + 1] = share;
  terms[kKnots] = shape.rows;
  terms[kKnots + 1] = shape.rows > 0 ? 1 : 0;
  terms[kKnots + 2] = shape.decode_positions;
  terms[kKnots + 3] = shape.prefill_positions;
  return terms;
}

void StepSums::add(const StepShape& shape, double seconds) noexcept {
  if (!(seconds > 0) || !(shape.tokens > 0)) return;
  const Terms x = terms(shape);
  const double weight = 1 / seconds;
  ++steps_;
  seconds_ += seconds;
  weighted_squares_ += seconds;
  for (std::size_t i = 0; i < kTerms; ++i) {
    if (x[i] == 0) continue;
    moments_[i] += x[i];
    for (std::size_t j = 0; j <= i; ++j) normal_[place(i, j)] += weight * x[i] * x[j];
  }
}

void StepSums::merge(const StepSums& other) noexcept {
  steps_ += other.steps_;
  seconds_ += other.seconds_;
  weighted_squares_ += other.weighted_squares_;
  for (std::size_t i = 0; i < moments_.size(); ++i) moments_[i] += other.moments_[i];
  for (std::size_t i = 0; i < normal_.size(); ++i) normal_[i] += other.normal_[i];
}

// In terms of a line over tokens and the bends at the inner knots, so that the penalty on bends is
// a plain ridge; the other terms have one that only keeps them determined.
Result<StepModel> StepSums::fit() const {
  if (steps_ < kStepsMin) {
    return Error{ErrorCode::kUnavailable, "too few steps were measured to tell how long they take",
                 "let the server answer more requests first"};
  }
  // Column k of `basis`: the knots' heights when parameter k is one. 0: all; 1: the line; then
  // bends.
  constexpr std::size_t n = kTerms;
  std::vector<double> basis(kKnots * kKnots, 0);
  for (std::size_t knot = 0; knot < kKnots; ++knot) {
    const double tokens = std::ldexp(1.0, static_cast<int>(knot));
    basis[knot * kKnots] = 1;
    basis[knot * kKnots + 1] = tokens;
    for (std::size_t bend = 2; bend < kKnots; ++bend) {
      const double at = std::ldexp(1.0, static_cast<int>(bend) - 1);
      basis[knot * kKnots + bend] = std::max(tokens - at, 0.0);
    }
  }
  const auto b = [&](std::size_t row, std::size_t column) {
    if (row < kKnots && column < kKnots) return basis[row * kKnots + column];
    return row == column ? 1.0 : 0.0;
  };
  const auto a = [&](std::size_t i, std::size_t j) {
    return normal_[i >= j ? place(i, j) : place(j, i)];
  };
  std::vector<double> left(n * n, 0);  // A B
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      for (std::size_t k = 0; k < n; ++k) left[i * n + j] += a(i, k) * b(k, j);
    }
  }
  std::vector<double> normal(n * n, 0);  // B' A B
  std::vector<double> moments(n, 0);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < n; ++k) {
      moments[i] += b(k, i) * moments_[k];
      for (std::size_t j = 0; j < n; ++j) normal[i * n + j] += b(k, i) * left[k * n + j];
    }
  }
  // A bend may be as steep as the line, which costs what kPriorSteps steps of that size would.
  constexpr double kPriorSteps = 4;
  constexpr double kDetermined = 1e-9;
  std::vector<double> scale(n, 1);
  for (std::size_t i = 0; i < n; ++i) {
    double size = normal[i * n + i];
    if (size <= 0) size = 1;
    scale[i] = 1 / std::sqrt(size);
  }
  for (std::size_t i = 0; i < n; ++i) {
    moments[i] *= scale[i];
    for (std::size_t j = 0; j < n; ++j) normal[i * n + j] *= scale[i] * scale[j];
  }
  for (std::size_t i = 0; i < n; ++i) {
    const bool is_bend = i >= 2 && i < kKnots;
    normal[i * n + i] += is_bend ? kPriorSteps / steps_ : kDetermined;
    if (normal[i * n + i] <= kDetermined) normal[i * n + i] = 1;
  }
  const std::vector<double> solved = solve(std::move(normal), std::move(moments));
  StepModel model;
  model.coefficients_.assign(n, 0);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < n; ++k) {
      model.coefficients_[i] += b(i, k) * solved[k] * scale[k];
    }
  }
  // Sum of w r^2 = y'Wy - 2 c'X'Wy + c'X'WXc.
  double squares = weighted_squares_;
  for (std::size_t i = 0; i < n; ++i) {
    squares -= 2 * model.coefficients_[i] * moments_[i];
    for (std::size_t j = 0; j < n; ++j) {
      squares += model.coefficients_[i] * a(i, j) * model.coefficients_[j];
    }
  }
  model.spread_ = std::sqrt(std::max(squares, 0.0) / seconds_);
  model.steps_ = steps_;
  return model;
}

double StepModel::seconds(const StepShape& shape) const noexcept {
  const StepSums::Terms x = StepSums::terms(shape);
  double seconds = 0;
  for (std::size_t i = 0; i < x.size(); ++i) seconds += x[i] * coefficients_[i];
  return std::max(seconds, 0.0);
}

double StepModel::fixed_seconds(double tokens, double rows) const noexcept {
  return seconds({.tokens = tokens, .rows = rows});
}

std::string StepSums::to_json() const {
  const nlohmann::json json = {{"format", kFormat},   {"steps", steps_},
                               {"seconds", seconds_}, {"weighted_squares", weighted_squares_},
                               {"moments", moments_}, {"normal", normal_}};
  return json.dump();
}

Result<StepSums> StepSums::from_json(std::string_view text) {
  const Error error = corrupt("these are no sums of step times", "remove them; they are made anew");
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object() || json.value("format", nlohmann::json()) != kFormat) return error;
  StepSums times;
  const auto number = [&json](const char* name, double& value) {
    const auto found = json.find(name);
    if (found == json.end() || !found->is_number()) return false;
    value = found->get<double>();
    return std::isfinite(value) && value >= 0;
  };
  const auto numbers = [&json](const char* name, std::span<double> values) {
    const auto found = json.find(name);
    if (found == json.end() || !found->is_array() || found->size() != values.size()) return false;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (!(*found)[i].is_number()) return false;
      values[i] = (*found)[i].get<double>();
      if (!std::isfinite(values[i])) return false;
    }
    return true;
  };
  if (!number("steps", times.steps_) || !number("seconds", times.seconds_) ||
      !number("weighted_squares", times.weighted_squares_) || !numbers("moments", times.moments_) ||
      !numbers("normal", times.normal_)) {
    return error;
  }
  return times;
}

}  // namespace paring::engine
