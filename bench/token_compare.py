#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Token ids of Paring beside those of llama.cpp (GGUF files) and of Hugging Face's `tokenizers` (tokenizer.json).

Prints for each tokenizer and class of text: lines compared, lines that differ, and the first difference; leaves with 1
if there was any. The lines are tests/data/tokens/lines.jsonl (at least 500 a class); control tokens in them stay text,
and once more the class "special" with them parsed. Beside the models given come:
  - every tokenizer.ggml.pre that Paring knows, on a vocabulary whose merges cross all boundaries
    (tests/data/tokenizer/unsplit.txt), so that no wrong cut goes unseen;
  - the small SentencePiece, Unigram and WordPiece vocabularies of tests/data/tokenizer, Unigram also in the layouts of
    T5's, XLM-R's and ALBERT's tokenizer.json (bench/unigram_layouts.py);
  - Phi-3's rules for white space around its added tokens, on a vocabulary of Llama 2's kind if one is given;
  - a tokenizer.json made of each GGUF file, encoded by `tokenizers`, and a GGUF file made of each tokenizer.json that
    GGUF can hold, encoded by llama.cpp.
Fixtures of llama.cpp (FILE.gguf with FILE.gguf.inp and .out beside it) are compared with their .out as well.
Needs the packages gguf, numpy and tokenizers, and a shared library of llama.cpp.

With --speed TEXT.txt that text is encoded in pieces of 4 kB by one thread, in turns with llama.cpp (GGUF files, made or
given) and `tokenizers` (tokenizer.json, made or given): medians in MB/s and the range of the ratio. Takes the GGUF
file and the tokenizer.json of each MODEL as above.

usage: token_compare.py --ids build/bench/bench/paring_token_ids --llama LIBLLAMA.so [--markdown] MODEL...
       MODEL is a GGUF file or a tokenizer.json (or a folder that holds one)
"""
import argparse
import collections
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

os.environ["RAYON_NUM_THREADS"] = "1"  # read when the first batch is encoded
import tokenizers  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import gguf_vocabulary  # noqa: E402
import make_token_golden  # noqa: E402
import unigram_layouts  # noqa: E402

DATA = ROOT / "tests/data"
PAIRS = 7
DOCUMENT_BYTES = 4000
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
        if self.markdown:
            self.print_summary()
        else:
            self.print_classes()
        print(f"{self.differences} differences in {sum(row[3] for row in self.rows)} lines")

    def print_summary(self):
        table = collections.defaultdict(list)
        for name, oracle, _, total, wrong in self.rows:
            table[name, oracle].append((total, wrong))
        print("| tokenizer | compared with | classes | lines of the smallest | lines | differences |")
        print("|---|---|---|---|---|---|")
        for (name, oracle), cells in table.items():
            totals = [total for total, _ in cells]
            print(f"| {name} | {oracle} | {len(cells)} | {min(totals)} | {sum(totals)} | {sum(w for _, w in cells)} |")

    def print_classes(self):
        kinds = list(dict.fromkeys(row[2] for row in self.rows))
        table = collections.defaultdict(dict)
        for name, oracle, kind, total, wrong in self.rows:
            table[name, oracle][kind] = f"{wrong} of {total}"
        head = ["tokenizer", "compared with", *kinds]
        body = [[*key, *(cells.get(kind, "") for kind in kinds)] for key, cells in table.items()]
        widths = [max(len(str(row[i])) for row in [head, *body]) for i in range(len(head))]
        for row in [head, *body]:
            print("  ".join(str(c).ljust(w) for c, w in zip(row, widths)))


def unsplit_vocabulary():
    rows = (DATA / "tokenizer/unsplit.txt").read_text(encoding="utf-8").split("\n")
    count = int(rows[1].split()[1])
    tokens = [row[2:] for row in rows[2:2 + count]]
    digits, digit_merges = make_token_golden.digit_groups()
    tokens += [d for d in digits if d not in set(tokens)]
    merges = [row for row in rows[3 + count:] if row] + digit_merges
    return {"name": "test", "model": "gpt2", "tokens": tokens, "types": [1] * len(tokens), "merges": merges,
            "add_bos": False}


def small_vocabulary(name):
    spec = json.loads((DATA / f"tokenizer/{name}.json").read_text(encoding="utf-8"))
    return {**spec, "architecture": "t5" if spec["model"] == "t5" else "llama"}


def as_phi3(path):
    """The vocabulary of a GGUF file (SentencePiece) with Phi-3's added tokens and its name."""
    vocabulary = gguf_vocabulary.read(path)
    count = len(PHI3_ADDED)
    return {**vocabulary, "architecture": "phi3", "name": "Phi-3 test", "add_bos": False,
            "tokens": vocabulary["tokens"] + list(PHI3_ADDED), "types": vocabulary["types"] + [3] * count,
            "scores": vocabulary["scores"] + [-1000.0] * count}


