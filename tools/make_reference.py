#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes an F16 reference with the same function as a quantized Llama-architecture GGUF, but off the quantization grid.

Weights that were decoded from 4-bit codes lie on a 4-bit grid, and quantizing them again to that grid loses nothing: a
comparison of quantizers on such a file says little. Three changes move the weights off the grid and leave the function
as it was, up to rounding:

 - new orders of the hidden dimension, of each feed-forward dimension, and of the value dimensions in each KV head,
   applied to everything that writes or reads them (a norm, a sum and a product do not see the order);
 - every norm weight times s, and the columns that read the norm divided by s, where ln s is normal with sigma 0.15.

Which rows and columns are outliers stays as in the source. The same seed gives the same bytes.

Usage: make_reference.py SOURCE.gguf OUT.gguf [--seed 1]      Needs numpy and gguf (tests/requirements.txt).
"""
import argparse
import dataclasses
import sys
import time

import numpy as np
from gguf_files import Source, sha256_of, write_like

SIGMA = 0.15


@dataclasses.dataclass
class Change:
    """What happens to one tensor: new orders of its rows and columns, then scales."""
    rows: np.ndarray = None
    columns: np.ndarray = None
    times: np.ndarray = None  # a norm's weight
    divided: np.ndarray = None  # the columns of a matrix

    def apply(self, values):
        if self.rows is not None:
            values = values[self.rows]
        if self.columns is not None:
            values = values[:, self.columns]
        if self.times is not None:
            values = values * self.times
        if self.divided is not None:
            values = values / self.divided
        return values


def plan_changes(source, seed):
    """The change of every tensor. The order in which random numbers are drawn is part of the file's identity."""
    rng = np.random.default_rng(seed)
    hidden, ffn = source.number("embedding_length"), source.number("feed_forward_length")
    heads, kv_heads = source.number("attention.head_count"), source.number("attention.head_count_kv")
    head = hidden // heads
    order = rng.permutation(hidden)
    changes = {
        "token_embd.weight": Change(columns=order),
        "output.weight": Change(columns=order),
        "output_norm.weight": Change(rows=order),
    }
    for layer in range(source.number("block_count")):
        block = f"blk.{layer}."
        scale = {}
        for norm in ("attn_norm", "ffn_norm"):
            scale[norm] = np.exp(rng.normal(0, SIGMA, hidden)).astype(np.float32)
            changes[f"{block}{norm}.weight"] = Change(rows=order, times=scale[norm])
        # Row r of V in KV head k is what column r of O reads, in each query head of the group of k.
        value = [rng.permutation(head) for _ in range(kv_heads)]
        written = np.concatenate([k * head + value[k] for k in range(kv_heads)])
        read = np.concatenate([h * head + value[h // (heads // kv_heads)] for h in range(heads)])
        inner = rng.permutation(ffn)

        for name in ("attn_q", "attn_k"):
            changes[f"{block}{name}.weight"] = Change(columns=order, divided=scale["attn_norm"])
        changes[f"{block}attn_v.weight"] = Change(rows=written, columns=order, divided=scale["attn_norm"])
        changes[f"{block}attn_output.weight"] = Change(rows=order, columns=read)
        for name in ("ffn_gate", "ffn_up"):
            changes[f"{block}{name}.weight"] = Change(rows=inner, columns=order, divided=scale["ffn_norm"])
        changes[f"{block}ffn_down.weight"] = Change(rows=order, columns=inner)
    return changes


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("out")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    source = Source(args.source)
    if source.architecture != "llama":
        sys.exit(f"{args.source} has the architecture {source.architecture}; only llama is understood here")
    changes = plan_changes(source, args.seed)
    unknown = sorted(set(source.tensors) - set(changes))
    if unknown:
        sys.exit(f"{args.source} has tensors whose meaning is not known here: {', '.join(unknown[:5])}")

    digest = sha256_of(args.source)
    name = source.reader.fields["general.name"].contents()
    labels = {
        "general.name": f"{name}, off-grid reference (made)",
        "general.description": "Made by Paring's tools/make_reference.py from a quantized file; not a release of the "
                               "model's authors. Same function up to rounding, weights off the quantization grid.",
        "paring.made_from": f"sha256:{digest}",
        "paring.made_how": f"permuted and rescaled, seed {args.seed}, sigma {SIGMA}",
    }
    began, done = time.monotonic(), 0

    def change(tensor, values):
        nonlocal done
        done += 1
        if done % 50 == 0 or done == len(source.tensors):
            print(f"  {done} of {len(source.tensors)} tensors, {time.monotonic() - began:.0f} s", flush=True)
        return changes[tensor].apply(values)

    print(f"{args.source}: {len(source.tensors)} tensors, decoded, permuted, rescaled, written as F16")
    write_like(source, args.out, "F16", labels, change)
    print(f"{args.out}: made from sha256 {digest[:16]}..., seed {args.seed}")


if __name__ == "__main__":
    main()
