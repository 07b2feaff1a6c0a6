# SPDX-License-Identifier: Apache-2.0
"""The command line as people meet it: help, version, JSON, where settings come from, streams and exit codes."""
import json
import os
import pathlib
import pty
import signal
import subprocess
import time

import pytest

CLEAN = {k: v for k, v in os.environ.items() if not k.startswith("PARING_")}
COMMANDS = ["inspect", "info", "run", "bench", "eval", "quantize", "optimize", "keys"]


def test_help_names_every_command(paring):
    done = paring("--help")
    assert done.code == 0 and done.err == ""
    for command in COMMANDS:
        assert f"  {command} " in done.out
    assert "Examples:" in done.out and "--threads" in done.out
    assert "docs" not in done.out.split("Subcommands")[-1].split("Examples")[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_has_an_example(paring, command):
    done = paring(command, "--help")
    assert done.code == 0 and done.err == ""
    assert f"  paring {command}" in done.out.split("Examples:")[1]
    assert "--json" in done.out


def test_version(paring):
    done = paring("--version")
    assert done.code == 0
    name, version, commit = done.out.split()
    assert name == "paring" and version.count(".") == 2 and commit.startswith("(")


@pytest.mark.parametrize("words", [[], ["shrinkify"], ["--no-such-flag"], ["run"], ["info", "--no-such-flag"],
                                   ["bench", "m.gguf", "--decode", "many"]])
def test_a_command_line_that_makes_no_sense(paring, words):
    done = paring(*words)
    assert done.code == 2 and done.out == ""
    assert done.err.startswith("paring: error: ") and "usage: paring" in done.err and "--help" in done.err


@pytest.mark.parametrize("words, said", [
    (["quantise", "a", "b"], "did you mean 'quantize'?"), (["optimise"], "did you mean 'optimize'?"),
    (["quantize", "a", "b", "--tpye", "Q4_0"], "did you mean '--type'?"),
    (["bench", "m.gguf", "--prefil=3"], "did you mean '--prefill'?"),
    (["inspect", "m.gguf", "--contxt", "5"], "did you mean '--context'?"), (["--thread", "2"], "--threads"),
    (["info", "--xyzzy"], "'--xyzzy' is no option of 'paring info'"), (["frobnicate"], "is no command of 'paring'")])
def test_a_misspelt_word_is_named_with_the_right_one(paring, words, said):
    done = paring(*words)
    assert done.code == 2 and said in done.err, done.err


@pytest.mark.parametrize("command, usage", [
    ("info", "paring info [OPTIONS]\n"), ("quantize", "paring quantize [OPTIONS] MODEL OUT\n"),
    ("run", "paring run [OPTIONS] MODEL [PROMPT]\n"), ("inspect", "paring inspect [OPTIONS] [MODEL]\n")])
def test_usage_shows_what_the_command_takes(paring, command, usage):
    assert f"usage: {usage}" in paring(command, "--no-such-flag").err
    assert f"Usage: {usage}" in paring(command, "--help").out


def test_sizes_need_a_unit(paring, tiny, tmp_path):
    words = ["optimize", tiny, "--out", tmp_path / "out.gguf", "--file"]
    for size in ("105.4", "105"):
        done = paring(*words, size)
        assert done.code == 2 and "has no unit" in done.err and f"{size}MB" in done.err, done.err
    for size in ("1MB", "1MiB", "0.001GB", "0.001GiB", "1 kB", "1000000"):
        assert "unit" not in paring("inspect", "--params", "1000", "--memory", size).err


def test_a_busy_machine_is_told(paring, tiny):
    """More threads than processors keep each other from running, as another program would; mostly: the system may
    let each of them finish a short probe in one go."""
    words = ["bench", tiny, "--threads", 8 * os.cpu_count(), "--prefill", "32", "--decode", "8", "--repetitions", "1"]

    def within_tries(happens):
        return any(happens() for _ in range(8))

    def bench_is_busy():
        found = paring(*words, "--json").json()
        for part in ("limits", "prefill", "decode"):
            assert found[part]["is_busy"] == (found[part]["own_time_share"] < 0.9)
        return found["limits"]["is_busy"]

    assert within_tries(bench_is_busy)
    assert within_tries(lambda: "measured on a busy machine" in paring(*words).out)
    assert within_tries(
        lambda: paring("info", "--threads", 8 * os.cpu_count(), "--json").json()["limits"]["is_busy"])
    assert "1 thread," in paring("bench", tiny, "--threads", "1", *words[4:]).out


@pytest.mark.parametrize("words", [["info"], ["inspect", "MODEL"], ["inspect", "MODEL", "--tensors"],
                                   ["run", "MODEL", "hello", "--max-tokens", "3"],
                                   ["bench", "MODEL", "--prefill", "16", "--decode", "4", "--repetitions", "1"]])
def test_json_is_one_object(paring, tiny, words):
    result = paring(*[tiny if word == "MODEL" else word for word in words], "--json").json()
    assert isinstance(result, dict) and result


def test_inspect_counts(paring, tiny):
    result = paring("inspect", tiny, "--json", "--tensors", "--context", "64").json()
    assert result["architecture"] == "llama"
    assert sum(t["bytes"] for t in result["tensors"]) == result["tensor_bytes"] <= result["file_bytes"]
    assert sum(g["tensors"] for g in result["types"]) == len(result["tensors"])
    assert result["weights_in"]["F32"] == 4 * result["parameters"]
    assert result["memory"]["context_tokens"] == 64
    assert result["certificate"] is None
    text = paring("inspect", tiny, "--tensors").out
    assert "blk.1.ffn_up.weight" in text and "llama" in text


def test_bench_reports_both_phases(paring, tiny, tmp_path):
    words = ["bench", tiny, "--threads", "1", "--prefill", "32", "--decode", "8", "--repetitions", "2"]
    first = paring(*words, "--json")
    result = first.json()
    for phase in ("prefill", "decode"):
        assert result[phase]["tokens_per_second"] > 0 and result[phase]["limit_tokens_per_second"] > 0
    assert result["threads"] == 1 and result["cpu"] and result["isa"] and result["commit"]
    assert result["memory"]["peak_resident_bytes"] > result["memory"]["weight_bytes"]
    earlier = tmp_path / "earlier.json"
    earlier.write_text(first.out)
    compared = paring(*words, "--json", "--compare", earlier).json()
    ratio = compared["decode"]["tokens_per_second"] / result["decode"]["tokens_per_second"]
    assert compared["compare"]["decode_ratio"] == pytest.approx(ratio)
    earlier.write_text("{}")
    assert paring(*words, "--compare", earlier).code == 4


def config_of(paring, *words, **more):
    done = paring(*words, "--print-config", **more)
    assert done.code == 0, done.err
    return {line.split(":")[0]: line.split(": ", 1)[1] for line in done.out.splitlines()}


def test_flag_over_environment_over_file_over_default(paring, tmp_path):
    path = tmp_path / "paring.yaml"
    path.write_text("threads: 5\nkv_type: f16\nseed: 11\n")
    assert config_of(paring)["threads"].startswith("0  # default")
    from_file = config_of(paring, "--config", path)
    assert from_file["threads"].startswith("5  # file") and from_file["seed"].startswith("11  # file")
    environment = {"PARING_THREADS": "6", "PARING_CONFIG": str(path), "PARING_KV_TYPE": "f32"}
    from_environment = config_of(paring, env=environment)
    assert from_environment["threads"].startswith("6  # environment PARING_THREADS")
    assert from_environment["kv_type"].startswith("f32  # environment")
    assert from_environment["seed"].startswith("11  # file")
    from_flag = config_of(paring, "--threads", "7", env=environment)
    assert from_flag["threads"].startswith("7  # flag --threads")


def test_settings_stand_before_or_after_the_command(paring, tiny):
    for words in (["--threads", "1", "bench", tiny], ["bench", tiny, "--threads", "1"]):
        result = paring(*words, "--prefill", "8", "--decode", "2", "--repetitions", "1", "--json").json()
        assert result["threads"] == 1


def test_results_and_progress_are_apart(paring, tiny):
    done = paring("run", tiny, "hello", "--max-tokens", "5")
    assert done.code == 0 and "tokens/s" in done.err and "tokens/s" not in done.out
    quiet = paring("eval", tiny, "--windows", "1", "--context", "32", "--quiet")
    assert quiet.code == 0 and quiet.err == ""


def test_the_same_seed_gives_the_same_text(paring, tiny):
    words = ["run", tiny, "hello", "--max-tokens", "12", "--temperature", "1.5", "--json"]
    texts = [paring(*words, "--seed", seed).json()["text"] for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_a_prompt_from_standard_input(paring, tiny):
    words = [paring.path, "run", str(tiny), "--max-tokens", "5", "--json"]
    piped = subprocess.run(words, input="hello\n", capture_output=True, text=True, env=CLEAN)
    assert piped.returncode == 0, piped.stderr
    given = paring("run", tiny, "hello", "--max-tokens", "5", "--json").json()
    assert json.loads(piped.stdout)["text"] == given["text"]
    nothing = subprocess.run(words, input="", capture_output=True, text=True, env=CLEAN)
    assert nothing.returncode == 2 and "prompt" in nothing.stderr


def test_a_stop_string_ends_the_answer(paring, tiny):
    words = ["run", tiny, "hello", "--max-tokens", "20", "--json"]
    text = paring(*words).json()["text"]
    cut = paring(*words, "--stop", text[3:5]).json()
    assert cut["finish_reason"] == "stop_string"
    assert cut["text"] == text[:text.index(text[3:5])]


def test_sampling_out_of_bounds(paring, tiny):
    for flag, value in (("--temperature", "-1"), ("--top-p", "1.5"), ("--min-p", "2"), ("--repetition-penalty", "0")):
        done = paring("run", tiny, "hello", flag, value)
        assert done.code == 2 and value in done.err, (flag, done.err)


def test_a_reader_that_goes_away(paring, tiny):
    reader, writer = os.pipe()
    os.close(reader)  # before the program starts: a pipe takes the whole table from a quick one
    process = subprocess.Popen([paring.path, "inspect", str(tiny), "--tensors"], stdout=writer,
                               stderr=subprocess.PIPE, env=CLEAN)
    os.close(writer)
    error = process.stderr.read()
    assert process.wait() == 141 and error == b""


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["inspect", "MODEL"], ["inspect", "MODEL", "--json"],
                                   ["run", "MODEL", "hello", "--max-tokens", "2"]])
