# SPDX-License-Identifier: Apache-2.0
"""Several models and adapters in one server: who is asked answers, and nobody gets another's text."""
import concurrent.futures
import json
import time

import numpy as np
import pytest

import tiny_model
from server_process import ROOT, ServerProcess
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


ADMIN = "an-operators-key-of-a-test"
ENV = {"PARING_API_KEY": f"{ADMIN} scopes=inference,embeddings,batches,metrics,admin"}


def admin(server, path, **body):
    return post(server, path, body, {"authorization": f"Bearer {ADMIN}"})


def ask(server, name, prompt=PROMPT, headers=None, **more):
    body = {"model": name, "prompt": prompt, "temperature": 0, "max_tokens": TOKENS, **more}
    return post(server, "/v1/completions", body, {"authorization": f"Bearer {ADMIN}", **(headers or {})})


def wait_for(what, seconds=20):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def state(server, name):
    return models(server)[name]["state"]


@pytest.fixture
def config(files, tmp_path):
    """A configuration that knows two models and loads none."""
    other = tmp_path / "other.gguf"
    tiny_model.write(other, seed=11)
    path = tmp_path / "paring.yaml"
    path.write_text(f"models:\n  v1.5:\n    source: {files['base']}\n    lora: {{first: {files['first']}}}\n"
                    f"  other:\n    source: {other}\n    context_tokens: 128\n")
    return path


def test_models_are_loaded_when_a_request_asks_for_them(paring, config, alone):
    with ServerProcess(paring.path, "--config", config, env=ENV) as server:
        assert [state(server, name) for name in ("v1.5", "first", "other")] == ["unloaded"] * 3
        assert json.loads(server.get("/readyz"))["status"] == "ok"
        with concurrent.futures.ThreadPoolExecutor(8) as pool:  # one load, however many ask
            answers = list(pool.map(lambda name: ask(server, name), ["v1.5", "first"] * 4))
        for i, (status, answer, _) in enumerate(answers):
            assert status == 200 and text_of(answer) == alone[("base", "first")[i % 2]]
        assert server.metric("paring:model_loads_total") == 1
        listed = models(server)
        assert listed["v1.5"]["state"] == "ready" and listed["v1.5"]["memory_bytes"] > 0
        assert listed["other"]["state"] == "unloaded" and listed["other"]["max_model_len"] is None
        assert ask(server, "other")[0] == 200 and models(server)["other"]["max_model_len"] == 128
        status, answer, _ = post(server, "/tokenize", {"model": "first", "prompt": "x"},
                                 {"authorization": f"Bearer {ADMIN}"})
        assert status == 200 and answer["count"] >= 1


def test_load_and_unload_on_request(paring, files, alone):
    with ServerProcess(paring.path, f"base={files['base']}", env=ENV) as server:
        status, card, _ = admin(server, "/v1/models/load", model="more", source=str(files["base"]), context_tokens=128,
                                lora={"second": str(files["second"])})
        assert status == 200 and card["state"] == "ready" and card["max_model_len"] == 128
        assert text_of(ask(server, "second")[1]) == alone["second"]
        assert admin(server, "/v1/models/load", model="more", source=str(files["base"]))[0] == 409
        assert admin(server, "/v1/models/load", model="more")[0] == 200  # it is there
        before = server.memory()
        status, answer, _ = admin(server, "/v1/models/unload", model="more")
        assert status == 200 and answer["state"] == "unloaded" and server.memory() < before
        # It came by a request: its name is gone with it. What was there from the start comes back.
        assert ask(server, "more")[0] == ask(server, "second")[0] == 404 and "more" not in models(server)
        assert admin(server, "/v1/models/unload", model="base")[0] == 200 and state(server, "base") == "unloaded"
        assert text_of(ask(server, "base", headers={"cache-control": "no-cache"})[1]) == alone["base"]
        assert server.metric("paring:model_unloads_total") == 2 and server.metric("paring:model_loads_total") == 3


def test_only_operators_say_which_files_are_models(paring, files, tmp_path):
    other = "a-key-of-somebody-else-xyz"
    keys = tmp_path / "keys"
    keys.write_text(f"{other} name=other\n")
    keys.chmod(0o600)
    with ServerProcess(paring.path, f"base={files['base']}", "--api-key-file", keys, env=ENV) as server:
        for path, body in (("load", {"model": "x", "source": "/etc/passwd"}), ("unload", {"model": "base"})):
            assert post(server, f"/v1/models/{path}", body)[0] == 401
            assert post(server, f"/v1/models/{path}", body, {"authorization": f"Bearer {other}"})[0] == 403
        # Names are names, whatever they look like.
        for name in ("../base", str(files["base"]), "..%2f..%2fetc%2fpasswd", "hf:owner/name"):
            status, answer, _ = ask(server, name)
            assert status == 404 and answer["error"]["code"] == "model_not_found"
        status, answer, _ = admin(server, "/v1/models/load", model="x", source="/etc/passwd")
        assert status == 400 and "/etc/passwd" in answer["error"]["message"] and "x" not in models(server)
        status, answer, _ = admin(server, "/v1/models/load", model="x", source="missing.gguf")
        assert status == 404 and "missing.gguf" in answer["error"]["message"]
        status, answer, _ = admin(server, "/v1/models/load", model="x", source="hf:nobody/nothing")
        assert status == 400 and "paring pull hf:nobody/nothing" in answer["error"]["message"]
        assert admin(server, "/v1/models/load", model="a\nb", source=str(files["base"]))[0] == 400
        assert admin(server, "/v1/models/load", model="x", context_tokens=64)[0] == 404
        assert admin(server, "/v1/models/unload", model="x")[0] == 404


