"""Scales of normalisations, which rank channels."""

from jaxticket.core.checks import check_paths
from jaxticket.core.criteria.magnitude import magnitude
from jaxticket.core.errors import MaskError
from jaxticket.core.types import Mask, Params, Scores


def bn_scale(params: Params, mask: Mask) -> Scores:
    """The absolute value of normalisation scales, one score for each channel.

    It is the criterion of Liu et al., "Learning efficient convolutional networks through network slimming" (ICCV
    2017), section 3, and of the masks of You et al., "Drawing Early-Bird tickets" (ICLR 2020). A mask for it comes
    from `full_mask(params, [(r"(.*/)?scale", True), (".*", False)])`.

    Args:
        params: any pytree of arrays.
        mask: path -> bool array; its paths end in `/scale`, and are scored.

    Returns:
        Path -> float32 array of the leaf's shape (float64 for a float64 leaf).

    Raises:
        MaskError: a mask that does not fit `params`, or has a leaf that is not a scale.

    Example:
        >>> params = {"norm": {"scale": jnp.array([0.1, -2.0]), "bias": jnp.zeros(2)}}
        >>> mask = jt.full_mask(params, [(r"(.*/)?scale", True), (".*", False)])
        >>> jt.prune(mask, jt.bn_scale(params, mask), sparsity=0.5)["norm/scale"].tolist()
        [False, True]
    """
    check_paths("the mask", mask)
    for path in mask:
        if path.split("/")[-1] != "scale":
            raise MaskError(
                f"the mask has {path!r}, bn_scale scores normalisation scales only; "
                "make the mask with the rules [(r'(.*/)?scale', True), ('.*', False)]"
            )
    return magnitude(params, mask)
