# SPDX-License-Identifier: Apache-2.0
"""The monitor's page in a real browser: every page, with a server behind it and stored requests."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from playwright.sync_api import expect, sync_playwright

import tiny_model
from raw_client import CHATML
from server_process import ServerProcess
from test_serve import post

PAGES = ["Overview", "Requests", "Cost", "Compare", "Quality", "Model", "Roofline", "Advice", "Changes", "Alerts"]
# Tables and charts that have nothing to show: no certificate, too few steps for advice, no trials, objectives, alerts.
EMPTY = {"Model": 1, "Advice": 2, "Changes": 1, "Alerts": 1}
CHAT = {"model": "small", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 12, "temperature": 0}
PAGE_BYTES_MAX = 400_000  # of the monitor, uncompressed
ROWS = 1_000_000 if os.environ.get("PARING_LONG_TESTS") else 30_000


def fill(paring, folder, count, first, seconds):
    """Stores `count` requests in a data folder."""
    program = next(pathlib.Path(paring.path).resolve().parent.glob("src/store/store_test"), None)
    assert program, "store_test is missing beside the program: build the target store_test"
    done = subprocess.run([program, "--gtest_also_run_disabled_tests", "--gtest_filter=TrafficFill.*"],
                          env={**os.environ, "FILL_FOLDER": str(folder), "FILL_COUNT": str(count),
                               "FILL_FROM": str(first), "FILL_SECONDS": str(seconds)}, capture_output=True, text=True)
    assert done.returncode == 0 and "1 test from 1 test suite ran" in done.stdout, done.stdout + done.stderr


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("monitor-model") / "small.gguf"
    tiny_model.write(path, chat_template=CHATML)
    return path


@pytest.fixture(scope="module")
def server(paring, small, tmp_path_factory):
    """A server with stored requests of the last hours, and some of its own."""
    folder = tmp_path_factory.mktemp("monitor-data")
    fill(paring, folder, ROWS, time.time() - 20 * 3600, 20 * 3600 - 120)
    limits = {"XDG_CACHE_HOME": str(folder / "cache")}
    subprocess.run([paring.path, "info", "--json"], env={**os.environ, **limits}, capture_output=True, timeout=120,
                   check=True)  # measures and stores them
    with ServerProcess(paring.path, f"small={small}", "--data-dir", folder, "--traffic", "sync", env=limits) as running:
        for number in range(8):
            status, _, headers = post(running, "/v1/chat/completions",
                                      {**CHAT, "seed": number, "user": f"user-{number % 2}"})
            assert status == 200
            for body in ({"name": "rating", "value": number % 3 != 0}, {"name": "stars", "value": number % 5},
                         {"name": "kind", "value": "good" if number % 2 else "off topic"}):
                assert post(running, "/v1/feedback", {"response_id": headers["x-request-id"], **body})[0] == 200
        yield running


@pytest.fixture(scope="module")
def fresh(paring, small, tmp_path_factory):
    """A server that served nothing, on a machine that was not measured."""
    nothing = {"XDG_CACHE_HOME": str(tmp_path_factory.mktemp("no-limits"))}
    with ServerProcess(paring.path, f"small={small}", env=nothing) as running:
        yield running


@pytest.fixture(scope="module")
def browser():
    program = shutil.which("chromium")
    assert program, "chromium is missing: deps/apt-test.txt names it"
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program)
        yield running
        running.close()


class Monitor:
    """A tab on the monitor, and what it complained of and asked for."""

    def __init__(self, context, server, address=""):
        self.tab = context.new_page()
        self.complaints, self.requests = [], []
        self.tab.on("request", lambda request: self.requests.append(request.url))
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on("console", lambda message: self.complaints.append(message.text)
                    if message.type == "error" and "Failed to load resource" not in message.text else None)
        self.url = server.url
        self.tab.goto(f"{server.url}/monitor{address}")
        self.ready()

    def ready(self):
        expect(self.tab.locator("#main")).to_have_attribute("aria-busy", "false", timeout=30000)

    def go(self, page):
        self.tab.locator("#pages").get_by_role("link", name=page, exact=True).click()
        expect(self.tab).to_have_title(re.compile(f"^{page}"))
        self.ready()

    def is_as_wide_as_the_window(self):
        return self.tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.fixture
def visit(browser):
    contexts = []

    def open_monitor(server, address="", **options):
        contexts.append(browser.new_context(**options))
        contexts[-1].set_default_timeout(15000)
        return Monitor(contexts[-1], server, address)
    yield open_monitor
    for context in contexts:
        context.close()


def asked(server, path):
    with urllib.request.urlopen(server.url + path, timeout=30) as response:
        return json.loads(response.read())


def test_the_page_is_small_and_may_do_little(server):
    total, seen, waiting = 0, set(), ["monitor"]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        with urllib.request.urlopen(f"{server.url}/{path}", timeout=10) as response:
            policy, body = response.headers["content-security-policy"], response.read().decode()
        assert policy.startswith("default-src 'none';") and "unsafe" not in policy, path
        total += len(body)
        waiting += re.findall(r'(?:href|src)="(page/[^"]+)"', body)
        waiting += ["page/" + name for name in re.findall(r'from\s+"\./([^"]+)"', body)]
    assert len(seen) >= 10 and total < PAGE_BYTES_MAX


@pytest.mark.parametrize("width, scheme", [(1280, "light"), (360, "dark")])
def test_every_page_shows_its_figures(server, visit, width, scheme):
    at = visit(server, "#/overview?range=86400", viewport={"width": width, "height": 800}, color_scheme=scheme)
    for page in PAGES:
        at.go(page)
        expect(at.tab.locator("#status")).to_contain_text("Read in")
        assert at.is_as_wide_as_the_window(), page
        assert at.tab.locator("#main").inner_text().strip(), page
        assert at.tab.locator(".empty").count() == EMPTY.get(page, 0), page
        # What is chosen above holds on every page.
        assert "range=86400" in at.tab.url
    at.tab.go_back()
    expect(at.tab).to_have_title(re.compile(f"^{PAGES[-2]}"))
    assert at.complaints == []
    assert all(url.startswith(at.url) for url in at.requests)


def test_the_overview_says_what_the_server_counts(server, visit):
    at = visit(server, "#/overview?range=86400")
    tile = at.tab.locator(".tile").filter(has=at.tab.get_by_role("heading", name="Requests", exact=True))
    span = dict(re.findall(r"[?&](from|to)=(\d+)", next(url for url in at.requests if "/summary" in url)))
    sums = asked(server, f"/v1/traffic/summary?from={span['from']}&to={span['to']}")
    assert sums["requests"] > ROWS * 0.99
    shown = tile.locator(".value").inner_text()
    factor = {"k": 1e3, "M": 1e6}.get(shown[-1], 1)
    assert float(shown.rstrip("kM")) * factor == pytest.approx(sums["requests"], rel=0.006)
    first = at.tab.locator(".tile").filter(has_text="First token p95").inner_text()
    shown = {name: float(value) for name, value in re.findall(r"(p95|p50|p99)\s+([\d.]+) ms", first)}
    assert shown == {name: pytest.approx(1000 * sums["first_token"][name], rel=0.01) for name in ("p50", "p95", "p99")}
    energy = at.tab.locator(".tile").filter(has_text="Energy").inner_text()
    assert "measured" in energy and "estimated" in energy
    assert "EUR" in at.tab.locator(".tile").filter(has_text="Cost").inner_text()
    assert at.tab.locator("figure").count() >= 8
    # Each chart has its figures as a table, and the keyboard reads it.
    chart = at.tab.get_by_role("img", name=re.compile("^Time to the first token\\."))
    chart.focus()
    chart.press("Home")
    before = at.tab.locator("figure").filter(has=chart).locator("output").inner_text()
    chart.press("ArrowRight")
    after = at.tab.locator("figure").filter(has=chart).locator("output").inner_text()
    assert before != after and "p95" in after
    figure = at.tab.locator("figure").filter(has=chart)
    figure.get_by_text("As a table").click()
    assert figure.locator("tbody tr").count() > 10
    assert at.complaints == []


def test_goodput_against_an_slo_that_the_address_keeps(server, visit):
    at = visit(server, "#/overview?range=86400")
    at.tab.get_by_label("First token within, ms").fill("500")
    at.tab.get_by_role("button", name="Set the SLO").click()
    expect(at.tab).to_have_url(re.compile("slo_first=500"))
    goodput = at.tab.locator(".tile").filter(has_text="Goodput")
    expect(goodput.locator(".value")).to_contain_text("%")
    again = visit(server, at.tab.url.split("/monitor")[1])
    sums = asked(server, "/v1/traffic/summary?first_token_within_microseconds=500000")
    share = 100 * sums["first_token"]["within"] / sums["first_token"]["count"]
    for tab in (at.tab, again.tab):
        shown = tab.locator(".tile").filter(has_text="Goodput").locator(".value").inner_text()
        assert float(shown.split()[0]) == pytest.approx(share, abs=1)
    assert 30 < share < 70 and again.tab.get_by_label("First token within, ms").input_value() == "500"


def test_requests_are_filtered_paged_and_opened(server, visit):
    at = visit(server, "#/requests?range=86400")
    table = at.tab.get_by_role("region", name="Requests, newest first")
    assert table.locator("tbody tr").count() == 50
    first = table.locator("tbody tr").first.inner_text()
    at.tab.get_by_role("button", name="Older").click()
    expect(at.tab).to_have_url(re.compile("after="))
    at.ready()
    assert table.locator("tbody tr").first.inner_text() != first
    at.tab.get_by_role("button", name="Newest").click()
    expect(table.locator("tbody tr").first).to_have_text(re.compile("small"))
    at.tab.get_by_label("Status").select_option("5")
    at.tab.get_by_label("Model").fill("large")
    at.tab.get_by_role("button", name="Filter").click()
    expect(at.tab).to_have_url(re.compile("status_class=5"))
    at.ready()
    rows = table.locator("tbody tr").all_inner_texts()
    assert len(rows) == 50 and all("500 error" in row and "large" in row for row in rows)
    at.tab.get_by_label("Model").fill("nobody")
    at.tab.get_by_label("Model").press("Enter")
    expect(at.tab.locator(".empty")).to_contain_text("take a filter away")
    at.tab.get_by_role("button", name="All").click()
    expect(table.locator("tbody tr")).to_have_count(50)
    assert at.complaints == []


def test_a_request_has_a_timeline_gaps_and_feedback(server, visit):
    computed = next(row for row in asked(server, "/v1/traffic?limit=20")["data"]
                    if row["cache"] == "none" and row["status"] == 200 and row["key_id"] == "anonymous")
    for width in (1280, 360):
        at = visit(server, f"#/request?range=86400&id={computed['id']}", viewport={"width": width, "height": 800})
        assert computed["id"] in at.tab.locator("#main").inner_text()
        line = at.tab.get_by_role("img", name=re.compile("^Timeline: queue .* prefill .* decode "))
        expect(line).to_be_visible()
        gaps = at.tab.get_by_role("img", name=re.compile("^Time between tokens"))
        assert gaps.locator("rect").count() == computed["tokens"]["answer_visible"] - 1
        feedback = at.tab.get_by_role("region", name="Feedback").locator("tbody tr")
        assert feedback.count() == 3
        assert at.is_as_wide_as_the_window() and at.complaints == []
    at = visit(server, "#/request?id=nothing")
    expect(at.tab.locator("#status")).to_contain_text("There is no request with this id")


def test_cost_apart_and_two_compared(server, visit):
    at = visit(server, "#/cost?range=86400")
    assert {"key_0", "key_1", "key_2", "key_3", "All"} <= {
        row.split("\t")[0] for row in at.tab.get_by_role("region", name="Cost by Key").locator("tr").all_inner_texts()}
    at.tab.get_by_label("Apart by").select_option("model")
    models = at.tab.get_by_role("region", name="Cost by Model")
    expect(models).to_be_visible()
    at.ready()
    assert "EUR" in models.inner_text()
    models.get_by_role("link", name="large").click()
    expect(at.tab).to_have_title(re.compile("^Requests"))
    at.ready()
    assert at.tab.get_by_label("Model").input_value() == "large"
    at.go("Compare")
    table = at.tab.get_by_role("region", name="A beside B")
    assert "First token p95" in table.inner_text() and "%" in table.inner_text()
    before = table.inner_text()
    options = at.tab.locator("#choose-b").locator("option").count()
    assert options >= 3
    at.tab.locator("#choose-b").select_option(index=options - 1)
    expect(at.tab).to_have_url(re.compile("[?&]b="))
    at.ready()
    assert table.inner_text() != before and at.complaints == []


def test_cost_by_user(server, visit):
    at = visit(server, "#/cost?range=86400")
    at.tab.get_by_label("Apart by").select_option("user")
    table = at.tab.get_by_role("region", name="Cost by User")
    expect(table).to_be_visible()
    told = {user["user"]: user for user in asked(server, "/v1/traffic/users")["data"]}
    for row in table.locator("tbody tr").all():
        cells = row.locator("td").all_inner_texts()
        assert int(cells[2]) == told[cells[0]]["requests"]
    assert {name: told[name]["requests"] for name in ("user-0", "user-1")} == {"user-0": 4, "user-1": 4}
    assert at.complaints == []


def test_scores_apart_by_prompt_version(paring, small, visit):
    with ServerProcess(paring.path, f"small={small}", "--traffic", "sync") as server:
        for number in range(24):
            version = f"v{number % 2}"
            status, _, headers = post(server, "/v1/chat/completions",
                                      {**CHAT, "seed": number, "metadata": {"prompt_version": version}})
            assert status == 200
            # Version v1 is the better one: 3 of 4 against 1 of 4.
            is_good = (number // 2 % 4 == 0) != (number % 2 == 1)
            body = {"response_id": headers["x-request-id"], "name": "rating", "value": is_good}
            assert post(server, "/v1/feedback", body)[0] == 200
        assert all("origin" not in score for score in asked(server, "/v1/feedback")["data"])
        told = asked(server, "/v1/feedback?with=origin")["data"]
        assert {score["origin"]["prompt_version"] for score in told} == {"v0", "v1"}
        assert {score["origin"]["model"] for score in told} == {"small"}
        at = visit(server, "#/quality?range=900", viewport={"width": 360, "height": 800})
        at.tab.get_by_label("Apart by").select_option("prompt_version")
        expect(at.tab).to_have_url(re.compile("apart=prompt_version"))
        at.ready()
        rows = at.tab.get_by_role("region", name="Scores").locator("tbody tr")
        expect(rows).to_have_count(2)
        figures = {cells[1]: (cells[2], cells[3]) for cells in
                   (row.split("\t") for row in rows.all_inner_texts())}
        assert figures == {"v0": ("12", "0.250"), "v1": ("12", "0.750")}
        chart = at.tab.locator("figure").filter(has_text="rating (boolean, user): mean over time")
        assert sorted(chart.locator("ul.legend li").all_inner_texts()) == ["v0", "v1"]
        assert at.is_as_wide_as_the_window() and at.complaints == []
        at = visit(server, f"#/request?id={told[0]['response_id']}")
        assert told[0]["origin"]["prompt_version"] in at.tab.locator("#main").inner_text()


def test_a_model_shows_its_bits_by_layer(server, visit, small):
    tensors = asked(server, "/v1/models/small/weights")["tensors"]
    with open(small, "rb") as file:
        from gguf import GGUFReader
        own = {tensor.name: (tensor.tensor_type.name, int(tensor.n_elements), int(tensor.n_bytes))
               for tensor in GGUFReader(file.name).tensors}
    assert {tensor["name"]: (tensor["type"], tensor["values"], tensor["bytes"]) for tensor in tensors} == own
    at = visit(server, "#/model", viewport={"width": 360, "height": 700})
    layers = {name for name in own if re.match(r"blk\.\d+\.(?!.*norm).*weight$", name)}
    cells = at.tab.locator("figure.bitmap rect.bits title")
    assert {text.split(":")[0] for text in cells.all_text_contents()} == layers
    assert all("16.00 bits" in text for text in cells.all_text_contents())
    at.tab.locator("figure.bitmap summary").click()
    assert "F16 (16.00) in 0" in at.tab.get_by_role("region", name="Weights of small").inner_text()
    assert at.is_as_wide_as_the_window() and at.complaints == []


def test_live_quality_is_on_the_page(paring, small, visit):
    with ServerProcess(paring.path, f"small={small}", "--original", small, "--original-share", 100) as server:
        status, _, headers = post(server, "/v1/chat/completions", CHAT)
        assert status == 200
        end = time.monotonic() + 30
        while not asked(server, "/v1/feedback?name=live_kl")["data"] and time.monotonic() < end:
            time.sleep(0.05)
        at = visit(server, "#/quality")
        row = at.tab.get_by_role("region", name="Live answers against the original").locator("tbody tr")
        cells = row.locator("td").all_inner_texts()
        assert cells[:2] == ["small", small.name] and "no certificate" in cells[2] and cells[8] == "1"
        assert "live_kl" in at.tab.get_by_role("region", name="Newest feedback").inner_text()
        assert at.complaints == []


def test_the_roofline_is_what_the_engine_counted(server, visit):
    answer = asked(server, "/v1/roofline?minutes=60")
    model, = answer["data"]
    machine = answer["machine"]
    # The totals of /metrics are counted apart from the minutes.
    for field, metric in (("seconds", "paring:model_step_seconds_total"),
                          ("bytes_read", "paring:model_read_bytes_total"),
                          ("operations", "paring:model_operations_total")):
        assert sum(point[field] for point in model["points"]) == pytest.approx(server.metric(metric))
        assert sum(point[field] for minute in model["minutes"] for point in minute["points"]) == pytest.approx(
            server.metric(metric))
    points = {point["kind"]: point for point in model["points"]}
    assert {"prefill", "decode"} <= set(points) <= {"prefill", "decode", "mixed"}
    total = {field: sum(point[field] for point in points.values()) for field in ("seconds", "bytes_read", "operations")}
    least = total["bytes_read"] / machine["read_bytes_per_second"]
    assert model["memory_share"] == pytest.approx(least / total["seconds"])
    assert machine["operations_per_second"] == max(machine[name] for name in ("int8", "f32", "bf16"))
    for width in (1280, 360):
        at = visit(server, "#/roofline?range=3600", viewport={"width": width, "height": 800})
        assert model["sentence"].split(":")[0] in at.tab.locator(".verdict").inner_text()
        chart = at.tab.get_by_role("img", name=re.compile("^Roofline of small"))
        # A mark for each minute and kind, and one for each kind's sum.
        marks = sum(len(minute["points"]) for minute in model["minutes"])
        assert chart.locator(".point:not(.sum)").count() == marks
        assert chart.locator(".sum").count() == len(points)
        # Prompts and answers are told apart without colour: by the mark's shape.
        assert chart.locator("circle.sum").count() == 1 and chart.locator("rect.sum").count() == 1
        chart.focus()
        chart.press("End")
        last = model["points"][-1]
        read = at.tab.locator("figure.roofline output").inner_text()
        assert read.startswith(f"all, {last['kind']}: ")
        intensity = last["operations"] / last["bytes_read"]
        assert float(re.search(r": ([\d.]+) operations a byte", read)[1]) == pytest.approx(intensity, rel=0.01)
        rows = at.tab.get_by_role("region", name="Steps of small", exact=True).locator("tbody tr")
        assert [row.split("\t")[0] for row in rows.all_inner_texts()] == list(points)
        assert [int(row.split("\t")[1]) for row in rows.all_inner_texts()] == [p["steps"] for p in points.values()]
        assert at.is_as_wide_as_the_window() and at.complaints == []
    # Arrows go on from the first point.
    chart.press("Home")
    before = at.tab.locator("figure.roofline output").inner_text()
    chart.press("ArrowRight")
    assert at.tab.locator("figure.roofline output").inner_text() != before


def test_a_roofline_without_limits_says_what_is_missing(fresh, visit):
    answer = asked(fresh, "/v1/roofline")
    assert "machine" not in answer and "paring info" in answer["missing"]
    assert answer["data"][0]["binds"] == "idle" and answer["data"][0]["points"] == []
    assert "memory_share" not in answer["data"][0]
    with pytest.raises(urllib.error.HTTPError) as refused:
        asked(fresh, "/v1/roofline?minutes=61")
    assert refused.value.code == 400 and b"60" in refused.value.read()
    at = visit(fresh, "#/roofline")
    expect(at.tab.locator(".empty").first).to_contain_text("paring info")


def test_advice_and_objectives_are_on_their_pages(paring, small, visit, tmp_path):
    key = "a-key-for-the-monitor-0123456789"
    slo = tmp_path / "slo.yaml"
    slo.write_text("objectives:\n  answers:\n    kind: error_rate\n    target: 99%\n    window: 1h\n"
                   "  in-time:\n    kind: goodput\n    end_to_end: 1us\n    target: 90%\n    window: 1h\n"
                   "evaluate_every: 100ms\n")
    scopes = {"PARING_API_KEY": f"{key} scopes=inference,metrics,admin"}
    with ServerProcess(paring.path, f"small={small}", "--slo", slo, "--cache-bytes", 0, env=scopes) as server:
        asks = {"authorization": f"Bearer {key}"}
        for i in range(48):  # every request comes twice
            body = {"prompt": [5 + i // 2] * 40, "max_tokens": 4, "temperature": 0}
            assert post(server, "/v1/completions", body, asks)[0] == 200
        at = visit(server)
        at.tab.get_by_label("API key").fill(key)
        at.tab.get_by_role("button", name="Use this key").click()
        expect(at.tab.locator("#key-form")).to_be_hidden()
        at.go("Advice")
        expect(at.tab.locator(".tile").first).to_contain_text("48")
        expect(at.tab.locator("section.advice").first).to_contain_text("24 of 48")
        assert at.tab.locator("section.advice code").first.inner_text().startswith("paring serve ")
        expect(at.tab.locator(".empty")).to_contain_text("--apply")
        assert at.is_as_wide_as_the_window()
        at.go("Alerts")
        cells = at.tab.get_by_role("region", name="Objectives").locator("tbody td").all_inner_texts()
        assert cells[0] == "answers" and cells[2] == "well" and "100 % good" in cells[3]
        assert at.is_as_wide_as_the_window()
        at.go("Overview")
        tiles = at.tab.locator(".tile")
        expect(tiles.filter(has_text="Alerts firing")).to_contain_text("in-time")
        expect(tiles.filter(has_text="Goodput: in-time")).to_contain_text("90.0 % wanted")
        assert at.is_as_wide_as_the_window() and at.complaints == []


def test_empty_states_say_what_to_do(fresh, visit):
    at = visit(fresh, viewport={"width": 360, "height": 700})
    for page, words in {"Overview": "chat/completions", "Requests": "chat/completions", "Cost": "chat/completions",
                        "Compare": "chat/completions", "Quality": "/v1/feedback", "Model": "paring optimize",
                        "Roofline": "paring info", "Advice": "scope admin", "Alerts": "--slo FILE"}.items():
        at.go(page)
        expect(at.tab.locator(".empty").first).to_contain_text(words)
        assert at.is_as_wide_as_the_window(), page
    assert at.complaints == []


def test_a_key_is_asked_for_and_kept_in_the_tab(paring, small, visit):
    key = "a-key-for-the-monitor-0123456789"
    scopes = {"PARING_API_KEY": f"{key} scopes=inference,metrics"}
    with ServerProcess(paring.path, f"small={small}", env=scopes) as server:
        at = visit(server)
        expect(at.tab.locator("#key-form")).to_be_visible()
        expect(at.tab.locator(".empty")).to_contain_text("paring keys create")
        at.tab.get_by_label("API key").fill("wrong-key-wrong-key-wrong-key")
        at.tab.get_by_role("button", name="Use this key").click()
        expect(at.tab.locator("#status")).to_contain_text("does not take this key")
        at.tab.get_by_label("API key").fill(key)
        at.tab.get_by_role("button", name="Use this key").click()
        expect(at.tab.locator("#key-form")).to_be_hidden()
        at.go("Model")
        expect(at.tab.get_by_role("heading", name="small")).to_be_visible()
        assert key not in at.tab.url and at.complaints == []


def test_a_server_without_a_store_says_so(paring, small, visit):
    with ServerProcess(paring.path, f"small={small}", "--traffic", "off") as server:
        at = visit(server)
        expect(at.tab.locator(".empty")).to_contain_text("keeps nothing of its requests")


def test_texts_of_requests_never_become_markup(server, visit):
    evil = "<img src=x onerror='window.hit = 1'>"
    status, _, headers = post(server, "/v1/chat/completions", {**CHAT, "user": evil, "seed": 99})
    assert status == 200
    at = visit(server, f"#/request?id={headers['x-request-id']}")
    assert evil in at.tab.locator("#main").inner_text()
    assert at.tab.locator("#main img:not([role])").count() == 0 and at.tab.evaluate("window.hit") is None


def test_a_request_shows_what_was_said(paring, small, visit, tmp_path):
    with ServerProcess(paring.path, f"small={small}", "--data-dir", tmp_path, "--traffic", "sync", "--content",
                       "redacted") as server:
        asked_for = [{"role": "system", "content": "<b>Be brief.</b>"},
                     {"role": "user", "content": "I am jane@example.com"}]
        _, answer, headers = post(server, "/v1/chat/completions", {**CHAT, "messages": asked_for})
        at = visit(server, f"#/request?id={headers['x-request-id']}", viewport={"width": 360, "height": 800})
        messages = at.tab.locator("section.message")
        expect(messages).to_have_count(3)
        expect(messages.nth(0)).to_contain_text("<b>Be brief.</b>")  # as text, never as markup
        expect(messages.nth(1)).to_contain_text("I am [EMAIL]")
        expect(messages.nth(2).get_by_role("heading")).to_have_text("assistant")
        said = answer["choices"][0]["message"]["content"]
        assert messages.nth(2).locator("pre").text_content() == said
        assert at.is_as_wide_as_the_window() and at.complaints == []


def test_every_page_is_answered_fast(server, visit):
    """Of a million requests where PARING_LONG_TESTS is set: what the server takes for all that a page asks for."""
    at = visit(server, "#/overview?range=86400")
    for page in PAGES:
        at.go(page)
        took = []
        for _ in range(3):  # the best of them: others use this machine, too
            at.tab.get_by_role("button", name="Read again").click()
            at.ready()
            took.append(int(re.search(r"Read in (\d+) ms", at.tab.locator("#status").inner_text())[1]))
        print(f"{page}: {took} ms")
        assert min(took) < 500, page
