// SPDX-License-Identifier: Apache-2.0
// What a model lost and gained, as a table for people: from a certificate, so that `inspect` of a
// file and `optimize` show the same.
#pragma once

#include <string>

#include "api/certificate.h"

namespace paring::cli {

// Before/after table and the facts around it. Texts of the certificate are escaped.
std::string certificate_text(const api::Certificate& certificate);

}  // namespace paring::cli