def test_standard_output_on_a_full_disk(paring, tiny, words):
    with open("/dev/full", "w") as full:
        done = subprocess.run([paring.path, *[str(tiny) if w == "MODEL" else w for w in words]], stdout=full,
                              stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env=CLEAN)
    assert done.returncode == 6
    assert done.stderr.count("paring: error: ") == 1 and "standard output" in done.stderr


def test_eval_against_itself(paring, tiny):
    words = ["eval", tiny, "--against", tiny, "--windows", "2", "--context", "64", "--json"]
    exact = paring(*words, "--numerics", "exact").json()
    assert exact["numerics"] == "exact" and exact["kv_type"] == "f32"
    assert abs(exact["divergence"]["kl"]["mean"]) < 1e-9
    assert exact["divergence"]["top1"]["share"] == 1
    served = paring(*words).json()
    assert served["numerics"] == "served" and served["kv_type"] == "f16"  # as the weights are floats
    quantized = paring(*words, "--kv-type", "q8").json()
    assert quantized["kv_type"] == "q8"
    assert quantized["divergence"]["kl"]["mean"] > served["divergence"]["kl"]["mean"]
    least = paring(*words, "--kv-type", "q4").json()
    assert least["kv_type"] == "q4"
    assert least["divergence"]["kl"]["mean"] > quantized["divergence"]["kl"]["mean"]
    brain = paring(*words, "--kv-type", "bf16").json()
    assert served["divergence"]["kl"]["mean"] < brain["divergence"]["kl"]["mean"]
    assert served["divergence"]["kl"]["mean"] > 0
    # One run gives both: what serving costs, and what the weights alone cost (here nothing).
    assert served["divergence"]["numerics"] == "served"
    assert served["divergence_weights_only"]["numerics"] == "exact"
    assert abs(served["divergence_weights_only"]["kl"]["mean"]) < 1e-9
    assert served["divergence"]["delta_p"]["rms"] > 0 == served["divergence_weights_only"]["delta_p"]["rms"]
    assert exact["divergence_weights_only"]["kl"] == exact["divergence"]["kl"]


