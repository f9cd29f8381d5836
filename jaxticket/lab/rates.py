"""Pruning rates by ordered rules, as an option; loads nothing heavy."""

from jaxticket.core.errors import ConfigError
from jaxticket.core.rules import check_expressions

Rates = tuple[tuple[str, float], ...]


def check_rates(rates: Rates, where: str) -> None:
    """Refuses rules that are no regular expressions, and rates that are none, with a `ConfigError`."""
    check_expressions(rates, where)
    for rule, rate in rates:
        if not 0 <= rate < 1:
            raise ConfigError(f"config.{where}: the rate of {rule!r} is {rate}; must be at least 0 and less than 1")
    if not any(rate for _, rate in rates):
        raise ConfigError(f"config.{where}={rates}: must have a rate above 0, such as (('conv', 0.15),)")
