"""The setting of an experiment: its data set, its network and its way of training, the same for every stage."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxticket import data, models
from jaxticket.core import masks, paths
from jaxticket.core.errors import ConfigError, DataError, MaskError
from jaxticket.core.options import chosen
from jaxticket.core.types import LossFn, Variables
from jaxticket.data.availability import labels_are_at_hand
from jaxticket.data.registry import data_folder
from jaxticket.data.sources.find import readers
from jaxticket.data.splits import Dataset, Split
from jaxticket.lab.aid_options import AidOptions
from jaxticket.lab.aids import NetworkAid
from jaxticket.lab.options import ExperimentOptions
from jaxticket.lab.stages.own_sources import own_sources
from jaxticket.models.initialize import checked_variables
from jaxticket.parallel import Layout, choose_layout
from jaxticket.recipes.lrsi_options import LrsiOptions
from jaxticket.structure.macs import macs
from jaxticket.training.duration import Duration
from jaxticket.training.losses import function_of_loss
from jaxticket.training.objectives import Metric
from jaxticket.training.options import TrainOptions
from jaxticket.training.scores import score_of
from jaxticket.training.state import Weights
from jaxticket.training.trainer import Trainer


class Setting:
    """What follows from an experiment's options; what is heavy is made when it is first needed.

    Attributes:
        options: of the experiment.
        scaling_steps: the compiled work of learning scales, by its options.

    Args:
        options: of the experiment.
        planning: whether nothing is going to be computed, so that data that is not at hand need not be there.
    """

    def __init__(self, options: ExperimentOptions, *, planning: bool = False) -> None:
        self.options = options
        self._planning = planning
        self._trainers: dict[tuple[TrainOptions, AidOptions | None], Trainer] = {}
        self._aids: dict[int, NetworkAid] = {}
        self.scaling_steps: dict[LrsiOptions, Any] = {}
        self._joint_trainers: dict[tuple[Trainer, ...], Trainer] = {}
        self._lender: Setting | None = None

    def share_data(self, other: "Setting") -> None:
        """Uses the data of another setting, whose options of the data are the same, instead of reading it again.

        Where the network is the same too, so is the compiled work.
        """
        self._lender = other
        same_dtype = self.options.train.compute_dtype == other.options.train.compute_dtype
        if self.options.model == other.options.model and same_dtype:
            self._trainers, self.scaling_steps = other._trainers, other.scaling_steps

    @functools.cached_property
    def spec(self) -> data.DatasetSpec:
        """What is known of the data set without reading it."""
        return self.options.data.spec

    @functools.cached_property
    def model(self) -> Any:
        """The network."""
        return models.create_model(
            self.options.model.name,
            num_classes=self.options.data.num_classes,
            image_shape=self.image_shape,
            dtype=self.options.train.compute_dtype,
            **self.options.model.options,
        )

    @functools.cached_property
    def shapes(self) -> Weights:
        """The network's arrays, abstract; raises `ConfigError` where it gives no logits [batch, num_classes]."""
        name, outputs = self.options.model.name, (*self.spec.target_shape, self.options.data.num_classes)
        return Weights(*checked_variables(self.model, name, self.image_shape, outputs))

    @property
    def duration(self) -> Duration:
        """The length of every training run by `config.train`."""
        return self.duration_of(self.options.train)

    @property
    def length(self) -> Mapping[str, float]:
        """The same by unit, as options are held against it."""
        return self.options.train.length(self.duration.steps_per_epoch)

    def duration_of(self, train: TrainOptions) -> Duration:
        """The length of a training run by other options."""
        return Duration.of(train, self.split_sizes[0])

    def layout_of(self, train: TrainOptions) -> Layout:
        """Where a single network is trained by some options.

        Raises:
            ConfigError: the devices are not what `config.mesh` asks for, or do not divide the batch.
        """
        return choose_layout(self.options.mesh, train.batch_size)

    @functools.cached_property
    def dataset(self) -> Dataset:
        """The data, read on first use."""
        return self._lender.dataset if self._lender else data.load(**self.options.data.load_arguments())

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of what the network is given."""
        return self.options.data.image_shape

    @functools.cached_property
    def split_sizes(self) -> tuple[int, int, int]:
        """The number of (training, validation, test) images; of a part of the classes only the labels can tell.

        A plan without them takes as many as there are if all classes have equally many.
        """
        known = self.options.data.split_sizes()
        if known is None and self.sizes_are_estimated:
            return self.options.data.estimated_sizes()
        return known or (self.dataset.train.size, self.dataset.val.size, self.dataset.test.size)

    @functools.cached_property
    def sizes_are_estimated(self) -> bool:
        """Whether this is a plan whose split sizes only labels could tell that are not at hand."""
        options = self.options.data
        unknown = options.split_sizes() is None
        return self._planning and unknown and not labels_are_at_hand(self.spec, data_folder(options.folder))

    @property
    def trainer(self) -> Trainer:
        """The compiled step, shared by all runs by `config.train`."""
        return self.trainer_of(self.options.train.without_metrics)

    @property
    def loss(self) -> LossFn:
        """(outputs, targets) -> the loss of each example of a batch, or of all of them."""
        return function_of_loss(self.options.train)

    @property
    def score(self) -> Metric:
        """The metric that stands for accuracy."""
        return score_of(self.options.train, self.spec.targets)

    @property
    def loss_fn(self) -> LossFn | None:
        """The loss of a batch as criteria take it; None for cross entropy."""
        if self.options.train.loss == TrainOptions.loss:
            return None
        return lambda outputs, targets: self.loss(outputs, targets).mean()

    def trainer_of(self, train: TrainOptions) -> Trainer:
        """The compiled step of runs by other options, shared by all of them; with what `config.aids` does in it."""
        train = train.computed
        key = train, self.options.aids.in_network
        if key not in self._trainers:
            apply = functools.partial(models.apply_model, self.model)
            aid = self.aid_of(train)
            self._trainers[key] = Trainer(apply, self.dataset, train, self.options.data.augment, aid)
        return self._trainers[key]

    def aid_of(self, train: TrainOptions) -> NetworkAid | None:
        """What acts in the network while it trains, None where nothing does.

        Raises:
            ConfigError: the network cannot be helped so.
        """
        options, steps = self.options.aids.in_network, self.duration_of(train).total_steps
        if options is None:
            return None
        if train.ema_decay and options.permanent and options.ghost_skips:
            raise ConfigError(
                f"config.train.ema_decay={train.ema_decay}: permanent ghost skips are not averaged; set it to 0, or "
                "config.aids.permanent to False"
            )
        if steps not in self._aids:
            self._aids[steps] = NetworkAid(self.model, self.image_shape, options, steps)
        return self._aids[steps]

    def joint_trainer(self, settings: Sequence["Setting"], train: TrainOptions) -> Trainer:
        """The trainer of runs in several settings of one network: `trainer_of` where all have the same data."""
        trainers = tuple(setting.trainer_of(train) for setting in settings)
        if all(trainer is trainers[0] for trainer in trainers):
            return trainers[0]
        if trainers not in self._joint_trainers:
            apply = functools.partial(models.apply_model, self.model)
            datasets = [setting.dataset for setting in settings]
            augment, aid = self.options.data.augment, self.aid_of(train)
            self._joint_trainers[trainers] = Trainer(apply, datasets, train, augment, aid)
        return self._joint_trainers[trainers]

    def needs_memory(self, what: str, instead: str = "") -> None:
        """Refuses data that is streamed, with a `ConfigError`.

        `what` is the key and value that needs images in memory, such as `prune.criterion='snip'`; `instead` what to
        choose otherwise.
        """
        if self.spec.stream:
            remedy = f"; {instead}" if instead else ""
            raise ConfigError(f"config.{what}: needs images in memory, and {self.spec.name} is streamed{remedy}")

    def images(self, split: str, what: str, instead: str = "") -> Split:
        """The images and labels of `train`, `val` or `test`, in memory; raises as `needs_memory`."""
        self.needs_memory(what, instead)
        found = getattr(self.dataset, split)
        assert isinstance(found, Split)
        return found

    def prunable(self, rules: tuple[tuple[str, bool], ...] = ()) -> dict[str, int]:
        """The number of weights in each leaf that `rules` (empty: the default ones) let be pruned.

        Raises:
            MaskError: the rules leave nothing to prune, or do not cover a leaf.
        """
        mask = jax.eval_shape(lambda: masks.full_mask(self.shapes.params, rules or masks.DEFAULT_RULES))
        if not mask:
            raise MaskError(
                f"config.prune.rules: nothing in {self.options.model.name} is prunable; its parameters are "
                f"{', '.join(paths.leaves(self.shapes.params))}"
            )
        return {path: leaf.size for path, leaf in mask.items()}

    def as_function(self, weights: Weights) -> tuple[Callable[..., jax.Array], dict[str, Any], jax.ShapeDtypeStruct]:
        """The evaluated network as (variables, x) -> logits, its variables, and the shape of a batch of one image."""

        def apply(variables: Variables, x: jax.Array) -> jax.Array:
            state = {name: tree for name, tree in variables.items() if name != "params"}
            return models.apply_model(self.model, variables["params"], state, x, train=False)[0]

        variables = {"params": weights.params, **weights.model_state}
        return apply, variables, jax.ShapeDtypeStruct((1, *self.image_shape), np.float32)

    @functools.cached_property
    def macs(self) -> int:
        """Multiply-accumulates of one image in the dense network; nothing is computed."""
        if self._lender is not None and self._lender.options.model == self.options.model:
            return self._lender.macs
        return macs(*self.as_function(self.shapes))

    @property
    def parameters(self) -> int:
        """The number of the network's parameters, running statistics not counted."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.shapes.params))

    def network_key(self) -> dict[str, Any]:
        """What the shapes and the initialisation of the network depend on.

        A network that is not the package's has a digest of its sources in it.
        """
        version, source = models.network(self.options.model.name).version, self._network_source
        return {
            "model": chosen(self.options.model),
            "image_shape": list(self.image_shape),
            "num_classes": self.options.data.num_classes,
            **({"network_version": version} if version > 1 else {}),
            **({"source": source} if source else {}),
        }

    @functools.cached_property
    def _network_source(self) -> str:
        return own_sources(models.network(self.options.model.name).factory)

    def data_key(self) -> dict[str, Any]:
        """What the images depend on.

        Data whose content the package does not know has a digest of it, and of the sources that read it where they are
        not the package's. Where data that is named by its place lies does not matter.
        """
        source, content = self._reader_source, self.data_content
        scheme, colon, _ = self.options.data.name.partition(":")
        return {
            **chosen(self.options.data),
            **({"name": scheme} if colon else {}),
            **({"source": source} if source else {}),
            **({"content": content} if content != "" else {}),
        }

    def batches_key(self, train: TrainOptions) -> dict[str, Any]:
        """What the network's outputs on batches depend on, as well as its weights."""
        how = {"batch_size": train.batch_size, "compute_dtype": train.compute_dtype}
        return {**self.network_key(), "data": self.data_key(), **how}

    @functools.cached_property
    def _reader_source(self) -> str:
        return own_sources(*readers(self.spec))

    @functools.cached_property
    def data_content(self) -> str | None:
        """A digest of the data; empty where the package knows them, None where they are not there to be read."""
        if data.is_vouched_for(self.options.data.name) and not self._reader_source:
            return ""
        try:
            return self.dataset.content
        except DataError:
            return None

    def check_same_network(
        self, params: Any, folder: Path, *, key: str = "ticket", model_state: Any | None = None
    ) -> None:
        """Refuses arrays that belong to another network.

        `folder` is where they are from, `key` that of the configuration that named it; without `model_state` the
        network's other arrays are not looked at.

        Raises:
            MaskError: a leaf is missing, or has another shape.
        """

        def shapes(weights: Weights) -> dict[str, Any]:
            trees = weights if model_state is not None else weights[:1]
            return {path: leaf.shape for tree in trees for path, leaf in paths.leaves(tree).items()}

        found, wanted = shapes(Weights(params, model_state)), shapes(self.shapes)
        different = sorted(path for path in found.keys() | wanted.keys() if found.get(path) != wanted.get(path))
        if different:
            path = different[0]
            raise MaskError(
                f"config.{key}={str(folder)!r}: {path} is {found.get(path, 'absent')} there and "
                f"{wanted.get(path, 'absent')} in {self.options.model.name} on {self.options.data.name}; "
                f"set config.model and config.data to the folder's"
            )
