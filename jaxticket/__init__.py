"""jaxticket finds, trains, judges and runs sparse neural networks in JAX.

    import jaxticket as jt

Importing it is cheap: names load on first use.
"""

from typing import TYPE_CHECKING

from jaxticket.core.lazy import lazy_exports

if TYPE_CHECKING:
    from jaxticket.core.criteria import Criterion as Criterion
    from jaxticket.core.criteria import criteria as criteria
    from jaxticket.core.criteria.bn_scale import bn_scale as bn_scale
    from jaxticket.core.criteria.grasp import grasp as grasp
    from jaxticket.core.criteria.lamp import lamp as lamp
    from jaxticket.core.criteria.magnitude import magnitude as magnitude
    from jaxticket.core.criteria.movement import movement as movement
    from jaxticket.core.criteria.obd import obd as obd
    from jaxticket.core.criteria.random import random_scores as random_scores
    from jaxticket.core.criteria.snip import snip as snip
    from jaxticket.core.criteria.snip import taylor as taylor
    from jaxticket.core.criteria.synflow import synflow as synflow
    from jaxticket.core.criteria.synflow import synflow_prune as synflow_prune
    from jaxticket.core.criteria.wanda import wanda as wanda
    from jaxticket.core.gradual import gradual as gradual
    from jaxticket.core.granularities import NamedGranularity as NamedGranularity
    from jaxticket.core.granularities import granularities as granularities
    from jaxticket.core.granularity import UNSTRUCTURED as UNSTRUCTURED
    from jaxticket.core.granularity import block as block
    from jaxticket.core.granularity import channel as channel
    from jaxticket.core.granularity import n_of_m as n_of_m
    from jaxticket.core.masks import DEFAULT_RULES as DEFAULT_RULES
    from jaxticket.core.masks import apply_mask as apply_mask
    from jaxticket.core.masks import count as count
    from jaxticket.core.masks import distance as distance
    from jaxticket.core.masks import full_mask as full_mask
    from jaxticket.core.masks import intersect as intersect
    from jaxticket.core.masks import layer_sparsity as layer_sparsity
    from jaxticket.core.masks import sparsity as sparsity
    from jaxticket.core.masks import sparsity_total as sparsity_total
    from jaxticket.core.masks import union as union
    from jaxticket.core.optax import keep_pruned as keep_pruned
    from jaxticket.core.optax import mask_of as mask_of
    from jaxticket.core.prune import prune as prune
    from jaxticket.core.pruning_plan import plan as plan
    from jaxticket.core.recalibrate import recalibrate as recalibrate
    from jaxticket.core.schedules import cubic as cubic
    from jaxticket.core.schedules import exponential as exponential
    from jaxticket.core.schedules import geometric as geometric
    from jaxticket.core.schedules import linear as linear
    from jaxticket.core.scopes import Scope as Scope
    from jaxticket.core.scopes import scopes as scopes
    from jaxticket.kernels.conv import block_conv as block_conv
    from jaxticket.kernels.convert.report import Sparsified as Sparsified
    from jaxticket.kernels.convert.sparsify import sparsify as sparsify
    from jaxticket.kernels.formats.block_sparse import BlockSparse as BlockSparse
    from jaxticket.kernels.formats.dense_groups import DenseGroups as DenseGroups
    from jaxticket.kernels.matmul import block_matmul as block_matmul
    from jaxticket.serving.exported import ExportedModel as ExportedModel
    from jaxticket.serving.exported import load_exported as load_exported
    from jaxticket.serving.onnx import export_onnx as export_onnx
    from jaxticket.serving.saved_model import load_model as load_model
    from jaxticket.serving.saved_model import save_model as save_model
    from jaxticket.serving.stablehlo import export as export
    from jaxticket.structure.channel_groups.channels import ChannelGroups as ChannelGroups
    from jaxticket.structure.channel_groups.trace import channel_groups as channel_groups
    from jaxticket.structure.macs import macs as macs
    from jaxticket.structure.prune_channels import prune_channels as prune_channels
    from jaxticket.structure.refill import refill as refill
    from jaxticket.structure.regroup.regroup import Regrouped as Regrouped
    from jaxticket.structure.regroup.regroup import regroup as regroup
    from jaxticket.structure.shrink.shrink import Shrunk as Shrunk
    from jaxticket.structure.shrink.shrink import shrink as shrink
    from jaxticket.ticket import Ticket as Ticket
    from jaxticket.ticket import load_ticket as load_ticket
    from jaxticket.ticket import save_ticket as save_ticket

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_exports(__name__)
