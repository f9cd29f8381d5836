"""A pickle as data: its opcodes followed one by one, so that nothing it says is looked up, called or altered.

Python's own unpickler imports what a pickle names, calls it, and sets its state; whoever subclasses it hands live
objects of the process to the file. Here a name stays a name (`Global`), a call becomes what `call` makes of the name
and plain arguments, and whatever has a meaning to nobody is an object without content (`Foreign`). What comes out is
made of dict, list, tuple, str, bytes, int, float, bool, None, `Global`, `Foreign` and what `call` and `persistent`
return.

Opcodes: https://docs.python.org/3/library/pickletools.html, protocols 1 to 5; those of protocol 0 and those that
only code uses (INST, OBJ, EXT, out-of-band buffers) are refused.
"""

import dataclasses
import pickletools
from collections.abc import Callable
from typing import Any, BinaryIO

# Far above every real checkpoint (some 40 opcodes a tensor), and seconds of work at most.
_MOST_OPCODES = 4_000_000
_MOST_LEVELS = 100
_MOST_OPEN_MARKS = 1000
_LONGEST_KEY = 16
# Whoever chooses numbers can make all of them collide in a dictionary, unless they are small; text has a secret hash.
_MOST_ODD_KEYS, _SMALL = 10_000, 2**20
_INTEGER_BITS = 128
_KEYS = (str, bytes, int, float, bool, type(None))


@dataclasses.dataclass(frozen=True, slots=True)
class Global:
    """The name of a class or function, as `module.name`; nothing but the text."""

    name: str


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Foreign:
    """What something that is not known here would have made; nothing but its name."""

    name: str


