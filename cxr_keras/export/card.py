"""The model card of an export: `README.md` with the front matter that model hubs read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jinja2
import yaml

METRICS = {
    "accuracy": ("accuracy", "Accuracy"),
    "balanced_accuracy": ("balanced_accuracy", "Balanced accuracy"),
    "auroc": ("roc_auc", "AUROC"),
    "macro_auroc": ("roc_auc", "AUROC, macro"),
    "macro_sensitivity": ("recall", "Sensitivity, macro"),
    "macro_specificity": ("specificity", "Specificity, macro"),
    "macro_f1": ("f1", "F1, macro"),
    "expected_calibration_error": ("expected_calibration_error", "Expected calibration error"),
    "brier": ("brier_score", "Brier score"),
}
"""Scores that the card shows: name in metrics.json -> the hub's type and a reader's words."""


def render_card(manifest: Mapping[str, Any], scores: Mapping[str, Any], *, paper: str | None) -> str:
    """Fill the card from a run.

    Args:
        manifest: as `describe_export` gives it, with `parity` and `phantoms` (whether the run was trained on drawn
            images).
        scores: the run's metrics.json.
        paper: the published system that the run rebuilds, as "paper/system", if any.

    Returns:
        Markdown with YAML front matter.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cxr_keras.export"),
        autoescape=False,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    points = {point["name"]: point for point in scores.get("operating_points") or ()}
    binary = scores.get("positive_class") is not None
    # The macro AUROC of two classes is the AUROC but for ties; one of them says it.
    shown = [name for name in METRICS if scores["scores"].get(name) and not (binary and name == "macro_auroc")]
    return environment.get_template("card.md.j2").render(
        front_matter=yaml.safe_dump(_front_matter(manifest, scores, shown), sort_keys=False, allow_unicode=True, width=140),
        manifest=manifest,
        run=manifest["run"],
        scores=scores,
        shown=[(METRICS[name][1], scores["scores"][name]) for name in shown],
        point=points.get(manifest["operating_point"]),
        paper=paper,
    )


def _front_matter(manifest: Mapping[str, Any], scores: Mapping[str, Any], shown: list[str]) -> dict[str, Any]:
    """What hubs read: tags and the scores as numbers."""
    run = manifest["run"]
    metrics = [
        {"type": METRICS[name][0], "name": METRICS[name][1], "value": round(float(value), 4)}
        for name in shown
        if (value := scores["scores"][name]["value"]) is not None
    ]
    dataset = {"name": run.get("data", "unknown"), "type": "chest-x-ray", "split": run.get("evaluation", "unknown")}
    return {
        "license": "unknown",
        "library_name": {"saved_model": "tensorflow", "litert": "tflite"}.get(manifest["format"], manifest["format"]),
        "pipeline_tag": "image-classification",
        "tags": ["chest-x-ray", "radiology", "medical", *manifest["classes"]],
        "model-index": [
            {
                "name": manifest["name"],
                "results": [{"task": {"type": "image-classification"}, "dataset": dataset, "metrics": metrics}],
            }
        ],
    }
