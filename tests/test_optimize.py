# SPDX-License-Identifier: Apache-2.0
"""paring optimize as a user runs it: every budget alone and combined, refusals, interruption, explanations."""
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import time

import pytest

import tiny_model


SHORT = ["--time", "5min"]  # less text than by default, and still time for every step


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def size_of(text):
    number, unit = re.fullmatch(r"([0-9.]+)(kB|MB)", text).groups()
    return round(float(number) * {"kB": 1e3, "MB": 1e6}[unit])


@pytest.mark.parametrize("flag, key", [("--file", "file_bytes"), ("--memory", "memory_bytes")])
def test_an_impossible_size_is_refused_with_the_nearest_possible(paring, tiny, tmp_path, flag, key):
    out = tmp_path / "out.gguf"
    refused = paring("optimize", tiny, flag, "120kB", "--out", out)
    assert refused.code == 6 and flag in refused.err and "impossible" in refused.err
    assert "statistics" not in refused.err and names(tmp_path) == []
    nearest = re.search(rf"the nearest possible is {flag} (\S+)", refused.err).group(1)
    result = paring("optimize", tiny, flag, nearest, *SHORT, "--out", out, "--json").json()
    assert result["after"][key] <= size_of(nearest)
    least = 0
    taken = 0
    for tensor in result["explanation"]["tensors"]:
        sizes = {option["type"]: option["bytes"] for option in tensor["options"]}
        least += min(sizes.values())
        taken += sizes[tensor["type"]]
    assert taken - least < 200  # nothing but what rounding up to a size that can be typed leaves


def test_allowed_types_decide_what_is_possible(paring, tiny, tmp_path):
    refused = paring("optimize", tiny, "--file", "330kB", "--types", "Q8_0", "--out", tmp_path / "out.gguf")
    assert refused.code == 6 and "--file" in refused.err and names(tmp_path) == []


def test_a_speed_that_cannot_be_is_refused_before_the_search(paring, tiny, tmp_path):
    refused = paring("optimize", tiny, "--speed", "500x", "--out", tmp_path / "out.gguf")
    assert refused.code == 6 and "--speed" in refused.err and "nearest possible" in refused.err
    assert "sensitivity" not in refused.err and not (tmp_path / "out.gguf").exists()


@pytest.mark.slow
def test_memory_and_file_together(paring, tiny, tmp_path):
    out = tmp_path / "out.gguf"
    alone = paring("optimize", tiny, "--file", "440kB", *SHORT, "--out", out, "--json").json()
    memory = alone["after"]["memory_bytes"] - 20_000
    words = ["--memory", memory, *SHORT, "--out", out, "--force", "--json"]
    both = paring("optimize", tiny, "--file", "440kB", *words).json()
    assert both["after"]["memory_bytes"] <= memory < alone["after"]["memory_bytes"]
    assert both["after"]["file_bytes"] == os.path.getsize(out) <= 440_000
    assert both["after"]["kl"] >= 0.8 * alone["after"]["kl"]


@pytest.mark.slow
def test_a_loss_bound_is_kept_on_held_out_text_with_margin(paring, tiny, tmp_path):
    out = tmp_path / "out.gguf"
    loose = paring("optimize", tiny, "--kl", "0.004", *SHORT, "--out", out, "--json").json()
    tight = paring("optimize", tiny, "--kl", "0.001", *SHORT, "--out", out, "--force", "--json").json()
    for result, bound in ((loose, 0.004), (tight, 0.001)):
        kl = result["served"]["kl"]
        assert kl["mean"] + 1.645 * kl["standard_error"] <= bound
    assert tight["after"]["file_bytes"] > loose["after"]["file_bytes"]


