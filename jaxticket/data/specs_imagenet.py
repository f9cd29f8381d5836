"""ImageNet and its smaller relatives; their test split is what its publishers call validation."""

from jaxticket.data.registry import register
from jaxticket.data.specs import Archive, DatasetSpec

# Sizes and SHA-256 of the archives: the checksum lists of tensorflow-datasets 4.9.10, which has none of tiny_imagenet.
_IMAGENET = DatasetSpec(
    name="imagenet2012",
    version="5.1.0",
    image_shape=(224, 224, 3),
    class_names=tuple(map(str, range(1000))),
    train_size=1_281_167,
    test_size=50_000,
    sources=("tfds", "imagenet"),
    archives=(
        Archive(
            "ILSVRC2012_img_train.tar",
            147_897_477_120,
            "b08200a27a8e34218a0e58fde36b0fe8f73bc377f4acea2d91602057c3ca45bb",
        ),
        Archive(
            "ILSVRC2012_img_val.tar",
            6_744_924_160,
            "c7e06a6c0baccf06d8dbeb6577d71efff84673a5dbdd50633ab44f8ea0456ae0",
        ),
    ),
    access="there is no public address: they need an account at https://image-net.org/download-images",
    test_split="validation",
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    augment={"resized_crop": 224, "flip": True},
    stream=True,
)

for row in (
    _IMAGENET,
    DatasetSpec(
        name="imagenette",
        version="1.0.0",
        image_shape=(160, 160, 3),
        class_names=(
            "tench",
            "English springer",
            "cassette player",
            "chain saw",
            "church",
            "French horn",
            "garbage truck",
            "gas pump",
            "golf ball",
            "parachute",
        ),
        train_size=9_469,
        test_size=3_925,
        sources=("tfds", "imagenette"),
        archives=(
            Archive(
                "imagenette2-160.tgz",
                99_003_388,
                "64d0c4859f35a461889e0147755a999a48b49bf38a7e0f9bd27003f10db02fe5",
            ),
        ),
        url="https://s3.amazonaws.com/fast-ai-imageclas/",
        tfds_name="imagenette/160px-v2",
        test_split="validation",
        mean=_IMAGENET.mean,
        std=_IMAGENET.std,
        augment={"resized_crop": 128, "flip": True},
        fit=True,
    ),
    DatasetSpec(
        name="imagenet_resized/32x32",
        version="0.1.0",
        image_shape=(32, 32, 3),
        class_names=_IMAGENET.class_names,
        train_size=1_281_167,
        test_size=50_000,
        sources=("tfds", "npz"),
        archives=(
            Archive(
                "Imagenet32_train_npz.zip",
                3_580_435_279,
                "94226337ecc1b0309d9fcd0167127aaadc931587035fbcb53925235edbaec4fc",
            ),
            Archive(
                "Imagenet32_val_npz.zip",
                139_697_668,
                "013990e6dec1237dcd1f9beadbab81ead6604cc119af5cacbfb59ae28148377a",
            ),
        ),
        url="http://www.image-net.org/data/downsample/",
        test_split="validation",
        mean=_IMAGENET.mean,
        std=_IMAGENET.std,
        augment={"crop_padding": 4, "flip": True},
    ),
    DatasetSpec(
        name="tiny_imagenet",
        version="1.0.0",
        image_shape=(64, 64, 3),
        class_names=tuple(map(str, range(200))),
        train_size=100_000,
        test_size=10_000,
        sources=("tfds", "tiny_imagenet"),
        # Neither its size nor a checksum of it has been published.
        archives=(Archive("tiny-imagenet-200.zip", 0, ""),),
        access="it is at http://cs231n.stanford.edu/tiny-imagenet-200.zip (about 250 MB, no checksum was published)",
        test_split="validation",
        mean=(0.4802, 0.4481, 0.3975),
        std=(0.2302, 0.2265, 0.2262),
        augment={"rotation": 20.0, "flip": True},
    ),
):
    register(row)
