# SPDX-License-Identifier: Apache-2.0
"""Vocabularies as GGUF files without tensors, for the tools and comparisons of tokenizers. Needs the package gguf.

A vocabulary is a dictionary, as tests/data/tokenizer/NAME.json hold one:
  model, pre, tokens, types               required: tokenizer.ggml.{model,pre,tokens,token_type}
  scores, merges, charsmap                the last as Base64
  bos, eos, unk, sep, pad, mask, eot      ids
  add_bos, add_eos, add_space_prefix, remove_extra_whitespaces, lowercase, strip_accents   flags
  architecture, name                      general.*; "llama" and none where they are missing
What is missing gets no key.
"""
import base64

import gguf

IDS = {"bos": "bos", "eos": "eos", "unk": "unknown", "sep": "seperator", "pad": "padding", "mask": "mask",
       "eot": "eot"}
FLAGS = {"add_bos": "add_bos_token", "add_eos": "add_eos_token", "add_space_prefix": "add_space_prefix",
         "remove_extra_whitespaces": "remove_extra_whitespaces", "lowercase": "normalizer.lowercase",
         "strip_accents": "normalizer.strip_accents"}


def write(path, vocabulary):
    writer = gguf.GGUFWriter(path, vocabulary.get("architecture", "llama"))
    if "name" in vocabulary:
        writer.add_name(vocabulary["name"])
    writer.add_tokenizer_model(vocabulary["model"])
    writer.add_tokenizer_pre(vocabulary["pre"])
    writer.add_token_list(vocabulary["tokens"])
    writer.add_token_types(vocabulary["types"])
    if "scores" in vocabulary:
        writer.add_token_scores(vocabulary["scores"])
    if "merges" in vocabulary:
        writer.add_token_merges(vocabulary["merges"])
    for ours, theirs in IDS.items():
        if ours in vocabulary:
            writer.add_uint32(f"tokenizer.ggml.{theirs}_token_id", vocabulary[ours])
    for ours, theirs in FLAGS.items():
        if ours in vocabulary:
            writer.add_bool(f"tokenizer.ggml.{theirs}", vocabulary[ours])
    if vocabulary.get("charsmap"):
        writer.add_precompiled_charsmap(base64.b64decode(vocabulary["charsmap"]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def read(path):
    """The vocabulary of a GGUF file: its lists, ids and add_bos, not its name and architecture."""
    fields = gguf.GGUFReader(path).fields
    lists = {"model": "model", "pre": "pre", "tokens": "tokens", "types": "token_type", "scores": "scores",
             "merges": "merges"}
    keys = {**lists, **{ours: f"{theirs}_token_id" for ours, theirs in IDS.items()}, "add_bos": FLAGS["add_bos"]}
    vocabulary = {ours: fields[f"tokenizer.ggml.{theirs}"].contents() for ours, theirs in keys.items()
                  if f"tokenizer.ggml.{theirs}" in fields}
    return {"pre": "default", **vocabulary}
