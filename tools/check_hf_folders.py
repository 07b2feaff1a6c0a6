#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Hugging Face folders as Paring and as transformers see them: the mean loss of both over the same text, in Paring's
exact numerics and in double precision. Two kinds of folder:

- made: tiny random models of every kind of folder that Paring reads, saved by transformers' own save_pretrained, with
  the tokenizer of a folder given by --tokenizer. Each also goes through inspect, run, quantize and export, and the
  exported folder must hold every tensor of the first, bit by bit.
- given: folders, say exported by Paring from real GGUF files, read by both.

Usage: check_hf_folders.py --paring BIN --text FILE --work DIR [--tokenizer FOLDER] [FOLDER ...]
Needs torch, transformers and safetensors. Leaves with 1 when something differs.
"""
import argparse
import json
import math
import pathlib
import shutil
import subprocess
import sys

import torch
import transformers
from safetensors import safe_open

TOLERANCE = 2e-5  # of a mean loss, which is about 10 for random and 3 for real models
WIDTH, FFN, LAYERS, HEADS, KV, HEAD = 128, 96, 3, 4, 2, 32
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=64, rope_theta=10000.0)
GEMMA = dict(head_dim=HEAD, sliding_window=24, query_pre_attn_scalar=HEAD, hidden_activation="gelu_pytorch_tanh")
KINDS = {
    "llama": ("Llama", {}),
    "llama3-rope": ("Llama", dict(rope_parameters=LLAMA3)),
    "mistral": ("Mistral", dict(sliding_window=24, head_dim=HEAD)),
    "qwen2": ("Qwen2", {}),
    "qwen2-tied": ("Qwen2", dict(tie_word_embeddings=True)),
    "qwen3": ("Qwen3", dict(head_dim=HEAD)),
    "gemma2": ("Gemma2", dict(GEMMA, attn_logit_softcapping=5.0, final_logit_softcapping=4.0,
                              tie_word_embeddings=True)),
    "gemma3": ("Gemma3Text", dict(GEMMA, tie_word_embeddings=True, layer_types=["sliding_attention"] * 2 +
                                  ["full_attention"])),
    "phi3": ("Phi3", dict(sliding_window=None, original_max_position_embeddings=512)),
    "mixtral": ("Mixtral", dict(num_local_experts=5, num_experts_per_tok=2, head_dim=HEAD)),
    "qwen3moe": ("Qwen3Moe", dict(num_local_experts=9, num_experts_per_tok=3, moe_intermediate_size=64,
                                  norm_topk_prob=True, head_dim=HEAD)),
    "qwen3moe-unnormed": ("Qwen3Moe", dict(num_local_experts=6, num_experts_per_tok=2, moe_intermediate_size=32,
                                           norm_topk_prob=False, head_dim=HEAD)),
}


def make(kind, folder, vocabulary, ids, dtype, seed):
    name, extra = KINDS[kind]
    options = dict(vocab_size=vocabulary, hidden_size=WIDTH, intermediate_size=FFN, num_hidden_layers=LAYERS,
                   num_attention_heads=HEADS, num_key_value_heads=KV, max_position_embeddings=512,
                   rms_norm_eps=1e-5, tie_word_embeddings=False, **ids)
    options.update(extra)
    torch.manual_seed(seed)
    config = getattr(transformers, name + "Config")(**options)
    model = getattr(transformers, name.removesuffix("Text") + "ForCausalLM")(config)
    with torch.no_grad():
        for key, values in model.named_parameters():
            is_gemma_norm = name.startswith("Gemma") and "norm" in key
            if values.dim() == 1:
                values.normal_(0.0 if is_gemma_norm or "bias" in key else 1.0, 0.2)
            else:
                values.normal_(0.0, (3.0 if "embed" in key else 1.5) / math.sqrt(values.shape[-1]))
    model.to(dtype).save_pretrained(folder)


def copy_tokenizer(source, folder):
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        if (source / name).exists():
            shutil.copy(source / name, folder / name)


def command(args, *words):
    done = subprocess.run([str(word) for word in (args.paring, *words)], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"paring {' '.join(map(str, words))}: {done.stderr.strip()[-400:]}")
    return done.stdout


def paring_loss(args, folder):
    text = command(args, "eval", folder, "--text", args.text, "--context", args.context, "--windows", args.windows,
                   "--numerics", "exact", "--threads", "2", "--json", "--quiet")
    return math.log(json.loads(text)["perplexity"]["value"])


def transformers_loss(args, folder):
    """As paring eval: whole windows, the first token of each the beginning-of-text token where one is added, and the
    losses of the second half."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer(pathlib.Path(args.text).read_text(encoding="utf-8"))["input_ids"]
    adds_bos = tokenizer.bos_token_id is not None and tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float64, attn_implementation="eager", experts_implementation="eager").eval()
    losses = []
    with torch.no_grad():
        for window in range(args.windows):
            ids = torch.tensor([tokens[window * args.context:(window + 1) * args.context]])
            if adds_bos:
                ids[0, 0] = tokenizer.bos_token_id
            logits = model(ids).logits[0].double()
            first = args.context // 2
            losses.append(torch.nn.functional.cross_entropy(logits[first:-1], ids[0, first + 1:]).item())
    return sum(losses) / len(losses)


