"""Grid search and nested predictions, held against plain scikit-learn on the features themselves."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from cxr_keras.features.classify import SearchSettings, fit_rows, grid_search
from cxr_keras.features.gram import represent
from cxr_keras.features.inner_folds import grouped_splits
from cxr_keras.features.neighbours import NeighboursModel
from cxr_keras.features.rows import SelectedRows
from cxr_keras.features.saved import predict_by_neighbours, predict_probabilities
from cxr_keras.features.search import FitSettings

TIGHT = FitSettings(tol=1e-9)


def problem(n_rows=90, n_columns=400, *, classes=2, seed=0, noise=1.0):
    """Features (n, d) with a mean and a falling spectrum, labels that hang on them, and patients of one to three images."""
    random = np.random.default_rng(seed)
    rank = min(n_rows, n_columns)
    hidden = random.normal(size=(n_rows, rank)) / np.sqrt(np.arange(1, rank + 1))
    features = (hidden @ random.normal(size=(rank, n_columns)) / np.sqrt(n_columns) + 0.5).astype(np.float32)
    scores = hidden @ random.normal(size=(rank, classes)) + noise * random.normal(size=(n_rows, classes))
    names = np.array(["bacterial", "normal", "viral"] if classes == 3 else ["normal", "pneumonia"])
    groups = np.array([f"patient {number}" for number in np.repeat(np.arange(n_rows), random.integers(1, 4, n_rows))[:n_rows]])
    return features, names[scores.argmax(axis=1)], groups


def thirds(groups):
    """The third of the patients that each row is held out with."""
    return np.unique(groups, return_inverse=True)[1] % 3


def fitted(features, labels, groups, fold=0, **settings):
    """A classifier that has not seen one third of the patients, fitted in coordinates that were made of all of them."""
    rows = np.flatnonzero(thirds(groups) != fold)
    return fit_rows(represent(features), labels, groups, training_rows=rows, settings=SearchSettings(folds=3, **settings))


def plain(features, labels, *, C, class_weight=None):
    # Newton's method, so that the reference has all its digits: lbfgs on features that are not centred stops 1e-6 away.
    model = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-12, max_iter=500, class_weight=class_weight)
    return model.fit(features.astype(np.float64), labels)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("class_weight", [None, "balanced", "mapping"])
@pytest.mark.parametrize("shape", [(90, 400), (90, 30)], ids=["reduced", "more rows than features"])
def test_the_model_is_that_of_plain_scikit_learn(classes, class_weight, shape):
    features, labels, groups = problem(*shape, classes=classes)
    if class_weight == "mapping":
        class_weight = dict(zip(np.unique(labels), (3.0, 1.0, 2.0)))
    fit = FitSettings(tol=1e-9, class_weight=class_weight)
    model, found = grid_search(features, labels, groups, grid=(0.1, 1.0), folds=2, fit=fit)
    other = plain(features, labels, C=found.best, class_weight=class_weight)
    assert found.curve["converged"].all()
    expected = other.predict_proba(features.astype(float))
    np.testing.assert_allclose(predict_probabilities(model, features), expected, atol=1e-6)
    weights = model.coefficients[1:] - model.coefficients[:1] if classes == 2 else model.coefficients
    np.testing.assert_allclose(weights, other.coef_, atol=1e-5)
    assert model.classes == tuple(other.classes_) == found.classes and model.coefficients.shape == (classes, shape[1])


@pytest.mark.parametrize("classes", [2, 3])
def test_the_curve_is_that_of_plain_scikit_learn_on_every_fold(classes):
    features, labels, groups = problem(classes=classes)
    grid = (1e-3, 1e-1, 1.0)
    _, found = grid_search(features, labels, groups, grid=grid, folds=3, seed=3, fit=TIGHT)
    splits = grouped_splits(labels, groups, folds=3, seed=3)
    for row in found.per_fold.to_dict("records"):
        training, held_out = splits[int(row["fold"])]
        other = plain(features[training], labels[training], C=row["C"])
        probabilities = other.predict_proba(features[held_out].astype(float))
        auroc = roc_auc_score(labels[held_out], probabilities[:, 1] if classes == 2 else probabilities, multi_class="ovr")
        assert row["log_loss"] == pytest.approx(log_loss(labels[held_out], probabilities), abs=1e-6)
        assert row["auroc"] == pytest.approx(auroc, abs=1e-12)
        own = other.predict_proba(features[training].astype(float))
        objective = row["C"] * log_loss(labels[training], own, normalize=False) + np.square(other.coef_).sum() / 2
        assert row["objective"] == pytest.approx(objective, rel=1e-9) and row["converged"]
    means = found.per_fold.groupby("C")["log_loss"].agg(["mean", "std"])
    np.testing.assert_allclose(found.curve[["log_loss", "log_loss_sd"]], means)
    assert list(found.curve["C"]) == list(grid) and found.best == means["mean"].idxmin()


@pytest.mark.parametrize(("classes", "scale", "seed"), [(2, "none", 0), (3, "rms", 1), (2, "rms", 2)])
def test_held_out_rows_are_predicted_as_if_only_the_training_rows_existed(seed, classes, scale):
    features, labels, groups = problem(80, 200, classes=classes, seed=seed)
    fit = FitSettings(tol=1e-9, scale=scale)
    for fold in range(3):
        found = fitted(features, labels, groups, fold, grid=(0.01, 0.1), seed=seed, fit=fit)
        training, held_out = found.training_rows, np.flatnonzero(thirds(groups) == fold)
        alone = features[training].astype(float)
        size = np.sqrt(np.mean(np.square(alone - alone.mean(axis=0)))) if scale == "rms" else 1.0
        other = plain(alone / size, labels[training], C=found.search.best)
        expected = other.predict_proba(features[held_out].astype(float) / size)
        np.testing.assert_allclose(found.predict(held_out), expected, atol=1e-6)
        np.testing.assert_allclose(predict_probabilities(found.model(), features[held_out]), expected, atol=1e-6)
        # The search inside saw the same rows only: on a matrix without the held-out rows it gives the same curve.
        _, inner = grid_search(
            SelectedRows(features, training), labels[training], groups[training], grid=(0.01, 0.1), folds=3, seed=seed, fit=fit
        )
        np.testing.assert_allclose(inner.curve["log_loss"], found.search.curve["log_loss"], atol=1e-6)
        assert inner.best == found.search.best


def test_held_out_labels_have_no_say():
    features, labels, groups = problem(120, 300)
    outer = thirds(groups)
    changed = labels.copy()
    changed[outer == 0] = np.random.default_rng(1).permutation(labels[outer == 0])
    for fold in (0, 1):
        rows = np.flatnonzero(outer == fold)
        first, second = (fitted(features, names, groups, fold, grid=(0.1, 1.0)).predict(rows) for names in (labels, changed))
        assert np.array_equal(first, second) == (fold == 0)


def test_repeated_rows_are_exact():
    features, labels, groups = problem(60, 300)
    features, labels, groups = (np.concatenate([part, part[:25]]) for part in (features, labels, groups))
    model, found = grid_search(features, labels, groups, grid=(1.0, 100.0), folds=3, fit=TIGHT)
    expected = plain(features, labels, C=found.best).predict_proba(features.astype(float))
    np.testing.assert_allclose(predict_probabilities(model, features), expected, atol=1e-6)


def test_a_memory_map_and_a_shared_representation_give_the_same_model(tmp_path):
    features, labels, groups = problem()
    np.save(tmp_path / "features.npy", features)
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    models = [grid_search(given, labels, groups, grid=(0.1, 1.0), folds=3)[0] for given in (features, mapped, represent(mapped))]
    for model in models[1:]:
        np.testing.assert_array_equal(model.coefficients, models[0].coefficients)


def test_scale_is_one_constant_and_changes_the_grid_only():
    features, labels, groups = problem()
    centred = features - features.mean(axis=0, dtype=float)
    size = np.sqrt(np.mean(np.square(centred)))
    scaled, found = grid_search(features, labels, groups, grid=(0.01,), folds=3, fit=FitSettings(tol=1e-9, scale="rms"))
    assert found.scale == scaled.scale == pytest.approx(size, rel=1e-6)
    unscaled, _ = grid_search(features, labels, groups, grid=(0.01 / size**2,), folds=3, fit=TIGHT)
    np.testing.assert_allclose(predict_probabilities(scaled, features), predict_probabilities(unscaled, features), atol=1e-6)


def test_the_choice_follows_the_asked_score():
    features, labels, groups = problem(noise=2.0)
    for score, best in (("log_loss", "idxmin"), ("auroc", "idxmax")):
        _, found = grid_search(features, labels, groups, folds=3, choose_by=score)
        assert found.best == found.curve["C"][getattr(found.curve[score], best)()]


def test_folds_do_not_hang_on_the_order_of_rows_and_keep_patients_whole():
    _, labels, groups = problem(120)
    order = np.random.default_rng(0).permutation(120)
    first = [set(groups[held]) for _, held in grouped_splits(labels, groups, folds=4, seed=5)]
    second = [set(groups[order][held]) for _, held in grouped_splits(labels[order], groups[order], folds=4, seed=5)]
    assert first == second and sum(map(len, first)) == len(np.unique(groups))


@pytest.mark.parametrize("classes", [2, 3])
def test_nearest_neighbours_are_those_of_the_features(classes):
    features, labels, groups = problem(classes=classes)
    training = thirds(groups) != 0
    found = fitted(features, labels, groups, classifier="nearest_neighbours", grid=(1.0, 5.0, 9.0))
    assert found.search.parameter == "n_neighbors" and isinstance(found.search.best, int)
    other = KNeighborsClassifier(found.search.best).fit(features[training].astype(float), labels[training])
    expected = other.predict_proba(features[~training].astype(float))
    np.testing.assert_array_equal(found.predict(np.flatnonzero(~training)), expected)
    with pytest.raises(ValueError, match="no coefficients"):
        found.model()
    kept = NeighboursModel(np.flatnonzero(training).astype(str), labels[training], found.search.best, found.classes)
    for rows_a_block in (7, 1000):
        size = 8 * features.shape[1] * rows_a_block
        np.testing.assert_array_equal(predict_by_neighbours(kept, features[~training], features[training], block_bytes=size), expected)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("scale", ["none", "rms"])
def test_the_support_vector_machine_is_that_of_the_features(classes, class_weight, scale):
    features, labels, groups = problem(classes=classes)
    training = thirds(groups) != 0
    fit = FitSettings(scale=scale, class_weight=class_weight)
    found = fitted(features, labels, groups, classifier="linear_svm", grid=(0.01, 1.0), fit=fit)
    probabilities = found.predict(np.flatnonzero(~training))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    best, size = found.search.best, found.search.scale
    other = SVC(kernel="linear", C=best, tol=1e-6, class_weight=class_weight)
    known, asked = (features[rows].astype(float) / size for rows in (training, ~training))
    scores = other.fit(known, labels[training]).decision_function(asked)
    # Two classes: Platt's sigmoid rises with the decision score, so both rank alike.
    if classes == 2:
        assert (np.diff(probabilities[np.argsort(scores), 1]) > -1e-3).all()
    else:
        machine = found.search.estimator.calibrated_classifiers_[0].estimator
        centred = features - features.mean(axis=0, dtype=float)
        products = centred[~training] @ centred[training].T
        np.testing.assert_allclose(machine.decision_function(products / size**2), scores, atol=0.02)
    # Written in the original features it is the same machine.
    np.testing.assert_allclose(predict_probabilities(found.model(), features[~training]), probabilities, atol=1e-8)


def test_every_fit_of_the_search_is_counted_once():
    features, labels, groups = problem()
    for classifier, grid in (("logistic_regression", (0.1, 1.0)), ("nearest_neighbours", (1, 3, 5)), ("linear_svm", (0.1, 1.0))):
        calls = []
        settings = SearchSettings(classifier, grid, folds=3)
        fit_rows(
            represent(features), labels, groups, training_rows=np.arange(90), settings=settings, on_fit=lambda calls=calls: calls.append(1)
        )
        assert len(calls) == 3 * len(grid)


def test_too_few_iterations_are_recorded_and_refused_for_the_best():
    features, labels, groups = problem(noise=3.0)
    few = FitSettings(max_iter=12)
    _, found = grid_search(features, labels, groups, grid=(1e-3, 1e4), folds=3, fit=few)
    assert found.best == 1e-3 and list(found.curve["converged"]) == [True, False] and found.curve["iterations"].max() == 12
    with pytest.raises(ValueError, match=r"did not converge at the chosen C = 10000 within max_iter = 12"):
        grid_search(features, labels, groups, grid=(1e4,), folds=3, fit=few)


def test_settings_that_would_not_be_exact_are_refused():
    with pytest.raises(ValueError, match="a scaler fitted in each fold stretches the axes"):
        FitSettings(scale="standard")
    with pytest.raises(ValueError, match="scale is 'unit'; expected one of none, rms"):
        FitSettings(scale="unit")
    with pytest.raises(ValueError, match="class_weight is 'balance'"):
        FitSettings(class_weight="balance")


def changed(**changes):
    features, labels, groups = problem()
    return {"features": features, "labels": labels, "groups": groups} | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ["normal"] * 90}, "all 90 images are 'normal'"),
        ({"groups": ["one"] * 90}, "too few patients for 5 folds: 5 needed in every class, there are normal 1, pneumonia 1"),
        ({"labels": ["normal"] * 9}, "90 rows of features, 9 labels and 90 groups"),
        ({"folds": 1}, "folds is 1"),
        ({"grid": (0, 1)}, r"grid is \(0, 1\); expected positive values"),
        ({"choose_by": "accuracy"}, "choose_by is 'accuracy'; expected one of log_loss, auroc"),
        ({"fit": FitSettings(class_weight={"normal": 1.0})}, r"class_weight names \['normal'\], the classes are"),
        ({"features": np.where(np.arange(90)[:, None] == 7, np.nan, problem()[0])}, "1 row holds nan or infinity .row 7"),
    ],
)
def test_faults_are_named(changes, message):
    arguments = changed(**changes)
    with pytest.raises(ValueError, match=message):
        grid_search(arguments.pop("features"), arguments.pop("labels"), arguments.pop("groups"), **arguments)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classifier": "linear_svn"}, "did you mean 'linear_svm'"),
        ({"classifier": "linear_svm", "choose_by": "log_loss"}, "decision scores only"),
        ({"classifier": "nearest_neighbours", "grid": (3, 60)}, "asks for 60 neighbours, a fold trains on"),
        (
            {"classifier": "nearest_neighbours", "grid": (1,), "fit": FitSettings(class_weight="balanced")},
            "no meaning for nearest_neighbours",
        ),
        ({"grid": ()}, r"grid is \(\); expected positive values"),
    ],
)
def test_faults_of_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        fitted(*problem(), **settings)


@pytest.mark.parametrize("rows", [[], [0, 0, 1], [-1, 2], [3, 90]])
def test_rows_that_are_none_are_refused(rows):
    features, labels, groups = problem()
    with pytest.raises(ValueError, match="training_rows: expected different numbers from 0 to 89"):
        fit_rows(represent(features), labels, groups, training_rows=np.array(rows, int), settings=SearchSettings())
