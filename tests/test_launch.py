"""Launch scripts: their behaviour with stand-ins for what they start, and the syntax of those that need a cluster."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

pytestmark = [pytest.mark.feature("sweeps and launch scripts")]

ROOT = Path(__file__).resolve().parents[1]
LAUNCH = ROOT / "launch"
SHELL = sorted(path for path in LAUNCH.iterdir() if path.suffix in (".sh", ".sbatch"))
TOOLS = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

# Stands in for the interpreter: says what it was given, and does what the first argument of the module asks for.
PYTHON = """#!/usr/bin/env bash
if [ "$1" = -c ]; then exec {python} "$@"; fi
[ "$*" != "${{*/--ignore/}}" ] && trap '' TERM || trap 'echo stopping; exit 75' TERM
echo "$JAX_PROCESS_ID of $JAX_NUM_PROCESSES at $JAX_COORDINATOR_ADDRESS: $*"
case "$*" in
  *--fail=$JAX_PROCESS_ID*) exit 3 ;;
  *--wait*) for ((i = 0; i < 600; i++)); do sleep 0.05; done ;;
esac
"""


def shell(path, text):
    path.write_text(text)
    path.chmod(0o755)
    return path


# Behind `&` in a script SIGINT is ignored, and what a shell finds ignored it cannot trap. Not with `preexec_fn`, as
# that forks, of which JAX warns.
HEED_CTRL_C = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def local(tmp_path):
    """Starts `local.sh` with the stand-in."""
    python = shell(tmp_path / "python", PYTHON.format(python=sys.executable))

    started = []

    def start(*arguments, **environment):
        process = subprocess.Popen(
            [sys.executable, "-c", HEED_CTRL_C, LAUNCH / "local.sh", *arguments],
            env={**os.environ, "PYTHON": str(python), "GRACE": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def wait_for(process, *texts):
    """Reads lines until all the texts were seen."""
    seen = ""
    while not all(text in seen for text in texts):
        line = process.stdout.readline()
        assert line, seen
        seen += line
    return seen


def test_local_processes_meet_at_one_address(local):
    process = local("3", "--config=a b", "--x")
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output
    found = re.findall(r"^\[(\d)\] (\d) of 3 at (127\.0\.0\.1:\d+): (.*)$", output, re.MULTILINE)
    assert sorted(line[:2] for line in found) == [("0", "0"), ("1", "1"), ("2", "2")]
    assert len({line[2] for line in found}) == 1
    assert {line[3] for line in found} == {"-u -m jaxticket.main --config=a b --x"}
    output, _ = local("1", "--x", PORT="12345", MODULE="jaxticket.sweep").communicate(timeout=30)
    assert output == "[0] 0 of 1 at 127.0.0.1:12345: -u -m jaxticket.sweep --x\n"


def test_local_ends_all_when_one_fails(local):
    begun = time.monotonic()
    process = local("3", "--wait", "--fail=1")
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 3, output
    assert "process 1 of 3 ended with exit code 3" in output
    assert "process 2 of 3 ended with exit code 137" in output
    assert time.monotonic() - begun < 15


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_local_passes_signals_on_and_keeps_75(local, number):
    process = local("2", "--wait")
    seen = wait_for(process, "[0] ", "[1] ")
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 75, seen + output
    assert sorted(output.splitlines()) == ["[0] stopping", "[1] stopping"]


def test_local_kills_at_the_second_signal(local):
    process = local("2", "--wait", "--ignore")
    seen = wait_for(process, "[0] ", "[1] ")
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 137, seen + output


@pytest.mark.parametrize("arguments", [(), ("2",), ("0", "--x"), ("two", "--x"), ("--config=x", "--y")])
def test_local_says_how_it_is_used(local, arguments):
    process = local(*arguments)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert output.startswith("usage: launch/local.sh N ")


@pytest.fixture
def stand_ins(tmp_path):
    """A folder of commands that note how they are called; `answers` are the bodies of some of them."""

    def make(**answers):
        folder = tmp_path / "bin"
        folder.mkdir()
        for name in ("srun", "scontrol", "gcloud"):
            body = answers.get(name, "")
            shell(folder / name, f'#!/usr/bin/env bash\nprintf "%s\\n" "{name} $*" >>{tmp_path}/calls\n{body}\n')
        return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "PYTHON": "python"}

    return make


def run(script, environment, *arguments):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    command = ["bash", LAUNCH / script, *arguments]
    return subprocess.run(command, env=inherited | environment, capture_output=True, text=True, check=False)


def calls(tmp_path):
    return (tmp_path / "calls").read_text().splitlines()


SLURM = {"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "2"}


@pytest.mark.parametrize(
    ("environment", "options", "devices"),
    [
        ({}, "", ""),
        ({"SLURM_NTASKS": "4"}, "", ""),
        ({"SLURM_GPUS_ON_NODE": "4"}, " --ntasks=8 --ntasks-per-node=4 --overcommit", ""),
        ({"SLURM_GPUS_ON_NODE": "4", "SLURM_NTASKS": "2"}, "", ""),
        ({"SLURM_GPUS_ON_NODE": "2", "SLURM_NTASKS": "4", "SLURM_GPUS_PER_TASK": "1"}, "", "0"),
    ],
)
def test_slurm_starts_a_task_for_each_gpu(tmp_path, stand_ins, environment, options, devices):
    made = stand_ins(srun=f'echo "devices $JAX_LOCAL_DEVICE_IDS" >>{tmp_path}/calls')
    assert run("slurm.sbatch", made | SLURM | environment, "--config=a b").returncode == 0
    assert calls(tmp_path) == [
        f"srun --kill-on-bad-exit=1 --label{options} python -u -m jaxticket.main --config=a b",
        f"devices {devices}",
    ]


@pytest.mark.parametrize("script", ["slurm.sbatch", "slurm_array.sbatch"])
@pytest.mark.parametrize(
    ("code", "restarts", "requeued"), [(0, "0", False), (1, "0", False), (75, "3", True), (75, "4", False)]
)
def test_slurm_queues_again_what_ended_with_75(tmp_path, stand_ins, script, code, restarts, requeued):
    environment = stand_ins(srun=f"exit {code}") | SLURM
    environment |= {"SLURM_RESTART_COUNT": restarts, "MAX_RESTARTS": "4"}
    environment |= {"SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_JOB_ID": "6"}
    assert run(script, environment, "--config=a").returncode == code
    assert calls(tmp_path)[1:] == (["scontrol requeue 7"] if requeued else [])


def test_slurm_array_runs_the_experiment_of_its_index(tmp_path, stand_ins):
    environment = stand_ins() | SLURM
    assert run("slurm_array.sbatch", environment, "--config=a").returncode == 2
    assert run("slurm_array.sbatch", environment | {"SLURM_ARRAY_TASK_ID": "5"}, "--config=a b").returncode == 0
    assert calls(tmp_path) == ["srun --kill-on-bad-exit=1 python -u -m jaxticket.sweep --config=a b --index=5"]


GCLOUD = """
case "$*" in
  *describe*--format*) echo ACTIVE ;;
  *describe*) exit 1 ;;
  *jaxticket.main*) exit "${CODE:-0}" ;;
