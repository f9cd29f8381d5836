"""Vision Transformers (Dosovitskiy et al. 2021), in the small sizes of DeiT (Touvron et al. 2021)."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxticket.core.errors import JaxticketError
from jaxticket.models.initializers import normal
from jaxticket.models.layers import Activation, Layers, check_images, is_large


def layer_norm(layers: Layers, x: jax.Array, name: str) -> jax.Array:
    """Layer normalisation over the last axis, eps 1e-6; the arithmetic is float32 whatever the compute dtype."""
    return nn.LayerNorm(epsilon=1e-6, name=name)(x.astype(jnp.float32)).astype(layers.dtype)


def attention(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
    """Each token's mean of all values, weighted by softmax(query . key / sqrt(D)): three [B, tokens, heads, D] -> one.

    The softmax is float32 whatever the compute dtype.
    """
    scores = jnp.einsum("bqhd,bkhd->bhqk", query, key) / math.sqrt(query.shape[-1])
    weights = jax.nn.softmax(scores.astype(jnp.float32)).astype(value.dtype)
    return jnp.einsum("bhqk,bkhd->bqhd", weights, value)


class EncoderBlock(nn.Module):
    """Self-attention and a two-layer perceptron, each normalised first and added to its input.

    The kernels `qkv`, `proj`, `mlp1` and `mlp2` are matrices [inputs, outputs], as pruning in blocks or columns
    wants them; the heads of `qkv` are contiguous columns.
    """

    layers: Layers
    heads: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, tokens, features] -> the same shape."""
        layers, features = self.layers, x.shape[-1]
        y = layers.dense(layer_norm(layers, x, "norm1"), 3 * features, "qkv")
        query, key, value = jnp.split(y.reshape(*y.shape[:-1], 3 * self.heads, features // self.heads), 3, axis=-2)
        x = x + layers.dense(attention(query, key, value).reshape(x.shape), features, "proj")
        y = layers.dense_act(layer_norm(layers, x, "norm2"), 4 * features, "mlp1")
        return x + layers.dense(y, features, "mlp2")


class VisionTransformer(nn.Module):
    """Patches by a convolution `stem`, a class token, learned positions, `block<i>`, `final_norm`, `head`.

    Patches have 16x16 pixels in images of 112 pixels or more and 4x4 in smaller ones, or what `patch_size` says.
    The head reads the class token, or with `pool="mean"` the mean over all patches, and there is no class token.
    """

    num_classes: int
    features: int
    heads: int
    depth: int
    activation: str | Activation = "gelu"
    dtype: str = "float32"
    weight_init: str = "gaussian_0.02"
    head_init: str = "same"
    patch_size: int = 0
    pool: str = "token"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits float32 [B, num_classes] of images float [B, H, W, C]; H and W are multiples of the patch size."""
        check_images("a Vision Transformer", x)
        layers = Layers(self.weight_init, self.activation, self.dtype, train=train, head_init=self.head_init)
        patch = self.patch_size or (16 if is_large(x) else 4)
        if x.shape[1] % patch or x.shape[2] % patch:
            raise JaxticketError(
                f"a Vision Transformer with patch_size={patch} takes images whose sides are multiples of {patch}, got "
                f"{x.shape[1]}x{x.shape[2]}; set config.model.options={{'patch_size': ...}} to a divisor"
            )
        x = layers.conv(x, self.features, patch, "stem", stride=patch, padding="valid")
        x = x.reshape(x.shape[0], -1, self.features)
        if self.pool == "token":
            token = self.param("class_token", normal(0.02), (1, 1, self.features)).astype(x.dtype)
            x = jnp.concatenate([jnp.broadcast_to(token, (x.shape[0], 1, self.features)), x], axis=1)
        x = x + self.param("position", normal(0.02), (1, x.shape[1], self.features)).astype(x.dtype)
        for i in range(self.depth):
            x = EncoderBlock(layers, self.heads, name=f"block{i}")(x)
        x = layer_norm(layers, x, "final_norm")
        return layers.head(x[:, 0] if self.pool == "token" else x.mean(axis=1), self.num_classes)
