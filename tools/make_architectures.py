#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the tiny random models of tests/data/architectures: one GGUF file for each architecture and each way to
stretch rotary embedding, and beside it the logits that Hugging Face's implementation computes in double precision from
the same weights. Where llama.cpp's Python package is there too, each file is also run by it, as a second opinion.

Weights are Q8_0 (both sides decode them), norms and biases F32; windows are shorter than the text, soft caps are low
enough to bend scores and logits, key/value heads are fewer than query heads.

Usage: make_architectures.py FOLDER     Needs numpy, gguf, torch, transformers; llama-cpp-python for the second opinion.
"""
import argparse
import json
import math
import pathlib
import sys

import gguf
import numpy as np
import torch
import transformers
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
from tiny_model import byte_alphabet  # noqa: E402

TOKENS = 70
POSITIONS = (0, 9, 31, 32, 50, 69)
WIDTH, FFN, VOCABULARY, CONTEXT = 64, 64, 288, 256
PEER_TOLERANCE = 2e-3  # llama.cpp rounds activations of Q8_0 products unless the file is F32, so it gets F32

CASES = {
    "llama-linear": dict(arch="llama", rope=dict(rope_type="linear", factor=4.0)),
    "llama-llama3": dict(arch="llama", rope=dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0,
                                                 high_freq_factor=4.0, original_max_position_embeddings=32)),
    "llama-yarn": dict(arch="llama", rope=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32)),
    "mistral-window": dict(arch="llama", hf="Mistral", heads=4, kv=2, window=16),
    "qwen2": dict(arch="qwen2"),
    "qwen2-yarn-betas": dict(arch="qwen2", rope=dict(rope_type="yarn", factor=8.0, beta_fast=8.0, beta_slow=2.0,
                                                     attention_factor=1.25, original_max_position_embeddings=48)),
    "qwen3": dict(arch="qwen3", heads=4, kv=2),
    "gemma2": dict(arch="gemma2", heads=4, kv=2, window=16, period=2, layers=2, attention_cap=4.0, logit_cap=3.0),
    "gemma3": dict(arch="gemma3", heads=4, kv=1, window=16, period=3, layers=4, base=100000.0, local_base=500.0,
                   rope=dict(rope_type="linear", factor=8.0)),
    "phi3": dict(arch="phi3", rotated=16),
    "phi3-long": dict(arch="phi3", original=32),
    "phi3-short": dict(arch="phi3", original=128),
    "mixtral": dict(arch="llama", hf="Mixtral", heads=4, kv=2, experts=6, used=2),
    "qwen3moe": dict(arch="qwen3moe", heads=4, kv=2, experts=12, used=3),
    "qwen3moe-unnormed": dict(arch="qwen3moe", heads=4, kv=2, experts=6, used=2, weights_norm=False),
}
HF_NAMES = {"llama": "Llama", "qwen2": "Qwen2", "qwen3": "Qwen3", "gemma2": "Gemma2", "gemma3": "Gemma3Text",
            "phi3": "Phi3", "qwen3moe": "Qwen3Moe"}
HEAD = 32
EXPERT = 32  # width of an expert


def settings(case):
    full = dict(hf=HF_NAMES[case["arch"]], heads=2, kv=1, layers=2, base=10000.0, local_base=10000.0, rope=None,
                window=0, period=0, attention_cap=0.0, logit_cap=0.0, rotated=HEAD, original=0,
                experts=0, used=0, weights_norm=True)
    full.update(case)
    return full


def is_local(case, layer):
    return case["window"] > 0 and (case["period"] == 0 or layer % case["period"] < case["period"] - 1)


def round_to_q8(values):
    return dequantize(quantize(values, Type.Q8_0), Type.Q8_0)


def long_factors(case):
    pairs = case["rotated"] // 2
    return np.linspace(1.0, 1.3, pairs).astype(np.float32), np.linspace(1.0, 6.0, pairs).astype(np.float32)


def random_weights(case, seed):
    """By Hugging Face's names, float32, matrices already on the Q8_0 grid. Norm weights are as a file has them."""
    rng = np.random.default_rng(seed)
    q, kv = case["heads"] * HEAD, case["kv"] * HEAD
    arch = case["arch"]

    def matrix(rows, columns, scale=1.0):
        return round_to_q8((rng.normal(size=(rows, columns)) * scale * 1.5 / math.sqrt(columns)).astype(np.float32))

    def vector(size, middle, spread):
        return (middle + spread * rng.normal(size=size)).astype(np.float32)

    weights = {"model.embed_tokens.weight": matrix(VOCABULARY, WIDTH, 4.0), "model.norm.weight": vector(WIDTH, 1, 0.2)}
    if not arch.startswith("gemma"):
        weights["lm_head.weight"] = matrix(VOCABULARY, WIDTH, 2.0)
    for layer in range(case["layers"]):
        prefix = f"model.layers.{layer}."
        if arch == "phi3":
            weights[prefix + "self_attn.qkv_proj.weight"] = matrix(q + 2 * kv, WIDTH)
            weights[prefix + "mlp.gate_up_proj.weight"] = matrix(2 * FFN, WIDTH)
        else:
            for name, rows in (("q", q), ("k", kv), ("v", kv)):
                weights[prefix + f"self_attn.{name}_proj.weight"] = matrix(rows, WIDTH)
                if arch == "qwen2":
                    weights[prefix + f"self_attn.{name}_proj.bias"] = vector(rows, 0, 0.5)
            if not case["experts"]:
                weights[prefix + "mlp.gate_proj.weight"] = matrix(FFN, WIDTH)
                weights[prefix + "mlp.up_proj.weight"] = matrix(FFN, WIDTH)
        weights[prefix + "self_attn.o_proj.weight"] = matrix(WIDTH, q)
        if case["experts"]:
            # Scores far apart, so that rounding does not change a choice.
            weights[prefix + "mlp.gate.weight"] = vector((case["experts"], WIDTH), 0, 0.3)
            for name, rows, columns in (("gate", EXPERT, WIDTH), ("up", EXPERT, WIDTH), ("down", WIDTH, EXPERT)):
                weights[prefix + f"mlp.experts.{name}_proj.weight"] = np.stack(
                    [matrix(rows, columns) for _ in range(case["experts"])])
        else:
            weights[prefix + "mlp.down_proj.weight"] = matrix(WIDTH, FFN)
        names = ["input_layernorm", "post_attention_layernorm"]
        if arch.startswith("gemma"):
            names += ["pre_feedforward_layernorm", "post_feedforward_layernorm"]
        for name in names:
            weights[prefix + name + ".weight"] = vector(WIDTH, 1, 0.2)
        if arch in ("qwen3", "qwen3moe", "gemma3"):
            weights[prefix + "self_attn.q_norm.weight"] = vector(HEAD, 1, 0.2)
            weights[prefix + "self_attn.k_norm.weight"] = vector(HEAD, 1, 0.2)
    return weights


