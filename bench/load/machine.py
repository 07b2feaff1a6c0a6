# SPDX-License-Identifier: Apache-2.0
"""The machine that figures come from."""
import os
import pathlib
import platform
import re

LEVELS = ("amx_int8", "amx_bf16", "avx512_vnni", "avx512f", "avx_vnni", "avx2", "asimddp", "asimd")


def describe():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.M)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.M)
    has = set(flags.group(1).split()) if flags else set()
    return {"cpu": name.group(1) if name else platform.machine(), "cpus": len(os.sched_getaffinity(0)),
            "isa": [level for level in LEVELS if level in has], "kernel": platform.release(),
            "python": platform.python_version()}
