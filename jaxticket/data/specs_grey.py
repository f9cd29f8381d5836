"""Grey images: the digits that come with the package, and the MNIST family."""

from jaxticket.data.registry import register
from jaxticket.data.specs import Archive, DatasetSpec

_DIGIT_NAMES = tuple("0123456789")

# Sizes and SHA-256 of the archives: the checksum lists of tensorflow-datasets 4.9.10. Those of the content
# were computed from the archives (fashion_mnist) or are the ones published for the files (mnist).
for row in (
    DatasetSpec(
        name="digits",
        version="1.0.0",
        image_shape=(8, 8, 1),
        class_names=_DIGIT_NAMES,
        train_size=1437,
        test_size=360,
        sources=("vendored",),
    ),
    DatasetSpec(
        name="fashion_mnist",
        version="3.0.1",
        image_shape=(28, 28, 1),
        class_names=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        train_size=60_000,
        test_size=10_000,
        sources=("tfds", "idx"),
        archives=(
            Archive(
                "train-images-idx3-ubyte.gz",
                26_421_880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            ),
            Archive(
                "train-labels-idx1-ubyte.gz",
                29_515,
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            ),
            Archive(
                "t10k-images-idx3-ubyte.gz",
                4_422_102,
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            ),
            Archive(
                "t10k-labels-idx1-ubyte.gz",
                5_148,
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
        ),
        url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        debian_package="dataset-fashion-mnist",
        debian_folder="/usr/share/datasets/fashion-mnist",
    ),
    DatasetSpec(
        name="mnist",
        version="3.0.1",
        image_shape=(28, 28, 1),
        class_names=_DIGIT_NAMES,
        train_size=60_000,
        test_size=10_000,
        sources=("tfds", "idx"),
        archives=(
            Archive(
                "train-images-idx3-ubyte.gz",
                9_912_422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            ),
            Archive(
                "train-labels-idx1-ubyte.gz",
                28_881,
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            ),
            Archive(
                "t10k-images-idx3-ubyte.gz",
                1_648_877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            ),
            Archive(
                "t10k-labels-idx1-ubyte.gz",
                4_542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
        ),
        url="https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    DatasetSpec(
        name="kmnist",
        version="3.0.1",
        image_shape=(28, 28, 1),
        class_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        train_size=60_000,
        test_size=10_000,
        sources=("tfds", "idx"),
        archives=(
            Archive(
                "train-images-idx3-ubyte.gz",
                18_165_135,
                "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            ),
            Archive(
                "train-labels-idx1-ubyte.gz",
                29_497,
                "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            ),
            Archive(
                "t10k-images-idx3-ubyte.gz",
                3_041_136,
                "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            ),
            Archive(
                "t10k-labels-idx1-ubyte.gz",
                5_120,
                "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
            ),
        ),
        url="http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
    ),
    # The split "balanced". Its images are transposed, as published and as TensorFlow Datasets has them.
    DatasetSpec(
        name="emnist",
        version="3.1.0",
        image_shape=(28, 28, 1),
        class_names=tuple("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"),
        train_size=112_800,
        test_size=18_800,
        sources=("tfds", "emnist"),
        archives=(
            Archive("gzip.zip", 561_753_746, "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e"),
        ),
        url="https://biometrics.nist.gov/cs_links/EMNIST/",
        tfds_name="emnist/balanced",
    ),
):
    register(row)
