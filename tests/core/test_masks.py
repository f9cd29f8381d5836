from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxticket.core import masks
from jaxticket.core.errors import MaskError

pytestmark = [pytest.mark.feature("exact pruning")]


class Dense(NamedTuple):
    kernel: jax.Array
    bias: jax.Array


def network() -> dict:
    def weights(*shape: int) -> jax.Array:
        return jnp.arange(1, 1 + np.prod(shape), dtype=jnp.float32).reshape(shape)

    return {
        "stem": {"kernel": weights(3, 3, 1, 2)},
        "norm": {"scale": weights(2), "bias": weights(2)},
        "block": {"conv": {"kernel": weights(3, 3, 2, 2)}, "head": {"kernel": weights(2, 2)}},
        "mixer": {"kernel": weights(2), "weight": weights(2, 2)},
        "head": {"kernel": weights(2, 5), "bias": weights(5)},
    }


def arrays(**flat: list) -> dict[str, jax.Array]:
    return {path.replace("_", "/"): jnp.array(values, bool) for path, values in flat.items()}


A = arrays(a=[1, 0, 1, 1], b=[[1, 1], [0, 0]])
B = arrays(a=[1, 1, 1, 0], b=[[1, 0], [0, 1]])


@pytest.mark.parametrize("wrap", [lambda p: p, lambda p: {"params": p}, lambda p: {"a": {"params": p}}])
def test_default_rules_spare_stem_and_head(wrap) -> None:
    mask = masks.full_mask(wrap(network()))
    assert [path.removeprefix("a/").removeprefix("params/") for path in mask] == ["block/conv/kernel"]
    (kept,) = mask.values()
    assert kept.dtype == bool
    assert kept.shape == (3, 3, 2, 2)
    assert bool(kept.all())


def test_a_kernel_at_the_root_is_prunable() -> None:
    assert list(masks.full_mask({"kernel": jnp.ones((2, 2))})) == ["kernel"]


def test_full_mask_of_abstract_parameters_is_concrete() -> None:
    mask = masks.full_mask(jax.eval_shape(network))
    assert bool(mask["block/conv/kernel"].all())


def test_rules_of_leaves_must_cover_every_array() -> None:
    rules = [(".*/scale", True), (".*kernel", lambda leaf: leaf.shape[-1] == 5), (".*", False)]
    assert list(masks.full_mask(network(), rules)) == ["head/kernel", "norm/scale"]
    with pytest.raises(MaskError, match="'norm/bias'"):
        masks.full_mask(network(), [(".*(kernel|scale|weight)", True), ("head/.*", False)])


def test_leaves_that_are_no_arrays_need_no_rule() -> None:
    assert list(masks.full_mask({"rate": 0.1, "kernel": jnp.ones((2, 2))}, [("kernel", True)])) == ["kernel"]


def test_full_mask_lies_on_the_devices_of_parameters() -> None:
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    mask = masks.full_mask({"kernel": jax.device_put(jnp.ones((8, 2)), sharding)})
    assert mask["kernel"].sharding == sharding


def test_apply_mask_writes_positive_zeros_whatever_was_there() -> None:
    weights = jnp.array([jnp.nan, jnp.inf, -jnp.inf, -0.0, -3.0, 2.0, -0.0], jnp.float32)
    kept = np.array([0, 0, 0, 0, 0, 1, 1], bool)
    masked = np.asarray(masks.apply_mask({"w": weights, "other": weights}, {"w": kept})["w"])
    np.testing.assert_array_equal(masked.view(np.uint32)[:5], 0)
    np.testing.assert_array_equal(masked.view(np.uint32)[5:], np.asarray(weights).view(np.uint32)[5:])


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32, jnp.int32, jnp.bool_])
def test_apply_mask_keeps_dtype_and_all_other_leaves(dtype) -> None:
    params = {"a": jnp.ones(4, dtype), "b": jnp.ones((2, 2), dtype), "c": jnp.ones(3, dtype)}
    masked = jax.jit(masks.apply_mask)(params, A)
    assert masked["a"].dtype == dtype
    np.testing.assert_array_equal(masked["a"].astype(bool), A["a"])
    np.testing.assert_array_equal(masked["c"], params["c"])


