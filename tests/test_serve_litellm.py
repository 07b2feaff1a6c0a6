# SPDX-License-Identifier: Apache-2.0
"""paring serve with LiteLLM, unmodified: its providers openai and hosted_vllm are told the address and nothing else.
It wants another openai than the other tests, so it lives in an environment of its own."""
import json
import os
import subprocess
import sys
import urllib.request

import pytest
import tiny_model
from conftest import ROOT
from server_process import ServerProcess
from test_serve import HERMES

LITELLM = ["litellm==1.106.2", "mcp==2.3.0"]  # it needs the second for tools
SECRET = "a-secret-of-more-than-sixteen-letters"
DOCUMENTS = ["The quick brown fox.", "A dog sleeps.", "Numbers: 1 2 3"]


@pytest.fixture(scope="module")
def python():
    """The interpreter of an environment with LiteLLM in it, which pip fetches once."""
    folder = ROOT / "build" / "python-clients" / "-".join(LITELLM).replace("==", "-")
    stamp = folder / ".complete"
    if not stamp.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        done = subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check",
                               *LITELLM], capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            pytest.skip(f"pip could not fetch {LITELLM[0]}: {done.stderr[-300:]}")
        stamp.touch()
    return folder / "bin" / "python"


def post(server, path, body):
    request = urllib.request.Request(server.url + path, json.dumps(body).encode(), {
        "content-type": "application/json", "authorization": f"Bearer {SECRET}"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.loads(response.read())


@pytest.fixture(scope="module")
def server(paring, model, tmp_path_factory):
    folder, encoders = tmp_path_factory.mktemp("litellm"), ROOT / "tests/data/encoders"
    poor = paring("keys", "create", "--json", "--data-dir", folder, "--name", "poor",
                  "--requests-per-minute", 1).json()["key"]
    tools = folder / "tools.gguf"
    tiny_model.write(tools, chat_template=HERMES)
    with ServerProcess(paring.path, f"smol={model}", f"tools={tools}", f"bert={encoders / 'bert-mean'}",
                       f"rank={encoders / 'bert-rank'}", "--context-tokens", 1024, "--data-dir", folder,
                       env={"PARING_API_KEY": SECRET}) as running:
        running.poor_key = poor
        yield running


@pytest.fixture(scope="module")
def found(server, python):
    """What LiteLLM got. It has a list of prices on the web, which it is told not to fetch."""
    variables = {"BASE_URL": server.url + "/v1", "API_KEY": SECRET, "POOR_KEY": server.poor_key,
                 "DOCUMENTS": json.dumps(DOCUMENTS), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    done = subprocess.run([python, ROOT / "tests" / "clients" / "litellm_suite.py"], capture_output=True, text=True,
                          timeout=300, env=os.environ | variables)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def direct(server):
    """The same question without LiteLLM."""
    return post(server, "/v1/chat/completions", {
        "model": "smol", "messages": [{"role": "user", "content": "What is the capital of France?"}],
        "temperature": 0, "max_tokens": 16})


def test_chats_and_streams(found, direct):
    assert found["chat"] == found["stream"] == found["rebuilt"] == direct["choices"][0]["message"]["content"]
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert found["usage"][name] == direct["usage"][name]
        assert [usage[name] for usage in found["stream_usage"]] == [direct["usage"][name]]


def test_tools(found):
    (call_id, name, arguments), = found["calls"]
    assert call_id and name == "weather" and list(json.loads(arguments)) == ["on"]
    (name, arguments), = found["streamed_calls"]
    assert name == "weather" and list(json.loads(arguments)) == ["on"]
    assert found["calls_reason"] == "tool_calls"


def test_schemas_and_several_answers(found):
    shaped = json.loads(found["shaped"])
    assert list(shaped) == ["name", "is_capital"] and isinstance(shaped["is_capital"], bool)
    assert len(set(found["several"])) == 3
    assert found["logprobs"] and all(logprob <= 0 and count == 2 for logprob, count in found["logprobs"])


def test_vectors_and_ranks(server, found):
    vectors = post(server, "/v1/embeddings", {"model": "bert", "input": ["a text", "another"]})["data"]
    for mine, other in zip(found["vectors"], vectors, strict=True):
        assert max(abs(a - b) for a, b in zip(mine, other["embedding"], strict=True)) < 1e-6
    ranked = post(server, "/v1/rerank", {"model": "rank", "query": "fox", "documents": DOCUMENTS, "top_n": 2})
    assert found["ranked"] == [[one["index"], one["relevance_score"]] for one in ranked["results"]]
    assert len(found["ranked"]) == 2


def test_errors_are_of_the_classes_that_programs_catch(found):
    errors = {name: error[:2] for name, error in found["errors"].items()}
    assert errors == {"key": ["AuthenticationError", 401], "model": ["NotFoundError", 404],
                      "value": ["BadRequestError", 400], "long": ["ContextWindowExceededError", 400],
                      "rate": ["RateLimitError", 429]}
    assert SECRET not in json.dumps(found["errors"])


def test_nobody_else_was_asked(found):
    assert found["hosts"] == ["127.0.0.1"]
