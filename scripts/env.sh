# Shared by the scripts beside it (sourced, POSIX sh): one environment, .venv in the checkout, made when it is
# missing and brought up to date when pyproject.toml, constraints.txt or the Python change.

say() { printf '== %s\n' "$*" >&2; }

fail() {
    printf 'error: %s\n' "$1" >&2
    [ -z "${2:-}" ] || printf '       %s\n' "$2" >&2
    exit 1
}

# The newest Python that fits; a name on PATH proves nothing (version managers put stubs there), so it is run.
find_python() {
    for name in ${STREAMFX_PYTHON:-} python3.13 python3.12 python3.11 python3 python; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            command -v "$name"
            return
        fi
    done
    fail "Python 3.11 or newer is needed; found $(python3 --version 2>&1 || echo none)." \
        "Install one (Debian, Ubuntu: apt install python3 python3-venv) or name it in STREAMFX_PYTHON."
}

make_venv() {
    python=$(find_python) || exit 1
    say "making the environment .venv with $("$python" --version 2>&1)"
    "$python" -m venv --clear .venv >/dev/null || {
        rm -rf .venv
        fail "$python cannot make a virtual environment." "Debian, Ubuntu: apt install python3-venv"
    }
}

# What the environment was made from: it is stale when this changes.
stamp() {
    .venv/bin/python - "$1" <<'PY'
import hashlib, pathlib, sys
files = (pathlib.Path(name).read_bytes() for name in ("pyproject.toml", "constraints.txt", "scripts/env.sh"))
print(hashlib.sha256(b"\0".join([sys.version.encode(), sys.argv[1].encode(), *files])).hexdigest())
PY
}

# need_environment core|dev: dev holds everything that core holds.
need_environment() {
    [ -x .venv/bin/python ] && .venv/bin/python -c 'import sys' >/dev/null 2>&1 || make_venv
    for made in "$1" dev; do
        [ "$(cat ".venv/made-for-$made" 2>/dev/null)" != "$(stamp "$made")" ] || return 0
    done
    case $1 in
        core) what=. ; size="310 MB of packages" ;;
        dev) what=".[dev,train]" ; size="1 GB of packages, torch among them" ;;
    esac
    say "installing streamfx and what it needs ($size; a minute or two)"
    .venv/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e "$what" ||
        fail "pip could not install the packages; its reason stands above." "Check the network, then run this again."
    stamp "$1" >".venv/made-for-$1"
}

# run_tests ARGUMENTS...: pytest, by two processes that take whole files in turn.
run_tests() {
    exec .venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"
}

cd "$(dirname "$0")/.." || exit 1
