# SPDX-License-Identifier: Apache-2.0
"""Mixtures of experts, as a user meets them; what they compute is held to transformers in the unit tests."""
import pathlib
import re
import struct

import numpy as np
import pytest
from gguf import GGUFReader

DATA = pathlib.Path(__file__).parent / "data" / "architectures"
TEXT = "The quick brown fox jumps over the lazy dog. " * 60


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(TEXT)
    return path


def test_inspect_counts_what_a_token_meets(paring):
    found = paring("inspect", DATA / "mixtral.gguf", "--json").json()
    experts = found["hyper_parameters"]["experts"]
    assert (experts["count"], experts["used"], experts["weights_are_normalized"]) == (6, 2, True)
    idle = 2 * 3 * 4 * 32 * 64  # layers, matrices, experts that a token does not use, their values
    assert experts["active_parameters"] == found["parameters"] - idle
    assert paring("inspect", DATA / "llama-linear.gguf", "--json").json()["hyper_parameters"]["experts"] is None
    unnormed = paring("inspect", DATA / "qwen3moe-unnormed.gguf", "--json").json()
    assert unnormed["hyper_parameters"]["experts"]["weights_are_normalized"] is False


def test_importance_is_counted_by_expert(paring, text, tmp_path):
    result = paring("imatrix", DATA / "qwen3moe.gguf", "--text", text, "--out", tmp_path / "i.gguf", "--windows", "4",
                    "--json")
    assert result.code == 0, result.err
    tensors = {t.name: t.data for t in GGUFReader(tmp_path / "i.gguf").tensors}
    plain = tensors["blk.0.attn_q.weight.counts"].reshape(-1)
    assert plain.shape == (1,)
    for part in ("gate", "up", "down"):
        counts = tensors[f"blk.1.ffn_{part}_exps.weight.counts"].reshape(-1)
        sums = tensors[f"blk.1.ffn_{part}_exps.weight.in_sum2"]
        assert counts.shape == (12,) and sums.shape == (12, 32 if part == "down" else 64)
        assert counts.sum() == 3 * plain[0], "each token uses three experts"
        assert np.all((sums.sum(axis=1) > 0) == (counts > 0))
    # The same inputs reach gate and up; among the experts they sum to those of any dense matrix there.
    assert np.array_equal(tensors["blk.1.ffn_gate_exps.weight.in_sum2"], tensors["blk.1.ffn_up_exps.weight.in_sum2"])


def test_quantize_keeps_stacks_and_routers(paring, text, tmp_path):
    source = DATA / "mixtral.gguf"
    assert paring("imatrix", source, "--text", text, "--out", tmp_path / "i.gguf").code == 0
    divergence = {}
    for kind in ("Q4_0", "Q5_1"):
        target = tmp_path / f"{kind}.gguf"
        result = paring("quantize", source, target, "--type", kind, "--imatrix", tmp_path / "i.gguf")
        assert result.code == 0, result.err
        types = {t.name: (t.tensor_type.name, [int(n) for n in t.shape]) for t in GGUFReader(target).tensors}
        assert types["blk.0.ffn_gate_exps.weight"] == (kind, [64, 32, 6])
        assert types["blk.0.ffn_gate_inp.weight"] == ("F32", [64, 6])
        judged = paring("eval", target, "--against", source, "--text", text, "--context", "64", "--json").json()
        divergence[kind] = judged["divergence"]["kl"]["mean"]
    assert 0 < divergence["Q5_1"] < divergence["Q4_0"], divergence


def test_an_imatrix_of_other_experts_is_refused(paring, text, tmp_path):
    assert paring("imatrix", DATA / "qwen3moe.gguf", "--text", text, "--out", tmp_path / "i.gguf").code == 0
    result = paring("quantize", DATA / "mixtral.gguf", tmp_path / "q.gguf", "--type", "Q4_0", "--imatrix",
                    tmp_path / "i.gguf")
    assert result.code != 0 and "for 12 matrices, the model's tensor 64 for 6" in result.err, result.err


def with_value(data, key, value):
    """The file with another u32 under a key."""
    at = data.index(key.encode() + struct.pack("<I", 4)) + len(key) + 4
    return data[:at] + struct.pack("<I", value) + data[at + 4:]


def with_shape(data, tensor, shape):
    at = data.index(tensor.encode() + struct.pack("<I", len(shape))) + len(tensor) + 4
    return data[:at] + struct.pack(f"<{len(shape)}Q", *shape) + data[at + 8 * len(shape):]


HOSTILE = {
    "none": (lambda d: with_value(d, "llama.expert_count", 0), "has no place in a model"),
    "more-used": (lambda d: with_value(d, "llama.expert_used_count", 7), "expert_used_count is 7"),
    "none-used": (lambda d: with_value(d, "llama.expert_used_count", 0), "expert_used_count is 0"),
    "too-many": (lambda d: with_value(d, "llama.expert_count", 1 << 31), "expert_count is 2147483648"),
    "fewer": (lambda d: with_value(d, "llama.expert_count", 5), "ask for"),
    "swapped": (lambda d: with_shape(d, "blk.0.ffn_up_exps.weight", (32, 64, 6)), "is 32 x 64 x 6"),
    "flat": (lambda d: with_shape(d, "blk.1.ffn_down_exps.weight", (32, 384, 1)), "is 32 x 384 x 1"),
    "no-router": (lambda d: d.replace(b"blk.1.ffn_gate_inp.weight", b"blk.1.ffn_gate_inq.weight"), "ffn_gate_in"),
    "bias": (lambda d: d.replace(b"blk.1.ffn_norm.weight", b"blk.1.exp_probs_b.bia"), "blk.1"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(paring, tmp_path, name):
    change, message = HOSTILE[name]
    path = tmp_path / "hostile.gguf"
    path.write_bytes(change((DATA / "mixtral.gguf").read_bytes()))
    result = paring("run", path, "Hello", "--raw", "--max-tokens", "2")
    assert result.code not in (0, 134, 139) and re.search(message.replace("ask for", "ask for"), result.err), result.err


def test_a_router_that_is_no_number_does_not_crash(paring, tmp_path):
    reader = GGUFReader(DATA / "mixtral.gguf")
    data = bytearray((DATA / "mixtral.gguf").read_bytes())
    router = next(t for t in reader.tensors if t.name == "blk.0.ffn_gate_inp.weight")
    data[router.data_offset:router.data_offset + router.n_bytes] = struct.pack("<f", float("nan")) * (6 * 64)
    path = tmp_path / "nan.gguf"
    path.write_bytes(data)
    assert paring("run", path, "Hello", "--raw", "--max-tokens", "4").code in (0, 1, 2, 3, 4, 5, 6)
