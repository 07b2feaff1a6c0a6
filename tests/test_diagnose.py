# SPDX-License-Identifier: Apache-2.0
"""`paring diagnose`: bad answers whose fault is known, on the axis where it was put."""
import json
import shutil
import sys

import numpy as np
import pytest
from conftest import ROOT
from gguf import GGUFReader

sys.path.append(str(ROOT / "bench"))
import diagnosis  # noqa: E402

PASSAGES = {
    "tower": "The tower of Aldmoor was built in 1349 by monks who came from the north, and it stood there for a very "
             "long time until a great fire destroyed it in the summer of 1666.",
    "river": "The river Tamble rises in the hills near Corwick and flows through four counties before it reaches the "
             "sea at Port Estwell, where a lighthouse of red brick stands.",
    "baker": "The bakery in Mill Street was opened by Henrietta Vance after the war, and for forty years it sold "
             "nothing but rye bread, which people came from all over the county to buy.",
}
QUESTIONS = [("tower", "Who built the tower of Aldmoor?", "monks"),
             ("river", "Where does the river Tamble reach the sea?", "Port Estwell"),
             ("baker", "Who opened the bakery in Mill Street?", "Henrietta Vance")]


def prompt(question, text):
    return [{"role": "user", "content": f"Context: {text}\n\nQuestion: {question}" if text else question}]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "documents").mkdir()
    for name, text in PASSAGES.items():
        (tmp_path / "documents" / f"{name}.txt").write_text(text)
    return tmp_path


@pytest.fixture(scope="module")
def damaged(paring, model, tmp_path_factory):
    """A file in eight bits whose codes keep only their largest values: what far too few bits leave."""
    path = tmp_path_factory.mktemp("damaged") / "damaged.gguf"
    whole = path.with_name("whole.gguf")
    assert paring("quantize", model, whole, "--type", "Q8_0", "--no-importance").code == 0
    shutil.copyfile(whole, path)
    for tensor in GGUFReader(str(path), "r+").tensors:
        if tensor.name.startswith("blk.") and tensor.tensor_type.name == "Q8_0":
            codes = tensor.data.reshape(-1, 34)[:, 2:].view(np.int8)
            codes[...] = np.where(np.abs(codes) > 80, codes, 0)
    return path


def diagnosed(paring, folder, cases, *words):
    path = folder / "cases.jsonl"
    path.write_text("".join(json.dumps(case) + "\n" for case in cases))
    done = paring("diagnose", *words, "--cases", path, "--documents", folder / "documents", "--threads", "2", "--json",
                  "--quiet")
    found = done.json()
    for case in found["cases"]:
        if "error" not in case:
            # The benchmark applies the rule by itself: both mean the same by it.
            rule = ROOT / "src/advise/diagnosis/rule_weights.inc"
            assert case["probabilities"] == pytest.approx(diagnosis.judge(rule, case["signals"], "original" in case))
    assert sum(found["counts"].values()) == len(cases)
    return found["cases"]


def test_what_the_prompt_lacks_is_the_context(paring, model, reference, folder):
    """The wrong document, or none: with the right one the model answers."""
    cases = [{"id": f"wrong {name}", "messages": prompt(question, PASSAGES[other]), "reference": answer}
             for (name, question, answer), other in zip(QUESTIONS, ["river", "baker", "tower"], strict=True)]
    cases += [{"id": f"none {name}", "messages": prompt(question, ""), "reference": answer}
              for name, question, answer in QUESTIONS]
    found = diagnosed(paring, folder, cases, model, "--original", reference)
    # The rule is not always right; for this small model once in six.
    assert sum(case["axis"] == "context" for case in found) >= 5, [case["axis"] for case in found]
    for case, (name, _, _) in zip(found, QUESTIONS * 2, strict=True):
        if case["axis"] != "context":
            continue
        assert case["cause"] == ("missing document" if case["id"].startswith("none") else "wrong document")
        assert case["evidence"]["document"].endswith(f"{name}.txt") and case["evidence"]["rank"] == 1
        assert not case["served"]["as sent"]["is_right"] and case["served"]["better context"]["is_right"]
        lever, = case["levers"]
        assert f"{name}.txt" in lever["action"]
        # The prompt that was answered rightly, ready to be used.
        assert PASSAGES[name] in lever["prompt"][-1]["content"]


def test_what_damage_to_weights_broke_is_the_model(paring, damaged, reference, folder):
    cases = [{"id": name, "messages": prompt(question, PASSAGES[name]), "reference": answer, "answer": "of of the"}
             for name, question, answer in QUESTIONS]
    found = diagnosed(paring, folder, cases, damaged, "--original", reference)
    for case in found:
        assert case["axis"] == "model" and case["cause"] == "shrinking", case
        assert case["original"]["as sent"]["is_right"] and not case["served"]["as sent"]["is_right"]
        assert case["levers"][0]["command"].startswith(f"paring optimize '{reference}' --kl ")
        assert case["divergence"] > 0.5
    alone = diagnosed(paring, folder, cases, damaged)
    for case in alone:
        assert case["axis"] == "model" and case["cause"] == "model" and "original" not in case


def test_without_a_reference_the_best_replay_stands_for_it(paring, model, reference, folder):
    name, question, answer = QUESTIONS[1]
    cases = [{"messages": prompt(question, PASSAGES["baker"])}]
    case, = diagnosed(paring, folder, cases, model, "--original", reference)
    assert case["is_reference_made"] and answer in case["reference"]
    assert case["axis"] == "context"


def test_the_table_shows_every_replay(paring, model, folder):
    path = folder / "cases.jsonl"
    path.write_text(json.dumps({"id": "c\x1b[31m", "messages": prompt(QUESTIONS[0][1], ""), "reference": "monks"}))
    done = paring("diagnose", model, "--cases", path, "--documents", folder / "documents")
    assert done.code == 0, done.err
    for word in ("as sent", "better context", "plain prompt", "both", "no context", "verdict", "log p of reference"):
        assert word in done.out
    assert "\x1b" not in done.out


def test_a_case_that_does_not_fit_is_named_and_the_others_go_on(paring, model, folder):
    name, question, answer = QUESTIONS[0]
    cases = [{"id": "long", "messages": prompt(question, "word " * 600), "reference": answer},
             {"id": "short", "messages": prompt(question, PASSAGES[name]), "reference": answer}]
    long, short = diagnosed(paring, folder, cases, model, "--context", "512")
    assert "do not fit into 512 tokens" in long["error"] and "--context" in long["error"]
    assert "error" not in short


@pytest.mark.parametrize("line, words", [
    ('{"messages": []}', ["cases.jsonl:1", "user"]), ("[]", ["cases.jsonl:1", "not a JSON object"]),
    ('{"prompt": "a?", "context": "b"}', ["cases.jsonl:1", '"context"']),
    ('{"prompt": "a?", "messages": []}', ["cases.jsonl:1", '"messages" or "prompt"']), ("", ["holds no case"])])
def test_bad_cases_are_errors_that_name_the_line(paring, model, tmp_path, line, words):
    path = tmp_path / "cases.jsonl"
    path.write_text(line + "\n")
    done = paring("diagnose", model, "--cases", path)
    assert done.code == 2
    for word in words:
        assert word in done.err


def test_the_answers_must_come_from_somewhere(paring, model, tmp_path):
    assert paring("diagnose", model).code == 2
    both = paring("diagnose", model, "--badly-rated", "--request", "r")
    assert both.code == 2
    empty = paring("diagnose", model, "--badly-rated", "--data-dir", tmp_path)
    assert empty.code == 3 and str(tmp_path) in empty.err and "--data-dir" in empty.err
