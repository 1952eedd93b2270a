# Sourced by app/run, tests/run and tests/lint: packages that must be there.

# What the program is built with.
build_packages="g++ cmake ninja-build pkg-config libcli11-dev libsqlitecpp-dev libsqlite3-dev libcpp-httplib-dev
    libtomlplusplus-dev nlohmann-json3-dev libvalijson-dev libfmt-dev libssl-dev prometheus-cpp-dev
    libhiredis-dev libpq-dev"

# need_packages NAME...: installs those that are missing; silent and quick when none is.
need_packages() {
    missing=""
    if ! command -v apt-get >/dev/null 2>&1; then
        missing_elsewhere
        return
    fi
    for package in "$@"; do
        state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || state=""
        [ "$state" = installed ] || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    as_root=""
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null 2>&1; then
            echo "mtagent: these packages are missing, and installing them needs root or sudo:$missing" >&2
            exit 69
        fi
        as_root=sudo
    fi
    echo "mtagent: installing$missing" >&2
    # Messages go to standard error: standard output belongs to the program that is started.
    if ! $as_root apt-get update >&2 ||
        ! $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing >&2; then
        echo "mtagent: apt-get could not install:$missing" >&2
        exit 69
    fi
}

# On a machine without apt: goes on when everything is there, and says what is not.
missing_elsewhere() {
    for tool in c++ cmake ninja pkg-config; do
        command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
    done
    for module in sqlite3 cpp-httplib fmt openssl prometheus-cpp-core hiredis libpq; do
        pkg-config --exists "$module" 2>/dev/null || missing="$missing lib:$module"
    done
    [ -z "$missing" ] && return 0
    echo "mtagent: this machine has no apt-get; install these (names as in Debian 12: $(echo $build_packages)):" >&2
    echo "mtagent: missing:$missing" >&2
    exit 69
}

# build PRESET [TARGET]: configures at first, builds what changed; quiet when nothing did.
build() {
    folder="$top/build/$1"
    if [ ! -f "$folder/build.ninja" ]; then
        (cd "$top" && cmake --preset "$1") >&2 || exit 70
    fi
    log="$folder/build.log"
    # A terminal sees the progress; elsewhere the log speaks only when the build fails.
    if [ -t 2 ]; then
        ninja -C "$folder" ${2:+"$2"} >&2 || exit 70
    elif ! ninja -C "$folder" ${2:+"$2"} >"$log" 2>&1; then
        cat "$log" >&2
        exit 70
    fi
}
