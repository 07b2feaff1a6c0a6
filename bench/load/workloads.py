# SPDX-License-Identifier: Apache-2.0
"""What is done to a server: arrivals in a trace's rhythm, many clients, conversations, one very long prompt."""
import asyncio
import gc
import os
import pathlib
import time

from load import exchange

DRAIN_SECONDS_MAX = 600


class NotWhole(Exception):
    """An answer that a figure needs did not come."""


def must_be_whole(answers):
    for answer in answers:
        if answer.failure or not answer.times:
            raise NotWhole(answer.failure or "an answer without text")


def _request(server, path, body):
    fixed = {"stream": True, "stream_options": {"include_usage": True}, "temperature": 0}
    return exchange.http_request(f"{server.host}:{server.port}", path, body | fixed)


def completion(server, ids, output_tokens):
    """A request to continue exactly these tokens by exactly so many, as bytes."""
    return _request(server, "/v1/completions", {"prompt": ids, "max_tokens": output_tokens, "ignore_eos": True})


def completions(server, text, arrivals, seed):
    return [completion(server, text.prompt(arrival, seed), arrival.output_tokens) for arrival in arrivals]


def chat(server, messages, output_tokens):
    return _request(server, "/v1/chat/completions", {"messages": messages, "max_tokens": output_tokens})


def prompt_tokens_of(server, system):
    """Tokens of the shortest conversation after `system`: what others share with it, and the few that end a turn."""
    messages = [{"role": "system", "content": system}, {"role": "user", "content": "Hi"}]
    reply = server.post("/v1/chat/completions", {"messages": messages, "max_tokens": 1, "temperature": 0})
    return reply["usage"]["prompt_tokens"]


class Watch:
    """Processor time while something is measured: the client's, the server's, and what everybody else took."""

    def __init__(self, server):
        self.server = server

    def __enter__(self):
        gc.collect()
        gc.disable()
        self.before = self._now()
        return self

    def __exit__(self, *_):
        gc.enable()
        wall, client, server, busy = (now - then for now, then in zip(self._now(), self.before))
        self.shares = {"seconds": wall, "client": client / wall, "server": server / wall,
                       "others": max(0.0, busy - client - server) / wall}

    def _now(self):
        first = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
        user, nice, system, _, _, irq, softirq, steal = map(int, first)
        busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
        return time.perf_counter(), time.process_time(), self.server.cpu_seconds(), busy


async def _arrive(server, requests, times):
    begin = time.perf_counter()
    under_way = []
    for request, at in zip(requests, times):
        delay = begin + at - time.perf_counter()
        if delay > 0:
            await asyncio.sleep(delay)
        under_way.append(await exchange.start(server, request))
    await asyncio.wait([one.over for one in under_way], timeout=DRAIN_SECONDS_MAX)
    for one in under_way:
        if not one.over.done():
            one.failure = f"no answer after {DRAIN_SECONDS_MAX} s"
            one.abandon()
    await asyncio.sleep(0)
    return under_way


def open_loop(server, requests, times):
    """Sends each request at its time, whatever becomes of the others. Answers in that order, and processor shares."""
    with Watch(server) as watch:
        exchanges = asyncio.run(_arrive(server, requests, times))
    return [exchange.Answer(one) for one in exchanges], watch.shares


async def _closed(server, requests, clients, seconds, cuts):
    waiting = iter(requests)
    done = []
    end = time.perf_counter() + seconds

    async def client():
        for request in waiting:
            one = await exchange.start(server, request)
            done.append(one)
            left = max(0.0, end - time.perf_counter()) if cuts else None
            await asyncio.wait([one.over], timeout=left)
            if not one.over.done():
                one.abandon()
                await one.over
            if time.perf_counter() >= end:
                return

    await asyncio.gather(*(client() for _ in range(clients)))
    return done


def closed_loop(server, requests, clients, seconds):
    """`clients` that each send the next request when their last is answered, cut off after `seconds`. Answers,
    processor shares, and the times between which all were busy: the first fifth is left out."""
    begin = time.perf_counter()
    with Watch(server) as watch:
        exchanges = asyncio.run(_closed(server, requests, clients, seconds, True))
    answers = [exchange.Answer(one) for one in exchanges]
    return answers, watch.shares, (begin + 0.2 * seconds, begin + seconds)


def one_by_one(server, requests):
    exchanges = asyncio.run(_closed(server, requests, 1, float("inf"), False))
    return [exchange.Answer(one) for one in exchanges]


async def _chat_user(server, first_spoke, texts, system, turns, output_tokens, rows, user):
    if user > 0:
        await first_spoke.wait()
    messages = [{"role": "system", "content": system}]
    for turn in range(turns):
        messages.append({"role": "user", "content": texts[user * turns + turn]})
        one = await exchange.start(server, chat(server, messages, output_tokens), lambda _: first_spoke.set())
        await one.over
        answer = exchange.Answer(one)
        rows.append((user, turn, answer))
        if answer.failure or not answer.times:
            first_spoke.set()
            return
        messages.append({"role": "assistant", "content": answer.text})


def chats(server, texts, system, users, turns, output_tokens):
    """`users` conversations of `turns` turns that begin with the same system prompt; the others begin when the first
    has its first token. Rows of (user, turn, Answer)."""
    rows = []

    async def run():
        first_spoke = asyncio.Event()
        await asyncio.gather(*(_chat_user(server, first_spoke, texts, system, turns, output_tokens, rows, user)
                               for user in range(users)))

    with Watch(server) as watch:
        asyncio.run(run())
    return sorted(rows, key=lambda row: row[:2]), watch.shares


async def _beside(server, streams, long_request, warm_events):
    """Streams, then the long prompt when each has had `warm_events` pieces; all streams end when it has its answer."""
    warm = asyncio.Event()
    running = []

    def look(_):
        if len(running) == len(streams) and all(len(one.pieces) > warm_events for one in running):
            warm.set()

    for request in streams:
        running.append(await exchange.start(server, request, look))
    over = asyncio.gather(*(one.over for one in running))
    await asyncio.wait([over, asyncio.ensure_future(warm.wait())], return_when=asyncio.FIRST_COMPLETED)
    long = await exchange.start(server, long_request)
    await asyncio.wait([long.over], timeout=2 * DRAIN_SECONDS_MAX)
    for one in running:
        if not one.over.done():
            one.abandon()
    await over
    return running, long


def long_prompt_beside_streams(server, streams, long_request, warm_events):
    """Answers of the streams (cut off) and of the long prompt, and processor shares."""
    with Watch(server) as watch:
        running, long = asyncio.run(_beside(server, streams, long_request, warm_events))
    return [exchange.Answer(one) for one in running], exchange.Answer(long), watch.shares
