"""Small colour images: the CIFAR family, street view house numbers, and emoji."""

import dataclasses

from jaxticket.data.registry import register
from jaxticket.data.specs import Archive, DatasetSpec

_CIFAR100_FINE = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
willow_tree wolf woman worm"""
_CIFAR100_COARSE = """
aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices household_furniture
insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes large_omnivores_and_herbivores
medium_mammals non-insect_invertebrates people reptiles small_mammals trees vehicles_1 vehicles_2"""

# Sizes and SHA-256 of the archives: the checksum lists of tensorflow-datasets 4.9.10.
_CIFAR10 = DatasetSpec(
    name="cifar10",
    version="3.0.2",
    image_shape=(32, 32, 3),
    class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    train_size=50_000,
    test_size=10_000,
    sources=("tfds", "cifar"),
    archives=(
        Archive(
            "cifar-10-binary.tar.gz",
            170_052_171,
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        ),
    ),
    url="https://www.cs.toronto.edu/~kriz/",
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
    augment={"crop_padding": 4, "flip": True},
)
_CIFAR100 = dataclasses.replace(
    _CIFAR10,
    name="cifar100",
    class_names=tuple(_CIFAR100_FINE.split()),
    archives=(
        Archive(
            "cifar-100-binary.tar.gz",
            168_513_733,
            "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        ),
    ),
    mean=(0.5070751592371323, 0.48654887331495095, 0.4409178433670343),
    std=(0.2673342858792401, 0.2564384629170883, 0.27615047132568404),
)

for row in (
    _CIFAR10,
    _CIFAR100,
    dataclasses.replace(
        _CIFAR100,
        name="cifar100_coarse",
        class_names=tuple(_CIFAR100_COARSE.split()),
        tfds_name="cifar100",
        label_key="coarse_label",
    ),
    DatasetSpec(
        name="svhn_cropped",
        version="3.1.0",
        image_shape=(32, 32, 3),
        class_names=tuple("0123456789"),
        train_size=73_257,
        test_size=26_032,
        sources=("tfds", "svhn"),
        archives=(
            Archive(
                "train_32x32.mat",
                182_040_794,
                "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
            ),
            Archive(
                "test_32x32.mat",
                64_275_384,
                "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
            ),
        ),
        url="http://ufldl.stanford.edu/housenumbers/",
        augment={"crop_padding": 4},
    ),
    # The files and counts are those of Debian 12: Noto Color Emoji 2.042 and Unicode 15.0.
    DatasetSpec(
        name="emoji32",
        version="1.0.0",
        image_shape=(32, 32, 3),
        class_names=(
            "Smileys & Emotion",
            "People & Body",
            "Animals & Nature",
            "Food & Drink",
            "Travel & Places",
            "Activities",
            "Objects",
            "Symbols",
            "Flags",
        ),
        train_size=1_489,
        test_size=372,
        sources=("tfds", "emoji"),
        archives=(
            Archive(
                "NotoColorEmoji.ttf",
                10_980_856,
                "e5899ed38b8ed83e08bd3ac5de09791e9d19d288333a796de1d35ad17396f1ec",
                debian_path="/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf",
            ),
            Archive(
                "emoji-test.txt",
                593_240,
                "8445f23ac8388e096be19d0262e14fceff856ff52093f2356dc89485f1a853db",
                debian_path="/usr/share/unicode/emoji/emoji-test.txt",
            ),
        ),
        access="both come with Debian 12 (Noto Color Emoji 2.042, Unicode 15.0)",
        debian_package="fonts-noto-color-emoji and unicode-data",
        augment={"crop_padding": 4},
    ),
):
    register(row)
