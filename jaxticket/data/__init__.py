"""Data sets of labelled images: what is known of them, how they are read and split, and input inside jit."""

from typing import TYPE_CHECKING

from jaxticket.core.lazy import lazy_exports

if TYPE_CHECKING:
    from jaxticket.data.loading import load as load
    from jaxticket.data.options import DataOptions as DataOptions
    from jaxticket.data.own.schemes import DataScheme as DataScheme
    from jaxticket.data.own.schemes import LabelledImages as LabelledImages
    from jaxticket.data.own.schemes import OwnFiles as OwnFiles
    from jaxticket.data.own.schemes import register_scheme as register_scheme
    from jaxticket.data.registry import is_vouched_for as is_vouched_for
    from jaxticket.data.registry import names as names
    from jaxticket.data.registry import register as register
    from jaxticket.data.registry import spec as spec
    from jaxticket.data.specs import Archive as Archive
    from jaxticket.data.specs import DatasetSpec as DatasetSpec
    from jaxticket.data.splits import Dataset as Dataset
    from jaxticket.data.splits import Split as Split
    from jaxticket.data.splits import SplitLike as SplitLike

__getattr__, __dir__, __all__ = lazy_exports(__name__)
