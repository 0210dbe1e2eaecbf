import pytest

from cxr_keras.config.loader import check_config, flatten, load_config, merge, read_config, shipped_configs, to_yaml


@pytest.mark.parametrize("name", shipped_configs())
def test_every_shipped_config_is_valid_named_for_its_file_and_described(name):
    config = load_config(name)
    assert config.name == name and config.description
    load_config(name, sample=True)


@pytest.mark.parametrize("name", shipped_configs())
def test_resolved_yaml_loads_to_the_same_config(name, tmp_path):
    config = load_config(name)
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    assert read_config(tmp_path / "config.yaml") == config


def test_the_sample_has_a_folder_of_phantoms_for_each_label_scheme():
    folders = {name: load_config(name, sample=True).data.sources for name in ("resnet50", "mini_vgg", "googlenet_three")}
    assert folders == {
        "resnet50": ("phantom:data/phantom_four",),
        "mini_vgg": ("phantom:data/phantom_binary",),
        "googlenet_three": ("phantom:data/phantom_three",),
    }
    assert load_config("resnet50", ["data.labels=binary"], sample=True).data.sources == ("phantom:data/phantom_binary",)
    assert load_config("resnet50", ["data.sources=[kermany:/x]"], sample=True).data.sources == ("kermany:/x",)
    assert load_config("resnet50", ["data.manifest=m.csv"], sample=True).data.sources == ()


def test_overrides_are_yaml_values():
    config = load_config("resnet50", ["data.batch_size=16", "model.weights=null", "data.sources=[kermany:/a b,ieee8023:/c]"])
    assert (config.data.batch_size, config.model.weights, config.data.sources) == (16, None, ("kermany:/a b", "ieee8023:/c"))
    assert load_config("mini_vgg", ["training.phases.all.epochs=2"]).training.phases["all"]["learning_rate"] == 0.05


@pytest.mark.parametrize("text, value", [("1e-3", 0.001), ("1.0e-3", 0.001), ("2E-4", 0.0002), ("1", 1)])
def test_exponents_are_numbers_with_and_without_a_point(text, value, tmp_path):
    assert load_config("mini_vgg", [f"training.phases.all.learning_rate={text}"]).training.phases["all"]["learning_rate"] == value
    phases = f"{{all: {{learning_rate: {text}}}}}"
    (tmp_path / "c.yaml").write_text(f"name: c\nmodel: {{name: mini_vgg}}\ndata: {{}}\ntraining: {{phases: {phases}}}")
    assert read_config(tmp_path / "c.yaml").training.phases["all"]["learning_rate"] == value
    assert load_config("mini_vgg", ["description=1e5 images"]).description == "1e5 images"


def test_a_manifest_on_the_command_line_replaces_the_sources():
    assert load_config("resnet50", ["data.manifest=m.csv"]).data.manifest == "m.csv"


@pytest.mark.parametrize(
    "override, message",
    [
        ("data.batchsize=16", "unknown key 'data.batchsize'. Did you mean 'batch_size'"),
        ("modl.name=x", "unknown key 'modl'. Did you mean 'model'"),
        ("data.batch_size=many", "data.batch_size: .*It came as 'many'"),
        ("data.batch_size=0", "data.batch_size: .*greater than or equal to 1"),
        ("data.image_size=[4, 4]", "each side must be 8 to 4096"),
        ("training.strategy=two_stages", "Did you mean 'two_stage'"),
        ("training.phases.hed.epochs=1", "has no phase 'hed'"),
        ("training.phases.all.learning_rat=1", "Did you mean 'learning_rate'"),
        ("training.phases.all.learning_rate=high", "learning_rate of phase 'all' is 'high'; expected a valid number"),
        ("training.phases.all.epochs=2.5", "epochs of phase 'all' is 2.5; expected a valid integer"),
        ("training.phases.all.optimizer=adamw", "optimizer of phase 'all' is 'adamw'; expected 'adam' or 'sgd'"),
        ("augmentation.zoom=[2, 1]", "expected \\[low, high\\]"),
        ("data.batch_size", "expected key=value"),
        ("name.first=x", "reaches below 'name'"),
    ],
)
def test_faults_say_what_came_and_what_was_expected(override, message):
    with pytest.raises(ValueError, match=message):
        load_config("resnet50", [override])


def test_all_faults_come_together():
    with pytest.raises(ValueError) as caught:
        check_config({"name": "x", "data": {"batch_size": "a", "colour": 1}, "model": {}}, origin="file")
    for part in ("data.batch_size", "data.colour", "model.name is missing"):
        assert part in str(caught.value)


@pytest.mark.parametrize("name", ["resnet50_two_stage", "bozickovic/resnet50_two_stage"])
def test_the_name_of_a_papers_system_leads_to_its_config(name):
    with pytest.raises(ValueError, match="a paper's system. The config that rebuilds it is 'resnet50'"):
        load_config(name)


def test_unknown_config_gets_a_suggestion():
    with pytest.raises(ValueError, match="Did you mean 'resnet50'"):
        load_config("resnet5")


def test_a_file_that_is_no_yaml_is_named(tmp_path):
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(ValueError, match="bad.yaml is not valid YAML"):
        load_config(str(tmp_path / "bad.yaml"))
    (tmp_path / "bad.yaml").write_text("- a")
    with pytest.raises(ValueError, match="expected sections"):
        load_config(str(tmp_path / "bad.yaml"))


def test_the_test_part_never_chooses():
    with pytest.raises(ValueError, match="official test labels after every epoch"):
        load_config("mini_vgg", ["split.kind=official"])
    with pytest.raises(ValueError, match="the test part would choose"):
        load_config("mini_vgg", ["training.keep=best"])


def test_merge_goes_section_by_section_and_changes_nothing():
    base, top = {"a": {"b": 1, "c": [1]}, "d": 2}, {"a": {"b": 3}}
    assert merge(base, top) == {"a": {"b": 3, "c": [1]}, "d": 2}
    assert base == {"a": {"b": 1, "c": [1]}, "d": 2}
    assert flatten({"a": {"b": 1, "c": {}}, "d": 2}) == {"a.b": 1, "a.c": {}, "d": 2}


def test_an_official_split_needs_its_parts():
    config = load_config("scratch_best", ["data.official_parts=[train, val]"])
    config.refuse_missing_parts("cv")
    with pytest.raises(ValueError, match="split.kind=official needs train and test, and .*; set kind to grouped"):
        config.refuse_missing_parts("train")
    load_config("scratch_best", ["data.official_parts=[train, val]", "split.kind=grouped"]).refuse_missing_parts("train")
