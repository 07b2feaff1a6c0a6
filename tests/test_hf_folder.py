# SPDX-License-Identifier: Apache-2.0
"""Folders in Hugging Face layout, split files and importance matrices, as a user meets them."""
import json
import pathlib
import struct
import time

import numpy as np
import pytest
from gguf import GGUFReader

TEXT = "The quick brown fox jumps over the lazy dog. " * 40


def safetensors(path):
    """{name: (type, array)}, read with the standard library and numpy alone."""
    raw = path.read_bytes()
    length, = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8:8 + length])
    header.pop("__metadata__", None)
    found = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        kind = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}[entry["dtype"]]
        values = np.frombuffer(raw[8 + length + begin:8 + length + end], kind)
        found[name] = entry["dtype"], values.reshape(entry["shape"])
    return found


def gguf_tensors(path):
    return {t.name: t.data for t in GGUFReader(path).tensors}


@pytest.fixture(scope="module")
def folder(paring, tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("folder") / "model"
    result = paring("export", tiny, "--out", path, "--json").json()
    assert "model.safetensors" in result["files"] and "tokenizer.json" in result["files"]
    return path


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(TEXT)
    return path


def test_export_undoes_the_order_of_query_and_key_rows(folder, tiny):
    here, there = safetensors(folder / "model.safetensors"), gguf_tensors(tiny)
    head = 32
    order = np.concatenate([np.arange(0, head, 2), np.arange(1, head, 2)])
    for name, source, heads in [("q_proj", "attn_q", 4), ("k_proj", "attn_k", 2)]:
        kind, rows = here[f"model.layers.1.self_attn.{name}.weight"]
        assert kind == "F16"
        expected = there[f"blk.1.{source}.weight"].reshape(heads, head, -1)[:, order].reshape(rows.shape)
        assert np.array_equal(rows, expected)
    assert np.array_equal(here["model.layers.0.mlp.up_proj.weight"][1], there["blk.0.ffn_up.weight"])


def test_the_exported_configuration_is_complete(folder):
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert (config["hidden_size"], config["num_hidden_layers"], config["num_key_value_heads"]) == (128, 2, 2)
    assert config["rms_norm_eps"] == 1e-5 and config["tie_word_embeddings"] is True


def test_a_folder_computes_what_its_source_computes(paring, folder, tiny, text):
    result = paring("eval", folder, "--against", tiny, "--text", text, "--context", "64", "--numerics", "exact",
                    "--json").json()
    assert abs(result["divergence"]["kl"]["mean"]) < 1e-6, result["divergence"]


@pytest.mark.parametrize("command", [("inspect",), ("run", "--max-tokens", "4", "--raw"), ("bench", "--help")])
def test_every_command_takes_a_folder(paring, folder, command):
    words = [command[0], folder, *(["Hello"] if command[0] == "run" else []), *command[1:]]
    result = paring(*words)
    assert result.code == 0, result.err


def test_a_quantized_folder_has_the_bytes_of_its_quantized_source(paring, folder, tiny, tmp_path):
    for source, out in [(folder, "a.gguf"), (tiny, "b.gguf")]:
        result = paring("quantize", source, tmp_path / out, "--type", "Q8_0", "--no-importance")
        assert result.code == 0, result.err
    a, b = gguf_tensors(tmp_path / "a.gguf"), gguf_tensors(tmp_path / "b.gguf")
    assert a.keys() == b.keys()
    assert all(np.array_equal(a[name], b[name]) for name in a)
    keys_a, keys_b = (GGUFReader(tmp_path / f).fields for f in ("a.gguf", "b.gguf"))
    for key in ("tokenizer.ggml.tokens", "tokenizer.ggml.token_type", "tokenizer.ggml.pre", "llama.block_count",
                "llama.rope.freq_base", "llama.attention.head_count_kv"):
        assert keys_a[key].contents() == keys_b[key].contents(), key


def test_shards_are_read_and_written(paring, folder, tmp_path):
    out = tmp_path / "shards"
    result = paring("export", folder, "--out", out, "--shard-size", "200kB", "--json").json()
    assert "model.safetensors.index.json" in result["files"]
    whole = safetensors(folder / "model.safetensors")
    parts = {}
    for path in out.glob("model-*.safetensors"):
        parts.update(safetensors(path))
    assert parts.keys() == whole.keys()
    assert all(kind == parts[n][0] and np.array_equal(values, parts[n][1]) for n, (kind, values) in whole.items())
    assert paring("inspect", out).code == 0


def test_what_export_refuses(paring, folder, tiny, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("x")
    for words, what in [((tiny, "--out", tmp_path / "full"), "is not empty"),
                        ((folder, "--out", folder, "--force"), "own folder"),
                        ((tiny, "--out", tmp_path / "q", "--type", "Q4_0"), "--type is F32, F16 or BF16")]:
        result = paring("export", *words)
        assert result.code != 0 and what in result.err, result.err


def change(folder, target, file, edit):
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    data = edit((target / file).read_bytes())
    (target / file).write_bytes(data)
    return target


HOSTILE = [
    ("config.json", lambda d: d.replace(b'"num_hidden_layers": 2', b'"num_hidden_layers": "2"'), "num_hidden_layers"),
    ("config.json", lambda d: d.replace(b'"num_hidden_layers": 2', b'"num_hidden_layers": 9999999'), "block_count"),
    ("config.json", lambda d: b"[" * 100_000, "config.json"),
    ("config.json", lambda d: d.replace(b"silu", b"relu"), "hidden_act"),
    ("model.safetensors", lambda d: d[:-100], "model.safetensors"),
    ("model.safetensors", lambda d: struct.pack("<Q", 1 << 62) + d[8:], "model.safetensors"),
    ("model.safetensors", lambda d: d.replace(b'"F16"', b'"F64"', 1), "model.safetensors"),
    ("tokenizer.json", lambda d: d[: len(d) // 2], "tokenizer.json"),
    ("tokenizer.json", lambda d: b"[" * 1_000_000, "tokenizer.json"),
    ("tokenizer_config.json", lambda d: b'{"bos_token": 5', ""),
]


@pytest.mark.parametrize("case", range(len(HOSTILE)))
def test_hostile_folders_are_refused_at_once(paring, folder, tmp_path, case):
    file, edit, named = HOSTILE[case]
    target = change(folder, tmp_path / "bad", file, edit)
    begin = time.monotonic()
    result = paring("run", target, "Hello", "--max-tokens", "1", "--raw", timeout=60)
    seconds = time.monotonic() - begin
    assert 0 < result.code < 70 and named in result.err, result.err
    assert seconds < 5, "a refusal takes well below a second on an idle machine"


def test_a_split_model_is_one_model(paring, tiny, text, tmp_path):
    result = paring("quantize", tiny, tmp_path / "m.gguf", "--type", "Q8_0", "--no-importance", "--split-max-size",
                    "150kB", "--json").json()
    assert len(result["files"]) >= 3
    assert result["files"][0].endswith(f"m-00001-of-{len(result['files']):05}.gguf")
    assert paring("quantize", tiny, tmp_path / "whole.gguf", "--type", "Q8_0", "--no-importance").code == 0
    whole, parts = gguf_tensors(tmp_path / "whole.gguf"), {}
    for path in result["files"]:
        parts.update(gguf_tensors(path))
    assert whole.keys() == parts.keys() and all(np.array_equal(whole[n], parts[n]) for n in whole)
    perplexity = [paring("eval", path, "--text", text, "--context", "64", "--json").json()["perplexity"]
                  for path in (tmp_path / "whole.gguf", result["files"][1])]
    assert perplexity[0] == perplexity[1]


@pytest.mark.parametrize("layout", ["gguf", "dat"])
def test_an_importance_matrix_gives_the_file_that_its_text_gives(paring, tiny, text, tmp_path, layout):
    made = paring("imatrix", tiny, "--out", tmp_path / "i", "--text", text, "--layout", layout, "--json").json()
    assert made["entries"] == 15 and made["tokens"] > 0
    for out, words in [("a.gguf", ("--imatrix", tmp_path / "i")), ("b.gguf", ("--calibration", text))]:
        result = paring("quantize", tiny, tmp_path / out, "--type", "Q4_0", *words)
        assert result.code == 0, result.err
    a, b = gguf_tensors(tmp_path / "a.gguf"), gguf_tensors(tmp_path / "b.gguf")
    # GGUF holds sums and counts: the quotient rounds in the last place, which may move a code here and there.
    for name in a:
        assert np.mean(a[name] == b[name]) > (0.98 if layout == "gguf" else 0.9999), name
    foreign = paring("quantize", tiny, tmp_path / "c.gguf", "--type", "Q4_0", "--imatrix", tiny)
    assert foreign.code != 0 and "imatrix" in foreign.err, foreign.err


ARCHITECTURES = sorted(path.stem for path in (pathlib.Path(__file__).parent / "data/architectures").glob("*.gguf"))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_comes_back_from_its_folder(paring, root, text, tmp_path, name):
    source = root / "tests/data/architectures" / f"{name}.gguf"
    result = paring("export", source, "--out", tmp_path / "a")
    assert result.code == 0, result.err
    scalar = json.loads((tmp_path / "a/config.json").read_text()).get("query_pre_attn_scalar", 0)
    assert type(scalar) is int, "transformers refuses anything else"
    again = paring("export", tmp_path / "a", "--out", tmp_path / "b")
    assert again.code == 0, again.err
    a, b = (safetensors(tmp_path / side / "model.safetensors") for side in ("a", "b"))
    assert a.keys() == b.keys()
    assert all(a[key][0] == b[key][0] and np.array_equal(a[key][1], b[key][1]) for key in a)
    figures = paring("eval", tmp_path / "a", "--against", source, "--text", text, "--context", "96", "--windows", "2",
                     "--numerics", "exact", "--json").json()
    assert abs(figures["divergence"]["kl"]["mean"]) < 1e-7, figures["divergence"]["kl"]
