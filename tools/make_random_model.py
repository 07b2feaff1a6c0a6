#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a model of random weights in a given shape as an F16 GGUF file, architecture llama: what speed and kernels
are measured on where no real file of that shape is at hand. The same arguments give the same bytes.

The default shape is Llama-3.2-1B's with a smaller vocabulary. Every width is a multiple of 256, so that all K-quants
apply to all matrices: llama-quantize OUT.gguf Q4_K_M.gguf Q4_K_M

Matrices are normal with deviation 1/sqrt(inputs), norm weights 1; with --outliers N, N channels have norm weights of 16
instead, the same in all layers, so that activations have outliers as those of real models do. The tokenizer is that of
another GGUF file, cut to its first VOCABULARY tokens with the merges that stay possible.

Usage: make_random_model.py --tokenizer FILE.gguf OUT.gguf [--seed 1] [--layers 16] [--vocabulary 32768] ...
"""
import argparse
import math
import os

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter


def tensors(args):
    """Names and shapes [outputs, inputs], in the order of the file."""
    head_width = args.width // args.heads
    kv_width = args.kv_heads * head_width
    yield "token_embd.weight", (args.vocabulary, args.width)
    for layer in range(args.layers):
        block = f"blk.{layer}."
        yield block + "attn_norm.weight", (args.width,)
        yield block + "attn_q.weight", (args.width, args.width)
        yield block + "attn_k.weight", (kv_width, args.width)
        yield block + "attn_v.weight", (kv_width, args.width)
        yield block + "attn_output.weight", (args.width, args.width)
        yield block + "ffn_norm.weight", (args.width,)
        yield block + "ffn_gate.weight", (args.ffn, args.width)
        yield block + "ffn_up.weight", (args.ffn, args.width)
        yield block + "ffn_down.weight", (args.width, args.ffn)
    yield "output_norm.weight", (args.width,)


def values(args, index, shape):
    if len(shape) == 1:
        norm = np.ones(shape, dtype=np.float32)
        channels = np.random.Generator(np.random.PCG64([args.seed])).permutation(args.width)
        norm[channels[:args.outliers]] = 16
        return norm
    seed = args.seed
    stream = np.random.Generator(np.random.PCG64([seed, index]))
    matrix = stream.standard_normal(shape, dtype=np.float32)
    matrix *= np.float32(1 / math.sqrt(shape[1]))
    return matrix.astype(np.float16)


def add_tokenizer(writer, path, count):
    reader = GGUFReader(path)
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    if count > len(tokens):
        raise SystemExit(f"{path} has {len(tokens)} tokens, fewer than the {count} asked for")
    known = set(tokens[:count])
    merges = [merge for merge in reader.fields["tokenizer.ggml.merges"].contents()
              if all(part in known for part in (*merge.split(" "), merge.replace(" ", "", 1)))]
    writer.add_tokenizer_model(reader.fields["tokenizer.ggml.model"].contents())
    writer.add_tokenizer_pre(reader.fields["tokenizer.ggml.pre"].contents())
    writer.add_token_list(tokens[:count])
    writer.add_token_types(reader.fields["tokenizer.ggml.token_type"].contents()[:count])
    writer.add_token_merges(merges)
    for name in ("bos", "eos"):
        field = reader.fields.get(f"tokenizer.ggml.{name}_token_id")
        if field is not None and field.contents() < count:
            writer.add_uint32(f"tokenizer.ggml.{name}_token_id", int(field.contents()))


def write(args):
    part = f"{args.out}.part"
    writer = GGUFWriter(part, "llama")
    writer.add_name(f"random {args.layers}x{args.width}, seed {args.seed}")
    writer.add_block_count(args.layers)
    writer.add_context_length(args.context)
    writer.add_embedding_length(args.width)
    writer.add_feed_forward_length(args.ffn)
    writer.add_head_count(args.heads)
    writer.add_head_count_kv(args.kv_heads)
    writer.add_rope_dimension_count(args.width // args.heads)
    writer.add_rope_freq_base(500000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(args.vocabulary)
    writer.add_file_type(1)  # F16
    add_tokenizer(writer, args.tokenizer, args.vocabulary)
    for name, shape in tensors(args):
        kind = np.dtype(np.float16 if len(shape) > 1 else np.float32)
        raw = GGMLQuantizationType.F16 if len(shape) > 1 else GGMLQuantizationType.F32
        writer.add_tensor_info(name, shape, kind, int(np.prod(shape)) * kind.itemsize, raw)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for index, (_, shape) in enumerate(tensors(args)):
            writer.write_tensor_data(values(args, index, shape))
        writer.close()
        os.replace(part, args.out)
    finally:
        if os.path.exists(part):
            os.remove(part)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--tokenizer", required=True, help="GGUF file whose byte-pair tokenizer is taken")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--ffn", type=int, default=8192)
    parser.add_argument("--heads", type=int, default=32)
    parser.add_argument("--kv-heads", type=int, default=8)
    parser.add_argument("--vocabulary", type=int, default=32768)
    parser.add_argument("--outliers", type=int, default=0)
    parser.add_argument("--context", type=int, default=8192)
    write(parser.parse_args())


if __name__ == "__main__":
    main()