def test_an_idle_model_goes_and_comes_back(paring, files, alone):
    with ServerProcess(paring.path, f"base={files['base']}", "--idle-unload-seconds", 1, "--cache-bytes", 0,
                       env=ENV) as server:
        assert text_of(ask(server, "base")[1]) == alone["base"]
        wait_for(lambda: state(server, "base") == "unloaded")
        assert json.loads(server.get("/api/ps")) == {"models": []}
        assert server.metric("paring:model_memory_bytes") == 0
        assert text_of(ask(server, "base")[1]) == alone["base"]
        running, = json.loads(server.get("/api/ps"))["models"]
        assert running["name"] == "base" and running["size"] > 0 and running["expires_at"]
        assert server.metric("paring:model_unloads_total") == 1


def test_keep_alive_is_for_operators(paring, files, tmp_path):
    other = "a-key-of-somebody-else-xyz"
    keys = tmp_path / "keys"
    keys.write_text(f"{other} name=other\n")
    keys.chmod(0o600)
    body = {"model": "base", "prompt": PROMPT, "stream": False, "raw": True, "options": {"num_predict": 2}}
    with ServerProcess(paring.path, f"base={files['base']}", "--api-key-file", keys, env=ENV) as server:
        for seconds in (0, "100ms"):
            assert post(server, "/api/generate", {**body, "keep_alive": seconds},
                        {"authorization": f"Bearer {other}"})[0] == 200
            time.sleep(0.5)
            assert state(server, "base") == "ready"
            assert admin(server, "/api/generate", **body, keep_alive=seconds)[0] == 200
            wait_for(lambda: state(server, "base") == "unloaded")
        status, answer, _ = admin(server, "/api/generate", **body, keep_alive="soon")
        assert status == 400 and "keep_alive" in answer["error"]


def test_ollama_loads_and_unloads_by_saying_nothing(paring, files, tmp_path):
    """With the official package: names with a tag, an empty prompt, a keep_alive of 0, show of what is not in memory,
    and the older route of vectors."""
    import ollama
    config = tmp_path / "paring.yaml"
    config.write_text(f"models:\n  base: {files['base']}\n  later: {{source: {files['base']}, load: on_request}}\n"
                      f"  bert: {ROOT / 'tests/data/encoders/bert-mean'}\n")
    with ServerProcess(paring.path, "--config", config, env=ENV) as server:
        lama = ollama.Client(host=server.url, timeout=60, headers={"authorization": f"Bearer {ADMIN}"})
        shown = lama.show("later:latest")
        assert shown.details.family == "llama" and shown.capabilities == ["completion"]
        assert shown.modelinfo["llama.context_length"] == 256 and state(server, "later") == "unloaded"
        assert lama.show("bert").capabilities == ["embedding"]
        for ask_nothing in (lambda **more: lama.generate(model="later:latest", **more),
                            lambda **more: lama.chat(model="later:latest", **more)):
            answer = ask_nothing()
            assert answer.done and answer.done_reason == "load" and answer.model == "later:latest"
            assert state(server, "later") == "ready"
            answer = ask_nothing(keep_alive=0)
            assert answer.done and answer.done_reason == "unload"
            wait_for(lambda: state(server, "later") == "unloaded")
        streamed = list(lama.generate(model="later", stream=True))
        assert len(streamed) == 1 and streamed[0].done_reason == "load"
        with pytest.raises(ollama.ResponseError) as unknown:
            lama.generate(model="nobody", keep_alive=0)
        assert unknown.value.status_code == 404
        made = lama.generate(model="base:latest", prompt=PROMPT, raw=True, options={"temperature": 0, "num_predict": 4})
        assert made.eval_count == 4
        old, new = lama.embeddings(model="bert", prompt="the fox"), lama.embed(model="bert", input="the fox")
        assert list(old.embedding) == list(new.embeddings[0])
        listed = json.loads(server.get("/v1/models"))["data"]
        tagged = lama.embed(model="bert:latest", input="the fox", keep_alive=0)
        assert list(tagged.embeddings[0]) == list(old.embedding)
        wait_for(lambda: state(server, "bert") == "unloaded")
        assert {one["id"]: one["capabilities"] for one in listed} == {
            "base": ["completion"], "later": ["completion"], "bert": ["embedding"]}


