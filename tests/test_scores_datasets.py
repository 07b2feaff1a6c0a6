# SPDX-License-Identifier: Apache-2.0
"""Datasets out of a server's traffic and feedback: what other readers find in them is what was said."""
import json
import shutil
import subprocess

import jsonschema
import pytest

import tiny_model
from raw_client import CHATML
from server_process import ServerProcess
from test_access import ask
from test_serve import post

MESSAGE = {"type": "object", "required": ["role", "content"], "additionalProperties": False,
           "properties": {"role": {"enum": ["system", "user", "assistant"]}, "content": {"type": "string"}}}
MESSAGES = {"type": "array", "items": MESSAGE, "minItems": 1}
ANSWER = {"type": "array", "items": MESSAGE, "minItems": 1, "maxItems": 1}


def columns(**named):
    return {"type": "object", "required": list(named), "additionalProperties": False, "properties": named}


# The conversational forms of TRL's trainers.
SCHEMAS = {"sft": columns(messages=MESSAGES), "dpo": columns(prompt=MESSAGES, chosen=ANSWER, rejected=ANSWER),
           "kto": columns(prompt=MESSAGES, completion=ANSWER, label={"type": "boolean"})}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("datasets") / "small.gguf"
    tiny_model.write(path, chat_template=CHATML)
    return path


def chat(question, answer):
    return {"model": "small", "messages": [{"role": "user", "content": question}], "max_tokens": 200,
            "guided_choice": [answer]}


def say(server, question, answer):
    """Asks and has it answered with this text; the request's id."""
    status, told, headers = post(server, "/v1/chat/completions", chat(question, answer))
    assert status == 200 and told["choices"][0]["message"]["content"] == answer, told
    return headers["x-request-id"]


def rate(server, request, value, **more):
    status, _, text = ask(server, "POST", "/v1/feedback", {"response_id": request, "value": value, **more}, {})
    assert status == 200, text


@pytest.fixture(scope="module")
def filled(paring, small, tmp_path_factory):
    """A folder with answers and what people said of them, by several ways in."""
    folder = tmp_path_factory.mktemp("datasets-data")
    with ServerProcess(paring.path, f"small={small}", "--data-dir", folder, "--traffic", "sync", "--content",
                       "full") as server:
        rate(server, say(server, "Capital of France?", "Paris."), True, name="thumb")
        wrong = say(server, "Capital of Spain?", "Lisbon.")
        rate(server, wrong, False, name="thumb")
        rate(server, wrong, "Madrid, says ana@example.com.", type="correction", name="correction")
        worse = say(server, "A rhyme on tree?", "Tea.")
        better = say(server, "A rhyme on tree?", "Bee.")
        rate(server, better, f"chatcmpl-{worse}", type="preference", name="preference")
        rate(server, say(server, "Mail of Bob?", "bob@example.com"), "good")
        rate(server, say(server, "Where is it?", "Nowhere."), "bad")
        rate(server, say(server, "Stars?", "Five."), 5, name="stars")
        say(server, "Nobody rates this?", "No.")
        say(server, "Capital of France?", "Paris.")  # out of the cache, and not rated
        for question, name in (("By Orq?", "x-request-id"), ("By its trace?", "traceresponse")):
            status, _, headers = post(server, "/v1/chat/completions", chat(question, "Yes."))
            trace = headers[name].split("-")[1] if name == "traceresponse" else headers[name]
            status, _, text = ask(server, "POST", "/v2/feedback",
                                  {"property": "rating", "value": "good", "trace_id": trace}, {})
            assert status < 300, text
    return folder


def build(paring, data, out, *words, check=True):
    done = subprocess.run([paring.path, "dataset", "build", "--data-dir", data, "--out", out, "--json",
                           *map(str, words)], capture_output=True, text=True, timeout=120)
    assert not check or done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.returncode == 0 else done


