#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes src/text/unicode_forms.inc: what normalization needs beyond character classes.

Lower case, the first character of the canonical decomposition, marks and control characters for
BERT; what may change under NFC, and combining classes; all of Unicode 15.1 as in
make_unicode_table.py. Needs the package unicodedata2==15.1.0; lower case comes from Python, whose
simple mappings have not changed since.

usage: make_unicode_forms.py src/text/unicode_forms.inc
"""
import sys

import unicodedata2

VERSION = "15.1.0"
HANGUL = range(0xAC00, 0xD7A4)  # decomposed by rule


def ranges(is_member):
    """(first, last) of the runs of code points that are members."""
    first = None
    for code_point in range(0x110001):
        member = code_point < 0x110000 and is_member(code_point)
        if member and first is None:
            first = code_point
        elif not member and first is not None:
            yield first, code_point - 1
            first = None


def lower(code_point):
    if code_point == 0x130:  # the simple mapping; the full one is two characters
        return ord("i")
    text = chr(code_point).lower()
    return ord(text) if len(text) == 1 else code_point


def base(code_point):
    return ord(unicodedata2.normalize("NFD", chr(code_point))[0])


def mapped(of, skip=()):
    for code_point in range(0x110000):
        if 0xD800 <= code_point < 0xE000 or code_point in skip:
            continue
        if of(code_point) != code_point:
            yield code_point, of(code_point)


def second_parts():
    """What a primary composition may end in."""
    parts = set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))  # Hangul, composed by rule
    for code_point in range(0x110000):
        decomposition = unicodedata2.decomposition(chr(code_point))
        if " " not in decomposition or "<" in decomposition:
            continue
        first, second = (chr(int(part, 16)) for part in decomposition.split())
        if unicodedata2.normalize("NFC", first + second) == chr(code_point):
            parts.add(ord(second))
    return parts


def combining_classes():
    """(first code point, class) where the class changes."""
    previous = 0
    for code_point in range(0x110000):
        current = unicodedata2.combining(chr(code_point))
        if current != previous:
            yield code_point, current
        previous = current


def write(out, name, rows):
    lines = [""]
    for first, second in rows:
        row = f"{{0x{first:x}, 0x{second:x}}},"
        if len(lines[-1]) + len(row) + 1 > 100:
            lines.append("")
        lines[-1] = f"{lines[-1]} {row}".strip()
    out.write(f"constexpr CodePointPair {name}[] = {{\n" + "\n".join(lines) + "\n};\n")


def main() -> int:
    if unicodedata2.unidata_version != VERSION:
        print(f"needs unicodedata2=={VERSION}, got {unicodedata2.unidata_version}", file=sys.stderr)
        return 1
    def category(code_point):
        return unicodedata2.category(chr(code_point))
    with open(sys.argv[1], "w", encoding="ascii") as out:
        out.write("// SPDX-License-Identifier: Apache-2.0\n")
        out.write(f"// Made by tools/make_unicode_forms.py from Unicode {VERSION}; do not edit.\n")
        out.write("// clang-format off\n")
        write(out, "kLowerCase", mapped(lower))
        write(out, "kDecomposedBase", mapped(base, HANGUL))
        write(out, "kMarks", ranges(lambda c: category(c)[0] == "M"))
        write(out, "kControls", ranges(lambda c: category(c) in ("Cc", "Cf", "Co", "Cs")))
        seconds = second_parts()
        write(out, "kNfcUnsure", ranges(lambda c: c in seconds or not 0xD800 <= c < 0xE000
                                        and unicodedata2.normalize("NFC", chr(c)) != chr(c)))
        write(out, "kCombiningClasses", combining_classes())
        out.write("// clang-format on\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
