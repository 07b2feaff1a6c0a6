#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a GGUF file with every tensor decoded to F32: the yardstick of "exact" in golden files.

Usage: decode_f32.py SOURCE.gguf OUT.gguf      Needs numpy and gguf (tests/requirements.txt).
"""
import argparse

from gguf_files import Source, sha256_of, write_like


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("out")
    args = parser.parse_args()
    write_like(Source(args.source), args.out, "F32", {"paring.made_from": f"sha256:{sha256_of(args.source)}"})
    print(f"{args.out}: {args.source}, decoded to F32")


if __name__ == "__main__":
    main()
