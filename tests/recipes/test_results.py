"""Results that are written for a run."""

from __future__ import annotations

import pandas as pd

from cxr_keras.recipes import results


def test_figures_of_a_seed_name_it(tmp_path, monkeypatch):
    titles = []
    monkeypatch.setattr(results, "save_figure", lambda figure, path, **_: titles.append(figure.get_suptitle().splitlines()[0]))
    names = [f"i{number}" for number in range(8)]
    sure = [0.9, 0.2, 0.8, 0.1] * 2
    columns = {"image_id": names, "group_id": names, "fold": 0, "label": ["pneumonia", "normal"] * 4}
    predictions = pd.DataFrame(columns | {"p_normal": [1 - value for value in sure], "p_pneumonia": sure})
    given = {"name": "cnn", "provenance": {}, "draws": 0, "seed": 0, "further": {}}
    for folder in ("seed-2", "run"):
        (tmp_path / folder).mkdir()
        pd.DataFrame({"phase": ["all"], "epoch": [1], "loss": [0.5], "accuracy": [0.7]}).to_csv(tmp_path / folder / "history.csv")
        results.write_results(predictions, tmp_path / folder, histories_in=tmp_path / folder, **given)
    half = len(titles) // 2
    assert all(title.startswith("cnn, seed 2: ") for title in titles[:half]) and "cnn, seed 2: learning curves" in titles
    assert all(title.startswith("cnn: ") for title in titles[half:])
