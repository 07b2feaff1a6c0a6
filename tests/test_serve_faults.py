# SPDX-License-Identifier: Apache-2.0
"""What goes wrong with clients, memory, files, clocks and the process itself, and that nobody else notices: in each
test somebody asks as usual meanwhile and must get the text that a server without trouble gives, to the letter."""
import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import time

import pytest
import raw_client
import tiny_model
from raw_client import Connection, ask, chat_bytes
from server_process import ServerProcess

QUESTIONS = ["Hi", "Who?", "Tell me more.", "0123456789", "What is it?", "A B C", "Once upon", "x"]
TOKENS = 40
# A step of so small a model is over before a second thread has woken up. Answers are to be computed, each time.
PLAIN = ("--threads", 1, "--cache-bytes", 0)
ABANDONED = 'vllm:request_success_total{finished_reason="abort"}'


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A model that answers in milliseconds, at length, and nonsense."""
    path = tmp_path_factory.mktemp("faults") / "small.gguf"
    tiny_model.write(path, chat_template=raw_client.CHATML)
    return path


@pytest.fixture
def server(paring, small):
    with ServerProcess(paring.path, f"small={small}", *PLAIN) as running:
        yield running
        assert running.end() == 0, "".join(running.log)


def alone(server, questions=QUESTIONS, max_tokens=TOKENS):
    """What each question is answered when nobody else asks."""
    return {question: asyncio.run(ask(server, question, max_tokens)) for question in questions}


def open_requests(server):
    return server.metric("vllm:num_requests_running") + server.metric("vllm:num_requests_waiting")


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


async def keep_asking(server, right, stop, seed=0):
    """Until `stop` is set, asks and compares; comes again when there is no room. Returns how often it was answered."""
    chance, count = random.Random(seed), 0
    while not stop.is_set() or count == 0:
        question = chance.choice(list(right))
        try:
            assert await ask(server, question, TOKENS) == right[question]
            count += 1
        except raw_client.Overloaded:
            await asyncio.sleep(0.05)
    return count


async def beside_witness(server, right, trouble):
    """Runs `trouble` while a witness keeps asking."""
    stop = asyncio.Event()
    witness = asyncio.create_task(keep_asking(server, right, stop))
    try:
        await trouble
    finally:
        stop.set()
    assert await witness >= 1


def everything_is_free(server, descriptors):
    assert wait_until(lambda: open_requests(server) == 0)
    assert wait_until(lambda: len(server.descriptors()) <= len(descriptors)), (server.descriptors(), descriptors)


async def vanish(server, chance, gate):
    """A client that goes away at a random moment: with the request half sent, in the queue, while it is read, while it
    is answered, and sometimes never."""
    async with gate:
        connection = await Connection.open(server)
        request = chat_bytes(chance.choice(QUESTIONS), chance.randrange(1, 200), chance.random() < 0.7)
        part = chance.randrange(1, len(request)) if chance.random() < 0.15 else len(request)
        with contextlib.suppress(ConnectionError):
            await connection.send(request[:part])
            await asyncio.sleep(chance.random() ** 3 * 0.4)
        connection.reset() if chance.random() < 0.6 else connection.close()


async def vanishing(server, count, together, seed):
    chance, gate = random.Random(seed), asyncio.Semaphore(together)
    await asyncio.gather(*(vanish(server, chance, gate) for _ in range(count)))


def test_a_thousand_clients_that_vanish(server):
    right = alone(server)
    descriptors, before = server.descriptors(), server.metric("vllm:request_success_total")
    asyncio.run(beside_witness(server, right, vanishing(server, 1000, 64, seed=1)))
    everything_is_free(server, descriptors)
    assert server.metric("vllm:request_success_total") > before
    assert alone(server) == right


@pytest.mark.slow
def test_ten_thousand_random_cancels(server):
    right = alone(server)
    asyncio.run(vanishing(server, 500, 128, seed=2))  # all that grows once has grown
    assert wait_until(lambda: open_requests(server) == 0)
    descriptors, memory = server.descriptors(), server.memory()
    asyncio.run(beside_witness(server, right, vanishing(server, 10_000, 128, seed=3)))
    everything_is_free(server, descriptors)
    assert server.memory() < memory + 32e6
    assert alone(server) == right


def test_half_sent_bodies_keep_nobody_waiting(server):
    right = alone(server)
    descriptors = server.descriptors()

    async def trouble():
        request = chat_bytes("x" * 400, 10)
        connections = [await Connection.open(server) for _ in range(50)]
        for index, connection in enumerate(connections):
            await connection.send(request[:-1 - index * 8])
        await asyncio.sleep(0.5)
        for connection in connections:
            connection.reset()

    asyncio.run(beside_witness(server, right, trouble()))
    everything_is_free(server, descriptors)


def test_readers_that_do_not_read_are_cut_and_delay_nobody(server):
    right = alone(server)
    descriptors = server.descriptors()
    # More than the kernel and the server's 1 MB keep for a client: 64 answers of 180 tokens with 20 others each.
    request = chat_bytes("Hi", 180, n=64, logprobs=True, top_logprobs=20)

    async def trouble():
        connections = [await Connection.open(server, receive_bytes=4096) for _ in range(2)]
        for connection in connections:
            await connection.send(request)
        while server.metric("paring:http_slow_readers_total") < len(connections):
            await asyncio.sleep(0.1)
        for connection in connections:
            connection.reset()

    asyncio.run(asyncio.wait_for(beside_witness(server, right, trouble()), 120))
    everything_is_free(server, descriptors)


def test_a_reader_that_is_slow_gets_everything(server):
    async def slow():
        connection = await Connection.open(server, receive_bytes=4096)
        await connection.send(chat_bytes("Hi", 100))
        data = b""
        while piece := await connection.reader.read(200):
            data += piece
            await asyncio.sleep(0.002)
        connection.close()
        return raw_client.text_of_events(raw_client.unchunked(data.partition(b"\r\n\r\n")[2]))

    assert asyncio.run(slow()) == asyncio.run(ask(server, "Hi", 100))


def test_a_full_queue_refuses_before_any_work(paring, model):
    with ServerProcess(paring.path, f"smol={model}", "--cache-bytes", 0, "--requests-max", 4) as server:
        right = alone(server, QUESTIONS[:1], 8)

        async def run():
            busy = [await Connection.open(server) for _ in range(4)]
            for connection in busy:
                await connection.send(chat_bytes("Hi", 3000))
                await connection.reader.readexactly(1)  # it is admitted
            before = server.metric("vllm:prompt_tokens_total")
            late = await Connection.open(server)
            await late.send(chat_bytes("Who?", 10))
            status, head, body = await late.rest()
            assert status == 503 and "retry-after: " in head
            assert json.loads(body)["error"]["code"] == "server_is_overloaded"
            assert server.metric("vllm:prompt_tokens_total") == before
            for connection in busy:
                connection.reset()

        asyncio.run(run())
        assert wait_until(lambda: open_requests(server) == 0)
        assert alone(server, QUESTIONS[:1], 8) == right
        assert server.end() == 0


def test_answers_that_the_cache_keeps_are_no_open_requests(paring, small):
    with ServerProcess(paring.path, f"small={small}", "--threads", 1, "--requests-max", 4) as server:
        assert len(alone(server, [f"Number {i}" for i in range(12)], 4)) == 12
        begin = time.monotonic()
        assert server.end() == 0
        assert time.monotonic() - begin < 10  # an idle server ends at once


def test_prompts_that_wait_have_a_limit_in_tokens(paring, small):
    with ServerProcess(paring.path, f"small={small}", *PLAIN, "--queued-tokens-max", 100) as server:
        async def run():
            connection = await Connection.open(server)
            await connection.send(chat_bytes("x" * 150, 10))
            return await connection.rest()

        status, head, _ = asyncio.run(run())
        assert status == 503 and "retry-after: " in head
        assert alone(server, QUESTIONS[:1])


def test_more_answers_than_the_cache_has_room_for_are_all_right(paring, small):
    questions = [f"Number {i}" for i in range(12)]
    with ServerProcess(paring.path, f"small={small}", *PLAIN) as roomy:
        right = alone(roomy, questions, 200)
    with ServerProcess(paring.path, f"small={small}", *PLAIN, "--cache-tokens", 512) as server:
        async def together():
            return await asyncio.gather(*(ask(server, question, 200) for question in questions))

        assert asyncio.run(together()) == list(right.values())
        waited = server.metric("vllm:request_queue_time_seconds_sum")
        assert server.metric("vllm:num_preemptions_total") > 0 or waited > 0.01
        assert server.end() == 0


def test_sigterm_under_load_lets_all_end(paring, model):
    with ServerProcess(paring.path, f"smol={model}", "--cache-bytes", 0, "--drain-seconds", 60) as server:
        right = alone(server, QUESTIONS[:4], 100)

        async def run():
            connections = {question: await Connection.open(server) for question in right}
            for question, connection in connections.items():
                await connection.send(chat_bytes(question, 100))
                await connection.reader.readexactly(1)  # it is admitted
            assert open_requests(server) > 0
            server.process.send_signal(signal.SIGTERM)
            return {question: raw_client.text_of_events((await connection.rest())[2])
                    for question, connection in connections.items()}

        assert asyncio.run(run()) == right
        assert server.end() == 0


@pytest.mark.parametrize("kind", ["small", "model"])
def test_a_model_file_that_is_cut_and_overwritten_while_it_is_served(paring, kind, request, tmp_path):
    """Weights are rearranged into memory of the process while they are loaded, and nothing reads the file again: of an
    empty file every read of the mapping that is left would be the end of the process (SIGBUS)."""
    path = tmp_path / "model.gguf"
    shutil.copy(request.getfixturevalue(kind), path)
    with ServerProcess(paring.path, f"served={path}", "--cache-bytes", 0) as server:
        right = alone(server, QUESTIONS[:2], 12)

        async def trouble():
            os.truncate(path, 0)
            await asyncio.sleep(0.3)
            with open(path, "r+b") as file:
                file.write(b"\xff" * 1000)
            await asyncio.sleep(0.3)
            path.unlink()

        async def run():
            stop = asyncio.Event()

            async def keep():
                while not stop.is_set():
                    for question, text in right.items():
                        assert await ask(server, question, 12) == text

            keeper = asyncio.create_task(keep())
            await trouble()
            stop.set()
            await keeper

        asyncio.run(run())
        # Other words than before, so that other rows of the vocabulary are read; and the whole model's card.
        assert asyncio.run(ask(server, "Zebras, quite unlike 12 horses; why?", 12))
        assert json.loads(server.get("/v1/models"))["data"][0]["id"] == "served"
        assert server.end() == 0


CLOCK_SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
#include <sys/time.h>
/* The wall clock jumps by a day, there and back, every half second; the monotonic one does not. */
typedef int (*get_time)(clockid_t, struct timespec*);
static get_time real(void) { return (get_time)dlsym(RTLD_NEXT, "clock_gettime"); }
static long jump(void) {
  struct timespec now;
  real()(CLOCK_MONOTONIC, &now);
  return (now.tv_sec * 2 + now.tv_nsec / 500000000) % 2 ? 86400 : -86400;
}
int clock_gettime(clockid_t id, struct timespec* out) {
  int code = real()(id, out);
  if (id == CLOCK_REALTIME) out->tv_sec += jump();
  return code;
}
time_t time(time_t* out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out) *out = now.tv_sec;
  return now.tv_sec;
}
int gettimeofday(struct timeval* out, void* zone) {
  struct timespec now;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &now);
  out->tv_sec = now.tv_sec;
  out->tv_usec = now.tv_nsec / 1000;
  return 0;
}
"""


