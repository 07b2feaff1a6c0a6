#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sentence embeddings per second, and how near they are, against ONNX Runtime on the same texts and threads.

The runs alternate A B B A; each figure is a median, the ratio that of paired runs with its interquartile range. Both
sides tokenize outside of the time. ONNX Runtime gets the texts sorted by length in batches of --batch, padded to the
longest of the batch, which is its fastest way; `paring embed` gets them in their order.

The peer's graph: torch.onnx.export of transformers' BertModel with inputs input_ids, attention_mask and token_type_ids,
output last_hidden_state, both dimensions dynamic.

Usage: compare_onnx.py PARING MODEL GRAPH.onnx TOKENIZER.json TEXTS [--threads N] [--pairs N] [--batch N]
Needs numpy, onnxruntime, tokenizers.
"""
import argparse
import json
import pathlib
import platform
import statistics
import subprocess
import tempfile
import time

import numpy as np
import onnxruntime
from tokenizers import Tokenizer


class Peer:
    def __init__(self, graph, tokenizer, texts, threads, batch):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        encoder = Tokenizer.from_file(tokenizer)
        encoder.no_truncation()
        encoder.no_padding()
        self.ids = [encoder.encode(text).ids for text in texts]
        order = sorted(range(len(texts)), key=lambda i: len(self.ids[i]))
        self.batches = [order[i:i + batch] for i in range(0, len(order), batch)]

    def run(self):
        vectors = [None] * len(self.ids)
        begin = time.perf_counter()
        for batch in self.batches:
            longest = max(len(self.ids[i]) for i in batch)
            ids = np.zeros((len(batch), longest), np.int64)
            mask = np.zeros_like(ids)
            for row, i in enumerate(batch):
                ids[row, :len(self.ids[i])] = self.ids[i]
                mask[row, :len(self.ids[i])] = 1
            states, = self.session.run(None, {"input_ids": ids, "attention_mask": mask,
                                              "token_type_ids": np.zeros_like(ids)})
            means = (states * mask[:, :, None]).sum(1) / mask.sum(1)[:, None]
            for row, i in enumerate(batch):
                vectors[i] = means[row] / np.linalg.norm(means[row])
        return time.perf_counter() - begin, np.array(vectors)


def run_paring(program, model, texts_path, threads):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "vectors.npy"
        done = subprocess.run([program, "embed", model, "--file", texts_path, "--npy", out, "--threads", str(threads),
                               "--json"], check=True, capture_output=True, text=True)
        found = json.loads(done.stdout)
        return found["work"]["compute_seconds"], np.load(out), found["isa"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("paring", "model", "graph", "tokenizer", "texts"):
        parser.add_argument(name)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--batch", type=int, default=16)
    flags = parser.parse_args()
    texts = pathlib.Path(flags.texts).read_text().splitlines()
    peer = Peer(flags.graph, flags.tokenizer, texts, flags.threads, flags.batch)
    ours, theirs, isa = [], [], ""
    for pair in range(flags.pairs):
        for side in ("AB", "BA")[pair % 2]:
            if side == "A":
                seconds, vectors, isa = run_paring(flags.paring, flags.model, flags.texts, flags.threads)
                ours.append(seconds)
            else:
                seconds, peer_vectors = peer.run()
                theirs.append(seconds)
    ratios = sorted(b / a for a, b in zip(ours, theirs))
    cosines = (vectors * peer_vectors).sum(1) / np.linalg.norm(vectors, axis=1) / np.linalg.norm(peer_vectors, axis=1)
    print(json.dumps({
        "machine": platform.processor() or platform.machine(), "isa": isa, "threads": flags.threads,
        "onnxruntime": onnxruntime.__version__, "model": flags.model, "texts": len(texts),
        "tokens": sum(map(len, peer.ids)), "pairs": flags.pairs,
        "texts_per_second": len(texts) / statistics.median(ours),
        "peer_texts_per_second": len(texts) / statistics.median(theirs),
        "ratio": {"median": statistics.median(ratios), "q1": ratios[len(ratios) // 4],
                  "q3": ratios[-1 - len(ratios) // 4]},
        "cosine_to_peer": {"mean": float(cosines.mean()), "min": float(cosines.min())}}, indent=2))


if __name__ == "__main__":
    main()
