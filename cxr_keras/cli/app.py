"""The application `cxr`. Heavy imports stand inside the commands, so that help is instant."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Annotated

import typer

from cxr_keras.cli import audit as audit_commands
from cxr_keras.cli import configs as config_commands
from cxr_keras.cli import data as data_commands
from cxr_keras.cli import explain as explain_commands
from cxr_keras.cli import export as export_commands
from cxr_keras.cli import features as feature_commands
from cxr_keras.cli import models as model_commands
from cxr_keras.cli import predict as predict_commands
from cxr_keras.cli import tune as tune_commands
from cxr_keras.cli import weights as weights_commands
from cxr_keras.cli.grid import grid_arguments
from cxr_keras.startup import start_backend

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Chest X-ray classification with Keras.")
app.add_typer(data_commands.app, name="data", help="Fetch, build, check and flag image sets.")
app.add_typer(weights_commands.app, name="weights", help="Convert weights of other programs.")
app.add_typer(config_commands.app, name="configs")
app.add_typer(model_commands.app, name="models")
app.command("audit")(audit_commands.audit)
app.command("explain")(explain_commands.explain)
app.command("export")(export_commands.export)
app.command("features")(feature_commands.features)
app.command("predict")(predict_commands.predict)
app.command("tune")(tune_commands.tune)

CONFIG_HELP = "A YAML file, or the name of a shipped config (see `cxr configs`)."
Config = Annotated[str, typer.Argument(help=CONFIG_HELP)]
Overrides = Annotated[list[str] | None, typer.Argument(help="Settings put over the config, e.g. data.batch_size=16.")]
Sample = Annotated[bool, typer.Option("--sample", help="A run of minutes on phantoms: overrides from configs/sample.yaml.")]
Run = Annotated[Path | None, typer.Option("--run", help="Run directory; default runs/<name>-<verb>.")]


@app.command()
def cv(
    config: Annotated[str | None, typer.Argument(help=CONFIG_HELP)] = None,
    overrides: Overrides = None,
    sample: Sample = False,
    run: Run = None,
    grid: Annotated[
        bool, typer.Option("--grid", help="Several models=A,B and strategies=X,Y on the same folds; default resnet50's config.")
    ] = False,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Folds trained at a time; cores and GPUs are shared out.")] = 1,
    engine: Annotated[str, typer.Option("--engine", help="Where they are trained: processes (of this machine) or ray.")] = "processes",
    address: Annotated[
        str | None, typer.Option("--address", help="Ray cluster, HOST:PORT or auto; without it Ray starts on this machine.")
    ] = None,
) -> None:
    """Cross-validate a config: folds that no patient crosses. The same command continues an interrupted run.

    With --grid: `cxr cv --grid models=resnet50,xception strategies=end_to_end,two_stage data.sources=[...]`; without models and
    strategies the twelve runs of Božičković et al.
    """
    from cxr_keras.config.loader import load_config

    axes, given = _arguments(config, overrides, sample=sample, grid=grid)
    settings = load_config(given[0], given[1:], sample=sample)
    start_backend()
    from cxr_keras.recipes.cross_validate import cross_validate
    from cxr_keras.recipes.grid import run_grid
    from cxr_keras.recipes.seeds import run_seeds
    from cxr_keras.runs.jobs import open_engine

    folder = run or _run_folder(f"{settings.name}-grid" if grid else settings.name, "cv", sample)
    with open_engine(engine, address=address) as where:
        if grid:
            run_grid(settings, folder, workers=jobs, engine=where, **axes)
        elif settings.seeds:
            run_seeds(functools.partial(cross_validate, workers=jobs, engine=where), settings, folder)
        else:
            cross_validate(settings, folder, workers=jobs, engine=where)


@app.command()
def train(config: Config, overrides: Overrides = None, sample: Sample = False, run: Run = None) -> None:
    """Train a config on one split and score its test part. The same command continues an interrupted run."""
    from cxr_keras.config.loader import load_config

    settings = load_config(config, overrides or (), sample=sample)
    start_backend()
    from cxr_keras.recipes.seeds import run_seeds
    from cxr_keras.recipes.train import train as train_recipe

    folder = run or _run_folder(settings.name, "train", sample)
    run_seeds(train_recipe, settings, folder) if settings.seeds else train_recipe(settings, folder)


@app.command()
def plan(
    config: Annotated[str | None, typer.Argument(help=CONFIG_HELP)] = None,
    overrides: Overrides = None,
    sample: Sample = False,
    one_split: Annotated[
        bool | None, typer.Option("--train/--cv", help="Plan `cxr train` or `cxr cv`; default what the config's split is made for.")
    ] = None,
    grid: Annotated[bool, typer.Option("--grid", help="Plan `cxr cv --grid`, with models= and strategies= as there.")] = False,
) -> None:
    """Print parameters, memory, disk and projected time of a run before anything starts."""
    from cxr_keras.config.loader import load_config

    if grid and one_split:
        raise ValueError("--grid plans `cxr cv --grid`, whose runs are cross-validations; leave --train out.")
    axes, given = _arguments(config, overrides, sample=sample, grid=grid)
    settings = load_config(given[0], given[1:], sample=sample)
    start_backend()
    from cxr_keras.recipes.plan import plan_run
    from cxr_keras.recipes.plan_classifier import plan_classifier
    from cxr_keras.recipes.plan_grid import plan_grid

    if grid:
        plan_grid(settings, **axes)
    else:
        verb = None if one_split is None else "train" if one_split else "cv"
        (plan_classifier if settings.classifier else plan_run)(settings, verb=verb)


@app.command()
def evaluate(
    what: Annotated[Path, typer.Argument(help="A CSV of predictions (image_id, group_id, fold, label, p_<class>...), or with --on a run.")],
    on: Annotated[Path | None, typer.Option(help="Manifest of labelled images from elsewhere, which the run's models predict.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the results; default <file>_scores beside the file, or in the run.")] = None,
    validation: Annotated[
        Path | None,
        typer.Option(help="Predictions of a validation part that served nothing else; thresholds and a temperature are fitted on it."),
    ] = None,
    target_sensitivity: Annotated[
        float | None, typer.Option(help="What the operating points of high sensitivity must reach; default 0.95.")
    ] = None,
    prevalence: Annotated[float | None, typer.Option(help="Share of sick among those who will be tested, for PPV and NPV.")] = None,
    draws: Annotated[int | None, typer.Option(min=100, help="Bootstrap draws; default 2000, of a run its own setting.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the draws; default 0, of a run its own.")] = None,
) -> None:
    """Score predictions, or a finished run on other images with its thresholds locked: tables, metrics.json and figures."""
    if on is None:
        from cxr_keras.recipes.evaluate import evaluate as evaluate_recipe

        if what.is_dir():
            raise ValueError(f"{what} is a folder. Its own scores are in its metrics.json; for other images give --on MANIFEST.")
        evaluate_recipe(
            what,
            folder=out or what.with_name(f"{what.stem}_scores"),
            validation_path=validation,
            target_sensitivity=target_sensitivity,
            prevalence=prevalence,
            draws=draws or 2000,
            seed=seed or 0,
        )
        return
    if validation or target_sensitivity is not None:
        raise ValueError("--validation and --target-sensitivity choose thresholds, and with --on the run's own are locked; leave them out.")
    start_backend()
    from cxr_keras.recipes.evaluate_run import evaluate_run

    evaluate_run(what, on, folder=out, prevalence=prevalence, draws=draws, seed=seed)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run directories, the one to hold others against first; or a folder of several runs.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the results; default `comparison` beside the first run.")] = None,
    paper: Annotated[str | None, typer.Option(help="System for runs whose config names none, e.g. laban/mini_vgg.")] = None,
    all_pairs: Annotated[bool, typer.Option("--all-pairs", help="Every run against every earlier one, not the first only.")] = False,
    draws: Annotated[int | None, typer.Option(min=100, help="Bootstrap draws; default 2000, more where many differences need it.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
) -> None:
    """Set finished runs beside the papers' figures and test the differences between them."""
    from cxr_keras.recipes.compare import compare as compare_recipe

    compare_recipe(runs, out=out, paper=paper, all_pairs=all_pairs, draws=draws, seed=seed)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="A finished run; or several, or a folder of several, which are then compared.")],
    out: Annotated[
        Path | None, typer.Option(help="The HTML file or a folder for it; default report.html in the run, or beside the first of several.")
    ] = None,
    mistakes: Annotated[
        int | None, typer.Option(min=0, max=40, help="Wrong predictions of one run shown with maps; default the run's setting; 0 for none.")
    ] = None,
    paper: Annotated[str | None, typer.Option(help="System for runs whose config names none, e.g. laban/mini_vgg.")] = None,
) -> None:
    """Write one self-contained HTML file about a finished run: summary, data, figures, scores, mistakes, the paper beside it, origin."""
    start_backend()
    from cxr_keras.recipes.report import report as report_recipe

    print(f"Written to {report_recipe(runs, out=out, mistakes=mistakes, paper=paper)}")


