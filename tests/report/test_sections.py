"""Each section of the page: its words, its numbers, and when it is left out."""

import dataclasses
import html
import json
import re

import pytest

from jaxticket.core.errors import JaxticketError
from jaxticket.lab.registry import experiments
from jaxticket.report import Note, Section, print_table, register_section, write, write_report
from jaxticket.report.files import read_study
from jaxticket.report.registry import sections
from jaxticket.report.sections.accuracy import accuracy_section
from jaxticket.report.sections.curves import curves_section, mean_curve, pick
from jaxticket.report.sections.headline import headline_section
from jaxticket.report.sections.layers import layers_section
from jaxticket.report.sections.provenance import flatten, provenance_section
from jaxticket.report.sections.table import table_section
from jaxticket.report.study import EpochCurves

pytestmark = [pytest.mark.feature("reports")]


@pytest.fixture
def study(made, tmp_path):
    return lambda rows, **changes: read_study(made.folder(tmp_path / "study", rows, **changes))


def words(section):
    """The text of a section, spaces and tags taken out."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", section.html)).split()).replace(" ,", ",").replace(" .", ".")


def level_rows(made, values, branch="imp"):
    """{level: test accuracy of each seed}, level 0 being dense."""
    return [
        made.row(branch if level else "dense", level, seed, test_accuracy=value)
        for level, accuracies in values.items()
        for seed, value in enumerate(accuracies)
    ]


def test_headline_names_sparsest_level_as_good_as_dense(made, study):
    values = {0: (0.97, 0.96, 0.98), 1: (0.98, 0.97, 0.97), 2: (0.94, 0.95, 0.95), 3: (0.962, 0.965, 0.971), 4: (0.9,)}
    said = words(headline_section(study(level_rows(made, values))))
    assert "imp is as good as the dense network down to 51.2% of its prunable weights (level 3, sparsity 48.8%)" in said
    assert "mean test accuracy 0.9660 ± 0.0046 over 3 seeds, against 0.9700 ± 0.0100 over 3 seeds dense" in said
    assert "Seed by seed this holds in 1 of 3." in said
    assert "Not every denser level does: level 2 is below." in said
    assert "at most 0.005 below the dense mean" in said
    assert "differ among themselves by 0.0100" in said
    assert "One of the 360 test images is worth 0.0028" in said
    assert "picked by these same test accuracies" in said


def test_headline_of_one_seed_says_so(made, study):
    said = words(headline_section(study(level_rows(made, {0: (0.97,), 1: (0.97,)}))))
    assert "mean test accuracy 0.9700 over 1 seed, against 0.9700 over 1 seed dense" in said
    assert "(n = 1)" in said
    assert "0.9700 ±" not in said
    assert "Seed by seed" not in said


def test_headline_when_no_level_is_as_good(made, study):
    said = words(headline_section(study(level_rows(made, {0: (0.97, 0.97), 1: (0.90, 0.92), 2: (0.8, 0.8)}))))
    assert "No level of imp is as good as the dense network." in said
    assert "The nearest is level 1 with 80.0% of the prunable weights: mean test accuracy 0.9100 ± 0.0141" in said


def test_headline_without_sparse_or_dense_networks(made, study):
    only = words(headline_section(study(level_rows(made, {0: (0.97, 0.95)}))))
    assert "The dense network reaches a test accuracy of 0.9600 ± 0.0141" in only
    assert "n = 2 seeds" in only
    sparse = [made.row("ticket", 0, 0, sparsity=0.9, test_accuracy=0.95)]
    without = words(headline_section(study(sparse)))
    assert "ticket reaches a mean test accuracy of 0.9500 over 1 seed with 10.0% of its prunable weights." in without
    assert "no dense network to compare with" in without
    assert words(headline_section(study([]))) == "No network has been trained yet."


def test_headline_claims_every_branch_for_itself(made, study):
    rows = level_rows(made, {0: (0.97,), 1: (0.97,), 2: (0.97,)})
    rows += level_rows(made, {1: (0.9,), 2: (0.8,)}, branch="random_mask")
    rows += level_rows(made, {1: (None,)}, branch="broken")
    said = words(headline_section(study(rows)))
    assert "imp is as good as the dense network down to 64.0%" in said
    assert "No level of random_mask is as good" in said
    assert "broken has no finite test accuracy." in said


def test_control_as_good_as_dense_does_not_lead(made, study):
    rows = level_rows(made, {0: (0.97,), 1: (0.97,), 2: (0.9,)})
    rows += level_rows(made, {1: (0.97,), 2: (0.97,)}, branch="rr_imp")
    said = words(headline_section(study(rows)))
    assert "As good as dense with 80.0% of the weights, imp level 1" in said
    assert "The same masks from other initial weights (rr_imp): 0.9700." in said
    assert "rr_imp is as good" not in said


def test_nearest_of_many_branches_speaks_for_all(made, study):
    rows = level_rows(made, {0: (0.97,), 1: (0.97,)})
    for number, branch in enumerate("abcd"):
        rows += level_rows(made, {1: (0.9 - 0.01 * abs(number - 2),)}, branch=branch)
    said = words(headline_section(study(rows)))
    assert "imp is as good as the dense network down to 80.0%" in said
    assert "No level of 4 branches is as good as the dense network. The nearest is level 1 of c with" in said
    assert "The others are a, b and d." in said
    assert said.count("No level") == 1


def test_accuracy_has_panels_and_view_of_collapse(made, study):
    section = accuracy_section(study(made.imp_rows(seeds=(0, 1))))
    assert [figure.name for figure in section.figures] == [
        "test_accuracy",
        "val_accuracy",
        "test_accuracy_near",
        "val_accuracy_near",
    ]
    for figure in section.figures:
        assert figure.inline in section.html
    assert "bands or vertical lines go from the lowest to the highest seed" in section.html
    flat = accuracy_section(study(made.imp_rows(levels=3, seeds=(0, 1), val_accuracy=None)))
    assert [figure.name for figure in flat.figures] == ["test_accuracy"]


def test_accuracy_of_one_seed_shows_no_spread(made, study):
    section = accuracy_section(study(made.imp_rows(levels=3, seeds=(0,), val_accuracy=None)))
    assert "(n = 1)" in section.html
    assert "fill-opacity: 0.1" not in section.figures[0].svg
    many = accuracy_section(study(made.imp_rows(levels=3, seeds=(0, 1), val_accuracy=None)))
    assert "fill-opacity: 0.1" in many.figures[0].svg


def test_accuracy_draws_sparser_further_right(made, study):
    svg = accuracy_section(study(made.imp_rows(levels=10, seeds=(0,), val_accuracy=None))).figures[0].svg
    places = {found[2]: float(found[1]) for found in re.finditer(r'x="([\d.]+)" y="[\d.]+"[^>]*>([\d.]+)</text>', svg)}
    assert places["100"] < places["50"] < places["20"]


def test_accuracy_needs_two_points(made, study):
    assert accuracy_section(study(level_rows(made, {0: (0.97,)}))) is None
    assert accuracy_section(study([made.row("ticket", 0, 0, sparsity=0.9)])) is None
    assert accuracy_section(study([made.row("dense", 0, 0), made.row("imp", 1, 0, sparsity=1.0)])) is None


def test_curves_are_means_over_the_seeds_that_know():
    points = [
        EpochCurves("imp", 1, seed, epoch, train_loss=loss)
        for seed, epoch, loss in ((0, 2, 1.0), (1, 2, 2.0), (0, 1, 4.0), (1, 1, None), (0, 3, None))
    ]
    assert mean_curve(points, "train_loss") == [(1, 4.0), (2, 1.5)]


def test_a_handful_of_levels_with_first_and_last():
    assert pick(list(range(19)), 6) == [0, 4, 7, 11, 14, 18]
    assert pick([1, 2], 6) == [1, 2]


def test_training_shows_loss_and_accuracy(made, study):
    rows = made.imp_rows(levels=8, seeds=(0, 1))
    section = curves_section(study(rows))
    assert [figure.name for figure in section.figures] == ["train_loss_imp", "val_accuracy_imp"]
    assert "one line each for 100, " in section.figures[0].label
    assert "mean over seeds" in section.html
    without = curves_section(study(made.imp_rows(levels=1, seeds=(0,), val_accuracy=None)))
    assert [figure.name for figure in without.figures] == ["train_loss_imp", "train_accuracy_imp"]
    assert curves_section(study(rows, metrics=[])) is None
    assert curves_section(study([])) is None


def test_training_takes_lost_numbers_and_single_epochs(made, study):
    rows = made.imp_rows(levels=1, seeds=(0,))
    metrics = made.metrics(rows, epochs=1)
    metrics[0]["train_loss"] = None
    metrics[1]["train_loss"] = 0.0
    assert len(curves_section(study(rows, metrics=metrics)).figures) == 2


def test_layers_are_in_natural_order_without_empty_ones(made, study):
    paths = [f"block{i}/kernel" for i in (10, 2, 1)]
    rows = [
        made.row("imp" if level else "dense", level, 0, layer_sparsity=dict.fromkeys(paths, level / 3))
        for level in range(4)
    ]
    section = layers_section(study(rows))
    assert re.findall(r"<code>(.*?)</code>", section.html) == [f"block{i}/kernel" for i in (1, 2, 10)]
    assert [figure.name for figure in section.figures] == ["layers_imp"]
    assert "33.3%" in section.html


def test_many_layers_are_coloured_by_order(made, study):
    many = {f"conv{i}/kernel": 0.1 for i in range(20)}
    rows = [made.row("imp", level, 0, layer_sparsity=many) for level in (1, 2)]
    section = layers_section(study(rows))
    assert "Colours follow the order of the table" in section.html
    assert ">conv3/kernel<" not in section.figures[0].svg


def test_branches_too_many_for_the_page_are_named(made, study):
    rows = [made.row("dense", 0, 0), *(made.row(branch, level, 0) for branch in "abcdef" for level in (1, 2))]
    section = layers_section(study(rows))
    assert [figure.name for figure in section.figures] == [f"layers_{branch}" for branch in "abcd"]
    assert "Not shown: e, f." in words(section)
    section = curves_section(study(rows))
    assert len(section.figures) == 2 * 4
    assert "Not shown: e, f." in words(section)


def test_layers_need_sparse_network_and_figure_two_levels(made, study):
    assert layers_section(study([made.row("dense", 0, 0)])) is None
    assert layers_section(study([made.row("imp", 1, 0, layer_sparsity={})])) is None
    assert layers_section(study([made.row("ticket", 0, 0, sparsity=0.5)])).figures == ()


def test_table_has_the_aggregated_numbers_and_every_row(made, study):
    rows = level_rows(made, {0: (0.97, 0.95), 1: (0.96, 0.95), 2: (0.5, True)})
    section = table_section(study(rows))
    said = words(section)
    assert "dense 0 100% 0.9600 ± 0.0141" in said
    assert "imp 1 80.0% 0.9550 ± 0.0071 \N{MINUS SIGN}0.0050" in said
    assert "imp 2 64.0% 0.5000 (n = 1) \N{MINUS SIGN}0.4600" in said
    assert section.html.count('<tr class="match">') == 1
    assert "Every network (6)" in said
    assert section.html.count("<tr") == 2 + 3 + 6
    assert table_section(study([])) is None


def test_table_has_what_is_measured_beside_the_accuracy(made, study):
    measured = {"test_accuracy_pruned": 0.1234, "test_accuracy_balanced": 0.2345, "test_accuracy_top5": 0.9876}
    rows = [made.row("dense", 0, 0, test_loss=0.4321), made.row("imp", 1, 0, **measured)]
    shown, plain = table_section(study(rows)).html, table_section(study(made.imp_rows())).html
    for number in ("0.1234", "0.2345", "0.9876", "0.432"):
        assert number in shown
    for heading in ("right after pruning", "after pruning", "balanced", "top-5", "test loss"):
        assert f">{heading}</th>" in shown
        assert f">{heading}</th>" not in plain


def test_table_headings_say_what_they_are_headings_of(made, study):
    section = table_section(study(made.imp_rows(levels=1)))
    assert not re.search(r"<th(?![^>]*scope=)[^>e]*>", section.html)


def test_provenance_has_all_to_do_it_again(made, study):
    said = words(provenance_section(study(made.imp_rows(levels=1)))).replace("\N{MULTIPLICATION SIGN}", "*")
    for part in (
        "python -m jaxticket.main --config=configs/quickstart.py --workdir=runs",
        "digits, 8*8*1, 10 classes, 1,294 training, 143 validation and 360 test images",
        "lenet300, 50,610 parameters, 50,200 of them prunable",
        "1 * cpu, 2 CPU cores, AMD EPYC 7B13",
        "jax 0.10.2",
        "abc123def456+",
        "hash ab12cd34",
        'train.optimizer "adam"',
        "prune.rate 0.2",
    ):
        assert part in said
    assert "seed null" in said[said.index("Every option") :]


def test_provenance_of_a_bare_summary(tmp_path):
    (tmp_path / "summary.json").write_text(json.dumps({"dataset": None, "model": None, "commit": None, "rows": []}))
    assert words(provenance_section(read_study(tmp_path))) == ""


def test_flatten_names_options_by_dotted_key():
    options = {"a": {"b": {"c": (1, 2)}, "d": {}}, "e": None}
    assert list(flatten(options)) == [("a.b.c", "[1, 2]"), ("a.d", "{}"), ("e", "null")]


def raises(study):
    return 1 / len(study.epochs)


def section(name, *parts, **options):
    return lambda study: Section(name, "Title", parts or [Note("text")], **options)


@pytest.mark.parametrize(
    ("own", "general", "said"),
    [
        ((raises,), None, "section raises: ZeroDivisionError: division by zero"),
        ((), raises, "section x: ZeroDivisionError: division by zero"),
        ((), lambda study: "text", "section x: ConfigError: returned 'text'; must be a Section, or None"),
        ((), section("x", "hi"), "section x: ConfigError: its part 'hi' is a str; must be a Note"),
        (("no.such:thing",), None, "section no.such:thing: "),
        ((section("q"), section("q")), None, "section q: ConfigError: there is another section of the id 'q'; choose"),
        ((), section("made"), "section x: ConfigError: there is another section of the id 'made'"),
        ((), section("x", after="nowhere"), "section x: ConfigError: after='nowhere': must be one of found, accuracy"),
        ((section("q", after="nowhere"),), None, "section q: ConfigError: after='nowhere': must be one of found"),
    ],
)
def test_a_section_that_raises_costs_only_itself(own, general, said, made, tmp_path, capsys, monkeypatch):
    rows, notes = level_rows(made, {0: (0.9,), 1: (0.9,)}), []
    folder = made.folder(tmp_path / "study", rows, metrics=[])
    monkeypatch.setattr(write, "read_study", lambda folder: dataclasses.replace(read_study(folder), intact=True))
    with experiments.restored(), sections.restored():
        experiments.replace(dataclasses.replace(experiments.get("imp"), sections=own))
        if general:
            register_section("x", general)
        page = write_report(folder, notes.append).read_text()
        print_table(made.summary(rows))
    assert "imp " in capsys.readouterr().out
    (line,) = notes
    assert line.startswith(said)
    assert line.endswith("; the report is without it")
    assert "<strong>Left out.</strong> section " in page
    assert said in html.unescape(page)
    assert 'id="accuracy"' in page
    assert page.count('id="made"') == 1


def test_files_of_strangers_are_to_blame(made, tmp_path):
    folder = made.folder(tmp_path / "study", level_rows(made, {0: (0.9,)}), metrics=[])
    with sections.restored():
        register_section("x", raises)
        with pytest.raises(JaxticketError, match="not as an experiment writes them"):
            write_report(folder)
