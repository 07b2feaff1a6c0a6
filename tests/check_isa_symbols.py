#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks what the instruction-set objects of a build export.

An inline function that such an object emits as a weak symbol may be the copy that the linker keeps
for the whole program: then a machine without that instruction set stops with SIGILL far from any
kernel. So each folder src/<module>/<isa>/ built by paring_isa_sources() may define one global symbol,
its table, and no weak one.

    tests/check_isa_symbols.py BUILD_DIR     exit status 0 when clean, 1 otherwise
"""

import pathlib
import re
import subprocess
import sys

# CMake's object folders are named after the targets of paring_isa_sources().
OBJECT_FOLDER = re.compile(r"^paring_([a-z]+)_(reference|avx2|avx512|avx512bf16|amx|neon|sve)\.dir$")
WEAK = set("WVvwu")
# What the tables of a module with ISA folders are called.
TABLES = {"kernels": "Kernels", "cost": "Probes"}


def defined_globals(path):
    """(symbol type, name) of what the object exports; weak references count as well."""
    output = subprocess.run(["nm", "--demangle", "--extern-only", str(path)],
                            check=True, capture_output=True, text=True).stdout
    for line in output.splitlines():
        match = re.match(r"^\s*(?:[0-9a-f]+)?\s+([A-Za-z]) (.*)$", line)
        if match and match.group(1) != "U":
            yield match.group(1), match.group(2)


def check_folder(module, isa, objects):
    problems = []
    tables = []
    expected = f"paring::{module}::k{isa.capitalize()}{TABLES[module]}"
    for path in objects:
        for kind, name in defined_globals(path):
            if kind in WEAK:
                problems.append(f"{path.name}: weak symbol ({kind}) {name}")
            elif name == expected and kind in "DRB":
                tables.append(name)
            elif not name.startswith(("__asan_", "__odr_asan")):
                problems.append(f"{path.name}: exports {name} beside the table")
    if len(tables) != 1:
        problems.append(f"{module}/{isa}: {len(tables)} definitions of {expected}, expected 1")
    return problems


def main(arguments):
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    build = pathlib.Path(arguments[1])
    problems = []
    folders = 0
    for folder in sorted(build.rglob("paring_*.dir")):
        match = OBJECT_FOLDER.match(folder.name)
        objects = sorted(folder.rglob("*.o")) if match else []
        if not objects:
            continue
        folders += 1
        found = check_folder(match.group(1), match.group(2), objects)
        problems += found
        print(f"{match.group(1)}/{match.group(2)}: {len(objects)} object(s), "
              f"{len(found)} problem(s)")
    if folders == 0:
        problems.append(f"no instruction-set objects under {build}; build paring_kernels first")
    for problem in problems:
        print("error: " + problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