def hf_config(case):
    common = dict(vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=FFN, num_hidden_layers=case["layers"],
                  num_attention_heads=case["heads"], num_key_value_heads=case["kv"], max_position_embeddings=CONTEXT,
                  rms_norm_eps=1e-5, tie_word_embeddings=case["arch"].startswith("gemma"), pad_token_id=0,
                  bos_token_id=1, eos_token_id=2, attention_dropout=0.0, head_dim=HEAD)
    rope = dict(case["rope"] or {"rope_type": "default"}, rope_theta=case["base"])
    arch = case["arch"]
    if case["window"] and arch == "llama":
        common["sliding_window"] = case["window"]
    if arch.startswith("gemma"):
        common.update(sliding_window=case["window"], query_pre_attn_scalar=HEAD, final_logit_softcapping=None,
                      attn_logit_softcapping=None, hidden_activation="gelu_pytorch_tanh",
                      layer_types=["sliding_attention" if is_local(case, i) else "full_attention"
                                   for i in range(case["layers"])])
        if case["attention_cap"]:
            common.update(attn_logit_softcapping=case["attention_cap"], final_logit_softcapping=case["logit_cap"])
    if case["experts"]:
        common.update(num_local_experts=case["experts"], num_experts_per_tok=case["used"], intermediate_size=EXPERT)
    if arch == "qwen3moe":
        common.update(moe_intermediate_size=EXPERT, norm_topk_prob=case["weights_norm"])
    if arch == "gemma3":
        rope = {"full_attention": rope,
                "sliding_attention": {"rope_type": "default", "rope_theta": case["local_base"]}}
    if arch == "phi3":
        common.pop("head_dim")
        common.update(sliding_window=None, original_max_position_embeddings=case["original"] or CONTEXT)
        rope["partial_rotary_factor"] = case["rotated"] / HEAD
        if case["original"]:
            short, long = long_factors(case)
            rope.update(rope_type="longrope", short_factor=short.tolist(), long_factor=long.tolist(),
                        original_max_position_embeddings=case["original"])
    return getattr(transformers, case["hf"] + "Config")(**common, rope_parameters=rope)


