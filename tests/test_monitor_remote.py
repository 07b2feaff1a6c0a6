# SPDX-License-Identifier: Apache-2.0
"""What models of others cost, by a price book, through the proxy and by OTLP; what is kept of Anthropic's protocol."""
import json
import time

import anthropic
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import tiny_model
from fake_upstream import CHUNKS, USAGE, FakeUpstream
from raw_client import CHATML
from server_process import ServerProcess
from test_monitor_proxy import MESSAGES, SECRET, monitor, post, rows_when
from test_otlp import attribute

PRICES = {"prompt_per_million": 100, "cached_prompt_per_million": 10, "answer_per_million": 1000,
          "reasoning_per_million": 2000}
UNPRICED = "paring:requests_without_price_total"


def unpriced(server, reason):
    return value_of(server, f'{UNPRICED}{{reason="{reason}"}}')


def value_of(server, sample):
    line, = [line for line in server.get("/metrics").splitlines() if line.startswith(sample)]
    return float(line.split()[-1])


def cost_of(usage):
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    reasoning = usage["completion_tokens_details"]["reasoning_tokens"]
    return ((usage["prompt_tokens"] - cached) * 100 + cached * 10 + (usage["completion_tokens"] - reasoning) * 1000
            + reasoning * 2000) / 1e6


@pytest.fixture
def book(tmp_path):
    path = tmp_path / "prices.json"
    path.write_text(json.dumps({"currency": "EUR", "prices": [
        {"from": "2020-01-01", "models": {"whole": {"prompt_per_million": 1e6}}},
        {"from": "2024-01-01", "models": {"whole": PRICES, "stream": PRICES, "uncounted": PRICES, "claude-*": PRICES}},
        {"from": "2200-01-01", "models": {}}]}))
    return path


def test_a_proxy_charges_tokens_by_their_class(paring, tmp_path, book):
    with FakeUpstream() as upstream, monitor(paring, upstream.url, tmp_path / "data", "--price-book", book) as proxy:
        bodies = [{"model": "whole"}, {"model": "stream", "stream": True}, {"model": "nobody"},
                  {"model": "uncounted", "stream": True}, {"model": "error"}]
        for body in bodies:
            post(proxy, "/v1/chat/completions", {**body, "messages": MESSAGES})
        post(proxy, "/v1/messages", {"model": "claude-new", "max_tokens": 9, "messages": MESSAGES})
        rows = {row["model"]: row for row in rows_when(tmp_path / "data", 6)}
        claude = (8 * 100 + 20 * 10 + 9 * 1000) / 1e6
        for model, cost in (("whole", cost_of(USAGE)), ("stream", cost_of(USAGE)), ("claude-new", claude)):
            assert rows[model]["token_cost"] == pytest.approx(cost), model
            assert rows[model]["currency"] == "EUR"
        for model in ("nobody", "uncounted", "error"):
            assert rows[model]["currency"] == "", f"{model}: no money is not the same as none asked"
        assert unpriced(proxy, "unknown_model") == 1 and unpriced(proxy, "tokens_not_told") == 1
        total = value_of(proxy, 'paring:money_total{currency="EUR",part="tokens"}')
        assert total == pytest.approx(2 * cost_of(USAGE) + claude)
        post(proxy, "/v1/chat/completions", {"model": "nobody", "messages": MESSAGES})
        rows_when(tmp_path / "data", 7)
    assert sum("no price of the model 'nobody'" in line for line in proxy.log) == 1, "said once"


def test_without_a_price_book_nothing_is_charged_or_missed(paring, tmp_path):
    with FakeUpstream() as upstream, monitor(paring, upstream.url, tmp_path) as proxy:
        post(proxy, "/v1/chat/completions", {"model": "whole", "messages": MESSAGES})
        row, = rows_when(tmp_path, 1)
        assert row["currency"] == "" and proxy.metric(UNPRICED) == 0


