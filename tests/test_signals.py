"""Ctrl-C and SIGTERM end a command in one line and with 75 from its first instruction on, wherever it is."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.feature("crashes, signals and full disks")]

ROOT = Path(__file__).resolve().parents[1]
BOTH = [signal.SIGINT, signal.SIGTERM]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env=ENVIRONMENT,
    )


def wait_for_handlers(process):
    """Until the process catches SIGTERM; before that it is Python that starts, and nothing of ours has run."""
    while process.poll() is None:
        caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{process.pid}/status").read_text())
        if caught and int(caught[1], 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.001)


def ends_well(process):
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 75, output
    assert "Traceback" not in output
    assert output.count("stopped") == 1
    assert "the same command continues" in output.splitlines()[-1]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux to see that handlers are there")
@pytest.mark.parametrize("number", BOTH)
@pytest.mark.parametrize(
    "delay", [0.0, 0.2, 0.6, *(pytest.param(delay, marks=pytest.mark.slow) for delay in (1.5, 2.5, 4.0, 7.0))]
)
def test_a_run_ends_at_any_moment(tmp_path, number, delay):
    process = start(
        "-m", "jaxticket.main", "--config=configs/imp.py", "--config.train.epochs=500", f"--workdir={tmp_path}"
    )
    wait_for_handlers(process)
    time.sleep(delay)
    process.send_signal(number)
    ends_well(process)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux to see that handlers are there")
@pytest.mark.parametrize(
    "command",
    [
        ["jaxticket.sweep", "--config=configs/imp.py"],
        ["jaxticket.report", "nowhere"],
        ["jaxticket.data", "list"],
        ["jaxticket.main", "--config=configs/imp.py", "--dry_run"],
    ],
)
def test_every_command_ends_so(command):
    process = start("-m", *command)
    wait_for_handlers(process)
    process.send_signal(signal.SIGTERM)
    ends_well(process)


# A config file that strikes its own process where the test says, and then stays there.
STRIKE = """
import os, signal, sys, time

def strike(*_, **__):
    print("here", flush=True)
    os.kill(os.getpid(), signal.{number})
    time.sleep(120)

def get_config():
    {place}
    from jaxticket.experiments import default_config
    config = default_config("train")
    config.data.name, config.model.name = "digits", "lenet300"
    config.train.epochs = 1
    return config
"""
PLACES = {
    "reading the config": "strike()",
    "loading JAX": """
    class Finder:
        def find_spec(name, *_):
            if name == "jax": strike()
    sys.meta_path.insert(0, Finder)""",
    # JAX clears caches in a callback of the garbage collection, where exceptions are lost.
    "collecting garbage": """
    import gc
    gc.callbacks.append(strike)
    gc.collect()""",
    "planning": """
    import jaxticket.lab.run
    jaxticket.lab.run.make_plan = strike""",
    "reading data": """
    import jaxticket.data.loading
    jaxticket.data.loading.load = strike""",
    "writing the report": """
    import jaxticket.report.write
    jaxticket.report.write.write_report = strike""",
}


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("place", PLACES)
def test_a_run_ends_where_nobody_asks(tmp_path, place, number):
    (tmp_path / "strike.py").write_text(STRIKE.format(number=number, place=PLACES[place].strip()))
    process = start("-m", "jaxticket.main", f"--config={tmp_path / 'strike.py'}", f"--workdir={tmp_path / 'runs'}")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 75, output
    assert output.splitlines()[-2] == "here", output
    assert re.fullmatch("stopped.*; the same command continues", output.splitlines()[-1])


def run(program):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True, text=True, timeout=120, env=ENVIRONMENT, check=False,
    )  # fmt: skip


def test_who_saves_is_not_hurried_by_signals():
    done = run("""
        import os, signal, time
        from jaxticket import signals
        from jaxticket.training import interrupts
        signals.own()
        interrupts._PATIENCE_SECONDS = 0.05
        with interrupts.Interrupts() as asked:
            asked.holding = True
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
            assert asked.requested
            print("still here", flush=True)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(60)
    """)
    assert done.returncode == 75, done.stderr
    assert done.stdout.splitlines() == [
        "still here",
        "stopped at once; the same command continues from the last checkpoint",
    ]


def test_listener_that_stops_by_itself_is_not_ended():
    done = run("""
        import os, signal, time
        from jaxticket import signals
        from jaxticket.training import interrupts
        signals.own()
        interrupts._PATIENCE_SECONDS = 0.2
        try:
            with interrupts.Interrupts() as asked:
                os.kill(os.getpid(), signal.SIGINT)
                while True:
                    asked.check()
        except interrupts.InterruptedRun:
            time.sleep(1)
            print("stopped by itself")
    """)
    assert (done.returncode, done.stdout) == (0, "stopped by itself\n"), done.stderr


def test_a_forked_child_has_its_own_signals():
    done = run("""
        import os, signal, time
        from jaxticket import signals
        signals.own()
        child = os.fork()
        if not child:
            time.sleep(60)
        time.sleep(0.1)
        os.kill(child, signal.SIGTERM)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), signals.owned())
    """)
    assert done.stdout == f"{-signal.SIGTERM} True\n", done.stderr


def test_end_does_not_wait_for_idle_reader():
    process = start("-c", "from jaxticket import signals; signals.own(); print('x' * 10**7)")
    wait_for_handlers(process)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 75
    process.stdout.close()
