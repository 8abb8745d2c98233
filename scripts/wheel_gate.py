"""Use an installed wheel as a user would: help, init, compute on a tiny model, score, compose. Run by scripts/wheel."""

import importlib.util
import json
import subprocess
import sys

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast


def steer(*arguments: str) -> str:
    """Run the installed command; fail with its output."""
    done = subprocess.run(["steer", *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607
    if done.returncode:
        sys.exit(f"steer {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def make_model(folder: str) -> None:
    """Save a random Llama of two layers, with a tokenizer of four words."""
    words = {"<s>": 0, "<unk>": 1, "love": 2, "hate": 3}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))  # noqa: S106 - no password
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", unk_token="<unk>")  # noqa: S106
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=4, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, bos_token_id=0
    )
    LlamaForCausalLM(config).save_pretrained(folder)


for name in ("cli", "migrations", "tests"):
    if importlib.util.find_spec(name):
        sys.exit(f"the wheel must not install a package called plain '{name}'")
if "compute" not in steer("--help"):
    sys.exit("steer --help does not name its commands")
steer("init")
make_model("tiny")
steer("compute", "love", "--model", "tiny", "--layer", "1", "--positive", "love", "--negative", "hate")
steer("compute", "mood", *("--model", "tiny", "--layer", "1"), "--method", "mean_difference", "--pairs", "sentiment")
steer("score", "mood", "love", "hate")
plan = json.loads(steer("compose", "2*love", "--json"))
print("wheel gate passed:", json.dumps(plan)[:120])  # noqa: T201
