#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Adds up what a test run left in a results folder, and says which instruction sets were exercised; one that this CPU
lacks ran under qemu-user.

The folder holds checks.txt (`passed NAME` or `failed NAME` lines), <preset>/*.xml of GoogleTest programs,
<preset>-ctest.xml, and pytest.xml. A suite that ran nothing counts as a failure: silence must not look like success.
Usage: totals.py FOLDER [--only PRESET] [--cpu]     The last line is `N passed, N failed`; exit code 1 if any failed.
"""
import argparse
import dataclasses
import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree

# Level, and the CPU flag of /proc/cpuinfo without which it cannot run.
LEVELS = {"reference": None, "avx2": "avx2", "avx512": "avx512_vnni", "amx": "amx_int8", "neon": "asimddp"}


@dataclasses.dataclass
class Suite:
    name: str
    passed: int = 0
    skipped: int = 0
    failures: list = dataclasses.field(default_factory=list)

    def judged(self):
        if self.passed == 0 and not self.failures:
            self.failures.append(f"{self.name}: no test ran")
        return self


def cases(path):
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        yield f"{case.get('classname', '')}.{case.get('name')}", case


def add_case(suite, name, case):
    if case.find("failure") is not None or case.find("error") is not None:
        suite.failures.append(name)
    elif case.find("skipped") is not None or case.get("status") == "notrun" or case.get("result") == "skipped":
        suite.skipped += 1
    else:
        suite.passed += 1


def unit_suites(folder, preset):
    """One suite a test program. ctest knows of programs that crashed before they could write their report."""
    listed = folder / f"{preset}-ctest.xml"
    if not listed.exists():
        return [Suite(f"{preset}: ctest").judged()]
    suites = []
    for name, case in cases(listed):
        program = name.split(".")[-1]
        suite = Suite(f"{preset}: {program}")
        report = folder / preset / f"{program}.xml"
        try:
            for test, row in cases(report) if report.exists() else ():
                add_case(suite, f"{preset}: {program} {test}", row)
        except ElementTree.ParseError:
            suite.failures.append(f"{preset}: {program} wrote a broken report")
        if not report.exists():
            add_case(suite, f"{preset}: {program}", case)
        elif case.find("failure") is not None and not suite.failures:
            suite.failures.append(f"{preset}: {program} ended badly after its tests")
        suites.append(suite.judged())
    return suites or [Suite(f"{preset}: ctest").judged()]


def all_suites(folder, only=None):
    presets = sorted(p.name.removesuffix("-ctest.xml") for p in folder.glob("*-ctest.xml"))
    if only:
        return unit_suites(folder, only)
    suites = [suite for preset in presets for suite in unit_suites(folder, preset)]
    if not presets:
        suites.append(Suite("unit tests").judged())
    system = Suite("system tests")
    if (folder / "pytest.xml").exists():
        for name, case in cases(folder / "pytest.xml"):
            add_case(system, name, case)
    suites.append(system.judged())
    checks = Suite("checks")
    text = (folder / "checks.txt").read_text() if (folder / "checks.txt").exists() else ""
    for line in text.splitlines():
        outcome, name = line.split(" ", 1)
        if outcome == "passed":
            checks.passed += 1
        else:
            checks.failures.append(f"check {name}")
    suites.append(checks.judged())
    return suites


def levels_exercised(folder):
    """kernels_test says which levels its comparisons run, and which by emulation; ctest keeps what it printed."""
    found = {}
    for report in folder.glob("*-ctest.xml"):
        for _, case in cases(report):
            if case.find("failure") is None:
                found |= re.findall(r"kernels: level (\w+) is exercised( by emulation)?",
                                    case.findtext("system-out", ""))
    return {level: found[level] for level in LEVELS if level in found}


def print_levels(folder):
    text = pathlib.Path("/proc/cpuinfo").read_text()
    flags = set(re.findall(r"\w+", " ".join(re.findall(r"^(?:flags|Features)\s*: (.*)$", text, re.M)[:1])))
    model = (re.findall(r"^model name\s*: (.*)$", text, re.M) or ["unknown"])[0]
    ran = levels_exercised(folder)
    lacks = {level for level, flag in LEVELS.items() if flag and flag not in flags}
    how = {level: " (tiles emulated)" if note else " (under qemu)" for level, note in ran.items()}
    exercised = [level + how[level] if level in lacks else level for level in ran]
    missing = [level for level in LEVELS if level in lacks and level not in ran]
    print(f"CPU: {model}")
    print(f"instruction sets exercised: {' '.join(exercised) or 'none'}; "
          f"not exercised, as this CPU lacks them: {' '.join(missing) or 'none'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--only", help="only the unit tests of this preset, and no closing line")
    parser.add_argument("--cpu", action="store_true", help="say which instruction sets the kernel tests exercised")
    args = parser.parse_args()

    suites = all_suites(args.folder, args.only)
    for suite in suites:
        skipped = f", {suite.skipped} skipped" if suite.skipped else ""
        print(f"        {suite.name}: {suite.passed} passed, {len(suite.failures)} failed{skipped}")
    failures = [name for suite in suites for name in suite.failures]
    for name in failures:
        print(f"        FAILED {name}")
    if args.only:
        log = args.folder / f"{args.only}-ctest.log"
        if failures and log.exists():
            print("\n".join(log.read_text(errors="replace").splitlines()[-120:]))
        return 0
    if args.cpu:
        print_levels(args.folder)
    print(f"{sum(suite.passed for suite in suites)} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
