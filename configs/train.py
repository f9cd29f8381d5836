"""One network trained for every seed: dense, or a ticket taken from a folder.

    jaxticket run --config=train:model=lenet300,dataset=digits
    jaxticket run --config=train --config.ticket=runs/quickstart-HASH/tickets/imp-8-0

Arguments: `model`, `dataset`. Expect a test accuracy near 0.97. A ticket needs the model and the data set it was found
with.

    jaxticket sweep --config=train:model=lenet300,dataset=digits

trains with a quarter of the learning rate, with it and with four times of it, each with and without weight decay: 40
seconds for six networks on 2 CPU cores (AMD EPYC).

Takes: 3 seconds on 2 CPU cores, one network.
"""

from jaxticket.experiments import recipe_config


def get_config(argument=None):
    return recipe_config("train", argument)


def sweep(argument=None):
    lr = get_config(argument).train.lr
    for factor in (0.25, 1, 4):
        for weight_decay in (0.0, 1e-3):
            yield {"train.lr": factor * lr, "train.weight_decay": weight_decay}