def test_steps_of_the_clock_change_nothing(paring, small, tmp_path):
    source, shim = tmp_path / "clock.c", tmp_path / "clock.so"
    source.write_text(CLOCK_SHIM)
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler to make the clock that jumps")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
    with ServerProcess(paring.path, f"small={small}", *PLAIN, env={"LD_PRELOAD": str(shim)}) as server:
        right = alone(server)
        created = set()

        async def run():
            end = time.monotonic() + 3
            while time.monotonic() < end:
                answers = await asyncio.gather(*(ask(server, question, TOKENS) for question in QUESTIONS))
                assert answers == list(right.values())
                connection = await Connection.open(server)
                await connection.send(chat_bytes("Hi", 1, stream=False))
                created.add(json.loads((await connection.rest())[2])["created"] // 86400)
                await asyncio.sleep(0.1)

        asyncio.run(run())
        assert len(created) > 1, "the clock did not jump: the test proves nothing"
        assert json.loads(server.get("/livez")) == {"status": "ok"}
        assert 0 <= server.metric("vllm:e2e_request_latency_seconds_sum") < 1000
        assert server.end() == 0


def soak(server, seconds):
    """Everything at once for so long. Memory and descriptors at the end are those after the first fifth."""
    right = alone(server)
    chance = random.Random(11)

    async def run(until):
        stop = asyncio.Event()
        witnesses = [asyncio.create_task(keep_asking(server, right, stop, seed)) for seed in range(4)]
        rounds = 0
        while time.monotonic() < until:
            await vanishing(server, 100, 32, seed=chance.random())
            rounds += 1
            if any(witness.done() for witness in witnesses):
                break
        stop.set()
        return sum(await asyncio.gather(*witnesses)), rounds

    begin = time.monotonic()
    asyncio.run(run(begin + 0.2 * seconds))
    assert wait_until(lambda: open_requests(server) == 0)
    memory, descriptors = server.memory(), server.descriptors()
    answers, rounds = asyncio.run(run(begin + seconds))
    everything_is_free(server, descriptors)
    print(f"{answers} answers compared, {rounds * 100} clients vanished, memory {memory / 1e6:.1f} to "
          f"{server.memory() / 1e6:.1f} MB")
    assert answers > seconds  # somebody was answered, all the time
    assert server.memory() < 1.02 * memory + 4e6
    assert alone(server) == right


@pytest.mark.slow
def test_three_minutes_of_everything(server):
    soak(server, 180)


@pytest.mark.long
def test_half_an_hour_of_everything(server):
    soak(server, 1800)
