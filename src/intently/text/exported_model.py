"""A language model that was exported (`ship/model_export.py`): vectors of texts by onnxruntime and tokenizers alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from intently.errors import ConfigError

Array = np.ndarray

MODEL, TOKENIZER = "language_model.onnx", "tokenizer.json"


def session(file: Path, threads: int = 1) -> Any:
    """An onnxruntime session that answers on so many threads. Raises ConfigError where onnxruntime is missing."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError("Answering from ONNX needs onnxruntime.", mend="pip install 'intently[serve]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def encode(
    texts: Sequence[str],
    folder: Path,
    *,
    max_tokens: int = 64,
    batch_size: int = 64,
    progress: Callable[[str, float], None] | None = None,
) -> Array:
    """Vectors of texts, (n, width) float32, as `text.language_model.encode` gives them. Raises ConfigError."""
    if not (folder / MODEL).is_file():
        raise ConfigError(
            f"{folder} holds no language model, so new items cannot be read.",
            mend="Run `intently export` where torch is installed, or pip install 'intently[train]'.",
        )
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ConfigError("Reading new items needs tokenizers.", mend="pip install 'intently[serve]'") from error
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    tokenizer.enable_truncation(max_tokens)
    # What pads is masked, so any token will do.
    tokenizer.enable_padding()
    running = session(folder / MODEL)
    result = np.zeros((len(texts), running.get_outputs()[0].shape[-1]), dtype=np.float32)
    order = np.argsort([len(text) for text in texts], kind="stable")
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        some = tokenizer.encode_batch([texts[row] for row in rows])
        ids, mask = (
            np.array([getattr(one, part) for one in some], dtype=np.int64) for part in ("ids", "attention_mask")
        )
        # A text without a token is 0, whatever it is read beside.
        read = mask.any(axis=1)
        if read.any():
            result[rows[read]] = running.run(None, {"input_ids": ids[read], "attention_mask": mask[read]})[0]
        if progress is not None:
            progress("reading item texts", (start + len(some)) / len(order))
    return result
