"""The one schema of results, written and read."""

import dataclasses

import pytest

from jaxticket.core.errors import ConfigError, JaxticketError
from jaxticket.lab.row import COLUMNS, Column, Row

pytestmark = [pytest.mark.feature("reports"), pytest.mark.smoke]

LR, SOURCE = Column("lr", "learning rate", case=True), Column("source", "source", case=True)
ROW = Row("omp", 2, 1, 0.36, test_accuracy=0.9, layer_sparsity={"fc1/kernel": 0.4}, ticket="omp-2-1")


def test_a_row_comes_back_from_json():
    row = dataclasses.replace(ROW, case={"lr": 0.1, "source": "digits"}, extra={"note": [1, 2]})
    assert Row.from_json(row.to_json(), columns=(LR, SOURCE)) == row
    assert (row.treatment, row.numbers, row["note"], row["level"]) == ("omp digits", {"lr": 0.1}, [1, 2], 2)


def test_undeclared_values_are_extra():
    row = Row.from_json({**ROW.to_json(), "lr": 0.1, "ratio": 0.5})
    assert (row.case, row.extra) == ({}, {"lr": 0.1, "ratio": 0.5})


@pytest.mark.parametrize("column", [column.name for column in COLUMNS])
def test_every_column_is_written(column):
    assert column in ROW.to_json()


@pytest.mark.parametrize("value", ["nan", True, float("inf"), None, [1]])
def test_what_is_no_number_is_unknown(value):
    assert Row.from_json({**ROW.to_json(), "test_accuracy": value}).test_accuracy is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"branch": 3}, "row: branch is 3; must be a string"),
        ({"level": True}, "row: level is True; must be a whole number from 0 to 2,147,483,647"),
        ({"seed": -1}, "row: seed is -1; must be a whole number"),
        ({"sparsity": 1.5}, r"row: sparsity is 1.5; must be a number in \[0, 1\]"),
    ],
)
def test_what_names_a_row_is_required(changes, message):
    with pytest.raises(JaxticketError, match=message):
        Row.from_json({**ROW.to_json(), **changes})


def test_a_row_is_an_object():
    with pytest.raises(JaxticketError, match="row: is a list; must be an object"):
        Row.from_json([])


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (("a/b", "title"), "column name='a/b': must be letters"),
        (("zz", 5), "column 'zz': title=5: must be a string"),
        (("zz", "title", "%.2f"), "column 'zz': format='%.2f': must format numbers, such as '.2%'"),
        (("zz", "title", None), "column 'zz': format=None: must format numbers"),
    ],
)
def test_a_column_is_one_of_numbers(column, message):
    with pytest.raises(ConfigError, match=message):
        Column(*column)


@pytest.mark.parametrize("text", ["", ".2%", ",.0f", "g", "d"])
def test_formats_of_whole_and_other_numbers(text):
    assert Column("zz", "title", text).format == text
