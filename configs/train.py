"""One network trained for every seed: dense, or a ticket taken from a folder.

    python -m jaxticket.main --config=configs/train.py:model=lenet300,dataset=digits
    python -m jaxticket.main --config=configs/train.py --config.ticket=runs/quickstart-HASH/tickets/imp-8-0

Arguments: `model`, `dataset`. Digits and lenet300 take 3 seconds on 2 CPU cores; expect a test accuracy near 0.97.
A ticket needs the model and the data set it was found with.

    python -m jaxticket.sweep --config=configs/train.py:model=lenet300,dataset=digits

trains with a quarter of the learning rate, with it and with four times of it, each with and without weight decay: 40
seconds for six networks on 2 CPU cores (AMD EPYC).
"""

from jaxticket.experiments import recipe_config


def get_config(argument=None):
    return recipe_config("train", argument)


def sweep(argument=None):
    lr = get_config(argument).train.lr
    for factor in (0.25, 1, 4):
        for weight_decay in (0.0, 1e-3):
            yield {"train.lr": factor * lr, "train.weight_decay": weight_decay}