def stored(folder):
    tensors = {}
    for path in sorted(pathlib.Path(folder).glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():
                tensors[name] = file.get_tensor(name)
    return tensors


def unequal(first, second):
    """Names of tensors whose type or bits differ; a vector or a router may have become F32 on the way."""
    a, b = stored(first), stored(second)
    bad = sorted(a.keys() ^ b.keys())
    for name in a.keys() & b.keys():
        is_widened = a[name].dim() == 1 or name.endswith((".mlp.gate.weight", ".block_sparse_moe.gate.weight"))
        there = b[name].to(a[name].dtype) if is_widened else b[name]
        if a[name].dtype != there.dtype or not torch.equal(a[name], there):
            bad.append(name)
    return bad


def check_made(args, kind, dtype, seed):
    folder = args.work / f"{kind}-{str(dtype).removeprefix('torch.')}"
    for path in (folder, args.work / "exported"):
        shutil.rmtree(path, ignore_errors=True)
    settings = json.loads((args.tokenizer / "config.json").read_text())
    ids = {key: settings.get(key) for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    make(kind, folder, settings["vocab_size"], ids, dtype, seed)
    copy_tokenizer(args.tokenizer, folder)
    command(args, "inspect", folder)
    command(args, "run", folder, "Hello", "--raw", "--max-tokens", "4")
    command(args, "export", folder, "--out", args.work / "exported")
    bad = unequal(folder, args.work / "exported")
    if bad:
        print(f"  {kind}: {len(bad)} tensors change on the way through export, first {bad[:4]}")
    quantized = args.work / "quantized.gguf"
    command(args, "quantize", folder, quantized, "--type", "Q8_0", "--no-importance", "--force")
    loss = paring_loss(args, folder)
    apart = max(abs(paring_loss(args, args.work / "exported") - loss), abs(paring_loss(args, quantized) - loss) - 0.05)
    if apart > 1e-6:
        print(f"  {kind}: the exported folder or the Q8_0 file is {apart:g} away from the folder")
    ok = report(folder.name, loss, transformers_loss(args, folder))
    return ok and not bad and apart <= 1e-6


def report(name, ours, theirs):
    ok = abs(ours - theirs) <= TOLERANCE
    print(f"{name}: loss {ours:.6f}, transformers {theirs:.6f}, apart {abs(ours - theirs):.1e}"
          f"{'' if ok else '  DIFFERS'}", flush=True)
    return ok


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("--paring", required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    parser.add_argument("--tokenizer", type=pathlib.Path, help="folder with tokenizer.json and config.json")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--windows", type=int, default=4)
    args = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    failures = 0
    for seed, kind in enumerate(args.kinds if args.tokenizer else []):
        for dtype in (torch.bfloat16, torch.float16, torch.float32)[seed % 3:seed % 3 + 1]:
            try:
                failures += not check_made(args, kind, dtype, seed)
            except RuntimeError as error:
                failures += 1
                print(f"{kind}: {error}", flush=True)
    for folder in args.folders:
        failures += not report(folder.name, paring_loss(args, folder), transformers_loss(args, folder))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
