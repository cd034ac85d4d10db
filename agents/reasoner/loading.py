"""Which model a `VLMReasoner` asks, and how it is loaded."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, StrictDataclassError
from pydantic import ConfigDict, Field, NonNegativeInt, PositiveInt
from pydantic.dataclasses import dataclass
from safetensors import SafetensorError

from agents.devices import Device, choose
from agents.reasoner.attention import install
from agents.reasoner.chat import Chat
from agents.reasoner.preprocess import require_supported
from agents.reasoner.protocol import ReasonerError
from agents.thinkjepa.checkpoints import HUB_ID, SHIPPED

_ADAPTER = "adapter_model.safetensors"
_REMEDY = (
    "give a hub id, or a folder with config.json and model.safetensors (pickled weights are never read: convert them "
    "with save_pretrained)"
)
_AGAIN = "fetch it again, or write it with save_pretrained"


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class VLMConfig:
    """A model and how it is used.

    Attributes:
        model: A folder, the name of a shipped model, or a hub id: an image-text-to-text model of one of the families in
            `preprocess`.
        revision: Commit, tag or branch of a hub model; ``None`` for its default branch.
        lora: A folder that peft wrote: an adapter that is added to the weights.
        layers: Whose attention is taken, averaged over their heads: the ``last`` one as in the seed, the ``middle``
            third, which tells places better, or indices from 0.
        sinks: What is looked at whatever is asked: ``none`` keeps it, ``neutral`` divides by the attention of a
            neutral question.
        side: See `Eyes`.
        max_new_tokens: Of an answer.
        device: ``auto`` (CUDA where there is one), ``cpu`` or ``cuda``, which must be there where a run is started.
        dtype: Of the weights; ``auto`` is bfloat16 on a GPU and float32 elsewhere.
        remembered: Answers that are kept; as many maps and, of words, sixteen times as many.
    """

    model: str = "tiny-reasoner"
    revision: str | None = None
    lora: Path | None = None
    layers: Literal["last", "middle"] | Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)] = "last"
    sinks: Literal["none", "neutral"] = "none"
    side: PositiveInt = 14
    max_new_tokens: PositiveInt = 512
    device: Device = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    remembered: PositiveInt = 256


class Described(NamedTuple):
    """What is known of a model before its weights are read.

    Attributes:
        source: Its folder or hub id.
        commit: See `pinned`.
        settings: Its configuration.
        layers: Indices of the layers whose attention is taken.
        device: Where it is to run.
    """

    source: str
    commit: str | None
    settings: Any
    layers: tuple[int, ...]
    device: torch.device


class Loaded(NamedTuple):
    """A model that can be asked and watched.

    Attributes:
        model: In evaluation mode, where it is to run.
        chat: Its tokenizer and preprocessing.
        layers: Indices of the layers whose attention is taken.
        commit: See `pinned`.
    """

    model: Any
    chat: Chat
    layers: tuple[int, ...]
    commit: str | None


def located(model: str) -> str:
    """The folder of a shipped model by its name; folders and hub ids as they are."""
    shipped = SHIPPED / model
    return str(shipped) if not Path(model).exists() and (shipped / "tokenizer.json").is_file() else model


def pinned(model: str, revision: str | None) -> str | None:
    """The commit that a revision of a hub model names at present; ``None`` for a folder or a shipped model.

    Raises:
        ReasonerError: There is no such model or revision, or a folder is to have one; the message names the remedy.
    """
    if Path(located(model)).exists():
        if revision is not None:
            raise ReasonerError(f"revision={revision} is for models of the hub, and {model} is a folder; leave it away")
        return None
    if not HUB_ID.fullmatch(model):
        raise ReasonerError(f"model={model}: no such folder and no shipped model; {_REMEDY}")
    try:
        return Path(hf_hub_download(model, "config.json", revision=revision)).parent.name
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        asked = f"model={model}" if revision is None else f"model={model} with revision={revision}"
        raise ReasonerError(
            f"{asked}: no such folder, and the hub did not give it ({type(error).__name__}: {_first_line(error)}); "
            "check the name, the revision and the network"
        ) from error


def describe(config: VLMConfig) -> Described:
    """Refuse what can be refused of a model without reading its weights.

    Raises:
        ReasonerError: It is not there, of another family, without the layers, or there is no such device or adapter;
            the message begins with the key and names the remedy.
    """
    from transformers import AutoConfig

    try:
        device = choose(config.device)
    except ValueError as error:
        raise ReasonerError(str(error)) from error
    if config.lora is not None and not (config.lora / _ADAPTER).is_file():
        raise ReasonerError(f"lora={config.lora} holds no {_ADAPTER}; give a folder that peft's save_pretrained wrote")
    source, commit = located(config.model), pinned(config.model, config.revision)
    try:
        settings = AutoConfig.from_pretrained(source, revision=commit, trust_remote_code=False)
    except (OSError, ValueError, StrictDataclassError) as error:
        raise ReasonerError(f"model={source} cannot be loaded: {_first_line(error)}; {_REMEDY}") from error
    require_supported(source, settings)
    return Described(source, commit, settings, _layers(config.layers, settings.text_config.num_hidden_layers), device)


def load(config: VLMConfig) -> Loaded:
    """Load a model.

    Raises:
        ReasonerError: It cannot be loaded or used as configured; the message begins with the key and names the remedy.
    """
    source, commit, settings, layers, device = describe(config)
    chat = Chat(source, settings, config.side, commit)
    try:
        model = read_weights(source, _dtype(config.dtype, device), commit)
    except ReasonerError as error:
        raise ReasonerError(f"model={error}") from error
    if config.lora is not None:
        model = _with_lora(model, config.lora)
    model.generation_config = _greedy(model.generation_config)
    install(model)
    return Loaded(model.to(device).eval(), chat, layers, commit)


def read_weights(source: str | Path, dtype: torch.dtype, commit: str | None = None) -> Any:
    """An image-text-to-text model with all of its weights, on the CPU.

    Args:
        source: Folder or hub id.
        dtype: Of the weights.
        commit: Of a hub model.

    Raises:
        ReasonerError: Weights are missing, damaged or of other sizes; the message begins with ``source``.
    """
    from transformers import AutoModelForImageTextToText

    models: Any = AutoModelForImageTextToText
    try:
        with _without_report():
            model, found = models.from_pretrained(
                source,
                revision=commit,
                dtype=dtype,
                attn_implementation="sdpa",
                use_safetensors=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,  # they are refused below, by name
                output_loading_info=True,
            )
    except (OSError, ValueError) as error:
        raise ReasonerError(f"{source} cannot be loaded: {_first_line(error)}; {_REMEDY}") from error
    except (RuntimeError, SafetensorError) as error:
        raise ReasonerError(f"{source} has weights that cannot be read ({_first_line(error)}); {_AGAIN}") from error
    problems = [f"{name} is missing" for name in sorted(found["missing_keys"])]
    problems += [
        f"{name} is {tuple(has)} instead of {tuple(wanted)}" for name, has, wanted in sorted(found["mismatched_keys"])
    ]
    if problems:
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise ReasonerError(f"{source} has weights that do not fit its config.json ({problems[0]}{more}); {_AGAIN}")
    return model


@contextlib.contextmanager
def _without_report() -> Iterator[None]:
    """Keep transformers from printing a table of weights that do not fit, about which there is an error."""

    def is_told(record: logging.LogRecord) -> bool:
        return not any(word in record.getMessage() for word in ("MISSING", "MISMATCH"))

    logger = logging.getLogger("transformers.modeling_utils")
    logger.addFilter(is_told)
    try:
        yield
    finally:
        logger.removeFilter(is_told)


def _greedy(own: Any) -> Any:
    """Of a model's own settings of generation the special tokens alone.

    Penalties, beams and the like would have it say something else than the most likely token.
    """
    from transformers import GenerationConfig

    fresh: Any = GenerationConfig
    return fresh(bos_token_id=own.bos_token_id, eos_token_id=own.eos_token_id, pad_token_id=own.pad_token_id)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _with_lora(model: Any, folder: Path) -> Any:
    """The model with an adapter added to its weights."""
    from peft import PeftModel

    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Found missing adapter keys")  # it would add nothing
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`")  # peft's use of transformers
        try:
            return PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
        except SafetensorError as error:
            raise ReasonerError(f"lora={folder} cannot be read ({_first_line(error)}); fetch it again") from error
        except (UserWarning, ValueError, RuntimeError) as error:
            raise ReasonerError(
                f"lora={folder} does not fit this model: {_first_line(error)}; train it on this one"
            ) from error


def _layers(choice: Literal["last", "middle"] | tuple[int, ...], count: int) -> tuple[int, ...]:
    """Indices of the chosen ones of ``count`` layers."""
    if choice == "last":
        return (count - 1,)
    if choice == "middle":
        return tuple(range(count // 3, count - count // 3))
    if max(choice) >= count:
        raise ReasonerError(f"layers={max(choice)}: the language model has layers 0 to {count - 1}")
    return choice


def _dtype(choice: str, device: torch.device) -> torch.dtype:
    if choice == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    dtype: torch.dtype = getattr(torch, choice)
    return dtype
