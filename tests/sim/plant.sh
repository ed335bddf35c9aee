#!/bin/bash
# Plants each error of planted.txt in a scratch copy of the engine and asks the simulator for it.
#
#   bash tests/sim/plant.sh [WORDS]      all, or those whose name holds WORDS
#
# Ends with 1 if one was not found.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
only=${1:-}
scratch=${PLANT_DIR:-$(mktemp -d)}
[ -n "${PLANT_DIR:-}" ] || trap 'rm -rf "$scratch"' EXIT

# The protocol alone, without the daemon and its executable: what the simulator uses.
mkdir -p "$scratch/src" "$scratch/tests"
cp Cargo.lock "$scratch"
grep -v '^path = "src/main.rs"' Cargo.toml | sed '/^\[\[b/,/^$/d' >"$scratch/Cargo.toml"
cp -r src/wire src/time.rs "$scratch/src"
printf 'pub mod carp;\npub mod time;\npub mod wire;\n' >"$scratch/src/lib.rs"
cp -r tests/sim tests/sim.rs tests/support tests/fixtures "$scratch/tests"
export CARGO_TARGET_DIR=$scratch/target CARGO_PROFILE_TEST_DEBUG=false

# The simulator's verdict on the copy: a seed, `none` or `does not build`.
verdict() {
    local log=$scratch/log
    if ! (cd "$scratch" && cargo test -q --test sim --no-run) >"$log" 2>&1; then
        echo "does not build"
        return
    fi
    (cd "$scratch" && cargo test -q --test sim seeds_keep) >"$log" 2>&1 && echo none && return
    local found
    found=$(sed -n 's/^seed \([0-9]* at .*\)/\1/p' "$log" | sort -n | sed -n 1p)
    echo "${found:-panic: $(grep -m1 -A1 panicked "$log" | tail -1)}"
}

missed=0 count=0
plant() {
    local name=$1 file=$2 old=$3 new=$4 text
    case $name in *"$only"*) ;; *) return 0 ;; esac
    rm -rf "$scratch/src/carp"
    cp -r "$root/src/carp" "$scratch/src/carp"
    text=$(cat "$root/src/carp/$file"; printf x)
    text=${text%x}
    local rest=${text/"$old"/}
    if [ "$rest" = "$text" ] || [ "${rest/"$old"/}" != "$rest" ]; then
        printf '%-72s not once in %s\n' "$name" "$file"
        missed=$((missed + 1))
        return 0
    fi
    printf '%s' "${text/"$old"/"$new"}" >"$scratch/src/carp/$file"
    local result
    result=$(verdict)
    count=$((count + 1))
    case $result in none | "does not build") missed=$((missed + 1)) ;; esac
    printf '%-72s %s\n' "$name" "$result"
}

# A block: the name, the file, lines with `- `, lines with `+ ` (an empty one: nothing takes their place).
name='' file='' old='' new='' state=name
finish() {
    [ -n "$name" ] && plant "$name" "$file" "${old%$'\n'}" "${new%$'\n'}"
    name='' file='' old='' new='' state=name
}
while IFS= read -r line || [ -n "$line" ]; do
    case $state:$line in
        *:'') finish ;;
        name:'#'*) ;;
        name:*) name=$line state=file ;;
        file:*) file=$line state=text ;;
        text:'- '*) old+=${line#- }$'\n' ;;
        text:'+ '*) new+=${line#+ }$'\n' ;;
        text:+) ;;
    esac
done <"$root/tests/sim/planted.txt"
finish
echo "$count planted, $missed missed"
[ "$missed" = 0 ]
