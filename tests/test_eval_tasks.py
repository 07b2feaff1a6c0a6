# SPDX-License-Identifier: Apache-2.0
"""`paring eval --tasks`: built-in slices, one item at a time or many, resuming, comparison of two models."""
import json
import os
import signal
import subprocess
import time

import pytest
from conftest import ROOT

SLICES = ["hellaswag", "arc_easy", "piqa", "openbookqa", "copa", "lambada_openai"]
GOLDEN = ROOT / "tests/data/tasks/smollm2.json"


def lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def choices(rows, task):
    return [(row["log_likelihoods"], row["greedy"]) for row in rows if row["task"] == task]


def test_every_slice_runs_from_a_clean_clone(paring, tiny, tmp_path):
    samples = tmp_path / "samples.jsonl"
    result = paring("eval", tiny, "--tasks", ",".join(SLICES), "--limit", "2", "--threads", "1",
                    "--samples", samples, "--json").json()
    assert [task["task"] for task in result["tasks"]] == SLICES
    assert len(result["variant"]) == 64
    for task in result["tasks"]:
        assert task["items"] == 2 and task["data"]["name"] == "built in"
    named = {task["task"]: set(task["metrics"]) for task in result["tasks"]}
    assert named["hellaswag"] == named["piqa"] == {"acc", "acc_norm"} and named["copa"] == {"acc"}
    assert named["lambada_openai"] == {"perplexity", "acc"}
    rows = lines(samples)
    assert len(rows) == 2 * len(SLICES)
    for row in rows:
        assert len(row["log_likelihoods"]) == len(row["continuations"]) == len(row["greedy"])
        assert all(value < 0 for value in row["log_likelihoods"])
    text = paring("eval", tiny, "--tasks", "copa", "--limit", "2").out
    assert "copa" in text and "acc" in text and "lm-evaluation-harness" in text


@pytest.mark.parametrize("numerics", ["served", "exact"])
def test_a_batch_gives_the_same_bits_as_one_item_at_a_time(paring, tiny, tmp_path, numerics):
    """Shared contexts, packing of a step and threads change nothing."""
    together, alone = tmp_path / "together.jsonl", tmp_path / "alone.jsonl"
    words = ["--tasks", "copa", "--numerics", numerics, "--quiet"]
    assert paring("eval", tiny, *words, "--limit", "12", "--samples", together).code == 0
    source = (ROOT / "src/measure/tasks/data/copa.jsonl").read_text("utf-8").splitlines()
    rows = lines(together)
    for i in (0, 5, 11):
        row = json.loads(source[i])
        (tmp_path / "one.jsonl").write_text(json.dumps(row) + "\n")
        # The choices in the other order: another one comes with the context.
        turned = dict(row, choices=row["choices"][::-1], gold=1 - row["gold"])
        (tmp_path / "turned.jsonl").write_text(json.dumps(turned) + "\n")
        for name, order in (("one", 1), ("turned", -1)):
            done = paring("eval", tiny, *words, "--data", tmp_path / f"{name}.jsonl", "--threads", "1",
                          "--samples", alone)
            assert done.code == 0, done.err
            assert lines(alone)[0]["log_likelihoods"][::order] == rows[i]["log_likelihoods"]


def test_a_context_longer_than_the_model_reads(paring, tiny, tmp_path):
    """Its beginning is left out, as in the harness; what remains gives the same numbers alone."""
    word, kept = "lamp", 200
    text = "".join(chr(97 + i * 7 % 26) for i in range(700))
    (tmp_path / "long.jsonl").write_text(json.dumps({"context": text, "continuation": word}) + "\n")
    out = tmp_path / "out.jsonl"
    long = paring("eval", tiny, "--tasks", "lambada_openai", "--data", tmp_path / "long.jsonl", "--json",
                  "--samples", out).json()
    assert long["tasks"][0]["cut_items"] == 1 and long["context_tokens"] == 256
    values = [lines(out)[0]["log_likelihoods"][0]]
    # Cut by hand: no longer than the context, and other text before the last part makes no difference.
    (tmp_path / "long.jsonl").write_text(json.dumps({"context": "z" * kept + text, "continuation": word}) + "\n")
    again = paring("eval", tiny, "--tasks", "lambada_openai", "--data", tmp_path / "long.jsonl", "--json",
                   "--samples", out).json()
    assert again["tasks"][0]["cut_items"] == 1
    assert lines(out)[0]["log_likelihoods"][0] == values[0]


