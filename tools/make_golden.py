#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the golden file that exact numerics are held to, with llama.cpp as the independent engine.

llama.cpp runs the F32-decoded model (or, with --as-stored, the file's own types through its own kernels for them) with
F32 keys and values and without flash attention, one window of 512 tokens (--window) at a time, as llama-perplexity
does: the first token of each window becomes BOS if the model asks for it, and the second half of the window is scored.
The file holds the perplexity and, at four positions of each of the 32 windows (--windows), the 64 largest
log-probabilities and the probability mass of all other tokens; with --tokens also the tokens of all windows.

Usage: make_golden.py SOURCE.gguf TEXT OUT.json [--as-stored] [--also NAME=OTHER.gguf ...] [--work FOLDER]
                      [--window 1024] [--windows 8] [--tokens]
Needs numpy, gguf and llama-cpp-python==0.3.36 (which brings libllama).
"""
import argparse
import ctypes
import json
import math
import pathlib
import re
import subprocess
import sys

import llama_cpp
import numpy as np
from gguf_files import sha256_of

WINDOW = 512
WINDOWS = 32
POSITIONS = (256, 341, 426, 510)  # inside the scored half; the logits there predict the next token
TOP = 64
PEER = "llama-cpp-python 0.3.36"


def load(path, length):
    llama_cpp.llama_backend_init()
    options = llama_cpp.llama_model_default_params()
    options.n_gpu_layers = 0
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), options)
    if not model:
        sys.exit(f"llama.cpp cannot load {path}")
    options = llama_cpp.llama_context_default_params()
    options.n_ctx = options.n_batch = options.n_ubatch = length
    options.type_k = options.type_v = llama_cpp.GGML_TYPE_F32
    options.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
    options.n_threads = options.n_threads_batch = 2
    return model, llama_cpp.llama_init_from_model(model, options)


def tokenize(vocab, text, needed):
    data = text.encode()
    found = (ctypes.c_int32 * (len(data) + 16))()
    count = llama_cpp.llama_tokenize(vocab, data, len(data), found, len(found), True, False)
    if count < needed:
        sys.exit(f"the text has {count} tokens, {needed} are needed")
    return list(found[:count])


def window_logits(context, size, tokens):
    batch = llama_cpp.llama_batch_init(len(tokens), 0, 1)
    batch.n_tokens = len(tokens)
    for i, token in enumerate(tokens):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, i, 1, 1
        batch.seq_id[i][0] = 0
    llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
    if llama_cpp.llama_decode(context, batch) != 0:
        sys.exit("llama_decode failed")
    logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits(context), (len(tokens), size)).astype(np.float64)
    llama_cpp.llama_batch_free(batch)
    return logits


def log_softmax(logits):
    peak = logits.max(axis=-1, keepdims=True)
    return logits - peak - np.log(np.exp(logits - peak).sum(axis=-1, keepdims=True))


def measure(path, text, length, windows):
    model, context = load(path, length)
    vocab = llama_cpp.llama_model_get_vocab(model)
    size = llama_cpp.llama_vocab_n_tokens(vocab)
    tokens = tokenize(vocab, text, length * windows)
    bos = llama_cpp.llama_vocab_bos(vocab) if llama_cpp.llama_vocab_get_add_bos(vocab) else None
    half, total, running, positions = length // 2, 0.0, [], []
    for w in range(windows):
        window = tokens[w * length:(w + 1) * length]
        if bos is not None:
            window[0] = bos
        scored = log_softmax(window_logits(context, size, window)[half:length - 1])
        total -= scored[np.arange(length - 1 - half), window[half + 1:]].sum()
        running.append(round(math.exp(total / ((w + 1) * (length - 1 - half))), 6))
        for position in (p * length // WINDOW for p in POSITIONS):
            row = scored[position - half]
            best = np.argsort(-row, kind="stable")[:TOP]
            positions.append({"window": w, "position": position, "tokens": best.tolist(),
                              "log_probabilities": [round(float(x), 6) for x in row[best]],
                              "tail_mass": float(f"{1.0 - np.exp(row[best]).sum():.6e}")})
        print(f"{path}: window {w + 1} of {windows}, perplexity {running[-1]:.4f}", flush=True)
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return tokens[:length * windows], running, positions


def decoded(source, work):
    out = pathlib.Path(work) / (pathlib.Path(source).stem + "-f32.gguf")
    if not out.exists():
        script = pathlib.Path(__file__).with_name("decode_f32.py")
        subprocess.run([sys.executable, str(script), str(source), str(out)], check=True)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("text")
    parser.add_argument("out")
    parser.add_argument("--as-stored", action="store_true", help="run SOURCE as it is, not decoded to F32")
    parser.add_argument("--also", nargs="*", default=[], help="NAME=FILE: only the perplexity of another file")
    parser.add_argument("--window", type=int, default=WINDOW, help="tokens of a window")
    parser.add_argument("--windows", type=int, default=WINDOWS)
    parser.add_argument("--tokens", action="store_true", help="also write the tokens of all windows")
    parser.add_argument("--work", default="models", help="where the F32 files go")
    args = parser.parse_args()

    text = pathlib.Path(args.text).read_text("utf-8")
    path = args.source if args.as_stored else decoded(args.source, args.work)
    tokens, running, positions = measure(path, text, args.window, args.windows)
    also = {}
    for item in args.also:
        name, path = item.split("=", 1)
        also[name] = measure(decoded(path, args.work), text, args.window, args.windows)[1][-1]
    golden = {
        "made_by": "tools/make_golden.py", "peer": PEER,
        "numerics": "weights " + ("as stored" if args.as_stored else "decoded to F32") +
                    ", F32 keys and values, no flash attention",
        "source_sha256": sha256_of(args.source), "text": args.text, "text_sha256": sha256_of(args.text),
        "window": args.window, "windows": args.windows,
        "scored_tokens": args.windows * (args.window - 1 - args.window // 2), "tokens": tokens if args.tokens else [],
        "first_tokens": tokens[:32], "last_tokens": tokens[-32:],
        "perplexity": running[-1], "perplexity_after_window": running, "also_perplexity": also, "positions": positions,
    }
    if not args.tokens:
        del golden["tokens"]
    lines = json.dumps({**golden, "positions": []}, indent=1)
    # Lists of numbers on one line.
    lines = re.sub(r"\[[\d\s.,-]+\]", lambda found: re.sub(r"\s+", " ", found[0]), lines)
    rows = ",\n".join(json.dumps(p, separators=(",", ":")) for p in positions)
    pathlib.Path(args.out).write_text(lines.replace('"positions": []', f'"positions": [\n{rows}\n]') + "\n")


if __name__ == "__main__":
    main()
