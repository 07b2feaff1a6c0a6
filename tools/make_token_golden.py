#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the token ids that llama.cpp gives for tests/data/tokens/lines.jsonl.

For the vocabulary of a GGUF file under its own pre-tokenizer, all ids are kept; for the other
pre-tokenizers (the vocabulary extended below, another tokenizer.ggml.pre) one 64-bit FNV-1a hash
a line.
Files, little-endian:
  PRE.plain.ids     per line u16 count, then that many u16 ids; control tokens in the text stay text
  PRE.special.ids   the same for the lines of the class "special", control tokens parsed
  PRE.plain.fnv, PRE.special.fnv   per line one u64: FNV-1a over the ids as u32
  golden.json       what made them, and which tokens end a generation
Needs the packages gguf and numpy, and a shared library of llama.cpp.

usage: make_token_golden.py LIBLLAMA.so MODEL.gguf tests/data/tokens
"""
import ctypes
import hashlib
import json
import pathlib
import struct
import sys
import tempfile

import gguf_vocabulary

OTHERS = ("default", "gpt-2", "llama-bpe", "qwen2")


class Llama:
    """The few calls of llama.h that tokenizing needs."""

    class ModelParams(ctypes.Structure):
        # struct llama_model_params of the llama.cpp in llama-cpp-python 0.3.36.
        _fields_ = ([(f"pointer{i}", ctypes.c_void_p) for i in range(2)]
                    + [(f"number{i}", ctypes.c_int32) for i in range(5)]
                    + [(f"pointer{i}", ctypes.c_void_p) for i in range(2, 6)]
                    + [("vocab_only", ctypes.c_bool)]
                    + [(f"flag{i}", ctypes.c_bool) for i in range(5)])

    def __init__(self, library):
        self.lib = ctypes.CDLL(library)
        lib = self.lib
        lib.llama_backend_init()
        lib.llama_model_get_vocab.restype = ctypes.c_void_p
        lib.llama_model_get_vocab.argtypes = [ctypes.c_void_p]
        lib.llama_tokenize.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32,
                                       ctypes.POINTER(ctypes.c_int32), ctypes.c_int32,
                                       ctypes.c_bool, ctypes.c_bool]
        lib.llama_vocab_is_eog.argtypes = [ctypes.c_void_p, ctypes.c_int32]
        lib.llama_vocab_is_eog.restype = ctypes.c_bool
        lib.llama_vocab_n_tokens.argtypes = [ctypes.c_void_p]
        lib.llama_model_load_from_file.restype = ctypes.c_void_p
        lib.llama_model_load_from_file.argtypes = [ctypes.c_char_p, self.ModelParams]
        lib.llama_model_default_params.restype = self.ModelParams
        log_type = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
        self.quiet = log_type(lambda level, text, data: None)
        lib.llama_log_set(self.quiet, None)

    def load(self, path):
        params = self.lib.llama_model_default_params()
        params.vocab_only = True
        model = self.lib.llama_model_load_from_file(str(path).encode(), params)
        if not model:
            raise SystemExit(f"llama.cpp cannot load {path}")
        return self.lib.llama_model_get_vocab(model)

    def tokenize(self, vocab, text, parse_special):
        data = text.encode()
        ids = (ctypes.c_int32 * (len(data) + 16))()
        count = self.lib.llama_tokenize(vocab, data, len(data), ids, len(ids), False, parse_special)
        if count < 0:
            raise SystemExit(f"{-count} tokens for {len(data)} bytes")
        return list(ids[:count])

    def encoder(self, vocab):
        """A function that encodes texts and drops the ids: nothing but llama_tokenize() and its call."""
        call = self.lib.llama_tokenize
        ids = (ctypes.c_int32 * (1 << 20))()

        def encode_all(texts):
            for text in texts:
                data = text.encode()
                if call(vocab, data, len(data), ids, len(ids), False, False) < 0:
                    raise SystemExit(f"more than {len(ids)} tokens")
        return encode_all

    def ends(self, vocab):
        return [i for i in range(self.lib.llama_vocab_n_tokens(vocab))
                if self.lib.llama_vocab_is_eog(vocab, i)]


def fnv1a(ids):
    value = 0xCBF29CE484222325
    for byte in struct.pack(f"<{len(ids)}I", *ids):
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


# Tokens and types that SmolLM2's vocabulary has no example of: user-defined ones, which are found
# in any text, and control-looking ones that the file calls normal or unknown.
EXTRA = (("<think>", 4), ("</think>", 4), ("[INST]", 4), ("<|eot_id|>", 1), ("<unk>", 2),
         ("</s>", 4), ("  ", 4), ("<|", 4))


def digit_groups():
    """Tokens for all two- and three-digit groups and the merges that make them: SmolLM2's
    vocabulary knows single digits only and would not show how a pre-tokenizer groups them."""
    pairs = [f"{n:02d}" for n in range(100)]
    triples = [f"{n:03d}" for n in range(1000)]
    merges = [f"{p[0]} {p[1]}" for p in pairs] + [f"{t[:2]} {t[2]}" for t in triples]
    return pairs + triples, merges


def write_vocabulary(source, pre, target):
    """The vocabulary of `source` with digit groups under another tokenizer.ggml.pre, no weights."""
    vocabulary = gguf_vocabulary.read(source)
    groups, merges = digit_groups()
    vocabulary["pre"] = pre
    vocabulary["tokens"] += groups + [text for text, _ in EXTRA]
    vocabulary["types"] += [1] * len(groups) + [kind for _, kind in EXTRA]
    vocabulary["merges"] += merges
    gguf_vocabulary.write(target, {**vocabulary, "add_bos": False})


def main() -> int:
    library, model, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    raw = (folder / "lines.jsonl").read_bytes()
    rows = [json.loads(line) for line in raw.decode().split("\n") if line]
    special = [row["text"] for row in rows if row["class"] == "special"]
    plain = [row["text"] for row in rows]
    llama = Llama(library)
    own_pre = gguf_vocabulary.read(model)["pre"]
    about = {"lines_sha256": hashlib.sha256(raw).hexdigest(), "own_pre": own_pre,
             "made_with": "llama.cpp of llama-cpp-python 0.3.36", "pre": [own_pre, *OTHERS]}
    with tempfile.TemporaryDirectory() as temporary:
        for pre in (own_pre, *OTHERS):
            path = model
            if pre != own_pre:
                path = pathlib.Path(temporary) / "model.gguf"
                write_vocabulary(model, pre, path)
            vocab = llama.load(path)
            about["ends" if pre == own_pre else "extended_ends"] = llama.ends(vocab)
            for name, texts, parse in (("plain", plain, False), ("special", special, True)):
                ids = [llama.tokenize(vocab, text, parse) for text in texts]
                if pre == own_pre:
                    data = b"".join(struct.pack(f"<{len(row) + 1}H", len(row), *row) for row in ids)
                    (folder / f"{pre}.{name}.ids").write_bytes(data)
                else:
                    data = b"".join(struct.pack("<Q", fnv1a(row)) for row in ids)
                    (folder / f"{pre}.{name}.fnv").write_bytes(data)
                print(pre, name, len(ids), "lines", sum(map(len, ids)), "tokens")
    (folder / "golden.json").write_text(json.dumps(about, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
