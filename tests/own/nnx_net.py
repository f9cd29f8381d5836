"""A plain network in Flax NNX, as a user has it in a file: it knows nothing of jaxticket."""

from flax import nnx


class NNXNet(nnx.Module):
    """Two convolutions with batch normalisation, dropout, and two dense layers; for grey images."""

    def __init__(self, num_classes: int, features: int = 8, rate: float = 0.2, activation=nnx.relu, *, rngs: nnx.Rngs):
        self.activation = activation
        self.conv1 = nnx.Conv(1, features, (3, 3), use_bias=False, rngs=rngs)
        self.norm1 = nnx.BatchNorm(features, rngs=rngs)
        self.conv2 = nnx.Conv(features, features, (3, 3), use_bias=False, rngs=rngs)
        self.norm2 = nnx.BatchNorm(features, rngs=rngs)
        self.dense = nnx.Linear(features, 32, rngs=rngs)
        self.dropout = nnx.Dropout(rate, rngs=rngs)
        self.head = nnx.Linear(32, num_classes, rngs=rngs)

    def __call__(self, x):
        x = self.activation(self.norm1(self.conv1(x)))
        x = self.activation(self.norm2(self.conv2(x)))
        x = self.dropout(self.activation(self.dense(x.mean(axis=(1, 2)))))
        return self.head(x)