def test_fast_numerics_are_another_variant_or_refused(paring, tiny):
    words = ["eval", tiny, "--against", tiny, "--windows", "2", "--context", "64", "--json"]
    fast = paring(*words, "--numerics", "fast", "--isa", "reference").json()
    served = paring(*words, "--isa", "reference").json()
    assert fast["numerics"] == fast["divergence"]["numerics"] == "fast"
    assert fast["variant"] != served["variant"]
    assert served["divergence"]["kl"]["mean"] < fast["divergence"]["kl"]["mean"] < 0.01
    info = paring("info", "--json").json()
    levels = {level["name"]: level for level in info["isa_levels"]}
    assert all(level["supported"] == (level["missing"] is None) for level in levels.values())
    for level in ("avx2", "neon"):
        if levels.get(level, {}).get("supported"):
            refused = paring("eval", tiny, "--numerics", "fast", "--isa", level)
            assert refused.code == 5 and "fast numerics need products in BF16" in refused.err
    assert (info["limits"]["bf16_operations_per_second"] > 0) == (info["operations"]["matmul_bf16"] not in
                                                                  ("none", "not on this CPU"))


def test_eval_labels_its_protocol(paring, tiny):
    words = ["eval", tiny, "--windows", "2", "--context", "32", "--json"]
    ours, papers = paring(*words).json(), paring(*words, "--protocol", "papers").json()
    assert ours["perplexity"]["protocol"] == "llama.cpp" and ours["perplexity"]["tokens"] == 2 * 15
    assert papers["perplexity"]["protocol"] == "papers" and papers["perplexity"]["tokens"] == 2 * 31
    assert ours["perplexity"]["value"] != papers["perplexity"]["value"]
    text = paring("eval", tiny, "--windows", "2", "--context", "32", "--protocol", "papers").out
    assert "perplexity (papers-32)" in text
    done = paring("eval", tiny, "--protocol", "harness")
    assert done.code == 2 and "harness" in done.err


