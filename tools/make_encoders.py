#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the tiny random encoders of tests/data/encoders: a folder in Hugging Face layout each (F16 weights, a small
tokenizer of its own), and beside them expected.json: token ids and types, states, sentence vectors and outputs of
classification heads that transformers computes from the same folders in double precision.

Usage: make_encoders.py FOLDER     Needs numpy, torch, transformers, tokenizers.
"""
import argparse
import json
import pathlib
import string
import sys

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
from tiny_model import byte_alphabet  # noqa: E402

WIDTH, FFN, LAYERS, HEADS, POSITIONS = 64, 96, 2, 2, 128
WORDS = ("the a of and cat dog fox bear river stone light water run jump sleep quick brown lazy "
         "##s ##ed ##ing ##er").split()
TEXTS = ["The quick brown fox jumps over the lazy dog.", "a", "Cats sleeping, dogs running; the RIVER of light?",
         "Stone and water and stone and water and light of the bear in the river and the cat of the fox, jumped.",
         "caf\u00e9 \u4e2d\u6587 123"]
PAIRS = [("quick fox", "the fox jumps quickly"), ("river", "a lazy dog sleeps"),
         ("water of the stone", "Water and stone, the river runs of light and the bear jumps.")]

CASES = {
    "bert-mean": dict(kind="Bert", modules=["Pooling", "Normalize"], pooling="pooling_mode_mean_tokens"),
    "bert-cls": dict(kind="Bert", modules=["Pooling"], pooling="pooling_mode_cls_token",
                     extra=dict(hidden_act="gelu_new", layer_norm_eps=1e-6)),
    "bert-rank": dict(kind="Bert", labels=["LABEL_0"]),
    "bert-classes": dict(kind="Bert", labels=["red", "green", "blue"], extra=dict(hidden_act="relu")),
    "distilbert": dict(kind="DistilBert"),
    "distilbert-labels": dict(kind="DistilBert", labels=["spam", "rude"],
                              extra=dict(problem_type="multi_label_classification")),
    "roberta-classes": dict(kind="Roberta", labels=["no", "yes"]),
}


def word_piece():
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + list(string.ascii_lowercase + string.digits + ".,;?")
    tokens += ["##" + c for c in string.ascii_lowercase + string.digits] + WORDS
    tokens = list(dict.fromkeys(tokens))
    made = Tokenizer(models.WordPiece({t: i for i, t in enumerate(tokens)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", tokens.index("[CLS]")), ("[SEP]", tokens.index("[SEP]"))])
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
                                   pad_token="[PAD]", mask_token="[MASK]")


def byte_level():
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"] + byte_alphabet()
    made = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", bos_token="<s>", eos_token="</s>",
                                   cls_token="<s>", sep_token="</s>", pad_token="<pad>", mask_token="<mask>")


def configuration(case, vocabulary):
    kind = case["kind"]
    if kind == "DistilBert":
        sizes = dict(dim=WIDTH, hidden_dim=FFN, n_layers=LAYERS, n_heads=HEADS, max_position_embeddings=POSITIONS)
    else:
        # Two rows of RoBERTa's table stand for no position.
        rows = POSITIONS + (2 if kind == "Roberta" else 0)
        sizes = dict(hidden_size=WIDTH, intermediate_size=FFN, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
                     max_position_embeddings=rows, type_vocab_size=1 if kind == "Roberta" else 2)
    if "labels" in case:
        sizes["id2label"] = dict(enumerate(case["labels"]))
        sizes["label2id"] = {name: i for i, name in enumerate(case["labels"])}
    sizes.update(case.get("extra", {}))
    return getattr(transformers, kind + "Config")(vocab_size=vocabulary, **sizes)


def model_of(case, config):
    suffix = "ForSequenceClassification" if "labels" in case else "Model"
    model = getattr(transformers, case["kind"] + suffix)(config)
    generator = torch.Generator().manual_seed(len(case) + 1000 * WIDTH + len(case["kind"]))
    with torch.no_grad():
        for name, values in sorted(model.named_parameters()):
            is_norm = "norm" in name.lower()
            deviation = 0.2 if values.dim() == 1 else 0.5 if "embeddings" in name else 1.5 / WIDTH ** 0.5
            values.copy_(torch.randn(values.shape, generator=generator) * deviation +
                         (1.0 if is_norm and name.endswith("weight") else 0.0))
    return model.half().eval()


def write_modules(folder, case):
    if "modules" not in case:
        return
    modules = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
    for i, name in enumerate(case["modules"], 1):
        modules.append({"idx": i, "name": str(i), "path": f"{i}_{name}",
                        "type": f"sentence_transformers.models.{name}"})
    (folder / "modules.json").write_text(json.dumps(modules, indent=1) + "\n")
    (folder / "1_Pooling").mkdir(exist_ok=True)
    flags = {key: key == case["pooling"] for key in ("pooling_mode_cls_token", "pooling_mode_mean_tokens",
                                                     "pooling_mode_max_tokens", "pooling_mode_mean_sqrt_len_tokens")}
    (folder / "1_Pooling/config.json").write_text(json.dumps({"word_embedding_dimension": WIDTH, **flags}) + "\n")


def run(model, tokenizer, case, inputs):
    """States of one text or pair, alone and in double precision, or the outputs of the head."""
    ids = torch.tensor([inputs["input_ids"]])
    words = dict(input_ids=ids, attention_mask=torch.ones_like(ids))
    if case["kind"] == "Bert":
        words["token_type_ids"] = torch.tensor([inputs["token_type_ids"]])
    with torch.no_grad():
        out = model(**words)
    return out.logits[0] if "labels" in case else out.last_hidden_state[0]


def expected(model, tokenizer, case):
    model = model.double()
    rows = []
    for text in PAIRS if "labels" in case and len(case["labels"]) == 1 else TEXTS:
        words = text if isinstance(text, tuple) else (text,)
        inputs = tokenizer(*words, return_token_type_ids=True)
        values = run(model, tokenizer, case, inputs)
        row = dict(text=text, ids=inputs["input_ids"], types=inputs["token_type_ids"])
        if "labels" in case:
            row["outputs"] = values.tolist()
        else:
            vector = values[0] if case.get("pooling") == "pooling_mode_cls_token" else values.mean(0)
            if "modules" not in case or "Normalize" in case["modules"]:
                vector = vector / vector.norm()
            row["vector"] = vector.tolist()
            row["last_state"] = values[-1].tolist()
        rows.append(row)
    return rows


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, (list, tuple)):
        return [rounded(v) for v in value]
    return {k: rounded(v) for k, v in value.items()} if isinstance(value, dict) else value


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    root = parser.parse_args().folder
    found = {}
    for name, case in CASES.items():
        folder = root / name
        tokenizer = byte_level() if case["kind"] == "Roberta" else word_piece()
        model = model_of(case, configuration(case, len(tokenizer)))
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        write_modules(folder, case)
        found[name] = expected(model, tokenizer, case)
    versions = dict(transformers=transformers.__version__, torch=torch.__version__)
    text = json.dumps(rounded(dict(versions=versions, models=found)), separators=(",", ":"))
    (root / "expected.json").write_text(text.replace('{"text"', '\n{"text"') + "\n")


if __name__ == "__main__":
    main()
