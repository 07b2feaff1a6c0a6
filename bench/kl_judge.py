# SPDX-License-Identifier: Apache-2.0
"""llama.cpp's llama-perplexity as a judge of KL, and what the scripts beside it share."""
import os
import re
import subprocess
import sys

MEAN = re.compile(r"Mean +KLD: +([0-9.eE+-]+) +\S+ +([0-9.eE+-]+)")
TOP = re.compile(r"Same top p: +([0-9.]+)")
RATIO = re.compile(r"Mean PPL\(Q\)/PPL\(base\) +: +([0-9.]+)")


def run(command, env=None):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=env)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout + done.stderr


class Judge:
    """`folder` holds llama.cpp's programs and libraries. Windows of 512 tokens, second halves scored."""

    def __init__(self, folder, text, windows, threads):
        self.folder, self.text, self.windows, self.threads = folder, text, windows, threads
        self.env = dict(os.environ, LD_LIBRARY_PATH=folder)

    def tool(self, name, *words):
        return run([os.path.join(self.folder, name), *words], self.env)

    def base(self, model, out, *flags):
        """Writes the log-probabilities that others are compared with; flags such as -ctk f32."""
        self.tool("llama-perplexity", "-m", model, "-f", self.text, "-t", self.threads, "-c", 512, "--chunks",
                  self.windows, "--kl-divergence-base", out, *flags)

    def kl(self, model, base, *flags):
        """{kl, error, top1, ratio} of a file to the base."""
        text = self.tool("llama-perplexity", "-m", model, "-t", self.threads, "-c", 512, "--chunks", self.windows,
                         "--kl-divergence-base", base, "--kl-divergence", *flags)
        found = MEAN.search(text)
        if found is None:
            sys.exit(f"llama-perplexity gave no KL for {model}:\n{text[-2000:]}")
        return {"kl": float(found[1]), "error": float(found[2]), "top1": float(TOP.search(text)[1]),
                "ratio": float(RATIO.search(text)[1])}