def test_a_price_book_that_is_none_is_refused(paring, tmp_path):
    wrong = tmp_path / "wrong.json"
    wrong.write_text('{"currency": "EUR", "prices": [{"from": "2024-01-01", "models": {"m": {"prompt": 1}}}]}')
    done = paring("monitor", "--upstream", "http://127.0.0.1:9", "--data-dir", tmp_path, "--price-book", wrong)
    assert done.code != 0 and "prices[0].models.m.prompt" in done.err


def test_spans_of_others_are_charged_unless_they_say_what_they_cost(paring, tmp_path, book):
    path = tmp_path / "small.gguf"
    tiny_model.write(path, chat_template=CHATML)
    message = ExportTraceServiceRequest()
    spans = message.resource_spans.add().scope_spans.add().spans
    for number, more in enumerate(({"gen_ai.request.model": "whole"}, {"gen_ai.request.model": "nobody"},
                                   {"gen_ai.request.model": "whole", "paring.cost.tokens": 0.5,
                                    "paring.cost.currency": "USD"})):
        span = spans.add(trace_id=bytes(range(16)), span_id=bytes([1 + number] * 8), name="chat",
                         start_time_unix_nano=time.time_ns(), end_time_unix_nano=time.time_ns() + 10**9)
        names = {"gen_ai.usage.input_tokens": 30, "gen_ai.usage.cache_read.input_tokens": 10,
                 "gen_ai.usage.output_tokens": 7, "gen_ai.usage.reasoning.output_tokens": 2, **more}
        span.attributes.extend(attribute(*each) for each in names.items())
    with ServerProcess(paring.path, f"small={path}", "--price-book", book) as server:
        status, answer, _ = post(server, "/v1/traces", message.SerializeToString(),
                                 {"content-type": "application/x-protobuf"})
        assert status == 200, answer
        rows = {row["span_id"][:2]: row for row in json.loads(server.get("/v1/traffic"))["data"]}
        cost = (20 * 100 + 10 * 10 + 5 * 1000 + 2 * 2000) / 1e6
        assert rows["01"]["money"]["tokens"] == pytest.approx(cost) and rows["01"]["money"]["currency"] == "EUR"
        assert not (rows["02"].get("money") or {}).get("currency")
        assert rows["03"]["money"]["tokens"] == 0.5 and rows["03"]["money"]["currency"] == "USD"
        assert unpriced(server, "unknown_model") == 1


def test_what_is_kept_of_anthropics_messages(paring, tmp_path):
    with FakeUpstream() as upstream, ServerProcess(
            paring.path, "--upstream", upstream.url, "--data-dir", tmp_path, "--content", "full",
            command="monitor") as proxy:
        client = anthropic.Anthropic(base_url=proxy.url, api_key=SECRET, max_retries=0)
        asked = {"model": "claude", "max_tokens": 20, "system": "Be brief",
                 "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]}
        with client.messages.stream(**asked) as stream:
            text = "".join(stream.text_stream)
        assert text == "".join(f"word {i} " for i in range(CHUNKS)), "the stream passes as it is"
        assert client.messages.create(**asked).content[0].text == "hi"
        streamed, whole = rows_when(tmp_path, 2)
        assert (streamed["route"], streamed["model"], streamed["ending"]) == ("/v1/messages", "claude", "stop")
        assert streamed["is_complete"] == 1 and streamed["first_token_s"] > 0
        assert (streamed["prompt_fresh"], streamed["prompt_cached"], streamed["answer_visible"]) == (8, 20, 9)
        assert whole["ending"] == "length"
    prompt = [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hello"}]
    done = paring("traffic", "export", "--data-dir", tmp_path, "--out", "-", "--with-content")
    assert done.code == 0, done.err
    kept = [json.loads(line) for line in done.out.splitlines()]
    contents = [(each["prompt"], each["answer"]) for each in kept]
    assert sorted(contents, key=str) == sorted([
        (prompt, {"role": "assistant", "content": text}), (prompt, {"role": "assistant", "content": "hi"})], key=str)
