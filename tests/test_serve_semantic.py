# SPDX-License-Identifier: Apache-2.0
"""The cache that answers questions that mean the same. The encoder has random weights and every likeness is taken
(thousandths: 1), so what is tested is everything that keeps questions apart beside it."""
import json
import time

import pytest

from server_process import ServerProcess
from test_serve import post, stream

# With such an answer there is nothing to get wrong: what is given and what is computed are equal.
ONE_ANSWER = {"response_format": {"type": "json_schema", "json_schema": {
    "name": "one", "schema": {"type": "object", "properties": {"fixed": {"const": "the same"}},
                              "required": ["fixed"], "additionalProperties": False}}}, "max_tokens": 40}
KEYS = ("alice-has-a-key-of-letters tenant=a scopes=inference,metrics\n"
        "bob-has-a-key-of-letters tenant=b scopes=inference")


def start(paring, model, root, *words, env=None):
    return ServerProcess(paring.path, f"smol={model}", "--context-tokens", 1024, "--semantic-cache",
                         root / "tests/data/encoders/bert-mean", "--semantic-cache-similarity", 1, *words, env=env)


@pytest.fixture(scope="module")
def server(paring, model, root, tmp_path_factory):
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(KEYS)
    keys.chmod(0o600)
    with start(paring, model, root, "--semantic-cache-false-hits", 100, "--semantic-cache-sample", 1,
               "--api-key-file", keys) as running:
        running.key = "alice-has-a-key-of-letters"
        yield running


def ask(server, question, headers=None, who="alice", messages=None, **more):
    body = {"model": "smol", "messages": messages or [{"role": "user", "content": question}], "temperature": 0,
            "max_tokens": 12}
    status, answer, headers = post(server, "/v1/chat/completions", {**body, **more}, {
        "authorization": f"Bearer {who}-has-a-key-of-letters", **(headers or {})})
    assert status == 200, answer
    return answer, headers["x-paring-cache"]


def test_a_question_that_means_the_same_gets_the_answer(server):
    first, how = ask(server, "How do I learn to swim?")
    assert how == "miss"
    lookups = server.metric("paring:semantic_cache_lookups_total")
    second, how = ask(server, "What is the way to learn swimming?")
    kind, similarity, age = how.split("; ")
    assert kind == "semantic" and similarity.startswith("similarity=0.") and age.startswith("age=")
    assert second["choices"] == first["choices"] and second["usage"] == first["usage"]
    assert server.metric("paring:semantic_cache_lookups_total") == lookups + 1
    assert server.metric("paring:semantic_cache_hits_total") == 1
    # An equal request needs no likeness.
    assert ask(server, "How do I learn to swim?")[1].startswith("exact")
    assert server.metric("paring:semantic_cache_lookups_total") == lookups + 1


@pytest.mark.parametrize("question", [
    "How do I not learn to swim?", "How do I learn to dive?", "How do I learn to swim in 2 days?",
    "How do I learn to swim from Anna?", "Should I learn to swim?", "How did I learn to swim?",
    "How do I learn to \"swim\"?", "How does swim learn to I?", "swim learn how"])
def test_a_question_that_differs_in_what_matters_does_not(server, question):
    ask(server, "How do I learn to swim?")
    assert ask(server, question)[1] == "miss"


@pytest.mark.parametrize("more", [
    {"max_tokens": 13}, {"temperature": 0.5, "seed": 1}, {"stop": ["x"]}, ONE_ANSWER, {"logit_bias": {"5": -1}},
    {"messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "How to learn swimming"}]},
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"},
                  {"role": "user", "content": "How to learn swimming"}]},
    {"who": "bob"}, {"cache": {"mode": "exact"}}, {"headers": {"cache-control": "no-cache"}}])
def test_everything_else_must_be_equal(server, more):
    ask(server, "How do I learn to swim?")
    assert ask(server, "How to learn swimming", **more)[1] == "miss"


def test_it_may_be_asked_for_and_left_out(server):
    ask(server, "How do I cook rice?")
    assert ask(server, "How to cook rice", cache={"mode": "semantic"})[1].startswith("semantic; ")
    status, _, headers = post(server, "/v1/chat/completions", {
        "messages": [{"role": "user", "content": "The way to cook rice"}], "temperature": 0, "max_tokens": 12},
        {"authorization": "Bearer alice-has-a-key-of-letters", "cache-control": "no-store"})
    assert status == 200 and "x-paring-cache" not in headers


