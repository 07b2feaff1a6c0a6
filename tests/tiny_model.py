# SPDX-License-Identifier: Apache-2.0
"""Writes a small llama model with random weights and a byte-level vocabulary, for tests of everything but quality."""
import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter

HIDDEN, FFN, HEADS, KV_HEADS, LAYERS, CONTEXT = 128, 256, 4, 2, 2, 256


def byte_alphabet():
    """The printable stand-ins of the 256 bytes in a GPT-2 style vocabulary."""
    plain = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or 174 <= b <= 255]
    rest = [b for b in range(256) if b not in plain]
    table = {b: chr(b) for b in plain}
    table.update({b: chr(256 + i) for i, b in enumerate(rest)})
    return [table[b] for b in range(256)]


def write(path, architecture="llama", seed=7, change=None, chat_template=None):
    """`change` may edit the dictionary of tensors before they are written."""
    rng = np.random.default_rng(seed)
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] + byte_alphabet()
    tokens += [f"<|unused{i}|>" for i in range(-len(tokens) % 32)]
    head = HIDDEN // HEADS

    def matrix(rows, columns):
        return (rng.normal(size=(rows, columns)) / np.sqrt(columns)).astype(np.float16)

    tensors = {"token_embd.weight": matrix(len(tokens), HIDDEN), "output_norm.weight": np.ones(HIDDEN, np.float32)}
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        tensors[f"{block}attn_norm.weight"] = np.ones(HIDDEN, np.float32)
        tensors[f"{block}attn_q.weight"] = matrix(HIDDEN, HIDDEN)
        tensors[f"{block}attn_k.weight"] = matrix(KV_HEADS * head, HIDDEN)
        tensors[f"{block}attn_v.weight"] = matrix(KV_HEADS * head, HIDDEN)
        tensors[f"{block}attn_output.weight"] = matrix(HIDDEN, HIDDEN)
        tensors[f"{block}ffn_norm.weight"] = np.ones(HIDDEN, np.float32)
        tensors[f"{block}ffn_gate.weight"] = matrix(FFN, HIDDEN)
        tensors[f"{block}ffn_up.weight"] = matrix(FFN, HIDDEN)
        tensors[f"{block}ffn_down.weight"] = matrix(HIDDEN, FFN)
    if change:
        change(tensors)

    writer = GGUFWriter(str(path), architecture)
    writer.add_name("tiny random model")
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(head)
    writer.add_vocab_size(len(tokens))
    writer.add_file_type(1)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if t.startswith("<|") else 1 for t in tokens])
    writer.add_token_merges([])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    if chat_template is not None:
        writer.add_chat_template(chat_template)
    for name, values in tensors.items():
        kind = GGMLQuantizationType[{"f": "F", "i": "I"}[values.dtype.kind] + str(8 * values.dtype.itemsize)]
        writer.add_tensor(name, values, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
