import dataclasses

import pytest

from jaxticket.core.errors import ConfigError
from jaxticket.core.registry import Registry

pytestmark = [pytest.mark.feature("options and registries"), pytest.mark.smoke]


@dataclasses.dataclass(frozen=True)
class Fruit:
    name: str
    weight: int = 1


def test_own_rows_come_first_and_are_loaded_once():
    asked = []

    def own():
        asked.append(1)
        return [Fruit("apple")]

    fruits = Registry("fruit", own)
    assert not asked
    assert fruits.register(Fruit("pear")) == Fruit("pear")
    assert fruits.names() == [row.name for row in fruits] == ["apple", "pear"]
    assert "pear" in fruits
    assert asked == [1]


def test_a_row_registered_twice_is_one_row():
    fruits = Registry[Fruit]("fruit")
    fruits.register(Fruit("pear"))
    fruits.register(Fruit("pear"))
    assert fruits.names() == ["pear"]


def test_another_row_of_the_same_name_is_refused():
    fruits = Registry("fruit", lambda: [Fruit("pear")])
    with pytest.raises(ConfigError, match="fruit 'pear': there is one of that name"):
        fruits.register(Fruit("pear", weight=2))


@pytest.mark.parametrize(("key", "start"), [("prune.fruit", "config.prune.fruit='paer'"), ("", "fruit 'paer'")])
def test_an_unknown_name_is_told_the_nearest(key, start):
    fruits = Registry("fruit", lambda: [Fruit("pear")])
    with pytest.raises(ConfigError, match=f"{start}: must be one of pear; did you mean 'pear'"):
        fruits.get("paer", key)


def test_a_file_executed_again_replaces_its_rows():
    fruits = Registry("fruit")
    fruits.register(Fruit("pear"))
    fruits.register(Fruit("pear", weight=2))
    assert [row.weight for row in fruits] == [2]
    with pytest.raises(ConfigError, match="fruit 'pear': there is one of that name"):
        exec(compile("fruits.register(fruit)", "another.py", "exec"), {"fruits": fruits, "fruit": Fruit("pear")})
