"""One network trained for every seed: dense, or a ticket taken from a folder.

    python -m jaxticket.main --config=configs/train.py:model=lenet300,dataset=digits
    python -m jaxticket.main --config=configs/train.py --config.ticket=runs/quickstart-HASH/tickets/imp-8-0

Arguments: `model`, `dataset`. Digits and lenet300 take 3 seconds on 2 CPU cores; expect a test accuracy near 0.97.
A ticket needs the model and the data set it was found with.
"""

from jaxticket.experiments import default_config, parse_arguments
from jaxticket.experiments.presets import apply_preset


def get_config(argument=None):
    arguments = parse_arguments(argument, model="lenet300", dataset="digits")
    config = default_config("train")
    apply_preset(config, **arguments)
    return config
