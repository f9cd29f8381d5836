"""Vision Transformers (Dosovitskiy et al. 2021), in the small sizes of DeiT (Touvron et al. 2021)."""

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from jaxticket.core.errors import JaxticketError
from jaxticket.core.options import option
from jaxticket.models.architecture import HEAD_INITS, INITS, Architecture, is_large
from jaxticket.models.registry import Network, register

if TYPE_CHECKING:
    import jax

    from jaxticket.models.layers import Layers


def attention(query: "jax.Array", key: "jax.Array", value: "jax.Array") -> "jax.Array":
    """Each token's mean of all values, weighted by softmax(query . key / sqrt(D)): three [B, tokens, heads, D] -> one.

    The softmax is float32 whatever the compute dtype.
    """
    import jax
    import jax.numpy as jnp

    scores = jnp.einsum("bqhd,bkhd->bhqk", query, key) / math.sqrt(query.shape[-1])
    weights = jax.nn.softmax(scores.astype(jnp.float32)).astype(value.dtype)
    return jnp.einsum("bhqk,bkhd->bqhd", weights, value)


def encoder_block(layers: "Layers", x: "jax.Array", heads: int) -> "jax.Array":
    """Self-attention and a two-layer perceptron, each normalised first and added to its input.

    The kernels `qkv`, `proj`, `mlp1` and `mlp2` are matrices [inputs, outputs], as pruning in blocks or columns
    wants them; the heads of `qkv` are contiguous columns.

    Returns:
        [B, tokens, features], the shape of x.
    """
    import jax.numpy as jnp

    features = x.shape[-1]
    y = layers.dense(layers.layer_norm(x, "norm1"), 3 * features, "qkv")
    query, key, value = jnp.split(y.reshape(*y.shape[:-1], 3 * heads, features // heads), 3, axis=-2)
    x = x + layers.dense(attention(query, key, value).reshape(x.shape), features, "proj")
    y = layers.dense_act(layers.layer_norm(x, "norm2"), 4 * features, "mlp1")
    return x + layers.dense(y, features, "mlp2")


@dataclasses.dataclass(frozen=True)
class VisionTransformer(Architecture):
    """Patches by a convolution `stem`, a class token, learned positions, `block<i>`, `final_norm`, `head`.

    Attributes:
        head_init: scheme of the classifier's weights; `same` is `init`.
        features: of a token, a multiple of `heads`.
        heads: of each self-attention.
        depth: number of blocks.
        patch_size: pixels a side; 0 is 16 for images of 112 pixels or more and 4 for smaller ones.
        pool: what the classifier reads: a class `token`, or the `mean` over all patches, and there is no token.
    """

    activation: Any = "gelu"
    init: str = option("gaussian_0.02", choices=INITS)
    head_init: str = option("same", choices=HEAD_INITS)
    features: int = 192
    heads: int = 3
    depth: int = 12
    patch_size: int = option(0, minimum=0)
    pool: str = option("token", choices=("token", "mean"))

    def __call__(self, layers: "Layers", x: "jax.Array") -> "jax.Array":
        """Logits float32 [B, classes] of images float [B, H, W, C]."""
        layers.check_images("a Vision Transformer", x)
        patch = self.patch_size or (16 if is_large(x) else 4)
        if x.shape[1] % patch or x.shape[2] % patch:
            raise JaxticketError(
                f"a Vision Transformer with patch_size={patch} takes images whose sides are multiples of {patch}, got "
                f"{x.shape[1]}x{x.shape[2]}; set config.model.options={{'patch_size': ...}} to a divisor"
            )
        import jax.numpy as jnp

        x = layers.conv(x, self.features, patch, "stem", stride=patch, padding="valid")
        x = x.reshape(x.shape[0], -1, self.features)
        if self.pool == "token":
            token = layers.weight("class_token", 0.02, (1, 1, self.features)).astype(x.dtype)
            x = jnp.concatenate([jnp.broadcast_to(token, (x.shape[0], 1, self.features)), x], axis=1)
        x = x + layers.weight("position", 0.02, (1, x.shape[1], self.features)).astype(x.dtype)
        for i in range(self.depth):
            x = layers.block(f"block{i}", encoder_block, x, self.heads)
        x = layers.layer_norm(x, "final_norm")
        return layers.head(x[:, 0] if self.pool == "token" else x.mean(axis=1))


# Touvron et al. (2021), table 9, without its stronger augmentation.
_TRAIN = {
    "optimizer": "adamw",
    "lr": 5e-4,
    "weight_decay": 0.05,
    "batch_size": 128,
    "schedule": "cosine",
    "warmup_epochs": 5.0,
}
register(Network("vit_ti", VisionTransformer, {"features": 192, "heads": 3, "depth": 12}, train=_TRAIN))
register(Network("vit_s", VisionTransformer, {"features": 384, "heads": 6, "depth": 12}, train=_TRAIN))