def test_a_stream_is_replayed_as_a_stream(paring, model, root):
    with start(paring, model, root, "--semantic-cache-false-hits", 100) as server:
        first = stream(server, "How do I learn to sing?", stream_options={"include_usage": True})
        again = stream(server, "How to learn singing", stream_options={"include_usage": True})
        assert server.metric("paring:semantic_cache_hits_total") == 1
        texts = ["".join(c["delta"].get("content") or "" for e in events for c in e["choices"])
                 for events in (first, again)]
        assert texts[0] == texts[1] != ""
        assert first[-1]["usage"]["completion_tokens"] == again[-1]["usage"]["completion_tokens"]
        assert {e["id"] for e in first} != {e["id"] for e in again} and len({e["id"] for e in again}) == 1


WORDS = "swim sing cook read draw ride climb knit paint sew type weld juggle".split()


def wait_for_checks(server, count):
    for _ in range(6000):
        if server.metric("paring:semantic_cache_checks_total") >= count:
            return
        time.sleep(0.01)
    pytest.fail("an answer was not checked in a minute")


def test_it_gives_nothing_before_it_has_shown_to_be_right(paring, model, root):
    """With at most half of the answers wrong, four in a row that are right show it (Wilson's bound at 95 %)."""
    with start(paring, model, root, "--semantic-cache-false-hits", 50, "--semantic-cache-sample", 100) as server:
        for i, word in enumerate(WORDS[:4]):
            for question in (f"How do I learn to {word}?", f"What is the way to learn {word}?"):
                body = {"messages": [{"role": "user", "content": question}], "temperature": 0, **ONE_ANSWER}
                assert post(server, "/v1/chat/completions", body)[2]["x-paring-cache"] == "miss"
            if i < 3:  # the fourth may have been checked by now
                assert server.metric("paring:semantic_cache_serving") == 0
            wait_for_checks(server, i + 1)
            assert server.metric("paring:semantic_cache_checks_total") == i + 1
        assert server.metric("paring:semantic_cache_serving") == 1
        assert "giving answers" in "".join(server.log)
        body = {"messages": [{"role": "user", "content": "How to learn to swim"}], "temperature": 0, **ONE_ANSWER}
        status, answer, headers = post(server, "/v1/chat/completions", body)
        assert headers["x-paring-cache"].startswith("semantic; ")
        assert json.loads(answer["choices"][0]["message"]["content"]) == {"fixed": "the same"}
        # Each that is given is computed as well, later, and nobody waits for it.
        wait_for_checks(server, 5)
        assert server.metric("paring:semantic_cache_false_hits_total") == 0


def test_what_is_given_costs_nothing(paring, model, root, tmp_path):
    key = tmp_path / "keys"
    key.write_text("a-key-of-many-letters tpm=100 scopes=inference,metrics")
    key.chmod(0o600)
    with start(paring, model, root, "--semantic-cache-false-hits", 100, "--api-key-file", key) as server:
        server.key = "a-key-of-many-letters"
        headers = {"authorization": "Bearer a-key-of-many-letters"}

        def request(question):
            body = {"messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 4}
            return post(server, "/v1/chat/completions", body, headers)

        assert request("How do I learn to swim?")[0] == 200
        forms = ["How to learn swimming", "What is the way to learn swimming?", "Ways to learn swimming",
                 "How can I learn swimming", "how would you learn to swim", "How do we learn to swim??"]
        for question in forms:
            status, answer, said = request(question)
            assert status == 200 and said["x-paring-cache"].startswith("semantic; "), answer
        codes = [request(f"How do I learn to {word}?")[0] for word in WORDS]
        assert 429 in codes  # what is computed is charged


def test_options_that_do_not_fit(paring, model, root):
    encoder = root / "tests/data/encoders/bert-mean"
    done = paring("serve", model, "--semantic-cache", encoder, "--cache-bytes", 0, "--port", 0)
    assert done.code == 2 and "--cache-bytes" in done.err
    done = paring("serve", model, "--semantic-cache", model, "--port", 0)
    assert done.code != 0 and "encoder" in done.err
    done = paring("serve", model, "--semantic-cache", "/no/such/encoder", "--port", 0)
    assert done.code != 0 and "/no/such/encoder" in done.err


def test_a_server_without_it_says_so(paring, model):
    with ServerProcess(paring.path, f"smol={model}", "--context-tokens", 512) as server:
        body = {"messages": [{"role": "user", "content": "Hi"}], "cache": {"mode": "semantic"}}
        status, answer, _ = post(server, "/v1/chat/completions", body)
        assert status == 400 and answer["error"]["param"] == "cache"
        assert "--semantic-cache" in answer["error"]["message"]
