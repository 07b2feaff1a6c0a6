# SPDX-License-Identifier: Apache-2.0
"""The pinned texts are what their manifests say, and no text that something is tuned on repeats a text that judges.

PARING_EVALUATION_TEXTS may name a folder with more texts (whole test splits, tasks): they are compared as well.
"""
import hashlib
import importlib.util
import json
import os
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = ROOT / "src/measure/data"
TUNED_ON = ("calibration", "holdout")

spec = importlib.util.spec_from_file_location("make_calibration", ROOT / "tools/make_calibration.py")
make_calibration = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_calibration)


def evaluation_manifest():
    return json.loads((ROOT / "tests/data/manifest.json").read_text())["files"]


def builtin(name):
    return (DATA / f"{name}.txt").read_text("utf-8")


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("entry", evaluation_manifest(), ids=lambda e: e["file"])
def test_an_evaluation_text_is_as_pinned(entry):
    path = ROOT / "tests/data" / entry["file"]
    assert path.stat().st_size == entry["bytes"]
    assert digest(path) == entry["sha256"]
    for key in ("source", "licence", "attribution"):
        assert entry[key]


def test_golden_files_name_the_texts_they_were_made_from():
    for path in (ROOT / "tests/data/golden").glob("*.json"):
        golden = json.loads(path.read_text())
        assert digest(ROOT / golden["text"]) == golden["text_sha256"], path


def test_builtin_texts_are_as_in_their_manifest():
    manifest = json.loads((DATA / "manifest.json").read_text())
    for name in TUNED_ON:
        row = manifest["texts"][name]
        assert digest(DATA / row["file"]) == row["sha256"]
        assert row["documents"][0]["begin"] == 0 and row["documents"][-1]["end"] == row["bytes"]
        for before, after in zip(row["documents"], row["documents"][1:]):
            assert before["end"] == after["begin"]
        assert {d["part"] for d in row["documents"]} <= set(manifest["parts"])


def test_every_prefix_has_about_the_same_mix():
    manifest = json.loads((DATA / "manifest.json").read_text())
    rows = manifest["texts"]["calibration"]["documents"]
    for size in (60_000, 120_000, 240_000):
        prose = sum(d["end"] - d["begin"] for d in rows if d["part"] == "wikitext" and d["end"] <= size) / size
        assert 0.5 < prose < 0.7, (size, prose)


def test_no_13_words_in_a_row_are_shared():
    grams = {name: make_calibration.grams(builtin(name)) for name in TUNED_ON}
    assert all(len(g) > 5000 for g in grams.values())
    assert not grams["calibration"] & grams["holdout"]
    for entry in evaluation_manifest():
        judged = set()
        for text in make_calibration.texts_of(ROOT / "tests/data" / entry["file"]):
            judged |= make_calibration.grams(text)
        assert judged, entry["file"]
        for name in TUNED_ON:
            assert not grams[name] & judged, (name, entry["file"])


def test_nothing_is_shared_with_the_built_in_tasks():
    tuned = make_calibration.grams(builtin("calibration")) | make_calibration.grams(builtin("holdout"))
    slices = [p for p in (ROOT / "src/measure/tasks/data").glob("*.jsonl") if p.stem != "gsm8k_examples"]
    assert len(slices) >= 7
    for path in slices:
        for text in make_calibration.texts_of(path):
            assert not make_calibration.grams(text) & tuned, path


def test_a_shared_run_of_words_would_be_found():
    judged = (ROOT / "tests/data" / evaluation_manifest()[0]["file"]).read_text("utf-8")
    run = " ".join(make_calibration.words(judged)[100:113])
    assert make_calibration.grams(builtin("calibration") + run.upper()) & make_calibration.grams(judged)
    shorter = " ".join(make_calibration.words(judged)[100:112])
    assert not make_calibration.grams(shorter) & make_calibration.grams(judged)


@pytest.mark.skipif("PARING_EVALUATION_TEXTS" not in os.environ, reason="PARING_EVALUATION_TEXTS is not set")
def test_nothing_is_shared_with_more_evaluation_texts():
    grams = make_calibration.grams(builtin("calibration")) | make_calibration.grams(builtin("holdout"))
    sources = {"wikitext2_train_5k.txt", "seed_tasks.jsonl", "tiny_stories.txt", "input.txt"}
    compared = 0
    for path in make_calibration.files_below([os.environ["PARING_EVALUATION_TEXTS"]]):
        if path.name not in sources and path.suffix in {".txt", ".raw", ".jsonl", ".json", ".gz", ".tsv"}:
            for text in make_calibration.texts_of(path):
                assert not make_calibration.grams(text) & grams, path
            compared += 1
    assert compared > 0
