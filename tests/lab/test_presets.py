import importlib.util
from pathlib import Path

import pytest

from jaxticket.experiments import resolve
from jaxticket.lab.dry_run import make_plan

pytestmark = [pytest.mark.feature("options and registries")]

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def config_of(file, **arguments):
    spec = importlib.util.spec_from_file_location(file, CONFIGS / f"{file}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(",".join(f"{key}={value}" for key, value in arguments.items()))


# Where the learning rate drops: published epochs, and what was chosen for small data sets.
@pytest.mark.parametrize(
    ("file", "model", "dataset", "epochs", "drops"),
    [
        ("imp", "resnet20", "cifar10", 160, (80, 120)),
        ("imp", "conv3", "digits", 40, (20, 30)),
        ("imp", "conv3", "fashion_mnist", 20, (10, 15)),
        ("imp", "resnet18", "emoji32", 60, (30, 45)),
        ("imp", "resnet50", "imagenet2012", 90, (45, 67.5)),
        ("early_bird", "conv3", "digits", 20, (10, 15)),
        ("colt", "resnet18", "cifar10", 50, (21, 31, 46)),
        ("colt", "conv3", "digits", 10, (5, 7, 9)),
        ("sanity", "resnet20", "cifar100", 160, (80, 120)),
        ("structured", "resnet18", "cifar10", 160, (80, 120)),
        ("structured", "resnet50", "imagenet2012", 95, (30, 60)),
        ("structured", "conv3", "digits", 5, (3, 4)),
        ("structured", "conv3", "fashion_mnist", 20, (10, 15)),
        ("tost", "resnet18", "cifar100", 182, (90, 135)),
        ("tost", "conv3", "digits", 20, (10, 15)),
        ("tost", "conv3", "fashion_mnist", 20, (10, 15)),
    ],
)
def test_milestones_of_recipes_move_with_length(file, model, dataset, epochs, drops):
    config = config_of(file, model=model, dataset=dataset)
    train = resolve(config)[1].train
    assert train.epochs == epochs
    for steps in (1, 7, 390, 781, 5004):
        assert train.milestone_steps(steps, train.total_steps(steps)) == tuple(round(at * steps) for at in drops)
    config.train.epochs = 10
    config.train.warmup_epochs = min(1.0, config.train.warmup_epochs)
    if "rewind_epochs" in config:
        config.rewind_epochs = min(1, config.rewind_epochs)
    short = resolve(config)[1].train
    assert short.milestone_steps(390, 3900) == tuple(round(at / epochs * 3900) for at in drops)


# One network of every family that takes images of 8x8 pixels.
FAMILIES = ("lenet300", "lenet5", "conv2", "conv3", "alexnet", "resnet20", "densenet40", "shufflenet_v2", "vit_ti")


FILES = sorted({file.stem for file in CONFIGS.glob("*.py")} - {"quickstart"})
# A third of the pairs, every file and every family among them, says most; the others are left to the checks.
PAIRS = [
    pytest.param(file, model, marks=[pytest.mark.slow] if (row + column) % 3 else [])
    for row, file in enumerate(FILES)
    for column, model in enumerate(FAMILIES)
]


@pytest.mark.parametrize(("file", "model"), [*PAIRS, *(("early_bird", model) for model in ("fc1", "conv4", "conv6"))])
def test_every_experiment_is_planned_for_every_family(file, model, tmp_path):
    config = config_of(file, model=model, dataset="digits")
    config.seeds = (0,)
    assert make_plan(*resolve(config), tmp_path).networks or file == "transfer"  # which has no source here
