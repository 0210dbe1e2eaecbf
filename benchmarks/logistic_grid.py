"""Grid search over C of logistic regression on a feature matrix: the exact reduction against scikit-learn on the features themselves.

All ways search the same values of C on the same patient-grouped folds of the same matrix, each in a fresh process, one after the other.
The plain way is GridSearchCV over LogisticRegression on the features as float64, and the centred way the same on the features less their
means, which ours subtracts too: it takes fewer steps and changes only the intercept. Either may be stopped after some minutes, and the
ratio is then a lower bound over the fits it finished. All score the training rows as well, for the objective. The tolerance is of the
largest entry of the gradient, whose coordinates differ between ours and the others; the objectives tell how far each went.

    python benchmarks/logistic_grid.py [--n 4392 --d 25088 --values 7 --folds 5 --cap 60]
    python benchmarks/logistic_grid.py --features FEATURES.npy --table TABLE.csv

FEATURES.npy is float32 (n, d); TABLE.csv has the columns label and group_id, a row for each row of the features. Without them the features
are synthetic: after a ReLU, with the power-law spectrum of deep features, and labels that hang on some of their directions. Needs nothing
besides the project.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import GridSearchCV

from cxr_keras.features.classify import grid_search
from cxr_keras.features.gram import represent
from cxr_keras.features.inner_folds import grouped_splits
from cxr_keras.features.search import SCORES, FitSettings, WatchedLogisticRegression, curve_of, fold_scores, per_fold_table

IMAGES_A_PATIENT = 2  # so that dealing whole patients matters
HIDDEN = 400  # directions of the synthetic features that are more than noise
LENGTH = 30.0  # root mean square length of a synthetic row: with it the best C lies inside the grid


def synthetic(path: Path, n_rows: int, n_columns: int, seed: int) -> pd.DataFrame:
    """Write float32 (n, d) features block by block; give label and group_id of each row."""
    random = np.random.default_rng(seed)
    patients = np.arange(n_rows) // IMAGES_A_PATIENT
    # Half of an image is its patient's, so that folds that tear patients would show.
    hidden = random.normal(size=(patients[-1] + 1, HIDDEN))[patients] + random.normal(size=(n_rows, HIDDEN))
    directions = random.normal(size=(HIDDEN, n_columns)) / np.sqrt(np.arange(1, HIDDEN + 1))[:, None]
    features = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(n_rows, n_columns))
    factor = LENGTH / np.sqrt(n_columns * np.square(directions).sum(axis=0).mean())
    for start in range(0, n_rows, 512):
        rows = slice(start, min(start + 512, n_rows))
        noise = random.normal(scale=0.5, size=(rows.stop - rows.start, n_columns))
        features[rows] = np.maximum(hidden[rows] @ directions + noise, 0) * factor
    features.flush()
    score = hidden[:, 3:40] @ random.normal(size=37) / 8 + random.normal(size=n_rows)
    labels = np.where(score > np.quantile(score, 0.27), "PNEUMONIA", "NORMAL")  # the shares of Kermany's set
    return pd.DataFrame({"label": labels, "group_id": patients})


def one_way(options: argparse.Namespace) -> dict[str, Any]:
    """Run one way in this process; those of scikit-learn print a line of JSON after each score, for the case that they are stopped."""
    table = pd.read_csv(options.table, dtype=str)
    labels, groups = table["label"].to_numpy(str), table["group_id"].to_numpy(str)
    grid = tuple(float(value) for value in np.logspace(-4, 2, options.values))
    started = time.perf_counter()
    if options.way == "ours":
        representation = represent(np.load(options.features, mmap_mode="r"))
        reduced = time.perf_counter() - started
        settings = FitSettings(tol=options.tol, max_iter=options.max_iter)
        model, found = grid_search(representation, labels, groups, grid=grid, folds=options.folds, seed=options.seed, fit=settings)
        result = {"best": found.best, "reduction": reduced, "rank": representation.rows.shape[1], "shape": model.coefficients.shape}
        per_fold = found.per_fold
    else:
        features = np.load(options.features).astype(np.float64)
        if options.way == "centred":
            features -= features.mean(axis=0)
        splits = grouped_splits(labels, groups, folds=options.folds, seed=options.seed)

        def scores_with_a_line(estimator: Any, inputs: np.ndarray, truth: np.ndarray) -> dict[str, float]:
            scores = fold_scores(estimator, inputs, truth)
            print(json.dumps({"C": estimator.C, "elapsed": time.perf_counter() - started, **scores}), flush=True)
            return scores

        # scikit-learn's LogisticRegression; the subclass keeps its warning as an attribute and changes nothing else.
        estimator = WatchedLogisticRegression(tol=options.tol, max_iter=options.max_iter)
        tried = GridSearchCV(
            estimator, {"C": list(grid)}, scoring=scores_with_a_line, refit=SCORES["log_loss"], cv=splits, return_train_score=True
        ).fit(features, labels)
        result = {"best": float(tried.best_params_["C"])}
        per_fold = per_fold_table(tried.cv_results_, parameter="C", folds=options.folds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return result | {"seconds": time.perf_counter() - started, "peak": peak, "per_fold": per_fold.to_dict("list")}


def stopped_result(lines: list[dict[str, Any]], folds: int) -> dict[str, Any]:
    """What a stopped way had finished. GridSearchCV takes every fold of one C before the next, and scores held-out rows first."""
    pairs = list(zip(lines[::2], lines[1::2], strict=False))
    rows = [
        {"C": held["C"], "fold": number % folds, "log_loss": -held["neg_log_loss"], "auroc": held["auroc"]}
        | {name: training[name] for name in ("objective", "iterations", "converged")}
        for number, (held, training) in enumerate(pairs)
    ]
    return {"best": None, "per_fold": pd.DataFrame(rows).to_dict("list"), "seconds": pairs[-1][1]["elapsed"] if pairs else 0.0}


def run_way(way: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run one way in a fresh process, those of scikit-learn no longer than the cap."""
    command = [sys.executable, __file__, "--way", way, "--features", str(options.features), "--table", str(options.table)]
    for name in ("values", "folds", "seed", "tol", "max_iter"):
        command += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    output = folder / f"{way}.jsonl"
    with open(output, "w") as stream:
        process = subprocess.Popen(command, stdout=stream)
        try:
            code = process.wait(timeout=None if way == "ours" else 60 * options.cap)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            code = None
    text = output.read_text()
    lines = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
    if code is None:
        return stopped_result(lines, options.folds) | {"stopped": True}
    if code:
        raise SystemExit(f"the {way} way ended with code {code}")
    return lines[-1] | {"stopped": False}


