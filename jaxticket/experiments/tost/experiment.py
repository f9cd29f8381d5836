"""Sparse networks from any mask, trained with and without the aids of ToST (Jaiswal et al. 2022)."""

import dataclasses
from pathlib import Path

from jaxticket.analysis import Pair
from jaxticket.core.errors import ConfigError
from jaxticket.experiments.tost.analysis import compare_treatments
from jaxticket.experiments.tost.measurements import analyse
from jaxticket.experiments.tost.options import (
    OF_TRAINED,
    PLAIN,
    SOURCES,
    TostOptions,
    aids_of,
    branch_of,
    criterion_of_initial,
    is_ticket,
)
from jaxticket.lab.aid_options import AidOptions
from jaxticket.lab.given import given_ticket
from jaxticket.lab.lab import Lab
from jaxticket.lab.prune_options import PruneOptions
from jaxticket.lab.stages.references import MaskRef, WeightsRef
from jaxticket.lab.trained import Trained
from jaxticket.ticket import DESCRIPTION
from jaxticket.training.mask_updates import GradualPruning


def tost(lab: Lab, options: TostOptions) -> None:
    """Finds masks without aids, and trains each of them in every cell, from initial weights; tickets from theirs."""
    plain = lab.variant(aids=AidOptions())
    cells = {cell: lab.variant(aids=aids_of(cell, options.aids)) for cell in options.all_treatments}

    def one_seed(seed: int) -> None:
        init, masks = plain.init(seed), _Masks(plain, options, seed)
        if options.dense:
            plain.record("dense", 0, seed, masks.dense, masks.full, start=init)
        for source in options.sources:
            branch = branch_of(source)
            if is_ticket(source):
                start, mask = source_ticket(plain, source)
                found = [(1, start, mask, start)]
            else:
                made = [masks.of(source, *level) for level in enumerate(options.sparsities, start=1)]
                found = [(level, init, mask, pruned) for level, (mask, pruned) in enumerate(made, start=1)]
            for level, start, mask, pruned in found:
                for cell, own in cells.items():
                    how = {"label": f"{branch}-{level}-{seed} {cell}", "case": {"aids": cell}}
                    own.train_row(branch, level, seed, start, mask, pruned=pruned, **how)

    lab.for_each_seed(one_seed)
    lab.recorder.conclude("aids", compare_treatments)
    lab.recorder.compare(
        *(
            Pair(f"{source} {cell}", f"{source} {PLAIN}")
            for source in map(branch_of, options.sources)
            for cell in options.all_treatments
            if cell != PLAIN
        )
    )
    if options.analyse:
        analyse(plain, options)


def source_ticket(lab: Lab, folder: str) -> tuple[WeightsRef, MaskRef]:
    """The weights and the mask of a source that is the folder of a ticket.

    Raises:
        ConfigError: it is none.
        TicketError: the ticket is damaged.
        MaskError: the ticket is of another network.
    """
    if not (Path(folder) / DESCRIPTION).is_file():
        raise ConfigError(
            f"config.sources: {folder!r} is no folder of a ticket; name one, such as "
            f"runs/imp-1a2b3c4d/tickets/imp-4-0, or one of {', '.join(SOURCES)}"
        )
    return given_ticket(lab, Path(folder), key="sources")[:2]


class _Masks:
    """The masks of one seed."""

    def __init__(self, lab: Lab, options: TostOptions, seed: int) -> None:
        self._lab, self._options, self._seed = lab, options, seed
        self.full = lab.full_mask(options.prune)
        self._rounds: list[tuple[Trained, MaskRef]] = []

    @property
    def dense(self) -> Trained:
        """The dense network."""
        return self._lab.train(self._lab.init(self._seed), self.full, seed=self._seed, label=f"dense-0-{self._seed}")

    def of(self, source: str, level: int, sparsity: float) -> tuple[MaskRef, WeightsRef]:
        """The mask of a source at a sparsity, and the weights that were pruned to it."""
        criterion = criterion_of_initial(source)
        if criterion:
            how = dataclasses.replace(self._options.prune, criterion=criterion)
            return self._pruned(self._lab.init(self._seed), self.full, sparsity, how)
        if source in OF_TRAINED:
            how = dataclasses.replace(self._options.prune, criterion=OF_TRAINED[source])
            return self._pruned(self.dense.weights, self.full, sparsity, how)
        return self._gradual(level, sparsity) if source == "gmp" else self._iterative(sparsity)

    def _pruned(
        self, weights: WeightsRef, mask: MaskRef, sparsity: float, how: PruneOptions
    ) -> tuple[MaskRef, WeightsRef]:
        return self._lab.prune(weights, mask, how, seed=self._seed, sparsity=sparsity), weights

    def _gradual(self, level: int, sparsity: float) -> tuple[MaskRef, WeightsRef]:
        options, lab = self._options, self._lab
        every = options.gmp_every_steps
        # Whole intervals, so that the last pruning is one to the sparsity asked for.
        end = max(1, int(options.gmp_end * lab.setting.duration.total_steps / every)) * every
        rule = GradualPruning(0, end, every, sparsity, scope=options.prune.scope)
        label = f"gmp-{level}-{self._seed}"
        trained = lab.train(lab.init(self._seed), self.full, seed=self._seed, label=label, mask_update=rule)
        return trained.mask, trained.weights

    def _iterative(self, sparsity: float) -> tuple[MaskRef, WeightsRef]:
        """Rounds at `prune.rate`, shared by all sparsities; the last one prunes to exactly the sparsity."""
        rate, number = self._options.prune.rate, 0
        while 1 - (1 - rate) ** (number + 1) < sparsity - 1e-9:
            number += 1
        trained, mask = self._round(number)
        return self._pruned(trained.weights, mask, sparsity, self._options.prune)

    def _round(self, number: int) -> tuple[Trained, MaskRef]:
        if not self._rounds:
            self._rounds.append((self.dense, self.full))
        lab, seed = self._lab, self._seed
        for following in range(len(self._rounds), number + 1):
            trained, mask = self._rounds[-1]
            mask = lab.prune(trained.weights, mask, self._options.prune, seed=seed)
            trained = lab.train(lab.init(seed), mask, seed=seed, label=f"lt round {following}, seed {seed}")
            self._rounds.append((trained, mask))
        return self._rounds[number]