@pytest.mark.slow
def test_a_loss_that_does_not_fit_the_file_is_refused_with_what_is_possible(paring, tiny, tmp_path):
    out = tmp_path / "out.gguf"
    refused = paring("optimize", tiny, "--file", "240kB", "--kl", "0.0001", *SHORT, "--out", out)
    assert refused.code == 6 and "at 240" in refused.err and "KL" in refused.err
    assert not out.exists()
    needed = re.search(r"at least about --file (\S+) is needed", refused.err)
    possible = re.search(r"--kl ([0-9.e-]+)", refused.err.split("needed")[-1]).group(1)
    assert needed and size_of(needed.group(1)) > 240_000
    bound = float(possible) * 1.1
    result = paring("optimize", tiny, "--file", "240kB", "--kl", bound, *SHORT, "--out", out, "--json").json()
    assert result["after"]["kl"] <= bound
    assert result["search"]["recalled"] > 0  # the refused search had measured already


@pytest.mark.slow
def test_explanation_and_ablation(paring, tiny, tmp_path):
    out = tmp_path / "out.gguf"
    result = paring("optimize", tiny, "--file", "400kB", *SHORT, "--out", out, "--ablation", "--json").json()
    tensors = result["explanation"]["tensors"]
    assert {tensor["name"]: tensor["type"] for tensor in tensors} == result["types"]
    for tensor in tensors:
        chosen = next(option for option in tensor["options"] if option["type"] == tensor["type"])
        for step, sign in (("smaller", -1), ("better", 1)):
            if tensor[step]:
                other = next(option for option in tensor["options"] if option["type"] == tensor[step]["type"])
                assert tensor[step]["bytes"] == other["bytes"] - chosen["bytes"] and tensor[step]["bytes"] * sign > 0
                assert tensor[step]["kl"] * sign < 0 and dtype_in(tensor["reason"], other["type"])
    rows = {row["name"]: row for row in result["ablation"]["rows"]}
    assert {"importance (imatrix)", "error feedback", "allocation"} <= set(rows)
    assert result["ablation"]["kl_full"] < result["ablation"]["kl_plain"]
    assert rows["error feedback"]["kl_without"] > result["ablation"]["kl_full"]
    proofs = {proof["method"]: proof for proof in result["proofs"]}
    assert proofs["importance"]["changed_share"] > 0.01 and proofs["error feedback"]["changed_share"] > 0.01
    assert proofs["error feedback"]["loss_ratio"] < 1
    text = paring("optimize", tiny, "--file", "400kB", *SHORT, "--out", out, "--force", "--explain", "--ablation").out
    assert "Why each tensor has its type" in text and "What each choice gained" in text


def dtype_in(reason, name):
    return f"{name} would" in reason


def test_the_result_tells_how_long_it_searched(paring, tiny, tmp_path):
    out = tmp_path / "out.gguf"
    full = paring("optimize", tiny, "--file", "400kB", "--out", out, "--json").json()
    assert full["search"]["is_complete"] and full["search"]["limit_seconds"] == 900
    short = paring("optimize", tiny, "--file", "400kB", "--out", out, "--force", "--time", "10ms", "--json").json()
    search = short["search"]
    assert not search["is_complete"] and 0 < search["probes_measured"] < search["probes_wanted"]
    assert short["after"]["file_bytes"] <= 400_000
    certificate = paring("inspect", out, "--json").json()["certificate"]
    assert certificate["search"]["probes_wanted"] == search["probes_wanted"]
    assert certificate["search"]["limit_seconds"] == pytest.approx(0.01)
    assert any(f"{search['probes_measured']} of {search['probes_wanted']}" in line for line in search["left_out"])
    done = paring("optimize", tiny, "--file", "400kB", "--out", out, "--force", "--time", "10ms")
    assert "left out for want of time" in done.out and "--time 1min --resume" in done.out
    assert "what a checked result needs took longer" in done.out  # no machine does it in 10 ms


