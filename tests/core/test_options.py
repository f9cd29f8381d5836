import dataclasses

import pytest

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import chosen, digest, option, parse, to_dict

pytestmark = [pytest.mark.feature("options and registries"), pytest.mark.smoke]

FLOAT32 = "0 or from 1.18e-38 to 3.4e+38 in size, as float32 has it"


@dataclasses.dataclass(frozen=True)
class Inner:
    rate: float = option(0.2, above=0, below=1)
    kind: str = option("a", choices=("a", "b"))
    shown: str = option("x", hashed=False)


@dataclasses.dataclass(frozen=True)
class Outer:
    count: int = option(3, minimum=1, maximum=9)
    flag: bool = False
    items: tuple[int, ...] = option((1, 2), minimum=0)
    pair: tuple[str, bool] = ("x", True)
    free: dict = option({})
    maybe: int | None = option(None, minimum=0)
    names: tuple[str, ...] = option(("a",), choices=("a", "b"), nonempty=True, unique=True)
    rising: tuple[float, ...] = option((), increasing=True)
    only_b: float = option(1.0, only=("count", 4, 5))
    inner: Inner = Inner()

    def check(self, where: str) -> None:
        if self.flag and self.count > 5:
            raise ConfigError(f"config.count={self.count}: must be at most 5 with flag=True")


def test_defaults_and_nested_values():
    made = parse(Outer, {"count": 4, "items": [3], "inner": {"rate": 0.5}, "free": {"width": 2}})
    assert made == Outer(count=4, items=(3,), inner=Inner(rate=0.5), free={"width": 2})


def test_whole_number_is_taken_where_float_is_asked():
    rate = dataclasses.make_dataclass("Rate", [("rate", float, option(0.5))], frozen=True)
    value = parse(rate, {"rate": 1}).rate
    assert isinstance(value, float)
    assert value == 1.0


def test_whole_float_is_taken_as_whole_number():
    value = parse(Outer, {"count": 4.0}).count
    assert (value, type(value)) == (4, int)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cuont": 1}, "config.cuont: no such key; did you mean 'count'?"),
        ({"inner": {"zzz": 1}}, "config.inner.zzz: no such key; known keys: kind, rate, shown"),
        ({"count": "4"}, "config.count='4': must be a whole number"),
        ({"count": True}, "config.count=True: must be a whole number"),
        ({"count": 0}, "config.count=0: must be at least 1"),
        ({"count": 10}, "config.count=10: must be at most 9"),
        ({"flag": 1}, "config.flag=1: must be True or False"),
        ({"items": 3}, "config.items=3: must be a tuple, such as (1, 2)"),
        ({"items": (1, -1)}, "config.items[1]=-1: must be at least 0"),
        ({"pair": ("x",)}, "config.pair=('x',): must be 2 items"),
        ({"free": 3}, "config.free=3: must be a group of keys"),
        ({"maybe": -1}, "config.maybe=-1: must be at least 0"),
        ({"count": 1.5}, "config.count=1.5: must be a whole number"),
        ({"maybe": 2**31}, "config.maybe=2147483648: must be at most 2147483647 in size"),
        ({"names": ()}, "config.names=(): must be at least one, such as ('a',)"),
        ({"names": ("a", "a")}, "config.names=('a', 'a'): must be different from each other"),
        ({"names": ("c",)}, "config.names[0]='c': must be one of a, b"),
        ({"rising": (0.5, 0.5)}, "config.rising=(0.5, 0.5): must be increasing"),
        ({"rising": (1, 1e300)}, f"config.rising[1]=1e+300: must be {FLOAT32}"),
        ({"inner": {"rate": 1e-46}}, f"config.inner.rate=1e-46: must be {FLOAT32}"),
        ({"inner": {"rate": 1e39}}, f"config.inner.rate=1e+39: must be {FLOAT32}"),
        ({"inner": {"rate": float("inf")}}, "config.inner.rate=inf: must be a finite number"),
        ({"only_b": 2.0}, "config.only_b=2.0: only read with count 4 or 5, found 3"),
        ({"inner": 3}, "config.inner=3: must be a group of keys"),
        ({"inner": {"rate": 0}}, "config.inner.rate=0.0: must be more than 0"),
        ({"inner": {"rate": 1.0}}, "config.inner.rate=1.0: must be less than 1"),
        ({"inner": {"rate": float("nan")}}, "config.inner.rate=nan: must be a finite number"),
        ({"inner": {"kind": "c"}}, "config.inner.kind='c': must be one of a, b"),
        ({"flag": True, "count": 6}, "config.count=6: must be at most 5 with flag=True"),
    ],
)
def test_wrong_values_are_named_in_one_line(values, message):
    with pytest.raises(ConfigError) as error:
        parse(Outer, values)
    assert str(error.value) == message


def test_chosen_holds_only_what_differs_and_is_hashed():
    assert chosen(Outer()) == {}
    options = parse(Outer, {"count": 4, "inner": {"rate": 0.5, "shown": "y"}, "items": (7,)})
    assert chosen(options) == {"count": 4, "inner": {"rate": 0.5}, "items": [7]}


def test_new_option_with_default_leaves_the_hash():
    wider = dataclasses.make_dataclass("Wider", [("count", int, option(3)), ("new", int, option(0))], frozen=True)
    narrow = dataclasses.make_dataclass("Narrow", [("count", int, option(3))], frozen=True)
    assert digest(chosen(wider(count=5)), 8) == digest(chosen(narrow(count=5)), 8)
    assert digest(chosen(wider(count=5, new=1)), 8) != digest(chosen(wider(count=5)), 8)


def test_digest_is_pinned_and_independent_of_order():
    assert digest({"a": 1, "b": [2, 3]}, 12) == digest({"b": [2, 3], "a": 1}, 12) == "efbd0040190f"


def test_to_dict_is_json_ready():
    assert to_dict(Outer())["items"] == [1, 2]
    assert to_dict(Outer())["inner"] == {"rate": 0.2, "kind": "a", "shown": "x"}
