#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes src/text/unicode_table.inc: the general categories that BPE splitting looks at.

The categories are those of Unicode 15.1, because llama.cpp's tables are of that version and its token
ids are what ours are compared with. A newer table would split newly assigned letters differently.
Needs the package unicodedata2==15.1.0.

usage: make_unicode_table.py src/text/unicode_table.inc
"""
import sys

import unicodedata2

VERSION = "15.1.0"
# The property White_Space; unlike Python's str.isspace it leaves out U+001C to U+001F.
WHITE_SPACE = {0x20, 0x85, 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000}
WHITE_SPACE |= set(range(0x09, 0x0E)) | set(range(0x2000, 0x200B))
CATEGORIES = {"Lu": "kUpper", "Ll": "kLower", "Lt": "kTitle", "Lm": "kModifier", "Lo": "kOtherLetter",
              "Nd": "kDigit", "Nl": "kLetterNumber", "No": "kOtherNumber", "Cn": "kUnassigned"}
GROUPS = {"M": "kMark", "P": "kPunctuationMark", "S": "kSymbol"}


def category_of(code_point: int) -> str:
    if code_point in WHITE_SPACE:
        return "kWhiteSpace"
    category = unicodedata2.category(chr(code_point))
    return CATEGORIES.get(category) or GROUPS.get(category[0], "kOtherCharacter")


def main() -> int:
    if unicodedata2.unidata_version != VERSION:
        print(f"needs unicodedata2=={VERSION}, got {unicodedata2.unidata_version}", file=sys.stderr)
        return 1
    rows = []
    previous = None
    for code_point in range(0x110000):
        current = category_of(code_point)
        if current != previous:
            rows.append(f"{{0x{code_point:x}, {current}}},")
            previous = current
    lines = [""]
    for row in rows:
        if len(lines[-1]) + len(row) + 1 > 100:
            lines.append("")
        lines[-1] = f"{lines[-1]} {row}".strip()
    with open(sys.argv[1], "w", encoding="ascii") as out:
        out.write("// SPDX-License-Identifier: Apache-2.0\n")
        out.write(f"// Made by tools/make_unicode_table.py from Unicode {VERSION}; do not edit.\n")
        out.write("// {first code point, category}; a row holds up to the next row's first.\n")
        out.write("// clang-format off\n")
        out.write("\n".join(lines) + "\n")
        out.write("// clang-format on\n")
    print(f"{len(rows)} ranges")
    return 0


if __name__ == "__main__":
    sys.exit(main())
