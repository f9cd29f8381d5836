"""From a trained network to a file on a server: StableHLO, ONNX, and models saved with their structure."""

from typing import TYPE_CHECKING

from jaxticket.core.lazy import lazy_exports

if TYPE_CHECKING:
    from jaxticket.serving.exported import ExportedModel as ExportedModel
    from jaxticket.serving.exported import load_exported as load_exported
    from jaxticket.serving.onnx import export_onnx as export_onnx
    from jaxticket.serving.saved_model import load_model as load_model
    from jaxticket.serving.saved_model import save_model as save_model
    from jaxticket.serving.stablehlo import export as export

__getattr__, __dir__, __all__ = lazy_exports(__name__)
