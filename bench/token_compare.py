#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Token ids of Paring beside those of llama.cpp (GGUF files) and of Hugging Face's `tokenizers` (tokenizer.json).

Prints for each tokenizer and class of text: lines compared, lines that differ, and the first difference; leaves with 1
if there was any. The lines are tests/data/tokens/lines.jsonl (at least 500 a class); control tokens in them stay text,
and once more the class "special" with them parsed. Beside the models given come:
  - every tokenizer.ggml.pre that Paring knows, on a vocabulary whose merges cross all boundaries
    (tests/data/tokenizer/unsplit.txt), so that no wrong cut goes unseen;
  - the small SentencePiece, Unigram and WordPiece vocabularies of tests/data/tokenizer;
  - Phi-3's rules for white space around its added tokens, on a vocabulary of Llama 2's kind if one is given;
  - a tokenizer.json made of each GGUF file, encoded by `tokenizers`.
Fixtures of llama.cpp (FILE.gguf with FILE.gguf.inp and .out beside it) are compared with their .out as well.
Needs the packages gguf, numpy and tokenizers, and a shared library of llama.cpp.

With --speed TEXT.txt that text is encoded as one by Paring and by `tokenizers`, in turns, through each tokenizer.json
and those made of GGUF files; medians and the range of the ratio are printed.

usage: token_compare.py --ids build/bench/bench/paring_token_ids --llama LIBLLAMA.so [--markdown] MODEL...
       MODEL is a GGUF file or a tokenizer.json (or a folder that holds one)
