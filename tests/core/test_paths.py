from typing import NamedTuple

import numpy as np
import pytest
from flax import nnx

from jaxticket.core import paths
from jaxticket.core.errors import MaskError
from jaxticket.core.rules import match_rules

pytestmark = [pytest.mark.feature("rules and paths"), pytest.mark.smoke]


class Layer(NamedTuple):
    kernel: np.ndarray
    bias: np.ndarray


def layer() -> Layer:
    return Layer(kernel=np.ones((2, 3), np.float32), bias=np.zeros(3, np.float32))


def test_paths_are_same_for_every_kind_of_tree() -> None:
    as_dict = {"block": {"conv": {"kernel": 1, "bias": 2}}, "list": [3, 4]}
    assert paths.leaves(as_dict) == {"block/conv/bias": 2, "block/conv/kernel": 1, "list/0": 3, "list/1": 4}
    assert list(paths.leaves({"block": {"conv": layer()}})) == ["block/conv/bias", "block/conv/kernel"]
    state = nnx.State({"block": {"conv": {"kernel": nnx.Param(layer().kernel), "value": nnx.Param(layer().bias)}}})
    assert list(paths.leaves(state)) == ["block/conv/kernel", "block/conv/value"]


def test_leaves_are_sorted_by_path() -> None:
    assert list(paths.leaves({"b": 0, "a": {"z": 0, "b": 0}, "a0": 0})) == ["a/b", "a/z", "a0", "b"]


def test_two_leaves_of_one_path_are_refused() -> None:
    with pytest.raises(MaskError, match="'a/b'"):
        paths.leaves({"a/b": 1, "a": {"b": 2}})


def test_replace_keeps_structure_and_other_leaves() -> None:
    tree = {"a": layer(), "b": [1, 2]}
    replaced = paths.replace(tree, {"a/bias": 7, "b/1": 8})
    assert isinstance(replaced["a"], Layer)
    assert replaced["a"].kernel is tree["a"].kernel
    assert (replaced["a"].bias, replaced["b"]) == (7, [1, 8])
    assert tree["b"] == [1, 2]


def test_replace_names_a_path_that_is_not_there() -> None:
    with pytest.raises(MaskError, match=r"'a/kernle'.*a/bias, a/kernel|'a/kernle'.*a/kernel, a/bias"):
        paths.replace({"a": layer()}, {"a/kernle": 0})


def test_nest_undoes_leaves() -> None:
    tree = {"a": {"b": {"c": 1}, "d": 2}, "e": 3}
    assert paths.nest(paths.leaves(tree)) == tree


def test_the_first_rule_that_matches_whole_path_wins() -> None:
    rules = [("stem/.*", 0), (".*/kernel", 1), ("a", 2), (".*", 3)]
    assert match_rules(rules, ["stem/kernel", "a/kernel", "a", "ab"]) == {
        "stem/kernel": 0,
        "a/kernel": 1,
        "a": 2,
        "ab": 3,
    }


def test_path_without_rule_and_broken_rule_are_named() -> None:
    with pytest.raises(MaskError, match="'b/bias'"):
        match_rules([(".*/kernel", True)], ["a/kernel", "b/bias"])
    with pytest.raises(MaskError, match=r"'\(.*'"):
        match_rules([("(", True)], [])
