#!/bin/sh
# Print where a source differs from what clang-format makes of it: format.sh ROOT. The formatter is
# the only judge of layout; clang-format -i on the file named settles it.
set -u

cd "$1" || exit 1
for tool in clang-format-14 clang-format; do
    command -v "$tool" >/dev/null 2>&1 && break
done
find include src test bench -name '*.[ch]' -print0 | xargs -0 "$tool" --dry-run --Werror
