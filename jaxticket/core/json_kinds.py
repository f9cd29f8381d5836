"""The kinds of JSON values, in the words of an error."""

KINDS = {dict: "an object", list: "a list", str: "a string", bool: "true or false", int: "a whole number"}


def kind_of(value: object) -> str:
    """What a value of JSON is called."""
    return {**KINDS, type(None): "null", int: "a number", float: "a number"}.get(type(value), type(value).__name__)
