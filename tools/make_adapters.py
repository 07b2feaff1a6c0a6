#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the tiny random LoRA adapters of tests/data/adapters as Hugging Face's PEFT saves them, and beside them the
logits that PEFT and transformers compute with them in double precision, over models of tests/data/architectures.

Each adapter is saved, loaded again from its folder, and run; merged into its model it must compute the same.

Usage: make_adapters.py FOLDER     Needs what make_architectures.py needs, and peft.
"""
import argparse
import json
import pathlib
import warnings

import numpy as np
import peft
import torch
import transformers
from make_architectures import CASES, POSITIONS, TOKENS, hf_model, random_weights, settings

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
DENSE = ["gate_proj", "up_proj", "down_proj"]

# Of LoraConfig, the model it is for, and the type that values are stored in.
ADAPTERS = {
    "llama": dict(base="mistral-window", dtype=torch.float32,
                  config=dict(r=4, lora_alpha=8, target_modules=ATTENTION + DENSE)),
    "llama-patterns": dict(base="mistral-window", dtype=torch.bfloat16, config=dict(
        r=3, lora_alpha=6, use_rslora=True, target_modules=ATTENTION + ["up_proj"],
        rank_pattern={"k_proj": 5, "model.layers.1.mlp.up_proj": 2, "^model.layers.0.self_attn.v_proj": 7},
        alpha_pattern={"layers.1.self_attn.q_proj": 12, "o_proj": 1.5})),
    "qwen2": dict(base="qwen2", dtype=torch.float16, config=dict(
        r=2, lora_alpha=16, target_modules=r".*\.(q_proj|v_proj|down_proj)", fan_in_fan_out=True,
        init_lora_weights="gaussian")),
    "phi3": dict(base="phi3", dtype=torch.float32, config=dict(
        r=4, lora_alpha=4, target_modules="all-linear", lora_dropout=0.1)),
    "gemma2": dict(base="gemma2", dtype=torch.float32, config=dict(
        r=4, lora_alpha=2, target_modules=ATTENTION + DENSE, layers_to_transform=[1])),
    "mixtral": dict(base="mixtral", dtype=torch.float32, config=dict(r=4, lora_alpha=8, target_modules=ATTENTION)),
}


def base_model(name):
    case = settings(CASES[name])
    return hf_model(case, random_weights(case, list(CASES).index(name)))


def logits(model, tokens):
    with torch.no_grad():
        return model.eval()(torch.tensor([tokens])).logits[0].double().numpy()


def save(folder, case, seed):
    """A random adapter, through PEFT's own writer."""
    model = peft.get_peft_model(base_model(case["base"]),
                                peft.LoraConfig(task_type="CAUSAL_LM", **case["config"]))
    generator = torch.Generator().manual_seed(seed)
    for name, values in model.named_parameters():
        if "lora_" in name:
            scale = 0.5 / values.shape[1] ** 0.5
            values.data = (torch.randn(values.shape, generator=generator) * scale).to(case["dtype"])
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # a model card without content
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    config["base_model_name_or_path"] = case["base"]
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()  # PEFT keeps a set
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def difference(found, wanted):
    return float(np.sqrt(((found - wanted) ** 2).sum() / (wanted ** 2).sum()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    args = parser.parse_args()
    warnings.filterwarnings("ignore", message="fan_in_fan_out is set to True")
    tokens = [int(t) for t in np.random.default_rng(2).integers(3, 259, TOKENS)]
    golden = {"made_by": "tools/make_adapters.py", "tokens": tokens, "positions": POSITIONS,
              "peers": f"peft {peft.__version__}, transformers {transformers.__version__}, torch {torch.__version__}, "
                       "float64"}
    rows = []
    for seed, (name, case) in enumerate(ADAPTERS.items()):
        folder = args.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        save(folder, case, seed)
        adapted = peft.PeftModel.from_pretrained(base_model(case["base"]), folder, autocast_adapter_dtype=False)
        found = logits(adapted.double(), tokens)
        merged = difference(logits(adapted.merge_and_unload(), tokens), found)
        moved = difference(logits(base_model(case["base"]), tokens), found)
        print(f"{name}: merged differs by {merged:.1e}, the base by {moved:.2f}")
        assert merged < 1e-9 and moved > 0.05, name
        text = ",\n".join(json.dumps([float(f"{x:.6g}") for x in found[p]], separators=(",", ":")) for p in POSITIONS)
        rows.append(f' "{name}": {{"base": "{case["base"]}", "logits": [\n{text}]}}')
    text = json.dumps(golden)[:-1] + ',\n"adapters": {\n' + ",\n".join(rows) + "\n}}\n"
    (args.folder / "logits.json").write_text(text)


if __name__ == "__main__":
    main()
