#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Files that Paring encodes beside those of llama-quantize with the same importance matrix, judged by llama.cpp.

For each type: llama-quantize --pure --imatrix, and paring quantize with that type and the type that llama-quantize put
where rows do not fit. The two files must agree in the type of every tensor. The judge is llama-perplexity: KL to
the reference, both as llama.cpp runs them, over windows of 512 tokens whose second halves are scored.

Usage: kl_encoded.py --paring BIN --llama DIR --text FILE --imatrix FILE REFERENCE.gguf [TYPE ...]
Needs numpy and gguf (tests/requirements.txt), and room in --work for two files and the reference's logits.
"""
import argparse
import os
import sys
import tempfile

from gguf import GGUFReader

from kl_judge import Judge, run

TYPES = ["Q8_0", "Q6_K", "Q5_K", "Q5_1", "Q5_0", "Q4_K", "Q4_1", "Q4_0", "IQ4_NL", "IQ4_XS", "Q3_K", "Q2_K"]
PLAIN = {"F32", "F16", "BF16"}


def tensors(path):
    return {t.name: (t.tensor_type.name, int(t.n_bytes)) for t in GGUFReader(path).tensors}


def quantized_pair(args, judge, kind, folder):
    """Paths of theirs and ours, and how many matrices have the type itself."""
    theirs, ours = (os.path.join(folder, f"{side}-{kind}.gguf") for side in ("theirs", "ours"))
    judge.tool("llama-quantize", "--pure", "--imatrix", args.imatrix, args.reference, theirs, kind, args.threads)
    types = tensors(theirs)
    other = sorted({t for t, _ in types.values()} - PLAIN - {kind})
    if len(other) > 1:
        sys.exit(f"{theirs} has the types {other} beside {kind}; paring quantize takes one --fallback")
    run([args.paring, "quantize", args.reference, ours, "--type", kind, "--imatrix", args.imatrix, "--threads",
         args.threads, "--quiet", *(["--fallback", other[0]] if other else [])])
    if tensors(ours) != types:
        unequal = [name for name, entry in tensors(ours).items() if types.get(name) != entry]
        sys.exit(f"the files for {kind} differ in the type of {len(unequal)} tensors, first {unequal[:3]}")
    return theirs, ours, sum(t == kind for t, _ in types.values()), (other or ["-"])[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", metavar="REFERENCE.gguf")
    parser.add_argument("types", nargs="*", metavar="TYPE")
    parser.add_argument("--paring", required=True)
    parser.add_argument("--llama", required=True, help="folder with llama.cpp's programs and libraries")
    parser.add_argument("--text", required=True)
    parser.add_argument("--imatrix", required=True)
    parser.add_argument("--windows", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", default=None, help="folder for the files")
    args = parser.parse_args()
    judge = Judge(args.llama, args.text, args.windows, args.threads)
    print("| type | matrices | elsewhere | llama.cpp | Paring | ratio | top-1 | Paring |\n"
          "|---|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        base = os.path.join(folder, "reference.logits")
        judge.base(args.reference, base)
        for kind in args.types or TYPES:
            theirs, ours, count, other = quantized_pair(args, judge, kind, folder)
            a, b = judge.kl(theirs, base), judge.kl(ours, base)
            os.remove(theirs)
            os.remove(ours)
            cells = [kind, count, other, *(f"{side['kl']:.5f} +- {side['error']:.5f}" for side in (a, b)),
                     f"{b['kl'] / a['kl']:.3f}", f"{a['top1']:.1f} %", f"{b['top1']:.1f} %"]
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