def strip_resumed(result):
    for task in result.get("tasks", []):
        task.pop("resumed_items")
    result.pop("resumed_windows", None)
    return result


@pytest.mark.parametrize("words", [["--tasks", "copa", "--limit", "20"],
                                   ["--windows", "40", "--context", "32"],
                                   ["--windows", "40", "--context", "32", "--against", "MODEL"]])
def test_a_journal_cut_anywhere_is_continued(paring, tiny, tmp_path, words):
    words = ["eval", tiny, *[tiny if w == "MODEL" else w for w in words], "--json", "--quiet", "--threads", "1"]
    plain = strip_resumed(paring(*words).json())
    journal = tmp_path / "journal"
    first = paring(*words, "--journal", journal).json()
    size = journal.stat().st_size
    os.truncate(journal, size * 2 // 3)
    second = paring(*words, "--journal", journal).json()
    count = second["tasks"][0]["resumed_items"] if "tasks" in second else second["resumed_windows"]
    assert 0 < count < 40
    assert journal.stat().st_size == size
    third = paring(*words, "--journal", journal).json()
    assert (third["tasks"][0]["resumed_items"] if "tasks" in third else third["resumed_windows"]) > count
    assert strip_resumed(first) == strip_resumed(second) == strip_resumed(third) == plain


def test_a_journal_does_not_serve_another_variant(paring, tiny, tmp_path):
    journal = tmp_path / "journal"
    words = ["eval", tiny, "--tasks", "copa", "--limit", "4", "--json", "--quiet", "--journal", journal]
    assert paring(*words).json()["tasks"][0]["resumed_items"] == 0
    assert paring(*words).json()["tasks"][0]["resumed_items"] == 4
    assert paring(*words, "--numerics", "exact").json()["tasks"][0]["resumed_items"] == 0
    assert paring(*words, "--context-tokens", "200").json()["tasks"][0]["resumed_items"] == 0
    more = [w if w != "4" else "6" for w in words]
    assert paring(*more).json()["tasks"][0]["resumed_items"] == 4


def test_killed_and_continued(paring, tiny, tmp_path):
    """kill -9 in the middle: the same command goes on."""
    journal = tmp_path / "journal"
    words = ["eval", str(tiny), "--tasks", "copa", "--json", "--quiet", "--threads", "1"]
    plain = strip_resumed(paring(*words).json())
    process = subprocess.Popen([paring.path, *words, "--journal", str(journal)], stdout=subprocess.DEVNULL)
    deadline = time.time() + 60
    while time.time() < deadline and process.poll() is None:
        if journal.exists() and journal.read_bytes().count(b"\n") > 10:
            break
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    rest = paring(*words, "--journal", journal).json()
    assert rest["tasks"][0]["resumed_items"] > 0
    assert strip_resumed(rest) == plain


def test_two_models_are_compared_item_by_item(paring, tiny, tmp_path):
    import tiny_model
    other = tmp_path / "other.gguf"
    tiny_model.write(other, seed=8)
    samples = tmp_path / "samples.jsonl"
    words = ["eval", tiny, "--against", other, "--tasks", "copa", "--limit", "60", "--threads", "1"]
    result = paring(*words, "--json", "--samples", samples).json()
    metric = result["tasks"][0]["metrics"]["acc"]
    rows = lines(samples)
    base = [r["metrics"]["acc"] for r in rows if r["model"] == str(other)]
    model = [r["metrics"]["acc"] for r in rows if r["model"] == str(tiny)]
    assert len(base) == len(model) == 60 and base != model
    lost = sum(b > m for b, m in zip(base, model))
    won = sum(b < m for b, m in zip(base, model))
    assert (metric["paired"]["right_to_wrong"], metric["paired"]["wrong_to_right"]) == (lost, won)
    assert metric["paired"]["difference"] == pytest.approx((won - lost) / 60)
    assert metric["value"] == pytest.approx(sum(model) / 60)
    assert metric["base"]["value"] == pytest.approx(sum(base) / 60)
    low, high = metric["paired"]["interval95"]
    assert low < metric["paired"]["difference"] < high and 0 < metric["paired"]["mcnemar_p"] <= 1
    text = paring(*words).out
    assert "McNemar" in text and "95 %" in text
    same = paring("eval", tiny, "--against", tiny, "--tasks", "copa", "--limit", "5", "--json").json()
    assert same["tasks"][0]["metrics"]["acc"]["paired"]["difference"] == 0


@pytest.mark.parametrize("words,code,said", [
    (["--tasks", "nonsense"], 3, "hellaswag"),
    (["--tasks", "copa,copa"], 2, "twice"),
    (["--tasks", "arc_challenge"], 3, "--data"),
    (["--tasks", "copa", "--data", "FOLDER"], 3, "copa.jsonl"),
    (["--tasks", "copa", "--data", "FILE"], 4, "line 2"),
    (["--tasks", "copa,piqa", "--data", "FILE"], 2, "folder"),
    (["--tasks", "copa", "--shots", "2"], 2, "examples"),
    (["--tasks", "gsm8k", "--shots", "6", "--limit", "1"], 2, "6 examples"),
    (["--tasks", "copa", "--text", "FILE"], 2, "--text"),
    (["--limit", "3"], 2, "--tasks"),
    (["--tasks", "copa", "--journal", "FILE"], 2, "not a journal"),
    (["--tasks", "copa", "--samples", "FOLDER/none/file"], 3, "none"),
])
def test_bad_requests(paring, tiny, tmp_path, words, code, said):
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"query": "It rained, because", "choices": ["a", "b"], "gold": 0}\n{"query": 5}\n')
    before = bad.read_bytes()
    words = [w.replace("FOLDER", str(tmp_path)).replace("FILE", str(bad)) for w in words]
    done = paring("eval", tiny, *words)
    assert done.code == code and said in done.err, done.err
    assert done.out == "" and bad.read_bytes() == before