def test_a_search_that_time_cut_short_goes_on(paring, tiny, tmp_path):
    out = tmp_path / "out.gguf"
    words = ["optimize", tiny, "--file", "400kB", "--out", out]
    none = paring(*words, "--resume")
    assert none.code == 3 and "no search" in none.err and names(tmp_path) == []
    short = paring(*words, "--time", "10ms", "--json").json()
    assert not short["search"]["is_complete"]
    assert names(tmp_path) == ["out.gguf", "out.gguf.search", "out.html"]
    assert names(tmp_path / "out.gguf.search") == ["measurements.jsonl"]
    whole = paring(*words, *SHORT, "--resume", "--json").json()  # without --force: OUT is its own
    assert whole["search"]["is_complete"] and whole["search"]["left_out"] == []
    assert whole["after"]["kl"] <= 1.05 * short["after"]["kl"]
    assert names(tmp_path) == ["out.gguf", "out.html"]


def test_the_deadline_holds_on_a_busy_machine(paring, tiny, tmp_path):
    """As many busy processes as processors and more; the least that is possible tells how slow the machine is."""
    busy = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(os.cpu_count() + 1)]
    try:
        words = ["optimize", tiny, "--file", "400kB", "--json"]
        start = time.monotonic()
        paring(*words, "--time", "10ms", "--out", tmp_path / "least.gguf").json()
        least = time.monotonic() - start
        limit = 2.5 * least + 2
        start = time.monotonic()
        result = paring(*words, "--time", f"{limit}s", "--out", tmp_path / "out.gguf").json()
        seconds = time.monotonic() - start
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert seconds <= 1.25 * limit, (seconds, limit, result["search"], result["seconds"])
    assert result["after"]["file_bytes"] <= 400_000


@pytest.mark.parametrize("hidden, words", [
    (128, []), (128, ["--types", "Q8_0,Q5_1"]), (96, []), (256, []), (256, ["--types", "IQ4_XS,Q6_K"])])
