# What bench/run and bench/check share: packages, Python environment, builds. Sourced, with $root and $target set.

missing=()

# need_package PROGRAM PACKAGE: installs a Debian package once; without root it is named and the run stops.
need_package() {
    command -v "$1" >/dev/null && return
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        missing+=("$1 (Debian package $2)")
        return
    fi
    if [ -z "${updated:-}" ]; then
        apt-get update -q >&2
        updated=1
    fi
    echo "installing $2" >&2
    # The package's service must not start: the bench runs its own nginx on a port of its own.
    local policy=/usr/sbin/policy-rc.d created=
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy"
        created=1
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$2" >&2 || missing+=("$1 (Debian package $2)")
    [ -z "$created" ] || rm -f "$policy"
}

# make_venv DIRECTORY: the LiteLLM proxy and the reference package in an environment of their own.
make_venv() {
    local wanted='litellm[proxy]==1.106.2 qp-capsule[storage]==1.5.4 greenlet'
    [ "$(cat "$1/wanted" 2>/dev/null)" = "$wanted" ] && return
    local python
    python=$(command -v python3.11 || command -v python3 || true)
    if [ -z "$python" ]; then
        missing+=("python3 (Debian package python3-venv)")
        return
    fi
    echo "installing $wanted into $1" >&2
    if "$python" -m venv "$1" && "$1/bin/pip" install -q --disable-pip-version-check $wanted; then
        printf '%s' "$wanted" >"$1/wanted"
    else
        missing+=("Python packages $wanted")
    fi
}

build_bench() {
    cargo build --release --locked -p sealgate-bench
}

build_sealgate() {
    cargo build --release --locked -p sealgate
}

# The journal that keeps nothing exists in this build only, so it has a target directory of its own.
build_null_journal() {
    if ! grep -q '^bench-null-journal' crates/cli/Cargo.toml; then
        echo "sealgate has no feature bench-null-journal: that row is left out" >&2
        return 1
    fi
    cargo build --release --locked -p sealgate --features bench-null-journal \
        --target-dir "$target/bench-null-journal"
}

# another_gateway DIRECTORY: another gateway in Rust, beside ours. It is built on request only
# (SEALGATE_BENCH_RUST_PEER=1): that takes as long as Sealgate itself. Says whether it is there.
another_gateway() {
    local version=0.0.25
    if [ -n "${SEALGATE_BENCH_RUST_PEER:-}" ] && [ "$(cat "$1/version" 2>/dev/null)" != "$version" ]; then
        echo "building crabllm $version into $1" >&2
        cargo install crabllm --version "$version" --locked --no-default-features --features hyper,rustls \
            --root "$1" --target-dir "$target/bench-crabllm" >&2 && printf '%s' "$version" >"$1/version"
    fi
    [ -x "$1/bin/crabllm" ] && return
    echo "crabllm is not installed: its rows are left out (SEALGATE_BENCH_RUST_PEER=1 builds it)" >&2
    return 1
}

# finish_setup: stops with the list of what is missing.
finish_setup() {
    [ ${#missing[@]} -eq 0 ] && return
    printf 'bench: missing: %s\n' "${missing[@]}" >&2
    exit 2
}