@pytest.mark.parametrize("line", ["[1]", "{", '"text"', "\xff", '{"query": ' + "[" * 5000 + "]" * 5000 + "}",
                                  '{"context": "a", "continuation": ""}', '{"text": "single"}',
                                  '{"text": "' + "a " * (1 << 20) + '"}'])
def test_hostile_lines_are_refused(paring, tiny, tmp_path, line):
    path = tmp_path / "lambada_openai.jsonl"
    path.write_bytes(line.encode("latin-1") + b"\n")
    done = paring("eval", tiny, "--tasks", "lambada_openai", "--data", tmp_path, timeout=60)
    assert done.code == 4 and "line 1" in done.err, done.err


@pytest.mark.slow
def test_generated_answers(paring, model, tmp_path):
    samples = tmp_path / "samples.jsonl"
    words = ["eval", model, "--tasks", "gsm8k", "--limit", "1", "--threads", "1", "--json", "--quiet",
             "--samples", samples]
    result = paring(*words).json()["tasks"][0]
    assert set(result["metrics"]) == {"strict-match", "flexible-extract"} and result["shots"] == 5
    for row in lines(samples):
        assert "#### " in row["answer"] and row["context"].startswith("Question: ")
        # After five solved examples even a small model writes in their form, and stops before a question.
        assert "####" in row["text"] and "Question:" not in row["text"]
    none = paring(*words, "--shots", "0").json()["tasks"][0]
    assert none["shots"] == 0
    done = paring("eval", model, "--tasks", "gsm8k", "--context-tokens", "200")
    assert done.code == 2 and "256" in done.err and done.out == ""


@pytest.mark.slow
@pytest.mark.parametrize("task", list(json.loads(GOLDEN.read_text())["tasks"]))
def test_exact_log_likelihoods_are_those_of_the_harness(paring, model, tmp_path, task):
    """tests/data/tasks/smollm2.json: lm-evaluation-harness over llama.cpp, by bench/lm_eval_tasks.py."""
    expected = json.loads(GOLDEN.read_text())["tasks"][task]
    out = tmp_path / "out.jsonl"
    done = paring("eval", model, "--tasks", task, "--limit", len(expected), "--numerics", "exact", "--quiet",
                  "--samples", out)
    assert done.code == 0, done.err
    for row, golden in zip(lines(out), expected):
        assert row["item"] == golden["item"]
        assert row["log_likelihoods"] == pytest.approx(golden["log_likelihoods"], abs=2e-3)
        assert row["greedy"] == golden["greedy"]
        for metric in ("acc", "acc_norm"):
            if metric in golden:
                assert row["metrics"][metric] == golden[metric]
