# SPDX-License-Identifier: Apache-2.0
"""The client of bench/serve_load.py: what it says of answers whose times and pieces are known."""
import asyncio
import json
import sys
import threading
import types

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "bench"))
from load import bars, exchange, statistics_of, traces, workloads  # noqa: E402

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(message):
    return b"data: " + (message if isinstance(message, bytes) else json.dumps(message).encode()) + b"\n\n"


def answer_of(pieces, sent=0.0):
    one = types.SimpleNamespace(sent=sent, ended=pieces[-1][0], failure=None, pieces=pieces)
    return exchange.Answer(one)


def whole_answer():
    text = [{"choices": [{"delta": {"role": "assistant", "content": ""}}]},
            {"choices": [{"delta": {"content": "a"}}]}, {"choices": [{"text": "b"}]},
            {"choices": [], "usage": {"completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 7}}}]
    return HEAD + b"".join(chunk(event(message)) for message in [*text, b"[DONE]"]) + b"0\r\n\r\n"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10000])
def test_an_answer_reads_the_same_in_pieces_of_any_size(size):
    data = whole_answer()
    answer = answer_of([(1.0 + i, data[i:i + size]) for i in range(0, len(data), size)])
    assert (answer.status, answer.text, answer.tokens, answer.cached_tokens) == (200, "ab", 2, 7)
    assert answer.is_complete and answer.failure is None and len(answer.times) == 2


def test_an_event_has_the_time_of_the_piece_that_completed_it():
    first = chunk(event({"choices": [{"text": "a"}]}))
    second = chunk(event({"choices": [{"text": "b"}]}))
    answer = answer_of([(1.0, HEAD), (2.0, first[:9]), (3.0, first[9:] + second[:4]), (5.0, second[4:])], sent=0.5)
    assert answer.times == [3.0, 5.0] and answer.gaps == [2.0] and answer.ttft == 2.5


def test_what_is_no_stream_or_ends_early_is_a_failure_that_says_so():
    refused = answer_of([(1.0, b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nfull")])
    assert refused.failure == "HTTP 503: full"
    cut = answer_of([(1.0, HEAD + chunk(event({"choices": [{"text": "a"}]})))])
    assert cut.failure.startswith("HTTP 200") and not cut.is_complete
    error = answer_of([(1.0, HEAD + chunk(event({"error": {"message": "gone"}})) + chunk(event(b"[DONE]")))])
    assert "gone" in error.failure


class SlowServer:
    """Answers each connection with tokens at a fixed distance, one connection after the other's beginning."""

    def __init__(self, first, gap, tokens):
        self.host, self.port, self.delays = "127.0.0.1", None, (first, gap, tokens)
        self.ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.serve()), daemon=True)
        self.thread.start()
        self.ready.wait(10)

    def cpu_seconds(self):
        return 0.0

    async def serve(self):
        server = await asyncio.start_server(self.answer, self.host, 0)
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        async with server:
            await server.serve_forever()

    async def answer(self, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        first, gap, tokens = self.delays
        writer.write(HEAD)
        await asyncio.sleep(first)
        for _ in range(tokens):
            if writer.is_closing():
                return
            writer.write(chunk(event({"choices": [{"text": "x"}]})))
            await asyncio.sleep(gap)
        usage = {"completion_tokens": tokens, "prompt_tokens": 1}
        writer.write(chunk(event({"choices": [], "usage": usage})) + chunk(event(b"[DONE]")) + b"0\r\n\r\n")
        try:
            await writer.drain()
        except ConnectionError:
            pass
        writer.close()


def test_measured_times_are_those_that_the_server_took():
    server = SlowServer(first=0.2, gap=0.05, tokens=5)
    request = workloads.completion(server, [1, 2], 5)
    answers, shares = workloads.open_loop(server, [request] * 3, [0.0, 0.1, 0.3])
    found = statistics_of.latencies(answers)
    assert 0.2 <= found["ttft"]["p50"] < 5 and 0.05 <= found["itl"]["p50"] < 5
    assert 0.25 < answers[2].sent - answers[0].sent < 5 and 0 <= shares["client"] < 1
    assert statistics_of.goodput(answers, statistics_of.Objective(10.0, 10.0)) > 0
    assert statistics_of.goodput(answers, statistics_of.Objective(0.01, 1.0)) == 0


def test_a_closed_loop_counts_tokens_of_answers_that_it_cuts_off():
    server = SlowServer(first=0.0, gap=0.1, tokens=100)
    request = workloads.completion(server, [1], 100)
    answers, _, (begin, end) = workloads.closed_loop(server, [request] * 50, clients=4, seconds=2.0)
    rate = statistics_of.tokens_within(answers, begin, end) / (end - begin)
    assert len(answers) == 4 and 3 < rate < 45  # four clients at ten a second, fewer on a busy machine


def test_prompts_have_exact_lengths_and_share_what_the_trace_shares():
    text = traces.PromptText(list(range(1000)))
    for name in ("azure", "mooncake"):
        arrivals = traces.read(name)
        chosen = traces.at_rate(arrivals, rate=200, seconds=10)
        assert len(chosen) == 2000 > len(arrivals) and chosen[-1].at == pytest.approx(10)
        assert all(one.at <= other.at for one, other in zip(chosen, chosen[1:]))
        assert all(len(text.prompt(one, "seed")) == one.prompt_tokens for one in chosen[:300])
    one, other = (traces.Arrival(at, 40, 5, blocks) for at, blocks in ((0.0, (1, 2, 3)), (1.0, (1, 2, 4))))
    first, second = text.prompt(one, "seed"), text.prompt(other, "seed")
    assert first[:32] == second[:32] and first != second and text.prompt(one, "other")[:32] != first[:32]


def test_a_bar_without_a_figure_is_missed():
    assert bars.ratios([1.0, 3.0, 2.0], [1.0, 1.0, 1.0]) == {"median": 2.0, "least": 1.0, "largest": 3.0}
    assert not bars.bar("x", bars.ratios([1.0], [0.0])["median"], 0.5, True)["is_met"]
    assert statistics_of.percentile([3, 1, 2], 50) == 2 and statistics_of.percentile(range(1, 101), 99) == 99
    assert statistics_of.agreement(["abcd", "x"], ["abxx", "x"]) == {"equal": 0.5, "prefix": 0.75, "texts": 2}
