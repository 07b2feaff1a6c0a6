# SPDX-License-Identifier: Apache-2.0
"""The monitor's page of changes in a real browser: what was predicted and what was measured."""
import json
import re

import pytest
from playwright.sync_api import expect

from server_process import ServerProcess
from test_monitor_page import browser, visit  # noqa: F401, fixtures
from test_serve_canary import Clients, ended, files, serving, start  # noqa: F401, fixtures


@pytest.fixture(scope="module")
def changed(paring, files):  # noqa: F811
    """A server on which one change was kept, one taken back, and one runs."""
    prediction = [{"metric": "memory_bytes", "now": 100, "expected": 60, "low": 50, "high": 70},
                  {"metric": "first_token_seconds", "now": 0, "expected": 1, "low": 1, "high": 1}]
    with serving(paring, f"m={files / 'first.gguf'}", "--cache-bytes", 0) as server:
        with Clients(server, 4, tokens=16):
            kept = start(server, {"options": {"cache_tokens": 1024}}, goal="memory_bytes", slowdown_max=100,
                         prediction=prediction, predicted_loss="none")
            assert ended(server, kept["id"])["state"] == "kept"
            harm = start(server, {"options": {"cache_tokens": 4096}}, goal="memory_bytes", slowdown_max=100)
            assert ended(server, harm["id"])["state"] == "rolled_back"
        start(server, {"path": str(files / "second.gguf")})
        yield server


@pytest.mark.parametrize("width, scheme", [(1280, "light"), (360, "dark")])
def test_changes_are_shown_with_predicted_and_measured(changed, visit, width, scheme):  # noqa: F811
    at = visit(changed, "#/quality", viewport={"width": width, "height": 800}, color_scheme=scheme)
    key = at.tab.get_by_label("API key")
    if key.is_visible():
        key.fill(changed.key)
        key.press("Enter")
        at.ready()
    at.go("Changes")
    sections = at.tab.locator("section.change")
    expect(sections).to_have_count(3)
    assert at.is_as_wide_as_the_window()
    running, taken_back, kept = (sections.nth(i) for i in range(3))
    expect(running).to_contain_text("runs on a share of the requests")
    expect(taken_back).to_contain_text("taken back")
    expect(taken_back).to_contain_text("no gain")
    expect(kept).to_contain_text("--cache-tokens 1024")
    expect(kept).to_contain_text("Predicted loss of quality: none.")
    ledger = json.loads(changed.get("/v1/advice/ledger"))
    measured = {one["metric"]: one for one in ledger["data"][2]["measured"]}["memory_bytes"]
    change = 100 * (measured["after"] / measured["before"] - 1)
    row = kept.locator("tr").filter(has_text="memory_bytes (goal)")
    shown = [float(text.replace("\u2212", "-")) for text in re.findall(r"([+\u2212][\d.]+) %", row.inner_text())]
    residual, = ledger["residuals"]
    assert shown[:3] == [-40, -50, -30] and shown[3] == pytest.approx(change, rel=0.01)
    assert shown[-1] == pytest.approx(100 * residual["value"], rel=0.01)
    drawing = row.get_by_role("img")
    assert "predicted \u221250.0 % to \u221230.0 %" in drawing.get_attribute("aria-label")
    # The outline of what was predicted stands left of no change, as wide as its interval.
    outline = drawing.locator(".outline").bounding_box()
    line = drawing.locator(".grid").bounding_box()
    assert outline["x"] + outline["width"] < line["x"] and outline["width"] > 5
    assert at.complaints == []


def test_without_changes_it_says_how_to_try_one(paring, files, visit):  # noqa: F811
    with ServerProcess(paring.path, f"m={files / 'first.gguf'}") as server:
        at = visit(server, "#/changes")
        expect(at.tab.locator(".empty")).to_contain_text("/v1/canaries")
        assert at.complaints == []