def _arguments(config: str | None, overrides: list[str] | None, *, sample: bool, grid: bool) -> tuple[dict[str, list[str]], list[str]]:
    """The axes of a grid, if it is one, and config and overrides."""
    given = [*([config] if config else []), *(overrides or [])]
    if grid:
        return grid_arguments(given, sample=sample)
    if not given:
        raise typer.BadParameter("give a YAML file or the name of a shipped config, see `cxr configs`", param_hint="CONFIG")
    return {}, given


def _run_folder(name: str, verb: str, sample: bool) -> Path:
    """The default run directory."""
    return Path("runs") / f"{'sample-' if sample else ''}{name}-{verb}"


STOPPED = "stopped. The same command continues a training after its last resumable state; other verbs begin anew."


def main() -> None:
    """Run the application; faults of the input end in one message and exit code 2, never in a traceback."""
    from cxr_keras.runs.failures import INTERRUPTED, explain
    from cxr_keras.runs.jobs import JobFailed

    try:
        app()
    except JobFailed as error:
        _end(str(error), error.exit_code)
    except KeyboardInterrupt:
        _end(STOPPED, INTERRUPTED)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # typer has turned Ctrl-C into its exit code
            _end(STOPPED, INTERRUPTED)
        raise
    except Exception as error:
        explained = explain(error)
        if explained is None:
            raise
        _end(*explained)


def _end(message: str, code: int) -> None:
    """Print one message, if there is one, and leave."""
    if message:
        print(f"cxr: {message}", file=sys.stderr, flush=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
