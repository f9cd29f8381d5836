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

    fruits = Registry("fruit", Fruit, own)
    assert not asked
    assert fruits.register(Fruit("pear")) == Fruit("pear")
    assert fruits.names() == [row.name for row in fruits] == ["apple", "pear"]
    assert "pear" in fruits
    assert asked == [1]


def test_a_row_registered_twice_is_one_row():
    fruits = Registry("fruit", Fruit)
    fruits.register(Fruit("pear"))
    fruits.register(Fruit("pear"))
    assert fruits.names() == ["pear"]


def test_another_row_of_the_same_name_is_refused():
    fruits = Registry("fruit", Fruit, lambda: [Fruit("pear")])
    with pytest.raises(ConfigError, match="fruit 'pear': there is one of that name"):
        fruits.register(Fruit("pear", weight=2))


@pytest.mark.parametrize(("key", "start"), [("prune.fruit", "config.prune.fruit='paer'"), ("", "fruit 'paer'")])
def test_an_unknown_name_is_told_the_nearest(key, start):
    fruits = Registry("fruit", Fruit, lambda: [Fruit("pear")])
    with pytest.raises(ConfigError, match=f"{start}: must be one of pear; did you mean 'pear'"):
        fruits.get("paer", key)


def execute(text, file, **names):
    """Executes a file of this text, as a config file is: each time among new names."""
    exec(compile(text, file, "exec"), names)


ONCE = "fruits.register(Fruit('pear', weight))"


def test_a_file_executed_again_replaces_its_rows():
    fruits = Registry("fruit", Fruit)
    for weight in (1, 2):
        execute(ONCE, "pears.py", fruits=fruits, Fruit=Fruit, weight=weight)
    assert [row.weight for row in fruits] == [2]
    with pytest.raises(ConfigError, match="fruit 'pear': there is one of that name"):
        execute(ONCE, "another.py", fruits=fruits, Fruit=Fruit, weight=3)


def test_a_file_registers_a_name_once():
    fruits = Registry("fruit", Fruit)
    with pytest.raises(ConfigError, match="fruit 'pear': there is one of that name"):
        execute(f"{ONCE}\nweight = 2\n{ONCE}", "pears.py", fruits=fruits, Fruit=Fruit, weight=1)
    assert [row.weight for row in fruits] == [1]


def test_a_cell_of_a_notebook_registers_again():
    fruits = Registry("fruit", Fruit)
    names = {"fruits": fruits, "Fruit": Fruit}
    for names["weight"] in (1, 2):
        exec(compile(ONCE, "cell-1", "exec"), names)
    assert [row.weight for row in fruits] == [2]


@pytest.mark.parametrize("row", [None, "pear", {"name": "pear"}, Fruit])
def test_rows_are_of_the_registered_class(row):
    with pytest.raises(ConfigError, match="fruit: register takes a Fruit, found "):
        Registry("fruit", Fruit).register(row)


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/b", "a b: c", ".hidden", "pear\n", None, 5])
def test_names_are_those_of_files(name):
    with pytest.raises(ConfigError, match=r"fruit name=.*: must be letters, digits, '_', '-' or '.'"):
        Registry("fruit", Fruit).register(Fruit(name))


def test_names_may_have_parts():
    fruits = Registry("fruit", Fruit, parts=True)
    assert fruits.register(Fruit("pear/32x32")) == fruits.get("pear/32x32")
    for name in ("pear/../up", "/pear", "pear/"):
        with pytest.raises(ConfigError, match=r"fruit name='.*: must be letters"):
            fruits.register(Fruit(name))