def test_the_nearest_possible_size_is_possible(paring, monkeypatch, tmp_path, hidden, words):
    """Of files and folders, of every mix of types; what is named can be typed as it stands."""
    for name, value in (("HIDDEN", hidden), ("HEADS", hidden // 32), ("KV_HEADS", 1)):  # heads of 32
        monkeypatch.setattr(tiny_model, name, value)
    model, folder, out = tmp_path / "model.gguf", tmp_path / "folder", tmp_path / "out.gguf"
    tiny_model.write(model, seed=hidden)
    assert paring("export", model, "--out", folder).code == 0
    for source in (model, folder):
        for flag, key in (("--file", "file_bytes"), ("--memory", "memory_bytes")):
            refused = paring("optimize", source, flag, "1kB", *words, "--out", out, "--force")
            assert refused.code == 6, refused.err
            nearest = re.search(rf"the nearest possible is {flag} (\S+)", refused.err).group(1)
            rest = ["--time", "10ms", "--out", out, "--force", "--json"]
            done = paring("optimize", source, flag, nearest, *words, *rest)
            assert done.code == 0, (source, flag, nearest, done.err)
            assert done.json()["after"][key] <= size_of(nearest)
            shutil.rmtree(f"{out}.search", ignore_errors=True)


@pytest.mark.slow
def test_a_killed_search_goes_on_and_ends_the_same(paring, tiny, tmp_path):
    whole = tmp_path / "whole.gguf"
    words = ["optimize", tiny, "--file", "400kB", *SHORT, "--json", "--out"]
    start = time.monotonic()
    expected = paring(*words, whole).json()
    seconds = time.monotonic() - start
    out = tmp_path / "out.gguf"
    journal = tmp_path / "out.gguf.search"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PARING_")}
    moments = random.Random(5)
    kills = 0
    for turn in range(8):
        run = subprocess.Popen([paring.path, *map(str, [*words, out])], env=environment, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # The first is killed once it has measured something, whatever else the machine does.
        measured = journal / "measurements.jsonl"
        while turn == 0 and run.poll() is None and not (measured.exists() and measured.stat().st_size > 0):
            time.sleep(0.005)
        try:
            run.wait(timeout=0.001 if turn == 0 else moments.uniform(0.05, 0.9) * seconds)
            break
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGKILL)
            run.wait()
            kills += 1
            assert not out.exists() or json.loads(paring("inspect", out, "--json").out)
    assert kills > 0
    if not out.exists():
        resumed = paring(*words, out).json()
        assert resumed["types"] == expected["types"]
    same = [paring("inspect", path, "--json").json()["certificate"] for path in (whole, out)]
    assert same[0]["variant"] == same[1]["variant"] and same[0]["served"] == same[1]["served"]
    assert not journal.exists()
    assert not [name for name in names(tmp_path) if "tmp" in name]


def test_an_interrupted_search_says_that_it_goes_on(paring, tiny, tmp_path):
    words = ["optimize", tiny, "--file", "400kB", "--time", "5min", "--out", tmp_path / "out.gguf"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PARING_")}
    run = subprocess.Popen([paring.path, *map(str, words)], env=environment, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    journal = tmp_path / "out.gguf.search" / "measurements.jsonl"
    until = time.monotonic() + 60
    while not (journal.exists() and journal.stat().st_size > 0) and time.monotonic() < until:
        time.sleep(0.01)
    run.send_signal(signal.SIGINT)
    errors = run.communicate(timeout=60)[1]
    assert run.returncode == -signal.SIGINT and "the same command goes on" in errors
    assert paring(*words).code == 0


def test_a_journal_is_taken_up(paring, tiny, tmp_path):
    """A run that stops after some measurements leaves them; the next one does not repeat them."""
    out = tmp_path / "out.gguf"
    words = ["optimize", tiny, "--file", "240kB", "--kl", "0.0001", *SHORT, "--out", out]
    assert paring(*words).code == 6
    journal = pathlib.Path(f"{out}.search") / "measurements.jsonl"
    lines = journal.read_text().splitlines()
    assert len(lines) > 10
    with journal.open("a") as file:
        file.write('{"name":"cut')
    result = paring("optimize", tiny, "--file", "240kB", *SHORT, "--out", out, "--json").json()
    assert result["search"]["recalled"] == len(lines) - 1
    assert names(tmp_path) == ["out.gguf", "out.html"]


@pytest.mark.slow
def test_a_speed_budget_is_kept(paring, reference, tmp_path):
    """Real model: speeds of a tiny one say nothing."""
    out = tmp_path / "out.gguf"
    result = paring("optimize", reference, "--speed", "1.2x", "--file", "130MB", "--time", "3min", "--out", out,
                    "--json", timeout=1800).json()
    after, before = result["after"]["decode"], result["before"]["decode"]
    assert after["tokens_per_second"] >= 1.2 * before["tokens_per_second"]
    assert os.path.getsize(out) <= 130_000_000


@pytest.mark.slow
def test_importance_that_is_brought_takes_the_place_of_the_texts(paring, tiny, tmp_path):
    matrix, out = tmp_path / "tiny.imatrix.gguf", tmp_path / "out.gguf"
    made = paring("imatrix", tiny, "--out", matrix, "--json")
    assert made.code == 0, made.err
    result = paring("optimize", tiny, "--file", "440kB", "--imatrix", matrix, *SHORT, "--out", out, "--json").json()
    given = result["importance"]
    assert given["matrices"] == len(result["types"]) and given["tokens"] > 0
    certificate = paring("inspect", out, "--json").json()["certificate"]
    roles = {text["role"]: text for text in certificate["texts"]}
    assert roles["importance"]["sha256"] == given["sha256"] and "calibration" in roles
    text = paring("optimize", tiny, "--file", "440kB", "--imatrix", matrix, *SHORT, "--out", out, "--force").out
    assert "importance of" in text and "error feedback" in text


def test_importance_of_another_model_is_refused_at_once(paring, tiny, model, tmp_path):
    matrix = tmp_path / "other.gguf"
    matrix.write_bytes(b"not a matrix")
    refused = paring("optimize", tiny, "--file", "440kB", "--imatrix", matrix, "--out", tmp_path / "out.gguf")
    assert refused.code == 4 and "other.gguf" in refused.err and not (tmp_path / "out.gguf").exists()
    missing = paring("optimize", tiny, "--file", "440kB", "--imatrix", tmp_path / "no", "--out", tmp_path / "out.gguf")
    assert missing.code == 3
