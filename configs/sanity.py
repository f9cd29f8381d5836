"""Does the ticket really win? The sanity checks of lottery tickets, for any network of any width on any data set.

    jaxticket run --config=sanity:model=lenet300,dataset=digits

Arguments: `model`, `dataset`, and `recipe`: `paper`, or `code` for what the authors' code does differently. Dense
networks, tickets, random reinitialisation, weight rewinding, retraining and small dense networks are compared at every
learning rate of `--config.lrs`, at the sparsities of `--config.levels`, and the report ends with a verdict.

At the small learning rate expect the ticket to beat random reinitialisation by 20 points and more at 83 % sparsity, at
the large one by nothing. CIFAR-10 with ResNet-20 and ImageNet with ResNet-50 have the paper's settings and want a GPU.

Takes: about four minutes on 2 cores of an AMD EPYC, 174 networks; Fashion-MNIST half an hour to an hour.
"""

from jaxticket.experiments import recipe_config


def get_config(argument=None):
    return recipe_config("sanity", argument, seeds=(0, 1, 2))