def hf_model(case, weights):
    """Hugging Face's implementation with these weights, in double precision."""
    config = hf_config(case)
    config._attn_implementation = "eager"
    config._experts_implementation = "eager"
    name = case["hf"].removesuffix("Text")
    model = getattr(transformers, name + "ForCausalLM")(config).eval()
    state = {}
    for key, values in weights.items():
        has_one_added = "norm" in key and case["arch"].startswith("gemma")
        state[key] = torch.tensor(values.astype(np.float64) - (1 if has_one_added else 0))
    for layer in range(case["layers"] if case["experts"] else 0):  # transformers keeps gate and up together
        prefix = f"model.layers.{layer}.mlp.experts."
        parts = [state.pop(prefix + f"{name}_proj.weight") for name in ("gate", "up", "down")]
        state[prefix + "gate_up_proj"], state[prefix + "down_proj"] = torch.cat(parts[:2], 1), parts[2]
    if case["arch"].startswith("gemma"):
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model = model.double()
    model.load_state_dict(state, strict=True)
    return model


def hf_logits(case, weights, tokens):
    with torch.no_grad():
        return hf_model(case, weights)(torch.tensor([tokens])).logits[0].double().numpy()


def llama_order(values, heads):
    """Rows of a query or key matrix in GGUF's llama layout: rotated pairs side by side."""
    return values.reshape(heads, 2, HEAD // 2, -1).swapaxes(1, 2).reshape(values.shape)


GGUF_NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.qkv_proj": "attn_qkv", "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.gate_up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm", "mlp.gate": "ffn_gate_inp", "mlp.experts.gate_proj": "ffn_gate_exps",
    "mlp.experts.up_proj": "ffn_up_exps", "mlp.experts.down_proj": "ffn_down_exps",
}
GEMMA_NAMES = dict(GGUF_NAMES, **{"post_attention_layernorm": "post_attention_norm",
                                  "pre_feedforward_layernorm": "ffn_norm",
                                  "post_feedforward_layernorm": "post_ffw_norm"})
TOP_NAMES = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def gguf_tensors(case, weights):
    names = GEMMA_NAMES if case["arch"].startswith("gemma") else GGUF_NAMES
    for key, values in weights.items():
        stem, kind = key.rsplit(".", 1)
        if stem in TOP_NAMES:
            yield f"{TOP_NAMES[stem]}.{kind}", values
            continue
        layer, part = stem.removeprefix("model.layers.").split(".", 1)
        if case["arch"] == "llama" and part in ("self_attn.q_proj", "self_attn.k_proj"):
            values = llama_order(values, case["heads"] if "q_proj" in part else case["kv"])
        yield f"blk.{layer}.{names[part]}.{kind}", values
    if case["original"]:
        short, long = long_factors(case)
        yield "rope_factors_short.weight", short
        yield "rope_factors_long.weight", long
    if case["rope"] and case["rope"]["rope_type"] == "llama3":
        yield "rope_freqs.weight", llama3_divisors(case)