def test_apply_mask_works_on_any_tree() -> None:
    kernel, kept = jnp.ones((2, 2)), jnp.array([[True, False], [False, True]])
    tuples = masks.apply_mask([Dense(kernel, jnp.ones(2))], {"0/kernel": kept})
    np.testing.assert_array_equal(tuples[0].kernel, np.eye(2))
    state = nnx.State({"fc": {"kernel": nnx.Param(kernel)}})
    masked = masks.apply_mask(state, {"fc/kernel": kept})
    assert isinstance(masked, nnx.State)
    np.testing.assert_array_equal(masked["fc"]["kernel"].get_value(), np.eye(2))


def test_no_gradient_reaches_a_pruned_weight() -> None:
    params = {"a": jnp.full(4, jnp.inf), "b": jnp.ones((2, 2))}
    grads = jax.grad(lambda p: sum(jnp.sum(leaf) for leaf in masks.apply_mask(p, A).values()))(params)
    np.testing.assert_array_equal(grads["a"], A["a"].astype(jnp.float32))


def test_counts_and_shares() -> None:
    assert masks.count(A) == (5, 8)
    assert masks.sparsity(A) == 3 / 8
    assert masks.layer_sparsity(A) == {"a": 0.25, "b": 0.5}
    assert masks.count({}) == (0, 0)
    assert masks.sparsity({}) == 0.0
    assert all(isinstance(number, int) for number in masks.count(A))


def test_counts_of_numpy_masks() -> None:
    assert masks.count({path: np.asarray(kept) for path, kept in A.items()}) == (5, 8)


def test_sparsity_total_counts_matrices_and_scales() -> None:
    mask = {"block/conv/kernel": jnp.zeros((3, 3, 2, 2), bool)}
    # stem 18, norm scale 2, block 36 + 4, mixer 4 (its rank-one kernel is not counted), head 10
    assert masks.sparsity_total(network(), mask) == 36 / 74
    assert masks.sparsity_total(jax.eval_shape(network), mask) == 36 / 74
    assert masks.sparsity_total(network(), {"norm/scale": jnp.array([True, False])}) == 1 / 74
    assert masks.sparsity_total(network(), {"head/bias": jnp.zeros(5, bool)}) == 5 / 79


def test_intersection_and_union() -> None:
    np.testing.assert_array_equal(masks.intersect(A, B)["a"], [1, 0, 1, 0])
    np.testing.assert_array_equal(masks.union(A, B)["b"], [[1, 1], [0, 1]])
    np.testing.assert_array_equal(masks.intersect(A)["b"], A["b"])
    three = masks.union(A, B, {path: jnp.zeros_like(kept) for path, kept in A.items()})
    assert masks.distance(three, masks.union(A, B)) == 0


def test_early_bird_4_distance() -> None:
    a, b = arrays(a=[1, 0, 1, 1]), arrays(a=[1, 1, 1, 0])
    assert masks.distance(a, b) == 0.5
    assert masks.distance(b, a) == 0.5
    assert masks.distance(a, a) == 0
    assert masks.distance({"a": ~a["a"]}, {"a": ~b["a"]}) == 0.5


def test_early_bird_6_distances_between_epochs() -> None:
    epochs = [arrays(a=bits) for bits in ([1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 1, 1])]
    distances = [[masks.distance(a, b) for b in epochs] for a in epochs]
    assert distances == [[0, 0.5, 0.75], [0.5, 0, 0.25], [0.75, 0.25, 0]]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ({"c": jnp.ones(4, bool)}, "'c'"),
        ({"a": jnp.ones(3, bool)}, r"'a'.*\(3,\).*\(4,\)"),
        ({"a": jnp.ones(4)}, "'a'.*float32"),
        ({"a": [True] * 4}, "'a'.*list"),
    ],
)
def test_a_mask_that_does_not_fit_is_named(mask, message) -> None:
    params = {"a": jnp.ones(4), "b": jnp.ones((2, 2))}
    for use in (masks.check_fit, masks.apply_mask, masks.sparsity_total):
        with pytest.raises(MaskError, match=message):
            use(params, mask)


def test_masks_that_do_not_belong_together_are_named() -> None:
    with pytest.raises(MaskError, match="'b'"):
        masks.distance(A, {"a": A["a"]})
    with pytest.raises(MaskError, match="'b'"):
        masks.union({"a": A["a"]}, A)
    with pytest.raises(MaskError, match="no mask"):
        masks.intersect()


def test_counting_a_traced_mask_says_what_to_do() -> None:
    with pytest.raises(MaskError, match="traced"):
        jax.jit(masks.sparsity)(A)