def documents(path):
    """The text of a file in pieces of whole lines, DOCUMENT_BYTES at least."""
    pieces, lines, size = [], [], 0
    for line in path.read_text(encoding="utf-8").replace("\0", "").splitlines(keepends=True):
        lines.append(line)
        size += len(line.encode())
        if size >= DOCUMENT_BYTES:
            pieces.append("".join(lines))
            lines, size = [], 0
    return pieces + ["".join(lines)] if lines else pieces


def special_tokens(tokenizer):
    """The ids of special tokens, and {id: text} of the unknown one, which other text may become as well."""
    model = json.loads(tokenizer.to_str())["model"]
    unknown = {model.get("unk_id"), tokenizer.token_to_id(model.get("unk_token") or "")}
    special = {id: token.content for id, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    return special.keys() - unknown, {id: text for id, text in special.items() if id in unknown}


class Comparison:
    def __init__(self, arguments, folder):
        self.program = arguments.ids
        self.llama = make_token_golden.Llama(arguments.llama)
        self.folder = folder
        self.lines = read_lines()
        self.documents = documents(arguments.speed) if arguments.speed else []
        self.report = Report(arguments.markdown)

    def gguf_file(self, name, path, lines=None):
        lines = lines or self.lines
        vocab = self.llama.load(path)
        if self.documents:
            self.speed(name, path, "llama.cpp", self.llama.encoder(vocab))
            return
        theirs = [self.llama.tokenize(vocab, text, parse) for _, text, parse in lines]
        self.report.compare(name, "llama.cpp", lines, our_ids(self.program, path, lines), theirs)

    def json_file(self, name, path):
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        if self.documents:
            tokenizer.encode_special_tokens = True
            # One thread by RAYON_NUM_THREADS; its fastest call, which counts no offsets.
            self.speed(name, path, "tokenizers",
                       lambda texts: tokenizer.encode_batch_fast(texts, add_special_tokens=False))
            return
        control, unknown = special_tokens(tokenizer)
        lines, theirs = [], []
        for line in self.lines:
            _, text, parse = line
            tokenizer.encode_special_tokens = not parse
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            spells_unknown = any(token in text and id in ids for id, token in unknown.items())
            if parse or not (control.intersection(ids) or spells_unknown):
                lines.append(line)
                theirs.append(ids)
        if len(lines) < len(self.lines):
            print(f"  {name}: {len(self.lines) - len(lines)} lines are not compared: the model of `tokenizers` spells "
                  "control tokens there that were to stay text, which ours never does")
        self.report.compare(name, "tokenizers", lines, our_ids(self.program, path, lines), theirs)

    def speed(self, name, path, peer, encode_all):
        """MB/s of one thread, each side seven times, in turns."""
        texts = self.documents
        ours, theirs = [], []
        for _ in range(PAIRS):
            done = subprocess.run([self.program, str(path), "--time"], input="\0".join(texts), capture_output=True,
                                  text=True, check=True)
            ours.append(float(done.stdout))
            begin, best = time.perf_counter(), 1e30
            while time.perf_counter() - begin < 2:
                one = time.perf_counter()
                encode_all(texts)
                best = min(best, time.perf_counter() - one)
            theirs.append(sum(len(text.encode()) for text in texts) / best * 1e-6)
        ratios = sorted(a / b for a, b in zip(ours, theirs))
        print(f"| {name} | {peer} | {statistics.median(ours):.2f} | {statistics.median(theirs):.2f} | "
              f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |", flush=True)

    def exported(self, name, path):
        done = subprocess.run([self.program, str(path), "--export"], capture_output=True, text=True)
        if done.returncode != 0:
            print(f"  {name}: no tokenizer.json: {done.stderr.strip()[:200]}")
            return
        made = self.folder / "tokenizer.json"
        made.write_text(done.stdout, encoding="utf-8")
        self.json_file(name + ", exported", made)

    def fixture(self, name, path):
        if self.documents:
            return
        texts = path.with_name(path.name + ".inp").read_text(encoding="utf-8").split(FIXTURE_SEPARATOR)
        rows = path.with_name(path.name + ".out").read_text(encoding="utf-8").splitlines()
        expected = [[int(word) for word in row.split()] for row in rows]
        lines = [("fixture", text, False) for text in texts][:len(expected)]
        self.report.compare(name, "its .out", lines, our_ids(self.program, path, lines), expected)

    def converted(self, name, path):
        """The GGUF file that a tokenizer.json becomes, in llama.cpp and here."""
        made = self.folder / "converted.gguf"
        done = subprocess.run([self.program, str(path), "--gguf", str(made)], capture_output=True, text=True)
        if done.returncode != 0:
            print(f"  {name}: no GGUF file: {done.stderr.strip()[:200]}")
            return
        self.gguf_file(name + ", converted", made)

    def model(self, path):
        name = path.name.removesuffix(".gguf").removeprefix("ggml-vocab-")
        if path.suffix != ".gguf":
            self.json_file(path.parent.name, path)
            self.converted(path.parent.name, path)
            return
        self.gguf_file(name, path)
        self.exported(name, path)
        if path.with_name(path.name + ".inp").exists():
            self.fixture(name, path)
        # Llama 2's kind. llama.cpp looks for user-defined tokens of one length in no fixed order, which shows where
        # they strip white space and are white space themselves (Gemma's).
        vocabulary = gguf_vocabulary.read(path)
        if not self.documents and vocabulary["model"] == "llama" and 4 not in vocabulary["types"]:
            made = self.folder / "phi3.gguf"
            gguf_vocabulary.write(made, as_phi3(path))
            self.gguf_file("Phi-3's rules", made,
                           [("special, parsed", text, True) for text in PHI3_LINES] + self.lines)

    def pre_tokenizers(self):
        listed = subprocess.run([self.program, "--pre-tokenizers"], capture_output=True, text=True, check=True)
        vocabulary = unsplit_vocabulary()
        for pre in filter(None, listed.stdout.split("\n")):
            made = self.folder / "pre.gguf"
            gguf_vocabulary.write(made, {**vocabulary, "pre": pre})
            self.gguf_file(pre, made, [line for line in self.lines if not line[2]])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ids", required=True, help="the program paring_token_ids")
    parser.add_argument("--llama", required=True, help="libllama.so")
    parser.add_argument("--markdown", action="store_true", help="a table of sums, not of classes")
    parser.add_argument("--speed", type=pathlib.Path, help="a text: compare speeds instead of ids")
    parser.add_argument("--only-models", action="store_true", help="leave out what is made here")
    parser.add_argument("models", nargs="*", type=pathlib.Path)
    arguments = parser.parse_args()
    if arguments.speed:
        print("| tokenizer | peer | Paring MB/s | peer MB/s | ratio |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        comparison = Comparison(arguments, pathlib.Path(folder))
        for path in arguments.models:
            comparison.model(path / "tokenizer.json" if path.is_dir() else path)
        if not arguments.only_models and not arguments.speed:
            for name in ("spm", "unigram", "word_piece"):
                made = comparison.folder / f"{name}.gguf"
                gguf_vocabulary.write(made, small_vocabulary(name))
                comparison.gguf_file("small " + name, made)
                comparison.exported("small " + name, made)
            for name, tokenizer in unigram_layouts.layouts(small_vocabulary("unigram")).items():
                made = comparison.folder / "unigram.json"
                tokenizer.save(str(made))
                comparison.json_file(name, made)
                comparison.converted(name, made)
            comparison.json_file("WordPiece of tests/data", DATA / "tokenizer/word_piece.tokenizer.json")
            comparison.pre_tokenizers()
        if not arguments.speed:
            comparison.report.print()
    return 1 if comparison.report.differences else 0


if __name__ == "__main__":
    sys.exit(main())
