# What quickstart and check share. Sourced by them, never run; plain POSIX sh.
# shellcheck shell=sh
#
# need_command, need_library and need_file note what is missing; install_missing gets it with apt. Nothing is
# installed, and no password asked for, when nothing is missing.

missing=

# need_command COMMAND PACKAGE...
need_command() {
    command -v "$1" >/dev/null 2>&1 && return
    shift
    missing="$missing $*"
}

# need_library 'NAME [>= VERSION]' PACKAGE...; the name is pkg-config's
need_library() {
    pkg-config --exists "$1" 2>/dev/null && return
    shift
    missing="$missing $*"
}

# need_file PATH PACKAGE...; of a package that has no command and no library of its own
need_file() {
    [ -e "$1" ] && return
    shift
    missing="$missing $*"
}

need_build_tools() {
    need_command cc gcc libc6-dev
    need_command meson meson
    need_command ninja ninja-build
    need_command pkg-config pkg-config
    need_library 'sqlite3 >= 3.31' libsqlite3-dev
    need_library 'libcurl >= 7.85' libcurl4-openssl-dev
    need_library libcrypto libssl-dev
    need_library liblz4 liblz4-dev
    need_library expat libexpat1-dev
    need_library yaml-0.1 libyaml-dev
    need_library jansson libjansson-dev
    need_library 'libmicrohttpd >= 0.9.72' libmicrohttpd-dev
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        echo "needs root or sudo: $*" >&2
        return 1
    fi
}

install_missing() {
    [ -n "$missing" ] || return 0
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "Please install what these Debian packages hold:$missing" >&2
        return 1
    fi
    echo "Installing:$missing"
    # The lists may be old, or absent on a fresh machine. Offline, those at hand may still do.
    quietly as_root apt-get update -q || echo "apt-get update failed; trying without" >&2
    # shellcheck disable=SC2086 # a list of words
    quietly as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends $missing || return 1
    missing=
}

# Run a command whose output matters only when it fails.
quietly() {
    quiet_log=$(mktemp) || return 1
    if "$@" >"$quiet_log" 2>&1; then
        rm -f "$quiet_log"
        return 0
    fi
    echo "failed: $*" >&2
    tail -n 60 "$quiet_log" >&2
    rm -f "$quiet_log"
    return 1
}

# Whether BUILD is a build directory, and was made where it is now.
is_set_up() {
    grep -qsF "\"directory\": \"$1\"" "$1/compile_commands.json"
}

# set_up BUILD ROOT OPTION...: a build directory with these options, whatever is there now. One that
# was made elsewhere (the tree has moved) or by another Meson cannot be used and is made again.
set_up() {
    set_up_build=$1
    set_up_root=$2
    shift 2
    if is_set_up "$set_up_build" && meson configure "$@" "$set_up_build" >/dev/null 2>&1 &&
        meson setup --reconfigure "$set_up_build" "$set_up_root" >/dev/null 2>&1; then
        return 0
    fi
    rm -rf "$set_up_build"
    quietly meson setup "$@" "$set_up_build" "$set_up_root"
}
