# SPDX-License-Identifier: Apache-2.0
"""The faults of bench/diagnosis.py: prompts that lack what they need, and models that were damaged."""
import dataclasses
import pathlib
import re
import shutil
import subprocess

import numpy as np
from gguf import GGUFReader

AXIS = {
    "wrong_context": "context", "missing_document": "context", "truncated": "context", "distractors": "context",
    "bad_prompt": "context", "model": "model", "model_wrong_context": "both", "wrong_label": "neither",
}

# How people write such prompts: other ones in each half, and none is the plain prompt of the program.
TEMPLATES = {
    "tune": [
        "Use the passage to answer the question briefly.\n\nPassage: {c}\n\nQuestion: {q}",
        "{c}\n\nBased on the paragraph above, {q}",
        "You are a helpful assistant that quotes its sources. Context:\n\n{c}\n\n{q} Keep the answer short.",
    ],
    "test": [
        "Context: {c}\n\nGive a short answer to this: {q}",
        "Read this and answer in a few words.\n\n{c}\n\nQ: {q}",
        "Question: {q}\n\nDocument:\n{c}\n\nReply with the answer only.",
    ],
}
BARE = {
    "tune": ["Answer the question briefly.\n\nQuestion: {q}", "{q} Keep the answer short."],
    "test": ["Give a short answer to this: {q}", "Reply with the answer only.\n\nQ: {q}"],
}
# Instructions that ask for something else, in another form or language, or contradict themselves.
BAD = {
    "tune": [
        "Translate the question into Spanish. Do not answer it.\n\nPassage: {c}\n\nQuestion: {q}",
        "{c}\n\nSummarize the first sentence of the paragraph above in Chinese.\n\n{q}",
        "Answer only with yes or no.\n\nPassage: {c}\n\nQuestion: {q}",
        "Write a Python function that prints a list of the words of the question.\n\nPassage: {c}\n\nQuestion: {q}",
        "If you are not absolutely certain, you must say 'I do not know'. Never quote the passage, never use its words."
        "\n\nPassage: {c}\n\nQuestion: {q}",
    ],
    "test": [
        "Context: {c}\n\nRewrite the following as three new questions: {q}",
        "Read this and reply in Russian only.\n\n{c}\n\nQ: {q}",
        "Rate from 1 to 10 how hard this question is. Reply with the number only.\n\nQuestion: {q}\n\nDocument:\n{c}",
        "Classify the topic of the document: sports, science, history or politics. One word.\n\n{c}\n\nQ: {q}",
        "Reply with the answer only. Do not use the document. Reply with one letter.\n\nDocument:\n{c}\n\n"
        "Question: {q}",
    ],
}


def chat(text):
    return [{"role": "user", "content": text}]


class Plan:
    """Prompts of one half."""

    def __init__(self, half, rng, paragraphs):
        self.half, self.rng, self.paragraphs = half, rng, paragraphs

    def healthy(self, paragraph, question, index):
        templates = TEMPLATES[self.half]
        return chat(templates[index % len(templates)].format(c=paragraph, q=question))

    def other_paragraph(self, paragraph, answer):
        others = [p for p in self.paragraphs if p != paragraph and answer.lower() not in p.lower()]
        return self.rng.choice(others)

    def make(self, fault, paragraph, question, answer, index, others):
        """The messages of a fault, and a reference where it is not the answer; None: this one cannot have it."""
        if fault == "model":
            return {"messages": self.healthy(paragraph, question, index)}
        if fault in ("wrong_context", "model_wrong_context"):
            return {"messages": self.healthy(self.other_paragraph(paragraph, answer), question, index)}
        if fault == "missing_document":
            return {"messages": chat(self.rng.choice(BARE[self.half]).format(q=question))}
        if fault == "bad_prompt":
            return {"messages": chat(self.rng.choice(BAD[self.half]).format(c=paragraph, q=question))}
        if fault == "truncated":
            # Whole sentences before the one with the answer.
            kept = paragraph[:paragraph.lower().find(answer.lower())]
            ends = [m.end() for m in re.finditer(r"[.!?] ", kept)]
            if not ends or len(kept[:ends[-1]].split()) < 30 or answer.lower() in kept.lower():
                return None
            return {"messages": self.healthy(kept[:ends[-1]].strip(), question, index)}
        if fault == "distractors":
            many = [self.other_paragraph(paragraph, answer) for _ in range(9)]
            many.insert(self.rng.randrange(3, 7), paragraph)
            return {"messages": self.healthy("\n\n".join(many), question, index)}
        if fault == "wrong_label":
            wrong = [a for p, q, a in others if p == paragraph and a.lower() not in answer.lower()
                     and answer.lower() not in a.lower()]
            if not wrong:
                wrong = [a for p, q, a in others if answer.lower() not in a.lower()]
            return {"messages": self.healthy(paragraph, question, index), "reference": self.rng.choice(wrong)}
        raise ValueError(fault)


