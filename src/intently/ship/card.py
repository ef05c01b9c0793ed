"""The model card: what a bundle answers, on what it was trained, and how it was judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from intently.evaluate.compare import Report


def card(contract: Mapping[str, Any], choice: Report) -> str:
    """A bundle's README.md, Markdown."""
    data = contract["data"]
    lines = [
        "# Model card",
        "",
        f"Trained by Intently on what was known before {contract['until']}: {data['events']:,} events,",
        f"{data['customers']:,} customers, {data['items']:,} items, observed from {data['observed_from']}.",
        f"Language model: {contract['language_model'] or 'none'}. Data fingerprint: {data['fingerprint']}.",
        *(f"Labels given by hand: {count:,} for {name}." for name, count in contract.get("labels", {}).items()),
        "",
        "## What it answers",
        "",
        "| task | question | served | best baseline | chosen by |",
        "|---|---|---|---|---|",
    ]
    for name, told in contract["tasks"].items():
        asked = told["wording"].get("en", name)
        if name not in choice.primary:
            lines.append(f"| {name} | {asked} | {told['served']} | {told['baseline']} | not judged: one window only |")
            continue
        served = choice.score(told["served"], name)
        simple = choice.score(told["baseline"], name)
        lines.append(
            f"| {name} | {asked} | {told['served']} ({served.value:.4g}) "
            f"| {told['baseline']} ({simple.value:.4g}) | {choice.primary[name]} |"
        )
    fallen = {name: told for name, told in contract["tasks"].items() if told.get("fallback")}
    if fallen:
        lines += ["", "## Not a model", "", "No model was trained for these; a simple predictor answers:", ""]
        lines += [f"- {name}: {told['served']}. {told['fallback']}" for name, told in fallen.items()]
    if contract.get("updates"):
        lines += ["", "## Taken further", ""]
        lines += [
            "Since the training, on what became known later: the text reader on earlier events and on new ones.",
            "",
        ]
        lines += [
            "| task | until | way | metric | known before | after | new before | after |",
            "|---|---|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {one['task']} | {one['until'][:10]} | {one['way']} | {one['metric']} | {one['old_before']:.4g} "
            f"| {one['old_after']:.4g} | {one['new_before']:.4g} | {one['new_after']:.4g} |"
            for one in contract["updates"]
        ]
    if contract.get("pruned"):
        lines += ["", "## Made smaller", ""]
        lines += [
            "Since the training, layers and attention heads were taken out of these text readers. The figures above",
            "are of the larger ones; what is lost is of the task's first metric, on the last windows before the end.",
            "",
            "| task | layers left | heads left of each | lost |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {name} | {one['layers']} | {one['heads'] or 'all'} | {one['lost']:.4f} |"
            for name, one in contract["pruned"].items()
        ]
    lines += [
        "",
        "The figures are of the validation cut-off by which the served predictor was chosen; figures on later",
        "data come from `intently evaluate` and are in its report.",
        "",
        "## Limits",
        "",
        "- It knows what happened, not why: it answers what will be, not what an action would change.",
        "- A shop that changes (new ranges, holidays never seen, another country) needs another training.",
        "- Answers about single people are probabilities. Do not use them alone to refuse somebody something.",
        "",
        "## Versions",
        "",
        *(f"- {name} {number}" for name, number in contract["versions"].items()),
        "",
    ]
    return "\n".join(lines)
