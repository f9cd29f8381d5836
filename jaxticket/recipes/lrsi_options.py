"""Options of learning the scales of an initialisation, checked without importing JAX."""

import dataclasses

from jaxticket.core.options import option


@dataclasses.dataclass(frozen=True)
class LrsiOptions:
    """Options of `lrsi`.

    Attributes:
        iterations: number of steps on the scales.
        rate: learning rate of the scales.
        eta: length of the step on the weights whose outcome is judged.
        gamma: the largest norm of the gradient; None for no bound.
        direction: of that step: `sgd` follows the gradient and bounds its Euclidean norm, `adam` follows the signs of
            the gradient and bounds the sum of its sizes.
        normalise: for `sgd`, divide the gradient by its norm first.
        overlap: judge the step on data half of which it was computed from; if False, on new data only.
        order: `mask_first` learns the scales of the sparse network, `scale_first` those of the dense network, which is
            masked afterwards.
        min_scale: the smallest scale of a tensor other than a bias; for biases it is 0.
        clip: bound of the absolute value of the gradient of a scale.
    """

    iterations: int = option(180, minimum=1)
    rate: float = option(0.01, above=0)
    eta: float = option(0.1, above=0)
    gamma: float | None = option(1.0, above=0)
    direction: str = option("sgd", choices=("sgd", "adam"))
    normalise: bool = option(True)
    overlap: bool = option(True)
    order: str = option("mask_first", choices=("mask_first", "scale_first"))
    min_scale: float = option(0.01, minimum=0)
    clip: float = option(1.0, above=0)