def lines(out, part="train"):
    return [json.loads(line) for line in (out / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()]


def user(text):
    return {"role": "user", "content": text}


def said(text):
    return {"role": "assistant", "content": text}


def test_sft_is_what_people_found_good_or_corrected(paring, filled, tmp_path):
    manifest = build(paring, filled, tmp_path / "set", "--format", "sft")
    found = lines(tmp_path / "set")
    for line in found:
        jsonschema.validate(line, SCHEMAS["sft"])
    pairs = {line["messages"][0]["content"]: line["messages"][1]["content"] for line in found}
    assert pairs == {"Capital of France?": "Paris.", "Capital of Spain?": "Madrid, says [EMAIL].",
                     "Mail of Bob?": "[EMAIL]", "By Orq?": "Yes.",
                     "By its trace?": "Yes."}
    assert manifest["why"] == {"correction": 1, "good": 4}
    assert manifest["left_out"] == {"no feedback": 5, "bad feedback and no correction": 1}
    assert manifest["redaction"]["replaced"]["email"] == 2
    assert sum(manifest["left_out"].values()) + len(found) == manifest["requests"] == 11
    unrated = build(paring, filled, tmp_path / "unrated", "--unrated", "--unredacted")
    assert unrated["parts"][0]["examples"] == 9 and unrated["left_out"]["the same as another example"] == 1
    assert "bob@example.com" in (tmp_path / "unrated" / "train.jsonl").read_text()


def test_dpo_is_corrections_and_preferences(paring, filled, tmp_path):
    build(paring, filled, tmp_path / "set", "--format", "dpo")
    found = lines(tmp_path / "set")
    for line in found:
        jsonschema.validate(line, SCHEMAS["dpo"])
    assert found == [
        {"prompt": [user("Capital of Spain?")], "chosen": [said("Madrid, says [EMAIL].")],
         "rejected": [said("Lisbon.")]},
        {"prompt": [user("A rhyme on tree?")], "chosen": [said("Bee.")], "rejected": [said("Tea.")]}]


def test_kto_is_thumbs_and_conditions(paring, filled, tmp_path):
    build(paring, filled, tmp_path / "set", "--format", "kto", "--good", "stars>=4")
    found = lines(tmp_path / "set")
    for line in found:
        jsonschema.validate(line, SCHEMAS["kto"])
    assert {(line["prompt"][0]["content"], line["label"]) for line in found} == {
        ("Capital of France?", True), ("Capital of Spain?", False), ("Mail of Bob?", True), ("Where is it?", False),
        ("Stars?", True), ("By Orq?", True), ("By its trace?", True)}


def test_the_same_data_gives_the_same_bytes_and_a_manifest_that_holds(paring, filled, tmp_path):
    words = ["--split", "train=0.6,test=0.4", "--dedup", "near", "--unrated"]
    first = build(paring, filled, tmp_path / "a", *words)
    second = build(paring, filled, tmp_path / "b", *words)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == ["manifest.json", "sources.jsonl", "test.jsonl", "train.jsonl"]
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    assert first["version"] == second["version"] and not second["unchanged"]
    assert build(paring, filled, tmp_path / "a", *words)["unchanged"]
    # Another choice is another version, which replaces the first only when told to.
    refused = build(paring, filled, tmp_path / "a", check=False)
    assert refused.returncode == 2 and "--force" in refused.stderr
    assert build(paring, filled, tmp_path / "a", "--force")["version"] != first["version"]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["manifest.json", "sources.jsonl", "train.jsonl"]
    listed = paring("dataset", "list", tmp_path, "--json").json()["datasets"]
    assert [(one["path"], one["version"]) for one in listed][1] == (str(tmp_path / "b"), first["version"])
    counts = ", ".join(f"{part['name']} {part['examples']}" for part in first["parts"])
    assert counts in paring("dataset", "list", tmp_path).out
    assert paring("dataset", "show", tmp_path / "b").json()["version"] == first["version"]
    # Each line can be traced to its request.
    sources = [json.loads(line) for line in (tmp_path / "b" / "sources.jsonl").read_text().splitlines()]
    assert [one["line"] for one in sources if one["part"] == "train"] == list(
        range(1, len(lines(tmp_path / "b")) + 1))
    (tmp_path / "b" / "test.jsonl").write_text("{}\n")
    damaged = paring("dataset", "show", tmp_path / "b")
    assert damaged.code == 4 and "test.jsonl" in damaged.err


@pytest.mark.parametrize("words, told", [
    (["--split", "train=0.5"], "--split"), (["--score", "helpful"], "--score"), (["--good", ">=1"], "--good"),
    (["--format", "dpo", "--unrated"], "--unrated"), (["--tenant", "nobody"], "'nobody'"),
    (["--from", "yesterday"], "--from"), (["--redact", "/none/such"], "/none/such"), (["--format", "x"], "--format")])
def test_what_cannot_be_made_is_said(paring, filled, tmp_path, words, told):
    done = build(paring, filled, tmp_path / "set", *words, check=False)
    assert done.returncode in (2, 3) and told in done.stderr, done.stderr
    assert list(tmp_path.iterdir()) == []


SCORERS = """
scorers:
  no_address:
    kind: regex
    pattern: '@'
    must: not_match
  brief:
    kind: length
    unit: words
    max: 2
  refused:
    kind: refusal
"""


def score(paring, data, scorers, *words):
    return paring("score", "--data-dir", data, "--scorers", scorers, "--json", *words).json()


def test_scorers_keep_what_they_say_and_datasets_use_it(paring, filled, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(filled, data)
    scorers = tmp_path / "scorers.yaml"
    scorers.write_text(SCORERS)
    some = score(paring, data, scorers, "--limit", "4")
    assert some["answers"] == 4 and [one["scored"] for one in some["scorers"]] == [4, 4, 4]
    report = score(paring, data, scorers)
    assert report["answers"] == 11 and report["left_out"] == {}
    by_name = {one["name"]: one for one in report["scorers"]}
    assert by_name["no_address"]["mean"] == pytest.approx(10 / 11) and by_name["refused"]["mean"] == 0
    assert [one["scored"] for one in report["scorers"]] == [7, 7, 7]
    assert [one["there"] for one in report["scorers"]] == [4, 4, 4]
    low, high = by_name["no_address"]["interval"]
    assert 0.6 < low < 10 / 11 < high < 1
    assert all(one["scored"] == 0 for one in score(paring, data, scorers)["scorers"])
    # They are scores like others, and conditions of datasets; what a rule says is no feedback.
    manifest = build(paring, data, tmp_path / "set", "--score", "no_address=1")
    assert "Mail of Bob?" not in (tmp_path / "set" / "train.jsonl").read_text()
    assert manifest["left_out"]["a --score condition does not hold"] == 1
    table = paring("score", "--data-dir", data, "--scorers", scorers).out
    assert "95 % interval" in table and "11 answers of 11 requests" in table


def test_likeness_of_vectors_by_an_encoder(paring, filled, root, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(filled, data)
    scorers = tmp_path / "scorers.yaml"
    (tmp_path / "refs.jsonl").write_text('{"question": "Capital of France?", "reference": "Paris."}\n')
    scorers.write_text(f"scorers:\n  near:\n    kind: similarity\n    measure: cosine\n    references: refs.jsonl\n"
                       f"    model: {root}/tests/data/encoders/bert-mean\n")
    near, = score(paring, data, scorers)["scorers"]
    # Two answers of the file's question, which are the reference, and one with a correction.
    assert near["scored"] == 3 and 0.6 < near["mean"] <= 1 and near["not_about"] == 8
    one, = score(paring, data, scorers, "--limit", "4")["scorers"]
    assert one["there"] == 1 and one["mean"] == pytest.approx(1, abs=1e-6)


def test_scores_can_be_made_beside_a_running_server(paring, small, tmp_path):
    scorers = tmp_path / "scorers.yaml"
    scorers.write_text(SCORERS)
    data = tmp_path / "data"
    with ServerProcess(paring.path, f"small={small}", "--data-dir", data, "--traffic", "sync", "--content",
                       "full") as server:
        request = say(server, "Can you?", "I cannot help with that.")
        assert score(paring, data, scorers)["answers"] == 1
        listed = json.loads(server.get(f"/v1/feedback?response_id={request}&name=refused"))["data"]
        assert [(one["value"], one["source"], one["comment"]) for one in listed] == [
            (True, "rule", "i cannot help")]


def test_the_example_runs_but_for_its_judge(paring, filled, root, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(filled, data)
    example = (root / "deploy" / "scorers.yaml").read_text()
    for name in ("scorers.yaml", "answer.schema.json"):
        shutil.copy(root / "deploy" / name, tmp_path / name)
    (tmp_path / "scorers.yaml").write_text(example.replace(":8000/", ":9/") + "    tries: 1\n")
    report = {one["name"]: one for one in score(paring, data, tmp_path / "scorers.yaml")["scorers"]}
    assert list(report) == ["refused", "empty_talk", "brief", "is_json", "near_reference", "grounded", "quality"]
    assert report["is_json"]["mean"] == 0 and report["near_reference"]["scored"] == 1
    assert report["grounded"]["not_about"] == 11 and report["quality"]["failed"] == 11


@pytest.mark.parametrize("text, told", [
    ("scorers:\n  a:\n    kind: regx\n", ["line 3", "'a'", "regx"]),
    ("scorers:\n  a:\n    pattern: x\n", ["line 3", "'a'", "no 'kind'"]),
    ("scorers:\n  a:\n    kind: regex\n    pattern: '('\n", ["line 3", "'pattern'", "regular expression"]),
    ("scorers:\n  a:\n    kind: length\n    max: few\n", ["'max'", "few"]),
    ("scorers:\n  a:\n    kind: length\n    most: 3\n    max: 3\n", ["'most'", "it takes"]),
    ("scorer:\n  a:\n    kind: regex\n", ["line 3", "scorer.a.kind"]),
    ("scorers:\n  - a\n", ["line "]), ("", ["no scorer"])])
def test_a_file_of_scorers_that_is_wrong_is_named(paring, filled, tmp_path, text, told):
    scorers = tmp_path / "scorers.yaml"
    scorers.write_text(text)
    done = paring("score", "--data-dir", filled, "--scorers", scorers)
    assert done.code == 2
    for each in [str(scorers), *told]:
        assert each in done.err, done.err


@pytest.mark.parametrize("format", ["sft", "dpo", "kto"])
def test_the_datasets_library_reads_them(paring, filled, tmp_path, format, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    build(paring, filled, tmp_path / "set", "--format", format)
    read = datasets.load_dataset("json", data_files=str(tmp_path / "set" / "train.jsonl"),
                                 cache_dir=str(tmp_path / "cache"))["train"]
    assert set(read.column_names) == set(SCHEMAS[format]["required"])
    assert list(read) == lines(tmp_path / "set")


@pytest.mark.parametrize("format", ["sft", "dpo", "kto"])
def test_trl_takes_the_examples_as_conversations(paring, filled, tmp_path, format):
    utils = pytest.importorskip("trl.data_utils")
    build(paring, filled, tmp_path / "set", "--format", format)
    for line in lines(tmp_path / "set"):
        assert utils.is_conversational(line)
        if format == "dpo":
            apart = utils.unpair_preference_dataset(utils.Dataset.from_list([line]))
            assert set(apart.column_names) == set(SCHEMAS["kto"]["required"])
