"""A torch module as an ONNX file, and the same in eight bits."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intently.errors import ConfigError

if TYPE_CHECKING:
    import torch


def write(
    module: torch.nn.Module,
    given: tuple[torch.Tensor, ...],
    file: Path,
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    dynamic_shapes: tuple[Any, ...],
) -> Path:
    """Write a module, traced with what is `given`, as one file without a word of where and how it was made.

    Raises ConfigError where a package for it is missing.
    """
    import torch

    try:
        import onnxscript
        from onnx_ir.passes.common import ClearMetadataAndDocStringPass
    except ImportError as error:
        raise ConfigError("Exporting to ONNX needs onnxscript.", mend="pip install 'intently[export]'") from error
    # torch looks for it by itself.
    del onnxscript
    quiet = logging.getLogger("torch.onnx")
    before = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.inference_mode(mode=False), torch.no_grad():
            # The exporter's own remarks about itself.
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module.eval(),
                given,
                dynamo=True,
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_shapes=dynamic_shapes,
                verbose=False,
            )
    finally:
        quiet.setLevel(before)
    assert program is not None
    # The exporter notes at each node the lines of source that it comes from, with their paths.
    ClearMetadataAndDocStringPass()(program.model)
    file.parent.mkdir(parents=True, exist_ok=True)
    program.save(str(file), external_data=False)
    return file


def in_eight_bits(exact: Path, whole: Path) -> Path:
    """An ONNX file with its weights as whole numbers of eight bits, a scale for each column.

    Raises ConfigError where a package for it is missing.
    """
    try:
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise ConfigError("Exporting needs onnx and onnxruntime.", mend="pip install 'intently[export]'") from error
    model = onnx.load(str(exact))
    # What the exporter noted of shapes in between contradicts the quantised graph.
    del model.graph.value_info[:]
    bare = whole.with_suffix(".bare")
    onnx.save(model, str(bare))
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        quantize_dynamic(str(bare), str(whole), per_channel=True, weight_type=QuantType.QInt8)
    finally:
        root.setLevel(before)
        bare.unlink()
    return whole