"""
import argparse
import base64
import collections
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import gguf
import tokenizers

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import make_token_golden  # noqa: E402

DATA = ROOT / "tests/data"
PAIRS = 7
FIXTURE_SEPARATOR = "\n__ggml_vocab_test__\n"
PHI3_ADDED = ("<|endoftext|>", "<|assistant|>", "<|placeholder1|>", "<|system|>", "<|end|>", "<|user|>")
PHI3_LINES = (
    "<|user|>\nHello<|end|>\n<|assistant|>\n", "<|system|>  two <|end|> <|user|>\t\n x", "a <|end|>\n\n\nb",
    "<|endoftext|> text", "<|endoftext|>\n<s> x</s>  y", "<|user|>", " <|user|> <|user|>  ")


def read_lines():
    """[(class, text, parse)]"""
    rows = [json.loads(row) for row in open(DATA / "tokens/lines.jsonl", encoding="utf-8", newline="\n")]
    name = lambda row: "ten scripts" if row["class"].startswith("script") else row["class"]  # noqa: E731
    lines = [(name(row), row["text"], False) for row in rows]
    return lines + [("special, parsed", row["text"], True) for row in rows if row["class"] == "special"]


def our_ids(program, model, lines):
    stdin = "".join(json.dumps({"text": text, "parse": parse}) + "\n" for _, text, parse in lines)
    done = subprocess.run([program, str(model)], input=stdin, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return [json.loads(row) for row in done.stdout.splitlines()]


class Report:
    def __init__(self, markdown):
        self.markdown, self.differences, self.rows = markdown, 0, []

    def compare(self, name, oracle, lines, ours, theirs):
        counts = collections.defaultdict(lambda: [0, 0])
        for (kind, text, _), our, their in zip(lines, ours, theirs, strict=True):
            counts[kind][0] += 1
            if list(our) != list(their):
                counts[kind][1] += 1
                if counts[kind][1] == 1:
                    print(f"  {name} {kind} {text!r}\n    ours   {our}\n    theirs {list(their)}")
        for kind, (total, wrong) in counts.items():
            self.differences += wrong
            self.rows.append((name, oracle, kind, total, wrong))

    def print(self):
        kinds = list(dict.fromkeys(row[2] for row in self.rows))
        table = collections.defaultdict(dict)
        for name, oracle, kind, total, wrong in self.rows:
            table[name, oracle][kind] = f"{wrong} of {total}"
        head = ["tokenizer", "compared with", *kinds]
        body = [[*key, *(cells.get(kind, "") for kind in kinds)] for key, cells in table.items()]
        widths = [max(len(str(row[i])) for row in [head, *body]) for i in range(len(head))]
        bar = "| " if self.markdown else ""
        for i, row in enumerate([head, *body]):
            print(bar + (" | " if self.markdown else "  ").join(str(c).ljust(w) for c, w in zip(row, widths))
                  + (" |" if self.markdown else ""))
            if i == 0 and self.markdown:
                print("|" + "|".join("-" * (w + 2) for w in widths) + "|")
        print(f"{self.differences} differences in {sum(row[3] for row in self.rows)} lines")


def write_gguf(path, pre, tokens, types, merges, name="test", ids=()):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    for key, value in ids:
        writer.add_uint32(f"tokenizer.ggml.{key}_token_id", value)
    writer.add_bool("tokenizer.ggml.add_bos_token", False)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def unsplit_vocabulary():
    rows = (DATA / "tokenizer/unsplit.txt").read_text(encoding="utf-8").split("\n")
    count = int(rows[1].split()[1])
    tokens = [row[2:] for row in rows[2:2 + count]]
    digits, digit_merges = make_token_golden.digit_groups()
    merges = [row for row in rows[3 + count:] if row] + digit_merges
    return tokens + [d for d in digits if d not in set(tokens)], merges


def small_vocabulary(name, path):
    """A GGUF file of tests/data/tokenizer/NAME.json."""
    spec = json.loads((DATA / f"tokenizer/{name}.json").read_text(encoding="utf-8"))
    writer = gguf.GGUFWriter(path, "t5" if spec["model"] == "t5" else "llama")
    writer.add_tokenizer_model(spec["model"])
    writer.add_tokenizer_pre(spec["pre"])
    writer.add_token_list(spec["tokens"])
    writer.add_token_types(spec["types"])
    if "scores" in spec:
        writer.add_token_scores(spec["scores"])
    keys = {"bos": "bos", "eos": "eos", "unk": "unknown", "sep": "seperator", "pad": "padding", "mask": "mask"}
    for ours, theirs in keys.items():
        if ours in spec:
            writer.add_uint32(f"tokenizer.ggml.{theirs}_token_id", spec[ours])
    for flag in ("add_space_prefix", "remove_extra_whitespaces"):
        if flag in spec:
            writer.add_bool(f"tokenizer.ggml.{flag}", spec[flag])
    writer.add_bool("tokenizer.ggml.add_bos_token", spec["add_bos"])
    writer.add_bool("tokenizer.ggml.add_eos_token", spec["add_eos"])
    if spec.get("charsmap"):
        writer.add_precompiled_charsmap(base64.b64decode(spec["charsmap"]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def copy_as_phi3(source, path):
    """The vocabulary of `source` (SentencePiece) with Phi-3's added tokens and its name."""
    fields = gguf.GGUFReader(source).fields
    writer = gguf.GGUFWriter(path, "phi3")
    writer.add_name("Phi-3 test")
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(fields["tokenizer.ggml.tokens"].contents() + list(PHI3_ADDED))
    writer.add_token_scores(fields["tokenizer.ggml.scores"].contents() + [-1000.0] * len(PHI3_ADDED))
    writer.add_token_types(fields["tokenizer.ggml.token_type"].contents() + [3] * len(PHI3_ADDED))
    for name in ("bos", "eos", "unknown"):
        writer.add_uint32(f"tokenizer.ggml.{name}_token_id",
                          fields[f"tokenizer.ggml.{name}_token_id"].contents())
    writer.add_bool("tokenizer.ggml.add_bos_token", False)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


