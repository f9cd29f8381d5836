"""The grammar of `--sweep`."""

import pytest

from jaxticket.experiments import default_config
from jaxticket.lab.swept_keys import SweptKey, combinations, read_swept_keys

pytestmark = [pytest.mark.feature("sweeps and launch scripts")]

READ = {
    "train.lr=0.1,1e-3": ("train.lr", (0.1, 0.001)),
    "config.levels=1, 2": ("levels", (1, 2)),
    "seed=None,3": ("seed", (None, 3)),
    "seeds=(0, 1),range(3)": ("seeds", ((0, 1), (0, 1, 2))),
    "prune.criterion=magnitude,a.py:score": ("prune.criterion", ("magnitude", "a.py:score")),
    "data.part=1/2,'1,3'": ("data.part", ("1/2", "1,3")),
    "keep_trained=true,False": ("keep_trained", (True, False)),
    "model.options={'width': 0.5, 'a': (1,)},{}": ("model.options", ({"width": 0.5, "a": (1,)}, {})),
    "dense=../a,../b": ("dense", ("../a", "../b")),
}


@pytest.mark.parametrize("text", READ)
def test_values_are_read_as_their_key_is(text):
    (found,) = read_swept_keys([text], default_config("imp"), {})
    assert (found.key, found.values) == READ[text]


RANGES = {
    "levels=1..4": SweptKey("levels", low=1, high=4),
    "train.lr=0..1": SweptKey("train.lr", low=0.0, high=1.0),
    "train.lr=log:1e-3..0.1": SweptKey("train.lr", low=0.001, high=0.1, log=True),
    "train.batch_size=log:16..256": SweptKey("train.batch_size", low=16, high=256, log=True),
}


@pytest.mark.parametrize("text", RANGES)
def test_ranges_are_whole_where_their_key_is(text):
    (found,) = read_swept_keys([text], default_config("imp"), {})
    assert found == RANGES[text]
    assert [type(end) for end in found.ends] == [type(end) for end in RANGES[text].ends]


def test_all_combinations_with_the_last_key_first():
    keys = read_swept_keys(["levels=1,2", "train.lr=0.1,0.2"], default_config("imp"), {})
    assert combinations(keys) == [{"levels": level, "train.lr": lr} for level in (1, 2) for lr in (0.1, 0.2)]