@dataclasses.dataclass
class Setup:
    """A served model, the original it was made from, and the model that must answer rightly."""
    name: str
    served: pathlib.Path
    original: pathlib.Path
    healthy: pathlib.Path
    faults: dict


def quantized(paring, source, target, *words):
    if not target.exists():
        subprocess.run([paring, "quantize", str(source), str(target), *words, "--quiet"], check=True,
                       stdout=subprocess.DEVNULL)
    return target


def damaged(source, target, change):
    """A Q8_0 file with the codes of its blocks' matrices changed: change(layer, name, codes) -> codes."""
    if target.exists():
        return target
    part = target.with_suffix(".part")
    shutil.copyfile(source, part)
    for tensor in GGUFReader(str(part), "r+").tensors:
        found = re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", tensor.name)
        if not found or tensor.tensor_type.name != "Q8_0":
            continue
        blocks = tensor.data.reshape(-1, 34)  # a scale of two bytes, 32 codes
        codes = blocks[:, 2:].view(np.int8).astype(np.float32)
        codes = change(int(found.group(1)), found.group(2), codes)
        blocks[:, 2:] = np.clip(np.rint(codes), -127, 127).astype(np.int8).view(np.uint8)
    part.rename(target)
    return target


def rounded(side):
    """To about 2 * side + 1 levels in groups of 32: three bits."""
    step = 127 / side
    return lambda layer, name, codes: np.rint(codes / step) * step


def noisy(amount, seed):
    rng = np.random.default_rng(seed)
    return lambda layer, name, codes: codes + rng.normal(scale=amount * codes.std(), size=codes.shape)


def broken(layers):
    """Layers that add nothing, as a file with zeroed matrices has them."""
    return lambda layer, name, codes: codes * 0 if layer in layers and name in ("attn_output", "ffn_down") else codes


def setups(paring, models, work, half, seed):
    large, middle = (models / f"Qwen2.5-Coder-{s}-Instruct-Q4_K_M.gguf" for s in ("1.5B", "0.5B"))
    small, small_original = models / "SmolLM2-135M-Instruct.Q4_1.gguf", models / "smollm2-135m-reference-f16.gguf"
    shrunk_large = quantized(paring, large, work / "large-q4_0.gguf", "--type", "Q4_0", "--no-importance")
    shrunk_middle = quantized(paring, middle, work / "middle-q4_0.gguf", "--type", "Q4_0", "--no-importance")
    grid = quantized(paring, middle, work / "middle-q8_0.gguf", "--type", "Q8_0", "--no-importance")
    context = {"wrong_context": 5, "missing_document": 4, "truncated": 5, "distractors": 4, "bad_prompt": 7,
               "wrong_label": 3}
    rng = np.random.default_rng(seed)
    layers = sorted(rng.choice(np.arange(1, 22), size=3, replace=False).tolist())
    noise = 0.45 if half == "tune" else 0.3
    tag = f"{half}-{seed}"
    q2 = ["--type", "Q2_K", "--fallback", "Q4_0"]
    q2 += ["--no-importance"] if half == "tune" else ["--calibration", str(models.parent / "README.md")]
    return [
        # Ten paragraphs take the large model too long here.
        Setup("large", shrunk_large, large, shrunk_large, {**context, "distractors": 0}),
        Setup("middle", shrunk_middle, middle, shrunk_middle, context),
        Setup("large-2-bit", quantized(paring, large, work / f"large-q2_k-{half}.gguf", *q2), large, large,
              {"model": 8, "model_wrong_context": 3}),
        Setup("middle-3-bit", damaged(grid, work / f"middle-3-bit-{half}.gguf",
                                      rounded(3.5 if half == "tune" else 3)), middle, middle,
              {"model": 8, "model_wrong_context": 3}),
        Setup("middle-noise", damaged(grid, work / f"middle-noise-{tag}.gguf", noisy(noise, seed)), middle, middle,
              {"model": 7}),
        Setup("middle-broken-layers", damaged(grid, work / f"middle-broken-{tag}.gguf", broken(layers)), middle, middle,
              {"model": 7, "model_wrong_context": 2}),
        Setup("too-small", small, small_original, large, {"model": 10}),
        Setup("middle-too-small", shrunk_middle, middle, large, {"model": 8}),
    ]
