// SPDX-License-Identifier: Apache-2.0
// Bodies of requests in every protocol that the server speaks.
#pragma once

#include <cstddef>
#include <span>

namespace paring::fuzz {

void run_wire_openai_chat(std::span<const std::byte> input);
void run_wire_openai_completions(std::span<const std::byte> input);
void run_wire_openai_responses(std::span<const std::byte> input);
void run_wire_anthropic(std::span<const std::byte> input);
void run_wire_ollama(std::span<const std::byte> input);
void run_wire_pooling(std::span<const std::byte> input);

}  // namespace paring::fuzz