esac
"""
TPU = {"NAME": "tickets", "ZONE": "z", "TYPE": "v4-32", "SHARE": "10.0.0.2:/t"}


@pytest.mark.parametrize(("code", "keep"), [("0", "0"), ("75", "1")])
def test_tpu_pod_asks_installs_runs_and_gives_back(tmp_path, stand_ins, code, keep):
    environment = stand_ins(gcloud=GCLOUD, tar="") | TPU | {"CODE": code, "KEEP": keep, "SPOT": "1"}
    shell(tmp_path / "bin" / "tar", "#!/bin/sh\n")
    found = run("tpu_pod.sh", environment, "--config=a b", "--workdir=/mnt/jaxticket/runs")
    assert found.returncode == int(code), found.stderr
    commands = [line for line in calls(tmp_path) if line.startswith("gcloud")]
    assert "queued-resources create tickets --zone=z --node-id=tickets --accelerator-type=v4-32" in commands[1]
    assert commands[1].endswith(" --spot")
    assert "scp /tmp/tickets.tar.gz tickets: --zone=z --worker=all" in commands[3]
    text = "\n".join(calls(tmp_path))
    assert "mount -t nfs -o hard 10.0.0.2:/t /mnt/jaxticket" in text
    assert r"-m jaxticket.main --config=a\ b --workdir=/mnt/jaxticket/runs" in text
    assert ("queued-resources delete" in commands[-1]) == (keep == "0")


def test_tpu_pod_names_what_is_missing(stand_ins):
    found = run("tpu_pod.sh", stand_ins() | {"NAME": "tickets"}, "--config=a")
    assert found.returncode != 0
    assert "ZONE: is not set" in found.stderr


@pytest.mark.parametrize("script", SHELL, ids=lambda path: path.name)
def test_shell_scripts_are_clean(script):
    subprocess.run(["bash", "-n", script], check=True)
    assert os.access(script, os.X_OK)
    shellcheck = shutil.which("shellcheck", path=TOOLS)
    if shellcheck is None:
        pytest.skip("shellcheck is not installed")
    found = subprocess.run([shellcheck, script], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("script", SHELL, ids=lambda path: path.name)
def test_environment_of_a_script_is_at_its_top(script):
    head, code = re.match(r"((?:#[^\n]*\n)+)(.*)", script.read_text(), re.DOTALL).groups()
    read = set(re.findall(r"\$\{([A-Z][A-Z_]+):[-?]", code)) - {"JAX_LOCAL_DEVICE_IDS"}
    described = set(re.findall(r"^#   ([A-Z][A-Z_]+)  ", head, re.MULTILINE))
    assert {name for name in read if not name.startswith("SLURM_")} - {"POLL"} == described


def documents():
    return list(yaml.safe_load_all((LAUNCH / "k8s_jobset.yaml").read_text()))


def test_jobset_is_indexed_with_rights_and_volume():
    by_kind = {document["kind"]: document for document in documents()}
    names = {document["metadata"]["name"] for document in documents()}
    assert names == {"jaxticket", "jaxticket-runs"}
    rights = {
        (name, *rule["apiGroups"], *rule["verbs"]) for rule in by_kind["Role"]["rules"] for name in rule["resources"]
    }
    assert rights == {("pods", "", "get", "list"), ("services", "", "get", "list"), ("jobs", "batch", "get", "list")}
    assert by_kind["RoleBinding"]["roleRef"]["name"] == by_kind["Role"]["metadata"]["name"]
    (job,) = by_kind["JobSet"]["spec"]["replicatedJobs"]
    spec = job["template"]["spec"]
    assert spec["completionMode"] == "Indexed"
    assert spec["parallelism"] == spec["completions"]
    pod = spec["template"]["spec"]
    assert pod["serviceAccountName"] == by_kind["ServiceAccount"]["metadata"]["name"]
    (volume,), (container,) = pod["volumes"], pod["containers"]
    claim = by_kind["PersistentVolumeClaim"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    mount = container["volumeMounts"][0]["mountPath"]
    assert f"--workdir={mount}/runs" in container["args"]
    (config,) = (text for text in container["args"] if text.startswith("--config=configs/"))
    assert (ROOT / config.removeprefix("--config=").partition(":")[0]).exists()


def test_jobset_is_clean():
    yamllint = shutil.which("yamllint", path=TOOLS)
    if yamllint is None:
        pytest.skip("yamllint is not installed")
    rules = "{extends: default, rules: {line-length: {max: 120}}}"
    found = subprocess.run(
        [yamllint, "-s", "-d", rules, LAUNCH / "k8s_jobset.yaml"], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout


def test_dockerfile_copies_what_exists_not_as_root():
    text = re.sub(r"\\\n", " ", (LAUNCH / "Dockerfile").read_text())
    lines = [line.split(None, 1) for line in text.splitlines() if line and not line.startswith("#")]
    known = {"ARG", "FROM", "ENV", "COPY", "RUN", "USER", "WORKDIR", "ENTRYPOINT", "CMD"}
    assert {instruction for instruction, _ in lines} == known
    for instruction, rest in lines:
        if instruction == "COPY":
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
    order = [instruction for instruction, _ in lines]
    assert order.index("USER") > max(index for index, name in enumerate(order) if name == "RUN")
    assert dict(lines)["USER"] != "root"
    assert dict(lines)["ENTRYPOINT"] == '["python", "-m", "jaxticket.main"]'


def test_every_file_is_in_the_table():
    table = re.findall(r"^\| \[([^]]+)\]", (LAUNCH / "README.md").read_text(), re.MULTILINE)
    assert sorted(table) == sorted(path.name for path in LAUNCH.iterdir() if path.name != "README.md")


TINY = [
    f"--config={ROOT / 'configs' / 'imp.py'}",
    *("--config.seeds=(0,)", "--config.levels=1"),
    *("--config.train.epochs=6", "--config.train.batch_size=32", "--config.train.checkpoint_epochs=1"),
]


@pytest.mark.deep
@pytest.mark.timeout(300)
def test_local_processes_stop_continue_and_finish(tmp_path):
    def start():
        return subprocess.Popen(
            [LAUNCH / "local.sh", "2", *TINY, f"--workdir={tmp_path}"],
            env={**os.environ, "PYTHON": sys.executable},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
        )

    process = start()
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("stages/train-*/checkpoints/[0-9]*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.terminate()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 75, output
    process = start()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "[0] tickets" in output
    assert len(list(tmp_path.glob("imp-*/tickets/*/ticket.json"))) == 1
    assert list(tmp_path.rglob(".lock")) == []