def llama3_divisors(case):
    """What each frequency is divided by: 1 for short waves, the factor for long ones, a blend between."""
    rope = case["rope"]
    context = rope["original_max_position_embeddings"]
    divisors = []
    for i in range(HEAD // 2):
        wave = 2 * math.pi * case["base"] ** (2 * i / HEAD)
        blend = (context / wave - rope["low_freq_factor"]) / (rope["high_freq_factor"] - rope["low_freq_factor"])
        blend = min(1.0, max(0.0, blend))
        divisors.append(1 / (blend + (1 - blend) / rope["factor"]))
    return np.array(divisors, np.float32)


def write_gguf(path, case, weights, kind):
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] + byte_alphabet()
    # One merge and what it makes: llama.cpp wants some.
    tokens += [f"<|unused{i}|>" for i in range(VOCABULARY - len(tokens) - 1)] + ["th"]
    arch = case["arch"]
    writer = gguf.GGUFWriter(str(path), arch)
    writer.add_name(f"tiny random {path.stem}")
    writer.add_block_count(case["layers"])
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(EXPERT if case["experts"] else FFN)
    if case["experts"]:
        writer.add_expert_count(case["experts"])
        writer.add_expert_used_count(case["used"])
    if arch == "qwen3moe":
        writer.add_expert_feed_forward_length(EXPERT)
        if not case["weights_norm"]:
            writer.add_expert_weights_norm(False)
    writer.add_head_count(case["heads"])
    writer.add_head_count_kv(case["kv"])
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(case["base"])
    writer.add_rope_dimension_count(case["rotated"])
    writer.add_file_type(0)
    if case["window"] or arch == "phi3":
        writer.add_sliding_window(case["window"])
    if case["period"]:
        writer.add_sliding_window_pattern([is_local(case, i) for i in range(case["layers"])])
    if arch == "gemma3":
        writer.add_float32("gemma3.rope.freq_base_swa", case["local_base"])
    if case["attention_cap"]:
        writer.add_attn_logit_softcapping(case["attention_cap"])
        writer.add_final_logit_softcapping(case["logit_cap"])
    write_rope(writer, case)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if t.startswith("<|") else 1 for t in tokens])
    writer.add_token_merges(["t h"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    for name, values in gguf_tensors(case, weights):
        if values.ndim > 1 and kind == Type.Q8_0 and "gate_inp" not in name:
            writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_rope(writer, case):
    rope = case["rope"] or {}
    if rope.get("rope_type") == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    if rope.get("rope_type") == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        for key, add in (("beta_fast", writer.add_rope_scaling_yarn_beta_fast),
                         ("beta_slow", writer.add_rope_scaling_yarn_beta_slow),
                         ("attention_factor", writer.add_rope_scaling_yarn_attn_factor)):
            if key in rope:
                add(rope[key])
    if case["original"]:
        factor = CONTEXT / case["original"]
        writer.add_rope_scaling_type(gguf.RopeScalingType.LONGROPE)
        writer.add_rope_scaling_orig_ctx_len(case["original"])
        writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(factor) / math.log(case["original"])))


def peer_logits(path, tokens):
    """llama.cpp's logits of every position, or None without its package."""
    try:
        import llama_cpp
        from make_golden import load, window_logits
    except ImportError:
        return None
    model, context = load(path, len(tokens))
    logits = window_logits(context, VOCABULARY, tokens)
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return logits


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    args = parser.parse_args()
    tokens = [int(t) for t in np.random.default_rng(1).integers(3, 259, TOKENS)]
    golden = {"made_by": "tools/make_architectures.py", "tokens": tokens, "positions": POSITIONS, "models": {},
              "peers": f"transformers {transformers.__version__}, torch {torch.__version__}, float64"}
    for seed, (name, case) in enumerate(CASES.items()):
        case = settings(case)
        weights = random_weights(case, seed)
        logits = hf_logits(case, weights, tokens)
        write_gguf(args.folder / f"{name}.gguf", case, weights, Type.Q8_0)
        wide = args.folder / "peer.tmp"
        write_gguf(wide, case, weights, Type.F32)
        peer = peer_logits(wide, tokens)
        wide.unlink()
        if not case["weights_norm"]:
            peer = None  # llama.cpp always divides them by their sum
        if peer is not None:
            error = np.sqrt(((peer - logits) ** 2).sum() / (logits ** 2).sum())
            print(f"{name}: llama.cpp differs by {error:.2e}, largest logit {np.abs(logits).max():.2f}", flush=True)
        golden["models"][name] = [[float(f"{x:.6g}") for x in logits[p]] for p in POSITIONS]
    models = ",\n".join(f' "{name}": [\n' + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "]"
                        for name, rows in golden.pop("models").items())
    text = json.dumps(golden)[:-1] + ',\n"models": {\n' + models + "\n}}\n"
    (args.folder / "logits.json").write_text(text)


if __name__ == "__main__":
    main()
