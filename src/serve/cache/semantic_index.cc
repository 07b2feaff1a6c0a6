// SPDX-License-Identifier: Apache-2.0
#include "serve/cache/semantic_index.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace paring::serve {

bool normalize(std::vector<float>& vector) {
  double squares = 0;
  for (const float value : vector) squares += double{value} * value;
  if (!(squares > 0) || !std::isfinite(squares)) return false;
  const auto scale = static_cast<float>(1 / std::sqrt(squares));
  for (float& value : vector) value *= scale;
  return true;
}

// Eight partial sums, so that the compiler may compute them side by side.
double cosine(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return -1;
  constexpr std::size_t kLanes = 8;
  std::array<float, kLanes> sums = {};
  const std::size_t whole = a.size() / kLanes * kLanes;
  for (std::size_t i = 0; i < whole; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) sums[lane] += a[i + lane] * b[i + lane];
  }
  double sum = 0;
  for (const float part : sums) sum += double{part};
  for (std::size_t i = whole; i < a.size(); ++i) sum += double{a[i]} * b[i];
  return sum;
}

std::optional<SemanticHit> SemanticIndex::find(const std::string& group,
                                               const std::vector<float>& vector,
                                               const QuestionMarks& marks) {
  // Dropping the last of a group ends the group.
  const double now = clock_.monotonic_seconds();
  for (auto found = groups_.find(group);
       found != groups_.end() && now - found->second.front()->computed_at > options_.seconds_max;
       found = groups_.find(group)) {
    drop(found->second.front());
  }
  const auto found = groups_.find(group);
  if (found == groups_.end()) return std::nullopt;
  double best = options_.similarity_min;
  std::optional<Entries::iterator> chosen;
  for (const Entries::iterator each : found->second) {
    const double similarity = cosine(each->entry.vector, vector);
    if (similarity < best || difference(each->entry.marks, marks) != MarkDifference::kNone) {
      continue;
    }
    best = similarity;
    chosen = each;
  }
  if (!chosen) return std::nullopt;
  Entries& entries = tenants_.at((*chosen)->entry.tenant).entries;
  entries.splice(entries.begin(), entries, *chosen);
  const Kept& kept = **chosen;
  return SemanticHit{kept.entry.key, kept.entry.answer, best, now - kept.computed_at};
}

void SemanticIndex::add(SemanticEntry entry) {
  erase(entry.key);
  Kept kept;
  kept.bytes = sizeof(Kept) + entry.key.size() * 2 + entry.group.size() * 2 + entry.tenant.size() +
               entry.vector.size() * sizeof(float) + entry.marks.memory_bytes() +
               entry.answer->bytes();
  if (kept.bytes > options_.bytes_max) return;
  kept.computed_at = clock_.monotonic_seconds();
  kept.entry = std::move(entry);
  if (const auto group = groups_.find(kept.entry.group);
      group != groups_.end() && group->second.size() >= options_.group_entries_max) {
    drop(group->second.front());
  }
  Tenant& tenant = tenants_[kept.entry.tenant];
  tenant.bytes += kept.bytes;
  bytes_ += kept.bytes;
  tenant.entries.push_front(std::move(kept));
  const auto added = tenant.entries.begin();
  groups_[added->entry.group].push_back(added);
  by_key_[added->entry.key] = added;
  make_room();
}

void SemanticIndex::make_room() {
  while (bytes_ > options_.bytes_max) {
    const auto most = std::max_element(
        tenants_.begin(), tenants_.end(),
        [](const auto& a, const auto& b) { return a.second.bytes < b.second.bytes; });
    drop(std::prev(most->second.entries.end()));
  }
}

void SemanticIndex::erase(const std::string& key) {
  if (const auto found = by_key_.find(key); found != by_key_.end()) drop(found->second);
}

void SemanticIndex::drop(Entries::iterator entry) {
  bytes_ -= entry->bytes;
  by_key_.erase(entry->entry.key);
  const auto group = groups_.find(entry->entry.group);
  std::erase(group->second, entry);
  if (group->second.empty()) groups_.erase(group);
  const auto tenant = tenants_.find(entry->entry.tenant);
  tenant->second.bytes -= entry->bytes;
  tenant->second.entries.erase(entry);
  if (tenant->second.entries.empty()) tenants_.erase(tenant);
}

}  // namespace paring::serve
