#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains small vocabularies of each kind and writes the ids that llama.cpp and `tokenizers` give.

Trained on the project's own lines (tests/data/tokens/lines.jsonl), so that nothing foreign is
shipped. For each kind tests/data/tokenizer/NAME.json holds what a GGUF file would say, and
tests/data/tokens/NAME.{plain,special}.fnv the FNV-1a hashes of llama.cpp's ids line by line. For
WordPiece there is also a tokenizer.json with the hashes of the ids of `tokenizers`. Needs the
packages sentencepiece, tokenizers, gguf and libllama.so.

usage: make_small_vocabularies.py libllama.so tests/data
"""
import base64
import json
import pathlib
import struct
import sys
import tempfile

import gguf_vocabulary
import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import BertWordPieceTokenizer, Tokenizer

from make_token_golden import Llama, fnv1a

TOKENS = 1500


def train(folder, lines, model_type):
    text = pathlib.Path(folder) / "lines.txt"
    text.write_text("\n".join(lines) + "\n", encoding="utf-8")
    prefix = str(pathlib.Path(folder) / model_type)
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=prefix, model_type=model_type, vocab_size=TOKENS,
        byte_fallback=model_type == "bpe", character_coverage=0.98, num_threads=1,
        normalization_rule_name="identity" if model_type == "bpe" else "nmt_nfkc",
        remove_extra_whitespaces=model_type == "unigram", user_defined_symbols=["<think>", "[INST]"],
        minloglevel=2)
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(pathlib.Path(prefix + ".model").read_bytes())
    return proto


def sentencepiece_spec(proto, model):
    spec = {"model": model, "pre": "default", "tokens": [p.piece for p in proto.pieces],
            "types": [p.type for p in proto.pieces], "scores": [p.score for p in proto.pieces],
            "unk": 0, "bos": 1, "eos": 2, "add_bos": model == "llama", "add_eos": model == "t5",
            "add_space_prefix": True}
    if model == "t5":
        spec["charsmap"] = base64.b64encode(proto.normalizer_spec.precompiled_charsmap).decode()
        spec["remove_extra_whitespaces"] = True
    return spec


def word_piece(lines):
    tokenizer = BertWordPieceTokenizer()
    tokenizer.train_from_iterator(lines, vocab_size=TOKENS, show_progress=False)
    tokenizer = Tokenizer.from_str(tokenizer.to_str())
    vocab = tokenizer.get_vocab()
    tokens = sorted(vocab, key=vocab.get)
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

    def phantom(token):
        if token in specials:
            return token
        return token[2:] if token.startswith("##") else "\u2581" + token
    spec = {"model": "bert", "pre": "default", "tokens": [phantom(t) for t in tokens],
            "types": [3 if t in specials else 1 for t in tokens], "unk": vocab["[UNK]"],
            "bos": vocab["[CLS]"], "sep": vocab["[SEP]"], "pad": vocab["[PAD]"],
            "mask": vocab["[MASK]"], "add_bos": True, "add_eos": False}
    tokenizer.post_processor = None
    from tokenizers.processors import TemplateProcessing
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])])
    return spec, tokenizer


def write_hashes(path, rows):
    path.write_bytes(b"".join(struct.pack("<Q", fnv1a(row)) for row in rows))


def main() -> int:
    library, data = sys.argv[1], pathlib.Path(sys.argv[2])
    rows = [json.loads(line) for line in
            (data / "tokens/lines.jsonl").read_text(encoding="utf-8").split("\n") if line]
    texts = [row["text"] for row in rows]
    special = [row["text"] for row in rows if row["class"] == "special"]
    clean = [t for t in texts if t.isprintable()]
    llama = Llama(library)
    with tempfile.TemporaryDirectory() as temporary:
        specs = {"spm": sentencepiece_spec(train(temporary, clean, "bpe"), "llama"),
                 "unigram": sentencepiece_spec(train(temporary, clean, "unigram"), "t5")}
        specs["word_piece"], tokenizer = word_piece(clean)
        (data / "tokenizer/word_piece.tokenizer.json").write_text(tokenizer.to_str() + "\n",
                                                                  encoding="utf-8")
        tokenizer.encode_special_tokens = True
        write_hashes(data / "tokens/word_piece_json.plain.fnv",
                     [tokenizer.encode(t, add_special_tokens=False).ids for t in texts])
        tokenizer.encode_special_tokens = False
        write_hashes(data / "tokens/word_piece_json.special.fnv",
                     [tokenizer.encode(t, add_special_tokens=False).ids for t in special])
        for name, spec in specs.items():
            (data / f"tokenizer/{name}.json").write_text(
                json.dumps(spec, ensure_ascii=False, separators=(",", ":")) + "\n",
                encoding="utf-8")
            path = pathlib.Path(temporary) / f"{name}.gguf"
            gguf_vocabulary.write(path, spec)
            vocab = llama.load(path)
            for kind, lines, parse in (("plain", texts, False), ("special", special, True)):
                ids = [llama.tokenize(vocab, text, parse) for text in lines]
                write_hashes(data / f"tokens/{name}.{kind}.fnv", ids)
                print(name, kind, len(ids), "lines", sum(map(len, ids)), "tokens")
    return 0


if __name__ == "__main__":
    sys.exit(main())
