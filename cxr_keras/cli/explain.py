"""`cxr explain RUN`: maps, their checks, a montage of labels, embeddings."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from cxr_keras.startup import start_backend

SAMPLE, EMBEDDED = 3, 1000
METHOD = "hires_cam"  # the same as Grad-CAM where the head pools, and right where it flattens


def explain(
    run: Annotated[Path, typer.Argument(help="A finished run of `cxr cv` or `cxr train`, with its models.")],
    images: Annotated[
        list[Path] | None, typer.Option(help="A manifest, or image files (several times); default the images that the run held out.")
    ] = None,
    sample: Annotated[int | None, typer.Option(min=1, help=f"Images drawn; default {SAMPLE} of each class, {EMBEDDED} embedded.")] = None,
    per_class: Annotated[bool, typer.Option("--per-class/--altogether", help="Draw --sample of each class, or altogether.")] = True,
    every: Annotated[bool, typer.Option("--all", help="Every image instead of a sample; pictures only with --pictures.")] = False,
    which: Annotated[str, typer.Option(help="any, correct or wrong predictions.")] = "any",
    method: Annotated[str, typer.Option(help="hires_cam, grad_cam, cam, activation or occlusion.")] = METHOD,
    layer: Annotated[str | None, typer.Option(help="Layer of grad_cam, hires_cam, activation; default features.")] = None,
    class_name: Annotated[str | None, typer.Option("--class", help="Class that the maps are of; default the predicted one.")] = None,
    point: Annotated[str | None, typer.Option(help="Operating point that decides; default the most probable class.")] = None,
    pictures: Annotated[bool | None, typer.Option("--pictures/--no-pictures", help="One PNG an image; default for samples only.")] = None,
    montage: Annotated[int | None, typer.Option(min=1, help="Instead: so many images with the label that the model gives.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Instead: are the maps right? Masks, deletion, randomised weights.")] = False,
    embeddings: Annotated[bool, typer.Option("--embeddings", help="Instead: PCA and t-SNE of pixels and of the embedding.")] = False,
    fold: Annotated[int | None, typer.Option(min=0, help="Fold whose model and images --embeddings takes; default the first.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder of the results; default RUN/explanations/<what was asked for>.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace explanations that lie there.")] = False,
) -> None:
    """Show what a finished run's models look at, on images that they did not train on."""
    modes = {"--montage": montage is not None, "--check": check, "--embeddings": embeddings}
    asked = [name for name, given in modes.items() if given]
    mode = asked[0] if asked else "maps"
    given: dict[str, Any] = {
        "--images": images,
        "--sample": sample,
        "--altogether": not per_class,
        "--all": every,
        "--which": which != "any",
        "--method": method != METHOD,
        "--layer": layer,
        "--class": class_name,
        "--point": point,
        "--pictures": pictures is not None,
        "--fold": fold is not None,
    }
    _refuse_mixture(asked, [name for name, value in given.items() if value], mode=mode)
    start_backend()
    # It warns that a function is compiled for each of several models, which is what happens here and must.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    place = {"seed": seed, "out": out, "overwrite": overwrite}
    if montage is not None:
        from cxr_keras.recipes.explain_montage import montage as montage_recipe

        montage_recipe(run, montage, images=images or (), which=which, point=point, **place)
    elif check:
        from cxr_keras.recipes.explain_check import check_maps

        check_maps(run, sample=sample, layer=layer, **place)
    elif embeddings:
        from cxr_keras.recipes.explain_embeddings import embed

        embed(run, sample=sample or EMBEDDED, fold=fold, **place)
    else:
        from cxr_keras.recipes.explain import explain as explain_recipe

        explain_recipe(
            run,
            images=images or (),
            every=every,
            sample=sample or SAMPLE,
            per_class=per_class,
            which=which,
            method=method,
            layer=layer,
            class_name=class_name,
            point=point,
            pictures=pictures,
            **place,
        )


GOES_WITH = {
    "maps": {
        "--images",
        "--sample",
        "--altogether",
        "--all",
        "--which",
        "--method",
        "--layer",
        "--class",
        "--point",
        "--pictures",
    },
    "--montage": {"--images", "--which", "--point"},
    "--check": {"--sample", "--layer"},
    "--embeddings": {"--sample", "--fold"},
}
"""Options that each thing to do takes; the others would be ignored."""


def _refuse_mixture(asked: list[str], given: list[str], *, mode: str) -> None:
    """Raise ValueError for two things at once, and for options that would be ignored."""
    if len(asked) > 1:
        raise ValueError(f"{' and '.join(asked)} are different things to do; give one at a time.")
    if "--all" in given and "--sample" in given:
        raise ValueError("--all takes every image, --sample some of them; give one of the two.")
    if idle := [name for name in given if name not in GOES_WITH[mode]]:
        raise ValueError(f"{', '.join(idle)} would change nothing {'for maps' if mode == 'maps' else f'with {mode}'}; leave it out.")
