# SPDX-License-Identifier: Apache-2.0
"""The chat page in a real browser: Debian's Chromium, driven by Playwright."""
import json
import re
import shutil
import signal
import time
import urllib.error
import urllib.request

import pytest
from playwright.sync_api import expect, sync_playwright

from server_process import ROOT, ServerProcess

KEY = "a-key-for-the-page-0123456789"
EVIL = "<script>window.hit = 1</script><img src=x onerror='window.hit = 2'><b>bold</b>"
FIGURES = ["tokens/s", "first token after", "prompt ", " cached", "answer ", " of computing"]


@pytest.fixture(scope="module")
def browser():
    program = shutil.which("chromium")
    assert program, "chromium is missing: deps/apt-test.txt names it"
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program)
        yield running
        running.close()


@pytest.fixture(scope="module")
def server(paring, model):
    with ServerProcess(paring.path, f"smol={model}", f"<i>other={model}", "--context-tokens", 2048) as running:
        yield running


class Browsed:
    """A tab on the server's page, and what it did: requests, and complaints of the browser."""

    def __init__(self, context, server):
        self.tab = context.new_page()
        self.requests, self.complaints = [], []
        self.tab.on("request", lambda request: self.requests.append(request))
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        # A status of 4xx is a message of the console too, and none of ours.
        self.tab.on("console", lambda message: self.complaints.append(message.text)
                    if message.type == "error" and "Failed to load resource" not in message.text else None)
        self.url = server.url
        self.tab.goto(server.url + "/")

    def settings(self, **values):
        self.tab.locator("#settings").evaluate("node => node.open = true")
        for label, value in values.items():
            self.tab.get_by_label({"system": "System prompt", "temperature": "Temperature",
                                   "tokens": "Longest answer in tokens"}[label]).fill(str(value))

    def send(self, text):
        self.tab.get_by_label("Message").fill(text)
        self.tab.get_by_role("button", name="Send").click()

    def answer(self, timeout=30):
        """The newest answer, complete."""
        expect(self.tab.locator("#log")).to_have_attribute("aria-busy", "false", timeout=timeout * 1000)
        return self.tab.locator("article.assistant").last

    def asked(self):
        return [r for r in self.requests if r.url.endswith("/v1/chat/completions")]


@pytest.fixture
def browse(browser):
    contexts = []

    def visit(server, **options):
        contexts.append(browser.new_context(**options))
        contexts[-1].set_default_timeout(15000)
        return Browsed(contexts[-1], server)
    yield visit
    for context in contexts:
        context.close()


