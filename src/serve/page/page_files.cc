// SPDX-License-Identifier: Apache-2.0
#include "serve/page/page_files.h"

#include <algorithm>

#include "embed_page_answers_js.h"
#include "embed_page_chat_js.h"
#include "embed_page_css.h"
#include "embed_page_feedback_js.h"
#include "embed_page_figures_js.h"
#include "embed_page_html.h"
#include "embed_page_icon.h"
#include "embed_page_markdown_js.h"
#include "embed_page_monitor_advice_js.h"
#include "embed_page_monitor_api_js.h"
#include "embed_page_monitor_changes_js.h"
#include "embed_page_monitor_charts_js.h"
#include "embed_page_monitor_css.h"
#include "embed_page_monitor_html.h"
#include "embed_page_monitor_js.h"
#include "embed_page_monitor_model_js.h"
#include "embed_page_monitor_overview_js.h"
#include "embed_page_monitor_quality_js.h"
#include "embed_page_monitor_requests_js.h"
#include "embed_page_monitor_roofline_js.h"
#include "embed_page_monitor_words_js.h"

namespace paring::serve {

namespace {

constexpr const char* kScript = "text/javascript; charset=utf-8";

#define PARING_PAGE_FILE(name, type, embedded)                \
  {name,                                                      \
   type,                                                      \
   {paring_embed_##embedded, paring_embed_##embedded##_size}, \
   paring_embed_##embedded##_sha256}
const PageFile kFiles[] = {
    PARING_PAGE_FILE("index.html", "text/html; charset=utf-8", page_html),
    PARING_PAGE_FILE("chat.css", "text/css; charset=utf-8", page_css),
    PARING_PAGE_FILE("icon.svg", "image/svg+xml", page_icon),
    PARING_PAGE_FILE("answers.js", kScript, page_answers_js),
    PARING_PAGE_FILE("chat.js", kScript, page_chat_js),
    PARING_PAGE_FILE("feedback.js", kScript, page_feedback_js),
    PARING_PAGE_FILE("figures.js", kScript, page_figures_js),
    PARING_PAGE_FILE("markdown.js", kScript, page_markdown_js),
    PARING_PAGE_FILE("monitor.html", "text/html; charset=utf-8", page_monitor_html),
    PARING_PAGE_FILE("monitor.css", "text/css; charset=utf-8", page_monitor_css),
    PARING_PAGE_FILE("monitor.js", kScript, page_monitor_js),
    PARING_PAGE_FILE("monitor_api.js", kScript, page_monitor_api_js),
    PARING_PAGE_FILE("monitor_changes.js", kScript, page_monitor_changes_js),
    PARING_PAGE_FILE("monitor_charts.js", kScript, page_monitor_charts_js),
    PARING_PAGE_FILE("monitor_overview.js", kScript, page_monitor_overview_js),
    PARING_PAGE_FILE("monitor_model.js", kScript, page_monitor_model_js),
    PARING_PAGE_FILE("monitor_advice.js", kScript, page_monitor_advice_js),
    PARING_PAGE_FILE("monitor_quality.js", kScript, page_monitor_quality_js),
    PARING_PAGE_FILE("monitor_requests.js", kScript, page_monitor_requests_js),
    PARING_PAGE_FILE("monitor_roofline.js", kScript, page_monitor_roofline_js),
    PARING_PAGE_FILE("monitor_words.js", kScript, page_monitor_words_js),
};
#undef PARING_PAGE_FILE

}  // namespace

std::span<const PageFile> page_files() noexcept { return kFiles; }

const PageFile* find_page_file(std::string_view name) noexcept {
  const auto found = std::find_if(std::begin(kFiles), std::end(kFiles),
                                  [&](const PageFile& file) { return file.name == name; });
  return found == std::end(kFiles) ? nullptr : &*found;
}

}  // namespace paring::serve
