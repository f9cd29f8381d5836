#!/usr/bin/env bash
# What users install and read: the source distribution and the wheel, the wheel alone in a new environment without any
# extra, an experiment and a comparison run there, and the site, with links and references checked.
# PYTHON is the interpreter to begin with (default: python3).
set -euo pipefail
cd "$(dirname "$0")/.."
started=$SECONDS
step() { printf -- '-- %s (at %d s)\n' "$1" $((SECONDS - started)); }
fail() { echo "error: $1" >&2; exit 1; }
python=${PYTHON:-python3}
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_QUIET=2 PIP_NO_COMPILE=1

step "Source distribution and wheel"
"$python" -m venv "$work/build"
"$work/build/bin/pip" install build
# From a copy of what a checkout has, so that files that lie about do not get in; the wheel is built from the sdist.
mkdir "$work/tree"
git ls-files -z --cached --others --exclude-standard | tar --null -T - --ignore-failed-read -cf - | tar xf - -C "$work/tree"
"$work/build/bin/python" -m build --outdir "$work/dist" "$work/tree" >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
ls -l "$work"/dist | awk 'NR > 1 { print $5, $9 }'
wheel=$(ls "$work"/dist/*.whl)
"$python" - "$wheel" "$work"/dist/*.tar.gz <<'EOF'
import sys, tarfile, zipfile

wheel = set(zipfile.ZipFile(sys.argv[1]).namelist())
source = {name.partition("/")[2] for name in tarfile.open(sys.argv[2]).getnames()}
code = {name for name in source if name.startswith("jaxticket/")}
needed = {"jaxticket/configs/imp.py", "jaxticket/py.typed", "jaxticket/data/sources/digits.npz", "jaxticket/report/templates/page.html.jinja"}
for name in sorted(needed - wheel):
    sys.exit(f"error: the wheel lacks {name}")
others = {name for name in wheel if not name.startswith("jaxticket")}
if others:
    sys.exit(f"error: the wheel has {sorted(others)[:3]}, which are not part of the package")
wanted = {"README.md", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE", "mkdocs.yml", "docs/tour.md"}
for name in sorted(wanted - source):
    sys.exit(f"error: the source distribution lacks {name}")
print(f"{len(wheel)} files in the wheel, {len(code)} of the package in the source distribution")
EOF

step "The wheel in a new environment"
"$python" -m venv "$work/user"
"$work/user/bin/pip" install "$wheel"
mkdir "$work/empty"
cd "$work/empty" # so that nothing but the wheel is imported, and no config file is at hand
PATH=$work/user/bin:$PATH
jaxticket list
jaxticket keys imp train.lr
# The least of five is what the program itself needs, without what else the machine is doing.
"$work/user/bin/python" - <<'EOF'
import subprocess, sys, time

seconds = []
for _ in range(5):
    began = time.perf_counter()
    subprocess.run(["jaxticket", "--help"], check=True, stdout=subprocess.DEVNULL)
    seconds.append(time.perf_counter() - began)
print(f"jaxticket --help: {min(seconds):.2f} to {max(seconds):.2f} s (n = 5)")
sys.exit("error: jaxticket --help takes more than 0.3 s" if min(seconds) > 0.3 else 0)
EOF
small=(--config.train.epochs=2 --config.levels=2 --config.seeds=0)
jaxticket run --config=quickstart "${small[@]}"
jaxticket config --config=quickstart "${small[@]}" --out=mine.py
jaxticket plan --config=mine.py | grep 'networks: 3, of which 0 to train' || fail "a written config is another experiment"
jaxticket sweep --config=train:model=lenet300,dataset=digits --count | grep -x 6 || fail "the sweep of a recipe is not found"
"$work/user/bin/python" -m jaxticket.main --config=quickstart "${small[@]}" --dry_run | tail -n 1
jaxticket report runs
[ -s runs/comparison.html ] || fail "there is no comparison"
if jaxticket run --config=quickstart --config.writers=tensorboard 2>"$work/said"; then
  fail "a writer without its package was accepted"
fi
grep -q 'pip install tensorboardX' "$work/said" || fail "a missing package was not named: $(cat "$work/said")"

step "The site"
cd "$root"
"$work/user/bin/pip" install "$wheel[docs]"
NO_MKDOCS_2_WARNING=1 "$work/user/bin/mkdocs" build --quiet --strict --site-dir "$work/site"
for page in index.html api/jaxticket.html changelog.html; do
  [ -s "$work/site/$page" ] || fail "the site lacks $page"
done
grep -q 'id="jaxticket.prune"' "$work/site/api/jaxticket.html" || fail "the reference lacks jaxticket.prune"
if grep -rlE '(src|href)="https?://[^"]*\.(js|css|woff2?)"' "$work/site" --include='*.html' | head -n 1 | grep .; then
  fail "this page loads something from elsewhere"
fi
step "done"
