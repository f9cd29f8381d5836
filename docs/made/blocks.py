"""What blocks of several shapes cost, and what they bring."""

from compared import compare
from studies import accuracies, benchmark, mean, study
from texts import interval, listed, one_line, paragraph, percent, span, spread, table

STUDIES = {"lenet300": "blocks-lenet300-fashion_mnist", "lenet5": "blocks-lenet5-fashion_mnist"}
SHAPES = ("unstructured", "block:4x16", "block:8x32", "block:16x64", "block:16x128", "channel")


def words(shape: str) -> str:
    """What a granularity is called in a table."""
    return {"unstructured": "single weights", "channel": "channels"}.get(shape, f"blocks of {shape.partition(':')[2]}")


def compared(model: str):
    """Every shape and sparsity against the dense network, by (shape, level)."""
    found = study(STUDIES[model])["granularities"]
    return compare(
        {
            (shape, level): (accuracies(found[shape]["rows"], level=level), accuracies(found[shape]["rows"], level=0))
            for shape in SHAPES
            if shape in found
            for level in (1, 2, 3)
        }
    )


def timed(model: str, shape: str, level: int):
    """What was measured of the tickets of a shape and level."""
    rows = benchmark("tickets")["rows"]
    return next(r for r in rows if (r["model"], r["granularity"], r["level"]) == (model, shape, f"omp-{level}"))


def speed(model: str, shape: str, level: int, how: str) -> str:
    """`2.4`, how many times as fast as the masked network."""
    return f"{timed(model, shape, level)['times_faster'][how]['median']:.1f}"


def rows_table(model: str) -> str:
    """A row for each shape and sparsity."""
    found = study(STUDIES[model])["granularities"]
    rows = [["nothing", "0 %", spread(accuracies(next(iter(found.values()))["rows"], level=0)), "", "", "", ""]]
    for shape in (shape for shape in SHAPES if shape in found):
        for level in (1, 2, 3):
            of = found[shape]["rows"]
            time = timed(model, shape, level)
            sparse = time["times_faster"]["sparse"]
            rows.append(
                [
                    words(shape),
                    f"{percent(mean(row['sparsity'] for row in of if row['level'] == level), 0)} %",
                    spread(accuracies(of, level=level)),
                    f"{time['times_faster']['shrunk']['median']:.2f}",
                    f"{sparse['median']:.2f} ({sparse['min']:.2f} to {sparse['max']:.2f})",
                    " / ".join(str(layers) for layers in time["layers_sparse"]),
                    f"{percent(mean(after / before for before, after in time['bytes']), 0)} %",
                ]
            )
    return table(["pruned by", "sparsity", "test accuracy", "shrunk", "sparse", "sparse layers", "bytes left"], rows)


def _gaps(model: str, level: int, outside: bool) -> list[str]:
    found = compared(model)
    return [
        f"{words(shape)} ({interval(difference)})"
        for (shape, at), difference in found.of.items()
        if at == level and ((shape, at) in found.outside()) == outside
    ]


def _behind(model: str, level: int) -> str:
    behind, level_with = _gaps(model, level, True), _gaps(model, level, False)
    parts = [f"told from the dense network by their intervals are {listed(behind)}"] if behind else []
    parts += [f"not told from it {listed(level_with)}"] if level_with else []
    return "; ".join(parts)


def fastest(model: str, kind: str) -> list[float]:
    """How many times as fast the sparse networks of blocks, or the shrunk ones of channels, are at the last level."""
    found = study(STUDIES[model])["granularities"]
    shapes = [shape for shape in found if shape.startswith("block") == (kind == "sparse") and shape != "unstructured"]
    return [timed(model, shape, 3)["times_faster"][kind]["median"] for shape in shapes]


def findings(model: str) -> str:
    """What the table shows, differences against dense."""
    found = compared(model)
    return paragraph(
        f"Against the dense network, seed by seed and with 95 % intervals: at 75 %, {_behind(model, 2)}. At 90 %,",
        f"{_behind(model, 3)}. {found.sentence()} At 90 % blocks are {span(fastest(model, 'sparse'))} times as fast",
        f"as the masked network, whole channels {span(fastest(model, 'shrunk'))} times, for they shrink the layer",
        "behind them too.",
    )


def answer() -> tuple[str, str]:
    """The answer of the README, and whether it is settled."""
    found = compared("lenet300")
    parts = [
        f"{words(shape)} {interval(found.of[shape, 3])} points and {speed('lenet300', shape, 3, how)} times as fast"
        for shape, how in (("block:8x32", "sparse"), ("channel", "shrunk"))
    ]
    return one_line("LeNet-300-100 at 90 %, on a CPU:", "; ".join(parts)), found.word(("block:8x32", 3), ("channel", 3))


def texts() -> dict[str, str]:
    """The made texts of these studies."""
    return {f"blocks-{model}-table": rows_table(model) for model in STUDIES} | {
        f"blocks-{model}-findings": findings(model) for model in STUDIES
    }