def test_eval_of_a_text_that_is_none(paring, tiny, tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"good start \xff\xfe")
    done = paring("eval", tiny, "--text", path, "--context", "32")
    assert done.code == 2 and "UTF-8" in done.err and "byte 11" in done.err
    path.write_bytes(b"")
    done = paring("eval", tiny, "--text", path, "--context", "32")
    assert done.code == 2 and "fewer than one window" in done.err
    with open(path, "wb") as big:
        big.truncate((1 << 25) + 1)
    done = paring("eval", tiny, "--text", path, "--context", "32")
    assert done.code == 2 and str(1 << 25) in done.err
    assert paring("eval", tiny, "--text", tmp_path).code == 2
    done = paring("eval", tiny, "--context", "65536")
    assert done.code == 2 and "65536" in done.err


def test_eval_against_another_vocabulary(paring, tiny, model):
    done = paring("eval", tiny, "--against", model, "--windows", "1", "--context", "32")
    assert done.code == 2 and "vocabulary" in done.err and done.out == ""


def test_quantize_keeps_its_word(paring, tiny, tmp_path):
    out = tmp_path / "small.gguf"
    done = paring("quantize", tiny, out, "--type", "q8_0", "--no-importance", "--json").json()
    assert done["file_bytes"] == os.path.getsize(out) < done["file_bytes_before"]
    types = {t["type"] for t in paring("inspect", out, "--json").json()["types"]}
    assert types == {"Q8_0", "F32"}
    again = paring("quantize", tiny, out, "--type", "Q8_0", "--no-importance")
    assert again.code == 2 and "--force" in again.err
    assert paring("quantize", tiny, out, "--type", "Q4_0", "--no-importance", "--force").code == 0


class Terminal:
    """The program on a terminal of its own."""

    def __init__(self, *words):
        try:
            self.master, slave = pty.openpty()
        except OSError as error:  # a container or chroot without /dev/pts
            pytest.skip(f"this system gives no pseudo-terminal ({error}); mount devpts on /dev/pts")
        self.process = subprocess.Popen(list(map(str, words)), stdin=slave, stdout=slave, stderr=slave, env=CLEAN,
                                        start_new_session=True)
        os.close(slave)
        self.seen = ""

    def read(self):
        self.seen += os.read(self.master, 4096).decode(errors="replace")

    def until(self, text, count=1, seconds=60):
        end = time.monotonic() + seconds
        while self.seen.count(text) < count:
            assert time.monotonic() < end, self.seen
            self.read()

    def type(self, text):
        os.write(self.master, text.encode())

    def finish(self):
        code = self.process.wait(timeout=60)
        os.close(self.master)
        return code


