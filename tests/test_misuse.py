"""Every public name, used wrongly: one line of our errors that names the argument, never one of Python's or JAX's."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxticket as jt
from jaxticket.core.errors import ConfigError, MaskError, TicketError

pytestmark = [pytest.mark.feature("documents and public names")]

OURS = (ConfigError, MaskError, TicketError)
PARAMS = {"a": {"kernel": jnp.ones((4, 6))}, "b": {"kernel": jnp.ones((6, 3)), "bias": jnp.zeros(3)}}
MASK = {"a/kernel": jnp.ones((4, 6), bool), "b/kernel": jnp.ones((6, 3), bool)}
SCORES = {path: jnp.ones(kept.shape) for path, kept in MASK.items()}
X = jnp.ones((2, 4))
BATCHES = [(X, jnp.zeros(2, jnp.int32))]
KEY = jax.random.key(0)
SPARSE = jt.BlockSparse.from_dense(np.ones((4, 6), np.float32), block=(2, 2))
KERNEL = jt.BlockSparse.from_dense(np.ones((3, 3, 2, 4), np.float32), block=(2, 2))
TX = optax.sgd(0.1)


def net(params, x):
    return jax.nn.relu(x @ params["a"]["kernel"]) @ params["b"]["kernel"] + params["b"]["bias"][None]


def deleted():
    array = jnp.ones((4, 6))
    array.delete()
    return {"a": {"kernel": array}, "b": PARAMS["b"]}


def without(path):
    return {name: leaf for name, leaf in MASK.items() if name != path}


def changed(tree, leaf):
    return {**tree, "a/kernel": leaf}


# What is no mask, and what the line has to say.
NO_MASKS = {
    "a list": ([True], "the mask is a list"),
    "None": (None, "the mask is None"),
    "a text": ("a/kernel", "the mask is a str"),
    "a number": (5, "the mask is an int"),
    "an array": (np.ones(3, bool), "the mask is a ndarray"),
    "another path": ({"c/kernel": jnp.ones(3, bool)}, "'c/kernel'"),
    "a number as path": ({1: jnp.ones((4, 6), bool)}, "the key 1"),
    "floats": (changed(MASK, jnp.ones((4, 6))), "a/kernel.*float32"),
    "None as leaf": (changed(MASK, None), "a/kernel.*NoneType"),
    "a list as leaf": (changed(MASK, [[True] * 6] * 4), "a/kernel.*list"),
    "another shape": (changed(MASK, jnp.ones((6, 4), bool)), r"a/kernel.*\(6, 4\)"),
}
TAKE_MASKS = {
    "apply_mask": lambda mask: jt.apply_mask(PARAMS, mask),
    "sparsity_total": lambda mask: jt.sparsity_total(PARAMS, mask),
    "distance": lambda mask: jt.distance(MASK, mask),
    "intersect": lambda mask: jt.intersect(MASK, mask),
    "magnitude": lambda mask: jt.magnitude(PARAMS, mask),
    "random_scores": lambda mask: jt.random_scores(PARAMS, mask, KEY),
    "lamp": lambda mask: jt.lamp(PARAMS, mask),
    "snip": lambda mask: jt.snip(net, PARAMS, mask, BATCHES),
    "grasp": lambda mask: jt.grasp(net, PARAMS, mask, BATCHES),
    "obd": lambda mask: jt.obd(net, PARAMS, mask, BATCHES),
    "movement": lambda mask: jt.movement(PARAMS, mask, PARAMS),
    "synflow": lambda mask: jt.synflow(net, PARAMS, mask, (1, 4)),
    "synflow_prune": lambda mask: jt.synflow_prune(net, PARAMS, mask, (1, 4), sparsity=0.5),
    "wanda": lambda mask: jt.wanda(PARAMS, mask, {"a/kernel": jnp.ones(4), "b/kernel": jnp.ones(6)}),
    "output": lambda mask: jt.prune(mask, SCORES, rate=0.5, scope="output"),
    "prune": lambda mask: jt.prune(mask, SCORES, rate=0.5),
    "keep_pruned": lambda mask: jt.keep_pruned(TX, mask).init(PARAMS),
    "shrink": lambda mask: jt.shrink(net, PARAMS, mask, X),
    "Ticket": lambda mask: jt.save_ticket("never-written", jt.Ticket(PARAMS, mask)),
}


def refused(call, said):
    with pytest.raises(OURS, match=said) as error:
        call()
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("kind", NO_MASKS)
@pytest.mark.parametrize("name", TAKE_MASKS)
def test_what_is_no_mask_is_named(name, kind, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    mask, said = NO_MASKS[kind]
    refused(lambda: TAKE_MASKS[name](mask), said if name != "Ticket" else "mask|key 1|kernel")
    assert not list(tmp_path.iterdir())


ONE_MASK = {"count": jt.count, "sparsity": jt.sparsity, "layer_sparsity": jt.layer_sparsity, "intersect": jt.intersect,
            "union": jt.union, "regroup": jt.regroup, "refill": lambda mask: jt.refill(mask, SCORES)}  # fmt: skip


@pytest.mark.parametrize("kind", ["a list", "None", "a text", "a number", "a number as path", "floats", "None as leaf"])
@pytest.mark.parametrize("name", ONE_MASK)
def test_what_is_no_mask_is_named_without_parameters(name, kind):
    mask, said = NO_MASKS[kind]
    refused(lambda: ONE_MASK[name](mask), said)


GONE = {
    "apply_mask": lambda: jt.apply_mask(deleted(), MASK),
    "magnitude": lambda: jt.magnitude(deleted(), MASK),
    "lamp": lambda: jt.lamp(deleted(), MASK),
    "snip": lambda: jt.snip(net, deleted(), MASK, BATCHES),
    "synflow": lambda: jt.synflow(net, deleted(), MASK, (1, 4)),
    "movement": lambda: jt.movement(PARAMS, MASK, deleted()),
    "wanda": lambda: jt.wanda(deleted(), MASK, {"a/kernel": jnp.ones(4), "b/kernel": jnp.ones(6)}),
    "prune": lambda: jt.prune(MASK, {"a/kernel": deleted()["a"]["kernel"], "b/kernel": jnp.ones((6, 3))}, rate=0.5),
    "refill": lambda: jt.refill(MASK, {"a/kernel": deleted()["a"]["kernel"], "b/kernel": jnp.ones((6, 3))}),
    "keep_pruned": lambda: jt.keep_pruned(TX, MASK).init(deleted()),
    "shrink": lambda: jt.shrink(net, deleted(), MASK, X),
    "prune_channels": lambda: jt.prune_channels(net, deleted(), X, ratio=0.5),
    "save_ticket": lambda: jt.save_ticket("never-written", jt.Ticket(deleted(), MASK)),
}  # fmt: skip


@pytest.mark.parametrize("name", GONE)
def test_a_buffer_that_was_given_away_is_named(name):
    refused(GONE[name], "a/kernel.*deleted")


# (call, what the line says)
WRONG = {
    "no parameters": (lambda: jt.full_mask(None), "params is None without arrays"),
    "no parameters but a function": (lambda: jt.full_mask(net), "params is a function without arrays"),
    "parameters of nothing": (lambda: jt.full_mask({"a": {}}), "params is a dict without arrays"),
    "rules of a number": (lambda: jt.full_mask(PARAMS, 5), "rules=5"),
    "rules of a text": (lambda: jt.full_mask(PARAMS, ".*"), "rules="),
    "no expression": (lambda: jt.full_mask(PARAMS, [("(", True)]), r"rule '\('"),
    "a rule of one": (lambda: jt.full_mask(PARAMS, [(".*",)]), "rule"),
    "a rule of a number": (lambda: jt.full_mask(PARAMS, [(5, True)]), "rule"),
    "a rule that says maybe": (lambda: jt.full_mask(PARAMS, [(".*", "no")]), "'no'"),
    "no rule": (lambda: jt.full_mask(PARAMS, []), "no rule covers"),
    "keys without order": (lambda: jt.full_mask({1: jnp.ones(3), "a": jnp.ones(3)}), "keys"),
    "two leaves of one path": (lambda: jt.full_mask({"a": {"b": jnp.ones(3)}, "a/b": jnp.ones(3)}), "'a/b'"),
    "no masks": (jt.union, "no mask"),
    "parameters without the path": (lambda: jt.apply_mask({}, MASK), "'a/kernel'"),
    "parameters that are a number": (lambda: jt.magnitude(5, MASK), "'a/kernel'"),
    "scale of a kernel": (lambda: jt.bn_scale(PARAMS, MASK), "scale"),
    "bn_scale of a list": (lambda: jt.bn_scale(PARAMS, [1]), "the mask is a list"),
    "a number as key": (lambda: jt.random_scores(PARAMS, MASK, 0), "key"),
    "None as key": (lambda: jt.random_scores(PARAMS, MASK, None), "key"),
    "many keys": (lambda: jt.random_scores(PARAMS, MASK, jax.random.split(KEY, 3)), "key"),
    "norms of a list": (lambda: jt.wanda(PARAMS, MASK, [1.0]), "input_norms is a list"),
    "norms without a path": (lambda: jt.wanda(PARAMS, MASK, {}), "input_norms has no 'a/kernel'"),
    "norms of another length": (lambda: jt.wanda(PARAMS, MASK, {p: jnp.ones(7) for p in MASK}), r"a/kernel.*\(7,\)"),
    "ranks of a list": (lambda: jt.prune(MASK, [1], rate=0, scope="output"), "the scores is a list|the scores"),
    "ranks of a wrong shape": (lambda: jt.prune(MASK, changed(SCORES, jnp.ones(3)), rate=0, scope="output"), "a/k"),
    "a network that is a number": (lambda: jt.snip(5, PARAMS, MASK, BATCHES), "apply_fn is an int"),
    "grasp of None": (lambda: jt.grasp(None, PARAMS, MASK, BATCHES), "apply_fn is None"),
    "obd of a text": (lambda: jt.obd("net", PARAMS, MASK, BATCHES), "apply_fn is a str"),
    "statistics by no network": (lambda: jt.recalibrate(5, {"params": PARAMS}, [X]), "apply_fn is an int"),
    "statistics of nothing": (lambda: jt.recalibrate(lambda v, x: (x, v), 5, [X]), "variables is a int"),
    "statistics on nothing": (lambda: jt.recalibrate(lambda v, x: (x, v), {"params": PARAMS}, []), "no batches"),
    "statistics on a number": (lambda: jt.recalibrate(lambda v, x: (x, v), {"params": PARAMS}, [5]), "batch 0"),
    "statistics on None": (lambda: jt.recalibrate(lambda v, x: (x, v), {"params": PARAMS}, [None]), "batch 0"),
    "statistics that stay": (lambda: jt.recalibrate(lambda v, x: (x, v), {"params": PARAMS}, [X]), "training mode"),
    "synflow of None": (lambda: jt.synflow(None, PARAMS, MASK, (1, 4)), "apply_fn is None"),
    "no batches": (lambda: jt.snip(net, PARAMS, MASK, []), "no batches"),
    "batches of a number": (lambda: jt.snip(net, PARAMS, MASK, 5), "batches is a int"),
    "batches of None": (lambda: jt.taylor(net, PARAMS, MASK, None), "batches"),
    "batches that are no pairs": (lambda: jt.snip(net, PARAMS, MASK, [X]), "batch 0"),
    "labels that are no classes": (lambda: jt.snip(net, PARAMS, MASK, [(X, jnp.ones(2))]), "batch 0 has labels"),
    "too few labels": (lambda: jt.snip(net, PARAMS, MASK, [(X, jnp.zeros(1, jnp.int32))]), "batch 0"),
    "logits of another rank": (lambda: jt.snip(lambda p, x: x.sum(), PARAMS, MASK, BATCHES), "apply_fn returned"),
    "temperature 0": (lambda: jt.grasp(net, PARAMS, MASK, BATCHES, 0), "temperature=0"),
    "temperature of a text": (lambda: jt.grasp(net, PARAMS, MASK, BATCHES, "hot"), "temperature='hot'"),
    "chunk 0": (lambda: jt.obd(net, PARAMS, MASK, BATCHES, chunk=0), "chunk=0"),
    "chunk of a half": (lambda: jt.obd(net, PARAMS, MASK, BATCHES, chunk=1.5), "chunk=1.5"),
    "a shape that is a number": (lambda: jt.synflow(net, PARAMS, MASK, 4), "input_shape"),
    "a shape of two": (lambda: jt.synflow(net, PARAMS, MASK, (2, 4)), "input_shape"),
    "a shape of texts": (lambda: jt.synflow(net, PARAMS, MASK, (1, "4")), "input_shape"),
    "a round that is none": (lambda: jt.synflow_prune(net, PARAMS, MASK, (1, 4), sparsity=0.5, rounds=0), "rounds=0"),
    "all weights by SynFlow": (lambda: jt.synflow_prune(net, PARAMS, MASK, (1, 4), sparsity=1), "less than 1"),
    "gradients of another tree": (lambda: jt.movement(PARAMS, MASK, {}), "'a/kernel'"),
    "neither rate nor sparsity": (lambda: jt.prune(MASK, SCORES), "exactly one"),
    "both rate and sparsity": (lambda: jt.prune(MASK, SCORES, rate=0.1, sparsity=0.1), "exactly one"),
    "a negative rate": (lambda: jt.prune(MASK, SCORES, rate=-0.1), "rate=-0.1"),
    "a rate above 1": (lambda: jt.prune(MASK, SCORES, rate=1.5), "rate=1.5"),
    "a rate that is NaN": (lambda: jt.prune(MASK, SCORES, rate=float("nan")), "rate=nan"),
    "a rate that is a text": (lambda: jt.prune(MASK, SCORES, rate="0.5"), "rate='0.5'"),
    "a rate that is True": (lambda: jt.prune(MASK, SCORES, rate=True), "rate=True"),
    "a rate for each": (lambda: jt.prune(MASK, SCORES, rate=np.array([0.1, 0.2])), "rate="),
    "a sparsity that is a list": (lambda: jt.prune(MASK, SCORES, sparsity=[0.5]), "sparsity="),
    "another scope": (lambda: jt.prune(MASK, SCORES, rate=0.1, scope="world"), "scope='world'"),
    "a scope that is a number": (lambda: jt.prune(MASK, SCORES, rate=0.1, scope=3), "scope=3"),
    "a scope that is a list": (lambda: jt.prune(MASK, SCORES, rate=0.1, scope=["layer"]), "scope="),
    "a scope that covers little": (lambda: jt.prune(MASK, SCORES, scope={"a/.*": 0.5}), "'b/kernel'"),
    "a scope of texts": (lambda: jt.prune(MASK, SCORES, scope={".*": "half"}), "sparsity='half'"),
    "a scope of numbers": (lambda: jt.prune(MASK, SCORES, scope={1: 0.5}), "rule"),
    "a granularity of a number": (lambda: jt.prune(MASK, SCORES, rate=0.1, granularity=4), "granularity=4"),
    "a granularity not called": (lambda: jt.prune(MASK, SCORES, rate=0.1, granularity=jt.block), "granularity="),
    "a limit of a text": (lambda: jt.prune(MASK, SCORES, rate=0.1, max_layer_sparsity="x"), "max_layer_sparsity='x'"),
    "a limit that is None": (lambda: jt.prune(MASK, SCORES, rate=0.1, max_layer_sparsity=None), "max_layer_sparsity"),
    "scores of a list": (lambda: jt.prune(MASK, [1.0], rate=0.1), "the scores is a list"),
    "scores of None": (lambda: jt.prune(MASK, None, rate=0.1), "the scores is None"),
    "scores without a path": (lambda: jt.prune(MASK, {"a/kernel": SCORES["a/kernel"]}, rate=0.1), "'b/kernel'"),
    "scores of other paths": (lambda: jt.prune(MASK, {**SCORES, "c": jnp.ones(3)}, rate=0.1), "'c'"),
    "scores of a number": (lambda: jt.prune(MASK, changed(SCORES, 5), rate=0.1), "a/kernel"),
    "scores of a nested list": (lambda: jt.prune(MASK, changed(SCORES, [[1.0] * 6] * 4), rate=0.1), "a/kernel.*list"),
    "scores of objects": (lambda: jt.prune(MASK, changed(SCORES, np.full((4, 6), None)), rate=0.1), "a/kernel"),
    "scores of whole numbers": (lambda: jt.prune(MASK, changed(SCORES, jnp.ones((4, 6), int)), rate=0.1), "int"),
    "scores of NaN": (lambda: jt.prune(MASK, changed(SCORES, jnp.full((4, 6), jnp.nan)), rate=0.1), "NaN"),
    "scores of another shape": (lambda: jt.prune(MASK, changed(SCORES, jnp.ones((6, 4))), rate=0.1), "shape"),
    "an empty mask": (lambda: jt.prune({}, {}, rate=0.1), "no leaves"),
    "2:4 that does not divide": (lambda: jt.prune(MASK, SCORES, granularity=jt.n_of_m(2, 4)), "b/kernel"),
    "a block of texts": (lambda: jt.block("a", 1), "rows='a'"),
    "a block of nothing": (lambda: jt.block(0, 1), "rows=0"),
    "a block of halves": (lambda: jt.block(2, 1.5), "cols=1.5"),
    "a block of True": (lambda: jt.block(True, 1), "rows=True"),
    "a block of None": (lambda: jt.block(None, 1), "rows=None"),
    "a block's pool": (lambda: jt.block(2, 2, pool="median"), "pool='median'"),
    "a channel's pool": (lambda: jt.channel(pool=5), "pool=5"),
    "a pool that is a list": (lambda: jt.channel(pool=["mean"]), "pool="),
    "0 of 0": (lambda: jt.n_of_m(0, 0), "n=0"),
    "4 of 2": (lambda: jt.n_of_m(4, 2), "n=4, m=2"),
    "n of a text": (lambda: jt.n_of_m("2", 4), "n='2'"),
    "m of a half": (lambda: jt.n_of_m(2, 4.0), "m=4.0"),
    "geometric 1": (lambda: jt.geometric(1), "rate=1"),
    "geometric of a text": (lambda: jt.geometric("0.2"), "rate='0.2'"),
    "geometric of NaN": (lambda: jt.geometric(float("nan")), "rate=nan"),
    "geometric of True": (lambda: jt.geometric(False), "rate=False"),
    "geometric of None": (lambda: jt.geometric(None), "rate=None"),
    "exponential without rounds": (lambda: jt.exponential(0.9, 0), "rounds=0"),
    "exponential of a text": (lambda: jt.exponential(0.9, "ten"), "rounds='ten'"),
    "linear backwards": (lambda: jt.linear(10, 5, 0.0, 0.9), "end=5"),
    "linear of a text": (lambda: jt.linear("0", 5, 0.0, 0.9), "start='0'"),
    "linear of None": (lambda: jt.linear(0, None, 0.0, 0.9), "end=None"),
    "linear above 1": (lambda: jt.linear(0, 5, 0.0, 1.9), "final=1.9"),
    "cubic of no steps": (lambda: jt.cubic(0, 5, 0.0, 0.9, 0), "every=0"),
    "cubic of a half": (lambda: jt.cubic(0, 5, 0.0, 0.9, 0.5), "every=0.5"),
    "keep_pruned of no optimizer": (lambda: jt.keep_pruned(5, MASK), "tx is an int"),
    "keep_pruned of a function": (lambda: jt.keep_pruned(optax.sgd, MASK), "tx is a function"),
    "gradual of no optimizer": (lambda: jt.gradual(None, jt.geometric(0.2)), "tx is None"),
    "gradual of a number": (lambda: jt.gradual(TX, 0.5), "schedule is a float"),
    "gradual of no scores": (lambda: jt.gradual(TX, jt.geometric(0.2), scores=SCORES), "scores is a dict"),
    "gradual of no scope": (lambda: jt.gradual(TX, jt.geometric(0.2), scope="world"), "scope='world'"),
    "gradual of no granularity": (lambda: jt.gradual(TX, jt.geometric(0.2), granularity="block"), "granularity"),
    "gradual of wrong rules": (lambda: jt.gradual(TX, jt.geometric(0.2), rules=5), "rules=5"),
    "mask of no state": (lambda: jt.mask_of(TX.init(PARAMS)), "0 masks"),
    "mask of a number": (lambda: jt.mask_of(5), "0 masks"),
    "plan of no scores": (lambda: jt.plan(PARAMS, rate=0.1, scores=5), "scores is an int"),
    "plan of no mask": (lambda: jt.plan(PARAMS, rate=0.1, mask=[True]), "the mask is a list"),
    "plan of no rules": (lambda: jt.plan(PARAMS, rate=0.1, rules=5), "rules=5"),
    "plan without a demand": (lambda: jt.plan(PARAMS), "exactly one"),
    "refill of a text": (lambda: jt.refill(MASK, SCORES, rate="x"), "rate='x'"),
    "refill of NaN": (lambda: jt.refill(MASK, SCORES, rate=float("nan")), "rate=nan"),
    "refill of no channels": (lambda: jt.refill(MASK, SCORES, min_channels=0), "min_channels=0"),
    "refill of a list": (lambda: jt.refill(MASK, [1.0]), "the scores is a list"),
    "regroup by no rule": (lambda: jt.regroup(MASK, rule="best"), "rule='best'"),
    "regroup by a list": (lambda: jt.regroup(MASK, rule=["budget"]), "rule="),
    "regroup into halves": (lambda: jt.regroup(MASK, groups=1.5), "groups=1.5"),
    "regroup of a text": (lambda: jt.regroup(MASK, ratio="x"), "ratio='x'"),
    "groups of nothing": (lambda: jt.channel_groups(None, PARAMS, X), "fn is None"),
    "work of nothing": (lambda: jt.macs(5, PARAMS, X), "fn is an int"),
    "shrink of nothing": (lambda: jt.shrink(5, PARAMS, MASK, X), "fn is an int"),
    "shrink of shapes": (lambda: jt.shrink(net, jax.eval_shape(lambda: PARAMS), MASK, X), "abstract"),
    "channels without a budget": (lambda: jt.prune_channels(net, PARAMS, X), "exactly one"),
    "channels by a text": (lambda: jt.prune_channels(net, PARAMS, X, ratio="x"), "ratio='x'"),
    "channels by NaN": (lambda: jt.prune_channels(net, PARAMS, X, macs=float("nan")), "macs=nan"),
    "channels by True": (lambda: jt.prune_channels(net, PARAMS, X, parameters=True), "parameters=True"),
    "channels by a share above 1": (lambda: jt.prune_channels(net, PARAMS, X, ratio=1.5), "ratio=1.5"),
    "channels of nothing": (lambda: jt.prune_channels(None, PARAMS, X, ratio=0.5), "fn is None"),
    "channels by no criterion": (lambda: jt.prune_channels(net, PARAMS, X, scores="best", ratio=0.5), "scores='best'"),
    "channels by a number": (lambda: jt.prune_channels(net, PARAMS, X, scores=5, ratio=0.5), "the scores is an int"),
    "channels by a list": (lambda: jt.prune_channels(net, PARAMS, X, scores=[1.0], ratio=0.5), "the scores is a list"),
    "channels by scores of none": (lambda: jt.prune_channels(net, PARAMS, X, scores={}, ratio=0.5), "a/kernel"),
    "channels by scores of 3": (
        lambda: jt.prune_channels(net, PARAMS, X, scores={"a/kernel": jnp.ones(3)}, ratio=0.5), "a/kernel"),
    "channels by what gives None": (
        lambda: jt.prune_channels(net, PARAMS, X, scores=lambda p, m: None, ratio=0.5), "scores"),
    "no channel left": (lambda: jt.prune_channels(net, PARAMS, X, ratio=0.5, min_channels="1"), "min_channels='1'"),
    "blocks of None": (lambda: jt.BlockSparse.from_dense(None), "weight"),
    "blocks of a vector": (lambda: jt.BlockSparse.from_dense(np.ones(4)), "weight"),
    "blocks of a number": (lambda: jt.BlockSparse.from_dense(np.ones((4, 6), np.float32), block=5), "block=5"),
    "blocks of texts": (lambda: jt.BlockSparse.from_dense(np.ones((4, 6), np.float32), block=("a", 1)), "block="),
    "blocks of halves": (lambda: jt.BlockSparse.from_dense(np.ones((4, 6), np.float32), block=(1.5, 1)), "block="),
    "blocks of a wrong mask": (lambda: jt.BlockSparse.from_dense(np.ones((4, 6), np.float32), [True]), "the mask"),
    "groups of None": (lambda: jt.DenseGroups.from_dense(None), "weight"),
    "a product with an array": (lambda: jt.block_matmul(X, jnp.ones((4, 6))), "w is a"),
    "a product with None": (lambda: jt.block_matmul(X, None), "w is a NoneType"),
    "a product of None": (lambda: jt.block_matmul(None, SPARSE), "x is a NoneType"),
    "a product of other inputs": (lambda: jt.block_matmul(jnp.ones((2, 5)), SPARSE), "4 inputs"),
    "a product of whole numbers": (lambda: jt.block_matmul(jnp.ones((2, 4), int), SPARSE), "dtype int"),
    "a bias of 5": (lambda: jt.block_matmul(X, SPARSE, bias=jnp.ones(5)), "bias"),
    "a bias of a text": (lambda: jt.block_matmul(X, SPARSE, bias="b"), "bias"),
    "no activation": (lambda: jt.block_matmul(X, SPARSE, activation="swish"), "activation='swish'"),
    "no backend": (lambda: jt.block_matmul(X, SPARSE, backend=5), "backend=5"),
    "a backend that is a list": (lambda: jt.block_matmul(X, SPARSE, backend=["xla"]), "backend="),
    "a convolution of a matrix": (lambda: jt.block_conv(X, KERNEL), "x has shape"),
    "a convolution with an array": (lambda: jt.block_conv(jnp.ones((1, 5, 5, 2)), jnp.ones((3, 3, 2, 4))), "w is a"),
    "a stride of 0": (lambda: jt.block_conv(jnp.ones((1, 5, 5, 2)), KERNEL, strides=0), "strides=0"),
    "a stride of a text": (lambda: jt.block_conv(jnp.ones((1, 5, 5, 2)), KERNEL, strides="a"), "strides='a'"),
    "three strides": (lambda: jt.block_conv(jnp.ones((1, 5, 5, 2)), KERNEL, strides=(1, 1, 1)), "strides="),
    "a negative padding": (lambda: jt.block_conv(jnp.ones((1, 5, 5, 2)), KERNEL, padding=-1), "padding=-1"),
    "another padding": (lambda: jt.block_conv(jnp.ones((1, 5, 5, 2)), KERNEL, padding="same"), "padding='same'"),
    "a sparse number": (lambda: jt.sparsify(5, PARAMS, MASK, X), "got a int"),
    "a speed of a text": (lambda: jt.sparsify(net, PARAMS, MASK, X, min_speedup="x"), "min_speedup='x'"),
    "a sparse block": (lambda: jt.sparsify(net, PARAMS, MASK, X, block=3), "block=3"),
    "no folder": (lambda: jt.load_ticket(5), "5"),
    "None as folder": (lambda: jt.load_ticket(None), "None"),
    "an empty folder": (lambda: jt.load_ticket("nowhere"), "nowhere"),
    "no ticket": (lambda: jt.save_ticket("never-written", MASK), "Ticket"),
    "a ticket nowhere": (lambda: jt.save_ticket(5, jt.Ticket(PARAMS, MASK)), "5"),
    "meta of a list": (lambda: jt.save_ticket("never-written", jt.Ticket(PARAMS, MASK, {}, [1])), "meta"),
    "meta that is no JSON": (lambda: jt.save_ticket("never-written", jt.Ticket(PARAMS, MASK, {}, {"a": {1}})), "meta"),
    "an export of parameters": (lambda: jt.export(PARAMS, X), "model is a dict"),
    "an export of a function": (lambda: jt.export(net, X), "model is a function"),
    "an export of a number of things": (lambda: jt.export((net, PARAMS, X), X), "model is a tuple"),
    "an export without inputs": (lambda: jt.export((net, PARAMS), folder="never-written"), "no inputs"),
    "an export of other inputs": (lambda: jt.export((net, PARAMS), jnp.ones((2, 5))), "cannot be exported"),
    "a batch of a number": (lambda: jt.export((net, PARAMS), X, batch=5), "batch=5"),
    "a batch of no name": (lambda: jt.export((net, PARAMS), X, batch="5 b"), "batch='5 b'"),
    "no platform": (lambda: jt.export((net, PARAMS), X, platforms=["abacus"]), r"platforms=\['abacus'\]"),
    "an export of a list of facts": (lambda: jt.export((net, PARAMS), X, meta=[1]), "meta"),
    "ONNX of parameters": (lambda: jt.export_onnx(PARAMS, X, file="never-written"), "model is a dict"),
    "ONNX without inputs": (lambda: jt.export_onnx((net, PARAMS), file="never-written"), "no inputs"),
    "no exported model": (lambda: jt.load_exported("nowhere"), "nowhere holds no jaxticket-export"),
    "an exported model of a number": (lambda: jt.load_exported(5), "5"),
    "a saved list": (lambda: jt.save_model("never-written", [PARAMS]), "model is a list"),
    "a model saved nowhere": (lambda: jt.save_model(5, (net, PARAMS)), "5"),
    "no saved model": (lambda: jt.load_model("nowhere", net), "nowhere holds no jaxticket-model"),
    "another tree": (lambda: jt.Ticket(PARAMS, MASK).restore({"c": 1}), "'a/kernel'"),
    "a number instead of a tree": (lambda: jt.Ticket(PARAMS, MASK).restore(5), "''|'a/kernel'"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_argument_is_one_line(case, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    call, said = WRONG[case]
    refused(call, said)
    assert not list(tmp_path.iterdir())


def test_files_in_place_of_folders_are_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        refused(lambda folder=folder: jt.load_ticket(folder), "file")
        refused(lambda folder=folder: jt.save_ticket(folder, jt.Ticket(PARAMS, MASK)), "file")
    for name in ("ticket.json", "ticket.safetensors"):
        (tmp_path / "odd" / name).mkdir(parents=True)
    refused(lambda: jt.load_ticket(tmp_path / "odd"), "odd")
    refused(lambda: jt.save_ticket(tmp_path / "odd", jt.Ticket(PARAMS, MASK)), "odd")


def test_every_public_function_is_in_these_tables():
    tables = {**TAKE_MASKS, **ONE_MASK, **GONE}
    used = {name for call, _ in WRONG.values() for name in getattr(call, "__code__", jt.union.__code__).co_names}
    left = {name for name in jt.__all__ if callable(getattr(jt, name))} - used - set(tables)
    returned, rows = (
        {"ExportedModel", "Sparsified", "Shrunk", "Regrouped", "ChannelGroups"},
        {"Criterion", "NamedGranularity", "Scope"},
    )
    assert left == returned | rows