def print_report(ours: dict[str, Any], plain: dict[str, Any], options: argparse.Namespace, *, way: str) -> None:
    """Print the table by C of ours and another way, and what follows from it."""
    left, right = pd.DataFrame(ours["per_fold"]), pd.DataFrame(plain["per_fold"])
    fits_done = len(right)
    if fits_done:
        # A mean over some of the folds would compare with nothing.
        right = right[right.groupby("C")["fold"].transform("size") == options.folds]
    if right.empty:
        print(f"ours {ours['seconds']:.1f} s; the {way} way finished no value of C in {options.cap:g} minutes. Take fewer rows with --n.")
        return
    both = left.merge(right, on=["C", "fold"], suffixes=("", "_plain"))
    both["objective_difference"] = (both["objective"] - both["objective_plain"]) / both["objective_plain"]
    curves = curve_of(left).merge(curve_of(right), on="C", suffixes=("", "_plain"))
    header = (
        "C",
        "AUROC ours",
        f"AUROC {way}",
        "difference",
        "log loss ours",
        way,
        "objective diff.",
        "steps ours",
        way,
        "converged",
    )
    print("".join(f"{name:>16}" for name in header))
    for row in curves.to_dict("records"):
        worst = both.loc[both["C"] == row["C"], "objective_difference"]
        cells = (
            f"{row['C']:g}",
            f"{row['auroc']:.5f}",
            f"{row['auroc_plain']:.5f}",
            f"{row['auroc'] - row['auroc_plain']:+.1e}",
            f"{row['log_loss']:.6f}",
            f"{row['log_loss_plain']:.6f}",
            f"{worst.loc[worst.abs().idxmax()]:+.1e}",
            f"{row['iterations']}",
            f"{row['iterations_plain']}",
            "both" if row["converged"] and row["converged_plain"] else "ours" if row["converged"] else "not ours",
        )
        print("".join(f"{cell:>16}" for cell in cells))
    print("objective diff.: (ours - other) / other of the minimised function on the training rows, the largest over the folds")
    ratio = plain["seconds"] / ours["seconds"]
    peak = f", peak {plain['peak'] / 1e9:.2f} GB" if "peak" in plain else ""
    print(
        f"ours    {ours['seconds']:9.1f} s (reduction {ours['reduction']:.1f} s), peak {ours['peak'] / 1e9:.2f} GB, best C {ours['best']:g}"
    )
    if plain["stopped"]:
        done = f"{fits_done} of {options.values * options.folds} fits"
        print(f"{way:7} {plain['seconds']:9.1f} s for {done}, stopped after {options.cap:g} minutes; ratio above {ratio:.1f}")
    else:
        print(f"{way:7} {plain['seconds']:9.1f} s{peak}, best C {plain['best']:g}; ratio {ratio:.1f}")


def main() -> None:
    """Read the command line, run both ways and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, help="float32 (n, d) as .npy; synthetic without it")
    parser.add_argument("--table", type=Path, help="CSV with label and group_id, with --features")
    parser.add_argument("--n", type=int, default=4392, help="rows of the synthetic features (%(default)s)")
    parser.add_argument("--d", type=int, default=25088, help="columns of the synthetic features (%(default)s)")
    parser.add_argument("--values", type=int, default=7, help="values of C between 1e-4 and 1e2 (%(default)s)")
    parser.add_argument("--folds", type=int, default=5, help="(%(default)s)")
    parser.add_argument("--cap", type=float, default=60, help="minutes for each way of scikit-learn (%(default)s)")
    parser.add_argument("--tol", type=float, default=1e-9, help="of lbfgs, all ways (%(default)s)")
    parser.add_argument("--max-iter", type=int, default=5000, help="of lbfgs, all ways (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    parser.add_argument("--way", choices=("ours", "centred", "plain"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if (options.features is None) != (options.table is None):
        parser.error("--features and --table go together: one row of the table for each row of the features")
    if options.way:
        print(json.dumps(one_way(options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        if options.features is None:
            options.features, options.table = Path(folder, "features.npy"), Path(folder, "table.csv")
            synthetic(options.features, options.n, options.d, options.seed).to_csv(options.table, index=False)
        ours = run_way("ours", options, Path(folder))
        fits = f"{options.values} values of C × {options.folds} folds"
        print(f"features {ours['shape'][1]:,} an image, rank {ours['rank']:,}; {fits}; tol {options.tol:g}, max_iter {options.max_iter}")
        for way in ("centred", "plain"):
            print_report(ours, run_way(way, options, Path(folder)), options, way=way)


if __name__ == "__main__":
    main()