def test_who_needs_memory_gets_that_of_the_idle(paring, config):
    """A budget for one of two models: the one that nobody uses makes room, and both go on answering."""
    with ServerProcess(paring.path, "--config", config, env=ENV) as server:
        assert ask(server, "v1.5")[0] == ask(server, "other")[0] == 200
        needs = [models(server)[name]["memory_bytes"] for name in ("v1.5", "other")]
    with ServerProcess(paring.path, "--config", config, "--memory-budget", max(needs) + min(needs) // 2,
                       "--cache-bytes", 0, env=ENV) as server:
        for name in ("v1.5", "other", "first", "other"):
            status, answer, _ = ask(server, name)
            assert status == 200, answer
            ready = {n for n, card in models(server).items() if card["state"] == "ready"}
            assert ready == ({"other"} if name == "other" else {"v1.5", "first"})
        metrics = server.get("/metrics")
        assert 'paring:model_unloads_total{reason="memory"} 3' in metrics
    with ServerProcess(paring.path, "--config", config, "--models-max", 1, env=ENV) as server:
        assert ask(server, "v1.5")[0] == ask(server, "other")[0] == 200
        assert state(server, "v1.5") in ("unloaded", "unloading")


def test_what_does_not_fit_is_refused_with_the_figures(paring, files, config):
    with ServerProcess(paring.path, "--config", config, "--memory-budget", 300_000, env=ENV) as server:
        status, answer, headers = ask(server, "v1.5")
        assert status == 503 and answer["error"]["code"] == "insufficient_memory" and headers["retry-after"]
        for word in ("'v1.5' needs", "weights", "cache and buffers", "are free for models", "limit"):
            assert word in answer["error"]["message"]
        assert state(server, "v1.5") == "unloaded" and str(files["base"]) not in answer["error"]["message"]
    with pytest.raises(RuntimeError) as refused:
        ServerProcess(paring.path, files["base"], "--memory-budget", 300_000)
    assert "needs" in str(refused.value)


def test_a_damaged_file_is_told_to_operators_only(paring, config, files, tmp_path):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(files["base"].read_bytes()[:-5000])
    config.write_text(config.read_text() + f"  broken: {{source: {broken}}}\n")
    with ServerProcess(paring.path, "--config", config, env=ENV) as server:
        for _ in range(2):  # the second one is told without reading the file again
            status, answer, _ = ask(server, "broken")
            assert status == 500 and answer["error"]["code"] == "model_load_failed"
            assert "broken.gguf" not in json.dumps(answer)
        assert server.metric("paring:model_load_failures_total") == 1
        status, answer, _ = admin(server, "/v1/models/load", model="broken")
        assert status == 400 and "broken.gguf" in answer["error"]["message"]
        broken.write_bytes(files["base"].read_bytes())
        assert admin(server, "/v1/models/load", model="broken")[0] == 200 and ask(server, "broken")[0] == 200


def test_unloading_waits_for_running_answers(paring, model):
    with ServerProcess(paring.path, f"smol={model}", "--cache-bytes", 0, env=ENV) as server:
        whole = ask(server, "smol", max_tokens=60)[1]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            running = [pool.submit(ask, server, "smol", max_tokens=60) for _ in range(4)]
            wait_for(lambda: server.metric("vllm:num_requests_running") == 4)
            gone = pool.submit(admin, server, "/v1/models/unload", model="smol")
            wait_for(lambda: state(server, "smol") != "ready")
            late = pool.submit(ask, server, "smol", max_tokens=60)  # waits until it is there again
            assert [text_of(job.result()[1]) for job in running] == [text_of(whole)] * 4
            assert gone.result()[0] == 200 and text_of(late.result()[1]) == text_of(whole)


@pytest.mark.slow
def test_load_and_unload_under_load(paring, config, alone, files):
    """Requests for two models and an adapter, which come and go all the time: each text is the right one."""
    with ServerProcess(paring.path, "--config", config, "--cache-bytes", 0, env=ENV) as server:
        names = ["v1.5", "first", "other"]
        right = {"v1.5": alone["base"], "first": alone["first"], "other": text_of(ask(server, "other")[1])}
        end = time.monotonic() + 15

        def client(index):
            count = 0
            while time.monotonic() < end:
                name = names[(index + count) % 3]
                status, answer, _ = ask(server, name)
                assert status == 200 and text_of(answer) == right[name], (name, answer)
                count += 1
            return count

        def operator(index):
            while time.monotonic() < end:
                status, answer, _ = admin(server, f"/v1/models/{('unload', 'load')[index % 2]}",
                                          model=("v1.5", "other")[index // 2 % 2])
                assert status in (200, 409), answer
                index += 1
                time.sleep(0.03)
            return 0

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            jobs = [pool.submit(client, i) for i in range(6)] + [pool.submit(operator, i) for i in range(2)]
            assert sum(job.result() for job in jobs) > 20
        assert server.metric("paring:model_loads_total") > 3
        assert server.end() == 0


def test_a_request_waits_no_longer_than_it_says_and_the_end_is_clean(paring, config):
    with ServerProcess(paring.path, "--config", config, env=ENV) as server:
        # Whether its time ends while the model is loaded or while it computes, the answer is the same.
        status, answer, _ = ask(server, "v1.5", headers={"x-request-timeout": "0.0001"}, max_tokens=160, n=8,
                                ignore_eos=True)
        assert status == 504 and answer["error"]["code"] == "timeout"
        assert server.end() == 0
