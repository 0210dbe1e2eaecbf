import numpy as np
import pandas as pd

from cxr_keras.recipes.evaluate import evaluate
from cxr_keras.runs.files import read_json


def test_anyones_predictions_get_table_figures_and_curves(tmp_path, capsys):
    random = np.random.default_rng(0)
    sick = random.uniform(size=60)
    table = pd.DataFrame(
        {
            "image_id": [f"i{n}" for n in range(60)],
            "group_id": [f"g{n // 2}" for n in range(60)],
            "fold": np.arange(60) // 2 % 3,
            "label": np.where(random.uniform(size=60) < sick, "pneumonia", "normal"),
            "p_normal": 1 - sick,
            "p_pneumonia": sick,
        }
    )
    table.to_csv(tmp_path / "predictions.csv", index=False)
    history = {"phase": ["all"], "epoch": [1], "learning_rate": [0.1], "loss": [0.5], "accuracy": [0.7], "seconds": [1.0]}
    pd.DataFrame(history).to_csv(tmp_path / "history.csv", index=False)
    scores = evaluate(tmp_path / "predictions.csv", folder=tmp_path / "scores", draws=200)
    assert "AUROC" in capsys.readouterr().out
    assert read_json(tmp_path / "scores" / "metrics.json")["scores"]["auroc"] == scores["scores"]["auroc"]
    for name in ("summary.md", "figures/roc.png", "figures/confusion_matrix.png", "figures/learning_curves.png"):
        assert (tmp_path / "scores" / name).stat().st_size > 0