class Comparison:
    def __init__(self, arguments, folder):
        self.program = arguments.ids
        self.llama = make_token_golden.Llama(arguments.llama)
        self.folder = folder
        self.lines = read_lines()
        self.speed_text = arguments.speed
        self.report = Report(arguments.markdown)

    def gguf_file(self, name, path, lines=None):
        if self.speed_text:
            return
        lines = lines or self.lines
        vocab = self.llama.load(path)
        theirs = [self.llama.tokenize(vocab, text, parse) for _, text, parse in lines]
        self.report.compare(name, "llama.cpp", lines, our_ids(self.program, path, lines), theirs)

    def json_file(self, name, path):
        if self.speed_text:
            self.speed(name, path)
            return
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        theirs = []
        for _, text, parse in self.lines:
            tokenizer.encode_special_tokens = not parse
            theirs.append(tokenizer.encode(text, add_special_tokens=False).ids)
        self.report.compare(name, "tokenizers", self.lines, our_ids(self.program, path, self.lines), theirs)

    def speed(self, name, path):
        """MB/s, each side seven times, in turns."""
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
        tokenizer.encode_special_tokens = True
        text = self.speed_text.read_text(encoding="utf-8")
        ours, theirs = [], []
        for _ in range(PAIRS):
            done = subprocess.run([self.program, str(path), "--time"], input=text, capture_output=True, text=True,
                                  check=True)
            ours.append(float(done.stdout))
            begin, best = time.perf_counter(), 1e30
            while time.perf_counter() - begin < 2:
                one = time.perf_counter()
                tokenizer.encode(text, add_special_tokens=False)
                best = min(best, time.perf_counter() - one)
            theirs.append(len(text.encode()) / best * 1e-6)
        ratios = sorted(a / b for a, b in zip(ours, theirs))
        print(f"  {name}: {statistics.median(ours):.2f} MB/s, tokenizers {statistics.median(theirs):.2f} MB/s, ratio "
              f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")

    def exported(self, name, path):
        done = subprocess.run([self.program, str(path), "--export"], capture_output=True, text=True)
        if done.returncode != 0:
            print(f"  {name}: no tokenizer.json: {done.stderr.strip()[:200]}")
            return
        made = self.folder / "tokenizer.json"
        made.write_text(done.stdout, encoding="utf-8")
        self.json_file(name + ", exported", made)

    def fixture(self, name, path):
        if self.speed_text:
            return
        texts = path.with_name(path.name + ".inp").read_text(encoding="utf-8").split(FIXTURE_SEPARATOR)
        rows = path.with_name(path.name + ".out").read_text(encoding="utf-8").splitlines()
        expected = [[int(word) for word in row.split()] for row in rows]
        lines = [("fixture", text, False) for text in texts][:len(expected)]
        self.report.compare(name, "its .out", lines, our_ids(self.program, path, lines), expected)

    def model(self, path):
        name = path.name.removesuffix(".gguf").removeprefix("ggml-vocab-")
        if path.suffix != ".gguf":
            self.json_file(path.parent.name, path)
            return
        self.gguf_file(name, path)
        self.exported(name, path)
        if path.with_name(path.name + ".inp").exists():
            self.fixture(name, path)
        fields = gguf.GGUFReader(path).fields
        if fields["tokenizer.ggml.model"].contents() == "llama":
            made = self.folder / "phi3.gguf"
            copy_as_phi3(path, made)
            self.gguf_file("Phi-3's rules", made,
                           [("special, parsed", text, True) for text in PHI3_LINES] + self.lines)

    def pre_tokenizers(self):
        listed = subprocess.run([self.program, "--pre-tokenizers"], capture_output=True, text=True, check=True)
        tokens, merges = unsplit_vocabulary()
        for pre in filter(None, listed.stdout.split("\n")):
            made = self.folder / "pre.gguf"
            write_gguf(made, pre, tokens, [1] * len(tokens), merges)
            self.gguf_file(pre, made, [line for line in self.lines if not line[2]])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ids", required=True, help="the program paring_token_ids")
    parser.add_argument("--llama", required=True, help="libllama.so")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--speed", type=pathlib.Path, help="a text: compare speeds instead of ids")
    parser.add_argument("--only-models", action="store_true", help="leave out what is made here")
    parser.add_argument("models", nargs="*", type=pathlib.Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        comparison = Comparison(arguments, pathlib.Path(folder))
        for path in arguments.models:
            comparison.model(path / "tokenizer.json" if path.is_dir() else path)
        if not arguments.only_models and not arguments.speed:
            for name in ("spm", "unigram", "word_piece"):
                made = comparison.folder / f"{name}.gguf"
                small_vocabulary(name, made)
                comparison.gguf_file("small " + name, made)
                comparison.exported("small " + name, made)
            comparison.pre_tokenizers()
        if not arguments.speed:
            comparison.report.print()
    return 1 if comparison.report.differences else 0


if __name__ == "__main__":
    sys.exit(main())
