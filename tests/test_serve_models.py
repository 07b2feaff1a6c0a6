# SPDX-License-Identifier: Apache-2.0
"""Several models and adapters in one server: who is asked answers, and nobody gets another's text."""
import concurrent.futures
import json

import numpy as np
import pytest

import tiny_model
from server_process import ServerProcess
from test_lora import tensors_of, write_adapter, write_peft
from test_serve import post

PROMPT = "A question that is long enough to fill a page of keys and values, and to be shared"
TOKENS = 24


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A model, an adapter of it in each form, and another adapter of another rank."""
    folder = tmp_path_factory.mktemp("served")
    base = folder / "base.gguf"
    tiny_model.write(base)

    def adapter(name, rank, seed):
        rng = np.random.default_rng(seed)
        tensors = {}
        for tensor, values in tensors_of(base).items():
            if tensor.startswith("blk.") and values.ndim == 2:
                rows, columns = values.shape
                tensors[f"{tensor}.lora_a"] = rng.normal(size=(rank, columns)).astype(np.float32) * 0.1
                tensors[f"{tensor}.lora_b"] = rng.normal(size=(rows, rank)).astype(np.float32) * 0.1
        return write_adapter(folder / f"{name}.gguf", tensors)

    first = adapter("first", 4, 1)
    return {"base": base, "first": first, "second": adapter("second", 7, 2),
            "folder": write_peft(folder / "peft", tensors_of(first))}


@pytest.fixture(scope="module")
def alone(paring, files):
    """What the program says with each adapter, on its own."""
    def text(*words):
        return paring("run", files["base"], PROMPT, "--raw", "--json", "--max-tokens", TOKENS, "--temperature", 0,
                      *words).json()["text"]
    texts = {"base": text(), "first": text("--lora", files["first"]), "second": text("--lora", files["second"])}
    assert len(set(texts.values())) == 3
    return texts


@pytest.fixture(scope="module")
def adapted(paring, files):
    with ServerProcess(paring.path, f"base={files['base']}", "--lora", f"first={files['first']}", "--lora",
                       f"base:second={files['second']}", "--lora", f"folder={files['folder']}") as running:
        yield running


def complete(server, name, **more):
    status, answer, headers = post(server, "/v1/completions",
                                   {"model": name, "prompt": PROMPT, "temperature": 0, "max_tokens": TOKENS, **more})
    assert status == 200, answer
    return answer, headers


def text_of(answer):
    return answer["choices"][0]["text"]


def test_an_adapter_answers_as_the_program_does_with_it(adapted, alone):
    for name, text in {**alone, "folder": alone["first"]}.items():
        answer, headers = complete(adapted, name)
        assert text_of(answer) == text and answer["model"] == name
        assert headers["x-paring-variant"] == models(adapted)[name]["variant"]
    # Nothing was shared: not the answers, not the keys and values of the prompt.
    for name, text in alone.items():
        answer, headers = complete(adapted, name)
        assert text_of(answer) == text and headers["x-paring-cache"].startswith("exact")


def models(server):
    return {model["id"]: model for model in json.loads(server.get("/v1/models"))["data"]}


def test_adapters_are_listed_with_their_model(adapted):
    listed = models(adapted)
    assert list(listed) == ["base", "first", "second", "folder"]
    assert listed["base"]["parent"] is None
    for name in ("first", "second", "folder"):
        assert listed[name]["parent"] == listed[name]["root"] == "base" and listed[name]["certificate"] is None
    # Two files of one adapter are one adapter.
    assert listed["first"]["variant"] == listed["folder"]["variant"]
    assert len({model["variant"] for model in listed.values()}) == 3
    status, answer, _ = post(adapted, "/v1/completions", {"model": "third", "prompt": "x"})
    assert status == 404 and "base, first, second, folder" in answer["error"]["message"]


def test_adapters_are_mixed_in_a_batch(paring, files, alone):
    """Without the cache of answers, many at once, each as alone; prefixes are shared within an adapter only."""
    with ServerProcess(paring.path, f"base={files['base']}", "--lora", f"first={files['first']}", "--lora",
                       f"second={files['second']}", "--cache-bytes", 0) as server:
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            jobs = [(name, pool.submit(complete, server, name)) for name in list(alone) * 12]
            for name, job in jobs:
                assert text_of(job.result()[0]) == alone[name]
        fresh = [complete(server, name, prompt=PROMPT + " by nobody else") for name in alone]
        shared = [answer["usage"]["prompt_tokens_details"]["cached_tokens"] for answer, _ in fresh]
        assert len(set(shared)) == 1 and shared[0] > 0  # each its own adapter's pages, computed above


def test_the_first_to_ask_of_an_adapter_finds_nothing_in_the_cache(adapted):
    cached = [complete(adapted, name, prompt="Another prompt that nobody has asked before, as long as the first")[0]
              ["usage"]["prompt_tokens_details"]["cached_tokens"] for name in ("base", "first", "second", "folder")]
    assert cached == [0, 0, 0, 0]


def test_wrong_adapters_end_the_start_with_a_reason(paring, files, tmp_path):
    def refused(*words):
        with pytest.raises(RuntimeError) as caught:
            ServerProcess(paring.path, files["base"], *words)
        return str(caught.value)

    assert "is not NAME=ADAPTER" in refused("--lora", files["first"])
    assert "two models or adapters are named 'base'" in refused("--lora", f"base={files['first']}")
    assert "missing.gguf" in refused("--lora", "x=missing.gguf")
    assert "is no adapter" in refused("--lora", f"x={files['base']}")
