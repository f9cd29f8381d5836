"""VGG (Simonyan and Zisserman 2015) with batch normalisation and a single dense layer, as CIFAR's users have it."""

import dataclasses
from typing import TYPE_CHECKING

from jaxticket.core.options import option
from jaxticket.models.architecture import HEAD_INITS, WIDEST, Normalised, scaled
from jaxticket.models.registry import Network, register

if TYPE_CHECKING:
    import jax

    from jaxticket.models.layers import Layers

_FEATURES = (64, 128, 256, 512, 512)


@dataclasses.dataclass(frozen=True)
class VGG(Normalised):
    """Five stages of 3x3 convolutions, `stem`, `stage1_conv2`, ..., with a 2x2 max pool after each, then `head`.

    Attributes:
        stages: number of convolutions of each stage.
        width: factor on the numbers of channels.
        conv_bias: whether convolutions have a bias next to the normalisation, as those of Structure-LTH do.
        last_pool: before the mean over the image stands nothing more (`average`, images of 16x16 or more) or a
            fifth max pool (`max`, 32x32 or more).
    """

    head_init: str = option("gaussian_0.01", choices=HEAD_INITS)
    stages: tuple[int, ...] = (1, 1, 2, 2, 2)
    width: float = option(1.0, above=0, maximum=WIDEST)
    conv_bias: bool = option(False)
    last_pool: str = option("average", choices=("average", "max"))

    def __call__(self, layers: "Layers", x: "jax.Array") -> "jax.Array":
        """Logits float32 [B, classes] of images float [B, H, W, C]."""
        if self.last_pool == "average":
            layers.check_images("a VGG", x, 16)
        else:
            remedy = "set config.model.options={'last_pool': 'average'}"
            layers.check_images("a VGG with last_pool='max'", x, 32, remedy)
        for i, convolutions in enumerate(self.stages):
            for j in range(convolutions):
                name = f"stage{i + 1}_conv{j + 1}" if i or j else "stem"
                x = layers.conv_act(x, scaled(_FEATURES[i], self.width), 3, name, bias=self.conv_bias)
            if i < len(self.stages) - 1 or self.last_pool == "max":
                x = layers.max_pool(x)
        return layers.head(layers.global_average(x))


for depth, stages in {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}.items():
    register(Network(f"vgg{depth}", VGG, {"stages": stages}, {f"vgg{depth}_bn": {}}))
