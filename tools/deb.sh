#!/bin/sh
# Make Debian packages of this tree: tools/deb.sh [DIRECTORY]
#
# They come to DIRECTORY, by default build-deb below the tree: weir, libweir0, libweir-dev,
# libsqlite3-mod-weir and the symbols for debuggers. Built from a copy, so the tree stays as it is.
# Installs with apt what is missing, and says so.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd -P)
# shellcheck source=tools/install.sh
. "$root/tools/install.sh"

to=${1-$root/build-deb}
need_build_tools
need_command dh debhelper
need_file /usr/share/build-essential build-essential # every package is taken to need it
install_missing

mkdir -p "$to"
to=$(cd "$to" && pwd -P)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# What the packages are made of: no build directories, which may be anywhere and large.
mkdir "$work/weir"
(cd "$root" && tar cf - LICENSE README.md debian docs etc include meson.build meson_options.txt src) |
    tar xf - -C "$work/weir"
cd "$work/weir"
version=$(sed -n "s/^project('weir', 'c', version: '\([^']*\)'.*/\1/p" meson.build)
packaged=$(dpkg-parsechangelog -S Version)
if [ "$version" != "$packaged" ]; then
    echo "meson.build is of version $version, and debian/changelog of $packaged" >&2
    exit 1
fi
DEB_BUILD_OPTIONS="parallel=$(nproc) ${DEB_BUILD_OPTIONS-}" quietly dpkg-buildpackage -us -uc -b
for file in "$work"/*.deb "$work"/*.buildinfo "$work"/*.changes; do
    mv "$file" "$to/"
done
echo "Packages of weir $version are in $to"
