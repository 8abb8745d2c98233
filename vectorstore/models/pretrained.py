"""Read a model and its tokenizer from a folder, the hub or a GGUF file, as plain Hugging Face objects."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from vectorstore.errors import IntegrityError, InvalidInputError, NotFoundError, UnavailableError, VectorstoreError
from vectorstore.models.failures import first_line, translated
from vectorstore.models.hub import hub_answers
from vectorstore.models.quiet import quiet

_TOKENIZER_FILE = re.compile(r"tokeniz|vocab|merges|spiece|sentencepiece|tekken|\.model$|\.tiktoken$")

Model = PreTrainedModel
Tokenizer = PreTrainedTokenizerBase
Loaded = tuple[Model, Tokenizer]


@dataclass(frozen=True)
class Source:
    """Where to read from.

    Attributes:
        name: what people call it, for errors and identity.
        location: a hub id or a folder.
        revision: a hub branch, tag or commit; None for the default branch and for folders.
        gguf_file: the file in `location`, where it is a GGUF model.
    """

    name: str
    location: str
    revision: str | None = None
    gguf_file: str | None = None


def read(source: Source, dtype: torch.dtype | str = "auto", *, trust_remote_code: bool = False) -> Loaded:
    """Return the model and the tokenizer, on the CPU, in eval mode.

    Args:
        source: where to read from.
        dtype: of the weights; "auto" is the checkpoint's own, and float32 for GGUF files, which are de-quantised.
        trust_remote_code: run code that comes with the model.

    Raises:
        NotFoundError: the weights, the tokenizer or the model itself are not there.
        NotAllowedError: the model is gated.
        UnavailableError: the hub cannot be reached, or a package or memory is missing.
        InvalidInputError: it is not a causal language model.
        IntegrityError: a file is damaged, or weights are missing from it.
    """
    with quiet(), translated(source.name):
        if source.gguf_file:
            return _read_gguf(source, torch.float32 if dtype == "auto" else dtype)
        near = Path(source.location).is_dir()
        common = {
            "revision": source.revision,
            "trust_remote_code": trust_remote_code,
            "local_files_only": near or not hub_answers(source.location, source.revision),
        }
        config = AutoConfig.from_pretrained(source.location, **common)
        _require_causal(source, config)
        tokenizer = _read_tokenizer(source, **common)
        return _read_model(source, dtype=dtype, **common), tokenizer


def _require_causal(source: Source, config: PretrainedConfig) -> None:
    known = set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values())
    custom = "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {})
    names = [name for name in config.architectures or () if not name.endswith("Model")]
    if names and not custom and not known & set(names):
        raise InvalidInputError(
            f"'{source.name}' is a {names[0]}, not a causal language model", "choose a model that generates text"
        )


def _read_tokenizer(source: Source, **options: Any) -> PreTrainedTokenizerBase:  # noqa: ANN401
    folder = Path(source.location)
    if folder.is_dir() and not any(_TOKENIZER_FILE.search(path.name) for path in folder.iterdir()):
        raise _no_tokenizer(source, "none of its files is there")  # transformers would make an empty one
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(source.location, **options)
    except (VectorstoreError, MemoryError, json.JSONDecodeError, UnicodeDecodeError):
        raise  # `translated` says what of these is damage
    except (OSError, ValueError, ImportError) as error:
        if type(error.__context__) is Exception:  # of tokenizers; transformers 4 wants protobuf to look at it
            raise _damaged_tokenizer(source, error.__context__) from error
        raise _no_tokenizer(source, first_line(error).rstrip(":")) from error
    except Exception as error:  # whatever transformers stumbles over, and the plain Exception of tokenizers
        raise _damaged_tokenizer(source, error) from error
    return tokenizer


def _damaged_tokenizer(source: Source, why: BaseException) -> IntegrityError:
    return IntegrityError(
        f"the tokenizer of '{source.name}' is damaged ({first_line(why)})", "get its tokenizer files again"
    )


def _no_tokenizer(source: Source, why: str) -> NotFoundError:
    return NotFoundError(
        f"model '{source.name}' has no tokenizer that can be loaded ({why})",
        "put its tokenizer files beside the weights (tokenizer.json, tokenizer_config.json)",
    )


def _read_model(source: Source, **options: Any) -> PreTrainedModel:  # noqa: ANN401
    loaded: Any = AutoModelForCausalLM.from_pretrained(source.location, output_loading_info=True, **options)
    model: PreTrainedModel = loaded[0]
    report: Mapping[str, Any] = loaded[1]
    if missing := sorted(report["missing_keys"]):
        raise IntegrityError(
            f"the weights of '{source.name}' lack {missing[0]} and {len(missing) - 1} others"
            if len(missing) > 1
            else f"the weights of '{source.name}' lack {missing[0]}",
            "it is no whole causal language model; get it again, or choose another",
        )
    model.train(mode=False)
    return model


def _read_gguf(source: Source, dtype: torch.dtype | str) -> Loaded:
    path = Path(source.location, str(source.gguf_file))
    _require_gguf(path)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.location, gguf_file=source.gguf_file)
        model = _read_model(source, dtype=dtype, gguf_file=source.gguf_file)
    except (VectorstoreError, MemoryError):
        raise
    except NotImplementedError as error:
        raise InvalidInputError(
            f"{path.name} cannot be read ({first_line(error)})", "convert it to a folder"
        ) from error
    except Exception as error:
        raise IntegrityError(
            f"{path.name} is no GGUF language model that transformers can read ({first_line(error)})",
            "get the file again, or load the model from its folder or hub id",
        ) from error
    _forget_quantization(model)
    _take_special_tokens(tokenizer, model.config)
    return model, tokenizer


def _require_gguf(path: Path) -> None:
    for package in ("gguf", "accelerate"):
        if importlib.util.find_spec(package) is None:
            raise UnavailableError(
                f"reading {path.name} needs the package {package}", "run pip install 'steering-vectorstore[gguf]'"
            )
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise IntegrityError(f"{path.name} is not a GGUF file", "get the file again from where it came")


def _take_special_tokens(tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig) -> None:
    """Give the tokenizer the file's own: transformers 4 takes BOS for EOS and reads no padding."""
    for name in ("bos", "eos", "pad"):
        number = getattr(config, f"{name}_token_id", None)
        if number is not None:
            setattr(tokenizer, f"{name}_token", tokenizer.convert_ids_to_tokens(number))


def _forget_quantization(model: PreTrainedModel) -> None:
    """Make a plain model of it: the weights were de-quantised, but transformers would refuse to save them."""
    for name in ("hf_quantizer", "quantization_method", "is_quantized"):
        vars(model).pop(name, None)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