class PickleMachine:
    """Follows the opcodes of pickles; what is not as a pickle should be raises `ValueError`.

    Args:
        call: name of a function, its arguments -> what it gives here, of its own making; `Foreign(name)` for
            names it does not know.
        persistent: what stands for an object outside of the pickle -> that object.
    """

    def __init__(self, call: Callable[[str, tuple[Any, ...]], Any], persistent: Callable[[Any], Any]) -> None:
        self._call = call
        self._persistent = persistent
        self._odd_keys = 0
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []  # the stacks under each open mark
        self._memo: dict[int, Any] = {}

    def run(self, file: BinaryIO) -> Any:
        """The value of the pickle at the file's position, which is behind its STOP then."""
        self._stack, self._below, self._memo = [], [], {}
        for count in range(_MOST_OPCODES):
            code = file.read(1)
            if code not in _OPCODES:
                said = "ends too early" if not code else f"has an instruction {code!r}, which torch.save does not write"
                raise ValueError(f"its pickle {said}")
            opcode = _OPCODES[code]
            argument = opcode.arg.reader(file) if opcode.arg else None
            if opcode.name == "STOP":
                break
            if opcode.name in _CONSTANTS:
                self._stack.append(_CONSTANTS[opcode.name])
            elif opcode.name in _VALUES:
                self._stack.append(_value(opcode.name, argument))
            elif opcode.name in _PUTS:
                # Numbers that follow each other, as all writers give them, cannot be made to collide.
                index = len(self._memo) if argument is None else argument
                if index > count:
                    raise ValueError("its pickle remembers objects under numbers that do not follow each other")
                self._memo[index] = self._top()
            elif opcode.name in _ACTIONS:
                _ACTIONS[opcode.name](self, argument)
        else:
            raise ValueError(f"its pickle has more than {_MOST_OPCODES} instructions")
        value = self._pop()
        if self._stack or self._below:
            raise ValueError("its pickle leaves more than one object")
        _check_levels(value)
        return value

    def _pop(self) -> Any:
        if not self._stack:
            raise ValueError("its pickle takes an object that is not there")
        return self._stack.pop()

    def _top(self) -> Any:
        if not self._stack:
            raise ValueError("its pickle uses an object that is not there")
        return self._stack[-1]

    def _mark(self, _: Any) -> None:
        if len(self._below) >= _MOST_OPEN_MARKS:
            raise ValueError("its pickle is nested too deeply")
        self._below.append(self._stack)
        self._stack = []

    def _since_mark(self) -> list[Any]:
        if not self._below:
            raise ValueError("its pickle takes objects since a mark that is not there")
        items, self._stack = self._stack, self._below.pop()
        return items

    def _tuple(self, _: Any) -> None:
        items = self._since_mark()
        self._stack.append(tuple(items))

    def _short_tuple(self, size: int) -> None:
        items = [self._pop() for _ in range(size)]
        self._stack.append(tuple(reversed(items)))

    def _get(self, index: int) -> None:
        if index not in self._memo:
            raise ValueError("its pickle asks for an object that it has not remembered")
        self._stack.append(self._memo[index])

    def _extend(self, items: list[Any]) -> None:
        target = self._top()
        if type(target) is list:
            target.extend(items)
        elif type(target) is not Foreign:  # whose content is nobody's concern
            raise ValueError("its pickle appends to what is no list")

    def _set(self, items: list[Any]) -> None:
        target = self._top()
        if len(items) % 2:
            raise ValueError("its pickle has a key without a value")
        if type(target) is dict:
            self.fill(target, zip(items[::2], items[1::2], strict=True))
        elif type(target) is not Foreign:
            raise ValueError("its pickle sets an item of what is no dictionary")

    def fill(self, target: dict[Any, Any], pairs: Any) -> None:
        """Sets entries of a dictionary; keys are strings, numbers, None, bytes or short tuples of such."""
        for key, value in pairs:
            if type(key) is not str and type(key) is not Foreign:
                parts = key if type(key) is tuple and len(key) <= _LONGEST_KEY else (key,)
                if not all(type(part) in _KEYS for part in parts):
                    raise ValueError("its pickle has a dictionary with a key that is neither text nor number")
                self._odd_keys += not (type(key) is int and 0 <= key < _SMALL)
                if self._odd_keys > _MOST_ODD_KEYS:
                    raise ValueError(
                        f"its pickle has more than {_MOST_ODD_KEYS} keys other than text and small numbers"
                    )
            target[key] = value

    def _set_one(self, _: Any) -> None:
        value, key = self._pop(), self._pop()
        self._set([key, value])

    def _global(self, argument: str) -> None:
        self._stack.append(Global(_text(argument).replace(" ", ".", 1)))

    def _stack_global(self, _: Any) -> None:
        name, module = self._pop(), self._pop()
        if type(name) is not str or type(module) is not str:
            raise ValueError("its pickle has a name that is no text")
        self._stack.append(Global(f"{module}.{name}"))

    def _reduce(self, _: Any) -> None:
        arguments, function = self._pop(), self._pop()
        if type(arguments) is not tuple:
            raise ValueError("its pickle calls something with what are no arguments")
        if type(function) is Global:
            self._stack.append(self._call(function.name, arguments))
        elif type(function) is Foreign:
            self._stack.append(function)
        else:
            raise ValueError("its pickle calls what is no function")

    def _new(self, _: Any) -> None:
        _, function = self._pop(), self._pop()
        if type(function) not in (Global, Foreign):
            raise ValueError("its pickle makes an object of no class")
        self._stack.append(Foreign(function.name))

    def _new_with_names(self, _: Any) -> None:
        self._pop()
        self._new(None)

    def _build(self, _: Any) -> None:
        """Sets attributes, of which none is kept: PyTorch gives some to dictionaries."""
        state, target = self._pop(), self._top()
        if type(target) is Foreign:
            return
        plain = type(state) is dict or (type(state) is tuple and len(state) == 2)
        if type(target) is not dict or not plain:
            raise ValueError("its pickle sets the state of an object that has none")

    def _persistent_id(self, _: Any) -> None:
        self._stack.append(self._persistent(self._pop()))

    def _discard(self, _: Any) -> None:
        if self._stack or not self._below:
            self._pop()
        else:
            self._since_mark()


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_VALUES = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "BINFLOAT",
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
}  # fmt: skip
_PUTS = {"BINPUT", "LONG_BINPUT", "MEMOIZE"}
_ACTIONS: dict[str, Callable[[PickleMachine, Any], Any]] = {
    "MARK": PickleMachine._mark,
    "POP": PickleMachine._discard,
    "POP_MARK": lambda machine, _: machine._since_mark(),
    "DUP": lambda machine, _: machine._stack.append(machine._top()),
    "BINGET": PickleMachine._get,
    "LONG_BINGET": PickleMachine._get,
    "TUPLE": PickleMachine._tuple,
    "TUPLE1": lambda machine, _: machine._short_tuple(1),
    "TUPLE2": lambda machine, _: machine._short_tuple(2),
    "TUPLE3": lambda machine, _: machine._short_tuple(3),
    "EMPTY_LIST": lambda machine, _: machine._stack.append([]),
    "APPEND": lambda machine, _: machine._extend([machine._pop()]),
    "APPENDS": lambda machine, _: machine._extend(machine._since_mark()),
    "EMPTY_DICT": lambda machine, _: machine._stack.append({}),
    "SETITEM": PickleMachine._set_one,
    "SETITEMS": lambda machine, _: machine._set(machine._since_mark()),
    # The order of a set means nothing, so lists and tuples hold them as well.
    "EMPTY_SET": lambda machine, _: machine._stack.append([]),
    "ADDITEMS": lambda machine, _: machine._extend(machine._since_mark()),
    "FROZENSET": PickleMachine._tuple,
    "GLOBAL": PickleMachine._global,
    "STACK_GLOBAL": PickleMachine._stack_global,
    "REDUCE": PickleMachine._reduce,
    "NEWOBJ": PickleMachine._new,
    "NEWOBJ_EX": PickleMachine._new_with_names,
    "BUILD": PickleMachine._build,
    "BINPERSID": PickleMachine._persistent_id,
}
# What is not among them is refused before its argument is read.
_OPCODES = {
    opcode.code.encode("latin-1"): opcode
    for opcode in pickletools.opcodes
    if opcode.name in {*_CONSTANTS, *_VALUES, *_PUTS, *_ACTIONS, "PROTO", "FRAME", "STOP"}
}


def _value(opcode: str, argument: Any) -> Any:
    if opcode in ("BINSTRING", "SHORT_BINSTRING"):  # Python 2's strings
        argument = argument.encode("latin-1").decode()
    if type(argument) is bytearray:
        argument = bytes(argument)
    if type(argument) is str:
        return _text(argument)
    if type(argument) is int and argument.bit_length() > _INTEGER_BITS:
        raise ValueError(f"its pickle has a whole number of more than {_INTEGER_BITS} bits")
    return argument


def _text(text: str) -> str:
    """The text itself, if it is one: halves of surrogate pairs, which pickles can have, are not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("its pickle has text that is no Unicode") from None
    return text


def _check_levels(value: Any) -> None:
    """That containers are not nested too deeply; each is looked at once, so what is shared costs nothing."""
    seen: set[int] = set()
    level = [value]
    for _ in range(_MOST_LEVELS):
        following: list[Any] = []
        for item in level:
            if isinstance(item, dict | list | tuple) and id(item) not in seen:
                seen.add(id(item))
                following.extend(item.values() if isinstance(item, dict) else item)
        if not following:
            return
        level = following
    raise ValueError(f"its pickle nests containers in more than {_MOST_LEVELS} levels")
