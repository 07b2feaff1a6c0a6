#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The rules of docs/STYLE.md that a program can check. Standard library only, about a second.

Each rule is a function (Repository) -> findings; RULES is the one list. tests/tidy_test.py holds a bad sample for each.
Usage: tidy.py [FOLDER]     Prints `path:line: what is wrong; what to do`, and leaves with 1 if there was anything.
"""
import dataclasses
import pathlib
import re
import subprocess
import sys

CXX = (".cc", ".h", ".def")
SCRIPTS = (".py", ".sh", ".cmake", ".rs")
LINES_MAX = 500
LINES_MAX_LONG = 1000  # kernels, tests, tables
FUNCTION_LINES_MAX = 80
COLUMNS = {".cc": 100, ".h": 100, ".def": 120, ".py": 120, ".sh": 120, ".cmake": 120, ".rs": 120}
README_LINES_MAX = 30

PRINTING = "only cli prints; use base/log.h, or return the text"
# pattern, what to do instead, paths where it may stand
BANNED = [
    (r"#\s*include\s*<iostream>|std::(cout|cerr|clog)\b", PRINTING,
     r"^src/(cli/|base/(log|check|progress|result))|_test\.cc$"),
    (r"\b(f|v|vf)?printf\s*\(|\bputs\s*\(|\bfmt::print\b", PRINTING,
     r"^src/(cli/|base/(log|check|progress|result))|_test\.cc$|^(bench|fuzz)/"),
    (r"\babort\s*\(", "use PARING_CHECK (base/check.h) for a bug of ours, Error for the world",
     r"^src/base/|^(bench|fuzz)/"),
    # A constructor that is private cannot be reached by std::make_unique: a smart pointer around new T(...) is the way.
    (r"^(?!.*(unique|shared)_ptr<)[^\n]*\bnew\s+[A-Za-z_:]", "use std::make_unique or a container", r"^$"),
    (r"\bdelete\b(?!\s*[;,)])|\bdelete\s*\[\s*\]", "use std::unique_ptr or a container", r"^$"),
    (r"\brand\s*\(|\bsrand\s*\(", "use a counter-based generator with a seed", r"^$"),
    (r"\bstd::regex\b|#\s*include\s*<regex>", "std::regex recurses on input; write a small parser",
     r"_test\.cc$"),
    (r"\bsystem\s*\(|\bpopen\s*\(", "no shell: call the function itself, or posix_spawn", r"^$"),
    (r"\bstrto(l|ul|ll|ull|d|f)\s*\(|\bato[ifl]\s*\(|std::sto[a-z]+\b",
     "use std::from_chars, which reports what is wrong", r"^$"),
]

# Words that would speak of how or where the project was written instead of the project.
ELSEWHERE = re.compile(
    r"(?<![\w.])/(work|tmp/peers)\b|\bsub-?agents?\b|\bthis session\b|\bthe brief says\b|\bcolleagues?\b", re.I)
HOSTS = re.compile(r"https?://([A-Za-z0-9.-]+)")
HOSTS_KNOWN = re.compile(
    r"^(127\.0\.0\.1|localhost|(.*\.)?(example\.(org|com)|apache\.org|arxiv\.org|github\.com|huggingface\.co|"
    r"creativecommons\.org|spdx\.org|json-schema\.org|w3\.org|cdla\.dev|debian\.org))$")


@dataclasses.dataclass(frozen=True)
class Finding:
    path: str
    line: int
    text: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.text}"


class Repository:
    """The files that are, or would be, under version control. `files` maps a path to its text (None: not text)."""

    def __init__(self, files):
        self.files = files
        self.closure = {}
        for line in files.get("src/modules.txt", "").splitlines():
            if re.match(r"[a-z]", line):
                name, _, needs = line.partition(":")
                name = name.strip()
                self.closure[name] = {name}.union(*(self.closure.get(n, {n}) for n in needs.split()))
        self.stripped = {p: strip_comments(t) for p, t in files.items() if t is not None and p.endswith(CXX)}

    @classmethod
    def read(cls, root):
        listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=root,
                                check=True, capture_output=True, text=True).stdout.split("\0")
        files = {}
        for path in sorted(set(listed) - {""}):
            full = pathlib.Path(root, path)
            if full.is_file():
                raw = full.read_bytes()
                try:
                    files[path] = None if b"\0" in raw[:4096] else raw.decode("utf-8")
                except UnicodeDecodeError:
                    files[path] = None
        return cls(files)

    def texts(self, suffixes=None, under=""):
        for path, text in self.files.items():
            if text is not None and path.startswith(under) and (suffixes is None or path.endswith(suffixes)):
                yield path, text


def strip_comments(text):
    """C++ source without comments and without the inside of literals; line numbers stay."""
    pattern = re.compile(
        r'R"([^(\s]*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'|//[^\n]*|/\*.*?\*/', re.S)

    def blank(match):
        kept = '""' if match.group(0)[0] in "\"R" else " "
        return kept + "\n" * match.group(0).count("\n")

    # An include names a file in quotes, which must survive.
    includes = {}
    for i, line in enumerate(text.split("\n")):
        if re.match(r'\s*#\s*include\s*"', line):
            includes[i] = line
    lines = pattern.sub(blank, text).split("\n")
    for i, line in includes.items():
        if i < len(lines):
            lines[i] = line
    return "\n".join(lines)


def is_long_kind(path):
    return path.startswith(("src/kernels/", "tests/")) or path.endswith(("_test.cc", ".def"))


def is_script(path, text):
    return path.endswith(SCRIPTS) or path.endswith("CMakeLists.txt") or text.startswith("#!")


def layers(repo):
    """An include of another module must be allowed by src/modules.txt; detail/ folders are private."""
    for path, text in repo.stripped.items():
        if not path.startswith("src/"):
            continue
        module = path.split("/")[1]
        if module not in repo.closure:
            yield Finding(path, 1, f"the module {module} has no line in src/modules.txt")
            continue
        for number, line in enumerate(text.split("\n"), 1):
            match = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
            if not match or re.fullmatch(r"embed_\w+\.h", match[1]):
                continue
            target = match[1].split("/")[0]
            if target not in repo.closure:
                yield Finding(path, number, f'"{match[1]}" does not begin with a module of src/modules.txt')
            elif target not in repo.closure[module]:
                yield Finding(path, number, f"{module} must not include {target}; see src/modules.txt")
            elif target != module and "/detail/" in match[1]:
                yield Finding(path, number, f"{match[1]} is private to {target}")


def modules_are_acyclic(repo):
    seen = set()
    for number, line in enumerate(repo.files.get("src/modules.txt", "").splitlines(), 1):
        if re.match(r"[a-z]", line):
            name, _, needs = line.partition(":")
            for need in set(needs.split()) - seen:
                yield Finding("src/modules.txt", number, f"{name.strip()} names {need}, which is not above it")
            seen.add(name.strip())


def licence_line(repo):
    for path, text in repo.texts():
        is_one_line = path.endswith("CMakeLists.txt") and len(text.splitlines()) < 3
        if path.endswith(CXX) or (is_script(path, text) and not is_one_line):
            if not any("SPDX-License-Identifier: Apache-2.0" in x for x in text.split("\n", 2)[:2]):
                yield Finding(path, 1, "no line `SPDX-License-Identifier: Apache-2.0` at the start")


def sizes(repo):
    for path, text in repo.texts():
        suffix = pathlib.PurePath(path).suffix or (".sh" if text.startswith("#!") else "")
        if suffix not in COLUMNS:
            continue
        lines = text.split("\n")
        limit = LINES_MAX_LONG if is_long_kind(path) else LINES_MAX
        if len(lines) > limit + 1:
            yield Finding(path, limit, f"{len(lines)} lines, the limit is {limit}; split the file by subject")
        for number, line in enumerate(lines, 1):
            if len(line) > COLUMNS[suffix] and "http" not in line:
                yield Finding(path, number, f"{len(line)} columns, the limit is {COLUMNS[suffix]}")


def function_sizes(repo):
    """Counts from a line at column 0 that opens a body to the next `}` at column 0."""
    opens = re.compile(r"(?!namespace|class|struct|enum|union|extern|#|static_assert)[A-Za-z].*\)[^;=]*\{$")
    for path, text in repo.stripped.items():
        if not path.startswith("src/") or is_long_kind(path):
            continue
        begin = 0
        for number, line in enumerate(text.split("\n"), 1):
            if begin == 0 and opens.match(line):
                begin = number
            elif line.startswith("}"):
                if begin and number - begin + 1 > FUNCTION_LINES_MAX:
                    yield Finding(path, begin, f"a function of {number - begin + 1} lines, the limit is "
                                               f"{FUNCTION_LINES_MAX}; name its parts")
                begin = 0


def ascii_sources(repo):
    """What a reader cannot tell apart must not decide anything. Tests of text handling may show their text."""
    for path, text in repo.texts(CXX + (".sh", ".cmake", ".rs")):
        if path.endswith("_test.cc"):
            continue
        for number, line in enumerate(text.split("\n"), 1):
            if not line.isascii():
                yield Finding(path, number, "not ASCII; use \\u escapes in code, or a data file")


def banned_tokens(repo):
    for path, text in repo.stripped.items():
        for number, line in enumerate(text.split("\n"), 1):
            for pattern, instead, allowed in BANNED:
                match = re.search(pattern, line)
                if match and not re.search(allowed, path) and not re.search(r"=\s*delete|operator (new|delete)", line):
                    yield Finding(path, number, f"`{match[0].strip()}`: {instead}")


def headers(repo):
    for path, text in repo.texts(".h"):
        if "#pragma once" not in text and not re.search(r"#ifndef (PARING_\w+_H_?)\n#define \1\n", text):
            yield Finding(path, 1, "a header without #pragma once")
        for number, line in enumerate(repo.stripped[path].split("\n"), 1):
            if re.match(r"\s*using\s+namespace\b", line):
                yield Finding(path, number, "using namespace in a header reaches every file that includes it")


def one_baseline(repo):
    """A binary that is built here must run on any x86-64-v2 machine."""
    for path, text in repo.texts():
        if path.endswith((".cmake", "CMakeLists.txt", "CMakePresets.json")):
            for number, line in enumerate(text.split("\n"), 1):
                if "-march=native" in line.split("#")[0]:
                    yield Finding(path, number, "-march=native; put faster code into an ISA folder")


def modules_are_complete(repo):
    """Each module is built by paring_module() and has a short README; each test lies in a module."""
    for module in repo.closure:
        readme = repo.files.get(f"src/{module}/README.md")
        if readme is None:
            yield Finding(f"src/{module}/README.md", 1, "the module has no README.md")
        elif len(readme.splitlines()) > README_LINES_MAX:
            yield Finding(f"src/{module}/README.md", README_LINES_MAX, f"more than {README_LINES_MAX} lines")
        if f"paring_module({module}" not in repo.files.get(f"src/{module}/CMakeLists.txt", ""):
            yield Finding(f"src/{module}/CMakeLists.txt", 1, f"no paring_module({module})")
    for path, _ in repo.texts("_test.cc"):
        parts = path.split("/")
        if parts[0] == "src" and parts[1] not in repo.closure:
            yield Finding(path, 1, "a test outside the modules of src/modules.txt is never built")


def links(repo):
    folders = {str(parent) for path in repo.files for parent in pathlib.PurePath(path).parents}
    for path, text in repo.texts(".md"):
        code = False
        for number, line in enumerate(text.split("\n"), 1):
            code ^= line.startswith("```")
            for target in [] if code else re.findall(r"\]\(([^)\s]+)\)", line):
                if re.match(r"[a-z]+:|#", target):
                    continue
                parts = []
                for part in (pathlib.PurePath(path).parent / target.split("#")[0]).parts:
                    parts = parts[:-1] if part == ".." else parts + [part]
                if "/".join(parts) not in repo.files and "/".join(parts) not in folders:
                    yield Finding(path, number, f"the link {target} leads nowhere")


def speaks_of_itself(repo):
    """No path, host or word of the place where it was written."""
    for path, text in repo.texts():
        if path in ("tests/tidy.py", "tests/tidy_test.py", "LICENSE"):
            continue
        is_data = path.startswith(("tests/data/", "src/measure/data/")) and not path.endswith((".md", ".json"))
        for number, line in enumerate(text.split("\n"), 1):
            if match := ELSEWHERE.search(line):
                if not is_data:
                    yield Finding(path, number, f"`{match[0]}` speaks of a place or people outside the project")
            for host in HOSTS.findall("" if is_data else line):
                if "." in host.strip(".") and not HOSTS_KNOWN.match(host):
                    yield Finding(path, number, f"the host {host} is not among those that the project names")


RULES = [layers, modules_are_acyclic, licence_line, sizes, function_sizes, ascii_sources, banned_tokens, headers,
         one_baseline, modules_are_complete, links, speaks_of_itself]


def main():
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent
    repo = Repository.read(root)
    findings = [finding for rule in RULES for finding in rule(repo)]
    for finding in findings:
        print(finding)
    print(f"tidy: {len(RULES)} rules, {len(repo.files)} files, {len(findings)} findings")
    return 1 if findings or not repo.closure else 0


if __name__ == "__main__":
    sys.exit(main())