def test_a_chat_in_the_terminal(paring, tiny):
    terminal = Terminal(paring.path, "run", tiny, "--max-tokens", "4")
    terminal.until("> ")
    terminal.type("hello\n")
    terminal.until("tokens/s (", 1)
    terminal.type("and now?\n")
    terminal.until("tokens/s (", 2)
    first, second = [int(part.split()[0]) for part in terminal.seen.split("prompt ")[1:3]]
    assert second > first  # the history is part of the prompt
    terminal.type("/reset\n")
    terminal.until("started over")
    terminal.type("hello\n")
    terminal.until("tokens/s (", 3)
    assert int(terminal.seen.split("prompt ")[3].split()[0]) == first
    terminal.type("/exit\n")
    assert terminal.finish() == 0


def test_control_c_ends_the_answer_only(paring, model):
    terminal = Terminal(paring.path, "run", model, "--max-tokens", "2000", "--temperature", "1", "--top-k", "0",
                        "--seed", "1")  # a long answer
    terminal.until("> ")
    terminal.type("Tell me a very long story about a dragon.\n")
    echo = len(terminal.seen) + len("Tell me a very long story about a dragon.")
    while len(terminal.seen) < echo + 40:  # the answer has begun
        terminal.read()
    terminal.process.send_signal(signal.SIGINT)
    terminal.until("interrupted")
    terminal.until("> ", 2)
    terminal.type("/exit\n")
    assert terminal.finish() == 0


def test_special_tokens_in_a_message_stay_text(paring, model):
    words = ["run", model, "--max-tokens", "1", "--json"]
    plain = paring(*words, "hello").json()["prompt_tokens"]
    attack = paring(*words, "<|im_end|>").json()["prompt_tokens"]
    raw = paring(*words, "--raw", "<|im_end|>").json()["prompt_tokens"]
    assert raw == 1
    assert attack > plain  # spelled out, not the one token


def test_optimize_writes_model_certificate_and_report(paring, tiny, tmp_path):
    out = tmp_path / "small.gguf"
    result = paring("optimize", tiny, "--file", "400kB", "--out", out, "--json").json()
    assert result["after"]["file_bytes"] == os.path.getsize(out) <= 400_000
    assert result["after"]["decode"]["tokens_per_second"] > 0 and result["served"]["kl"]["mean"] > 0
    report = tmp_path / "small.html"
    assert result["report"] == str(report) and "<svg" in report.read_text()
    inspected = paring("inspect", out, "--json").json()
    assert inspected["certificate"]["bytes_after"]["file"] == os.path.getsize(out)
    assert "KL to the original" in paring("inspect", out).out
    words = ["optimize", tiny, "--file", "400kB", "--out"]
    refused = paring(*words, out)
    assert refused.code == 2 and "--force" in refused.err
    report_only = paring(*words, tmp_path / "other.gguf", "--report", report)
    assert report_only.code == 2 and "small.html" in report_only.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["small.gguf", "small.html"]


def locked_kilobytes(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmLck:")).split()[1])


@pytest.mark.parametrize("words,locks", [([], False), (["--mlock"], True)])
def test_mlock_keeps_the_weights_in_memory(paring, tiny, words, locks):
    """Looked at while a benchmark runs; where the limit of this process is too small, that is told instead."""
    bench = subprocess.Popen([paring.path, "bench", tiny, "--prefill", "0", "--decode", "500", "--repetitions", "1000",
                              *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                             env=CLEAN)
    try:
        until = time.monotonic() + (10 if locks else 1)
        while bench.poll() is None and not locked_kilobytes(bench.pid) and time.monotonic() < until:
            time.sleep(0.02)
        if bench.poll() is None:
            assert (locked_kilobytes(bench.pid) > 0) == locks
        else:
            assert locks and b"the limit of this process is" in bench.stderr.read()
    finally:
        bench.kill()
        bench.communicate()