def canned(tab, *texts, error=None):
    """The next answers stream these pieces of text, whatever the model would say."""
    chunks = [{"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]} for text in texts]
    chunks.append({"error": {"message": error}} if error else
                  {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    tab.route("**/v1/chat/completions", lambda route: route.fulfill(
        status=200, headers={"content-type": "text/event-stream"}, body=body))


def get(server, path, **headers):
    request = urllib.request.Request(server.url + path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def test_only_models_that_can_chat_are_offered(paring, model, browse):
    with ServerProcess(paring.path, f"smol={model}", f"bert={ROOT / 'tests/data/encoders/bert-mean'}",
                       "--context-tokens", 2048) as server:
        listed = json.loads(get(server, "/v1/models")[2])["data"]
        assert {one["id"]: one["capabilities"] for one in listed} == {"smol": ["completion"], "bert": ["embedding"]}
        page = browse(server)
        expect(page.tab.get_by_label("Model").locator("option")).to_have_text(["smol"])
        assert page.complaints == []


def test_the_page_is_small_and_may_do_little(server):
    status, headers, body = get(server, "/")
    assert status == 200 and headers["content-type"] == "text/html; charset=utf-8"
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy and "*" not in policy
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
    total = len(body)
    files = set(re.findall(rb'(?:href|src)="([^"]+)"', body))
    scripts = [b"page/" + name for name in (b"answers.js", b"feedback.js", b"figures.js", b"markdown.js")]
    for name in [*files, *scripts]:
        status, headers, body = get(server, "/" + name.decode())
        assert status == 200 and headers["content-security-policy"] == policy, name
        assert get(server, "/" + name.decode(), if_none_match=headers["etag"])[0] == 304
        total += len(body)
    assert total < 40_000
    assert get(server, "/page/other.js")[0] == 404 and get(server, "/page/..%2Fserver.cc")[0] in (400, 404)


def test_an_answer_streams_and_says_what_it_took(server, browse):
    at = browse(server)
    at.settings(system="You answer briefly.", temperature=0, tokens=60)
    at.tab.evaluate("""() => {
        window.lengths = [];
        new MutationObserver(() => {
            const body = document.querySelector('article.assistant .body');
            if (body) window.lengths.push(body.textContent.length);
        }).observe(document.getElementById('log'), {childList: true, subtree: true, characterData: true});
    }""")
    at.tab.get_by_label("Message").fill("Tell me about the sea.")
    at.tab.get_by_label("Message").press("Enter")
    answer = at.answer()
    lengths = at.tab.evaluate("window.lengths")
    assert len({n for n in lengths if n > 0}) >= 4 and lengths == sorted(lengths), "it did not come piece by piece"
    figures = answer.locator(".figures").inner_text()
    assert all(words in figures for words in FIGURES), figures
    body = at.asked()[0].post_data_json
    assert body["model"] == "smol" and body["temperature"] == 0 and body["max_tokens"] == 60
    assert [m["role"] for m in body["messages"]] == ["system", "user"]
    alone = json.loads(urllib.request.urlopen(urllib.request.Request(
        server.url + "/v1/chat/completions", json.dumps({**body, "stream": False, "stream_options": None}).encode(),
        {"content-type": "application/json"})).read())
    said = alone["choices"][0]["message"]["content"]
    assert answer.locator(".body").inner_text().split() == said.replace("**", "").replace("`", "").split()
    assert f"answer {alone['usage']['completion_tokens']} tokens" in figures
    assert f"prompt {alone['usage']['prompt_tokens']} tokens" in figures
    assert at.complaints == []


def test_the_conversation_goes_on_and_an_answer_can_be_had_again(server, browse):
    at = browse(server)
    at.settings(temperature=0, tokens=12)
    at.send("Name a colour.")
    first = at.answer().locator(".body").inner_text()
    at.send("Name another.")
    at.answer()
    assert [m["role"] for m in at.asked()[1].post_data_json["messages"]] == ["user", "assistant", "user"]
    assert at.asked()[1].post_data_json["messages"][1]["content"].strip() == first.strip()
    assert at.tab.get_by_role("button", name="Regenerate").count() == 1
    at.tab.get_by_role("button", name="Regenerate").click()
    at.answer()
    again = at.asked()[2]
    assert again.post_data_json["messages"] == at.asked()[1].post_data_json["messages"]
    assert again.headers["cache-control"] == "no-cache" and "cache-control" not in at.asked()[1].headers
    assert at.tab.locator("article").count() == 4
    at.tab.get_by_role("button", name="New chat").click()
    assert at.tab.locator("article").count() == 0
    at.send("Name a colour.")
    assert "nothing was computed" in at.answer().locator(".figures").inner_text()
    assert at.complaints == []


@pytest.mark.parametrize("how", ["button", "key"])
def test_stopping_ends_the_work_on_the_server(server, browse, how):
    at = browse(server)
    at.settings(temperature=1, tokens=1800)
    at.send("Write a very long story about a ship, with many chapters.")
    expect(at.tab.locator("article.assistant .body")).not_to_be_empty()
    assert server.metric("vllm:num_requests_running") == 1
    if how == "button":
        at.tab.get_by_role("button", name="Stop").click()
    else:
        at.tab.keyboard.press("Escape")
    expect(at.tab.get_by_role("status")).to_have_text("Stopped.")
    deadline = time.monotonic() + 5
    while server.metric("vllm:num_requests_running") > 0 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert server.metric("vllm:num_requests_running") == 0
    assert at.answer().locator(".figures").inner_text() == "stopped"
    expect(at.tab.get_by_role("button", name="Send")).to_be_visible()
    at.settings(tokens=5)
    at.send("Go on.")
    assert "tokens" in at.answer().locator(".figures").inner_text()


def test_another_model_is_asked(server, browse):
    at = browse(server)
    at.settings(tokens=4)
    expect(at.tab.get_by_label("Model")).to_be_enabled()
    at.tab.get_by_label("Model").select_option("<i>other")
    at.send("Hi")
    assert at.answer().locator("h2").inner_text() == "<i>other"
    assert at.asked()[0].post_data_json["model"] == "<i>other"
    assert at.complaints == [] and at.tab.locator("#log i").count() == 0


def test_a_key_is_asked_for_and_kept_in_the_tab_only(paring, model, browse):
    with ServerProcess(paring.path, f"smol={model}", env={"PARING_API_KEY": KEY}) as server:
        at = browse(server)
        field = at.tab.get_by_label("API key")
        expect(field).to_be_visible()
        field.fill("a-wrong-key-9876543210")
        field.press("Enter")
        expect(at.tab.get_by_role("status")).to_contain_text("The server needs a valid key.")
        assert at.tab.get_by_label("Model").is_disabled()
        field.fill(KEY)
        at.tab.get_by_role("button", name="Use this key").click()
        expect(at.tab.get_by_label("Model")).to_be_enabled()
        at.settings(tokens=4)
        at.send("Hi")
        assert "tokens" in at.answer().locator(".figures").inner_text()
        assert at.asked()[0].headers["authorization"] == f"Bearer {KEY}"
        assert at.tab.evaluate("Object.values(sessionStorage)") == [KEY]
        assert at.tab.evaluate("localStorage.length") == 0 and at.tab.context.cookies() == []
        assert KEY not in at.tab.content() and at.tab.url == server.url + "/"
        assert field.input_value() == "" and at.complaints == []
        other = at.tab.context.new_page()
        other.goto(server.url + "/")
        expect(other.get_by_label("API key")).to_be_visible()
        assert KEY not in "".join(server.log)


def test_no_text_becomes_markup(server, browse):
    at = browse(server)
    canned(at.tab, EVIL[:20], EVIL[20:] + "\n# " + EVIL + "\n**" + EVIL + "** `" + EVIL + "`\n```" + "html\n",
           EVIL + "\n[here](javascript:window.hit=3)\n```\n", "[there](javascript:window.hit=4)")
    at.send(EVIL)
    answer = at.answer()
    assert answer.inner_text().count("<img src=x") == 5 and "javascript:window.hit=4" in answer.inner_text()
    assert EVIL in at.tab.locator("article.user").inner_text()
    canned(at.tab, error=EVIL)
    at.send("again")
    assert "<img src=x" in at.answer().locator(".problem").inner_text()
    at.tab.route("**/v1/chat/completions", lambda route: route.fulfill(
        status=400, content_type="application/json", body=json.dumps({"error": {"message": EVIL}})))
    at.send("and again")
    assert "<img src=x" in at.answer().locator(".problem").inner_text()
    at.tab.wait_for_timeout(300)
    assert at.tab.evaluate("window.hit") is None
    assert at.tab.locator("#log").locator("img, script, b, a, iframe").count() == 0
    assert at.complaints == []


def test_code_is_shown_as_code_and_copied(server, browse):
    at = browse(server, permissions=["clipboard-read", "clipboard-write"])
    canned(at.tab, "Look:\n\n``", "`python\ndef f(x):\n", "    return x < 2\n```\nThat `x` is **it**.")
    at.send("code")
    answer = at.answer()
    assert answer.locator("pre code").text_content() == "def f(x):\n    return x < 2"
    assert answer.locator(".code .bar span").inner_text() == "python"
    assert answer.locator("code.inline").inner_text() == "x" and answer.locator("strong").inner_text() == "it"
    answer.get_by_role("button", name="Copy code").click()
    expect(at.tab.get_by_role("status")).to_have_text("Copied.")
    assert at.tab.evaluate("navigator.clipboard.readText()") == "def f(x):\n    return x < 2"
    answer.get_by_role("button", name="Copy", exact=True).click()
    at.tab.wait_for_function("navigator.clipboard.readText().then((text) => text.endsWith('**it**.'))")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_narrow_window_and_both_themes(server, browse, theme):
    at = browse(server, viewport={"width": 360, "height": 640}, color_scheme=theme)
    canned(at.tab, "word " * 60 + "w" * 300 + "\n```\n" + "c" * 400 + "\n```\n")
    at.settings(tokens=9)
    at.send("a" * 200)
    at.answer()
    assert at.tab.evaluate("document.documentElement.scrollWidth") <= 360
    for control in at.tab.locator("button:visible, input:visible, select:visible, textarea:visible").all():
        box = control.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 360, control.evaluate("node => node.id")
    # WCAG 2.1, 1.4.3: text stands out from what is behind it by 4.5.
    ratios = at.tab.evaluate("""() => {
        const light = (colour) => {
            const [r, g, b] = colour.match(/[0-9.]+/g).map((v) => v / 255)
                .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const behind = (node) => {
            for (let at = node; at; at = at.parentElement) {
                const colour = getComputedStyle(at).backgroundColor;
                if (!/, 0\\)$/.test(colour)) return colour;
            }
        };
        return [...document.querySelectorAll('h1, h2, label, .text, .figures, #keys, button, summary, code')]
            .filter((node) => node.offsetParent)
            .map((node) => {
                const [a, b] = [light(getComputedStyle(node).color), light(behind(node))].sort((x, y) => y - x);
                return [node.textContent.slice(0, 20), (a + 0.05) / (b + 0.05)];
            });
    }""")
    assert len(ratios) > 12 and [r for r in ratios if r[1] < 4.5] == []
    background = at.tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (theme == "light")


def test_everything_has_a_name_and_the_keyboard_reaches_it(server, browse):
    at = browse(server)
    canned(at.tab, "Hello\n```\ncode\n```\n")
    at.send("Hi")
    at.answer()
    at.settings()
    assert at.tab.evaluate("document.documentElement.lang") == "en"
    for role, name in [("combobox", "Model"), ("textbox", "System prompt"), ("spinbutton", "Temperature"),
                       ("spinbutton", "Longest answer in tokens"), ("textbox", "Message"), ("log", "Conversation")]:
        expect(at.tab.get_by_role(role, name=name)).to_have_count(1)
    unnamed = at.tab.locator("button, input, select, textarea").evaluate_all(
        "nodes => nodes.filter(n => !n.labels?.length && !n.textContent.trim()).map(n => n.outerHTML)")
    assert unnamed == []
    at.tab.get_by_label("Message").focus()
    reached = set()
    for _ in range(20):
        at.tab.keyboard.press("Tab")
        reached.add(at.tab.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert {"model", "new-chat", "system", "temperature", "max-tokens", "log", "question", "send", "Copy",
            "Copy code", "Regenerate"} <= reached, reached
    at.tab.get_by_label("Message").focus()
    at.tab.keyboard.type("one")
    at.tab.keyboard.press("Shift+Enter")
    at.tab.keyboard.type("two")
    assert at.tab.get_by_label("Message").input_value() == "one\ntwo"


def test_nothing_leaves_for_another_origin(server, browse):
    at = browse(server)
    at.settings(tokens=4)
    at.send("Hi")
    at.answer()
    assert len(at.requests) >= 7 and all(r.url.startswith(server.url + "/") for r in at.requests)
    # Nor could it: what a page that was tampered with would try.
    tried = at.tab.evaluate("""async (other) => {
        const blocked = [];
        document.addEventListener('securitypolicyviolation', (e) => blocked.push(e.effectiveDirective));
        await fetch(other).catch(() => {});
        const image = document.createElement('img');
        image.src = other;
        document.body.append(image);
        const script = document.createElement('script');
        try { script.textContent = 'window.hit = 5'; document.body.append(script); } catch { blocked.push('types'); }
        try { document.body.innerHTML = '<p>x</p>'; } catch { blocked.push('types'); }
        await new Promise((resolve) => setTimeout(resolve, 200));
        return blocked;
    }""", "http://localhost:9/")
    assert {"connect-src", "img-src", "types"} <= set(tried) and at.tab.evaluate("window.hit") is None
    assert [r.url for r in at.requests if not r.url.startswith(server.url + "/") and r.failure is None] == []


def test_what_goes_wrong_is_said_in_words(paring, model, browse):
    with ServerProcess(paring.path, f"smol={model}", "--context-tokens", 256) as server:
        at = browse(server)
        at.send("word " * 600)
        problem = at.answer().locator(".problem")
        expect(problem).to_contain_text("The request failed (400). The server says:")
        at.settings(temperature=3)
        at.send("Hi")
        assert len(at.asked()) == 1, "a value out of its range is not sent"
        at.settings(temperature=1, tokens=200)
        at.send("Write a very long story about a ship.")
        expect(at.tab.locator("article.assistant .body").last).not_to_be_empty()
        server.end(signal.SIGKILL)
        at.answer()
        expect(at.tab.locator(".problem").last).to_have_text(
            re.compile("connection broke before the answer was complete|answer broke off"))
        at.send("Are you there?")
        at.answer()
        expect(at.tab.locator(".problem").last).to_have_text("The server cannot be reached.")
        assert at.complaints == []


def feedback_of(server, key=""):
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return json.loads(get(server, "/v1/feedback", **headers)[2])["data"]


def test_an_answer_is_rated_and_corrected(server, browse):
    at = browse(server)
    at.settings(temperature=0, tokens=8)
    at.send("Say a word.")
    answer = at.answer()
    request = at.asked()[0].response().headers["x-request-id"]
    good, bad = (answer.get_by_role("button", name=name) for name in ("Good answer", "Bad answer"))
    before = len(feedback_of(server))
    good.click()
    expect(at.tab.locator("#status")).to_have_text("Your thumb is kept.")
    expect(good).to_have_attribute("aria-pressed", "true")
    kept, *_ = feedback_of(server)
    assert (kept["name"], kept["value"], kept["response_id"]) == ("thumb", True, request)
    # A changed mind takes the place of the first.
    bad.click()
    expect(bad).to_have_attribute("aria-pressed", "true")
    expect(good).to_have_attribute("aria-pressed", "false")
    assert len(feedback_of(server)) == before + 1 and feedback_of(server)[0]["value"] is False
    bad.click()
    expect(at.tab.locator("#status")).to_have_text("Your thumb is taken back.")
    expect(bad).to_have_attribute("aria-pressed", "false")
    assert len(feedback_of(server)) == before

    opener = answer.get_by_role("button", name="Correct", exact=True)
    opener.click()
    expect(opener).to_have_attribute("aria-expanded", "true")
    text = answer.get_by_label("The answer as it should be")
    expect(text).to_be_focused()
    answer.get_by_role("button", name="Keep the correction").click()
    expect(at.tab.locator("#status")).to_contain_text("Change the text first")
    for better in ("A better answer.", "The best answer."):
        text.fill(better)
        answer.get_by_role("button", name="Keep the correction").click()
        expect(at.tab.locator("#status")).to_have_text("Your correction is kept.")
        expect(text).to_be_hidden()
        opener.click()
    answer.get_by_role("button", name="Cancel").click()
    expect(text).to_be_hidden()
    kept, *_ = feedback_of(server)
    assert len(feedback_of(server)) == before + 1
    assert (kept["type"], kept["value"], kept["response_id"]) == ("correction", "The best answer.", request)
    # The newest answer only can be computed again, each can be rated.
    at.send("And another.")
    at.answer()
    expect(at.tab.get_by_role("button", name="Good answer")).to_have_count(2)
    expect(at.tab.get_by_role("button", name="Regenerate")).to_have_count(1)
    assert at.complaints == []


def test_feedback_that_is_not_kept_is_told(paring, model, browse):
    with ServerProcess(paring.path, f"smol={model}", "--context-tokens", 2048, env={"PARING_API_KEY": KEY}) as server:
        at = browse(server)
        at.tab.get_by_label("API key").fill(KEY)
        at.tab.get_by_role("button", name="Use this key").click()
        at.settings(tokens=4)
        at.send("Say a word.")
        answer = at.answer()
        good = answer.get_by_role("button", name="Good answer")
        at.tab.route("**/v1/feedback", lambda route: route.fulfill(
            status=503, json={"error": {"message": "the disk is full"}}))
        good.click()
        expect(at.tab.locator("#status")).to_contain_text("The feedback is not kept.")
        expect(at.tab.locator("#status")).to_contain_text("the disk is full")
        expect(good).to_have_attribute("aria-pressed", "false")
        at.tab.unroute("**/v1/feedback")
        good.click()
        expect(good).to_have_attribute("aria-pressed", "true")
        assert [one["value"] for one in feedback_of(server, KEY)] == [True]
        assert at.complaints == []
